import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import {
  DURATION_MS_MAX,
  ERRORS_LISTED_MAX,
  EVENT_TYPES,
  EVENTS_PER_REQUEST_MAX,
  LINE_BYTES_MAX,
  MESSAGE_LENGTH_MAX,
  NDJSON_CHUNK_EVENTS,
  REQUEST_BYTES_MAX,
} from "../../db/schema.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { serve } from "../serve.ts";
import {
  appWith,
  assertProblem,
  at,
  countEvents,
  enrolled,
  GOAL,
  post,
  postLines,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

/** What each type of event has besides what all have. */
const FIELDS: Record<(typeof EVENT_TYPES)[number], Record<string, unknown>> = {
  "execution.enrolled": { source: "bulk" },
  "step.entered": { step_id: STEP },
  "step.completed": { step_id: STEP },
  "action.executed": {
    step_id: STEP,
    status: "failed",
    duration_ms: 12.5,
    error: "Timeout",
  },
  "goal.achieved": { goal_id: GOAL },
  "execution.completed": {},
  "execution.exited": { reason: "unsubscribed" },
  "execution.failed": { error: "Gone" },
};

const ID = "an-id";

function ofType(
  type: (typeof EVENT_TYPES)[number],
  change: Record<string, unknown> = {},
): Record<string, unknown> {
  return { ...enrolled(), source: undefined, type, ...FIELDS[type], ...change };
}

/** Codes of what was refused, in order. */
function codes(answer: { json: { errors: { code: string }[] } }): string[] {
  return answer.json.errors.map((error) => error.code);
}

function receipt(accepted: number, duplicates = 0) {
  return { accepted, duplicates, rejected: 0, errors: [] };
}

dbTest("POST /events accepts every type, and rings once", async (world) => {
  const events = EVENT_TYPES.map((type) =>
    ofType(type, { workflow_version: 1, sequence: 3 })
  );
  const answer = await post(world, events);
  strictEqual(answer.status, 202);
  deepStrictEqual(answer.json, receipt(EVENT_TYPES.length));
  strictEqual(await countEvents(world), EVENT_TYPES.length);
  strictEqual(world.rings.count, 1);
});

dbTest("POST /events accepts one event without an array", async (world) => {
  deepStrictEqual((await post(world, enrolled())).json, receipt(1));
});

dbTest("POST /events keeps text as it was sent", async (world) => {
  const text = `'; drop table "weir"; -- مرحبا 🎉 \u0001\u2028`;
  const event = ofType("execution.failed", {
    id: text,
    contact_id: text,
    error: text,
  });
  deepStrictEqual((await post(world, event)).json, receipt(1));
  const [row] = await world.sql`
    select event_id, contact_id, error from weir.event`;
  deepStrictEqual({ ...row }, {
    event_id: text,
    contact_id: text,
    error: text,
  });
});

/** The edges of what is accepted. */
const ACCEPTED: Record<string, Record<string, unknown>> = {
  "an id of 128 characters": { id: "i".repeat(128) },
  "a contact of 128 emoji halves": { contact_id: "🎉".repeat(64) },
  "microseconds": { occurred_at: "2026-06-15T11:00:00.123456Z" },
  "an offset of a half-hour zone": {
    occurred_at: "2026-06-15T16:45:00+05:45",
  },
  "the widest offset": { occurred_at: "2026-06-16T02:59:00+15:59" },
  "exactly 90 days ago": { occurred_at: at(-90 * 24 * 60) },
  "exactly 5 minutes ahead": { occurred_at: at(5) },
  "a uuid in upper case": { workflow_id: WORKFLOW.toUpperCase() },
  "the nil uuid": { execution_id: "00000000-0000-0000-0000-000000000000" },
  "the largest version": { workflow_version: 2_147_483_647 },
  "the largest sequence": { sequence: Number.MAX_SAFE_INTEGER },
};

dbTest("POST /events accepts what is just within its limits", async (world) => {
  for (const [name, change] of Object.entries(ACCEPTED)) {
    const answer = await post(world, enrolled(change));
    deepStrictEqual(answer.json, receipt(1), name);
  }
});

dbTest("POST /events accepts the longest action and words", async (world) => {
  const answer = await post(world, [
    ofType("action.executed", { duration_ms: DURATION_MS_MAX }),
    ofType("action.executed", { duration_ms: 0, error: undefined }),
    ofType("action.executed", { error: "e".repeat(1_000) }),
    ofType("execution.exited", { reason: `r${"_".repeat(63)}` }),
  ]);
  deepStrictEqual(answer.json, receipt(4));
});

/** What is no event, and where the message must say so. */
const INVALID: [string, unknown, RegExp][] = [
  ["null", null, /object/],
  ["a number", 1, /object/],
  ["an array", [[]], /object/],
  ["no type", enrolled({ type: undefined }), /type/],
  ["an unknown type", enrolled({ type: "execution.paused" }), /type/],
  ["no id", enrolled({ id: undefined }), /id/],
  ["an empty id", enrolled({ id: "" }), /id/],
  ["an id too long", enrolled({ id: "i".repeat(129) }), /id/],
  ["an id that is a number", enrolled({ id: 1 }), /id/],
  ["NUL in an id", enrolled({ id: "a\u0000b" }), /id/],
  ["a lone surrogate in an id", enrolled({ id: "a\ud800" }), /id/],
  ["no contact", enrolled({ contact_id: undefined }), /contact_id/],
  ["a contact too long", enrolled({ contact_id: "c".repeat(129) }), /contact/],
  ["NUL in a contact", enrolled({ contact_id: "\u0000" }), /contact_id/],
  ["a lone surrogate in a contact", enrolled({ contact_id: "\udfff" }), /cont/],
  ["no workflow", enrolled({ workflow_id: undefined }), /workflow_id/],
  ["a bad workflow", enrolled({ workflow_id: "w" }), /workflow_id/],
  ["a workflow with braces", enrolled({ workflow_id: `{${WORKFLOW}}` }), /wor/],
  ["a bad execution", enrolled({ execution_id: `${STEP}0` }), /execution_id/],
  ["no time", enrolled({ occurred_at: undefined }), /occurred_at/],
  [
    "a time without offset",
    enrolled({ occurred_at: "2026-06-15T11:00:00" }),
    /occ/,
  ],
  [
    "a time without seconds",
    enrolled({ occurred_at: "2026-06-15T11:00Z" }),
    /occ/,
  ],
  ["a date", enrolled({ occurred_at: "2026-06-15" }), /occurred_at/],
  ["a unix time", enrolled({ occurred_at: 1_781_521_200 }), /occurred_at/],
  [
    "nanoseconds",
    enrolled({ occurred_at: "2026-06-15T11:00:00.1234567Z" }),
    /occ/,
  ],
  ["a leap second", enrolled({ occurred_at: "2026-06-15T11:59:60Z" }), /occ/],
  ["hour 24", enrolled({ occurred_at: "2026-06-14T24:00:00Z" }), /occurred_at/],
  ["30 February", enrolled({ occurred_at: "2026-02-30T11:00:00Z" }), /occ/],
  [
    "an offset of 16 hours",
    enrolled({ occurred_at: "2026-06-15T12:00:00+16:00" }),
    /occ/,
  ],
  [
    "an offset of 23 hours",
    enrolled({ occurred_at: "2026-06-14T13:00:00-23:00" }),
    /occ/,
  ],
  [
    "a year of five digits",
    enrolled({ occurred_at: "+12026-06-15T11:00:00Z" }),
    /occ/,
  ],
  [
    "a year before 1900",
    enrolled({ occurred_at: "0001-01-01T00:00:00Z" }),
    /occ/,
  ],
  ["infinity", enrolled({ occurred_at: "infinity" }), /occurred_at/],
  ["version 0", enrolled({ workflow_version: 0 }), /workflow_version/],
  [
    "a version too large",
    enrolled({ workflow_version: 2_147_483_648 }),
    /vers/,
  ],
  ["a version with decimals", enrolled({ workflow_version: 1.5 }), /version/],
  ["version null", enrolled({ workflow_version: null }), /workflow_version/],
  ["a negative sequence", enrolled({ sequence: -1 }), /sequence/],
  ["a sequence too large", enrolled({ sequence: 2 ** 53 }), /sequence/],
  ["no source", enrolled({ source: undefined }), /source/],
  ["an unknown source", enrolled({ source: "import" }), /source/],
  ["an unknown field", enrolled({ colour: "red" }), /colour/],
  ["a field of another type", enrolled({ step_id: STEP }), /step_id/],
  ["no step", ofType("step.entered", { step_id: undefined }), /step_id/],
  ["a bad step", ofType("step.completed", { step_id: "first" }), /step_id/],
  ["no goal", ofType("goal.achieved", { goal_id: undefined }), /goal_id/],
  ["no status", ofType("action.executed", { status: undefined }), /status/],
  ["an unknown status", ofType("action.executed", { status: "ok" }), /status/],
  ["no duration", ofType("action.executed", { duration_ms: undefined }), /dur/],
  [
    "a negative duration",
    ofType("action.executed", { duration_ms: -0.001 }),
    /dur/,
  ],
  [
    "a duration over a year",
    ofType("action.executed", { duration_ms: DURATION_MS_MAX + 1 }),
    /dur/,
  ],
  [
    "a duration that is text",
    ofType("action.executed", { duration_ms: "1" }),
    /dur/,
  ],
  [
    "an error of a success",
    ofType("action.executed", { status: "succeeded" }),
    /error/,
  ],
  [
    "an error too long",
    ofType("action.executed", { error: "e".repeat(1_001) }),
    /error/,
  ],
  ["NUL in an error", ofType("execution.failed", { error: "\u0000" }), /error/],
  ["no reason", ofType("execution.exited", { reason: undefined }), /reason/],
  [
    "a reason in upper case",
    ofType("execution.exited", { reason: "Moved" }),
    /reason/,
  ],
  [
    "a reason too long",
    ofType("execution.exited", { reason: "r".repeat(65) }),
    /reason/,
  ],
];

dbTest(
  "POST /events refuses what is no event, each with its place",
  async (world) => {
    const events = INVALID.map(([, event]) => event);
    const answer = await post(world, [...events, enrolled()]);
    strictEqual(answer.status, 202);
    strictEqual(answer.json.accepted, 1);
    strictEqual(answer.json.rejected, INVALID.length);
    strictEqual(await countEvents(world), 1);
    INVALID.forEach(([name, event, message], index) => {
      const error = answer.json.errors[index];
      strictEqual(error.index, index, name);
      strictEqual(error.code, "invalid_event", name);
      match(error.message, message, name);
      const id = (event as { id?: unknown } | null)?.id;
      // JSON cannot carry half a character back either.
      if (typeof id === "string" && id.isWellFormed()) {
        strictEqual(error.id, id.slice(0, 128), name);
      }
    });
  },
);

dbTest(
  "POST /events refuses a field that hides in the prototype",
  async (world) => {
    const text = JSON.stringify(enrolled()).replace("{", `{"__proto__":{},`);
    const answer = await post(world, undefined, {
      body: text,
      headers: { "content-type": "application/json" },
    });
    assertProblem(answer, 422, "all_events_rejected");
  },
);

dbTest(
  "POST /events refuses the too old and the future by name",
  async (world) => {
    const answer = await post(world, [
      enrolled({ id: "old", occurred_at: at(-90 * 24 * 60 - 0.001) }),
      enrolled({ id: "older", occurred_at: "1900-01-01T00:00:00Z" }),
      enrolled({ id: "ahead", occurred_at: at(5.001) }),
      enrolled({ id: "last", occurred_at: "9999-12-31T23:59:59.999999-15:59" }),
      enrolled({ id: "good" }),
    ]);
    strictEqual(answer.status, 202);
    deepStrictEqual(codes(answer), [
      "event_too_old",
      "event_too_old",
      "event_in_future",
      "event_in_future",
    ]);
    deepStrictEqual(
      answer.json.errors.map((error: { id: string }) => error.id),
      ["old", "older", "ahead", "last"],
    );
    strictEqual(answer.json.accepted, 1);
  },
);

dbTest("POST /events answers 422 when nothing is good", async (world) => {
  const answer = await post(world, [enrolled({ id: "" }), 7]);
  assertProblem(answer, 422, "all_events_rejected");
  deepStrictEqual(codes(answer), ["invalid_event", "invalid_event"]);
  strictEqual(answer.json.rejected, 2);
  strictEqual(world.rings.count, 0);
});

dbTest(
  "POST /events lists at most 1,000 errors and counts all",
  async (world) => {
    const answer = await post(world, new Array(ERRORS_LISTED_MAX + 5).fill(0));
    strictEqual(answer.json.rejected, ERRORS_LISTED_MAX + 5);
    strictEqual(answer.json.errors.length, ERRORS_LISTED_MAX);
  },
);

dbTest("POST /events keeps its messages short", async (world) => {
  const strange = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, i) => [`field_${i}`, i]),
  );
  const answer = await post(world, { ...enrolled(), ...strange });
  strictEqual(answer.json.errors[0].message.length, MESSAGE_LENGTH_MAX);
});

