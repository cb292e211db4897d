/**
 * COPY out of Postgres as a stream that waits for its reader, and into it.
 *
 * @module
 */

import type { Readable, Writable } from "node:stream";
import type { Sql } from "./client.ts";

/** Rows that wait for a reader, bytes: enough that neither waits for the other in turns. */
const WAITING_BYTES_MAX = 256 * 1024;

/**
 * Runs `copy (…) to stdout`. The server stops when its socket is full, so memory does
 * not grow with the result; a reader who leaves cancels the statement.
 *
 * @param sql Client; one of its connections is taken until the end.
 * @param statement Whole. Text from outside must be in it as {@linkcode jsonLiteral}.
 * @param signal Ends it, also while nothing is read: a client that leaves before the
 * first row is noticed by nobody else.
 * @returns What Postgres sends, one chunk a row or several.
 * @throws {Error} When the statement fails before its first row.
 */
export async function copyOut(
  sql: Sql,
  statement: string,
  signal?: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const query = sql.unsafe(statement);
  // Postgres says that it begins when it has a first row.
  const giveUp = () => query.cancel();
  signal?.addEventListener("abort", giveUp);
  const rows: Readable = await query.readable();
  signal?.removeEventListener("abort", giveUp);
  let isOver = false;
  if (signal?.aborted) {
    await stop();
    throw signal.reason;
  }

  function stop(): Promise<void> {
    if (isOver) return Promise.resolve();
    isOver = true;
    // The connection is free when the driver has read all that Postgres still sends.
    const ended = new Promise<void>((resolve) => {
      rows.removeAllListeners("data").on("error", () => resolve())
        .on("end", () => resolve()).resume();
    });
    // It takes a COPY for over once it has begun, and would not cancel it (3.4.9).
    Object.assign(query, { active: true });
    query.cancel();
    return ended;
  }

  return new ReadableStream<Uint8Array>({
    start(controller) {
      rows.on("data", (chunk: Uint8Array) => {
        controller.enqueue(chunk);
        if (controller.desiredSize! <= 0) rows.pause();
      });
      rows.on("end", () => {
        // The driver pauses its socket at the last row as at any other, and would leave
        // it so for the next query of this connection, for ever (3.4.9).
        rows._read(0);
        if (!isOver) controller.close();
        isOver = true;
      });
      rows.on("error", (error) => {
        if (!isOver) controller.error(error);
        isOver = true;
      });
      rows.pause();
      signal?.addEventListener("abort", () => {
        if (isOver) return;
        controller.error(signal.reason);
        stop();
      }, { once: true });
    },
    pull() {
      rows.resume();
    },
    cancel: stop,
  }, new ByteLengthQueuingStrategy({ highWaterMark: WAITING_BYTES_MAX }));
}

/**
 * Runs `copy … from stdin`: all of it is there then, or nothing. Half a megabyte as a
 * parameter would be a text of a whole one on its way, and those add up.
 *
 * @param sql Client; one of its connections is taken until the end.
 * @param statement Whole.
 * @param body What Postgres is to read; taken only as fast as it does.
 * @throws What `body` throws, and what Postgres says of it.
 */
export async function copyIn(
  sql: Sql,
  statement: string,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const query = sql.unsafe(statement);
  const out: Writable = await query.writable();
  // It settles its query anew when Postgres has taken all of it, or none, and its stream
  // never ends when that is none (3.4.9).
  const isOver = new Promise((resolve, reject) =>
    Object.assign(query, { resolve, reject })
  );
  // Heard below, or told by `body` before.
  isOver.catch(() => {});
  out.on("error", () => {});
  try {
    for await (const bytes of body) {
      const isTaken = new Promise((resolve) => out.write(bytes, resolve));
      await Promise.race([isTaken, isOver]);
    }
  } catch (error) {
    out.destroy(error as Error);
    await isOver.catch(() => {});
    throw error;
  }
  out.end();
  await isOver;
}

/**
 * A value as SQL text, whatever is in it: hexadecimal digits, and what turns them back.
 *
 * @param value Anything that JSON can say.
 */
export function jsonLiteral(value: unknown): string {
  const hex = new TextEncoder().encode(JSON.stringify(value)).toHex();
  return `convert_from('\\x${hex}', 'UTF8')::jsonb`;
}

/**
 * A UUID as SQL text.
 *
 * @throws {TypeError} When it is none.
 */
export function uuidLiteral(uuid: string): string {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uuid)) {
    throw new TypeError("Cannot write as a UUID what is none");
  }
  return `'${uuid}'::uuid`;
}
