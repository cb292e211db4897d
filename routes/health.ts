/**
 * `/healthz` and `/readyz`: whether the process lives, and whether it can work.
 *
 * @module
 */

import { Hono } from "hono";
import { readPipeline } from "../db/jobs.ts";
import type { JobState, Pipeline } from "../db/schema.ts";
import { RETRY_AFTER_SECONDS } from "./_errors.ts";
import type { Deps } from "./app.ts";

/** Events that wait longer than this are a fold that cannot keep up, seconds. */
const FOLD_LAG_SECONDS_MAX = 60;

/** A job is late once it has missed this many of its beats … */
const BEATS_MISSED_MAX = 3;

/** … and this much on top, so that a fast beat is no reason to worry, seconds. */
const LATE_SECONDS_MIN = 120;

/** @returns The routes of the root; public, they tell nothing of anybody's data. */
export function health(
  { sql, reader, log }: Pick<Deps, "sql" | "reader" | "log">,
): Hono {
  return new Hono()
    .get("/healthz", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      try {
        const { drift, ...pipeline } = await readPipeline(sql);
        // Behind is not down: events are still accepted, and as_of tells readers.
        const ready = pipeline.fold_lag_seconds <= FOLD_LAG_SECONDS_MAX;
        return c.json({
          status: ready ? "ready" : "behind",
          database: "ok",
          alerts: [
            ...alertsOf({ drift, ...pipeline }),
            ...(reader.state()?.isUsed === false ? ["replica_unused"] : []),
          ],
          ...pipeline,
        });
      } catch (error) {
        log.warn("not ready", { error });
        c.header("retry-after", String(RETRY_AFTER_SECONDS));
        return c.json({ status: "down", database: "unreachable" }, 503);
      }
    });
}

/** What somebody should look at, although requests are answered rightly or nearly so. */
function alertsOf({ drift, jobs, views }: Pipeline): string[] {
  return [
    ...jobs.filter(isLate).map((job) => `job_late:${job.name}`),
    ...jobs.filter((job) => job.last_error !== null)
      .map((job) => `job_failed:${job.name}`),
    ...views.filter((view) => view.last_error !== null)
      .map((view) => `refresh_failed:${view.name}`),
    ...(drift > 0 ? [`audit_drift:${drift}`] : []),
  ];
}

function isLate({ lag_seconds, every_seconds }: JobState): boolean {
  return lag_seconds !== null &&
    lag_seconds > BEATS_MISSED_MAX * every_seconds + LATE_SECONDS_MIN;
}
