/**
 * How much anybody may ask for: a sliding window over a minute, in Upstash where
 * processes share one, else in the memory of this process.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Ratelimit } from "@upstash/ratelimit";
import type { Redis } from "@upstash/redis";
import type { Context, MiddlewareHandler } from "hono";
import type { Grant } from "../db/access.ts";
import type { Scope } from "../db/schema.ts";
import { AppError } from "./_errors.ts";
import type { Upstash } from "./_upstash.ts";

/** The window of all limits, ms. */
const WINDOW_MS = 60_000;

/** Reads a minute unless `RATE_LIMIT_PER_MINUTE` says otherwise. */
export const READS_PER_MINUTE = 60;

/**
 * Every limit: how much a minute, of whom, and what happens when Upstash is configured
 * and gone. `open`: the window in this process goes on, so that each process lets so
 * much through. `closed`: nothing is let through until Upstash answers again.
 */
export const POLICIES = {
  /** Requests of a user or a key for numbers. */
  read: { perMinute: READS_PER_MINUTE, without: "open" },
  /** Pages of a user; each makes several reads, which are not counted again. */
  page: { perMinute: 2 * READS_PER_MINUTE, without: "open" },
  /** Changes of a user or a key: definitions, settings, jobs. */
  write: { perMinute: 60, without: "open" },
  /** Exports of a user or a key: the dearest requests, so nobody counts them alone. */
  export: { perMinute: 30, without: "closed" },
  /** Events of an account, 16,000 a second: a quarter of what a small server takes in. */
  ingest: { perMinute: 1_000_000, without: "open" },
  /** Requests from an address that show no good credential. */
  stranger: { perMinute: 60, without: "open" },
  /** Tries of an address to sign in, or to guess a link's password. */
  sign_in: { perMinute: 20, without: "open" },
  /** Views of a shared link from one address, which may be that of an edge cache. */
  share: { perMinute: 2 * READS_PER_MINUTE, without: "open" },
  /** Tries of everybody together to guess a link's password; each costs a third of a second. */
  share_password: { perMinute: 60, without: "open" },
} as const satisfies Record<
  string,
  { perMinute: number; without: "open" | "closed" }
>;
export type Policy = keyof typeof POLICIES;

/** Which limit what a scope opens is under. */
const POLICY_OF_SCOPE: Record<Scope, Policy | null> = {
  "analytics:read": "read",
  "workflows:write": "write",
  // Counted by events, where they are taken in.
  "events:write": null,
  "exports:write": "export",
  admin: "write",
};

/** What became of a request. */
export interface Verdict {
  allowed: boolean;
  /** A minute. */
  limit: number;
  remaining: number;
  /** When the present minute ends, ms since 1970. */
  resetAt: number;
}

/** Counts. */
export interface Limiter {
  /**
   * Takes an amount of what somebody may ask for. More than is left is not allowed, but
   * counted where anything was left: it has happened already, and is paid for by waiting.
   *
   * @param policy Which limit.
   * @param who Whose.
   * @param amount Default: one.
   */
  take(policy: Policy, who: string, amount?: number): Promise<Verdict>;
  /**
   * Takes one at once.
   *
   * @param policy Which limit.
   * @param who Whose.
   * @param now The clock.
   * @returns `null`, and nothing is taken, where that has to be asked elsewhere or is
   * not allowed.
   */
  takeHere(policy: Policy, who: string, now: Date): Verdict | null;
  /** How much was let through and refused since the process began, by policy. */
  counts(): { policy: Policy; allowed: number; refused: number }[];
}

/** What a limiter is made of. */
export interface LimiterDeps {
  now(): Date;
  /** `null`: this process counts for itself. */
  upstash: Upstash | null;
  /** Instead of {@linkcode POLICIES}'. */
  perMinute?: Partial<Record<Policy, number>>;
}

