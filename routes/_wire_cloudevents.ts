/**
 * CloudEvents 1.0 over HTTP: structured, batched and binary mode. The envelope's `id`,
 * `type` and `time` are ours; `data` is the rest of the event.
 *
 * @module
 */

import { z } from "zod";
import { AppError } from "./_errors.ts";
import type { Item } from "./_ingest.ts";
import { clipped } from "./_valid.ts";

/** Media type of one event with its envelope. */
export const CLOUDEVENT = "application/cloudevents+json";

/** Media type of an array of them. */
export const CLOUDEVENTS_BATCH = "application/cloudevents-batch+json";

const Text = z.string().min(1);

/** Attributes that are not here are extensions, which are the producer's own. */
export const Envelope = z.object({
  specversion: z.literal("1.0"),
  id: Text,
  source: Text,
  type: Text,
  time: Text.optional(),
  datacontenttype: z.string()
    .regex(/^[\w.-]+\/([\w.-]+\+)?json *(;|$)/i, "Must be JSON").optional(),
  data: z.record(z.string(), z.unknown()),
});

/**
 * Reads an event in its envelope.
 *
 * @param envelope JSON, anything.
 * @param index Its place in the request.
 */
export function readCloudEvent(envelope: unknown, index: number): Item {
  const read = Envelope.safeParse(withData(envelope));
  if (!read.success) {
    return {
      index,
      id: idOf(envelope),
      unread: clipped(
        read.error.issues.map(({ path, message }) =>
          `CloudEvent: ${z.core.toDotPath(path)}: ${message}`
        ).join("; "),
      ),
    };
  }
  const { id, type, time, data } = read.data;
  return {
    index,
    item: {
      ...data,
      id,
      type,
      ...(time === undefined ? {} : { occurred_at: time }),
    },
  };
}

/**
 * Whether a request is an event in binary mode: its envelope is headers, its body data.
 *
 * @param request Any.
 */
export function isBinaryCloudEvent(request: Request): boolean {
  return request.headers.has("ce-specversion");
}

/**
 * Reads an event in binary mode.
 *
 * @param request Whose headers are the envelope.
 * @param mediaType Of its body.
 * @param data Its body.
 * @throws {AppError} When the body does not say that it is JSON.
 */
export function readBinaryCloudEvent(
  request: Request,
  mediaType: string,
  data: unknown,
): Item {
  if (!/[/+]json$/.test(mediaType) || mediaType.includes("cloudevents")) {
    throw new AppError("unsupported_media_type", {
      detail:
        "Send the data of a CloudEvent in binary mode as application/json",
    });
  }
  const envelope: Record<string, unknown> = { data };
  for (const [name, value] of request.headers) {
    if (name.startsWith("ce-")) envelope[name.slice(3)] = unescaped(value);
  }
  return readCloudEvent(envelope, 0);
}

/** Data that came as bytes is JSON all the same, or it is none of ours. */
function withData(envelope: unknown): unknown {
  const { data_base64 } = (envelope ?? {}) as { data_base64?: unknown };
  if (typeof data_base64 !== "string") return envelope;
  try {
    const bytes = Uint8Array.from(
      atob(data_base64),
      (letter) => letter.charCodeAt(0),
    );
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return { ...envelope as object, data: JSON.parse(text) };
  } catch {
    return envelope;
  }
}

/** Headers carry what is not ASCII percent-encoded; a lone percent sign stands for itself. */
function unescaped(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function idOf(envelope: unknown): string | null {
  const id = (envelope as { id?: unknown } | null)?.id;
  return typeof id === "string" ? id.slice(0, 128) : null;
}
