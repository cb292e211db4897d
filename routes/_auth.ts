/**
 * Who is asking, and what they may do: the one place that turns a secret into a grant.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import {
  findAccount,
  findKey,
  findSession,
  type Grant,
  ROLE_SCOPES,
} from "../db/access.ts";
import type { Sql } from "../db/client.ts";
import type { Preferences, Scope } from "../db/schema.ts";
import type { Access } from "../db/access_log.ts";
import { type AccessLog, accessOf, type AccessVariables } from "./_access.ts";
import { AppError } from "./_errors.ts";
import {
  type LimitDeps,
  nameOf,
  type Policy,
  spend,
  spendByScope,
} from "./_limit.ts";
import type { ReadToken } from "./_token.ts";

/**
 * How long a grant is believed without asking the database, ms: what is revoked opens
 * nothing after this, and a busy client costs a query every so often, not one a request.
 */
export const GRANT_MS_MAX = 4_000;

/** Grants held at once, some 500 bytes each; the oldest make room. */
const GRANTS_MAX = 10_000;

/** What authentication leaves in the context. */
export interface AuthEnv {
  Variables: AccessVariables & {
    viewer: Grant;
    /** Of pages: see `_reader.ts`. */
    preferences?: Preferences;
  };
}

/** Turns secrets into grants. */
export interface Auth {
  /**
   * What an API key or a token grants; adapters that find one elsewhere than in
   * `Authorization: Bearer` ask here.
   *
   * @param secret As the client sent it.
   * @returns `null` when it opens nothing, or nothing any more.
   */
  authenticate(secret: string): Promise<Grant | null>;
  /**
   * What the session of a browser grants.
   *
   * @param token The cookie's.
   * @returns `null` when it has ended.
   */
  authenticateSession(token: string): Promise<Grant | null>;
  /** Forgets what was believed of a session: it has just ended. */
  forgetSession(token: string): void;
  /**
   * Whether a grant is still believed without asking for it again.
   *
   * @param grant As it was found.
   * @param now The clock.
   */
  believes(grant: Grant, now: Date): boolean;
}

/** What `requires()` and its like need. */
export interface AuthDeps extends LimitDeps {
  auth: Auth;
  access: AccessLog;
  /** Where browsers reach us. */
  publicUrl: string;
}

/** What an authenticator is made of. */
export interface AuthOptions {
  sql: Sql;
  now(): Date;
  access: Pick<AccessLog, "keyUsed">;
  /** Where an identity provider is trusted. */
  readToken?: ReadToken;
}

/**
 * @returns An authenticator with nothing in its memory.
 */
export function createAuth(
  { sql, now, access, readToken }: AuthOptions,
): Auth {
  const grants = createMemory(now);
  return {
    async authenticate(secret) {
      if (!secret.startsWith("weir_")) {
        const grant = await grants.get(
          `token:${secret}`,
          () => ofToken(secret),
        );
        return grant && now().getTime() < grant.expires_ms! ? grant : null;
      }
      const grant = await grants.get(
        `key:${secret}`,
        () => findKey(sql, secret),
      );
      if (grant !== null) access.keyUsed(grant.credential.slice("key:".length));
      return grant;
    },
    authenticateSession: (token) =>
      grants.get(`session:${token}`, () => findSession(sql, token)),
    forgetSession: (token) => grants.forget(`session:${token}`),
    believes: (grant, at) =>
      grants.believes(grant, at) &&
      (grant.expires_ms === undefined || at.getTime() < grant.expires_ms),
  };

  async function ofToken(token: string): Promise<Grant | null> {
    const claims = await readToken?.(token);
    if (!claims) return null;
    const { account_uuid, role, user_id, expires_ms } = claims;
    const account = await findAccount(sql, account_uuid, user_id);
    if (account === null) return null;
    const hash = createHash("sha256").update(token).digest("hex");
    return {
      credential: `token:${hash.slice(0, 16)}`,
      account_id: account.account_id,
      account_uuid,
      account_name: account.name,
      time_zone: account.time_zone,
      user_id,
      role,
      scopes: ROLE_SCOPES[role],
      preferences_version: account.preferences_version,
      expires_ms,
    };
  }
}

/** Holds what was granted for {@linkcode GRANT_MS_MAX}, and asks once for many at a time. */
function createMemory(now: () => Date) {
  const held = new Map<string, { at: number; grant: Promise<Grant | null> }>();
  /** Since when, of those that nobody has ended. */
  const believed = new WeakMap<Grant, number>();
  // A dump of our memory gives no secrets away, and a look-up tells nothing by its time.
  const nameOf = (secret: string) =>
    createHash("sha256").update(secret).digest("base64");
  return {
    get(
      secret: string,
      find: () => Promise<Grant | null>,
    ): Promise<Grant | null> {
      const name = nameOf(secret);
      const at = now().getTime();
      const known = held.get(name);
      if (known && isFresh(known.at, at)) return known.grant;
      const grant = find();
      held.delete(name);
      held.set(name, { at, grant });
      if (held.size > GRANTS_MAX) held.delete(held.keys().next().value!);
      // What opens nothing is not kept, nor what could not be found out.
      const drop = () => {
        if (held.get(name)?.grant === grant) held.delete(name);
      };
      grant.then(
        (found) => found === null ? drop() : believed.set(found, at),
        drop,
      );
      return grant;
    },
    forget(secret: string): void {
      const name = nameOf(secret);
      held.get(name)?.grant.then((found) => found && believed.delete(found));
      held.delete(name);
    },
    believes(grant: Grant, now: Date): boolean {
      const at = believed.get(grant);
      return at !== undefined && isFresh(at, now.getTime());
    },
  };

  function isFresh(at: number, now: number): boolean {
    const age = now - at;
    // A clock that was put back does not make old grants new.
    return age >= 0 && age < GRANT_MS_MAX;
  }
}