dbTest(
  "POST /events counts the same event again as a duplicate",
  async (world) => {
    const event = ofType("action.executed", { occurred_at: at(-30) });
    deepStrictEqual((await post(world, [event, event])).json, receipt(1, 1));
    deepStrictEqual((await post(world, event)).json, receipt(0, 1));
    const elsewhere = at(-30 + 330).replace("Z", "+05:30");
    const again = { ...event, occurred_at: elsewhere };
    deepStrictEqual((await post(world, again)).json, receipt(0, 1));
    const upper = { ...event, workflow_id: WORKFLOW.toUpperCase() };
    deepStrictEqual((await post(world, upper)).json, receipt(0, 1));
    strictEqual(await countEvents(world), 1);
    strictEqual(world.rings.count, 1);
  },
);

dbTest(
  "POST /events knows a duplicate that a new version came between",
  async (world) => {
    const event = enrolled();
    await post(world, event);
    await world.app.request(`/api/v1/workflows/${WORKFLOW}`, {
      method: "PUT",
      body: JSON.stringify({ name: "New" }),
      headers: {
        authorization: `Bearer ${world.key}`,
        "content-type": "application/json",
      },
    });
    deepStrictEqual((await post(world, event)).json, receipt(0, 1));
  },
);

dbTest("POST /events keeps an id apart in each workflow", async (world) => {
  const event = enrolled({ id: ID });
  const other = { ...event, workflow_id: GOAL };
  deepStrictEqual((await post(world, [event, other])).json, receipt(2));
});

