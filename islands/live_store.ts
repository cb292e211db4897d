/**
 * A page's live numbers as signals, shared by all islands of the page that show the same
 * query: one connection, however many islands.
 *
 * ```tsx
 * const live = liveStore(address, query); // the same object in every island
 * const { summary } = live.analytics.value ?? props.analytics;
 * <b class={live.changed.value.has("summary.completed") ? "glow" : ""}>
 * ```
 *
 * Connect in an effect (`useEffect(() => live.connect(), [])`): on the server there is
 * nothing to watch, and what an effect returns hangs up when the last island is gone.
 *
 * @module
 */

import { batch, type ReadonlySignal, signal } from "@preact/signals";
import type {
  Actions,
  Analytics,
  Funnel,
  LiveAnnouncement,
} from "../db/schema.ts";
import { type LiveState, type LiveStatus, watchLive } from "./live.ts";

/** Signals that change only when what they hold does. */
export interface LiveStore {
  /** `null`, as are the next two, until the first message: show what the page came with. */
  analytics: ReadonlySignal<Analytics | null>;
  funnel: ReadonlySignal<Funnel | null>;
  actions: ReadonlySignal<Actions | null>;
  /** `connecting` until connected. */
  status: ReadonlySignal<LiveStatus>;
  /** Why it has ended. */
  reason: ReadonlySignal<LiveState["reason"]>;
  asOf: ReadonlySignal<string | null>;
  /** What the last message changed; names as in `live.ts`. */
  changed: ReadonlySignal<ReadonlySet<string>>;
  announcement: ReadonlySignal<LiveAnnouncement | null>;
  /** Watches, for as long as anybody does. Returns what ends it for this caller. */
  connect(): () => void;
}

const stores = new Map<string, LiveStore>();

/**
 * @param address The path of the summary, e.g. `/api/v1/workflows/{id}/analytics`.
 * @param query Of all three reads, without a question mark.
 * @param watch For tests.
 * @returns The page's store for it.
 */
export function liveStore(
  address: string,
  query: string,
  watch: typeof watchLive = watchLive,
): LiveStore {
  const key = `${address}?${query}`;
  let store = stores.get(key);
  if (store === undefined) {
    store = createStore(address, query, watch);
    stores.set(key, store);
  }
  return store;
}

function createStore(
  address: string,
  query: string,
  watch: typeof watchLive,
): LiveStore {
  const analytics = signal<Analytics | null>(null);
  const funnel = signal<Funnel | null>(null);
  const actions = signal<Actions | null>(null);
  const status = signal<LiveStatus>("connecting");
  const reason = signal<LiveState["reason"]>(null);
  const asOf = signal<string | null>(null);
  const changed = signal<ReadonlySet<string>>(new Set());
  const announcement = signal<LiveAnnouncement | null>(null);
  let watchers = 0;
  let watching: { close(): void } | null = null;

  function onState(state: LiveState): void {
    batch(() => {
      analytics.value = state.numbers?.analytics ?? null;
      funnel.value = state.numbers?.funnel ?? null;
      actions.value = state.numbers?.actions ?? null;
      status.value = state.status;
      reason.value = state.reason;
      asOf.value = state.asOf;
      changed.value = state.changed;
      announcement.value = state.announcement;
    });
  }

  return {
    analytics,
    funnel,
    actions,
    status,
    reason,
    asOf,
    changed,
    announcement,
    connect() {
      watchers++;
      watching ??= watch({ address, query, onState });
      let isIn = true;
      return () => {
        if (!isIn) return;
        isIn = false;
        watchers--;
        if (watchers > 0) return;
        watching?.close();
        watching = null;
      };
    },
  };
}
