/**
 * What people prefer.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Preferences } from "./schema.ts";

/** What counts until somebody chooses. */
export const DEFAULTS: Preferences = {
  time_zone: null,
  theme: "system",
  default_range: "30d",
};

/**
 * Reads what somebody prefers.
 *
 * @param sql Client.
 * @param accountId Whose user.
 * @param userId `null`: whoever acts for the account without an id of their own.
 * @returns What they chose; the defaults where they did not.
 */
export async function readPreferences(
  sql: Sql,
  accountId: number,
  userId: string | null,
): Promise<Preferences> {
  const [row] = await sql<[{ chosen: Preferences | null }]>`
    select weir.read_preferences(${accountId}, ${userId ?? ""}) as chosen`;
  return row.chosen ?? DEFAULTS;
}

/**
 * Replaces what somebody prefers.
 *
 * @param sql Client.
 * @param accountId Whose user.
 * @param userId As in {@linkcode readPreferences}.
 * @param chosen All of it.
 * @returns What is kept now, and its version: greater than that of any choice before.
 */
export async function writePreferences(
  sql: Sql,
  accountId: number,
  userId: string | null,
  chosen: Preferences,
): Promise<{ chosen: Preferences; version: number }> {
  const [row] = await sql<[{ chosen: Preferences & { version: number } }]>`
    select weir.write_preferences(${accountId}, ${userId ?? ""}, ${
    sql.json(chosen)
  }) as chosen`;
  const { version, ...kept } = row.chosen;
  return { chosen: kept, version };
}
