import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import {
  meanMilliseconds,
  meanSeconds,
  milliseconds,
  quotient,
  rate,
  seconds,
  shares,
} from "../../db/rates.ts";

Deno.test("quotient() rounds half away from zero, from the exact quotient", () => {
  const cases: [number | string, number | string, number, number][] = [
    [1, 8, 2, 0.13],
    [-1, 8, 2, -0.13],
    [1, 3, 2, 0.33],
    [2, 3, 2, 0.67],
    [-2, 3, 2, -0.67],
    [1, 200, 2, 0.01],
    [1, 201, 2, 0],
    [5, 10, 0, 1],
    // 1.005 and 8.345 lie below themselves as doubles.
    [1005, 1000, 2, 1.01],
    [8345, 1000, 2, 8.35],
    ["9007199254740993", "2", 0, 4503599627370497],
    [
      "123456789012345678901234567890",
      "1000000000000000000000",
      3,
      123456789.012,
    ],
  ];
  for (const [dividend, divisor, decimals, expected] of cases) {
    const found = quotient(dividend, divisor, decimals);
    strictEqual(found, expected, `${dividend} / ${divisor}`);
  }
});

Deno.test("quotient() of nothing is null", () => {
  strictEqual(quotient(0, 0, 2), null);
  strictEqual(quotient(5, "0", 2), null);
  strictEqual(quotient(0, 5, 2), 0);
});

Deno.test("quotient() is never further off than half a digit", () => {
  fc.assert(fc.property(
    fc.integer(),
    fc.integer({ min: 1 }),
    fc.integer({ min: 0, max: 3 }),
    (dividend, divisor, decimals) => {
      const scaled = Math.round(
        quotient(dividend, divisor, decimals)! * 10 ** decimals,
      );
      const twice = 2n * (BigInt(scaled) * BigInt(divisor) -
        BigInt(dividend) * 10n ** BigInt(decimals));
      ok(twice <= BigInt(divisor) && twice >= -BigInt(divisor));
    },
  ));
});

Deno.test("rate() is percent with two decimals", () => {
  deepStrictEqual(
    [rate(0, 0), rate(0, 3), rate(1, 3), rate(2, 3), rate(3, 3), rate(1, 16)],
    [null, 0, 33.33, 66.67, 100, 6.25],
  );
});

Deno.test("means and samples say their unit with three decimals", () => {
  strictEqual(meanSeconds("1000500", 1), 1.001);
  strictEqual(meanSeconds("1", 3), 0);
  strictEqual(meanSeconds("0", 0), null);
  strictEqual(meanMilliseconds("10", 4), 0.003);
  strictEqual(meanMilliseconds("0", 0), null);
  // Ninety days of each of a billion executions.
  strictEqual(meanSeconds("7776000000000000000000", 1e9), 7_776_000);
  deepStrictEqual([seconds(null), milliseconds(null)], [null, null]);
  deepStrictEqual([seconds(1_234_567.4), milliseconds(1_499.6)], [1.235, 1.5]);
});

Deno.test("shares() gives the missing hundredths to the largest remainders", () => {
  deepStrictEqual(shares([]), []);
  deepStrictEqual(shares([0, 0]), [0, 0]);
  deepStrictEqual(shares([7]), [100]);
  deepStrictEqual(shares([1, 1, 1]), [33.34, 33.33, 33.33]);
  deepStrictEqual(shares([2, 2, 2, 1]), [28.57, 28.57, 28.57, 14.29]);
  deepStrictEqual(shares([5, 3, 1]), [55.56, 33.33, 11.11]);
});

Deno.test("shares() add up to exactly 100, each within a hundredth", () => {
  fc.assert(fc.property(
    fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 40 })
      .filter((counts) => counts.some((count) => count > 0)),
    (counts) => {
      const total = counts.reduce((sum, count) => sum + count, 0);
      const hundredths = shares(counts).map((share) => Math.round(share * 100));
      strictEqual(hundredths.reduce((sum, share) => sum + share, 0), 10_000);
      counts.forEach((count, i) =>
        ok(Math.abs(hundredths[i]! - (count * 10_000) / total) < 1)
      );
    },
  ));
});
