/** Worked by hand from the contract, so that the oracle is not its own witness. */

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { AnalyticsQuery, type Event } from "../db/schema.ts";
import {
  type AcceptedEvent,
  dayStartUs,
  durationUs,
  type Facts,
  instantText,
  oracle,
  sameNumbers,
} from "./oracle.ts";

const A = "00000000-0000-4000-8000-00000000000a";
const B = "00000000-0000-4000-8000-00000000000b";
const C = "00000000-0000-4000-8000-00000000000c";
const NOW = new Date("2026-03-10T00:00:00Z");

/** What a test says of an event; the rest is filled in by {@linkcode facts}. */
type Said = Record<string, unknown> & {
  type: Event["type"];
  at: string;
  of: number;
};

let ids = 0;

function accepted({ at, of, ...rest }: Said): AcceptedEvent {
  return {
    id: `e${String(++ids).padStart(4, "0")}`,
    workflow_id: A,
    execution_id: `10000000-0000-4000-8000-00000000000${of}`,
    contact_id: `c${of}`,
    workflow_version: 1,
    occurred_at: at,
    ...rest,
  } as unknown as AcceptedEvent;
}

function facts(said: Said[], rest: Partial<Facts> = {}): Facts {
  return {
    workflow_id: A,
    account_zone: "UTC",
    events: said.map(accepted),
    settings: { conversion_window: "P90D", goal_ends_execution: true },
    versions: [],
    ...rest,
  };
}

function enrolled(of: number, at: string, source = "api"): Said {
  return { type: "execution.enrolled", of, at, source };
}

function ask(world: Facts, query: Record<string, unknown> = {}) {
  const whole = AnalyticsQuery.parse({
    start_date: "2026-03-01",
    end_date: "2026-03-02",
    ...query,
  });
  return oracle(world, whole, NOW);
}

Deno.test("oracle() tells cohort from event attribution", () => {
  const world = facts([
    enrolled(1, "2026-03-01T10:00:00Z"),
    { type: "execution.completed", of: 1, at: "2026-03-03T10:00:00Z" },
    enrolled(2, "2026-02-28T10:00:00Z"),
    { type: "execution.completed", of: 2, at: "2026-03-02T10:00:00Z" },
    enrolled(3, "2026-03-02T00:00:00Z", "bulk"),
    {
      type: "execution.exited",
      of: 3,
      at: "2026-03-02T12:00:00Z",
      reason: "x",
    },
    enrolled(4, "2026-03-02T00:00:00Z"),
  ]);
  const cohort = ask(world).analytics;
  deepStrictEqual(cohort.summary, {
    total_enrolled: 3,
    // The first, which ended after the range, and the fourth.
    currently_active: 2,
    completed: 1,
    completion_rate: 33.33,
    average_duration_seconds: 172_800,
    average_duration_hours: 48,
    median_duration_seconds: 172_800,
    p95_duration_seconds: 172_800,
    goals_achieved: 0,
    conversion_rate: 0,
    in_progress: 1,
    settled: 2,
    settled_completion_rate: 50,
    settled_conversion_rate: 0,
    enrollment_rate: 1.5,
    enrollment_sources: [
      { source: "api", count: 2, share: 66.67 },
      { source: "bulk", count: 1, share: 33.33 },
    ],
    exit_reasons: [
      { reason: "completed", count: 1, share: 50 },
      { reason: "x", count: 1, share: 50 },
    ],
    goal_breakdown: [],
    time_to_conversion: {
      average: null,
      median: null,
      p95: null,
      fastest: null,
      slowest: null,
    },
  });
  const event = ask(world, { attribution: "event" }).analytics;
  strictEqual(event.summary.completed, 1);
  strictEqual(event.summary.average_duration_hours, 48);
  strictEqual(event.summary.settled, 2);
  deepStrictEqual(event.trends, cohort.trends);
  deepStrictEqual(cohort.trends[1], {
    date: "2026-03-02",
    label: "2026-03-02",
    start: "2026-03-02T00:00:00Z",
    end: "2026-03-03T00:00:00Z",
    new_enrollments: 2,
    completions: 1,
    conversions: 0,
    exits: 1,
    cohort_completed: 0,
    cohort_converted: 0,
    in_progress: 1,
    total_enrolled: 3,
    currently_active: 2,
  });
});