/** @returns A limiter that has counted nothing yet. */
export function createLimiter(
  { now, upstash, perMinute = {} }: LimiterDeps,
): Limiter {
  const here = new Map<Policy, ReturnType<typeof createWindow>>();
  const there = new Map<Policy, Ratelimit>();
  let scripts: Pick<Redis, "eval" | "evalsha"> | undefined;
  const counts = new Map<Policy, { allowed: number; refused: number }>();
  const limitOf = (policy: Policy) =>
    perMinute[policy] ?? POLICIES[policy].perMinute;

  function windowOf(policy: Policy): ReturnType<typeof createWindow> {
    let window = here.get(policy);
    if (!window) here.set(policy, window = createWindow());
    return window;
  }

  /** `undefined` where Upstash is gone. */
  async function takeThere(
    policy: Policy,
    who: string,
    amount: number,
  ): Promise<Verdict | undefined> {
    return await upstash?.ask(async (redis) => {
      let ratelimit = there.get(policy);
      if (ratelimit === undefined) {
        const limiter = Ratelimit.slidingWindow(limitOf(policy), "1 m");
        ratelimit = new Ratelimit({
          // A sliding window is scripts alone.
          redis: (scripts ??= scriptsOf(redis)) as Redis,
          limiter,
          prefix: `limit:${policy}`,
          // It grows without end; and a timeout of its own would let everybody through.
          ephemeralCache: false,
          timeout: 0,
        });
        there.set(policy, ratelimit);
      }
      const { success, limit, remaining, reset } = await ratelimit
        .limit(who, { rate: amount });
      return {
        allowed: success,
        limit,
        remaining: Math.max(0, remaining),
        resetAt: reset,
      };
    });
  }

  function count(policy: Policy, { allowed }: Verdict): void {
    let of = counts.get(policy);
    if (!of) counts.set(policy, of = { allowed: 0, refused: 0 });
    of[allowed ? "allowed" : "refused"]++;
  }

  return {
    takeHere(policy, who, at) {
      if (upstash !== null) return null;
      const verdict = windowOf(policy)
        .take(who, 1, limitOf(policy), at.getTime());
      // A refusal takes nothing.
      if (!verdict.allowed) return null;
      count(policy, verdict);
      return verdict;
    },
    async take(policy, who, amount = 1) {
      const limit = limitOf(policy);
      const shared = upstash && await takeThere(policy, who, amount);
      const mayStandIn = upstash === null ||
        POLICIES[policy].without === "open";
      const verdict = shared ??
        (mayStandIn
          ? windowOf(policy).take(who, amount, limit, now().getTime())
          : refusalAt(limit, now().getTime()));
      count(policy, verdict);
      return verdict;
    },
    counts: () => [...counts].map(([policy, count]) => ({ policy, ...count })),
  };
}

/** How @upstash/ratelimit begins its scripts, so that Upstash locks no more than their keys. */
const KEY_LOCKING = "#!lua flags=allow-key-locking\n";

/**
 * Runs scripts as Upstash knows them; without their flag in a Redis that refuses it, as
 * one does that stands behind serverless-redis-http.
 */
function scriptsOf(redis: Redis): Pick<Redis, "eval" | "evalsha"> {
  let isPlain = false;
  /** By the SHA-1 of the script with the flag, that of the one without. */
  const plain = new Map<string, string>();
  const sha1 = (text: string) => createHash("sha1").update(text).digest("hex");

  return {
    evalsha: (sha, ...rest) => redis.evalsha(plain.get(sha) ?? sha, ...rest),
    async eval(script, ...rest) {
      if (!isPlain) {
        try {
          return await redis.eval(script, ...rest);
        } catch (error) {
          if (!`${error}`.includes("Unexpected flag in script")) throw error;
          isPlain = true;
        }
      }
      const without = script.replace(KEY_LOCKING, "");
      plain.set(sha1(script), sha1(without));
      return await redis.eval(without, ...rest);
    },
  };
}

