/**
 * Debian's PostgreSQL 15 with pg_cron: the oldest that we promise to run on, and the
 * only place where pg_cron is to be had without a compiler.
 *
 * @module
 */

import { join } from "node:path";
import { connect } from "../db/client.ts";
import {
  CLEAN_ENV,
  exists,
  findRunner,
  run,
  type Runner,
} from "../db/_binaries.ts";
import { install } from "./debian.ts";
import { freePort, until } from "./harness.ts";
import { endOf } from "./within.ts";

const BIN = "/usr/lib/postgresql/15/bin";
const PG_CRON = "/usr/lib/postgresql/15/lib/pg_cron.so";

/** The database that pg_cron keeps its schedules in; there is one a server. */
export const CRON_DATABASE = "weir_cron";

/** Quick, and of nobody's concern but ours. */
export const PRIVATE_SETTINGS = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "fsync=off",
  "full_page_writes=off",
  // A replica that has lost its primary tries again, by default after 5 s.
  "wal_retrieve_retry_interval=100ms",
];

/**
 * pg_cron 1.4 runs background workers one after the other, and knows no zone: so it
 * connects as a client, and the server's zone is one that ours must not depend on.
 */
const SETTINGS = [
  ...PRIVATE_SETTINGS,
  "shared_preload_libraries=pg_cron",
  `cron.database_name=${CRON_DATABASE}`,
  "cron.use_background_workers=off",
  "cron.host=127.0.0.1",
  "timezone=Europe/Paris",
  "synchronous_commit=off",
];

/** Stops Postgres when whoever holds the other end of its input is gone. */
const WATCHDOG = '"$@" & pid=$!; read -r _ || :; kill -INT "$pid"; wait "$pid"';

/** A server of our own. */
export interface Postgres15 extends AsyncDisposable {
  /** Of a superuser, at the database `postgres`. */
  url: string;
}

/**
 * Sees to it that PostgreSQL 15 and pg_cron are installed.
 *
 * @returns `null` when they are, else why they are not and what to do.
 */
export async function ensurePostgres15(): Promise<string | null> {
  if (await isInstalled()) return null;
  try {
    await install(["postgresql-15", "postgresql-15-cron"]);
  } catch (error) {
    return `pg_cron is not tested. ${(error as Error).message}`;
  }
  return await isInstalled()
    ? null
    : "pg_cron is not tested: this system has no PostgreSQL 15 with pg_cron";
}

async function isInstalled(): Promise<boolean> {
  return await exists(join(BIN, "postgres")) && await exists(PG_CRON);
}

/**
 * Starts a server on data of its own, which is gone with it. Only this machine
 * reaches it, and without a password: pg_cron has to log in by itself.
 *
 * @returns The running server.
 * @throws {Error} When it does not start.
 */
export async function startPostgres15(): Promise<Postgres15> {
  const runner = await findRunner();
  const home = await makeHome(runner);
  await run(
    join(BIN, "initdb"),
    ["-D", join(home, "data"), "-U", "weir", "-A", "trust", "-E", "UTF8"]
      .concat("--locale=C.UTF-8", "--no-sync"),
    runner,
  );
  return await launch("PostgreSQL 15", home, runner, SETTINGS);
}

/** A copy of a server that follows it, and answers reads. */
export interface Replica extends Postgres15 {
  /** Ends it at once, and waits until it is gone. Starting it again keeps its address. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/**
 * Makes a streaming replica of a server of {@linkcode startPostgres15}, which is gone with it.
 *
 * @param url Of a superuser of that server.
 * @returns The replica, which replays.
 */
export async function startReplica(url: string): Promise<Replica> {
  const runner = await findRunner();
  const home = await makeHome(runner);
  await run(
    join(BIN, "pg_basebackup"),
    ["-d", url, "-D", join(home, "data"), "-R", "-X", "stream", "-c", "fast"]
      .concat("--no-sync"),
    runner,
  );
  const port = freePort();
  const launchIt = () =>
    launch("the replica", home, runner, PRIVATE_SETTINGS, port);
  let running: Awaited<ReturnType<typeof launch>> | null = await launchIt();
  const { url: address } = running;
  return {
    url: address,
    async stop() {
      await running?.end();
      running = null;
    },
    async start() {
      running ??= await launchIt();
    },
    async [Symbol.asyncDispose]() {
      await running?.end();
      await Deno.remove(home, { recursive: true });
    },
  };
}

async function makeHome(runner: Runner): Promise<string> {
  const home = await Deno.makeTempDir({ prefix: "weir-postgres15-" });
  if (runner) await Deno.chown(home, runner.uid, runner.gid);
  return home;
}

/**
 * Starts a server on the data in `home`, which is gone with it.
 *
 * @param what Named in errors.
 * @param home Has `data`, of `initdb` without a password.
 * @param runner Whose it is.
 * @param settings Each `name=value`.
 * @param port Any free one, if it is left out.
 * @param bin Where `postgres` is.
 * @returns The server, which answers; ending it leaves its data.
 * @throws {Error} When it does not start.
 */
export async function launch(
  what: string,
  home: string,
  runner: Runner,
  settings: string[],
  port = freePort(),
  bin = BIN,
): Promise<Postgres15 & { end(): Promise<void> }> {
  const process = new Deno.Command("/bin/sh", {
    args: ["-c", WATCHDOG, "sh", join(bin, "postgres")]
      .concat("-D", join(home, "data"), "-p", String(port))
      .concat(settings.flatMap((one) => ["-c", one])),
    ...runner,
    cwd: "/",
    clearEnv: true,
    env: CLEAN_ENV,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `postgres://weir@127.0.0.1:${port}/postgres`;

  async function end(): Promise<void> {
    await process.stdin.close();
    await endOf(process);
  }
  async function dispose(): Promise<void> {
    await end();
    await Deno.remove(home, { recursive: true });
  }
  try {
    await until(`${what} answers`, () => answers(url));
    return { url, end, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** @returns Whether a Postgres is there. */
export async function answers(url: string): Promise<boolean> {
  const sql = connect(url, { max: 1, statementTimeoutMs: 5_000 });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
