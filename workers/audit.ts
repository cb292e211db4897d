/**
 * Recomputes numbers from what lies below them, and tells what differs.
 *
 * @module
 */

import type { Sql } from "../db/client.ts";
import { audit as auditRound, type Drift } from "../db/jobs.ts";
import type { Job } from "./run.ts";

/** Executions, days and months an hour, by chance: drift is rare, but does not go away. */
const SAMPLE = 20;

/** Blocks nobody; what it finds is shown by `/readyz` until a whole audit finds it gone. */
export const audit: Job = {
  name: "audit",
  everySeconds: 3_600,
  async run({ snapshots }) {
    if (!snapshots) return { differences: 0 };
    const { differences } = await auditRound(snapshots, SAMPLE, new Date());
    return { differences };
  },
};

/**
 * `deno task audit`: recomputes everything that can be recomputed.
 *
 * @param sql Client whose statements each see one snapshot.
 * @param print Takes a line for every difference, and one with their number.
 * @param now The clock.
 * @returns Whether all numbers are right.
 */
export async function auditCommand(
  sql: Sql,
  print: (line: string) => void,
  now: Date,
): Promise<boolean> {
  const { differences, drift } = await auditRound(sql, null, now);
  for (const difference of drift) print(lineOf(difference));
  print(`${differences} differences`);
  return differences === 0;
}

function lineOf({ relation, is_stored, should_be }: Drift): string {
  return is_stored === null
    ? `${relation} lacks ${JSON.stringify(should_be)}`
    : `${relation} has ${JSON.stringify(is_stored)}`;
}
