import { deepStrictEqual, match, ok } from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { buildIslands } from "../../islands/build.ts";

/** What a first visit may load, bytes of gzip. */
const SCRIPT_BYTES_MAX = 45_000;
const STYLE_BYTES_MAX = 12_000;

/** Without sanitizers: esbuild's stop() ends its process, but does not wait until it is gone. */
function buildTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

buildTest(
  "buildIslands() writes hashed files that a first visit can afford",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const out = new URL(`${pathToFileURL(folder)}/dist/`);
      const manifest = await buildIslands(out);
      deepStrictEqual(Object.keys(manifest).sort(), [
        "Dashboard",
        "_page",
        "icon",
        "style",
      ]);
      for (const url of Object.values(manifest)) {
        match(url, /^\/assets\/\w+-[A-Z0-9]{8}\.(js|css|svg)$/);
        const file = await Deno.stat(
          new URL(url.slice("/assets/".length), out),
        );
        ok(file.size > 0);
      }
      deepStrictEqual(
        JSON.parse(await Deno.readTextFile(new URL("manifest.json", out))),
        manifest,
      );
      const script = await gzippedBytes(out, ".js");
      const style = await gzippedBytes(out, ".css");
      ok(script > 0 && script <= SCRIPT_BYTES_MAX, `${script} bytes of script`);
      ok(style > 0 && style <= STYLE_BYTES_MAX, `${style} bytes of style`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

buildTest(
  "buildIslands() again keeps its files and removes those of others",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const out = new URL(`${pathToFileURL(folder)}/`);
      await Deno.writeTextFile(new URL("old-AAAAAAAA.js", out), "");
      const first = await buildIslands(out);
      deepStrictEqual(await buildIslands(out), first);
      const names = await Array.fromAsync(
        Deno.readDir(out),
        ({ name }) => name,
      );
      const wanted = Object.values(first).map((url) => url.split("/").at(-1)!);
      deepStrictEqual(wanted.filter((name) => !names.includes(name)), []);
      ok(!names.includes("old-AAAAAAAA.js"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function gzippedBytes(folder: URL, ending: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(ending)) continue;
    bytes += (await Deno.stat(new URL(`${name}.gz`, folder))).size;
  }
  return bytes;
}
