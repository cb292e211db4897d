/**
 * Who read and exported what: appended to, never changed.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { AccessLogPage, AccessLogQuery } from "./schema.ts";

/** One read or export. */
export interface Access {
  account_id: number;
  /** `null`: a machine, or nobody in particular. */
  user_id: string | null;
  /** {@linkcode Grant.credential} of what let them in. */
  credential: string;
  /** Method and pattern of the route. */
  action: string;
  workflow_id: string | null;
  /** What was asked for. */
  filter: Record<string, unknown>;
  /** How many rows went out; `null` where an answer is not made of rows. */
  rows: number | null;
  /** Which file went out. */
  file: SentFile | null;
  status: number;
  request_id: string;
}

/** A file, or a part of it. */
export interface SentFile {
  /** That were sent. */
  bytes: number;
  /** Of the whole. */
  sha256: string;
}

/** What was done by one request or many, in one way and one second. */
export interface Repeated {
  entry: Omit<Access, "request_id">;
  /** Their ids, at most {@linkcode REPEATED_MAX}; none has a space in it. */
  requests: string[];
  /** When each was, ms of one clock; none is before the one before it. */
  since: number[];
}

/** Requests of one row: as many ids of entries has each (0021). */
export const REPEATED_MAX = 2_048;

/** A row is looked for within a second of its last request, so that none of it is longer: ms. */
export const REPEATED_MS_MAX = 999;

/**
 * Adds to the access log. When this returns they are durable.
 *
 * @param sql Client.
 * @param repeated What happened. Each is one row, however many requests did it.
 * @param now Of the clock that it was timed by, ms.
 */
export async function recordAccess(
  sql: Sql,
  repeated: Repeated[],
  now: number,
): Promise<void> {
  const rows = repeated.map(({ entry, requests, since }) => {
    const last = since.at(-1)!;
    return {
      account: entry.account_id,
      user: entry.user_id,
      credential: entry.credential,
      action: entry.action,
      workflow: entry.workflow_id,
      filter: entry.filter,
      rows: entry.rows,
      ...entry.file,
      status: entry.status,
      request: requests.at(-1),
      age_ms: now - last,
      ...(requests.length > 1 && {
        earlier: requests.slice(0, -1).join(" "),
        // To the microsecond, as instants are kept.
        earlier_us: since.slice(0, -1)
          .map((at) => Math.round((last - at) * 1_000)).join(" "),
      }),
    };
  });
  await sql`select weir.record_access(${JSON.stringify(rows)}::text::json)`;
}

/**
 * Notes that keys were used just now, to the minute.
 *
 * @param sql Client.
 * @param keyIds Ids of keys; others are nothing.
 */
export async function noteKeysUsed(sql: Sql, keyIds: string[]): Promise<void> {
  await sql`select weir.note_keys_used(${keyIds})`;
}

interface AccessRow {
  access_id: number;
  /** RFC 3339 with microseconds. */
  at: string;
  user_id: string | null;
  credential: string;
  action: string;
  workflow_uuid: string | null;
  filter: Record<string, unknown>;
  rows: number | null;
  bytes: number | null;
  sha256: string | null;
  status: number;
  request_id: string;
}

/**
 * Reads an account's access log, the newest first.
 *
 * @param sql Client.
 * @param accountId Whose.
 * @param query Filters and page.
 * @returns One page.
 * @throws {SyntaxError} When the cursor is none of ours.
 */
export async function readAccessLog(
  sql: Sql,
  accountId: number,
  query: AccessLogQuery,
): Promise<AccessLogPage> {
  const before = query.cursor === undefined ? null : readCursor(query.cursor);
  const rows = await sql<AccessRow[]>`
    select * from weir.list_access_log(${accountId}, ${query.user_id ?? null},
      ${query.action ?? null}, ${query.workflow_id ?? null},
      ${query.since ?? null}::text::timestamptz, ${
    query.until ?? null
  }::text::timestamptz,
      ${before?.at ?? null}::text::timestamptz, ${before?.id ?? null}, ${
    query.limit + 1
  })`;
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    entries: page.map(({ access_id: _, workflow_uuid, ...entry }) => ({
      ...entry,
      workflow_id: workflow_uuid,
    })),
    next_cursor: rows.length > page.length && last
      ? `${last.at}_${last.access_id}`
      : null,
  };
}

function readCursor(text: string): { at: string; id: number } {
  const [, at, id] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z)_(\d{1,16})$/.exec(text) ?? [];
  if (at === undefined || Number.isNaN(Date.parse(at))) {
    throw new SyntaxError(`Cannot read the cursor "${text}"`);
  }
  return { at, id: Number(id) };
}
