/**
 * pg_cron itself, on a server that `deno task test` starts: jobs that nobody else
 * runs, at the next full minute.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createAccount } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { audit, readPipeline, scheduleJobs } from "../../db/jobs.ts";
import { migrate } from "../../db/migrate.ts";
import { recordExecutions } from "../bench/history.ts";
import { makePast } from "../db/_history.ts";
import { admin, dbTest, until, urlOf } from "../harness.ts";
import { CRON_DATABASE } from "../postgres15.ts";

const SCHEDULES = [
  ["weir audit", "41 * * * *", "call weir.run_job('audit')"],
  ["weir cron log", "* * * * *", "call weir.run_job('cron log')"],
  ["weir fold", "* * * * *", "call weir.run_job('fold')"],
  ["weir partitions", "7 2 * * *", "call weir.run_job('partitions')"],
  ["weir recompute", "* * * * *", "call weir.run_job('recompute')"],
  ["weir refresh", "* * * * *", "call weir.run_job('refresh')"],
  ["weir retain", "17 2 * * *", "call weir.run_job('retain')"],
];

/** pg_cron fires at full minutes; and a round takes its time. */
const MINUTE_SECONDS = 75;

Deno.test.beforeAll(async () => {
  await admin(`drop database if exists ${CRON_DATABASE} with (force)`);
  await admin(`create database ${CRON_DATABASE}`);
});

Deno.test.afterAll(async () => {
  await admin(`drop database ${CRON_DATABASE} with (force)`);
});

/** Registers a test on the one database that has pg_cron; each takes it as the last left it. */
function cronTest(name: string, test: (sql: Sql) => Promise<void>): void {
  Deno.test(name, async () => {
    const sql = connect(urlOf(CRON_DATABASE), {
      max: 4,
      statementTimeoutMs: 60_000,
    });
    try {
      await test(sql);
    } finally {
      await sql.end({ timeout: 5 });
    }
  });
}

async function schedules(sql: Sql): Promise<string[][]> {
  const rows = await sql<{ row: string[] }[]>`
    select array[jobname, schedule, command] as row from cron.job
    where jobname like 'weir %' order by jobname`;
  return rows.map(({ row }) => row);
}

cronTest(
  "migrate() schedules every job by name where pg_cron is",
  async (sql) => {
    await sql`create extension pg_cron`;
    await migrate(sql);
    // As `deno task migrate` does: see schedule_jobs().
    await scheduleJobs(sql);
    deepStrictEqual(await schedules(sql), SCHEDULES);
    strictEqual((await readPipeline(sql)).scheduler, "pg_cron");
  },
);

cronTest("pg_cron folds and refreshes with no worker running", async (sql) => {
  const account = await createAccount(sql, "Cron", "Europe/Paris");
  const { workflow_id } = await makePast({
    sql,
    account: { ...account, name: "Cron", time_zone: "Europe/Paris" },
  }, 100);
  await recordExecutions(sql, workflow_id, { from: 100, until: 200, of: 200 });
  await sql`select weir.request_refresh(${workflow_id})`;

  await until("pg_cron has run every job of the minute", async () => {
    const { jobs, queued_events } = await readPipeline(sql);
    const names = jobs.map((job) => job.name);
    const [request] = await sql`select status from weir.refresh_request`;
    return queued_events === 0 && request!.status === "done" &&
      ["cron log", "fold", "recompute", "refresh"]
        .every((name) => names.includes(name));
  }, MINUTE_SECONDS);
  const { jobs, views } = await readPipeline(sql);
  for (const job of jobs) {
    deepStrictEqual([job.run_by, job.last_error], ["pg_cron", null], job.name);
  }
  ok(views.every((view) => view.last_error === null && view.rows! > 0));
  const [days] = await sql`
    select (select sum(enrolled) from weir.workflow_day_sums)::int as view,
      (select sum(enrolled) from weir.workflow_rollup where grain = 'day')::int as rollup`;
  deepStrictEqual(days, { view: 200, rollup: 200 });
  const snapshots = connect(urlOf(CRON_DATABASE), {
    max: 1,
    statementTimeoutMs: 60_000,
    snapshots: true,
  });
  try {
    strictEqual((await audit(snapshots, null, new Date())).differences, 0);
  } finally {
    await snapshots.end({ timeout: 5 });
  }
  const failed = await sql`
    select command, return_message from cron.job_run_details where status = 'failed'`;
  deepStrictEqual([...failed], []);
});