/** Each of these makes another event of a failed action. */
const OTHER_CONTENT: Record<string, unknown> = {
  type: "execution.failed",
  execution_id: GOAL,
  contact_id: "somebody else",
  occurred_at: at(-61),
  workflow_version: 2,
  sequence: 1,
  step_id: GOAL,
  status: "succeeded",
  duration_ms: 13,
  error: "Refused",
};

dbTest("POST /events refuses other content under a known id", async (world) => {
  const event = ofType("action.executed", { id: ID, execution_id: STEP });
  deepStrictEqual((await post(world, event)).json, receipt(1));
  for (const [field, value] of Object.entries(OTHER_CONTENT)) {
    const other: Record<string, unknown> = { ...event, [field]: value };
    if (field === "status") delete other.error;
    if (field === "type") {
      for (const own of ["step_id", "status", "duration_ms"]) delete other[own];
    }
    const answer = await post(world, other);
    assertProblem(answer, 422, "all_events_rejected");
    deepStrictEqual(codes(answer), ["event_conflict"], field);
    strictEqual(answer.json.errors[0].id, ID);
  }
  strictEqual(await countEvents(world), 1);
});

dbTest("POST /events finds a conflict within one request", async (world) => {
  const first = enrolled({ id: ID });
  const answer = await post(world, [
    first,
    enrolled({ id: ID }),
    enrolled(),
    first,
  ]);
  deepStrictEqual(codes(answer), ["event_conflict"]);
  strictEqual(answer.json.errors[0].index, 1);
  strictEqual(answer.json.accepted, 2);
  strictEqual(answer.json.duplicates, 1);
});

