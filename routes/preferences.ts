/**
 * `/api/v1/me/preferences`: what whoever asks prefers, wherever they sign in.
 *
 * @module
 */

import { Hono } from "hono";
import { Preferences } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { readJson } from "./_body.ts";
import type { PreferenceStore } from "./_preferences.ts";
import { parsed } from "./_valid.ts";
import type { Deps } from "./app.ts";

/**
 * @param deps Of the program.
 * @param store Where preferences are.
 * @returns The routes below `/api/v1/me`.
 */
export function preferences(
  deps: Deps,
  store: PreferenceStore,
): Hono<AuthEnv> {
  return new Hono<AuthEnv>()
    .get("/preferences", requires(deps, "analytics:read"), async (c) => {
      c.header("cache-control", "private, no-store");
      return c.json(await store.of(c.get("viewer")));
    })
    .put(
      "/preferences",
      requires(deps, "analytics:read"),
      async (c) => {
        const chosen = parsed(Preferences, await readJson(c.req.raw));
        c.header("cache-control", "private, no-store");
        return c.json(await store.change(c.get("viewer"), () => chosen));
      },
    );
}
