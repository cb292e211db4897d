import {
  deepStrictEqual,
  doesNotMatch,
  match,
  notStrictEqual,
  ok,
  strictEqual,
} from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { createKey } from "../../db/access.ts";
import { postgresBus } from "../../db/bus.ts";
import { fold } from "../../db/events.ts";
import { createLog } from "../../db/log.ts";
import { SHARES_OPEN_MAX } from "../../db/schema.ts";
import { GRANT_MS_MAX } from "../../routes/_auth.ts";
import { createHub } from "../../routes/_hub.ts";
import { createLimiter } from "../../routes/_limit.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import {
  type Answer,
  appWith,
  assertInvalid,
  assertProblem,
  at,
  DEFINITION,
  enrolled,
  post,
  put,
  send,
  type Sending,
  signIn,
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

/** Three enrolments of one contact each, counted. */
async function tell(world: World): Promise<void> {
  await put(world);
  await post(world, [1, 2, 3].map(() => enrolled()));
  while (await fold(world.sql) > 0);
}

/** Opens an address without any credential, as whoever has the link does. */
async function visit(
  world: World,
  url: string,
  sending: Sending & { method?: string } = {},
): Promise<Answer> {
  const { method = "GET", ...rest } = sending;
  const path = url.replace("http://weir.test", "");
  return await send(world, method, path, { key: null, ...rest });
}

const textOf = (html: string) =>
  html.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");

const CACHED =
  "public, max-age=0, s-maxage=60, stale-while-revalidate=60, stale-if-error=86400";

