/**
 * Clients as their makers ship them, told nothing but where to send: whatever they put
 * on the wire is taken in.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Analytics as Segment } from "@segment/analytics-node";
import RudderStack from "@rudderstack/rudder-sdk-node";
import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from "cloudevents";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { PostHog } from "posthog-node";
import { createKey } from "../../db/access.ts";
import { createLimiter } from "../../routes/_limit.ts";
import { dbTest, withDatabase, type World } from "../harness.ts";
import { serve, type Served } from "../serve.ts";
import {
  appWith,
  assertProblem,
  at,
  countEvents,
  enrolled,
  GOAL,
  post,
  send,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

/** An answer as it went over the wire. */
interface Reply {
  status: number;
  // deno-lint-ignore no-explicit-any
  body: any;
}

/** A port that real clients reach, and what they were answered. */
interface Port extends Served {
  replies: Reply[];
  requests: { path: string; headers: Headers }[];
}

function listen(world: World): Port {
  const app = appWith(world);
  const replies: Reply[] = [];
  const requests: Port["requests"] = [];
  const server = serve(async (request) => {
    requests.push({
      path: new URL(request.url).pathname,
      headers: request.headers,
    });
    const response = await app.request(request);
    replies.push({
      status: response.status,
      body: await response.clone().json().catch(() => null),
    });
    return response;
  });
  return { ...server, replies, requests };
}

/** Clients leave answers unread and connections open, which is theirs to do. */
function clientTest(name: string, test: (world: World) => Promise<void>): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => withDatabase(test),
  });
}

/** What the world has stored, in the order of events. */
async function stored({ sql }: World) {
  const rows = await sql`
    select type, event_id, contact_id, occurred_at, subject_uuid, source,
      succeeded, duration_us::int, reason
    from weir.event order by occurred_at, sequence, event_id`;
  return [...rows];
}

const EXECUTION = "44444444-4444-4444-8444-444444444444";
const OF_EXECUTION = { workflow_id: WORKFLOW, execution_id: EXECUTION };

/** One of each kind of field, a minute apart. */
const JOURNEY = [
  { type: "execution.enrolled", fields: { source: "trigger" } },
  { type: "step.entered", fields: { step_id: STEP } },
  {
    type: "action.executed",
    fields: { step_id: STEP, status: "succeeded", duration_ms: 12.5 },
  },
  { type: "step.completed", fields: { step_id: STEP } },
  { type: "goal.achieved", fields: { goal_id: GOAL } },
  { type: "execution.exited", fields: { reason: "unsubscribed" } },
].map((event, n) => ({ ...event, occurred_at: new Date(at(n - 60)) }));

/** What {@linkcode JOURNEY} is in store. */
function journeyOf(ids: string[], contact: string) {
  return JOURNEY.map(({ type, fields, occurred_at }, n) => ({
    type,
    event_id: ids[n],
    contact_id: contact,
    occurred_at,
    subject_uuid: fields.step_id ?? fields.goal_id ?? null,
    source: fields.source ?? null,
    succeeded: fields.status === undefined ? null : true,
    duration_us: fields.duration_ms === undefined ? null : 12_500,
    reason: fields.reason ?? null,
  }));
}

for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
  clientTest(
    `POST /events takes cloudevents in ${mode} mode`,
    async (world) => {
      await using port = listen(world);
      const emit = emitterFor(httpTransport(`${port.url}/api/v1/events`), {
        mode,
      });
      for (const { type, fields, occurred_at } of JOURNEY) {
        const event = new CloudEvent({
          id: `ünïque %41 ${type}`,
          source: "/tests",
          type,
          time: occurred_at.toISOString(),
          traceparent:
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
          data: { ...OF_EXECUTION, ...fields, contact_id: "ada" },
        });
        // The header cannot carry what is not ASCII but escaped, which the SDK leaves to us.
        const sent = mode === Mode.BINARY
          ? event.cloneWith({ id: encodeURIComponent(event.id) })
          : event;
        await emit(sent, {
          headers: { authorization: `Bearer ${world.key}` },
        });
      }
      deepStrictEqual(port.replies.map(({ status }) => status), [
        ...JOURNEY.map(() => 202),
      ]);
      deepStrictEqual(
        await stored(world),
        journeyOf(JOURNEY.map(({ type }) => `ünïque %41 ${type}`), "ada"),
      );
    },
  );
}