dbTest(
  "POST /events finds a conflict across the edge of a month",
  async (world) => {
    const event = enrolled({ id: ID, occurred_at: "2026-05-31T23:59:59Z" });
    deepStrictEqual((await post(world, event)).json, receipt(1));
    const answer = await post(world, {
      ...event,
      occurred_at: "2026-06-01T00:00:00Z",
    });
    deepStrictEqual(codes(answer), ["event_conflict"]);
    strictEqual(await countEvents(world), 1);
  },
);

dbTest(
  "POST /events refuses events of another account's workflow",
  async (world) => {
    const { account_id } = await createAccount(world.sql, "Other", "UTC");
    const key = await createKey(world.sql, account_id, {
      scopes: ["events:write"],
    });
    await post(world, enrolled({ id: ID }));
    const theirs = await post(world, enrolled({ id: ID }), { key });
    assertProblem(theirs, 422, "all_events_rejected");
    deepStrictEqual(codes(theirs), ["workflow_not_found"]);

    const mixed = await post(world, [
      enrolled(),
      enrolled({ workflow_id: GOAL }),
    ], { key });
    strictEqual(mixed.json.accepted, 1);
    deepStrictEqual(codes(mixed), ["workflow_not_found"]);
    strictEqual(await countEvents(world), 2);
  },
);

