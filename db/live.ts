/**
 * What those who watch ask the database.
 *
 * @module
 */

import type { Sql } from "./client.ts";

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
