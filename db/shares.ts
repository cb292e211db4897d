/**
 * Links by which anybody sees a workflow's numbers without being a user.
 *
 * A link's token is 256 random bits and its hash is looked up: what is revoked must be
 * looked up anyway, so a signature would spare nothing, and there is no key to steal
 * that would open all links at once.
 *
 * @module
 */

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Sql } from "./client.ts";
import {
  type ShareDefinition,
  type ShareLink,
  SHARES_LISTED_MAX,
  SHARES_OPEN_MAX,
} from "./schema.ts";

/**
 * How often a password is hashed: what OWASP asks for with SHA-256 (2023), a fifth of a
 * second. Each link keeps its own number, so it may grow.
 */
const PASSWORD_ROUNDS = 600_000;

/** A password as it is kept. */
export interface PasswordHash {
  /** PBKDF2 with SHA-256, so many iterations. */
  rounds: number;
  /** Base64. */
  salt: string;
  /** Base64, 256 bits. */
  hash: string;
}

/** What a token opens. */
export interface OpenShare {
  share: ShareLink;
  /** `null` where none is asked for. */
  password: PasswordHash | null;
  account_id: number;
  account_uuid: string;
  account_name: string;
  /** The account's, IANA. */
  time_zone: string;
}

/** What a link is made of. */
export interface ShareMaking extends Omit<ShareDefinition, "tz"> {
  tz: string;
}

/**
 * Opens a link.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param userId Who shares; `null`: a machine.
 * @param definition What it shows and to whom.
 * @param now The clock.
 * @returns The link and its token, never to be seen again; `full` where too many are
 * open; `null` when the account has no such workflow.
 */
export async function createShare(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  userId: string | null,
  definition: ShareMaking,
  now: Date,
): Promise<{ share: ShareLink; token: string } | "full" | null> {
  const { range, tz, compare, password, ...rest } = definition;
  const token = randomBytes(32).toString("base64url");
  const made = {
    ...rest,
    view: { range, tz, compare },
    password: password && await hashPassword(password),
  };
  const [row] = await sql<[{ made: ShareLink | { refused: "full" } | null }]>`
    select weir.create_share(${accountId}, ${workflowUuid}, ${userId},
      ${hashOf(token)}, ${JSON.stringify(made)}::text::jsonb, ${now},
      ${SHARES_OPEN_MAX}) as made`;
  if (row.made === null) return null;
  return "refused" in row.made ? "full" : { share: row.made, token };
}

/** Lists the links of a workflow that are not revoked, the newest first. */
export async function listShares(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<ShareLink[]> {
  const [row] = await sql<[{ shares: ShareLink[] }]>`
    select weir.list_shares(${accountId}, ${workflowUuid}, ${SHARES_LISTED_MAX}) as shares`;
  return row.shares;
}

/**
 * Ends a link; twice is harmless.
 *
 * @returns What it was; `null` when the account's workflow has none of this id.
 */
export async function revokeShare(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  shareId: string,
): Promise<ShareLink | null> {
  const [row] = await sql<[{ ended: ShareLink | null }]>`
    select weir.revoke_share(${accountId}, ${workflowUuid}, ${shareId}) as ended`;
  return row.ended;
}

/**
 * Finds what a token opens; whether it has expired is in the answer.
 *
 * @param sql Client.
 * @param token As the address has it.
 * @returns `null` when it opens nothing, or nothing any more.
 */
export async function findShare(
  sql: Sql,
  token: string,
): Promise<OpenShare | null> {
  const [row] = await sql<[{ found: OpenShare | null }]>`
    select weir.find_share(${hashOf(token)}) as found`;
  return row.found;
}

/**
 * Whether a password is a link's. Takes as long whatever the answer is.
 *
 * @param given As it was typed.
 * @param kept Of the link.
 */
export async function isPassword(
  given: string,
  { rounds, salt, hash }: PasswordHash,
): Promise<boolean> {
  const found = await derive(given, Uint8Array.fromBase64(salt), rounds);
  return timingSafeEqual(found, Uint8Array.fromBase64(hash));
}

async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const hash = await derive(password, salt, PASSWORD_ROUNDS);
  return {
    rounds: PASSWORD_ROUNDS,
    salt: salt.toBase64(),
    hash: hash.toBase64(),
  };
}

/** The same letters are the same password, however a keyboard composes them. */
async function derive(
  password: string,
  salt: Uint8Array<ArrayBuffer>,
  iterations: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(password.normalize("NFC"));
  const key = await crypto.subtle.importKey("raw", bytes, "PBKDF2", false, [
    "deriveBits",
  ]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
}

function hashOf(token: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(token).digest());
}
