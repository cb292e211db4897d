import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { fold } from "../../db/events.ts";
import {
  readPipeline,
  readRefresh,
  refreshAll,
  requestRefresh,
} from "../../db/jobs.ts";
import { listWorkflows } from "../../db/workflows.ts";
import { WorkflowsQuery } from "../../db/schema.ts";
import { recordExecutions } from "../bench/history.ts";
import { dbTest, type World } from "../harness.ts";
import { makePast } from "./_history.ts";

/** Each view, and the sums of a rollup that it must hold, by day or of all days so far. */
const VIEWS = {
  workflow_day_sums: {
    rollup: "workflow_rollup",
    key: "workflow_id, bucket",
    soFar: false,
    sums:
      "enrolled, enrolled_trigger, enrolled_bulk, enrolled_api, enrolled_manual, cohort_completed, cohort_exited, cohort_converted, cohort_settled_converted, completed, exited, converted, cohort_duration_us, cohort_conversion_us, duration_us, conversion_us",
  },
  step_day_sums: {
    rollup: "step_rollup",
    key: "workflow_id, bucket, step_id",
    soFar: true,
    sums:
      "entered, completed, dropped_off, goal_exits, left_after, visits, time_us",
  },
  action_day_sums: {
    rollup: "action_rollup",
    key: "workflow_id, bucket, step_id",
    soFar: true,
    sums: "executions, successes, duration_us",
  },
};

/** Rows that a view and its rollup do not share. */
async function differences({ sql }: World): Promise<number> {
  let count = 0;
  for (const [view, { rollup, key, soFar, sums }] of Object.entries(VIEWS)) {
    const names = sums.split(", ");
    const summed = names.map((name) => `sum(${name})`).join(", ");
    const ofDay = soFar
      ? names.map((name) =>
        `${name} - lag(${name}, 1, ${name} - ${name}) over past as ${name}`
      )
      : names;
    // A step has a row on days of its workflow on which it has nothing to count, too.
    const kept = `
      select * from (
        select ${key}, ${ofDay.join(", ")} from weir.${view}
        window past as (partition by workflow_id, ${
      soFar ? "step_id" : "null"
    } order by bucket)
      ) d where bucket > '-infinity' and (${names.join(", ")}) <> (${
      names.map(() => 0).join(", ")
    })`;
    const right =
      `select ${key}, ${summed} from weir.${rollup} where grain = 'day' and bucket >= weir.first_day_key() group by ${key}`;
    const [row] = await sql.unsafe<[{ count: number }]>(`
      select count(*) from (
        (${kept} except all ${right}) union all (${right} except all ${kept})) d`);
    count += row.count;
  }
  return count;
}

/** A refresh rests for as many times as long as it took: as if it had taken no time. */
async function rest({ sql }: World): Promise<void> {
  await sql`update weir.view_refresh set finished_at = started_at`;
}

async function refreshes({ sql }: World) {
  return await sql<{ view: string; rows: number | null; error: string }[]>`
    select view, rows, error from weir.view_refresh order by refresh_id`;
}

dbTest("refreshAll() makes the views equal to the rollups", async (world) => {
  const { sql } = world;
  const { workflow_id } = await makePast(world);
  ok(await differences(world) > 0);
  deepStrictEqual(await refreshAll(sql), { views: 5, requests: 0 });
  strictEqual(await differences(world), 0);
  const revisions = await sql`
    select distinct workflow_id, revision from weir.view_revision
    where workflow_id = ${workflow_id}`;
  deepStrictEqual(
    [...revisions],
    [...await sql`select workflow_id, revision from weir.workflow_revision`],
  );
  const rows = await refreshes(world);
  deepStrictEqual(rows.map((row) => row.error), Array(5).fill(null));
  ok(rows.every((row) => row.rows! > 0));
});

dbTest("refreshAll() holds 200 days, and says since when", async (world) => {
  const { sql } = world;
  await makePast(world, 50);
  await sql`
    update weir.workflow_rollup set bucket = bucket - interval '150 days' where grain = 'day'`;
  await refreshAll(sql);
  const [view] = await sql`
    select min(bucket) >= min(since) as inside, count(*) > 0 as some,
      min(since) = date_trunc('day', now()) - interval '200 days' as since
    from weir.workflow_day_sums join weir.view_revision using (workflow_id)
    where view = 'workflow_day_sums'`;
  deepStrictEqual(view, { inside: true, some: true, since: true });
  const [old] = await sql`
    select count(*) > 0 as some from weir.workflow_rollup
    where grain = 'day' and bucket < weir.first_day_key()`;
  strictEqual(old!.some, true);
});