function refusalAt(limit: number, now: number): Verdict {
  const resetAt = (Math.floor(now / WINDOW_MS) + 1) * WINDOW_MS;
  return { allowed: false, limit, remaining: 0, resetAt };
}

/** Those who are counted at once in a minute by one policy, some 100 bytes each; the first make room. */
const COUNTED_MAX = 100_000;

/**
 * @upstash/ratelimit's sliding window: of the minute before counts the share that a
 * minute back from now still covers.
 */
function createWindow() {
  let minute = -1;
  let present = new Map<string, number>();
  let past = new Map<string, number>();

  function moveTo(next: number): void {
    if (next === minute) return;
    past = next === minute + 1 ? present : new Map();
    present = new Map();
    minute = next;
  }
  return {
    take(who: string, amount: number, limit: number, now: number): Verdict {
      moveTo(Math.floor(now / WINDOW_MS));
      const share = 1 - (now % WINDOW_MS) / WINDOW_MS;
      const before = Math.floor(share * (past.get(who) ?? 0));
      const used = present.get(who) ?? 0;
      if (before + used >= limit) return refusalAt(limit, now);
      present.set(who, used + amount);
      if (present.size > COUNTED_MAX) {
        present.delete(present.keys().next().value!);
      }
      const remaining = limit - before - used - amount;
      return {
        allowed: remaining >= 0,
        limit,
        remaining: Math.max(0, remaining),
        resetAt: (minute + 1) * WINDOW_MS,
      };
    },
  };
}

/** What middleware here needs. */
export interface LimitDeps {
  limiter: Limiter;
  now(): Date;
  /** How many proxies of ours stand before us. */
  trustedProxies: number;
}

/**
 * Counts a request, tells how much is left, and refuses what is too much.
 *
 * @param deps Of the program.
 * @param c The request; gets `RateLimit` and `RateLimit-Policy`.
 * @param policy Which limit.
 * @param who Whose.
 * @throws {AppError} `rate_limited`, with `Retry-After`.
 */
export async function spend(
  { limiter, now }: Pick<LimitDeps, "limiter" | "now">,
  c: Context,
  policy: Policy,
  who: string,
): Promise<void> {
  const verdict = await limiter.take(policy, who);
  c.header("ratelimit-policy", `"${policy}";q=${verdict.limit};w=60`);
  c.header("ratelimit", limitHeader(policy, verdict, now()));
  if (!verdict.allowed) throw refusalOf(verdict, now());
}

/**
 * Tells how much is left, by draft-ietf-httpapi-ratelimit-headers-10.
 *
 * @param policy Which limit.
 * @param verdict What was taken of it.
 * @param now The clock.
 * @returns The value of `RateLimit`.
 */
export function limitHeader(
  policy: Policy,
  verdict: Verdict,
  now: Date,
): string {
  return `"${policy}";r=${verdict.remaining};t=${secondsLeft(verdict, now)}`;
}

/**
 * Counts a request whose answer is for many, and so tells nobody how much is left.
 *
 * @param deps Of the program.
 * @param policy Which limit.
 * @param who Whose.
 * @throws {AppError} `rate_limited`, with `Retry-After`.
 */
export async function takeOrRefuse(
  { limiter, now }: Pick<LimitDeps, "limiter" | "now">,
  policy: Policy,
  who: string,
): Promise<void> {
  const verdict = await limiter.take(policy, who);
  if (!verdict.allowed) throw refusalOf(verdict, now());
}

/**
 * Takes events in within the limit of their account. The request that crosses it is
 * taken as a whole; the next ones wait.
 *
 * @param deps Of the program.
 * @param accountId Whose events they are.
 * @param take Takes them in.
 * @param countOf How many they turned out to be, whatever became of them.
 * @throws {AppError} `rate_limited`.
 */
