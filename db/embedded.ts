/**
 * A real Postgres from npm, for machines that have none: `demo`, `start`, the
 * commands beside them, and the tests.
 *
 * Whoever needs it *uses* it: the first user starts it, later ones find it by the
 * data directory, and the last one to leave stops it. A user that is killed has
 * left, too. That is held by two files, neither of which can lie after a crash,
 * because both belong to open file descriptors:
 *
 * - `users`, a named pipe. Every user holds it open for writing. A shell script, the
 *   watchdog, reads from it, and gets to its end when the last user is gone, however
 *   it went. Then it stops Postgres.
 * - `embedded.lock`. Starting, joining and leaving happen one at a time.
 *
 * The watchdog and Postgres run in a session of their own, so that Ctrl-C reaches
 * only the program, which has requests to finish and needs its database for that.
 *
 * | in `DATA_DIR` | |
 * |---|---|
 * | `embedded.json` | port and password, readable by its owner only |
 * | `embedded.lock`, `embedded.users` | locks |
 * | `postgres` | `data`, `postgres.log`, pipe and pids; a link where we are root and its runner cannot enter `DATA_DIR` |
 *
 * @module
 */

import { join, resolve } from "node:path";
import { connect } from "./client.ts";
import {
  canReach,
  CLEAN_ENV,
  exists,
  findBinaries,
  findRunner,
  ROOT_HOME,
  run,
  type Runner,
} from "./_binaries.ts";

/** What to start. */
export interface EmbeddedOptions {
  /** Directory for data and locks; made when it is missing. One Postgres per directory. */
  dataDir: string;
  /**
   * Trades durability for speed: a crash of the machine may lose everything.
   * For data that nobody will miss.
   *
   * @default {false}
   */
  ephemeral?: boolean;
  /** Told what takes a while. */
  onProgress?(text: string): void;
}

/** A Postgres in use. */
export interface Embedded {
  /** Of the database `weir`, as its owner. */
  url: string;
  /** Whether this call started it. */
  started: boolean;
  /** Ends this use; when it was the last one, returns once Postgres has stopped. */
  stop(): Promise<void>;
}

/** Crash recovery replays half of `max_wal_size` at most, which took 17 s. */
const READY_MS_MAX = 60_000;

const POLL_MS = 20;

/** Somebody may take a port that we found free; who was killed may need seconds to end. */
const START_ATTEMPTS = 50;

const RETRY_MS = 200;

/**
 * Why a start fails that may succeed soon: the port or the shared memory is in use,
 * or who held the lock file was killed and nobody has collected its process yet.
 */
const IS_PASSING = /in use|lock file "postmaster\.pid" already exists/i;

/** Of the binaries in `deno.json`; data of another one cannot be read. */
const MAJOR_VERSION = "17";

/** What a running Postgres and its watchdog leave in their home; begun afresh each time. */
const STATE_FILES = [
  "users",
  "ready",
  "postgres.log",
  "postgres.pid",
  "watchdog.pid",
];

/** Kept in `embedded.json`. */
interface Access {
  port: number;
  password: string;
}

/** Everything there is to know about one embedded Postgres. */
interface Place {
  /** The user's directory. */
  dataDir: string;
  /** Where Postgres' own files are. */
  home: string;
  runner: Runner;
}

/**
 * Sizes for one small machine that also runs the program: 2 cores, 2 GB. Pages are
 * taken as they are used, so a laptop pays for what the demo touches.
 */
