/**
 * Requests as the document describes them, good and spoilt, and what may be answered.
 *
 * @module
 */

import { ok } from "node:assert/strict";
import fc from "fast-check";
import type {
  JsonSchema,
  OpenApi,
  OpenApiOperation,
  OpenApiParameter,
} from "../routes/openapi.ts";
import { isValid } from "./documented.ts";

/** One request. */
export interface FuzzRequest {
  method: string;
  /** As documented. */
  path: string;
  /** What is asked for, with its query. */
  address: string;
  /** Pairs, before they were written into the address. */
  query: [name: string, value: string][];
  mediaType?: string;
  /** What the body says; `undefined`: nothing. */
  body?: unknown;
  headers: Record<string, string>;
}

/** What is written where something else is expected. None of it is in our own messages. */
const STRANGE = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "ﷺ\u202e😀",
  "x".repeat(70_000),
  "'; drop table workflow; --",
  "1' or '1'='1",
  "$1::int",
  "%_\\%",
  '=HYPERLINK("http://127.0.0.1")',
  "@SUM(1+1)|cmd",
  "{{7*7}}${7*7}",
  "../../etc/passwd",
  "null",
  "undefined",
  "NaN",
  "-1",
  "1e309",
  "99999999999999999999",
  "0x10",
  "2026-02-30",
  "9999-12-31",
  "2026-06-15T12:00:00",
  "__proto__",
];

/** Deeper than any of ours, and than what careless readers take. */
const DEEP = JSON.parse(`${"[".repeat(2_000)}${"]".repeat(2_000)}`);

const strange: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown>(...STRANGE) },
  fc.constantFrom<unknown>(null, true, [], {}, [[]], { id: {} }, DEEP),
  fc.constantFrom<unknown>(0, -1, 0.5, 2 ** 31, 2 ** 53, 1e308),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.jsonValue({ maxDepth: 3 }),
);

/** How a good value is spoilt. */
interface Spoiling {
  how: "replace" | "add" | "drop" | "repeat";
  /** Where, of all places there are. */
  place: number;
  value: unknown;
  name: string;
}

const spoiling: fc.Arbitrary<Spoiling> = fc.record({
  how: fc.constantFrom("replace", "add", "drop", "repeat"),
  place: fc.nat(1_000),
  value: strange,
  name: fc.constantFrom("unknown", "constructor", "a.b", "x".repeat(300), "é"),
});

/** Mostly good: what is refused at once reaches nothing behind the checks. */
const spoilings = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Spoiling[]>([]) },
  { weight: 2, arbitrary: fc.array(spoiling, { minLength: 1, maxLength: 2 }) },
);

/**
 * Requests of every operation of a document.
 *
 * @param document Which.
 * @param known Values of names and formats that lead to something that is there.
 */
export function requestsOf(
  document: OpenApi,
  known: Record<string, fc.Arbitrary<unknown>>,
): fc.Arbitrary<FuzzRequest> {
  const all = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) =>
      requestOf(document, method.toUpperCase(), path, operation, known)
    )
  );
  return fc.oneof(...all);
}

