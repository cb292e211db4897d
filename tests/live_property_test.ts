/**
 * No gap and no double: one reader, cut off at random 200 times while events are folded
 * and the workflow is renamed, back at either of two servers, one of which is rung by
 * Postgres and the other by a Redis that is restarted. What it has folded is always
 * what a fresh read says.
 *
 * `LIVE_SEED` repeats a run, `LIVE_CUTS` makes it longer.
 *
 * @module
 */

import { strictEqual } from "node:assert/strict";
import { postgresBus, relayRings, upstashBus } from "../db/bus.ts";
import { fold, recordEvents } from "../db/events.ts";
import { readLive } from "../db/live.ts";
import { createLog } from "../db/log.ts";
import { AnalyticsQuery } from "../db/schema.ts";
import { randomOf } from "../workers/_random.ts";
import {
  type Held,
  type Message,
  readEvents,
  type Reading,
  sameLive,
  taken,
} from "./event_stream.ts";
import { dbTest, startServer, until, type World } from "./harness.ts";
import { journeyOf } from "./journeys.ts";
import { put, WORKFLOW } from "./routes/_requests.ts";
import { startUpstash } from "./upstash.ts";

const SEED = Deno.env.get("LIVE_SEED") ?? crypto.randomUUID();
const CUTS = Number(Deno.env.get("LIVE_CUTS") ?? 200);

/** After so many cuts nothing happens for a moment, and the numbers are compared. */
const CUTS_BETWEEN = 10;

/** Around now, as the servers' clocks are real; midnight changes no more than its numbers. */
function rangeNow(): { start_date: string; end_date: string } {
  const today = Temporal.Now.plainDateISO("UTC");
  return {
    start_date: today.subtract({ days: 3 }).toString(),
    end_date: today.add({ days: 1 }).toString(),
  };
}

dbTest(
  "folding a stream that is cut off 200 times ends where fresh reads do, across two servers and a Redis restart",
  async (world) => {
    console.info(`LIVE_SEED=${SEED}`);
    const { sql, database_url: DATABASE_URL, key } = world;
    const log = createLog("error", () => {});
    const random = randomOf(SEED);
    const range = rangeNow();
    await put(world);
    // `serve` serves what was built before.
    await using upstash = await startUpstash();
    const env = { DATABASE_URL, RATE_LIMIT_PER_MINUTE: "900000" };
    await using one = await startServer(env, "serve");
    await using two = await startServer({
      ...env,
      UPSTASH_REDIS_REST_URL: upstash.url,
      UPSTASH_REDIS_REST_TOKEN: upstash.token,
    }, "serve");
    // As a worker does.
    const end = relayRings(
      postgresBus(sql, log),
      upstashBus(upstash, log),
      log,
    );

    let journeys = 0;
    async function happen(): Promise<void> {
      if (random() < 0.1) {
        await put(world, { name: `Name ${++journeys}` });
        return;
      }
      const startMs = Date.now() - 60 * 3_600_000 * (0.4 + 0.6 * random());
      const name = `${SEED} ${++journeys}`;
      const events = journeyOf(random, WORKFLOW, name, startMs);
      await recordEvents(sql, world.account.account_id, events);
      await fold(sql);
    }

    async function open(server: string, id: string | null): Promise<Reading> {
      const query = new URLSearchParams(range);
      const headers: Record<string, string> = {
        authorization: `Bearer ${key}`,
      };
      if (id && random() < 0.5) headers["last-event-id"] = id;
      else if (id) query.set("last_event_id", id);
      const response = await fetch(
        `${server}/api/v1/workflows/${WORKFLOW}/analytics/stream?${query}`,
        { headers },
      );
      strictEqual(response.status, 200);
      return readEvents(response.body!);
    }

    let held: Held | null = null;
    /** Snapshots while it had an id, whose numbers the server did not know. */
    let [updates, snapshots] = [0, 0];
    function take(message: Message): void {
      const before = held?.numbers.analytics.summary.total_enrolled;
      held = taken(held, message);
      const after = held!.numbers.analytics.summary.total_enrolled;
      if (message.event === "snapshot") snapshots++;
      if (message.event !== "metrics_update") return;
      updates++;
      const added = message.data.changes.total_enrolled_delta ?? 0;
      strictEqual(before! + added, after, "nothing is counted twice");
    }

    try {
      for (let cut = 1; cut <= CUTS; cut++) {
        const server = random() < 0.5 ? one.url : two.url;
        if (random() < 0.3) await happen();
        // Now and then a page is new.
        if (random() < 0.05) held = null;
        const reading = await open(server, (held as Held | null)?.id ?? null);
        take(await reading.next("snapshot", "metrics_update", "heartbeat"));
        let read = 1;
        for (let more = Math.floor(random() * 3); more > 0; more--) {
          await happen();
          // Some of what is under way arrives before it is cut, some does not.
          while (random() < 0.7 && read < reading.seen.length) {
            take(reading.seen[read++]!);
          }
        }
        if (cut === Math.floor(CUTS / 2)) {
          await upstash.stopRedis();
          await upstash.startRedis();
        }
        if (cut % CUTS_BETWEEN === 0) {
          await settle(world, range, () => {
            while (read < reading.seen.length) take(reading.seen[read++]!);
            return held!;
          });
        }
        await reading.close();
      }
      console.info(`${updates} updates, ${snapshots} snapshots`);
    } finally {
      await end();
    }
  },
);

/** Waits until what was folded is what is so, and says what differs if it never is. */
async function settle(
  { sql, account }: World,
  range: { start_date: string; end_date: string },
  heldNow: () => Held,
): Promise<void> {
  const query = AnalyticsQuery.parse(range);
  const read = async () => {
    const { analytics, funnel, actions } = (await readLive(
      sql,
      account.account_id,
      WORKFLOW,
      query,
      new Date(),
    ))!;
    return JSON.parse(JSON.stringify({ analytics, funnel, actions }));
  };
  let difference: unknown;
  await until("the numbers agree", async () => {
    try {
      sameLive(heldNow().numbers, await read());
      return true;
    } catch (error) {
      difference = error;
      return false;
    }
  }).catch(() => {
    throw difference;
  });
}
