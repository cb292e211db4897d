/**
 * A producer for TypeScript: batches, repeats, and keeps what is not acknowledged in a
 * file, so that neither a crash of the program nor an outage of Weir loses an event. Runs
 * on Node 20, Deno and Bun as it is, needs nothing else of Weir: copy this file.
 *
 * @module
 */

import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
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
   * @throws The reason of the signal, once that has ended it.
   */
  flush(signal?: AbortSignal): Promise<void>;
}

/** Events of one request: well below what Weir takes, and soon repeated. */
const BATCH_EVENTS = 500;

/** A request that takes longer is given up and repeated, ms. */
const REQUEST_MS_MAX = 30_000;

/** The pauses between attempts double up to this, ms. */
const PAUSE_MS_MAX = 30_000;

/** Of the outbox at once in memory, and a line more: an outage may have made it large. */
const READ_BYTES = 1_048_576;

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
    // The one before may wait for as long as Weir is gone.
    return signal ? Promise.race([flushing, endOf(signal)]) : flushing;
  }

  async function sendAll(signal?: AbortSignal): Promise<void> {
    // What was being sent at a crash is sent again: its ids make that harmless.
    for (;;) {
      signal?.throwIfAborted();
      if (!existsSync(sending)) {
        if (!existsSync(outbox)) return;
        renameSync(outbox, sending);
      }
      let batch: unknown[] = [];
      for (const line of linesOf(sending)) {
        batch.push(...read(line));
        if (batch.length < BATCH_EVENTS) continue;
        await send(options, batch, signal);
        batch = [];
      }
      if (batch.length > 0) await send(options, batch, signal);
      rmSync(sending);
    }
  }

  function read(line: string): unknown[] {
    if (line === "") return [];
    try {
      return [JSON.parse(line)];
    } catch {
      // Power failed amid the line, or the disk was full.
      options.onRefused?.(line, "The outbox was cut off here");
      return [];
    }
  }

  return {
    report(event) {
      // A line of its own, also after one that was torn.
      appendFileSync(outbox, `\n${JSON.stringify(event)}\n`);
      schedule();
    },
    flush,
  };
}

/** Lines of a file of any size; the last one may be torn. */
function* linesOf(path: string): Generator<string> {
  const file = openSync(path, "r");
  try {
    const part = new Uint8Array(READ_BYTES);
    const decoder = new TextDecoder();
    let rest = "";
    for (let length = 0; (length = readSync(file, part)) > 0;) {
      rest += decoder.decode(part.subarray(0, length), { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    yield rest;
  } finally {
    closeSync(file);
  }
}

/** Repeats until Weir has judged every event. */
async function send(
  options: ProducerOptions,
  events: unknown[],
  signal?: AbortSignal,
): Promise<void> {
  const { url, key, onRefused } = options;
  for (let attempt = 0;; attempt++) {
    signal?.throwIfAborted();
    const deadline = AbortSignal.timeout(REQUEST_MS_MAX);
    const response = await fetch(`${url}/api/v1/events`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/json",
      },
      body: JSON.stringify(events),
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    }).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (response && answer?.errors && [202, 422].includes(response.status)) {
      for (const { index, message } of answer.errors) {
        onRefused?.(events[index], message);
      }
      return;
    }
    if (response?.status === 413) {
      // Half of it may go where the whole does not; one that is too large never will.
      if (events.length === 1) {
        onRefused?.(events[0], answer?.detail ?? "It is too large");
        return;
      }
      const half = events.length >> 1;
      await send(options, events.slice(0, half), signal);
      events = events.slice(half);
      continue;
    }
    // A key that is wrong may be put right; the events are kept until then.
    // Proxies may name a date there.
    const asked = Number(response?.headers.get("retry-after")) * 1_000 || 0;
    const pause = Math.min(250 * 2 ** attempt, PAUSE_MS_MAX);
    await rest(Math.max(asked, pause * (0.5 + Math.random() / 2)), signal);
  }
}

function endOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

function rest(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();

    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
  });
}
