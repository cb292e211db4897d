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
 * session holds is tried again on the next beat, and one that fails keeps no other
 * from its turn.
 */
export const recompute: Job = {
  name: "recompute",
  everySeconds: 2,
  async run({ sql, signal }) {
    let workflows = 0;
    const failed: number[] = [];
    let cause: unknown;
    for (const workflowId of await readRecomputes(sql)) {
      if (signal.aborted) break;
      try {
        if (await recomputeWorkflow(sql, workflowId, signal)) workflows += 1;
      } catch (error) {
        // What we cancelled ourselves is still owed, and no failure.
        if (signal.aborted) break;
        failed.push(workflowId);
        cause ??= error;
      }
    }
    if (failed.length > 0) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(
        `Cannot recompute workflow ${failed.join(", ")}: ${reason}`,
        { cause },
      );
    }
    return { workflows };
  },
};
