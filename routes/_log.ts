/**
 * A name for every request, and one line about it: who asked for what, what came of it,
 * how long it took. No path and no query: they have ids, contacts and secrets in them.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import type { Grant } from "../db/access.ts";
import type { Log } from "../db/log.ts";
import { type AccessVariables, actionOf } from "./_access.ts";

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
    const id = requestId((name) => c.req.header(name));
    c.set("requestId", id);
    await next();
    c.header("x-request-id", id);
    const viewer = c.get("viewer");
    log.info("request", {
      request_id: id,
      action: actionOf(c),
      status: c.res.status,
      duration_ms: Math.round((performance.now() - since) * 1_000) / 1_000,
      account: viewer?.account_uuid,
      user: viewer && userHash(viewer),
      credential: viewer?.credential,
      rows: c.get("rows"),
      cache: c.res.headers.get("x-cache") ?? undefined,
    });
  };
}

function requestId(header: (name: string) => string | undefined): string {
  const given = header("x-request-id");
  if (given !== undefined && REQUEST_ID.test(given)) return given;
  return TRACEPARENT.exec(header("traceparent") ?? "")?.[1] ??
    crypto.randomUUID();
}

/** Tells users apart without naming them: ids may be addresses of people. */
function userHash({ account_uuid, user_id }: Grant): string | undefined {
  if (user_id === null) return undefined;
  return createHash("sha256").update(`${account_uuid}\n${user_id}`)
    .digest("hex").slice(0, 12);
}
