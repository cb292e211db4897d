import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { createLog, LOG_LEVELS } from "../../db/log.ts";

Deno.test("createLog() writes one JSON object a line", () => {
  const lines: string[] = [];
  const log = createLog("info", (line) => lines.push(line));
  log.info("two\nlines", { rows: 5n, none: undefined });
  strictEqual(lines.length, 1);
  strictEqual(lines[0]!.includes("\n"), false);
  const { at, ...rest } = JSON.parse(lines[0]!);
  match(at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  deepStrictEqual(rest, { level: "info", message: "two\nlines", rows: "5" });
});

Deno.test("createLog() writes errors with their causes", () => {
  const lines: string[] = [];
  const log = createLog("error", (line) => lines.push(line));
  const cause = new TypeError("inner");
  log.error("failed", { error: new Error("outer", { cause }) });
  const { error } = JSON.parse(lines[0]!);
  deepStrictEqual([error.name, error.message], ["Error", "outer"]);
  match(error.stack, /log_test/);
  deepStrictEqual(
    [error.cause.name, error.cause.message],
    ["TypeError", "inner"],
  );
});

Deno.test("createLog() keeps quiet below its level", () => {
  for (const [i, level] of LOG_LEVELS.entries()) {
    const written: string[] = [];
    const log = createLog(level, (line) => written.push(line));
    for (const of of LOG_LEVELS) log[of](of);
    deepStrictEqual(
      written.map((line) => JSON.parse(line).level),
      LOG_LEVELS.slice(i),
    );
  }
});

Deno.test("createLog() writes every line whole to stderr, also those of an exit", async () => {
  const script = `
    import { createLog } from ${
    JSON.stringify(new URL("../../db/log.ts", import.meta.url).href)
  };
    const log = createLog("info");
    for (let n = 0; n < 1_000; n++) log.info("é€😀".repeat(n % 7), { n });
    log.info("long", { text: "€".repeat(100_000) });
    log.warn("urgent");
    log.info("last");
    Deno.exit(0);`;
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", script],
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const lines = new TextDecoder().decode(stderr).trim().split("\n")
    .map((line) => JSON.parse(line));
  deepStrictEqual(
    lines.slice(0, 1_000).map(({ n, message }) => [n, message]),
    Array.from({ length: 1_000 }, (_, n) => [n, "é€😀".repeat(n % 7)]),
  );
  strictEqual(lines[1_000].text, "€".repeat(100_000));
  deepStrictEqual(
    lines.slice(1_001).map(({ message }) => message),
    ["urgent", "last"],
  );
});
