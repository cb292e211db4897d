/**
 * `unit=contact`: by hand, and against the naive recomputation of tests/contacts.ts
 * for random contacts that come again and again.
 *
 * `PROPERTY_SEED` repeats a run, `PROPERTY_RUNS` makes it longer.
 *
 * @module
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { createAccount } from "../../db/access.ts";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { DetailExpired } from "../../db/period.ts";
import {
  AnalyticsQuery,
  ATTRIBUTIONS,
  COMPARES,
  Event,
  GRANULARITIES,
  SOURCES,
  type Workflow,
  WorkflowDefinition,
} from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { contactOracle } from "../contacts.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import {
  type AcceptedEvent,
  dayStartUs,
  type Facts,
  instantText,
  sameNumbers,
} from "../oracle.ts";
import { assertInvalid, RANGE, send, WORKFLOW } from "../routes/_requests.ts";

const RUNS = Number(Deno.env.get("PROPERTY_RUNS") ?? 40);
const SEED = Number(
  Deno.env.get("PROPERTY_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0],
);

const STEPS = [3, 1, 2].map((n) => uuid(2, n));
const [MAIL, WAIT, CALL] = STEPS as [string, string, string];
const GOALS = [uuid(3, 2), uuid(3, 1)];
const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;

function uuid(kind: number, n: number): string {
  return `${kind}0000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
}

/** Two versions: the second has one step more. Goals end nothing, so that some convert later. */
function definition(steps: string[], conversion_window = "P3D") {
  return WorkflowDefinition.parse({
    name: "Any",
    steps: steps.map((step_id, order) => ({
      step_id,
      name: `Step ${order}`,
      type: "action",
      order,
    })),
    goals: GOALS.map((goal_id) => ({ goal_id, name: "Buy", type: "purchase" })),
    conversion_window,
    goal_ends_execution: false,
  });
}

// -------------------------------------------------------------------- by hand

/** One execution: what happened on which day of June at noon. */
type Life = [day: string, what: Record<string, unknown>][];

const enrolled = (source = "api") => ({ type: "execution.enrolled", source });
const entered = (step_id: string) => ({ type: "step.entered", step_id });
const done = (step_id: string) => ({ type: "step.completed", step_id });
const exited = { type: "execution.exited", reason: "unsubscribed" };
const completed = { type: "execution.completed" };
const bought = { type: "goal.achieved", goal_id: GOALS[0] };

async function live(
  { sql, account }: World,
  lives: [contact: string, Life][],
): Promise<void> {
  await putWorkflow(sql, account.account_id, WORKFLOW, definition(STEPS));
  const events = lives.flatMap(([contact_id, life], n) =>
    life.map(([day, what], i) =>
      Event.parse({
        id: `${n}-${i}`,
        workflow_id: WORKFLOW,
        execution_id: uuid(1, n),
        contact_id,
        occurred_at: `2026-06-${day}T12:00:00Z`,
        sequence: i,
        ...what,
      })
    )
  );
  await recordEvents(sql, account.account_id, events);
  while (await fold(sql) > 0);
}

function ask(query: Record<string, unknown>): AnalyticsQuery {
  return AnalyticsQuery.parse({
    start_date: "2026-06-01",
    end_date: "2026-06-05",
    unit: "contact",
    ...query,
  });
}

/** Ann comes back and makes it, Bob comes back and is at it, Cid comes once and leaves. */
const LIVES: [string, Life][] = [
  ["ann", [
    ["01", enrolled()],
    ["01", entered(MAIL)],
    ["01", done(MAIL)],
    ["02", exited],
  ]],
  ["ann", [
    ["03", enrolled("manual")],
    ["03", entered(MAIL)],
    ["04", done(MAIL)],
    ["04", entered(WAIT)],
    ["05", done(WAIT)],
    ["05", bought],
    ["05", completed],
  ]],
  ["bob", [["01", enrolled()], ["02", entered(MAIL)], ["03", exited]]],
  ["bob", [["05", enrolled()], ["05", entered(MAIL)]]],
  ["cid", [
    ["03", enrolled()],
    ["03", entered(MAIL)],
    ["03", done(MAIL)],
    ["03", exited],
  ]],
];

