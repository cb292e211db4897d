/**
 * A deadline for what would otherwise be waited for as long as it takes.
 *
 * @module
 */

import { until } from "./harness.ts";

/**
 * Waits for what a test has no hand in: another process that is to end, say.
 *
 * @param what Named in the error.
 * @param promise Waited for.
 * @param seconds How long at most.
 * @returns What it came to.
 * @throws {Error} When it is not settled by then.
 * @throws What `promise` throws.
 */
export async function within<T>(
  what: string,
  promise: PromiseLike<T>,
  seconds?: number,
): Promise<T> {
  let isSettled = false;
  const settle = () => void (isSettled = true);
  promise.then(settle, settle);
  await until(what, () => isSettled, seconds);
  return await promise;
}

/**
 * @param process That was told to end, or is about to.
 * @returns How it did.
 * @throws {Error} When it has not within half a minute.
 */
export function endOf(
  process: Deno.ChildProcess,
): Promise<Deno.CommandStatus> {
  return within("the process has ended", process.status);
}
