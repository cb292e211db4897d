/**
 * What every way of reporting shares: judging events, recording them, counting what
 * became of them.
 *
 * @module
 */

import type { Context, MiddlewareHandler } from "hono";
import { z } from "zod";
import { recordEvents } from "../db/events.ts";
import { noteRefusals, type Refusal } from "../db/quality.ts";
import {
  ERRORS_LISTED_MAX,
  Event,
  EVENT_AGE_MAX_DAYS,
  EVENT_AHEAD_MAX_MS,
  type EventReceipt,
  type EventRefusal,
  EVENTS_PER_REQUEST_MAX,
  Uuid,
} from "../db/schema.ts";
import { mediaTypeOf } from "./_body.ts";
import { AppError, toAppError } from "./_errors.ts";
import { spendEvents } from "./_limit.ts";
import { clipped } from "./_valid.ts";
import type { Deps } from "./app.ts";

const MESSAGES = {
  event_too_old:
    `Cannot accept an event that occurred more than ${EVENT_AGE_MAX_DAYS} days ago`,
  event_in_future: `Cannot accept an event more than ${
    EVENT_AHEAD_MAX_MS / 60_000
  } minutes ahead of the server's clock`,
  event_conflict: "Cannot accept other content under the id of another event",
  workflow_not_found: "Cannot find this workflow",
} as const;

/**
 * Bodies of one account that are held at once. Each is in memory as a whole and may
 * have megabytes, and the database's eight connections are busy with fewer. By account,
 * so that whoever sends too much, or slowly, is only in their own way.
 */
const BODIES_MAX = 32;

/**
 * Refuses what would only wait, before its body is read: to say so early is how more
 * than can be done is borne. Streams are held piece by piece and not counted.
 *
 * @param ownerOf Whose body it is; default: of the account that the request may write to.
 */
export function admission(
  ownerOf: (c: Context) => unknown = (c) => c.get("viewer").account_id,
): MiddlewareHandler {
  const held = new Map<unknown, number>();
  return async (c, next) => {
    if (mediaTypeOf(c.req.raw) === "application/x-ndjson") return await next();
    const owner = ownerOf(c);
    const count = held.get(owner) ?? 0;
    if (count >= BODIES_MAX) throw new AppError("overloaded");
    held.set(owner, count + 1);
    try {
      await next();
    } finally {
      const left = held.get(owner)! - 1;
      if (left === 0) held.delete(owner);
      else held.set(owner, left);
    }
  };
}

/** What a refused event counts as, for its workflow. */
const KINDS = {
  event_in_future: "future",
  event_too_old: "too_old",
  invalid_event: "invalid",
} as const;

/** As much of an event as says where it was meant to count. */
const Named = z.object({
  workflow_id: Uuid,
  execution_id: Uuid.nullable().catch(null),
});

/** One event of a request as it came, or why it could not be read. */
export type Item =
  & { index: number }
  & ({ item: unknown } | {
    /** Why. */
    unread: string;
    /** What it calls itself, where that can be read. */
    id?: string | null;
  });

/**
 * Takes events in, and wakes whoever counts them.
 *
 * @param deps Of the app.
 * @param accountId Whose events they are.
 * @param chunks Each is committed by itself.
 * @returns What became of them.
 * @throws {AppError} `all_events_rejected` when there were some and none was taken; after
 * a failure half-way, with the numbers of what was committed before.
 */
export async function takeEvents(
  deps: Deps,
  accountId: number,
  chunks: AsyncIterable<Item[]> | Iterable<Item[]>,
): Promise<EventReceipt> {
  const receipt: EventReceipt = {
    accepted: 0,
    duplicates: 0,
    rejected: 0,
    errors: [],
  };
  const record = async () => {
    for await (const chunk of chunks) {
      await recordChunk(deps, accountId, chunk, receipt);
    }
  };
  const count = () => receipt.accepted + receipt.duplicates + receipt.rejected;
  try {
    await spendEvents(deps, accountId, record, count);
  } catch (thrown) {
    throw withReceipt(thrown, receipt);
  } finally {
    if (receipt.accepted > 0) deps.eventsAccepted();
  }
  if (receipt.rejected > 0 && receipt.accepted + receipt.duplicates === 0) {
    throw new AppError("all_events_rejected", { members: { ...receipt } });
  }
  return receipt;
}

