/**
 * Answers that are kept: in the memory of this process, and in Upstash where processes
 * share one. What can change under a name is not kept here but under another name, so
 * nothing ever has to be purged.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Upstash } from "./_upstash.ts";

/** What is kept in memory, bytes; what was not asked for longest makes room. */
const MEMORY_BYTES_MAX = 64 * 1024 * 1024;

/** What an entry costs beside its name and body, bytes. */
const ENTRY_BYTES = 300;

/** Larger ones are not shared: Upstash takes a megabyte a request. */
const SHARED_LENGTH_MAX = 900_000;

/** An answer as it is sent. */
export interface Entry {
  /** JSON, or a page. */
  body: Uint8Array<ArrayBuffer>;
  /** Of the revision and the body: strong, in quotes. */
  etag: string;
  /** Of what it tells of. */
  revision: number;
  /** From this instant on it is read anew, ms since 1970. */
  freshUntil: number;
}

/** An answer as it is read: what is to be JSON, or text that is sent as it is. */
export type Loaded = ({ answer: unknown } | { text: string }) & {
  /** As in {@linkcode Entry}. */
  freshUntil: number;
};

/** Where answers were found, since the process began. */
export interface CacheCounts {
  memory: number;
  shared: number;
  /** With somebody else who was reading it just then. */
  joined: number;
  /** Nowhere: read from the database. */
  loaded: number;
}

/** Keeps answers. */
export interface Cache {
  /**
   * Finds an answer, or reads it: once for all who ask at the same time.
   *
   * @param name What it is called; whatever it depends on is in it.
   * @param revision Of what it tells of; for the entry's tag.
   * @param load Reads it; `null` is passed on and not kept.
   */
  read(
    name: string,
    revision: number,
    load: () => Promise<Loaded | null>,
  ): Promise<Entry | null>;
  /** Counts an answer of memory that was sent without asking here. */
  sentAgain(): void;
  counts(): CacheCounts;
  /** What memory holds, bytes. */
  bytes(): number;
  /** Resolves when what is being shared has been. */
  settled(): Promise<void>;
}

/** What a cache is made of. */
export interface CacheDeps {
  now(): Date;
  /** `null`: memory alone. */
  upstash: Upstash | null;
  /** Default: {@linkcode MEMORY_BYTES_MAX}. */
  bytesMax?: number;
}

/** @returns A cache that holds nothing yet. */
export function createCache(
  { now, upstash, bytesMax = MEMORY_BYTES_MAX }: CacheDeps,
): Cache {
  const memory = createMemory(bytesMax);
  const reading = new Map<string, Promise<Entry | null>>();
  const sharing = new Set<Promise<unknown>>();
  const counts: CacheCounts = { memory: 0, shared: 0, joined: 0, loaded: 0 };

  function isFresh(entry: Entry): boolean {
    return now().getTime() < entry.freshUntil;
  }

  async function find(
    name: string,
    revision: number,
    load: () => Promise<Loaded | null>,
  ): Promise<Entry | null> {
    const found = await upstash?.ask((redis) => redis.get<string>(name));
    const shared = found ? entryOf(found, revision) : null;
    if (shared !== null && isFresh(shared)) {
      counts.shared++;
      memory.set(name, shared);
      return shared;
    }
    counts.loaded++;
    const loaded = await load();
    if (loaded === null) return null;
    const text = "text" in loaded ? loaded.text : JSON.stringify(loaded.answer);
    const written = `${loaded.freshUntil}\n${text}`;
    const entry = entryOf(written, revision);
    const ms = entry.freshUntil - now().getTime();
    if (ms > 0) {
      memory.set(name, entry);
      share(name, written, ms);
    }
    return entry;
  }

  function share(name: string, written: string, ms: number): void {
    if (upstash === null || written.length > SHARED_LENGTH_MAX) return;
    const sent = upstash.ask((redis) => redis.set(name, written, { px: ms }));
    sharing.add(sent);
    sent.finally(() => sharing.delete(sent));
  }

  return {
    read(name, revision, load) {
      const kept = memory.get(name);
      if (kept && isFresh(kept)) {
        counts.memory++;
        return Promise.resolve(kept);
      }
      const running = reading.get(name);
      if (running) {
        counts.joined++;
        return running;
      }
      const found = find(name, revision, load).finally(() =>
        reading.delete(name)
      );
      reading.set(name, found);
      return found;
    },
    sentAgain() {
      counts.memory++;
    },
    counts: () => ({ ...counts }),
    bytes: memory.bytes,
    async settled() {
      await Promise.all(sharing);
    },
  };
}

/** From the text that is shared: when it stops being fresh, and the body. */
function entryOf(written: string, revision: number): Entry {
  const end = written.indexOf("\n");
  const body = new TextEncoder().encode(written.slice(end + 1));
  const hash = createHash("sha256").update(body).digest("base64url");
  return {
    body,
    etag: `"${revision}-${hash.slice(0, 22)}"`,
    revision,
    freshUntil: Number(written.slice(0, end)),
  };
}

/** Holds so many bytes, and drops what was not asked for longest. */
function createMemory(bytesMax: number) {
  // A map keeps its order: the first is the one that waits longest.
  const entries = new Map<string, Entry>();
  let bytes = 0;
  const costOf = (name: string, { body }: Entry) =>
    ENTRY_BYTES + name.length + body.length;

  function remove(name: string): Entry | undefined {
    const entry = entries.get(name);
    if (entry === undefined) return undefined;
    entries.delete(name);
    bytes -= costOf(name, entry);
    return entry;
  }

  function set(name: string, entry: Entry): void {
    remove(name);
    const cost = costOf(name, entry);
    if (cost > bytesMax) return;
    entries.set(name, entry);
    bytes += cost;
    while (bytes > bytesMax) remove(entries.keys().next().value!);
  }

  return {
    bytes: () => bytes,
    set,
    get(name: string): Entry | undefined {
      const entry = remove(name);
      if (entry !== undefined) set(name, entry);
      return entry;
    },
  };
}

/**
 * Whether a client has an answer already.
 *
 * @param header `If-None-Match`.
 * @param etag Of the answer.
 */
export function isKnown(
  header: string | null | undefined,
  etag: string,
): boolean {
  if (header === undefined || header === null) return false;
  return header.trim() === "*" ||
    // Proxies that compress make our tag a weak one.
    header.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}
