import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type CsvLog,
  type LogRow,
  type Mapping,
  readCsv,
  splitFields,
} from "../../workers/_csv.ts";
import {
  type BrokenRow,
  LINE_CHARS_MAX,
  readLines,
} from "../../workers/_text.ts";

async function* inPieces(text: string, length: number): AsyncGenerator<string> {
  for (let i = 0; i < text.length; i += length) {
    yield await Promise.resolve(text.slice(i, i + length));
  }
}

function open(
  text: string,
  mapping: Mapping = {},
  delimiter?: string,
  pieceLength = 7,
): Promise<CsvLog> {
  return readCsv(readLines(inPieces(text, pieceLength)), mapping, delimiter);
}

async function rowsOf(log: CsvLog): Promise<(LogRow | BrokenRow)[]> {
  return (await Array.fromAsync(log.rows)).flat();
}

Deno.test("readCsv() guesses columns and delimiter from the header", async () => {
  for (
    const [header, delimiter] of [
      ["case:concept:name,concept:name,time:timestamp,org:resource", ","],
      ["Case ID;Activity;Complete Timestamp;Variant, in words", ";"],
      ["patient\thandling\ttime\tnurse", "\t"],
      ['"Trace ID"|"Task, done"|"Date"|"x"', "|"],
    ] as const
  ) {
    const mapping = header.includes("Task") ? { activity: "task, DONE" } : {};
    const log = await open(
      `\n${header}\n1${delimiter}a${delimiter}2026`,
      mapping,
    );
    assert.equal(log.delimiter, delimiter);
    assert.equal(log.columns.lifecycle, null);
    assert.deepEqual(await rowsOf(log), [
      { line: 3, caseId: "1", activity: "a", timestamp: "2026", lifecycle: "" },
    ]);
  }
});

Deno.test("readCsv() takes what it is told before what it guesses", async () => {
  const text = "sep=;\ncase;user;activity;time;lifecycle\n1;2;a;t;start\n";
  const told = await open(text, { case: "USER", lifecycle: "none" });
  assert.deepEqual(told.columns, {
    case: "user",
    activity: "activity",
    timestamp: "time",
    lifecycle: null,
  });
  assert.deepEqual(await rowsOf(told), [
    { line: 3, caseId: "2", activity: "a", timestamp: "t", lifecycle: "" },
  ]);
  const guessed = await open(text);
  assert.deepEqual(await rowsOf(guessed), [
    { line: 3, caseId: "1", activity: "a", timestamp: "t", lifecycle: "start" },
  ]);
});

Deno.test("readCsv() lists the columns when it cannot tell one", async () => {
  await assert.rejects(
    open("id,what,when\n"),
    /which column holds the case: say --case with one of "id", "what", "when"/,
  );
  await assert.rejects(
    open("case,activity,time\n", { activity: "task" }),
    /the column "task" of --activity: the file has "case", "activity", "time"/,
  );
});

Deno.test("readCsv() gives up no more than the broken line", async () => {
  const text = await Deno.readTextFile(
    new URL("../fixtures/broken.csv", import.meta.url),
  );
  for (const pieceLength of [1, 13, 100_000]) {
    const rows = await rowsOf(await open(text, {}, undefined, pieceLength));
    const broken = rows.filter((row) => "problem" in row);
    assert.deepEqual(broken, [
      { line: 3, problem: "has a quote inside a quoted field" },
      { line: 5, problem: "has a quote inside a quoted field" },
      { line: 10, problem: "has 2 fields, not as many as the header" },
      { line: 11, problem: "has 5 fields, not as many as the header" },
    ]);
    assert.equal(rows.length, 12);
    assert.equal(rows.at(-1)!.line, 14);
  }
});

Deno.test("readCsv() gives up a quote that is never closed after its line", async () => {
  const text = 'case,activity,time\n1,"a,t\n' + "1,b,t\n".repeat(300);
  const rows = await rowsOf(await open(text));
  assert.deepEqual(rows[0], {
    line: 2,
    problem: "has a quote that is never closed",
  });
  assert.equal(rows.filter((row) => !("problem" in row)).length, 300);
  const last = await rowsOf(await open('case,activity,time\n1,"a,t'));
  assert.deepEqual(last.map((row) => "problem" in row), [true]);
});

Deno.test("readCsv() takes empty fields that were left out or added at the end", async () => {
  const log = await open("case,activity,time,note\n1,a,t\n1,b,t,,\n");
  assert.deepEqual(
    (await rowsOf(log)).map((row) => "problem" in row ? row : row.activity),
    ["a", "b"],
  );
});

Deno.test("readCsv() reads back any table, cut anywhere", async () => {
  const text = fc.string({
    unit: fc.constantFrom("a", '"', ";", "\n", " ", "é", "😀", "="),
    maxLength: 6,
  });
  const table = fc.array(fc.tuple(text, text, text), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(
      table,
      fc.integer({ min: 1, max: 50 }),
      fc.constantFrom("\n", "\r\n"),
      async (rows, pieceLength, newline) => {
        const lines = rows.map((fields) =>
          fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(";")
        );
        const log = await open(
          ["case;activity;time", ...lines, ""].join(newline),
          {},
          undefined,
          pieceLength,
        );
        const read = (await rowsOf(log)).map((row) =>
          "problem" in row ? row : [row.caseId, row.activity, row.timestamp]
        );
        assert.deepEqual(read, rows);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("splitFields() knows quotes only at a field's beginning", () => {
  assert.deepEqual(splitFields('5" pipe,"6"" pipe",', ","), [
    '5" pipe',
    '6" pipe',
    "",
  ]);
  assert.equal(splitFields('a,"b', ","), "open");
  assert.equal(splitFields('a,"b" c', ","), "broken");
});

Deno.test("readLines() drops a line that is too long, and counts on", async () => {
  async function* text(): AsyncGenerator<string> {
    yield await Promise.resolve("a\r\n");
    for (let i = 0; i < 3; i++) yield "x".repeat(LINE_CHARS_MAX / 2 + 1);
    yield "\nb";
  }
  assert.deepEqual((await Array.fromAsync(readLines(text()))).flat(), [
    { line: 1, text: "a" },
    { line: 2, text: null },
    { line: 3, text: "b" },
  ]);
});
