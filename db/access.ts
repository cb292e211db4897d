/**
 * Accounts, and the secrets that open them. Of every secret only the SHA-256 is
 * kept; secrets are 256 random bits, so a plain hash is as good as a slow one.
 *
 * @module
 */

import { createHash, randomBytes } from "node:crypto";
import type { Sql } from "./client.ts";
import { type Role, type Scope, Uuid } from "./schema.ts";

/** A sign-in link is used at once or asked for anew. */
const SIGN_IN_LINK_MINUTES = 60;

/** A browser stays signed in for two weeks. */
export const SESSION_DAYS = 14;

/** An account as the rest of the program knows it. */
export interface Account {
  /** Inside. */
  account_id: number;
  /** Outside. */
  account_uuid: string;
  name: string;
  /** IANA. */
  time_zone: string;
}

/** Whom a secret lets act, for which account, and what for. */
export interface Grant {
  /** Names what let them in, e.g. `key:0123456789abcdef`, and opens nothing. */
  credential: string;
  account_id: number;
  account_uuid: string;
  account_name: string;
  time_zone: string;
  /** `null`: a machine, or a person without an id of their own. */
  user_id: string | null;
  role: Role;
  scopes: Scope[];
  /** Of what the user has chosen, the newer the greater; `null`: nothing yet. */
  preferences_version: number | null;
  /** When it ends by itself, ms since 1970; sessions and keys are asked about. */
  expires_ms?: number;
}

/** What a person may do who has signed in, by role; a key says so for itself. */
export const ROLE_SCOPES: Record<Role, Scope[]> = {
  admin: ["admin"],
  member: ["analytics:read", "exports:write"],
};

/**
 * Makes an account.
 *
 * @param sql Client.
 * @param name Shown to its users.
 * @param timeZone IANA zone its days are days of.
 */
export async function createAccount(
  sql: Sql,
  name: string,
  timeZone: string,
): Promise<Account> {
  const [account] = await sql<[Account]>`
    insert into weir.account (name, time_zone) values (${name}, ${timeZone})
    returning account_id, account_uuid, name, time_zone`;
  return account;
}

/**
 * Finds an account by the id the outside knows.
 *
 * @param sql Client.
 * @param accountUuid The id.
 * @param userId Whose version is asked for; default: of who has no id of their own.
 * @returns `null` when there is none.
 */
export async function findAccount(
  sql: Sql,
  accountUuid: string,
  userId: string | null = null,
): Promise<Account & Pick<Grant, "preferences_version"> | null> {
  if (!Uuid.safeParse(accountUuid).success) return null;
  const [account] = await sql<
    (Account & Pick<Grant, "preferences_version">)[]
  >`
    select a.*, weir.preferences_version(a.account_id, ${userId ?? ""})
    from weir.find_account(${accountUuid}) a`;
  return account ?? null;
}

/**
 * Makes an API key.
 *
 * @param sql Client.
 * @param accountId Whose data it opens.
 * @param grant What for, and as whom; default: a machine with the rights of an admin.
 * @returns The key, never to be seen again: `weir_<id>_<secret>`.
 */
export async function createKey(
  sql: Sql,
  accountId: number,
  grant: { scopes: Scope[]; userId?: string; role?: Role },
): Promise<string> {
  const id = randomBytes(8).toString("hex");
  const secret = newSecret();
  await sql`
    insert into weir.api_key (key_id, account_id, secret, scopes, user_id, role)
    values (${id}, ${accountId}, ${hash(secret)}, ${grant.scopes}, ${
    grant.userId ?? null
  }, ${grant.role ?? "admin"})`;
  return `weir_${id}_${secret}`;
}

/** A key, as it may be told of. */
export interface KeyListing {
  key_id: string;
  scopes: Scope[];
  user_id: string | null;
  role: Role;
  created_at: string;
  /** To the minute; `null`: never. */
  last_used_at: string | null;
  revoked_at: string | null;
}

/**
 * Lists the keys of an account, the oldest first; of each what is not secret.
 *
 * @param sql Client of the owner.
 * @param accountId Whose.
 */
