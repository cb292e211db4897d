import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { fold } from "../../db/events.ts";
import { dbTest } from "../harness.ts";
import {
  type Answer,
  assertInvalid,
  assertProblem,
  at,
  enrolled,
  post,
  put,
  RANGE,
  send,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics`;
const READS = ["", "/funnel", "/actions"];
const DAY = "start_date=2026-06-15&end_date=2026-06-15";

/** One execution that executes an action, and ends. */
const JOURNEY = [
  { type: "execution.enrolled", source: "bulk", occurred_at: at(-50) },
  { type: "step.entered", step_id: STEP, occurred_at: at(-40) },
  {
    type: "action.executed",
    step_id: STEP,
    status: "succeeded",
    duration_ms: 12.3456,
    occurred_at: at(-30),
  },
  { type: "step.completed", step_id: STEP, occurred_at: at(-20) },
  { type: "execution.completed", occurred_at: at(-10) },
].map((event) => ({
  ...enrolled({ source: undefined, execution_id: STEP }),
  ...event,
}));

dbTest("GET …/analytics answers in the contract's shape", async (world) => {
  await put(world, {
    name: "Welcome",
    steps: [{ step_id: STEP, name: "Mail", type: "action", order: 1 }],
  });
  await post(world, JOURNEY);
  await fold(world.sql);
  const answer = await send(world, "GET", `${PATH}?${DAY}`);
  strictEqual(answer.status, 200);
  strictEqual(
    answer.headers.get("cache-control"),
    "private, max-age=0, must-revalidate",
  );
  const period = {
    start_date: "2026-06-15",
    end_date: "2026-06-15",
    tz: "UTC",
    tz_effective: "UTC",
    start: "2026-06-15T00:00:00.000Z",
    end: "2026-06-16T00:00:00.000Z",
    granularity: "daily",
    attribution: "cohort",
    unit: "execution",
  };
  const { summary, trends, ...rest } = answer.json;
  deepStrictEqual(rest, {
    workflow_id: WORKFLOW,
    as_of: "2026-06-15T12:00:00.000Z",
    period,
    comparison: null,
  });
  deepStrictEqual(summary, {
    total_enrolled: 1,
    currently_active: 0,
    completed: 1,
    completion_rate: 100,
    goals_achieved: 0,
    conversion_rate: 0,
    average_duration_seconds: 2_400,
    average_duration_hours: 0.67,
    // 40 minutes, as the bin that they lie in says it.
    median_duration_seconds: summary.median_duration_seconds,
    p95_duration_seconds: summary.median_duration_seconds,
    in_progress: 0,
    settled: 1,
    settled_completion_rate: 100,
    settled_conversion_rate: 0,
    enrollment_rate: 1,
    enrollment_sources: [{ source: "bulk", count: 1, share: 100 }],
    exit_reasons: [{ reason: "completed", count: 1, share: 100 }],
    goal_breakdown: [],
    time_to_conversion: {
      average: null,
      median: null,
      p95: null,
      fastest: null,
      slowest: null,
    },
  });
  ok(Math.abs(summary.median_duration_seconds / 2_400 - 1) <= 0.02);
  deepStrictEqual(trends, [{
    date: "2026-06-15",
    label: "2026-06-15",
    start: period.start,
    end: period.end,
    new_enrollments: 1,
    completions: 1,
    conversions: 0,
    exits: 0,
    cohort_completed: 1,
    cohort_converted: 0,
    in_progress: 0,
    total_enrolled: 1,
    currently_active: 0,
  }]);

  const funnel = (await send(world, "GET", `${PATH}/funnel?${DAY}`)).json;
  deepStrictEqual(Object.keys(funnel), [
    "workflow_id",
    "as_of",
    "period",
    "funnel_steps",
    "overall_conversion",
    "drop_off_points",
    "bottleneck_step",
    "slowest_step",
  ]);
  const [step] = funnel.funnel_steps;
  deepStrictEqual(
    [step.step_name, step.step_type, step.entered, step.completed],
    ["Mail", "action", 1, 1],
  );
  strictEqual(step.average_time_seconds, 1_200);
  strictEqual(funnel.slowest_step, STEP);
  strictEqual(funnel.bottleneck_step, null);

  const actions = (await send(world, "GET", `${PATH}/actions?${DAY}`)).json;
  deepStrictEqual(actions.period, { ...period, attribution: "event" });
  const [action] = actions.actions;
  deepStrictEqual(
    [action.action_id, action.executions, action.average_duration_ms],
    [STEP, 1, 12.346],
  );
  strictEqual(action.health, "ok");
});

dbTest("GET …/analytics of nothing is zeros and nulls", async (world) => {
  await put(world, { name: "Empty" });
  const { summary, trends } =
    (await send(world, "GET", `${PATH}?${RANGE}`)).json;
  strictEqual(summary.total_enrolled, 0);
  strictEqual(summary.completion_rate, null);
  strictEqual(summary.average_duration_hours, null);
  strictEqual(summary.enrollment_rate, 0);
  deepStrictEqual(summary.exit_reasons, []);
  strictEqual(trends.length, 15);
  const funnel = (await send(world, "GET", `${PATH}/funnel?${RANGE}`)).json;
  strictEqual(funnel.overall_conversion, null);
  deepStrictEqual(funnel.funnel_steps, []);
  const actions = (await send(world, "GET", `${PATH}/actions?${RANGE}`)).json;
  deepStrictEqual(actions.actions, []);
});

dbTest(
  "GET …/analytics shows what is not registered under its ids",
  async (world) => {
    await post(world, JOURNEY);
    await fold(world.sql);
    const { funnel_steps } =
      (await send(world, "GET", `${PATH}/funnel?${DAY}`)).json;
    strictEqual(funnel_steps[0].step_name, STEP);
    strictEqual(funnel_steps[0].step_type, null);
  },
);

dbTest(
  "GET …/analytics is as of what it has not counted yet",
  async (world) => {
    await post(world, JOURNEY);
    // The queue keeps the database's time, which is after the test's clock.
    await world.sql`update weir.event_queue set accepted_at = ${at(-5)}`;
    const waiting = (await send(world, "GET", `${PATH}?${DAY}`)).json;
    strictEqual(waiting.summary.total_enrolled, 0);
    strictEqual(waiting.as_of, at(-5));
    await fold(world.sql);
    const counted = (await send(world, "GET", `${PATH}?${DAY}`)).json;
    strictEqual(counted.summary.total_enrolled, 1);
    strictEqual(counted.as_of, at(0));
  },
);

dbTest(
  "GET …/analytics takes the account's zone unless told another",
  async (world) => {
    const { account_id } = await createAccount(
      world.sql,
      "A",
      "Asia/Kathmandu",
    );
    const key = await createKey(world.sql, account_id, { scopes: ["admin"] });
    await post(world, enrolled({ occurred_at: "2026-06-14T18:14:59Z" }), {
      key,
    });
    await post(world, enrolled({ occurred_at: "2026-06-14T18:15:00Z" }), {
      key,
    });
    await fold(world.sql);
    const count = async (tz: string) => {
      const answer = await send(world, "GET", `${PATH}?${DAY}${tz}`, { key });
      const { period, summary } = answer.json;
      return [period.tz, period.start, summary.total_enrolled];
    };
    deepStrictEqual(await count(""), [
      "Asia/Kathmandu",
      "2026-06-14T18:15:00.000Z",
      1,
    ]);
    deepStrictEqual(await count("&tz=UTC"), [
      "UTC",
      "2026-06-15T00:00:00.000Z",
      0,
    ]);
    deepStrictEqual(await count("&tz=Asia/Kolkata"), [
      "Asia/Kolkata",
      "2026-06-14T18:30:00.000Z",
      0,
    ]);
  },
);

/** Queries without sense, and where it must be said. */
const INVALID: [string, ...string[]][] = [
  ["", "start_date", "end_date"],
  ["start_date=2026-06-01", "end_date"],
  ["end_date=2026-06-01", "start_date"],
  ["start_date=&end_date=2026-06-01", "start_date"],
  ["start_date=2026-02-29&end_date=2026-03-01", "start_date"],
  ["start_date=2026-6-1&end_date=2026-06-02", "start_date"],
  ["start_date=01.06.2026&end_date=2026-06-02", "start_date"],
  ["start_date=2026-06-01T00:00:00Z&end_date=2026-06-02", "start_date"],
  ["start_date=today&end_date=infinity", "start_date", "end_date"],
  ["start_date=-2026-06-01&end_date=2026-06-02", "start_date"],
  ["start_date=0000-01-01&end_date=0000-01-02", "start_date", "end_date"],
  ["start_date=1899-12-31&end_date=1900-01-01", "start_date"],
  ["start_date=12026-01-01&end_date=12026-01-02", "start_date", "end_date"],
  ["start_date=2026-06-01%00&end_date=2026-06-02", "start_date"],
  ["start_date=2026-06-02&end_date=2026-06-01", "end_date"],
  ["start_date=2024-06-01&end_date=2026-06-03", "end_date"],
  ["start_date=1900-01-01&end_date=9998-12-31", "end_date"],
  ["start_date=9998-12-31&end_date=9999-01-01", "end_date"],
  [
    "start_date=2026-06-01&start_date=2026-06-02&end_date=2026-06-02",
    "start_date",
  ],
  [`${RANGE}&tz=`, "tz"],
  [`${RANGE}&tz=Europe/Atlantis`, "tz"],
  [`${RANGE}&tz=%2B05:30`, "tz"],
  [`${RANGE}&tz=UTC%2B3`, "tz"],
  [`${RANGE}&tz=<%2B03>-3`, "tz"],
  [`${RANGE}&tz=../../etc/passwd`, "tz"],
  [`${RANGE}&tz=UTC%00`, "tz"],
  [`${RANGE}&tz=UTC';select 1--`, "tz"],
  [`${RANGE}&tz=${"A".repeat(65)}`, "tz"],
  [`${RANGE}&granularity=yearly`, "granularity"],
  [`${RANGE}&attribution=first`, "attribution"],
  [`${RANGE}&attribution=`, "attribution"],
  [`${RANGE}&version=0`, "version"],
  [`${RANGE}&version=-1`, "version"],
  [`${RANGE}&version=one`, "version"],
  [`${RANGE}&version=2147483648`, "version"],
  [`${RANGE}&version=NaN`, "version"],
  [`${RANGE}&colour=red`, ""],
  [`${RANGE}&Tz=UTC`, ""],
];

