/**
 * A name for every request, and one line about it: who asked for what, what came of it,
 * how long it took. No path and no query: they have ids, contacts and secrets in them.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import type { Grant } from "../db/access.ts";
import { type Log, toJson } from "../db/log.ts";
import { type AccessVariables, actionOf } from "./_access.ts";
import { nameSpan } from "./_trace.ts";

/** What a proxy before us may call a request: nothing that breaks a line or a header. */
const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** W3C's trace context; the trace names the request through all that handle it. */
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

/**
 * Names requests, answers with the name, and logs each once it is answered (streams: once
 * they have begun).
 *
 * @param log Where to.
 */
export function logRequests(
  log: Log,
): MiddlewareHandler<{ Variables: AccessVariables & { viewer?: Grant } }> {
  return async (c, next) => {
    const since = performance.now();
    const request_id = requestId((name) => c.req.header(name) ?? null);
    c.set("requestId", request_id);
    await next();
    c.header("x-request-id", request_id);
    const action = actionOf(c);
    const told = linesOf({
      action,
      status: c.res.status,
      viewer: c.get("viewer"),
      rows: c.get("rows"),
    });
    logRequest(log, action, request_id, since, told);
  };
}

/** What there is to tell of an answered request, but for which it was. */
interface Answered {
  action: string;
  status: number;
  viewer?: Grant;
  rows?: number;
}

/**
 * What many requests may have in common in their lines.
 *
 * @param answered What they were, and what came of them.
 * @returns For {@linkcode logRequest}.
 */
export function linesOf({ action, status, viewer, rows }: Answered): string {
  return toJson({
    action,
    status,
    account: viewer?.account_uuid,
    user: viewer && userHash(viewer),
    credential: viewer?.credential,
    rows,
  });
}

/**
 * Writes the line of one request, and names its span.
 *
 * @param log Where to.
 * @param action Method and pattern.
 * @param requestId Of {@linkcode requestId}, so that JSON needs nothing of it told otherwise.
 * @param since When it came, ms of the process.
 * @param told Of {@linkcode linesOf}.
 */
export function logRequest(
  log: Log,
  action: string,
  requestId: string,
  since: number,
  told: string,
): void {
  nameSpan(action);
  const duration_ms = Math.round((performance.now() - since) * 1_000) / 1_000;
  log.info(
    "request",
    `"request_id":"${requestId}","duration_ms":${duration_ms},${told}`,
  );
}

/**
 * What a request is called: as a proxy or a trace says, else anew.
 *
 * @param header Reads one; `null` where there is none.
 */
export function requestId(header: (name: string) => string | null): string {
  const given = header("x-request-id");
  if (given !== null && REQUEST_ID.test(given)) return given;
  return TRACEPARENT.exec(header("traceparent") ?? "")?.[1] ??
    crypto.randomUUID();
}

const userHashes = new WeakMap<Grant, string>();

/** Tells users apart without naming them: ids may be addresses of people. */
function userHash(viewer: Grant): string | undefined {
  const { account_uuid, user_id } = viewer;
  if (user_id === null) return undefined;
  let hash = userHashes.get(viewer);
  if (hash === undefined) {
    hash = createHash("sha256").update(`${account_uuid}\n${user_id}`)
      .digest("hex").slice(0, 12);
    userHashes.set(viewer, hash);
  }
  return hash;
}
