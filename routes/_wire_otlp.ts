/**
 * Traces of OpenTelemetry as our events: a span that names a step or says what it is
 * becomes what happened when it began and when it ended. OTLP 1 over HTTP, as JSON and
 * as protobuf; both are read into one shape.
 *
 * @module
 */

import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { z } from "zod";
import { ERROR_LENGTH_MAX } from "../db/schema.ts";
import { AppError } from "./_errors.ts";

/** Nanoseconds since 1970, which JSON carries as text. */
const Nanoseconds = z.union([z.string().regex(/^\d{1,19}$/), z.int().min(0)])
  .transform(BigInt);

/** In protobuf's JSON whatever has its default may be missing, or null. */
function orElse<Schema extends z.ZodType>(
  schema: Schema,
  missing: z.output<Schema>,
) {
  return schema.nullish().transform((value) => value ?? missing);
}

/** Lists and maps say nothing to us, and nothing is `undefined`. */
const Value = z.object({
  stringValue: z.string().nullish(),
  boolValue: z.boolean().nullish(),
  intValue: z.union([z.string().regex(/^-?\d{1,19}$/), z.number()]).nullish(),
  doubleValue: z.number().nullish(),
}).nullish().transform((value) =>
  value?.stringValue ?? value?.boolValue ??
    (value?.intValue == null
      ? value?.doubleValue ?? undefined
      : Number(value.intValue))
);

/** Of several with one name the last counts. */
const Attributes = z.array(
  z.object({ key: orElse(z.string(), ""), value: Value }),
).nullish().transform((list) =>
  Object.fromEntries((list ?? []).map(({ key, value }) => [key, value]))
);
type Attributes = z.infer<typeof Attributes>;

/** One that has not ended, or whose exporter knows no times, says 0. */
const Span = z.object({
  traceId: z.string().regex(/^[0-9a-f]{32}$/i).toLowerCase(),
  spanId: z.string().regex(/^[0-9a-f]{16}$/i).toLowerCase(),
  startTimeUnixNano: orElse(Nanoseconds, 0n),
  endTimeUnixNano: orElse(Nanoseconds, 0n),
  attributes: Attributes,
  events: orElse(
    z.array(z.object({
      timeUnixNano: orElse(Nanoseconds, 0n),
      name: orElse(z.string(), ""),
      attributes: Attributes,
    })),
    [],
  ),
  status: orElse(
    z.object({
      message: orElse(z.string(), ""),
      code: orElse(z.number(), 0),
    }),
    { message: "", code: 0 },
  ),
});
type Span = z.infer<typeof Span>;

/** A request of OTLP. */
export const Traces = z.object({
  resourceSpans: orElse(
    z.array(z.object({
      resource: orElse(z.object({ attributes: Attributes }), {
        attributes: {},
      }),
      scopeSpans: orElse(
        z.array(z.object({ spans: orElse(z.array(Span), []) })),
        [],
      ),
    })),
    [],
  ),
});

/** OTLP's code of a span that failed. */
const STATUS_ERROR = 2;

/** What spans say, and how many of them say nothing of a workflow. */
export interface Trace {
  /** Not yet judged, in the order of the spans. */
  events: Record<string, unknown>[];
  /** Which span each of them is of, by its place in the request. */
  spans: number[];
  ignored: number;
}

/**
 * Reads a request of traces.
 *
 * @param request Its body: what JSON or {@linkcode decodeTraces} made of it.
 * @throws {AppError} When it is none.
 */
export function readTraces(request: unknown): Trace {
  const read = Traces.safeParse(request);
  if (!read.success) {
    throw new AppError("invalid_request", {
      errors: read.error.issues.slice(0, 10).map(({ path, message }) => ({
        path: path.map(String).join("."),
        message,
      })),
    });
  }
  const events: Record<string, unknown>[] = [];
  const spans: number[] = [];
  let seen = 0;
  let ignored = 0;
  for (const { resource, scopeSpans } of read.data.resourceSpans) {
    for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
      const own = eventsOf(span, resource.attributes);
      if (own.length === 0) ignored++;
      events.push(...own);
      spans.push(...own.map(() => seen));
      seen++;
    }
  }
  return { events, spans, ignored };
}

function eventsOf(span: Span, resource: Attributes): Record<string, unknown>[] {
  const own = span.attributes;
  const kind = own["weir.kind"] ??
    (own["weir.step_id"] === undefined ? undefined : "step");
  if (kind === undefined) return [];
  // Of the whole process where the span does not say.
  const of = (name: string) => own[`weir.${name}`] ?? resource[`weir.${name}`];
  const execution_id = of("execution_id") ??
    span.traceId.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  const common = {
    workflow_id: of("workflow_id"),
    workflow_version: of("workflow_version"),
    execution_id,
    contact_id: of("contact_id") ?? execution_id,
  };
  const id = `${span.traceId}:${span.spanId}`;
  return [
    ...phasesOf(String(kind), span, of).map(([what, at, fields]) => ({
      ...common,
      id: `${id}:${what}`,
      occurred_at: instantOf(at),
      ...fields,
    })),
    ...span.events.flatMap(({ name, timeUnixNano, attributes }, n) =>
      name !== "goal.achieved" ? [] : [{
        ...common,
        id: `${id}:goal:${n}`,
        type: name,
        occurred_at: instantOf(timeUnixNano),
        goal_id: attributes["weir.goal_id"],
      }]
    ),
  ];
}

