import {
  deepStrictEqual,
  doesNotMatch,
  match,
  ok,
  strictEqual,
} from "node:assert/strict";
import { createAccount, type Grant } from "../../db/access.ts";
import { fold } from "../../db/events.ts";
import { readView } from "../../routes/dashboard.tsx";
import { dbTest, NOW, type World } from "../harness.ts";
import { signIn as beginSession } from "./_requests.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const STEP = "22222222-2222-4222-8222-222222222222";

/** A name that would break out of text, an attribute, and a line. */
const NAME = `<script>alert("1")</script> & 'مرحبا' 🎉`;

async function signIn(
  world: World,
  grant: { userId?: string; role?: Grant["role"] } = {},
  accountId = world.account.account_id,
): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const { cookie } = await beginSession(world, grant, accountId);
  return async (path, init = {}) => {
    const headers = { cookie, accept: "text/html", ...init.headers };
    return await world.app.request(path, { ...init, headers });
  };
}

async function register({ app, key }: World, ownerId: string | null = null) {
  const answer = await app.request(`/api/v1/workflows/${WORKFLOW}`, {
    method: "PUT",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({
      name: NAME,
      owner_id: ownerId,
      steps: [{ step_id: STEP, name: NAME, type: "action", order: 1 }],
    }),
  });
  strictEqual(answer.status, 200);
}

/** Three enrolments, of which one completes its only step and then as a whole. */
async function enrolThree({ app, key, sql }: World) {
  const at = (minutes: number) =>
    new Date(NOW.getTime() - 86_400_000 + minutes * 60_000).toISOString();
  const of = (n: number) => ({
    workflow_id: WORKFLOW,
    execution_id: `33333333-3333-4333-8333-33333333333${n}`,
    contact_id: `contact ${n}`,
  });
  const events = [
    ...[1, 2, 3].map((n) => ({
      id: `enrolled ${n}`,
      type: "execution.enrolled",
      source: "api",
      occurred_at: at(n),
      ...of(n),
    })),
    { id: "in", type: "step.entered", step_id: STEP, occurred_at: at(4) },
    { id: "out", type: "step.completed", step_id: STEP, occurred_at: at(94) },
    { id: "end", type: "execution.completed", occurred_at: at(95) },
  ].map((event) => ({ ...of(1), ...event }));
  const answer = await app.request("/api/v1/events", {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(events),
  });
  strictEqual(answer.status, 202);
  while (await fold(sql) > 0);
}

function textOf(html: string): string {
  return html.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
}

dbTest("GET /workflows/{id} shows the numbers of its events", async (world) => {
  await register(world);
  await enrolThree(world);
  const get = await signIn(world);
  const answer = await get(`/workflows/${WORKFLOW}`);
  strictEqual(answer.status, 200);
  const text = textOf(await answer.text());
  match(text, /Enrolled 3 /);
  match(text, /Active now 2 /);
  match(text, /Completed 1 33\.3%/);
  match(text, /▲ 3 more was 0/);
  match(
    text,
    /3 enrolled, 1 completed and 0 converted in 30 days, each counted when it happened; 2 are active/,
  );
  match(text, /May 17 – Jun 15, 2026/u);
  match(text, /1 1 100\.0% 0 0 0 0\.0% 1h 30m median 1h/);
});

dbTest(
  "GET /workflows/{id} escapes names and needs no inline code",
  async (world) => {
    await register(world);
    const get = await signIn(world);
    const html = await (await get(`/workflows/${WORKFLOW}`)).text();
    ok(html.includes("&lt;script>alert("));
    doesNotMatch(html, /<script>/);
    doesNotMatch(html, /<script[^>]*>(?!<\/script>)/);
    doesNotMatch(html, /<[^>]+ (style|on\w+)=/);
    doesNotMatch(html, /<style/);
  },
);

dbTest(
  "GET /workflows/{id} without events says how to send the first",
  async (world) => {
    await register(world);
    const get = await signIn(world);
    const html = await (await get(`/workflows/${WORKFLOW}`)).text();
    match(html, /curl -X POST http:\/\/weir\.test\/api\/v1\/events/);
    ok(html.includes(WORKFLOW));
  },
);

