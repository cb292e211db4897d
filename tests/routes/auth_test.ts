import {
  deepStrictEqual,
  doesNotMatch,
  match,
  ok,
  strictEqual,
} from "node:assert/strict";
import { createAccount, createKey, ROLE_SCOPES } from "../../db/access.ts";
import { fold } from "../../db/events.ts";
import { DEFAULTS } from "../../db/preferences.ts";
import { type Scope, SCOPES } from "../../db/schema.ts";
import { postgresStore } from "../../db/store.ts";
import { GRANT_MS_MAX, mayRead, ownerOf } from "../../routes/_auth.ts";
import { createExportJob } from "../../workers/export.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, type World } from "../harness.ts";
import { throughPgBouncer } from "../pgbouncer.ts";
import { badTokens, signToken } from "../tokens.ts";
import {
  type Answer,
  appWith,
  assertProblem,
  DEFINITION,
  enrolled,
  post,
  put,
  RANGE,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

/** What an API route does with those who may not see what it is about. */
interface ApiRoute {
  scope: Scope;
  path: string;
  json?: unknown;
  /** Status for whoever may. */
  good: number;
  /** A key of another account. */
  otherAccount: (answer: Answer) => void;
  /** Whether it is about no workflow that a member could own. */
  adminsOnly?: boolean;
  /** A member who does not own the workflow. */
  notOwner: (answer: Answer) => void;
  /** Takes back what a request has done that would be in the way of the next. */
  undo?: (world: World) => Promise<unknown>;
}

/** The workflow of this test, and whose it is. */
const OWNED = { ...DEFINITION, owner_id: "ada" };

const DATES = { start_date: "2026-06-01", end_date: "2026-06-15" };

const WORKFLOW_PATH = `/api/v1/workflows/${WORKFLOW}`;

function read(path: string): ApiRoute {
  return {
    scope: "analytics:read",
    path,
    good: 200,
    otherAccount: (answer) => assertProblem(answer, 404, "workflow_not_found"),
    notOwner: (answer) => assertProblem(answer, 403, "forbidden"),
  };
}

/** Whoever may take numbers out may share them. */
function shareRoutes(): Record<string, ApiRoute> {
  const path = `${WORKFLOW_PATH}/shares`;
  const scope = "exports:write";
  return {
    "GET /api/v1/workflows/:id/shares": read(path),
    "POST /api/v1/workflows/:id/shares": {
      ...read(path),
      scope,
      json: { range: { days: 30 } },
      good: 201,
    },
    // Whoever may see the workflow is told that it has no such link.
    "DELETE /api/v1/workflows/:id/shares/:share_id": {
      ...read(`${path}/${WORKFLOW}`),
      scope,
      good: 404,
    },
  };
}

/** Whoever may see the workflow is told that it has no such job. */
function exportRoutes(): Record<string, ApiRoute> {
  const path = `${WORKFLOW_PATH}/exports`;
  const scope = "exports:write";
  const ofJob = (rest = "", good = 404) => ({
    ...read(`${path}/${WORKFLOW}${rest}`),
    scope,
    good,
  } as const);
  return {
    "GET /api/v1/workflows/:id/analytics/export": {
      ...read(`${WORKFLOW_PATH}/analytics/export?format=csv&${RANGE}`),
      scope,
    },
    "GET /api/v1/workflows/:id/exports": { ...read(path), scope },
    "POST /api/v1/workflows/:id/exports": {
      ...read(path),
      scope,
      json: { format: "csv", ...DATES },
      good: 202,
      // An account may have five of them waiting.
      undo: ({ sql }) => sql`delete from weir.export_job`,
    },
    "GET /api/v1/workflows/:id/exports/:job_id": ofJob(),
    "DELETE /api/v1/workflows/:id/exports/:job_id": ofJob(),
    "POST /api/v1/workflows/:id/exports/:job_id/retry": ofJob("/retry"),
    "GET /api/v1/workflows/:id/exports/:job_id/events": ofJob("/events"),
    "GET /api/v1/workflows/:id/exports/:job_id/download": ofJob("/download"),
  };
}

/** The same of reports by schedule. */
function reportRoutes(): Record<string, ApiRoute> {
  const path = `${WORKFLOW_PATH}/reports`;
  const scope = "exports:write";
  const ofReport = (rest = "") => ({
    ...read(`${path}/${WORKFLOW}${rest}`),
    scope,
    good: 404,
  } as const);
  return {
    "GET /api/v1/workflows/:id/reports": { ...read(path), scope },
    "POST /api/v1/workflows/:id/reports": {
      ...read(path),
      scope,
      json: { every: "week", format: "csv", url: "https://hooks.test/" },
      good: 201,
    },
    "DELETE /api/v1/workflows/:id/reports/:report_id": ofReport(),
    "POST /api/v1/workflows/:id/reports/:report_id/send": ofReport("/send"),
    "POST /api/v1/workflows/:id/reports/:report_id/enable": ofReport("/enable"),
  };
}

function ownPreferences(): ApiRoute {
  const isDefault = (answer: Answer) => strictEqual(answer.status, 200);
  return {
    scope: "analytics:read",
    path: "/api/v1/me/preferences",
    good: 200,
    otherAccount: isDefault,
    notOwner: isDefault,
  };
}

function seesNoWorkflow(answer: Answer): void {
  strictEqual(answer.status, 200);
  deepStrictEqual(answer.json.workflows, []);
}

/** Every route with its policy: one that is not here fails the suite. */
const API: Record<string, ApiRoute> = {
  "POST /api/v1/events": {
    scope: "events:write",
    path: "/api/v1/events",
    json: enrolled(),
    good: 202,
    otherAccount(answer) {
      assertProblem(answer, 422, "all_events_rejected");
      strictEqual(answer.json.errors[0].code, "workflow_not_found");
    },
    // Reporting shows nothing; who may is what the scope is for.
    notOwner: (answer) => strictEqual(answer.status, 202),
  },
  "GET /api/v1/workflows": {
    ...read("/api/v1/workflows"),
    otherAccount: seesNoWorkflow,
    notOwner: seesNoWorkflow,
  },
  "GET /api/v1/workflows/:id": read(WORKFLOW_PATH),
  "PUT /api/v1/workflows/:id": {
    ...read(WORKFLOW_PATH),
    scope: "workflows:write",
    json: OWNED,
  },
  "GET /api/v1/workflows/:id/analytics": read(
    `${WORKFLOW_PATH}/analytics?${RANGE}`,
  ),
  "GET /api/v1/workflows/:id/analytics/funnel": read(
    `${WORKFLOW_PATH}/analytics/funnel?${RANGE}`,
  ),
  "GET /api/v1/workflows/:id/analytics/actions": read(
    `${WORKFLOW_PATH}/analytics/actions?${RANGE}`,
  ),
  "GET /api/v1/workflows/:id/analytics/stream": {
    // Whoever may is told what cannot be answered: what can would not end.
    ...read(
      `${WORKFLOW_PATH}/analytics/stream?start_date=2020-01-01&end_date=2020-01-01&unit=contact`,
    ),
    good: 400,
  },
  "GET /api/v1/workflows/:id/quality": read(`${WORKFLOW_PATH}/quality`),
  "POST /api/v1/workflows/:id/analytics/refresh": {
    ...read(`${WORKFLOW_PATH}/analytics/refresh`),
    good: 202,
  },
  // Whoever may see the workflow is told that it has no such job.
  "GET /api/v1/workflows/:id/analytics/refresh/:job_id": {
    ...read(`${WORKFLOW_PATH}/analytics/refresh/${WORKFLOW}`),
    good: 404,
  },
  "GET /api/v1/workflows/:id/executions": read(
    `${WORKFLOW_PATH}/executions?${RANGE}`,
  ),
  // Whoever may see the workflow is told that it has no such execution.
  "GET /api/v1/workflows/:id/executions/:execution_id": {
    ...read(`${WORKFLOW_PATH}/executions/${WORKFLOW}`),
    good: 404,
  },
  // Of the account alone, and for its admins; the other account has no bob.
  "GET /api/v1/access-log": {
    scope: "admin",
    path: "/api/v1/access-log?user_id=bob",
    good: 200,
    adminsOnly: true,
    otherAccount: (answer) => deepStrictEqual(answer.json.entries, []),
    notOwner: (answer) => assertProblem(answer, 403, "forbidden"),
  },
  ...exportRoutes(),
  ...shareRoutes(),
  ...reportRoutes(),
  // Everybody has their own, and nobody another's: preferences_test.ts.
  "GET /api/v1/me/preferences": ownPreferences(),
  "PUT /api/v1/me/preferences": { ...ownPreferences(), json: DEFAULTS },
  // The same answer wherever nobody knows the contact; admins alone may ask.
  "DELETE /api/v1/contacts/:contact_id": {
    scope: "admin",
    path: "/api/v1/contacts/ada",
    good: 200,
    adminsOnly: true,
    otherAccount: (answer) =>
      deepStrictEqual(answer.json, { executions: 0, events: 0 }),
    notOwner: (answer) => assertProblem(answer, 403, "forbidden"),
  },
};

/** A page that says that there is none. */
const MISSING_EXECUTION = `/workflows/${WORKFLOW}/executions/${WORKFLOW}`;

/** For those who are signed in; the others are led to the sign-in page. */
const PAGES: Record<string, string> = {
  "GET /": "/",
  "GET /preferences": "/preferences",
  "POST /preferences": "/preferences",
  "GET /workflows/:id": `/workflows/${WORKFLOW}`,
  "GET /workflows/:id/executions": `/workflows/${WORKFLOW}/executions`,
  "GET /workflows/:id/shares": `/workflows/${WORKFLOW}/shares`,
  "GET /workflows/:id/exports": `/workflows/${WORKFLOW}/exports`,
  "GET /workflows/:id/executions/:execution_id": MISSING_EXECUTION,
};

/**
 * Their keys stand where other clients put them, or what they send is signed:
 * producers_test.ts and github_test.ts tell who may.
 */
const ADAPTERS = [
  "POST /v1/batch",
  "POST /batch/",
  "POST /v1/traces",
  "POST /webhooks/github/:id",
];

/** Forms of pages that are an API's first step: exports_page_test.ts and share_test.ts tell who may. */
const FORMS = ["POST /workflows/:id/exports", "POST /workflows/:id/shares"];

/** Why each of these asks for nothing is said in its file. */
const PUBLIC = [
  "GET /openapi.json",
  "GET /docs",
  "GET /client.ts",
  "GET /healthz",
  "GET /readyz",
  "GET /metrics",
  "GET /assets/:name{[\\w-]+\\.(js|css|svg)}",
  "GET /sign-in",
  "POST /sign-in",
  "POST /sign-out",
  "POST /theme",
  // The token is the credential: share_test.ts.
  ...["share", "embed"].flatMap((kind) =>
    ["GET", "POST"].map((method) => `${method} /${kind}/:token`)
  ),
];

dbTest("createApp() has no route without a policy here", (world) => {
  const routes = appWith(world).routes
    // Middleware answers to every method, and only stands before routes.
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path}`);
  deepStrictEqual(
    [...new Set(routes)].sort(),
    [
      ...Object.keys(API),
      ...Object.keys(PAGES),
      ...ADAPTERS,
      ...FORMS,
      ...PUBLIC,
    ].sort(),
  );
  return Promise.resolve();
});

/** What browsers say of a request that is none of our pages'. */
const OTHER_SITES: Record<string, string>[] = [
  {},
  { origin: "https://evil.test" },
  { origin: "null" },
  { "sec-fetch-site": "cross-site", ...SAME_ORIGIN },
  { "sec-fetch-site": "same-site", ...SAME_ORIGIN },
];

/** Lets time pass. */
function pass({ clock }: World, ms: number): void {
  clock.now = new Date(clock.now.getTime() + ms);
}

/** A key of the test's account. */
function keyWith(
  { sql, account }: World,
  grant: Parameters<typeof createKey>[2],
): Promise<string> {
  return createKey(sql, account.account_id, grant);
}

/** What a caller shows, as headers. */
type Shown = Record<string, string>;

/** Everybody who asks for every route, made once. */
interface Callers {
  /** Who opens nothing, by what is wrong. */
  nobody: Record<string, Shown>;
  /** By the scope that it lacks; it has all others but `admin`. */
  without: Record<Scope, Shown>;
  /** By the only scope that it has. */
  only: Record<Scope, Shown>;
  /** Of another account, with every right there. */
  others: Record<string, Shown>;
  /** Members who do not own the workflow. */
  members: Record<string, Shown>;
  /** The member who owns it. */
  owners: Record<string, Shown>;
  admin: { session: Shown; token: Shown };
  /** A key that is going to be revoked. */
  revoked: Shown;
}

function bearer(secret: string): Shown {
  return { authorization: `Bearer ${secret}` };
}

/** A key whose every part is nearly right, and tokens that say the right thing wrongly. */
async function makeNobody({ key, account }: World): Promise<Callers["nobody"]> {
  const secret = key.split("_").slice(2).join("_");
  const said = { account: account.account_uuid, role: "admin" };
  const tokens = Object.entries(await badTokens(said))
    .map(([what, token]) => [what, bearer(token)]);
  return {
    "no credential": {},
    "no scheme": { authorization: key },
    "no key": { authorization: "Bearer" },
    "another scheme": { authorization: `Basic ${btoa(`${key}:`)}` },
    "no key of ours": bearer("eyJhbGciOiJub25lIn0.e30."),
    "two keys": bearer(`${key} ${key}`),
    "half a key": bearer(key.slice(0, -1)),
    "more than a key": bearer(`${key}A`),
    "a wrong secret": bearer(`${key.slice(0, -43)}${"A".repeat(43)}`),
    "another id": bearer(`weir_${"0".repeat(16)}_${secret}`),
    "SQL": bearer(`weir_' or ''='_${secret}`),
    "a forged session": { cookie: "weir_session=%00" },
    ...Object.fromEntries(tokens),
  };
}

async function makeCallers(world: World): Promise<Callers> {
  const { sql, account } = world;
  const key = async (grant: Parameters<typeof keyWith>[1]) =>
    bearer(await keyWith(world, grant));
  const token = async (said: Parameters<typeof signToken>[0]) =>
    bearer(await signToken(said));
  const session = async (
    ...grant: Parameters<typeof signIn> extends [World, ...infer Rest] ? Rest
      : never
  ) => ({
    ...await signIn(world, ...grant),
    ...SAME_ORIGIN,
  });
  const byScope = async (scopesOf: (scope: Scope) => Scope[]) =>
    Object.fromEntries(
      await Promise.all(SCOPES.map(async (scope) => [
        scope,
        await key({ scopes: scopesOf(scope) }),
      ])),
    ) as Record<Scope, Shown>;
  const { account_id, account_uuid } = await createAccount(sql, "Other", "UTC");
  const member = { scopes: [...SCOPES], role: "member" as const };
  const mine = { account: account.account_uuid };
  return {
    nobody: await makeNobody(world),
    without: await byScope((lacks) =>
      SCOPES.filter((scope) => scope !== lacks && scope !== "admin")
    ),
    only: await byScope((scope) => [scope]),
    others: {
      key: bearer(await createKey(sql, account_id, { scopes: [...SCOPES] })),
      token: await token({ account: account_uuid, role: "admin" }),
      session: await session({}, account_id),
    },
    members: {
      key: await key({ ...member, userId: "bob" }),
      "a key of nobody": await key({ ...member, userId: "" }),
      "a key without a user": await key(member),
      token: await token({ ...mine, sub: "bob" }),
      session: await session({ role: "member", userId: "bob" }),
    },
    owners: {
      key: await key({ ...member, userId: "ada" }),
      token: await token({ ...mine, sub: "ada" }),
      session: await session({ role: "member", userId: "ada" }),
    },
    admin: {
      session: await session(),
      token: await token({ ...mine, role: "admin" }),
    },
    revoked: await key({ scopes: [...SCOPES] }),
  };
}

/** Whether what a person signs in with has a scope; a key says so for itself. */
function reaches(how: string, scope: Scope): boolean {
  return how.includes("key") || ROLE_SCOPES.member.includes(scope);
}

/**
 * Every route and everybody: on one database, as what one asks changes nothing that
 * another is told.
 */
async function walk(world: World, t: Deno.TestContext): Promise<void> {
  await put(world, OWNED);
  const callers = await makeCallers(world);
  const routes = Object.entries(API).map(([name, route]) => {
    const method = name.split(" ")[0]!;
    return {
      name,
      method,
      ...route,
      async ask(headers: Shown): Promise<Answer> {
        const { path, json } = route;
        const answer = await send(world, method, path, {
          key: null,
          json,
          headers,
        });
        if (answer.status < 300) await route.undo?.(world);
        return answer;
      },
    };
  });

  for (const { name, method, scope, good, ask, ...route } of routes) {
    const isGood = async (shown: Shown, who: string) =>
      strictEqual((await ask(shown)).status, good, `${name} ${who}`);

    await t.step(`${name} lets nobody in without a good key`, async () => {
      for (const [what, shown] of Object.entries(callers.nobody)) {
        const answer = await ask(shown);
        assertProblem(answer, 401, "unauthenticated", what);
        strictEqual(answer.headers.get("www-authenticate"), "Bearer");
      }
      // A key that is wrong is not made good by a session beside it.
      const both = { ...callers.admin.session, ...bearer("weir_wrong") };
      assertProblem(await ask(both), 401, "unauthenticated");
      for (const shown of [callers.admin.token, callers.revoked]) {
        await isGood(shown, "as yet");
      }
    });

    await t.step(`${name} needs the scope ${scope}`, async () => {
      const lacking = await ask(callers.without[scope]);
      assertProblem(lacking, 403, "insufficient_scope");
      await isGood(callers.only[scope], "the scope alone");
      await isGood(callers.only.admin, "admin alone");
    });

    await t.step(`${name} keeps accounts and owners apart`, async () => {
      for (const shown of Object.values(callers.others)) {
        route.otherAccount(await ask(shown));
      }
      for (const [how, shown] of Object.entries(callers.members)) {
        const answer = await ask(shown);
        if (reaches(how, scope)) route.notOwner(answer);
        else assertProblem(answer, 403, "insufficient_scope");
      }
      for (const [how, shown] of Object.entries(callers.owners)) {
        if (!reaches(how, scope)) {
          assertProblem(await ask(shown), 403, "insufficient_scope");
        } else if (!route.adminsOnly) await isGood(shown, `the owner's ${how}`);
      }
    });

    await t.step(`${name} takes a session of our own pages`, async () => {
      await isGood(callers.admin.session, "a session");
      const { cookie } = callers.admin.session;
      for (const foreign of OTHER_SITES) {
        const answer = await ask({ cookie: cookie!, ...foreign });
        if (method === "GET") strictEqual(answer.status, good);
        else assertProblem(answer, 403, "cross_site_request");
      }
    });
  }

  await t.step("no route takes what was revoked or has ended", async () => {
    await world.sql`update weir.api_key set revoked_at = now()`;
    await world.sql`update weir.session set expires_at = now()`;
    pass(world, GRANT_MS_MAX);
    const { revoked, admin } = callers;
    for (const { name, ask } of routes) {
      for (const shown of [revoked, admin.session]) {
        assertProblem(await ask(shown), 401, "unauthenticated", name);
      }
    }
    pass(world, 400_000);
    for (const { name, ask } of routes) {
      assertProblem(await ask(admin.token), 401, "unauthenticated", name);
    }
  });
}

