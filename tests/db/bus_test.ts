/**
 * What both buses promise.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { type Bus, postgresBus, relayRings, upstashBus } from "../../db/bus.ts";
import { createLog } from "../../db/log.ts";
import { dbTest, until } from "../harness.ts";
import { startUpstash } from "../upstash.ts";

const log = createLog("error", () => {});
const ID = "11111111-1111-4111-8111-111111111111";
const OTHER = "22222222-2222-4222-8222-222222222222";

/** Hears what a bus has to tell. */
function listen(bus: Bus) {
  const rung: string[] = [];
  const texts: string[] = [];
  let connections = 0;
  const hangUp = bus.listen({
    onRing: (id) => rung.push(id),
    onAnnouncement: (text) => texts.push(text),
    onConnected: () => connections++,
  });
  return { rung, texts, connections: () => connections, hangUp };
}

async function assertBus(bus: Bus, cut: () => Promise<void>): Promise<void> {
  const one = listen(bus);
  const two = listen(bus);
  try {
    await until("both listen", () => one.connections() > 0);
    await until("both hear", async () => {
      await bus.ring([ID]);
      return one.rung.length > 0 && two.rung.length > 0;
    });
    await bus.ring([OTHER, ID]);
    await until("each id is heard", () => one.rung.includes(OTHER));
    ok(one.rung.every((id) => [ID, OTHER].includes(id)));

    // Announcements and rings are not taken for each other, whatever is said.
    const said = 'Back at 12:00, "latest",\nor {later} – ünïcode';
    await bus.announce(said);
    await until("the text is heard", () => two.texts.length > 0);
    deepStrictEqual(two.texts, [said]);

    const connections = one.connections();
    await cut();
    await until("it listens again", () => one.connections() > connections);
    one.rung.length = 0;
    await until("it hears again", async () => {
      await bus.ring([OTHER]).catch(() => {});
      return one.rung.includes(OTHER);
    });
    await two.hangUp();
    const heard = two.rung.length;
    await bus.ring([ID]);
    await until("the other hears", () => one.rung.includes(ID));
    deepStrictEqual(two.rung.length, heard);
  } finally {
    await one.hangUp();
    await two.hangUp();
  }
}

dbTest(
  "postgresBus() carries rings and announcements, and listens again after it was cut off",
  async ({ sql }) => {
    await assertBus(postgresBus(sql, log), async () => {
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query ilike 'listen %'`;
    });
  },
);

Deno.test("upstashBus() carries rings and announcements, and listens again after it was cut off", async () => {
  await using upstash = await startUpstash();
  await assertBus(upstashBus(upstash, log), async () => {
    await upstash.stopRedis();
    await upstash.startRedis();
  });
});

Deno.test("upstashBus() listens again after a Redis that never answers, and before one can have been gone for long", async () => {
  await using upstash = await startUpstash();
  await upstash.behave("hangs");
  const warnings: string[] = [];
  const loud = createLog("warn", (line) => warnings.push(line));
  const ear = listen(upstashBus(upstash, loud, { renewMs: 100 }));
  try {
    await until("it gives up", () => warnings.length > 0);
    ok(warnings[0]!.includes("Redis does not answer"), warnings[0]!);
    await upstash.behave("ok");
    await until("it listens anew", () => ear.connections() >= 2);
    strictEqual(warnings.length, 1, warnings.join());
  } finally {
    await ear.hangUp();
  }
});

dbTest(
  "upstashBus() listens to Postgres where Redis has no subscriptions, and rings there none the less",
  async ({ sql }) => {
    await using upstash = await startUpstash();
    upstash.isPlain = true;
    const lines: string[] = [];
    const warnings = createLog("info", (line) => lines.push(line));
    const postgres = postgresBus(sql, log);
    const bus = upstashBus(upstash, warnings, { instead: postgres });
    const ear = listen(bus);
    try {
      await until("it listens", () => ear.connections() > 0);
      const asked = upstash.requests;
      await postgres.ring([ID]);
      await until("it hears", () => ear.rung.includes(ID));
      // It is not asked again for what it does not have.
      strictEqual(upstash.requests, asked);
      strictEqual(lines.length, 1, lines.join());
      await bus.ring([OTHER]);
    } finally {
      await ear.hangUp();
    }
  },
);

dbTest("relayRings() passes on what Postgres tells", async ({ sql }) => {
  await using upstash = await startUpstash();
  const from = postgresBus(sql, log);
  const to = upstashBus(upstash, log);
  const ear = listen(to);
  const end = relayRings(from, to, log);
  try {
    await until("it is passed on", async () => {
      await from.ring([ID]);
      await from.announce("Hello");
      return ear.rung.includes(ID) && ear.texts.includes("Hello");
    });
    // A Redis that is gone keeps nobody from going on.
    await upstash.behave("refuses");
    await from.ring([ID]);
    await upstash.behave("ok");
    ear.rung.length = 0;
    await until("it goes on", async () => {
      await from.ring([OTHER]);
      return ear.rung.includes(OTHER);
    });
  } finally {
    await end();
    await ear.hangUp();
  }
});
