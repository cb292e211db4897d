/**
 * Workflows: what is registered, and the list of an account.
 *
 * @module
 */

import postgres from "postgres";
import type { Sql } from "./client.ts";
import { rate } from "./rates.ts";
import {
  type Workflow,
  type WorkflowDefinition,
  type WorkflowList,
  WORKFLOWS_RANKED_MAX,
  type WorkflowsQuery,
  type WorkflowVersion,
} from "./schema.ts";

/** The range of the list's numbers, days up to today. */
export const HEADLINE_DAYS = 30;

interface WorkflowRow {
  workflow_uuid: string;
  name: string | null;
  status: Workflow["status"];
  owner_id: string | null;
  conversion_window: string;
  goal_ends_execution: boolean;
  versions: WorkflowVersion[];
}

/**
 * Registers a workflow or changes it. Steps or goals that differ from the newest
 * version's are a new version; a changed `goal_ends_execution` or
 * `conversion_window` has all executions recomputed by the worker.
 *
 * @param sql Client.
 * @param accountId Whose workflow it is.
 * @param workflowUuid The producer's id of it.
 * @param definition The whole definition.
 * @returns The workflow as it is now, or `null` when it is another account's.
 */
export async function putWorkflow(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  definition: WorkflowDefinition,
): Promise<Workflow | null> {
  const steps = definition.steps.toSorted((a, b) => a.order - b.order);
  const [row] = await sql<[{ found: boolean }]>`
    select weir.put_workflow(${accountId}, ${workflowUuid}, ${
    JSON.stringify({ ...definition, steps })
  }::text::jsonb, ${
    String(durationMicroseconds(definition.conversion_window))
  }) as found`;
  return row.found ? await readWorkflow(sql, accountId, workflowUuid) : null;
}

/**
 * Reads a workflow's definition and versions.
 *
 * @param sql Client.
 * @param accountId Whose it must be.
 * @param workflowUuid Which one.
 * @returns The workflow, or `null` when the account has none of this id.
 */
