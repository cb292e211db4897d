/**
 * Bundles islands into `dist/`: one hashed file per island, shared chunks, one
 * stylesheet, the icon, each also as small as gzip makes it, and `manifest.json` that
 * says which is which.
 *
 * @module
 */

import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Metafile, type Plugin, stop } from "esbuild";

/** Source name to public URL, e.g. `TrendChart` to `/assets/TrendChart-3FQ2.js`. */
export type Manifest = Record<string, string>;

const MANIFEST = "manifest.json";

/**
 * Builds everything the browser loads. Every PascalCase `.tsx` in this folder is
 * an island; there is no list to keep. Files appear whole, so that who builds the same
 * at the same moment, or serves it, is not disturbed; a server of another build that
 * runs from this folder loses its files.
 *
 * @param outDir Where to write, ending in a slash; what is not of this build goes.
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

  // Each island apart: nobody loads two at once, and one script compresses better than
  // the parts that two would share.
  const entries: { in: string; out: string }[][] = [
    ...islands.map((file) => {
      const out = file.replace(".tsx", "");
      return [{ in: `${ISLAND}:${out}`, out }];
    }),
    ["_page.ts", "style.css", "icon.svg"].map((file) => ({
      in: file,
      out: file.replace(/\.\w+$/, ""),
    })),
  ];

  try {
    const built = await Promise.all(entries.map((entryPoints) =>
      build({
        absWorkingDir: fileURLToPath(folder),
        entryPoints,
        entryNames: "[name]-[hash]",
        outdir: fileURLToPath(outDir),
        write: false,
        bundle: true,
        splitting: true,
        format: "esm",
        target: "es2022",
        charset: "utf8",
        loader: { ".svg": "copy" },
        minify: true,
        metafile: true,
        // As calls of `h`, which is there anyway: 300 bytes less than "automatic", zipped.
        jsx: "transform",
        jsxFactory: "h",
        jsxFragment: "Fragment",
        inject: entryPoints.some((entry) => entry.in.startsWith(ISLAND))
          ? ["./_jsx.ts"]
          : [],
        plugins: [hydratedIslands(fileURLToPath(folder))],
        logLevel: "warning",
      })
    ));
    const outputFiles = built.flatMap((part) => part.outputFiles);
    const manifest: Manifest = Object.assign(
      {},
      ...built.map(({ metafile }) => readManifest(metafile)),
    );
    await writeAll(outDir, [
      ...outputFiles.flatMap(({ path, contents }) => [
        [basename(path), contents],
        [`${basename(path)}.gz`, gzipSync(contents, { level: 9 })],
      ]),
      [MANIFEST, new TextEncoder().encode(JSON.stringify(manifest, null, 2))],
    ] as [string, Uint8Array][]);
    return manifest;
  } finally {
    // The compiler is a child process that would outlive the build.
    await stop();
  }
}

/** Namespace of the scripts that there are no files of. */
const ISLAND = "island";

/** An island and what brings it to life, as one script: they compress better together. */
function hydratedIslands(resolveDir: string): Plugin {
  return {
    name: ISLAND,
    setup(build) {
      build.onResolve({ filter: /^island:/ }, ({ path }) => ({
        path: path.slice(ISLAND.length + 1),
        namespace: ISLAND,
      }));
      build.onLoad({ filter: /./, namespace: ISLAND }, ({ path }) => ({
        contents: `
          import Island from "./${path}.tsx";
          import { hydrateAll } from "./_hydrate.ts";
          hydrateAll("${path}", Island);`,
        resolveDir,
      }));
    },
  };
}

function readManifest(metafile: Metafile): Manifest {
  const manifest: Manifest = {};
  for (const [path, output] of Object.entries(metafile.outputs)) {
    // A copied file has no entry point of its own, but one input.
    const source = output.entryPoint ??
      (path.endsWith(".svg") ? Object.keys(output.inputs)[0] : undefined);
    if (!source) continue;
    const name = source.replace(`${ISLAND}:`, "").replace(/\.\w+$/, "");
    manifest[name] = `/assets/${path.split("/").at(-1)}`;
  }
  return manifest;
}

async function writeAll(
  folder: URL,
  files: [name: string, contents: Uint8Array][],
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, contents] of files) {
    // Renamed into place, so that nobody ever reads half a file.
    const half = new URL(`.${crypto.randomUUID()}`, folder);
    await Deno.writeFile(half, contents);
    await Deno.rename(half, new URL(name, folder));
  }
  const names = new Set(files.map(([name]) => name));
  for await (const { name } of Deno.readDir(folder)) {
    if (names.has(name) || name.startsWith(".")) continue;
    await Deno.remove(new URL(name, folder)).catch(ignoreMissing);
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
