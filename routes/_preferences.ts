/**
 * What people prefer, read through the cache.
 *
 * Which choice of theirs is the newest is known with each grant, so its name is in the
 * name of what is kept: nothing is ever purged, and no process needs to be told. A choice
 * made in another process is seen when the grant is asked for again, after
 * {@linkcode GRANT_MS_MAX} at most; one made here, at once.
 *
 * @module
 */

import type { Grant } from "../db/access.ts";
import {
  DEFAULTS,
  readPreferences,
  writePreferences,
} from "../db/preferences.ts";
import type { Preferences } from "../db/schema.ts";
import type { Deps } from "./app.ts";

/** How long what somebody prefers is kept, ms. */
const KEPT_MS = 24 * 60 * 60_000;

/** Users who have chosen here and are remembered; beyond it all are forgotten. */
const CHOSEN_MAX = 10_000;

/** Whose preferences. */
type Reader = Pick<Grant, "account_id" | "user_id" | "preferences_version">;

/** Reads and writes what people prefer. */
export interface PreferenceStore {
  /** Reads what somebody prefers; what others have just chosen may be missing. */
  of(reader: Reader): Promise<Preferences>;
  /**
   * Changes what somebody prefers.
   *
   * @param reader Who.
   * @param change Makes the new choice of the present one, which is asked of the database.
   * @returns What is kept now.
   */
  change(
    reader: Reader,
    change: (present: Preferences) => Preferences,
  ): Promise<Preferences>;
}

/** @returns One of this process. */
export function createPreferenceStore(
  { sql, cache, now }: Pick<Deps, "sql" | "cache" | "now">,
): PreferenceStore {
  const chosenHere = new Map<string, number>();

  return {
    async of(reader) {
      const { account_id, user_id } = reader;
      const version = Math.max(
        reader.preferences_version ?? 0,
        chosenHere.get(userOf(reader)) ?? 0,
      );
      if (version === 0) return DEFAULTS;
      const entry = await cache.read(
        `${userOf(reader)}:${version}`,
        version,
        async () => ({
          answer: await readPreferences(sql, account_id, user_id),
          freshUntil: now().getTime() + KEPT_MS,
        }),
      );
      return JSON.parse(new TextDecoder().decode(entry!.body));
    },
    async change(reader, change) {
      const { account_id, user_id } = reader;
      const present = await readPreferences(sql, account_id, user_id);
      const { chosen, version } = await writePreferences(
        sql,
        account_id,
        user_id,
        change(present),
      );
      if (chosenHere.size >= CHOSEN_MAX) chosenHere.clear();
      chosenHere.set(userOf(reader), version);
      return chosen;
    },
  };
}

/** Ids of users are their account's own. */
function userOf({ account_id, user_id }: Reader): string {
  return `analytics:user:${user_id ?? ""}:prefs:${account_id}`;
}
