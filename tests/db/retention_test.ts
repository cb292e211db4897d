import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { audit, retain } from "../../db/jobs.ts";
import { AnalyticsQuery, Event } from "../../db/schema.ts";
import { dbTest, until, type World } from "../harness.ts";
import { recordExecutions, stepUuid } from "../bench/history.ts";
import { DAY_MS, makePast } from "./_history.ts";

function inDays(days: number): Date {
  return new Date(Date.now() + days * DAY_MS);
}

const ROLLUPS = ["workflow", "reason", "goal", "step", "action", "histogram"];

/** Every day and month of every rollup: counts, sums and bins. */
async function daysAndMonths(sql: Sql): Promise<unknown[]> {
  const all = await Promise.all(ROLLUPS.map((rollup) =>
    sql.unsafe(`
      select to_jsonb(r) - 'revision' as row from weir.${rollup}_rollup r
      where grain <> '15min' order by 1`)
  ));
  ok(all.filter((rows) => rows.length > 0).length >= 4);
  return all.map((rows) => rows.map(({ row }) => row));
}

async function countOf(sql: Sql, from: string): Promise<number> {
  const [row] = await sql.unsafe<[{ count: number }]>(
    `select count(*) from ${from}`,
  );
  return row.count;
}

/** Executions that are open, with the number of their events. */
async function openOnes(sql: Sql) {
  return [
    ...await sql`
      select execution_id, count(*) as events
      from weir.execution x join weir.event e using (workflow_id, execution_id)
      where x.status = 'active' group by 1 order by 1`,
  ];
}

async function strays(sql: Sql): Promise<number> {
  return await countOf(
    sql,
    `weir.event e where not exists (
      select from weir.execution x
      where x.workflow_id = e.workflow_id and x.execution_id = e.execution_id)`,
  );
}

/**
 * What is the same whether months are rewritten, or events are deleted from them as on Citus. There both are: nothing
 * but Citus' own behaviour is missing where the second is run on one Postgres.
 */
function onBoth(name: string, test: (world: World) => Promise<void>): void {
  dbTest(name, test);
  dbTest(`${name}, by deleting as on Citus`, async (world) => {
    await world.sql`
      create or replace function weir.on_citus() returns boolean language sql stable return true`;
    await test(world);
  });
}

onBoth("retain() drops months and changes no day", async (world) => {
  const { sql } = world;
  const { events } = await makePast(world);
  const days = await daysAndMonths(sql);
  const open = await openOnes(sql);
  const at = inDays(60);

  const did = await retain(world.work, at);
  ok(did.months! >= 2 && did.quarters! >= 2, JSON.stringify(did));
  ok(did.events! > 0);
  strictEqual(did.executions, 0);
  strictEqual(await countOf(sql, "weir.event"), events - did.events!);
  deepStrictEqual(await daysAndMonths(sql), days);
  deepStrictEqual(await openOnes(sql), open);

  // Nothing is kept of an execution that ended long before.
  const horizon = new Date(at.getTime() - 90 * DAY_MS);
  const [month] = await sql<[{ since: Date }]>`
    select min(since) as since from weir.event_months() where not is_kept`;
  ok(month.since <= horizon && month.since > inDays(-90));
  const left = await countOf(
    sql,
    `weir.event e join weir.execution x using (workflow_id, execution_id)
     where x.ended_at < '${month.since.toISOString()}' and e.occurred_at < '${month.since.toISOString()}'`,
  );
  strictEqual(left, 0);
  const [detail] = await sql<[{ since: Date }]>`
    select weir.detail_from() as since`;
  deepStrictEqual(detail.since, month.since);
  strictEqual((await audit(world.snapshots, null, at)).differences, 0);

  deepStrictEqual(await retain(world.work, at), {
    months: 0,
    quarters: 0,
    events: 0,
    executions: 0,
    days: 0,
  });
});

