import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { fold } from "../../db/events.ts";
import { ERRORS_LISTED_MAX, MESSAGE_LENGTH_MAX } from "../../db/schema.ts";
import { dbTest, type World } from "../harness.ts";
import {
  type Answer,
  assertInvalid,
  assertProblem,
  DEFINITION,
  enrolled,
  GOAL,
  post,
  put,
  send,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}`;
const SECOND = "44444444-4444-4444-8444-444444444444";

const FIRST_STEP = { step_id: STEP, name: "Mail", type: "action", order: 1 };
const SECOND_STEP = { step_id: SECOND, name: "Wait", type: "wait", order: 2 };
const PURCHASE = { goal_id: GOAL, type: "purchase", name: "Bought" };

/** With every field, none of them its default. */
const WHOLE = {
  name: "Whole",
  status: "paused",
  steps: [
    { ...FIRST_STEP, action_type: "email", next: [SECOND] },
    { ...SECOND_STEP, next: [] },
  ],
  goals: [PURCHASE],
  conversion_window: "P1W",
  goal_ends_execution: false,
  owner_id: "ada",
};

dbTest(
  "PUT /workflows/{id} answers with the whole definition",
  async (world) => {
    const answer = await put(world, WHOLE, WORKFLOW.toUpperCase());
    strictEqual(answer.status, 200);
    const { versions, ...rest } = answer.json;
    deepStrictEqual(rest, { workflow_id: WORKFLOW, version: 1, ...WHOLE });
    const { created_at, ...version } = versions[0];
    const { steps, goals } = WHOLE;
    deepStrictEqual(version, { version: 1, steps, goals });
    ok(!Number.isNaN(Date.parse(created_at)));
    deepStrictEqual((await send(world, "GET", PATH)).json, answer.json);
  },
);

dbTest("PUT /workflows/{id} fills in what is left out", async (world) => {
  await put(world, WHOLE);
  const { versions, ...rest } = (await put(world, DEFINITION)).json;
  deepStrictEqual(rest, {
    workflow_id: WORKFLOW,
    name: DEFINITION.name,
    status: "active",
    owner_id: null,
    conversion_window: "P90D",
    goal_ends_execution: true,
    version: 2,
    steps: [],
    goals: [],
  });
  strictEqual(versions.length, 2);
});

dbTest(
  "PUT /workflows/{id} makes a version of changed steps or goals only",
  async (world) => {
    const steps = [FIRST_STEP, SECOND_STEP];
    const same: Record<string, unknown>[] = [
      { name: "A", steps },
      { name: "A", steps },
      { name: "B", steps: steps.toReversed(), status: "draft" },
      { name: "B", steps, conversion_window: "P30D", owner_id: "ada" },
      {
        name: "B",
        steps: steps.map(({ name, ...rest }) => ({ ...rest, name })),
      },
    ];
    for (const definition of same) {
      strictEqual((await put(world, definition)).json.version, 1);
    }
    const next: Record<string, unknown>[] = [
      { name: "B", steps: [FIRST_STEP] },
      { name: "B", steps: [{ ...FIRST_STEP, name: "Post" }] },
      {
        name: "B",
        steps: [{ ...FIRST_STEP, name: "Post" }],
        goals: [PURCHASE],
      },
      { name: "B", steps },
    ];
    for (const [i, definition] of next.entries()) {
      strictEqual((await put(world, definition)).json.version, i + 2);
    }
    const { versions } = (await send(world, "GET", PATH)).json;
    deepStrictEqual(
      versions.map((version: { version: number }) => version.version),
      [5, 4, 3, 2, 1],
    );
    deepStrictEqual(versions[4].steps, versions[0].steps);
  },
);

dbTest(
  "PUT /workflows/{id} makes each version once for clients at once",
  async (world) => {
    const answers = await Promise.all(
      Array.from(
        { length: 8 },
        (_, i) => put(world, { name: "A", steps: i % 2 ? [FIRST_STEP] : [] }),
      ),
    );
    ok(answers.every(({ status }) => status === 200));
    const { versions } = (await send(world, "GET", PATH)).json;
    const numbers = versions.map((v: { version: number }) => v.version);
    deepStrictEqual(
      numbers,
      numbers.map((_: number, i: number) => numbers.length - i),
    );
  },
);

/** What is wrong with a definition, and where it must be said. */
const INVALID: [Record<string, unknown> | unknown[] | null, ...string[]][] = [
  [{}, "name"],
  [[], ""],
  [null, ""],
  [{ name: "" }, "name"],
  [{ name: "n".repeat(201) }, "name"],
  [{ name: "\u0000" }, "name"],
  [{ name: "\ud800" }, "name"],
  [{ name: 1, status: "running" }, "name", "status"],
  [{ name: "A", colour: "red" }, ""],
  [{ name: "A", conversion_window: "90 days" }, "conversion_window"],
  [{ name: "A", conversion_window: "P" }, "conversion_window"],
  [{ name: "A", conversion_window: "PT" }, "conversion_window"],
  [{ name: "A", conversion_window: "P1DT" }, "conversion_window"],
  [{ name: "A", conversion_window: "P1M" }, "conversion_window"],
  [{ name: "A", conversion_window: "P1Y" }, "conversion_window"],
  [{ name: "A", conversion_window: "-P1D" }, "conversion_window"],
  [{ name: "A", conversion_window: "P1.5D" }, "conversion_window"],
  [{ name: "A", conversion_window: "P9999999D" }, "conversion_window"],
  [{ name: "A", conversion_window: "PT0.1234567S" }, "conversion_window"],
  [{ name: "A", goal_ends_execution: "no" }, "goal_ends_execution"],
  [{ name: "A", owner_id: "" }, "owner_id"],
  [{ name: "A", owner_id: "\u0000" }, "owner_id"],
  [{ name: "A", steps: {} }, "steps"],
  [{ name: "A", steps: new Array(501).fill(FIRST_STEP) }, "steps"],
  [{ name: "A", steps: [null] }, "steps.0"],
  [{ name: "A", steps: [{ ...FIRST_STEP, step_id: "x" }] }, "steps.0.step_id"],
  [{ name: "A", steps: [{ ...FIRST_STEP, type: "mail" }] }, "steps.0.type"],
  [{ name: "A", steps: [{ ...FIRST_STEP, order: -1 }] }, "steps.0.order"],
  [{ name: "A", steps: [{ ...FIRST_STEP, order: 1.5 }] }, "steps.0.order"],
  [{ name: "A", steps: [{ ...FIRST_STEP, colour: 1 }] }, "steps.0"],
  [
    { name: "A", steps: [{ ...FIRST_STEP, action_type: "" }] },
    "steps.0.action_type",
  ],
  [
    { name: "A", steps: [FIRST_STEP, { ...SECOND_STEP, name: 7 }] },
    "steps.1.name",
  ],
  [
    { name: "A", steps: [FIRST_STEP, { ...SECOND_STEP, step_id: STEP }] },
    "steps.1.step_id",
  ],
  [
    { name: "A", steps: [FIRST_STEP, { ...SECOND_STEP, order: 1 }] },
    "steps.1.order",
  ],
  [
    { name: "A", steps: [{ ...FIRST_STEP, next: [STEP, SECOND] }] },
    "steps.0.next.1",
  ],
  [
    { name: "A", steps: [{ ...FIRST_STEP, next: new Array(51).fill(STEP) }] },
    "steps.0.next",
  ],
  [{ name: "A", goals: [PURCHASE, PURCHASE] }, "goals.1.goal_id"],
  [{ name: "A", goals: [{ ...PURCHASE, type: "" }] }, "goals.0.type"],
  [{ name: "A", goals: [{ goal_id: GOAL }] }, "goals.0.type", "goals.0.name"],
];

dbTest("PUT /workflows/{id} says by path what is wrong", async (world) => {
  for (const [definition, ...paths] of INVALID) {
    const json = definition as Record<string, unknown>;
    assertInvalid(await put(world, json), ...paths);
  }
  assertProblem(await send(world, "GET", PATH), 404, "workflow_not_found");
});

dbTest(
  "PUT /workflows/{id} accepts what is just within its limits",
  async (world) => {
    const long = "n".repeat(200);
    const uuids = Array.from({ length: 500 }, () => crypto.randomUUID());
    const answer = await put(world, {
      name: long,
      conversion_window: "P99999W999999DT9999999H999999999M9999999999.999999S",
      owner_id: "o".repeat(128),
      steps: uuids.map((step_id, i) => ({
        ...{ step_id, name: long, type: "condition", order: i * 2_000 },
        next: uuids.slice(0, 50),
      })),
      goals: uuids.map((goal_id) => ({ goal_id, type: "t", name: long })),
    });
    strictEqual(answer.status, 200, answer.text);
    await post(world, [
      enrolled({ execution_id: STEP }),
      {
        ...enrolled({ execution_id: STEP, source: undefined }),
        type: "goal.achieved",
        goal_id: GOAL,
      },
    ]);
    strictEqual(await fold(world.sql), 2);
  },
);

dbTest(
  "PUT /workflows/{id} tells of a million errors in short",
  async (world) => {
    const zeros = new Array(1_000_000).fill(0);
    assertInvalid(await put(world, { name: "A", steps: zeros }), "steps");
    const step = { ...FIRST_STEP, next: zeros };
    assertInvalid(
      await put(world, { name: "A", steps: [step] }),
      "steps.0.next",
    );
    const strange = Object.fromEntries(zeros.slice(0, 10_000).entries());
    const unknown = await put(world, { name: "A", ...strange });
    strictEqual(unknown.json.errors[0].message.length, MESSAGE_LENGTH_MAX);
    const steps = new Array(500).fill({ a: 1 });
    const many = await put(world, { name: "A", steps });
    strictEqual(many.json.errors.length, ERRORS_LISTED_MAX);
  },
);

dbTest(
  "PUT /workflows/{id} refuses bodies like POST /events does",
  async (world) => {
    const json = { "content-type": "application/json" };
    const tooLarge = new Uint8Array(9 * 1024 * 1024).fill(0x20);
    const sendings: [BodyInit, Record<string, string>, number, string][] = [
      ["{", json, 400, "invalid_json"],
      ["", json, 400, "invalid_json"],
      [new Uint8Array([0xff]), json, 400, "invalid_json"],
      [tooLarge, json, 413, "payload_too_large"],
      [new Blob([tooLarge]).stream(), json, 413, "payload_too_large"],
      ["[".repeat(8_000_000), json, 400, "invalid_json"],
      ["{}", {}, 415, "unsupported_media_type"],
      [
        "{}",
        { "content-type": "application/x-ndjson" },
        415,
        "unsupported_media_type",
      ],
      [
        "{}",
        { ...json, "content-encoding": "br" },
        415,
        "unsupported_media_type",
      ],
    ];
    for (const [body, headers, status, code] of sendings) {
      const answer = await send(world, "PUT", PATH, { body, headers });
      assertProblem(answer, status, code);
    }
  },
);

dbTest(
  "PUT /workflows/{id} asks for a recompute when a setting changed",
  async (world) => {
    const recomputes = async () => {
      const [row] = await world.sql<[{ owed: boolean }]>`
      select recompute_since is not null as owed from weir.workflow`;
      await world.sql`update weir.workflow set recompute_since = null`;
      return row.owed;
    };
    await put(world, DEFINITION);
    strictEqual(await recomputes(), false);
    await put(world, { ...DEFINITION, goal_ends_execution: false });
    strictEqual(await recomputes(), true);
    await put(world, {
      ...DEFINITION,
      goal_ends_execution: false,
      // As long, in other words.
      conversion_window: "PT2160H",
    });
    strictEqual(await recomputes(), false);
    await put(world, { ...DEFINITION, conversion_window: "P89D" });
    strictEqual(await recomputes(), true);
  },
);

dbTest(
  "GET /workflows/{id} knows a workflow by its events alone",
  async (world) => {
    await post(world, enrolled());
    deepStrictEqual((await send(world, "GET", PATH)).json, {
      workflow_id: WORKFLOW,
      name: null,
      status: "active",
      owner_id: null,
      conversion_window: "P90D",
      goal_ends_execution: true,
      version: null,
      steps: [],
      goals: [],
      versions: [],
    });
  },
);

dbTest(
  "GET /workflows/{id} refuses what is no id and what it does not know",
  async (world) => {
    for (const method of ["GET", "PUT"]) {
      for (const id of ["x", "%00", "..%2f", `${WORKFLOW}0`, "%F0%9F%8E%89"]) {
        const path = `/api/v1/workflows/${id}`;
        const json = method === "PUT" ? DEFINITION : undefined;
        assertInvalid(await send(world, method, path, { json }), "id");
      }
    }
    assertProblem(await send(world, "GET", PATH), 404, "workflow_not_found");
  },
);

function names(answer: Answer): string[] {
  return answer.json.workflows.map((w: { name: string }) => w.name);
}

async function registerAll(world: World, list: string[]): Promise<void> {
  for (const name of list) await put(world, { name }, crypto.randomUUID());
}

dbTest("GET /workflows lists nothing for nobody's account", async (world) => {
  const answer = await send(world, "GET", "/api/v1/workflows");
  deepStrictEqual(answer.json, {
    as_of: "2026-06-15T12:00:00.000Z",
    workflows: [],
    next_cursor: null,
  });
});

dbTest(
  "GET /workflows gives the numbers of the last 30 days",
  async (world) => {
    await put(world, { name: "Welcome", status: "paused" });
    const execution_id = STEP;
    await post(world, [
      enrolled({ execution_id }),
      enrolled(),
      enrolled({ occurred_at: "2026-05-17T00:00:00Z" }),
      enrolled({ occurred_at: "2026-05-16T23:59:59.999999Z" }),
      {
        ...enrolled({ execution_id, source: undefined }),
        type: "goal.achieved",
        goal_id: GOAL,
      },
    ]);
    await fold(world.sql);
    const { workflows } = (await send(world, "GET", "/api/v1/workflows")).json;
    deepStrictEqual(workflows, [{
      workflow_id: WORKFLOW,
      name: "Welcome",
      status: "paused",
      total_enrolled: 3,
      currently_active: 3,
      completed: 1,
      completion_rate: 33.33,
      goals_achieved: 1,
      conversion_rate: 33.33,
      daily_enrollments: [1, ...Array(28).fill(0), 2],
    }]);
  },
);

dbTest("GET /workflows pages through every workflow once", async (world) => {
  // Equal names, names with no letter, names that sort by other rules elsewhere.
  const list = ["b", "B", "a", "%", "é", "a b", "a", "Z", "🎉", '"'];
  await registerAll(world, list);
  await post(world, enrolled());
  for (const limit of [1, 3, 200]) {
    const seen: unknown[] = [];
    let path = `/api/v1/workflows?limit=${limit}`;
    for (;;) {
      const { workflows, next_cursor } = (await send(world, "GET", path)).json;
      ok(workflows.length <= limit);
      seen.push(
        ...workflows.map((w: { workflow_id: string }) => w.workflow_id),
      );
      if (next_cursor === null) break;
      path = `/api/v1/workflows?limit=${limit}&cursor=${next_cursor}`;
    }
    strictEqual(seen.length, list.length + 1);
    strictEqual(new Set(seen).size, seen.length);
  }
});

dbTest(
  "GET /workflows finds by part of the name and by status",
  async (world) => {
    await registerAll(world, ["Welcome", "Win back", "100 % back_up"]);
    await put(world, { name: "Old", status: "archived" }, WORKFLOW);
    const search = async (query: string) =>
      names(await send(world, "GET", `/api/v1/workflows?${query}`));
    deepStrictEqual(await search("search=BACK"), ["100 % back_up", "Win back"]);
    // Not patterns:
    deepStrictEqual(await search("search=%25"), ["100 % back_up"]);
    deepStrictEqual(await search("search=_"), ["100 % back_up"]);
    deepStrictEqual(await search("search=%5C"), []);
    deepStrictEqual(await search("search='"), []);
    deepStrictEqual(await search("status=archived"), ["Old"]);
    deepStrictEqual(await search("status=active&search=old"), []);
  },
);

/** Bytes in base64url. */
function base64url(text: string): string {
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url" })
    .replaceAll("=", "");
}

const INVALID_QUERIES: [string, string][] = [
  ["limit=0", "limit"],
  ["limit=201", "limit"],
  ["limit=1.5", "limit"],
  ["limit=x", "limit"],
  ["limit=", "limit"],
  ["limit=1&limit=2", "limit"],
  ["status=running", "status"],
  ["status=", "status"],
  [`search=${"s".repeat(201)}`, "search"],
  ["search=%00", "search"],
  ["colour=red", ""],
  ["cursor=", "cursor"],
  ["cursor=x", "cursor"],
  ["cursor=%00", "cursor"],
  [`cursor=${"A".repeat(513)}`, "cursor"],
  [`cursor=${base64url("null")}`, "cursor"],
  [`cursor=${base64url("{}")}`, "cursor"],
  [`cursor=${base64url(`{"name":1,"id":1}`)}`, "cursor"],
  [`cursor=${base64url(`{"name":"a","id":1.5}`)}`, "cursor"],
  [`cursor=${base64url(`{"name":"a","id":3000000000}`)}`, "cursor"],
  [`cursor=${base64url(`{"name":"\\u0000","id":1}`)}`, "cursor"],
];

dbTest("GET /workflows says by path what is wrong", async (world) => {
  for (const [query, path] of INVALID_QUERIES) {
    const answer = await send(world, "GET", `/api/v1/workflows?${query}`);
    assertInvalid(answer, path);
  }
});

dbTest("GET /workflows never shows another account's", async (world) => {
  const { account_id } = await createAccount(world.sql, "Other", "UTC");
  const key = await createKey(world.sql, account_id, { scopes: ["admin"] });
  await put(world, DEFINITION);
  const stolen = await put(world, { name: "Mine now" }, WORKFLOW, { key });
  assertProblem(stolen, 404, "workflow_not_found");
  await put(world, { name: "Theirs" }, SECOND, { key });
  const path = "/api/v1/workflows";
  deepStrictEqual(names(await send(world, "GET", path)), ["Welcome"]);
  deepStrictEqual(names(await send(world, "GET", path, { key })), ["Theirs"]);
});

dbTest(
  "PUT /workflows/{id} gives a member's workflow to them",
  async (world) => {
    const { sql, account } = world;
    const scopes = ["workflows:write" as const, "analytics:read" as const];
    const grant = { scopes, userId: "ada", role: "member" as const };
    const key = await createKey(sql, account.account_id, grant);
    for (const definition of [DEFINITION, { ...DEFINITION, name: "Changed" }]) {
      const answer = await send(world, "PUT", PATH, { key, json: definition });
      deepStrictEqual([answer.status, answer.json.owner_id], [200, "ada"]);
      strictEqual((await send(world, "GET", PATH, { key })).status, 200);
    }
    // They may hand it on, and an admin may give it to anybody or nobody.
    const handed = { ...DEFINITION, owner_id: "bob" };
    const answer = await send(world, "PUT", PATH, { key, json: handed });
    strictEqual(answer.json.owner_id, "bob");
    strictEqual((await put(world, DEFINITION)).json.owner_id, null);
  },
);
