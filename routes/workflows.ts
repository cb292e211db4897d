/**
 * `/api/v1/workflows`: what is registered, and the list of an account.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import { Uuid, WorkflowDefinition, WorkflowsQuery } from "../db/schema.ts";
import {
  listWorkflows,
  putWorkflow,
  readWorkflow,
  readWorkflowHead,
  TooManyToSort,
} from "../db/workflows.ts";
import { type AuthEnv, mayRead, ownerOf, requires } from "./_auth.ts";
import { mediaTypeOf, readJson } from "./_body.ts";
import { AppError } from "./_errors.ts";
import { parsed, valid } from "./_valid.ts";
import type { Deps } from "./app.ts";

/** The path of one workflow. */
export const WorkflowPath = z.object({ id: Uuid });

/** @returns The routes below `/api/v1/workflows`. */
export function workflows(deps: Deps): Hono<AuthEnv> {
  const { sql, now } = deps;
  const reads = requires(deps, "analytics:read");
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
      ).catch(refuseQuery);
      c.set("rows", list.workflows.length);
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
      requires(deps, "workflows:write"),
      valid("param", WorkflowPath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        if (mediaTypeOf(c.req.raw) !== "application/json") {
          throw new AppError("unsupported_media_type", {
            detail: "Send application/json",
          });
        }
        const body = await readJson(c.req.raw);
        const definition = ownedBy(viewer, parsed(WorkflowDefinition, body));
        // Whoever may not see a workflow may not take it over either.
        const known = await readWorkflowHead(sql, viewer.account_id, id);
        if (known && !mayRead(viewer, known)) throw new AppError("forbidden");
        const { account_id } = viewer;
        const workflow = await putWorkflow(sql, account_id, id, definition);
        if (workflow === null) throw new AppError("workflow_not_found");
        return c.json(workflow);
      },
    );
}

/** A member's workflow is their own unless they name somebody: they would not see it again. */
function ownedBy(
  { role, user_id }: Pick<Grant, "role" | "user_id">,
  definition: WorkflowDefinition,
): WorkflowDefinition {
  if (role === "admin") return definition;
  return { ...definition, owner_id: definition.owner_id ?? user_id };
}

function refuseQuery(thrown: unknown): never {
  const error = thrown instanceof SyntaxError
    ? { path: "cursor", message: "Must be a next_cursor of a list so sorted" }
    : thrown instanceof TooManyToSort
    ? {
      path: "sort",
      message: `${thrown.message}: narrow the list, or sort by name`,
    }
    : null;
  if (error === null) throw thrown;
  throw new AppError("invalid_request", { errors: [error] });
}
