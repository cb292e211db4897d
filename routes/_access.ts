/**
 * The access log, written beside the way of requests: many entries at a time, a moment
 * later. What a process has not written when it is killed is gone: reads of the last
 * {@linkcode FLUSH_MS}, and while Postgres cannot be reached those since. Of exports
 * nothing is: they wait until their entry is durable.
 *
 * @module
 */

import type { Context } from "hono";
import { matchedRoutes } from "hono/route";
import type { Grant } from "../db/access.ts";
import {
  type Access,
  noteKeysUsed,
  recordAccess,
  type Repeated,
  REPEATED_MAX,
  REPEATED_MS_MAX,
  type SentFile,
} from "../db/access_log.ts";
import type { Sql } from "../db/client.ts";
import type { Log } from "../db/log.ts";

/** Longest that an entry waits to be written, ms. */
export const FLUSH_MS = 200;

/** Entries of one statement; more would keep requests waiting while they are put together. */
const BATCH_ENTRIES = Math.min(2_000, REPEATED_MAX);

/**
 * What waits for Postgres to come back, some 500 bytes an entry at most; the oldest batch
 * makes room.
 */
const BATCHES_MAX = 10;

/** A key's last use is written down as often, ms. */
const KEY_USED_MS = 60_000;

/** Keys whose last use is remembered; beyond it all are forgotten, and written again. */
const KEYS_MAX = 10_000;

/** Longest value of a filter that is kept, characters. */
const VALUE_LENGTH_MAX = 500;

/** What a query may have that opens something. */
const SECRETS = /token|key|secret|password|signature/i;

/** Where reads and exports are written down. */
export interface AccessLog {
  /**
   * Writes an entry soon.
   *
   * @param entry What was done; requests of a second whose entry is one object are one row.
   * @param requestId Whose it is, where that is not in the entry.
   * @param since When it came, ms of the process; default: now.
   */
  record(entry: Access, requestId?: string, since?: number): void;
  /**
   * Writes an entry now.
   *
   * @returns Once it is durable.
   * @throws When it cannot be written: then nothing may go out.
   */
  recordFirst(entry: Access): Promise<void>;
  /** Notes that an API key was used; costs nothing within the minute. */
  keyUsed(keyId: string): void;
  /** Entries that were never written. */
  lost(): number;
  /** Writes what waits, and gives up what cannot be written now. */
  close(): Promise<void>;
}

/** What it is made of. */
export interface AccessLogDeps {
  sql: Sql;
  log: Log;
}

/** @returns An access log with nothing waiting. */
export function createAccessLog({ sql, log }: AccessLogDeps): AccessLog {
  const batches: Batch[] = [];
  /** Which of them Postgres was given; nothing more is added to it. */
  let given: Batch | undefined;
  let keys = new Set<string>();
  const usedAt = new Map<string, number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let writing = Promise.resolve();
  let lost = 0;
  let isClosed = false;

  function soon(): void {
    if (!isClosed) timer ??= setTimeout(flush, FLUSH_MS);
  }

  /** One at a time, so that an outage does not take every connection. */
  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    return writing = writing.then(write);
  }

  async function write(): Promise<void> {
    const ids = [...keys];
    keys = new Set();
    try {
      // What comes meanwhile waits its own time: written as soon as the rest, it would be a
      // statement each few milliseconds, of a few requests.
      for (let left = batches.length; left > 0 && batches.length > 0; left--) {
        given = batches[0]!;
        await recordAccess(sql, given.repeated, performance.now());
        batches.shift();
      }
      if (ids.length > 0) await noteKeysUsed(sql, ids);
    } catch (error) {
      log.warn("cannot write the access log", {
        error,
        waiting: countWaiting(),
        lost,
      });
      soon();
    }
  }

  function countWaiting(): number {
    return batches.reduce((sum, { count }) => sum + count, 0);
  }

  function makeRoom(): void {
    if (batches.length <= BATCHES_MAX) return;
    // The first is on its way to Postgres.
    for (const { count } of batches.splice(1, 1)) lost += count;
  }

  return {
    record(entry, requestId = entry.request_id, since = performance.now()) {
      let batch = batches.at(-1);
      if (!batch || batch === given || batch.count === BATCH_ENTRIES) {
        batches.push(batch = { count: 0, repeated: [], latest: new Map() });
        makeRoom();
      }
      add(batch, entry, requestId, since);
      soon();
    },
    async recordFirst(entry) {
      const requests = [entry.request_id];
      await recordAccess(sql, [{ entry, requests, since: [0] }], 0);
    },
    keyUsed(keyId) {
      const now = performance.now();
      if (now - (usedAt.get(keyId) ?? -Infinity) < KEY_USED_MS) return;
      if (usedAt.size >= KEYS_MAX) usedAt.clear();
      usedAt.set(keyId, now);
      keys.add(keyId);
      soon();
    },
    lost: () => lost,
    async close() {
      isClosed = true;
      await flush();
      const count = countWaiting();
      if (count > 0) log.error("access log entries are lost", { count });
    },
  };
}

/** Entries that are written at once. They are many, so that of each are kept two values alone. */
interface Batch {
  count: number;
  repeated: Repeated[];
  /** Which of them the next request is added to. */
  latest: Map<Access, Repeated>;
}

function add(
  batch: Batch,
  entry: Access,
  requestId: string,
  since: number,
): void {
  let one = batch.latest.get(entry);
  if (one === undefined || since - one.since[0]! >= REPEATED_MS_MAX) {
    batch.repeated.push(one = { entry, requests: [], since: [] });
    batch.latest.set(entry, one);
  }
  one.requests.push(requestId);
  one.since.push(since);
  batch.count++;
}

/** What the request says of itself, and its answer of rows. */
export interface AccessVariables {
  /** Names the request in logs and in its answer. */
  requestId: string;
  /** How many rows the answer has, where it is made of rows. */
  rows?: number;
  /** Which file the answer is of. */
  file?: SentFile;
  /** What was asked for, where it does not stand in the query. */
  filter?: Record<string, unknown>;
}

/**
 * What a request did.
 *
 * @param c The request, answered.
 * @param viewer Whose it was.
 */
export function accessOf(
  c: Context<{ Variables: AccessVariables & { viewer: Grant } }>,
  viewer: Pick<Grant, "account_id" | "user_id" | "credential"> = c.get(
    "viewer",
  ),
): Access {
  const id = c.req.param("id");
  return {
    account_id: viewer.account_id,
    user_id: viewer.user_id,
    credential: viewer.credential,
    action: actionOf(c),
    workflow_id: id && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)
      ? id
      : null,
    filter: c.get("filter") ?? filterOf(c.req.query()),
    rows: c.get("rows") ?? null,
    file: c.get("file") ?? null,
    status: c.res.status,
    request_id: c.get("requestId"),
  };
}

/** Method and pattern of a request: nobody's data, and few of them. */
export function actionOf(c: Context): string {
  // Middleware answers to every method; where nothing else matched, nothing is there.
  const route = matchedRoutes(c).findLast(({ method }) => method !== "ALL");
  return `${c.req.method} ${route?.path ?? "other"}`;
}

function filterOf(query: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(query)
      .filter(([name]) => !SECRETS.test(name))
      // Postgres stores no NUL and no half of a pair.
      .map(([name, value]) => [
        storable(name.slice(0, 64)),
        storable(value.slice(0, VALUE_LENGTH_MAX)),
      ]),
  );
}

function storable(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}
