/**
 * Runs jobs on a beat, or as soon as somebody rings, until told to stop.
 *
 * @module
 */

import type { Sql } from "../db/client.ts";
import { type Counts, recordJob } from "../db/jobs.ts";
import type { Log } from "../db/log.ts";

/** One unit of background work: one file, one job, nothing shared. */
export interface Job {
  name: string;
  /** Longest pause between the end of a round and the start of the next, seconds. */
  everySeconds: number;
  /** A NOTIFY on this channel ends the pause. It carries nothing and may be lost. */
  wakeOn?: string;
  /**
   * Does one round. Must be harmless to repeat, and return soon after the signal.
   *
   * @returns Counts worth a log line; all 0 when there was nothing to do.
   */
  run(
    deps: Pick<JobDeps, "sql" | "snapshots" | "signal">,
  ): Promise<Record<string, number>>;
}

/** What all jobs share. */
export interface JobDeps {
  /** Has sessions of its own, no pooler between: jobs LISTEN and use temporary tables. */
  sql: Sql;
  /** Each statement of it sees one snapshot; the audit is skipped where there is none. */
  snapshots?: Sql;
  log: Log;
  /** Ends all loops, each at its next safe point. */
  signal: AbortSignal;
}

/** A job that failed waits this long, then twice as long, and so on; this long always, ms. */
const BACKOFF_MS = 1_000;

/** Rounds that go well are written down together, this often, ms. */
const RECORD_MS = 5_000;

/** Bounds how long a database that is back waits for us, ms. */
const BACKOFF_MS_MAX = 30_000;

/**
 * Runs every job in its own loop. A round that throws is logged and tried again
 * after a pause that grows; it stops neither its own job nor the others.
 *
 * @param jobs What to run.
 * @param deps Shared clients, the log, and the signal that ends all loops.
 * @returns Once every job has come to its end.
 */
export async function runJobs(jobs: Job[], deps: JobDeps): Promise<void> {
  await Promise.all(jobs.map((job) => loop(job, deps)));
}

async function loop(job: Job, deps: JobDeps): Promise<void> {
  const bell = createBell();
  const listening = job.wakeOn
    ? listen(job.wakeOn, bell.ring, deps)
    : Promise.resolve();
  const record = createRecorder(job, deps);
  let failures = 0;
  while (!deps.signal.aborted) {
    // Armed before looking: a ring during the round must not be missed.
    const rung = bell.next();
    const ok = await runOnce(job, deps, record);
    failures = ok ? 0 : failures + 1;
    if (ok) await pause(job.everySeconds * 1_000, deps.signal, rung);
    else {
      const backoffMs = BACKOFF_MS * 2 ** (failures - 1);
      await pause(BACKOFF_MS, deps.signal);
      // Who rings has other work than what failed, and must not wait for it.
      await pause(
        Math.min(backoffMs, BACKOFF_MS_MAX) - BACKOFF_MS,
        deps.signal,
        rung,
      );
    }
  }
  await listening;
}

async function runOnce(
  job: Job,
  deps: JobDeps,
  record: ReturnType<typeof createRecorder>,
): Promise<boolean> {
  const startedAt = new Date();
  try {
    const counts = await job.run(deps);
    const ms = Date.now() - startedAt.getTime();
    const isIdle = Object.values(counts).every((count) => count === 0);
    deps.log[isIdle ? "debug" : "info"]("job ran", {
      job: job.name,
      ms,
      ...counts,
    });
    await record(startedAt, counts, null);
    return true;
  } catch (error) {
    deps.log.error("job failed", { job: job.name, error });
    const message = error instanceof Error ? error.message : String(error);
    await record(startedAt, {}, message);
    return false;
  }
}

/** Writes rounds down for /readyz: failures at once, the others as they gather. */
function createRecorder(
  { name, everySeconds }: Job,
  { sql, log }: JobDeps,
): (startedAt: Date, did: Counts, error: string | null) => Promise<void> {
  let rounds = 0;
  let due = 0;
  let told: Counts = {};
  return async (started_at, did, error) => {
    rounds += 1;
    // An idle round is not what was done last.
    if (Object.values(did).some((count) => count !== 0)) told = did;
    if (error === null && performance.now() < due) return;
    try {
      await recordJob(sql, {
        name,
        every_seconds: everySeconds,
        started_at,
        did: told,
        error,
        rounds,
      });
      rounds = 0;
      due = performance.now() + RECORD_MS;
    } catch (cause) {
      log.warn("cannot record a job", { job: name, error: cause });
    }
  };
}

/**
 * Tries until it listens; from then on the client reconnects by itself, and stops
 * when its owner ends it.
 */
async function listen(
  channel: string,
  ring: () => void,
  { sql, log, signal }: JobDeps,
): Promise<void> {
  while (!signal.aborted) {
    try {
      // The last argument is called on every reconnection: what was rung while
      // nobody listened is lost, so look.
      await sql.listen(channel, ring, ring);
      return;
    } catch (error) {
      log.warn("cannot listen, jobs run on their beat", { channel, error });
      await pause(BACKOFF_MS_MAX, signal);
    }
  }
}

function createBell(): { ring(): void; next(): Promise<void> } {
  let current = Promise.withResolvers<void>();
  return {
    ring() {
      current.resolve();
    },
    next() {
      current = Promise.withResolvers<void>();
      return current.promise;
    },
  };
}

async function pause(
  ms: number,
  signal: AbortSignal,
  rung?: Promise<void>,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  function end() {
    resolve();
  }
  if (signal.aborted) end();
  signal.addEventListener("abort", end);
  rung?.then(end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
