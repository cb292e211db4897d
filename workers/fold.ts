/**
 * Folds accepted events into projections and rollups.
 *
 * @module
 */

import { fold as foldRound } from "../db/events.ts";
import type { Job } from "./run.ts";

/** Rung by the web process after it has committed events. */
export const EVENT_ACCEPTED = "event_accepted";

/**
 * Safe beside itself, in this process and in others: each round takes what nobody
 * else is at, and moves state, rollups and queue in one transaction. The beat bounds
 * the harm of a lost ring.
 */
export const fold: Job = {
  name: "fold",
  everySeconds: 1,
  wakeOn: EVENT_ACCEPTED,
  async run({ sql, signal }) {
    let events = 0;
    for (;;) {
      const folded = await foldRound(sql);
      events += folded;
      if (folded === 0 || signal.aborted) return { events };
    }
  },
};
