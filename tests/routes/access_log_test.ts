import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { Hono } from "hono";
import { createAccount, createKey } from "../../db/access.ts";
import {
  readAccessLog,
  recordAccess,
  REPEATED_MS_MAX,
} from "../../db/access_log.ts";
import { connect, type Sql } from "../../db/client.ts";
import { createLog } from "../../db/log.ts";
import type { AccessLogPage, AccessLogQuery } from "../../db/schema.ts";
import { createAccessLog, FLUSH_MS } from "../../routes/_access.ts";
import { createAuth, requires } from "../../routes/_auth.ts";
import { createLimiter } from "../../routes/_limit.ts";
import { logRequests } from "../../routes/_log.ts";
import { randomOf } from "../../workers/_random.ts";
import { dbTest, startServer, until, type World } from "../harness.ts";
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

/** Ids of all requests that are logged for the account, the newest first. */
async function loggedIds({ sql, account }: World): Promise<string[]> {
  const rows = await sql<{ request_id: string }[]>`
    select request_id from weir.list_access_log(${account.account_id},
      null, null, null, null, null, null, null, 10000)`;
  return rows.map(({ request_id }) => request_id);
}

/** The log once it has so many entries, the newest first. */
async function logged(
  world: World,
  entries: number,
): Promise<AccessLogPage["entries"]> {
  await until(`${entries} entries are logged`, async () => {
    return (await loggedIds(world)).length >= entries;
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

/** What a row of the access log says, but for its requests. */
const ENTRY = {
  user_id: null,
  credential: "key:test",
  action: "GET /",
  workflow_id: null,
  filter: {},
  rows: null,
  file: null,
  status: 200,
};

dbTest(
  "readAccessLog() tells each request once, in the order of time, however many a row has",
  async ({ sql, web, account }) => {
    const random = randomOf("access log");
    const pick = (below: number) => Math.floor(random() * below);
    const newest_ms = 3_000;
    // Rows that overlap, some of one request, many at one instant, and a few alone far off.
    const repeated = Array.from({ length: 40 }, (_, row) => {
      const first = row < 4 ? 500 * row : 1_500 + pick(300);
      const since = Array.from(
        { length: row % 3 === 0 ? 1 : 1 + pick(12) },
        () => first + pick(row % 2 === 0 ? 3 : 999),
      ).sort((a, b) => a - b);
      return {
        entry: {
          ...ENTRY,
          account_id: account.account_id,
          user_id: row % 2 === 0 ? "ada" : null,
        },
        requests: since.map((_, n) => `${row}.${n}`),
        since,
      };
    });
    await recordAccess(web, repeated, newest_ms);
    // Another's lie between them.
    const { account_id } = await createAccount(sql, "Other", "UTC");
    await recordAccess(
      web,
      repeated.map(({ entry, ...one }) => ({
        ...one,
        entry: { ...entry, account_id },
      })),
      newest_ms,
    );

    const [{ began }] = await sql<[{ began: string }]>`
      select weir.iso_instant(max(at) - interval '1 ms' *
        ${Math.max(...repeated.map(({ since }) => since.at(-1)!))}) as began
      from weir.access_log where account_id = ${account.account_id}`;
    const instantOf = (ms: number) => {
      const at = new Date(Date.parse(began) + ms).toISOString();
      // The database's own instant has microseconds, which are the same for all.
      return at.replace("Z", `${began.slice(23)}`);
    };
    // Of one instant, the later row and the later in it comes first.
    const all = repeated.flatMap(({ entry, requests, since }, row) =>
      since.map((ms, n) => ({ ms, row, n, entry, id: requests[n]! }))
    ).sort((a, b) => b.ms - a.ms || b.row - a.row || b.n - a.n);
    const ask = (query: Partial<AccessLogQuery>) =>
      readAccessLog(web, account.account_id, { limit: 200, ...query });
    async function follow(
      limit: number,
      query: Partial<AccessLogQuery>,
    ): Promise<string[]> {
      const seen: string[] = [];
      let cursor: string | null | undefined;
      while (cursor !== null) {
        const page: AccessLogPage = await ask({ ...query, limit, cursor });
        ok(page.entries.length <= limit);
        seen.push(...page.entries.map(({ request_id }) => request_id));
        cursor = page.next_cursor;
      }
      return seen;
    }

    deepStrictEqual(
      (await ask({})).entries.map(({ at, request_id }) => [at, request_id]),
      all.slice(0, 200).map(({ ms, id }) => [instantOf(ms), id]),
    );
    const ids = (matches: (one: typeof all[number]) => boolean) =>
      all.filter(matches).map(({ id }) => id);
    for (const limit of [1, 7]) {
      deepStrictEqual(await follow(limit, {}), ids(() => true));
    }
    deepStrictEqual(
      await follow(3, { user_id: "ada" }),
      ids(({ entry }) => entry.user_id === "ada"),
    );
    for (let range = 0; range < 8; range++) {
      const [from, to] = [all[pick(all.length)]!.ms, all[pick(all.length)]!.ms]
        .sort((a, b) => a - b) as [number, number];
      deepStrictEqual(
        await follow(5, { since: instantOf(from), until: instantOf(to) }),
        ids(({ ms }) => ms >= from && ms < to),
      );
    }
  },
);

dbTest(
  "createAccessLog() writes what is done again within a second into one row, and no more of them",
  async (world) => {
    const { sql, web, account } = world;
    const access = createAccessLog({ sql: web, log: createLog("error") });
    const entry = {
      ...ENTRY,
      account_id: account.account_id,
      request_id: "r",
    };
    const real = performance.now;
    let later_ms = 0;
    performance.now = () => real.call(performance) + later_ms;
    try {
      for (let n = 0; n < 3; n++) access.record(entry, `first-${n}`);
      access.record({ ...entry, status: 304 }, "other");
      later_ms = REPEATED_MS_MAX;
      for (let n = 0; n < 2_500; n++) access.record(entry, `next-${n}`);
      await access.close();
    } finally {
      performance.now = real;
    }
    const rows = await sql<{ first: string; requests: number }[]>`
      select coalesce(earlier_ids[1], request_id) as first,
        coalesce(cardinality(earlier_ids), 0) + 1 as requests
      from weir.access_log order by access_id`;
    deepStrictEqual(rows.map(({ first, requests }) => [first, requests]), [
      ["first-0", 3],
      ["other", 1],
      ["next-0", 1_996],
      ["next-1996", 504],
    ]);
    // Which of two that were written apart came first is known to some milliseconds.
    deepStrictEqual(
      (await loggedIds(world)).sort(),
      [
        ...Array.from({ length: 3 }, (_, n) => `first-${n}`),
        ...Array.from({ length: 2_500 }, (_, n) => `next-${n}`),
        "other",
      ].sort(),
    );
  },
);

dbTest(
  "createAccessLog() lets wait what comes while it writes, however busy it is",
  async ({ web, account }) => {
    const entry = {
      ...ENTRY,
      account_id: account.account_id,
      request_id: "r",
    };
    const wroteAt: number[] = [];
    const sql = ((text: TemplateStringsArray, entries: string) => {
      wroteAt.push(performance.now());
      if (wroteAt.length < 4) access.record(entry);
      return web(text, entries);
    }) as unknown as Sql;
    const access = createAccessLog({ sql, log: createLog("error") });
    access.record(entry);
    await until("what came meanwhile is written", () => wroteAt.length === 4);
    await access.close();
    // Timers are not early, but by a fraction.
    ok(wroteAt[3]! - wroteAt[0]! > 3 * FLUSH_MS - 10);
  },
);

dbTest(
  "a row of the access log that could not be read again is refused",
  async ({ sql, account }) => {
    for (
      const [earlier, earlier_us] of [
        ["a", "1000000"],
        ["a", "-1"],
        ["a b", "1"],
        [Array(2_048).fill("a").join(" "), Array(2_048).fill("1").join(" ")],
      ]
    ) {
      const entry = {
        account: account.account_id,
        credential: "key:test",
        action: "GET /",
        status: 200,
        request: "r",
        age_ms: 0,
        earlier,
        earlier_us,
      };
      await rejects(
        sql`select weir.record_access(${JSON.stringify([entry])}::text::json)`
          .execute(),
        { constraint_name: "earlier_are_few" },
      );
    }
  },
);

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
      ...ENTRY,
      account_id: world.account.account_id,
      request_id: "r",
    };
    await world
      .sql`revoke execute on function weir.record_access from weir_web`;
    for (const failures of [0, 1, 2]) {
      access.record(entry);
      access.record(entry, `again-${failures}`);
      await until("the failure is told", () => lines.length > failures);
    }
    match(lines[0]!, /cannot write the access log/);
    await access.recordFirst(entry).then(
      () => ok(false, "What is exported must not go out"),
      (error) => strictEqual(error.code, "42501"),
    );
    await world.sql`grant execute on function weir.record_access to weir_web`;
    await until(
      "it is written",
      async () => (await loggedIds(world)).length === 6,
    );
    access.record(entry);
    await access.close();
    deepStrictEqual(
      (await loggedIds(world)).reverse(),
      ["r", "again-0", "r", "again-1", "r", "again-2", "r"],
    );
    strictEqual(access.lost(), 0);
    await sql.end({ timeout: 5 });
  },
);

