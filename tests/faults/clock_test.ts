/**
 * Clocks that step: the server's runs ahead of Postgres', then behind it, and back; then
 * Postgres' own, with those of a worker. Numbers are of the events' own times, so none may
 * be lost, counted twice or refused by mistake, and nothing may wait for the time to come
 * that was.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { refreshAll } from "../../db/jobs.ts";
import { migrate } from "../../db/migrate.ts";
import { dbTest, type Server, startServer, until } from "../harness.ts";
import {
  enrolled,
  post,
  put,
  send,
  WORKFLOW as WORKFLOW_OF_ROUTES,
} from "../routes/_requests.ts";
import { endOf } from "../within.ts";
import { startClockwork } from "./_clock.ts";
import {
  check,
  enrolment,
  HUNG_MS,
  newLedger,
  report,
  WORKFLOW,
} from "./_ledger.ts";

const HOUR_MS = 3_600_000;

/** Materialized views that there are. */
const VIEWS = 5;

/** How far the server's clock is from Postgres', hours, one after the other. */
const STEPS = [0, 1, -1, 26, -26, 0];

dbTest(
  "events are counted once, and as_of claims no time to come, whatever clocks step",
  async (world) => {
    const ledger = newLedger();
    const began = Date.now();
    const sent: Record<string, unknown>[] = [];
    for (const [n, hours] of STEPS.entries()) {
      world.clock.now = new Date(began + hours * HOUR_MS);
      const occurred_at = world.clock.now.toISOString();
      const events: Record<string, unknown>[] = Array.from(
        { length: 10 },
        (_, i) => ({ ...enrolment(`${n} ${i}`), occurred_at }),
      );
      // What was sent under another time comes again: its client had no answer. What is
      // dated too far ahead of this clock is refused by name, not counted for new.
      const again = sent.slice(-10);
      const answer = await post(world, [...events, ...again]);
      strictEqual(answer.status, 202, answer.text);
      strictEqual(answer.json.accepted, events.length);
      strictEqual(answer.json.duplicates + answer.json.rejected, again.length);
      for (const { code } of answer.json.errors) {
        strictEqual(code, "event_in_future");
      }
      for (const { id } of events) ledger.acknowledged.add(id as string);
      sent.push(...events);

      // Not yet counted: complete up to before they came, by either clock.
      const path = `/api/v1/workflows/${WORKFLOW}/analytics`;
      const day = occurred_at.slice(0, 10);
      const read = async () =>
        (await send(world, "GET", `${path}?start_date=${day}&end_date=${day}`))
          .json;
      ok(Date.parse((await read()).as_of) <= world.clock.now.getTime());
      while (await fold(world.sql) > 0);
      const { as_of, summary } = await read();
      strictEqual(as_of, occurred_at, "all is counted");
      ok(summary.total_enrolled >= events.length);
    }
    strictEqual(ledger.acknowledged.size, sent.length);
    await check(world, ledger);

    // What was refused ahead of its time is a duplicate in its time.
    world.clock.now = new Date(began + 27 * HOUR_MS);
    const all = await post(world, sent);
    deepStrictEqual(
      [all.json.accepted, all.json.duplicates],
      [0, sent.length],
    );
  },
);

dbTest(
  "what was begun before Postgres' clock went back does not wait for that time to come again",
  async (world) => {
    const { sql, work } = world;
    await put(world);
    world.clock.now = new Date();
    const occurred_at = world.clock.now.toISOString();
    strictEqual((await post(world, enrolled({ occurred_at }))).status, 202);
    while (await fold(sql) > 0);
    const path = `/api/v1/workflows/${WORKFLOW_OF_ROUTES}`;
    const ask = async (what: string, json: object) => {
      const answer = await send(world, "POST", path + what, { json });
      strictEqual(answer.status, 202, answer.text);
      return answer.json.job_id as string;
    };
    const file = { format: "csv", rows: "executions" };
    const running = await ask("/exports", file);
    const claim = async () => {
      const [row] = await work`select weir.claim_export(60, 3) as found`;
      return row!.found?.job.job_id ?? null;
    };
    strictEqual(await claim(), running);
    const waiting = await ask("/exports", file);
    await refreshAll(work);
    const request = await ask("/analytics/refresh", {});
    await sql`
      update weir.refresh_request set status = 'running', started_at = now()`;

    // As it looks when the clock has gone back, to before all that.
    await sql`
      update weir.export_job set requested_at = requested_at + interval '2 hours',
        not_before = not_before + interval '2 hours', lease_until = lease_until + interval '2 hours'`;
    await sql`
      update weir.refresh_request set requested_at = requested_at + interval '2 hours',
        started_at = started_at + interval '2 hours'`;
    await sql`
      update weir.view_refresh set started_at = started_at + interval '2 hours',
        finished_at = finished_at + interval '2 hours'`;
    const later = {
      id: "later",
      execution_id: crypto.randomUUID(),
      occurred_at,
    };
    strictEqual((await post(world, enrolled(later))).status, 202);
    await sql`update weir.event_queue set accepted_at = accepted_at + interval '2 hours'`;
    const ready = await send(world, "GET", "/readyz");
    strictEqual(ready.json.fold_lag_seconds, 0);

    // The worker of the one may be gone, and nobody has the other.
    deepStrictEqual([await claim(), await claim()], [running, waiting]);
    strictEqual(await claim(), null, "they have new leases");
    strictEqual((await refreshAll(work)).requests, 1);
    strictEqual(await countOld(sql), 0);
    const { json } = await send(
      world,
      "GET",
      `${path}/analytics/refresh/${request}`,
    );
    strictEqual(json.status, "done");

    // And as it looks when it went forward amid a refresh: that took no two hours.
    await sql`
      update weir.view_refresh set started_at = started_at - interval '1 day',
        finished_at = finished_at - interval '7 hours'`;
    deepStrictEqual(await refreshAll(work), { views: VIEWS, requests: 0 });
  },
);

