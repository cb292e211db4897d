/**
 * A past for tests of jobs: executions of the last 90 days, half of them over.
 *
 * @module
 */

import { fold } from "../../db/events.ts";
import { WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { recordExecutions, STEPS, stepUuid } from "../bench/history.ts";
import type { World } from "../harness.ts";

/** A day, ms. */
export const DAY_MS = 86_400_000;

/** A workflow with a past. */
export interface Past {
  workflow_uuid: string;
  workflow_id: number;
  /** Events in it. */
  events: number;
}

/**
 * Records and folds a past that ends now, by the database's clock.
 *
 * @param executions How many, evenly spread.
 */
export async function makePast(
  { sql, account }: Pick<World, "sql" | "account">,
  executions = 300,
): Promise<Past> {
  const workflow_uuid = crypto.randomUUID();
  const steps = Array.from({ length: STEPS }, (_, step) => ({
    step_id: stepUuid(step),
    name: `Step ${step}`,
    type: "action",
    order: step,
  }));
  await putWorkflow(
    sql,
    account.account_id,
    workflow_uuid,
    WorkflowDefinition.parse({ name: "Past", steps }),
  );
  const [{ workflow_id }] = await sql<[{ workflow_id: number }]>`
    update weir.workflow set created_at = now() - interval '3 years'
    where workflow_uuid = ${workflow_uuid} returning workflow_id`;
  const events = await recordExecutions(
    sql,
    workflow_id,
    { from: 0, until: executions, of: executions },
  );
  while (await fold(sql) > 0);
  return { workflow_uuid, workflow_id, events };
}