Deno.test("oracle() converts while it runs and inside the half-open window", () => {
  const said: Said[] = [];
  // Enrolled at noon, ended at 13:00, goals around the window's end of two hours.
  for (
    const [of, at] of ["13:59:59.999999", "14:00:00", "13:00:00"].entries()
  ) {
    said.push(
      enrolled(of, "2026-03-01T12:00:00Z"),
      { type: "execution.completed", of, at: "2026-03-01T13:00:00Z" },
      { type: "goal.achieved", of, at: `2026-03-01T${at}Z`, goal_id: B },
    );
  }
  // Dated before its enrolment: converts at it, and is its end.
  said.push(
    { type: "goal.achieved", of: 4, at: "2026-02-28T12:00:00Z", goal_id: C },
    enrolled(4, "2026-03-01T12:00:00Z"),
  );
  const settings = { conversion_window: "PT2H", goal_ends_execution: true };
  const { summary } = ask(facts(said, { settings })).analytics;
  strictEqual(summary.goals_achieved, 3);
  strictEqual(summary.completed, 4);
  deepStrictEqual(summary.goal_breakdown, [
    { goal_id: B, goal_name: null, achieved: 2, rate: 50, first: 2 },
    { goal_id: C, goal_name: null, achieved: 1, rate: 25, first: 1 },
  ]);
  deepStrictEqual(summary.time_to_conversion, {
    // (0 + 3,600 + 7,199.999999) / 3 = 3,599.999999…
    average: 3_600,
    median: 3_600,
    p95: 7_200,
    fastest: 0,
    slowest: 7_200,
  });
  deepStrictEqual(summary.exit_reasons, [
    { reason: "completed", count: 3, share: 75 },
    { reason: "goal_achieved", count: 1, share: 25 },
  ]);

  const none = { conversion_window: "PT0S", goal_ends_execution: false };
  const strict = ask(facts(said, { settings: none })).analytics.summary;
  // The goal at the end's instant has the later id: it is after the end.
  strictEqual(strict.goals_achieved, 1);
  strictEqual(strict.in_progress, 1);
});

Deno.test("oracle() orders by instant, sequence and the bytes of the id", () => {
  const at = "2026-03-01T12:00:00Z";
  const said = [
    enrolled(1, "2026-03-01T11:00:00Z"),
    { type: "execution.failed", of: 1, at, id: "\u{1F600}" },
    // U+FF5E is before the face in UTF-8 and after it in UTF-16.
    { type: "execution.exited", of: 1, at, id: "\uFF5E", reason: "first" },
    { type: "execution.completed", of: 1, at, id: "A", sequence: 1 },
  ] as Said[];
  const { summary } = ask(facts(said)).analytics;
  deepStrictEqual(summary.exit_reasons, [
    { reason: "first", count: 1, share: 100 },
  ]);
});

