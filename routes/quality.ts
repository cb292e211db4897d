/**
 * `GET /api/v1/workflows/{id}/quality`: what arrived as it should not.
 *
 * @module
 */

import { Hono } from "hono";
import { readQuality } from "../db/quality.ts";
import { QualityQuery } from "../db/schema.ts";
import { readWorkflowHead } from "../db/workflows.ts";
import { type AuthEnv, mayRead, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** @returns The routes below `/api/v1/workflows`. */
export function quality(deps: Deps): Hono<AuthEnv> {
  const { sql } = deps;
  return new Hono<AuthEnv>().get(
    "/:id/quality",
    requires(deps, "analytics:read"),
    valid("param", WorkflowPath),
    valid("query", QualityQuery),
    async (c) => {
      const { account_id, ...viewer } = c.get("viewer");
      const { id } = c.req.valid("param");
      const owner = await readWorkflowHead(sql, account_id, id);
      if (owner === null) throw new AppError("workflow_not_found");
      if (!mayRead(viewer, owner)) throw new AppError("forbidden");
      const { days } = c.req.valid("query");
      return c.json(await readQuality(sql, account_id, id, days));
    },
  );
}
