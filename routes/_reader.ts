/**
 * Who reads a page, and how they like it: in which zone, which theme, which range. What
 * they have chosen comes first, then what their browser says, then the account's.
 *
 * @module
 */

import type { Context, MiddlewareHandler } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { z } from "zod";
import { DEFAULTS } from "../db/preferences.ts";
import {
  type Preferences,
  type Theme,
  THEMES,
  TimeZone,
} from "../db/schema.ts";
import type { AuthEnv } from "./_auth.ts";
import type { PreferenceStore } from "./_preferences.ts";

/** What the browser says its zone is; `_page.ts` of the islands keeps it. */
const ZONE_COOKIE = "weir_zone";

/** The theme on pages that do not know their reader; `system` is no cookie. */
const THEME_COOKIE = "weir_theme";

const YEAR_SECONDS = 31_536_000;

/**
 * Finds out what the reader prefers. Behind `requiresSession()`.
 *
 * @param preferences Where they are.
 */
export function knowsReader(
  preferences: PreferenceStore,
): MiddlewareHandler<AuthEnv> {
  return async (c, next) => {
    c.set("preferences", await preferences.of(c.get("viewer")));
    await next();
  };
}

/** What the reader prefers; the defaults where nobody is signed in. */
export function preferencesOf(c: Context<AuthEnv>): Preferences {
  return c.get("preferences") ?? DEFAULTS;
}

/** The theme of the page that is answered with. */
export function themeOf(c: Context): Theme {
  const chosen = preferencesOf(c).theme;
  if (chosen !== "system") return chosen;
  const cookie = getCookie(c, THEME_COOKIE);
  return THEMES.find((theme) => theme === cookie) ?? "system";
}

/**
 * Has the browser keep a theme, so that the first byte of any page knows it.
 *
 * @param publicUrl Where browsers reach us.
 */
export function keepTheme(c: Context, theme: Theme, publicUrl: string): void {
  if (theme === "system") deleteCookie(c, THEME_COOKIE, { path: "/" });
  else {
    setCookie(c, THEME_COOKIE, theme, {
      path: "/",
      maxAge: YEAR_SECONDS,
      sameSite: "Lax",
      secure: publicUrl.startsWith("https:"),
    });
  }
}

/** A path of ours, to go back to; anything else would lead away. */
export const BackPath = z.string().regex(/^\/(?![/\\])[^\\\s]*$/);

/** The zone of the reader's browser, `null` where it has not said, or said nonsense. */
export function browserZoneOf(c: Context): string | null {
  return TimeZone.safeParse(getCookie(c, ZONE_COOKIE)).data ?? null;
}

/**
 * The zone of what is shown, where the address does not say.
 *
 * @param accountZone Of the reader's account.
 */
export function zoneOf(c: Context, accountZone: string): string {
  return preferencesOf(c).time_zone ?? browserZoneOf(c) ?? accountZone;
}