Deno.test("oracle() keeps the funnel's identity", () => {
  const step = (of: number, what: string, step_id: string, at: string) => ({
    type: `step.${what}` as Event["type"],
    of,
    step_id,
    at: `2026-03-01T${at}:00Z`,
  });
  const world = facts([
    enrolled(1, "2026-03-01T08:00:00Z"),
    step(1, "entered", A, "08:00"),
    step(1, "entered", A, "09:00"),
    step(1, "completed", A, "08:30"),
    step(1, "completed", C, "10:00"),
    {
      type: "execution.exited",
      of: 1,
      at: "2026-03-01T11:00:00Z",
      reason: "x",
    },
    enrolled(2, "2026-03-01T08:00:00Z"),
    step(2, "entered", A, "08:00"),
    { type: "execution.failed", of: 2, at: "2026-03-01T11:00:00Z" },
    enrolled(3, "2026-03-01T08:00:00Z"),
    step(3, "entered", A, "08:00"),
    { type: "execution.completed", of: 3, at: "2026-03-01T11:00:00Z" },
    enrolled(4, "2026-03-01T08:00:00Z"),
    step(4, "entered", A, "08:00"),
  ], {
    versions: [{
      version: 1,
      goals: [],
      steps: [
        { step_id: B, name: "Unused", type: "wait", order: 9 },
        { step_id: A, name: "Mail", type: "action", order: 4 },
      ],
    }],
  });
  const { funnel } = ask(world);
  const silent = {
    average_time_seconds: null,
    median_time_seconds: null,
    p95_time_seconds: null,
  };
  const nothing = {
    entered: 0,
    completed: 0,
    dropped_off: 0,
    goal_exits: 0,
    in_progress: 0,
    left_after: 0,
    visits: 0,
  };
  deepStrictEqual(funnel.funnel_steps, [
    {
      step_id: A,
      step_name: "Mail",
      step_type: "action",
      step_order: 4,
      entered: 4,
      completed: 1,
      dropped_off: 1,
      goal_exits: 1,
      in_progress: 1,
      left_after: 0,
      conversion_rate: 25,
      drop_off_rate: 25,
      average_time_seconds: 1_800,
      median_time_seconds: 1_800,
      p95_time_seconds: 1_800,
      visits: 5,
      vs_previous_period: { conversion_rate: null, drop_off_rate: null },
      vs_workflow_average: { conversion_rate: 0, drop_off_rate: 0 },
    },
    {
      step_id: B,
      step_name: "Unused",
      step_type: "wait",
      step_order: 9,
      ...nothing,
      ...silent,
      conversion_rate: null,
      drop_off_rate: null,
      vs_previous_period: { conversion_rate: null, drop_off_rate: null },
      vs_workflow_average: { conversion_rate: null, drop_off_rate: null },
    },
    {
      step_id: C,
      step_name: C,
      step_type: null,
      step_order: 10,
      ...nothing,
      entered: 1,
      completed: 1,
      left_after: 1,
      visits: 1,
      conversion_rate: 100,
      drop_off_rate: 0,
      average_time_seconds: 0,
      median_time_seconds: 0,
      p95_time_seconds: 0,
      vs_previous_period: { conversion_rate: null, drop_off_rate: null },
      vs_workflow_average: { conversion_rate: 0, drop_off_rate: 0 },
    },
  ]);
  strictEqual(funnel.overall_conversion, 25);
  strictEqual(funnel.bottleneck_step, A);
  strictEqual(funnel.slowest_step, A);
});

Deno.test("oracle() puts the worst action first, by exact rates", () => {
  const run = (step_id: string, duration_ms: number, status = "succeeded") => ({
    type: "action.executed" as const,
    of: 1,
    at: "2026-03-01T12:00:00Z",
    step_id,
    duration_ms,
    status,
  });
  const said: Said[] = [
    enrolled(1, "2026-03-05T00:00:00Z"),
    ...[1, 2, 3, 4].map((ms) => run(A, ms)),
    run(A, 5, "failed"),
    run(B, 5_000),
    run(C, 5_000.001),
    // Its execution was never enrolled.
    { ...run(C, 9), of: 2 },
  ];
  const { actions } = ask(facts(said)).actions;
  deepStrictEqual(actions.map((row) => [row.action_id, row.health]), [
    [A, "warning"],
    [C, "slow"],
    [B, "ok"],
  ]);
  deepStrictEqual(actions[0], {
    action_id: A,
    action_name: A,
    action_type: null,
    executions: 5,
    successes: 4,
    failures: 1,
    success_rate: 80,
    error_rate: 20,
    average_duration_ms: 3,
    p50_duration_ms: 3,
    p95_duration_ms: 5,
    p99_duration_ms: 5,
    health: "warning",
  });
});

