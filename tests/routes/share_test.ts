import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createKey } from "../../db/access.ts";
import { SHARES_OPEN_MAX } from "../../db/schema.ts";
import { dbTest, type World } from "../harness.ts";
import {
  assertInvalid,
  assertProblem,
  at,
  DEFINITION,
  put,
  send,
  type Sending,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/shares`;

/** Opens a link by the API. */
async function share(
  world: World,
  definition: Record<string, unknown> = {},
  sending: Sending = {},
) {
  const json = { range: { days: 30 }, ...definition };
  const answer = await send(world, "POST", PATH, { json, ...sending });
  strictEqual(answer.status, 201, answer.text);
  return answer.json;
}

dbTest(
  "POST …/shares tells what opens a link once, and the list never",
  async (world) => {
    await put(world);
    const made = await share(world, {
      name: " Wall ",
      range: { start_date: "2026-05-01", end_date: "2026-05-31" },
      tz: "Asia/Tokyo",
      compare: "year",
      password: "correct horse",
      frame_ancestors: ["https://Status.example.com:8443", "https://*.a.test"],
      expires_at: at(60),
    });
    const { url, embed_url, ...rest } = made;
    match(url, /^http:\/\/weir\.test\/share\/[\w-]{43}$/);
    strictEqual(embed_url, url.replace("/share/", "/embed/"));
    deepStrictEqual(rest, {
      share_id: rest.share_id,
      workflow_id: WORKFLOW,
      name: "Wall",
      range: { start_date: "2026-05-01", end_date: "2026-05-31" },
      tz: "Asia/Tokyo",
      compare: "year",
      has_password: true,
      frame_ancestors: ["https://status.example.com:8443", "https://*.a.test"],
      created_by: null,
      created_at: rest.created_at,
      expires_at: at(60),
    });
    const key = await createKey(world.sql, world.account.account_id, {
      scopes: ["exports:write"],
      userId: "ada",
    });
    const second = await share(world, {}, { key });
    deepStrictEqual(
      [second.tz, second.compare, second.has_password, second.created_by],
      ["UTC", "previous", false, "ada"],
    );

    const list = await send(world, "GET", PATH);
    strictEqual(list.headers.get("cache-control"), "private, no-store");
    const ids = list.json.shares.map((one: { share_id: string }) =>
      one.share_id
    );
    deepStrictEqual(ids, [second.share_id, made.share_id]);
    deepStrictEqual(list.json.shares[1], rest);
    const [kept] = await world.sql<[{ row: unknown }]>`
      select json_agg(to_jsonb(s)) as row from weir.share s`;
    const token = url.split("/").at(-1);
    for (const secret of [token, "correct horse"]) {
      ok(!list.text.includes(secret));
      ok(!JSON.stringify(kept.row).includes(secret));
    }

    const gone = `${PATH}/${made.share_id}`;
    for (let twice = 0; twice < 2; twice++) {
      const answer = await send(world, "DELETE", gone);
      deepStrictEqual([answer.status, answer.json], [200, rest]);
    }
    const left = (await send(world, "GET", PATH)).json.shares;
    strictEqual(left.length, 1);
    const none = await send(world, "DELETE", `${PATH}/${crypto.randomUUID()}`);
    assertProblem(none, 404, "share_not_found");
    const other = "99999999-9999-4999-8999-999999999999";
    await put(world, DEFINITION, other);
    const elsewhere = PATH.replace(WORKFLOW, other);
    const path = `${elsewhere}/${second.share_id}`;
    assertProblem(await send(world, "DELETE", path), 404, "share_not_found");
  },
);

dbTest("POST …/shares refuses what makes no sense, by path", async (world) => {
  await put(world);
  const range = { days: 30 };
  const refused: [path: string, body: unknown][] = [
    ["range", {}],
    ["range", { range: {} }],
    ["range.days", { range: { days: 0 } }],
    ["range.days", { range: { days: 733 } }],
    ["range", { range: { days: 7, start_date: "2026-06-01" } }],
    ["range.end_date", {
      range: { start_date: "2026-06-02", end_date: "2026-06-01" },
    }],
    ["tz", { range, tz: "CET" }],
    ["compare", { range, compare: "custom" }],
    ["name", { range, name: " " }],
    ["password", { range, password: "short" }],
    ["expires_at", { range, expires_at: at(0) }],
    ["expires_at", { range, expires_at: "tomorrow" }],
    ["", { range, token: "mine" }],
    ...[
      "*",
      "https:",
      "https://*",
      "'self'",
      "https://a.test/",
      "https://a.test; script-src *",
      "https://a.test https://b.test",
      "https://a..test",
      "data:",
      "ftp://a.test",
    ].map((origin): [string, unknown] => [
      "frame_ancestors.0",
      { range, frame_ancestors: [origin] },
    ]),
  ];
  for (const [path, json] of refused) {
    assertInvalid(await send(world, "POST", PATH, { json }), path);
  }
  const [{ count }] = await world.sql<[{ count: number }]>`
    select count(*) as count from weir.share`;
  strictEqual(count, 0);
});

dbTest(
  "POST …/shares opens so many links of a workflow, and no more at once",
  async (world) => {
    await put(world);
    await world.sql`
      insert into weir.share (workflow_id, account_id, secret, view, frame_ancestors, expires_at)
      select workflow_id, account_id, sha256(n::text::bytea), '{"range": {"days": 1}, "tz": "UTC", "compare": "none"}', '{}',
        case when n > 98 then '2026-06-15T12:00:00Z'::timestamptz end
      from weir.workflow, generate_series(1, 120) n`;
    strictEqual(SHARES_OPEN_MAX, 100);
    const json = { range: { days: 30 } };
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => send(world, "POST", PATH, { json })),
    );
    deepStrictEqual(
      answers.map(({ status }) => status).sort(),
      [201, 201, 409, 409],
    );
    const full = answers.find(({ status }) => status === 409)!;
    assertProblem(full, 409, "shares_full");
  },
);