dbTest("every route lets in whom it should", walk);

dbTest(
  "every route lets in whom it should, through PgBouncer",
  async (...of) => {
    await throughPgBouncer(of[0]);
    await walk(...of);
  },
);

/** Somebody who wants what is not theirs, and has a workflow to try it with. */
interface Thief {
  key: string;
  /** Their own. */
  workflow: string;
  /** What they are told of a workflow that is not. */
  refusal: [status: number, code: string];
}

/** Nothing of ada's workflow may be in what a thief is told. */
const LOOT = /Secret plan|loot-/;

/** Registers a workflow with three executions. */
async function fill(
  world: World,
  id: string,
  definition: Record<string, unknown>,
  contact: string,
  key = world.key,
): Promise<string[]> {
  strictEqual((await put(world, definition, id, { key })).status, 200);
  const events = [1, 2, 3].map((n) =>
    enrolled({ workflow_id: id, contact_id: `${contact}-${n}` })
  );
  strictEqual((await post(world, events, { key })).status, 202);
  while (await fold(world.sql) > 0);
  return events.map(({ execution_id }) => execution_id as string);
}

async function makeThieves(world: World): Promise<Record<string, Thief>> {
  const { account_id } = await createAccount(world.sql, "Other", "UTC");
  const other = {
    key: await createKey(world.sql, account_id, { scopes: [...SCOPES] }),
    workflow: crypto.randomUUID(),
    refusal: [404, "workflow_not_found"] as Thief["refusal"],
  };
  const member = {
    key: await keyWith(world, {
      scopes: [...SCOPES],
      role: "member",
      userId: "bob",
    }),
    workflow: crypto.randomUUID(),
    refusal: [403, "forbidden"] as Thief["refusal"],
  };
  await fill(world, other.workflow, { name: "Own" }, "own", other.key);
  const owned = { name: "Own", owner_id: "bob" };
  await fill(world, member.workflow, owned, "own");
  return { other, member };
}