const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  password_encryption: "scram-sha-256",
  // The indexes that a fold looks into beside ten million events are some 700 MB. It is taken as it is needed.
  shared_buffers: "1GB",
  effective_cache_size: "2GB",
  // A fold sorts and hashes some 20,000 events; more would spill to files.
  work_mem: "16MB",
  // A fold of 100,000 events stages 40 MB: with the 8 MB of Postgres it wrote 25,000 pages and read them again.
  temp_buffers: "32MB",
  maintenance_work_mem: "128MB",
  // Ingest writes in bursts; a checkpoint every few seconds would double its writes.
  max_wal_size: "4GB",
  // The log of a fold of 100,000, pages of it whole after a checkpoint, is 500 MB. Its writer, which looks every 200 ms,
  // leaves the fold to write most of that itself, a tenth of its time.
  wal_buffers: "64MB",
  wal_writer_delay: "10ms",
  checkpoint_timeout: "15min",
  // The bundled build has only pglz: with it a fold of 1,000 events took 91 ms after a
  // checkpoint, without 31.
  wal_compression: "off",
  // Pages that a fold has no room for are written in the background: the 4 MB a second of Postgres are gone at once, and
  // the fold writes the others itself, a tenth of its time.
  bgwriter_delay: "50ms",
  bgwriter_lru_maxpages: "1000",
  // Solid state disks: a random page costs hardly more than the next one.
  random_page_cost: "1.1",
  // Queues and rollups turn over all the time; vacuum often, a little each time.
  autovacuum_naptime: "15s",
  autovacuum_vacuum_scale_factor: "0.05",
  autovacuum_analyze_scale_factor: "0.05",
  // Reads take milliseconds; compiling one takes more.
  jit: "off",
  // A transaction may touch every partition of a table and their indexes.
  max_locks_per_transaction: "256",
  log_min_messages: "warning",
  log_line_prefix: "%m [%p] %a ",
};

/** For data that nobody will miss. */
const EPHEMERAL_SETTINGS = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  // Clones of the template are checkpointed otherwise.
  checkpoint_timeout: "1h",
};

/**
 * Runs Postgres until nobody uses it. `$1` is the home, the rest the command.
 *
 * The open for writing in the background is what lets the open for reading return
 * even when our first user was killed before it got here.
 */
const WATCHDOG = `
cd "$1" || exit 1
shift
echo $$ >watchdog.pid
(: >users) &
exec 3<users
(
  read -r _ <&3
  # If this watchdog was killed, what is here may be another one's by now.
  [ "$(cat watchdog.pid)" = $$ ] || exit
  # From here on nobody can join; who slipped in is waited for once more.
  rm -f users
  read -r _ <&3
  # A signal that comes before Postgres listens is lost, and Postgres may just be
  # starting again: so until there is nobody left to stop.
  # One that was started after this watchdog was killed is another watchdog's.
  while [ "$(cat watchdog.pid)" = $$ ] &&
    { kill -0 $$ || kill -0 "$(cat postgres.pid)"; }; do
    kill -INT "$(cat postgres.pid)"
    sleep 0.1
  done
) >/dev/null 2>&1 &
guard=$!
while :; do
  "$@" >>postgres.log 2>&1 </dev/null 3<&- &
  echo $! >postgres.pid
  wait $!
  # Started before and still in use: it crashed, and recovers by starting again.
  [ -p users ] && [ -e ready ] || break
  sleep 0.2
  [ -p users ] || break
done
kill $guard
rm -f ready watchdog.pid postgres.pid
`;

/**
 * Uses the Postgres of a data directory, and starts it if nobody does yet.
 *
 * @param options Which one, and how.
 * @returns Where it is, and how to leave it.
 * @throws {Error} When it cannot be started; the message says why.
 */
export async function startEmbedded(
  options: EmbeddedOptions,
): Promise<Embedded> {
  const report = options.onProgress ?? (() => {});
  if (!await mayRun()) return await joinOnly(options.dataDir);
  const runner = await findRunner();
  const dataDir = resolve(options.dataDir);
  // Root's runner must get through to its own directory below; ours is closed to others.
  await Deno.mkdir(dataDir, { recursive: true, mode: runner ? 0o711 : 0o700 });

  const lock = await lockFile(join(dataDir, "embedded.lock"), true);
  try {
    const home = await findHome(dataDir, runner, report);
    const place = { dataDir, home, runner };
    return await useRunning(place) ??
      await start(place, options.ephemeral ?? false, report);
  } finally {
    lock.close();
  }
}

async function mayRun(): Promise<boolean> {
  return (await Deno.permissions.query({ name: "run" })).state === "granted";
}

