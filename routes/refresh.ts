/**
 * `/api/v1/workflows/{id}/analytics/refresh`: bring a workflow up to date now.
 *
 * Reads are exact without it; it is for those who want to know when everything that
 * was sent is counted.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import { readRefresh, requestRefresh } from "../db/jobs.ts";
import { Uuid } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** The path of one request. */
export const RefreshPath = z.object({ id: Uuid, job_id: Uuid });

/** @returns The routes below `/api/v1/workflows`. */
export function refresh(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql } = deps;
  const mayAsk = requires(deps, "analytics:read");
  return new Hono<AuthEnv>()
    .post(
      "/:id/analytics/refresh",
      mayAsk,
      valid("param", WorkflowPath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const request = await requestRefresh(sql, viewer.account_id, id);
        c.header(
          "location",
          `/api/v1/workflows/${id}/analytics/refresh/${request.job_id}`,
        );
        return c.json({ status: "queued", ...request }, 202);
      },
    )
    .get(
      "/:id/analytics/refresh/:job_id",
      mayAsk,
      valid("param", RefreshPath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id, job_id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const request = await readRefresh(sql, viewer.account_id, id, job_id);
        if (request === null) throw new AppError("not_found");
        c.header("cache-control", "no-store");
        return c.json(request);
      },
    );
}