dbTest("POST /events judges each of a batch of cloudevents", async (world) => {
  function envelope(change: Record<string, unknown> = {}) {
    const { id, type, occurred_at, ...data } = enrolled();
    return new CloudEvent({
      id: id as string,
      type: type as string,
      time: occurred_at as string,
      source: "/tests",
      data,
      ...change,
    }, false);
  }
  const good = envelope();
  const text = JSON.stringify(good.data);
  const events = [
    good,
    good,
    envelope({ data: undefined, data_base64: btoa(text), id: "bytes" }),
    // Without a time of its own the data says when.
    { ...envelope().toJSON(), time: undefined, data: enrolled() },
    envelope({ id: "b", type: "com.example.other" }),
    { ...envelope().toJSON(), id: "d", specversion: "0.3" },
    { ...envelope().toJSON(), id: "e", data: [1] },
    { ...envelope().toJSON(), id: "f", datacontenttype: "text/xml" },
    { ...envelope().toJSON(), id: "g", data: undefined, data_base64: "%" },
    null,
  ];
  const answer = await post(world, undefined, {
    body: JSON.stringify(events),
    headers: { "content-type": "application/cloudevents-batch+json" },
  });
  strictEqual(answer.status, 202, answer.text);
  const { accepted, duplicates, errors } = answer.json;
  deepStrictEqual([accepted, duplicates], [3, 1]);
  deepStrictEqual(
    errors.map(({ index, id, code }: Record<string, unknown>) => [
      index,
      id,
      code,
    ]),
    ["b", "d", "e", "f", "g", null].map((
      id,
      n,
    ) => [n + 4, id, "invalid_event"]),
  );
  match(errors[1].message, /^CloudEvent: specversion: /);

  const one = HTTP.structured(envelope({ id: "alone" }));
  const structured = await post(world, undefined, {
    body: one.body as string,
    headers: { "content-type": "application/cloudevents+json; charset=utf-8" },
  });
  strictEqual(structured.status, 202, structured.text);
});

dbTest("POST /events refuses cloudevents of other formats", async (world) => {
  const sendings: [string, number, string, Record<string, string>?][] = [
    ["application/cloudevents+xml", 415, "unsupported_media_type"],
    ["application/cloudevents-batch+json", 400, "invalid_request"],
    ["text/xml", 415, "unsupported_media_type", { "ce-specversion": "1.0" }],
    ["application/json", 422, "all_events_rejected", { "ce-specversion": "1" }],
  ];
  for (const [type, status, code, more = {}] of sendings) {
    const headers = { "content-type": type, ...more };
    const answer = await post(world, undefined, { body: "{}", headers });
    assertProblem(answer, status, code, type);
  }
});

clientTest("POST /v1/batch takes @segment/analytics-node", async (world) => {
  await using port = listen(world);
  const client = new Segment({ writeKey: world.key, host: port.url });
  const failures: unknown[] = [];
  client.on("error", (error) => failures.push(error));
  for (const [n, { type, fields, occurred_at }] of JOURNEY.entries()) {
    client.track({
      userId: "ada",
      event: type,
      messageId: `m${n}`,
      timestamp: occurred_at,
      properties: { ...OF_EXECUTION, ...fields },
    });
  }
  client.identify({ userId: "ada", traits: { plan: "free" } });
  client.page({ userId: "ada", name: "Home" });
  await client.flush();

  deepStrictEqual(failures, []);
  deepStrictEqual(port.replies, [{
    status: 200,
    body: {
      success: true,
      accepted: JOURNEY.length,
      duplicates: 0,
      rejected: 0,
      errors: [],
      ignored: 2,
    },
  }]);
  deepStrictEqual(
    await stored(world),
    journeyOf(JOURNEY.map((_, n) => `m${n}`), "ada"),
  );
});

clientTest(
  "POST /v1/batch takes @rudderstack/rudder-sdk-node, whose gzip calls itself a form",
  async (world) => {
    await using port = listen(world);
    const client = new RudderStack(world.key, { dataPlaneUrl: port.url });
    for (const [n, { type, fields, occurred_at }] of JOURNEY.entries()) {
      client.track(
        {
          anonymousId: "visitor",
          event: type,
          messageId: `m${n}`,
          timestamp: occurred_at,
          properties: { ...OF_EXECUTION, ...fields },
        } as Parameters<RudderStack["track"]>[0],
      );
    }
    await client.flush();

    deepStrictEqual(
      await stored(world),
      journeyOf(JOURNEY.map((_, n) => `m${n}`), "visitor"),
    );
    for (const { headers } of port.requests) {
      strictEqual(headers.get("content-encoding"), "gzip");
      match(headers.get("content-type")!, /x-www-form-urlencoded/);
    }
  },
);

