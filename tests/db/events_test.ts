import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount } from "../../db/access.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { connect, type Sql } from "../../db/client.ts";
import {
  fold,
  readRecomputes,
  recompute,
  recordEvents,
} from "../../db/events.ts";
import { AnalyticsQuery, Event, WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const GOAL = "33333333-3333-4333-8333-333333333333";
const DAY = AnalyticsQuery.parse({
  start_date: "2026-06-15",
  end_date: "2026-06-15",
});

function enrolled(change: Record<string, unknown> = {}): Event {
  return Event.parse({
    id: crypto.randomUUID(),
    type: "execution.enrolled",
    workflow_id: WORKFLOW,
    execution_id: crypto.randomUUID(),
    contact_id: "contact",
    occurred_at: "2026-06-15T10:00:00Z",
    source: "api",
    ...change,
  });
}

/** An enrolment at ten, and the goal two hours later. */
function converted(...between: Record<string, unknown>[]): Event[] {
  const { source: _, ...rest } = enrolled() as Extract<
    Event,
    { type: "execution.enrolled" }
  >;
  const goal = {
    type: "goal.achieved",
    goal_id: GOAL,
    occurred_at: "2026-06-15T12:00:00Z",
  };
  const { execution_id } = rest;
  return [
    enrolled({ execution_id }),
    ...[...between, goal].map((event) =>
      Event.parse({ ...rest, id: crypto.randomUUID(), ...event })
    ),
  ];
}

async function summaryOf({ sql, account }: World) {
  const { account_id } = account;
  const read = await readAnalytics(sql, account_id, WORKFLOW, DAY, NOW);
  return read!.summary;
}

dbTest(
  "recordEvents() answers in the order of the events",
  async ({ sql, account }) => {
    const { account_id } = account;
    const other = await createAccount(sql, "Other", "UTC");
    await recordEvents(sql, other.account_id, [
      enrolled({ workflow_id: GOAL }),
    ]);
    const [known, fresh] = [enrolled({ id: "a" }), enrolled({ id: "b" })];
    deepStrictEqual(await recordEvents(sql, account_id, [known]), ["accepted"]);
    deepStrictEqual(
      await recordEvents(sql, account_id, [
        enrolled({ workflow_id: GOAL }),
        fresh,
        known,
        enrolled({ id: "a" }),
        fresh,
        enrolled({ id: "b" }),
      ]),
      [
        "workflow_not_found",
        "accepted",
        "duplicate",
        "event_conflict",
        "duplicate",
        "event_conflict",
      ],
    );
    deepStrictEqual(await recordEvents(sql, account_id, []), []);
  },
);

dbTest(
  "recordEvents() keeps nothing of what fails",
  async ({ sql, account }) => {
    const begun = sql.begin(async (tx) => {
      await recordEvents(tx as unknown as Sql, account.account_id, [
        enrolled(),
      ]);
      throw new Error("no");
    });
    strictEqual(await begun.catch((error) => error.message), "no");
    const [row] = await sql<[{ count: number }]>`
    select (select count(*) from weir.event) + (select count(*) from weir.event_key)
      + (select count(*) from weir.event_queue) as count`;
    strictEqual(row.count, 0);
  },
);

dbTest(
  "recordEvents() gives one id to one of two accounts at once",
  async (world) => {
    const other = await createAccount(world.sql, "Other", "UTC");
    const sql = connect(world.database_url, {
      max: 8,
      statementTimeoutMs: 30_000,
    });
    try {
      for (let round = 0; round < 10; round++) {
        const workflow_id = crypto.randomUUID();
        const outcomes = await Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            recordEvents(
              sql,
              i % 2 ? other.account_id : world.account.account_id,
              [enrolled({ workflow_id })],
            )),
        );
        const even = outcomes.filter((_, i) => i % 2 === 0).flat();
        const odd = outcomes.filter((_, i) => i % 2 === 1).flat();
        deepStrictEqual([new Set(even).size, new Set(odd).size], [1, 1]);
        deepStrictEqual([even[0], odd[0]].sort(), [
          "accepted",
          "workflow_not_found",
        ]);
      }
    } finally {
      await sql.end();
    }
  },
);