dbTest(
  "a server that is killed loses entries of its last moment alone, and no entry is there twice",
  async (world) => {
    await put(world);
    const readsLogged = async () =>
      (await loggedIds(world)).filter((id) => id.startsWith("read-"));
    await using server = await startServer(
      { DATABASE_URL: world.database_url },
      "serve",
    );
    // By the long way, and again from what was just sent.
    const url = `${server.url}/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    const answered: string[] = [];
    let logged: string[] = [];
    await until("two batches are written", async () => {
      const before = logged.length;
      while (logged.length === before) {
        for (let n = 0; n < 20; n++) {
          const id = `read-${answered.length}`;
          const answer = await fetch(url, {
            headers: {
              authorization: `Bearer ${world.key}`,
              "x-request-id": id,
            },
          });
          strictEqual(answer.status, 200);
          await answer.body?.cancel();
          answered.push(id);
        }
        logged = await readsLogged();
      }
      return before > 0;
    });
    server.process.kill("SIGKILL");
    await server.process.status;
    // A statement that it had sent may end after it.
    await until("Postgres has ended its statements", async () => {
      const [{ count }] = await world.sql<[{ count: number }]>`
        select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'weir serve'`;
      return count === 0;
    });
    const kept = (await readsLogged()).length;
    ok(kept >= logged.length);
    deepStrictEqual(
      new Set(await readsLogged()),
      new Set(answered.slice(0, kept)),
    );
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
