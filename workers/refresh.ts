/**
 * Keeps the materialized views up to date, and answers those who ask for it.
 *
 * @module
 */

import { refreshAll } from "../db/jobs.ts";
import type { Job } from "./run.ts";

/** Rung by whoever asks for a refresh. */
export const REFRESH_REQUESTED = "refresh_requested";

/**
 * Safe beside itself and pg_cron: a view is refreshed by one session at a time, the
 * others pass on. Reads do not wait for it: they add what changed since.
 */
export const refresh: Job = {
  name: "refresh",
  everySeconds: 15,
  wakeOn: REFRESH_REQUESTED,
  async run({ sql }) {
    return await refreshAll(sql);
  },
};
