/**
 * How long something takes.
 *
 * @module
 */

/** @returns Milliseconds. */
export async function timed(
  work: () => PromiseLike<unknown>,
): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** @returns The 95th percentile of so many rounds, after a few that do not count, ms. */
export async function p95(
  rounds: number,
  work: () => PromiseLike<unknown>,
): Promise<number> {
  for (let i = 0; i < Math.min(5, rounds); i++) await work();
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) times.push(await timed(work));
  return rank(times, 0.95);
}

/** @returns The nearest rank. */
export function rank(times: number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.ceil(times.length * share) - 1]!;
}
