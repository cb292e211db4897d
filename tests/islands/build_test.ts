import { deepStrictEqual, match, ok } from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { buildIslands } from "../../islands/build.ts";

/** What a first visit may load, bytes of gzip. */
const SCRIPT_BYTES_MAX = 45_000;
const STYLE_BYTES_MAX = 12_000;

/** What the page of exports may, which draws nothing. */
const EXPORTS_BYTES_MAX = 10_000;

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
        "Exports",
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
      const bytesOf = (name: string) =>
        gzippedBytes(out, manifest[name]!.slice("/assets/".length));
      const page = await bytesOf("_page");
      const dashboard = page + await bytesOf("Dashboard");
      ok(dashboard <= SCRIPT_BYTES_MAX, `${dashboard} bytes of script`);
      const exports = page + await bytesOf("Exports");
      ok(exports <= EXPORTS_BYTES_MAX, `${exports} bytes of script`);
      const style = await gzippedBytes(out, ".css");
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
