/**
 * `/sign-in` with a link's token, and `/sign-out`.
 *
 * @module
 */

import { Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { beginSession, endSession, SESSION_DAYS } from "../db/access.ts";
import { refuseOtherSites, sessionCookie } from "./_auth.ts";
import type { Deps } from "./app.ts";

/** @returns The routes; public, the token is the credential. */
export function session({ sql, auth, publicUrl }: Deps): Hono {
  const name = sessionCookie(publicUrl);
  const cookie = {
    httpOnly: true,
    sameSite: "Lax",
    secure: publicUrl.startsWith("https:"),
    path: "/",
  } as const;
  return new Hono()
    .get("/sign-in", async (c, next) => {
      const token = c.req.query("token");
      // A HEAD request is somebody who previews the link, not who uses it.
      const begun = token === undefined || c.req.method === "HEAD"
        ? null
        : await beginSession(sql, token);
      // Without a link that works, sign_in.tsx says so.
      if (begun === null) return await next();
      setCookie(c, name, begun, {
        ...cookie,
        maxAge: SESSION_DAYS * 86_400,
      });
      c.header("cache-control", "no-store");
      return c.redirect("/", 303);
    })
    .post("/sign-out", async (c) => {
      refuseOtherSites(c, publicUrl);
      const token = getCookie(c, name);
      if (token !== undefined) {
        await endSession(sql, token);
        auth.forgetSession(token);
      }
      deleteCookie(c, name, cookie);
      return c.redirect("/sign-in", 303);
    });
}