dbTest(
  "GET /share/{token} shows the numbers to whoever has the link, and leads nowhere else",
  async (world) => {
    await tell(world);
    const { url, share_id } = await share(world, {
      range: { start_date: "2026-06-01", end_date: "2026-06-15" },
      compare: "none",
    });
    const answer = await visit(world, url);
    strictEqual(answer.status, 200);
    match(textOf(answer.text), /Welcome/);
    match(textOf(answer.text), /Enrolled 3 /);
    match(textOf(answer.text), /Jun 1 – 15, 2026/u);
    // Its own themes are all that it leads to.
    const links = [...answer.text.matchAll(/(?:href|action)="([^"]*)"/g)]
      .map(([, href]) => href).filter((href) => href !== "");
    deepStrictEqual(links, [
      "#end",
      "#content",
      "?",
      "?theme=light",
      "?theme=dark",
    ]);
    const token = url.split("/").at(-1)!;
    for (const not of ["contact", "/executions", "/exports", "/api/", token]) {
      ok(!answer.text.includes(not), not);
    }
    const { headers } = answer;
    strictEqual(headers.get("cache-control"), CACHED);
    strictEqual(
      headers.get("cdn-cache-control"),
      "max-age=60, stale-while-revalidate=60, stale-if-error=86400",
    );
    strictEqual(
      headers.get("cache-tag"),
      `workflow-${WORKFLOW},share-${share_id}`,
    );
    strictEqual(headers.get("vary"), "accept-encoding");
    strictEqual(headers.get("x-robots-tag"), "noindex");
    strictEqual(headers.get("set-cookie"), null);
    strictEqual(headers.get("ratelimit"), null);

    const etag = headers.get("etag")!;
    match(etag, /^"\d+-[\w-]{22}"$/);
    const known = await visit(world, url, {
      headers: { "if-none-match": etag },
    });
    deepStrictEqual([known.status, known.text], [304, ""]);
    for (const name of ["cache-control", "cache-tag", "etag", "vary"]) {
      strictEqual(known.headers.get(name), headers.get(name), name);
    }
    const head = await visit(world, url, { method: "HEAD" });
    deepStrictEqual([head.status, head.text], [200, ""]);

    // As it goes over the wire, and under a strong tag of its own.
    const path = url.replace("http://weir.test", "");
    const zipped = await world.app.request(path, {
      headers: { "accept-encoding": "br, gzip" },
    });
    strictEqual(zipped.headers.get("content-encoding"), "gzip");
    strictEqual(zipped.headers.get("etag"), etag.replace(/"$/, '-gzip"'));
    const bytes = new Uint8Array(await zipped.arrayBuffer());
    strictEqual(gunzipSync(bytes).toString(), answer.text);

    await post(world, enrolled());
    while (await fold(world.sql) > 0);
    const newer = await visit(world, url, {
      headers: { "if-none-match": etag },
    });
    match(textOf(newer.text), /Enrolled 4 /);
    notStrictEqual(newer.headers.get("etag"), etag);
  },
);

dbTest(
  "GET /share/{token} rolls with the days of its zone, and ends when it is said to",
  async (world) => {
    await tell(world);
    const { url } = await share(world, {
      range: { days: 7 },
      tz: "Pacific/Auckland",
      expires_at: at(24 * 60),
    });
    const ranges = async () =>
      /\w+ \d+ – (\w+ )?\d+, 2026/u.exec(
        textOf((await visit(world, url)).text),
      )![0];
    // Midnight there is noon in UTC.
    strictEqual(await ranges(), "Jun 10 – 16, 2026");
    world.clock.now = new Date(NOW.getTime() - 1);
    strictEqual(await ranges(), "Jun 9 – 15, 2026");

    // No cache holds it for longer than it is open.
    world.clock.now = new Date(Date.parse(at(24 * 60)) - 90_000);
    strictEqual(
      (await visit(world, url)).headers.get("cache-control"),
      "public, max-age=0, s-maxage=60, stale-while-revalidate=30, stale-if-error=30",
    );
    world.clock.now = new Date(Date.parse(at(24 * 60)) - 1);
    strictEqual((await visit(world, url)).status, 200);
    world.clock.now = new Date(at(24 * 60));
    strictEqual((await visit(world, url)).status, 404);
  },
);

dbTest(
  "what is wrong, expired or revoked opens the same nothing, within 5 s everywhere",
  async (world) => {
    await tell(world);
    const here = appWith(world), there = appWith(world);
    const revoked = await share(world, { frame_ancestors: ["https://a.test"] });
    const expired = await share(world, { expires_at: at(1) });
    const urls = [revoked.url, expired.url, revoked.embed_url];
    for (const app of [here, there]) {
      for (const url of urls) {
        strictEqual((await visit(world, url, { app })).status, 200);
      }
    }
    await send(world, "DELETE", `${PATH}/${revoked.share_id}`, { app: here });
    strictEqual((await visit(world, revoked.url, { app: here })).status, 404);
    // Another process believes for four seconds what it knew.
    strictEqual((await visit(world, revoked.url, { app: there })).status, 200);
    ok(GRANT_MS_MAX < 5_000);
    const pass = (ms: number) => {
      world.clock.now = new Date(world.clock.now.getTime() + ms);
    };
    pass(GRANT_MS_MAX);
    strictEqual((await visit(world, revoked.url, { app: there })).status, 404);
    pass(60_000);

    const wrong = `http://weir.test/share/${"A".repeat(43)}`;
    const others = [
      wrong,
      `${wrong}A`,
      "http://weir.test/share/%00",
      "http://weir.test/embed/'--",
    ];
    const comparable = ({ status, text, headers }: Answer) => {
      const all = Object.fromEntries(headers);
      delete all["x-request-id"];
      return { status, text, all };
    };
    const first = comparable(await visit(world, wrong));
    strictEqual(first.status, 404);
    strictEqual(
      first.all["cache-control"],
      "public, max-age=0, s-maxage=10",
    );
    match(textOf(first.text), /This link opens nothing/);
    for (const url of [...urls, ...others]) {
      const answer = await visit(world, url, { app: there });
      deepStrictEqual(comparable(answer), first, url);
    }
  },
);

dbTest(
  "nothing in a request but token and theme makes another answer, or a query",
  async (world) => {
    let queries = 0;
    const sql = new Proxy(world.web, {
      apply(target, self, args) {
        queries++;
        return Reflect.apply(target, self, args);
      },
    });
    const log = createLog("error");
    const now = () => world.clock.now;
    const hub = createHub({ sql, now, log, bus: postgresBus(world.sql, log) });
    const app = appWith(world, { sql, hub });
    await tell(world);
    const { url } = await share(world);
    try {
      const { text } = await visit(world, url, { app });
      await until("the hub hears", async () => {
        const before = queries;
        await visit(world, url, { app });
        return queries === before;
      });
      const before = queries;
      const tags = new Set<string>();
      for (let i = 0; i < 20; i++) {
        const query =
          `x=${i}&days=${i}&range=7d&tz=Asia/Tokyo&compare=year&token=${i}&sort=p95&version=1`;
        const headers = {
          cookie: `weir_theme=dark; weir_zone=Asia/Tokyo; x=${i}`,
          "x-forwarded-for": `192.0.2.${i}`,
        };
        const answer = await visit(world, `${url}?${query}`, { app, headers });
        strictEqual(answer.text, text);
        tags.add(answer.headers.get("etag")!);
      }
      strictEqual(tags.size, 1);
      const dark = await visit(world, `${url}?theme=dark`, { app });
      match(dark.text, /data-theme="dark"/);
      const theme = encodeURIComponent('"><script>');
      const strange = await visit(world, `${url}?theme=${theme}`, { app });
      strictEqual(strange.text, text);
      strictEqual(queries, before);
      const [etag] = tags;
      const headers = { "if-none-match": etag! };
      strictEqual((await visit(world, url, { app, headers })).status, 304);
      strictEqual(queries, before);
    } finally {
      await hub.close();
    }
  },
);

dbTest(
  "GET /embed/{token} may be framed by the sites of its link, and all else by nobody",
  async (world) => {
    await tell(world);
    const origins = ["https://a.test", "https://*.b.test:8443"];
    const framed = await share(world, { frame_ancestors: origins });
    const alone = await share(world);
    const policyOf = async (url: string) => {
      const { headers } = await visit(world, url);
      const policy = headers.get("content-security-policy")!;
      match(policy, /default-src 'self'/);
      return [
        /frame-ancestors ([^;]*)/.exec(policy)![1],
        headers.has("x-frame-options"),
      ];
    };
    deepStrictEqual(
      await policyOf(framed.embed_url),
      [origins.join(" "), false],
    );
    for (
      const url of [
        framed.url,
        alone.url,
        alone.embed_url,
        `http://weir.test/embed/${"A".repeat(43)}`,
        "http://weir.test/sign-in",
      ]
    ) {
      deepStrictEqual(await policyOf(url), ["'none'", true], url);
    }
    const { text } = await visit(world, `${framed.embed_url}?theme=light`);
    match(text, /data-theme="light"/);
    doesNotMatch(text, /<header class="site"|href="[?/#](?!assets|end")/);
  },
);

dbTest(
  "a link with a password asks for it, and no cache keeps what it hides",
  async (world) => {
    await tell(world);
    const password = "correct ho\u0301rse";
    const { url } = await share(world, { password });
    const other = await share(world, { password });
    const app = appWith(world, {
      limiter: createLimiter({
        now: () => world.clock.now,
        upstash: null,
        perMinute: { sign_in: 4 },
      }),
    });
    const open = (
      password: string,
      headers: Record<string, string> = SAME_ORIGIN,
    ) =>
      visit(world, url, {
        app,
        method: "POST",
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          ...headers,
        },
        body: String(new URLSearchParams({ password })),
      });
    const isHidden = ({ text, headers }: Answer) => {
      strictEqual(headers.get("cache-control"), "private, no-store");
      for (const name of ["cache-tag", "cdn-cache-control", "etag"]) {
        strictEqual(headers.get(name), null, name);
      }
      doesNotMatch(text, /Welcome|Enrolled/);
    };
    const asked = await visit(world, url, { app });
    strictEqual(asked.status, 200);
    match(textOf(asked.text), /This page has a password/);
    isHidden(asked);
    const wrong = await open("wrong horse");
    strictEqual(wrong.status, 403);
    match(textOf(wrong.text), /That is not the password/);
    isHidden(wrong);
    assertProblem(await open(password, {}), 403, "cross_site_request");

    // However a keyboard composes it.
    const right = await open("correct h\u00f3rse");
    strictEqual(right.status, 303);
    strictEqual(right.headers.get("location"), new URL(url).pathname);
    const set = right.headers.get("set-cookie")!;
    match(set, /; Max-Age=3600; Path=\/share; HttpOnly; SameSite=Lax$/);
    const cookie = set.split(";")[0]!;
    const shown = await visit(world, url, { app, headers: { cookie } });
    match(textOf(shown.text), /Enrolled 3 /);
    strictEqual(shown.headers.get("cache-control"), "private, no-store");
    strictEqual(shown.headers.get("cdn-cache-control"), null);

    const [name, value] = cookie.split("=");
    const [ends, seal] = value!.split(".");
    const forged = [
      `${name}=${ends}.${seal!.slice(0, -1)}x`,
      `${name}=${Number(ends) + 9}.${seal}`,
      `${name}=${ends}`,
      `${name}=.`,
    ];
    for (const cookie of forged) {
      isHidden(await visit(world, url, { app, headers: { cookie } }));
    }
    // It opens this link alone, whatever it is called.
    const renamed = cookie.replace(/^[^=]*/, `weir_share_${other.share_id}`);
    isHidden(
      await visit(world, other.url, { app, headers: { cookie: renamed } }),
    );
    world.clock.now = new Date(NOW.getTime() + 3_600_000);
    isHidden(await visit(world, url, { app, headers: { cookie } }));

    const tries = Array.from({ length: 6 }, () => open(""));
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    strictEqual(statuses.filter((status) => status === 429).length, 2);
  },
);