clientTest("POST /batch/ takes posthog-node", async (world) => {
  await using port = listen(world);
  const client = new PostHog(world.key, { host: port.url });
  const uuids = JOURNEY.map(() => crypto.randomUUID());
  for (const [n, { type, fields, occurred_at }] of JOURNEY.entries()) {
    client.capture({
      distinctId: "ada",
      event: type,
      uuid: uuids[n],
      timestamp: occurred_at,
      properties: { ...OF_EXECUTION, ...fields },
    });
  }
  client.identify({ distinctId: "ada", properties: { plan: "free" } });
  await client.shutdown();

  deepStrictEqual(await stored(world), journeyOf(uuids, "ada"));
  deepStrictEqual(
    new Set(port.replies.map(({ status }) => status)),
    new Set([200]),
  );
  strictEqual(
    port.replies.reduce((sum, { body }) => sum + body.ignored, 0),
    1,
  );
});

clientTest(
  "clients of others may leave id and time to themselves",
  async (world) => {
    await using port = listen(world);
    world.clock.now = new Date();
    const event = "execution.enrolled";
    const properties = () => ({
      workflow_id: WORKFLOW,
      execution_id: crypto.randomUUID(),
      source: "api",
    });
    const segment = new Segment({ writeKey: world.key, host: port.url });
    segment.track({ userId: "ada", event, properties: properties() });
    await segment.flush();
    const rudder = new RudderStack(world.key, { dataPlaneUrl: port.url });
    rudder.track({ userId: "ada", event, properties: properties() });
    await rudder.flush();
    const posthog = new PostHog(world.key, { host: port.url });
    posthog.capture({ distinctId: "ada", event, properties: properties() });
    await posthog.shutdown();
    deepStrictEqual(
      port.replies.map(({ body }) => [body.accepted, body.errors]),
      [[1, []], [1, []], [1, []]],
    );
    for (const { occurred_at } of await stored(world)) {
      ok(Math.abs(occurred_at.getTime() - world.clock.now.getTime()) < 60_000);
    }
  },
);

clientTest("clients of others are told what is wrong", async (world) => {
  const reader = await createKey(world.sql, world.account.account_id, {
    scopes: ["analytics:read"],
  });
  const { id, type, occurred_at, ...properties } = enrolled();
  const track = { type: "track", event: type, messageId: id, properties };
  const capture = { event: type, uuid: id, timestamp: occurred_at, properties };
  const basic = (key: string) => ({
    authorization: `Basic ${btoa(`${key}:`)}`,
  });
  const batch = [{ ...track, timestamp: occurred_at }];

  for (
    const [key, status, code] of [
      ["weir_nobody", 401, "unauthenticated"],
      [reader, 403, "insufficient_scope"],
    ] as const
  ) {
    const segment = await send(world, "POST", "/v1/batch", {
      key: null,
      json: { batch },
      headers: basic(key),
    });
    assertProblem(segment, status, code);
    const posthog = await send(world, "POST", "/batch/", {
      key: null,
      json: { api_key: key, batch: [capture] },
    });
    assertProblem(posthog, status, code);
  }
  for (
    const authorization of ["", "Basic %", "Basic", "Digest a", "Basic Og=="]
  ) {
    const answer = await send(world, "POST", "/v1/batch", {
      key: null,
      json: { batch },
      headers: { authorization },
    });
    assertProblem(answer, 401, "unauthenticated", authorization);
  }
  strictEqual(await countEvents(world), 0);

  for (const json of [null, [], {}, { batch: {} }, { batch: 1 }]) {
    const answer = await send(world, "POST", "/v1/batch", { json });
    assertProblem(answer, 400, "invalid_request");
    assertProblem(
      await send(world, "POST", "/batch/", { key: null, json }),
      400,
      "invalid_request",
    );
  }
  // The one that says when is taken; the other is named.
  const mixed = await send(world, "POST", "/v1/batch", {
    json: { batch: [track, null, ...batch, { type: "screen" }] },
  });
  strictEqual(mixed.status, 200, mixed.text);
  deepStrictEqual(
    [mixed.json.accepted, mixed.json.rejected, mixed.json.ignored],
    [1, 1, 2],
  );
  match(mixed.json.errors[0].message, /occurred_at/);
  const none = await send(world, "POST", "/v1/batch", {
    json: { batch: [track] },
  });
  assertProblem(none, 422, "all_events_rejected");
  ok(none.json.errors[0].message.includes("occurred_at"));
});

