/**
 * What streams show: one topic for each query of a workflow that anybody watches. It
 * reads once a revision, however many watch, and tells each viewer how to get from what
 * they have to what is so now.
 *
 * Why there is never a gap or a double: a message's id ends in a digest of the numbers
 * that whoever has folded it in now has. Who shows up with an id, after whatever
 * interruption and at whichever process, either has numbers that we have too, and gets
 * the difference to the newest; or not, and gets a snapshot. No message is ever needed
 * that was sent before.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { readLive, type Revision } from "../db/live.ts";
import { DetailExpired } from "../db/period.ts";
import {
  type AnalyticsQuery,
  type LiveEnd,
  type LiveNumbers,
  type LiveSnapshot,
  type LiveUpdate,
} from "../db/schema.ts";
import { readWorkflowHead } from "../db/workflows.ts";
import { changesBetween, folded } from "../islands/live_fold.ts";
import { AppError } from "./_errors.ts";
import type { Deps } from "./app.ts";

/** Reads of all topics at once: as many connections stay free for requests, and more. */
const READS_AT_ONCE_MAX = 3;

/** After a read a topic rests for this long, and for twice as long as the read took, ms. */
const REST_MS = 100;

/** After a read that failed, ms. */
const REST_AFTER_FAILURE_MS = 2_000;

/** Days, hours and kept detail begin at quarters of an hour, in every zone, ms. */
const QUARTER_MS = 15 * 60_000;

/** A comparison of a range that is not over moves on, ms. */
const MINUTE_MS = 60_000;

/** Earlier states a topic remembers, to tell a difference instead of a snapshot … */
const STATES_MAX = 16;

/** … and how much text they may be: a long range is 500 KB, a common one 30. */
const STATES_CHARS_MAX = 1024 * 1024;

/** Topics that nobody watches are remembered this long, for who comes back, ms … */
const IDLE_MS = 5 * 60_000;

/** … and so many. */
const IDLE_MAX = 100;

