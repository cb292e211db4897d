/**
 * Reads that are asked again: the answer of a moment ago, where all that it hangs on is
 * as it was.
 *
 * Before a kept answer lie a router, a session or key, checks of the query and a dozen
 * headers, and all of them say for the same address and the same credential what they
 * said before. So what was sent is remembered together with what it hangs on: the grant
 * is still believed, the workflow (and with it whose it is) is at the same revision, and
 * the answer is still fresh. Then only what differs is done anew: the limit, the name of
 * the request, and what is written down of it. Whatever is otherwise goes the long way.
 *
 * @module
 */

import type { Context } from "hono";
import type { Grant } from "../db/access.ts";
import type { Access } from "../db/access_log.ts";
import { accessOf } from "./_access.ts";
import { type AuthEnv, GRANT_MS_MAX } from "./_auth.ts";
import { type Entry, isKnown } from "./_cache.ts";
import { limitHeader, nameOf } from "./_limit.ts";
import { linesOf, logRequest, requestId } from "./_log.ts";
import type { Deps } from "./app.ts";
import type { RequestCounter } from "./metrics.ts";

/** Requests remembered at once, a kilobyte each beside the answers, which others hold too. */
const REMEMBERED_MAX = 5_000;

/** What depends on the request. */
const NOT_KEPT = /^(x-request-id|ratelimit|content-length)$/;

/** What of it goes with a 304, too: the rest is kept by whoever has the answer. */
const OF_KNOWN = /^(etag|cache-control|ratelimit-policy)$/;

/** What a route offers to be sent again. */
interface Offer {
  viewer: Grant;
  /** In lower case. */
  workflowUuid: string;
  entry: Entry;
  /** But for its status and the request's id. */
  access: Access;
  /** Whom the limit counts. */
  who: string;
}

/** An offer that was sent. */
interface Remembered extends Offer {
  /** For who does not have it. */
  whole: Ready;
  /** For who has it. */
  known: Ready;
}

/** An answer but for what differs from one to the next. */
interface Ready {
  body: Uint8Array<ArrayBuffer> | null;
  /** What differs is put in each time: a dozen headers are not copied for two. */
  init: { status: number; headers: Record<string, string> };
  access: Access;
  /** What its lines have in common. */
  told: string;
  count: () => void;
}

/** Sends reads again. */
export interface Again {
  /**
   * Offers an answer for whoever sends the same request again.
   *
   * @param c The request.
   * @param workflowUuid Whose revision decides, the entry's.
   * @param entry What it is answered with.
   */
  offer(c: Context<AuthEnv>, workflowUuid: string, entry: Entry): void;
  /** @returns The answer; `null` where the request has to go the long way. */
  answer(request: Request): Response | null;
  /** Takes up what was offered on the long way. */
  remember(request: Request, response: Response): void;
}

/** What it needs of the program. */
type AgainDeps = Pick<
  Deps,
  "auth" | "access" | "hub" | "cache" | "limiter" | "log" | "now"
>;

/** @returns One that remembers nothing yet. */
export function createAgain(deps: AgainDeps, requests: RequestCounter): Again {
  const { auth, access, hub, cache, limiter, log, now } = deps;
  const offers = new WeakMap<Request, Offer>();
  const memory = createMemory();

  function isSo(
    { viewer, workflowUuid, entry }: Remembered,
    at: Date,
  ): boolean {
    return auth.believes(viewer, at) &&
      hub.known(workflowUuid) === entry.revision &&
      at.getTime() < entry.freshUntil;
  }

  function readyOf(
    { viewer, entry, access }: Offer,
    status: 200 | 304,
    headers: [name: string, value: string][],
  ): Ready {
    return {
      body: status === 304 ? null : entry.body,
      init: { status, headers: Object.fromEntries(headers) },
      access: { ...access, status },
      told: linesOf({ action: access.action, status, viewer }),
      count: requests.counterOf("GET", access.action.slice(4), status),
    };
  }

  return {
    offer(c, workflowUuid, entry) {
      const viewer = c.get("viewer");
      offers.set(c.req.raw, {
        viewer,
        workflowUuid,
        entry,
        access: accessOf(c),
        who: nameOf(viewer, c),
      });
    },
    remember(request, response) {
      const offer = offers.get(request);
      if (offer === undefined || response.status >= 400) return;
      const headers = [...response.headers]
        .filter(([name]) => !NOT_KEPT.test(name));
      const known = headers.filter(([name]) => OF_KNOWN.test(name));
      // It may have been a 304, which has no type.
      headers.push(["content-type", "application/json"]);
      memory.set(keyOf(request), performance.now(), {
        ...offer,
        whole: readyOf(offer, 200, headers),
        known: readyOf(offer, 304, known),
      });
    },
    answer(request) {
      if (request.method !== "GET") return null;
      const since = performance.now();
      const one = memory.get(keyOf(request), since);
      if (one === undefined) return null;
      const at = now();
      if (!isSo(one, at)) return null;
      const verdict = limiter.takeHere("read", one.who, at);
      if (verdict === null) return null;
      cache.sentAgain();
      const asked = request.headers;
      const request_id = requestId((name) => asked.get(name));
      const isThere = isKnown(asked.get("if-none-match"), one.entry.etag);
      const { body, init, access: entry, told, count } = isThere
        ? one.known
        : one.whole;
      init.headers.ratelimit = limitHeader("read", verdict, at);
      init.headers["x-request-id"] = request_id;
      count();
      access.record(entry, request_id, since);
      logRequest(log, entry.action, request_id, since, told);
      return new Response(body, init);
    },
  };
}

function keyOf(request: Request): string {
  const { url, headers } = request;
  const authorization = headers.get("authorization");
  // Beside a key nobody asks for a session. No header has a newline in it, so that no two
  // requests are called the same.
  return authorization === null
    ? `${url}\n\n${headers.get("cookie")}`
    : `${url}\n${authorization}`;
}

/** Forgets what a grant is not believed any longer for, and secrets with it. */
function createMemory() {
  let young = new Map<string, Remembered>();
  let old = young;
  let since = performance.now();

  function age(now: number): void {
    if (now - since < GRANT_MS_MAX && young.size < REMEMBERED_MAX) return;
    old = now - since < 2 * GRANT_MS_MAX ? young : new Map();
    young = new Map();
    since = now;
  }
  return {
    /** @param now Ms of the process, here and below. */
    get(key: string, now: number): Remembered | undefined {
      age(now);
      return young.get(key) ?? old.get(key);
    },
    set(key: string, now: number, one: Remembered): void {
      age(now);
      young.set(key, one);
    },
  };
}
