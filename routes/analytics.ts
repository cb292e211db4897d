/**
 * `/api/v1/workflows/{id}/analytics`: the numbers of one workflow.
 *
 * @module
 */

import { Hono } from "hono";
import { readActions } from "../db/actions.ts";
import { readAnalytics } from "../db/analytics.ts";
import { readFunnel } from "../db/funnel.ts";
import { AnalyticsQuery } from "../db/schema.ts";
import { readWorkflowHead } from "../db/workflows.ts";
import { type AuthEnv, mayRead, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** What each address below a workflow's `analytics` reads. */
const READS = {
  "": readAnalytics,
  "/funnel": readFunnel,
  "/actions": readActions,
};

/** @returns The routes below `/api/v1/workflows`. */
export function analytics(deps: Deps): Hono<AuthEnv> {
  const { sql, now } = deps;
  const app = new Hono<AuthEnv>();
  for (const [path, read] of Object.entries(READS)) {
    app.get(
      `/:id/analytics${path}`,
      requires(deps, "analytics:read"),
      valid("param", WorkflowPath),
      valid("query", AnalyticsQuery),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        const query = c.req.valid("query");
        const owner = await readWorkflowHead(sql, viewer.account_id, id);
        if (owner === null) throw new AppError("workflow_not_found");
        if (!mayRead(viewer, owner)) throw new AppError("forbidden");

        const answer = await read(sql, viewer.account_id, id, query, now());
        c.header("cache-control", "private, max-age=0, must-revalidate");
        return c.json(answer);
      },
    );
  }
  return app;
}