dbTest(
  "fold() corrects days and months whose quarters are gone",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid, workflow_id } = await makePast(world);
    await retain(world.work, inDays(60));
    const [open] = await sql<[{ execution_id: string; enrolled_at: Date }]>`
    select execution_id, enrolled_at from weir.execution
    where status = 'active' order by enrolled_at limit 1`;
    const quarters = () =>
      countOf(sql, "weir.step_rollup where grain = '15min'");
    const before = await quarters();
    const late = Event.parse({
      id: "late",
      type: "step.entered",
      workflow_id: workflow_uuid,
      execution_id: open.execution_id,
      contact_id: "late",
      step_id: stepUuid(STEP),
      occurred_at: open.enrolled_at.toISOString(),
    });
    deepStrictEqual(await recordEvents(sql, account.account_id, [late]), [
      "accepted",
    ]);
    strictEqual(await fold(sql), 1);
    strictEqual(await quarters(), before);
    const rows = await sql`
    select r.grain, r.entered from weir.step_rollup r
    join weir.step s using (workflow_id, step_id)
    where s.step_uuid = ${stepUuid(STEP)} and workflow_id = ${workflow_id}
    order by grain`;
    deepStrictEqual([...rows], [
      { grain: "day", entered: 1 },
      { grain: "month", entered: 1 },
    ]);
  },
);

/** A step that nobody of the past has entered. */
const STEP = 77;

onBoth(
  "retain() deletes what ended long ago, and never what is open",
  async (world) => {
    const { sql } = world;
    await makePast(world);
    const days = await daysAndMonths(sql);
    const open = await openOnes(sql);
    const running = [...await sql`select * from weir.workflow_running`];
    const ended = await countOf(
      sql,
      "weir.execution where ended_at is not null",
    );

    const did = await retain(world.work, inDays(300));
    strictEqual(did.executions, ended);
    deepStrictEqual(await openOnes(sql), open);
    strictEqual(await countOf(sql, "weir.execution"), open.length);
    strictEqual(await strays(sql), 0);
    for (const table of ["execution_step", "execution_goal"]) {
      strictEqual(
        await countOf(
          sql,
          `weir.${table} s where not exists (select from weir.execution x
          where x.workflow_id = s.workflow_id and x.execution_id = s.execution_id)`,
        ),
        0,
      );
    }
    deepStrictEqual(await daysAndMonths(sql), days);
    deepStrictEqual(
      [...await sql`select * from weir.workflow_running`],
      running,
    );
    // What is open lies together, and not in a partition for every month of the past.
    strictEqual(
      await countOf(sql, "weir.event_history"),
      await countOf(sql, "weir.event"),
    );
    strictEqual(
      await countOf(sql, "weir.event_months() where until < now()"),
      0,
    );
    deepStrictEqual(await retain(world.work, inDays(300)), {
      months: 0,
      quarters: 0,
      events: 0,
      executions: 0,
      days: 0,
    });
    const [made] = await sql`select weir.make_partitions() as made`;
    strictEqual(made!.made, 0);
  },
);

onBoth("retain() keeps days two years and months for ever", async (world) => {
  const { sql } = world;
  await makePast(world);
  const did = await retain(world.work, inDays(700));
  ok(did.days! > 0);
  const [left] = await sql<[{ first: Date; months: number; days: number }]>`
    select min(bucket) filter (where grain = 'day') as first,
      count(*) filter (where grain = 'day')::int as days,
      sum(enrolled) filter (where grain = 'month')::int as months
    from weir.workflow_rollup`;
  ok(left.days > 0 && left.first > inDays(700 - 2 * 366 - 1));
  strictEqual(left.months, 300);
});

onBoth("retain() forgets those who never enrolled", async (world) => {
  const { sql, account } = world;
  const { workflow_uuid } = await makePast(world, 5);
  const orphan = (id: string, ago: number, change = {}) =>
    Event.parse({
      id,
      type: "step.entered",
      workflow_id: workflow_uuid,
      execution_id: "99999999-9999-4999-8999-999999999999",
      contact_id: "orphan",
      step_id: stepUuid(0),
      occurred_at: inDays(-ago).toISOString(),
      ...change,
    });
  await recordEvents(sql, account.account_id, [
    orphan("old", 80),
    orphan("action", 79, {
      type: "action.executed",
      status: "failed",
      duration_ms: 1,
    }),
    orphan("young", 1),
  ]);
  await fold(sql);
  const kept = () => countOf(sql, "weir.event where contact_id = 'orphan'");
  await retain(world.work, inDays(60));
  strictEqual(await kept(), 3);
  await retain(world.work, inDays(200));
  strictEqual(await kept(), 0);
  strictEqual(await countOf(sql, "weir.parked_action"), 0);
});