dbTest("readAnalytics() counts each contact once", async (world) => {
  await live(world, LIVES);
  const { sql, account: { account_id } } = world;
  const answer = await readAnalytics(sql, account_id, WORKFLOW, ask({}), NOW);
  strictEqual(answer!.period.unit, "contact");
  deepStrictEqual(answer!.summary, {
    total_enrolled: 3,
    currently_active: 1,
    completed: 1,
    completion_rate: 33.33,
    goals_achieved: 1,
    conversion_rate: 33.33,
    // Of executions: Ann's second took two days, from noon to noon.
    average_duration_seconds: 172_800,
    average_duration_hours: 48,
    median_duration_seconds: answer!.summary.median_duration_seconds,
    p95_duration_seconds: answer!.summary.p95_duration_seconds,
    in_progress: 1,
    settled: 2,
    settled_completion_rate: 50,
    settled_conversion_rate: 50,
    enrollment_rate: 0.6,
    enrollment_sources: [
      { source: "api", count: 3, share: 75 },
      { source: "manual", count: 1, share: 25 },
    ],
    exit_reasons: [
      { reason: "unsubscribed", count: 3, share: 75 },
      { reason: "completed", count: 1, share: 25 },
    ],
    goal_breakdown: [
      {
        goal_id: GOALS[0],
        goal_name: "Buy",
        achieved: 1,
        rate: 33.33,
        first: 1,
      },
    ],
    time_to_conversion: answer!.summary.time_to_conversion,
  });
  strictEqual(answer!.summary.time_to_conversion.average, 172_800);
});

dbTest(
  "readAnalytics() counts the contacts of each bucket anew",
  async (world) => {
    await live(world, LIVES);
    const { sql, account: { account_id } } = world;
    const answer = await readAnalytics(sql, account_id, WORKFLOW, ask({}), NOW);
    const columns = answer!.trends.map((point) => [
      point.new_enrollments,
      point.total_enrolled,
      point.currently_active,
      point.exits,
      point.completions,
      point.conversions,
      point.in_progress,
    ]);
    deepStrictEqual(columns, [
      // Enrolled, so far, active, exits, completions, conversions, in progress.
      [2, 2, 2, 0, 0, 0, 0],
      [0, 2, 1, 1, 0, 0, 0],
      [2, 3, 1, 2, 0, 0, 0],
      [0, 3, 1, 0, 0, 0, 0],
      [1, 3, 1, 0, 1, 1, 1],
    ]);
  },
);

dbTest("readAnalytics() counts a contact running twice once", async (world) => {
  const twice: Life = [["01", enrolled()], ["03", exited]];
  const overlapping: Life = [["02", enrolled()], ["04", exited]];
  await live(world, [["ann", twice], ["ann", overlapping], ["ann", twice]]);
  const { sql, account: { account_id } } = world;
  const answer = await readAnalytics(sql, account_id, WORKFLOW, ask({}), NOW);
  deepStrictEqual(
    answer!.trends.map((point) => point.currently_active),
    [1, 1, 1, 0, 0],
  );
});

dbTest(
  "readFunnel() takes the best that became of a contact",
  async (world) => {
    await live(world, LIVES);
    const { sql, account: { account_id } } = world;
    const answer = await readFunnel(sql, account_id, WORKFLOW, ask({}), NOW);
    const [mail, wait, call] = answer!.funnel_steps;
    deepStrictEqual(
      [mail, wait, call].map((step) => [
        step!.step_id,
        step!.entered,
        step!.completed,
        step!.dropped_off,
        step!.goal_exits,
        step!.in_progress,
        step!.left_after,
        step!.visits,
        step!.average_time_seconds,
      ]),
      [
        // Bob dropped off once, but is at it again; Ann left after it once, but went on.
        [MAIL, 3, 2, 0, 0, 1, 1, 5, 28_800],
        [WAIT, 1, 1, 0, 0, 0, 0, 1, 86_400],
        [CALL, 0, 0, 0, 0, 0, 0, 0, null],
      ],
    );
    strictEqual(answer!.overall_conversion, 33.33);
    deepStrictEqual(answer!.drop_off_points, []);
    strictEqual(answer!.slowest_step, WAIT);
  },
);

dbTest(
  "readFunnel() compares contacts with contacts, as far back as they are kept",
  async (world) => {
    await live(world, LIVES);
    const { sql, account: { account_id } } = world;
    const read = (now: Date) =>
      readFunnel(
        sql,
        account_id,
        WORKFLOW,
        ask({ start_date: "2026-06-03", end_date: "2026-06-04" }),
        now,
      );
    const differences = (now: Date) =>
      read(now).then((answer) => answer!.funnel_steps[0]!);
    const kept = await differences(NOW);
    // Ann and Cid completed it; before, Ann did and Bob dropped off.
    deepStrictEqual(kept.vs_previous_period, {
      conversion_rate: 50,
      drop_off_rate: -50,
    });
    const unknown = { conversion_rate: null, drop_off_rate: null };
    deepStrictEqual(kept.vs_workflow_average, unknown);
    // On 31 August the second of June is 90 days ago, and the first is not kept.
    const expired = await differences(new Date("2026-08-31T12:00:00Z"));
    strictEqual(expired.entered, 2);
    deepStrictEqual(expired.vs_previous_period, unknown);
  },
);