dbTest(
  "fold() takes no more than it may, and all in the end",
  async ({ sql, account }) => {
    const events = Array.from({ length: 25 }, () => enrolled());
    await recordEvents(sql, account.account_id, events);
    const rounds: number[] = [];
    for (let n = 1; n > 0; rounds.push(n)) n = await fold(sql, 10);
    deepStrictEqual(rounds, [10, 10, 5, 0]);
  },
);

dbTest("recompute() counts anew under changed settings", async (world) => {
  const { sql, account } = world;
  await recordEvents(sql, account.account_id, [
    ...converted(),
    ...converted({
      type: "execution.completed",
      occurred_at: "2026-06-15T11:00:00Z",
    }),
  ]);
  await fold(sql);
  const put = (settings: Record<string, unknown>) =>
    putWorkflow(
      sql,
      account.account_id,
      WORKFLOW,
      WorkflowDefinition.parse({ name: "W", ...settings }),
    );
  const counts = async () => {
    const [owed] = await readRecomputes(sql);
    if (owed !== undefined) ok(await recompute(sql, owed));
    deepStrictEqual(await readRecomputes(sql), []);
    const { completed, goals_achieved } = await summaryOf(world);
    return [completed, goals_achieved];
  };
  await put({});
  deepStrictEqual(await counts(), [2, 2]);
  await put({ goal_ends_execution: false });
  deepStrictEqual(await counts(), [1, 2]);
  // The window's end is not in it, and matters only to the one that ended.
  await put({ goal_ends_execution: false, conversion_window: "PT2H" });
  deepStrictEqual(await counts(), [1, 1]);
  await put({ conversion_window: "PT2H" });
  deepStrictEqual(await counts(), [2, 1]);
  await put({ conversion_window: "PT2H0.000001S" });
  deepStrictEqual(await counts(), [2, 2]);
});

dbTest(
  "recompute() waits for no other session, and says so",
  async ({ sql, account }) => {
    await recordEvents(sql, account.account_id, converted());
    await fold(sql);
    const [{ workflow_id }] = await sql<[{ workflow_id: number }]>`
    select workflow_id from weir.workflow`;
    const other = await sql.reserve();
    try {
      await other`begin`;
      await other`select weir.lock_workflow(${workflow_id})`;
      strictEqual(await recompute(sql, workflow_id), false);
    } finally {
      await other`rollback`;
      other.release();
    }
    strictEqual(await recompute(sql, workflow_id), true);
  },
);

dbTest(
  "recordEvents() takes a retry that spells out the default sequence for a duplicate",
  async ({ sql, account }) => {
    const event = enrolled();
    const record = (change: Record<string, unknown>) =>
      recordEvents(sql, account.account_id, [
        Event.parse({ ...event, ...change }),
      ]);
    deepStrictEqual(await record({}), ["accepted"]);
    deepStrictEqual(await record({ sequence: 0 }), ["duplicate"]);
    deepStrictEqual(await record({ sequence: 1 }), ["event_conflict"]);
  },
);

dbTest(
  "recordEvents() takes a version that was left out for the one that was filled in",
  async ({ sql, account }) => {
    const event = enrolled();
    const record = (change: Record<string, unknown>) =>
      recordEvents(sql, account.account_id, [
        Event.parse({ ...event, ...change }),
      ]);
    deepStrictEqual(await record({}), ["accepted"]);
    deepStrictEqual(await record({ workflow_version: 1 }), ["duplicate"]);
    deepStrictEqual(await record({ workflow_version: 2 }), ["event_conflict"]);
    const other = { id: "of version 2", workflow_version: 2 };
    deepStrictEqual(await record(other), ["accepted"]);
    deepStrictEqual(await record({ id: other.id }), ["duplicate"]);
  },
);

