/**
 * Requests nobody thought of: whatever is sent, no answer is an error of ours, none
 * gives anything of the inside away, and what is counted adds up.
 *
 * @module
 */

import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { fold } from "../../db/events.ts";
import { EVENT_TYPES, SOURCES } from "../../db/schema.ts";
import { OPERATIONS } from "../../routes/_operations.ts";
import { DOCUMENT } from "../documented.ts";
import { assertRefusesForbidden, requestsOf } from "../fuzz.ts";
import { dbTest, type World } from "../harness.ts";
import {
  type Answer,
  assertProblem,
  at,
  countEvents,
  enrolled,
  GOAL,
  post,
  put,
  send,
  signIn,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

/** Of one run; with FUZZ_REQUESTS=20000, of a long one. */
const REQUESTS = Number(Deno.env.get("FUZZ_REQUESTS") ?? 2_500);

const EXECUTION = "55555555-5555-4555-8555-555555555555";

/** Nothing signs what the fuzzer sends, and ids of jobs, links and reports are not guessed. */
const ALWAYS_REFUSED = /\{(job|share|report)_id\}|\/webhooks\//;

/** Printed when a run fails; set it to see that run again. */
const SEED = Number(Deno.env.get("FUZZ_SEED") ?? Date.now() % 2 ** 31);

const text = fc.oneof(
  { weight: 8, arbitrary: fc.string({ minLength: 1, maxLength: 20 }) },
  fc.string({ unit: "binary", maxLength: 20 }),
  // Half characters, as JSON can carry them.
  fc.array(fc.integer({ min: 0xd700, max: 0xe000 }), { maxLength: 3 })
    .map((codes) => String.fromCharCode(...codes)),
  fc.constantFrom("", "\0", "'", '"', "\\", "%", "null", "{}", "x".repeat(2e3)),
);
const number = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(0, -0, 0.5, -1, 2 ** 31, 2 ** 53, 1e21, 1e308, -1e308),
);
const anything = fc.oneof(
  text,
  number,
  fc.constantFrom(null, true, [], {}, [[]], { id: {} }),
  fc.jsonValue({ maxDepth: 4 }),
);
const instant = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -129_600, max: 5 }).map(at) },
  fc.integer({ min: -200_000, max: 20 }).map(at),
  fc.constantFrom(
    "2026-06-15T11:00:00.123456+15:59",
    "2026-06-15T11:00:00+23:59",
    "2026-06-15T11:59:60Z",
    "2026-06-15T24:00:00Z",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "-infinity",
    "now",
  ),
);
const uuid = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(WORKFLOW, STEP, GOAL) },
  { weight: 3, arbitrary: fc.uuid() },
  fc.constantFrom(WORKFLOW.toUpperCase(), "f".repeat(32), `{${STEP}}`),
);

/** Usually good, sometimes anything, sometimes left out. */
function perhaps<T>(good: fc.Arbitrary<T>): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 30, arbitrary: good },
    { weight: 1, arbitrary: anything },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
}

const common = {
  id: perhaps(fc.oneof(fc.constantFrom("a", "b", "c"), fc.uuid(), text)),
  workflow_id: perhaps(uuid),
  execution_id: perhaps(uuid),
  contact_id: perhaps(fc.oneof(fc.constant("contact"), text)),
  occurred_at: perhaps(instant),
};
const own: Record<(typeof EVENT_TYPES)[number], object> = {
  "execution.enrolled": { source: perhaps(fc.constantFrom(...SOURCES)) },
  "step.entered": { step_id: perhaps(uuid) },
  "step.completed": { step_id: perhaps(uuid) },
  "action.executed": {
    step_id: perhaps(uuid),
    status: perhaps(fc.constantFrom("succeeded", "failed")),
    duration_ms: perhaps(fc.double({ min: 0, max: 1e10, noNaN: true })),
  },
  "goal.achieved": { goal_id: perhaps(uuid) },
  "execution.completed": {},
  "execution.exited": { reason: perhaps(fc.constantFrom("moved", "error")) },
  "execution.failed": { error: perhaps(fc.oneof(fc.constant("Gone"), text)) },
};
const event = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.constantFrom(...EVENT_TYPES).chain((type) =>
      fc.record({
        type: perhaps(fc.constant(type)),
        ...common,
        ...own[type],
      })
    ),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      ...common,
      type: fc.constantFrom(...EVENT_TYPES),
      workflow_version: anything,
      sequence: anything,
      [String("constructor")]: anything,
    }),
  },
  { weight: 1, arbitrary: anything },
);

/** Never ours, always said in our way, always in JSON. */
function assertAnswered(answer: Answer, ...good: number[]): void {
  ok(answer.status < 500, answer.text);
  if (good.includes(answer.status)) return void ok(answer.json);
  assertProblem(answer, answer.status, answer.json.code);
}

