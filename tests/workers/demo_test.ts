import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery } from "../../db/schema.ts";
import { DEMO_ACCOUNTS, workflowIdOf } from "../../workers/_demo_workflows.ts";
import { seedDemo } from "../../workers/demo.ts";
import { createSimulation } from "../../workers/simulate.ts";
import { dbTest } from "../harness.ts";

/** A weekday evening in Paris, between two campaigns. */
const NOW = new Date("2026-09-17T18:00:00Z");
const MINUTE_MS = 60_000;
const LAST_30_DAYS = AnalyticsQuery.parse({
  start_date: "2026-08-19",
  end_date: "2026-09-17",
});

dbTest("seedDemo() records a past that can be believed", async ({ sql }) => {
  const accounts = await seedDemo(sql, () => {}, NOW);
  strictEqual(accounts.length, 2);
  const [span] = await sql<[{ first: Date; last: Date; queued: number }]>`
    select min(occurred_at) as first, max(occurred_at) as last,
      (select count(*) from weir.event_queue) as queued from weir.event`;
  ok(span.last <= NOW, "an event of the future");
  const days = (NOW.getTime() - span.first.getTime()) / 86_400_000;
  ok(days > 89 && days <= 90, `${days} days`);
  strictEqual(span.queued, 0);

  const [welcome, trial, cart, winBack] = DEMO_ACCOUNTS[0]!.workflows;
  const { account_id } = accounts[0]!;
  const funnel = await readFunnel(
    sql,
    account_id,
    workflowIdOf(welcome!),
    LAST_30_DAYS,
    NOW,
  );
  const entered = funnel!.funnel_steps.map((step) => step.entered);
  deepStrictEqual(entered, entered.toSorted((a, b) => b - a));
  ok(entered.at(-1)! > 20 && entered[0]! > 200, entered.join(" "));

  const health = new Set<string>();
  for (const workflow of [welcome!, trial!, cart!]) {
    const { summary } = (await readAnalytics(
      sql,
      account_id,
      workflowIdOf(workflow),
      LAST_30_DAYS,
      NOW,
    ))!;
    ok(summary.currently_active > 0, `${workflow.name}: nobody runs`);
    ok(summary.conversion_rate! > 10 && summary.conversion_rate! < 90);
    ok(summary.exit_reasons.length > 2);
    const { actions } = (await readActions(
      sql,
      account_id,
      workflowIdOf(workflow),
      LAST_30_DAYS,
      NOW,
    ))!;
    for (const action of actions) health.add(action.health);
  }
  deepStrictEqual([...health].sort(), ["error", "ok", "slow", "warning"]);
  const nothing = await readAnalytics(
    sql,
    account_id,
    workflowIdOf(winBack!),
    LAST_30_DAYS,
    NOW,
  );
  strictEqual(nothing!.summary.total_enrolled, 0);
});

dbTest("seedDemo() again adds only what happened since", async ({ sql }) => {
  const accounts = await seedDemo(sql, () => {}, NOW);
  const before = await readState(sql);
  deepStrictEqual(await seedDemo(sql, () => {}, NOW), accounts);
  deepStrictEqual(await readState(sql), before);

  const later = new Date(NOW.getTime() + 3 * 86_400_000);
  await seedDemo(sql, () => {}, later);
  const [{ days }] = await sql<[{ days: number }]>`
    select count(distinct occurred_at::date) as days from weir.event
    where occurred_at > ${NOW} and occurred_at <= ${later}`;
  strictEqual(days, 4);
  // Who was on the way when it stopped has gone on: nobody waits for a step of last week.
  const [{ finished }] = await sql<[{ finished: number }]>`
    select count(*) as finished from weir.execution
    where enrolled_at < ${NOW} and ended_at > ${NOW}`;
  ok(finished > 20, `${finished} finished`);
});

dbTest(
  "simulate keeps events coming, also after a restart",
  async ({ sql }) => {
    await seedDemo(sql, () => {}, NOW);
    const { signal } = new AbortController();
    const before = await readState(sql);
    let at = NOW.getTime();
    let recorded = 0;
    for (let restart = 0; restart < 3; restart++) {
      const job = createSimulation(() => new Date(at));
      for (let second = 0; second < 300; second += 5) {
        at += 5_000;
        recorded += (await job.run({ sql, signal })).events!;
      }
      while (await fold(sql) > 0);
    }
    const after = await readState(sql);
    // Every few seconds one, and not so many that the disk would fill.
    ok(recorded > 15 * 6 && recorded < 15 * 120, `${recorded} in 15 minutes`);
    ok(after.executions > before.executions + 10);
    ok(after.last <= new Date(at), "an event of the future");

    // Whoever began is led to the end by the next one, not left behind.
    at += 40 * MINUTE_MS;
    await createSimulation(() => new Date(at)).run({ sql, signal });
    while (await fold(sql) > 0);
    const [{ ended, begun }] = await sql<[{ ended: number; begun: number }]>`
    select count(ended_at) as ended, count(*) as begun from weir.execution
    where enrolled_at > ${NOW} and enrolled_at < ${new Date(
      NOW.getTime() + 15 * MINUTE_MS,
    )}`;
    ok(ended > begun / 2, `${ended} of ${begun}`);
  },
);

dbTest("simulate is idle where there is no demo", async ({ sql }) => {
  const { signal } = new AbortController();
  deepStrictEqual(await createSimulation(() => NOW).run({ sql, signal }), {
    events: 0,
  });
});

async function readState(sql: Sql) {
  const [row] = await sql<
    [{ events: number; executions: number; versions: number; last: Date }]
  >`
    select count(*) as events, max(occurred_at) as last,
      (select count(*) from weir.execution) as executions,
      (select count(*) from weir.workflow_version) as versions
    from weir.event`;
  return row;
}
