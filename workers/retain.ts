/**
 * Forgets what is promised to be kept no longer, and makes room for what comes.
 *
 * @module
 */

import { extendPartitions, retain as retainRound } from "../db/jobs.ts";
import type { Job } from "./run.ts";

/** Both are daily work; more often they find nothing, and a failed day is caught up. */
const EVERY_SECONDS = 6 * 3_600;

/** Safe beside itself and pg_cron: one session at a time, the others pass on. */
export const retain: Job = {
  name: "retain",
  everySeconds: EVERY_SECONDS,
  async run({ sql }) {
    return await retainRound(sql, new Date());
  },
};

/** Apart from {@linkcode retain}: without next month's partitions nothing is accepted. */
export const partitions: Job = {
  name: "partitions",
  everySeconds: EVERY_SECONDS,
  async run({ sql }) {
    return { partitions: await extendPartitions(sql) };
  },
};
