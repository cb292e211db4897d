/**
 * `GET /api/v1/workflows/{id}/analytics/stream`: the numbers of one query as they
 * change, as server-sent events. docs/live.md tells clients of them.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import {
  type LiveAnnouncement,
  type LiveEnd,
  type LiveHeartbeat,
  StreamQuery,
} from "../db/schema.ts";
import {
  type AuthEnv,
  type Credential,
  credentialOf,
  mayRead,
  mayUse,
  requires,
} from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { createTopics, message, type Topic } from "./_live.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** How streams behave. Times are ms. */
export interface StreamLimits {
  /** Proxies hang up on who says nothing for a minute, some for half of that. */
  heartbeatMs: number;
  /** Hosts that bill or cut off long requests do not get them; a tenth less to a tenth more. */
  lifeMs: number;
  /** With what `_auth.ts` believes, a revoked credential hears nothing after 9 s. */
  recheckMs: number;
  /** How often it is looked who needs what of these. */
  sweepMs: number;
  /** A person with some tabs on some devices has ten; who forgets to close them, 50. */
  perUserMax: number;
  /** Some 70 KB each. */
  perProcessMax: number;
}

export const STREAM_LIMITS: StreamLimits = {
  heartbeatMs: 15_000,
  lifeMs: 30 * 60_000,
  recheckMs: 5_000,
  sweepMs: 1_000,
  perUserMax: 50,
  perProcessMax: 10_000,
};

const SCOPE = "analytics:read";

/** Who was refused comes back after this, seconds. */
const RETRY_AFTER_SECONDS = 30;

/** Clients come back this long after the end of a stream, not all at once, ms. */
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 3_000;

/**
 * What is written at once, bytes. For each stream the server keeps room for as much as it
 * has ever had to write, so a snapshot in one piece would cost its size for half an hour.
 */
const PIECE_BYTES = 2_048;

/** What a client is told before its first message. */
const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  // Compression would hold small messages back.
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
};

type Bytes = Uint8Array<ArrayBuffer>;

/** A client that reads, or should. */
interface Stream {
  topic: Topic;
  credential: Credential;
  controller: ReadableStreamDefaultController<Bytes>;
  /** Of the last message that it was sent. */
  sentId: string | null;
  /** Of that message, what is still to be written. */
  rest: Bytes | null;
  /** Waits for room. */
  announcement: LiveAnnouncement | null;
  beatAt: number;
  checkAt: number;
  endAt: number;
  /** Its reader has left, which may be found in the midst of writing to it. */
  isClosed: boolean;
  /** Takes it out of all lists. */
  leave(): void;
}

/** How many streams are open, for whoever asks. */
export interface Audience {
  count(): number;
}

/**
 * @param deps Of the program.
 * @param limits Of a test; default: {@linkcode STREAM_LIMITS}.
 * @param audience Is made to count the streams of this process.
 * @returns The route below `/api/v1/workflows`.
 */
export function stream(
  deps: Deps,
  limits: StreamLimits = STREAM_LIMITS,
  audience: Audience = { count: () => 0 },
): Hono<AuthEnv> {
  const topicOf = createTopics(deps);
  const streams = createStreams(deps, limits);
  audience.count = streams.count;
  return new Hono<AuthEnv>().get(
    "/:id/analytics/stream",
    requires(deps, SCOPE),
    valid("param", WorkflowPath),
    valid("query", StreamQuery),
    async (c) => {
      const viewer = c.get("viewer");
      const { id: workflowUuid } = c.req.valid("param");
      const { last_event_id, ...query } = c.req.valid("query");
      const accountId = viewer.account_id;
      const topic = topicOf({ accountId, workflowUuid, query });
      const owner = await topic.owner();
      if (owner === null) throw new AppError("workflow_not_found");
      if (!mayRead(viewer, owner)) throw new AppError("forbidden");

      const user = `${accountId} ${viewer.user_id ?? ""}`;
      const leave = streams.enter(user, c);
      try {
        await topic.ready();
      } catch (error) {
        leave();
        throw error;
      }
      // The body of an answer to HEAD is thrown away unread.
      if (c.req.method === "HEAD") {
        leave();
        return c.body(null, 200, HEADERS);
      }
      const body = streams.open(
        topic,
        credentialOf(c, deps),
        c.req.header("last-event-id") ?? last_event_id ?? null,
        leave,
      );
      return c.body(body, 200, HEADERS);
    },
  );
}