cronTest("run_job() runs the daily jobs, in whatever zone", async (sql) => {
  // As pg_cron connects: in the zone of the server, and without our settings.
  const url = new URL(urlOf(CRON_DATABASE));
  const cron = connect(url.href, { max: 1, statementTimeoutMs: 60_000 });
  try {
    const [last] = await sql<[{ part: string; since: Date; until: Date }]>`
      select part::text, since, until from weir.event_months() order by since desc limit 1`;
    await sql.unsafe(`drop table ${last.part}`);
    for (const name of ["partitions", "retain", "audit"]) {
      await cron`set timezone = 'Europe/Paris'`;
      await cron.unsafe(`call weir.run_job('${name}')`);
    }
    const [made] = await sql`
      select part::text, since, until from weir.event_months() order by since desc limit 1`;
    deepStrictEqual(made, last);
    const { jobs, drift } = await readPipeline(sql);
    strictEqual(drift, 0);
    for (const name of ["partitions", "retain", "audit"]) {
      const job = jobs.find((one) => one.name === name);
      deepStrictEqual([job?.run_by, job?.last_error], ["pg_cron", null]);
    }
  } finally {
    await cron.end();
  }
});

cronTest(
  "read_cron_log() tells /readyz what failed, and forgets old rounds",
  async (sql) => {
    await sql`
    insert into cron.job_run_details (runid, database, command, status, return_message, start_time, end_time)
    values (900001, ${CRON_DATABASE}, 'call weir.run_job(''retain'')', 'failed', 'ERROR: disk full', now(), now()),
      (900002, ${CRON_DATABASE}, 'select 1', 'failed', 'not ours', now(), now()),
      (900003, ${CRON_DATABASE}, 'select 1', 'succeeded', '', now() - interval '8 days', now() - interval '8 days')`;
    await sql`call weir.run_job('cron log')`;
    const { jobs } = await readPipeline(sql);
    const retain = jobs.find((job) => job.name === "retain")!;
    deepStrictEqual([retain.last_error, retain.failures], [
      "ERROR: disk full",
      1,
    ]);
    await sql`call weir.run_job('cron log')`;
    const [again] =
      await sql`select failures from weir.job where name = 'retain'`;
    strictEqual(again!.failures, 1);
    await sql`call weir.run_job('retain')`;
    const [well] = await sql`select error from weir.job where name = 'retain'`;
    strictEqual(well!.error, null);
    const [old] = await sql`
    select count(*)::int as rows from cron.job_run_details where runid = 900003`;
    strictEqual(old!.rows, 0);
  },
);

cronTest(
  "migrate() again replaces schedules and removes what is none",
  async (sql) => {
    await sql`select cron.schedule('weir fold', '5 5 * * *', 'select 1')`;
    await sql`select cron.schedule('weir gone', '5 5 * * *', 'select 1')`;
    await sql`select cron.schedule('somebody else', '5 5 * * *', 'select 1')`;
    const ids = () =>
      sql`select jobid from cron.job where jobname in ('weir fold', 'weir refresh', 'somebody else') order by jobname`;
    const before = await ids();
    await sql`update weir.applied set sha256 = '' where name = 'views/90_cron.sql'`;
    ok((await migrate(sql)).includes("views/90_cron.sql"));
    deepStrictEqual(await schedules(sql), SCHEDULES);
    deepStrictEqual([...await ids()], [...before]);
    strictEqual(await scheduleJobs(sql), SCHEDULES.length);
    deepStrictEqual(await schedules(sql), SCHEDULES);
  },
);

cronTest(
  "scheduler() falls back to the worker where pg_cron is not",
  async (sql) => {
    await sql`select cron.unschedule(jobid) from cron.job where jobname = 'weir fold'`;
    strictEqual((await readPipeline(sql)).scheduler, "worker");
    strictEqual(await scheduleJobs(sql), SCHEDULES.length);
    strictEqual((await readPipeline(sql)).scheduler, "pg_cron");
  },
);

dbTest(
  "scheduleJobs() schedules nothing where pg_cron is not",
  async (world) => {
    const [row] = await world.sql`select version() as version`;
    match(row!.version, /^PostgreSQL 15\./);
    strictEqual(await scheduleJobs(world.sql), 0);
    strictEqual((await readPipeline(world.sql)).scheduler, "worker");
  },
);