/**
 * Lets in whoever has a scope (or `admin`): by `Authorization: Bearer` with an API key
 * or a token of the identity provider,
 * or by the session of a browser, which may write only from our own pages. Whatever
 * was read goes to the access log; what was exported is there before it goes out.
 *
 * @param deps Of the program.
 * @param scope What the route needs.
 * @param policy Which limit it is under; default: the scope's.
 */
export function requires(
  deps: AuthDeps,
  scope: Scope,
  policy?: Policy,
): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const found = await credentialOf(c, deps)();
    if (found !== null && c.req.header("authorization") === undefined) {
      refuseOtherSites(c, deps.publicUrl);
    }
    const viewer = granting(found, scope);
    await (policy === undefined
      ? spendByScope(deps, c, viewer, scope)
      : spend(deps, c, policy, nameOf(viewer, c)));
    c.set("viewer", viewer);
    await next();
    // Whoever writes an answer on must know that nobody reads it.
    if (c.req.method === "HEAD") await c.res.body?.cancel();
    // What producers report is in the tables itself.
    if (scope === "events:write") return;
    const access = accessOf(c);
    if (scope === "exports:write") await recordExport(deps, c, access);
    else deps.access.record(access);
  };
}

/**
 * Writes down that something is exported, before it goes out; what is refused, soon.
 *
 * @param deps Of the program.
 * @param c The request, answered.
 * @param access What it did.
 * @throws When it cannot be written: then the answer is gone.
 */
export async function recordExport(
  deps: Pick<AuthDeps, "access">,
  c: Context,
  access: Access,
): Promise<void> {
  if (access.status >= 400) return deps.access.record(access);
  await deps.access.recordFirst(access).catch(async (error) => {
    await c.res.body?.cancel();
    c.res = undefined;
    throw error;
  });
}

/**
 * Refuses whoever may not.
 *
 * @param viewer What {@linkcode Auth} found.
 * @param scope What it is needed for.
 * @returns The viewer, who may.
 * @throws {AppError} `unauthenticated`, `insufficient_scope`.
 */
export function granting(viewer: Grant | null, scope: Scope): Grant {
  if (viewer === null) throw new AppError("unauthenticated");
  if (!mayUse(viewer, scope)) {
    throw new AppError("insufficient_scope", {
      detail: `The credential lacks the scope "${scope}"`,
    });
  }
  return viewer;
}

/** What a credential grants now, `null` when nothing any more. */
export type Credential = () => Promise<Grant | null>;

/**
 * What a request came with, to be asked for what it grants, and asked again for as long
 * as its answer goes on.
 *
 * @param c The request.
 * @param deps Of the program.
 */
export function credentialOf(c: Context, deps: AuthDeps): Credential {
  const { auth } = deps;
  const authorization = c.req.header("authorization");
  // A key that is wrong is not made good by a session beside it.
  if (authorization !== undefined) {
    const secret = /^Bearer (\S+)$/i.exec(authorization)?.[1];
    return async () =>
      secret === undefined ? null : await auth.authenticate(secret);
  }
  return sessionOf(c, deps);
}

function sessionOf(c: Context, { auth, publicUrl }: AuthDeps): Credential {
  const token = getCookie(c, sessionCookie(publicUrl));
  return async () =>
    token === undefined ? null : await auth.authenticateSession(token);
}

/**
 * Whether a credential has a scope, or the one that stands for all.
 *
 * @param viewer What it grants.
 * @param scope What is needed.
 */
export function mayUse(viewer: Pick<Grant, "scopes">, scope: Scope): boolean {
  return viewer.scopes.includes(scope) || viewer.scopes.includes("admin");
}

/**
 * Lets in browsers with a session and sends the others to the sign-in page.
 *
 * @param deps Of the program.
 */
export function requiresSession(deps: AuthDeps): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    const viewer = await sessionOf(c, deps)();
    if (viewer === null) return c.redirect("/sign-in", 303);
    refuseOtherSites(c, deps.publicUrl);
    await spend(deps, c, "page", nameOf(viewer, c));
    c.set("viewer", viewer);
    await next();
    deps.access.record(accessOf(c));
  };
}

/**
 * Refuses what another site had a browser send in a user's name. Reading is no harm:
 * the other site does not get the answer.
 *
 * @param c The request.
 * @param publicUrl Where browsers reach us.
 * @throws {AppError} `cross_site_request`.
 */
export function refuseOtherSites(c: Context, publicUrl: string): void {
  if (c.req.method === "GET" || c.req.method === "HEAD") return;
  // Browsers that are reached safely say it themselves; scripts cannot forge either header.
  const site = c.req.header("sec-fetch-site");
  const isOurs = site === undefined
    ? c.req.header("origin") === new URL(publicUrl).origin
    : site === "same-origin";
  if (!isOurs) throw new AppError("cross_site_request");
}

/**
 * What the cookie of a session is called. `__Host-` keeps neighbouring hosts from
 * setting it, and would need https, which a server on one's own machine does not have.
 *
 * @param publicUrl Where browsers reach us.
 */
export function sessionCookie(publicUrl: string): string {
  return publicUrl.startsWith("https:")
    ? "__Host-weir_session"
    : "weir_session";
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
