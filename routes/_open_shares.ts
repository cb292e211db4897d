/**
 * What the tokens of shared links open: asked of the database every so often, and not
 * for each of those who look.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Sql } from "../db/client.ts";
import { findShare, type OpenShare } from "../db/shares.ts";
import { GRANT_MS_MAX } from "./_auth.ts";

/** Answers held at once, some kilobyte each; the oldest make room. */
const HELD_MAX = 10_000;

/** As `createShare()` makes them; anything else is not asked about. */
const TOKEN = /^[\w-]{43}$/;

/** Opens links. */
export interface OpenShares {
  /**
   * What a token opens now. The answer is no older than {@linkcode GRANT_MS_MAX}, nor is
   * it when the answer is nothing.
   *
   * @param token As the address has it.
   * @param beforeAsking Called before the database is asked about a token that nobody
   * here knows to be good: what it throws is thrown, and nothing is asked.
   * @returns `null` when it opens nothing, or nothing any more.
   */
  find(token: string, beforeAsking: () => void): Promise<OpenShare | null>;
  /** Forgets what was believed of a link: it has just been revoked. */
  forget(shareId: string): void;
}

interface Held {
  at: number;
  found: Promise<OpenShare | null>;
  /** It was good when it was asked about before. */
  wasGood: boolean;
}

/** @returns Nothing open yet. */
export function createOpenShares(
  { sql, now }: { sql: Sql; now(): Date },
): OpenShares {
  const held = new Map<string, Held>();
  const opened = new Map<string, string>();

  function ask(name: string, token: string, at: number, wasGood: boolean) {
    const found = findShare(sql, token);
    const one = { at, found, wasGood };
    held.delete(name);
    held.set(name, one);
    if (held.size > HELD_MAX) held.delete(held.keys().next().value!);
    found.then((share) => {
      one.wasGood = share !== null;
      if (share === null) return;
      opened.set(share.share.share_id, name);
      if (opened.size > HELD_MAX) opened.delete(opened.keys().next().value!);
    }, () => {
      // What could not be found out is not kept.
      if (held.get(name) === one) held.delete(name);
    });
    return found;
  }

  return {
    async find(token, beforeAsking) {
      if (!TOKEN.test(token)) return null;
      // A dump of our memory opens nothing.
      const name = createHash("sha256").update(token).digest("base64");
      const at = now().getTime();
      const known = held.get(name);
      const isFresh = known && at >= known.at && at - known.at < GRANT_MS_MAX;
      if (!isFresh && !known?.wasGood) beforeAsking();
      const share =
        await (isFresh
          ? known.found
          : ask(name, token, at, known?.wasGood ?? false));
      const ends = share?.share.expires_at;
      return ends && Date.parse(ends) <= at ? null : share;
    },
    forget(shareId) {
      held.delete(opened.get(shareId) ?? "");
      opened.delete(shareId);
    },
  };
}