/** What ada has, by the names under which others might get at it. */
async function makeLoot(world: World) {
  const owned = { name: "Secret plan", owner_id: "ada" };
  const [execution] = await fill(world, WORKFLOW, owned, "loot");
  const read = async (path: string, method = "GET", json?: unknown) => {
    const answer = await send(world, method, path, { json });
    ok(answer.status < 300, answer.text);
    return answer;
  };
  const { json: job } = await read(`${WORKFLOW_PATH}/exports`, "POST", {
    format: "json",
    ...DATES,
  });
  const store = postgresStore(world.sql);
  await createExportJob({
    store,
    renderReport: () => "",
    print: () => Promise.reject(new Error("Nothing is printed")),
    now: () => world.clock.now,
  }).run({ sql: world.sql, signal: new AbortController().signal });
  const exported = `/exports/${job.job_id}`;
  const { json: done } = await read(`${WORKFLOW_PATH}${exported}`);
  const refresh = await read(`${WORKFLOW_PATH}/analytics/refresh`, "POST");
  const kept = await read(`${WORKFLOW_PATH}/analytics?${RANGE}`);
  const list = await read(`${WORKFLOW_PATH}/executions?${RANGE}&limit=1`);
  const workflows = await read(`/api/v1/workflows?limit=1`);
  return {
    execution: execution!,
    exported,
    signature: new URL(done.file.download_url).searchParams.get("signature")!,
    refresh: `/analytics/refresh/${refresh.json.job_id}`,
    etag: kept.headers.get("etag")!,
    executionsCursor: encodeURIComponent(list.json.next_cursor),
    workflowsCursor: encodeURIComponent(workflows.json.next_cursor),
  };
}

