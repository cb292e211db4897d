/**
 * Every error a caller may see, in one table, as RFC 9457 problems.
 *
 * @module
 */

import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import postgres from "postgres";
import { z } from "zod";
import { isOutage, isOvertaken } from "../db/client.ts";
import type { Log } from "../db/log.ts";
import { DetailExpired } from "../db/period.ts";
import { actionOf } from "./_access.ts";

/** Every code with its status and its title. */
export const ERRORS = {
  invalid_request: { status: 400, title: "Cannot read the request" },
  invalid_json: { status: 400, title: "Cannot read the body as JSON" },
  incomplete_body: { status: 400, title: "Cannot read the body to its end" },
  unauthenticated: { status: 401, title: "Cannot tell who is asking" },
  insufficient_scope: {
    status: 403,
    title: "Cannot do this with this credential",
  },
  cross_site_request: {
    status: 403,
    title: "Cannot take this from another site",
  },
  forbidden: { status: 403, title: "Cannot allow this to this user" },
  link_expired: { status: 403, title: "Cannot open anything with this link" },
  workflow_not_found: { status: 404, title: "Cannot find this workflow" },
  execution_not_found: { status: 404, title: "Cannot find this execution" },
  export_not_found: { status: 404, title: "Cannot find this export" },
  share_not_found: { status: 404, title: "Cannot find this link" },
  not_found: { status: 404, title: "Cannot find this address" },
  method_not_allowed: { status: 405, title: "Cannot do this at this address" },
  export_not_done: {
    status: 409,
    title: "Cannot fetch a file that is not there yet",
  },
  shares_full: { status: 409, title: "Cannot open more links to a workflow" },
  report_not_found: { status: 404, title: "Cannot find this report" },
  reports_full: {
    status: 409,
    title: "Cannot keep more scheduled reports of an account",
  },
  export_gone: { status: 410, title: "Cannot fetch a file that has expired" },
  payload_too_large: { status: 413, title: "Cannot take so much at once" },
  unsupported_media_type: {
    status: 415,
    title: "Cannot read this kind of body",
  },
  range_not_satisfiable: {
    status: 416,
    title: "Cannot find this part of the file",
  },
  rate_limited: { status: 429, title: "Cannot answer so often" },
  all_events_rejected: {
    status: 422,
    title: "Cannot accept any of the events",
  },
  too_many_streams: {
    status: 429,
    title: "Cannot open more streams for this user",
  },
  exports_busy: {
    status: 429,
    title: "Cannot make more exports of an account at once",
  },
  exports_full: {
    status: 429,
    title: "Cannot keep more files of an account until some expire",
  },
  reports_busy: {
    status: 429,
    title: "Cannot send more of a report at once",
  },
  internal: { status: 500, title: "Cannot answer because of an error of ours" },
  identity_unavailable: {
    status: 503,
    title: "Cannot reach the identity provider",
  },
  unavailable: { status: 503, title: "Cannot reach the database" },
  streams_full: { status: 503, title: "Cannot open more streams here" },
  overloaded: { status: 503, title: "Cannot take in more at the moment" },
  stopping: { status: 503, title: "Cannot answer while starting or stopping" },
  query_timeout: { status: 504, title: "Cannot answer in time" },
} as const;

/** Machine-readable, stable: clients may switch on it. */
export type ErrorCode = keyof typeof ERRORS;

/** Where a request is wrong. */
export const FieldError = z.strictObject({
  path: z.string().describe("Dotted, e.g. steps.0.name; empty for the whole"),
  message: z.string(),
}).meta({ id: "FieldError" });
export type FieldError = z.infer<typeof FieldError>;

/** What a caller reads of an error. */
export const Problem = z.strictObject({
  type: z.string().describe("urn:weir:error: and the code"),
  title: z.string(),
  status: z.int(),
  code: z.enum(Object.keys(ERRORS) as ErrorCode[])
    .describe("Stable: switch on it"),
  detail: z.string().optional().describe("What is wrong in this case"),
  errors: z.array(FieldError).optional().describe("Where the request is wrong"),
}).meta({ id: "Problem", description: "A problem as of RFC 9457" });

/** Media type of all of them. */
export const PROBLEM_TYPE = "application/problem+json";

/** Seconds after which a client may try again what the database could not do. */
export const RETRY_AFTER_SECONDS = 2;

/** What a failed request may tell besides its code. */
export interface AppErrorOptions extends ErrorOptions {
  /** One sentence about this case. */
  detail?: string;
  /** By path, where the request is wrong. */
  errors?: FieldError[];
  /** When to try again, where that is known. */
  retryAfterSeconds?: number;
  /** More members of the problem. */
  members?: Record<string, unknown>;
}

/**
 * An expected failure. All of it but `cause` is public: put nothing there that a
 * stranger may not read. Anything else that is thrown is a bug or an outage, is
 * logged once, in {@linkcode problemOf}'s caller, and reaches the caller as `internal`.
 */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly options: AppErrorOptions;

  constructor(code: ErrorCode, options: AppErrorOptions = {}) {
    super(options.detail ?? ERRORS[code].title, options);
    this.code = code;
    this.options = options;
  }

  get status(): (typeof ERRORS)[ErrorCode]["status"] {
    return ERRORS[this.code].status;
  }
}

/** Turns whatever was thrown into a problem. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof HTTPException && thrown.status < 500) {
    const code = thrown.status === 403 ? "forbidden" : "invalid_request";
    return new AppError(code, { detail: thrown.message || undefined });
  }
  if (thrown instanceof DetailExpired) {
    return new AppError("invalid_request", {
      errors: [{ path: thrown.path, message: thrown.message }],
    });
  }
  const code = (thrown as { code?: unknown } | null)?.code;
  if (code === "57014") return new AppError("query_timeout", { cause: thrown });
  if (isOutage(code) || isOvertaken(thrown)) {
    return new AppError("unavailable", { cause: thrown });
  }
  if (code === "22023" && thrown instanceof postgres.PostgresError) {
    // The zones of our ICU and of this Postgres differ.
    return new AppError("invalid_request", {
      errors: [{ path: "tz", message: "Must be a time zone the server knows" }],
      cause: thrown,
    });
  }
  return new AppError("internal", { cause: thrown });
}

/**
 * Answers with a problem, and logs it if it is ours.
 *
 * @param thrown Anything.
 * @param c Of the request.
 * @param log Where 5xx go, once.
 */
export function answerProblem(
  thrown: unknown,
  c: Context,
  log: Log,
): Response {
  const error = toAppError(thrown);
  if (error.status >= 500) {
    log.error("request failed", {
      request_id: c.get("requestId"),
      action: actionOf(c),
      code: error.code,
      error: error.options.cause ?? error,
    });
  }
  const retryAfter = error.options.retryAfterSeconds ??
    (error.status === 503 ? RETRY_AFTER_SECONDS : undefined);
  if (retryAfter !== undefined) c.header("retry-after", String(retryAfter));
  if (error.status === 401) c.header("www-authenticate", "Bearer");
  c.header("cache-control", "no-store");
  return c.body(JSON.stringify(problemOf(error)), error.status, {
    "content-type": PROBLEM_TYPE,
  });
}

/** @returns What a caller may read of an error. */
export function problemOf({ code, status, options }: AppError) {
  return {
    type: `urn:weir:error:${code}`,
    title: ERRORS[code].title,
    status,
    code,
    detail: options.detail,
    errors: options.errors,
    ...options.members,
  };
}