/** One message, ready to be sent, and what its reader has then. */
export interface Frame {
  id: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Who watches a topic. */
export interface Viewer {
  /** There may be something new. */
  wake(): void;
  /** There will be nothing more. */
  end(reason: LiveEnd["reason"]): void;
}

/** One query of one workflow. */
export interface Topic {
  /**
   * Sees to it that what is told is no older than the hub's revision.
   *
   * @throws {AppError} `workflow_not_found`.
   * @throws {DetailExpired} When it cannot be answered.
   */
  ready(): Promise<void>;
  /** Keeps it up to date for as long as anybody watches. Returns what ends it. */
  join(viewer: Viewer): () => void;
  /**
   * The message that brings a client up to date.
   *
   * @param id Of the last message that it has; `null`: none.
   * @returns `null` where it is.
   */
  frameAfter(id: string | null): Frame | null;
  /** The instant up to which the newest numbers are complete. */
  asOf(): string;
  /** Whose the workflow is, asked once a revision. `null`: there is none. */
  owner(): Promise<{ owner_id: string | null } | null>;
  /** Reads again where time alone has changed the numbers; to be called every second or so. */
  tick(): void;
}

/** What a topic is about. */
export interface Subject {
  accountId: number;
  workflowUuid: string;
  query: AnalyticsQuery;
}

type TopicDeps = Pick<Deps, "sql" | "reader" | "hub" | "now" | "log">;

/** Numbers at one moment. */
interface State {
  /** Revision and digest. */
  id: string;
  digest: string;
  revision: number;
  numbers: LiveNumbers;
  /** All of them as JSON, without `as_of`. */
  text: string;
}

/**
 * @param deps Of the program.
 * @returns What finds or makes the topic of a subject.
 */
export function createTopics(deps: TopicDeps): (subject: Subject) => Topic {
  const topics = new Map<string, { topic: Topic; idleSince: number | null }>();
  const readInTurn = createTurns(READS_AT_ONCE_MAX);

  function forgetIdle(): void {
    const idle = [...topics].filter(([, { idleSince }]) => idleSince !== null)
      .sort(([, a], [, b]) => b.idleSince! - a.idleSince!);
    const oldest = performance.now() - IDLE_MS;
    for (const [i, [key, { idleSince }]] of idle.entries()) {
      if (i >= IDLE_MAX || idleSince! < oldest) topics.delete(key);
    }
  }

  return (subject) => {
    const { accountId, workflowUuid, query } = subject;
    const asked = JSON.stringify(query, Object.keys(query).sort());
    const name = `${accountId} ${workflowUuid} ${asked}`;
    let entry = topics.get(name);
    if (entry === undefined) {
      forgetIdle();
      const made = { idleSince: performance.now() as number | null };
      const topic = createTopic(deps, subject, readInTurn, (isWatched) => {
        made.idleSince = isWatched ? null : performance.now();
      });
      entry = Object.assign(made, { topic });
      topics.set(name, entry);
    }
    return entry.topic;
  };
}

function createTopic(
  { sql, reader, hub, now, log }: TopicDeps,
  { accountId, workflowUuid, query }: Subject,
  inTurn: Turns,
  onWatched: (isWatched: boolean) => void,
): Topic {
  const viewers = new Set<Viewer>();
  const states = createStates();
  /** Messages towards the newest state, by the id that they go on from. */
  const frames = new Map<string | null, Frame | null>();
  let newest: State | null = null;
  let asOf = "";
  /** What the hub last told of, which may be newer. */
  let told = 0;
  let tickAt = Infinity;
  let restUntil = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let unwatch: (() => void) | undefined;
  let reading: Promise<void> = Promise.resolve();
  let next: Promise<void> | null = null;
  let owner: { revision: number; head: ReturnType<Topic["owner"]> } | null =
    null;

  /** A read that begins after this was called; one at a time. */
  function read(): Promise<void> {
    return next ??= (async () => {
      await reading.catch(() => {});
      await inTurn(() => {
        next = null;
        return reading = readNow();
      });
    })();
  }

  async function readNow(): Promise<void> {
    const startedAt = performance.now();
    try {
      const revision = await hub.revision(workflowUuid);
      await reader.read(
        { accountId, workflowUuid, revision },
        async (sql, at) => {
          const found = await readLive(sql, accountId, workflowUuid, query, at);
          if (found === null) throw new AppError("workflow_not_found");
          show(found, at);
        },
      );
      const endedAt = performance.now();
      restUntil = endedAt + REST_MS + 2 * (endedAt - startedAt);
    } catch (error) {
      restUntil = performance.now() + REST_AFTER_FAILURE_MS;
      throw error;
    }
  }

  function show(
    { revision, nextChange, ...numbers }: NonNullable<
      Awaited<ReturnType<typeof readLive>>
    >,
    at: Date,
  ): void {
    asOf = numbers.analytics.as_of;
    tickAt = nextTick(numbers, nextChange, at);
    const state = stateOf(revision, numbers);
    const isSame = newest?.digest === state.digest;
    newest = state;
    frames.clear();
    states.remember(state);
    if (!isSame) { for (const viewer of viewers) viewer.wake(); }
  }

  /**
   * When time alone may have changed the numbers, ms since 1970. Before now where the
   * read waited long, and what happened meanwhile was ahead of its clock.
   */
  function nextTick(
    { analytics }: LiveNumbers,
    nextChange: Date | null,
    at: Date,
  ): number {
    const ms = at.getTime();
    const isOver = Date.parse(analytics.period.end) <= ms;
    const isMoving = !isOver && analytics.comparison !== null;
    const step = isMoving ? MINUTE_MS : QUARTER_MS;
    const tick = (Math.floor(ms / step) + 1) * step;
    return nextChange === null || isOver
      ? tick
      : Math.min(tick, nextChange.getTime() + 1);
  }

  function onRead({ revision, as_of }: Revision): void {
    told = revision;
    if (newest?.revision !== revision) readSoon();
    else if (as_of > asOf) asOf = as_of;
  }

  function readSoon(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      // A read for somebody who joined may have come before.
      if (newest?.revision === told && now().getTime() < tickAt) return;
      read().catch(onFailure);
    }, Math.max(0, restUntil - performance.now()));
  }

  function onFailure(error: unknown): void {
    const isOver = error instanceof DetailExpired ||
      error instanceof AppError && error.code === "workflow_not_found";
    if (isOver) { for (const viewer of viewers) viewer.end("not_readable"); }
    // The next beat of the hub, or the next tick, tries again.
    else log.warn("cannot read for a stream", { error });
  }

  function frameAfter(id: string | null): Frame | null {
    const known = frames.get(id);
    if (known !== undefined) return known;
    const frame = makeFrame(id);
    frames.set(id, frame);
    return frame;
  }

  function makeFrame(since: string | null): Frame | null {
    const { id, digest, revision, numbers, text } = newest!;
    const had = since?.split(".")[1];
    if (had === digest) return null;
    const head = {
      workflow_id: workflowUuid,
      timestamp: now().toISOString(),
      revision,
    };
    const before = had === undefined ? undefined : states.recall(had);
    const changes = before && changesBetween(before, numbers);
    // What does not fold into the very same is told as a whole.
    if (
      since && before && changes &&
      textOf(folded(before, { as_of: "", changes })) === text
    ) {
      const update: LiveUpdate = { ...head, since, as_of: asOf, changes };
      return { id, bytes: message("metrics_update", update, id) };
    }
    const snapshot: LiveSnapshot = { ...head, ...withAsOf(numbers, asOf) };
    return { id, bytes: message("snapshot", snapshot, id) };
  }

  return {
    async ready() {
      const revision = await hub.revision(workflowUuid);
      const isFresh = newest !== null && newest.revision >= revision &&
        now().getTime() < tickAt;
      if (!isFresh) await read();
    },
    join(viewer) {
      viewers.add(viewer);
      unwatch ??= hub.watch(workflowUuid, onRead);
      onWatched(true);
      return () => {
        if (!viewers.delete(viewer) || viewers.size > 0) return;
        unwatch?.();
        unwatch = undefined;
        clearTimeout(timer);
        timer = undefined;
        onWatched(false);
      };
    },
    frameAfter,
    asOf: () => asOf,
    async owner() {
      const revision = await hub.revision(workflowUuid);
      if (owner?.revision !== revision) {
        const head = readWorkflowHead(sql, accountId, workflowUuid);
        owner = { revision, head };
        // What was not found, or could not be, is asked again.
        const drop = () => owner = null;
        head.then((found) => found ?? drop(), drop);
      }
      return await owner.head;
    },
    tick() {
      if (now().getTime() >= tickAt) readSoon();
    },
  };
}