/** Every way to what is another's, by those who would go it. */
async function steal(world: World, t: Deno.TestContext): Promise<void> {
  const thieves = await makeThieves(world);
  const loot = await makeLoot(world);
  const { execution, exported, signature } = loot;
  for (const [who, { key, workflow, refusal }] of Object.entries(thieves)) {
    const own = `/api/v1/workflows/${workflow}`;
    const ask = async (method: string, path: string, headers = {}) => {
      const answer = await send(world, method, path, {
        key,
        headers,
        json: method === "POST" ? { format: "json", ...DATES } : undefined,
      });
      doesNotMatch(answer.text, LOOT, `${method} ${path}`);
      return answer;
    };
    const refuses = async (
      method: string,
      path: string,
      headers = {},
      [status, code] = refusal,
    ) => {
      const answer = await ask(method, path, headers);
      assertProblem(answer, status, code, `${who} ${method} ${path}`);
    };

    await t.step(`${who}: by id`, async () => {
      for (const rest of ["", `/executions/${execution}`, exported]) {
        await refuses("GET", WORKFLOW_PATH + rest);
      }
      await refuses("GET", WORKFLOW_PATH + loot.refresh);
      // Below a workflow of one's own there is nobody else's.
      const none = (code: string): [number, string] => [404, code];
      const ways = {
        [`GET /executions/${execution}`]: none("execution_not_found"),
        [`GET ${loot.refresh}`]: none("not_found"),
        [`GET ${exported}`]: none("export_not_found"),
        [`GET ${exported}/events`]: none("export_not_found"),
        [`DELETE ${exported}`]: none("export_not_found"),
        [`POST ${exported}/retry`]: none("export_not_found"),
      };
      for (const [way, expected] of Object.entries(ways)) {
        const [method, rest] = way.split(" ") as [string, string];
        await refuses(method, own + rest, {}, expected);
      }
    });

    await t.step(`${who}: by a filter`, async () => {
      const search = await ask("GET", "/api/v1/workflows?search=Secret");
      deepStrictEqual(search.json.workflows, []);
      for (const text of [execution, "loot"]) {
        const path = `${own}/executions?${RANGE}&text=${text}`;
        deepStrictEqual((await ask("GET", path)).json.executions, []);
      }
      await refuses("GET", `${WORKFLOW_PATH}/executions?${RANGE}`);
    });

    await t.step(`${who}: by a cursor`, async () => {
      const cursor = loot.executionsCursor;
      const path = `${own}/executions?${RANGE}&cursor=${cursor}`;
      ok((await ask("GET", path)).json.executions.length <= 3);
      const after = await ask(
        "GET",
        `/api/v1/workflows?cursor=${loot.workflowsCursor}`,
      );
      ok(after.json.workflows.length <= 1);
      await refuses(
        "GET",
        `${WORKFLOW_PATH}/executions?${RANGE}&cursor=${cursor}`,
      );
    });

    await t.step(`${who}: by a cache key`, async () => {
      const knows = { "if-none-match": loot.etag };
      await refuses("GET", `${WORKFLOW_PATH}/analytics?${RANGE}`);
      await refuses("GET", `${WORKFLOW_PATH}/analytics?${RANGE}`, knows);
      await refuses("GET", `${WORKFLOW_PATH}/analytics?${RANGE}`, {
        "if-none-match": "*",
      });
      // The same range under one's own name is another answer.
      const same = await ask("GET", `${own}/analytics?${RANGE}`, knows);
      strictEqual(same.json.workflow_id, workflow);
    });

    await t.step(`${who}: by a stream`, async () => {
      const path = `${WORKFLOW_PATH}/analytics/stream?${RANGE}`;
      await refuses("GET", path);
      await refuses("GET", path, { "last-event-id": "1-1-x" });
      await refuses("GET", `${WORKFLOW_PATH}${exported}/events`);
    });

    await t.step(`${who}: by an export`, async () => {
      await refuses(
        "GET",
        `${WORKFLOW_PATH}/analytics/export?format=json&${RANGE}`,
      );
      await refuses("POST", `${WORKFLOW_PATH}/exports`);
      await refuses("GET", `${WORKFLOW_PATH}${exported}/download`);
      const wrong = signature.replace(/^./, (c) => c === "0" ? "1" : "0");
      for (
        const link of [
          `${own}${exported}/download?signature=${signature}`,
          `${WORKFLOW_PATH}${exported}/download?signature=${wrong}`,
          `${WORKFLOW_PATH}${exported}/download?signature=`,
        ]
      ) {
        await refuses("GET", link, {}, [403, "link_expired"]);
      }
    });
  }
  // It was there all the time.
  const link = `${WORKFLOW_PATH}${exported}/download?signature=${signature}`;
  const { text } = await send(world, "GET", link, { key: null });
  match(text, /"total_enrolled": *3/);
}

