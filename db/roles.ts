/**
 * As whom the program acts in the database (db/views/80_roles.sql).
 *
 * @module
 */

import type { Sql } from "./client.ts";

/** Serves: calls the functions it was granted and reads no table. Works: moves the numbers. */
export type DatabaseRole = "weir_web" | "weir_work";

/**
 * Finds out whether connections may take a role on.
 *
 * @param sql Client with the login that they will have, past any pooler.
 * @param role Which one.
 * @returns The role; `undefined` where there is none, or the login may not.
 */
export async function pickRole(
  sql: Sql,
  role: DatabaseRole,
): Promise<DatabaseRole | undefined> {
  const [row] = await sql<[{ may: boolean }]>`
    select weir.may_take_on(${role}) as may`;
  return row.may ? role : undefined;
}

/**
 * Whether whoever is at the other end of a client could read tenants' data past the
 * functions: not as it should be for one that answers strangers.
 *
 * @param sql The client that will serve.
 */
export async function readsTables(sql: Sql): Promise<boolean> {
  const [row] = await sql<[{ reads: boolean }]>`
    select coalesce(bool_or(has_table_privilege(c.oid, 'select')), false) as reads
    from pg_class c
    where c.relnamespace = (select oid from pg_namespace where nspname = 'weir')
      and c.relkind in ('r', 'p', 'm', 'v')`;
  return row.reads;
}
