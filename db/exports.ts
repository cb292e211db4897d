/**
 * The queue of files to be made, for those who ask and for those who work.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { StoredFile } from "./store.ts";
import {
  EXPORT_BYTES_MAX,
  EXPORT_HOURS,
  type ExportJob,
  type ExportQuery,
  EXPORTS_LISTED_MAX,
  EXPORTS_OPEN_MAX,
} from "./schema.ts";

/** A job as the database tells of it. */
export interface ExportRow
  extends Omit<ExportJob, "file" | "request">, StoredFile {
  request: ExportQuery;
  /** What a link to the file carries; `null` until it is there. */
  signature: string | null;
  file: Omit<NonNullable<ExportJob["file"]>, "download_url"> | null;
}

/** Why an account may not ask for a file now: too many are open, or kept. */
export type ExportRefusal = { refused: "busy" | "full" };

/** A worker's hold on a job: without a sign of life for so long, it is another's, seconds. */
export const LEASE_SECONDS = 30;

/** A job is tried so often; one that fails each time fails for a reason of its own. */
export const ATTEMPTS_MAX = 3;

/** After a failure a job rests, twice as long each time, seconds. */
const REST_SECONDS = 5;

/**
 * Queues a file.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param userId Who asks; `null`: a machine.
 * @param request What is to be in it.
 * @returns The job, or why it is refused; `null` when the account has no such workflow.
 */
export async function requestExport(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  userId: string | null,
  request: ExportQuery,
): Promise<ExportRow | ExportRefusal | null> {
  const [row] = await sql<[{ job: ExportRow | ExportRefusal | null }]>`
    select weir.request_export(${accountId}, ${workflowUuid}, ${userId},
      ${
    JSON.stringify(request)
  }::text::jsonb, ${EXPORTS_OPEN_MAX}, ${EXPORT_BYTES_MAX}) as job`;
  return row.job;
}

