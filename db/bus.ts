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
  /** Tells that these workflows have changed. Within Postgres the database does it itself. */
  ring(workflowUuids: string[]): Promise<void>;
  /** Tells everybody who watches anything. */
  announce(text: string): Promise<void>;
}

/** Who cannot listen tries again after this, ms. */
const LISTEN_AGAIN_MS = 1_000;

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
    async ring(workflowUuids) {
      await sql`select pg_notify(${WORKFLOW_CHANGED}, id) from unnest(${workflowUuids}::text[]) as id`;
    },
    async announce(text) {
      await sql`select pg_notify(${BROADCAST}, ${text})`;
    },
  };
}

/** Where an Upstash Redis is. */
export interface UpstashAddress {
  url: string;
  token: string;
}

/** What is published later than this is late; a subscription that has not begun by then is none, ms. */
const ANSWER_MS_MAX = 3_000;

/** A connection that says nothing may be gone without a word: so long is one listened to, ms. */
const RENEW_MS = 5 * 60_000;

/** Each workflow has a channel of its own, so that others can listen to one alone. */
const CHANNELS = `${WORKFLOW_CHANGED}:`;

/** Why a subscription was ended that nothing was wrong with. */
const RENEWED = new Error("Listening anew");

/** What was asked does not know the path that subscribes. */
class NoSubscriptions extends Error {
  override message = "Cannot subscribe: Redis has no subscriptions";
}

/**
 * Publish and subscribe of Upstash, by its REST protocol: one request that stays open
 * hears all channels. (The subscriber of @upstash/redis 1.39 does not tell when it has
 * been cut off.)
 *
 * @param address Where it is.
 * @param log Told when nobody can listen.
 * @param options `instead`: listened to where Redis has no subscriptions, as behind
 * serverless-redis-http; default: nobody listens then. `renewMs`: default: 5 minutes.
 */
export function upstashBus(
  { url, token }: UpstashAddress,
  log: Log,
  { instead, renewMs = RENEW_MS }: { instead?: Bus; renewMs?: number } = {},
): Bus {
  async function publish(messages: [channel: string, text: string][]) {
    const response = await fetch(`${url}/pipeline`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(messages.map((message) => ["PUBLISH", ...message])),
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    const text = await response.text();
    if (!response.ok) {
      throw new Error(`Cannot publish: Redis answers ${response.status}`, {
        cause: text.slice(0, 200),
      });
    }
  }

  /** Until it is cut off, or is to be renewed. */
  async function hear(
    { onRing, onAnnouncement, onConnected }: BusListener,
    signal: AbortSignal,
  ): Promise<void> {
    const over = new AbortController();
    let timer = setTimeout(
      () => over.abort(new Error("Cannot subscribe: Redis does not answer")),
      ANSWER_MS_MAX,
    );
    try {
      const response = await fetch(
        `${url}/psubscribe/${encodeURIComponent(`${CHANNELS}*`)}`,
        {
          method: "POST",
          headers: {
            authorization: `Bearer ${token}`,
            "content-type": "application/json",
            accept: "text/event-stream",
          },
          signal: AbortSignal.any([signal, over.signal]),
        },
      );
      clearTimeout(timer);
      if (!response.ok || !response.body) {
        await response.body?.cancel();
        if (response.status === 404) throw new NoSubscriptions();
        throw new Error(`Cannot subscribe: Redis answers ${response.status}`);
      }
      timer = setTimeout(() => over.abort(RENEWED), renewMs);
      for await (const line of linesOf(response.body)) {
        // data: pmessage,<pattern>,<channel>,<text>, and first psubscribe,<pattern>,1
        const [, kind, channel, text] =
          /^data: ?(\w+),[^,]*,([^,]*)(?:,(.*))?$/.exec(line) ?? [];
        if (kind === "psubscribe") onConnected();
        if (kind !== "pmessage") continue;
        if (channel === BROADCAST) onAnnouncement(JSON.parse(text!));
        else onRing(channel!.slice(CHANNELS.length));
      }
    } catch (error) {
      if (over.signal.reason !== RENEWED) throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    listen(listener) {
      const stopped = new AbortController();
      const { signal } = stopped;
      let hangUp: (() => Promise<void>) | undefined;
      const listening = (async () => {
        while (!signal.aborted) {
          try {
            await hear(listener, signal);
          } catch (error) {
            if (signal.aborted) return;
            if (error instanceof NoSubscriptions && instead) {
              log.info("redis has no subscriptions, listening to postgres");
              hangUp = instead.listen(listener);
              return;
            }
            log.warn("cannot listen, changes are seen on the beat", { error });
          }
          await pause(LISTEN_AGAIN_MS, signal);
        }
      })();
      return async () => {
        stopped.abort();
        await listening;
        await hangUp?.();
      };
    },
    async ring(workflowUuids) {
      await publish(workflowUuids.map((id) => [`${CHANNELS}${id}`, id]));
    },
    async announce(text) {
      // As JSON: a line of the protocol is a message.
      await publish([[BROADCAST, JSON.stringify(text)]]);
    },
  };
}

async function* linesOf(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const lines = (text + chunk).split("\n");
    text = lines.pop()!;
    yield* lines;
  }
}

/** Rings that come within this are passed on together, ms. */
const RELAY_MS = 20;

/**
 * Passes on what one bus hears: what Postgres tells after a commit reaches those who
 * listen to Upstash. Every worker does; who hears twice looks once.
 *
 * @param from Heard.
 * @param to Rung. A ring that fails is lost, and costs delay.
 * @param log Told of it.
 * @returns What ends it.
 */
export function relayRings(from: Bus, to: Bus, log: Log): () => Promise<void> {
  const rung = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let passing: Promise<void> = Promise.resolve();
  const onFailure = (error: unknown) => log.warn("cannot ring", { error });

  const hangUp = from.listen({
    onRing(workflowUuid) {
      rung.add(workflowUuid);
      timer ??= setTimeout(pass, RELAY_MS);
    },
    onAnnouncement(text) {
      passing = to.announce(text).catch(onFailure);
    },
    onConnected() {},
  });

  function pass(): void {
    timer = undefined;
    const ids = [...rung];
    rung.clear();
    passing = to.ring(ids).catch(onFailure);
  }

  return async () => {
    await hangUp();
    clearTimeout(timer);
    await passing;
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
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