function assertAddsUp(answer: Answer, events: number): void {
  const { accepted, duplicates, rejected } = answer.json;
  strictEqual(accepted + duplicates + rejected, events, answer.text);
}

async function fuzz<T>(
  arbitrary: fc.Arbitrary<T>,
  numRuns: number,
  run: (value: T) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(arbitrary, run);
  await fc.assert(property, { numRuns, seed: SEED, endOnFailure: true });
}

dbTest(
  "POST /events answers to any events, and fold() takes what was accepted",
  async (world) => {
    let accepted = 0;
    await fuzz(fc.array(event, { maxLength: 12 }), 200, async (events) => {
      const path = "/api/v1/events";
      const lines = events.map((item) => JSON.stringify(item)).join("\n");
      const asLines = { "content-type": "application/x-ndjson" };
      const answers = [
        await send(world, "POST", path, { json: events }),
        await send(world, "POST", path, { body: lines, headers: asLines }),
      ];
      for (const answer of answers) {
        assertAnswered(answer, 202);
        assertAddsUp(answer, events.length);
        accepted += answer.json.accepted;
      }
      // The second time nothing is new.
      strictEqual(answers[1]!.json.accepted, 0);
    });
    ok(accepted > 100, `${accepted} accepted`);
    strictEqual(await countEvents(world), accepted);
    let folded = 0;
    for (let n = 1; n > 0; folded += n) n = await fold(world.sql);
    strictEqual(folded, accepted);
  },
);

dbTest("POST /events answers to any bytes", async (world) => {
  const type = fc.constantFrom(
    "application/json",
    "application/x-ndjson",
    "application/json; charset=utf-16",
    "application/xml",
  );
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((json) => new TextEncoder().encode(json)),
    fc.string({ unit: fc.constantFrom(...'[]{}",:\n\r 0e-\\u'), maxLength: 60 })
      .map((json) => new TextEncoder().encode(json)),
  );
  await fuzz(fc.tuple(type, body), 200, async ([type, bytes]) => {
    const answer = await send(world, "POST", "/api/v1/events", {
      body: new Uint8Array(bytes),
      headers: { "content-type": type },
    });
    assertAnswered(answer, 202);
  });
});

const date = fc.oneof(
  fc.integer({ min: -800, max: 30 }).map((days) =>
    at(days * 1_440).slice(0, 10)
  ),
  fc.date({ noInvalidDate: true }).map((date) =>
    date.toISOString().slice(0, 10)
  ),
  fc.constantFrom("2026-02-29", "1900-01-01", "9999-12-31", "infinity"),
);
const zone = fc.oneof(
  fc.constantFrom(...Intl.supportedValuesOf("timeZone")),
  fc.constantFrom(
    "localtime",
    "posixrules",
    "Factory",
    "EST5EDT",
    "UTC0",
    "GMT0",
  ),
  text,
);

/** Queries of the reads, with parameters that are missing, doubled and strange. */
const query = fc.tuple(
  fc.array(fc.tuple(fc.constantFrom("start_date", "end_date"), date), {
    minLength: 1,
    maxLength: 3,
  }),
  fc.array(
    fc.oneof(
      fc.tuple(fc.constant("tz"), zone),
      fc.tuple(fc.constant("attribution"), fc.constantFrom("cohort", "event")),
      fc.tuple(fc.constant("version"), fc.oneof(number.map(String), text)),
      fc.tuple(text, text),
    ),
    { maxLength: 2 },
  ),
).map((pairs) =>
  pairs.flat().map(([key, value]) =>
    `${encodeURIComponent(key.toWellFormed())}=${
      encodeURIComponent(value.toWellFormed())
    }`
  ).join("&")
);

/** Places in a list that no page ends at. */
const cursor = fc.record({
  name: fc.oneof(text, anything),
  id: fc.oneof(number, anything),
}).map((cursor) =>
  new TextEncoder().encode(JSON.stringify(cursor))
    .toBase64({ alphabet: "base64url", omitPadding: true })
);
const listQuery = fc.oneof(
  fc.record({ search: text }),
  fc.record({ cursor: fc.oneof(cursor, text) }),
  fc.record({ limit: number.map(String), search: text }),
  fc.record({ status: text }),
).map((params) =>
  Object.entries(params).map(([key, value]) =>
    `${key}=${encodeURIComponent(value.toWellFormed())}`
  ).join("&")
);

