import { ok } from "node:assert/strict";

const ROOT = new URL("../", import.meta.url);

async function readTests(folder: string): Promise<string> {
  let text = "";
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) text += await readTests(path);
    else if (/_test\.tsx?$/.test(path) && !path.includes("security_test")) {
      text += await Deno.readTextFile(new URL(path, ROOT));
    }
  }
  return text;
}

Deno.test("SECURITY.md names tests that there are", async () => {
  const paper = await Deno.readTextFile(new URL("SECURITY.md", ROOT));
  const tests = await readTests("tests");
  const rows = paper.split("\n").filter((line) => line.startsWith("|"));
  const named = rows.flatMap((row) => row.match(/"[^"]+"/g) ?? []);
  ok(named.length > 30);
  for (const name of named) {
    ok(tests.includes(name.slice(1, -1)), `${name} is no test`);
  }
});
