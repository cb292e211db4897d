/**
 * The whole program while its Redis hangs, is gone and comes back: events
 * and reads go on as if it were not there, and nothing is lost or counted twice.
 *
 * @module
 */

import { doesNotMatch, ok, strictEqual } from "node:assert/strict";
import { dbTest, startServer, until } from "../harness.ts";
import { startUpstash } from "../upstash.ts";
import { check, enrolment, newLedger, report, WORKFLOW } from "./_ledger.ts";
import { endOf } from "../within.ts";

/** One look of 300 ms at a Redis that hangs, and a busy machine, ms. */
const ANSWER_MS_MAX = 2_000;

dbTest(
  "main start needs no Redis for events or reads, and shares again what it keeps when it is back",
  async (world) => {
    await using upstash = await startUpstash();
    // As compose.yaml has it.
    upstash.isPlain = true;
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      UPSTASH_REDIS_REST_URL: upstash.url,
      UPSTASH_REDIS_REST_TOKEN: upstash.token,
    });
    const ledger = newLedger();
    let n = 0;
    const today = new Date().toISOString().slice(0, 10);
    const path =
      `/api/v1/workflows/${WORKFLOW}/analytics?start_date=${today}&end_date=${today}`;
    const send = async () => {
      const event = enrolment(`e${n++}`);
      strictEqual(
        (await report(server, world.key, ledger, [event])).status,
        202,
      );
    };
    const enrolled = async () => {
      const response = await fetch(server.url + path, {
        headers: { authorization: `Bearer ${world.key}` },
      });
      strictEqual(response.status, 200);
      return (await response.json()).summary.total_enrolled;
    };
    const seen = (count: number) =>
      until("it is counted", async () => await enrolled() === count);
    const isAsked = () =>
      until("Redis is asked", async () => {
        const before = upstash.requests;
        await send();
        await enrolled();
        return upstash.requests > before;
      });
    await send();
    await seen(1);
    await isAsked();
    // It refuses nothing of what it is asked, though a busy machine may answer late.
    doesNotMatch(
      server.log(),
      /Unexpected flag|content type|Cannot (subscribe|publish)/,
    );
    const say: string[] = [];
    for (
      const [name, begin, end] of [
        ["hangs", () => upstash.behave("hangs"), () => upstash.behave("ok")],
        ["is gone", () => upstash.stopRedis(), () => upstash.startRedis()],
      ] as const
    ) {
      await begin();
      ledger.slowestMs = 0;
      for (let i = 0; i < 10; i++) {
        await send();
        await enrolled();
      }
      ok(ledger.slowestMs < ANSWER_MS_MAX, `${name}: ${ledger.slowestMs} ms`);
      await seen(n);
      await end();
      await isAsked();
      say.push(`${name}: slowest answer ${Math.round(ledger.slowestMs)} ms`);
    }
    console.info(say.join("\n"));
    strictEqual(ledger.acknowledged.size, n);
    await check(world, ledger);
    server.process.kill("SIGTERM");
    strictEqual((await endOf(server.process)).code, 0);
  },
);
