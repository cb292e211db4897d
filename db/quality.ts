/**
 * The quality of what producers send.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Quality, QualityKind } from "./schema.ts";

/** An event that was refused for its form or its age. */
export interface Refusal {
  workflow_id: string;
  /** `null` where it names none. */
  execution_id: string | null;
  kind: Extract<QualityKind, "future" | "too_old" | "invalid">;
}

/**
 * Counts refused events at their workflows, where the account has them.
 *
 * @param sql Client.
 * @param accountId Who sent them.
 * @param refusals At least one.
 */
export async function noteRefusals(
  sql: Sql,
  accountId: number,
  refusals: Refusal[],
): Promise<void> {
  const rows = JSON.stringify(refusals.map((refusal) => ({
    w: refusal.workflow_id,
    x: refusal.execution_id,
    k: refusal.kind,
  })));
  await sql`select weir.note_refusals(${accountId}, ${rows}::text::json)`;
}

/**
 * Reads what is known of the quality of a workflow's events.
 *
 * @param sql Client.
 * @param accountId Whose it must be.
 * @param workflowUuid Which one.
 * @param days How far back.
 * @returns `null` when the account has no such workflow.
 */
export async function readQuality(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  days: number,
): Promise<Quality | null> {
  const [row] = await sql<[{ quality: Quality | null }]>`
    select weir.read_quality(${accountId}, ${workflowUuid}, ${days}) as quality`;
  return row.quality;
}
