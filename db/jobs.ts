/**
 * What keeps the numbers fresh, small and right, and how it is doing.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Pipeline, RefreshQueued, RefreshRequest } from "./schema.ts";

/** Counts worth a line. */
export type Counts = Record<string, number>;

/** One round of a job, or several of which the last is told. */
export interface JobRound {
  name: string;
  /** Longest pause that its scheduler promises, seconds. */
  every_seconds: number;
  started_at: Date;
  did: Counts;
  /** `null` when it went well. */
  error: string | null;
  /** How many rounds this stands for. */
  rounds: number;
}

/** Counting more would take longer than it tells. */
export const QUEUE_COUNT_MAX = 100_000;

/** A difference that the audit found. */
export interface Drift {
  relation: string;
  /** `null`: it is missing. */
  is_stored: unknown;
  /** `null`: it should not be there. */
  should_be: unknown;
}

/**
 * Writes down what the worker did.
 *
 * @param sql Client.
 * @param round What is to be told.
 */
export async function recordJob(sql: Sql, round: JobRound): Promise<void> {
  await sql`
    select weir.record_job(${round.name}, 'worker', ${round.every_seconds},
      ${round.started_at}, ${
    sql.json(round.did)
  }, ${round.error}, ${round.rounds})`;
}

/**
 * Reads how jobs, views and queue are doing, in one statement.
 *
 * @param sql Client.
 */
export async function readPipeline(sql: Sql): Promise<Pipeline> {
  const [row] = await sql<[Pipeline]>`
    select * from weir.read_pipeline(${QUEUE_COUNT_MAX})`;
  return row;
}

/**
 * Answers requests for a refresh and refreshes the views that are not up to date.
 *
 * @param sql Client with sessions of its own.
 * @returns `views` refreshed and `requests` answered.
 */
export async function refreshAll(sql: Sql): Promise<Counts> {
  const [row] = await sql<[{ did: Counts }]>`
    call weir.refresh_all('worker', null)`;
  return row.did;
}

/**
 * Asks for a workflow to be brought up to date; the same request again while one waits.
 *
 * @param sql Client.
 * @param accountId Whose.
 * @param workflowUuid A workflow that the account has.
 * @returns The job, and in how many seconds it should be done.
 */
export async function requestRefresh(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<Omit<RefreshQueued, "status">> {
  const [row] = await sql<[Omit<RefreshQueued, "status">]>`
    select * from weir.ask_refresh(${accountId}, ${workflowUuid})`;
  return row;
}

/**
 * Reads what became of a request.
 *
 * @param sql Client.
 * @param accountId Whose.
 * @param workflowUuid The workflow that it must be of.
 * @param jobId Its id.
 * @returns The request; `null` when the workflow has none of this id, or it is older than a week.
 */
export async function readRefresh(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  jobId: string,
): Promise<RefreshRequest | null> {
  const [row] = await sql<RefreshRequest[]>`
    select * from weir.read_refresh(${accountId}, ${workflowUuid}, ${jobId})`;
  return row ?? null;
}

/**
 * Forgets what is promised to be kept no longer: many small transactions in one
 * statement, which may take long on its first run.
 *
 * @param sql Client with sessions of its own and no statement timeout.
 * @param now The clock.
 * @returns What was dropped and deleted; empty when another session is at it.
 */
export async function retain(sql: Sql, now: Date): Promise<Counts> {
  const [row] = await sql<[{ did: Counts }]>`
    call weir.retain(${now}, null)`;
  return row.did;
}

/**
 * Makes the partitions of the next months.
 *
 * @param sql Client.
 * @returns How many were missing.
 */
export async function extendPartitions(sql: Sql): Promise<number> {
  const [row] = await sql<[{ made: number }]>`
    select weir.extend_partitions() as made`;
  return row.made;
}

/**
 * Recomputes numbers from what lies below them, in one snapshot, while others go on.
 *
 * @param sql Client with `snapshots` and no statement timeout.
 * @param sample How many executions, days and months, by chance; `null`: everything.
 * @param now The clock.
 * @returns What is wrong: of a sample how many, of everything each.
 */
export async function audit(
  sql: Sql,
  sample: number | null,
  now: Date,
): Promise<{ differences: number; drift: Drift[] }> {
  const [row] = await sql<[{ differences: number }]>`
    select weir.audit(${sample}, ${now}) as differences`;
  const drift = sample === null
    ? await sql<Drift[]>`
      select relation, is_stored, should_be from weir.audit_drift
      order by relation, coalesce(is_stored, should_be)::text, is_stored is null`
    : [];
  return { differences: row.differences, drift: [...drift] };
}

/**
 * Gives the jobs to pg_cron where it is installed in this database.
 *
 * @param sql Client of the role that owns the schema.
 * @returns Schedules made; 0 where the worker has to do.
 */
export async function scheduleJobs(sql: Sql): Promise<number> {
  const [row] = await sql<[{ schedules: number }]>`
    select weir.schedule_jobs() as schedules`;
  return row.schedules;
}