/** What leads somewhere. */
const KNOWN = {
  id: fc.oneof(
    { weight: 9, arbitrary: fc.constant(WORKFLOW) },
    fc.constantFrom(WORKFLOW.toUpperCase(), EXECUTION, "1", "%"),
  ),
  workflow_id: uuid,
  execution_id: fc.oneof(fc.constant(EXECUTION), uuid),
  uuid,
  "date-time": instant,
  start_date: fc.oneof(fc.constantFrom("2026-06-01", "2026-05-15"), date),
  end_date: fc.oneof(fc.constantFrom("2026-06-15", "2026-06-30"), date),
  date,
  tz: zone,
  conversion_window: fc.oneof(
    fc.stringMatching(/^P\d{1,5}W(T\d{1,10}S)?$/),
    fc.stringMatching(/^P(\d{1,6}[WDHMYS]){0,2}(T(\d{1,10}[HMS]){1,3})?$/),
  ),
  cursor: fc.oneof(cursor, text),
  // Each costs a third of a second.
  password: fc.oneof(
    { weight: 30, arbitrary: fc.constant(null) },
    fc.constant("correct horse"),
  ),
};

dbTest(
  "no request of the document gets an error of ours, or more than is documented",
  async (world) => {
    await put(world);
    await post(world, enrolled({ execution_id: EXECUTION }));
    await fold(world.sql);
    const statuses = new Map<string, Set<number>>();
    await fuzz(requestsOf(DOCUMENT, KNOWN), REQUESTS, async (request) => {
      const { method, address, headers, mediaType, body, path } = request;
      const answer = await ask(world, method, address, {
        headers: {
          ...headers,
          authorization: headers.authorization!.replace("$KEY", world.key),
          ...(mediaType && { "content-type": mediaType.replace("*/*", "x/y") }),
        },
        body: body === undefined ? undefined : bodyOf(world, body, mediaType),
      });
      ok(answer.status < 500, answer.text);
      if (answer.status >= 400) {
        assertProblem(answer, answer.status, answer.json.code);
      }
      assertRefusesForbidden(DOCUMENT, request, answer);
      const route = `${method} ${path}`;
      statuses.set(
        route,
        (statuses.get(route) ?? new Set()).add(answer.status),
      );
    });
    // What is never answered well is never tried behind its checks.
    for (const [route, seen] of statuses) {
      if (ALWAYS_REFUSED.test(route)) continue;
      ok([...seen].some((status) => status < 300), `${route} ${[...seen]}`);
    }
    strictEqual(statuses.size, Object.keys(OPERATIONS).length);
  },
);

function bodyOf({ key }: World, body: unknown, mediaType?: string): string {
  if (!mediaType?.includes("ndjson")) {
    const { api_key } = (body ?? {}) as { api_key?: unknown };
    return JSON.stringify(
      typeof api_key === "string" ? { ...body as object, api_key: key } : body,
    );
  }
  return [body].flat().map((line) => JSON.stringify(line)).join("\n");
}

/** Sends a request; of a stream, which does not end, the answer is its beginning. */
async function ask(
  world: World,
  method: string,
  address: string,
  { headers, body }: { headers: Record<string, string>; body?: string },
): Promise<Answer> {
  const app = {
    async request(path: string, init?: RequestInit): Promise<Response> {
      const response = await world.app.request(path, init);
      const type = response.headers.get("content-type");
      if (!type?.includes("event-stream")) return response;
      await response.body!.cancel();
      return new Response(null, response);
    },
  };
  return await send(world, method, address, { key: null, headers, body, app });
}

dbTest("the reads answer to any bytes in a URL", async (world) => {
  const part = fc.oneof(
    fc.constantFrom(
      "%00",
      "%ff",
      "%f0%9f",
      "%",
      "%zz",
      "+",
      "&",
      "=",
      "&&",
      "#",
    ),
    fc.constantFrom(
      "start_date",
      "search",
      "cursor",
      "tz",
      "limit",
      "__proto__",
    ),
    fc.constantFrom("..", "/", ";", "'", WORKFLOW, "[", "]", "?"),
  );
  const parts = fc.array(part, { maxLength: 8 }).map((list) => list.join(""));
  await fuzz(fc.tuple(parts, parts), 300, async ([path, query]) => {
    for (const base of ["", "/"]) {
      const answer = await send(
        world,
        "GET",
        `/api/v1/workflows${base}${path}?${query}`,
      );
      ok(answer.status < 500, answer.text);
    }
  });
});

dbTest("the pages answer to any query", async (world) => {
  await put(world);
  const headers = await signIn(world);
  await fuzz(fc.tuple(query, listQuery), 100, async ([query, listQuery]) => {
    for (const path of [`/?${listQuery}`, `/workflows/${WORKFLOW}?${query}`]) {
      const answer = await send(world, "GET", path, {
        key: null,
        headers: { ...headers, accept: "text/html" },
      });
      ok([200, 303, 400].includes(answer.status), `${answer.status} ${path}`);
    }
  });
});
