/**
 * `/docs`: the API's reference, made from its document; `/client.ts`: the client.
 *
 * A page of our own and no viewer from npm: those are megabytes of scripts that want
 * inline styles, and this is a page that prints, can be searched and needs none.
 *
 * @module
 */

import { Hono } from "hono";
import type { VNode } from "preact";
import type { Manifest } from "../islands/build.ts";
import { writeClient } from "./_client.ts";
import { curlOf } from "./_curl.ts";
import { Page, renderPage } from "./_page.tsx";
import type { Deps } from "./app.ts";
import {
  createDocument,
  type JsonSchema,
  type OpenApi,
  type OpenApiOperation,
  type OpenApiParameter,
} from "./openapi.ts";

/** It changes with the program only. */
const MAX_AGE_SECONDS = 300;

/** @returns The routes; public, they tell nothing of anybody's data. */
export function docs(
  { publicUrl, manifest }: Pick<Deps, "publicUrl" | "manifest">,
): Hono {
  const document = createDocument(publicUrl);
  const page = renderPage(
    <ReferencePage document={document} manifest={manifest} />,
  );
  const client = writeClient(document);
  const cached = { "cache-control": `public, max-age=${MAX_AGE_SECONDS}` };
  return new Hono()
    .get("/docs", (c) => c.html(page, 200, cached))
    .get("/client.ts", (c) =>
      c.text(client, 200, {
        ...cached,
        "content-type": "text/typescript; charset=utf-8",
      }));
}

function ReferencePage(
  { document, manifest }: { document: OpenApi; manifest: Manifest },
) {
  const all = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      path,
      method: method.toUpperCase(),
      operation,
    }))
  );
  const { tags, components, servers, info } = document;
  return (
    <Page title="API" manifest={manifest} viewer={null}>
      <div class="reference">
        <nav aria-label="Operations">
          {tags.map(({ name }) => (
            <section key={name}>
              <h2>{name}</h2>
              <ul>
                {all.filter(({ operation }) => operation.tags[0] === name)
                  .map(({ operation: { operationId, summary } }) => (
                    <li key={operationId}>
                      <a href={`#${operationId}`}>{summary}</a>
                    </li>
                  ))}
              </ul>
            </section>
          ))}
          <p>
            <a href="#schemas">Schemas</a>
          </p>
        </nav>
        <div>
          <h1>Weir's API</h1>
          <p>{info.description}</p>
          <p>
            Machine-readable:{" "}
            <a href="/openapi.json">OpenAPI 3.1</a>. For TypeScript:{" "}
            <a href="/client.ts">a client in one file</a>.
          </p>
          <h2>Operations</h2>
          {all.map((one) => (
            <Operation
              key={one.operation.operationId}
              {...one}
              url={servers[0]!.url}
            />
          ))}
          <h2 id="schemas">Schemas</h2>
          {Object.entries(components.schemas).map(([id, schema]) => (
            <section key={id} id={`schema-${id}`} class="panel">
              <h3>{id}</h3>
              <Schema schema={schema} />
            </section>
          ))}
        </div>
      </div>
    </Page>
  );
}

function Operation(
  { path, method, operation, url }: {
    path: string;
    method: string;
    operation: OpenApiOperation;
    url: string;
  },
) {
  const { operationId, summary, description, parameters } = operation;
  return (
    <section id={operationId} class="panel">
      <h3>{summary}</h3>
      <p>
        <code>
          <strong>{method}</strong> {path}
        </code>
      </p>
      {description && <p>{description}</p>}
      <p class="fine">{accessOf(operation)}</p>
      {parameters && <Parameters parameters={parameters} about={summary} />}
      {Object.entries(operation.requestBody?.content ?? {})
        .map(([type, { schema }]) => (
          <p key={type}>
            Body <code>{type}</code>: {typeOf(schema!)}
          </p>
        ))}
      <Answers operation={operation} />
      <pre
        tabIndex={0}
      ><code>{curlOf(url, method, path, operation)}</code></pre>
    </section>
  );
}

