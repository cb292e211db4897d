import {
  deepStrictEqual,
  match,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { fold } from "../../db/events.ts";
import { Event, type Quality } from "../../db/schema.ts";
import { dbTest, type World } from "../harness.ts";
import {
  assertInvalid,
  at,
  countEvents,
  enrolled,
  post,
  put,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

const OTHER = "55555555-5555-4555-8555-555555555555";

function step(n: number): string {
  return `22222222-2222-4222-8222-22222222222${n}`;
}

async function read(world: World): Promise<Quality> {
  await fold(world.sql);
  const answer = await send(
    world,
    "GET",
    `/api/v1/workflows/${WORKFLOW}/quality`,
  );
  strictEqual(answer.status, 200, answer.text);
  return answer.json;
}

/** What was counted of each kind, those that were not left out. */
function countsOf({ arrivals }: Quality): Record<string, number> {
  return Object.fromEntries(
    arrivals.filter(({ events }) => events > 0)
      .map(({ kind, events }) => [kind, events]),
  );
}

/** Whom the numbers of these tests are about happens around the real now. */
function realTime(world: World): (minutes: number) => string {
  world.clock.now = new Date();
  return (minutes) =>
    new Date(world.clock.now.getTime() + minutes * 60_000).toISOString();
}

dbTest("GET /quality counts what arrives as it should not", async (world) => {
  const minute = realTime(world);
  const first = enrolled({ occurred_at: minute(-5) });
  strictEqual((await post(world, first)).status, 202);
  const quality = await read(world);
  deepStrictEqual(countsOf(quality), {});
  strictEqual(quality.arrivals.length, 7);

  const { execution_id } = first;
  await post(world, [
    first,
    first,
    { ...first, contact_id: "another" },
    enrolled({ occurred_at: minute(-61) }),
    enrolled({ occurred_at: minute(6), execution_id }),
    enrolled({ occurred_at: minute(-91 * 1_440) }),
    { ...enrolled(), source: "nowhere" },
    { ...enrolled(), execution_id: "x", workflow_id: 1 },
    // A refusal makes no workflow, and is not counted at one there is not.
    { ...enrolled(), workflow_id: OTHER, source: "nowhere" },
  ]);
  const after = await read(world);
  deepStrictEqual(countsOf(after), {
    duplicate: 2,
    conflict: 1,
    late: 1,
    future: 1,
    too_old: 1,
    invalid: 1,
  });
  for (const { kind, executions, last_at } of after.arrivals) {
    if (["duplicate", "conflict", "future"].includes(kind)) {
      deepStrictEqual(executions, [execution_id]);
      match(last_at!, /Z$/);
    }
  }
  const [row] = await world.sql<[{ workflows: number }]>`
    select count(*)::int as workflows from weir.workflow`;
  strictEqual(row.workflows, 1);
  const long = await send(
    world,
    "GET",
    `/api/v1/workflows/${WORKFLOW}/quality?days=91`,
  );
  assertInvalid(long, "days");
});

dbTest(
  "GET /quality counts ends beyond the first, in any order",
  async (world) => {
    const minute = realTime(world);
    const executions = [0, 1, 2].map(() => crypto.randomUUID());
    const types = ["execution.completed", "execution.failed"];
    const events = executions.flatMap((execution_id, n) => [
      enrolled({ execution_id, occurred_at: minute(-30) }),
      ...Array.from({ length: n + 1 }, (_, i) => ({
        ...enrolled({ execution_id, occurred_at: minute(-20 + i) }),
        source: undefined,
        type: types[i % 2],
      })),
    ]);
    const order = events.map((event) => ({ event, at: Math.random() }))
      .sort((a, b) => a.at - b.at).map(({ event }) => event);
    for (const event of order) {
      await post(world, event);
      if (Math.random() < 0.5) await fold(world.sql);
    }
    deepStrictEqual(countsOf(await read(world)), { conflicting_end: 3 });
  },
);

dbTest(
  "GET /quality compares what happened with the definition",
  async (world) => {
    const minute = realTime(world);
    const names = ["Start", "Gateway", "Left", "Right", "Join"];
    const next = [[1], [2, 3], [4], [4], []];
    await put(world, {
      name: "Branches",
      steps: names.map((name, n) => ({
        step_id: step(n),
        name,
        type: "action",
        order: n,
        next: next[n]!.map(step),
      })),
    });
    function journey(path: number[], complete = true) {
      const execution_id = crypto.randomUUID();
      const of = { execution_id, source: undefined };
      return [
        enrolled({ execution_id, occurred_at: minute(-40) }),
        ...path.flatMap((n, i) => [
          enrolled({
            ...of,
            type: "step.entered",
            step_id: step(n),
            occurred_at: minute(-39 + i),
          }),
          // A gateway never says that it is through.
          ...n === 1 ? [] : [enrolled({
            ...of,
            type: "step.completed",
            step_id: step(n),
            occurred_at: minute(-38 + i),
          })],
        ]),
        ...complete
          ? [enrolled({
            ...of,
            type: "execution.completed",
            occurred_at: minute(-20),
          })]
          : [],
      ];
    }
    const good = [[0, 1, 2, 4], [0, 1, 3, 4], [0, 1, 2, 3, 4]];
    // Past the gateway; a step that nobody defined.
    const wrong = journey([0, 2, 4]);
    const unknown = journey([0, 1, 9], false);
    const sent = [
      ...good.flatMap((path) => journey(path)),
      ...wrong,
      ...unknown,
    ];
    strictEqual((await post(world, sent)).json.accepted, sent.length);

    const quality = await read(world);
    deepStrictEqual(countsOf(quality), {});
    deepStrictEqual(quality.forbidden_transitions, [{
      from_step_id: step(0),
      to_step_id: step(2),
      count: 1,
      executions: [wrong[0]!.execution_id],
    }]);
    deepStrictEqual(quality.unknown_steps, [{
      step_id: step(9),
      entered: 1,
      actions: 0,
      executions: [unknown[0]!.execution_id],
    }]);
    const [gateway, ...others] = quality.never_completed;
    deepStrictEqual(
      [gateway!.step_name, gateway!.entered, gateway!.left_open, others],
      ["Gateway", 4, 3, []],
    );
    strictEqual(gateway!.executions.length, 3);
    strictEqual(quality.checked_executions, 5);

    const page = await send(world, "GET", `/workflows/${WORKFLOW}`, {
      key: null,
      headers: await signIn(world),
    });
    match(page.text, /“Gateway” was entered and never completed/);
    match(
      page.text,
      /From Start to Left, where the definition leads elsewhere/,
    );
  },
);

dbTest(
  "weir.record() takes what POST /events takes, and no other",
  async (world) => {
    const minute = realTime(world);
    const { account_uuid } = world.account;
    const base = {
      ...enrolled({ occurred_at: minute(-5) }),
    } as Record<string, unknown>;
    const bare = { ...base, source: undefined };
    const action = {
      ...bare,
      type: "action.executed",
      step_id: step(0),
      status: "failed",
      duration_ms: 1.5,
      error: "Gone",
    };
    const events: Record<string, unknown>[] = [
      base,
      action,
      { ...bare, type: "goal.achieved", goal_id: step(1) },
      { ...bare, type: "execution.exited", reason: "left_early" },
      { ...bare, type: "execution.failed" },
      { ...base, workflow_version: 3, sequence: 0 },
      { ...base, id: "ü".repeat(128) },
      // From here on each is wrong.
      { ...base, id: "ü".repeat(129) },
      { ...base, id: "" },
      { ...base, id: 7 },
      { ...base, workflow_id: "x" },
      { ...base, contact_id: undefined },
      { ...base, contact_id: null },
      { ...base, occurred_at: "2026-06-15" },
      { ...base, occurred_at: "2026-06-15T11:00:00" },
      { ...base, workflow_version: 0 },
      { ...base, workflow_version: 2_147_483_648 },
      { ...base, sequence: -1 },
      { ...base, sequence: 0.5 },
      { ...base, sequence: "1" },
      { ...base, source: "nowhere" },
      { ...base, other: 1 },
      { ...base, type: "other" },
      { ...action, status: "succeeded" },
      { ...action, duration_ms: -1 },
      { ...action, duration_ms: 366 * 86_400_000 + 1 },
      { ...action, duration_ms: "1" },
      { ...action, step_id: undefined },
      { ...action, reason: "x" },
      { ...bare, type: "execution.exited", reason: "Left" },
      { ...bare, type: "execution.exited" },
      { ...bare, type: "execution.failed", error: "x".repeat(1_001) },
    ];
    let right = 0;
    for (const [n, event] of events.entries()) {
      const one = { ...event, ...event.id === base.id ? { id: `e${n}` } : {} };
      const isRight = Event.safeParse(JSON.parse(JSON.stringify(one))).success;
      strictEqual(isRight, n < 7, JSON.stringify(one));
      const recorded = world.sql`
      select weir.record(${account_uuid}, ${
        JSON.stringify(one)
      }::text::jsonb) as outcome`;
      if (!isRight) {
        await rejects(recorded, {
          code: "22023",
          message: /^Cannot record an event: /,
        }, JSON.stringify(one));
        continue;
      }
      deepStrictEqual([...await recorded], [{ outcome: "accepted" }]);
      // The same event by the other way is the same.
      const again = await post(world, one);
      strictEqual(again.json?.duplicates, 1, again.text);
      right++;
    }
    strictEqual(await countEvents(world), right);

    const refused: [unknown, string, RegExp][] = [
      [{ ...base, occurred_at: at(-200 * 1_440 * 3) }, account_uuid, /too_old/],
      [{ ...base, occurred_at: minute(6) }, account_uuid, /in_future/],
      [{ ...base, id: "e0", contact_id: "x" }, account_uuid, /event_conflict/],
      [base, crypto.randomUUID(), /no such account/],
    ];
    for (const [event, account, message] of refused) {
      await rejects(
        world.sql`select weir.record(${account}, ${
          JSON.stringify(event)
        }::text::jsonb)`,
        { code: "22023", message },
      );
    }
  },
);

dbTest(
  "weir.record() reports what the producer's transaction commits",
  async (world) => {
    realTime(world);
    const { sql, account } = world;
    await sql`create table public.enrolment (id text)`;
    const event = { ...enrolled({ occurred_at: new Date().toISOString() }) };
    for (const commits of [false, true]) {
      await sql.begin(async (tx) => {
        await tx`insert into public.enrolment values ('one')`;
        await tx`select weir.record(${account.account_uuid}, ${
          JSON.stringify(event)
        }::text::jsonb)`;
        if (!commits) throw new Error("Changed my mind");
      }).catch((error) => strictEqual(error.message, "Changed my mind"));
      const [row] = await sql`
      select (select count(*)::int from public.enrolment) as enrolments`;
      strictEqual(row!.enrolments, commits ? 1 : 0);
      strictEqual(await countEvents(world), commits ? 1 : 0);
    }
    strictEqual(await fold(sql), 1);
  },
);
