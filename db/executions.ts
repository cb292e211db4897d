/**
 * Executions one by one: those behind a number, and one with all that happened to it.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import {
  type ErasedContact,
  EVENTS_SHOWN_MAX,
  type Execution,
  type ExecutionDetail,
  type ExecutionList,
  type ExecutionsFilter,
  type ExecutionsQuery,
} from "./schema.ts";

/** What `weir.read_execution()` answers. */
interface DetailRow
  extends Omit<ExecutionDetail, keyof Execution | "workflow_id"> {
  execution: Execution;
}

/**
 * Lists the executions behind a number, newest enrolment first.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Filter and page.
 * @param now The clock.
 * @returns One page; `null` when the account has no such workflow.
 * @throws {SyntaxError} When the cursor is none of ours.
 */
export async function listExecutions(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: ExecutionsQuery,
  now: Date,
): Promise<ExecutionList | null> {
  const { limit, cursor, ...filter } = query;
  const after = cursor === undefined ? null : readCursor(cursor);
  const [row] = await sql<
    [{ list: { as_of: string; executions: Execution[] } | null }]
  >`
    select weir.list_executions(${accountId}, ${workflowUuid}, ${
    filterText(filter)
  }::text::jsonb,
      ${after?.enrolled_at ?? null}::text::timestamptz, ${
    after?.execution_id ?? null
  }, ${limit + 1}, ${now}) as list`;
  if (row.list === null) return null;

  const { as_of, executions } = row.list;
  const page = executions.slice(0, limit);
  const last = page.at(-1);
  return {
    workflow_id: workflowUuid,
    as_of,
    executions: page,
    next_cursor: executions.length > page.length && last
      ? writeCursor([last.enrolled_at!, last.execution_id])
      : null,
  };
}

/**
 * Reads one execution with its steps, goals and events.
 *
 * @returns `null` when the account's workflow has none of this id.
 */
export async function readExecution(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  executionId: string,
  now: Date,
): Promise<ExecutionDetail | null> {
  const [row] = await sql<[{ detail: DetailRow | null }]>`
    select weir.read_execution(${accountId}, ${workflowUuid}, ${executionId},
      ${EVENTS_SHOWN_MAX}, ${now}) as detail`;
  if (row.detail === null) return null;
  const { as_of, execution, ...rest } = row.detail;
  return { workflow_id: workflowUuid, as_of, ...execution, ...rest };
}

/**
 * Makes everything that an account keeps of a contact nobody's; no count changes.
 *
 * @param sql Client whose statements may take as long as a scan of all events.
 * @param accountId Whose.
 * @param contactId The producer's id of it.
 * @returns What had its id; zeros when the account does not know it.
 */
export async function eraseContact(
  sql: Sql,
  accountId: number,
  contactId: string,
): Promise<ErasedContact> {
  const [row] = await sql<[{ erased: ErasedContact }]>`
    select weir.erase_contact(${accountId}, ${contactId}) as erased`;
  return row.erased;
}

/**
 * A filter as `weir.execution_conditions()` reads it.
 *
 * @param filter What was asked for.
 */
export function filterText(filter: ExecutionsFilter): string {
  return JSON.stringify(filter);
}

/** Where a page ended: an instant with microseconds, and an execution. */
type Cursor = [enrolled_at: string, execution_id: string];

function writeCursor(cursor: Cursor): string {
  return new TextEncoder().encode(JSON.stringify(cursor))
    .toBase64({ alphabet: "base64url", omitPadding: true });
}

function readCursor(text: string) {
  const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  const cursor = JSON.parse(new TextDecoder().decode(bytes));
  const [enrolled_at, execution_id] = Array.isArray(cursor) ? cursor : [];
  // What Postgres would refuse is none of ours either.
  const isOurs = typeof enrolled_at === "string" &&
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/.test(enrolled_at) &&
    !Number.isNaN(Date.parse(enrolled_at)) &&
    typeof execution_id === "string" &&
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(execution_id);
  if (!isOurs) throw new SyntaxError(`Cannot read the cursor "${text}"`);
  return { enrolled_at, execution_id };
}
