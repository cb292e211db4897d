import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { postgresBus } from "../../db/bus.ts";
import { createLog } from "../../db/log.ts";
import { GRANT_MS_MAX } from "../../routes/_auth.ts";
import { createHub } from "../../routes/_hub.ts";
import { createLimiter } from "../../routes/_limit.ts";
import { SAME_ORIGIN } from "../app.ts";
import { createKey } from "../../db/access.ts";
import { dbTest, until, type World } from "../harness.ts";
import {
  appWith,
  assertProblem,
  put,
  RANGE,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;

const log = createLog("error");

/** An app whose hub knows revisions, as a server's does, so that answers are sent again. */
async function withApp(
  world: World,
  test: (
    ask: (headers: Record<string, string>) => ReturnType<typeof send>,
    app: ReturnType<typeof appWith>,
  ) => Promise<void>,
  reads = 1_000,
): Promise<void> {
  const now = () => world.clock.now;
  const hub = createHub({
    sql: world.web,
    now,
    log,
    bus: postgresBus(world.sql, log),
  });
  const limiter = createLimiter({
    now,
    upstash: null,
    perMinute: { read: reads },
  });
  const app = appWith(world, { hub, limiter });
  const ask = (headers: Record<string, string>) =>
    send(world, "GET", PATH, { app, headers, key: null });
  try {
    await put(world, { name: "0", owner_id: "ada" });
    await test(ask, app);
    await until("all is written down", async () => {
      const [{ count }] = await world.sql<[{ count: number }]>`
        select count(*) from weir.access_log where action like '%/analytics'`;
      return count > 0;
    });
  } finally {
    await hub.close();
  }
}

dbTest(
  "createAgain() sends what the long way would, and writes it down",
  (world) =>
    withApp(world, async (ask) => {
      const key = { authorization: `Bearer ${world.key}` };
      const before = await ask(key);
      const answers = [
        await ask({ ...key, "x-request-id": "mine" }),
        await ask({ ...key, "if-none-match": before.headers.get("etag")! }),
        await ask({ ...key, "if-none-match": '"other"' }),
      ];
      deepStrictEqual(answers.map(({ status }) => status), [200, 304, 200]);
      const [again, known] = answers as [typeof before, typeof before];
      strictEqual(again.text, before.text);
      strictEqual(known.text, "");
      const rest = ({ headers }: typeof before) =>
        [...headers].filter(([name]) =>
          !/^(x-request-id|ratelimit)$/.test(name)
        )
          .sort();
      deepStrictEqual(rest(again), rest(before));
      strictEqual(again.headers.get("x-request-id"), "mine");
      ok(/r=998/.test(again.headers.get("ratelimit")!));
      ok(/r=997/.test(known.headers.get("ratelimit")!));
      await until("each is in the access log", async () => {
        const rows = await world.sql`
          select * from weir.list_access_log(${world.account.account_id},
            null, 'GET /api/v1/workflows/:id/analytics',
            null, null, null, null, null, 100)`;
        const mine = rows.find((row) => row.request_id === "mine");
        return rows.length === 4 && mine?.status === 200 &&
          mine.filter.start_date === "2026-06-01";
      });
    }),
);

dbTest(
  "createAgain() sends nothing again that is not so any more",
  (world) =>
    withApp(world, async (ask, app) => {
      const { sql, account } = world;
      const member = {
        scopes: ["analytics:read" as const],
        role: "member" as const,
        userId: "ada",
      };
      const secret = await createKey(sql, account.account_id, member);
      const ada = { authorization: `Bearer ${secret}` };
      const bea = await signIn(world);
      const twice = async (headers: Record<string, string>) => {
        await ask(headers);
        return await ask(headers);
      };
      strictEqual((await twice(ada)).status, 200);
      strictEqual((await twice(bea)).status, 200);

      await put(world, { name: "0", owner_id: "bob" });
      await until("it is ada's no longer", async () =>
        (await ask(ada)).status === 403);
      strictEqual((await twice(bea)).status, 200);
      await put(world, { name: "0", owner_id: "ada" });
      await until("it is ada's again", async () =>
        (await twice(ada)).status === 200);

      // Signing out is at once, revoking a matter of seconds.
      await send(world, "POST", "/sign-out", {
        app,
        key: null,
        headers: { ...bea, ...SAME_ORIGIN },
      });
      assertProblem(await ask(bea), 401, "unauthenticated");
      await sql`update weir.api_key set revoked_at = now()`;
      strictEqual((await ask(ada)).status, 200);
      const { clock } = world;
      clock.now = new Date(clock.now.getTime() + GRANT_MS_MAX);
      assertProblem(await ask(ada), 401, "unauthenticated");
    }),
);

dbTest(
  "createAgain() leaves refusals to the limit",
  (world) =>
    withApp(world, async (ask) => {
      const key = { authorization: `Bearer ${world.key}` };
      const statuses = [];
      for (let n = 0; n < 5; n++) statuses.push((await ask(key)).status);
      deepStrictEqual(statuses, [200, 200, 200, 429, 429]);
    }, 3),
);
