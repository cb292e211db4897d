/**
 * Events in, numbers up to date.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Event } from "./schema.ts";

/** What became of one event: a duplicate was accepted before, the others are refused. */
export type Outcome =
  | "accepted"
  | "duplicate"
  | "event_conflict"
  | "workflow_not_found";

/** Events one round of the fold takes: 20 K fold in well under a second. */
export const FOLD_EVENTS_MAX = 20_000;

/**
 * Accepts events, once each, in one transaction. When this returns they are
 * durable; {@linkcode fold} counts them.
 *
 * @param sql Client.
 * @param accountId Whose events they are.
 * @param events Valid events; their age is the caller's to judge.
 * @returns One outcome an event, in order.
 */
export async function recordEvents(
  sql: Sql,
  accountId: number,
  events: Event[],
): Promise<Outcome[]> {
  if (events.length === 0) return [];
  const rows = JSON.stringify(events.map(toRow));
  const outcomes = await sql<{ outcome: Outcome }[]>`
    select outcome from weir.record_events(${accountId}, ${rows}::text::json)`;
  return outcomes.map((row) => row.outcome);
}

/**
 * Counts accepted events: one round, one transaction.
 *
 * @param sql Client with sessions of its own (temporary tables).
 * @param eventsMax Most events to take.
 * @returns How many were folded; 0 when none wait, or other sessions are at them.
 */
export async function fold(
  sql: Sql,
  eventsMax: number = FOLD_EVENTS_MAX,
): Promise<number> {
  const [row] = await sql<[{ folded: number }]>`
    select weir.fold(${eventsMax}) as folded`;
  return row.folded;
}

/**
 * Lists the workflows whose settings changed and whose numbers do not yet follow.
 *
 * @returns Inside ids, the longest waiting first.
 */
export async function readRecomputes(sql: Sql): Promise<number[]> {
  const rows = await sql<{ workflow_id: number }[]>`
    select workflow_id from weir.workflow
    where recompute_since is not null order by recompute_since`;
  return rows.map((row) => row.workflow_id);
}

/**
 * Counts all executions of a workflow anew under its present settings: one long
 * statement. (A `begin` of the driver would end the process if Postgres went away
 * amid it: postgres.js 3.4.9 writes its rollback to the socket that is gone.)
 *
 * @param sql Client with sessions of its own (temporary tables) and no statement timeout.
 * @param workflowId Inside id.
 * @param signal Cancels it, so that nothing has changed.
 * @returns `false` when another session is at this workflow: try again.
 * @throws {Error} With the code 57014 when it was cancelled.
 */
export async function recompute(
  sql: Sql,
  workflowId: number,
  signal?: AbortSignal,
): Promise<boolean> {
  signal?.throwIfAborted();
  const query = sql<[{ done: boolean }]>`
    select weir.recompute(${workflowId}) as done`;
  function cancel() {
    query.cancel();
  }
  signal?.addEventListener("abort", cancel);
  try {
    return (await query)[0].done;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** The short keys that `weir.record_events()` reads: a batch of 1,000 is a third smaller. */
function toRow(event: Event) {
  const row: Record<string, unknown> = {
    w: event.workflow_id,
    x: event.execution_id,
    i: event.id,
    t: event.type,
    at: event.occurred_at,
    c: event.contact_id,
    v: event.workflow_version,
    q: event.sequence,
  };
  switch (event.type) {
    case "execution.enrolled":
      row.src = event.source;
      break;
    case "step.entered":
    case "step.completed":
      row.s = event.step_id;
      break;
    case "action.executed":
      row.s = event.step_id;
      row.ok = event.status === "succeeded";
      row.us = Math.round(event.duration_ms * 1_000);
      row.e = event.error;
      break;
    case "goal.achieved":
      row.s = event.goal_id;
      break;
    case "execution.exited":
      row.r = event.reason;
      break;
    case "execution.failed":
      row.e = event.error;
      break;
  }
  return row;
}