Deno.test("oracle() filters by the version of the enrolment", () => {
  const world = facts([
    { ...enrolled(1, "2026-03-01T00:00:00Z"), workflow_version: 2 },
    {
      type: "step.entered",
      of: 1,
      at: "2026-03-01T00:00:00Z",
      step_id: A,
    },
    enrolled(2, "2026-03-01T00:00:00Z"),
  ], {
    versions: [
      {
        version: 1,
        goals: [],
        steps: [{ step_id: A, name: "Old", type: "wait", order: 0 }],
      },
      {
        version: 2,
        goals: [],
        steps: [{ step_id: B, name: "New", type: "wait", order: 0 }],
      },
    ],
  });
  strictEqual(ask(world).analytics.summary.total_enrolled, 2);
  const second = ask(world, { version: 2 });
  strictEqual(second.analytics.summary.total_enrolled, 1);
  deepStrictEqual(
    second.funnel.funnel_steps.map((one) => [one.step_name, one.step_order]),
    [["New", 0], ["Old", 1]],
  );
  strictEqual(ask(world, { version: 3 }).funnel.funnel_steps.length, 0);
});

for (
  const [zone, date, start] of [
    ["America/New_York", "2026-03-08", "2026-03-08T05:00:00Z"],
    ["America/New_York", "2026-03-09", "2026-03-09T04:00:00Z"],
    // Two midnights: the first one counts.
    ["America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"],
    // No midnight: the day begins at one o'clock.
    ["America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"],
    ["Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z"],
    ["Australia/Lord_Howe", "2026-04-06", "2026-04-05T13:30:00Z"],
    ["Pacific/Chatham", "2026-04-05", "2026-04-04T10:15:00Z"],
    ["Pacific/Chatham", "2026-04-06", "2026-04-05T11:15:00Z"],
    ["Asia/Kathmandu", "2026-01-01", "2025-12-31T18:15:00Z"],
    ["Asia/Kolkata", "2026-01-01", "2025-12-31T18:30:00Z"],
  ] as const
) {
  Deno.test(`dayStartUs() finds the start of ${date} in ${zone}`, () => {
    const us = dayStartUs(Temporal.PlainDate.from(date), zone);
    strictEqual(instantText(us), start);
  });
}

Deno.test("durationUs() takes weeks to microseconds", () => {
  strictEqual(durationUs("P90D"), 7_776_000_000_000n);
  strictEqual(durationUs("P1W2DT3H4M5.000006S"), 788_645_000_006n);
  strictEqual(durationUs("P99999W"), 60_479_395_200_000_000n);
});

Deno.test("sameNumbers() forgives percentiles of histograms 2 %, nothing else", () => {
  const expected = {
    median_duration_seconds: 100,
    p99_duration_ms: 0,
    time_to_conversion: { fastest: 50, average: 50 },
    period: { start: "2026-03-01T00:00:00Z" },
  };
  const near = {
    as_of: "2026-03-01T00:00:00Z",
    median_duration_seconds: 102,
    p99_duration_ms: 0.0005,
    time_to_conversion: { fastest: 49, average: 50 },
    period: { start: "2026-03-01T00:00:00.000Z" },
  };
  sameNumbers(near, expected, "histogram");
  throws(() => sameNumbers(near, expected), /median_duration_seconds: is 102/);
  throws(
    () =>
      sameNumbers({ ...near, p99_duration_ms: 0.001 }, expected, "histogram"),
    /p99_duration_ms: is 0.001, should be 0/,
  );
  throws(
    () =>
      sameNumbers(
        { ...near, time_to_conversion: { fastest: 50, average: 50.001 } },
        expected,
        "histogram",
      ),
    /in 1 place.*time_to_conversion\.average: is 50\.001, should be 50/s,
  );
  throws(
    () => sameNumbers({ ...near, more: 1 }, expected, "histogram"),
    /more/,
  );
});
