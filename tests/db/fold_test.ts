/**
 * The fold, promise by promise. That any order ends in the same numbers is
 * `tests/fold_property_test.ts`'s; that nothing is lost beside others,
 * `tests/faults/`'s.
 *
 * @module
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { connect, type Sql } from "../../db/client.ts";
import {
  fold,
  readRecomputes,
  recompute,
  recordEvents,
} from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { audit } from "../../db/jobs.ts";
import {
  AnalyticsQuery,
  Event,
  ID_LENGTH_MAX,
  type Summary,
  WorkflowDefinition,
} from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { randomOf, uuidOfWords } from "../../workers/_random.ts";
import { stepUuid } from "../bench/history.ts";
import { sameAsKnown } from "../exact.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { recount } from "../recount.ts";
import { makePast } from "./_history.ts";

const WORKFLOW = uuidOfWords("workflow");
const STEP = uuidOfWords("step");
const GOAL = uuidOfWords("goal");
const HOUR_MS = 3_600_000;
const DAY = AnalyticsQuery.parse({
  start_date: "2026-06-15",
  end_date: "2026-06-15",
});

/** What a test says of an event; the rest is made up. */
type Told =
  & { type: Event["type"]; at: string; workflow?: string }
  & Record<
    string,
    unknown
  >;

let made = 0;

/** An event of today. Executions are named by any word, `at` is a time of day. */
function event(
  { at, workflow = WORKFLOW, execution = "one", ...told }: Told & {
    execution?: string;
  },
): Event {
  return Event.parse({
    id: `event-${made++}`,
    workflow_id: workflow,
    execution_id: uuidOfWords(workflow, execution),
    contact_id: "contact",
    occurred_at: `2026-06-15T${at}Z`,
    ...told,
  });
}

function enrolled(at: string, told: Record<string, unknown> = {}): Event {
  return event({ type: "execution.enrolled", at, source: "api", ...told });
}

function acted(at: string, told: Record<string, unknown> = {}): Event {
  return event({
    type: "action.executed",
    at,
    step_id: STEP,
    status: "succeeded",
    duration_ms: 10,
    ...told,
  });
}

function achieved(at: string, told: Record<string, unknown> = {}): Event {
  return event({ type: "goal.achieved", at, goal_id: GOAL, ...told });
}

async function record({ sql, account }: World, events: Event[]): Promise<void> {
  const outcomes = await recordEvents(sql, account.account_id, events);
  deepStrictEqual(new Set(outcomes), new Set(["accepted"]));
}

/** Folds what waits, and holds every stored number against the recomputation. */
async function foldAll({ sql }: World, eventsMax?: number): Promise<number> {
  let folded = 0;
  for (let round; (round = await fold(sql, eventsMax)) > 0;) folded += round;
  deepStrictEqual(await recount(sql), []);
  return folded;
}

async function summaryOf(
  { sql, account }: World,
  workflowId = WORKFLOW,
): Promise<Summary> {
  const { account_id } = account;
  const read = await readAnalytics(sql, account_id, workflowId, DAY, NOW);
  return read!.summary;
}

/** How often the action ran, by version of the execution. */
async function runsOf({ sql, account }: World): Promise<number[]> {
  return await Promise.all([1, 2].map(async (version) => {
    const query = { ...DAY, version };
    const { account_id } = account;
    const read = await readActions(sql, account_id, WORKFLOW, query, NOW);
    return read!.actions[0]?.executions ?? 0;
  }));
}

async function settings(
  { sql, account }: World,
  change: Record<string, unknown>,
): Promise<void> {
  const definition = WorkflowDefinition.parse({ name: "Any", ...change });
  ok(await putWorkflow(sql, account.account_id, WORKFLOW, definition));
}

