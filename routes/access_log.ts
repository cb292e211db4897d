/**
 * `/api/v1/access-log`: who read and exported what, for the admins of an account.
 *
 * @module
 */

import { Hono } from "hono";
import { readAccessLog } from "../db/access_log.ts";
import { AccessLogQuery } from "../db/schema.ts";
import { type AuthEnv, requires } from "./_auth.ts";
import { AppError } from "./_errors.ts";
import { valid } from "./_valid.ts";
import type { Deps } from "./app.ts";

/** @returns The route below `/api/v1/access-log`. */
export function accessLog(deps: Deps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get(
    "/",
    requires(deps, "admin"),
    valid("query", AccessLogQuery),
    async (c) => {
      const { role, account_id } = c.get("viewer");
      // It tells of all members.
      if (role !== "admin") throw new AppError("forbidden");
      const query = c.req.valid("query");
      const page = await readAccessLog(deps.sql, account_id, query)
        .catch(refuseCursor);
      c.set("rows", page.entries.length);
      c.header("cache-control", "private, no-store");
      return c.json(page);
    },
  );
}

function refuseCursor(thrown: unknown): never {
  if (!(thrown instanceof SyntaxError)) throw thrown;
  throw new AppError("invalid_request", {
    errors: [{ path: "cursor", message: "Must be a next_cursor of this list" }],
  });
}