dbTest(
  "refreshAll() has nothing to do until something changes",
  async (world) => {
    const { sql } = world;
    const { workflow_id } = await makePast(world, 50);
    await refreshAll(sql);
    // Unless a quarter of an hour begins between the two, which counts as a change.
    await sql`update weir.view_refresh set started_at = now()`;
    await rest(world);
    deepStrictEqual(await refreshAll(sql), { views: 0, requests: 0 });
    await recordExecutions(sql, workflow_id, { from: 50, until: 60, of: 60 });
    await fold(sql);
    ok(await differences(world) > 0);
    deepStrictEqual(await refreshAll(sql), { views: 5, requests: 0 });
    strictEqual(await differences(world), 0);
  },
);

dbTest(
  "refreshAll() passes on a view that another session is at",
  async (world) => {
    const { sql } = world;
    await makePast(world, 20);
    await sql.begin(async (tx) => {
      await tx`select weir.lock_job('refresh step_day_sums')`;
      deepStrictEqual(await refreshAll(sql), { views: 4, requests: 0 });
    });
    await rest(world);
    const done = await Promise.all([1, 2, 3].map(() => refreshAll(sql)));
    ok(done.some(({ views }) => views! > 0));
    strictEqual(await differences(world), 0);
  },
);

dbTest("refreshAll() records what fails and does the rest", async (world) => {
  const { sql } = world;
  await makePast(world, 20);
  await refreshAll(sql);
  await sql`alter materialized view weir.step_day_sums rename to hidden`;
  await recordExecutions(sql, 1, { from: 900, until: 901, of: 901 });
  await fold(sql);
  await rest(world);
  deepStrictEqual(await refreshAll(sql), { views: 4, requests: 0 });
  const { views } = await readPipeline(sql);
  const failed = views.filter((view) => view.last_error !== null);
  deepStrictEqual(failed.map((view) => view.name), ["step_day_sums"]);
  ok(failed[0]!.age_seconds! >= 0);
  await sql`alter materialized view weir.hidden rename to step_day_sums`;
  await rest(world);
  deepStrictEqual(await refreshAll(sql), { views: 1, requests: 0 });
  strictEqual(await differences(world), 0);
});

dbTest("workflow_headline_sums is what the list shows", async (world) => {
  const { sql, account } = world;
  const { workflow_uuid } = await makePast(world);
  await refreshAll(sql);
  const { workflows } = await listWorkflows(
    sql,
    account.account_id,
    WorkflowsQuery.parse({}),
    new Date(),
  );
  strictEqual(workflows[0]!.workflow_id, workflow_uuid);
  const [headline] = await sql<
    { enrolled: number; completed: number; converted: number; today: boolean }[]
  >`
    select enrolled::int, completed::int, converted::int,
      last_day = (now() at time zone 'UTC')::date as today
    from weir.workflow_headline_sums`;
  const [shown] = workflows;
  deepStrictEqual(headline, {
    enrolled: shown!.total_enrolled,
    completed: shown!.completed,
    converted: shown!.goals_achieved,
    today: true,
  });
});

dbTest("requestRefresh() waits once, and is answered", async (world) => {
  const { sql, account } = world;
  const { workflow_uuid, workflow_id } = await makePast(world, 20);
  const first = await requestRefresh(sql, account.account_id, workflow_uuid);
  const all = await Promise.all(
    [1, 2, 3].map(() => requestRefresh(sql, account.account_id, workflow_uuid)),
  );
  for (const one of all) strictEqual(one.job_id, first.job_id);
  ok(first.estimated_completion_seconds >= 1);
  const queued = await readRefresh(
    sql,
    account.account_id,
    workflow_uuid,
    first.job_id,
  );
  strictEqual(queued!.status, "queued");

  await recordExecutions(sql, workflow_id, { from: 20, until: 30, of: 30 });
  deepStrictEqual((await refreshAll(sql)).requests, 1);
  const done = await readRefresh(
    sql,
    account.account_id,
    workflow_uuid,
    first.job_id,
  );
  deepStrictEqual([done!.status, done!.error], ["done", null]);
  ok(done!.finished_at! >= done!.started_at!);
  strictEqual((await readPipeline(sql)).queued_events, 0);
  strictEqual(await differences(world), 0);

  const next = await requestRefresh(sql, account.account_id, workflow_uuid);
  ok(next.job_id !== first.job_id);
  strictEqual(
    await readRefresh(
      sql,
      account.account_id,
      crypto.randomUUID(),
      next.job_id,
    ),
    null,
  );
});

dbTest("a refresh that was left running is answered later", async (world) => {
  const { sql, account } = world;
  const { workflow_uuid } = await makePast(world, 5);
  const { job_id } = await requestRefresh(
    sql,
    account.account_id,
    workflow_uuid,
  );
  await sql`
    update weir.refresh_request set status = 'running', started_at = now()`;
  strictEqual((await refreshAll(sql)).requests, 0);
  await sql`
    update weir.refresh_request set started_at = now() - interval '6 minutes'`;
  strictEqual((await refreshAll(sql)).requests, 1);
  strictEqual(
    (await readRefresh(sql, account.account_id, workflow_uuid, job_id))!.status,
    "done",
  );
});
