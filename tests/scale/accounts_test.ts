/**
 * What one account's requests cost does not depend on how many others there are: pages of
 * the buffer pool that each statement touches, in a database of few accounts and after many
 * more have come. Pages are the same on every machine; milliseconds are only told.
 *
 * `SCALE_ACCOUNTS=10000` is the size that docs/scaling.md tells of.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { readPipeline } from "../../db/jobs.ts";
import { readRevisions } from "../../db/live.ts";
import { AnalyticsQuery, WorkflowsQuery } from "../../db/schema.ts";
import { listWorkflows } from "../../db/workflows.ts";
import { dbTest, type World } from "../harness.ts";

const FEW = 20;
const MANY = Number(Deno.env.get("SCALE_ACCOUNTS") ?? 600);

/** Of each account. */
const WORKFLOWS = 3;

/** A session plans a statement of a function anew for each call at first. */
const CALLS = 7;

/** A level more of each index that is looked into, and a page that is not full yet. */
const GROWTH_MAX = 1.6;
const PAGES_MORE_MAX = 60;

/** What a statement took. */
interface Cost {
  pages: number;
  ms: number;
}

interface Plan {
  Plan: Record<string, number>;
  "Execution Time": number;
}

/** Has each statement explained instead of answered, and adds up what it took. */
function explaining(sql: Sql, cost: Cost): Sql {
  return new Proxy(sql, {
    apply(target, self, [strings, ...values]) {
      const isWhole = Array.isArray(strings) && /^\s*select/.test(strings[0]);
      if (!isWhole) return Reflect.apply(target, self, [strings, ...values]);
      const text = [...strings];
      text[0] = `explain (analyze, buffers, format json) ${text[0]}`;
      const query = target(
        Object.assign(text, { raw: text }) as unknown as TemplateStringsArray,
        ...values,
      );
      return query.then((rows) => {
        const [plan] = rows[0]!["QUERY PLAN"] as [Plan];
        cost.ms += plan["Execution Time"];
        cost.pages += plan.Plan["Shared Hit Blocks"]! +
          plan.Plan["Shared Read Blocks"]!;
        return rows;
      });
    },
  });
}

/** The least that a question takes, once its plans are made. */
async function costOf(
  sql: Sql,
  ask: (sql: Sql) => Promise<unknown>,
): Promise<Cost> {
  const costs: Cost[] = [];
  for (let call = 0; call < CALLS; call++) {
    const cost = { pages: 0, ms: 0 };
    // Of a plan nobody makes an answer.
    await ask(explaining(sql, cost)).catch(() => {});
    costs.push(cost);
  }
  strictEqual(costs.some(({ pages }) => pages === 0), false);
  return costs.reduce((a, b) => a.pages <= b.pages ? a : b);
}

/** Accounts with workflows, each with one execution that has come to its end. */
async function addAccounts({ sql }: World, count: number): Promise<void> {
  await sql`
    insert into weir.account (name, time_zone)
    select 'Account ' || n, 'UTC' from generate_series(1, ${count}::int) n`;
  const rows = await sql<{ outcome: string }[]>`
    select distinct outcome
    from weir.account a cross join lateral weir.record_events(a.account_id, (
      select json_agg(json_build_object('w', w, 'x', x, 'c', 'c', 'i', type, 't', type,
        'at', now() - interval '1 day' + n * interval '1 minute', 'src', 'api', 's', x, 'ok', true, 'us', 1000))
      from (
        select md5(a.account_id || ' ' || workflow)::uuid as w, gen_random_uuid() as x
        from generate_series(1, ${WORKFLOWS}::int) workflow
      ) ids, (values (0, 'execution.enrolled'), (1, 'step.entered'), (2, 'action.executed'), (3, 'step.completed'),
        (4, 'execution.completed')) event(n, type)))
    where not exists (select from weir.workflow w where w.account_id = a.account_id)`;
  deepStrictEqual(rows.map(({ outcome }) => outcome), ["accepted"]);
  while (await fold(sql) > 0);
  await sql`analyze`;
}

/** What is asked most, each of one account. */
async function costs(world: World): Promise<Record<string, Cost>> {
  const { sql } = world;
  const [row] = await sql<[{ account_id: number; workflow_uuid: string }]>`
    select account_id, workflow_uuid from weir.workflow order by workflow_id offset 20 limit 1`;
  const now = new Date();
  const days = (ago: number) =>
    new Date(now.getTime() - ago * 86_400_000).toISOString().slice(0, 10);
  const query = AnalyticsQuery.parse({
    start_date: days(30),
    end_date: days(0),
  });
  const list = WorkflowsQuery.parse({});
  const { account_id, workflow_uuid } = row;
  let recorded = 0;
  const event = () =>
    JSON.stringify([{
      w: workflow_uuid,
      x: crypto.randomUUID(),
      c: "c",
      i: `more ${recorded++} ${crypto.randomUUID()}`,
      t: "execution.enrolled",
      at: now.toISOString(),
      src: "api",
    }]);
  return {
    "the list": await costOf(
      sql,
      (sql) => listWorkflows(sql, account_id, list, now),
    ),
    "a summary of 30 days": await costOf(
      sql,
      (sql) => readAnalytics(sql, account_id, workflow_uuid, query, now),
    ),
    "a funnel of 30 days": await costOf(
      sql,
      (sql) => readFunnel(sql, account_id, workflow_uuid, query, now),
    ),
    "a revision": await costOf(
      sql,
      (sql) => readRevisions(sql, [workflow_uuid], now),
    ),
    "health": await costOf(sql, readPipeline),
    "recording an event": await costOf(
      sql,
      async (sql) =>
        await sql`
        select * from weir.record_events(${account_id}, ${event()}::text::json)`,
    ),
    "folding an event": await costOf(world.work, async (work) => {
      await sql`
        select * from weir.record_events(${account_id}, ${event()}::text::json)`;
      await fold(work);
    }),
  };
}

dbTest(
  "requests of one account cost the same beside few others and beside many",
  async (world) => {
    const startedAt = performance.now();
    await addAccounts(world, FEW);
    await world.sql`call weir.refresh_views('worker', 0, null)`;
    const few = await costs(world);
    await addAccounts(world, MANY - FEW);
    const madeAt = performance.now();
    await world.sql`call weir.refresh_views('worker', 0, null)`;
    const refreshMs = performance.now() - madeAt;
    const views = await world.sql<{ view: string; ms: number; rows: number }[]>`
      select distinct on (view) view, rows, round(extract(epoch from finished_at - started_at) * 1000)::int as ms
      from weir.view_refresh order by view, refresh_id desc`;
    const many = await costs(world);

    const say = Object.entries(many).map(([what, { pages, ms }]) =>
      `${what}: ${few[what]!.pages} pages of ${FEW} accounts, ${pages} of ` +
      `${MANY}; ${ms.toFixed(1)} ms`
    );
    console.info(
      [
        ...say,
        ...views.map(({ view, ms, rows }) =>
          `${view}: ${rows} rows in ${ms} ms`
        ),
        `refreshing all views of ${MANY * WORKFLOWS} workflows: ` +
        `${refreshMs.toFixed(0)} ms; made in ${
          (madeAt - startedAt).toFixed(0)
        } ms`,
      ].join("\n"),
    );
    for (const [what, { pages }] of Object.entries(many)) {
      ok(
        pages <= few[what]!.pages * GROWTH_MAX + PAGES_MORE_MAX,
        `${what}: ${few[what]!.pages} pages, then ${pages}`,
      );
    }
  },
);
