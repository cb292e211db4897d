/**
 * `GET /api/v1/workflows/{id}/quality`: what arrived as it should not.
 *
 * @module
 */

import { Hono } from "hono";
import { readQuality } from "../db/quality.ts";
import { QualityQuery } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { valid } from "./_valid.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** @returns The routes below `/api/v1/workflows`. */
export function quality(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql } = deps;
  return new Hono<AuthEnv>().get(
    "/:id/quality",
    requires(deps, "analytics:read"),
    valid("param", WorkflowPath),
    valid("query", QualityQuery),
    async (c) => {
      const viewer = c.get("viewer");
      const { id } = c.req.valid("param");
      await reads.workflow(viewer, id);
      const { days } = c.req.valid("query");
      return c.json(await readQuality(sql, viewer.account_id, id, days));
    },
  );
}
