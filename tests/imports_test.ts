import { deepStrictEqual } from "node:assert/strict";

/** Who may import whom. An arrow that is not here is a design change: argue for it first. */
const ALLOWED: Record<string, string[]> = {
  "main.ts": [
    "db",
    "routes",
    "workers",
    "islands",
  ],
  routes: ["routes", "db", "islands"],
  workers: ["workers", "db"],
  islands: ["islands"],
  db: ["db"],
};

/** Islands may name a type of the domain; a type import leaves no code in the bundle. */
const TYPES_OF_DOMAIN =
  /import type \{[^}]*\} from "\.\.\/db\/schema\.ts"|import type \w+ from "\.\.\/db\/schema\.ts"/g;

/** Static imports and exports over any number of lines, and dynamic ones. */
const TARGET = /(?:\bfrom|\bimport|import\()\s*"(\.{1,2}\/[^"]+)"/g;

Deno.test("imports follow the arrows of ARCHITECTURE.md", async () => {
  const wrong: string[] = [];
  for (const [from, to] of Object.entries(ALLOWED)) {
    for await (const path of sources(from)) {
      const text = (await readSource(path)).replaceAll(TYPES_OF_DOMAIN, "");
      for (const [, target] of text.matchAll(TARGET)) {
        if (!to.includes(folderOf(path, target!))) {
          wrong.push(`${path} -> ${target}`);
        }
      }
    }
  }
  deepStrictEqual(wrong, []);
});

Deno.test("imports_test sees an arrow that goes the wrong way", () => {
  const text =
    `import {\n  a,\n} from "../routes/app.ts";\nawait import("../main.ts");`;
  const found = [...text.matchAll(TARGET)]
    .map(([, target]) => folderOf("db/events.ts", target!));
  deepStrictEqual(found, ["routes", "main.ts"]);
});

Deno.test("imports_test allows islands no value of the domain", () => {
  const text = `import { SCOPES } from "../db/schema.ts";`;
  deepStrictEqual(text.replaceAll(TYPES_OF_DOMAIN, ""), text);
});

function folderOf(path: string, target: string): string {
  return new URL(target, `file:///${path}`).pathname.split("/")[1]!;
}

async function readSource(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
}

async function* sources(entry: string): AsyncGenerator<string> {
  if (entry.endsWith(".ts")) return yield entry;
  for await (
    const file of Deno.readDir(new URL(`../${entry}`, import.meta.url))
  ) {
    if (/\.tsx?$/.test(file.name)) yield `${entry}/${file.name}`;
  }
}
