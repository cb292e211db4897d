/**
 * Chance that repeats: the same words give the same numbers, on every machine.
 * For demo data only; nothing here is fit to guard a secret.
 *
 * @module
 */

/** A stream of random numbers in [0, 1). */
export type Random = () => number;

/**
 * Opens the stream that belongs to some words.
 *
 * @param words What the stream is for, e.g. workflow and instant.
 * @returns Numbers in [0, 1), always the same ones for the same words.
 */
export function randomOf(...words: (string | number)[]): Random {
  let state = hash32(words.join("|"), 0);
  return function next(): number {
    // A Weyl sequence through a mixer: every 32-bit state is met once.
    state = (state + 0x9e3779b9) >>> 0;
    return mix32(state) / 2 ** 32;
  };
}

/**
 * Names something by words instead of by chance, so that a second run finds it again.
 *
 * @param words What is named.
 * @returns A UUID of version 8, the one for makers' own schemes.
 */
export function uuidOfWords(...words: (string | number)[]): string {
  const text = words.join("|");
  const hex = [1, 2, 3, 4]
    .map((salt) => hash32(text, salt).toString(16).padStart(8, "0")).join("");
  const variant = (8 + (parseInt(hex[16]!, 16) & 3)).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20),
  ].join("-");
}

/**
 * Draws from a log-normal distribution: most near the median, a long tail above.
 *
 * @param random Where chance comes from.
 * @param median Half of the draws are below it, any unit.
 * @param spread Standard deviation of the logarithm; 0: always the median.
 * @returns A positive number, unit of the median.
 */
export function logNormal(
  random: Random,
  median: number,
  spread: number,
): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return median * Math.exp(spread * radius * Math.cos(2 * Math.PI * random()));
}

/**
 * Draws how often something happens that happens `mean` times on average.
 *
 * @param random Where chance comes from.
 * @param mean At least 0, and small: the work grows with it.
 * @returns A whole number, at least 0.
 */
export function poisson(random: Random, mean: number): number {
  const floor = Math.exp(-mean);
  let count = 0;
  for (let product = random(); product > floor; product *= random()) count++;
  return count;
}

/**
 * Draws one of several by weight.
 *
 * @param random Where chance comes from.
 * @param choices Pairs of a thing and its weight above 0; at least one.
 * @returns One of the things.
 */
export function pick<T>(random: Random, choices: readonly [T, number][]): T {
  let left = random() * choices.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [thing, weight] of choices) {
    left -= weight;
    if (left < 0) return thing;
  }
  return choices.at(-1)![0];
}

function hash32(text: string, salt: number): number {
  let hash = mix32(salt + 0x811c9dc5);
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash ^= hash >>> 15;
  }
  return mix32(hash);
}

function mix32(value: number): number {
  let mixed = value >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