dbTest(
  "recordEvents() finds another content in every field",
  async ({ sql, account }) => {
    const step = {
      id: "a",
      type: "action.executed",
      workflow_id: WORKFLOW,
      execution_id: GOAL,
      contact_id: "contact",
      occurred_at: "2026-06-15T10:00:00Z",
      step_id: GOAL,
      status: "failed",
      duration_ms: 1.5,
      error: "no",
    };
    const exit = {
      ...enrolled({ id: "b" }),
      source: undefined,
      type: "execution.exited",
      reason: "left",
    };
    const start = enrolled({ id: "c" });
    const record = async (event: Record<string, unknown>) => {
      const [outcome] = await recordEvents(sql, account.account_id, [
        Event.parse(JSON.parse(JSON.stringify(event))),
      ]);
      return outcome;
    };
    for (const event of [step, exit, start]) {
      strictEqual(await record(event), "accepted");
      strictEqual(
        await record({ ...event, occurred_at: "2026-06-15T12:00:00+02:00" }),
        "duplicate",
      );
    }
    for (
      const [event, change] of [
        [step, { execution_id: WORKFLOW }],
        [step, { occurred_at: "2026-06-15T10:00:00.000001Z" }],
        [step, { contact_id: "Contact" }],
        [step, { step_id: WORKFLOW }],
        [step, { status: "succeeded", error: undefined }],
        [step, { duration_ms: 1.501 }],
        [step, { error: "No" }],
        [step, { error: undefined }],
        [exit, { reason: "gone" }],
        [start, { source: "bulk" }],
        [start, { source: undefined, type: "execution.completed" }],
      ] as const
    ) {
      strictEqual(
        await record({ ...event, ...change }),
        "event_conflict",
        JSON.stringify(change),
      );
    }
    await sql`truncate weir.event_key`;
    strictEqual(await record(step), "duplicate");
    strictEqual(await record({ ...step, error: "No" }), "event_conflict");
  },
);

/** Sessions that each have a transaction open, and what a request in another one waits for. */
async function withTwo(
  { database_url, sql }: World,
  isolation: string,
  test: (first: Sql, second: Sql, waits: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const options = { max: 1, statementTimeoutMs: 30_000 };
  const first = connect(database_url, options);
  const second = connect(database_url, options);
  try {
    await first`begin`;
    await second.unsafe(`begin isolation level ${isolation}`);
    const [{ pid }] = await second<[{ pid: number }]>`
      select pg_backend_pid() as pid`;
    await test(
      first,
      second,
      () =>
        until("a session waits for another", async () => {
          const [row] = await sql<[{ blocked: boolean }]>`
          select cardinality(pg_blocking_pids(${pid})) > 0 as blocked`;
          return row.blocked;
        }),
    );
  } finally {
    await first.end();
    await second.end();
  }
}

for (const month of ["06", "05"]) {
  dbTest(
    `recordEvents() waits for who has sent the same id, for 2026-${month}, and is not done yet`,
    async (world) => {
      const { account_id } = world.account;
      const event = enrolled();
      const other = Event.parse({
        ...event,
        occurred_at: `2026-${month}-15T10:00:00Z`,
      });
      const outcome = month === "06" ? "duplicate" : "event_conflict";
      await recordEvents(world.sql, account_id, [enrolled()]);
      for (const ending of ["rollback", "commit"]) {
        await withTwo(world, "read committed", async (first, second, waits) => {
          deepStrictEqual(await recordEvents(first, account_id, [event]), [
            "accepted",
          ]);
          const waiting = recordEvents(second, account_id, [
            other,
            enrolled({ id: `beside ${ending}` }),
          ]);
          await waits();
          await first.unsafe(ending);
          deepStrictEqual(await waiting, [
            ending === "commit" ? outcome : "accepted",
            "accepted",
          ]);
          await second`rollback`;
        });
      }
      const [row] = await world.sql<[{ count: number }]>`
        select count(*) from weir.event where event_id = ${event.id}`;
      strictEqual(row.count, 1);
    },
  );
}

dbTest(
  "recordEvents() is refused in a snapshot that may lack an event, with its key or without",
  async (world) => {
    const { sql, account: { account_id } } = world;
    await recordEvents(sql, account_id, [enrolled({ id: "before" })]);
    const meet = async (forget: boolean, ids: string[]) => {
      let refused = "";
      await withTwo(world, "repeatable read", async (first, second) => {
        await second`select 1 from weir.account`;
        await recordEvents(first, account_id, [enrolled({ id: "meanwhile" })]);
        await first`commit`;
        if (forget) await sql`select weir.forget_keys()`;
        await recordEvents(
          second,
          account_id,
          ids.map((id) => enrolled({ id })),
        )
          .catch(({ code }) => refused = code);
        await second`rollback`;
      });
      return refused;
    };
    strictEqual(await meet(false, ["meanwhile"]), "40001");
    strictEqual(await meet(true, ["meanwhile"]), "40001");
    strictEqual(await meet(false, ["another"]), "");
  },
);