dbTest(
  "readAnalytics() compares contacts with contacts, as far back as they are kept",
  async (world) => {
    await live(world, LIVES);
    const { sql, account: { account_id } } = world;
    const compare = async (now: Date) => {
      const query = ask({
        start_date: "2026-06-03",
        end_date: "2026-06-04",
        compare: "previous",
      });
      return (await readAnalytics(sql, account_id, WORKFLOW, query, now))!
        .comparison!;
    };
    const kept = await compare(NOW);
    deepStrictEqual(kept.total_enrolled, {
      current: 2,
      previous: 2,
      change: 0,
      change_percent: 0,
    });
    deepStrictEqual(kept.completion_rate, {
      current: 50,
      previous: 0,
      change: 50,
    });
    const expired = await compare(new Date("2026-08-31T12:00:00Z"));
    deepStrictEqual(expired.total_enrolled, {
      current: 2,
      previous: null,
      change: null,
      change_percent: null,
    });
  },
);

// -------------------------------------------------------------------- refusal

dbTest(
  "readAnalytics() refuses contacts of a range that is not kept",
  async (world) => {
    await live(world, LIVES);
    const { sql, account: { account_id } } = world;
    const last = new Date("2026-08-30T23:59:59Z");
    const over = new Date("2026-08-31T00:00:00Z");
    for (const read of [readAnalytics, readFunnel]) {
      ok(await read(sql, account_id, WORKFLOW, ask({}), last));
      await rejects(
        () => read(sql, account_id, WORKFLOW, ask({}), over),
        (error) => error instanceof DetailExpired && error.path === "unit",
      );
      const executions = ask({ unit: "execution" });
      ok(await read(sql, account_id, WORKFLOW, executions, over));
    }
    // Actions are counted by execution, and say so.
    const actions = await readActions(sql, account_id, WORKFLOW, ask({}), over);
    strictEqual(actions!.period.unit, "execution");
  },
);

dbTest(
  "GET …/analytics names unit as what cannot be answered",
  async (world) => {
    await live(world, LIVES);
    const path = `/api/v1/workflows/${WORKFLOW}/analytics`;
    const old = "start_date=2026-03-16&end_date=2026-06-15";
    for (const part of ["", "/funnel"]) {
      const url = `${path}${part}?unit=contact&`;
      strictEqual((await send(world, "GET", url + RANGE)).status, 200);
      assertInvalid(await send(world, "GET", url + old), "unit");
      assertInvalid(
        await send(world, "GET", `${path}${part}?${RANGE}&unit=person`),
        "unit",
      );
    }
  },
);

// ------------------------------------------------------------------- property

/** Their days begin at other instants, on some of them at none or at two. */
const ZONES = [
  "UTC",
  "Asia/Kathmandu",
  "America/Havana",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
];
const NOWS = [
  "2026-06-15T12:00:00Z",
  "2026-03-29T03:30:00Z",
  "2026-04-05T06:10:00Z",
  "2026-11-02T00:00:00Z",
];
const REASONS = ["completed", "goal_achieved", "unsubscribed", "error"];

const step_id = fc.constantFrom(...STEPS);
const what = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constantFrom("step.entered", "step.completed"),
      step_id,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("goal.achieved"),
      goal_id: fc.constantFrom(...GOALS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("execution.exited"),
      reason: fc.constantFrom(...REASONS),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constant({ type: "execution.completed" }),
  },
);

/** Minutes from the enrolment: at once, soon, whole days after (the window is three), before. */
const afterMinutes = fc.oneof(
  fc.constantFrom(0, 1, 3 * DAY_MINUTES - 1),
  fc.integer({ min: 0, max: 3 }).map((days) => days * DAY_MINUTES),
  fc.integer({ min: 0, max: 600 }),
  fc.integer({ min: -60, max: 20 * DAY_MINUTES }),
);

const execution = fc.record({
  contact: fc.constantFrom("ann", "bob", "ç", "dan"),
  /** From the start of the range, in the account's zone or in the asked one. */
  zone: fc.nat(1),
  minutes: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: -2_880, max: 8 * DAY_MINUTES }) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(-DAY_MINUTES, -1, 0, DAY_MINUTES),
    },
    {
      weight: 1,
      arbitrary: fc.integer({ min: -80 * DAY_MINUTES, max: DAY_MINUTES }),
    },
  ),
  source: fc.constantFrom(...SOURCES),
  workflow_version: fc.integer({ min: 1, max: 2 }),
  facts: fc.array(fc.record({ what, afterMinutes }), { maxLength: 8 }),
});