dbTest(
  "GET /workflows/{id} leads from a range without events to the last month with some",
  async (world) => {
    await register(world);
    await enrolThree(world);
    const get = await signIn(world);
    // Nobody runs at its end yet.
    const range = "start_date=2026-03-01&end_date=2026-03-31";
    const html = await (await get(`/workflows/${WORKFLOW}?${range}`)).text();
    doesNotMatch(html, /curl/);
    match(
      textOf(html),
      /Nothing happened in this range The last time anything did was in Jun 1 – 15, 2026/u,
    );
    const href = /href="([^"]*start_date=2026-06-01[^"]*)"/.exec(html)![1]!;
    const text = textOf(
      await (await get(href.replaceAll("&amp;", "&"))).text(),
    );
    match(text, /Enrolled 3 /);
  },
);

dbTest(
  "GET /workflows/{id} shows 30 days where the range cannot be read",
  async (world) => {
    await register(world);
    const get = await signIn(world);
    const range = "start_date=2026-06-02&end_date=2026-06-01";
    const answer = await get(`/workflows/${WORKFLOW}?${range}`);
    strictEqual(answer.status, 400);
    const text = textOf(await answer.text());
    match(text, /end_date: Must not be before start_date/);
    match(text, /May 17 – Jun 15, 2026/u);
  },
);

dbTest(
  "GET /workflows/{id} is 403 for a member who does not own it",
  async (world) => {
    await register(world, "ana");
    const path = `/workflows/${WORKFLOW}`;
    const owner = await signIn(world, { userId: "ana", role: "member" });
    strictEqual((await owner(path)).status, 200);
    const other = await signIn(world, { userId: "bo", role: "member" });
    const refused = await other(path);
    strictEqual(refused.status, 403);
    ok(!(await refused.text()).includes("alert("));
  },
);

dbTest(
  "GET /workflows/{id} is 404 for another account and for no id",
  async (world) => {
    await register(world);
    const { account_id } = await createAccount(world.sql, "Other", "UTC");
    const get = await signIn(world, {}, account_id);
    for (const id of [WORKFLOW, "nonsense"]) {
      const answer = await get(`/workflows/${id}`);
      strictEqual(answer.status, 404);
      match(await answer.text(), /There is nothing here/);
    }
  },
);

dbTest("GET / lists what the viewer may see, and searches", async (world) => {
  await register(world, "ana");
  await enrolThree(world);
  const admin = await signIn(world);
  match(textOf(await (await admin("/")).text()), /Active 3 2 1 33\.3%/);
  match(await (await admin("/?search=ALERT")).text(), /&lt;script>/);
  match(await (await admin("/?search=zzz")).text(), /No workflow matches/);
  strictEqual((await admin("/?cursor=nonsense")).status, 303);

  const owner = await signIn(world, { userId: "ana", role: "member" });
  match(await (await owner("/")).text(), /&lt;script>/);
  for (const grant of [{ userId: "bo" }, {}]) {
    const member = await signIn(world, { ...grant, role: "member" as const });
    const html = await (await member("/")).text();
    doesNotMatch(html, /&lt;script>/);
    match(html, /none is yours yet/);
  }
});

