/**
 * Events from clients that were made for others, at the paths that those clients ask
 * for: Segment's and RudderStack's `POST /v1/batch`, PostHog's `POST /batch/`,
 * OpenTelemetry's `POST /v1/traces`. The same
 * key, the same scope and the same events as at `POST /api/v1/events`; only where
 * the key stands, and what success looks like, is theirs.
 *
 * @module
 */

import { Hono, type MiddlewareHandler } from "hono";
import type { Grant } from "../db/access.ts";
import type { EventReceipt } from "../db/schema.ts";
import { type AuthEnv, granting } from "./_auth.ts";
import { mediaTypeOf, readBytes, readJson } from "./_body.ts";
import { admission, numbered, takeEvents } from "./_ingest.ts";
import { addressOf, limitsStrangers } from "./_limit.ts";
import { decodeTraces, encodeAnswer, readTraces } from "./_wire_otlp.ts";
import {
  type Batch,
  readPostHogBatch,
  readSegmentBatch,
} from "./_wire_track.ts";
import type { Deps } from "./app.ts";

/** @returns The routes, at the root. */
export function ingest(deps: Deps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  const guarded = [limitsStrangers(deps), knowsKey(deps), admission()] as const;

  // These clients label their bodies as they like (RudderStack's as a form): all is JSON.
  app.post("/v1/batch", ...guarded, async (c) => {
    const batch = readSegmentBatch(await readJson(c.req.raw));
    const receipt = await take(c.get("viewer"), batch);
    return c.json({ success: true, ...receipt });
  });

  // The key is in the body, so that who sends it is not known before.
  const byAddress = admission((c) => addressOf(c, deps.trustedProxies));
  app.post("/batch/", limitsStrangers(deps), byAddress, async (c) => {
    const batch = readPostHogBatch(await readJson(c.req.raw));
    const receipt = await take(await grantOf(deps, batch.key), batch);
    return c.json({ status: 1, ...receipt });
  });

  app.post("/v1/traces", ...guarded, async (c) => {
    const isJson = mediaTypeOf(c.req.raw) === "application/json";
    const trace = readTraces(
      isJson
        ? await readJson(c.req.raw)
        : decodeTraces(await readBytes(c.req.raw)),
    );
    const receipt = await take(c.get("viewer"), { key: null, ...trace });
    const why = receipt.errors[0]?.message ?? "";
    // As many as are listed, which a batch of an exporter stays below.
    const refused = receipt.errors.map(({ index }) => trace.spans[index]);
    const rejected = new Set(refused).size;
    if (isJson) {
      return c.json({
        partialSuccess: rejected === 0
          ? {}
          : { rejectedSpans: rejected, errorMessage: why },
      });
    }
    return c.body(encodeAnswer(rejected, why), 200, {
      "content-type": "application/x-protobuf",
    });
  });
  return app;

  async function take(
    { account_id }: Grant,
    { events, ignored }: Batch,
  ): Promise<EventReceipt & { ignored: number }> {
    return {
      ...await takeEvents(deps, account_id, [numbered(events)]),
      ignored,
    };
  }
}

/** Finds out who sends something, before it is read. */
function knowsKey(deps: Deps): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const key = keyIn(c.req.header("authorization"));
    c.set("viewer", await grantOf(deps, key));
    await next();
  };
}

async function grantOf({ auth }: Deps, key: string | null): Promise<Grant> {
  const grant = key === null ? null : await auth.authenticate(key);
  return granting(grant, "events:write");
}

/** After `Bearer`, or the user name of `Basic`. */
function keyIn(authorization = ""): string | null {
  const [, scheme, credentials] =
    /^(Bearer|Basic) (\S+)$/i.exec(authorization) ?? [];
  if (credentials === undefined) return null;
  if (scheme!.toLowerCase() === "bearer") return credentials;
  try {
    return atob(credentials).split(":")[0]!;
  } catch {
    return null;
  }
}
