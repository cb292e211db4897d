/**
 * What tests are handed: a migrated database of their own, an account, the app, and
 * where a process must be killed, a real server. Needs what `deno task test` starts.
 *
 * @module
 */

import {
  type Account,
  createAccount,
  createKey,
  findAccount,
} from "../db/access.ts";
import { connect, type Sql } from "../db/client.ts";
import { SCOPES } from "../db/schema.ts";
import { createOnCluster, dropOnCluster, isOnOnePostgres } from "./cluster.ts";

/** Migrated once by tests/run.ts, before any test; copied by each. */
export const TEMPLATE = "weir_template";

/** Where tests begin, so that they can write down the days they expect. */
export const NOW = new Date("2026-06-15T12:00:00Z");

/** A statement that takes longer in a test hangs. */
const STATEMENT_TIMEOUT_MS = 60_000;

/**
 * The longest test takes a minute where nothing else runs, ms. One that hangs must not keep the others: Postgres
 * drops no database while a backend waits for a client that neither reads nor writes.
 */
const TEST_MS_MAX = 10 * 60_000;

/** What a test is handed. */
export interface World {
  /** As the owner of everything. */
  sql: Sql;
  /** As the app is connected: it reads no table. */
  web: Sql;
  /** As the worker is. */
  work: Sql;
  /** The same; each statement of it sees one snapshot. */
  snapshots: Sql;
  /** The same database, for clients of the test's own. */
  database_url: string;
  /** An account in UTC. */
  account: Account;
  /** An API key of the account with every scope. */
  key: string;
  /** What the app takes for now; the test may set it. Begins at {@linkcode NOW}. */
  clock: { now: Date };
  /**
   * The app, without a port between. Its log is kept quiet below errors, and its
   * answers are held against the document at `/openapi.json`.
   */
  app: {
    request(path: string, init?: RequestInit): Promise<Response>;
  };
  /** Done before the database goes, the last first. */
  atEnd: (() => PromiseLike<void>)[];
  /** How often the app has said that it accepted events. */
  rings: { count: number };
}

/**
 * Registers a test that has a copy of the migrated database to itself, dropped
 * afterwards; safe under `--parallel`.
 *
 * @param name Symbol and criterion, e.g. `"fold() counts a duplicate once"`.
 * @param test The test.
 */
export function dbTest(
  name: string,
  test: (world: World, t: Deno.TestContext) => Promise<void>,
): void {
  Deno.test(name, (t) => {
    const file = t.origin.replace(new URL("../", import.meta.url).href, "");
    return withDatabase(
      (world) => test(world, t),
      isOnOnePostgres(`${file} ${name}`),
    );
  });
}

/**
 * Runs something on a migrated database of its own; for tests that register themselves. It is a copy on the test
 * server, or made anew on the cluster that `TEST_CITUS_URL` names.
 *
 * @param fn What to run.
 * @param isOnOne Whether it is on one Postgres in any case.
 */
export async function withDatabase(
  fn: (world: World) => Promise<void>,
  isOnOne = false,
): Promise<void> {
  const database = `weir_${crypto.randomUUID().replaceAll("-", "")}`;
  const cluster = isOnOne ? undefined : clusterUrl();
  if (cluster) await createOnCluster(cluster, database);
  else {
    await admin(
      `create database ${database} template ${TEMPLATE} strategy wal_log`,
      oneUrl(),
    );
  }
  const database_url = at(cluster ?? oneUrl(), database);
  const options = {
    max: 4,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    name: "weir test",
  };
  const sql = connect(database_url, options);
  const worker = { ...options, role: "weir_work" } as const;
  const work = connect(database_url, worker);
  const snapshots = connect(database_url, { ...worker, snapshots: true });
  const web = connect(database_url, { ...options, role: "weir_web" });
  try {
    const world = await createWorld({
      sql,
      web,
      work,
      snapshots,
      database_url,
    });
    try {
      await inTime(fn(world), database_url);
    } finally {
      for (const end of world.atEnd.reverse()) await end();
    }
  } finally {
    await Promise.all(
      [sql, web, work, snapshots].map((client) => client.end({ timeout: 5 })),
    );
    if (cluster) await dropOnCluster(cluster, database);
    else await admin(`drop database ${database} with (force)`, oneUrl());
  }
}

