import {
  deepStrictEqual,
  doesNotMatch,
  ok,
  strictEqual,
} from "node:assert/strict";
import { createAccount, createKey, ROLE_SCOPES } from "../../db/access.ts";
import { DEFAULTS } from "../../db/preferences.ts";
import { type Scope, SCOPES } from "../../db/schema.ts";
import { GRANT_MS_MAX, mayRead, ownerOf } from "../../routes/_auth.ts";
import { SAME_ORIGIN } from "../app.ts";
import { badTokens, signToken } from "../tokens.ts";
import { dbTest, type World } from "../harness.ts";
import {
  type Answer,
  appWith,
  assertProblem,
  DEFINITION,
  enrolled,
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
}

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
      json: {
        format: "csv",
        start_date: "2026-06-01",
        end_date: "2026-06-15",
      },
      good: 202,
    },
    "GET /api/v1/workflows/:id/exports/:job_id": ofJob(),
    "DELETE /api/v1/workflows/:id/exports/:job_id": ofJob(),
    "POST /api/v1/workflows/:id/exports/:job_id/retry": ofJob("/retry"),
    "GET /api/v1/workflows/:id/exports/:job_id/events": ofJob("/events"),
    "GET /api/v1/workflows/:id/exports/:job_id/download": ofJob("/download"),
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
    json: DEFINITION,
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
  // Of the account alone, and for its admins.
  "GET /api/v1/access-log": {
    scope: "admin",
    path: "/api/v1/access-log",
    good: 200,
    adminsOnly: true,
    otherAccount: (answer) => deepStrictEqual(answer.json.entries, []),
    notOwner: (answer) => assertProblem(answer, 403, "forbidden"),
  },
  ...exportRoutes(),
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
  "GET /workflows/:id": `/workflows/${WORKFLOW}`,
  "GET /workflows/:id/executions": `/workflows/${WORKFLOW}/executions`,
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
];

