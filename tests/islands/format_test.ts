import { strictEqual } from "node:assert/strict";
import {
  formatCount,
  formatHeadline,
  formatInstant,
  formatMilliseconds,
  formatRange,
  formatRate,
  formatSeconds,
  formatTick,
  formatWord,
  NOTHING,
  plural,
} from "../../islands/format.ts";

Deno.test("formatCount() groups thousands and keeps at most two decimals", () => {
  strictEqual(formatCount(1234567), "1,234,567");
  strictEqual(formatCount(28.456), "28.46");
  strictEqual(formatCount(0), "0");
});

Deno.test("formatHeadline() shortens from ten million on", () => {
  strictEqual(formatHeadline(9_999_999), "9,999,999");
  strictEqual(formatHeadline(12_345_678), "12.35M");
});

Deno.test("formatTick() shortens thousands", () => {
  strictEqual(formatTick(500), "500");
  strictEqual(formatTick(9_500), "9.5K");
  strictEqual(formatTick(12_500), "12.5K");
});

for (
  const [rate, shown] of [
    [null, NOTHING],
    [0, "0.0%"],
    [0.04, "0.04%"],
    [56, "56.0%"],
    [56.25, "56.3%"],
    [99.96, "99.96%"],
    [100, "100.0%"],
    [120.5, "120.5%"],
  ] as const
) {
  Deno.test(`formatRate() shows ${rate} as ${shown}`, () => {
    strictEqual(formatRate(rate), shown);
  });
}

for (
  const [seconds, shown] of [
    [null, NOTHING],
    [0, "0s"],
    [0.0004, "1ms"],
    [0.85, "850ms"],
    [0.9996, "1s"],
    [12.44, "12.4s"],
    [59.96, "1m"],
    [65, "1m 5s"],
    [3_599.9, "1h"],
    [3_600, "1h"],
    [7_384, "2h 3m"],
    [86_385, "1d"],
    [86_399.9, "1d"],
    [187_200, "2d 4h"],
    [86_400 * 400, "400d"],
  ] as const
) {
  Deno.test(`formatSeconds() shows ${seconds} as ${shown}`, () => {
    strictEqual(formatSeconds(seconds), shown);
  });
}

Deno.test("formatMilliseconds() is formatSeconds() of a thousandth", () => {
  strictEqual(formatMilliseconds(320), "320ms");
  strictEqual(formatMilliseconds(1_300), "1.3s");
  strictEqual(formatMilliseconds(null), NOTHING);
});

Deno.test("formatRange() names what both ends share once", () => {
  strictEqual(
    formatRange("2026-10-24", "2026-11-22").replace(/\s/g, " "),
    "Oct 24 – Nov 22, 2026",
  );
  strictEqual(formatRange("2026-11-22", "2026-11-22"), "Nov 22, 2026");
});

Deno.test("formatInstant() shows the clock of the zone", () => {
  strictEqual(
    formatInstant("2026-11-22T23:30:00.5Z", "Asia/Kolkata")
      .replace(/\s/g, " "),
    "Nov 23, 2026, 5:00:00 AM",
  );
});

Deno.test("formatWord() makes a producer's word readable", () => {
  strictEqual(formatWord("manual_removal"), "Manual removal");
});

Deno.test("plural() follows the language's rules", () => {
  strictEqual(plural(1, "day", "days"), "day");
  strictEqual(plural(0, "day", "days"), "days");
  strictEqual(plural(2, "day", "days"), "days");
});
