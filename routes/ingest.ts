/**
 * Events from clients that were made for others, at the paths that those clients ask
 * for: Segment's and RudderStack's `POST /v1/batch`, PostHog's `POST /batch/`,
 * OpenTelemetry's `POST /v1/traces`. The same
 * key, the same scope and the same events as at `POST /api/v1/events`; only where
 * the key stands, and what success looks like, is theirs.
 *
 * @module
 */

import { Hono } from "hono";
import type { EventReceipt } from "../db/schema.ts";
import { granting } from "./_auth.ts";
import { mediaTypeOf, readBytes, readJson } from "./_body.ts";
import { numbered, takeEvents } from "./_ingest.ts";
import { decodeTraces, encodeAnswer, readTraces } from "./_wire_otlp.ts";
import {
  type Batch,
  readPostHogBatch,
  readSegmentBatch,
} from "./_wire_track.ts";
import type { Deps } from "./app.ts";

/** @returns The routes, at the root. */
export function ingest(deps: Deps): Hono {
  const app = new Hono();

  // These clients label their bodies as they like (RudderStack's as a form): all is JSON.
  app.post("/v1/batch", async (c) => {
    const accountId = await accountOf(keyIn(c.req.header("authorization")));
    const batch = readSegmentBatch(await readJson(c.req.raw));
    const receipt = await take(accountId, batch);
    return c.json({ success: true, ...receipt });
  });

  app.post("/batch/", async (c) => {
    const batch = readPostHogBatch(await readJson(c.req.raw));
    const receipt = await take(await accountOf(batch.key), batch);
    return c.json({ status: 1, ...receipt });
  });

  app.post("/v1/traces", async (c) => {
    const accountId = await accountOf(keyIn(c.req.header("authorization")));
    const isJson = mediaTypeOf(c.req.raw) === "application/json";
    const trace = readTraces(
      isJson
        ? await readJson(c.req.raw)
        : decodeTraces(await readBytes(c.req.raw)),
    );
    const receipt = await take(accountId, { key: null, ...trace });
    const why = receipt.errors[0]?.message ?? "";
    if (isJson) {
      const { rejected } = receipt;
      return c.json({
        partialSuccess: rejected === 0
          ? {}
          : { rejectedSpans: rejected, errorMessage: why },
      });
    }
    return c.body(encodeAnswer(receipt.rejected, why), 200, {
      "content-type": "application/x-protobuf",
    });
  });
  return app;

  async function accountOf(key: string | null): Promise<number> {
    const grant = key === null ? null : await deps.auth.authenticate(key);
    return granting(grant, "events:write").account_id;
  }

  async function take(
    accountId: number,
    { events, ignored }: Batch,
  ): Promise<EventReceipt & { ignored: number }> {
    return {
      ...await takeEvents(deps, accountId, [numbered(events)]),
      ignored,
    };
  }
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
