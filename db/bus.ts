/**
 * The doorbell between whoever changes numbers and whoever shows them. A ring carries
 * the id of a workflow and nothing else: who hears it goes and looks. A lost one costs
 * only delay, as listeners look on a beat of their own too.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Log } from "./log.ts";

/** Rung in Postgres by the fold and by a changed definition, in their transaction. */
export const WORKFLOW_CHANGED = "workflow_analytics";

/** Carries texts for everybody who watches anything. */
export const BROADCAST = "workflow_analytics:broadcast";

/** What a listener is told. */
export interface BusListener {
  /** Something of this workflow has changed, and is committed. */
  onRing(workflowUuid: string): void;
  onAnnouncement(text: string): void;
  /** Listening began, or began anew: rings before it may be lost. */
  onConnected(): void;
}

/** Two implementations: Postgres, and Upstash Redis. */
export interface Bus {
  /**
   * Listens until told to stop; connects again by itself.
   *
   * @returns What ends it.
   */
  listen(listener: BusListener): () => Promise<void>;
  /** Tells everybody who watches anything. */
  announce(text: string): Promise<void>;
}

/** Who cannot listen tries again after this, ms. */
const LISTEN_AGAIN_MS = 5_000;

/**
 * LISTEN and NOTIFY.
 *
 * @param sql A client with a session of its own, no pooler between; its listening
 * connection ends with it.
 * @param log Told when nobody can listen.
 */
export function postgresBus(sql: Sql, log: Log): Bus {
  return {
    listen({ onRing, onAnnouncement, onConnected }) {
      const stopped = new AbortController();
      const channels = [
        [WORKFLOW_CHANGED, onRing],
        [BROADCAST, onAnnouncement],
      ] as const;
      const listening = channels.map(([channel, hear]) =>
        keepTrying(stopped.signal, log, channel, async () => {
          const { unlisten } = await sql.listen(
            channel,
            (payload) => stopped.signal.aborted || hear(payload),
            () => stopped.signal.aborted || onConnected(),
          );
          return unlisten;
        })
      );
      return async () => {
        stopped.abort();
        for (const unlisten of await Promise.all(listening)) {
          // Postgres forgets who listened when the connection ends.
          await unlisten?.().catch(() => {});
        }
      };
    },
    async announce(text) {
      await sql`select pg_notify(${BROADCAST}, ${text})`;
    },
  };
}

/** Until it works once; from then on the driver connects again by itself. */
async function keepTrying<T>(
  signal: AbortSignal,
  log: Log,
  channel: string,
  listen: () => Promise<T>,
): Promise<T | undefined> {
  while (!signal.aborted) {
    try {
      return await listen();
    } catch (error) {
      log.warn("cannot listen, changes are seen on the beat", {
        channel,
        error,
      });
      await pause(LISTEN_AGAIN_MS, signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
