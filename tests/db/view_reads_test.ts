/**
 * Reads take days and percentiles from the materialized views, and are exact at every
 * instant all the same.
 *
 * @module
 */

import { deepStrictEqual, notDeepStrictEqual, ok } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { createAccount } from "../../db/access.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { refreshAll } from "../../db/jobs.ts";
import {
  AnalyticsQuery,
  ATTRIBUTIONS,
  Event,
  WorkflowsQuery,
} from "../../db/schema.ts";
import { listWorkflows } from "../../db/workflows.ts";
import { randomOf, uuidOfWords } from "../../workers/_random.ts";
import { dbTest, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { type Facts, oracle, sameNumbers } from "../oracle.ts";
import { DAY_MS, makePast } from "./_history.ts";

const SEED = Deno.env.get("VIEWS_SEED") ?? crypto.randomUUID();
const ZONE = "America/New_York";
const READS = {
  analytics: readAnalytics,
  funnel: readFunnel,
  actions: readActions,
};

/** Ranges by the days ago that they begin and end: the views' windows, and others. */
const RANGES: [number, number][] = [
  [6, 0],
  [29, 0],
  [89, 0],
  [0, 0],
  [30, 1],
  [59, 30],
  [150, 95],
  [240, 210],
  [300, 0],
];

function dayAgo(now: Date, days: number): string {
  return Temporal.Instant.from(now.toISOString()).toZonedDateTimeISO(ZONE)
    .toPlainDate().subtract({ days }).toString();
}

/** Zones asked for: the account's, and such whose days begin before and after it, and half a day away. */
const ZONES = [
  undefined,
  "Asia/Kolkata",
  "America/St_Johns",
  "Pacific/Auckland",
];

function queriesOf(now: Date): AnalyticsQuery[] {
  return RANGES.flatMap(([first, last]) =>
    ATTRIBUTIONS.flatMap((attribution) =>
      // Of days long ago there is no detail.
      ZONES.filter((tz) => !tz || first < 80).map((tz) =>
        AnalyticsQuery.parse({
          start_date: dayAgo(now, first),
          end_date: dayAgo(now, last),
          compare: "previous",
          attribution,
          tz,
        })
      )
    )
  );
}

dbTest(
  "reads equal the naive recomputation while folds come between refresh and read",
  async ({ sql }) => {
    console.info(`VIEWS_SEED=${SEED}`);
    const random = randomOf(SEED);
    const now = new Date();
    const { account_id } = await createAccount(sql, "Any", ZONE);
    const facts: Facts = {
      workflow_id: uuidOfWords(SEED, "workflow"),
      account_zone: ZONE,
      events: [],
      settings: { conversion_window: "P90D", goal_ends_execution: true },
      versions: [],
    };

    async function live(name: string, executions: number, daysMax: number) {
      const events: Event[] = [];
      for (let i = 0; i < executions; i++) {
        // Its end may be hours later, and nothing is dated ahead of now.
        const start = now.getTime() - (0.2 + random() * daysMax) * DAY_MS;
        events.push(
          ...journeyOf(random, facts.workflow_id, `${name}-${i}`, start)
            .filter((event) => Date.parse(event.occurred_at) <= now.getTime()),
        );
      }
      await recordEvents(sql, account_id, events);
      while (await fold(sql, 1 + Math.floor(random() * 400)) > 0);
      facts.events.push(
        ...events.map((one) => ({
          ...one,
          workflow_version: one.workflow_version ?? 1,
        })),
      );
    }

    async function check() {
      for (const query of queriesOf(now)) {
        const expected = oracle(facts, query, now);
        for (const [name, read] of Object.entries(READS)) {
          const actual = await read(
            sql,
            account_id,
            facts.workflow_id,
            query,
            now,
          );
          sameNumbers(
            actual,
            expected[name as keyof typeof READS],
            "histogram",
          );
        }
      }
    }

    // Nothing in the views yet, then all of it, then all but what changed since …
    await live("first", 60, 300);
    await check();
    await sql`call weir.refresh_views('worker', 0, null)`;
    await check();
    for (const [round, daysMax] of [2, 20, 100, 300].entries()) {
      await live(`since-${round}`, 5, daysMax);
      await check();
    }
    // … then views of different ages.
    await sql`call weir.refresh_view('step_day_sums', 'worker', 0, null)`;
    await live("later", 5, 20);
    await sql`call weir.refresh_view('window_percentiles', 'worker', 0, null)`;
    await check();
    await sql`call weir.refresh_views('worker', 0, null)`;
    await check();
  },
);

dbTest(
  "readAnalytics() counts days of a zone that is half a day away, and then more, from days that lie ready",
  async ({ sql }) => {
    const now = new Date();
    const today = Temporal.Instant.from(now.toISOString())
      .toZonedDateTimeISO("UTC").toPlainDate();
    const { account_id } = await createAccount(sql, "Any", "UTC");
    const workflow_id = crypto.randomUUID();
    const instants = Array.from(
      { length: 20 * 6 },
      (_, i) => new Date(now.getTime() - (i + 0.5) * DAY_MS / 6),
    );
    await recordEvents(
      sql,
      account_id,
      instants.map((at, i) =>
        Event.parse({
          id: `${i}`,
          type: "execution.enrolled",
          workflow_id,
          execution_id: crypto.randomUUID(),
          contact_id: `${i}`,
          occurred_at: at.toISOString(),
          source: "api",
        })
      ),
    );
    while (await fold(sql) > 0);
    await sql`call weir.refresh_views('worker', 0, null)`;
    // Ten days ago its clock was put from 11:30 ahead to 12:30. No zone does so all year round, so this one is Posix'.
    const spring = Math.min(365, today.subtract({ days: 10 }).dayOfYear);
    const autumn = Math.min(365, today.add({ days: 60 }).dayOfYear);
    const answer = await readAnalytics(
      sql,
      account_id,
      workflow_id,
      {
        ...AnalyticsQuery.parse({
          start_date: today.subtract({ days: 18 }).toString(),
          end_date: today.toString(),
        }),
        tz: `<+1130>-11:30<+1230>-12:30,J${spring},J${autumn}`,
      },
      now,
    );
    deepStrictEqual(
      answer!.trends.map((point) => point.new_enrollments),
      answer!.trends.map(({ start, end }) =>
        instants.filter((at) =>
          at.getTime() >= Date.parse(start) && at.getTime() < Date.parse(end)
        ).length
      ),
    );
  },
);

/** What a dashboard of the last 30 days shows. */
async function readAll(
  { sql, account }: World,
  workflowUuid: string,
  now: Date,
) {
  const query = AnalyticsQuery.parse({
    start_date: new Date(now.getTime() - 29 * DAY_MS).toISOString()
      .slice(0, 10),
    end_date: now.toISOString().slice(0, 10),
    compare: "previous",
  });
  const id = account.account_id;
  const analytics = await readAnalytics(sql, id, workflowUuid, query, now);
  const funnel = await readFunnel(sql, id, workflowUuid, query, now);
  const actions = await readActions(sql, id, workflowUuid, query, now);
  const list = await listWorkflows(sql, id, WorkflowsQuery.parse({}), now);
  return {
    summary: analytics!.summary,
    comparison: analytics!.comparison,
    steps: funnel!.funnel_steps,
    actions: actions!.actions,
    // The line of enrolments is drawn from the rollups.
    workflows: list.workflows.map(({ daily_enrollments: _, ...row }) => row),
  };
}

dbTest(
  "reads take from the views what has not changed since, and only that",
  async (world) => {
    const { sql } = world;
    const now = new Date();
    const { workflow_uuid } = await makePast(world);
    await refreshAll(sql);
    const before = await readAll(world, workflow_uuid, now);
    // Behind the back of the fold, so that only who reads the rollups sees it.
    await sql`update weir.workflow_rollup set enrolled = enrolled + 1000,
      cohort_duration_us = cohort_duration_us * 9 where grain = 'day'`;
    await sql`update weir.step_rollup set entered = entered + 1000,
      dropped_off = dropped_off + 7 where grain = 'day'`;
    await sql`update weir.action_rollup set successes = 0 where grain = 'day'`;
    await sql`update weir.histogram_rollup set samples = '[900:900]={1}' where grain = 'day'`;
    await sql`update weir.window_histogram set samples = '[900:900]={1}'`;
    deepStrictEqual(await readAll(world, workflow_uuid, now), before);

    await sql`update weir.changed_day set revision = revision + 1`;
    await sql`update weir.workflow_revision set revision = revision + 1`;
    const after = await readAll(world, workflow_uuid, now);
    for (const [key, shown] of Object.entries(after)) {
      notDeepStrictEqual(shown, before[key as keyof typeof before], key);
    }
    const [step] = after.steps;
    ok(step!.vs_previous_period !== before.steps[0]!.vs_previous_period);
    ok(step!.vs_workflow_average !== before.steps[0]!.vs_workflow_average);
  },
);

dbTest(
  "reads see that retention dropped days that a view still sums up",
  async (world) => {
    const { sql } = world;
    const now = new Date();
    const { workflow_uuid } = await makePast(world);
    // One day becomes one of three years ago.
    for (const rollup of ["workflow", "step"]) {
      await sql`
        update ${sql(`weir.${rollup}_rollup`)}
        set bucket = bucket - interval '1100 days'
        where grain = 'day' and bucket < now() - interval '80 days'`;
    }
    await refreshAll(sql);
    const before = await readAll(world, workflow_uuid, now);
    await sql`call weir.retain(now(), null)`;
    const after = await readAll(world, workflow_uuid, now);
    notDeepStrictEqual(
      after.steps.map((step) => step.vs_workflow_average),
      before.steps.map((step) => step.vs_workflow_average),
    );
    await sql`delete from weir.view_revision`;
    deepStrictEqual(await readAll(world, workflow_uuid, now), after);
  },
);
