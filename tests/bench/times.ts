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

/**
 * The same of something and of its floor, in turns: what else the machine is at meets both.
 *
 * @returns Of both, ms.
 */
export async function p95Beside(
  rounds: number,
  work: () => PromiseLike<unknown>,
  floor: () => PromiseLike<unknown>,
): Promise<{ value: number; floor: number }> {
  for (let i = 0; i < 5; i++) await work();
  const times: number[] = [];
  const floors: number[] = [];
  for (let i = 0; i < rounds; i++) {
    floors.push(await timed(floor));
    times.push(await timed(work));
  }
  return { value: rank(times, 0.95), floor: rank(floors, 0.95) };
}

/** @returns The nearest rank. */
export function rank(times: number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.ceil(times.length * share) - 1]!;
}
