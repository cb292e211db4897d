/**
 * `/healthz` and `/readyz`: whether the process lives, and whether it can work.
 *
 * @module
 */

import { Hono } from "hono";
import { readQueueAge } from "../db/events.ts";
import type { Deps } from "./app.ts";

/** Events that wait longer than this are a fold that does not work, seconds. */
const FOLD_LAG_SECONDS_MAX = 60;

/** @returns The routes of the root; public, they tell nothing of anybody's data. */
export function health({ sql, log }: Pick<Deps, "sql" | "log">): Hono {
  return new Hono()
    .get("/healthz", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      try {
        const fold_lag_seconds = await readQueueAge(sql);
        const ready = fold_lag_seconds <= FOLD_LAG_SECONDS_MAX;
        return c.json({
          status: ready ? "ready" : "behind",
          database: "ok",
          fold_lag_seconds,
        }, ready ? 200 : 503);
      } catch (error) {
        log.warn("not ready", { error });
        return c.json({ status: "down", database: "unreachable" }, 503);
      }
    });
}
