/**
 * The connection to Postgres.
 *
 * @module
 */

import postgres from "postgres";
import { createLifeline, type Lifeline, reconnectSeconds } from "./lifeline.ts";
import type { DatabaseRole } from "./roles.ts";

/** A pool of connections, or one transaction of it. */
export type Sql = postgres.Sql;

/** How a pool of connections behaves. */
export interface ConnectOptions {
  /** Most connections at once. */
  max: number;
  /** A statement that runs longer is cancelled by Postgres, ms; 0: never. */
  statementTimeoutMs: number;
  /** Most queries that wait for an answer; one more is refused (code 53000). */
  waitingMax?: number;
  /** Shown in `pg_stat_activity`. */
  name?: string;
  /** Taken on by every connection; default: the login's own. */
  role?: DatabaseRole;
  /**
   * A pooler stands between that gives each transaction any connection: nothing is
   * prepared, and no setting is sent that it would refuse (role, timeout), so that
   * they are the login's.
   */
  pooled?: boolean;
  /** Every statement is a transaction of its own that sees one snapshot throughout. */
  snapshots?: boolean;
  /** Told what Postgres warns of; less than a warning is told to nobody. */
  onWarning?(text: string): void;
}

/** What a pool may have waiting where nothing is said: no test or job has as many. */
const WAITING_MAX = 10_000;

/**
 * Opens a pool. Nothing is connected until the first query. A Postgres that does not
 * answer is given up after some seconds ({@linkcode createLifeline}).
 *
 * int8 arrives as a number: every count, revision and id of ours stays far below
 * 2^53. Sums of microseconds do not, and are sent as text by the queries.
 *
 * @param url `postgres://…`
 * @param options Limits of the pool.
 * @returns A tagged-template client.
 */
export function connect(url: string, options: ConnectOptions): Sql {
  const lifeline = createLifeline(
    options.waitingMax ?? WAITING_MAX,
    options.statementTimeoutMs,
  );
  const sql = postgres(url, {
    // In the driver, and not in its types.
    ...{ socket: lifeline.socket },
    max: options.max,
    prepare: !options.pooled,
    connect_timeout: 5,
    idle_timeout: 300,
    backoff: reconnectSeconds,
    onnotice(notice) {
      if (notice.severity !== "WARNING") return;
      options.onWarning?.(notice.message ?? "");
    },
    types: {
      bigint: {
        to: 20,
        from: [20],
        serialize: String,
        parse: Number,
      },
    },
    connection: {
      application_name: options.name ?? "weir",
      TimeZone: "UTC",
      ...(options.pooled
        ? {}
        : { statement_timeout: options.statementTimeoutMs }),
      ...(options.role && !options.pooled ? { role: options.role } : {}),
      ...(options.snapshots
        ? { default_transaction_isolation: "repeatable read" }
        : {}),
    },
  }) as Sql;
  const watched = lifeline.watch(sql) as Sql;
  states.set(watched, lifeline.state);
  return watched;
}

const states = new WeakMap<object, Lifeline["state"]>();

/**
 * How busy a pool is.
 *
 * @param sql From {@linkcode connect}.
 */
export function stateOfPool(sql: Sql): ReturnType<Lifeline["state"]> {
  return states.get(sql)?.() ?? { connections: 0, waiting: 0, hasEnded: false };
}

/** Postgres is gone, going or full: class 08, 53 and 57P, and what the driver says. */
export function isOutage(code: unknown): boolean {
  return typeof code === "string" && (
    /^(08|53|57P)/.test(code) ||
    ["CONNECTION_CLOSED", "CONNECTION_ENDED", "CONNECTION_DESTROYED"]
      .includes(code) ||
    ["CONNECT_TIMEOUT", "ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(code)
  );
}

/**
 * A migration came between: a deadlock with it, a lock that it holds, a function that it has just made anew, or dropped
 * under one that had begun and calls it. The statement has done nothing, and may be sent again.
 */
export function isOvertaken(thrown: unknown): boolean {
  const { code, message, where } = (thrown ?? {}) as Record<string, unknown>;
  return ["40P01", "55P03"].includes(String(code)) ||
    code === "XX000" && /^cache lookup failed/.test(String(message)) ||
    code === "42883" && /^function /.test(String(message)) &&
      /^PL\/pgSQL function /m.test(String(where));
}
