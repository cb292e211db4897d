/**
 * Who is asking, and what they may do.
 *
 * @module
 */

import type { MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import { findKey, findSession, type Grant } from "../db/access.ts";
import type { Sql } from "../db/client.ts";
import type { Scope } from "../db/schema.ts";
import { AppError } from "./_errors.ts";

/** `__Host-` would need https, which a server on one's own machine does not have. */
export const SESSION_COOKIE = "weir_session";

/** What authentication leaves in the context. */
export interface AuthEnv {
  Variables: { viewer: Grant };
}

/**
 * Lets in whoever has an API key with a scope (or `admin`); where the request only
 * reads, also a browser with a session.
 *
 * @param sql Client.
 * @param scope What the route needs.
 */
export function requires(sql: Sql, scope: Scope): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const authorization = c.req.header("authorization");
    const isRead = scope === "analytics:read" && c.req.method !== "POST";
    if (authorization === undefined && isRead) {
      c.set("viewer", await sessionViewer(sql, getCookie(c, SESSION_COOKIE)));
      return await next();
    }
    const key = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
    const grant = key === undefined ? null : await findKey(sql, key);
    if (grant === null) throw new AppError("unauthenticated");
    if (!grant.scopes.includes(scope) && !grant.scopes.includes("admin")) {
      throw new AppError("insufficient_scope", {
        detail: `The key lacks the scope "${scope}"`,
      });
    }
    c.set("viewer", grant);
    await next();
  };
}

async function sessionViewer(
  sql: Sql,
  token: string | undefined,
): Promise<Grant> {
  const grant = token === undefined ? null : await findSession(sql, token);
  if (grant === null) throw new AppError("unauthenticated");
  return grant;
}

/**
 * Lets in browsers with a session and sends the others to the sign-in page.
 *
 * @param sql Client.
 */
export function requiresSession(sql: Sql): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const token = getCookie(c, SESSION_COOKIE);
    const grant = token === undefined ? null : await findSession(sql, token);
    if (grant === null) return c.redirect("/sign-in", 303);
    c.set("viewer", grant);
    await next();
  };
}

/**
 * Whether a workflow of the viewer's account is theirs to see: admins see all,
 * members what they own.
 *
 * @param viewer Who asks.
 * @param workflow Whose `owner_id` decides.
 */
export function mayRead(
  viewer: Pick<Grant, "role" | "user_id">,
  workflow: { owner_id: string | null },
): boolean {
  return viewer.role === "admin" ||
    (viewer.user_id !== null && viewer.user_id === workflow.owner_id);
}

/**
 * Whose workflows a list is narrowed to.
 *
 * @returns A user id; `null` for an admin, who sees all. A member without an id
 * owns nothing, as nobody is called `""`.
 */
export function ownerOf(
  viewer: Pick<Grant, "role" | "user_id">,
): string | null {
  return viewer.role === "admin" ? null : viewer.user_id ?? "";
}
