/**
 * The three reads of a dashboard, uncached, against a read by primary key.
 *
 * @module
 */

import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery } from "../../db/schema.ts";
import type { Bench } from "./run.ts";

const ROUNDS = 200;

const READS = {
  summary: readAnalytics,
  funnel: readFunnel,
  actions: readActions,
};

/** Reads 30 days of the whole past, in the account's zone and in another one. */
export async function benchReads(bench: Bench): Promise<void> {
  const { sql, account, workflowUuid, report } = bench;
  await sql`vacuum (analyze)`;
  const floor = await p95(() =>
    sql`select * from weir.workflow where workflow_uuid = ${workflowUuid}`
  );
  const now = new Date();
  const day = (ago: number) =>
    new Date(now.getTime() - ago * 86_400_000).toISOString().slice(0, 10);
  for (const tz of [undefined, "Asia/Kolkata"]) {
    const query = AnalyticsQuery.parse({
      start_date: day(29),
      end_date: day(0),
      tz,
    });
    for (const [name, read] of Object.entries(READS)) {
      const rounds = tz === undefined ? ROUNDS : ROUNDS / 20;
      report({
        name: `${name}, 30 days, ${tz ?? "the account's zone"}, p95`,
        value: await p95(
          () => read(sql, account.account_id, workflowUuid, query, now),
          rounds,
        ),
        unit: "ms",
        floor: { name: "a primary-key read", value: floor },
        promise: tz === undefined ? "<= 20 ms" : undefined,
      });
    }
  }
}

async function p95(
  work: () => PromiseLike<unknown>,
  rounds: number = ROUNDS,
): Promise<number> {
  for (let i = 0; i < 5; i++) await work();
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[Math.ceil(rounds * 0.95) - 1]!;
}