dbTest("what is another's is had by no way", steal);

dbTest(
  "what is another's is had by no way, through PgBouncer",
  async (...of) => {
    await throughPgBouncer(of[0]);
    await steal(...of);
  },
);

dbTest(
  "pages lead those who are not signed in to the sign-in page",
  async (world) => {
    await put(world);
    for (const path of Object.values(PAGES)) {
      for (const cookie of ["", "weir_session=forged"]) {
        // A key is for programs: it opens no page.
        for (const key of [null, world.key]) {
          const answer = await send(world, "GET", path, {
            key,
            headers: { cookie },
          });
          strictEqual(answer.status, 303);
          strictEqual(answer.headers.get("location"), "/sign-in");
          strictEqual(answer.text, "");
        }
      }
      const headers = await signIn(world);
      const answer = await send(world, "GET", path, { key: null, headers });
      strictEqual(answer.status, path === MISSING_EXECUTION ? 404 : 200);
    }
  },
);

dbTest(
  "PUT /workflows/{id} lets a member register what nobody has",
  async (world) => {
    const key = await keyWith(world, {
      scopes: ["workflows:write"],
      role: "member",
      userId: "ada",
    });
    const mine = { ...DEFINITION, owner_id: "ada" };
    strictEqual((await put(world, mine, WORKFLOW, { key })).status, 200);
    strictEqual((await put(world, mine, WORKFLOW, { key })).status, 200);
    await put(world, { ...DEFINITION, owner_id: "bob" });
    const taken = await put(world, mine, WORKFLOW, { key });
    assertProblem(taken, 403, "forbidden");
    const { json } = await send(world, "GET", WORKFLOW_PATH);
    strictEqual(json.owner_id, "bob");
  },
);