dbTest(
  "GET …/analytics says by path what is wrong with a query",
  async (world) => {
    await put(world, { name: "Welcome" });
    for (const read of READS) {
      for (const [query, ...paths] of INVALID) {
        const answer = await send(world, "GET", `${PATH}${read}?${query}`);
        assertInvalid(answer, ...paths);
        for (const { message } of answer.json.errors) ok(message.length > 5);
      }
    }
  },
);

/** Queries at the edges of what makes sense. */
const VALID = [
  "start_date=2024-06-01&end_date=2026-06-02",
  "start_date=1900-01-01&end_date=1900-01-02&tz=Europe/Amsterdam",
  "start_date=9998-12-31&end_date=9998-12-31&tz=Etc/GMT%2B12",
  "start_date=2024-02-29&end_date=2024-02-29",
  // A day that was skipped, and one between two midnights.
  "start_date=2011-12-29&end_date=2011-12-31&tz=Pacific/Apia",
  "start_date=2026-11-01&end_date=2026-11-01&tz=America/Havana",
  "start_date=2026-04-05&end_date=2026-04-05&tz=Australia/Lord_Howe",
  `${RANGE}&tz=europe/paris`,
  `${RANGE}&tz=Etc/GMT%2B12`,
  `${RANGE}&tz=EST5EDT`,
  `${RANGE}&tz=America/Argentina/Buenos_Aires`,
  `${RANGE}&version=2147483647&attribution=event&granularity=daily`,
];

