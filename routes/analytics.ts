/**
 * `/api/v1/workflows/{id}/analytics`: the numbers of one workflow.
 *
 * @module
 */

import { Hono } from "hono";
import { AnalyticsQuery } from "../db/schema.ts";
import type { Again } from "./_again.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { answerEntry, type Reads } from "./_reads.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** What each address below a workflow's `analytics` reads. */
const PARTS = {
  "": "summary",
  "/funnel": "funnel",
  "/actions": "actions",
} as const;

/** @returns The routes below `/api/v1/workflows`. */
export function analytics(
  deps: Deps,
  reads: Reads,
  again: Again,
): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  for (const [path, part] of Object.entries(PARTS)) {
    app.get(
      `/:id/analytics${path}`,
      requires(deps, "analytics:read"),
      valid("param", WorkflowPath),
      valid("query", AnalyticsQuery),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        const { revision } = await reads.workflow(viewer, id);
        const query = c.req.valid("query");
        const entry = await reads.part(part, viewer, id, query);
        // Else it may have become another's to see in between.
        if (entry.revision === revision) again.offer(c, id, entry);
        return answerEntry(c, entry);
      },
    );
  }
  return app;
}
