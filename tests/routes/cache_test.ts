import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { postgresBus } from "../../db/bus.ts";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { createLog, type LogFields } from "../../db/log.ts";
import { AnalyticsQuery, type Event } from "../../db/schema.ts";
import { createAuth } from "../../routes/_auth.ts";
import { createCache, isKnown } from "../../routes/_cache.ts";
import { createHub } from "../../routes/_hub.ts";
import { freshUntil } from "../../routes/_reads.ts";
import { createUpstash } from "../../routes/_upstash.ts";
import { type Random, randomOf } from "../../workers/_random.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { PATIENT_MS, startUpstash } from "../upstash.ts";
import {
  appWith,
  at,
  enrolled,
  post,
  put,
  RANGE,
  send,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics`;
const PARTS = ["", "/funnel", "/actions"];
const READS = [readAnalytics, readFunnel, readActions];
const SECOND = 1_000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE;
const log = createLog("error");

const QUERIES = [
  RANGE,
  "start_date=2026-06-15&end_date=2026-06-15&granularity=hourly",
  "start_date=2026-06-14&end_date=2026-06-17&tz=Asia/Kathmandu&granularity=hourly",
  "start_date=2026-06-10&end_date=2026-06-20&attribution=event&tz=America/Havana",
  "start_date=2026-06-01&end_date=2026-06-30&granularity=weekly&unit=contact",
  // Where hours, and other zones, are kept moves over its start.
  "start_date=2026-03-18&end_date=2026-06-16&tz=Pacific/Auckland",
  "start_date=2026-06-01&end_date=2026-06-14",
  "start_date=2026-06-15&end_date=2026-06-16&compare=previous",
];

dbTest(
  "createReads() answers what the database would say at that moment, whatever the clock and events do",
  async (world) => {
    const random = randomOf("cache", Deno.env.get("PROPERTY_SEED") ?? 1);
    const cache = createCache({ now: () => world.clock.now, upstash: null });
    const app = appWith(world, { cache });
    await put(world, { name: "0" });
    world.clock.now = new Date(NOW.getTime() - HOUR);
    await happen(world, random, 40, 72 * HOUR);
    for (let round = 0; round < 90; round++) {
      const { now } = world.clock;
      const pause = random() < 0.7
        ? random() * 90 * SECOND
        : random() * 8 * HOUR;
      world.clock.now = new Date(Math.floor(now.getTime() + pause));
      if (random() < 0.15) await happen(world, random, 3, HOUR);
      if (random() < 0.05) await put(world, { name: String(round) });
      const text = QUERIES[Math.floor(random() * QUERIES.length)]!;
      const part = Math.floor(random() * 3);
      // Asked twice, a moment apart: the second time it mostly lies ready.
      for (let again = 0; again < 2; again++) {
        const answer = await send(
          world,
          "GET",
          `${PATH}${PARTS[part]}?${text}`,
          {
            app,
          },
        );
        strictEqual(answer.status, 200, answer.text);
        await sameAsFresh(world, part, text, answer.json);
        const step = Math.floor(random() * 20 * SECOND);
        world.clock.now = new Date(world.clock.now.getTime() + step);
      }
    }
    const { memory, loaded } = cache.counts();
    ok(memory > 40 && loaded > 40, `${memory} kept, ${loaded} read`);
  },
);

/** Journeys around the clock, some of whose events are dated up to five minutes ahead. */
async function happen(
  { sql, account, clock }: World,
  random: Random,
  journeys: number,
  reachMs: number,
): Promise<void> {
  const now = clock.now.getTime();
  const events: Event[] = [];
  for (let i = 0; i < journeys; i++) {
    const start = now + 4 * MINUTE - random() * reachMs;
    events.push(...journeyOf(random, WORKFLOW, crypto.randomUUID(), start));
  }
  const good = events
    .filter(({ occurred_at }) => Date.parse(occurred_at) < now + 5 * MINUTE);
  await recordEvents(sql, account.account_id, good);
  while (await fold(sql) > 0);
}

async function sameAsFresh(
  { sql, account, clock }: World,
  part: number,
  text: string,
  answer: Record<string, unknown>,
): Promise<void> {
  const query = AnalyticsQuery.parse(
    Object.fromEntries(new URLSearchParams(text)),
  );
  // What an unfinished range is compared with is up to a minute old, and says so.
  const now = query.compare === "none"
    ? clock.now
    : new Date(answer.as_of as string);
  const { account_id } = account;
  const fresh = await READS[part]!(sql, account_id, WORKFLOW, query, now);
  deepStrictEqual({ ...answer, as_of: "" }, { ...fresh, as_of: "" });
  const age = clock.now.getTime() - Date.parse(answer.as_of as string);
  ok(age >= 0 && age <= (query.compare === "none" ? 5 : 1) * MINUTE);
}

Deno.test("freshUntil() ends with what changes first", () => {
  const answer = {
    as_of: NOW.toISOString(),
    period: { end: "2026-06-16T00:00:00Z" },
    trends: [{ start: at(-60) }, { start: at(2) }, { start: at(62) }],
  } as Parameters<typeof freshUntil>[0];
  const query = AnalyticsQuery.parse({
    start_date: "2026-06-15",
    end_date: "2026-06-15",
    tz: "UTC",
  });
  const minutes = (
    ...[change = {}, now = NOW, next = null, zone = "UTC"]: [
      Record<string, unknown>?,
      Date?,
      (Date | null)?,
      string?,
    ]
  ) =>
    (freshUntil(
      { ...answer, trends: [], ...change } as typeof answer,
      { ...query, ...change },
      zone,
      now,
      next,
    ) - now.getTime()) / MINUTE;
  const late = new Date("2026-06-15T23:58:00Z");
  const as_of = late.toISOString();
  strictEqual(minutes(), 5);
  strictEqual(minutes({ trends: "trends" in answer && answer.trends }), 2);
  strictEqual(minutes({ as_of }, late), 2);
  strictEqual(minutes({ as_of }, late, null, "America/New_York"), 2);
  strictEqual(minutes({ as_of, tz: "Asia/Tokyo" }, late), 2);
  const early = new Date("2026-06-15T14:59:00Z");
  strictEqual(
    minutes({ as_of: early.toISOString(), tz: "Asia/Tokyo" }, early),
    1,
  );
  strictEqual(minutes({}, NOW, new Date(at(3))), 3);
  strictEqual(minutes({ compare: "previous" }), 1);
  strictEqual(
    minutes({ compare: "previous", period: { end: at(-1) } }),
    5,
  );
  strictEqual(minutes({ as_of: at(-10) }), 1 / 60);
});

dbTest(
  "a 304 costs no query, and a new event is a new answer",
  async (world) => {
    let queries = 0;
    const sql = new Proxy(world.web, {
      apply(target, self, args) {
        queries++;
        return Reflect.apply(target, self, args);
      },
    });
    const now = () => world.clock.now;
    const hub = createHub({ sql, now, log, bus: postgresBus(world.sql, log) });
    const auth = createAuth({ sql, now, access: { keyUsed() {} } });
    const app = appWith(world, { sql, hub, auth });
    await put(world);
    const ask = (part: string, etag?: string) =>
      send(world, "GET", `${PATH}${part}?${RANGE}`, {
        app,
        headers: etag ? { "if-none-match": etag } : {},
      });
    try {
      await until("the hub hears", async () => (await ask("")).status === 200);
      const tags: string[] = [];
      for (const part of PARTS) {
        const first = await ask(part);
        strictEqual(
          first.headers.get("cache-control"),
          "private, max-age=0, must-revalidate",
        );
        match(first.headers.get("etag")!, /^"\d+-[\w-]{22}"$/);
        tags.push(first.headers.get("etag")!);
      }
      queries = 0;
      for (let i = 0; i < 5; i++) {
        for (const [part, tag] of PARTS.map((part, i) => [part, tags[i]!])) {
          const again = await ask(part!, `"other", W/${tag}`);
          strictEqual(again.status, 304);
          strictEqual(again.text, "");
          strictEqual(again.headers.get("etag"), tag);
          strictEqual((await ask(part!)).status, 200);
        }
      }
      ok(queries <= 1, `${queries} queries`); // The hub's own beat may fall in.

      await post(world, enrolled());
      await fold(world.sql);
      await until("the event is seen", async () => {
        const answer = await ask("", tags[0]);
        return answer.status === 200 &&
          answer.json.summary.total_enrolled === 1;
      });
    } finally {
      await hub.close();
    }
  },
);

dbTest(
  "a member's or another account's question is not answered from what lies ready",
  async (world) => {
    await put(world, { name: "Mine", owner_id: "ada" });
    const path = `${PATH}?${RANGE}`;
    strictEqual((await send(world, "GET", path)).status, 200);
    await put(world, { name: "Mine", owner_id: "bob" });
    const { createAccount, createKey } = await import("../../db/access.ts");
    const grant = {
      scopes: ["analytics:read" as const],
      role: "member" as const,
    };
    const ada = await createKey(world.sql, world.account.account_id, {
      ...grant,
      userId: "ada",
    });
    strictEqual((await send(world, "GET", path, { key: ada })).status, 403);
    await put(world, { name: "Mine", owner_id: "ada" });
    strictEqual((await send(world, "GET", path, { key: ada })).status, 200);
    const { account_id } = await createAccount(world.sql, "Other", "UTC");
    const other = await createKey(world.sql, account_id, grant);
    strictEqual((await send(world, "GET", path, { key: other })).status, 404);
  },
);

dbTest(
  "dashboards that poll while events trickle find more than 95 % of their answers ready",
  async (world) => {
    const cache = createCache({ now: () => world.clock.now, upstash: null });
    const app = appWith(world, { cache });
    await put(world);
    const ranges = [1, 7, 30].map((days) => {
      const start = new Date(NOW.getTime() - (days - 1) * 24 * HOUR);
      return `start_date=${
        start.toISOString().slice(0, 10)
      }&end_date=2026-06-15`;
    });
    // 40 people, each with a page that asks every half minute; an event a minute.
    for (let half = 0; half < 12; half++) {
      if (half % 2 === 0) {
        await post(world, enrolled({ occurred_at: at(half / 2) }));
        await fold(world.sql);
      }
      for (let viewer = 0; viewer < 40; viewer++) {
        for (const part of PARTS) {
          const range = ranges[viewer % ranges.length];
          const answer = await app.request(`${PATH}${part}?${range}`, {
            headers: { authorization: `Bearer ${world.key}` },
          });
          strictEqual(answer.status, 200);
          await answer.body?.cancel();
        }
        world.clock.now = new Date(world.clock.now.getTime() + 750);
      }
    }
    const { memory, joined, loaded } = cache.counts();
    const rate = (memory + joined) / (memory + joined + loaded);
    console.log(`cache hit rate ${(100 * rate).toFixed(1)} %`);
    ok(rate > 0.95, `${rate}`);
    const { text } = await send(world, "GET", "/metrics", { app });
    match(
      text,
      new RegExp(`weir_cache_reads_total{found="memory"} ${memory}\n`),
    );
    match(
      text,
      new RegExp(`weir_cache_reads_total{found="loaded"} ${loaded}\n`),
    );
  },
);

/** An answer that is fresh for an hour of the test's clock. */
function answerOf(answer: unknown) {
  return { answer, freshUntil: NOW.getTime() + HOUR };
}

Deno.test("createCache() reads once for all who ask at once, and a failure is nobody's answer", async () => {
  const cache = createCache({ now: () => NOW, upstash: null });
  let reads = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const ask = () =>
    cache.read("name", 1, async () => {
      reads++;
      await promise;
      return answerOf({ reads });
    });
  const asked = Array.from({ length: 50 }, ask);
  reject(new Error("gone"));
  const failed = await Promise.allSettled(asked);
  ok(failed.every(({ status }) => status === "rejected"));
  strictEqual(reads, 1);
  resolve();
  const nothing = await cache.read("nothing", 1, () => Promise.resolve(null));
  strictEqual(nothing, null);
  const good = await cache.read(
    "name",
    1,
    () => Promise.resolve(answerOf("second")),
  );
  strictEqual(new TextDecoder().decode(good!.body), '"second"');
  strictEqual(cache.counts().joined, 49);
});

Deno.test("createCache() holds no more than it may, and drops what was not asked for longest", async () => {
  const cache = createCache({
    now: () => NOW,
    upstash: null,
    bytesMax: 10_000,
  });
  let loads = 0;
  const ask = (name: string, size = 1_000) =>
    cache.read(name, 1, () => {
      loads++;
      return Promise.resolve(answerOf("x".repeat(size)));
    });
  for (let i = 0; i < 50; i++) {
    await ask(`name ${i}`);
    await ask("name 0");
    ok(cache.bytes() <= 10_000);
  }
  strictEqual(loads, 50);
  await ask("huge", 20_000);
  await ask("name 0");
  strictEqual(loads, 51);
});

Deno.test("isKnown() compares as RFC 9110 says", () => {
  for (
    const [header, known] of [
      [undefined, false],
      ["", false],
      ['"1-a"', true],
      ['W/"1-a"', true],
      ['"2-b", "1-a"', true],
      ["*", true],
      ["1-a", false],
      ['"1-ab"', false],
    ] as const
  ) {
    strictEqual(isKnown(header, '"1-a"'), known, `${header}`);
  }
});

Deno.test("createCache() shares through Upstash, and goes on without it at once", async () => {
  await using upstash = await startUpstash();
  const warnings: LogFields[] = [];
  const quiet = {
    ...log,
    warn: (_: string, fields?: LogFields) => warnings.push(fields ?? {}),
    info: () => {},
  } as typeof log;
  const process = (msMax?: number) =>
    createCache({
      now: () => NOW,
      upstash: createUpstash({ ...upstash, log: quiet, msMax, restMs: 30 }),
    });
  const patient = [process(PATIENT_MS), process(PATIENT_MS)] as const;
  let loads = 0;
  const load = () => {
    loads++;
    return Promise.resolve(answerOf({ text: "ünï", loads }));
  };
  const first = await patient[0].read("a:summary", 3, load);
  await patient[0].settled();
  deepStrictEqual(await patient[1].read("a:summary", 3, load), first);
  deepStrictEqual([loads, patient[1].counts().shared], [1, 1]);

  const [one, two] = [process(), process()];

  for (const behaviour of ["refuses", "hangs", "fails"] as const) {
    await upstash.behave(behaviour);
    warnings.length = 0;
    const began = performance.now();
    for (let i = 0; i < 10; i++) {
      ok(await two.read(`${behaviour} ${i}`, 1, load));
    }
    const took = performance.now() - began;
    ok(took < 900, `${behaviour}: ${took} ms for ten`);
    strictEqual(warnings.length, 1, behaviour);
    await upstash.behave("ok");
    let n = 0;
    await until("it is asked again", async () => {
      await one.settled();
      const name = `${behaviour} again ${n++}`;
      await two.read(name, 1, load);
      await two.settled();
      const before = loads;
      await one.read(name, 1, load);
      await one.settled();
      return loads === before;
    });
  }
  // Too slow is as good as gone.
  upstash.delayMs = 2_000;
  const began = performance.now();
  ok(await process().read("slow", 1, load));
  ok(performance.now() - began < 900);
});
