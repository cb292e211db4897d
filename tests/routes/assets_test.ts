import { match, strictEqual } from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { createLog } from "../../db/log.ts";
import { answerProblem } from "../../routes/_errors.ts";
import { assets } from "../../routes/assets.ts";

/** Runs something on a folder with an asset of each kind, and a file beside it. */
async function withAssets(
  fn: (get: (path: string) => Promise<Response>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "weir-assets-" });
  try {
    await Deno.mkdir(`${folder}/dist`);
    await Deno.writeTextFile(`${folder}/secret.js`, "secret");
    for (const name of ["a-1.js", "b_2.css", "c.svg", "d.html", "e.json"]) {
      await Deno.writeTextFile(`${folder}/dist/${name}`, name);
    }
    const dist = new URL(`${pathToFileURL(folder)}/dist/`);
    const app = assets({ dist });
    app.onError((error, c) => answerProblem(error, c, createLog("error")));
    await fn(async (path) => await app.request(path));
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