/** Sessions of the test's own, ended with it. */
async function withClient(
  { database_url }: World,
  fn: (sql: Sql) => Promise<void>,
): Promise<void> {
  const sql = connect(database_url, { max: 1, statementTimeoutMs: 60_000 });
  try {
    await fn(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Runs something in a transaction that ends only when told to. */
async function openTransaction<T>(
  sql: Sql,
  fn: (tx: Sql) => Promise<T>,
): Promise<{ value: T; end(how: "commit" | "rollback"): Promise<void> }> {
  const begun = Promise.withResolvers<T>();
  const ending = Promise.withResolvers<"commit" | "rollback">();
  const transaction = sql.begin(async (tx) => {
    begun.resolve(await fn(tx as unknown as Sql));
    if (await ending.promise === "rollback") throw new RolledBack();
  }).catch((error) => {
    begun.reject(error);
    if (!(error instanceof RolledBack)) throw error;
  });
  return {
    value: await begun.promise,
    async end(how) {
      ending.resolve(how);
      await transaction;
    },
  };
}

class RolledBack extends Error {}

dbTest(
  "fold() stages rows whole, whose every word may be as long as an id, and again as what they were before",
  async (world) => {
    const longest = (letter: string) => letter + "漢".repeat(ID_LENGTH_MAX - 1);
    const contact_id = longest("c");
    const told = (id: string) => ({ id: longest(id), contact_id });
    await settings(world, { goal_ends_execution: true });
    await record(world, [
      enrolled("10:00:00", told("e")),
      event({
        type: "execution.exited",
        at: "10:30:00",
        reason: "r".repeat(64),
        ...told("x"),
      }),
    ]);
    strictEqual(await foldAll(world), 2);
    await record(world, [
      enrolled("09:00:00", told("b")),
      achieved("10:10:00", told("g")),
    ]);

    await withClient(world, async (sql) => {
      strictEqual(await fold(sql), 2);
      const kept = await sql`
        select relname from pg_class
        where relnamespace = pg_my_temp_schema() and relname like 'fold\\_%' and reltoastrelid <> 0`;
      deepStrictEqual([...kept], []);
    });
    deepStrictEqual(await recount(world.sql), []);
    const { total_enrolled, goals_achieved } = await summaryOf(world);
    deepStrictEqual([total_enrolled, goals_achieved], [1, 1]);
  },
);

dbTest(
  "fold() counts an execution with all it did once its enrolment has come",
  async (world) => {
    const told = { step_id: STEP };
    const parts = [
      [event({ type: "step.entered", at: "09:10:00", ...told })],
      [acted("09:15:00"), acted("09:16:00", { status: "failed" })],
      [event({ type: "step.entered", at: "09:12:00", ...told })],
      [event({ type: "step.completed", at: "09:30:00", ...told })],
      [achieved("09:40:00")],
      [event({ type: "execution.completed", at: "09:50:00" })],
    ];
    for (const part of parts) {
      await record(world, part);
      await foldAll(world);
      strictEqual((await summaryOf(world)).total_enrolled, 0);
      deepStrictEqual(await runsOf(world), [0, 0]);
    }

    await record(world, [enrolled("09:00:00")]);
    await foldAll(world);
    const { account_id } = world.account;
    const funnel =
      (await readFunnel(world.sql, account_id, WORKFLOW, DAY, NOW))!;
    const { entered, completed, visits, average_time_seconds } = funnel
      .funnel_steps[0]!;
    deepStrictEqual({ entered, completed, visits, average_time_seconds }, {
      entered: 1,
      completed: 1,
      visits: 2,
      average_time_seconds: 1_200,
    });
    const summary = await summaryOf(world);
    strictEqual(summary.total_enrolled, 1);
    strictEqual(summary.average_duration_seconds, 2_400);
    strictEqual(summary.time_to_conversion.average, 2_400);
    deepStrictEqual(summary.exit_reasons, [
      { reason: "goal_achieved", count: 1, share: 100 },
    ]);
    deepStrictEqual(await runsOf(world), [2, 0]);
  },
);

dbTest(
  "fold() moves actions to the version of an earlier enrolment, queued ones too",
  async (world) => {
    await record(world, [acted("09:01:00")]);
    await foldAll(world);
    await record(world, [
      acted("09:02:00"),
      enrolled("09:00:00", { workflow_version: 2 }),
      acted("09:03:00"),
    ]);
    await foldAll(world);
    deepStrictEqual(await runsOf(world), [0, 3]);

    // One by one: the last action is in the queue while the version moves.
    await record(world, [
      acted("09:04:00"),
      enrolled("08:00:00", { workflow_version: 1 }),
      acted("09:05:00"),
    ]);
    for (const expected of [[0, 4], [4, 0], [5, 0]]) {
      strictEqual(await fold(world.sql, 1), 1);
      deepStrictEqual(await recount(world.sql), []);
      deepStrictEqual(await runsOf(world), expected);
    }
  },
);

dbTest(
  "fold() converts by goals while an execution runs, and then inside the window",
  async (world) => {
    await settings(world, {
      goal_ends_execution: false,
      conversion_window: "PT2H",
    });
    /** Enrolled at nine, so that the window closes at eleven: end, goal, converts. */
    const cases = [
      ["10:00:00", "09:30:00", true],
      ["10:00:00", "10:59:59.999999", true],
      ["10:00:00", "11:00:00", false],
      ["11:30:00", "11:10:00", true],
      ["11:30:00", "11:30:00.000001", false],
      [null, "11:30:00", true],
      ["10:00:00", "08:00:00", true],
    ] as const;
    for (const [i, [end, goal]] of cases.entries()) {
      const execution = `case-${i}`;
      await record(world, [
        enrolled("09:00:00", { execution }),
        achieved(goal, { execution }),
        ...end
          ? [event({ type: "execution.completed", at: end, execution })]
          : [],
      ]);
    }
    await foldAll(world);
    const rows = await world.sql<{ converts: boolean }[]>`
      select converted_at is not null as converts
      from weir.execution join unnest(${
      cases.map((_, i) => uuidOfWords(WORKFLOW, `case-${i}`))
    }::uuid[]) with ordinality as asked(execution_id, i) using (execution_id) order by i`;
    deepStrictEqual(
      rows.map((row) => row.converts),
      cases.map(([, , converts]) => converts),
    );
    const { completed, goals_achieved, in_progress } = await summaryOf(world);
    deepStrictEqual({ completed, goals_achieved, in_progress }, {
      completed: 6,
      goals_achieved: 5,
      in_progress: 1,
    });

    // Now the goal ends those that it came before the end of.
    await settings(world, {
      goal_ends_execution: true,
      conversion_window: "PT2H",
    });
    for (const id of await readRecomputes(world.sql)) {
      ok(await recompute(world.sql, id));
    }
    deepStrictEqual(await recount(world.sql), []);
    const { exit_reasons } = await summaryOf(world);
    deepStrictEqual(exit_reasons, [
      { reason: "goal_achieved", count: 4, share: 57.14 },
      { reason: "completed", count: 3, share: 42.86 },
    ]);
  },
);

dbTest(
  "recompute() shows readers the old numbers until it shows the new ones",
  async (world) => {
    const { sql } = world;
    await settings(world, { goal_ends_execution: false });
    const random = randomOf("recompute");
    const events = Array.from(
      { length: 200 },
      (_, n) =>
        journeyOf(random, WORKFLOW, `run-${n}`, NOW.getTime() - 3 * HOUR_MS),
    ).flat();
    await record(world, events);
    await foldAll(world);
    const before = await summaryOf(world);

    await settings(world, { goal_ends_execution: true });
    const [id] = await readRecomputes(sql);
    await withClient(world, async (other) => {
      const open = await openTransaction(
        other,
        (tx) => tx<[{ done: boolean }]>`select weir.recompute(${id!}) as done`,
      );
      strictEqual(open.value[0].done, true);
      deepStrictEqual(await summaryOf(world), before);
      // What is accepted meanwhile waits, and is not lost.
      await record(world, [enrolled("09:00:00", { execution: "late" })]);
      strictEqual(await fold(sql), 0);
      strictEqual(await recompute(sql, id!), false);
      await open.end("commit");
    });
    deepStrictEqual(await readRecomputes(sql), []);
    deepStrictEqual(await recount(sql), []);
    const after = await summaryOf(world);
    strictEqual(after.total_enrolled, before.total_enrolled);
    ok(after.in_progress < before.in_progress);
    strictEqual(await foldAll(world), 1);
    strictEqual(
      (await summaryOf(world)).total_enrolled,
      before.total_enrolled + 1,
    );
  },
);

dbTest(
  "recompute() counts each execution of a large workflow once",
  async (world) => {
    const { sql } = world;
    const executions = 20_002;
    await settings(world, { goal_ends_execution: false });
    for (let from = 0; from < executions; from += 5_000) {
      const names = Array.from(
        { length: Math.min(5_000, executions - from) },
        (_, n) => `run-${from + n}`,
      );
      await record(
        world,
        names.flatMap((execution) => [
          enrolled("09:00:00", { execution }),
          achieved("10:00:00", { execution }),
        ]),
      );
    }
    await foldAll(world);
    strictEqual((await summaryOf(world)).in_progress, executions);
    await settings(world, { goal_ends_execution: true });
    const [id] = await readRecomputes(sql);
    strictEqual(await recompute(sql, id!), true);
    deepStrictEqual(await recount(sql), []);
    const { completed, in_progress } = await summaryOf(world);
    deepStrictEqual({ completed, in_progress }, {
      completed: executions,
      in_progress: 0,
    });
  },
);

dbTest(
  "recompute() owes a setting that changes while it runs",
  async (world) => {
    const { sql } = world;
    await settings(world, { conversion_window: "P90D" });
    await record(world, [
      enrolled("09:00:00"),
      event({ type: "execution.completed", at: "09:10:00" }),
      achieved("10:00:00"),
    ]);
    await foldAll(world);
    strictEqual((await summaryOf(world)).goals_achieved, 1);

    await settings(world, { conversion_window: "PT2H" });
    const [id] = await readRecomputes(sql);
    await withClient(world, async (other) => {
      // Halfway: it has read the settings, and waits to write what it counted.
      const open = await openTransaction(
        other,
        (tx) => tx`lock table weir.workflow_rollup in share mode`,
      );
      const running = recompute(sql, id!);
      await until("recompute() waits", async () => {
        const [lock] = await sql<{ waits: boolean }[]>`
          select exists (select from pg_locks where not granted) as waits`;
        return lock!.waits;
      });
      await settings(world, { conversion_window: "PT30M" });
      await open.end("commit");
      strictEqual(await running, true);
    });
    for (const again of await readRecomputes(sql)) {
      ok(await recompute(sql, again));
    }
    strictEqual((await summaryOf(world)).goals_achieved, 0);
    deepStrictEqual(await recount(sql), []);
  },
);

dbTest(
  "fold() one event at a time ends where one fold of all does",
  async (world) => {
    const { sql, account } = world;
    const random = randomOf("one by one");
    const events = Array.from(
      { length: 15 },
      (_, n) =>
        journeyOf(random, WORKFLOW, `run-${n}`, NOW.getTime() - 3 * HOUR_MS),
    ).flat();
    await record(world, events);
    for (let rounds = 0; rounds < events.length; rounds++) {
      strictEqual(await fold(sql, 1), 1);
      if (rounds % 25 === 0) deepStrictEqual(await recount(sql), []);
    }
    strictEqual(await fold(sql, 1), 0);
    await sameAsKnown(sql, [{
      account_id: account.account_id,
      workflow_id: WORKFLOW,
      account_zone: "UTC",
      events: events.map((one) => ({
        ...one,
        workflow_version: one.workflow_version ?? 1,
      })),
      settings: { conversion_window: "P90D", goal_ends_execution: true },
      versions: [],
    }], {
      start_date: "2026-06-13",
      end_date: "2026-06-16",
      zones: ["Asia/Kolkata"],
      now: NOW,
    });
  },
);

dbTest(
  "fold() adds up more microseconds than 64 bits hold",
  async (world) => {
    const executions = 2_500;
    const [since, until] = ["1900-01-01T00:00:00Z", "2020-01-01T00:00:00Z"];
    const seconds = (Date.parse(until) - Date.parse(since)) / 1_000;
    ok(BigInt(executions * seconds) * 1_000_000n > 2n ** 63n);
    const facts = [
      { type: "execution.enrolled", source: "bulk", occurred_at: since },
      { type: "step.entered", step_id: STEP, occurred_at: since },
      { type: "step.completed", step_id: STEP, occurred_at: until },
      { type: "goal.achieved", goal_id: GOAL, occurred_at: until },
    ] as const;
    const names = Array.from({ length: executions }, (_, n) => `run-${n}`);
    await record(
      world,
      names.flatMap((execution) =>
        facts.map((fact) => event({ at: "00:00:00", execution, ...fact }))
      ),
    );
    await foldAll(world);

    const { sql, account: { account_id } } = world;
    const day = { start_date: "1900-01-01", end_date: "1900-01-01" };
    const query = AnalyticsQuery.parse(day);
    const read = await readAnalytics(sql, account_id, WORKFLOW, query, NOW);
    const { completed, average_duration_seconds, time_to_conversion } = read!
      .summary;
    strictEqual(completed, executions);
    strictEqual(average_duration_seconds, seconds);
    strictEqual(time_to_conversion.average, seconds);
    const funnel = (await readFunnel(sql, account_id, WORKFLOW, query, NOW))!;
    strictEqual(funnel.funnel_steps[0]!.average_time_seconds, seconds);
  },
);

dbTest(
  "fold() goes on with the others when one workflow cannot be folded",
  async (world) => {
    const { sql } = world;
    const workflows = ["first", "poison", "last"].map((name) =>
      uuidOfWords(name)
    );
    for (const workflow of workflows) {
      await record(world, [
        enrolled("09:00:00", { workflow }),
        acted("09:01:00", { workflow }),
        achieved("09:02:00", { workflow }),
      ]);
    }
    await sql.unsafe(`
      alter table weir.workflow_rollup add constraint poison check (workflow_id <> (
        ${await insideId(sql, workflows[1]!)}))`);
    // In one round, and nothing of one workflow in the numbers of another.
    strictEqual(await fold(sql), 6);

    strictEqual((await summaryOf(world, workflows[0])).total_enrolled, 1);
    strictEqual((await summaryOf(world, workflows[2])).total_enrolled, 1);
    strictEqual((await summaryOf(world, workflows[1])).total_enrolled, 0);
    deepStrictEqual(await recount(sql), []);
    // With nothing else left it says what is wrong, and keeps the events.
    await rejects(fold(sql), /poison/);
    await sql`alter table weir.workflow_rollup drop constraint poison`;
    strictEqual(await foldAll(world), 3);
    strictEqual((await summaryOf(world, workflows[1])).total_enrolled, 1);
  },
);

async function insideId(sql: Sql, workflowId: string): Promise<number> {
  const [row] = await sql<{ workflow_id: number }[]>`
    select workflow_id from weir.workflow where workflow_uuid = ${workflowId}`;
  return row!.workflow_id;
}

dbTest(
  "fold() lets no workflow wait behind the backlog of another",
  async (world) => {
    const { sql } = world;
    const hot = uuidOfWords("hot");
    await record(
      world,
      Array.from(
        { length: 3_000 },
        (_, n) => enrolled("09:00:00", { workflow: hot, execution: `${n}` }),
      ),
    );
    const others = Array.from(
      { length: 299 },
      (_, n) => uuidOfWords("other", n),
    );
    await record(
      world,
      others.flatMap((workflow) => [
        enrolled("09:00:00", { workflow }),
        achieved("10:00:00", { workflow }),
      ]),
    );
    for (let round = 0; round < 2; round++) {
      const folded = await fold(sql, 600);
      // The last one that it claims may be the hot one, of which it takes a quarter.
      ok(folded > 0 && folded < 600 + 150, `${folded} events`);
    }
    const waiting = await sql`
      select distinct workflow_uuid
      from weir.event_queue join weir.workflow using (workflow_id)`;
    deepStrictEqual([...waiting], [{ workflow_uuid: hot }]);
    await foldAll(world, 600);
  },
);

dbTest(
  "fold() of two sessions at once takes different workflows",
  async (world) => {
    const { sql } = world;
    const [mine, yours] = [uuidOfWords("mine"), uuidOfWords("yours")];
    await record(world, [enrolled("09:00:00", { workflow: mine })]);
    await withClient(world, async (other) => {
      const open = await openTransaction(other, (tx) => fold(tx));
      strictEqual(open.value, 1);
      await record(world, [
        enrolled("09:00:00", { workflow: mine, execution: "two" }),
        enrolled("09:00:00", { workflow: yours }),
      ]);
      // Does not wait for the other session, and leaves it what is its own.
      strictEqual(await fold(sql), 1);
      strictEqual((await summaryOf(world, yours)).total_enrolled, 1);
      strictEqual((await summaryOf(world, mine)).total_enrolled, 0);
      strictEqual(await fold(sql), 0);
      await open.end("rollback");
    });
    strictEqual(await foldAll(world), 2);
    strictEqual((await summaryOf(world, mine)).total_enrolled, 2);
  },
);

dbTest(
  "as_of is no later than the oldest event that waits",
  async (world) => {
    const { sql } = world;
    async function clock(): Promise<number> {
      const [row] = await sql<{ ms: number }[]>`
        select extract(epoch from clock_timestamp()) * 1000 as ms`;
      return Number(row!.ms);
    }
    async function asOf(workflowId = WORKFLOW): Promise<number> {
      const { account_id } = world.account;
      const now = new Date(Math.ceil(await clock()) + 1_000);
      const read = await readAnalytics(sql, account_id, workflowId, DAY, now);
      return Date.parse(read!.as_of);
    }
    const other = uuidOfWords("other");
    await record(world, [enrolled("09:00:00", { workflow: other })]);
    await foldAll(world);

    const marks: number[] = [];
    for (const execution of ["one", "two"]) {
      marks.push(await clock());
      await record(world, [enrolled("09:00:00", { execution })]);
    }
    marks.push(await clock());
    for (const [from, to] of [[0, 1], [1, 2]] as const) {
      const at = await asOf();
      ok(at >= Math.floor(marks[from]!) && at <= marks[to]!);
      ok(await asOf(other) > marks[2]!, "waits for another workflow's events");
      strictEqual(await fold(sql, 1), 1);
    }
    ok(await asOf() > marks[2]!);

    const changedAt = await clock();
    await settings(world, { goal_ends_execution: false });
    const owed = await asOf();
    ok(owed >= Math.floor(changedAt) && owed <= await clock());
    const [id] = await readRecomputes(sql);
    ok(await recompute(sql, id!));
    const done = await clock();
    ok(await asOf() >= done);
  },
);

dbTest(
  "fold() raises the revision with each change, and rings",
  async (world) => {
    const { sql } = world;
    const rung: string[] = [];
    const listening = await sql.listen(
      "workflow_analytics",
      (payload) => rung.push(payload),
    );
    async function revision(): Promise<number> {
      const [row] = await sql<{ revision: number }[]>`
        select revision from weir.workflow_revision`;
      return row!.revision;
    }
    const first = enrolled("09:00:00");
    await record(world, [first]);
    await fold(sql);
    const before = await revision();
    await record(world, [achieved("10:00:00")]);
    await fold(sql);
    strictEqual(await revision(), before + 1);
    const rows = await sql`
      select distinct revision from (
        select revision from weir.workflow_rollup union all
        select revision from weir.goal_rollup union all
        select revision from weir.reason_rollup) r`;
    deepStrictEqual([...rows], [{ revision: before + 1 }]);

    // A repeat changes nothing, so nobody is woken.
    deepStrictEqual(
      await recordEvents(sql, world.account.account_id, [first]),
      ["duplicate"],
    );
    strictEqual(await fold(sql), 0);
    strictEqual(await revision(), before + 1);

    await record(world, [achieved("11:00:00")]);
    await fold(sql);
    await until("it rang", () => rung.length >= 3);
    deepStrictEqual(rung, [WORKFLOW, WORKFLOW, WORKFLOW]);
    await listening.unlisten();
  },
);

dbTest(
  "fold() knows of executions that had no row before migration 0024",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world, 5);
    const execution_id = crypto.randomUUID();
    const happen = async (type: string, change: Record<string, unknown>) => {
      await recordEvents(sql, account.account_id, [Event.parse({
        id: type,
        type,
        workflow_id: workflow_uuid,
        execution_id,
        contact_id: "contact",
        occurred_at: new Date().toISOString(),
        ...change,
      })]);
      await fold(sql);
    };
    await happen("step.entered", { step_id: stepUuid(0) });
    await happen("action.executed", {
      step_id: stepUuid(0),
      status: "succeeded",
      duration_ms: 5,
    });
    const row = sql`from weir.execution where execution_id = ${execution_id}`;
    strictEqual((await sql`delete ${row}`).count, 1);
    const file = "../../db/migrations/0024_stored_executions.sql";
    const text = await Deno.readTextFile(new URL(file, import.meta.url));
    for (let times = 0; times < 2; times++) {
      await sql.begin((tx) =>
        tx.unsafe(`set local search_path = weir; ${text}`)
      );
      strictEqual((await sql`select ${row}`).count, 1);
    }
    await happen("execution.enrolled", { source: "api" });
    strictEqual(
      (await audit(world.snapshots, null, new Date())).differences,
      0,
    );
    strictEqual((await sql`select from weir.parked_action`).count, 0);
  },
);
