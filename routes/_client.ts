/**
 * Writes the client for TypeScript from the document: types of what is sent and
 * answered, and a function an operation. It imports nothing.
 *
 * @module
 */

import type {
  JsonSchema,
  OpenApi,
  OpenApiOperation,
  OpenApiParameter,
} from "./openapi.ts";

const HEAD = `// Generated from /openapi.json: do not edit.

/** An answer that is an error. */
export class WeirError extends Error {
  override readonly name = "WeirError";
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }
}

/** Where Weir is, and who asks. */
export interface ClientOptions {
  /** Without a slash at its end. */
  url: string;
  /** An API key; without one, a browser sends its session. */
  key?: string;
  /** Default: the global one. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

type Query = Record<string, string | number | undefined>;

async function send(
  { url, key, fetch = globalThis.fetch }: ClientOptions,
  method: string,
  path: string,
  query: Query = {},
  body?: unknown,
): Promise<Response> {
  const search = new URLSearchParams(
    Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)]),
  );
  const response = await fetch(\`\${url}\${path}\${search.size ? "?" : ""}\${search}\`, {
    method,
    headers: {
      ...(key !== undefined && { authorization: \`Bearer \${key}\` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new WeirError(await response.json());
  return response;
}
`;

/**
 * Writes the client's one file.
 *
 * @param document What it is of.
 * @returns TypeScript that runs wherever there is `fetch`.
 */
export function writeClient(document: OpenApi): string {
  const types = Object.entries(document.components.schemas)
    .map(([id, schema]) =>
      `${comment(schema.description)}export type ${id} = ${typeOf(schema)};\n`
    );
  const functions = Object.entries(document.paths).flatMap((
    [path, operations],
  ) =>
    Object.entries(operations)
      // Adapters are for clients that there are, and streams for EventSource.
      .filter(([, { tags }]) => !tags.includes("Other clients"))
      .filter(([, operation]) => !answerOf(operation).includes("event-stream"))
      .map(([method, operation]) => functionOf(method, path, operation))
  );
  return `${HEAD}\n${types.join("\n")}
/** @returns A function for each operation. */
export function createClient(options: ClientOptions) {
  return {
${functions.join("\n")}
  };
}
`;
}

function functionOf(
  method: string,
  path: string,
  operation: OpenApiOperation,
): string {
  const { operationId, summary, parameters = [], requestBody } = operation;
  const inPath = parameters.filter((one) => one.in === "path");
  const inQuery = parameters.filter((one) => one.in === "query");
  const isOptional = !inQuery.some(({ required }) => required);
  const body = requestBody?.content["application/json"]?.schema;
  const takes = [
    ...inPath.map(({ name }) => `${name}: string`),
    ...(body ? [`body: ${typeOf(body)}`] : []),
    ...(inQuery.length > 0
      ? [`query: ${queryType(inQuery)}${isOptional ? " = {}" : ""}`]
      : []),
  ];
  const address = path.replaceAll(
    /\{(\w+)\}/g,
    "${encodeURIComponent($1)}",
  );
  const sent = ["options", `"${method.toUpperCase()}"`, `\`${address}\``];
  if (inQuery.length > 0 || body) {
    sent.push(inQuery.length > 0 ? "query" : "{}");
  }
  if (body) sent.push("body");
  const [type, schema] = contentOf(operation);
  const isJson = type === "application/json";
  const result = isJson
    ? typeOf(schema!)
    : type.startsWith("text/")
    ? "string"
    : "Response";
  const read = isJson
    ? `await (await send(${sent})).json()`
    : result === "string"
    ? `await (await send(${sent})).text()`
    : `await send(${sent})`;
  return `    ${comment(summary)}    async ${operationId}(${
    takes.join(", ")
  }): Promise<${result}> {
      return ${read};
    },`;
}

function contentOf(
  { responses }: OpenApiOperation,
): [type: string, schema: JsonSchema | undefined] {
  const good = Object.entries(responses).find(([status]) => status < "300");
  const all = Object.entries(good?.[1].content ?? {});
  // The stream of what else is JSON is EventSource's, too.
  const kinds = all.filter(([type]) =>
    all.length === 1 || type !== "text/event-stream"
  );
  const only = kinds.length === 1 ? kinds[0] : undefined;
  return only ? [only[0], only[1].schema] : ["", undefined];
}

function answerOf(operation: OpenApiOperation): string {
  return contentOf(operation)[0];
}

function queryType(parameters: OpenApiParameter[]): string {
  const fields = parameters.map(({ name, required, description, schema }) =>
    `${comment(description)}${name}${required ? "" : "?"}: ${typeOf(schema)};`
  );
  return `{\n${fields.join("\n")}\n}`;
}

/** TypeScript of a JSON Schema. */
function typeOf(schema: JsonSchema): string {
  if (schema.$ref) return schema.$ref.split("/").at(-1)!;
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) {
    return choices.map((one) => typeOf(one as JsonSchema)).join(" | ");
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) {
    return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  }
  if (Array.isArray(schema.type)) {
    return schema.type.map((type) => typeOf({ type } as JsonSchema))
      .join(" | ");
  }
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return `(${typeOf(schema.items as JsonSchema)})[]`;
    case "object":
      return objectType(schema);
    default:
      return "unknown";
  }
}

function objectType(
  { properties, required = [], additionalProperties }: JsonSchema,
): string {
  if (!properties) {
    const value = typeof additionalProperties === "object"
      ? typeOf(additionalProperties)
      : "unknown";
    return `Record<string, ${value}>`;
  }
  const fields = Object.entries(properties).map(([name, property]) => {
    const { description, ...schema } = property as JsonSchema;
    const mark = required.includes(name) ? "" : "?";
    return `${comment(description)}${name}${mark}: ${typeOf(schema)};`;
  });
  return `{\n${fields.join("\n")}\n}`;
}

function comment(text: string | undefined): string {
  return text ? `/** ${text} */\n` : "";
}
