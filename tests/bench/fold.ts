/**
 * What folding costs, and that history does not matter.
 *
 * @module
 */

import { fold } from "../../db/events.ts";
import { makeHistory, recordExecutions } from "./history.ts";
import type { Bench } from "./run.ts";

const SIZES = [1_000, 10_000, 100_000];

/** Rounds of each size; the median counts. */
const ROUNDS = 5;

const PROMISES: Record<number, string> = {
  1_000: "<= 100 ms",
  100_000: "<= 3,000 ms",
};

/** Folds new events on a fifth of the past, then on all of it. */
export async function benchFold(bench: Bench): Promise<void> {
  const { sql, workflowId, executions, report } = bench;
  while (await fold(sql, 200_000) > 0);
  const early = Math.round(executions / 5);
  let behind = await makeHistory(sql, workflowId, 0, early, executions);
  const before = await measure(bench, behind);
  behind += await makeHistory(sql, workflowId, early, executions, executions);
  const after = await measure(bench, behind);
  for (const size of SIZES) {
    report({
      name: `fold of ${size} with ${behind} events behind`,
      value: after[size]!,
      unit: "ms",
      floor: { name: `with a fifth behind`, value: before[size]! },
      promise: "<= 1.5 x",
    });
  }
}

/** @returns Median milliseconds by size. */
async function measure(
  { sql, workflowId, executions, report }: Bench,
  behind: number,
): Promise<Record<number, number>> {
  const medians: Record<number, number> = {};
  // What the load of the past left to do would be measured along.
  await sql`vacuum (analyze)`;
  await sql`checkpoint`;
  for (const size of SIZES) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // Executions of a range of numbers of their own, so that all rounds touch as many.
      const from = 10 * executions + nextNumber;
      const count = Math.ceil(size / 5);
      nextNumber += count;
      await recordExecutions(sql, workflowId, from, from + count, executions);
      await sql`vacuum (analyze) weir.event_queue`;
      const started = performance.now();
      await fold(sql, size);
      times.push(performance.now() - started);
      while (await fold(sql, 200_000) > 0);
    }
    medians[size] = times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)]!;
    report({
      name: `fold of ${size} new events, ${behind} behind`,
      value: medians[size]!,
      unit: "ms",
      promise: PROMISES[size],
    });
  }
  return medians;
}

let nextNumber = 0;
