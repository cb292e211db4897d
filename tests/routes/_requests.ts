/**
 * Requests to the app, as tests of the routes send them.
 *
 * @module
 */

import {
  deepStrictEqual,
  doesNotMatch,
  match,
  strictEqual,
} from "node:assert/strict";
import type { Hono } from "hono";
import { createSignInLink } from "../../db/access.ts";
import type { Role } from "../../db/schema.ts";
import { SAME_ORIGIN } from "../app.ts";
import { NOW, type World } from "../harness.ts";

export { appWith } from "../app.ts";

export const WORKFLOW = "11111111-1111-4111-8111-111111111111";
export const STEP = "22222222-2222-4222-8222-222222222222";
export const GOAL = "33333333-3333-4333-8333-333333333333";
export const RANGE = "start_date=2026-06-01&end_date=2026-06-15";
export const DEFINITION = { name: "Welcome" };

/** An answer that fits in one line of an assertion. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // deno-lint-ignore no-explicit-any
  json: any;
}

/** What is sent besides method and path. */
export interface Sending {
  /** `null`: none. Default: a key with every scope. */
  key?: string | null;
  /** Written as JSON. */
  json?: unknown;
  /** Instead of `json`, as it is. */
  body?: BodyInit;
  headers?: Record<string, string>;
  app?: Pick<Hono, "request"> | World["app"];
}

/** Sends a request and reads the answer, which is never an error of ours. */
export async function send(
  world: World,
  method: string,
  path: string,
  { key = world.key, json, body, headers = {}, app = world.app }: Sending = {},
): Promise<Answer> {
  const response = await app.request(path, {
    method,
    body: json === undefined ? body : JSON.stringify(json),
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(json === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json");
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

/** Nothing of the inside: no statement, no table, no source, no stack. */
const INSIDE =
  /\b(select|insert into|delete from)\b|postgres|weir\.\w|\.tsx?\b|\\n +at |violates|syntax error at/i;

/** Asserts that an answer is a problem of RFC 9457 and gives nothing away. */
export function assertProblem(
  answer: Answer,
  status: number,
  code: string,
  about = "",
): void {
  strictEqual(answer.status, status, `${about} ${answer.text}`);
  match(answer.headers.get("content-type")!, /^application\/problem\+json\b/);
  strictEqual(answer.json.status, status);
  strictEqual(answer.json.code, code);
  strictEqual(answer.json.type, `urn:weir:error:${code}`);
  match(answer.json.title, /^Cannot .*[^.]$/);
  doesNotMatch(answer.text, INSIDE);
}

/** Asserts that a request was refused at these paths, and nowhere else. */
export function assertInvalid(answer: Answer, ...paths: string[]): void {
  assertProblem(answer, 400, "invalid_request");
  deepStrictEqual(
    [...new Set(answer.json.errors.map((e: { path: string }) => e.path))]
      .sort(),
    paths.toSorted(),
  );
}

/** Sends events as JSON. */
export function post(
  world: World,
  events: unknown,
  sending: Sending = {},
): Promise<Answer> {
  return send(world, "POST", "/api/v1/events", { json: events, ...sending });
}

/** Sends a body of lines. */
export function postLines(
  world: World,
  body: BodyInit,
  sending: Sending = {},
): Promise<Answer> {
  const headers = {
    "content-type": "application/x-ndjson",
    ...sending.headers,
  };
  return send(world, "POST", "/api/v1/events", { ...sending, body, headers });
}

/** A valid enrolment, an hour before the test's clock. */
export function enrolled(
  change: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    id: crypto.randomUUID(),
    type: "execution.enrolled",
    workflow_id: WORKFLOW,
    execution_id: crypto.randomUUID(),
    contact_id: "contact",
    occurred_at: at(-60),
    source: "api",
    ...change,
  };
}

/** An instant some minutes from the test's clock. */
export function at(minutes: number): string {
  return new Date(NOW.getTime() + minutes * 60_000).toISOString();
}

/** How many events are kept. */
export async function countEvents({ sql }: World): Promise<number> {
  const [row] = await sql<[{ count: number }]>`
    select count(*) as count from weir.event`;
  return row.count;
}

/** Registers a workflow. */
export async function put(
  world: World,
  definition: Record<string, unknown> = DEFINITION,
  id: string = WORKFLOW,
  sending: Sending = {},
): Promise<Answer> {
  return await send(world, "PUT", `/api/v1/workflows/${id}`, {
    json: definition,
    ...sending,
  });
}

/** Presses the button of a sign-in link, as a browser without a session. */
export function press(
  world: World,
  token: string,
  { app, headers = SAME_ORIGIN }: Sending = {},
): Promise<Answer> {
  const body = new URLSearchParams({ token });
  return send(world, "POST", "/sign-in", { key: null, body, headers, app });
}

/** Uses a new sign-in link. Returns the header of a browser in its session. */
export async function signIn(
  world: World,
  grant: { userId?: string; role?: Role } = {},
  accountId: number = world.account.account_id,
): Promise<{ cookie: string }> {
  const token = await createSignInLink(world.sql, accountId, grant);
  const answer = await press(world, token);
  return { cookie: answer.headers.get("set-cookie")!.split(";")[0]! };
}