export async function listKeys(
  sql: Sql,
  accountId: number,
): Promise<KeyListing[]> {
  return await sql<KeyListing[]>`
    select key_id, scopes, user_id, role, weir.iso_instant(created_at) as created_at,
      weir.iso_instant(last_used_at) as last_used_at, weir.iso_instant(revoked_at) as revoked_at
    from weir.api_key where account_id = ${accountId} order by api_key.created_at, key_id`;
}

/**
 * Revokes a key: within 4 s it opens nothing, at no server. Twice is harmless.
 *
 * @param sql Client of the owner.
 * @param accountId Whose it must be.
 * @param keyId The part of it between its underscores.
 * @returns Whether the account has such a key.
 */
export async function revokeKey(
  sql: Sql,
  accountId: number,
  keyId: string,
): Promise<boolean> {
  const rows = await sql`
    update weir.api_key set revoked_at = coalesce(revoked_at, now())
    where account_id = ${accountId} and key_id = ${keyId} returning 1`;
  return rows.length > 0;
}

/**
 * Finds what a key grants.
 *
 * @returns `null` when there is no such key, or it was revoked.
 */
export async function findKey(sql: Sql, key: string): Promise<Grant | null> {
  const [, id, secret] = /^weir_([0-9a-f]{16})_([\w-]{43})$/.exec(key) ?? [];
  if (id === undefined || secret === undefined) return null;
  const [grant] = await sql<Omit<Grant, "credential">[]>`
    select k.*, weir.preferences_version(k.account_id, coalesce(k.user_id, ''))
    from weir.find_key(${id}, ${hash(secret)}) k`;
  return grant ? { ...grant, credential: `key:${id}` } : null;
}

/**
 * Makes a link that signs a browser in, once.
 *
 * @returns Its token.
 */
export async function createSignInLink(
  sql: Sql,
  accountId: number,
  grant: { userId?: string; role?: Role },
): Promise<string> {
  const token = newSecret();
  await sql`
    insert into weir.sign_in_link (secret, account_id, user_id, role, expires_at)
    values (${hash(token)}, ${accountId}, ${grant.userId ?? null}, ${
    grant.role ?? "admin"
  }, now() + ${SIGN_IN_LINK_MINUTES} * interval '1 minute')`;
  return token;
}

/** Whom a sign-in link would sign in. */
export type SignInLink = Pick<Grant, "account_name" | "user_id" | "role">;

/**
 * Looks at a sign-in link without using it up.
 *
 * @param sql Client.
 * @param token The link's.
 * @returns `null` when it was used, is too old, or is none.
 */
export async function findSignInLink(
  sql: Sql,
  token: string,
): Promise<SignInLink | null> {
  const [link] = await sql<SignInLink[]>`
    select * from weir.find_sign_in_link(${hash(token)})`;
  return link ?? null;
}

/**
 * Uses a sign-in link up and begins a session.
 *
 * @param sql Client.
 * @param token The link's.
 * @returns The session's token, or `null` when the link was used or is too old.
 */
export async function beginSession(
  sql: Sql,
  token: string,
): Promise<string | null> {
  const session = newSecret();
  const [row] = await sql<[{ begun: boolean }]>`
    select weir.begin_session(${hash(token)}, ${
    hash(session)
  }, ${SESSION_DAYS}) as begun`;
  return row.begun ? session : null;
}

/**
 * Finds whose session a browser is in.
 *
 * @returns `null` when it has ended.
 */
export async function findSession(
  sql: Sql,
  token: string,
): Promise<Grant | null> {
  const secret = hash(token);
  const [grant] = await sql<Omit<Grant, "scopes" | "credential">[]>`
    select s.*, weir.preferences_version(s.account_id, coalesce(s.user_id, ''))
    from weir.find_session(${secret}) s`;
  if (grant === undefined) return null;
  return {
    ...grant,
    scopes: ROLE_SCOPES[grant.role],
    credential: `session:${secret.toHex().slice(0, 16)}`,
  };
}

/** Ends a session. Ending one twice is harmless. */
export async function endSession(sql: Sql, token: string): Promise<void> {
  await sql`select weir.end_session(${hash(token)})`;
}

function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

function hash(secret: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}
