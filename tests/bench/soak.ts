/**
 * `deno task bench --soak`: whether 500 viewers beside constant traffic are served for an
 * hour as they are in the first minute.
 *
 * @module
 */

import { startServer, until } from "../harness.ts";
import type { Bench } from "./run.ts";
import { makeKeys, pathOf, post, quantile, residentKib } from "./streams.ts";

const VIEWERS = 500;

/** Events each second. */
const EVENTS_PER_SECOND = 10;

/**
 * Most that a process may have grown by from the middle third to the last, by medians. In
 * the first it is still finding its size, and gives some of it back now and then.
 */
const GROWTH_MAX = 1.05;

/** How often a line says how it goes, ms. */
const REPORT_MS = 5 * 60_000;

/** What a viewer waits for before it comes back, ms: the middle of what `retry:` says. */
const AGAIN_MS = 2_000;

/** What happened to all viewers together. */
interface Tally {
  /** Updates. */
  messages: number;
  /** Streams that had lasted as long as streams do. */
  renewed: number;
  /** Refused, cut off, or an update that does not go on from the one before. */
  wrong: string[];
}

/**
 * Watches, and throws where a stream was dropped or memory grew.
 *
 * @param bench As all are.
 * @param minutes How long.
 */
export async function soakStreams(
  bench: Bench,
  minutes: number,
): Promise<void> {
  await using server = await startServer({
    DATABASE_URL: bench.databaseUrl,
    RATE_LIMIT_PER_MINUTE: "900000",
  });
  const tally: Tally = { messages: 0, renewed: 0, wrong: [] };
  const viewers = (await makeKeys(bench, VIEWERS)).flatMap((key, user, keys) =>
    Array.from(
      { length: VIEWERS / keys.length },
      (_, tab) =>
        new Viewer(
          `viewer ${user}.${tab}`,
          server.url,
          pathOf(bench),
          key,
          tally,
        ),
    )
  );
  viewers.forEach((viewer) => viewer.watch());
  const all = (events: number) =>
    until(
      `all viewers have heard of ${events} events`,
      () => viewers.every(({ enrolled }) => enrolled === events),
      120,
    );
  await all(0);
  const memory = () => residentKib(server.process.pid);
  const beganAt = performance.now();
  const endsAt = beganAt + minutes * 60_000;
  /** KiB, each second. */
  const sizes: number[] = [];
  let reportAt = beganAt;
  let events = 0;
  while (performance.now() < endsAt) {
    const second = performance.now() + 1_000;
    for (let n = 0; n < EVENTS_PER_SECOND; n++, events++) {
      await post(bench, server.url);
    }
    const at = performance.now();
    sizes.push(await memory());
    if (at >= reportAt) {
      reportAt += REPORT_MS;
      bench.report({
        name: `after ${Math.round((at - beganAt) / 60_000)} minutes: ` +
          `${tally.messages} messages, ${tally.wrong.length} wrong`,
        value: sizes.at(-1)! / 1_024,
        unit: "MiB",
      });
    }
    await until("the second is over", () => performance.now() > second);
  }
  await all(events);
  const third = Math.floor(sizes.length / 3);
  const middle = quantile(sizes.slice(third, 2 * third), 0.5);
  const growth = quantile(sizes.slice(2 * third), 0.5) / middle;
  for (const viewer of viewers) viewer.leave();
  bench.report({
    name: `memory of the last third, ${minutes} minutes, ${events} events`,
    value: growth,
    unit: "x",
    floor: { name: "the middle third's", value: 1 },
    promise: `<= ${GROWTH_MAX}`,
  });
  bench.report({
    name: `of ${tally.messages} messages and ${tally.renewed} renewals, wrong`,
    value: tally.wrong.length,
    unit: "",
    promise: "0",
  });
  if (tally.wrong.length > 0) {
    throw new Error(`Cannot call this served: ${tally.wrong.slice(0, 5)}`);
  }
  if (growth > GROWTH_MAX) throw new Error("Cannot call this flat");
}

/** A browser that keeps a page open: comes back where it was when a stream ends. */
class Viewer {
  /** Executions that it knows of; -1 before its first message. */
  enrolled = -1;
  #id: string | null = null;
  #connection: Deno.TcpConn | null = null;
  #isGone = false;

  constructor(
    readonly name: string,
    readonly url: string,
    readonly path: string,
    readonly key: string,
    readonly tally: Tally,
  ) {}

  async watch(): Promise<void> {
    while (!this.#isGone) {
      let isRenewal = false;
      let problem = "";
      try {
        for await (const { event, id, data } of this.#messages()) {
          isRenewal = event === "end" && data.reason === "renew";
          if (event === "snapshot" || event === "metrics_update") {
            this.#take(event, id, data);
          }
        }
      } catch (error) {
        problem = String(error);
      }
      if (this.#isGone) return;
      if (isRenewal) this.tally.renewed++;
      else this.#complain(`was dropped ${problem}`);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  leave(): void {
    this.#isGone = true;
    this.#connection?.close();
  }

  #complain(what: string): void {
    this.tally.wrong.push(`${this.name} ${what}`);
  }

  // deno-lint-ignore no-explicit-any -- whatever came is looked into
  #take(event: string, id: string, data: any): void {
    if (event === "snapshot") {
      if (this.#id) this.#complain("had to begin anew");
      this.enrolled = data.analytics.summary.total_enrolled;
    } else {
      this.tally.messages++;
      const { total_enrolled, total_enrolled_delta } = data.changes;
      if (data.since !== this.#id) this.#complain("missed a message");
      if (total_enrolled !== undefined) {
        if (this.enrolled + total_enrolled_delta !== total_enrolled) {
          this.#complain("cannot add up");
        }
        this.enrolled = total_enrolled;
      }
    }
    this.#id = id;
  }

  /** The stream over a bare socket; HTTP/1.0 has no chunks in it, and is closed at the end. */
  async *#messages() {
    const { hostname, port } = new URL(this.url);
    using connection = await Deno.connect({ hostname, port: Number(port) });
    this.#connection = connection;
    await connection.write(new TextEncoder().encode(
      `GET ${this.path} HTTP/1.0\r\nhost: ${hostname}\r\n` +
        `authorization: Bearer ${this.key}\r\n` +
        (this.#id ? `last-event-id: ${this.#id}\r\n` : "") + "\r\n",
    ));
    const buffer = new Uint8Array(64 * 1024);
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const size = await connection.read(buffer);
      if (size === null) return;
      text += decoder.decode(buffer.subarray(0, size), { stream: true });
      if (/^HTTP\S+ (?!200)/.test(text)) throw new Error(text.slice(0, 200));
      const blocks = text.split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) {
        const event = /^event: (.+)$/m.exec(block)?.[1];
        if (!event) continue;
        const id = /^id: (.+)$/m.exec(block)?.[1] ?? "";
        const data = JSON.parse(/^data: (.+)$/m.exec(block)![1]!);
        yield { event, id, data };
      }
    }
  }
}
