/**
 * Deadlines for questions to Postgres. The driver has none of its own (postgres.js
 * 3.4.9): a network that swallows what is sent keeps a query, and all that wait behind
 * it, for ever. A deadline of each statement would have to be longer than the longest
 * that may take its time; so it is not the query that is timed but Postgres: when
 * it has been silent for long, it is asked on a connection of its own whether it
 * is there, which it answers at once however busy it is, and full.
 *
 * A connection may also be forgotten on the way (a router's table of them is short) while
 * new ones go through. So where statements are cut off, what was sent longer ago than any
 * may take is given up too.
 *
 * And Postgres may be there and refuse connections: it is full, or starting. The driver
 * tries again without a pause where it has lost one amid a query before, and keeps the
 * query that the connection was to be for until it has one. So connections that end soon
 * are made ever slower, and while they do, what is not sent is given up.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import type postgres from "postgres";

/** A query that waits longer has us ask, ms; nearly all take less than a second. */
const SILENCE_MS = 2_000;

/** Postgres' first process answers within a round trip, or is gone, ms. */
const PROBE_MS = 2_000;

/** How often we look, and while Postgres is out of reach ask again, ms. */
const BEAT_MS = 500;

/** What Postgres cuts off it tells of within this, ms. */
const CUT_OFF_MS = 2_000;

/** A connection that lives for less was refused: nothing of ours ends one so soon, ms. */
const REFUSED_MS = 1_000;

/** So long after the last refusal it is over: they come every second at least, ms. */
const REFUSAL_OVER_MS = 3_000;

/** What is not sent by then, while connections are refused, is given up, ms. */
const UNSENT_MS_MAX = 4_000;

/** `CancelRequest` of the protocol; whatever else begins a connection is longer. */
const CANCEL_BYTES = 16;

/** `SSLRequest` of the protocol: anybody may ask, and is answered with one byte. */
const ARE_YOU_THERE = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);

/** A connection or a query that Postgres no longer answers. */
class Unreachable extends Error {
  readonly code = "ECONNRESET";
  constructor() {
    super("Cannot reach Postgres: it does not answer");
  }
}

/** More wait already than could be answered soon. */
class Overloaded extends Error {
  /** As Postgres calls being short of something. */
  readonly code = "53000";
  constructor() {
    super("Cannot ask Postgres: too many questions wait");
  }
}

/** What the driver's queries have besides what its types tell. */
type Query = Promise<unknown> & {
  executed: boolean;
  state: unknown;
  reject(reason: Error): void;
};

/** Of the driver's parsed options. */
interface Target {
  host: string[];
  port: number[];
  path?: string | false;
}

/** Watches over one pool. */
export interface Lifeline {
  /** Makes the pool's connections; the driver's option `socket`. */
  socket(target: Target): Promise<Socket>;
  /**
   * @param sql The pool.
   * @returns The same; what is awaited of it is watched. Cursors and streams are not:
   * whoever reads them sees that nothing comes.
   */
  watch(sql: postgres.Sql): postgres.Sql;
  /** Connections there are, questions that wait for their answer, and whether the pool takes more. */
  state(): { connections: number; waiting: number; hasEnded: boolean };
}

/** Since when, ms of the process. */
interface Wait {
  beganAt: number;
  /** The query has waited, or Postgres last said that it is there. */
  silentSince: number;
  /** It is seen to be on its way; `undefined`: it is not yet. */
  sentAt?: number;
}

/**
 * @param waitingMax Queries beyond this are refused; each may hold megabytes.
 * @param statementTimeoutMs After which Postgres cuts statements off; 0: never.
 * @returns A lifeline for one pool.
 */
