/**
 * The whole program behind PgBouncer in transaction mode, which is restarted amid it.
 *
 * @module
 */

import { ok, strictEqual } from "node:assert/strict";
import { dbTest, startServer, until } from "../harness.ts";
import { type Held, readEvents, sameLive, taken } from "../event_stream.ts";
import { startPgBouncer } from "../pgbouncer.ts";
import { check, enrolment, newLedger, report, WORKFLOW } from "./_ledger.ts";
import { endOf } from "../within.ts";

const RESTARTS = 3;

/** How soon it answers after PgBouncer does, seconds. */
const RECOVERY_SECONDS_MAX = 10;

dbTest(
  "main start takes events, answers and streams through PgBouncer, under its restarts",
  async (world) => {
    await using pgbouncer = await startPgBouncer();
    const database = new URL(world.database_url).pathname.slice(1);
    await using server = await startServer({
      DATABASE_URL: pgbouncer.url(database),
      DATABASE_URL_DIRECT: world.database_url,
    });
    const ledger = newLedger();
    let n = 0;
    const send = () =>
      report(server, world.key, ledger, [enrolment(`e${n++}`)]);
    strictEqual((await send()).status, 202);

    const headers = { authorization: `Bearer ${world.key}` };
    const today = new Date().toISOString().slice(0, 10);
    const path = `${server.url}/api/v1/workflows/${WORKFLOW}/analytics`;
    const range = `?start_date=2026-01-01&end_date=${today}`;
    const read = async (part: string) => {
      const response = await fetch(`${path}${part}${range}`, { headers });
      return { status: response.status, json: await response.json() };
    };
    const opened = await fetch(`${path}/stream${range}`, { headers });
    strictEqual(opened.status, 200);
    const reading = readEvents(opened.body!);
    let held: Held | null = null;
    const enrolled = () => held?.numbers.analytics.summary.total_enrolled;

    let isOver = false;
    const statuses = new Set<number>();
    const load = Promise.all(Array.from({ length: 4 }, async () => {
      while (!isOver) {
        await send();
        const { status } = await read("");
        statuses.add(status);
        ok([200, 503].includes(status), `${status}`);
      }
    }));
    const times: number[] = [];
    try {
      for (let restart = 0; restart < RESTARTS; restart++) {
        const before = ledger.acknowledged.size;
        await until(
          "requests pass",
          () => ledger.acknowledged.size > before + 20,
        );
        await pgbouncer.restart();
        const startedAt = performance.now();
        await until(
          "it takes events again",
          async () => (await send()).status === 202,
          RECOVERY_SECONDS_MAX,
        );
        times.push(Math.round(performance.now() - startedAt));
      }
    } finally {
      isOver = true;
      await load;
    }
    console.info(
      `answers ${JSON.stringify([...ledger.statuses])}, well after ${times} ms`,
    );
    await check(world, ledger);
    // The stream was open throughout. What a 503 left undecided may be counted too.
    const [{ stored }] = await world.sql<[{ stored: number }]>`
      select count(*)::int as stored from weir.event`;
    while (enrolled() !== stored) {
      held = taken(held, await reading.next("snapshot", "metrics_update"));
    }
    const [analytics, funnel, actions] = await Promise.all(
      ["", "/funnel", "/actions"].map(read),
    );
    sameLive(held!.numbers, {
      analytics: analytics!.json,
      funnel: funnel!.json,
      actions: actions!.json,
    });
    await reading.close();
    server.process.kill("SIGTERM");
    strictEqual((await endOf(server.process)).code, 0, server.log());
  },
);
