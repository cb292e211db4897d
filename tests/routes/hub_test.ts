import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import type { Bus, BusListener } from "../../db/bus.ts";
import { postgresBus } from "../../db/bus.ts";
import { fold, recordEvents } from "../../db/events.ts";
import type { Revision } from "../../db/live.ts";
import { createLog } from "../../db/log.ts";
import { Event } from "../../db/schema.ts";
import { createHub } from "../../routes/_hub.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { DEFINITION, enrolled, put, WORKFLOW } from "./_requests.ts";

const log = createLog("error");

/** A bus that rings when the test says so. */
function handBus(): { bus: Bus; listener(): BusListener } {
  let heard: BusListener | undefined;
  return {
    listener: () => heard!,
    bus: {
      listen(listener) {
        heard = listener;
        return () => Promise.resolve();
      },
      ring: () => Promise.resolve(),
      announce: () => Promise.resolve(),
    },
  };
}

async function accept({ sql, account }: World, count = 1): Promise<void> {
  const events = Array.from({ length: count }, () => Event.parse(enrolled()));
  await recordEvents(sql, account.account_id, events);
}

/** Counts the queries that go through a client. */
function counting(world: World): { sql: World["sql"]; queries(): number } {
  let queries = 0;
  const sql = new Proxy(world.sql, {
    apply(target, self, args) {
      queries++;
      return Reflect.apply(target, self, args);
    },
  });
  return { sql, queries: () => queries };
}

dbTest(
  "createHub() tells who watches of every fold and every changed definition, through Postgres",
  async (world) => {
    const now = () => NOW;
    // No beat comes to its help.
    const hub = createHub({
      sql: world.sql,
      now,
      log,
      bus: postgresBus(world.sql, log),
      beatMs: 3_600_000,
    });
    try {
      await put(world);
      const seen: Revision[] = [];
      const unwatch = hub.watch(WORKFLOW, (state) => seen.push(state));
      const first = await hub.revision(WORKFLOW);

      await accept(world);
      await fold(world.sql);
      await until("the fold rang", () => seen.at(-1)?.revision === first + 1);
      strictEqual(seen.at(-1)!.as_of, NOW.toISOString());
      strictEqual(await hub.revision(WORKFLOW), first + 1);

      await put(world, { ...DEFINITION, name: "Another" });
      await until("the name rang", () => seen.at(-1)!.revision === first + 2);
      const reads = seen.length;
      await put(world, { ...DEFINITION, name: "Another" });
      unwatch();
      await accept(world);
      await fold(world.sql);
      await until(
        "asking still tells",
        async () => await hub.revision(WORKFLOW) === first + 3,
      );
      strictEqual(seen.length, reads);
    } finally {
      await hub.close();
    }
  },
);

dbTest(
  "Hub.revision() costs no query while its workflow is known, and a ring makes it ask again",
  async (world) => {
    await put(world);
    const { sql, queries } = counting(world);
    const { bus, listener } = handBus();
    const hub = createHub({
      sql,
      now: () => NOW,
      log,
      bus,
      beatMs: 3_600_000,
    });
    try {
      const together = Array.from(
        { length: 50 },
        () => hub.revision(WORKFLOW),
      );
      deepStrictEqual(new Set(await Promise.all(together)), new Set([1]));
      // Those who come while one asks share the next question.
      ok(queries() <= 2, `${queries()} queries`);
      const before = queries();
      await accept(world);
      await fold(world.sql);
      strictEqual(await hub.revision(WORKFLOW), 1);
      strictEqual(queries(), before);
      listener().onRing(WORKFLOW);
      // Who asks after the ring is told what the ring was for.
      strictEqual(await hub.revision(WORKFLOW), 2);
      listener().onRing(crypto.randomUUID());
      strictEqual(queries(), before + 1);
      strictEqual(await hub.revision(crypto.randomUUID()), 0);
    } finally {
      await hub.close();
    }
  },
);

dbTest(
  "createHub() notices on its beat, in one query, what no ring told of",
  async (world) => {
    await put(world);
    const { bus } = handBus();
    const hub = createHub({
      sql: world.sql,
      now: () => NOW,
      log,
      bus,
      beatMs: 5,
    });
    try {
      let seen = 0;
      hub.watch(WORKFLOW, ({ revision }) => seen = revision);
      await until("the beat reads", () => seen === 1);
      await accept(world);
      await fold(world.sql);
      await until("the beat reads again", () => seen === 2);
    } finally {
      await hub.close();
    }
  },
);

dbTest(
  "Hub.revision() fails where the database does, and claims nothing",
  async (world) => {
    await put(world);
    const sql = new Proxy(world.sql, {
      apply() {
        return Promise.reject(new Error("gone"));
      },
    });
    const hub = createHub({ sql, now: () => NOW, log, bus: null });
    await rejects(hub.revision(WORKFLOW), /gone/);
    await hub.close();
  },
);

dbTest(
  "createHub() hears announcements for everybody",
  async (world) => {
    const bus = postgresBus(world.sql, log);
    const hub = createHub({ sql: world.sql, now: () => NOW, log, bus });
    const heard: string[] = [];
    try {
      const end = hub.onAnnouncement((text) => heard.push(text));
      await until("it is heard", async () => {
        await bus.announce("Back at noon");
        return heard.length > 0;
      });
      strictEqual(heard[0], "Back at noon");
      end();
    } finally {
      await hub.close();
    }
  },
);
