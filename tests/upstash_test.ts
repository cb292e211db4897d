import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";
import { until } from "./harness.ts";
import { startUpstash } from "./upstash.ts";

/** As it is, but for telling Upstash about us. */
const CLIENT = { enableTelemetry: false, retry: false as const };

Deno.test("startUpstash() answers @upstash/redis as Upstash does", async (t) => {
  await using upstash = await startUpstash();
  const redis = new Redis({ ...CLIENT, ...upstash });

  await t.step("values of every kind come back as they went", async () => {
    for (
      const value of [
        "plain",
        "ünïcode, \r\n 🌊",
        "",
        12,
        true,
        { nested: [1, null, "x"] },
        "x".repeat(200_000),
      ]
    ) {
      strictEqual(await redis.set("key", value), "OK");
      deepStrictEqual(await redis.get("key"), value);
    }
    strictEqual(await redis.get("no such key"), null);
    strictEqual(await redis.incr("count"), 1);
    strictEqual(await redis.ping(), "PONG");
    await redis.set("short", "lived", { ex: 100 });
    ok(await redis.ttl("short") > 90);
    await redis.hset("hash", { a: 1, b: "two" });
    deepStrictEqual(await redis.hgetall("hash"), { a: 1, b: "two" });
    deepStrictEqual(await redis.mget("count", "nothing"), [1, null]);
  });

  await t.step("errors are the client's", async () => {
    await redis.set("text", "text");
    await rejects(redis.lpush("text", 1), /WRONGTYPE/);
    await rejects(redis.exec(["CONFIG", "GET", "*"]), /not available/);
    const stranger = new Redis({ ...CLIENT, url: upstash.url, token: "no" });
    await rejects(stranger.get("text"), /Unauthorized/);
    const raw = await fetch(`${upstash.url}/pipeline`, {
      method: "POST",
      headers: { authorization: `Bearer ${upstash.token}` },
      body: "[[]]",
    });
    strictEqual(raw.status, 400);
    ok((await raw.json()).error);
  });

  await t.step("pipelines go on after an error", async () => {
    const answers = await redis.pipeline().set("a", 1).lpush("a", 2).get("a")
      .exec({ keepErrors: true });
    deepStrictEqual(answers.map(({ result }) => result), ["OK", undefined, 1]);
    ok(answers[1]!.error!.includes("WRONGTYPE"));
  });

  await t.step("transactions are whole", async () => {
    deepStrictEqual(await redis.multi().set("b", 1).incr("b").exec(), [
      "OK",
      2,
    ]);
    const unknown = redis.multi().set("b", 7).json.get("b");
    await rejects(unknown.exec(), /EXECABORT/);
    strictEqual(await redis.get("b"), 2);
  });

  await t.step("subscribers get what is published", async () => {
    const heard: unknown[] = [];
    const subscription = redis.subscribe<unknown>(["one"]);
    const patterns = redis.psubscribe<unknown>(["t*"]);
    let ready = 0;
    subscription.on("subscribe", () => ready++);
    patterns.on("psubscribe", () => ready++);
    subscription.on("message", ({ message }) => heard.push(message));
    patterns.on(
      "pmessage",
      ({ channel, message }) => heard.push([channel, message]),
    );
    await until("both listen", () => ready === 2);
    strictEqual(await redis.publish("one", { a: "1,2" }), 1);
    await until("the first is heard", () => heard.length === 1);
    await redis.publish("two", [2]);
    await until("the second is heard", () => heard.length === 2);
    deepStrictEqual(heard, [{ a: "1,2" }, ["two", [2]]]);
    await subscription.unsubscribe();
    await patterns.unsubscribe();
    await until(
      "nobody listens",
      async () => await redis.publish("one", "") === 0,
    );
  });
});

Deno.test("startUpstash() runs the scripts of @upstash/ratelimit", async () => {
  await using upstash = await startUpstash();
  const redis = new Redis({ ...CLIENT, ...upstash });
  for (
    const limiter of [
      Ratelimit.slidingWindow(5, "60 s"),
      Ratelimit.fixedWindow(5, "60 s"),
      Ratelimit.tokenBucket(5, "60 s", 5),
    ]
  ) {
    const limit = new Ratelimit({
      redis,
      limiter,
      ephemeralCache: false,
      prefix: crypto.randomUUID(),
    });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => limit.limit("someone")),
    );
    strictEqual(answers.filter(({ success }) => success).length, 5);
    // A redis that has lost its scripts is given them again.
    await redis.scriptFlush();
    ok((await limit.limit("another")).success);
  }
});

Deno.test("startUpstash() misbehaves as it is told to", async () => {
  await using upstash = await startUpstash();
  const redis = new Redis({
    ...CLIENT,
    ...upstash,
    signal: () => AbortSignal.timeout(200),
  });
  await redis.set("key", 1);

  await upstash.behave("refuses");
  await rejects(redis.get("key"), /fetch failed/);
  await upstash.behave("hangs");
  await rejects(redis.get("key"), /timeout/);
  await upstash.behave("fails");
  await rejects(redis.get("key"), /internal error/);
  await upstash.behave("ok");
  upstash.delayMs = 400;
  await rejects(redis.get("key"), /timeout/);
  upstash.delayMs = 0;
  strictEqual(await redis.get("key"), 1);

  await upstash.stopRedis();
  await rejects(redis.get("key"), /cannot reach redis/);
  await upstash.startRedis();
  strictEqual(await redis.get("key"), null);
  ok(upstash.requests >= 7);
});
