/**
 * Tokens of an identity provider, good ones and others.
 *
 * @module
 */

import { generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import type { TokenTrust } from "../routes/_token.ts";
import { NOW } from "./harness.ts";

/** What the app of every test trusts. */
export const TRUST = {
  secret: "a secret of tests that has its thirty-two characters",
  issuer: "https://id.test/auth/v1",
  audience: "authenticated",
} satisfies TokenTrust;

const SECRET = new TextEncoder().encode(TRUST.secret);

/** Of a token: what Supabase sends, with the account where an admin puts it. */
export interface Said {
  account: string;
  role?: string;
  sub?: string;
  /** Besides, or instead. */
  claims?: Record<string, unknown>;
}

/** All claims of a token that is good for five minutes from {@linkcode NOW}. */
export function claimsOf({ account, role, sub, claims }: Said) {
  const seconds = Math.floor(NOW.getTime() / 1_000);
  return {
    iss: TRUST.issuer,
    aud: TRUST.audience,
    sub: sub ?? "ada",
    iat: seconds,
    exp: seconds + 300,
    role: "authenticated",
    app_metadata: { provider: "email", account_id: account, role },
    user_metadata: { account_id: crypto.randomUUID(), role: "admin" },
    ...claims,
  };
}

/**
 * Signs a token.
 *
 * @param said What it says.
 * @param algorithm Of the signature, by the secret.
 */
export function signToken(said: Said, algorithm = "HS256"): Promise<string> {
  return new SignJWT(claimsOf(said)).setProtectedHeader({ alg: algorithm })
    .sign(SECRET);
}

/** Tokens that open nothing, by what is wrong with them. */
export async function badTokens(said: Said): Promise<Record<string, string>> {
  const good = await signToken(said);
  const seconds = Math.floor(NOW.getTime() / 1_000);
  const saying = (claims: Record<string, unknown>) =>
    signToken({ ...said, claims });
  const { privateKey } = await generateKeyPair("ES256");
  return {
    "alg: none": new UnsecuredJWT(claimsOf(said)).encode(),
    "alg: none over a signature": [
      btoa('{"alg":"none"}').replaceAll("=", ""),
      ...good.split(".").slice(1),
    ].join("."),
    "another algorithm by the same secret": await signToken(said, "HS512"),
    "another kind of key": await new SignJWT(claimsOf(said))
      .setProtectedHeader({ alg: "ES256" }).sign(privateKey),
    "another secret": await new SignJWT(claimsOf(said))
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode("x".repeat(32))),
    "no signature": good.replace(/[^.]+$/, ""),
    "expired": await saying({ exp: seconds - 61 }),
    "no end": await saying({ exp: undefined }),
    "not yet good": await saying({ nbf: seconds + 61 }),
    "wrong issuer": await saying({ iss: "https://evil.test" }),
    "no issuer": await saying({ iss: undefined }),
    "wrong audience": await saying({ aud: "anon" }),
    "nobody": await saying({ sub: undefined }),
    "no account": await saying({ app_metadata: {} }),
    "the user's own word for the account": await saying({
      app_metadata: undefined,
      user_metadata: { account_id: said.account, role: "admin" },
    }),
    "an account that is none": await saying({
      app_metadata: { account_id: crypto.randomUUID() },
    }),
  };
}