/**
 * Numbers the events of a body that is read as a whole.
 *
 * @param list What it holds.
 * @throws {AppError} When they are too many for one request.
 */
export function numbered(list: unknown[]): Item[] {
  if (list.length > EVENTS_PER_REQUEST_MAX) {
    throw new AppError("payload_too_large", {
      detail: `Send at most ${EVENTS_PER_REQUEST_MAX} events, or NDJSON`,
    });
  }
  return list.map((item, index) => ({ index, item }));
}

/** What is committed stays committed, so a failure half-way says how far it came. */
function withReceipt(thrown: unknown, receipt: EventReceipt): unknown {
  if (receipt.accepted + receipt.duplicates + receipt.rejected === 0) {
    return thrown;
  }
  const error = toAppError(thrown);
  return new AppError(error.code, {
    ...error.options,
    members: { ...receipt },
  });
}

/** Judges each item, commits the good ones in one transaction, and counts. */
async function recordChunk(
  { sql, now }: Deps,
  accountId: number,
  chunk: Item[],
  receipt: EventReceipt,
): Promise<void> {
  const good: { index: number; event: Event }[] = [];
  const at = now().getTime();
  const refused: EventRefusal[] = [];
  for (const piece of chunk) {
    const judged = judge(piece, at);
    if ("event" in judged) good.push(judged);
    else refused.push(judged);
  }

  const noted = chunk.length === good.length ? [] : refusalsOf(chunk, refused);
  if (noted.length > 0) await noteRefusals(sql, accountId, noted);

  const outcomes = await recordEvents(
    sql,
    accountId,
    good.map(({ event }) => event),
  );
  outcomes.forEach((outcome, i) => {
    const { index, event } = good[i]!;
    if (outcome === "accepted") receipt.accepted += 1;
    else if (outcome === "duplicate") receipt.duplicates += 1;
    else refused.push(refusal(index, event.id, outcome));
  });

  receipt.rejected += refused.length;
  refused.sort((a, b) => a.index - b.index);
  receipt.errors.push(
    ...refused.slice(0, ERRORS_LISTED_MAX - receipt.errors.length),
  );
}

/** What is refused here and says whose it is. */
function refusalsOf(chunk: Item[], refused: EventRefusal[]): Refusal[] {
  const items = new Map(
    chunk.map((piece) => [piece.index, "item" in piece ? piece.item : null]),
  );
  return refused.flatMap(({ index, code }) => {
    const named = Named.safeParse(items.get(index));
    const kind = KINDS[code as keyof typeof KINDS];
    return named.success ? [{ ...named.data, kind }] : [];
  });
}

function judge(
  piece: Item,
  now: number,
): { index: number; event: Event } | EventRefusal {
  const { index } = piece;
  if ("unread" in piece) {
    return {
      index,
      id: piece.id ?? null,
      code: "invalid_event",
      message: piece.unread,
    };
  }
  const parsed = Event.safeParse(piece.item);
  if (!parsed.success) {
    return {
      index,
      id: idOf(piece.item),
      code: "invalid_event",
      message: describe(parsed.error),
    };
  }
  const event = parsed.data;
  const occurredAt = Date.parse(event.occurred_at);
  if (occurredAt < now - EVENT_AGE_MAX_DAYS * 86_400_000) {
    return refusal(index, event.id, "event_too_old");
  }
  if (occurredAt > now + EVENT_AHEAD_MAX_MS) {
    return refusal(index, event.id, "event_in_future");
  }
  return { index, event };
}

function refusal(
  index: number,
  id: string,
  code: keyof typeof MESSAGES,
): EventRefusal {
  return { index, id, code, message: MESSAGES[code] };
}

function describe(error: z.core.$ZodError): string {
  return clipped(
    error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `${z.core.toDotPath(path)}: ${message}`
    ).join("; "),
  );
}

function idOf(item: unknown): string | null {
  const id = (item as { id?: unknown } | null)?.id;
  return typeof id === "string" ? id.slice(0, 128) : null;
}
