/**
 * `POST /theme`: light, dark, or as the system is, for those who are not signed in.
 * Public, as it is nobody's data; readers who are known keep theirs at `/preferences`.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import { THEMES } from "../db/schema.ts";
import { refuseOtherSites } from "./_auth.ts";
import { readForm } from "./_body.ts";
import { BackPath, keepTheme } from "./_reader.ts";
import type { Deps } from "./app.ts";

const ThemeForm = z.object({
  theme: z.enum(THEMES).catch("system"),
  back: BackPath.catch("/"),
});

/** @returns The route. */
export function theme({ publicUrl }: Pick<Deps, "publicUrl">): Hono {
  return new Hono().post("/theme", async (c) => {
    refuseOtherSites(c, publicUrl);
    const form = Object.fromEntries(await readForm(c.req.raw));
    const { theme, back } = ThemeForm.parse(form);
    keepTheme(c, theme, publicUrl);
    return c.redirect(back, 303);
  });
}