dbTest(
  "who tries tokens is held back by address, asks for no query then, and keeps nobody else out",
  async (world) => {
    await tell(world);
    let finds = 0;
    const sql = new Proxy(world.web, {
      apply(target, self, args) {
        if (String(args[0]).includes("find_share")) finds++;
        return Reflect.apply(target, self, args);
      },
    });
    const app = appWith(world, {
      sql,
      limiter: createLimiter({ now: () => world.clock.now, upstash: null }),
      trustedProxies: 1,
    });
    const { url } = await share(world);
    const from = (address: string, url: string) =>
      visit(world, url, {
        app,
        // What stands left of what our proxy has seen is anybody's word.
        headers: { "x-forwarded-for": `${Math.random()}, ${address}` },
      });
    strictEqual((await from("192.0.2.1", url)).status, 200);
    const guess = (n: number) =>
      `http://weir.test/share/${String(n).padStart(43, "x")}`;
    const statuses: number[] = [];
    for (let n = 0; n < 70; n++) {
      statuses.push((await from("192.0.2.1", guess(n))).status);
    }
    deepStrictEqual(
      statuses.map((status) => status === 429),
      statuses.map((_, i) => i >= 60),
    );
    strictEqual(finds, 1 + 61);
    const refused = await from("192.0.2.1", guess(0));
    assertProblem(refused, 429, "rate_limited");
    ok(Number(refused.headers.get("retry-after")) > 0);
    // Who has a link that is known to be good still sees it, later too; and so do others.
    world.clock.now = new Date(NOW.getTime() + GRANT_MS_MAX);
    strictEqual((await from("192.0.2.1", url)).status, 200);
    strictEqual((await from("192.0.2.2", guess(0))).status, 404);
    // A link is not looked at without end either, from one place.
    for (let n = 0; n < 117; n++) await from("192.0.2.3", url);
    const many = await Promise.all(
      Array.from({ length: 6 }, () => from("192.0.2.3", url)),
    );
    deepStrictEqual(
      many.map(({ status }) => status).sort(),
      [200, 200, 200, 429, 429, 429],
    );
  },
);