/** What a span tells: a name for the id, when, and what. */
function phasesOf(
  kind: string,
  { startTimeUnixNano: start, endTimeUnixNano: end, status }: Span,
  of: (name: string) => unknown,
): [string, bigint, Record<string, unknown>][] {
  const failed = status.code === STATUS_ERROR;
  const text = storable(status.message);
  const error = text === "" ? {} : { error: text };
  const step_id = of("step_id");
  switch (kind) {
    case "step":
      return [
        ["entered", start, { type: "step.entered", step_id }],
        ...(failed ? [] : [
          ["completed", end, { type: "step.completed", step_id }],
        ] as [string, bigint, Record<string, unknown>][]),
      ];
    case "action":
      return [["executed", end, {
        type: "action.executed",
        step_id,
        status: failed ? "failed" : "succeeded",
        duration_ms: Number((end - start) / 1_000n) / 1_000,
        ...(failed ? error : {}),
      }]];
    case "execution": {
      const reason = of("exit_reason");
      return [
        ["enrolled", start, {
          type: "execution.enrolled",
          source: of("source") ?? "api",
        }],
        ["ended", end, {
          ...(failed
            ? { type: "execution.failed", ...error }
            : reason === undefined
            ? { type: "execution.completed" }
            : { type: "execution.exited", reason }),
        }],
      ];
    }
    default:
      return [["unknown", start, { type: kind }]];
  }
}

/** As much of a text as an event's error may be. */
function storable(text: string): string {
  return text.replaceAll("\0", "").slice(0, ERROR_LENGTH_MAX).toWellFormed();
}

/** What is below a microsecond is dropped, as everywhere. */
function instantOf(nanoseconds: bigint): string {
  const microseconds = nanoseconds / 1_000n;
  const date = new Date(Number(microseconds / 1_000n));
  // The year 9999 is the last that an instant can have.
  if (Number.isNaN(date.getTime())) return String(nanoseconds);
  const below = String(microseconds % 1_000n).padStart(3, "0");
  return date.toISOString().replace("Z", `${below}Z`);
}

/** A field of a message: what it is called in JSON, and how it is read. */
type Field = [name: string, read: (reader: BinaryReader) => unknown, list?: 1];

const TEXT = (reader: BinaryReader) => reader.string();
const LONG = (reader: BinaryReader) => String(reader.fixed64());
const HEX = (reader: BinaryReader) =>
  Array.from(reader.bytes(), (byte) => byte.toString(16).padStart(2, "0"))
    .join("");

const VALUE = message({
  1: ["stringValue", TEXT],
  2: ["boolValue", (reader) => reader.bool()],
  3: ["intValue", (reader) => String(reader.int64())],
  4: ["doubleValue", (reader) => reader.double()],
});
const ATTRIBUTE = message({ 1: ["key", TEXT], 2: ["value", VALUE] });
const SPAN = message({
  1: ["traceId", HEX],
  2: ["spanId", HEX],
  7: ["startTimeUnixNano", LONG],
  8: ["endTimeUnixNano", LONG],
  9: ["attributes", ATTRIBUTE, 1],
  11: [
    "events",
    message({
      1: ["timeUnixNano", LONG],
      2: ["name", TEXT],
      3: ["attributes", ATTRIBUTE, 1],
    }),
    1,
  ],
  15: [
    "status",
    message({ 2: ["message", TEXT], 3: ["code", (reader) => reader.int32()] }),
  ],
});
const RESOURCE_SPANS = message({
  1: ["resource", message({ 1: ["attributes", ATTRIBUTE, 1] })],
  2: ["scopeSpans", message({ 2: ["spans", SPAN, 1] }), 1],
});

/**
 * Reads a request in protobuf.
 *
 * @param body As it was sent.
 * @returns The same as JSON would be, unchecked.
 * @throws {AppError} When it is not protobuf.
 */
export function decodeTraces(body: Uint8Array): unknown {
  try {
    return fieldsOf(new BinaryReader(body), body.length, {
      1: ["resourceSpans", RESOURCE_SPANS, 1],
    });
  } catch (cause) {
    throw new AppError("invalid_request", {
      detail: "The body is no OTLP request in protobuf",
      cause,
    });
  }
}

/** A message inside another: its length, then its fields. */
function message(fields: Record<number, Field>) {
  return (reader: BinaryReader) => {
    const length = reader.uint32();
    return fieldsOf(reader, reader.pos + length, fields);
  };
}

function fieldsOf(
  reader: BinaryReader,
  end: number,
  fields: Record<number, Field>,
): Record<string, unknown> {
  if (end > reader.len) throw new RangeError("A message ends after its body");
  const found: Record<string, unknown> = {};
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields[number];
    if (field === undefined) {
      reader.skip(wireType, number);
      continue;
    }
    const [name, read, list] = field;
    if (list) found[name] ??= [] as unknown[];
    const value = read(reader);
    if (list) (found[name] as unknown[]).push(value);
    else found[name] = value;
  }
  if (reader.pos !== end) {
    throw new RangeError("A field ends after its message");
  }
  return found;
}

/**
 * What OTLP answers in protobuf.
 *
 * @param rejected Spans; 0 is an empty answer.
 * @param message Why.
 */
export function encodeAnswer(
  rejected: number,
  message: string,
): Uint8Array<ArrayBuffer> {
  if (rejected === 0) return new Uint8Array();
  return new BinaryWriter().tag(1, 2).fork()
    .tag(1, 0).int64(rejected).tag(2, 2).string(message)
    .join().finish();
}
