import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { fold, recordEvents } from "../../db/events.ts";
import { audit } from "../../db/jobs.ts";
import type { Analytics, Execution, Funnel } from "../../db/schema.ts";
import { randomOf } from "../../workers/_random.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { goalIdOf, journeyOf, stepIdOf } from "../journeys.ts";
import {
  assertInvalid,
  assertProblem,
  at,
  enrolled,
  GOAL,
  post,
  put,
  send,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}`;

/** Executions of four days, the last of which is the clock's; some of them ended in it. */
async function makePast(world: World, executions = 120): Promise<void> {
  const random = randomOf("executions");
  await put(world, {
    name: "Welcome",
    steps: [0, 1, 2, 3, 4, 5].map((n) => ({
      step_id: stepIdOf(WORKFLOW, n),
      name: `Step ${n}`,
      type: "action",
      order: n,
    })),
    goal_ends_execution: false,
    goals: [0, 1].map((n) => ({
      goal_id: goalIdOf(WORKFLOW, n),
      type: "order",
      name: `Goal ${n}`,
    })),
  });
  const from = NOW.getTime() - 3.4 * 86_400_000;
  const span = 3.3 * 86_400_000;
  const events = Array.from(
    { length: executions },
    (_, i) =>
      journeyOf(
        random,
        WORKFLOW,
        `x${i}`,
        from + Math.floor(span * i / executions),
      ),
  );
  await recordEvents(world.sql, world.account.account_id, events.flat());
  while (await fold(world.sql) > 0);
}

/** Every execution of a list, page by page. */
async function listAll(
  world: World,
  filter: Record<string, string | number | undefined>,
  limit = 60,
): Promise<Execution[]> {
  const params = new URLSearchParams({ limit: String(limit) });
  for (const [key, value] of Object.entries(filter)) {
    if (value !== undefined) params.set(key, String(value));
  }
  const all: Execution[] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    if (cursor) params.set("cursor", cursor);
    const answer = await send(world, "GET", `${PATH}/executions?${params}`);
    strictEqual(answer.status, 200, answer.text);
    all.push(...answer.json.executions);
    cursor = answer.json.next_cursor;
  }
  const ids = new Set(all.map((execution) => execution.execution_id));
  strictEqual(ids.size, all.length, "one execution on two pages");
  return all;
}

/** A filter for every number of a summary and a funnel. */
function* numbersOf(
  { summary, trends, period, as_of }: Analytics,
  funnel: Funnel,
): Generator<[string, number, Record<string, string>]> {
  const ended = "completed,goal_achieved,exited,error";
  const completed = "completed,goal_achieved";
  const byCohort = { attribution: "cohort" };
  const running_at = period.end < as_of ? period.end : as_of;
  const anytime = { start_date: "", end_date: "", tz: "" };
  yield ["total_enrolled", summary.total_enrolled, {}];
  yield ["completed", summary.completed, { status: completed }];
  yield ["goals_achieved", summary.goals_achieved, { converted: "true" }];
  yield ["in_progress", summary.in_progress, {
    status: "active",
    ...byCohort,
  }];
  yield ["settled", summary.settled, { status: ended, ...byCohort }];
  yield ["currently_active", summary.currently_active, {
    running_at,
    ...anytime,
  }];
  for (const { source, count } of summary.enrollment_sources) {
    yield [source, count, { source }];
  }
  for (const { reason, count } of summary.exit_reasons) {
    yield [reason, count, { reason }];
  }
  for (const goal of summary.goal_breakdown) {
    const { goal_id } = goal;
    yield ["achieved", goal.achieved, { goal_id }];
    yield ["first", goal.first, { goal_id, goal: "first" }];
  }
  for (const step of funnel.funnel_steps) {
    for (
      const outcome of [
        "entered",
        "completed",
        "dropped_off",
        "goal_exits",
        "in_progress",
        "left_after",
      ] as const
    ) {
      yield [`${step.step_name} ${outcome}`, step[outcome], {
        step_id: step.step_id,
        step: outcome,
        ...byCohort,
      }];
    }
  }
  for (const { start, end, ...point } of trends) {
    const bucket = { ...anytime, start, end };
    const byEvent = { ...bucket, attribution: "event" };
    const exits = { status: "exited,error", ...byEvent };
    yield ["new_enrollments", point.new_enrollments, bucket];
    yield ["completions", point.completions, { status: completed, ...byEvent }];
    yield ["conversions", point.conversions, { converted: "true", ...byEvent }];
    yield ["exits", point.exits, exits];
    yield ["cohort_completed", point.cohort_completed, {
      ...bucket,
      ...byCohort,
      status: completed,
    }];
  }
}

dbTest(
  "GET …/executions lists as many executions as every number says",
  async (world) => {
    await makePast(world);
    let numbers = 0;
    const queries: Record<string, string>[] = [
      { attribution: "cohort", tz: "UTC" },
      { attribution: "event", tz: "Asia/Kathmandu", version: "2" },
    ];
    for (const query of queries) {
      const range = { start_date: "2026-06-12", end_date: "2026-06-14" };
      const params = new URLSearchParams({ ...range, ...query });
      const read = `${PATH}/analytics`;
      const analytics = (await send(world, "GET", `${read}?${params}`)).json;
      const funnel =
        (await send(world, "GET", `${read}/funnel?${params}`)).json;
      ok(analytics.summary.total_enrolled > 20);
      for (const [name, count, filter] of numbersOf(analytics, funnel)) {
        const asked = { ...range, ...query, ...filter };
        const found = await listAll(
          world,
          Object.fromEntries(Object.entries(asked).filter(([, v]) => v !== "")),
        );
        strictEqual(found.length, count, `${name} ${JSON.stringify(asked)}`);
        if (count > 0) numbers++;
      }
    }
    ok(numbers > 60, `only ${numbers} numbers were not 0`);
  },
);

dbTest("GET …/executions pages along a list that grows", async (world) => {
  await makePast(world, 40);
  const all = await listAll(world, {}, 200);
  deepStrictEqual(await listAll(world, {}, 7), all);
  const order = (a: Execution, b: Execution) =>
    a.enrolled_at! < b.enrolled_at! ||
      a.enrolled_at === b.enrolled_at && a.execution_id < b.execution_id
      ? 1
      : -1;
  deepStrictEqual(all.toSorted(order), all);

  const first = await send(world, "GET", `${PATH}/executions?limit=10`);
  await post(world, [
    enrolled(),
    enrolled({ occurred_at: all[20]!.enrolled_at }),
  ]);
  await fold(world.sql);
  const cursor = first.json.next_cursor;
  const next = await send(
    world,
    "GET",
    `${PATH}/executions?limit=10&cursor=${cursor}`,
  );
  deepStrictEqual(next.json.executions, all.slice(10, 20));
});

dbTest(
  "GET …/executions finds by the begin of an id, and by words",
  async (world) => {
    await put(world);
    const one = "abcd0000-0000-4000-8000-000000000001";
    const two = "abcd0000-0000-4000-8000-000000000002";
    const three = "ffff0000-0000-4000-8000-000000000003";
    const event = (execution_id: string, contact_id: string, rest = {}) =>
      enrolled({ execution_id, contact_id, ...rest });
    const failed = { source: undefined, type: "execution.failed" };
    const exited = { source: undefined, type: "execution.exited" };
    await post(world, [
      event(one, "ada@example.com"),
      event(two, "ada_2%"),
      event(three, "Bob"),
      event(one, "ada@example.com", {
        ...failed,
        error: "Mailbox of ada@example.com is full: try again",
      }),
      event(two, "ada_2%", { ...exited, reason: "manual_removal" }),
    ]);
    await fold(world.sql);
    const found = async (text: string) =>
      (await listAll(world, { text })).map((x) => x.execution_id).sort();
    deepStrictEqual(await found("ada"), [one, two]);
    deepStrictEqual(await found("ada_"), [two]);
    deepStrictEqual(await found("ada@example.com"), [one]);
    deepStrictEqual(await found("bob"), []);
    deepStrictEqual(await found("Bob"), [three]);
    deepStrictEqual(await found("abcd0000"), [one, two]);
    deepStrictEqual(await found(three), [three]);
    deepStrictEqual(await found("mailbox full"), [one]);
    deepStrictEqual(await found('"full mailbox"'), []);
    deepStrictEqual(await found("mailbox -full"), []);
    deepStrictEqual(await found("manual removal"), [two]);
    deepStrictEqual(await found("' or true --"), []);
    deepStrictEqual(await found("!&|():*"), []);
    // What a workflow's events are filed under is no word of theirs.
    deepStrictEqual(await found("workflow 1"), []);
    deepStrictEqual(await found('"workflow 1"'), []);
    strictEqual(
      (await listAll(world, { text: "ada", status: "error" })).length,
      1,
    );
  },
);

dbTest("GET …/executions/{id} tells all of one execution", async (world) => {
  await put(world, {
    name: "Welcome",
    steps: [{ step_id: STEP, name: "Mail", type: "action", order: 1 }],
    goals: [{ goal_id: GOAL, type: "order", name: "Bought" }],
  });
  const id = crypto.randomUUID();
  const other = crypto.randomUUID();
  const of = (type: string, minutes: number, rest = {}) => ({
    ...enrolled({ execution_id: id, source: undefined }),
    id: `${type} ${minutes}`,
    type,
    occurred_at: at(minutes),
    ...rest,
  });
  const failure = { status: "failed", duration_ms: 1.5, error: "Full" };
  await post(world, [
    of("execution.enrolled", -60, { source: "bulk" }),
    of("step.entered", -50, { step_id: STEP }),
    of("action.executed", -40, { step_id: STEP, ...failure }),
    of("step.completed", -30, { step_id: STEP }),
    of("step.entered", -25, { step_id: other }),
    of("goal.achieved", -20, { goal_id: GOAL, sequence: 3 }),
  ]);
  await fold(world.sql);
  const answer = await send(world, "GET", `${PATH}/executions/${id}`);
  strictEqual(answer.status, 200);
  const { events, ...rest } = answer.json;
  deepStrictEqual(rest, {
    workflow_id: WORKFLOW,
    as_of: NOW.toISOString(),
    execution_id: id,
    contact_id: "contact",
    status: "goal_achieved",
    source: "bulk",
    version: 1,
    enrolled_at: at(-60),
    ended_at: at(-20),
    end_reason: "goal_achieved",
    duration_seconds: 2_400,
    converted_at: at(-20),
    goal_id: GOAL,
    open_steps: [{ step_id: other, step_name: other, entered_at: at(-25) }],
    steps: [
      {
        step_id: STEP,
        step_name: "Mail",
        entered_at: at(-50),
        completed_at: at(-30),
        visits: 1,
        time_seconds: 1_200,
      },
      {
        step_id: other,
        step_name: other,
        entered_at: at(-25),
        completed_at: null,
        visits: 1,
        time_seconds: null,
      },
    ],
    goals: [{
      goal_id: GOAL,
      goal_name: "Bought",
      achieved_at: at(-20),
      is_conversion: true,
    }],
    events_total: 6,
  });
  deepStrictEqual(events[2], {
    id: "action.executed -40",
    type: "action.executed",
    occurred_at: at(-40),
    sequence: 0,
    step_id: STEP,
    step_name: "Mail",
    ...failure,
  });
  deepStrictEqual(events[5], {
    id: "goal.achieved -20",
    type: "goal.achieved",
    occurred_at: at(-20),
    sequence: 3,
    goal_id: GOAL,
    goal_name: "Bought",
  });
  const [listed] = await listAll(world, {});
  deepStrictEqual(
    listed,
    Object.fromEntries(
      Object.keys(listed!).map((key) => [key, answer.json[key]]),
    ),
  );
  assertProblem(
    await send(world, "GET", `${PATH}/executions/${other}`),
    404,
    "execution_not_found",
  );
});

dbTest("GET …/executions refuses what it cannot read", async (world) => {
  await put(world);
  const ask = (query: string) =>
    send(world, "GET", `${PATH}/executions?${query}`);
  assertInvalid(await ask("status=completed,gone"), "status.1");
  assertInvalid(await ask("start_date=2026-06-01"), "start_date");
  assertInvalid(await ask("tz=UTC"), "tz");
  assertInvalid(
    await ask("start_date=2026-06-02&end_date=2026-06-01"),
    "end_date",
  );
  assertInvalid(await ask(`start=${at(0)}&end=${at(0)}`), "end");
  assertInvalid(await ask("step=entered&goal=first"), "goal", "step");
  assertInvalid(await ask("text=%00"), "text");
  assertInvalid(await ask("limit=201"), "limit");
  assertInvalid(await ask("sort=contact"), "");
  const forged = [
    [],
    ["now", STEP],
    [at(0), "x"],
    [at(0), STEP, 1].slice(0, 1),
  ];
  for (
    const cursor of [...forged.map((c) => btoa(JSON.stringify(c))), "é", "!"]
  ) {
    assertInvalid(await ask(`cursor=${encodeURIComponent(cursor)}`), "cursor");
  }
  strictEqual((await ask(`step_id=${STEP}&goal_id=${GOAL}`)).status, 200);
});

dbTest(
  "DELETE /contacts/{id} erases a contact everywhere and changes no number",
  async (world) => {
    const { sql, snapshots } = world;
    await makePast(world);
    // One that no enrolment tells of, and one that waits.
    const contact_id = "contact-7 é/=";
    const stray = {
      ...enrolled({ contact_id, id: "stray" }),
      source: undefined,
    };
    const error = `Cannot reach ${contact_id}`;
    await post(world, [
      ...[1, 2, 3].map((n) => enrolled({ contact_id, id: `again ${n}` })),
      { ...stray, type: "execution.failed", error },
    ]);
    await fold(sql);
    const waiting = enrolled({ contact_id, id: "waiting" });
    await post(world, waiting);

    const range = "start_date=2026-06-10&end_date=2026-06-15";
    const reads = ["", "/funnel", "/actions"].flatMap((path) =>
      ["execution", "contact"].map((unit) =>
        `${PATH}/analytics${path}?${range}&unit=${unit}&attribution=event`
      )
    );
    const numbers = async () =>
      await Promise.all(
        reads.map(async (path) => (await send(world, "GET", path)).json),
      );
    await fold(sql);
    const before = await numbers();
    const path = `/api/v1/contacts/${encodeURIComponent(contact_id)}`;
    const erased = await send(world, "DELETE", path);
    deepStrictEqual(erased.json, { executions: 4, events: 5 });

    deepStrictEqual(await numbers(), before);
    const { differences } = await audit(snapshots, null, NOW);
    strictEqual(differences, 0);
    strictEqual(await countPlaces(world, contact_id), 0);
    const tombstones = await sql`
      select distinct contact_id from weir.event where contact_id like 'erased-%'`;
    strictEqual(tombstones.length, 1);

    // A retry is no new event, and a second erasure finds nothing.
    const retry = await post(world, { ...waiting, contact_id: "somebody" });
    strictEqual(retry.json.duplicates, 1);
    const again = await send(world, "DELETE", path);
    deepStrictEqual(again.json, { executions: 0, events: 0 });
  },
);

/** Rows of the database that have a text anywhere. */
async function countPlaces({ sql }: World, text: string): Promise<number> {
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'weir' and c.relkind in ('r', 'm')`;
  let rows = 0;
  for (const { name } of tables) {
    const [row] = await sql.unsafe<[{ count: number }]>(
      `select count(*) from ${name} t where strpos(t::text, $1) > 0`,
      [text],
    );
    rows += row.count;
  }
  return rows;
}