function requestOf(
  document: OpenApi,
  method: string,
  path: string,
  { parameters = [], requestBody }: OpenApiOperation,
  known: Record<string, fc.Arbitrary<unknown>>,
): fc.Arbitrary<FuzzRequest> {
  const valueOf = (schema: JsonSchema, name: string) =>
    fromSchema(document, schema, known, name);
  const inPath = parameters.filter((one) => one.in === "path");
  const inQuery = parameters.filter((one) => one.in === "query");
  const nameOf = ({ name }: OpenApiParameter) => name;
  // Few at a time: many seldom go together.
  const query = fc.tuple(
    fc.record(Object.fromEntries(
      inQuery.map(({ name, schema }) => [name, valueOf(schema, name)]),
    )),
    fc.subarray(inQuery.filter((one) => !one.required).map(nameOf), {
      maxLength: Math.min(3, inQuery.filter((one) => !one.required).length),
    }),
    fc.boolean(),
  ).map(([all, optional, asExample]) => {
    const examples = new Map(
      inQuery.map(({ name, example }) => [name, example] as const)
        .filter(([, example]) => asExample && example !== undefined),
    );
    const names = inQuery.filter(({ required }) => required).map(nameOf);
    return [...new Set([...names, ...examples.keys(), ...optional])].map(
      (name): [string, string] => [
        name,
        examples.get(name) ?? textOf(all[name]),
      ],
    );
  });
  const kinds = Object.entries(requestBody?.content ?? {});
  const body = kinds.length === 0
    ? fc.constant({ mediaType: undefined, body: undefined })
    : fc.oneof(
      ...kinds.map(([mediaType, { schema, example }]) =>
        fc.record({
          mediaType: fc.constant<string | undefined>(mediaType),
          body: fc.oneof(
            { weight: 3, arbitrary: valueOf(schema!, "body") },
            example === undefined
              ? valueOf(schema!, "body")
              : fc.constant(example),
          ),
        })
      ),
    );
  return fc.record({
    segments: fc.tuple(
      ...inPath.map(({ name, schema }) =>
        fc.oneof({ weight: 9, arbitrary: valueOf(schema, name) }, strange)
      ),
    ),
    query,
    body,
    ofQuery: spoilings,
    ofBody: spoilings,
    authorization: fc.oneof(
      { weight: 30, arbitrary: fc.constant("Bearer $KEY") },
      fc.constantFrom("Bearer", "Bearer x.y.z", "Basic OjpA", "é".repeat(9)),
    ),
  }).map(({ segments, query, body, ofQuery, ofBody, authorization }) => {
    let at = 0;
    const address = path.replaceAll(
      /\{\w+\}/g,
      () => encode(textOf(segments[at++])),
    );
    const pairs = spoilPairs(query, ofQuery);
    const search = pairs.map(([name, value]) =>
      `${encode(name)}=${encode(value)}`
    ).join("&");
    return {
      method,
      path,
      address: search ? `${address}?${search}` : address,
      query: pairs,
      mediaType: body.mediaType,
      body: body.mediaType && ofBody.reduce(spoil, body.body),
      headers: { authorization },
    };
  });
}

/** Half characters cannot be written in an address. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

function spoilPairs(
  pairs: [string, string][],
  spoilings: Spoiling[],
): [string, string][] {
  for (const { how, place, value, name } of spoilings) {
    const text = textOf(value).slice(0, 5_000);
    const at = place % Math.max(1, pairs.length);
    if (how === "add" || pairs.length === 0) pairs = [...pairs, [name, text]];
    else if (how === "drop") pairs = pairs.toSpliced(at, 1);
    else if (how === "replace") pairs = pairs.with(at, [pairs[at]![0], text]);
    // One parameter doubled, or a thousand that are none.
    else if (place % 2) pairs = [...pairs, [pairs[at]![0], text]];
    else pairs = pairs.concat(Array(1_000).fill([name, "1"]));
  }
  return pairs;
}

/** Changes one place of a body, which is copied. */
function spoil(body: unknown, { how, place, value, name }: Spoiling): unknown {
  const whole = { body: structuredClone(body) };
  const holders = holdersIn(whole);
  const { holder, key } = holders[place % holders.length]!;
  if (how === "replace") holder[key] = value;
  else if (how === "repeat") holder[key] = [holder[key], holder[key]];
  else if (how === "drop" && holder !== whole as unknown) delete holder[key];
  else if (typeof holder[key] === "object" && holder[key] !== null) {
    Object.defineProperty(holder[key], name, {
      value,
      enumerable: true,
      configurable: true,
    });
  }
  return whole.body;
}

/** Every place in a value, as who holds it and under which key. */
function holdersIn(
  value: unknown,
): { holder: Record<string, unknown>; key: string }[] {
  if (typeof value !== "object" || value === null) return [];
  const holder = value as Record<string, unknown>;
  return Object.keys(holder).flatMap((
    key,
  ) => [{ holder, key }, ...holdersIn(holder[key])]);
}