dbTest(
  "POST /events stores once what 8 clients send at once",
  async (world) => {
    const events = Array.from({ length: 500 }, () => enrolled());
    const sql = connect(world.database_url, {
      max: 8,
      statementTimeoutMs: 30_000,
    });
    try {
      const app = appWith(world, { sql });
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          // Each begins elsewhere, so that they would wait for each other in a ring.
          post(world, events.slice(i * 60).concat(events.slice(0, i * 60)), {
            app,
          })),
      );
      const total = (key: "accepted" | "duplicates") =>
        answers.reduce((sum, { json }) => sum + json[key], 0);
      ok(answers.every(({ status }) => status === 202));
      strictEqual(total("accepted"), 500);
      strictEqual(total("duplicates"), 7 * 500);
      strictEqual(await countEvents(world), 500);
      let folded = 0;
      for (let n = 1; n > 0; folded += n) n = await fold(sql);
      strictEqual(folded, 500);
    } finally {
      await sql.end();
    }
  },
);

/** Bodies that are no JSON at all. */
const BROKEN: [string, BodyInit | undefined][] = [
  ["no body", undefined],
  ["an empty body", ""],
  ["white space", " \n"],
  ["half an array", `[${JSON.stringify(enrolled())},`],
  ["two values", "{} {}"],
  ["bytes that are no UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
  ["half a character", new Uint8Array([0x22, 0xf0, 0x9f])],
  ["UTF-16", new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0])],
];

dbTest(
  "POST /events refuses what is no JSON as invalid_json",
  async (world) => {
    for (const [name, body] of BROKEN) {
      const headers = { "content-type": "application/json" };
      const answer = await post(world, undefined, { body, headers });
      assertProblem(answer, 400, "invalid_json", name);
    }
  },
);

dbTest("POST /events takes an empty array for nothing", async (world) => {
  const answer = await post(world, []);
  strictEqual(answer.status, 202);
  deepStrictEqual(answer.json, receipt(0));
});

