/**
 * Arithmetic on numbers that people read: exact quotients, rounded once, half
 * away from zero. Sums arrive as text because they outgrow a double.
 *
 * @module
 */

/**
 * Divides and rounds.
 *
 * @param dividend Any integer, as number, text or bigint.
 * @param divisor Integer ≥ 0.
 * @param decimals Digits after the point.
 * @returns The quotient, or `null` when the divisor is 0.
 */
export function quotient(
  dividend: number | string | bigint,
  divisor: number | string | bigint,
  decimals: number,
): number | null {
  const below = BigInt(divisor);
  if (below === 0n) return null;
  const above = BigInt(dividend) * 10n ** BigInt(decimals);
  const size = above < 0n ? -above : above;
  const rounded = (2n * size + below) / (2n * below);
  return Number(above < 0n ? -rounded : rounded) / 10 ** decimals;
}

/**
 * A part of a whole, percent with two decimals.
 *
 * @returns 0 to 100 where part is of the whole, or `null` when the whole is 0.
 */
export function rate(part: number, whole: number): number | null {
  return quotient(BigInt(part) * 100n, whole, 2);
}

/**
 * Mean of a sum of microseconds, in seconds with three decimals.
 *
 * @returns `null` when nothing was measured.
 */
export function meanSeconds(sumUs: string, count: number): number | null {
  return quotient(sumUs, BigInt(count) * 1_000_000n, 3);
}

/**
 * Mean of a sum of microseconds, in milliseconds with three decimals.
 *
 * @returns `null` when nothing was measured.
 */
export function meanMilliseconds(sumUs: string, count: number): number | null {
  return quotient(sumUs, BigInt(count) * 1_000n, 3);
}

/**
 * Microseconds in seconds with three decimals.
 *
 * @param us A sample, or what stands for its bin; `null` where there is none.
 */
export function seconds(us: number | null): number | null {
  return us === null ? null : quotient(Math.round(us), 1_000_000, 3);
}

/**
 * Microseconds in milliseconds with three decimals.
 *
 * @param us A sample, or what stands for its bin; `null` where there is none.
 */
export function milliseconds(us: number | null): number | null {
  return us === null ? null : quotient(Math.round(us), 1_000, 3);
}

/**
 * Shares of a total that add up to exactly 100: rounded down to hundredths, then
 * one hundredth more for the largest remainders (equal ones: the earlier first).
 *
 * @param counts Integers ≥ 0, the largest first.
 * @returns Percent with two decimals, in the order of the counts.
 */
export function shares(counts: number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return counts.map(() => 0);
  const parts = counts.map((count, i) => {
    const scaled = BigInt(count) * 10_000n;
    return {
      i,
      hundredths: Number(scaled / BigInt(total)),
      remainder: scaled % BigInt(total),
    };
  });
  let missing = 10_000 - parts.reduce((sum, part) => sum + part.hundredths, 0);
  const byRemainder = parts.toSorted((a, b) =>
    a.remainder === b.remainder ? a.i - b.i : a.remainder < b.remainder ? 1 : -1
  );
  for (const part of byRemainder) {
    if (missing-- <= 0) break;
    part.hundredths += 1;
  }
  return parts.map((part) => part.hundredths / 100);
}
