/**
 * `/api/v1/workflows/{id}/shares`: links by which anybody sees a workflow's numbers.
 *
 * Whoever may take numbers out of the account as a file (`exports:write`) may share them:
 * an admin, or a member what they own. `share.tsx` is what the links open.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import {
  type NewShare,
  ShareDefinition,
  type ShareLink,
  Uuid,
} from "../db/schema.ts";
import { createShare, listShares, revokeShare } from "../db/shares.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { readJson } from "./_body.ts";
import { AppError } from "./_errors.ts";
import type { OpenShares } from "./_open_shares.ts";
import { parsed, valid } from "./_valid.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** The path of one link. */
export const SharePath = z.object({ id: Uuid, share_id: Uuid });

/** @returns The routes below `/api/v1/workflows`. */
export function shares(
  deps: Deps,
  reads: Reads,
  open: OpenShares,
): Hono<AuthEnv> {
  const { sql } = deps;
  return new Hono<AuthEnv>()
    .get(
      "/:id/shares",
      requires(deps, "analytics:read"),
      valid("param", WorkflowPath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const shares = await listShares(sql, viewer.account_id, id);
        c.set("rows", shares.length);
        c.header("cache-control", "private, no-store");
        return c.json({ shares });
      },
    )
    .post(
      "/:id/shares",
      requires(deps, "exports:write"),
      valid("param", WorkflowPath),
      async (c) => {
        const { id } = c.req.valid("param");
        const body = await readJson(c.req.raw);
        const definition = parsed(ShareDefinition, body);
        const viewer = c.get("viewer");
        await reads.workflow(viewer, id);
        const share = await openShare(deps, viewer, id, definition);
        c.set("filter", factsOf(share));
        c.header("cache-control", "private, no-store");
        return c.json(share, 201);
      },
    )
    .delete(
      "/:id/shares/:share_id",
      // Never held back by a limit that waits for Upstash: it takes away, and gives nothing.
      requires(deps, "exports:write", "write"),
      valid("param", SharePath),
      async (c) => {
        const viewer = c.get("viewer");
        const { id, share_id } = c.req.valid("param");
        await reads.workflow(viewer, id);
        const share = await revokeShare(sql, viewer.account_id, id, share_id);
        if (share === null) throw new AppError("share_not_found");
        open.forget(share_id);
        c.set("filter", factsOf(share));
        return c.json(share);
      },
    );
}

/**
 * Opens a link to a workflow that the viewer may see.
 *
 * @param deps Of the program.
 * @param viewer Who shares.
 * @param id Which workflow.
 * @param definition What it shows and to whom.
 * @throws {AppError} `invalid_request`, `workflow_not_found`, `shares_full`.
 */
export async function openShare(
  { sql, now, publicUrl }: Pick<Deps, "sql" | "now" | "publicUrl">,
  viewer: Grant,
  id: string,
  definition: ShareDefinition,
): Promise<NewShare> {
  const at = now();
  const { expires_at } = definition;
  if (expires_at !== null && Date.parse(expires_at) <= at.getTime()) {
    throw new AppError("invalid_request", {
      errors: [{ path: "expires_at", message: "Must be in the future" }],
    });
  }
  const made = await createShare(
    sql,
    viewer.account_id,
    id,
    viewer.user_id,
    { ...definition, tz: definition.tz ?? viewer.time_zone },
    at,
  );
  if (made === null) throw new AppError("workflow_not_found");
  if (made === "full") throw new AppError("shares_full");
  return {
    ...made.share,
    url: `${publicUrl}/share/${made.token}`,
    embed_url: `${publicUrl}/embed/${made.token}`,
  };
}

/** What the access log is told of a link: nothing that opens it. */
function factsOf(share: ShareLink): Record<string, unknown> {
  const { share_id, name, range, tz, compare } = share;
  const { has_password, frame_ancestors, expires_at } = share;
  return {
    share_id,
    name,
    ...range,
    tz,
    compare,
    has_password,
    frame_ancestors,
    expires_at,
  };
}
