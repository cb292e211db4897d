import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { createLog } from "../../db/log.ts";
import { DEFAULTS } from "../../db/preferences.ts";
import { GRANT_MS_MAX } from "../../routes/_auth.ts";
import { createCache } from "../../routes/_cache.ts";
import { createUpstash } from "../../routes/_upstash.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, type World } from "../harness.ts";
import { PATIENT_MS, startUpstash } from "../upstash.ts";
import { appWith, assertProblem, send, signIn } from "./_requests.ts";

const PATH = "/api/v1/me/preferences";

const CHOSEN = {
  time_zone: "Asia/Kolkata",
  theme: "dark",
  default_range: "last_month",
};

dbTest(
  "PUT /me/preferences is what GET tells, to the same user alone",
  async (world) => {
    const { sql, account } = world;
    const { account_id: other } = await createAccount(sql, "Other", "UTC");
    const key = (accountId: number, userId?: string) =>
      createKey(sql, accountId, { scopes: ["analytics:read"], userId });
    const ada = await key(account.account_id, "ada");
    const others = [
      await key(account.account_id, "bob"),
      await key(account.account_id),
      await key(other, "ada"),
    ];
    const fresh = await send(world, "GET", PATH, { key: ada });
    deepStrictEqual([fresh.status, fresh.json], [200, DEFAULTS]);

    const put = await send(world, "PUT", PATH, { key: ada, json: CHOSEN });
    deepStrictEqual([put.status, put.json], [200, CHOSEN]);
    deepStrictEqual(
      (await send(world, "GET", PATH, { key: ada })).json,
      CHOSEN,
    );
    for (const stranger of others) {
      const answer = await send(world, "GET", PATH, { key: stranger });
      deepStrictEqual(answer.json, DEFAULTS);
    }
    await send(world, "PUT", PATH, { key: ada, json: DEFAULTS });
    deepStrictEqual(
      (await send(world, "GET", PATH, { key: ada })).json,
      DEFAULTS,
    );
  },
);

dbTest("PUT /me/preferences refuses what is no choice", async (world) => {
  for (
    const [path, json] of Object.entries({
      time_zone: { time_zone: "Mars/Olympus" },
      theme: { theme: undefined },
      default_range: { default_range: "5d" },
      "": { user_id: "bob" },
    })
  ) {
    const answer = await send(world, "PUT", PATH, {
      json: { ...CHOSEN, ...json },
    });
    assertProblem(answer, 400, "invalid_request");
    strictEqual(answer.json.errors[0].path, path);
  }
  deepStrictEqual((await send(world, "GET", PATH)).json, DEFAULTS);
});

/** Two servers, and what they ask Postgres for, counted. */
async function withTwo(
  world: World,
  test: (
    ask: (server: number, json?: object) => Promise<unknown>,
    redis: (...command: string[]) => Promise<string[]>,
    settled: () => Promise<unknown>,
  ) => Promise<void>,
): Promise<void> {
  await using redis = await startUpstash();
  const now = () => world.clock.now;
  const log = createLog("error");
  const caches = [1, 2].map(() =>
    createCache({
      now,
      upstash: createUpstash({ ...redis, log, msMax: PATIENT_MS }),
    })
  );
  const apps = caches.map((cache) => appWith(world, { cache }));
  const key = await createKey(world.sql, world.account.account_id, {
    scopes: ["analytics:read"],
    userId: "ada",
  });
  await test(
    async (server, json) => {
      const app = apps[server]!;
      const method = json ? "PUT" : "GET";
      return (await send(world, method, PATH, { app, key, json })).json;
    },
    async (...command) => {
      const response = await fetch(redis.url, {
        method: "POST",
        headers: { authorization: `Bearer ${redis.token}` },
        body: JSON.stringify(command),
      });
      return (await response.json()).result;
    },
    () => Promise.all(caches.map((cache) => cache.settled())),
  );
}

dbTest(
  "preferences are kept for a day, shared by servers, and asked of Postgres once",
  (world) =>
    withTwo(world, async (ask, redis, settled) => {
      await ask(0, CHOSEN);
      deepStrictEqual(await ask(0), CHOSEN);
      await settled();
      const [name = "", ...others] = await redis("KEYS", "analytics:user:*");
      deepStrictEqual(others, []);
      ok(name.startsWith("analytics:user:ada:prefs:"), name);
      const ttl = Number(await redis("TTL", name));
      ok(ttl > 86_000 && ttl <= 86_400, String(ttl));

      // Whoever has to ask cannot.
      await world
        .sql`revoke execute on function weir.read_preferences from weir_web`;
      for (const server of [0, 1, 1]) {
        deepStrictEqual(await ask(server), CHOSEN);
      }
      await redis("FLUSHALL");
      deepStrictEqual(await ask(1), CHOSEN);
    }),
);

dbTest(
  "what is chosen at one server is so there at once, and at the others within 4 s",
  (world) =>
    withTwo(world, async (ask) => {
      const choose = (theme: string) => ({ ...CHOSEN, theme });
      const { clock } = world;
      for (const [server, theme] of ["dark", "light", "system"].entries()) {
        const [one, other] = [server % 2, (server + 1) % 2];
        await ask(one, choose(theme));
        deepStrictEqual(await ask(one), choose(theme));
        clock.now = new Date(clock.now.getTime() + GRANT_MS_MAX);
        deepStrictEqual(await ask(other), choose(theme));
      }
    }),
);

dbTest(
  "POST /preferences changes one choice, whatever this server believes of the others",
  async (world) => {
    const apps = [appWith(world), appWith(world)];
    const headers = { ...await signIn(world), ...SAME_ORIGIN };
    const post = (server: number, form: Record<string, string>) =>
      send(world, "POST", "/preferences", {
        app: apps[server],
        key: null,
        headers: {
          ...headers,
          "content-type": "application/x-www-form-urlencoded",
        },
        body: String(new URLSearchParams(form)),
      });
    // Both know who asks, and that nothing is chosen.
    for (const app of apps) await send(world, "GET", "/", { app, headers });
    strictEqual((await post(0, { theme: "dark" })).status, 303);
    strictEqual((await post(1, { default_range: "7d" })).status, 303);
    const rows = await world.sql`
      select theme, default_range from weir.preference`;
    deepStrictEqual(rows.map((row) => ({ ...row })), [
      { theme: "dark", default_range: "7d" },
    ]);
  },
);
