/**
 * Upstash, kept from doing harm: whatever it does, a request waits for it at most
 * {@linkcode UPSTASH_MS_MAX}, once.
 *
 * @module
 */

import { Redis } from "@upstash/redis";
import type { Log } from "../db/log.ts";

/** Whoever takes longer is gone, ms. Within a region an answer takes a few. */
export const UPSTASH_MS_MAX = 300;

/** How long nobody is asked after a failure, ms. */
const REST_MS = 5_000;

/** A Redis that may be gone. */
export interface Upstash {
  /**
   * Asks for something.
   *
   * @param ask What to do with it.
   * @returns `undefined` where it failed, took too long, or is left alone for now.
   */
  ask<T>(ask: (redis: Redis) => Promise<T>): Promise<T | undefined>;
  /** Whether it answered when last asked. */
  isUp(): boolean;
}

/** Where it is. */
export interface UpstashOptions {
  url: string;
  token: string;
  log: Log;
  /** Default: {@linkcode UPSTASH_MS_MAX}. */
  msMax?: number;
  /** Default: {@linkcode REST_MS}. */
  restMs?: number;
}

/**
 * Makes the client of a process. After a failure it says so once, and leaves Redis alone;
 * then a request now and then sends a ping ahead, for which it does not wait.
 */
export function createUpstash(
  { url, token, log, msMax = UPSTASH_MS_MAX, restMs = REST_MS }: UpstashOptions,
): Upstash {
  const redis = new Redis({
    url,
    token,
    retry: false,
    enableTelemetry: false,
    automaticDeserialization: false,
    // A signal that is not made anew each time would have the client answer "Aborted".
    signal: () => AbortSignal.timeout(msMax),
  });
  let isUp = true;
  let askAgainAt = 0;

  function fail(error: unknown): undefined {
    askAgainAt = performance.now() + restMs;
    if (isUp) log.warn("upstash does not answer, going on without", { error });
    isUp = false;
  }

  function ping(): void {
    if (performance.now() < askAgainAt) return;
    askAgainAt = Infinity;
    redis.ping().then(() => {
      isUp = true;
      log.info("upstash answers again");
    }, fail);
  }

  return {
    isUp: () => isUp,
    async ask(ask) {
      if (!isUp) return void ping();
      const tooLate = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => tooLate.reject(new Error(`No answer in ${msMax} ms`)),
        msMax,
      );
      try {
        return await Promise.race([ask(redis), tooLate.promise]);
      } catch (error) {
        return fail(error);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
