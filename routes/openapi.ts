/**
 * `/openapi.json`: the API as an OpenAPI 3.1 document, made from the schemas that
 * validate.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import { sessionCookie } from "./_auth.ts";
import { type ErrorCode, ERRORS, Problem, PROBLEM_TYPE } from "./_errors.ts";
import { errorsOf, type Operation, OPERATIONS } from "./_operations.ts";
import type { Deps } from "./app.ts";

/** A JSON Schema of the dialect 2020-12, as far as ours go. */
export type JsonSchema = z.core.JSONSchema.JSONSchema;

/** As much of an OpenAPI 3.1 document as ours has. */
export interface OpenApi {
  openapi: string;
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  tags: { name: string }[];
  /** By path and method in lower case. */
  paths: Record<string, Record<string, OpenApiOperation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    securitySchemes: Record<string, unknown>;
  };
}

/** One operation of the document. */
export interface OpenApiOperation {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  security: Record<string, string[]>[];
  parameters?: OpenApiParameter[];
  requestBody?: { required: true; content: OpenApiContent };
  /** By status. */
  responses: Record<string, OpenApiResponse>;
}

/** A part of the path or of the query. */
export interface OpenApiParameter {
  name: string;
  in: "path" | "query";
  required: boolean;
  description?: string;
  schema: JsonSchema;
  example?: string;
}

/** One answer. */
export interface OpenApiResponse {
  description: string;
  headers?: Record<string, { description: string; schema: JsonSchema }>;
  content?: OpenApiContent;
}

/** Bodies by media type. */
export type OpenApiContent = Record<
  string,
  { schema?: JsonSchema; example?: unknown }
>;

/** It changes with the program only. */
const MAX_AGE_SECONDS = 300;

/** @returns The route; public, it tells nothing of anybody's data. */
export function openapi({ publicUrl }: Pick<Deps, "publicUrl">): Hono {
  const document = JSON.stringify(createDocument(publicUrl));
  return new Hono().get("/openapi.json", (c) =>
    c.body(document, 200, {
      "content-type": "application/json",
      "cache-control": `public, max-age=${MAX_AGE_SECONDS}`,
    }));
}

/**
 * Makes the document.
 *
 * @param publicUrl Where the API is reached, without a slash at its end.
 */
export function createDocument(publicUrl: string): OpenApi {
  const schemas: OpenApi["components"]["schemas"] = {};
  const paths: OpenApi["paths"] = {};
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    const [method, path] = name.split(" ") as [string, string];
    (paths[path] ??= {})[method.toLowerCase()] = describe(
      method,
      operation,
      schemas,
    );
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Weir",
      version: "1",
      description:
        "Analytics of workflows. Errors are problems as of RFC 9457 with a stable code. A method that an address does not have is 405, an address that is none is 404.",
    },
    servers: [{ url: publicUrl }],
    tags: [...new Set(Object.values(OPERATIONS).map(({ tag }) => tag))]
      .map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(schemas).sort(([a], [b]) => a < b ? -1 : 1),
      ),
      securitySchemes: {
        basic: {
          type: "http",
          scheme: "basic",
          description: "An API key as user name, without a password",
        },
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "An API key with the scope that the operation names",
        },
        session: {
          type: "apiKey",
          in: "cookie",
          name: sessionCookie(publicUrl),
          description:
            "A browser that is signed in; it writes only from our own pages",
        },
      },
    },
  };
}

function describe(
  method: string,
  operation: Operation,
  schemas: Record<string, JsonSchema>,
): OpenApiOperation {
  const { id, tag, summary, description, path, query, body, example } =
    operation;
  const parameters = [
    ...parametersOf("path", path, example.path, schemas),
    ...parametersOf("query", query, example.query, schemas),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description && { description }),
    security: securityOf(operation),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: true,
        content: mapValues(body, (schema, type) => ({
          schema: toJsonSchema(schema, "input", schemas),
          // The example is of the first kind of body.
          ...(type === Object.keys(body)[0] && { example: example.body }),
        })),
      },
    }),
    responses: responsesOf(method, operation, schemas),
  };
}