/** All streams of a process. */
function createStreams(
  { hub, now, stopping, log }: Deps,
  limits: StreamLimits,
) {
  const streams = new Set<Stream>();
  const ofUser = new Map<string, number>();
  let entered = 0;
  /** Streams whose piece before is on its way, and the one timer for all of them. */
  const writing = new Set<Stream>();
  let writer: ReturnType<typeof setTimeout> | undefined;
  let timer: ReturnType<typeof setInterval> | undefined;
  let unhear: (() => void) | undefined;
  stopping.addEventListener("abort", () => {
    for (const one of streams) end(one, "stopping");
  });

  /** Takes a place. Returns what gives it back, once. */
  function enter(user: string, c: Context): () => void {
    const count = ofUser.get(user) ?? 0;
    const code = count >= limits.perUserMax
      ? "too_many_streams"
      : entered >= limits.perProcessMax
      ? "streams_full"
      : stopping.aborted
      ? "stopping"
      : null;
    if (code !== null) {
      c.header("retry-after", String(RETRY_AFTER_SECONDS));
      throw new AppError(code);
    }
    ofUser.set(user, count + 1);
    entered++;
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      entered--;
      const left = ofUser.get(user)! - 1;
      if (left === 0) ofUser.delete(user);
      else ofUser.set(user, left);
    };
  }

  function open(
    topic: Topic,
    credential: Credential,
    lastId: string | null,
    leave: () => void,
  ): ReadableStream<Bytes> {
    let one: Stream;
    return new ReadableStream({
      start(controller) {
        const at = performance.now();
        const leaveTopic = topic.join({
          wake: () => flush(one),
          end: (reason) => end(one, reason),
        });
        one = {
          topic,
          credential,
          controller,
          sentId: lastId,
          rest: null,
          announcement: null,
          beatAt: at + limits.heartbeatMs,
          checkAt: at + limits.recheckMs,
          endAt: at + limits.lifeMs * (0.9 + 0.2 * Math.random()),
          isClosed: false,
          leave() {
            streams.delete(one);
            leaveTopic();
            leave();
            if (streams.size > 0) return;
            clearInterval(timer);
            timer = undefined;
            unhear?.();
            unhear = undefined;
          },
        };
        streams.add(one);
        timer ??= setInterval(sweep, limits.sweepMs);
        unhear ??= hub.onAnnouncement(announce);
        begin(one);
      },
      pull() {
        if (one.rest === null) flush(one);
        else writeSoon(one);
      },
      cancel() {
        one.isClosed = true;
        one.rest = null;
        one.leave();
      },
    });
  }

  /** Who lacks nothing is told at once that it does. */
  function begin(one: Stream): void {
    const retry = Math.round(
      RETRY_MS_MIN + Math.random() * (RETRY_MS_MAX - RETRY_MS_MIN),
    );
    const frame = one.topic.frameAfter(one.sentId);
    if (frame) one.sentId = frame.id;
    one.controller.enqueue(new TextEncoder().encode(`retry: ${retry}\n`));
    // All with the same query are sent the same bytes, of which there is one copy.
    write(one, frame?.bytes ?? heartbeat(one));
  }

  /**
   * Sends what is new if the client has taken what came before; else `pull()` will,
   * and by then send what is newest. So nothing gathers for who reads slowly.
   */
  function flush(one: Stream): void {
    if (!hasRoom(one)) return;
    if (one.announcement) {
      one.controller.enqueue(message("announcement", one.announcement));
      one.announcement = null;
      return;
    }
    const frame = one.topic.frameAfter(one.sentId);
    if (frame === null) return;
    one.sentId = frame.id;
    write(one, frame.bytes);
  }

  function writeSoon(one: Stream): void {
    writing.add(one);
    writer ??= setTimeout(() => {
      writer = undefined;
      const all = [...writing];
      writing.clear();
      for (const one of all) {
        // Unless it has ended in between.
        if (one.rest) write(one, one.rest);
      }
    });
  }

  function announce(text: string): void {
    const announcement = { timestamp: now().toISOString(), text };
    for (const one of streams) {
      one.announcement = announcement;
      flush(one);
    }
  }

  function sweep(): void {
    const at = performance.now();
    for (const topic of new Set([...streams].map(({ topic }) => topic))) {
      topic.tick();
    }
    for (const one of streams) {
      if (at >= one.endAt) {
        end(one, "renew");
        continue;
      }
      if (at >= one.beatAt) {
        one.beatAt = at + limits.heartbeatMs;
        if (hasRoom(one)) one.controller.enqueue(heartbeat(one));
      }
      if (at >= one.checkAt) {
        one.checkAt = at + limits.recheckMs;
        check(one).catch((error) =>
          // Without the database there are no numbers to hear either.
          log.warn("cannot check who listens", { error })
        );
      }
    }
  }

  async function check(one: Stream): Promise<void> {
    const viewer = await one.credential();
    if (!viewer || !mayUse(viewer, SCOPE)) return end(one, "unauthenticated");
    if (viewer.role === "admin") return;
    const owner = await one.topic.owner();
    if (!owner || !mayRead(viewer, owner)) end(one, "unauthenticated");
  }

  function end(one: Stream, reason: LiveEnd["reason"]): void {
    if (!streams.has(one)) return;
    one.leave();
    const end = message("end", { reason } satisfies LiveEnd);
    for (const bytes of one.rest ? [one.rest, end] : [end]) {
      if (!one.isClosed) one.controller.enqueue(bytes);
    }
    one.rest = null;
    if (!one.isClosed) one.controller.close();
  }

  return { enter, open, count: () => streams.size };
}

function hasRoom({ controller, rest }: Stream): boolean {
  return rest === null && (controller.desiredSize ?? 0) > 0;
}

function write(one: Stream, bytes: Bytes): void {
  one.controller.enqueue(bytes.subarray(0, PIECE_BYTES));
  one.rest = bytes.length > PIECE_BYTES ? bytes.subarray(PIECE_BYTES) : null;
}

function heartbeat({ topic }: Stream): Bytes {
  return message(
    "heartbeat",
    { as_of: topic.asOf() } satisfies LiveHeartbeat,
  );
}
