/**
 * COPY out of Postgres as a stream that waits for its reader, and into it.
 *
 * @module
 */

import type { Readable, Writable } from "node:stream";
import postgres from "postgres";
import { type Sql, stateOfPool } from "./client.ts";

/** Rows that wait for a reader, bytes: enough that neither waits for the other in turns. */
const WAITING_BYTES_MAX = 256 * 1024;

/**
 * A reader who takes nothing for so long has gone, or does as if, ms: each holds one of
 * few connections, and Postgres back from cleaning up.
 */
const STALLED_MS_MAX = 60_000;

/** When to stop sending rows. */
export interface CopyOptions {
  /**
   * Ends it, also while nothing is read: a client that leaves before the first row is
   * noticed by nobody else.
   */
  signal?: AbortSignal;
  /** A reader who takes nothing for longer is given up, ms. */
  stalledMsMax?: number;
}

/**
 * Runs `copy (…) to stdout`. The server stops when its socket is full, so memory does
 * not grow with the result; a reader who leaves cancels the statement, and no other.
 *
 * @param sql Client; one of its connections is taken until the end.
 * @param statement Whole. Text from outside must be in it as {@linkcode jsonLiteral}.
 * @param options When to stop.
 * @returns What Postgres sends, one chunk a row or several.
 * @throws {Error} When the statement fails before its first row.
 */
export async function copyOut(
  sql: Sql,
  statement: string,
  { signal, stalledMsMax = STALLED_MS_MAX }: CopyOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  let rows: Readable | undefined;
  let isLeft = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
    },
    pull: goOn,
    async cancel() {
      leave();
      await copy.isOver.catch(() => {});
    },
  }, new ByteLengthQueuingStrategy({ highWaterMark: WAITING_BYTES_MAX }));

  function take(stream: Readable): void {
    rows = stream;
    // What fails is told by the statement.
    rows.on("error", () => {});
    // In the place of a second queue, which would not tell when its last row came.
    rows.push = (row: Uint8Array | null) => {
      if (row === null || isLeft) return true;
      controller.enqueue(row);
      if (controller.desiredSize! > 0) return true;
      timer ??= setTimeout(
        fail,
        stalledMsMax,
        new Error("Cannot send on: nobody reads"),
      );
      return false;
    };
  }

  function goOn(): void {
    clearTimeout(timer);
    timer = undefined;
    // The driver goes on with its socket where its stream is asked for more.
    rows?._read(0);
  }

  function end(isConnected: boolean): void {
    signal?.removeEventListener("abort", abort);
    // Or the next statement of this connection would find it paused, for ever.
    if (isConnected) goOn();
    clearTimeout(timer);
    // What is not read yet concerns the connection no more.
    rows = undefined;
  }

  function leave(): void {
    isLeft = true;
    signal?.removeEventListener("abort", abort);
    copy.cancel();
    // What is on its way has to be taken before Postgres hears of it.
    goOn();
  }

  function fail(reason: unknown): void {
    controller.error(reason);
    leave();
  }

  function abort(): void {
    if (rows) fail(signal!.reason);
    else copy.cancel();
  }

  const connection = await sql.reserve();
  if (signal?.aborted) {
    connection.release();
    throw signal.reason;
  }
  const copy = start(connection, sql, statement, take);
  signal?.addEventListener("abort", abort);
  copy.isOver.then(
    () => {
      end(true);
      if (!isLeft) controller.close();
    },
    (error) => {
      end(error instanceof postgres.PostgresError);
      if (!isLeft) controller.error(error);
    },
  );
  await copy.hasBegun;
  if (signal?.aborted) {
    leave();
    throw signal.reason;
  }
  return body;
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
  let out!: Writable;
  const { hasBegun, isOver } = start(
    await sql.reserve(),
    sql,
    statement,
    (stream: Writable) => {
      out = stream;
      // What fails is told by the statement.
      out.on("error", () => {});
    },
  );
  await hasBegun;
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

/** A COPY that is on its way. */
interface Copy {
  /** Its stream has been handed over. */
  hasBegun: Promise<void>;
  /** Postgres has nothing more to say of it; rejects with why it failed. */
  isOver: Promise<void>;
  /** Has it end where it is; nothing when it is over. */
  cancel(): void;
}

/** What the driver's queries have besides what its types tell (3.4.9). */
interface Query extends PromiseLike<unknown> {
  active: boolean;
  resolve(value?: unknown): void;
  reject(reason: unknown): void;
  /** What `cancel()` does; and it tells when Postgres has been told. */
  canceller(query: Query): Promise<void>;
}

/** What the driver's connections have. */
interface Connection {
  /** Of whoever has it to himself; lost with it. */
  reserved: unknown;
  terminate(): void;
}

/**
 * Starts a COPY on a connection that is nobody else's until it is over. The driver would
 * refuse what others ask there meanwhile. And a request to cancel travels on a connection
 * of its own: the statement may end before it comes, and it would hit the next.
 *
 * @param connection To be given back here.
 * @param take Handed the driver's stream before anything is in it.
 */
function start<Stream>(
  connection: postgres.ReservedSql,
  sql: Sql,
  statement: string,
  take: (stream: Stream) => void,
): Copy {
  const begun = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  let held: Connection | undefined;
  let mark: unknown;
  let isBegun = false;
  let isOver = false;
  let cancelled: Promise<void> | undefined;
  const options = {
    onexecute(taken: Connection) {
      held = taken;
      mark = taken.reserved;
    },
  };
  const query = connection.unsafe(
    statement,
    [],
    options as postgres.UnsafeQueryOptions,
  ) as unknown as Query;
  const { resolve, reject } = query;
  // Called with the stream, and once more when Postgres is ready for another statement.
  query.resolve = (stream) => {
    if (isBegun) {
      giveBack();
      return over.resolve();
    }
    isBegun = true;
    take(stream as Stream);
    resolve();
    query.active = true;
    begun.resolve();
  };
  query.reject = (error) => {
    // Anything else than Postgres' own word is the end of the connection.
    if (error instanceof postgres.PostgresError || !held) giveBack();
    reject(error);
    begun.reject(error);
    over.reject(error);
  };
  // Whoever waits for one of them hears of it.
  for (const promise of [begun.promise, over.promise]) promise.catch(() => {});
  query.then(() => {}, () => {});

  async function giveBack(): Promise<void> {
    isOver = true;
    // At the earliest when the driver has done with what called us.
    await cancelled;
    if (held && held.reserved !== mark) return;
    connection.release();
    // It waits for a connection that is in use, and would not hear that this one is free.
    if (stateOfPool(sql).hasEnded) held?.terminate();
  }

  return {
    hasBegun: begun.promise,
    isOver: over.promise,
    cancel() {
      // Where it cannot be told, all of it comes.
      if (!isOver) cancelled ??= query.canceller(query).catch(() => {});
    },
  };
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
