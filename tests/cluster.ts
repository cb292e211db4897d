/**
 * A test's database where `TEST_CITUS_URL` names a Citus cluster: made on every node, spread by `db/citus.sql`, and
 * dropped from all of them. Citus keeps what it knows in each database, and has no template but `template1`
 * (`EnsureSupportedCreateDatabaseCommand()` of its `database.c`), so each is made anew.
 *
 * @module
 */

import { connect, type Sql } from "../db/client.ts";
import { migrate } from "../db/migrate.ts";

/** `db/citus.sql`. */
export const SCRIPT = await Deno.readTextFile(
  new URL("../db/citus.sql", import.meta.url),
);

/**
 * Tests of what is one Postgres' own, by file and name, and why: they have a database on one also where the others are
 * on a cluster. Beside them, on engines that they start themselves: `tests/cron` (Debian's Postgres 15 with pg_cron, its
 * replica, its dump), `tests/faults/embedded_test.ts`, and the tests of `tests/faults` that kill or stop Postgres.
 */
const ON_ONE_POSTGRES: [test: RegExp, why: string][] = [
  [/^tests\/db\/citus_test\.ts/, "stands in for Citus, or is without it"],
  [/^tests\/db\/plans_test\.ts/, "plans and pages of one planner"],
  [/^tests\/scale\/accounts_test\.ts/, "pages that one Postgres touches"],
  [/loses nothing that comes into a month it drops$/, "a trigger on a month"],
];

/** Partitions and their indexes are as many tables for each shard; nothing here is big enough for the usual 32. */
const SHARDS = 4;

/** Making a database is a few thousand tables on a cluster. */
const STATEMENT_TIMEOUT_MS = 5 * 60_000;

/**
 * @param test A test's file and its name, with a space between.
 * @returns Whether its database is on one Postgres, whatever the others have.
 */
export function isOnOnePostgres(test: string): boolean {
  return ON_ONE_POSTGRES.some(([pattern]) => pattern.test(test));
}

/**
 * Makes a database on a cluster, migrated and spread.
 *
 * @param cluster URL of a superuser at a database of the coordinator that has the extension and knows the nodes. The
 * same login reaches each of them under its name there.
 * @param database Its name.
 * @throws {Error} When a node refuses; nothing is left behind then.
 */
export async function createOnCluster(
  cluster: string,
  database: string,
): Promise<void> {
  const nodes = await nodesOf(cluster);
  const [coordinator, ...workers] = nodes;
  // One that was left behind by a run that was killed, say.
  await dropOnCluster(cluster, database);
  try {
    for (const { url } of nodes) {
      await run(url, (sql) => sql.unsafe(`create database ${database}`));
    }
    await run(
      cluster,
      (sql) =>
        sql.unsafe(
          `alter database ${database} set citus.shard_count = ${SHARDS}`,
        ),
    );
    for (const { url } of nodes) {
      await run(at(url, database), (sql) => sql`create extension citus`);
    }
    await run(at(cluster, database), async (sql) => {
      const { nodename, nodeport } = coordinator!;
      await sql`select citus_set_coordinator_host(${nodename}, ${nodeport}::int)`;
      for (const { nodename, nodeport } of workers) {
        await sql`select citus_add_node(${nodename}, ${nodeport}::int)`;
      }
      await migrate(sql);
      await sql.begin((tx) => tx.unsafe(SCRIPT));
    });
  } catch (error) {
    await dropOnCluster(cluster, database);
    throw error;
  }
}

/**
 * Drops a database from every node of a cluster.
 *
 * @param cluster As for {@linkcode createOnCluster}.
 * @param database Its name.
 */
export async function dropOnCluster(
  cluster: string,
  database: string,
): Promise<void> {
  for (const { url } of await nodesOf(cluster)) {
    await run(
      url,
      (sql) => sql.unsafe(`drop database if exists ${database} with (force)`),
    );
  }
}

/** A server of a cluster. */
export interface Node {
  /** Of its database `postgres`, from here. */
  url: string;
  /** What the others know it by. */
  nodename: string;
  nodeport: number;
}

/**
 * @param cluster As for {@linkcode createOnCluster}.
 * @returns Its nodes, the coordinator first.
 */
export async function nodesOf(cluster: string): Promise<Node[]> {
  const rows = await run(
    cluster,
    (sql) =>
      sql<{ nodename: string; nodeport: number; groupid: number }[]>`
      select nodename, nodeport, groupid from pg_dist_node where noderole = 'primary'`,
  );
  const { hostname, port } = new URL(cluster);
  const coordinator = rows.find(({ groupid }) => groupid === 0) ??
    { nodename: hostname, nodeport: Number(port || 5432) };
  const workers = rows.filter(({ groupid }) => groupid !== 0);
  return [
    { ...coordinator, url: at(cluster, "postgres") },
    ...workers.map((worker) => {
      const url = new URL(at(cluster, "postgres"));
      url.hostname = worker.nodename;
      url.port = String(worker.nodeport);
      return { ...worker, url: url.href };
    }),
  ];
}

function at(url: string, database: string): string {
  const it = new URL(url);
  it.pathname = `/${database}`;
  return it.href;
}

async function run<T>(
  url: string,
  fn: (sql: Sql) => PromiseLike<T>,
): Promise<T> {
  const sql = connect(url, {
    max: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
  });
  try {
    return await fn(sql);
  } finally {
    await sql.end();
  }
}
