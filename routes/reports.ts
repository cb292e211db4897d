/**
 * `/api/v1/workflows/{id}/reports`: reports that are made by schedule and told to a
 * webhook.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import {
  addReport,
  enableReport,
  listReports,
  removeReport,
  sendReport,
} from "../db/reports.ts";
import {
  type NewReport,
  ReportOrder,
  type ScheduledReport,
  Uuid,
} from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { readJson } from "./_body.ts";
import { AppError } from "./_errors.ts";
import type { Reads } from "./_reads.ts";
import { parsed, valid } from "./_valid.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** The path of one report. */
export const ReportPath = z.object({ id: Uuid, report_id: Uuid });

/** When a report that is under way several times may be asked for again, seconds. */
const BUSY_SECONDS = 30;

/** @returns The routes below `/api/v1/workflows`. */
export function reports(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql, now } = deps;
  const writes = requires(deps, "exports:write");
  return new Hono<AuthEnv>()
    .post("/:id/reports", writes, valid("param", WorkflowPath), async (c) => {
      const { id } = c.req.valid("param");
      const viewer = c.get("viewer");
      const order = parsed(ReportOrder, await readJson(c.req.raw));
      await reads.workflow(viewer, id);
      c.header("cache-control", "no-store");
      return c.json(await orderReport(deps, viewer, id, order), 201);
    })
    .get("/:id/reports", writes, valid("param", WorkflowPath), async (c) => {
      const { id } = c.req.valid("param");
      const viewer = c.get("viewer");
      await reads.workflow(viewer, id);
      c.header("cache-control", "private, no-store");
      return c.json({ reports: await listReports(sql, viewer.account_id, id) });
    })
    .delete(
      "/:id/reports/:report_id",
      writes,
      valid("param", ReportPath),
      async (c) => {
        const { id, report_id } = c.req.valid("param");
        const viewer = c.get("viewer");
        await reads.workflow(viewer, id);
        const { account_id } = viewer;
        if (!await removeReport(sql, account_id, id, report_id)) {
          throw new AppError("report_not_found");
        }
        return c.body(null, 204);
      },
    )
    .post(
      "/:id/reports/:report_id/send",
      writes,
      valid("param", ReportPath),
      async (c) => {
        const { id, report_id } = c.req.valid("param");
        const viewer = c.get("viewer");
        await reads.workflow(viewer, id);
        return c.json(await sendNow(deps, viewer, id, report_id), 202);
      },
    )
    .post(
      "/:id/reports/:report_id/enable",
      writes,
      valid("param", ReportPath),
      async (c) => {
        const { id, report_id } = c.req.valid("param");
        const viewer = c.get("viewer");
        await reads.workflow(viewer, id);
        const { account_id } = viewer;
        const report = await enableReport(
          sql,
          account_id,
          id,
          report_id,
          now(),
        );
        if (report === null) throw new AppError("report_not_found");
        return c.json(report);
      },
    );
}

/** Who orders. */
type Asker = { account_id: number; user_id: string | null };

/**
 * Orders a report. Whether its asker may see the workflow was found out before.
 *
 * @throws {AppError} `workflow_not_found`, `reports_full`.
 */
export async function orderReport(
  { sql, now }: Pick<Deps, "sql" | "now">,
  { account_id, user_id }: Asker,
  id: string,
  order: ReportOrder,
): Promise<NewReport> {
  const made = await addReport(sql, account_id, id, user_id, order, now());
  if (made === null) throw new AppError("workflow_not_found");
  if (made === "full") throw new AppError("reports_full");
  return made;
}

/**
 * Sends the last period of a report.
 *
 * @throws {AppError} `report_not_found`, `reports_busy`.
 */
export async function sendNow(
  { sql, now }: Pick<Deps, "sql" | "now">,
  { account_id }: Asker,
  id: string,
  reportId: string,
): Promise<ScheduledReport> {
  const sent = await sendReport(sql, account_id, id, reportId, now());
  if (sent === null) throw new AppError("report_not_found");
  if (sent === "busy") {
    throw new AppError("reports_busy", { retryAfterSeconds: BUSY_SECONDS });
  }
  return sent;
}