function accessOf({ security }: OpenApiOperation): string {
  const scope = security[0]?.bearer?.[0];
  return scope === undefined ? "Needs no key in a header" : `Scope ${scope}`;
}

function Parameters(
  { parameters, about }: { parameters: OpenApiParameter[]; about: string },
) {
  return (
    <div
      class="scroll"
      role="region"
      aria-label={`Parameters: ${about}`}
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Parameter</th>
            <th scope="col">Type</th>
            <th scope="col">Meaning</th>
          </tr>
        </thead>
        <tbody>
          {parameters.map(({ name, required, description, schema }) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
                {required && " (required)"}
              </th>
              <td>{typeOf(schema)}</td>
              <td>{description}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Answers({ operation }: { operation: OpenApiOperation }) {
  return (
    <div
      class="scroll"
      role="region"
      aria-label={`Answers: ${operation.summary}`}
      tabIndex={0}
    >
      <table>
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">Meaning</th>
            <th scope="col">Body</th>
          </tr>
        </thead>
        <tbody>
          {Object.entries(operation.responses)
            .map(([status, { description, content = {} }]) => (
              <tr key={status}>
                <th scope="row">{status}</th>
                <td>{description}</td>
                <td>
                  {Object.entries(content).map(([type, { schema }]) => (
                    <div key={type}>
                      {schema ? typeOf(schema) : <code>{type}</code>}
                    </div>
                  ))}
                </td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

function Schema({ schema }: { schema: JsonSchema }) {
  const { description, properties, oneOf, required = [] } = schema;
  return (
    <>
      {description && <p>{description}</p>}
      {oneOf?.map((one, i) => <Schema key={i} schema={one as JsonSchema} />)}
      {properties && (
        <dl>
          {Object.entries(properties as Record<string, JsonSchema>)
            .map(([name, property]) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                  {!required.includes(name) && " (optional)"}
                </dt>
                <dd>
                  {typeOf(property)}
                  {property.description && `. ${property.description}`}
                  <Nested schema={property} />
                </dd>
              </div>
            ))}
        </dl>
      )}
    </>
  );
}

/** What a property holds that has no name of its own. */
function Nested({ schema }: { schema: JsonSchema }) {
  const inner = (schema.items ?? schema) as JsonSchema;
  return inner.properties
    ? <Schema schema={{ ...inner, description: undefined }} />
    : null;
}

function typeOf(schema: JsonSchema): VNode {
  if (schema.$ref) {
    const id = schema.$ref.split("/").at(-1)!;
    return <a href={`#schema-${id}`}>{id}</a>;
  }
  const choices = (schema.oneOf ?? schema.anyOf) as JsonSchema[] | undefined;
  if (choices && !schema.properties) {
    return (
      <>
        {choices.map((one, i) => (
          <span key={i}>
            {i > 0 && " or "}
            {typeOf(one)}
          </span>
        ))}
      </>
    );
  }
  if (schema.const !== undefined) return <code>{`${schema.const}`}</code>;
  if (schema.enum) return <span>{schema.enum.join(", ")}</span>;
  if (schema.type === "array") {
    return <span>list of {typeOf(schema.items as JsonSchema)}</span>;
  }
  return <span>{[wordOf(schema), limitsOf(schema)].join("")}</span>;
}

function wordOf({ type, format }: JsonSchema): string {
  return format ?? [type ?? "anything"].flat().join(" or ");
}

function limitsOf(schema: JsonSchema): string {
  const { minimum, maximum, minLength, maxLength } = schema;
  const from = minimum ?? minLength;
  const to = maximum ?? maxLength;
  const unit = maxLength === undefined ? "" : " characters";
  const range = to === undefined
    ? from === undefined ? "" : `, at least ${from}`
    : `, ${from ?? "up"} to ${to}${unit}`;
  const standard = schema.default === undefined
    ? ""
    : `, ${JSON.stringify(schema.default)} by default`;
  return range + standard;
}
