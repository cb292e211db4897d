/**
 * What viewers cost: memory and fan-out of 5,000 streams in one process, and the way of
 * an event to a message.
 *
 * Clients are bare sockets: a fetch costs more than what it measures.
 *
 * @module
 */

import { createKey } from "../../db/access.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { Event } from "../../db/schema.ts";
import { startServer, until } from "../harness.ts";
import { lastDays } from "./reads.ts";
import type { Bench } from "./run.ts";

const STREAMS = 5_000;

/** As many as one user may have. */
const STREAMS_PER_KEY = 50;

/** Connections that are opened at once. */
const OPENING = 100;

const FAN_OUTS = 10;
const EVENTS = 100;

/** Streams of one server, read by this process. */
class Audience {
  /** When each client heard its last update, ms of the process. */
  heardAt: number[] = [];
  /** Clients that have heard an update since the last {@linkcode reset}. */
  heard = 0;
  snapshots = 0;
  /** Connections that were closed, by whomever. */
  closed = 0;
  #connections: Deno.TcpConn[] = [];

  /** Opens streams, and waits until each has had its snapshot. */
  async open(url: string, path: string, keys: string[], count: number) {
    const before = this.snapshots;
    for (let n = 0; n < count; n += OPENING) {
      await Promise.all(
        Array.from(
          { length: Math.min(OPENING, count - n) },
          (_, i) =>
            this.#open(url, path, keys[Math.floor((n + i) / STREAMS_PER_KEY)]!),
        ),
      );
    }
    await until(
      "every stream has its snapshot",
      () => this.snapshots - before === count,
      120,
    );
  }

  async #open(url: string, path: string, key: string): Promise<void> {
    const { hostname, port } = new URL(url);
    const connection = await Deno.connect({ hostname, port: Number(port) });
    const index = this.#connections.push(connection) - 1;
    await connection.write(new TextEncoder().encode(
      `GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${key}\r\n\r\n`,
    ));
    this.#read(connection, index);
  }

  async #read(connection: Deno.TcpConn, index: number): Promise<void> {
    const buffer = new Uint8Array(16 * 1024);
    const decoder = new TextDecoder();
    let tail = "";
    try {
      for (;;) {
        const size = await connection.read(buffer);
        if (size === null) break;
        const text = tail + decoder.decode(buffer.subarray(0, size));
        if (text.includes("event: snapshot\n")) this.snapshots++;
        if (text.includes("event: metrics_update\n")) {
          this.heardAt[index] = performance.now();
          this.heard++;
        }
        // Less than a name, so that none is found twice.
        tail = text.slice(-"event: snapshot".length);
      }
    } catch { /* Closed by us. */ }
    this.closed++;
  }

  reset(): void {
    this.heard = 0;
    this.heardAt = [];
  }

  close(): void {
    for (const connection of this.#connections) {
      try {
        connection.close();
      } catch { /* It is closed already. */ }
    }
  }
}

/** Measures 5,000 viewers of one query, and the way of an event. */
export async function benchStreams(bench: Bench): Promise<void> {
  const env = {
    DATABASE_URL: bench.databaseUrl,
    RATE_LIMIT_PER_MINUTE: "900000",
  };
  const path = pathOf(bench);
  {
    await using server = await startServer(env, "serve");
    const keys = await makeKeys(bench, STREAMS + STREAMS_PER_KEY);
    const audience = new Audience();
    // What the first ones cost is the server's, not theirs.
    await audience.open(server.url, path, [keys.pop()!], STREAMS_PER_KEY);
    const before = await residentKib(server.process.pid);
    await audience.open(server.url, path, keys, STREAMS);
    const all = STREAMS + STREAMS_PER_KEY;
    const delays: number[] = [];
    for (let round = 0; round < FAN_OUTS; round++) {
      audience.reset();
      await recordEvents(bench.sql, bench.account.account_id, [
        enrolment(bench),
      ]);
      await fold(bench.sql);
      const committed = performance.now();
      await until("all have heard", () => audience.heard >= all, 60);
      delays.push(...audience.heardAt.map((at) => at - committed));
    }
    bench.report({
      name: `memory of ${STREAMS} streams, each`,
      value: (await residentKib(server.process.pid) - before) / STREAMS,
      unit: "KiB",
      promise: "<= 80",
    });
    bench.report({
      name: `commit to message at ${all} streams, p50`,
      value: quantile(delays, 0.5),
      unit: "ms",
    });
    bench.report({
      name: `commit to message at ${all} streams, p99`,
      value: quantile(delays, 0.99),
      unit: "ms",
      floor: { name: "writing to bare sockets", value: await benchBare(all) },
      promise: "<= 250",
    });
    audience.close();
  }
  await benchEvents(bench, env, path);
}

