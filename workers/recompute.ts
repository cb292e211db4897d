/**
 * Counts all executions of a workflow anew after a setting of it changed.
 *
 * @module
 */

import {
  readRecomputes,
  recompute as recomputeWorkflow,
} from "../db/events.ts";
import type { Job } from "./run.ts";

/**
 * Each workflow is one transaction, during which its fold waits. One that another
 * session holds is tried again on the next beat.
 */
export const recompute: Job = {
  name: "recompute",
  everySeconds: 2,
  async run({ sql, signal }) {
    let workflows = 0;
    for (const workflowId of await readRecomputes(sql)) {
      if (signal.aborted) break;
      if (await recomputeWorkflow(sql, workflowId)) workflows += 1;
    }
    return { workflows };
  },
};