dbTest(
  "logs and the access log tell which link was looked at, and never what opens it",
  async (world) => {
    await tell(world);
    const lines: string[] = [];
    const note = (message: string, fields?: unknown) =>
      void lines.push(JSON.stringify([message, fields]));
    const log = { debug: note, info: note, warn: note, error: note };
    const app = appWith(world, { log });
    const made = await share(world, { password: "correct horse" }, { app });
    const { url, share_id } = made;
    const open = {
      range: { start_date: "2026-06-01", end_date: "2026-06-02" },
    };
    const plain = await share(world, open, { app });
    const form = {
      app,
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        ...SAME_ORIGIN,
      },
      body: "password=correct+horse",
    };
    const cookie = (await visit(world, url, form)).headers.get("set-cookie")!
      .split(";")[0]!;
    for (const address of [url, plain.url, plain.embed_url]) {
      const headers = { cookie };
      strictEqual((await visit(world, address, { app, headers })).status, 200);
    }
    await visit(world, `${url}x`, { app });
    const entries = async () =>
      (await send(world, "GET", "/api/v1/access-log", { app })).json
        .entries as Record<string, unknown>[];
    await until(
      "the views are written down",
      async () =>
        (await entries()).some(({ action }) => action === "GET /embed/:token"),
    );
    const of = (await entries()).filter(({ credential }) =>
      credential === `share:${plain.share_id}`
    );
    deepStrictEqual(
      of.map(({ action, workflow_id, filter, status, user_id }) => ({
        action,
        workflow_id,
        filter,
        status,
        user_id,
      })),
      ["GET /embed/:token", "GET /share/:token"].map((action) => ({
        action,
        workflow_id: WORKFLOW,
        filter: {
          share_id: plain.share_id,
          start_date: "2026-06-01",
          end_date: "2026-06-02",
          tz: "UTC",
          compare: "previous",
        },
        status: 200,
        user_id: null,
      })),
    );
    const all = lines.join("\n") + JSON.stringify(await entries());
    ok(all.includes(`share:${share_id}`));
    const secrets = [url, plain.url].map((url) => url.split("/").at(-1)!);
    for (const secret of [...secrets, "correct", cookie.split(".")[1]!]) {
      ok(!all.includes(secret), secret);
    }
  },
);

