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

let quickestLoopMs = Infinity;

/**
 * How fast a core is at this moment: a core of a shared machine loses a third and more, for seconds or
 * hours, to a neighbour that nobody here can see. Takes some 20 ms.
 *
 * @returns Its share of the fastest that this run has seen.
 */
function coreSpeed(): number {
  const started = performance.now();
  let sum = 0;
  for (let i = 0; i < 20_000_000; i++) sum = (sum + i) | 0;
  const loopMs = performance.now() - started + (sum === 1 ? 1 : 0); // or the loop would be left out
  quickestLoopMs = Math.min(quickestLoopMs, loopMs);
  return quickestLoopMs / loopMs;
}

/** Times of the same work, ms, and how fast a core was meanwhile. */
export class Rounds {
  #times: number[] = [];
  #speeds: number[] = [];

  async add(work: () => PromiseLike<unknown>): Promise<void> {
    this.#speeds.push(coreSpeed());
    this.#times.push(await timed(work));
  }

  median(): number {
    return rank(this.#times, 0.5);
  }

  /** What to bear in mind with the median. */
  note(): string {
    const least = Math.min(...this.#times).toFixed(
      this.#times[0]! < 100 ? 1 : 0,
    );
    const speed = Math.round(100 * rank(this.#speeds, 0.5));
    return `least ${least}; a core at ${speed} % of its best`;
  }
}

/** @returns The nearest rank. */
export function rank(times: number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.ceil(times.length * share) - 1]!;
}
