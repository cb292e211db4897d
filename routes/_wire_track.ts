/**
 * What clients of product analytics send, as our events: Segment's and RudderStack's
 * `track`, PostHog's `capture`. The name of the event is our type, its properties are
 * our fields; the rest of such a stream is not about workflows, and is passed over.
 *
 * @module
 */

import { z } from "zod";
import { AppError } from "./_errors.ts";

/** A batch as Segment and RudderStack send it. */
export const SegmentBatch = z.object({ batch: z.array(z.unknown()) });

/** A batch as PostHog sends it. */
export const PostHogBatch = z.object({
  api_key: z.string(),
  batch: z.array(z.unknown()),
});

const Properties = z.record(z.string(), z.unknown());

const Track = z.object({
  type: z.literal("track"),
  event: z.unknown().optional(),
  messageId: z.unknown().optional(),
  timestamp: z.unknown().optional(),
  /** RudderStack's client says so when it was tracked, where the program does not say when it was. */
  originalTimestamp: z.unknown().optional(),
  userId: z.unknown().optional(),
  anonymousId: z.unknown().optional(),
  properties: Properties.default({}),
});

/** Names that begin with a dollar sign are PostHog's own: page views, flags, exceptions. */
const Capture = z.object({
  event: z.string().refine((name) => !name.startsWith("$")),
  uuid: z.unknown().optional(),
  timestamp: z.unknown().optional(),
  distinct_id: z.unknown().optional(),
  properties: Properties.default({}),
});

/** What a batch holds for us. */
export interface Batch {
  /** Who says that the request may: a key of ours; `null` where the headers say it. */
  key: string | null;
  /** What may be events of ours, not yet judged. */
  events: unknown[];
  /** How many messages were of another kind. */
  ignored: number;
}

/**
 * Reads a batch of Segment's or RudderStack's server-side clients.
 *
 * @param body JSON, anything.
 * @throws {AppError} When it is no batch.
 */
export function readSegmentBatch(body: unknown): Batch {
  const { batch } = readBatch(SegmentBatch, body);
  return sorted(null, batch, (message) => {
    const { success, data } = Track.safeParse(message);
    if (!success) return null;
    return eventOf(data.properties, {
      id: data.messageId,
      type: data.event,
      occurred_at: data.timestamp ?? data.originalTimestamp,
    }, data.userId ?? data.anonymousId);
  });
}

/**
 * Reads a batch of PostHog's server-side clients.
 *
 * @param body JSON, anything.
 * @throws {AppError} When it is no batch.
 */
export function readPostHogBatch(body: unknown): Batch {
  const { api_key, batch } = readBatch(PostHogBatch, body);
  return sorted(api_key, batch, (message) => {
    const { success, data } = Capture.safeParse(message);
    if (!success) return null;
    return eventOf(data.properties, {
      id: data.uuid,
      type: data.event,
      occurred_at: data.timestamp,
    }, data.distinct_id);
  });
}

function readBatch<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): z.infer<Schema> {
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  throw new AppError("invalid_request", {
    errors: read.error.issues.map(({ path, message }) => ({
      path: path.map(String).join("."),
      message,
    })),
  });
}

function sorted(
  key: string | null,
  batch: unknown[],
  read: (message: unknown) => Record<string, unknown> | null,
): Batch {
  const events = batch.map(read).filter((event) => event !== null);
  return { key, events, ignored: batch.length - events.length };
}

/** Clients add properties of their own, which begin with a dollar sign. */
function eventOf(
  properties: Record<string, unknown>,
  envelope: { id: unknown; type: unknown; occurred_at: unknown },
  contactId: unknown,
): Record<string, unknown> {
  const ours = Object.entries(properties)
    .filter(([name]) => !name.startsWith("$"));
  return { contact_id: contactId, ...Object.fromEntries(ours), ...envelope };
}