dbTest(
  "/workflows/{id}/shares opens, lists and revokes links by forms alone",
  async (world) => {
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const page = `/workflows/${WORKFLOW}/shares`;
    const ada = await signIn(world, { role: "member", userId: "ada" });
    const bob = await signIn(world, { role: "member", userId: "bob" });
    const look = (headers: Record<string, string>) =>
      send(world, "GET", page, { key: null, headers });
    const submit = (
      fields: Record<string, string>,
      headers: Record<string, string> = { ...ada, ...SAME_ORIGIN },
    ) =>
      send(world, "POST", page, {
        key: null,
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          ...headers,
        },
        body: String(new URLSearchParams(fields)),
      });
    const asked = {
      do: "open",
      name: "Wall <1>",
      range: "rolling",
      days: "7",
      start_date: "2026-06-01",
      end_date: "2026-06-15",
      tz: "UTC",
      compare: "none",
      expires: "30",
      password: "",
      frame_ancestors: "https://a.test\r\nhttps://b.test",
    };
    match(textOf((await look(ada)).text), /No link is open/);
    strictEqual((await look(bob)).status, 403);
    assertProblem(await submit(asked, bob), 403, "cross_site_request");
    const foreign = await submit(asked, { ...bob, ...SAME_ORIGIN });
    assertProblem(foreign, 403, "forbidden");
    assertProblem(await submit(asked, SAME_ORIGIN), 401, "unauthenticated");

    const made = await submit(asked);
    strictEqual(made.status, 201);
    strictEqual(made.headers.get("cache-control"), "private, no-store");
    const [url] = /http:\/\/weir\.test\/share\/[\w-]{43}/.exec(made.text)!;
    ok(made.text.includes("&lt;iframe src=&quot;http://weir.test/embed/"));
    strictEqual((await visit(world, url)).status, 200);
    const [kept] = (await send(world, "GET", PATH)).json.shares;
    deepStrictEqual(
      [kept.name, kept.range, kept.created_by, kept.frame_ancestors],
      ["Wall <1>", { days: 7 }, "ada", ["https://a.test", "https://b.test"]],
    );
    strictEqual(kept.expires_at, at(30 * 24 * 60));
    const listed = await look(ada);
    match(textOf(listed.text), /Wall &lt;1> Last 7 days, UTC Since .* by ada/);
    ok(!listed.text.includes(url));

    const wrong = await submit({
      ...asked,
      range: "fixed",
      end_date: "2026-05-01",
      password: "correct horse",
    });
    strictEqual(wrong.status, 400);
    match(textOf(wrong.text), /Range: Must not be before start_date/);
    ok(wrong.text.includes('value="2026-05-01"'));
    ok(!wrong.text.includes("correct horse"));

    const { share_id } = kept;
    const revoked = await submit({ do: "revoke", share_id });
    strictEqual(revoked.status, 303);
    strictEqual(revoked.headers.get("location"), page);
    strictEqual((await visit(world, url)).status, 404);
    assertProblem(await submit({ do: "x" }), 400, "invalid_request");
  },
);