for (
  const [format, Exporter] of [
    ["JSON", JsonExporter],
    ["protobuf", ProtobufExporter],
  ] as const
) {
  clientTest(
    `POST /v1/traces takes OpenTelemetry's ${format}`,
    async (world) => {
      await using port = listen(world);
      const provider = new TracerProvider({
        spanProcessors: [
          new BatchSpanProcessor({
            exporter: new Exporter({
              url: `${port.url}/v1/traces`,
              headers: { authorization: `Bearer ${world.key}` },
            }),
          }),
        ],
      });
      const tracer = provider.getTracer("tests");
      const minute = (n: number) => new Date(at(n - 60));
      const of = {
        "weir.workflow_id": WORKFLOW,
        "weir.execution_id": EXECUTION,
      };
      const run = tracer.startSpan("run", {
        startTime: minute(0),
        attributes: {
          ...of,
          "weir.kind": "execution",
          "weir.contact_id": "ada",
          "weir.source": "trigger",
          "weir.exit_reason": "unsubscribed",
          "weir.workflow_version": 2,
        },
      });
      const step = tracer.startSpan("step", {
        startTime: minute(1),
        attributes: { ...of, "weir.step_id": STEP },
      });
      const action = tracer.startSpan("mail", {
        startTime: minute(1),
        attributes: { ...of, "weir.kind": "action", "weir.step_id": STEP },
      });
      action.setStatus({ code: 2, message: "Timeout" });
      action.end(new Date(minute(1).getTime() + 250));
      tracer.startSpan("GET /", { startTime: minute(1) }).end(minute(2));
      step.addEvent("goal.achieved", { "weir.goal_id": GOAL }, minute(2));
      step.end(minute(3));
      run.end(minute(4));
      const failing = tracer.startSpan("broken step", {
        startTime: minute(5),
        attributes: { ...of, "weir.step_id": STEP, "weir.contact_id": "ada" },
      });
      failing.setStatus({ code: 2 });
      failing.end(minute(6));
      await provider.shutdown();

      deepStrictEqual(port.replies.map(({ status }) => status), [200]);
      const rows = await stored(world);
      deepStrictEqual(
        rows.map(({ type, occurred_at, subject_uuid, contact_id }) => [
          type,
          (occurred_at.getTime() - minute(0).getTime()) / 1_000,
          subject_uuid,
          contact_id,
        ]),
        [
          ["execution.enrolled", 0, null, "ada"],
          ["step.entered", 60, STEP, EXECUTION],
          ["action.executed", 60.25, STEP, EXECUTION],
          ["goal.achieved", 120, GOAL, EXECUTION],
          ["step.completed", 180, STEP, EXECUTION],
          ["execution.exited", 240, null, "ada"],
          ["step.entered", 300, STEP, "ada"],
        ],
      );
      const [enrolled, , executed, , , exited] = rows;
      deepStrictEqual(
        [enrolled!.source, executed!.succeeded, executed!.duration_us],
        ["trigger", false, 250_000],
      );
      strictEqual(exited!.reason, "unsubscribed");
      const [{ version, error }] = await world.sql`
      select max(version) as version, max(error) as error from weir.event` as [
        { version: number; error: string },
      ];
      deepStrictEqual([version, error], [2, "Timeout"]);
    },
  );
}

dbTest("POST /v1/traces passes over what it does not know", async (world) => {
  const attribute = (key: string, stringValue: string) => ({
    key,
    value: { stringValue },
  });
  const minutes = (n: number) => `${Date.parse(at(n))}000000`;
  const spans = [
    // Not ended, of somebody else, and with a value of a kind that OTLP may add.
    { traceId: "c".repeat(32), spanId: "d".repeat(16) },
    {
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      parentSpanId: null,
      startTimeUnixNano: minutes(-60),
      endTimeUnixNano: minutes(-59),
      attributes: [
        attribute("weir.workflow_id", WORKFLOW),
        attribute("weir.kind", "action"),
        attribute("weir.step_id", STEP),
        { key: "nothing" },
        { value: {} },
        { key: "empty", value: null },
        { key: "list", value: { arrayValue: { values: [] } } },
      ],
      events: null,
      // Cut amid a letter, and with what no text of Postgres holds.
      status: { code: 2, message: `\0${"x".repeat(999)}🌊` },
    },
  ];
  const answer = await send(world, "POST", "/v1/traces", {
    json: { resourceSpans: [{ resource: null, scopeSpans: [{ spans }] }] },
  });
  deepStrictEqual([answer.status, answer.json], [200, { partialSuccess: {} }]);
  const [row] = await world.sql`select type, error from weir.event`;
  deepStrictEqual([row!.type, row!.error], [
    "action.executed",
    `${"x".repeat(999)}\ufffd`,
  ]);
});

