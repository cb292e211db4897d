/**
 * What tests read streams with: the wire format by the words of the HTML standard, and
 * a client that folds.
 *
 * @module
 */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { LiveNumbers, LiveSnapshot, LiveUpdate } from "../db/schema.ts";
import { folded } from "../islands/live_fold.ts";

/** Whoever waits this long for a message waits for one that is not sent, ms. */
const SILENT_MS = 60_000;

/** One dispatched event. */
export interface Message {
  event: string;
  // deno-lint-ignore no-explicit-any -- tests look into whatever came
  data: any;
  /** Of the last message that had one. */
  id: string;
}

/** A stream that is being read. */
export interface Reading {
  /** Waits for the next message of these events; of any, if none is named. */
  next(...events: string[]): Promise<Message>;
  /** All that came, in order. */
  seen: Message[];
  /** What `retry:` said last, ms. */
  retry(): number | undefined;
  /** Resolves once the server has ended it. */
  ended: Promise<void>;
  /** Hangs up. */
  close(): Promise<void>;
}

/**
 * Reads server-sent events until the end.
 *
 * @param body Of the answer.
 */
export function readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): Reading {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const seen: Message[] = [];
  const unread: Message[] = [];
  let retry: number | undefined;
  let id = "";
  let wake = () => {};
  let isOver = false;

  function dispatch(block: string): void {
    let event = "message";
    const data: string[] = [];
    for (const line of block.split("\n")) {
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line)!;
      if (field === "event") event = value!;
      if (field === "data") data.push(value!);
      if (field === "id") id = value!;
      if (field === "retry") retry = Number(value);
    }
    if (data.length === 0) return;
    const message = { event, data: JSON.parse(data.join("\n")), id };
    seen.push(message);
    unread.push(message);
    wake();
  }

  const ended = (async () => {
    let text = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const blocks = (text + value).split("\n\n");
        text = blocks.pop()!;
        blocks.forEach(dispatch);
      }
    } catch {
      /* Cut off. */
    } finally {
      isOver = true;
      wake();
    }
  })();

  return {
    seen,
    retry: () => retry,
    ended,
    async next(...events) {
      for (;;) {
        const message = unread.shift();
        if (message) {
          if (events.length === 0 || events.includes(message.event)) {
            return message;
          }
          continue;
        }
        if (isOver) {
          throw new Error(
            `Cannot read on: the stream has ended after ${
              JSON.stringify(seen.at(-1))
            }`,
          );
        }
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(
            () =>
              reject(new Error(`Cannot read on: silent for ${SILENT_MS} ms`)),
            SILENT_MS,
          );
          wake = () => resolve(clearTimeout(timer));
        });
      }
    },
    async close() {
      await reader.cancel().catch(() => {});
      await ended;
    },
  };
}

/** What a client has: the numbers, and the id to come back with. */
export interface Held {
  id: string;
  numbers: LiveNumbers;
}

/**
 * What a client has after a message.
 *
 * @param held What it had; `null`: nothing.
 * @param message Any.
 * @throws {AssertionError} When an update goes on from something else.
 */
export function taken(held: Held | null, message: Message): Held | null {
  if (message.event === "snapshot") {
    const { analytics, funnel, actions }: LiveSnapshot = message.data;
    return { id: message.id, numbers: { analytics, funnel, actions } };
  }
  if (message.event !== "metrics_update") return held;
  const update: LiveUpdate = message.data;
  strictEqual(update.since, held?.id, "an update goes on from what was sent");
  return { id: message.id, numbers: folded(held!.numbers, update) };
}

/**
 * Asserts that two states of numbers are the same but for when they were read.
 *
 * @param actual What was folded.
 * @param expected What was read afresh.
 */
export function sameLive(actual: LiveNumbers, expected: LiveNumbers): void {
  deepStrictEqual(undated(actual), undated(expected));
}

function undated({ analytics, funnel, actions }: LiveNumbers): LiveNumbers {
  return {
    analytics: { ...analytics, as_of: "" },
    funnel: { ...funnel, as_of: "" },
    actions: { ...actions, as_of: "" },
  };
}
