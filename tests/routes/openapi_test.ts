import {
  AssertionError,
  deepStrictEqual,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type Scope, SCOPES } from "../../db/schema.ts";
import { createKey } from "../../db/access.ts";
import { errorsOf, OPERATIONS } from "../../routes/_operations.ts";
import { assertDocumented, DOCUMENT } from "../documented.ts";
import { dbTest } from "../harness.ts";
import { appWith, send } from "./_requests.ts";

/** What programs ask; the rest is for browsers, and tests/routes/auth_test.ts lists it. */
const FOR_PROGRAMS = /^\w+ \/(api|v1|batch|webhooks|healthz|readyz|metrics)\b/;

dbTest("createApp() has the documented routes and no others", (world) => {
  const routes = appWith(world).routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path}`)
    .filter((route) => FOR_PROGRAMS.test(route))
    .map((route) => route.replaceAll(/:(\w+)/g, "{$1}"));
  deepStrictEqual([...new Set(routes)].sort(), Object.keys(OPERATIONS).sort());
  return Promise.resolve();
});

dbTest(
  "GET /openapi.json is what the tests hold answers against",
  async (world) => {
    const answer = await send(world, "GET", "/openapi.json", { key: null });
    strictEqual(answer.status, 200);
    deepStrictEqual(answer.json, DOCUMENT);
  },
);

Deno.test("createDocument() names every schema and parameter that it refers to", () => {
  const ajv = new Ajv2020({
    strict: true,
    allowUnionTypes: true,
    validateFormats: false,
  });
  ajv.addVocabulary(["example"]);
  for (const [id, schema] of Object.entries(DOCUMENT.components.schemas)) {
    // Strict: a misspelt keyword, or a reference to nothing, is an error.
    ajv.compile({
      ...inDefs(schema),
      $defs: inDefs(DOCUMENT.components.schemas),
      $id: id,
    });
  }
  const ids = Object.values(OPERATIONS).map(({ id }) => id);
  deepStrictEqual(ids, [...new Set(ids)]);
  for (const [path, operations] of Object.entries(DOCUMENT.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const { parameters = [] } of Object.values(operations)) {
      const inPath = parameters.filter((one) => one.in === "path");
      deepStrictEqual(inPath.map(({ name }) => name), named, path);
    }
  }
});

function inDefs<T>(schema: T): T {
  const text = JSON.stringify(schema);
  return JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/"));
}

dbTest("routes need the scope that is documented", async (world) => {
  const keys = new Map<Scope, string>();
  for (const scope of SCOPES) {
    const grant = { scopes: [scope] };
    keys.set(
      scope,
      await createKey(world.sql, world.account.account_id, grant),
    );
  }
  for (const [name, { scope, example }] of Object.entries(OPERATIONS)) {
    const [method, path] = name.split(" ") as [string, string];
    const address = path.replaceAll(/\{\w+\}/g, crypto.randomUUID());
    for (const [given, key] of keys) {
      const json = example.body && bodyWith(key, example.body);
      const answer = await send(world, method, address, { key, json });
      const isEnough = scope === null || scope === given || given === "admin";
      const isRefused = answer.json?.code === "insufficient_scope";
      strictEqual(isRefused, !isEnough, `${name} with ${given}`);
    }
  }
});

/** Where the key stands in the body, it is the one of the request. */
function bodyWith(key: string, body: unknown): unknown {
  return JSON.parse(JSON.stringify(body).replaceAll("$KEY", key));
}

Deno.test("assertDocumented() sees what is not as documented", async () => {
  const json = { "content-type": "application/json" };
  const problem = { "content-type": "application/problem+json" };
  const wrong: Record<string, [method: string, path: string, Response]> = {
    "status": ["GET", "/healthz", new Response("{}", { status: 418 })],
    "type": ["GET", "/healthz", new Response("ok")],
    "member": [
      "GET",
      "/healthz",
      new Response('{"status":"ok","a":1}', { headers: json }),
    ],
    "value": [
      "GET",
      "/healthz",
      new Response('{"status":"no"}', { headers: json }),
    ],
    "header": [
      "GET",
      "/readyz",
      new Response('{"status":"down","database":"unreachable"}', {
        status: 503,
        headers: json,
      }),
    ],
    "code": [
      "GET",
      "/api/v1/workflows",
      new Response(
        JSON.stringify({
          type: "urn:weir:error:forbidden",
          title: "Cannot",
          status: 400,
          code: "forbidden",
        }),
        { status: 400, headers: problem },
      ),
    ],
    "method": ["PATCH", "/healthz", new Response(null, { status: 204 })],
    "address": ["GET", "/api/v1/none", new Response("{}", { headers: json })],
  };
  for (const [what, [method, path, response]] of Object.entries(wrong)) {
    await rejects(
      assertDocumented(method, path, response),
      AssertionError,
      what,
    );
  }
});

Deno.test("errorsOf() lists no code twice", () => {
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    const codes = errorsOf(name.split(" ")[0]!, operation);
    deepStrictEqual(codes, [...new Set(codes)]);
  }
});