/** Lists a workflow's newest jobs, newest first. */
export async function listExports(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<ExportRow[]> {
  const [row] = await sql<[{ jobs: ExportRow[] }]>`
    select weir.list_exports(${accountId}, ${workflowUuid}, ${EXPORTS_LISTED_MAX}) as jobs`;
  return row.jobs;
}

/** Which job of which workflow of which account. */
type JobOf = [
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  jobId: string,
];

/** Reads a job; `null` when the account's workflow has none of this id. */
export async function readExport(...[sql, ...of]: JobOf) {
  const [row] = await sql<[{ job: ExportRow | null }]>`
    select weir.read_export(${of[0]}, ${of[1]}, ${of[2]}) as job`;
  return row.job;
}

/** Ends a job that is not over, and tells how it is now. */
export async function cancelExport(...[sql, ...of]: JobOf) {
  const [row] = await sql<[{ job: ExportRow | null }]>`
    select weir.cancel_export(${of[0]}, ${of[1]}, ${of[2]}) as job`;
  return row.job;
}

/**
 * Queues a job anew that failed or was cancelled.
 *
 * @returns How it is now, or why it is refused.
 */
export async function retryExport(...[sql, ...of]: JobOf) {
  const [row] = await sql<[{ job: ExportRow | ExportRefusal | null }]>`
    select weir.retry_export(${of[0]}, ${of[1]}, ${
    of[2]
  }, ${EXPORTS_OPEN_MAX}) as job`;
  return row.job;
}

/**
 * Finds what a signed link opens.
 *
 * @returns `null` when it opens nothing, or nothing any more.
 */
export async function openSigned(
  sql: Sql,
  workflowUuid: string,
  jobId: string,
  signature: string,
  now: Date,
): Promise<{ account_id: number; job: ExportRow } | null> {
  const [row] = await sql<
    [{ opened: { account_id: number; job: ExportRow } | null }]
  >`
    select weir.open_export(${workflowUuid}, ${jobId}, ${signature}, ${now}) as opened`;
  return row.opened;
}

/** Finds whose job a link names that opens nothing; `null` where it names none. */
export async function accountOfExport(
  sql: Sql,
  workflowUuid: string,
  jobId: string,
): Promise<number | null> {
  const [row] = await sql<[{ account: number | null }]>`
    select weir.account_of_export(${workflowUuid}, ${jobId}) as account`;
  return row.account;
}

/** A job that a worker has taken. */
export interface ClaimedExport {
  job: ExportRow;
  account_id: number;
  account_name: string;
  time_zone: string;
  /** `null` until it is registered. */
  workflow_name: string | null;
}

/** Takes the oldest job that waits or whose worker is gone; `null` when there is none. */
export async function claimExport(sql: Sql): Promise<ClaimedExport | null> {
  const [row] = await sql<[{ claimed: ClaimedExport | null }]>`
    select weir.claim_export(${LEASE_SECONDS}, ${ATTEMPTS_MAX}) as claimed`;
  return row.claimed;
}

/**
 * Gives a sign of life.
 *
 * @param percent How far it is.
 * @returns Whether the job is still the caller's: not when it was cancelled or lost.
 */
export async function beatExport(
  sql: Sql,
  { job_id, attempt }: StoredFile,
  percent: number,
): Promise<boolean> {
  const [row] = await sql<[{ mine: boolean }]>`
    select weir.beat_export(${job_id}, ${attempt}, ${percent}, ${LEASE_SECONDS}) as mine`;
  return row.mine;
}

/** What a finished file is. */
export interface FinishedFile {
  name: string;
  media_type: string;
  bytes: number;
  rows: number | null;
  /** Hexadecimal. */
  sha256: string;
}

/** Makes a file the job's. Returns whether it was still the caller's. */
export async function finishExport(
  sql: Sql,
  { job_id, attempt }: StoredFile,
  file: FinishedFile,
): Promise<boolean> {
  const [row] = await sql<[{ mine: boolean }]>`
    select weir.finish_export(${job_id}, ${attempt}, ${
    JSON.stringify(file)
  }::text::jsonb, ${EXPORT_HOURS}) as mine`;
  return row.mine;
}

/**
 * Takes note that a job failed; it rests and is tried again.
 *
 * @param reason What its owner is told.
 * @param isFinal Whether trying again would change nothing.
 */
export async function failExport(
  sql: Sql,
  { job_id, attempt, attempts }: StoredFile & { attempts: number },
  reason: string,
  isFinal: boolean,
): Promise<void> {
  await sql`
    select weir.fail_export(${job_id}, ${attempt}, ${reason}, ${isFinal},
      ${REST_SECONDS * 2 ** (attempts - 1)}, ${ATTEMPTS_MAX})`;
}

/** Gives a job back as if it had not been taken. */
export async function releaseExport(
  sql: Sql,
  { job_id, attempt }: StoredFile,
): Promise<void> {
  await sql`select weir.release_export(${job_id}, ${attempt})`;
}

/** How the queue is doing, of all accounts. */
export interface ExportQueue {
  queued: number;
  running: number;
  /** Those that had all their attempts; forgotten a week later. */
  dead: number;
  /** How long the one waits that could have begun first; 0 without one. */
  wait_seconds: number;
}

/** Counts what waits, runs and was given up. */
export async function countExports(sql: Sql): Promise<ExportQueue> {
  const [row] = await sql<[{ queue: ExportQueue }]>`
    select weir.count_exports(${ATTEMPTS_MAX}) as queue`;
  return row.queue;
}

/** Forgets what has expired. Returns how many jobs, and whose files are still wanted. */
export async function expireExports(
  sql: Sql,
): Promise<{ jobs: number; live: string[] }> {
  const [row] = await sql<[{ expired: { jobs: number; live: string[] } }]>`
    select weir.expire_exports() as expired`;
  return row.expired;
}
