/**
 * PgBouncer for tests: Debian's, in transaction mode, before the test server. Two
 * connections to Postgres serve all clients in turns, so that whatever one transaction
 * left behind in its session would meet another tenant at once.
 *
 * @module
 */

import { strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { connect } from "../db/client.ts";
import { WATCHDOG } from "./debian.ts";
import { admin, freePort, until, urlOf, type World } from "./harness.ts";

/** Connections to Postgres that all clients of a database share. */
const SERVER_CONNECTIONS = 2;

/** Whom Debian's own service runs as matters to no test: PgBouncer refuses root alone. */
const NOBODY = 65_534;

/** A running PgBouncer. */
export interface PgBouncer extends AsyncDisposable {
  /** The login that it knows: a member of `weir_web` and nothing else, as docs/operating.md has it. */
  login: string;
  /**
   * @param database Of the test server.
   * @returns Its URL through PgBouncer, for `DATABASE_URL`.
   */
  url(database: string): string;
  /** Ends it at once, with all that goes through it, and starts it again. */
  restart(): Promise<void>;
}

/**
 * Starts one, and makes a login for it. Disposing of it ends both.
 *
 * @returns The running PgBouncer, which answers.
 */
export async function startPgBouncer(): Promise<PgBouncer> {
  const home = await Deno.makeTempDir({ prefix: "weir-pgbouncer-" });
  const login = `weir_test_${crypto.randomUUID().replaceAll("-", "")}`;
  const password = crypto.randomUUID();
  await admin(
    `create role ${login} login password '${password}' in role weir_web`,
  );
  await admin(`alter role ${login} set statement_timeout = '60s'`);
  const port = freePort();
  const { hostname, port: serverPort } = new URL(urlOf("postgres"));
  await Deno.writeTextFile(
    join(home, "pgbouncer.ini"),
    `[databases]
* = host=${hostname} port=${serverPort || 5432}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = ${join(home, "userlist.txt")}
default_pool_size = ${SERVER_CONNECTIONS}
`,
  );
  await Deno.writeTextFile(
    join(home, "userlist.txt"),
    `"${login}" "${password}"\n`,
  );
  const isRoot = Deno.uid() === 0;
  if (isRoot) await Deno.chmod(home, 0o755);
  let process = launch();

  function launch(): Deno.ChildProcess {
    return new Deno.Command("/bin/sh", {
      args: [
        "-c",
        WATCHDOG,
        "sh",
        Deno.env.get("PGBOUNCER_PATH") ?? "pgbouncer",
      ]
        .concat("-q", join(home, "pgbouncer.ini")),
      uid: isRoot ? NOBODY : undefined,
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  function url(database: string): string {
    return `postgres://${login}:${password}@127.0.0.1:${port}/${database}`;
  }

  async function end(): Promise<void> {
    await process.stdin.close();
    await process.status;
  }

  async function dispose(): Promise<void> {
    await end();
    await Deno.remove(home, { recursive: true });
    await until(
      "its sessions have ended",
      () => admin(`drop role ${login}`).then(() => true, () => false),
    );
  }
  async function answer(): Promise<void> {
    await until("PgBouncer answers", async () => {
      const sql = connect(url("postgres"), {
        max: 1,
        statementTimeoutMs: 0,
        pooled: true,
      });
      const answers = await sql`select 1`.then(() => true, () => false);
      await sql.end({ timeout: 5 });
      return answers;
    });
  }

  async function restart(): Promise<void> {
    await end();
    process = launch();
    await answer();
  }
  try {
    await answer();
    return { login, url, restart, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/**
 * Has the app of a test reach its database through a PgBouncer of its own.
 *
 * @param world Whose `web` it replaces; before its app was asked for anything.
 */
export async function throughPgBouncer(world: World): Promise<void> {
  const pgbouncer = await startPgBouncer();
  world.atEnd.push(() => pgbouncer[Symbol.asyncDispose]());
  const database = new URL(world.database_url).pathname.slice(1);
  const web = connect(pgbouncer.url(database), {
    // Many clients for two connections.
    max: 8,
    statementTimeoutMs: 60_000,
    name: "weir test",
    pooled: true,
  });
  world.atEnd.push(() => web.end({ timeout: 5 }));
  world.web = web;
  const [{ login }] = await web<[{ login: string }]>`
    select session_user as login`;
  strictEqual(login, pgbouncer.login);
}
