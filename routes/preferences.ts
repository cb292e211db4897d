/**
 * `/api/v1/me/preferences`: what whoever asks prefers, wherever they sign in.
 *
 * Read by primary key each time and kept nowhere: it is asked for once a visit, and
 * what was just chosen has to be seen by every process.
 *
 * @module
 */

import { Hono } from "hono";
import { readPreferences, writePreferences } from "../db/preferences.ts";
import { Preferences } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { readJson } from "./_body.ts";
import { parsed } from "./_valid.ts";
import type { Deps } from "./app.ts";

/** @returns The routes below `/api/v1/me`. */
export function preferences(deps: Deps): Hono<AuthEnv> {
  const { sql } = deps;
  return new Hono<AuthEnv>()
    .get("/preferences", requires(deps, "analytics:read"), async (c) => {
      const { account_id, user_id } = c.get("viewer");
      c.header("cache-control", "private, no-store");
      return c.json(await readPreferences(sql, account_id, user_id));
    })
    .put(
      "/preferences",
      requires(deps, "analytics:read"),
      async (c) => {
        const { account_id, user_id } = c.get("viewer");
        const chosen = parsed(Preferences, await readJson(c.req.raw));
        c.header("cache-control", "private, no-store");
        return c.json(await writePreferences(sql, account_id, user_id, chosen));
      },
    );
}
