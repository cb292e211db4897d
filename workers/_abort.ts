/**
 * Waiting for what cannot be told to stop.
 *
 * @module
 */

/**
 * Waits until something is done, or until nobody wants it any more; it goes on then, and
 * how it ends is heard by nobody.
 *
 * @param signal Whose reason is thrown.
 * @param work That is waited for.
 * @returns What it gives.
 */
export async function unlessAborted<T>(
  signal: AbortSignal,
  work: Promise<T>,
): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
