/**
 * Reports by schedule, for those who order them and for those who send.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import type { Sql } from "./client.ts";
import type { ExportRow } from "./exports.ts";
import {
  DELIVERIES_FAILED_MAX,
  DELIVERIES_OPEN_MAX,
  DELIVERIES_SHOWN,
  ExportQuery,
  type NewReport,
  type ReportOrder,
  type ReportPeriod,
  REPORTS_MAX,
  type ScheduledReport,
} from "./schema.ts";

/** A worker that sends longer is gone, seconds: several times what a sending may take. */
export const DELIVERY_LEASE_SECONDS = 60;

/**
 * How long a delivery rests after each attempt, seconds. The last is 18 hours after the
 * first, while the file is still there to be fetched.
 */
export const REST_SECONDS = [5, 300, 1_800, 7_200, 18_000, 36_000];

/** All of them and the first. */
const ATTEMPTS_MAX = REST_SECONDS.length + 1;

/** A secret is as long as the hash that it signs with, bytes. */
const SECRET_BYTES = 32;

/**
 * Orders a report.
 *
 * @param userId Who asks; `null`: a machine.
 * @param now Decides when it is due first.
 * @returns The report with its secret; `"full"` when the account has as many as it may;
 * `null` when it has no such workflow.
 */
export async function addReport(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  userId: string | null,
  { every, hour, url, ...order }: ReportOrder,
  now: Date,
): Promise<NewReport | "full" | null> {
  const secret = randomBytes(SECRET_BYTES);
  // Dates are each period's own.
  const { start_date: _, end_date: __, ...request } = ExportQuery.parse({
    ...order,
    start_date: "2000-01-01",
    end_date: "2000-01-01",
  });
  const [row] = await sql<
    [{ report: ScheduledReport | { refused: string } | null }]
  >`
    select weir.add_report(${accountId}, ${workflowUuid}, ${userId}, ${every},
      ${hour}, ${
    JSON.stringify(request)
  }::text::jsonb, ${url}, ${secret}, ${now}, ${REPORTS_MAX},
      ${DELIVERIES_SHOWN}) as report`;
  if (row.report === null) return null;
  if ("refused" in row.report) return "full";
  return { ...row.report, secret: `whsec_${secret.toString("base64")}` };
}

/** Lists the reports of a workflow, oldest first. */
export async function listReports(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<ScheduledReport[]> {
  const [row] = await sql<[{ reports: ScheduledReport[] }]>`
    select weir.list_reports(${accountId}, ${workflowUuid}, ${DELIVERIES_SHOWN}) as reports`;
  return row.reports;
}

/** Removes a report. Returns whether the account's workflow had it. */
export async function removeReport(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  reportId: string,
): Promise<boolean> {
  const [row] = await sql<[{ removed: boolean }]>`
    select weir.remove_report(${accountId}, ${workflowUuid}, ${reportId}) as removed`;
  return row.removed;
}

/** Has a report sent again from its next period on; `null` without one. */
export async function enableReport(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  reportId: string,
  now: Date,
): Promise<ScheduledReport | null> {
  const [row] = await sql<[{ report: ScheduledReport | null }]>`
    select weir.enable_report(${accountId}, ${workflowUuid}, ${reportId}, ${now},
      ${DELIVERIES_SHOWN}) as report`;
  return row.report;
}

/**
 * Sends the last period besides what is due.
 *
 * @returns The report; `"busy"` while several of it are under way; `null` without one.
 */
export async function sendReport(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  reportId: string,
  now: Date,
): Promise<ScheduledReport | "busy" | null> {
  const [row] = await sql<
    [{ report: ScheduledReport | { refused: string } | null }]
  >`
    select weir.send_report(${accountId}, ${workflowUuid}, ${reportId}, ${now},
      ${DELIVERIES_OPEN_MAX}, ${DELIVERIES_SHOWN}) as report`;
  const { report } = row;
  return report !== null && "refused" in report ? "busy" : report;
}

/** Begins what is due. Returns how many reports. */
export async function planReports(sql: Sql, now: Date): Promise<number> {
  const [row] = await sql<[{ begun: number }]>`
    select weir.plan_reports(${now}) as begun`;
  return row.begun;
}

/** A delivery that a worker has taken. */
export interface ClaimedDelivery {
  delivery_id: string;
  attempt: string;
  /** This one counted. */
  attempts: number;
  report_id: string;
  every: ReportPeriod;
  start_date: string;
  end_date: string;
  url: string;
  /** Hexadecimal. */
  secret: string;
  /** Done. */
  job: ExportRow;
  /** `null` until it is registered. */
  workflow_name: string | null;
  time_zone: string;
}

/** Takes the oldest delivery whose file is there; `null` when nothing can be sent. */
export async function claimDelivery(sql: Sql): Promise<ClaimedDelivery | null> {
  const [row] = await sql<[{ claimed: ClaimedDelivery | null }]>`
    select weir.claim_delivery(${DELIVERY_LEASE_SECONDS}, ${ATTEMPTS_MAX},
      ${DELIVERIES_FAILED_MAX}) as claimed`;
  return row.claimed;
}

/** What became of an attempt to send. */
export interface Sent {
  /** `null` where nobody answered. */
  status: number | null;
  /** Why it did not arrive; `null` where it did. */
  problem: string | null;
}

/**
 * Takes note of an attempt. One that failed rests and is tried again, unless it was the
 * last; a receiver that is gone for good (410) disables the report at once.
 *
 * @returns Whether the delivery was still the caller's.
 */
export async function endDelivery(
  sql: Sql,
  { delivery_id, attempt, attempts }: ClaimedDelivery,
  { status, problem }: Sent,
): Promise<boolean> {
  const isGone = status === 410;
  const rest = isGone ? null : REST_SECONDS[attempts - 1] ?? null;
  const [row] = await sql<[{ mine: boolean }]>`
    select weir.end_delivery(${delivery_id}, ${attempt}, ${status}, ${problem}, ${rest},
      ${isGone}, ${DELIVERIES_FAILED_MAX}) as mine`;
  return row.mine;
}
