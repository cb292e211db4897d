/**
 * Keeps a page's numbers up to date: follows the stream of one query, or asks every 30 s
 * where there can be none. No framework, no DOM but what {@linkcode Surroundings} says.
 *
 * ```ts
 * const watch = watchLive({
 *   address: "/api/v1/workflows/0198…/analytics",
 *   query: "start_date=2026-06-01&end_date=2026-06-30&compare=previous",
 *   onState(state) { … },
 * });
 * watch.close();
 * ```
 *
 * Each change calls `onState` with everything there is to show ({@linkcode LiveState}):
 * `numbers` are the bodies of the three reads, as a fresh GET would answer them, `null`
 * until the first message; parts that did not change are the same objects.
 *
 * @module
 */

import type {
  LiveAnnouncement,
  LiveEnd,
  LiveHeartbeat,
  LiveNumbers,
  LiveSnapshot,
  LiveUpdate,
} from "../db/schema.ts";
import { folded } from "./live_fold.ts";

/** How it stands with the connection. */
export type LiveStatus =
  /** Not yet. */
  | "connecting"
  /** Every change is shown as it comes. */
  | "live"
  /** What is shown may be old; it is being tried again. */
  | "reconnecting"
  /** Asked every 30 s: there is no EventSource, or it does not get through. */
  | "polling"
  /** The page is hidden; it catches up when shown. */
  | "paused"
  /** Nothing more will come: see `reason`. */
  | "ended";

/** What there is to show. */
export interface LiveState {
  status: LiveStatus;
  /** Of `ended`. */
  reason: "unauthenticated" | "not_readable" | null;
  numbers: LiveNumbers | null;
  /** The instant up to which the numbers are complete, which moves on while they stay. */
  asOf: string | null;
  /** The last one. */
  announcement: LiveAnnouncement | null;
}

/** What is to be watched. */
export interface LiveOptions {
  /** The path of the summary, without a query. */
  address: string;
  /** The query of all three reads, without a question mark. */
  query: string;
  onState(state: LiveState): void;
  /** Default: the browser's. */
  surroundings?: Surroundings;
}

/** What is used of a browser. */
export interface Surroundings {
  /** Missing where there is none. */
  EventSource?: new (url: string) => Source;
  fetch(url: string, init: RequestInit): Promise<Response>;
  isHidden(): boolean;
  /** Calls back when the page is hidden or shown. Returns what ends it. */
  onVisibility(hear: () => void): () => void;
  /** Calls back when the network is back. Returns what ends it. */
  onOnline(hear: () => void): () => void;
  /** Calls back once after so many ms. Returns what cancels it. */
  after(ms: number, act: () => void): () => void;
  /** From 0 to 1. */
  random(): number;
}

/** What is used of an EventSource. */
export interface Source {
  readonly readyState: number;
  addEventListener(
    type: string,
    hear: (event: { data?: string; lastEventId?: string }) => void,
  ): void;
  close(): void;
}

/** The server says something every 15 s: this long without a word, and nobody is there. */
const SILENCE_MS_MAX = 40_000;

/** Where there is no stream. */
const POLL_MS = 30_000;

/** Streams that fail in a row before it is asked instead … */
const FAILURES_MAX = 3;

/** … and polls after which a stream is tried once more. */
const POLLS_MAX = 10;

/** A stream that was refused is tried again after this, then twice as long, and so on, ms. */
const AGAIN_MS = 1_000;
const AGAIN_MS_MAX = 30_000;

/** `EventSource.CLOSED`: it will not try again by itself. */
const CLOSED = 2;

/** Statuses that trying again does not change. */
const REASONS: Record<number, "unauthenticated" | "not_readable"> = {
  400: "not_readable",
  401: "unauthenticated",
  403: "unauthenticated",
  404: "not_readable",
};

/**
 * Watches a workflow until told not to.
 *
 * @param options What, and whom to tell.
 * @returns What ends it.
 */
