/**
 * Requests nobody thought of: whatever is sent, no answer is an error of ours, none
 * gives anything of the inside away, and what is counted adds up.
 *
 * @module
 */

import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { fold } from "../../db/events.ts";
import { EVENT_TYPES, SOURCES, STEP_TYPES } from "../../db/schema.ts";
import { dbTest, type World } from "../harness.ts";
import {
  type Answer,
  assertProblem,
  at,
  countEvents,
  GOAL,
  put,
  send,
  signIn,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

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
    "2026-06-15T11:00:00-23:59",
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

const step = fc.record({
  step_id: perhaps(uuid),
  name: perhaps(text),
  type: perhaps(fc.constantFrom(...STEP_TYPES)),
  order: perhaps(fc.nat(5)),
  next: perhaps(fc.array(uuid, { maxLength: 1 })),
});
const definition = fc.record({
  name: perhaps(text),
  status: perhaps(fc.constantFrom("active", "draft")),
  steps: perhaps(fc.array(step, { maxLength: 3 })),
  goals: perhaps(fc.array(
    fc.record({
      goal_id: perhaps(uuid),
      type: perhaps(text),
      name: perhaps(text),
    }),
    { maxLength: 2 },
  )),
  conversion_window: perhaps(fc.oneof(
    fc.stringMatching(/^P\d{1,5}W(T\d{1,10}S)?$/),
    fc.stringMatching(/^P(\d{1,6}[WDHMYS]){0,2}(T(\d{1,10}[HMS]){1,3})?$/),
  )),
  goal_ends_execution: perhaps(fc.boolean()),
  owner_id: perhaps(text),
});

dbTest("PUT /workflows/{id} answers to any definition", async (world) => {
  let registered = 0;
  await fuzz(fc.tuple(uuid, definition), 300, async ([id, definition]) => {
    const answer = await put(world, definition, encodeURIComponent(id));
    assertAnswered(answer, 200);
    if (answer.status !== 200) {
      ok(answer.json.errors.length > 0);
      return;
    }
    registered++;
    const path = `/api/v1/workflows/${answer.json.workflow_id}`;
    strictEqual((await send(world, "GET", path)).text, answer.text);
  });
  ok(registered > 5, `${registered} accepted`);
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
      fc.tuple(fc.constantFrom("search", "cursor", "limit", "status"), text),
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

const PATHS = ["", "/analytics", "/analytics/funnel", "/analytics/actions"];

async function assertReads(world: World, path: string): Promise<number> {
  const answer = await send(world, "GET", path);
  assertAnswered(answer, 200);
  return answer.status;
}

dbTest("the reads answer to any query", async (world) => {
  await put(world);
  let good = 0;
  await fuzz(
    fc.tuple(fc.constantFrom(...PATHS), query),
    400,
    async ([path, query]) => {
      const workflow = `/api/v1/workflows/${WORKFLOW}${path}?${query}`;
      if (await assertReads(world, workflow) === 200) good++;
      await assertReads(world, `/api/v1/workflows?${query}`);
    },
  );
  ok(good > 40, `${good} answered`);
});

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
  await fuzz(query, 100, async (query) => {
    for (const path of ["/", `/workflows/${WORKFLOW}`]) {
      const answer = await send(world, "GET", `${path}?${query}`, {
        key: null,
        headers: { ...headers, accept: "text/html" },
      });
      ok([200, 303, 400].includes(answer.status), `${answer.status} ${query}`);
    }
  });
});
