/**
 * Brings a database up to date with `db/migrations` and `db/views`.
 *
 * @module
 */

import type postgres from "postgres";
import type { Sql } from "./client.ts";

/** Any number: all that matters is that only migrate() uses it. */
const LOCK_ID = 7_203_115;

/** How often a migrator asks whether another one has finished, ms. */
const LOCK_POLL_MS = 100;

/** Longest wait for another migrator: the longest migration we would run unattended, ms. */
const LOCK_WAIT_MS_MAX = 10 * 60_000;

/** Longest wait for a table: everybody else queues behind a migration that waits. */
const TABLE_LOCK_TIMEOUT = "10s";

/** One file of SQL; `name` is its path below `db`. */
interface SqlFile {
  name: string;
  text: string;
  sha256: string;
}

/**
 * Runs, in one transaction and one process at a time: each new file of
 * `migrations`, once, in order; then, if any migration ran or any file of `views`
 * is new, changed or gone, all of `views`, in order. Either all of it happens or
 * nothing. What ran is in `weir.applied`.
 *
 * @param sql Client of a role that owns the schema.
 * @param onProgress Told the name of each file before it runs.
 * @param folder Where `migrations/` and `views/` are, ending in a slash.
 * @returns Names of the files that ran, in order; empty when all was up to date.
 * @throws {Error} When a migration that already ran was edited or is missing, when
 * a new one sorts before one that ran, when a file fails, or when another migrator
 * does not finish.
 */
export async function migrate(
  sql: Sql,
  onProgress: (text: string) => void = () => {},
  folder: URL = new URL("./", import.meta.url),
): Promise<string[]> {
  const migrations = await readFolder(folder, "migrations");
  const views = await readFolder(folder, "views");
  const deadline = performance.now() + LOCK_WAIT_MS_MAX;

  // A migrator that *waits* for the lock holds a snapshot for as long, and two of
  // them deadlock with statements that wait for all snapshots: so ask, and come back.
  while (performance.now() < deadline) {
    const ran = await sql.begin(async (tx) => {
      const [lock] = await tx<[{ ok: boolean }]>`
        select pg_try_advisory_xact_lock(${LOCK_ID}) as ok`;
      return lock.ok ? await apply(tx, migrations, views, onProgress) : null;
    });
    if (ran) return ran;
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  throw new Error(
    `Cannot migrate: another migration has been running for ${
      LOCK_WAIT_MS_MAX / 60_000
    } minutes`,
  );
}

/**
 * Tells what a database lacks, for programs that must not run without it.
 *
 * Edited views are not reported: during a rolling deployment the old program
 * rightly runs beside newer ones.
 *
 * @param sql Any client.
 * @param folder Where `migrations/` is, ending in a slash.
 * @returns Names of the migrations that have not run, in order.
 */
export async function pendingMigrations(
  sql: Sql,
  folder: URL = new URL("./", import.meta.url),
): Promise<string[]> {
  const migrations = await readFolder(folder, "migrations");
  const [found] = await sql<[{ exists: boolean }]>`
    select to_regclass('weir.applied') is not null as exists`;
  const applied = found.exists ? await readApplied(sql) : new Map();
  return migrations.map((file) => file.name)
    .filter((name) => !applied.has(name));
}

async function apply(
  tx: postgres.TransactionSql,
  migrations: SqlFile[],
  views: SqlFile[],
  onProgress: (text: string) => void,
): Promise<string[]> {
  await tx.unsafe(`
    set local statement_timeout = 0;
    set local lock_timeout = '${TABLE_LOCK_TIMEOUT}';
    create schema if not exists weir;
    set local search_path = weir, public;
    create table if not exists weir.applied (
      name text primary key,
      sha256 text not null,
      at timestamptz not null default now()
    );
    comment on table weir.applied is
      'Files of db/migrations and db/views that ran here; written by db/migrate.ts';
  `);
  const applied = await readApplied(tx);
  refuseRewrittenHistory(migrations, applied);

  const pending = migrations.filter((file) => !applied.has(file.name));
  const names = new Set(views.map((file) => file.name));
  const gone = [...applied.keys()]
    .filter((name) => name.startsWith("views/") && !names.has(name));
  const stale = pending.length > 0 || gone.length > 0 ||
    views.some((file) => applied.get(file.name) !== file.sha256);
  const todo = stale ? [...pending, ...views] : [];

  for (const file of todo) {
    onProgress(file.name);
    await runFile(tx, file);
  }
  if (gone.length > 0) {
    await tx`delete from weir.applied where name in ${tx(gone)}`;
  }
  return todo.map((file) => file.name);
}

async function runFile(
  tx: postgres.TransactionSql,
  file: SqlFile,
): Promise<void> {
  try {
    await tx.unsafe(file.text);
  } catch (error) {
    const { message, position } = error as postgres.PostgresError;
    // Postgres counts characters from 1, people count lines.
    const line = position
      ? ` line ${file.text.slice(0, Number(position) - 1).split("\n").length}`
      : "";
    throw new Error(`Cannot migrate: "${file.name}"${line}: ${message}`, {
      cause: error,
    });
  }
  // A file may have changed the path for itself; the next one starts afresh.
  await tx`set local search_path = weir, public`;
  await tx`
    insert into weir.applied (name, sha256) values (${file.name}, ${file.sha256})
    on conflict (name) do update set sha256 = excluded.sha256, at = now()`;
}

function refuseRewrittenHistory(
  migrations: SqlFile[],
  applied: Map<string, string>,
): void {
  const names = new Set(migrations.map((file) => file.name));
  const ran = [...applied.keys()].filter((name) =>
    name.startsWith("migrations/")
  );
  const missing = ran.find((name) => !names.has(name));
  if (missing) {
    throw new Error(
      `Cannot migrate: "${missing}" ran on this database and is missing here, use the program that brought it or a newer one`,
    );
  }
  const last = ran.sort().at(-1) ?? "";
  for (const file of migrations) {
    const sha256 = applied.get(file.name);
    if (sha256 !== undefined && sha256 !== file.sha256) {
      throw new Error(
        `Cannot migrate: "${file.name}" was edited after it ran, add a new file instead`,
      );
    }
    if (sha256 === undefined && file.name < last) {
      throw new Error(
        `Cannot migrate: "${file.name}" sorts before "${last}", which already ran, give it a higher number`,
      );
    }
  }
}

async function readApplied(
  sql: Sql | postgres.TransactionSql,
): Promise<Map<string, string>> {
  const rows = await sql<{ name: string; sha256: string }[]>`
    select name, sha256 from weir.applied`;
  return new Map(rows.map((row) => [row.name, row.sha256]));
}

async function readFolder(
  folder: URL,
  kind: "migrations" | "views",
): Promise<SqlFile[]> {
  const base = new URL(`${kind}/`, folder);
  const entries = await Array.fromAsync(Deno.readDir(base));
  const names = entries.map((entry) => entry.name)
    .filter((name) => name.endsWith(".sql")).sort();
  return await Promise.all(names.map(async (name) => {
    // A checkout with CRLF is the same migration.
    const text = (await Deno.readTextFile(new URL(name, base)))
      .replaceAll("\r\n", "\n");
    return { name: `${kind}/${name}`, text, sha256: await sha256(text) };
  }));
}

async function sha256(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
