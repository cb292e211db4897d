/**
 * `POST /api/v1/events`: what producers report.
 *
 * @module
 */

import { Hono } from "hono";
import { LINE_BYTES_MAX, NDJSON_CHUNK_EVENTS } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { linesOf, mediaTypeOf, readJson, type UnreadLine } from "./_body.ts";
import { AppError } from "./_errors.ts";
import { admission, type Item, numbered, takeEvents } from "./_ingest.ts";
import {
  CLOUDEVENT,
  CLOUDEVENTS_BATCH,
  isBinaryCloudEvent,
  readBinaryCloudEvent,
  readCloudEvent,
} from "./_wire_cloudevents.ts";
import type { Deps } from "./app.ts";

/** @returns The routes below `/api/v1/events`. */
export function events(deps: Deps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().post(
    "/",
    requires(deps, "events:write"),
    admission(),
    async (c) => {
      const { account_id } = c.get("viewer");
      const chunks = chunksOf(c.req.raw);
      return c.json(await takeEvents(deps, account_id, chunks), 202);
    },
  );
}

/** The body in pieces that are committed together. */
async function* chunksOf(request: Request): AsyncGenerator<Item[]> {
  const type = mediaTypeOf(request);
  if (isBinaryCloudEvent(request)) {
    yield [readBinaryCloudEvent(request, type, await readJson(request))];
  } else if (type === "application/x-ndjson") {
    yield* ndjsonChunks(request);
  } else if (type === "application/json") {
    const body = await readJson(request);
    yield numbered(Array.isArray(body) ? body : [body]);
  } else if (type === CLOUDEVENT) {
    yield [readCloudEvent(await readJson(request), 0)];
  } else if (type === CLOUDEVENTS_BATCH) {
    const body = await readJson(request);
    if (!Array.isArray(body)) {
      throw new AppError("invalid_request", {
        detail: "A batch of CloudEvents is an array",
      });
    }
    yield numbered(body).map((_, index) => readCloudEvent(body[index], index));
  } else {
    throw new AppError("unsupported_media_type", {
      detail:
        `Send application/json, application/x-ndjson, ${CLOUDEVENT} or ${CLOUDEVENTS_BATCH}`,
    });
  }
}

async function* ndjsonChunks(request: Request): AsyncGenerator<Item[]> {
  let chunk: Item[] = [];
  let index = 0;
  for await (const line of linesOf(request, LINE_BYTES_MAX)) {
    if (line === "") continue;
    chunk.push(readLine(line, index++));
    if (chunk.length === NDJSON_CHUNK_EVENTS) {
      yield chunk;
      chunk = [];
    }
  }
  yield chunk;
}

function readLine(line: string | UnreadLine, index: number): Item {
  if (typeof line !== "string") return { index, ...line };
  try {
    return { index, item: JSON.parse(line) };
  } catch (error) {
    return { index, unread: (error as Error).message };
  }
}
