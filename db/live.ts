/**
 * What those who watch ask the database.
 *
 * @module
 */

import { type ActionsCounts, actionsOf, callActions } from "./actions.ts";
import {
  type AnalyticsCounts,
  analyticsOf,
  callAnalytics,
} from "./analytics.ts";
import type { Sql } from "./client.ts";
import { callFunnel, type FunnelCounts, funnelOf } from "./funnel.ts";
import type { AnalyticsQuery, LiveNumbers } from "./schema.ts";

/** How far a workflow is. */
export interface Revision {
  workflow_uuid: string;
  /** How many times its numbers or its definition have changed. */
  revision: number;
  /** The instant up to which its numbers are complete. */
  as_of: string;
}

/**
 * Reads how far workflows are, whoever they belong to.
 *
 * @param sql Client.
 * @param workflowUuids Which ones, in lower case; any number.
 * @param now The clock.
 * @returns One row for each that there is.
 */
export async function readRevisions(
  sql: Sql,
  workflowUuids: string[],
  now: Date,
): Promise<Revision[]> {
  return await sql<Revision[]>`
    select workflow_uuid, revision, as_of
    from weir.read_revisions(${workflowUuids}::text[]::uuid[], ${now})`;
}

/**
 * Reads how far one workflow is.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @returns Its revision; `null` when the account has no such workflow.
 */
export async function readRevision(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
): Promise<number | null> {
  const [row] = await sql<[{ revision: number | null }]>`
    select weir.read_revision(${accountId}, ${workflowUuid}) as revision`;
  return row.revision;
}

/**
 * Reads the summary and trends, the funnel and the actions in one statement, so that
 * they and the revision are of one snapshot.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Of all three reads.
 * @param now The clock.
 * @returns The numbers, and as `nextChange` what {@linkcode readNextChange} answers.
 * `null` when the account has no such workflow.
 * @throws {DetailExpired} When hours or contacts are asked for that are not kept.
 */
export async function readLive(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<
  LiveNumbers & { revision: number; nextChange: Date | null } | null
> {
  const asked = [sql, accountId, workflowUuid, query, now] as const;
  const [row] = await sql<[{
    revision: number | null;
    next_change: Date | null;
    analytics: AnalyticsCounts;
    funnel: FunnelCounts;
    actions: ActionsCounts;
  }]>`
    select weir.read_revision(${accountId}, ${workflowUuid}) as revision,
      weir.next_change(${accountId}, ${workflowUuid}, ${now}) as next_change,
      ${callAnalytics(...asked)} as analytics, ${
    callFunnel(...asked)
  } as funnel,
      ${callActions(...asked)} as actions`;
  if (row.revision === null) return null;
  return {
    revision: row.revision,
    nextChange: row.next_change,
    analytics: analyticsOf(row.analytics, workflowUuid, query, now),
    funnel: funnelOf(row.funnel, workflowUuid, query),
    actions: actionsOf(row.actions, workflowUuid, query),
  };
}

/**
 * Reads when next a workflow's numbers change though no event comes: events may be dated
 * ahead, and what they tell of counts as running, or no longer, when it is time.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param now The clock.
 * @returns `null` when nothing is dated ahead.
 */
export async function readNextChange(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  now: Date,
): Promise<Date | null> {
  const [row] = await sql<[{ at: Date | null }]>`
    select weir.next_change(${accountId}, ${workflowUuid}, ${now}) as at`;
  return row.at;
}