dbTest("every address refuses the methods it does not have", async (world) => {
  const paths = new Map<string, string[]>();
  for (const [name, { path }] of Object.entries(API)) {
    const method = name.split(" ")[0]!;
    const bare = path.split("?")[0]!;
    paths.set(bare, [...paths.get(bare) ?? [], method]);
  }
  paths.set("/healthz", ["GET"]).set("/readyz", ["GET"])
    .set("/metrics", ["GET"]);
  for (const [path, methods] of paths) {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
      if (methods.includes(method)) continue;
      const answer = await send(world, method, path);
      assertProblem(answer, 405, "method_not_allowed", `${method} ${path}`);
      for (const allowed of methods) {
        ok(answer.headers.get("allow")!.split(", ").includes(allowed));
      }
    }
  }
});

dbTest("addresses that are none are 404, whoever asks", async (world) => {
  const paths = [
    "/api",
    "/api/v1",
    "/api/v2/events",
    "/api/v1/events/",
    "/api/v1/workflow",
    `${WORKFLOW_PATH}/analytics/steps`,
    "/.env",
    "/assets/..%2fmain.ts",
    "/%00",
    "/%ff",
  ];
  for (const path of paths) {
    for (const key of [null, world.key]) {
      const answer = await send(world, "GET", path, { key });
      assertProblem(answer, 404, "not_found", path);
    }
  }
});

