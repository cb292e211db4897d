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
import { limitHeaders, nameOf } from "./_limit.ts";
import { logRequest, requestId } from "./_log.ts";
import type { Deps } from "./app.ts";
import type { RequestCounter } from "./metrics.ts";

/** Requests remembered at once, a kilobyte each beside the answers, which others hold too. */
const REMEMBERED_MAX = 5_000;

/** What depends on the request. */
const NOT_KEPT = /^(x-request-id|ratelimit|ratelimit-policy|content-length)$/;

/** What of it goes with a 304, too: the rest is kept by whoever has the answer. */
const OF_KNOWN = /^(etag|cache-control)$/;

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

/** An offer that was sent, with the headers that went with it. */
interface Remembered extends Offer {
  headers: Record<string, string>;
  headersOfKnown: Record<string, string>;
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

  function isSo({ viewer, workflowUuid, entry }: Remembered): boolean {
    return auth.believes(viewer) &&
      hub.known(workflowUuid) === entry.revision &&
      now().getTime() < entry.freshUntil;
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
      memory.set(keyOf(request), {
        ...offer,
        // It may have been a 304, which has no type.
        headers: {
          ...Object.fromEntries(headers),
          "content-type": "application/json",
        },
        headersOfKnown: Object.fromEntries(
          headers.filter(([name]) => OF_KNOWN.test(name)),
        ),
      });
    },
    answer(request) {
      if (request.method !== "GET") return null;
      const since = performance.now();
      const one = memory.get(keyOf(request));
      if (one === undefined || !isSo(one)) return null;
      const verdict = limiter.takeHere("read", one.who);
      if (verdict === null) return null;
      cache.sentAgain();
      const { entry, viewer } = one;
      const request_id = requestId((name) => request.headers.get(name));
      const isThere = isKnown(request.headers.get("if-none-match"), entry.etag);
      const status = isThere ? 304 : 200;
      const headers = {
        ...(isThere ? one.headersOfKnown : one.headers),
        ...limitHeaders("read", verdict, now()),
        "x-request-id": request_id,
      };
      const { action } = one.access;
      requests.count(request.method, action.slice(4), status);
      access.record({ ...one.access, status, request_id });
      logRequest(log, { request_id, action, status, since, viewer });
      return new Response(isThere ? null : entry.body, { status, headers });
    },
  };
}

function keyOf(request: Request): string {
  const { url, headers } = request;
  const authorization = headers.get("authorization") ?? "";
  // No header has a newline in it, so that no two requests are called the same.
  return `${url}\n${authorization}\n${headers.get("cookie") ?? ""}`;
}

/** Forgets what a grant is not believed any longer for, and secrets with it. */
function createMemory() {
  let young = new Map<string, Remembered>();
  let old = young;
  let since = performance.now();

  function age(): void {
    const now = performance.now();
    if (now - since < GRANT_MS_MAX && young.size < REMEMBERED_MAX) return;
    old = now - since < 2 * GRANT_MS_MAX ? young : new Map();
    young = new Map();
    since = now;
  }
  return {
    get(key: string): Remembered | undefined {
      age();
      return young.get(key) ?? old.get(key);
    },
    set(key: string, one: Remembered): void {
      age();
      young.set(key, one);
    },
  };
}
