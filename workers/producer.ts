/**
 * A producer for TypeScript: batches, repeats, and keeps what is not acknowledged in a
 * file, so that neither a crash of the program nor an outage of Weir loses an event. Runs
 * on Node 20, Deno and Bun as it is, needs nothing else of Weir: copy this file.
 *
 * @module
 */

import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname } from "node:path";

/** How a producer behaves. */
export interface ProducerOptions {
  /** Where Weir is, e.g. `https://weir.example.com`. */
  url: string;
  /** An API key with the scope `events:write`. */
  key: string;
  /** A file of this producer alone; made where there is none. */
  outbox: string;
  /** Events wait at most so long for others to go with, ms. */
  delayMs?: number;
  /** Told of each event that Weir will never take, and why; default: nobody. */
  onRefused?(event: unknown, reason: string): void;
}

/** Sends events. */
export interface Producer {
  /**
   * Keeps an event and sends it soon. Once this returns, a crash of the program
   * does not lose it.
   *
   * @param event As docs/events.md says; its `id` makes repetition harmless.
   */
  report(event: { id: string } & Record<string, unknown>): void;
  /**
   * Sends what is there, until all is acknowledged.
   *
   * @param signal Ends the waiting; what is left is sent by the next flush or start.
   */
  flush(signal?: AbortSignal): Promise<void>;
}

/** Events of one request: well below what Weir takes, and soon repeated. */
const BATCH_EVENTS = 500;

/** A request that takes longer is given up and repeated, ms. */
const REQUEST_MS_MAX = 30_000;

/** The pauses between attempts double up to this, ms. */
const PAUSE_MS_MAX = 30_000;

/**
 * Begins where the last producer of this outbox was ended, and sends what it left.
 *
 * @param options One producer an outbox.
 */
export function createProducer(options: ProducerOptions): Producer {
  const { outbox, delayMs = 1_000 } = options;
  const sending = `${outbox}.sending`;
  let flushing: Promise<void> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  mkdirSync(dirname(outbox), { recursive: true });
  if (existsSync(outbox) || existsSync(sending)) schedule();

  function schedule(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      flush().catch(() => {});
    }, delayMs);
  }

  function flush(signal?: AbortSignal): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    // One after the other: what is sent first is forgotten first.
    const before = flushing ?? Promise.resolve();
    flushing = before.catch(() => {}).then(() => sendAll(signal));
    return flushing;
  }

  async function sendAll(signal?: AbortSignal): Promise<void> {
    // What was being sent at a crash is sent again: its ids make that harmless.
    for (;;) {
      if (!existsSync(sending)) {
        if (!existsSync(outbox)) return;
        renameSync(outbox, sending);
      }
      const events = readFileSync(sending, "utf8").split("\n").flatMap(read);
      for (let at = 0; at < events.length; at += BATCH_EVENTS) {
        await send(options, events.slice(at, at + BATCH_EVENTS), signal);
      }
      rmSync(sending);
    }
  }

  function read(line: string): unknown[] {
    if (line === "") return [];
    try {
      return [JSON.parse(line)];
    } catch {
      // Power failed amid the line.
      options.onRefused?.(line, "The outbox was cut off here");
      return [];
    }
  }

  return {
    report(event) {
      appendFileSync(outbox, `${JSON.stringify(event)}\n`);
      schedule();
    },
    flush,
  };
}

/** Repeats until Weir has judged every event. */
async function send(
  { url, key, onRefused }: ProducerOptions,
  events: unknown[],
  signal?: AbortSignal,
): Promise<void> {
  for (let attempt = 0;; attempt++) {
    signal?.throwIfAborted();
    const response = await fetch(`${url}/api/v1/events`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(events),
      signal: AbortSignal.timeout(REQUEST_MS_MAX),
    }).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (response && answer && [202, 422].includes(response.status)) {
      for (const { index, message } of answer.errors) {
        onRefused?.(events[index], message);
      }
      return;
    }
    // Half of it may go where the whole does not.
    if (response?.status === 413 && events.length > 1) {
      const half = events.length >> 1;
      await send(
        { url, key, outbox: "", onRefused },
        events.slice(0, half),
        signal,
      );
      events = events.slice(half);
      continue;
    }
    // A key that is wrong may be put right; the events are kept until then.
    const asked = Number(response?.headers.get("retry-after") ?? 0) * 1_000;
    const pause = Math.min(250 * 2 ** attempt, PAUSE_MS_MAX);
    await rest(Math.max(asked, pause * (0.5 + Math.random() / 2)), signal);
  }
}

function rest(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
