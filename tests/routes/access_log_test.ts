import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Hono } from "hono";
import { createKey } from "../../db/access.ts";
import { connect } from "../../db/client.ts";
import { createLog } from "../../db/log.ts";
import type { AccessLogPage } from "../../db/schema.ts";
import { createAccessLog } from "../../routes/_access.ts";
import { createAuth, requires } from "../../routes/_auth.ts";
import { createLimiter } from "../../routes/_limit.ts";
import { logRequests } from "../../routes/_log.ts";
import { dbTest, until, type World } from "../harness.ts";
import {
  assertInvalid,
  assertProblem,
  DEFINITION,
  put,
  RANGE,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

const PATH = "/api/v1/access-log";

/** The log once it has so many entries, the newest first. */
async function logged(
  world: World,
  entries: number,
): Promise<AccessLogPage["entries"]> {
  await until(`${entries} entries are logged`, async () => {
    const [row] = await world.sql<[{ count: number }]>`
      select count(*) as count from weir.access_log`;
    return row.count >= entries;
  });
  return (await send(world, "GET", PATH)).json.entries;
}

dbTest(
  "GET /access-log tells who read what when, with which filter",
  async (world) => {
    const member = await createKey(world.sql, world.account.account_id, {
      scopes: ["analytics:read"],
      role: "member",
      userId: "ada",
    });
    await put(world, { ...DEFINITION, owner_id: "bob" });
    const path =
      `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}&token=s3cret`;
    const headers = { "x-request-id": "edge-1" };
    const refused = await send(world, "GET", path.split("&token")[0]!, {
      key: member,
      headers,
    });
    strictEqual(refused.status, 403);
    strictEqual(refused.headers.get("x-request-id"), "edge-1");
    await send(world, "GET", "/api/v1/workflows?limit=7");
    await send(world, "GET", path);
    await send(world, "GET", "/", { key: null, headers: await signIn(world) });

    // Which of two written apart came first is known to some milliseconds.
    const entries = await logged(world, 5);
    strictEqual(entries.length, 5);
    const of = (action: string, status = 200) =>
      entries.find((entry) =>
        entry.action === action && entry.status === status
      );
    const numbers = "GET /api/v1/workflows/:id/analytics";
    const [page, list] = [of("GET /"), of("GET /api/v1/workflows")];
    const [read, invalid] = [of(numbers, 403), of(numbers, 400)];
    ok(entries.some(({ action }) => action === "PUT /api/v1/workflows/:id"));
    const { at, credential, request_id, ...rest } = read!;
    ok(Math.abs(Date.parse(at) - Date.now()) < 60_000);
    match(credential, /^key:[0-9a-f]{16}$/);
    ok(member.startsWith(credential.replace("key:", "weir_")));
    strictEqual(request_id, "edge-1");
    deepStrictEqual(rest, {
      user_id: "ada",
      action: numbers,
      workflow_id: WORKFLOW,
      filter: Object.fromEntries(new URLSearchParams(RANGE)),
      rows: null,
      bytes: null,
      sha256: null,
      status: 403,
    });
    deepStrictEqual([list!.rows, list!.filter], [1, { limit: "7" }]);
    // A secret that somebody put into a query is not written down.
    ok(!JSON.stringify(invalid).includes("s3cret"));
    match(page!.credential, /^session:[0-9a-f]{16}$/);
  },
);

dbTest("GET /access-log filters, and pages without a gap", async (world) => {
  await put(world);
  for (let i = 0; i < 5; i++) await send(world, "GET", "/api/v1/workflows");
  const all = await logged(world, 6);
  const ask = async (query: string) =>
    (await send(world, "GET", `${PATH}?${query}`)).json as AccessLogPage;
  const listing = encodeURIComponent("GET /api/v1/workflows");
  let cursor: string | null = "";
  const seen: string[] = [];
  while (cursor !== null) {
    const page: AccessLogPage = await ask(
      `action=${listing}&limit=2${cursor && `&cursor=${cursor}`}`,
    );
    seen.push(...page.entries.map(({ request_id }) => request_id));
    cursor = page.next_cursor;
  }
  deepStrictEqual(
    seen,
    all.filter(({ action }) => action === "GET /api/v1/workflows")
      .map(({ request_id }) => request_id),
  );
  strictEqual((await ask(`workflow_id=${WORKFLOW}`)).entries.length, 1);
  strictEqual((await ask("user_id=nobody")).entries.length, 0);
  strictEqual((await ask("until=2020-01-01T00:00:00Z")).entries.length, 0);
  ok((await ask("since=2020-01-01T00:00:00Z")).entries.length >= 6);
  for (const wrong of ["x", "2026-01-01T00:00:00.000Z_", "_1"]) {
    assertInvalid(
      await send(world, "GET", `${PATH}?cursor=${wrong}`),
      "cursor",
    );
  }
});

dbTest("GET /access-log is for admins of the account", async (world) => {
  const key = await createKey(world.sql, world.account.account_id, {
    scopes: ["admin"],
    role: "member",
    userId: "ada",
  });
  assertProblem(await send(world, "GET", PATH, { key }), 403, "forbidden");
});

dbTest(
  "requires() notes when a key was last used, off the way of requests",
  async (world) => {
    const lastUsed = async () =>
      (await world.sql<[{ at: Date | null }]>`
        select last_used_at as at from weir.api_key`)[0].at;
    strictEqual(await lastUsed(), null);
    await send(world, "GET", "/api/v1/workflows");
    await until(
      "the key's use is noted",
      async () => await lastUsed() !== null,
    );
    const first = await lastUsed();
    // Other processes note it too: the same minute is written once.
    await world.web`select weir.note_keys_used(${[world.key.split("_")[1]!]})`;
    deepStrictEqual(await lastUsed(), first);
  },
);

dbTest(
  "createAccessLog() keeps what Postgres cannot take, and writes it once it can",
  async (world) => {
    const lines: string[] = [];
    const sql = connect(world.database_url, {
      max: 1,
      statementTimeoutMs: 5_000,
      role: "weir_web",
    });
    const access = createAccessLog({
      sql,
      log: createLog("warn", (line) => lines.push(line)),
    });
    const entry = {
      account_id: world.account.account_id,
      user_id: null,
      credential: "key:test",
      action: "GET /",
      workflow_id: null,
      filter: {},
      rows: null,
      file: null,
      status: 200,
      request_id: "r",
    };
    await world
      .sql`revoke execute on function weir.record_access from weir_web`;
    for (const failures of [0, 1, 2]) {
      access.record(entry);
      access.record(entry, `again ${failures}`);
      await until("the failure is told", () => lines.length > failures);
    }
    match(lines[0]!, /cannot write the access log/);
    await access.recordFirst(entry).then(
      () => ok(false, "What is exported must not go out"),
      (error) => strictEqual(error.code, "42501"),
    );
    await world.sql`grant execute on function weir.record_access to weir_web`;
    await until("it is written", async () => {
      const rows = await world.sql`select from weir.access_log`;
      return rows.length === 6;
    });
    access.record(entry);
    await access.close();
    const ids = await world.sql<{ request_id: string }[]>`
      select request_id from weir.access_log order by at, access_id`;
    deepStrictEqual(
      ids.map(({ request_id }) => request_id),
      ["r", "again 0", "r", "again 1", "r", "again 2", "r"],
    );
    strictEqual(access.lost(), 0);
    await sql.end({ timeout: 5 });
  },
);

dbTest(
  "an export does not go out unless its entry is durable",
  async (world) => {
    const access = createAccessLog({ sql: world.web, log: createLog("error") });
    world.atEnd.push(access.close);
    const deps = {
      access,
      auth: createAuth({ sql: world.web, now: () => world.clock.now, access }),
      publicUrl: "http://weir.test",
      now: () => world.clock.now,
      limiter: createLimiter({ now: () => world.clock.now, upstash: null }),
      trustedProxies: 0,
    };
    const exports = new Hono()
      .use(logRequests(createLog("error")))
      .get("/x", requires(deps, "exports:write"), (c) => c.text("rows"))
      .onError((error, c) => c.text(error.message, 503));
    const ask = () =>
      exports.request("/x", {
        headers: { authorization: `Bearer ${world.key}` },
      });
    strictEqual((await ask()).status, 200);
    strictEqual((await world.sql`select from weir.access_log`).length, 1);
    await world
      .sql`revoke execute on function weir.record_access from weir_web`;
    const refused = await ask();
    strictEqual(refused.status, 503);
    ok(!(await refused.text()).includes("rows"));
  },
);