dbTest("createApp() has no route without a policy here", (world) => {
  const routes = appWith(world).routes
    // Middleware answers to every method, and only stands before routes.
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path}`);
  deepStrictEqual(
    [...new Set(routes)].sort(),
    [...Object.keys(API), ...Object.keys(PAGES), ...ADAPTERS, ...PUBLIC].sort(),
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

for (const [name, { path, json, ...route }] of Object.entries(API)) {
  const method = name.split(" ")[0]!;
  const ask = (world: World, key: string | null, headers = {}) =>
    send(world, method, path, { key, json, headers });

  dbTest(`${name} lets nobody in without a good key`, async (world) => {
    await put(world);
    const bare = await ask(world, null);
    assertProblem(bare, 401, "unauthenticated");
    strictEqual(bare.headers.get("www-authenticate"), "Bearer");

    const { key } = world;
    const secret = key.split("_").slice(2).join("_");
    const authorizations = {
      "no scheme": key,
      "no key": "Bearer",
      "another scheme": `Basic ${btoa(`${key}:`)}`,
      "no key of ours": "Bearer eyJhbGciOiJub25lIn0.e30.",
      "two keys": `Bearer ${key} ${key}`,
      "half a key": `Bearer ${key.slice(0, -1)}`,
      "more than a key": `Bearer ${key}A`,
      "a wrong secret": `Bearer ${key.slice(0, -43)}${"A".repeat(43)}`,
      "another id": `Bearer weir_${"0".repeat(16)}_${secret}`,
      "SQL": `Bearer weir_' or ''='_${secret}`,
    };
    for (const [what, authorization] of Object.entries(authorizations)) {
      const answer = await ask(world, null, { authorization });
      assertProblem(answer, 401, "unauthenticated", what);
    }

    const said = { account: world.account.account_uuid, role: "admin" };
    for (const [what, token] of Object.entries(await badTokens(said))) {
      assertProblem(await ask(world, token), 401, "unauthenticated", what);
    }
    const token = await signToken(said);
    strictEqual((await ask(world, token)).status, route.good);

    const revoked = await keyWith(world, { scopes: [...SCOPES] });
    strictEqual((await ask(world, revoked)).status, route.good);
    const id = revoked.split("_")[1]!;
    await world.sql`
      update weir.api_key set revoked_at = now() where key_id = ${id}`;
    pass(world, GRANT_MS_MAX);
    assertProblem(await ask(world, revoked), 401, "unauthenticated");
    pass(world, 400_000);
    const late = await ask(world, token);
    assertProblem(late, 401, "unauthenticated", "a token that has ended");
    assertProblem(await ask(world, revoked), 401, "unauthenticated");
  });

  dbTest(`${name} needs the scope ${route.scope}`, async (world) => {
    await put(world);
    const others = SCOPES.filter((scope) =>
      scope !== route.scope && scope !== "admin"
    );
    const without = await keyWith(world, { scopes: others });
    assertProblem(await ask(world, without), 403, "insufficient_scope");
    for (const scope of [route.scope, "admin"] as const) {
      const key = await keyWith(world, { scopes: [scope] });
      const answer = await ask(world, key);
      strictEqual(answer.status, route.good, answer.text);
    }
  });

  dbTest(`${name} keeps accounts and owners apart`, async (world) => {
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const { account_id, account_uuid } = await createAccount(
      world.sql,
      "Other",
      "UTC",
    );
    const other = await createKey(world.sql, account_id, {
      scopes: [...SCOPES],
    });
    const member = { scopes: [...SCOPES], role: "member" as const };
    const notOwners = [
      await keyWith(world, { ...member, userId: "bob" }),
      await keyWith(world, { ...member, userId: "" }),
      await keyWith(world, member),
    ];
    const theirs = { account: account_uuid, role: "admin" };
    const mine = { account: world.account.account_uuid };
    route.otherAccount(await ask(world, other));
    route.otherAccount(await ask(world, await signToken(theirs)));
    if (ROLE_SCOPES.member.includes(route.scope)) {
      const token = await signToken({ ...mine, sub: "bob" });
      route.notOwner(await ask(world, token));
      const own = await ask(world, await signToken({ ...mine, sub: "ada" }));
      strictEqual(own.status, route.good, own.text);
    }
    for (const key of notOwners) route.notOwner(await ask(world, key));
    if (route.adminsOnly) return;
    const owner = await keyWith(world, { ...member, userId: "ada" });
    const answer = await ask(world, owner);
    strictEqual(answer.status, route.good, answer.text);
  });

  dbTest(`${name} takes a session of our own pages`, async (world) => {
    const session = async (grant = {}, accountId?: number) => ({
      ...await signIn(world, grant, accountId),
      ...SAME_ORIGIN,
    });
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const admin = await session();
    const answer = await ask(world, null, admin);
    strictEqual(answer.status, route.good, answer.text);
    for (const foreign of OTHER_SITES) {
      const { cookie } = admin;
      const answer = await ask(world, null, { cookie, ...foreign });
      if (method === "GET") strictEqual(answer.status, route.good);
      else assertProblem(answer, 403, "cross_site_request");
    }

    const owner = await session({ role: "member", userId: "ada" });
    const member = await session({ role: "member", userId: "bob" });
    const { account_id } = await createAccount(world.sql, "Other", "UTC");
    const other = await session({}, account_id);
    route.otherAccount(await ask(world, null, other));
    if (ROLE_SCOPES.member.includes(route.scope)) {
      strictEqual((await ask(world, null, owner)).status, route.good);
      route.notOwner(await ask(world, null, member));
    } else {
      assertProblem(await ask(world, null, owner), 403, "insufficient_scope");
    }

    // A key that is wrong is not made good by a session beside it.
    const both = await ask(world, "weir_wrong", owner);
    assertProblem(both, 401, "unauthenticated");
    await world.sql`update weir.session set expires_at = now()`;
    pass(world, GRANT_MS_MAX);
    assertProblem(await ask(world, null, owner), 401, "unauthenticated");
    const forged = await ask(world, null, { cookie: "weir_session=%00" });
    assertProblem(forged, 401, "unauthenticated");
  });
}

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
      ok(policy.includes("default-src 'self'"), path);
      ok(policy.includes("frame-ancestors 'none'"), path);
      strictEqual(headers.get("referrer-policy"), "same-origin");
      doesNotMatch(policy, /unsafe/);
    }
  },
);

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