/** From before the request to the message, with one worker. */
async function benchEvents(
  bench: Bench,
  env: Record<string, string>,
  path: string,
): Promise<void> {
  await using server = await startServer(env);
  const audience = new Audience();
  await audience.open(server.url, path, await makeKeys(bench, 1), 1);
  const delays: number[] = [];
  for (let n = 0; n < EVENTS; n++) {
    audience.reset();
    const asked = performance.now();
    await post(bench, server.url);
    await until("it is told", () => audience.heard > 0);
    delays.push(audience.heardAt[0]! - asked);
  }
  for (const [name, at] of [["p50", 0.5], ["p99", 0.99]] as const) {
    bench.report({
      name: `POST of an event to its message, ${name}`,
      value: quantile(delays, at),
      unit: "ms",
      ...(name === "p99" ? { promise: "<= 1,000 to the pixel" } : {}),
    });
  }
  audience.close();
}

/** The same bytes to as many sockets, without a web server, in this process. */
async function benchBare(count: number): Promise<number> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted: Deno.TcpConn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) accepted.push(connection);
  })();
  const clients: Deno.TcpConn[] = [];
  const { port } = listener.addr;
  for (let n = 0; n < count; n++) {
    clients.push(await Deno.connect({ hostname: "127.0.0.1", port }));
  }
  await until("all are accepted", () => accepted.length === count);
  const message = new Uint8Array(1_000);
  const began = performance.now();
  const reads = clients.map(async (client) => {
    await client.read(new Uint8Array(message.length));
    return performance.now() - began;
  });
  for (const connection of accepted) await connection.write(message);
  const delays = await Promise.all(reads);
  for (const one of [...clients, ...accepted]) one.close();
  listener.close();
  await accepting;
  return quantile(delays, 0.99);
}

/** The stream of the busy workflow's last 30 days. */
export function pathOf({ busy: { uuid } }: Bench): string {
  const { start_date, end_date } = lastDays(30);
  return `/api/v1/workflows/${uuid}/analytics/stream?start_date=${start_date}&end_date=${end_date}`;
}

/** As many keys, each of a user, as so many streams need. */
export async function makeKeys(
  { sql, account }: Bench,
  streams: number,
): Promise<string[]> {
  const keys: string[] = [];
  for (let n = 0; n < streams; n += STREAMS_PER_KEY) {
    const userId = crypto.randomUUID();
    keys.push(
      await createKey(sql, account.account_id, {
        scopes: ["analytics:read"],
        role: "admin",
        userId,
      }),
    );
  }
  return keys;
}

function enrolment({ busy: { uuid } }: Bench): Event {
  return Event.parse({
    id: crypto.randomUUID(),
    type: "execution.enrolled",
    workflow_id: uuid,
    execution_id: crypto.randomUUID(),
    contact_id: "viewer",
    occurred_at: new Date().toISOString(),
    source: "api",
  });
}

/** Reports an enrolment that has just happened. */
export async function post(bench: Bench, url: string): Promise<void> {
  const response = await fetch(`${url}/api/v1/events`, {
    method: "POST",
    body: JSON.stringify(enrolment(bench)),
    headers: {
      authorization: `Bearer ${bench.key}`,
      "content-type": "application/json",
    },
  });
  await response.body?.cancel();
  if (response.status !== 202) {
    throw new Error(`Cannot report an event: ${response.status}`);
  }
}

/** What a process holds in memory, KiB. */
export async function residentKib(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]);
}

/** @returns The value that so many are at most. */
export function quantile(values: number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))]!;
}