/** May start nothing and hold nothing open: it lasts as long as those who may. */
async function joinOnly(dataDir: string): Promise<Embedded> {
  const access = await readAccess(dataDir).catch((error) => {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    // A Postgres that is started beside these would not help them.
    throw new Error(
      `Cannot read where the embedded Postgres of "${dataDir}" is: set DATABASE_URL`,
    );
  });
  if (!access || !await answers(access)) {
    throw new Error(
      `Cannot reach the embedded Postgres of "${dataDir}": run \`deno task start\` beside this, or set DATABASE_URL`,
    );
  }
  return {
    url: urlOf(access, "weir"),
    started: false,
    stop: () => Promise.resolve(),
  };
}

async function useRunning(place: Place): Promise<Embedded | null> {
  const { home } = place;
  const deadline = performance.now() + READY_MS_MAX;
  while (performance.now() < deadline) {
    const postgres = await readPid(join(home, "data", "postmaster.pid"));
    const watchdog = await readPid(join(home, "watchdog.pid"));
    const runs = await belongsTo(postgres, home);
    if (await belongsTo(watchdog, home)) {
      const joined = await joinUsers(place);
      if (joined) return joined;
    } else if (runs) {
      // Its watchdog was killed as well: there is nobody to tell it to stop.
      Deno.kill(postgres!, "SIGINT");
    } else {
      await removeStalePid(home, postgres);
      return null;
    }
    await delay(POLL_MS);
  }
  throw new Error(
    `Cannot use the Postgres in "${home}": it runs, but does not answer, see postgres.log there`,
  );
}

/** `null` while it is starting or stopping. */
async function joinUsers(place: Place): Promise<Embedded | null> {
  const pipe = join(place.home, "users");
  const access = await readAccess(place.dataDir);
  const users = await openUsers(pipe);
  if (!users || !access) return null;
  // The watchdog takes the name away before it stops Postgres: as long as it is
  // there while we hold the pipe open, Postgres stays.
  if (await exists(pipe) && await answers(access)) {
    return await use(place, access, users, null);
  }
  users.close();
  return null;
}

async function start(
  place: Place,
  ephemeral: boolean,
  report: (text: string) => void,
): Promise<Embedded> {
  const bin = await findBinaries(place.runner);
  const access = await readAccess(place.dataDir) ?? {
    port: 0,
    password: crypto.getRandomValues(new Uint8Array(24)).toHex(),
  };
  await writeAccess(place.dataDir, access);
  await createCluster(place, bin, access.password, ephemeral, report);

  report("Starting Postgres");
  for (let attempt = 1;; attempt++) {
    access.port = findFreePort(access.port);
    await writeAccess(place.dataDir, access);
    const embedded = await launch(place, bin, access, ephemeral);
    if (embedded) return embedded;
    const log = await readLog(place.home);
    // Somebody took the port, or processes of a killed Postgres are about to end.
    if (attempt === START_ATTEMPTS || !IS_PASSING.test(log)) {
      throw new Error(`Cannot start Postgres in "${place.home}": ${log}`);
    }
    await delay(RETRY_MS);
  }
}

