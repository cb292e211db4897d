/**
 * Sends reports by schedule: has their files made by the queue of exports, and tells a
 * webhook when one is there.
 *
 * What is sent is a notice with a link and not the file: it stays small enough for any
 * receiver, costs little to send again, and the file is fetched when and as often as the
 * receiver likes, in parts if need be. The notice has the file's SHA-256 and is signed,
 * so nobody can put another file in its place.
 *
 * @module
 */

import {
  claimDelivery,
  type ClaimedDelivery,
  endDelivery,
  planReports,
} from "../db/reports.ts";
import { sendNotice, type WebhookOptions } from "./_webhook.ts";
import type { Job } from "./run.ts";

/** Rung when something was asked for, and when a file is there. */
const REPORT_DUE = "report_due";

/** Notices on their way at once: one receiver that hangs keeps nobody else's waiting. */
const SENDERS = 8;

/** What this job needs. */
export interface ReportDeps {
  /** How notices are sent. */
  webhook: WebhookOptions;
  /** Where receivers reach us, without a slash at its end. */
  publicUrl(): Promise<string>;
  now?(): Date;
}

/** @returns The job, which begins what is due and sends what is made. */
export function createReportJob(deps: ReportDeps): Job {
  return {
    name: "reports",
    everySeconds: 15,
    wakeOn: REPORT_DUE,
    async run({ sql, signal }) {
      const begun = await planReports(sql, deps.now?.() ?? new Date());
      let delivered = 0;
      let failed = 0;
      async function sendAll() {
        while (!signal.aborted) {
          const claimed = await claimDelivery(sql);
          if (claimed === null) break;
          const notice = noticeOf(claimed, await deps.publicUrl());
          // Told to stop amid it, it is sent again under the same id when its lease is over.
          const sent = await sendNotice(notice, deps.webhook, signal);
          await endDelivery(sql, claimed, sent);
          if (sent.problem === null) delivered += 1;
          else failed += 1;
        }
      }
      await Promise.all(Array.from({ length: SENDERS }, sendAll));
      return { begun, delivered, failed };
    },
  };
}

function noticeOf(claimed: ClaimedDelivery, publicUrl: string) {
  const { job, report_id, delivery_id, workflow_name, every } = claimed;
  const { signature, file } = job;
  const path = `/api/v1/workflows/${job.workflow_id}/exports/${job.job_id}`;
  return {
    id: `msg_${delivery_id.replaceAll("-", "")}`,
    url: claimed.url,
    secret: Uint8Array.fromHex(claimed.secret),
    body: JSON.stringify({
      type: "report.ready",
      timestamp: job.finished_at,
      data: {
        report_id,
        workflow_id: job.workflow_id,
        workflow_name,
        every,
        start_date: claimed.start_date,
        end_date: claimed.end_date,
        tz: claimed.time_zone,
        file: {
          ...file,
          download_url: `${publicUrl}${path}/download?signature=${signature}`,
          expires_at: job.expires_at,
        },
      },
    }),
  };
}
