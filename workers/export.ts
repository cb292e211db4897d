/**
 * Makes the files that somebody asked for.
 *
 * Any number of workers take jobs from one queue. Whoever has one gives a sign of life
 * every few seconds; when that stays away, the job is another's, and what the first one
 * may still write is under a name of its own and never shown.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Sql } from "../db/client.ts";
import {
  countRows,
  type ExportFile,
  fileName,
  type Numbers,
  openExport,
  readNumbers,
} from "../db/export_file.ts";
import {
  beatExport,
  type ClaimedExport,
  claimExport,
  expireExports,
  failExport,
  finishExport,
  releaseExport,
} from "../db/exports.ts";
import { DetailExpired } from "../db/period.ts";
import type { AnalyticsQuery, ExportQuery } from "../db/schema.ts";
import type { ExportStore } from "../db/store.ts";
import type { Job } from "./run.ts";

/** Rung when something was asked for. */
const EXPORT_REQUESTED = "export_requested";

/** Signs of life: several within a lease, so that one that is lost costs nothing, ms. */
const BEAT_MS = 2_000;

/** What a job's owner is told of a failure that is none of theirs. */
const OURS = "Cannot make the file because of an error of ours";

/** What the report shows. */
export interface Report extends Numbers {
  workflowName: string;
  accountName: string;
  query: AnalyticsQuery;
  generatedAt: Date;
}

/** Where what this job needs of other folders comes from. */
export interface ExportDeps {
  store: ExportStore;
  /** Renders the report as a whole page that asks for nothing else. */
  renderReport(report: Report): string;
  /** Prints a page as PDF. */
  print(html: string, signal: AbortSignal): Promise<Uint8Array>;
  now?(): Date;
}

/** It was cancelled, or another worker has it. */
class JobLost extends Error {
  override readonly name = "JobLost";
}

/**
 * @param deps Store, report and printer.
 * @returns The job, which makes all files that wait, one after the other.
 */
export function createExportJob(deps: ExportDeps): Job {
  return {
    name: "export",
    everySeconds: 2,
    wakeOn: EXPORT_REQUESTED,
    async run({ sql, signal }) {
      let files = 0;
      let failure: unknown;
      while (!signal.aborted) {
        const claimed = await claimExport(sql);
        if (claimed === null) break;
        try {
          if (await makeFile(sql, claimed, deps, signal)) files += 1;
        } catch (error) {
          // It rests now; the others need not wait for it.
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return { files };
    },
  };
}

/**
 * @param store Where files are.
 * @returns The job that forgets what has expired.
 */
export function createExpiryJob(store: ExportStore): Job {
  return {
    name: "expire exports",
    everySeconds: 300,
    async run({ sql }) {
      let jobs = 0;
      await store.keepOnly(async () => {
        const expired = await expireExports(sql);
        jobs = expired.jobs;
        return expired.live;
      });
      return { jobs };
    },
  };
}

/** Returns whether the job is done by us; a failure is written down, and nobody else's. */
async function makeFile(
  sql: Sql,
  claimed: ClaimedExport,
  deps: ExportDeps,
  signal: AbortSignal,
): Promise<boolean> {
  const { job } = claimed;
  const lost = new AbortController();
  const ending = AbortSignal.any([signal, lost.signal]);
  const progress = { percent: 0 };
  const beat = setInterval(async () => {
    const isMine = await beatExport(sql, job, progress.percent)
      // A database that is away for a moment takes nothing from us; the lease tells.
      .catch(() => true);
    if (!isMine) lost.abort(new JobLost("Cannot go on: the job is not ours"));
  }, BEAT_MS);
  try {
    const file = await open(sql, claimed, deps, progress, ending);
    const seen = { bytes: 0, sha256: createHash("sha256") };
    await deps.store.write(job, file.body.pipeThrough(observed(seen, ending)));
    ending.throwIfAborted();
    return await finishExport(sql, job, {
      name: file.name,
      media_type: file.mediaType,
      bytes: seen.bytes,
      rows: file.rows(),
      sha256: seen.sha256.digest("hex"),
    });
  } catch (error) {
    if (lost.signal.aborted) return false;
    // Told to stop: somebody else goes on, at once.
    if (signal.aborted) {
      await releaseExport(sql, job);
      return false;
    }
    const isFinal = error instanceof DetailExpired;
    const reason = isFinal || error instanceof PrintError
      ? error.message
      : OURS;
    await failExport(sql, job, reason, isFinal);
    // What its owner asked for wrongly is no failure of ours.
    if (!isFinal) throw error;
    return false;
  } finally {
    clearInterval(beat);
  }
}

/** Why nothing could be printed, in words for whoever asked. */
export class PrintError extends Error {
  override readonly name = "PrintError";
}

async function open(
  sql: Sql,
  { job, account_id, ...names }: ClaimedExport,
  deps: ExportDeps,
  progress: { percent: number },
  signal: AbortSignal,
): Promise<ExportFile> {
  const source = {
    sql,
    accountId: account_id,
    workflowUuid: job.workflow_id,
    now: deps.now?.() ?? new Date(),
    signal,
  };
  const { request } = job;
  if (request.rows === "buckets" && request.format === "pdf") {
    const numbers = await readNumbers(source, request);
    if (numbers === null) throw new Error("Cannot find the workflow");
    progress.percent = 20;
    const html = deps.renderReport({
      ...numbers,
      workflowName: names.workflow_name ?? job.workflow_id,
      accountName: names.account_name,
      query: request,
      generatedAt: source.now,
    });
    const pdf = await deps.print(html, signal);
    progress.percent = 90;
    return {
      name: fileName(source, request),
      mediaType: "application/pdf",
      body: ReadableStream.from([pdf]),
      rows: () => null,
    };
  }
  const total = await countAll(source, request);
  const file = await openExport(source, request, (rows) => {
    progress.percent = total === 0 ? 0 : Math.min(99, 100 * rows / total | 0);
  });
  if (file === null) throw new Error("Cannot find the workflow");
  return file;
}

/** All of them, to tell how far it is. */
async function countAll(
  source: Parameters<typeof countRows>[0],
  request: ExportQuery,
): Promise<number> {
  return (await countRows(source, request, 2_147_483_647 - 1))?.rows ?? 0;
}

/** Counts and digests what passes, and ends it when told. */
function observed(
  seen: { bytes: number; sha256: ReturnType<typeof createHash> },
  signal: AbortSignal,
): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(bytes, controller) {
      signal.throwIfAborted();
      seen.bytes += bytes.length;
      seen.sha256.update(bytes);
      controller.enqueue(bytes);
    },
  });
}
