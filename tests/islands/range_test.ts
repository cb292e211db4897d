import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { lastDays, localDate, presetOf } from "../../islands/range.ts";

Deno.test("localDate() is the date on the wall of the zone", () => {
  const now = new Date("2026-03-01T23:30:00Z");
  strictEqual(localDate(now, "UTC"), "2026-03-01");
  strictEqual(localDate(now, "Europe/Paris"), "2026-03-02");
  strictEqual(localDate(now, "America/Los_Angeles"), "2026-03-01");
});

Deno.test("lastDays() ends with the given day and crosses months", () => {
  deepStrictEqual(lastDays("2026-03-01", 1), {
    start_date: "2026-03-01",
    end_date: "2026-03-01",
  });
  deepStrictEqual(lastDays("2026-03-01", 30), {
    start_date: "2026-01-31",
    end_date: "2026-03-01",
  });
});

Deno.test("presetOf() knows the presets and nothing else", () => {
  const today = "2026-03-01";
  strictEqual(presetOf(lastDays(today, 7), today), 7);
  strictEqual(presetOf(lastDays(today, 8), today), null);
  strictEqual(presetOf(lastDays("2026-02-28", 7), today), null);
});
