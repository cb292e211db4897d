/**
 * `/api/v1/workflows`: what is registered, and the list of an account.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import {
  REQUEST_BYTES_MAX,
  Uuid,
  WorkflowDefinition,
  WorkflowsQuery,
} from "../db/schema.ts";
import { listWorkflows, putWorkflow, readWorkflow } from "../db/workflows.ts";
import { bodyLimit } from "hono/body-limit";
import { type AuthEnv, mayRead, ownerOf, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";

/** The path of one workflow. */
export const WorkflowPath = z.object({ id: Uuid });

/** @returns The routes below `/api/v1/workflows`. */
export function workflows({ sql, now }: Deps): Hono<AuthEnv> {
  const reads = requires(sql, "analytics:read");
  return new Hono<AuthEnv>()
    .get("/", reads, valid("query", WorkflowsQuery), async (c) => {
      const viewer = c.get("viewer");
      const query = c.req.valid("query");
      const list = await listWorkflows(
        sql,
        viewer.account_id,
        query,
        now(),
        ownerOf(viewer),
      ).catch(refuseCursor);
      return c.json(list);
    })
    .get("/:id", reads, valid("param", WorkflowPath), async (c) => {
      const viewer = c.get("viewer");
      const { id } = c.req.valid("param");
      const workflow = await readWorkflow(sql, viewer.account_id, id);
      if (workflow === null) throw new AppError("workflow_not_found");
      if (!mayRead(viewer, workflow)) throw new AppError("forbidden");
      return c.json(workflow);
    })
    .put(
      "/:id",
      requires(sql, "workflows:write"),
      bodyLimit({ maxSize: REQUEST_BYTES_MAX, onError: refuseSize }),
      valid("param", WorkflowPath),
      valid("json", WorkflowDefinition),
      async (c) => {
        const { id } = c.req.valid("param");
        const definition = c.req.valid("json");
        const accountId = c.get("viewer").account_id;
        const workflow = await putWorkflow(sql, accountId, id, definition);
        if (workflow === null) throw new AppError("workflow_not_found");
        return c.json(workflow);
      },
    );
}

function refuseSize(): never {
  throw new AppError("payload_too_large", {
    detail: `Send at most ${REQUEST_BYTES_MAX} bytes`,
  });
}

function refuseCursor(thrown: unknown): never {
  if (!(thrown instanceof SyntaxError)) throw thrown;
  throw new AppError("invalid_request", {
    errors: [{ path: "cursor", message: "Must be a next_cursor of this list" }],
  });
}
