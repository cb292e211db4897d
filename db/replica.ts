/**
 * Where numbers are read: at a streaming replica while it is near enough, else at the
 * primary. Everything else, what is written and whoever asks, is the primary's.
 *
 * What a replica answers is right for an earlier moment, and has to say for which.
 * Its own clocks cannot tell: a quiet primary sends nothing, and what is replayed amid a
 * statement is not in its snapshot. So the primary is asked from time to time how long
 * its log is, and the replica how much of it is replayed. Whatever was acknowledged
 * before the moment of a question is within the length that was answered. A replica that
 * has replayed so much has it all, and its answers are asked for as of that moment.
 *
 * And it never knows less than its asker does: who has heard of a revision is answered by
 * a replica that has it, or by the primary. So what is kept under a revision is of it, and
 * a change that was acknowledged is seen by whoever made it.
 *
 * @module
 */

import { isOutage, type Sql } from "./client.ts";
import { readRevision } from "./live.ts";
import type { Log } from "./log.ts";

/**
 * A replica that is further behind is not asked until it has caught up, ms. Pages call
 * themselves live, and poll after 30 s where they cannot stream: this is a third of it.
 */
const LAG_MS_MAX = 10_000;

/** How often primary and replica are compared, and how old `as_of` is at best, ms. */
const BEAT_MS = 1_000;

/** What a reader knows already, and wants its answer to know as well. */
export interface Known {
  accountId: number;
  workflowUuid: string;
  /** Of the workflow, as the primary told it. */
  revision: number;
}

/** How a replica is doing. */
export interface ReplicaState {
  /** Whether it is asked. */
  isUsed: boolean;
  /** How far it is behind, seconds, as long as that is told; `null`: for longer. */
  lag_seconds: number | null;
  /** Reads since the process began, by who answered them. */
  reads: { replica: number; behind: number; primary: number };
}

/** Reads numbers where that is best. */
export interface Reader {
  /**
   * Asks for numbers.
   *
   * @param known What the answer must not be older than.
   * @param ask Called with where to ask, and as of when; harmless to repeat: where the
   * replica fails, the primary is asked.
   */
  read<T>(known: Known, ask: (sql: Sql, at: Date) => Promise<T>): Promise<T>;
  /** `null` where there is no replica. */
  state(): ReplicaState | null;
  /** Resolves when primary and replica have been compared, from now on. */
  compare(): Promise<void>;
  /** Ends comparing. */
  close(): Promise<void>;
}

/** What a reader is made of. */
export interface ReaderDeps {
  primary: Sql;
  /** `null`: all is read from the primary. */
  replica: Sql | null;
  now(): Date;
  log: Log;
  /** Default: {@linkcode LAG_MS_MAX}. */
  lagMsMax?: number;
}

/** Where a log is. */
interface Position {
  /** Tells one cluster, and its replicas, from others. */
  cluster: string;
  is_replica: boolean;
  /** Bytes since the cluster was made. */
  bytes: number;
}

/** All that was acknowledged before a moment is within so many bytes. */
interface Moment {
  at: Date;
  /** The same, ms of the process. */
  ms: number;
  bytes: number;
}

/** @returns A reader, which begins to compare. */
export function createReader(
  { primary, replica, now, log, lagMsMax = LAG_MS_MAX }: ReaderDeps,
): Reader {
  if (replica === null) {
    return {
      read: (_, ask) => ask(primary, now()),
      state: () => null,
      compare: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }
  const reads: ReplicaState["reads"] = { replica: 0, behind: 0, primary: 0 };
  /** Moments that the replica had not reached when it was last asked, the oldest first. */
  let ahead: Moment[] = [];
  let reached: Moment | null = null;
  let hasFailed = false;
  let wasUsed = false;
  let comparing: Promise<void> | null = null;
  const timer = setInterval(beat, BEAT_MS);
  beat();

  function beat(): void {
    comparing ??= compareOrLog().finally(() => comparing = null);
  }

  async function compare(): Promise<void> {
    const moment = { at: now(), ms: performance.now() };
    const source = await readPosition(primary);
    ahead.push({ ...moment, bytes: source.bytes });
    // Who has reached none since then is too far behind anyway.
    ahead = ahead.filter(({ ms }) => moment.ms - ms <= lagMsMax);

    const copy = await readPosition(replica!);
    if (!copy.is_replica || copy.cluster !== source.cluster) {
      throw new Error("Cannot read there: it is no replica of this Postgres");
    }
    reached = ahead.findLast(({ bytes }) => bytes <= copy.bytes) ?? reached;
    ahead = ahead.filter(({ bytes }) => bytes > copy.bytes);
    hasFailed = false;
  }

  async function compareOrLog(): Promise<void> {
    try {
      await compare();
    } catch (error) {
      if (!hasFailed) log.warn("cannot compare the replica", { error });
      hasFailed = true;
    }
    if (isUsed() === wasUsed) return;
    wasUsed = !wasUsed;
    log.warn(
      wasUsed ? "reading from the replica" : "reading from the primary",
      { lag_seconds: lagSeconds() },
    );
  }

  function isUsed(): boolean {
    return !hasFailed && reached !== null &&
      performance.now() - reached.ms <= lagMsMax;
  }

  function lagSeconds(): number | null {
    return reached && (performance.now() - reached.ms) / 1_000;
  }

  async function readThere<T>(
    { accountId, workflowUuid, revision }: Known,
    at: Date,
    ask: (sql: Sql, at: Date) => Promise<T>,
  ): Promise<{ answer: T } | null> {
    try {
      // Asked before the answer: what this has seen, that sees too.
      const there = await readRevision(replica!, accountId, workflowUuid);
      if (there === null || there < revision) return null;
      return { answer: await ask(replica!, at) };
    } catch (error) {
      if (!isReplicas(error)) throw error;
      log.warn("cannot read from the replica", { error });
      hasFailed ||= isOutage((error as { code?: unknown }).code);
      return null;
    }
  }

  return {
    async read(known, ask) {
      if (isUsed()) {
        const found = await readThere(known, reached!.at, ask);
        if (found !== null) {
          reads.replica++;
          return found.answer;
        }
        reads.behind++;
      } else reads.primary++;
      return await ask(primary, now());
    },
    state: () => ({
      isUsed: isUsed(),
      lag_seconds: lagSeconds(),
      reads: { ...reads },
    }),
    async compare() {
      await comparing;
      beat();
      await comparing;
    },
    async close() {
      clearInterval(timer);
      await comparing;
    },
  };
}

async function readPosition(sql: Sql): Promise<Position> {
  const [row] = await sql<[Position]>`select * from weir.read_position()`;
  return row;
}

/**
 * Whether the primary would answer: the replica is gone or going, has cancelled a
 * statement to go on replaying (class 40), or has not replayed a migration yet.
 */
function isReplicas(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return isOutage(code) ||
    typeof code === "string" && /^(40...|42883|42P01|42703)$/.test(code);
}