const OTHER_TYPES = [
  "",
  "text/plain",
  "application/xml",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/json-seq",
];

dbTest("POST /events refuses bodies of other types", async (world) => {
  for (const type of OTHER_TYPES) {
    // Bytes, because text would get a type of its own.
    const body = new TextEncoder().encode(JSON.stringify(enrolled()));
    const headers: Record<string, string> = type
      ? { "content-type": type }
      : {};
    const answer = await post(world, undefined, { body, headers });
    assertProblem(answer, 415, "unsupported_media_type", type);
  }
});

dbTest(
  "POST /events reads types with parameters in any case",
  async (world) => {
    const headers = { "content-type": "Application/JSON; charset=UTF-8" };
    const body = `\ufeff${JSON.stringify(enrolled())}`;
    const answer = await post(world, undefined, { body, headers });
    deepStrictEqual(answer.json, receipt(1));
  },
);

async function gzipped(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return await new Response(stream).bytes();
}

dbTest("POST /events unfolds gzip, in bounded memory", async (world) => {
  const json = JSON.stringify(enrolled());
  const gzip = { "content-encoding": "gzip" };
  for (const type of ["application/json", "application/x-ndjson"]) {
    const body = await gzipped(json);
    const headers = { ...gzip, "content-type": type };
    const answer = await post(world, undefined, { body, headers });
    strictEqual(answer.status, 202, answer.text);
    const cut = body.subarray(0, body.length - 10);
    const broken = await post(world, undefined, { body: cut, headers });
    assertProblem(broken, 400, "incomplete_body");
    const plain = await post(world, undefined, { body: json, headers });
    assertProblem(plain, 400, "incomplete_body");
  }
  const headers = { ...gzip, "content-type": "application/json" };
  const bomb = await gzipped(" ".repeat(REQUEST_BYTES_MAX + 1));
  ok(bomb.length < 10_000);
  const answer = await post(world, undefined, { body: bomb, headers });
  assertProblem(answer, 413, "payload_too_large");
});

dbTest("POST /events refuses other compression", async (world) => {
  const body = JSON.stringify(enrolled());
  for (const encoding of ["br", "deflate", "gzip, gzip", "x"]) {
    for (const type of ["application/json", "application/x-ndjson"]) {
      const answer = await post(world, undefined, {
        body,
        headers: { "content-encoding": encoding, "content-type": type },
      });
      assertProblem(answer, 415, "unsupported_media_type", encoding);
    }
  }
});

/** A body without a length, in pieces. */
function streamOf(
  pieces: Iterable<Uint8Array | string>,
  onEnd: (controller: ReadableStreamDefaultController) => void = (controller) =>
    controller.close(),
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done) return onEnd(controller);
      controller.enqueue(
        typeof value === "string" ? encoder.encode(value) : value,
      );
    },
  });
}

const MIB = new Uint8Array(1024 * 1024).fill(0x20);

dbTest(
  "POST /events refuses 9 MiB, with and without a length",
  async (world) => {
    const headers = { "content-type": "application/json" };
    for (
      const body of [
        new Uint8Array(9 * 1024 * 1024).fill(0x20),
        streamOf(new Array(9).fill(MIB)),
      ]
    ) {
      const answer = await post(world, undefined, { body, headers });
      assertProblem(answer, 413, "payload_too_large");
    }
  },
);

dbTest("POST /events accepts exactly 8 MiB", async (world) => {
  const text = JSON.stringify(enrolled());
  const answer = await post(world, undefined, {
    body: text.padEnd(REQUEST_BYTES_MAX),
    headers: { "content-type": "application/json" },
  });
  deepStrictEqual(answer.json, receipt(1));
});

dbTest(
  "POST /events refuses 10,001 events and accepts 10,000",
  async (world) => {
    const events = Array.from(
      { length: EVENTS_PER_REQUEST_MAX + 1 },
      () => enrolled(),
    );
    assertProblem(await post(world, events), 413, "payload_too_large");
    strictEqual(await countEvents(world), 0);
    const answer = await post(world, events.slice(1));
    deepStrictEqual(answer.json, receipt(EVENTS_PER_REQUEST_MAX));
  },
);

