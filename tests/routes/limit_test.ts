import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Context } from "hono";
import { createKey } from "../../db/access.ts";
import { createLog } from "../../db/log.ts";
import { SCOPES } from "../../db/schema.ts";
import {
  addressOf,
  createLimiter,
  type Limiter,
  POLICIES,
  type Policy,
} from "../../routes/_limit.ts";
import { createUpstash } from "../../routes/_upstash.ts";
import { randomOf } from "../../workers/_random.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { PATIENT_MS, startUpstash } from "../upstash.ts";
import {
  appWith,
  assertProblem,
  enrolled,
  post,
  put,
  RANGE,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
const quiet = { ...createLog("error"), warn() {}, info() {} };

/** @upstash/ratelimit asks no clock but this. */
async function withClock(
  fn: (clock: { ms: number }) => Promise<void>,
): Promise<void> {
  const real = Date.now;
  const clock = { ms: NOW.getTime() };
  Date.now = () => clock.ms;
  try {
    await fn(clock);
  } finally {
    Date.now = real;
  }
}

Deno.test("createLimiter() decides the same in this process as in Upstash", async () => {
  await using upstash = await startUpstash();
  await withClock(async (clock) => {
    const random = randomOf("limit");
    const now = () => new Date(clock.ms);
    const perMinute = { read: 5, ingest: 100 };
    const there = createUpstash({ ...upstash, log: quiet, msMax: PATIENT_MS });
    const limiters = [there, null].map((upstash) =>
      createLimiter({ now, upstash, perMinute })
    );
    const refused = { read: 0, ingest: 0 };
    for (let i = 0; i < 250; i++) {
      const policy = random() < 0.6 ? "read" : "ingest";
      const who = random() < 0.7 ? "ada" : "bob";
      const amount = policy === "read" ? 1 : Math.ceil(random() * 60);
      const verdicts = await Promise.all(
        limiters.map((one) => one.take(policy, who, amount)),
      );
      deepStrictEqual(verdicts[0], verdicts[1], `round ${i}`);
      if (!verdicts[0]!.allowed) refused[policy]++;
      clock.ms += Math.floor(
        random() < 0.02 ? random() * 200_000 : random() * 9_000,
      );
    }
    ok(refused.read > 10 && refused.ingest > 5, JSON.stringify(refused));
    ok(there.isUp());
    deepStrictEqual(limiters[0]!.counts(), limiters[1]!.counts());
  });
});

Deno.test("createLimiter() lets exactly so many of many at once through", async () => {
  await using upstash = await startUpstash();
  const there = createUpstash({ ...upstash, log: quiet, msMax: PATIENT_MS });
  for (const upstash of [there, null]) {
    const limiter = createLimiter({ now: () => new Date(), upstash });
    const verdicts = await Promise.all(
      Array.from({ length: 40 }, () => limiter.take("sign_in", "x")),
    );
    const allowed = verdicts.filter(({ allowed }) => allowed).length;
    strictEqual(allowed, POLICIES.sign_in.perMinute);
  }
});

Deno.test("createLimiter() counts in a Redis that refuses flags of Upstash's in scripts", async () => {
  await using upstash = await startUpstash();
  upstash.isPlain = true;
  const there = createUpstash({ ...upstash, log: quiet, msMax: PATIENT_MS });
  const [one, other] = [0, 1].map(() =>
    createLimiter({ now: () => new Date(), upstash: there })
  );
  // Nobody stands in for Redis here.
  const { perMinute, without } = POLICIES.export;
  strictEqual(without, "closed");
  for (let i = 0; i < perMinute; i++) {
    const limiter = i % 2 === 0 ? one! : other!;
    ok((await limiter.take("export", "x")).allowed, `${i}`);
  }
  ok(!(await one!.take("export", "x")).allowed);
  const before = upstash.requests;
  await other!.take("export", "y");
  strictEqual(upstash.requests, before + 1, "its script is known");
  ok(there.isUp());
});

Deno.test("createLimiter() does without Upstash as the table says, and waits for it once", async () => {
  await using upstash = await startUpstash();
  for (const behaviour of ["refuses", "hangs", "fails"] as const) {
    await upstash.behave(behaviour);
    const limiter = createLimiter({
      now: () => NOW,
      upstash: createUpstash({ ...upstash, log: quiet }),
    });
    const began = performance.now();
    for (const policy of Object.keys(POLICIES) as Policy[]) {
      const { perMinute, without } = POLICIES[policy];
      const { allowed, remaining } = await limiter.take(policy, "somebody");
      strictEqual(allowed, without === "open", policy);
      strictEqual(remaining, without === "open" ? perMinute - 1 : 0, policy);
    }
    ok(performance.now() - began < 900, behaviour);
  }
});

Deno.test("addressOf() believes our own proxies and nobody else", () => {
  const from = (remote: string, proxies: number, forwarded?: string) =>
    addressOf(
      {
        env: { remoteAddr: { hostname: remote } },
        req: { header: () => forwarded },
      } as unknown as Context,
      proxies,
    );
  strictEqual(from("192.0.2.1", 0), "192.0.2.1");
  strictEqual(from("192.0.2.1", 0, "203.0.113.9"), "192.0.2.1");
  strictEqual(from("10.0.0.1", 1, "203.0.113.9"), "203.0.113.9");
  // What a client says of itself stands left of what our proxy has seen.
  strictEqual(from("10.0.0.1", 1, "1.1.1.1, 203.0.113.9"), "203.0.113.9");
  strictEqual(
    from("10.0.0.1", 2, "1.1.1.1, 203.0.113.9, 10.0.0.2"),
    "203.0.113.9",
  );
  strictEqual(from("10.0.0.1", 2, "203.0.113.9"), "10.0.0.1");
  strictEqual(from("10.0.0.1", 1), "10.0.0.1");
  strictEqual(from("2001:DB8:1:2:3:4:5:6", 0), "2001:db8:1:2::/64");
  strictEqual(from("2001:db8::1", 0), "2001:db8:0:0::/64");
  strictEqual(from("::1", 0), "0:0:0:0::/64");
  strictEqual(from("::ffff:192.0.2.1", 0), "192.0.2.1");
});

function limited(
  world: World,
  perMinute: Partial<Record<Policy, number>>,
): { app: ReturnType<typeof appWith>; limiter: Limiter } {
  const now = () => world.clock.now;
  const limiter = createLimiter({ now, upstash: null, perMinute });
  return { app: appWith(world, { limiter }), limiter };
}

dbTest(
  "reads are limited by user, and told how much is left",
  async (world) => {
    await put(world);
    const { app } = limited(world, { read: 3, page: 2 });
    const key = (userId: string) =>
      createKey(world.sql, world.account.account_id, {
        scopes: [...SCOPES],
        role: "admin",
        userId,
      });
    const [ada, adaToo, bob] = [
      await key("ada"),
      await key("ada"),
      await key("bob"),
    ];
    world.clock.now = new Date("2026-06-15T12:00:48Z");
    const first = await send(world, "GET", PATH, { app, key: ada });
    strictEqual(first.status, 200);
    strictEqual(first.headers.get("ratelimit-policy"), '"read";q=3;w=60');
    strictEqual(first.headers.get("ratelimit"), '"read";r=2;t=12');
    // What needs no answer is a request all the same.
    const headers = { "if-none-match": first.headers.get("etag")! };
    const second = await send(world, "GET", PATH, { app, key: ada, headers });
    strictEqual(second.status, 304);
    strictEqual(second.headers.get("ratelimit"), '"read";r=1;t=12');
    strictEqual(
      (await send(world, "GET", PATH, { app, key: adaToo })).status,
      200,
    );
    const refused = await send(world, "GET", PATH, {
      app,
      key: ada,
      headers: { "x-forwarded-for": "203.0.113.9" },
    });
    assertProblem(refused, 429, "rate_limited");
    strictEqual(refused.headers.get("ratelimit"), '"read";r=0;t=12');
    strictEqual(refused.headers.get("retry-after"), "13");
    strictEqual(
      (await send(world, "GET", PATH, { app, key: bob })).status,
      200,
    );

    // Pages are counted by themselves, whatever they read; what they load is not.
    const browser = await signIn(world, { userId: "ada" });
    const page = () =>
      send(world, "GET", `/workflows/${WORKFLOW}`, {
        app,
        key: null,
        headers: browser,
      });
    deepStrictEqual([(await page()).status, (await page()).status], [200, 200]);
    assertProblem(await page(), 429, "rate_limited");

    world.clock.now = new Date("2026-06-15T12:01:01Z");
    strictEqual(
      (await send(world, "GET", PATH, { app, key: ada })).status,
      200,
    );
    const { text } = await send(world, "GET", "/metrics", { app });
    match(text, /weir_limited_total{policy="read",verdict="refused"} 1\n/);
  },
);

dbTest(
  "strangers are limited by where they come from, whatever they say",
  async (world) => {
    const { app } = limited(world, { stranger: 3, sign_in: 2 });
    const ask = (path: string, host: string, forwarded: string) =>
      app.request(path, { headers: { "x-forwarded-for": forwarded } }, {
        remoteAddr: { hostname: host },
      });
    const statuses = async (path: string, host: string, count: number) => {
      const all: number[] = [];
      for (let i = 0; i < count; i++) {
        const answer = await ask(path, host, `203.0.113.${i}`);
        await answer.body?.cancel();
        all.push(answer.status);
      }
      return all;
    };
    deepStrictEqual(await statuses(PATH, "192.0.2.1", 5), [
      401,
      401,
      401,
      429,
      429,
    ]);
    deepStrictEqual(await statuses(PATH, "192.0.2.2", 1), [401]);
    deepStrictEqual(await statuses("/sign-in?token=x", "192.0.2.1", 3), [
      410,
      410,
      429,
    ]);
    // Who has a key is not held up by a neighbour's guesses.
    await put(world);
    strictEqual((await send(world, "GET", PATH, { app })).status, 200);
  },
);

dbTest(
  "events are limited by their account and by their number",
  async (world) => {
    const { app } = limited(world, { ingest: 5 });
    const three = () => [enrolled(), enrolled(), enrolled()];
    strictEqual((await post(world, three(), { app })).status, 202);
    // The one that crosses the limit is taken as a whole.
    strictEqual((await post(world, three(), { app })).status, 202);
    const refused = await post(world, enrolled(), { app });
    assertProblem(refused, 429, "rate_limited");
    ok(Number(refused.headers.get("retry-after")) >= 1);
    world.clock.now = new Date(NOW.getTime() + 75_000);
    strictEqual((await post(world, enrolled(), { app })).status, 202);
  },
);