/** Values that a schema admits, at and near its limits; some that only nearly fit. */
function fromSchema(
  document: OpenApi,
  schema: JsonSchema,
  known: Record<string, fc.Arbitrary<unknown>>,
  name: string,
): fc.Arbitrary<unknown> {
  const inner = (child: JsonSchema, childName = name) =>
    fromSchema(document, child, known, childName);
  if (schema.$ref) {
    const id = schema.$ref.split("/").at(-1)!;
    return inner(document.components.schemas[id]!);
  }
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) {
    return fc.oneof(...choices.map((one) => inner(one as JsonSchema)));
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const given = known[name] ?? known[schema.format ?? ""];
  if (given) return given;
  switch (schema.type) {
    case "string":
      return strings(schema);
    case "integer":
    case "number":
      return numbers(schema);
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(inner(schema.items as JsonSchema), { maxLength: 4 });
    case "object": {
      const { properties = {}, required = [] } = schema;
      return fc.record(
        Object.fromEntries(
          Object.entries(properties).map(([key, value]) =>
            [key, inner(value as JsonSchema, key)] as const
          ),
        ),
        { requiredKeys: required },
      );
    }
    default:
      return fc.jsonValue({ maxDepth: 3 });
  }
}

function strings(
  { minLength = 0, maxLength = 100, pattern }: JsonSchema,
): fc.Arbitrary<string> {
  if (pattern) {
    try {
      return fc.stringMatching(new RegExp(pattern));
    } catch { /* It looks ahead, which cannot be generated. */ }
  }
  return fc.oneof(
    { weight: 6, arbitrary: fc.string({ minLength, maxLength: 20 }) },
    fc.string({ unit: "grapheme", minLength, maxLength: 20 }),
    fc.constantFrom("x".repeat(minLength), "é".repeat(maxLength)),
    fc.constant("x".repeat(maxLength + 1)),
    fc.constantFrom(...STRANGE.filter((text) => text.length <= 100)),
  );
}

function numbers(
  { type, minimum = -(2 ** 53), maximum = 2 ** 53 }: JsonSchema,
): fc.Arbitrary<number> {
  const inside = type === "integer"
    ? fc.integer({ min: Math.max(minimum, 0), max: Math.min(maximum, 2 ** 31) })
    : fc.double({ min: minimum, max: maximum, noNaN: true });
  return fc.oneof(
    { weight: 6, arbitrary: inside },
    fc.constantFrom(minimum, maximum, minimum - 1, maximum + 1),
  );
}

/**
 * Asserts that what the document does not allow was not accepted.
 *
 * @param document Which.
 * @param request What was sent.
 * @param answer What came back; `rejected` counts events that were refused one by one.
 */
export function assertRefusesForbidden(
  document: OpenApi,
  { method, path, query, mediaType = "", body }: FuzzRequest,
  { status, json }: { status: number; json?: { rejected?: number } },
): void {
  if (status >= 400) return;
  const at = ["paths", path, method.toLowerCase()];
  const { parameters = [] } = document.paths[path]![method.toLowerCase()]!;
  // Addresses that take no query do not look at it.
  if (parameters.some((one) => one.in === "query")) {
    const names = query.map(([name]) => name);
    ok(names.length === new Set(names).size, "A parameter was taken twice");
    for (const [name, text] of query) {
      const place = parameters.findIndex((one) =>
        one.in === "query" && one.name === name
      );
      ok(place >= 0, `The unknown parameter ${name.slice(0, 80)} was taken`);
      const isNumber = parameters[place]!.schema.type === "integer";
      ok(
        isValid(
          [...at, "parameters", String(place), "schema"],
          isNumber ? Number(text) : text.toWellFormed(),
        ),
        `${name}=${text.slice(0, 80)} was taken`,
      );
    }
    for (const one of parameters.filter((one) => one.in === "query")) {
      ok(!one.required || names.includes(one.name), `${one.name} was missed`);
    }
  }
  if (!/[/+]json$|\*$/.test(mediaType)) return;
  // As it is once it was sent.
  const sent = JSON.parse(JSON.stringify(body) ?? "null");
  const isGood = isValid(
    [...at, "requestBody", "content", mediaType, "schema"],
    sent,
  );
  const said = JSON.stringify(sent).slice(0, 2_000);
  ok(isGood || (json?.rejected ?? 0) > 0, `${said} was taken`);
  if (path !== "/api/v1/events" || mediaType !== "application/json") return;
  const bad = [sent].flat().filter((event) =>
    !isValid(["components", "schemas", "Event"], event)
  );
  ok(bad.length <= json!.rejected!, `Some of ${said} was taken`);
}
