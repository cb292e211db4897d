/**
 * Killing what may be about to end by itself.
 *
 * @module
 */

/**
 * Kills a process, if there still is one: others of a killed Postgres end at once.
 *
 * @param pid Of the process.
 */
export function killHard(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