/** As deep as 8 MiB allow. */
const DEEP = [
  "[".repeat(4_000_000) + "]".repeat(4_000_000),
  `{"a":`.repeat(500_000) + "1" + "}".repeat(500_000),
  "[".repeat(8_000_000),
];

dbTest("POST /events survives deep JSON", async (world) => {
  for (const body of DEEP) {
    const headers = { "content-type": "application/json" };
    const answer = await post(world, undefined, { body, headers });
    ok([400, 422].includes(answer.status), String(answer.status));
  }
  for (
    const line of [
      `{"id":${"[".repeat(30_000)}`,
      `{"id":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    ]
  ) {
    const answer = await postLines(world, line);
    assertProblem(answer, 422, "all_events_rejected");
  }
});

dbTest("POST /events reads lines whatever ends them", async (world) => {
  const lines = Array.from({ length: 4 }, () => JSON.stringify(enrolled()));
  const body = `\r\n${lines[0]}\n\n  ${lines[1]}  \r\n${lines[2]}\n\n${
    lines[3]
  }`;
  deepStrictEqual((await postLines(world, body)).json, receipt(4));
  // Cut at every byte, also within a character.
  const bytes = new TextEncoder().encode(
    JSON.stringify(enrolled({ id: "é🎉" })) + "\n",
  );
  const byByte = streamOf(Array.from(bytes, (byte) => new Uint8Array([byte])));
  deepStrictEqual((await postLines(world, byByte)).json, receipt(1));
});

dbTest("POST /events takes no lines for nothing", async (world) => {
  for (const body of ["", "\n\n \n"]) {
    const answer = await postLines(world, body);
    strictEqual(answer.status, 202);
    deepStrictEqual(answer.json, receipt(0));
  }
});

dbTest("POST /events costs a broken line only itself", async (world) => {
  const good = () => JSON.stringify(enrolled());
  const answer = await postLines(
    world,
    [good(), "", "{", good(), "nonsense", `[${good()}]`, "null", good()]
      .join("\n"),
  );
  strictEqual(answer.status, 202);
  strictEqual(answer.json.accepted, 3);
  strictEqual(answer.json.rejected, 4);
  deepStrictEqual(
    answer.json.errors.map((error: { index: number }) => error.index),
    [1, 3, 4, 5],
  );
  deepStrictEqual([...new Set(codes(answer))], ["invalid_event"]);
  strictEqual(answer.json.errors[0].id, null);
});

dbTest("POST /events costs an endless line only itself", async (world) => {
  const good = () => `${JSON.stringify(enrolled())}\n`;
  const long = `{"id":"${"x".repeat(LINE_BYTES_MAX)}"}\n`;
  const answer = await postLines(
    world,
    streamOf([good(), ...new Array(9).fill(MIB), "\n", good(), long, good()]),
  );
  strictEqual(answer.json.accepted, 3);
  deepStrictEqual(
    answer.json.errors.map((error: { index: number }) => error.index),
    [1, 3],
  );
  match(answer.json.errors[0].message, /65536 bytes/);
});

dbTest("POST /events refuses a line that is not UTF-8", async (world) => {
  const [head, tail] = JSON.stringify(enrolled({ id: "*" })).split("*");
  const line = (byte: number) => [head!, new Uint8Array([byte]), `${tail}\n`];
  const answer = await postLines(
    world,
    streamOf([...line(0xfe), ...line(0xff), JSON.stringify(enrolled())]),
  );
  strictEqual(answer.json.accepted, 1);
  deepStrictEqual(codes(answer), ["invalid_event", "invalid_event"]);
});

function* lines(count: number): Generator<string> {
  for (let i = 0; i < count; i++) {
    yield `${
      JSON.stringify(enrolled({ id: `line-${i}`, execution_id: STEP }))
    }\n`;
  }
}

dbTest(
  "POST /events keeps what was committed of a stream that breaks",
  async (world) => {
    const body = streamOf(
      lines(2 * NDJSON_CHUNK_EVENTS + 5),
      (controller) => controller.error(new Error("connection reset")),
    );
    const answer = await postLines(world, body);
    assertProblem(answer, 400, "incomplete_body");
    strictEqual(answer.json.accepted, 2 * NDJSON_CHUNK_EVENTS);
    strictEqual(await countEvents(world), 2 * NDJSON_CHUNK_EVENTS);
    strictEqual(world.rings.count, 1);

    const whole = streamOf(lines(2 * NDJSON_CHUNK_EVENTS + 5));
    deepStrictEqual(
      (await postLines(world, whole)).json,
      receipt(5, 2 * NDJSON_CHUNK_EVENTS),
    );
  },
);

dbTest(
  "POST /events refuses JSON that breaks off, and stores nothing",
  async (world) => {
    const body = streamOf(
      [`[${JSON.stringify(enrolled())}`],
      (controller) => controller.error(new Error("connection reset")),
    );
    const headers = { "content-type": "application/json" };
    const answer = await post(world, undefined, { body, headers });
    assertProblem(answer, 400, "incomplete_body");
    strictEqual(await countEvents(world), 0);
  },
);

/** Begins a request on a connection of its own, sends some lines, and hangs up. */
async function hangUp(world: World, port: number, count: number) {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const write = async (text: string) => {
    const bytes = new TextEncoder().encode(text);
    for (let from = 0; from < bytes.length;) {
      from += await connection.write(bytes.subarray(from));
    }
  };
  await write([
    "POST /api/v1/events HTTP/1.1",
    "host: 127.0.0.1",
    `authorization: Bearer ${world.key}`,
    "content-type: application/x-ndjson",
    "transfer-encoding: chunked",
    "\r\n",
  ].join("\r\n"));
  const text = [...lines(count)].join("");
  await write(`${text.length.toString(16)}\r\n${text}\r\n`);
  await until(
    "the first chunks are committed",
    async () => await countEvents(world) > 0,
  );
  connection.close();
}

dbTest("POST /events survives a client that hangs up", async (world) => {
  const errors: string[] = [];
  const quiet = () => {};
  const log = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (message: string) => void errors.push(message),
  };
  let rings = 0;
  const app = appWith(world, { log, eventsAccepted: () => rings++ });
  await using server = serve(app.fetch);
  await hangUp(world, server.port, NDJSON_CHUNK_EVENTS + 5);
  await until("the route noticed", () => rings === 1);
  strictEqual(await countEvents(world), NDJSON_CHUNK_EVENTS);
  deepStrictEqual(errors, []);
  const alive = await fetch(`${server.url}/healthz`);
  deepStrictEqual(await alive.json(), { status: "ok" });
});

dbTest(
  "POST /events tells how far it came when the database goes",
  async (world) => {
    const sql = connect(world.database_url, {
      max: 1,
      statementTimeoutMs: 30_000,
    });
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const app = appWith(world, { sql, log: silent });
    function* linesThenOutage() {
      yield* lines(NDJSON_CHUNK_EVENTS);
      yield "\n";
      void sql.end({ timeout: 0 });
      yield* lines(NDJSON_CHUNK_EVENTS);
    }
    const answer = await postLines(world, streamOf(linesThenOutage()), { app });
    await sql.end();
    assertProblem(answer, 503, "unavailable");
    ok(Number(answer.headers.get("retry-after")) > 0);
    strictEqual(answer.json.accepted, await countEvents(world));
  },
);

dbTest("POST /events judges age by the server's clock", async (world) => {
  const event = enrolled({ occurred_at: at(10) });
  assertProblem(await post(world, event), 422, "all_events_rejected");
  world.clock.now = new Date(NOW.getTime() + 6 * 60_000);
  deepStrictEqual((await post(world, event)).json, receipt(1));
});
