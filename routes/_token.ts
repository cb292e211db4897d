/**
 * JWTs of an identity provider: Supabase's as they are, and those of any other that puts
 * the account into `app_metadata`, which users cannot write.
 *
 * @module
 */

import {
  createRemoteJWKSet,
  errors,
  type JWTPayload,
  jwtVerify,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
} from "jose";
import { z } from "zod";
import { ROLES, Uuid } from "../db/schema.ts";
import { AppError } from "./_errors.ts";

/** Clocks of two hosts may differ, seconds. */
const SKEW_SECONDS = 60;

/** Keys of the provider are believed this long … */
const KEYS_MS_MAX = 10 * 60_000;

/** … and an unknown key id asks for them again at most this often, ms. */
const KEYS_PAUSE_MS = 30_000;

/** Longest wait for the provider, ms. */
const KEYS_DEADLINE_MS = 3_000;

/** The longest that a provider sends; more is not worth decoding, characters. */
const TOKEN_LENGTH_MAX = 8_192;

/** What is trusted: one shared secret, or the keys that a provider publishes. */
export type TokenTrust =
  & { issuer?: string; audience: string }
  & ({ secret: string } | { jwksUrl: string });

/** What a good token says. */
export interface TokenClaims {
  user_id: string;
  account_uuid: string;
  role: (typeof ROLES)[number];
  /** When it ends, ms since 1970. */
  expires_ms: number;
}

/** Reads a token. `null`: it is none of ours, or not good, or not good any more. */
export type ReadToken = (token: string) => Promise<TokenClaims | null>;

/** What we read of a token. `user_metadata` is the user's own word, and nothing to us. */
const Claims = z.object({
  sub: z.string().min(1).max(128),
  exp: z.number(),
  app_metadata: z.object({
    account_id: Uuid,
    // Whoever is not said to be an admin is none.
    role: z.enum(ROLES).catch("member"),
  }),
});

/**
 * Makes a reader of tokens.
 *
 * @param trust Whose signature counts. The algorithm is ours to say, never the token's.
 * @param now The clock.
 */
export function createTokenReader(
  trust: TokenTrust,
  now: () => Date,
): ReadToken {
  const verify = "secret" in trust
    ? verifier(new TextEncoder().encode(trust.secret), ["HS256"])
    : verifier(
      createRemoteJWKSet(new URL(trust.jwksUrl), {
        cacheMaxAge: KEYS_MS_MAX,
        cooldownDuration: KEYS_PAUSE_MS,
        timeoutDuration: KEYS_DEADLINE_MS,
      }),
      ["ES256", "RS256", "EdDSA"],
    );

  return async (token) => {
    if (token.length > TOKEN_LENGTH_MAX) return null;
    try {
      const payload = await verify(token, {
        issuer: trust.issuer,
        audience: trust.audience,
        clockTolerance: SKEW_SECONDS,
        requiredClaims: ["exp", "sub"],
        currentDate: now(),
      });
      const claims = Claims.safeParse(payload);
      if (!claims.success) return null;
      const { sub, exp, app_metadata } = claims.data;
      return {
        user_id: sub,
        account_uuid: app_metadata.account_id,
        role: app_metadata.role,
        expires_ms: (exp + SKEW_SECONDS) * 1_000,
      };
    } catch (error) {
      if (isProviderDown(error)) {
        throw new AppError("identity_unavailable", { cause: error });
      }
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  };
}

type Verify = (
  token: string,
  options: JWTVerifyOptions,
) => Promise<JWTPayload>;

function verifier(
  key: Uint8Array | JWTVerifyGetKey,
  algorithms: string[],
): Verify {
  return async (token, options) =>
    // Two overloads, of which each takes one of the two.
    (await (key instanceof Uint8Array
      ? jwtVerify(token, key, { ...options, algorithms })
      : jwtVerify(token, key, { ...options, algorithms }))).payload;
}

/** Its keys could not be had: a token may be good, and nobody knows. */
function isProviderDown(error: unknown): boolean {
  return error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    error instanceof TypeError ||
    // What jose says of an answer that is not 200, or no JSON.
    (error instanceof errors.JOSEError && error.code === "ERR_JOSE_GENERIC");
}