dbTest(
  "retain() forgets who came again when nothing of them is left",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world, 5);
    const lives = (contact_id: string, days: number[]) =>
      days.flatMap((ago, n) => {
        const fact = {
          workflow_id: workflow_uuid,
          execution_id: crypto.randomUUID(),
          contact_id,
          occurred_at: inDays(-ago).toISOString(),
        };
        const id = `${contact_id} ${n}`;
        return [
          { ...fact, id, type: "execution.enrolled", source: "api" },
          { ...fact, id: `${id} end`, type: "execution.completed" },
        ].map((event) => Event.parse(event));
      });
    await recordEvents(sql, account.account_id, [
      ...lives("gone", [80, 79]),
      ...lives("half", [80, 1]),
      ...lives("once", [80]),
    ]);
    await fold(sql);
    const again = async () =>
      (await sql`
        select contact_id from weir.returning_contact order by 1`)
        .map(({ contact_id }) => contact_id);
    deepStrictEqual(await again(), ["gone", "half"]);
    await retain(world.work, inDays(130));
    deepStrictEqual(await again(), ["half"]);
    await retain(world.work, inDays(300));
    deepStrictEqual(await again(), []);
  },
);

dbTest(
  "retain() waits for nobody, and is done by one at a time",
  async (world) => {
    const { sql } = world;
    await makePast(world, 50);
    const at = inDays(60);
    await sql.begin(async (tx) => {
      await tx`select weir.lock_job('retain')`;
      deepStrictEqual(await retain(world.work, at), {});
    });
    const months = await countOf(sql, "weir.event_months()");
    await sql.begin(async (tx) => {
      await tx`select count(*) from weir.workflow_rollup`;
      await rejects(
        () => retain(world.work, at),
        /were in use at every attempt/,
      );
    });
    strictEqual(await countOf(sql, "weir.event_months()"), months);
    ok((await retain(world.work, at)).months! > 0);
  },
);

onBoth("retain() lets events in and reads through", async (world) => {
  const { sql } = world;
  const { workflow_id } = await makePast(world, 400);
  const at = inDays(60);
  let done = false;
  const retaining = retain(world.work, at).finally(() => done = true);
  let longest_ms = 0;
  let rounds = 0;
  while (!done) {
    const started = performance.now();
    const youngest = 10_000_000 - rounds;
    await recordExecutions(sql, workflow_id, {
      from: youngest - 1,
      until: youngest,
      of: 10_000_000,
    });
    await sql`select count(*) from weir.workflow_rollup where grain = '15min'`;
    await fold(sql);
    longest_ms = Math.max(longest_ms, performance.now() - started);
    rounds += 1;
  }
  await retaining;
  ok(rounds > 0);
  ok(longest_ms < 5_000, `${longest_ms} ms`);
  strictEqual((await audit(world.snapshots, null, at)).differences, 0);
});

dbTest(
  "retain() loses nothing that comes into a month it drops",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world);
    const at = inDays(60);
    const horizon = new Date(at.getTime() - 90 * DAY_MS);
    const [month] = await sql`
    select part::text, since, until from weir.event_months() order by until limit 1`;
    const { part, since, until } = month!;
    await sql`select weir.watch_month(${part}::text::regclass)`;
    const replace = async () => {
      const [row] = await sql<[{ dropped: number | null }]>`
      select weir.replace_month(${part}::text::regclass, ${since}, ${until}, ${horizon}, ${at}) as dropped`;
      return row.dropped;
    };
    await recordEvents(sql, account.account_id, [Event.parse({
      id: "imported",
      type: "execution.enrolled",
      workflow_id: workflow_uuid,
      execution_id: crypto.randomUUID(),
      contact_id: "imported",
      source: "bulk",
      occurred_at: new Date(until.getTime() - DAY_MS).toISOString(),
    })]);
    strictEqual(await replace(), null);
    strictEqual(await replace(), null);
    await sql`select weir.watch_month(${part}::text::regclass)`;
    ok(await replace() !== null);
    ok((await retain(world.work, at)).months! > 0);
    strictEqual(
      await countOf(sql, "weir.event where event_id = 'imported'"),
      1,
    );
    strictEqual(await countOf(sql, "weir.touched_month"), 0);
  },
);

