import {
  deepStrictEqual,
  doesNotMatch,
  match,
  ok,
  strictEqual,
} from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { recordJob } from "../../db/jobs.ts";
import type { JobState } from "../../db/schema.ts";
import type { Log } from "../../db/log.ts";
import { createHub } from "../../routes/_hub.ts";
import { dbTest } from "../harness.ts";
import {
  appWith,
  assertProblem,
  enrolled,
  post,
  RANGE,
  send,
  WORKFLOW,
} from "./_requests.ts";

/** Nobody listens there. */
const NOWHERE = "postgres://nobody:secret@127.0.0.1:1/nothing";

function listening(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const write = (message: string) => void lines.push(message);
  const log = { debug: write, info: write, warn: write, error: write };
  return { log, lines };
}

dbTest("GET /healthz and /readyz are well when all is", async (world) => {
  const health = await send(world, "GET", "/healthz", { key: null });
  deepStrictEqual([health.status, health.json], [200, { status: "ok" }]);
  const ready = await send(world, "GET", "/readyz", { key: null });
  const { views, ...rest } = ready.json;
  deepStrictEqual([ready.status, rest], [200, {
    status: "ready",
    database: "ok",
    alerts: [],
    scheduler: "worker",
    fold_lag_seconds: 0,
    queued_events: 0,
    jobs: [],
  }]);
  deepStrictEqual(views.map((view: { name: string }) => view.name), [
    "action_day_sums",
    "step_day_sums",
    "window_percentiles",
    "workflow_day_sums",
    "workflow_headline_sums",
  ]);
});

dbTest("GET /readyz says when events are not counted", async (world) => {
  await post(world, enrolled());
  const fresh = await send(world, "GET", "/readyz", { key: null });
  strictEqual(fresh.json.status, "ready");
  await world.sql`
    update weir.event_queue set accepted_at = now() - interval '61 s'`;
  const behind = await send(world, "GET", "/readyz", { key: null });
  // A load balancer would else stop what still works.
  strictEqual(behind.status, 200);
  strictEqual(behind.json.status, "behind");
  ok(behind.json.fold_lag_seconds >= 61);
  await fold(world.sql);
  const after = await send(world, "GET", "/readyz", { key: null });
  deepStrictEqual([after.status, after.json.status], [200, "ready"]);
});

dbTest(
  "GET /readyz tells of jobs, and alerts without giving up",
  async (world) => {
    const { sql } = world;
    const round = (name: string, error: string | null) =>
      recordJob(sql, {
        name,
        every_seconds: 15,
        started_at: new Date(),
        did: {},
        error,
        rounds: 1,
      });
    await round("refresh", null);
    await round("retain", "Cannot drop a month");
    await sql`insert into weir.audit_drift (relation, is_stored) values ('execution', '{}')`;
    const young = await send(world, "GET", "/readyz", { key: null });
    strictEqual(young.status, 200);
    deepStrictEqual(young.json.alerts, ["job_failed:retain", "audit_drift:1"]);
    deepStrictEqual(
      young.json.jobs.map((job: JobState) => [job.name, job.last_error]),
      [["refresh", null], ["retain", "Cannot drop a month"]],
    );
    await sql`update weir.job set finished_at = now() - interval '10 minutes'`;
    const old = await send(world, "GET", "/readyz", { key: null });
    strictEqual(old.status, 200);
    ok(old.json.alerts.includes("job_late:refresh"));
    ok(old.json.jobs[0].lag_seconds >= 600);
  },
);

dbTest(
  "GET /metrics is Prometheus text without anybody's data",
  async (world) => {
    await post(world, enrolled());
    await send(world, "GET", `/api/v1/workflows/${WORKFLOW}`);
    await send(world, "GET", "/none");
    await recordJob(world.sql, {
      name: 'a "job"',
      every_seconds: 1,
      started_at: new Date(),
      did: {},
      error: null,
      rounds: 7,
    });
    const { status, headers, text } = await send(world, "GET", "/metrics", {
      key: null,
    });
    strictEqual(status, 200);
    match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
    for (
      const line of [
        "weir_queued_events 1",
        "weir_audit_drift 0",
        "weir_streams 0",
        "weir_access_log_lost_total 0",
        'weir_scheduler{scheduler="worker"} 1',
        'weir_job_runs_total{name="a \\"job\\""} 7',
        'weir_limited_total{policy="read",verdict="allowed"} 1',
        'weir_cache_reads_total{found="loaded"} 0',
        'weir_http_requests_total{method="POST",route="/api/v1/events",status="202"} 1',
        'weir_http_requests_total{method="GET",route="/api/v1/workflows/:id",status="200"} 1',
        'weir_http_requests_total{method="GET",route="other",status="404"} 1',
      ]
    ) {
      ok(text.includes(`\n${line}\n`), `${line}\n${text}`);
    }
    // The access log may be on its way just now.
    match(text, /\nweir_pool_connections\{pool="web"\} [1-9]/);
    match(text, /\nweir_pool_waiting\{pool="export"\} \d/);
    for (const line of text.trimEnd().split("\n")) {
      match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{.+\})? \d+(\.\d+)?(e-\d+)?)$/);
    }
    doesNotMatch(text, new RegExp(WORKFLOW));
  },
);

