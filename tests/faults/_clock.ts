/**
 * A real Postgres, and other programs, whose clock steps: libfaketime between them and the
 * system's, which reads from a file how far it is off.
 *
 * @module
 */

import { join } from "node:path";
import {
  CLEAN_ENV,
  findBinaries,
  findRunner,
  run,
} from "../../db/_binaries.ts";
import { freePort, until } from "../harness.ts";
import { answers } from "../postgres15.ts";
import { endOf } from "../within.ts";

/** Ends Postgres when whoever holds the other end of its input is gone. */
const WATCHDOG = '"$@" & pid=$!; read -r _ || :; kill -INT "$pid"; wait "$pid"';

/** A Postgres with a clock of its own. */
export interface Clockwork extends AsyncDisposable {
  /** Of its superuser, at the database `postgres`. */
  url: string;
  /** Has another program follow the same clock. */
  env: Record<string, string>;
  /** Sets the clock so far from the system's, at once, for all who follow it. */
  step(hours: number): Promise<void>;
}

/** Starts a Postgres on data of its own, which is gone with it. */
export async function startClockwork(): Promise<Clockwork> {
  const runner = await findRunner();
  const bin = await findBinaries(runner);
  const home = await Deno.makeTempDir({ prefix: "weir-clock-" });
  if (runner) await Deno.chown(home, runner.uid, runner.gid);
  await Deno.chmod(home, 0o711);
  const file = join(home, "offset");
  const data = join(home, "data");
  const env = {
    LD_PRELOAD: await findLibrary(),
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: "1",
    // Waiting goes by another clock, which no step moves.
    FAKETIME_DONT_FAKE_MONOTONIC: "1",
  };
  async function step(hours: number): Promise<void> {
    // Nobody may find it half written.
    await Deno.writeTextFile(
      `${file}.next`,
      `${hours < 0 ? "" : "+"}${hours}h\n`,
    );
    await Deno.chmod(`${file}.next`, 0o644);
    await Deno.rename(`${file}.next`, file);
  }
  await step(0);
  await run(
    join(bin, "initdb"),
    ["-D", data, "-U", "weir", "-A", "trust", "-E", "UTF8"]
      .concat("--locale=C", "--no-sync"),
    runner,
  );
  const port = freePort();
  const process = new Deno.Command("/bin/sh", {
    args: ["-c", WATCHDOG, "sh", join(bin, "postgres"), "-D", data]
      .concat("-p", String(port), "-c", "listen_addresses=127.0.0.1")
      .concat("-c", "unix_socket_directories=", "-c", "fsync=off"),
    ...runner,
    cwd: "/",
    clearEnv: true,
    env: { ...CLEAN_ENV, ...env },
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `postgres://weir@127.0.0.1:${port}/postgres`;
  const dispose = async () => {
    await process.stdin.close();
    await endOf(process);
    await Deno.remove(home, { recursive: true });
  };
  try {
    await until("it answers", () => answers(url));
    return { url, env, step, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Debian has it below the name of the machine's kind. */
async function findLibrary(): Promise<string> {
  for await (const { name } of Deno.readDir("/usr/lib")) {
    const path = `/usr/lib/${name}/faketime/libfaketimeMT.so.1`;
    if (await Deno.stat(path).then(() => true, () => false)) return path;
  }
  throw new Error("Cannot step clocks: there is no libfaketime");
}