dbTest("POST /v1/traces says what it cannot take", async (world) => {
  const span = (attributes: Record<string, string>) => ({
    traceId: "A".repeat(32),
    spanId: "b".repeat(16),
    startTimeUnixNano: `${Date.parse(at(-60))}000000`,
    endTimeUnixNano: `${Date.parse(at(-60))}000999`,
    attributes: Object.entries(attributes)
      .map(([key, stringValue]) => ({ key, value: { stringValue } })),
  });
  const request = (...spans: unknown[]) => ({
    resourceSpans: [{
      resource: {
        attributes: [{
          key: "weir.workflow_id",
          value: { stringValue: WORKFLOW },
        }],
      },
      scopeSpans: [{ spans }],
    }],
  });
  const good = span({ "weir.kind": "execution" });
  // Both of its events are refused, and it is one.
  const bad = span({ "weir.step_id": "none" });
  const answer = await send(world, "POST", "/v1/traces", {
    json: request(good, bad),
  });
  strictEqual(answer.status, 200);
  strictEqual(answer.json.partialSuccess.rejectedSpans, 1);
  const [{ executions }] = await world.sql`
    select array_agg(distinct execution_id) as executions from weir.event` as [
    { executions: string[] },
  ];
  deepStrictEqual(executions, ["aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"]);

  const headers = { "content-type": "application/x-protobuf" };
  const wrong = [
    { json: { resourceSpans: 1 } },
    { json: [] },
    { json: request({ ...good, startTimeUnixNano: "soon" }) },
    { body: new Uint8Array([10, 200, 1]), headers },
    { body: new Uint8Array([255, 255, 255]), headers },
    { body: new Uint8Array([10, 2, 18, 200]), headers },
  ];
  for (const sending of wrong) {
    const answer = await send(world, "POST", "/v1/traces", sending);
    assertProblem(answer, 400, "invalid_request", JSON.stringify(sending));
  }
  const empty = await send(world, "POST", "/v1/traces", {
    body: new Uint8Array(),
    headers,
  });
  deepStrictEqual([empty.status, empty.text], [200, ""]);
  assertProblem(
    await send(world, "POST", "/v1/traces", { key: null, json: {} }),
    401,
    "unauthenticated",
  );
});

/** Bodies of one producer that are held at once; see `admission()`. */
const BODIES_MAX = 32;

for (
  const path of ["/api/v1/events", "/v1/batch", "/batch/", "/v1/traces"]
) {
  dbTest(`POST ${path} refuses a body that would only wait`, async (world) => {
    const { app } = world;
    const feeds = Array.from(
      { length: BODIES_MAX },
      () => new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>(),
    );
    const held = feeds.map(({ readable }) =>
      app.request(path, {
        method: "POST",
        headers: {
          authorization: `Bearer ${world.key}`,
          "content-type": "application/json",
        },
        body: readable,
      })
    );
    // Taken in once they are read.
    const writers = feeds.map(({ writable }) => writable.getWriter());
    await Promise.all(writers.map((one) => one.write(new Uint8Array([32]))));
    const refused = await send(world, "POST", path, { json: {} });
    assertProblem(refused, 503, "overloaded");
    ok(Number(refused.headers.get("retry-after")) > 0);
    await Promise.all(writers.map((one) => one.close()));
    for (const response of await Promise.all(held)) {
      strictEqual(response.status, 400);
      await response.body?.cancel();
    }
    const after = await send(world, "POST", path, { json: {} });
    ok(after.status !== 503, after.text);
  });
}

dbTest("who guesses keys of other clients is limited, too", async (world) => {
  const limiter = createLimiter({
    now: () => world.clock.now,
    upstash: null,
    perMinute: { stranger: 2 },
  });
  const app = appWith(world, { limiter });
  for (
    const [path, json] of [
      ["/v1/batch", { batch: [] }],
      ["/batch/", { api_key: "weir_no", batch: [] }],
      ["/v1/traces", {}],
      [`/webhooks/github/${"0".repeat(32)}`, {}],
    ] as const
  ) {
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) {
      const response = await app.request(path, {
        method: "POST",
        headers: {
          authorization: "Bearer weir_no",
          "content-type": "application/json",
        },
        body: JSON.stringify(json),
      }, { remoteAddr: { hostname: `192.0.2.${path.length}` } });
      await response.body?.cancel();
      statuses.push(response.status);
    }
    deepStrictEqual(statuses, [401, 401, 429], path);
  }
});
