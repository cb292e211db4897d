import assert from "node:assert/strict";
import type { LogRow, Mapping } from "../../workers/_csv.ts";
import type { BrokenRow } from "../../workers/_text.ts";
import { readXes } from "../../workers/_xes.ts";

async function* inPieces(text: string, length: number): AsyncGenerator<string> {
  for (let i = 0; i < text.length; i += length) {
    yield await Promise.resolve(text.slice(i, i + length));
  }
}

async function read(
  text: string,
  mapping: Mapping = {},
  pieceLength = 11,
): Promise<(LogRow | BrokenRow)[]> {
  const { rows } = readXes(inPieces(text, pieceLength), mapping);
  return (await Array.fromAsync(rows)).flat();
}

const LOANS = await Deno.readTextFile(
  new URL("../fixtures/loans.xes", import.meta.url),
);

Deno.test("readXes() reads events with their trace's name, and nothing nested", async () => {
  for (const pieceLength of [1, 50, 100_000]) {
    assert.deepEqual(
      (await read(LOANS, {}, pieceLength)).map((row) => Object.values(row)),
      [
        [12, "A & B", "Apply", "2026-05-01T10:00:00.000+02:00", "COMPLETE"],
        [18, "A & B", "Check", "2026-05-01T10:00:30.000+02:00", "schedule"],
        [25, "A & B", "Check", "2026-05-01T10:01:00.000+02:00", "start"],
        [30, "A & B", "Check", "2026-05-01T10:31:00.000+02:00", "complete"],
        [37, "trace 2", "Apply", "2026-05-02T08:00:00.123456Z", ""],
        [41, "trace 2", "Refuse", "", ""],
      ],
    );
  }
});

Deno.test("readXes() takes other keys when told", async () => {
  const rows = await read(LOANS, {
    activity: "org:resource",
    lifecycle: "none",
  });
  assert.deepEqual(
    rows.slice(0, 2).map((row) =>
      "problem" in row ? row : [row.activity, row.lifecycle]
    ),
    [["42", ""], ["", ""]],
  );
});

Deno.test("readXes() refuses what is no XML, or no XES", async () => {
  await assert.rejects(
    read(LOANS.slice(0, 900)),
    /Cannot read the XML: line \d+:\d+: /,
  );
  await assert.rejects(
    read("<html><body/></html>"),
    /its root is <html>, not <log>/,
  );
});
