/**
 * Holds what the app answers against the document that it serves.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Hono } from "hono";
import { PROBLEM_TYPE } from "../routes/_errors.ts";
import { createDocument, type OpenApi } from "../routes/openapi.ts";
import type { World } from "./harness.ts";

/** The document, as tests read it. */
export const DOCUMENT: OpenApi = createDocument("http://weir.test");

/** Addresses of programs: what is not documented there does not exist. */
const API = /^\/(api|v1|batch|webhooks)(\/|$)/;

const ajv = new Ajv2020({ strict: false, allErrors: true });
// Its default export is typed for CommonJS.
(addFormats as unknown as typeof addFormats.default)(ajv);
ajv.addSchema(DOCUMENT, "weir");

const patterns = Object.keys(DOCUMENT.paths).map((path) => ({
  path,
  // More of the path is literal, so it is tried first.
  holes: path.split("{").length,
  pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
})).sort((a, b) => a.holes - b.holes);

const validators = new Map<string, ValidateFunction>();

/**
 * Has every answer of an app held against the document.
 *
 * @param app Whose `request()` is from now on one that asserts.
 * @returns The same app.
 */
export function documented(app: Hono): Hono & World["app"] {
  const { request } = app;
  return Object.assign(app, {
    async request(path: string, init?: RequestInit, env?: object) {
      const response = await request(path, init, env);
      await assertDocumented(init?.method ?? "GET", path, response);
      return response;
    },
  });
}

/**
 * Asserts that an answer is as the document says; pages it does not know.
 *
 * @param method Of the request.
 * @param url Address or path of it.
 * @param response The answer; left unread.
 * @throws {AssertionError} Naming route, status and what is wrong.
 */
export async function assertDocumented(
  method: string,
  url: string,
  response: Response,
): Promise<void> {
  const { pathname } = new URL(url, "http://weir.test");
  const path = patterns.find(({ pattern }) => pattern.test(pathname))?.path;
  if (path === undefined) {
    if (!API.test(pathname)) return;
    return assertRefused(`${method} ${pathname}`, response, 404, 405);
  }
  const route = `${method} ${path}`;
  // HEAD is answered as GET, without a body.
  const isHead = method === "HEAD";
  const operation =
    DOCUMENT.paths[path]![isHead ? "get" : method.toLowerCase()];
  if (operation === undefined) return assertRefused(route, response, 405);

  const { status } = response;
  const about = `${route} answers ${status}`;
  const documented = operation.responses[status];
  ok(documented, `${about}, which is not documented`);
  for (const name of Object.keys(documented.headers ?? {})) {
    ok(response.headers.has(name), `${about} without ${name}`);
  }
  const type = mediaTypeOf(response);
  if (documented.content === undefined) {
    return strictEqual(type, "", `${about} with a body`);
  }
  const content = documented.content[type];
  ok(content, `${about} with ${type}, which is not documented`);
  if (isHead || content.schema === undefined) return;
  const pointer = ["paths", path, isHead ? "get" : method.toLowerCase()]
    .concat("responses", String(status), "content", type, "schema");
  assertValid(about, pointer, await response.clone().json());
}

/**
 * Whether a value is as the document says.
 *
 * @param pointer Where in the document the schema is.
 * @param value JSON.
 */
export function isValid(pointer: string[], value: unknown): boolean {
  return validatorAt(pointer)(value);
}

function validatorAt(pointer: string[]): ValidateFunction {
  const ref = `weir#/${
    pointer.map((part) =>
      encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))
    ).join("/")
  }`;
  let validate = validators.get(ref);
  if (validate === undefined) {
    validators.set(ref, validate = ajv.compile({ $ref: ref }));
  }
  return validate;
}

function assertValid(about: string, pointer: string[], body: unknown): void {
  const validate = validatorAt(pointer);
  validate(body);
  const errors = validate.errors?.map(({ instancePath, message, params }) =>
    `${instancePath || "/"} ${message} ${JSON.stringify(params)}`
  );
  deepStrictEqual(errors, undefined, `${about}: ${errors?.join("; ")}`);
}

function assertRefused(
  about: string,
  response: Response,
  ...statuses: number[]
): void {
  const { status } = response;
  ok(statuses.includes(status), `${about} answers ${status}, undocumented`);
  strictEqual(mediaTypeOf(response), PROBLEM_TYPE, about);
}

function mediaTypeOf(response: Response): string {
  const type = response.headers.get("content-type") ?? "";
  return type.split(";")[0]!.trim();
}