dbTest(
  "every answer forbids framing, sniffing and foreign scripts",
  async (world) => {
    for (const path of ["/healthz", "/api/v1/workflows", "/sign-in", "/none"]) {
      const { headers } = await send(world, "GET", path);
      strictEqual(headers.get("x-content-type-options"), "nosniff", path);
      const policy = headers.get("content-security-policy")!;
      // What is data alone needs no source at all, and sends nobody anywhere.
      const isData = path.startsWith("/api/");
      const source = isData ? "default-src 'none'" : "default-src 'self'";
      ok(policy.includes(source), path);
      ok(policy.includes("frame-ancestors 'none'"), path);
      strictEqual(
        headers.get("referrer-policy"),
        isData ? null : "same-origin",
      );
      doesNotMatch(policy, /unsafe/);
      strictEqual(headers.get("strict-transport-security"), null);
    }
  },
);

dbTest(
  "HTTPS is promised where we are reached by it, for our own host",
  async (world) => {
    const app = appWith(world, { publicUrl: "https://weir.test" });
    const { headers } = await send(world, "GET", "/healthz", { app });
    const promised = headers.get("strict-transport-security");
    strictEqual(promised, "max-age=63072000");
  },
);

dbTest("no other site's scripts may read an answer", async (world) => {
  await put(world);
  const { cookie } = await signIn(world);
  const origin = "https://evil.test";
  for (const { path } of Object.values(API)) {
    const asks = {
      "access-control-request-method": "GET",
      "access-control-request-headers": "authorization",
    };
    for (const method of ["GET", "OPTIONS"]) {
      const { headers } = await send(world, method, path.split("?")[0]!, {
        key: null,
        headers: { origin, cookie, ...(method === "OPTIONS" ? asks : {}) },
      });
      const cors = [...headers.keys()].filter((name) =>
        name.startsWith("access-control-")
      );
      deepStrictEqual(cors, [], `${method} ${path}`);
    }
  }
});

Deno.test("mayRead() and ownerOf() let members at what they own", () => {
  const admin = { role: "admin", user_id: null } as const;
  const nobody = { role: "member", user_id: null } as const;
  const ada = { role: "member", user_id: "ada" } as const;
  const owners = ["ada", "bob", null];
  const seen = (viewer: Parameters<typeof mayRead>[0]) =>
    owners.filter((owner_id) => mayRead(viewer, { owner_id }));
  deepStrictEqual(seen(admin), owners);
  deepStrictEqual(seen(nobody), []);
  deepStrictEqual(seen(ada), ["ada"]);
  deepStrictEqual([admin, nobody, ada].map(ownerOf), [null, "", "ada"]);
});