export async function readWorkflow(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<Workflow | null> {
  const [row] = await sql<WorkflowRow[]>`
    select * from weir.read_workflow(${accountId}, ${workflowUuid})`;
  if (row === undefined) return null;

  const { workflow_uuid, versions, ...rest } = row;
  const newest = versions[0];
  return {
    workflow_id: workflow_uuid,
    ...rest,
    version: newest?.version ?? null,
    steps: newest?.steps ?? [],
    goals: newest?.goals ?? [],
    versions,
  };
}

/** What says whose a workflow is, and how it is called. */
export interface WorkflowHead {
  /** `null` until it is registered. */
  name: string | null;
  status: Workflow["status"];
  owner_id: string | null;
}

/**
 * Reads a workflow without its versions, which may be long.
 *
 * @returns `null` when the account has none of this id.
 */
export async function readWorkflowHead(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<WorkflowHead | null> {
  const [row] = await sql<WorkflowHead[]>`
    select * from weir.workflow_head(${accountId}, ${workflowUuid})`;
  return row ?? null;
}

interface ListingRow {
  workflow_id: number;
  workflow_uuid: string;
  name: string | null;
  status: Workflow["status"];
  total_enrolled: number;
  currently_active: number;
  completed: number;
  goals_achieved: number;
  /** Of each day, oldest first. */
  daily: number[];
  sort_name: string;
  rank: number;
  as_of: string;
}

/** More workflows match than are sorted by a number. */
export class TooManyToSort extends Error {
  override readonly name = "TooManyToSort";
}

/** Which way a list goes where the query does not say. */
export function orderOf(
  { sort, order }: Pick<WorkflowsQuery, "sort" | "order">,
): "asc" | "desc" {
  return order ?? (sort === "name" ? "asc" : "desc");
}

/**
 * Lists an account's workflows, with their last 30 days (days of the account's zone,
 * cohort attributed, today included).
 *
 * @param sql Client.
 * @param accountId Whose.
 * @param query Search, filter, order, page.
 * @param now Where the 30 days end.
 * @param ownerId Only workflows of this user; default: all.
 * @returns One page.
 * @throws {SyntaxError} When the cursor is not one of such a list.
 * @throws {TooManyToSort} When more than {@linkcode WORKFLOWS_RANKED_MAX} match.
 */
export async function listWorkflows(
  sql: Sql,
  accountId: number,
  query: WorkflowsQuery,
  now: Date,
  ownerId?: string | null,
): Promise<WorkflowList> {
  const sort = `${query.sort} ${orderOf(query)}`;
  const after = query.cursor === undefined
    ? null
    : readCursor(query.cursor, sort);
  const rows = await sql<ListingRow[]>`
    select * from weir.workflow_listing(${accountId}, ${now}, ${HEADLINE_DAYS},
      ${query.search ?? null}, ${query.status ?? null}, ${ownerId ?? null},
      ${query.sort}, ${orderOf(query) === "desc"}, ${after?.rank ?? null},
      ${after?.name ?? null}, ${after?.id ?? null}, ${query.limit + 1},
      ${WORKFLOWS_RANKED_MAX})`.catch(refuseTooMany);

  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    // All of one format, so that text orders as time does.
    as_of: page.map((row) => row.as_of).sort()[0] ?? now.toISOString(),
    workflows: page.map((row) => ({
      workflow_id: row.workflow_uuid,
      name: row.name,
      status: row.status,
      total_enrolled: row.total_enrolled,
      currently_active: row.currently_active,
      completed: row.completed,
      completion_rate: rate(row.completed, row.total_enrolled),
      goals_achieved: row.goals_achieved,
      conversion_rate: rate(row.goals_achieved, row.total_enrolled),
      daily_enrollments: row.daily,
    })),
    next_cursor: rows.length > page.length && last
      ? writeCursor({
        sort,
        // JSON has no infinity, which is the rank of what has no rate.
        rank: Number.isFinite(last.rank) ? last.rank : null,
        name: last.sort_name,
        id: last.workflow_id,
      })
      : null,
  };
}

function refuseTooMany(thrown: unknown): never {
  const isTooMany = thrown instanceof postgres.PostgresError &&
    thrown.code === "54000";
  throw isTooMany ? new TooManyToSort(thrown.message) : thrown;
}

/** Where a page ended. */
interface Cursor {
  /** Of which list: what it is sorted by, and which way. */
  sort: string;
  rank: number | null;
  name: string;
  id: number;
}

function writeCursor(cursor: Cursor): string {
  return new TextEncoder().encode(JSON.stringify(cursor))
    .toBase64({ alphabet: "base64url", omitPadding: true });
}

/**
 * Reads a cursor of {@linkcode listWorkflows}.
 *
 * @param text `next_cursor` of a page.
 * @param sort Of the list that goes on.
 * @returns Where that page ended.
 * @throws {SyntaxError} When it is not one of ours, or of another order.
 */
function readCursor(text: string, sort: string): Cursor & { rank: number } {
  const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  const cursor = JSON.parse(new TextDecoder().decode(bytes));
  // What Postgres would refuse as text or as an int is none of ours either.
  const isOurs = typeof cursor?.name === "string" &&
    !cursor.name.includes("\u0000") && typeof cursor.id === "number" &&
    cursor.id === (cursor.id | 0) && cursor.sort === sort &&
    (cursor.rank === null || typeof cursor.rank === "number");
  if (!isOurs) {
    throw new SyntaxError(`Cannot read the cursor "${text}"`);
  }
  const { rank, name, id } = cursor;
  return { sort, rank: rank ?? Infinity, name, id };
}

/**
 * The length of an ISO 8601 duration of weeks, days of 24 hours, hours, minutes
 * and seconds.
 *
 * @param duration As `Duration` of db/schema.ts admits it.
 * @returns Microseconds.
 */
export function durationMicroseconds(duration: string): bigint {
  const seconds = { W: 604_800n, D: 86_400n, H: 3_600n, M: 60n, S: 1n };
  let us = 0n;
  for (
    const [, whole, fraction, unit] of duration.matchAll(
      /(\d+)(?:\.(\d+))?([WDHMS])/g,
    )
  ) {
    us += BigInt(whole!) * seconds[unit as keyof typeof seconds] * 1_000_000n;
    us += BigInt((fraction ?? "").padEnd(6, "0"));
  }
  return us;
}