export function createLifeline(
  waitingMax: number,
  statementTimeoutMs: number,
): Lifeline {
  const sockets = new Set<Socket>();
  const waiting = new Map<Query, Wait>();
  let target: Target | undefined;
  let hosts = 0;
  let isDown = false;
  /** Connections that were refused, one after the other, and when the last one was. */
  let refusals = 0;
  let refusedAt = -Infinity;
  let isAsking = false;
  let hasEnded = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function beat(): void {
    timer = undefined;
    const [longest] = waiting.values();
    const silence = longest ? performance.now() - longest.silentSince : 0;
    if (isRefused()) giveUpUnsent();
    if (anyIsLost()) giveUp();
    else if (!isAsking && (isDown || silence > SILENCE_MS)) ask();
    if (isDown || waiting.size > 0) schedule();
  }

  function schedule(): void {
    if (timer !== undefined || hasEnded) return;
    timer = setTimeout(beat, BEAT_MS);
    // An outage is no reason to stay.
    if (isDown) Deno.unrefTimer(timer);
  }

  function anyIsLost(): boolean {
    if (statementTimeoutMs === 0) return false;
    const now = performance.now();
    let isLost = false;
    for (const [query, wait] of waiting) {
      if (query.state !== null) wait.sentAt ??= now;
      isLost ||= now - (wait.sentAt ?? now) > statementTimeoutMs + CUT_OFF_MS;
    }
    return isLost;
  }

  async function ask(): Promise<void> {
    isAsking = true;
    const answers = await isThere(target!);
    isAsking = false;
    if (hasEnded) return;
    if (!answers) giveUp();
    isDown = !answers;
    if (answers) {
      // It is busy: the next look comes after as long a silence again.
      const now = performance.now();
      for (const wait of waiting.values()) wait.silentSince = now;
    }
    schedule();
  }

  function giveUp(): void {
    // What is not sent yet is not cancelled: a connection that is being made for a query, and
    // finds it cancelled, waits for an answer to nothing, and is lost to the pool. It is
    // sent, and nobody listens.
    for (const query of waiting.keys()) query.reject(new Unreachable());
    for (const socket of sockets) socket.destroy(new Unreachable());
  }

  function isRefused(): boolean {
    return performance.now() - refusedAt < REFUSAL_OVER_MS;
  }

  /** As above, it is rejected and not cancelled. */
  function giveUpUnsent(): void {
    const since = performance.now() - UNSENT_MS_MAX;
    for (const [query, { beganAt }] of waiting) {
      if (query.state === null && beganAt < since) {
        query.reject(new Unreachable());
      }
    }
  }

  function noteEnd(openedAt: number): void {
    const now = performance.now();
    if (now - openedAt > REFUSED_MS || hasEnded) return;
    refusals = isRefused() ? refusals + 1 : 1;
    refusedAt = now;
  }

  async function open(to: Target): Promise<Socket> {
    if (isRefused()) {
      const ms = reconnectSeconds(refusals) * 1_000;
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
    const socket = openSocket(to, hosts++);
    // The pool may have ended meanwhile, and would not look at it any more.
    if (hasEnded) socket.destroy();
    const openedAt = performance.now();
    sockets.add(socket);
    socket.once("close", (hadError) => {
      sockets.delete(socket);
      // Postgres ends those that ask it to cancel as soon as it has.
      const isCancel = !hadError && socket.bytesWritten === CANCEL_BYTES;
      if (!isCancel) noteEnd(openedAt);
    });
    return socket;
  }

  function arm(query: Query): void {
    if (query.executed) return;
    const problem = isDown
      ? new Unreachable()
      : waiting.size >= waitingMax
      ? new Overloaded()
      : null;
    if (problem) {
      query.executed = true;
      return query.reject(problem);
    }
    const now = performance.now();
    waiting.set(query, { beganAt: now, silentSince: now });
    const forget = () => waiting.delete(query);
    Promise.prototype.then.call(query, forget, forget);
    schedule();
  }

  function watched<T>(query: T): T {
    if (!(query instanceof Promise)) return query;
    const then = query.then;
    query.then = function (...args) {
      arm(query as unknown as Query);
      return then.apply(query, args as Parameters<typeof then>);
    } as typeof then;
    return query;
  }

  return {
    socket(to) {
      target = to;
      return open(to);
    },
    state: () => ({
      connections: sockets.size,
      waiting: waiting.size,
      hasEnded,
    }),
    watch(sql) {
      async function end(options?: { timeout?: number }): Promise<void> {
        hasEnded = true;
        clearTimeout(timer);
        await sql.end(options);
        // The driver says farewell, and goes on holding what it has stopped reading.
        for (const socket of sockets) socket.destroy();
      }
      function watchedClient<Client extends postgres.Sql>(sql: Client): Client {
        return new Proxy(sql, {
          apply: (target, self, args) =>
            watched(Reflect.apply(target as never, self, args)),
          get(target, name, receiver) {
            if (name === "end") return end;
            if (name === "reserve") {
              return async () => watchedClient(await sql.reserve());
            }
            if (name === "unsafe") {
              return (...args: Parameters<typeof sql.unsafe>) =>
                watched(sql.unsafe(...args));
            }
            return Reflect.get(target, name, receiver);
          },
        });
      }
      return watchedClient(sql);
    },
  };
}

/**
 * How long a connection that was lost or refused waits before it tries again. All
 * connections of a pool count their failures together, so that the driver's own
 * 3^failures would be at its 20 s after a restart of Postgres that took one.
 *
 * @param failures One after the other.
 */
export function reconnectSeconds(failures: number): number {
  return Math.min(0.05 * 2 ** failures, 1);
}

function openSocket({ path, host, port }: Target, n: number): Socket {
  const i = n % host.length;
  const socket = path
    ? connect(path)
    : connect({ host: host[i]!, port: port[i]! });
  // The driver checks certificates by it.
  return Object.assign(socket, { host: host[i], port: port[i] });
}

async function isThere(target: Target): Promise<boolean> {
  const asked = target.host.map((_, n) => asks(target, n));
  return (await Promise.all(asked)).includes(true);
}

function asks(target: Target, n: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = openSocket(target, n);
  const timer = setTimeout(() => resolve(false), PROBE_MS);
  socket.once("error", () => resolve(false));
  socket.once("close", () => resolve(false));
  socket.once("data", () => resolve(true));
  socket.write(ARE_YOU_THERE);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}
