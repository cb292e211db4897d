/**
 * `/assets/*`: what `islands/build.ts` made. Names carry a hash of their content,
 * so they are kept for ever.
 *
 * @module
 */

import { Hono } from "hono";
import { AppError } from "./_errors.ts";
import type { Deps } from "./app.ts";

const TYPES: Record<string, string> = {
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** @returns The routes below `/assets`; public. */
export function assets({ dist }: Pick<Deps, "dist">): Hono {
  return new Hono().get("/:name{[\\w-]+\\.(js|css|svg)}", async (c) => {
    const name = c.req.param("name");
    const isZipped = /\bgzip\b/.test(c.req.header("accept-encoding") ?? "");
    const path = new URL(isZipped ? `${name}.gz` : name, dist);
    const file = await Deno.readFile(path).catch(() => null);
    if (file === null) throw new AppError("not_found");
    return c.body(file, 200, {
      "content-type": TYPES[name.split(".").at(-1)!]!,
      "cache-control": "public, max-age=31536000, immutable",
      vary: "accept-encoding",
      ...(isZipped && { "content-encoding": "gzip" }),
    });
  });
}