/** The last states, by their digests. */
function createStates() {
  const texts = new Map<string, string>();
  let chars = 0;
  return {
    remember({ digest, text }: State): void {
      forget(digest);
      texts.set(digest, text);
      chars += text.length;
      for (const oldest of texts.keys()) {
        const fits = texts.size <= STATES_MAX && chars <= STATES_CHARS_MAX;
        if (fits || texts.size <= 2) return;
        forget(oldest);
      }
    },
    recall(digest: string): LiveNumbers | undefined {
      const text = texts.get(digest);
      return text === undefined ? undefined : JSON.parse(text);
    },
  };

  function forget(digest: string): void {
    chars -= texts.get(digest)?.length ?? 0;
    texts.delete(digest);
  }
}

function stateOf(revision: number, numbers: LiveNumbers): State {
  const text = textOf(numbers);
  const digest = createHash("sha256").update(text).digest("base64url")
    .slice(0, 16);
  return { id: `${revision}.${digest}`, digest, revision, numbers, text };
}

/** Everything but `as_of`, which moves on while the numbers stay. */
function textOf(numbers: LiveNumbers): string {
  return JSON.stringify(withAsOf(numbers, ""));
}

function withAsOf(
  { analytics, funnel, actions }: LiveNumbers,
  as_of: string,
): LiveNumbers {
  return {
    analytics: { ...analytics, as_of },
    funnel: { ...funnel, as_of },
    actions: { ...actions, as_of },
  };
}

/**
 * Writes a server-sent event.
 *
 * @param event Its name.
 * @param data Whatever JSON has.
 * @param id What the client is to come back with; default: as before.
 */
export function message(
  event: string,
  data: unknown,
  id?: string,
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(
    `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${
      JSON.stringify(data)
    }\n\n`,
  );
}

/** Runs what it is given, so many at once, first come first served. */
type Turns = <T>(work: () => Promise<T>) => Promise<T>;

function createTurns(atOnceMax: number): Turns {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= atOnceMax) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running++;
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody slips in between.
      const first = waiting.shift();
      if (first) first();
      else running--;
    }
  };
}