dbTest("GET / of an empty account says how to begin", async (world) => {
  const get = await signIn(world);
  const html = await (await get("/")).text();
  match(html, /curl -X PUT http:\/\/weir\.test\/api\/v1\/workflows\//);
  ok(html.includes(world.account.account_uuid));
});

dbTest(
  "Pages send those who are not signed in to /sign-in",
  async ({ app }) => {
    for (const path of ["/", `/workflows/${WORKFLOW}`]) {
      const answer = await app.request(path);
      strictEqual(answer.status, 303);
      strictEqual(answer.headers.get("location"), "/sign-in");
    }
    strictEqual((await app.request("/sign-in")).status, 200);
  },
);

Deno.test("readView() takes the given zone and the last 30 days by default", () => {
  const { view, problem } = readView(
    { utm_source: "mail", attribution: "event", start_date: "" },
    { tz: "Pacific/Auckland" },
    NOW,
  );
  strictEqual(problem, null);
  strictEqual(view.preset, "30d");
  strictEqual(view.autoGranularity, true);
  deepStrictEqual(view.query, {
    start_date: "2026-05-18",
    end_date: "2026-06-16",
    tz: "Pacific/Auckland",
    granularity: "daily",
    attribution: "event",
    unit: "execution",
    compare: "previous",
  });
});

Deno.test("readView() lets a range move with the day, and two dates stay", () => {
  const of = (params: Record<string, string>) =>
    readView(params, { tz: "UTC" }, NOW).view;
  const month = of({ range: "last_month" });
  strictEqual(month.preset, "last_month");
  strictEqual(month.query.start_date, "2026-05-01");
  const today = of({ range: "today" });
  strictEqual(today.query.granularity, "hourly");
  const dates = of({ start_date: "2026-06-01", end_date: "2026-06-03" });
  strictEqual(dates.preset, null);
  strictEqual(dates.query.end_date, "2026-06-03");
});

for (
  const [params, path] of [
    [{ granularity: "secondly" }, "granularity"],
    [{ start_date: "2026-02-30" }, "start_date"],
    [{ attribution: "x" }, "attribution"],
    [{ version: "0" }, "version"],
    [{ start_date: "2020-01-01", granularity: "daily" }, "end_date"],
    [{ compare: "custom" }, "compare"],
  ] as [Record<string, string>, string][]
) {
  Deno.test(`readView() names ${JSON.stringify(params)} as the problem`, () => {
    const { view, problem } = readView(params, { tz: "UTC" }, NOW);
    match(problem!, new RegExp(`^${path}: `));
    strictEqual(view.preset, "30d");
  });
}

dbTest(
  "GET /workflows/{id} falls back to days where hours are gone",
  async (world) => {
    await register(world);
    const get = await signIn(world);
    const answer = await get(
      `/workflows/${WORKFLOW}?start_date=2026-01-01&end_date=2026-01-02`,
    );
    strictEqual(answer.status, 400);
    match(textOf(await answer.text()), /hours are kept for 90 days/);
  },
);

dbTest(
  "POST /theme is kept, and leads back to a page of ours only",
  async ({ app }) => {
    const choose = (theme: string, back: string) =>
      app.request("/theme", {
        method: "POST",
        headers: { "sec-fetch-site": "same-origin" },
        body: new URLSearchParams({ theme, back }),
      });
    const answer = await choose("dark", "/sign-in?a=b");
    strictEqual(answer.status, 303);
    strictEqual(answer.headers.get("location"), "/sign-in?a=b");
    const cookie = answer.headers.get("set-cookie")!.split(";")[0]!;
    const page = await app.request("/sign-in", { headers: { cookie } });
    match(await page.text(), /<html lang="en" data-theme="dark">/);
    for (const back of ["//evil.test", "https://evil.test", "/\\evil.test"]) {
      const elsewhere = await choose("light", back);
      strictEqual(elsewhere.headers.get("location"), "/");
    }
    const system = await choose("system", "/");
    match(system.headers.get("set-cookie")!, /weir_theme=; Max-Age=0/);
  },
);

dbTest("POST /preferences is kept, and pages go by it", async (world) => {
  await register(world);
  const get = await signIn(world, { userId: "ada" });
  const page = async (path: string) => await (await get(path)).text();
  const choose = (fields: Record<string, string>, site = "same-origin") =>
    get("/preferences", {
      method: "POST",
      headers: { "sec-fetch-site": site },
      body: new URLSearchParams(fields),
    });
  const all = { time_zone: "Asia/Kolkata", theme: "dark", default_range: "7d" };
  const answer = await choose(all);
  strictEqual(answer.status, 303);
  strictEqual(answer.headers.get("location"), "/preferences?saved");
  match(await page("/preferences?saved"), /role="status">Saved/);
  const shown = await page(`/workflows/${WORKFLOW}`);
  match(shown, /<html lang="en" data-theme="dark">/);
  match(textOf(shown), /Jun 9 – 15, 2026 Asia\/Kolkata/u);

  // One field alone, from the header or the controls, leaves the others.
  const themed = await choose({ theme: "light", back: "/workflows/x?a=b" });
  strictEqual(themed.headers.get("location"), "/workflows/x?a=b");
  await choose({ time_zone: "" });
  const after = await page(`/workflows/${WORKFLOW}`);
  match(after, /<html lang="en" data-theme="light">/);
  match(textOf(after), /Jun 9 – 15, 2026 UTC/u);

  strictEqual((await choose({ theme: "pink" })).status, 400);
  strictEqual((await choose(all, "cross-site")).status, 403);
  const bob = await signIn(world, { userId: "bob" });
  doesNotMatch(await (await bob("/preferences")).text(), /data-theme/);
});