dbTest(
  "GET /metrics tells of exports that wait, run, and were given up",
  async (world) => {
    const { sql } = world;
    await post(world, enrolled());
    const told = async () => {
      const { text } = await send(world, "GET", "/metrics", { key: null });
      const value = (name: string) =>
        Number(
          text.split("\n").find((line) => line.startsWith(`${name} `))!
            .split(" ")[1],
        );
      return [
        ...["queued", "running", "dead"]
          .map((state) => value(`weir_exports{state="${state}"}`)),
        Math.floor(value("weir_export_wait_seconds")),
      ];
    };
    deepStrictEqual(await told(), [0, 0, 0, 0]);
    const add = async (job: Record<string, unknown>) => {
      const [{ account_id, workflow_id }] = await sql<
        [{ account_id: number; workflow_id: number }]
      >`select account_id, workflow_id from weir.workflow`;
      await sql`insert into weir.export_job ${
        sql({ account_id, workflow_id, request: "{}", ...job })
      }`;
    };
    const secondsAgo = (seconds: number) =>
      new Date(Date.now() - seconds * 1_000);
    // One that rests after a failure waits for nobody.
    await add({ not_before: secondsAgo(-100) });
    deepStrictEqual(await told(), [1, 0, 0, 0]);
    await add({ requested_at: secondsAgo(99), not_before: secondsAgo(40) });
    await add({ status: "running", attempts: 1, lease_until: secondsAgo(-9) });
    deepStrictEqual(await told(), [2, 1, 0, 40]);
    // Whose worker is gone waits for another.
    await sql`update weir.export_job set lease_until = ${
      secondsAgo(70)
    } where status = 'running'`;
    // What was asked for wrongly failed, too, and nobody is to look at that.
    await add({ status: "failed", attempts: 1, finished_at: new Date() });
    await add({ status: "failed", attempts: 3, finished_at: new Date() });
    await add({ status: "done", attempts: 3 });
    deepStrictEqual(await told(), [2, 1, 1, 70]);
  },
);

dbTest("without its database the app says so and no more", async (world) => {
  const sql = connect(NOWHERE, { max: 1, statementTimeoutMs: 1_000 });
  const { log, lines } = listening();
  const app = appWith(world, { sql, log });
  try {
    strictEqual((await send(world, "GET", "/healthz", { app })).status, 200);
    const ready = await send(world, "GET", "/readyz", { app });
    deepStrictEqual([ready.status, ready.json], [503, {
      status: "down",
      database: "unreachable",
    }]);
    const path = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    const read = await send(world, "GET", path, { app });
    assertProblem(read, 503, "unavailable");
    ok(Number(read.headers.get("retry-after")) > 0);
    assertProblem(await post(world, enrolled(), { app }), 503, "unavailable");
    deepStrictEqual(lines.filter((line) => line !== "request"), [
      "not ready",
      "request failed",
      "request failed",
    ]);
  } finally {
    await sql.end({ timeout: 0 });
  }
});

dbTest("a statement that takes too long is a 504", async (world) => {
  const sql = connect(world.database_url, { max: 1, statementTimeoutMs: 200 });
  const { log, lines } = listening();
  const now = () => world.clock.now;
  const hub = createHub({ sql, now, log, bus: null });
  const app = appWith(world, { sql, log, hub });
  const lock = await world.sql.reserve();
  try {
    await lock`begin`;
    await lock`lock table weir.workflow`;
    const path = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    const read = await send(world, "GET", path, { app });
    assertProblem(read, 504, "query_timeout");
    deepStrictEqual(lines.filter((line) => line !== "request"), [
      "request failed",
    ]);
  } finally {
    await lock`rollback`;
    lock.release();
    await sql.end();
  }
});