/** Workflows that a view holds as they were, counted by view. */
async function countOld(sql: Sql): Promise<number> {
  const [row] = await sql<[{ old: number }]>`
    select count(*)::int as old
    from unnest(weir.materialized_views()) as view join weir.workflow_revision r on true
    left join weir.view_revision v using (view, workflow_id)
    where v.revision is distinct from r.revision`;
  return row.old;
}

/** How far the clock of Postgres and of a worker is from the true one, hours. */
const POSTGRES_STEPS = [0, 2, -2, 0];

Deno.test({
  name:
    "events, files and refreshes are done once, soon, whatever Postgres' own clock steps",
  // The program between reads Linux' clocks.
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using clockwork = await startClockwork();
    const options = { max: 2, statementTimeoutMs: 60_000 };
    const sql = connect(clockwork.url, options);
    const snapshots = connect(clockwork.url, { ...options, snapshots: true });
    try {
      await migrate(sql);
      const { account_id } = await createAccount(sql, "Clock", "UTC");
      const key = await createKey(sql, account_id, { scopes: ["admin"] });
      const env = { DATABASE_URL: clockwork.url };
      // One whose clock is true, and one whose clock steps as Postgres' does.
      await using steady = await startServer(env);
      await using stepping = await startServer({ ...env, ...clockwork.env });
      const ledger = newLedger();
      const took: number[] = [];
      let n = 0;
      for (const hours of POSTGRES_STEPS) {
        const startedAt = performance.now();
        await clockwork.step(hours);
        const [{ off }] = await sql<[{ off: number }]>`
          select extract(epoch from clock_timestamp())::float8 as off`;
        const offMs = off * 1_000 - Date.now() - hours * HOUR_MS;
        ok(Math.abs(offMs) < 60_000, `${offMs} ms`);
        const weird = [];
        for (const server of [steady, stepping]) {
          // No clock may take it to be of the future.
          const occurred_at = new Date(
            Date.now() + Math.min(0, hours) * HOUR_MS,
          ).toISOString();
          const sent = Array.from(
            { length: 20 },
            () => ({ ...enrolment(`e${n++}`), occurred_at }),
          );
          strictEqual((await report(server, key, ledger, sent)).status, 202);
          weird.push(await doAll(server, key));
        }
        for (const as_of of weird) {
          ok(Date.parse(as_of) <= Date.now() + Math.max(0, hours) * HOUR_MS);
        }
        strictEqual(await countOld(sql), 0, "views of before the step");
        took.push(Math.round(performance.now() - startedAt));
      }
      console.info(`${n} events; each step was over in ${took} ms`);
      await check({ sql, snapshots }, ledger);
      strictEqual(ledger.acknowledged.size, n);
      const jobs = await sql<{ status: string; n: number }[]>`
        select status, count(*)::int as n from weir.export_job group by status`;
      deepStrictEqual([...jobs], [{
        status: "done",
        n: 2 * POSTGRES_STEPS.length,
      }]);
      for (const server of [steady, stepping]) {
        server.process.kill("SIGTERM");
        strictEqual((await endOf(server.process)).code, 0, server.log());
      }
    } finally {
      await Promise.all(
        [sql, snapshots].map((client) => client.end({ timeout: 5 })),
      );
    }
  },
});

/**
 * Has a file made and the views refreshed, and sees that both are there soon and hold
 * what was reported.
 *
 * @returns Up to when the numbers are complete.
 */
async function doAll({ url }: Server, key: string): Promise<string> {
  const path = `${url}/api/v1/workflows/${WORKFLOW}`;
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
  };
  const ask = async (method: string, what: string, json?: object) => {
    const body = json && JSON.stringify(json);
    const response = await fetch(path + what, {
      method,
      headers,
      body,
      signal: AbortSignal.timeout(HUNG_MS),
    });
    const text = await response.text();
    ok(response.ok, `${what}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const day = (days: number) =>
    new Date(Date.now() + days * 24 * HOUR_MS).toISOString().slice(0, 10);
  const range = `start_date=${day(-1)}&end_date=${day(1)}`;
  const { job_id: refresh } = await ask("POST", "/analytics/refresh");
  await until("views are refreshed", async () => {
    const { status, error } = await ask("GET", `/analytics/refresh/${refresh}`);
    strictEqual(error ?? null, null);
    return status === "done";
  });
  const file = { format: "csv", rows: "executions" };
  const { job_id } = await ask("POST", "/exports", file);
  await until("the file is there", async () => {
    const { status } = await ask("GET", `/exports/${job_id}`);
    return status === "done";
  });
  const [{ file: made }, analytics] = await Promise.all([
    ask("GET", `/exports/${job_id}`),
    ask("GET", `/analytics?${range}`),
  ]);
  strictEqual(made.rows, analytics.summary.total_enrolled);
  return analytics.as_of;
}
