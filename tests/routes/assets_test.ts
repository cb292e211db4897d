import { match, strictEqual } from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { createLog } from "../../db/log.ts";
import { answerProblem } from "../../routes/_errors.ts";
import { assets } from "../../routes/assets.ts";

/** Runs something on a folder with an asset of each kind, and a file beside it. */
async function withAssets(
  fn: (
    get: (path: string, headers?: HeadersInit) => Promise<Response>,
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "weir-assets-" });
  try {
    await Deno.mkdir(`${folder}/dist`);
    await Deno.writeTextFile(`${folder}/secret.js`, "secret");
    for (const name of ["a-1.js", "b_2.css", "c.svg", "d.html", "e.json"]) {
      await Deno.writeTextFile(`${folder}/dist/${name}`, name);
      await Deno.writeFile(`${folder}/dist/${name}.gz`, gzipSync(name));
    }
    const dist = new URL(`${pathToFileURL(folder)}/dist/`);
    const app = assets({ dist });
    app.onError((error, c) => answerProblem(error, c, createLog("error")));
    await fn(async (path, headers) => await app.request(path, { headers }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("GET /assets serves what was built, for ever", async () => {
  const types = {
    "a-1.js": "text/javascript; charset=utf-8",
    "b_2.css": "text/css; charset=utf-8",
    "c.svg": "image/svg+xml",
  };
  await withAssets(async (get) => {
    for (const [name, type] of Object.entries(types)) {
      const answer = await get(`/${name}`);
      strictEqual(answer.status, 200);
      strictEqual(answer.headers.get("content-type"), type);
      match(
        answer.headers.get("cache-control")!,
        /max-age=31536000, immutable/,
      );
      strictEqual(await answer.text(), name);
    }
  });
});

Deno.test("GET /assets sends less to whoever unzips", async () => {
  await withAssets(async (get) => {
    const answer = await get("/a-1.js", { "accept-encoding": "br, gzip" });
    strictEqual(answer.headers.get("content-encoding"), "gzip");
    strictEqual(answer.headers.get("vary"), "accept-encoding");
    strictEqual(`${gunzipSync(await answer.bytes())}`, "a-1.js");
  });
});

Deno.test("GET /assets serves nothing else", async () => {
  await withAssets(async (get) => {
    for (
      const path of [
        "/none.js",
        "/d.html",
        "/e.json",
        "/",
        "/../secret.js",
        "/..%2fsecret.js",
        "/%2e%2e%2fsecret.js",
        "/a-1.js%00.svg",
        "/a-1.js/",
        "/a-1",
      ]
    ) {
      const answer = await get(path);
      strictEqual(answer.status, 404, path);
      await answer.body?.cancel();
    }
  });
});