dbTest(
  "GET …/analytics answers at the edges of what makes sense",
  async (world) => {
    await put(world, { name: "Welcome" });
    await post(world, JOURNEY);
    await fold(world.sql);
    for (const read of READS) {
      for (const query of VALID) {
        const answer: Answer = await send(
          world,
          "GET",
          `${PATH}${read}?${query}`,
        );
        strictEqual(answer.status, 200, `${query} ${answer.text}`);
        const { start, end } = answer.json.period;
        ok(start < end || end.length > start.length, query);
      }
    }
  },
);

dbTest("GET …/analytics knows every zone that it accepts", async (world) => {
  await put(world, { name: "Welcome" });
  for (const tz of Intl.supportedValuesOf("timeZone")) {
    const answer = await send(world, "GET", `${PATH}?${DAY}&tz=${tz}`);
    ok([200, 400].includes(answer.status), `${tz} ${answer.text}`);
    if (answer.status === 400) assertInvalid(answer, "tz");
  }
});

dbTest(
  "GET …/analytics refuses what is no workflow or not known",
  async (world) => {
    for (const read of READS) {
      const unknown = await send(world, "GET", `${PATH}${read}?${RANGE}`);
      assertProblem(unknown, 404, "workflow_not_found");
      for (const id of ["x", "%00", "null"]) {
        const path = `/api/v1/workflows/${id}/analytics${read}?${RANGE}`;
        assertInvalid(await send(world, "GET", path), "id");
      }
    }
  },
);