export function watchLive(options: LiveOptions): { close(): void } {
  const { address, query, onState } = options;
  const around = options.surroundings ?? browser();
  let state: LiveState = {
    status: "connecting",
    reason: null,
    numbers: null,
    asOf: null,
    announcement: null,
  };
  /** Of the last message; `null` where the next must be a snapshot. */
  let id: string | null = null;
  let source: Source | null = null;
  let cancel = () => {};
  let failures = 0;
  /** Answers to what was asked before it was stopped or paused count no more. */
  let era = 0;

  const unhear = [
    around.onVisibility(() => around.isHidden() ? pause() : resume()),
    around.onOnline(() => state.status === "reconnecting" && resume()),
  ];
  if (around.isHidden()) pause();
  else resume();

  function tell(change: Partial<LiveState>): void {
    state = { ...state, ...change };
    onState(state);
  }

  function stop(): void {
    era++;
    cancel();
    source?.close();
    source = null;
  }

  function later(ms: number, act: () => void): void {
    cancel();
    cancel = around.after(ms, act);
  }

  function pause(): void {
    if (state.status === "ended") return;
    stop();
    tell({ status: "paused" });
  }

  function resume(): void {
    if (state.status === "ended") return;
    failures = 0;
    if (state.status === "paused") {
      tell({ status: state.numbers ? "reconnecting" : "connecting" });
    }
    connect();
  }

  function end(reason: LiveState["reason"]): void {
    stop();
    tell({ status: "ended", reason });
  }

  function connect(): void {
    stop();
    if (!around.EventSource) return void poll(Infinity);
    const since = id === null ? "" : `&last_event_id=${encodeURIComponent(id)}`;
    const opened = new around.EventSource(`${address}/stream?${query}${since}`);
    source = opened;
    hear("snapshot", (snapshot: LiveSnapshot, newId) => {
      const { analytics, funnel, actions } = snapshot;
      id = newId;
      show({ analytics, funnel, actions });
    });
    hear("metrics_update", (update: LiveUpdate, newId) => {
      if (!state.numbers || update.since !== id) {
        // It goes on from something else than we have: all of it, then.
        id = null;
        return connect();
      }
      id = newId;
      tell({
        status: "live",
        numbers: folded(state.numbers, update),
        asOf: update.as_of,
      });
    });
    hear("heartbeat", ({ as_of }: LiveHeartbeat) => {
      tell({ status: "live", asOf: as_of });
    });
    hear("announcement", (announcement: LiveAnnouncement) => {
      tell({ announcement });
    });
    hear("end", ({ reason }: LiveEnd) => {
      if (reason === "unauthenticated" || reason === "not_readable") {
        return end(reason);
      }
      // Another server goes on, but not for all at the same moment.
      stop();
      later(reason === "renew" ? 0 : spread(AGAIN_MS), connect);
    });
    opened.addEventListener("error", () => {
      if (source !== opened) return;
      if (opened.readyState === CLOSED) return void refused();
      if (state.status === "live") tell({ status: "reconnecting" });
    });
    later(SILENCE_MS_MAX, refused);

    function hear<Data>(
      type: string,
      act: (data: Data, id: string) => void,
    ): void {
      opened.addEventListener(type, ({ data, lastEventId }) => {
        if (source !== opened) return;
        failures = 0;
        later(SILENCE_MS_MAX, refused);
        act(JSON.parse(data!), lastEventId!);
      });
    }
  }

  /** A stream that was turned down, or says nothing: why, and what else? */
  async function refused(): Promise<void> {
    stop();
    failures++;
    if (failures >= FAILURES_MAX) return await poll(POLLS_MAX);
    if (state.status === "live") tell({ status: "reconnecting" });
    const began = era;
    // The stream's own answer without its body, which an EventSource does not show.
    const answer = await around.fetch(`${address}/stream?${query}`, {
      method: "HEAD",
    }).catch(() => null);
    if (began !== era) return;
    const reason = REASONS[answer?.status ?? 0];
    if (reason) return end(reason);
    const wait = Number(answer?.headers.get("retry-after") ?? 0) * 1_000;
    later(Math.max(wait, spread(AGAIN_MS * 2 ** (failures - 1))), connect);
  }

  /** Asks the three reads, so many times, then tries the stream again. */
  async function poll(times: number): Promise<void> {
    stop();
    const began = era;
    const answers = await Promise.all(
      ["", "/funnel", "/actions"].map((path) =>
        around.fetch(`${address}${path}?${query}`, { cache: "no-cache" })
          .then(async (response) => ({
            status: response.status,
            body: response.ok ? await response.json() : null,
          }))
          .catch(() => ({ status: 0, body: null }))
      ),
    );
    if (began !== era) return;
    const reason = answers.map(({ status }) => REASONS[status]).find(Boolean);
    if (reason) return end(reason);
    const [analytics, funnel, actions] = answers.map(({ body }) => body);
    if (analytics && funnel && actions) {
      // No message has an id for what was asked.
      id = null;
      show({ analytics, funnel, actions }, "polling");
    } else if (state.numbers) {
      tell({ status: "reconnecting" });
    }
    later(POLL_MS, () => times > 1 ? void poll(times - 1) : connect());
  }

  function show(numbers: LiveNumbers, status: LiveStatus = "live"): void {
    tell({ status, numbers, asOf: numbers.analytics.as_of });
  }

  function spread(ms: number): number {
    return Math.min(ms, AGAIN_MS_MAX) * (0.5 + around.random());
  }

  return {
    close() {
      stop();
      for (const end of unhear) end();
    },
  };
}

function browser(): Surroundings {
  const listen = (target: EventTarget, type: string, hear: () => void) => {
    target.addEventListener(type, hear);
    return () => target.removeEventListener(type, hear);
  };
  return {
    EventSource: globalThis.EventSource as Surroundings["EventSource"],
    fetch: (url, init) => fetch(url, init),
    isHidden: () => document.hidden,
    onVisibility: (hear) => listen(document, "visibilitychange", hear),
    onOnline: (hear) => listen(globalThis, "online", hear),
    after(ms, act) {
      const timer = setTimeout(act, ms);
      return () => clearTimeout(timer);
    },
    random: Math.random,
  };
}
