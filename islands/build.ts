/**
 * Bundles islands into `dist/`: one hashed file per island, shared chunks, one
 * stylesheet, the icon, and `manifest.json` that says which is which.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { build, type Metafile, stop } from "esbuild";

/** Source name to public URL, e.g. `TrendChart` to `/assets/TrendChart-3FQ2.js`. */
export type Manifest = Record<string, string>;

/**
 * Builds everything the browser loads. Every PascalCase `.tsx` in this folder is
 * an island; there is no list to keep.
 *
 * @param outDir Where to write, ending in a slash; emptied first.
 * @returns What was also written to `manifest.json`.
 * @throws {Error} When a source does not compile.
 */
export async function buildIslands(outDir: URL): Promise<Manifest> {
  const folder = new URL("./", import.meta.url);
  const files = await Array.fromAsync(
    Deno.readDir(folder),
    (entry) => entry.name,
  );
  const islands = files.filter((name) => /^[A-Z]\w*\.tsx$/.test(name)).sort();

  await Deno.remove(outDir, { recursive: true }).catch(ignoreMissing);
  try {
    const { metafile } = await build({
      absWorkingDir: fileURLToPath(folder),
      entryPoints: [...islands, "_hydrate.ts", "style.css", "icon.svg"],
      entryNames: "[name]-[hash]",
      outdir: fileURLToPath(outDir),
      bundle: true,
      splitting: true,
      format: "esm",
      target: "es2022",
      loader: { ".svg": "copy" },
      minify: true,
      metafile: true,
      jsx: "automatic",
      jsxImportSource: "preact",
      logLevel: "warning",
    });
    const manifest = readManifest(metafile);
    await Deno.writeTextFile(
      new URL("manifest.json", outDir),
      JSON.stringify(manifest, null, 2),
    );
    return manifest;
  } finally {
    // The compiler is a child process that would outlive the build.
    await stop();
  }
}

function readManifest(metafile: Metafile): Manifest {
  const manifest: Manifest = {};
  for (const [path, output] of Object.entries(metafile.outputs)) {
    // A copied file has no entry point of its own, but one input.
    const source = output.entryPoint ??
      (path.endsWith(".svg") ? Object.keys(output.inputs)[0] : undefined);
    if (!source) continue;
    manifest[source.replace(/\.\w+$/, "")] = `/assets/${
      path.split("/").at(-1)
    }`;
  }
  return manifest;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
