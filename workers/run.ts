/**
 * Runs jobs on a beat, or as soon as somebody rings, until told to stop.
 *
 * @module
 */

import type { Log } from "../db/log.ts";
import type { Sql } from "../db/client.ts";

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
  run(deps: { sql: Sql; signal: AbortSignal }): Promise<Record<string, number>>;
}

/** What all jobs share. */
export interface JobDeps {
  /** Has sessions of its own, no pooler between: jobs LISTEN and use temporary tables. */
  sql: Sql;
  log: Log;
  /** Ends all loops, each at its next safe point. */
  signal: AbortSignal;
}

/** A job that failed waits this long, then twice as long, and so on, ms. */
const BACKOFF_MS = 1_000;

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
  let failures = 0;
  while (!deps.signal.aborted) {
    // Armed before looking: a ring during the round must not be missed.
    const rung = bell.next();
    const ok = await runOnce(job, deps);
    failures = ok ? 0 : failures + 1;
    if (ok) await pause(job.everySeconds * 1_000, deps.signal, rung);
    else {
      await pause(
        Math.min(BACKOFF_MS * 2 ** (failures - 1), BACKOFF_MS_MAX),
        deps.signal,
      );
    }
  }
  await listening;
}

async function runOnce(job: Job, deps: JobDeps): Promise<boolean> {
  const startedAt = performance.now();
  try {
    const counts = await job.run(deps);
    const ms = Math.round(performance.now() - startedAt);
    const isIdle = Object.values(counts).every((count) => count === 0);
    deps.log[isIdle ? "debug" : "info"]("job ran", {
      job: job.name,
      ms,
      ...counts,
    });
    return true;
  } catch (error) {
    deps.log.error("job failed", { job: job.name, error });
    return false;
  }
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
