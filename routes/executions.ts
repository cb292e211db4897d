/**
 * `/api/v1/workflows/{id}/executions`: the executions behind any number, and one with
 * all that happened to it. `/api/v1/contacts/{contact_id}`: the erasure of a contact.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import {
  eraseContact,
  listExecutions,
  readExecution,
} from "../db/executions.ts";
import { ContactPath, ExecutionsQuery, Uuid } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** The path of one execution. */
export const ExecutionPath = z.object({ id: Uuid, execution_id: Uuid });

/** @returns The routes below `/api/v1/workflows`. */
export function executions(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql, now } = deps;
  const mayAsk = requires(deps, "analytics:read");
  return new Hono<AuthEnv>()
    .get(
      "/:id/executions",
      mayAsk,
      valid("param", WorkflowPath),
      valid("query", ExecutionsQuery),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const query = c.req.valid("query");
        const list = await listExecutions(
          sql,
          viewer.account_id,
          id,
          query,
          now(),
        ).catch(refuseCursor);
        c.set("rows", list?.executions.length ?? 0);
        c.header("cache-control", "private, no-store");
        return c.json(list);
      },
    )
    .get(
      "/:id/executions/:execution_id",
      mayAsk,
      valid("param", ExecutionPath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id, execution_id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const detail = await readExecution(
          sql,
          viewer.account_id,
          id,
          execution_id,
          now(),
        );
        if (detail === null) throw new AppError("execution_not_found");
        c.header("cache-control", "private, no-store");
        return c.json(detail);
      },
    );
}

/** @returns The routes below `/api/v1/contacts`. */
export function contacts(deps: Deps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().delete(
    "/:contact_id",
    requires(deps, "admin"),
    valid("param", ContactPath),
    async (c) => {
      const viewer = c.get("viewer");
      // It reaches into workflows of all members.
      if (viewer.role !== "admin") throw new AppError("forbidden");
      const { contact_id } = c.req.valid("param");
      return c.json(
        await eraseContact(deps.slow, viewer.account_id, contact_id),
      );
    },
  );
}

function refuseCursor(thrown: unknown): never {
  if (!(thrown instanceof SyntaxError)) throw thrown;
  throw new AppError("invalid_request", {
    errors: [{ path: "cursor", message: "Must be a next_cursor of this list" }],
  });
}