async function inTime(test: Promise<void>, databaseUrl: string): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(async () => {
    // The test's own connections may be what hangs.
    const sql = connect(databaseUrl, {
      max: 1,
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    });
    const running = await sql`
      select state, wait_event, left(query, 200) as query from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`
      .then((rows) => JSON.stringify(rows, null, 2), String);
    late.reject(new Error(`It hangs: ${running}`));
    await sql.end({ timeout: 5 });
  }, TEST_MS_MAX);
  try {
    await Promise.race([test, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function createWorld(
  clients: Pick<World, "sql" | "web" | "work" | "snapshots" | "database_url">,
): Promise<World> {
  const { sql } = clients;
  const { account_uuid } = await createAccount(sql, "Test", "UTC");
  const account = (await findAccount(sql, account_uuid))!;
  const key = await createKey(sql, account.account_id, { scopes: [...SCOPES] });
  const clock = { now: NOW };
  const rings = { count: 0 };
  let app: Promise<World["app"]> | undefined;

  // Most tests of the database never ask for it, and it brings every route along.
  async function makeApp(): Promise<World["app"]> {
    const { appWith } = await import("./app.ts");
    return appWith(world, {
      eventsAccepted: () => rings.count++,
    }) as World["app"];
  }
  const world: World = {
    ...clients,
    account,
    key,
    clock,
    rings,
    atEnd: [],
    app: {
      async request(path, init) {
        return await (await (app ??= makeApp())).request(path, init);
      },
    },
  };
  return world;
}

/** A real server in a process of its own, to be killed. */
export interface Server extends AsyncDisposable {
  /** Without a slash at its end. */
  url: string;
  process: Deno.ChildProcess;
  /** What it has written to stderr so far. */
  log(): string;
}

/** A server with its islands to build and its database to make is up well before, ms. */
const SERVER_READY_MS_MAX = 60_000;

/**
 * Starts `main.ts` and waits until it answers. Disposing of it kills it.
 *
 * @param env Settings, e.g. `{ DATABASE_URL }`; any free port is taken.
 * @param command What to run.
 * @returns The running server.
 * @throws {Error} With its log, when it ends or does not answer.
 */
export async function startServer(
  env: Record<string, string>,
  command: "start" | "serve" | "serve in parallel" = "start",
): Promise<Server> {
  if (command === "serve in parallel") {
    env = { PORT: String(freePort()), ...env };
  }
  const process = new Deno.Command(Deno.execPath(), {
    args: command === "serve in parallel"
      ? ["serve", "-A", "--no-check", "--parallel", "--host=127.0.0.1"]
        .concat(`--port=${env.PORT}`, "serve.ts")
      : ["run", "-A", "--no-check", "main.ts", command],
    cwd: new URL("../", import.meta.url),
    env: {
      PORT: "0",
      LOG_LEVEL: "info",
      RATE_LIMIT_PER_MINUTE: "100000",
      ...env,
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const listening = Promise.withResolvers<string>();
  let text = "";
  const reading = process.stderr.pipeThrough(new TextDecoderStream())
    .pipeTo(
      new WritableStream({
        write(chunk) {
          text += chunk;
          const url = /"message":"listening","url":"([^"]+)"/.exec(text)?.[1];
          if (url) listening.resolve(url);
        },
      }),
    );
  const timer = setTimeout(
    () => listening.reject(new Error(`Cannot reach the server: ${text}`)),
    SERVER_READY_MS_MAX,
  );
  process.status.then(() =>
    listening.reject(new Error(`Cannot start the server: ${text}`))
  );

  async function dispose(): Promise<void> {
    try {
      process.kill("SIGKILL");
    } catch { /* It has ended already. */ }
    await process.status;
    await reading;
  }
  try {
    return {
      url: await listening.promise,
      process,
      log: () => text,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** A port that nobody listened on just now. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/**
 * Waits for something outside our control, such as another process.
 *
 * @param what Named in the error.
 * @param check Asked until it says yes.
 * @param seconds How long at most.
 * @throws {Error} When it has not come true by then.
 */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  seconds = 30,
): Promise<void> {
  const deadline = performance.now() + seconds * 1_000;
  while (!await check()) {
    if (performance.now() > deadline) {
      throw new Error(`Cannot go on: after ${seconds} s, still not: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Runs one statement outside any test's database.
 *
 * @param statement SQL.
 * @param server URL of a superuser; where tests are, if it is left out.
 */
export async function admin(
  statement: string,
  server = urlOf("postgres"),
): Promise<void> {
  const sql = connect(at(server, "postgres"), {
    max: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

/**
 * @param database Name of a database of the test server, which may be the coordinator of a cluster.
 * @returns Its URL.
 * @throws {Error} Outside of `deno task test`.
 */
export function urlOf(database: string): string {
  return at(clusterUrl() ?? oneUrl(), database);
}

function clusterUrl(): string | undefined {
  return Deno.env.get("TEST_CITUS_URL") || undefined;
}

/** The one Postgres that has the template. */
function oneUrl(): string {
  const server = Deno.env.get("TEST_DATABASE_URL");
  if (!server) {
    throw new Error("Cannot test without a database: run `deno task test`");
  }
  return server;
}

function at(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}