onBoth(
  "retain() leaves every id of what it keeps known, and no key",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world, 0);
    const enrolled = (id: string, ago: number) => ({
      id,
      type: "execution.enrolled",
      workflow_id: workflow_uuid,
      execution_id: crypto.randomUUID(),
      contact_id: "contact",
      source: "api",
      occurred_at: inDays(-ago).toISOString(),
    });
    // Open ones stay: of months that are put away, then moved to history, and of this one.
    const events = [85, 60, 30, 0].map((ago) => enrolled(`ago ${ago}`, ago));
    const { source: _, ...rest } = enrolled("ended", 85);
    const ended = [
      { ...rest, id: "begun", type: "execution.enrolled", source: "api" },
      { ...rest, type: "execution.completed" },
    ];
    const record = (change: Record<string, unknown> = {}) =>
      recordEvents(
        sql,
        account.account_id,
        events.map((event) => Event.parse({ ...event, ...change })),
      );
    await recordEvents(
      sql,
      account.account_id,
      ended.map((event) => Event.parse(event)),
    );
    await record();
    await fold(sql);
    for (const days of [60, 200]) {
      ok((await retain(world.work, inDays(days))).months! > 0);
      strictEqual(await countOf(sql, "weir.event_key"), 0);
      deepStrictEqual(new Set(await record()), new Set(["duplicate"]));
      deepStrictEqual(
        new Set(await record({ contact_id: "another" })),
        new Set(["event_conflict"]),
      );
    }
    strictEqual(
      await countOf(sql, "weir.event_history"),
      await countOf(sql, "weir.event"),
    );
    strictEqual(await countOf(sql, "weir.event"), events.length);
  },
);

dbTest(
  "delete_orphans() leaves whom a fold has just enrolled, and what has events",
  async (world) => {
    const { sql, work, account } = world;
    const { workflow_uuid, workflow_id } = await makePast(world, 0);
    const left = crypto.randomUUID();
    const begun = crypto.randomUUID();
    const told = crypto.randomUUID();
    const ids = [left, begun, told];
    const record = (tx: Sql, execution_id: string, type: string, change = {}) =>
      recordEvents(tx, account.account_id, [Event.parse({
        id: `${type} of ${execution_id}`,
        type,
        workflow_id: workflow_uuid,
        execution_id,
        contact_id: "contact",
        occurred_at: inDays(-2).toISOString(),
        ...change,
      })]);
    const deleteOrphans = async () => {
      const [row] = await work<[{ done: boolean }]>`
        select weir.delete_orphans(${workflow_id}, ${ids}::uuid[]) as done`;
      return row.done;
    };
    for (const execution_id of ids) {
      await record(sql, execution_id, "step.entered", {
        step_id: stepUuid(0),
      });
    }
    await fold(sql);
    await sql`delete from weir.event where execution_id = ${left}`;
    const [row] = await work`select weir.orphans(${workflow_id}) as ids`;
    deepStrictEqual(row!.ids, [left]);
    strictEqual(await deleteOrphans(), true);
    const tables = ["weir.execution", "weir.execution_step"];
    for (const table of tables) strictEqual(await countOf(sql, table), 2);
    strictEqual(
      (await audit(world.snapshots, null, new Date())).differences,
      0,
    );

    await sql`delete from weir.event where execution_id = ${begun}`;
    await sql.begin(async (tx) => {
      const its = tx as unknown as Sql;
      await record(its, begun, "execution.enrolled", { source: "api" });
      await fold(its);
      strictEqual(await deleteOrphans(), false);
    });
    await sql`delete from weir.event where execution_id = ${begun}`;
    strictEqual(await deleteOrphans(), true);
    for (const table of tables) strictEqual(await countOf(sql, table), 2);
  },
);