const question = fc.record({
  days: fc.oneof(
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 2 }) },
    { weight: 2, arbitrary: fc.integer({ min: 3, max: 9 }) },
    { weight: 1, arbitrary: fc.integer({ min: 10, max: 60 }) },
  ),
  isForeign: fc.boolean(),
  granularity: fc.constantFrom(...GRANULARITIES),
  attribution: fc.constantFrom(...ATTRIBUTIONS),
  compare: fc.constantFrom(...COMPARES.filter((one) => one !== "custom")),
  version: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }),
});

const scenario = fc.record({
  accountZone: fc.constantFrom(...ZONES),
  foreignZone: fc.constantFrom(...ZONES),
  now: fc.constantFrom(...NOWS).map((now) => new Date(now)),
  /** Before today; some ranges begin just before what is kept. */
  startDaysAgo: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 30 }) },
    { weight: 1, arbitrary: fc.integer({ min: 86, max: 92 }) },
  ),
  executions: fc.array(execution, {
    minLength: 1,
    maxLength: 16,
    size: "max",
  }),
  questions: fc.array(question, { minLength: 3, maxLength: 3 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

function startOf({ now, startDaysAgo }: Scenario): Temporal.PlainDate {
  return Temporal.Instant.fromEpochMilliseconds(now.getTime())
    .toZonedDateTimeISO("UTC").toPlainDate().subtract({ days: startDaysAgo });
}

function eventsOf(one: Scenario, workflow_id: string): AcceptedEvent[] {
  const zones = [one.accountZone, one.foreignZone];
  return one.executions.flatMap((execution, n) => {
    const base_us = dayStartUs(startOf(one), zones[execution.zone]!);
    const facts = [
      {
        what: { type: "execution.enrolled", source: execution.source },
        afterMinutes: 0,
      },
      ...execution.facts,
    ];
    return facts.map(({ what, afterMinutes }, i) => ({
      id: `${n}-${i}`,
      workflow_id,
      execution_id: uuid(1, n),
      contact_id: execution.contact,
      workflow_version: execution.workflow_version,
      occurred_at: instantText(
        base_us +
          BigInt((execution.minutes + afterMinutes) * MINUTE_MS) * 1000n,
      ),
      ...what,
    } as AcceptedEvent));
  });
}

function queryOf(
  one: Scenario,
  { days, isForeign, ...asked }: Scenario["questions"][number],
): AnalyticsQuery {
  const first = startOf(one);
  return AnalyticsQuery.parse({
    ...asked,
    start_date: first.toString(),
    end_date: first.add({ days: days - 1 }).toString(),
    tz: isForeign ? one.foreignZone : undefined,
    unit: "contact",
  });
}

async function putVersions(sql: Sql, accountId: number, id: string) {
  let workflow: Workflow | null = null;
  for (const steps of [STEPS.slice(0, 2), STEPS]) {
    workflow = await putWorkflow(sql, accountId, id, definition(steps));
  }
  return workflow!;
}

async function play(sql: Sql, one: Scenario): Promise<void> {
  const account = await createAccount(sql, "Any", one.accountZone);
  const id = crypto.randomUUID();
  const workflow = await putVersions(sql, account.account_id, id);
  const facts: Facts = {
    workflow_id: id,
    account_zone: one.accountZone,
    events: eventsOf(one, id),
    settings: workflow,
    versions: workflow.versions,
  };
  await recordEvents(sql, account.account_id, facts.events);
  while (await fold(sql) > 0);
  for (const asked of one.questions) {
    const query = queryOf(one, asked);
    await check(sql, account.account_id, facts, query, one.now);
  }
}

async function check(
  sql: Sql,
  accountId: number,
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): Promise<void> {
  const expected = contactOracle(facts, query, now);
  const parts = { analytics: readAnalytics, funnel: readFunnel };
  for (const [part, read] of Object.entries(parts)) {
    const reading = read(sql, accountId, facts.workflow_id, query, now);
    if (expected === null) {
      await rejects(reading, DetailExpired);
      continue;
    }
    const answer = expected[part as keyof typeof parts];
    // Percentiles of the account's own days come from histograms.
    const own = AnalyticsQuery.parse({ ...query, tz: undefined });
    const { start, end } = answer.period;
    const days = contactOracle(facts, own, now)?.funnel.period;
    const isOwn = days?.start === start && days.end === end;
    try {
      sameNumbers(await reading, answer, isOwn ? "histogram" : "exact");
    } catch (error) {
      throw new Error(
        `${part} of ${JSON.stringify({ ...query, now })}: ${
          (error as Error).message
        }`,
      );
    }
  }
}

dbTest(
  "read_contacts() and read_contact_funnel() count as the naive recomputation does",
  async ({ sql }) => {
    console.info(`PROPERTY_SEED=${SEED} PROPERTY_RUNS=${RUNS}`);
    await fc.assert(fc.asyncProperty(scenario, (one) => play(sql, one)), {
      seed: SEED,
      numRuns: RUNS,
    });
  },
);