export async function spendEvents<T>(
  { limiter, now }: Pick<LimitDeps, "limiter" | "now">,
  accountId: number,
  take: () => Promise<T>,
  countOf: () => number,
): Promise<T> {
  const who = `account:${accountId}`;
  const verdict = await limiter.take("ingest", who);
  if (!verdict.allowed) throw refusalOf(verdict, now(), "events");
  try {
    return await take();
  } finally {
    if (countOf() > 1) await limiter.take("ingest", who, countOf() - 1);
  }
}

function secondsLeft({ resetAt }: Verdict, now: Date): number {
  return Math.max(1, Math.ceil((resetAt - now.getTime()) / 1_000));
}

/**
 * What is told to whom asks too much.
 *
 * @param verdict That does not allow it.
 * @param now The clock.
 * @param what They ask for.
 */
export function refusalOf(
  verdict: Verdict,
  now: Date,
  what = "requests",
): AppError {
  return new AppError("rate_limited", {
    detail: `At most ${verdict.limit} ${what} a minute`,
    // A second more: at the turn of the minute the whole of the one before still counts.
    retryAfterSeconds: secondsLeft(verdict, now) + 1,
  });
}

/**
 * Counts what a viewer asks for.
 *
 * @param deps Of the program.
 * @param c The request.
 * @param viewer Who asks.
 * @param scope What for.
 */
export async function spendByScope(
  deps: LimitDeps,
  c: Context,
  viewer: Grant,
  scope: Scope,
): Promise<void> {
  const policy = POLICY_OF_SCOPE[scope];
  if (policy !== null) await spend(deps, c, policy, nameOf(viewer, c));
}

/**
 * Who is counted together: a user with all that is theirs; what names no user, by its key.
 *
 * @param viewer Who asks.
 * @param c How.
 */
export function nameOf(viewer: Grant, c: Context): string {
  const key = /^Bearer weir_(\w{16})_/i.exec(
    c.req.header("authorization") ?? "",
  )?.[1];
  const who = viewer.user_id === null
    ? `key:${key ?? ""}`
    : `user:${viewer.user_id}`;
  return `${viewer.account_uuid}:${who}`;
}

/**
 * Counts by where a request comes from.
 *
 * @param deps Of the program.
 * @param policy Which limit.
 */
export function limitedByAddress(
  deps: LimitDeps,
  policy: Policy,
): MiddlewareHandler {
  return async (c, next) => {
    await spend(deps, c, policy, addressOf(c, deps.trustedProxies));
    await next();
  };
}

/**
 * Counts requests that turn out to have no good credential, so that nobody can try
 * many; those that have one are counted by whose it is.
 *
 * @param deps Of the program.
 */
export function limitsStrangers(deps: LimitDeps): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const { error } = c;
    if (!(error instanceof AppError) || error.code !== "unauthenticated") {
      return;
    }
    const address = addressOf(c, deps.trustedProxies);
    await spend(deps, c, "stranger", address);
  };
}

/**
 * Where a request comes from. Everybody can send `X-Forwarded-For`, so only what our own
 * proxies have added is read, from the right.
 *
 * @param c The request.
 * @param trustedProxies How many of ours have added to it.
 * @returns An address; of IPv6 the network, as a household has 2^64.
 */
export function addressOf(c: Context, trustedProxies: number): string {
  const connection = (c.env as { remoteAddr?: Deno.NetAddr } | undefined)
    ?.remoteAddr?.hostname ?? "unknown";
  const forwarded = (c.req.header("x-forwarded-for") ?? "").split(",");
  const address = trustedProxies === 0
    ? connection
    : forwarded.at(-trustedProxies)?.trim() || connection;
  return networkOf(address);
}

function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  const all = [...groups, ...Array(Math.max(0, zeros)).fill("0"), ...rest];
  // ::ffff:192.0.2.1 is an IPv4 address.
  if (all.at(-1)?.includes(".")) return all.at(-1)!;
  return `${all.slice(0, 4).join(":")}::/64`;
}
