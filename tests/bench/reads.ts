/**
 * The three reads of a dashboard, uncached, against a read by primary key; and without
 * the indexes that they use.
 *
 * @module
 */

import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery } from "../../db/schema.ts";
import { fold } from "../../db/events.ts";
import { recordExecutions } from "./history.ts";
import type { Bench } from "./run.ts";
import { p95, p95Beside } from "./times.ts";

const ROUNDS = 200;

/** What takes tens of milliseconds is not asked as often. */
const ROUNDS_ELSEWHERE = 100;

/** The preset ranges, days. */
const RANGES = [7, 30, 90];

const READS = {
  summary: readAnalytics,
  funnel: readFunnel,
  actions: readActions,
};

/** The dates of the last days, up to today. */
export function lastDays(
  days: number,
  tz?: string,
  unit: AnalyticsQuery["unit"] = "execution",
): AnalyticsQuery {
  const today = Temporal.Now.plainDateISO(tz ?? "Europe/Paris");
  return AnalyticsQuery.parse({
    start_date: today.subtract({ days: days - 1 }).toString(),
    end_date: today.toString(),
    tz,
    unit,
  });
}

/** Reads of the busy workflow: of the views, with changes since, and in another zone. */
export async function benchReads(bench: Bench): Promise<void> {
  const { sql, report } = bench;
  await sql`vacuum (analyze)`;
  await sql`call weir.refresh_views('worker', 0, null)`;
  await readAll(bench, "views fresh", undefined);

  await recordExecutions(sql, bench.busy.id, {
    ...bench.newNumbers(300),
    days: 2,
  });
  while (await fold(sql) > 0);
  await readAll(bench, "changed since", undefined);
  await readAll(bench, "Asia/Kolkata", "Asia/Kolkata");
  report({
    name: "summary, 30 days, unit=contact, p95",
    value: await p95(
      5,
      () => read(bench, "summary", lastDays(30, undefined, "contact")),
    ),
    unit: "ms",
  });
  await benchIndexes(bench);
}

async function readAll(
  bench: Bench,
  how: string,
  tz: string | undefined,
): Promise<void> {
  for (const days of RANGES) {
    const query = lastDays(days, tz);
    for (const name of Object.keys(READS) as (keyof typeof READS)[]) {
      const { value, floor } = await p95Beside(
        tz ? ROUNDS_ELSEWHERE : ROUNDS,
        () => read(bench, name, query),
        () =>
          bench
            .sql`select * from weir.workflow where workflow_uuid = ${bench.busy.uuid}`,
      );
      bench.report({
        name: `${name}, ${days} days, ${how}, p95`,
        value,
        unit: "ms",
        floor: { name: "a primary-key read", value: floor },
        promise: tz ? "<= 25 x" : "<= 5 x",
      });
    }
  }
}

async function read(
  { sql, account, busy }: Bench,
  name: keyof typeof READS,
  query: AnalyticsQuery,
): Promise<void> {
  const answer = await READS[name](
    sql,
    account.account_id,
    busy.uuid,
    query,
    new Date(),
  );
  if (answer === null) throw new Error(`Cannot read ${name}: no such workflow`);
}

/** The same reads with the planner's index scans off. */
async function benchIndexes(bench: Bench): Promise<void> {
  const { sql, report } = bench;
  const query = lastDays(30);
  for (const name of Object.keys(READS) as (keyof typeof READS)[]) {
    const value = await p95(ROUNDS, () => read(bench, name, query));
    await setIndexes(bench, false);
    const without = await p95(3, () => read(bench, name, query));
    await setIndexes(bench, true);
    report({
      name: `${name}, 30 days, less time than without indexes`,
      value: 100 * (1 - value / without),
      unit: "%",
      promise: ">= 80",
    });
  }
  const [{ execution_id }] = await sql<[{ execution_id: string }]>`
    select execution_id from weir.execution where workflow_id = ${bench.busy.id} limit 1`;
  const statements = {
    "events of an execution": () =>
      sql`
      select * from weir.event where workflow_id = ${bench.busy.id} and execution_id = ${execution_id}`,
    "executions enrolled in an hour": () =>
      sql`
      select count(*) from weir.execution where workflow_id = ${bench.busy.id}
        and enrolled_at > now() - interval '25 hours' and enrolled_at < now() - interval '24 hours'`,
    "executions ended in an hour": () =>
      sql`
      select count(*) from weir.execution where workflow_id = ${bench.busy.id}
        and ended_at > now() - interval '25 hours' and ended_at < now() - interval '24 hours'`,
  };
  for (const [name, run] of Object.entries(statements)) {
    const value = await p95(ROUNDS, run);
    await setIndexes(bench, false);
    const without = await p95(3, run);
    await setIndexes(bench, true);
    report({
      name: `${name}, less time than without an index`,
      value: 100 * (1 - value / without),
      unit: "%",
      promise: ">= 80",
    });
  }
}

async function setIndexes({ sql }: Bench, on: boolean): Promise<void> {
  for (const scan of ["indexscan", "indexonlyscan", "bitmapscan"]) {
    await sql.unsafe(`set enable_${scan} = ${on ? "on" : "off"}`);
  }
  await sql`discard plans`;
}