/** `null` when it ended at once. */
async function launch(
  place: Place,
  bin: string,
  access: Access,
  ephemeral: boolean,
): Promise<Embedded | null> {
  const { home, runner } = place;
  const pipe = join(home, "users");
  // Pids as well: those of a Postgres that was killed with its watchdog would make its
  // lock file, which still says ready, look like that of the one we start.
  for (const name of STATE_FILES) {
    await Deno.remove(join(home, name)).catch(ignoreMissing);
  }
  await run("mkfifo", ["-m", "600", pipe], runner);
  const users = (await openUsers(pipe))!;
  const watchdog = new Deno.Command("/bin/sh", {
    args: ["-c", WATCHDOG, "weir-postgres", home, join(bin, "postgres")]
      .concat("-D", join(home, "data"), "-p", String(access.port))
      .concat(settings(ephemeral)),
    ...runner,
    cwd: "/",
    clearEnv: true,
    env: CLEAN_ENV,
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  // Later users may need Postgres longer than we run.
  watchdog.unref();
  if (!await becomesReady(home, watchdog.status)) {
    users.close();
    await statusOf(watchdog);
    return null;
  }
  await createDatabase(access);
  await Deno.writeTextFile(join(home, "ready"), "");
  return await use(place, access, users, watchdog);
}

async function use(
  place: Place,
  access: Access,
  users: Deno.FsFile,
  watchdog: Deno.ChildProcess | null,
): Promise<Embedded> {
  const usersLock = join(place.dataDir, "embedded.users");
  const share = await lockFile(usersLock, false);
  let stopping: Promise<void> | undefined;

  async function leave(): Promise<void> {
    const lock = await lockFile(join(place.dataDir, "embedded.lock"), true);
    try {
      users.close();
      const last = await share.tryLock(true);
      share.close();
      if (!last) return;
      while (
        await belongsTo(
          await readPid(join(place.home, "watchdog.pid")),
          place.home,
        )
      ) await delay(POLL_MS);
      if (watchdog) await statusOf(watchdog);
    } finally {
      lock.close();
    }
  }
  return {
    url: urlOf(access, "weir"),
    started: watchdog !== null,
    stop: () => stopping ??= leave(),
  };
}

/** Waits for what is otherwise not waited for: alone, it would not keep us running. */
async function statusOf(process: Deno.ChildProcess): Promise<void> {
  process.ref();
  await process.status;
}

async function findHome(
  dataDir: string,
  runner: Runner,
  report: (text: string) => void,
): Promise<string> {
  const home = join(dataDir, "postgres");
  if (await exists(home)) return await Deno.realPath(home);
  if (await canReach(dataDir, runner)) {
    await Deno.mkdir(home, { mode: 0o700 });
    if (runner) await Deno.chown(home, runner.uid, runner.gid);
    return home;
  }
  await Deno.mkdir(ROOT_HOME, { recursive: true, mode: 0o755 });
  const elsewhere = await Deno.makeTempDir({ dir: ROOT_HOME, prefix: "data-" });
  await Deno.chown(elsewhere, runner!.uid, runner!.gid);
  // The link is how the next command finds it, and how a person does.
  await Deno.symlink(elsewhere, home);
  report(`Keeping data in ${elsewhere}, as only root can enter ${dataDir}`);
  return elsewhere;
}

async function createCluster(
  { home, runner }: Place,
  bin: string,
  password: string,
  ephemeral: boolean,
  report: (text: string) => void,
): Promise<void> {
  const data = join(home, "data");
  if (await exists(data)) {
    const found = (await Deno.readTextFile(join(data, "PG_VERSION"))).trim();
    if (found === MAJOR_VERSION) return;
    throw new Error(
      `Cannot start Postgres ${MAJOR_VERSION} in "${home}": its data is of Postgres ${found}`,
    );
  }
  report("Creating a Postgres database");
  // An interrupted one is begun afresh: it gets its name when it is whole.
  const partial = join(home, "data.partial");
  await Deno.remove(partial, { recursive: true }).catch(ignoreMissing);
  const passwordFile = join(home, "password");
  await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
  if (runner) await Deno.chown(passwordFile, runner.uid, runner.gid);
  await run(
    join(bin, "initdb"),
    ["-D", partial, "-U", "weir", "-A", "scram-sha-256", "-E", "UTF8"]
      .concat("--pwfile", passwordFile, "--locale=C.UTF-8")
      .concat(ephemeral ? ["--no-sync"] : []),
    runner,
  );
  await Deno.remove(passwordFile);
  await Deno.rename(partial, data);
}

async function createDatabase(access: Access): Promise<void> {
  const sql = connect(urlOf(access, "postgres"), {
    max: 1,
    statementTimeoutMs: 0,
  });
  try {
    const [row] = await sql<[{ exists: boolean }]>`
      select exists (select from pg_database where datname = 'weir')`;
    if (!row.exists) await sql`create database weir`;
  } finally {
    await sql.end();
  }
}

async function answers(access: Access): Promise<boolean> {
  const sql = connect(urlOf(access, "weir"), { max: 1, statementTimeoutMs: 0 });
  try {
    await sql`select 1`;
    return true;
  } catch {
    return false;
  } finally {
    await sql.end();
  }
}

async function becomesReady(
  home: string,
  ended: Promise<unknown>,
): Promise<boolean> {
  let isOver = false;
  ended.then(() => isOver = true);
  const deadline = performance.now() + READY_MS_MAX;
  while (!isOver && performance.now() < deadline) {
    const lines = await readLines(join(home, "data", "postmaster.pid"));
    // A file that was left behind by a crash is rewritten before this line appears.
    if (lines[7]?.trim() === "ready" && await isOurs(home, lines[0])) {
      return true;
    }
    await delay(POLL_MS);
  }
  return false;
}

async function isOurs(home: string, pid?: string): Promise<boolean> {
  const [current] = await readLines(join(home, "postgres.pid"));
  return pid !== undefined && pid === current;
}

function settings(ephemeral: boolean): string[] {
  const all = ephemeral ? { ...SETTINGS, ...EPHEMERAL_SETTINGS } : SETTINGS;
  return Object.entries(all).flatMap(([name, value]) => [
    "-c",
    `${name}=${value}`,
  ]);
}

function urlOf({ port, password }: Access, database: string): string {
  return `postgres://weir:${password}@127.0.0.1:${port}/${database}`;
}

async function readAccess(dataDir: string): Promise<Access | null> {
  const [text] = await readLines(join(dataDir, "embedded.json"));
  return text ? JSON.parse(text) : null;
}

async function writeAccess(dataDir: string, access: Access): Promise<void> {
  const path = join(dataDir, "embedded.json");
  await Deno.writeTextFile(path + ".new", JSON.stringify(access), {
    mode: 0o600,
  });
  await Deno.rename(path + ".new", path);
}

/** The same one as long as it is free, so that tools that remember it keep working. */
function findFreePort(preferred: number): number {
  for (const port of [preferred, 0]) {
    try {
      const listener = Deno.listen({ hostname: "127.0.0.1", port });
      listener.close();
      return listener.addr.port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  throw new Error("Cannot start Postgres: no port is free");
}

/** Also for reading, as an open for writing alone would wait for a reader. */
async function openUsers(pipe: string): Promise<Deno.FsFile | null> {
  try {
    return await Deno.open(pipe, { read: true, write: true });
  } catch (error) {
    ignoreMissing(error);
    return null;
  }
}

async function lockFile(
  path: string,
  exclusive: boolean,
): Promise<Deno.FsFile> {
  const file = await Deno.open(path, {
    read: true,
    write: true,
    create: true,
    mode: 0o600,
  });
  await file.lock(exclusive);
  return file;
}

async function removeStalePid(
  home: string,
  pid: number | null,
): Promise<void> {
  // Postgres sees through a pid that nobody has, but not through one that went to
  // another process, as it does after a restart of the machine.
  if (pid !== null && await commandOf(pid) !== null) {
    await Deno.remove(join(home, "data", "postmaster.pid"));
  }
}

async function belongsTo(pid: number | null, home: string): Promise<boolean> {
  return pid !== null && (await commandOf(pid))?.includes(home) === true;
}

/** `null` where there is no such process. */
async function commandOf(pid: number): Promise<string | null> {
  if (Deno.build.os === "linux") {
    // Any failure is a process that ended while we looked; empty is one that did
    // and waits for its parent.
    return await Deno.readTextFile(`/proc/${pid}/cmdline`)
      .catch(() => null) || null;
  }
  const { stdout } = await new Deno.Command("ps", {
    args: ["-ww", "-o", "command=", "-p", String(pid)],
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).trim() || null;
}

async function readPid(path: string): Promise<number | null> {
  const [line] = await readLines(path);
  return line ? Number(line) : null;
}

/** Nothing where there is no such file. */
async function readLines(path: string): Promise<string[]> {
  try {
    return (await Deno.readTextFile(path)).split("\n");
  } catch (error) {
    ignoreMissing(error);
    return [];
  }
}

/** The last lines, which say why it ended. */
async function readLog(home: string): Promise<string> {
  const lines = await readLines(join(home, "postgres.log"));
  return lines.slice(-6).join(" ").trim() || "it left no message";
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
