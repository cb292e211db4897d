/**
 * Knows how far workflows are, and tells who watches when one has changed: a revision
 * without a query for caches, a doorbell for streams.
 *
 * It reads the revisions of what was rung, all at once, and on a beat of those that
 * anybody watches or lately asked for. So a lost ring costs a beat, and while Postgres
 * cannot be reached nothing is claimed to be known.
 *
 * @module
 */

import type { Bus } from "../db/bus.ts";
import type { Sql } from "../db/client.ts";
import { readRevisions, type Revision } from "../db/live.ts";
import type { Log } from "../db/log.ts";

/** Bounds the harm of a lost ring: every revision of interest is read this often, ms. */
const BEAT_MS = 2_000;

/**
 * A revision that was read longer ago is read again before it is told, ms: what
 * {@linkcode Hub.revision} answers is never older than this, though nobody rang. Two
 * beats and a slow read.
 */
export const REVISION_AGE_MS_MAX = 5_000;

/** What nobody watches is read on the beat for this long after it was last asked for, ms. */
const INTEREST_MS = 60_000;

/** What routes are handed. */
export interface Hub {
  /**
   * The workflow's revision: how many times its numbers or its definition have
   * changed. From memory where it was asked for within a minute or is watched; then as
   * old as a ring takes (milliseconds), and where that was lost at most
   * {@linkcode REVISION_AGE_MS_MAX}.
   *
   * @param workflowUuid In lower case.
   * @returns 0 where there is no such workflow.
   */
  revision(workflowUuid: string): Promise<number>;
  /**
   * The same where it is in memory and as new as {@linkcode Hub.revision} tells it.
   *
   * @returns `null` where it has to be asked for.
   */
  known(workflowUuid: string): number | null;
  /**
   * Calls back at once with what is known, soon after each change, and on each beat;
   * whether the revision is another one is for the watcher to see.
   *
   * @param workflowUuid In lower case.
   * @returns What ends it.
   */
  watch(workflowUuid: string, onRead: (state: Revision) => void): () => void;
  /** Calls back with each text for everybody. Returns what ends it. */
  onAnnouncement(hear: (text: string) => void): () => void;
  /** Ends listening and the beat. */
  close(): Promise<void>;
}

/** What a hub is made of. */
export interface HubDeps {
  sql: Sql;
  now(): Date;
  log: Log;
  /** `null`: nobody rings, and {@linkcode Hub.revision} asks the database each time. */
  bus: Bus | null;
  /** Default: two seconds. */
  beatMs?: number;
}

interface Known {
  /** `undefined` until read. */
  state?: Revision;
  /** When the read began that told it, ms of the process. */
  readAt: number;
  /** When it was last of interest to somebody who does not watch. */
  askedAt: number;
  watchers: Set<(state: Revision) => void>;
}

/**
 * Makes the hub of a process and begins to listen.
 *
 * @param deps The database, the bus, the clock.
 */
export function createHub(
  { sql, now, log, bus, beatMs = BEAT_MS }: HubDeps,
): Hub {
  const known = new Map<string, Known>();
  const rung = new Set<string>();
  const announcers = new Set<(text: string) => void>();
  let reading = Promise.resolve();
  let next: Promise<void> | null = null;

  const hangUp = bus?.listen({
    onRing(workflowUuid) {
      if (!known.has(workflowUuid)) return;
      rung.add(workflowUuid);
      lookOrLog();
    },
    onAnnouncement(text) {
      for (const hear of announcers) hear(text);
    },
    onConnected: beat,
  });
  const timer = bus === null ? undefined : setInterval(beat, beatMs);

  function beat(): void {
    const oldest = performance.now() - INTEREST_MS;
    for (const [id, { watchers, askedAt }] of known) {
      if (watchers.size === 0 && askedAt < oldest) known.delete(id);
      else rung.add(id);
    }
    lookOrLog();
  }

  function lookOrLog(): void {
    look().catch((error) => log.warn("cannot read revisions", { error }));
  }

  /** Reads what is rung, in one query that begins after this was called; one at a time. */
  function look(): Promise<void> {
    return next ??= (async () => {
      await reading.catch(() => {});
      next = null;
      await (reading = readRung());
    })();
  }

  async function readRung(): Promise<void> {
    const ids = [...rung];
    if (ids.length === 0) return;
    rung.clear();
    const readAt = performance.now();
    const rows = await readRevisions(sql, ids, now());
    const states = new Map(rows.map((row) => [row.workflow_uuid, row]));
    for (const id of ids) {
      const one = known.get(id);
      if (one === undefined) continue;
      const state = states.get(id);
      one.readAt = readAt;
      one.state = state;
      if (state) { for (const onRead of one.watchers) onRead(state); }
    }
  }

  function interest(workflowUuid: string): Known {
    let one = known.get(workflowUuid);
    if (one === undefined) {
      one = {
        readAt: -Infinity,
        askedAt: -Infinity,
        watchers: new Set(),
      };
      known.set(workflowUuid, one);
    }
    return one;
  }

  function knownOf(workflowUuid: string): number | null {
    const one = interest(workflowUuid);
    one.askedAt = performance.now();
    const isFresh = bus !== null && !rung.has(workflowUuid) &&
      one.askedAt - one.readAt < REVISION_AGE_MS_MAX;
    return isFresh ? one.state?.revision ?? 0 : null;
  }

  return {
    async revision(workflowUuid) {
      const revision = knownOf(workflowUuid);
      if (revision !== null) return revision;
      rung.add(workflowUuid);
      await look();
      return interest(workflowUuid).state?.revision ?? 0;
    },
    known: knownOf,
    watch(workflowUuid, onRead) {
      const { watchers, state } = interest(workflowUuid);
      watchers.add(onRead);
      if (state) onRead(state);
      return () => {
        watchers.delete(onRead);
      };
    },
    onAnnouncement(hear) {
      announcers.add(hear);
      return () => {
        announcers.delete(hear);
      };
    },
    async close() {
      clearInterval(timer);
      known.clear();
      rung.clear();
      await next?.catch(() => {});
      await reading.catch(() => {});
      await hangUp?.();
    },
  };
}
