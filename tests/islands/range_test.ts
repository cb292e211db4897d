import { deepStrictEqual, strictEqual } from "node:assert/strict";
import {
  daysOf,
  localDate,
  neighbour,
  presetRange,
} from "../../islands/range.ts";

Deno.test("localDate() is the date on the wall of the zone", () => {
  const now = new Date("2026-03-01T23:30:00Z");
  strictEqual(localDate(now, "UTC"), "2026-03-01");
  strictEqual(localDate(now, "Europe/Paris"), "2026-03-02");
  strictEqual(localDate(now, "America/Los_Angeles"), "2026-03-01");
});

Deno.test("presetRange() ends today, but for the month that is over", () => {
  const today = "2026-03-02";
  for (
    const [preset, start_date, end_date] of [
      ["today", "2026-03-02", today],
      ["7d", "2026-02-24", today],
      ["30d", "2026-02-01", today],
      ["90d", "2025-12-03", today],
      ["month", "2026-03-01", today],
      ["last_month", "2026-02-01", "2026-02-28"],
    ] as const
  ) {
    deepStrictEqual(presetRange(preset, today), { start_date, end_date });
  }
});

Deno.test("neighbour() is as many days, directly before or after", () => {
  const week = { start_date: "2026-02-23", end_date: "2026-03-01" };
  strictEqual(daysOf(week), 7);
  const before = { start_date: "2026-02-16", end_date: "2026-02-22" };
  deepStrictEqual(neighbour(week, -1), before);
  deepStrictEqual(neighbour(before, 1), week);
});
