/**
 * `POST /theme`: light, dark, or as the reader's system is. Kept in a cookie, so that the
 * first byte of a page knows it and nothing flashes; public, as it is nobody's data.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { type Theme, THEMES } from "../db/schema.ts";
import { refuseOtherSites } from "./_auth.ts";
import { readForm } from "./_body.ts";
import type { Deps } from "./app.ts";

/** `system` is no cookie. */
const COOKIE = "weir_theme";

const YEAR_SECONDS = 31_536_000;

const ThemeForm = z.object({
  theme: z.enum(THEMES).catch("system"),
  /** A path of ours; anything else would lead away. */
  back: z.string().regex(/^\/(?![/\\])[^\\\s]*$/).catch("/"),
});

/** @returns The route. */
export function theme({ publicUrl }: Pick<Deps, "publicUrl">): Hono {
  return new Hono().post("/theme", async (c) => {
    refuseOtherSites(c, publicUrl);
    const { theme, back } = ThemeForm.parse(
      Object.fromEntries(await readForm(c.req.raw)),
    );
    if (theme === "system") deleteCookie(c, COOKIE, { path: "/" });
    else {
      setCookie(c, COOKIE, theme, {
        path: "/",
        maxAge: YEAR_SECONDS,
        sameSite: "Lax",
        secure: publicUrl.startsWith("https:"),
      });
    }
    return c.redirect(back, 303);
  });
}

/** What the reader of a page has chosen. */
export function themeOf(c: Context): Theme {
  const chosen = getCookie(c, COOKIE);
  return THEMES.find((theme) => theme === chosen) ?? "system";
}
