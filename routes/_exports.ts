/**
 * Asking for files, as the API and the page do it.
 *
 * @module
 */

import type { Grant } from "../db/access.ts";
import {
  type ExportRefusal,
  type ExportRow,
  requestExport,
} from "../db/exports.ts";
import type { ExportJob, ExportQuery } from "../db/schema.ts";
import { AppError } from "./_errors.ts";
import type { Deps } from "./app.ts";

/** When an account that has too many jobs may try again, seconds: one takes about as long. */
export const BUSY_SECONDS = 10;

/**
 * Queues a file. Whether its asker may see the workflow was found out before.
 *
 * @param deps Of the program.
 * @param viewer Who asks.
 * @param id Of the workflow.
 * @param request What is to be in it.
 * @throws {AppError} `workflow_not_found`, `exports_busy`, `exports_full`.
 */
export async function queueExport(
  { sql }: Pick<Deps, "sql">,
  { account_id, user_id }: Grant,
  id: string,
  request: ExportQuery,
): Promise<ExportRow> {
  const job = jobOrRefuse(
    await requestExport(sql, account_id, id, user_id, request),
  );
  if (job === null) throw new AppError("workflow_not_found");
  return job;
}

/**
 * @param answer What the database says to who wants a file made.
 * @returns The job; `null` where there is none.
 * @throws {AppError} `exports_busy`, `exports_full`.
 */
export function jobOrRefuse(
  answer: ExportRow | ExportRefusal | null,
): ExportRow | null {
  if (answer === null || !("refused" in answer)) return answer;
  throw new AppError(
    answer.refused === "busy" ? "exports_busy" : "exports_full",
    { retryAfterSeconds: BUSY_SECONDS },
  );
}

/**
 * A job as answers show it.
 *
 * @param row As the database has it.
 * @param publicUrl Where the link to its file leads.
 */
export function exportJobOf(
  { signature, attempt: _, file, ...job }: ExportRow,
  publicUrl: string,
): ExportJob {
  const path = `/api/v1/workflows/${job.workflow_id}/exports/${job.job_id}`;
  const download_url = `${publicUrl}${path}/download?signature=${signature}`;
  return { ...job, file: file && { ...file, download_url } };
}

/** Whether nothing more will become of a job by itself. */
export function isOver({ status }: Pick<ExportJob, "status">): boolean {
  return status !== "queued" && status !== "running";
}