function securityOf({ scope, key }: Operation): OpenApiOperation["security"] {
  if (scope === null || key === "body") return [];
  return [{ bearer: [scope] }, key ? { [key]: [scope] } : { session: [] }];
}

function parametersOf(
  place: OpenApiParameter["in"],
  schema: z.ZodType | undefined,
  examples: Record<string, string> = {},
  schemas: Record<string, JsonSchema>,
): OpenApiParameter[] {
  if (schema === undefined) return [];
  const { $ref, ...whole } = toJsonSchema(schema, "input", schemas);
  const { properties = {}, required = [] } = $ref
    ? schemas[$ref.split("/").at(-1)!]!
    : whole;
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...rest } = property as JsonSchema;
    return {
      name,
      in: place,
      required: required.includes(name),
      ...(description && { description }),
      schema: rest,
      ...(examples[name] !== undefined && { example: examples[name] }),
    };
  });
}

function responsesOf(
  method: string,
  operation: Operation,
  schemas: Record<string, JsonSchema>,
): OpenApiOperation["responses"] {
  const responses: OpenApiOperation["responses"] = {};
  for (const [status, answer] of Object.entries(operation.answers)) {
    const { description, headers, content } = answer;
    responses[status] = {
      description,
      ...(headers && {
        headers: mapValues(headers, (description) => ({
          description,
          schema: { type: "string" as const },
        })),
      }),
      ...(content && {
        content: mapValues(
          content,
          (schema) =>
            schema === null
              ? {}
              : { schema: toJsonSchema(schema, "output", schemas) },
        ),
      }),
    };
  }
  const problem = toJsonSchema(operation.problem ?? Problem, "output", schemas);
  const byStatus = Map.groupBy(
    errorsOf(method, operation),
    (code) => ERRORS[code].status,
  );
  for (const [status, codes] of byStatus) {
    const { description, content } = responses[status] ?? {};
    responses[status] = {
      description: [description, ...codes].filter(Boolean).join(", "),
      ...headersOf(status),
      content: { ...content, [PROBLEM_TYPE]: problemOf(problem, codes) },
    };
  }
  return responses;
}

function headersOf(status: number): Pick<OpenApiResponse, "headers"> {
  const description = {
    401: ["www-authenticate", "Bearer"],
    429: ["retry-after", "Seconds after which to try again"],
    503: ["retry-after", "Seconds after which to try again"],
  }[status];
  if (description === undefined) return {};
  const [name, text] = description as [string, string];
  return { headers: { [name]: { description: text, schema: {} } } };
}

function problemOf(problem: JsonSchema, codes: ErrorCode[]) {
  return { schema: { ...problem, properties: { code: { enum: codes } } } };
}

/** Formats say what their patterns say, in a word. */
const FORMATS = ["uuid", "date", "date-time"];

/**
 * @param io Whether it is for who sends or for who reads.
 * @param schemas Where those that have an id are kept; others refer to them.
 */
function toJsonSchema(
  schema: z.ZodType,
  io: "input" | "output",
  schemas: Record<string, JsonSchema>,
): JsonSchema {
  const { $schema: _, $defs = {}, ...root } = z.toJSONSchema(schema, {
    io,
    override({ zodSchema, jsonSchema }) {
      if (FORMATS.includes(jsonSchema.format!)) {
        delete jsonSchema.pattern;
        delete jsonSchema.allOf;
      }
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) {
        delete jsonSchema.maximum;
      }
      const { def } = zodSchema._zod;
      // A list that is counted before its items are read, as of db/schema.ts.
      if (def.type !== "pipe" || jsonSchema.type !== "array") return;
      const { out } = def as z.core.$ZodPipeDef;
      if (out._zod.def.type !== "array") return;
      jsonSchema.items = toJsonSchema(out as z.ZodType, io, schemas).items!;
    },
  });
  for (const [id, definition] of Object.entries($defs)) {
    schemas[id] = referring(definition);
  }
  return referring(root);
}

function referring<T extends JsonSchema>(schema: T): T {
  return JSON.parse(
    JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'),
  );
}

function mapValues<From, To>(
  record: Record<string, From>,
  map: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, map(value, key)]),
  );
}