dbTest(
  "delete_events() leaves what comes while it looks, and what waits to be folded",
  async (world) => {
    const { sql, work, account } = world;
    const { workflow_uuid, workflow_id } = await makePast(world, 0);
    const at = inDays(60);
    const horizon = new Date(at.getTime() - 92 * DAY_MS);
    const execution_id = crypto.randomUUID();
    const old = (id: string, change: Record<string, unknown>) =>
      Event.parse({
        id,
        workflow_id: workflow_uuid,
        execution_id,
        contact_id: "contact",
        occurred_at: inDays(-85).toISOString(),
        ...change,
      });
    const record = (tx: Sql, event: Event) =>
      recordEvents(tx, account.account_id, [event]);
    const deleteAll = async () => {
      const [row] = await work<[{ deleted: number; busy: boolean }]>`
        select * from weir.delete_events(${workflow_id}, now(), ${horizon}, ${at},
          '00000000-0000-0000-0000-000000000000')`;
      strictEqual(row.busy, false);
      return row.deleted;
    };
    const ids = async () =>
      (await sql`select event_id from weir.event order by 1`)
        .map(({ event_id }) => event_id);
    await record(
      sql,
      old("begun", { type: "execution.enrolled", source: "api" }),
    );
    await record(sql, old("ended", { type: "execution.completed" }));
    // Not folded yet: nothing knows that it has ended.
    strictEqual(await deleteAll(), 0);
    await fold(sql);

    const late = { type: "step.entered", step_id: stepUuid(0) };
    await sql.begin(async (tx) => {
      await record(tx as unknown as Sql, old("late", late));
      strictEqual(await deleteAll(), 2);
    });
    deepStrictEqual(await ids(), ["late"]);
    strictEqual(await deleteAll(), 0);
    await fold(sql);
    strictEqual(await deleteAll(), 1);

    await sql.begin(async (tx) => {
      await tx`select weir.lock_workflow(${workflow_id})`;
      const [row] = await work`
        select * from weir.delete_events(${workflow_id}, now(), ${horizon}, ${at}, ${execution_id})`;
      deepStrictEqual(row, { id: execution_id, deleted: 0, busy: true });
    });
  },
);

dbTest(
  "forget_keys() leaves the keys of who is recording",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world, 0);
    const event = Event.parse({
      id: "one",
      type: "execution.enrolled",
      workflow_id: workflow_uuid,
      execution_id: crypto.randomUUID(),
      contact_id: "contact",
      source: "api",
      occurred_at: new Date().toISOString(),
    });
    let forgetting: Promise<unknown> | undefined;
    await sql.begin(async (tx) => {
      await recordEvents(tx as unknown as Sql, account.account_id, [event]);
      forgetting = world.work`select weir.forget_keys()`.execute();
      await until("it waits", async () =>
        await countOf(
          sql,
          "pg_locks where relation = 'weir.event_key'::regclass and not granted",
        ) > 0);
      strictEqual(await countOf(tx as unknown as Sql, "weir.event_key"), 1);
    });
    await forgetting;
    strictEqual(await countOf(sql, "weir.event_key"), 0);
    deepStrictEqual(await recordEvents(sql, account.account_id, [event]), [
      "duplicate",
    ]);
  },
);

onBoth(
  "retain() keeps a history that was imported yesterday",
  async (world) => {
    const { sql, snapshots } = world;
    const { workflow_id } = await makePast(world, 50);
    await sql`update weir.workflow set created_at = now() where workflow_id = ${workflow_id}`;
    const before = await countOf(sql, "weir.execution");
    const days = await daysAndMonths(sql);
    await retain(world.work, inDays(60));
    strictEqual(await countOf(sql, "weir.execution"), before);
    deepStrictEqual(await daysAndMonths(sql), days);
    strictEqual((await audit(snapshots, null, inDays(60))).differences, 0);
  },
);

dbTest(
  "readAnalytics() answers by month, for ever, what is no longer kept as days",
  async (world) => {
    const { sql, account } = world;
    const { workflow_uuid } = await makePast(world, 200);
    const months = await sql<
      { first: string; last: string; enrolled: number }[]
    >`
      select to_char(bucket at time zone 'UTC', 'YYYY-MM-DD') as first,
        to_char(bucket at time zone 'UTC' + interval '1 month - 1 day', 'YYYY-MM-DD') as last, enrolled
      from weir.workflow_rollup where grain = 'month' order by bucket`;
    const query = AnalyticsQuery.parse({
      start_date: months[0]!.first,
      end_date: months.at(-1)!.last,
      granularity: "monthly",
    });
    const at = inDays(3 * 366);
    const read = () =>
      readAnalytics(sql, account.account_id, workflow_uuid, query, at);
    const before = (await read())!;
    deepStrictEqual(
      before.trends.map((point) => point.new_enrollments),
      months.map((month) => month.enrolled),
    );
    ok((await retain(world.work, at)).days! > 0);
    deepStrictEqual((await read())!.summary, before.summary);
    deepStrictEqual((await read())!.trends, before.trends);
  },
);
