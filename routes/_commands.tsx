/**
 * The commands that bring the first data in, ready to paste.
 *
 * @module
 */

/** Whose data, and where it goes. */
export interface CurlTarget {
  publicUrl: string;
  workflowId: string;
  /** Dates the event, so that it is neither too old nor in the future. */
  now: Date;
}

/** Any UUID does: the execution is the reader's own first one. */
const FIRST_EXECUTION = "00000000-0000-4000-8000-000000000001";

/**
 * The command that makes a key for an account.
 *
 * @param accountUuid The account.
 * @param scopes What the key may do.
 * @returns A shell command that keeps the key in `WEIR_KEY`.
 */
export function keyCommand(accountUuid: string, scopes: string[]): string {
  return `WEIR_KEY=$(npx -y deno@2.9.6 task key create \\
  --account ${accountUuid} --scopes ${scopes.join(",")} | tail -n 1)`;
}

/**
 * The command that sends a workflow's first event.
 *
 * @param target Where to.
 * @returns A shell command.
 */
export function eventCommand(target: CurlTarget): string {
  return curl(`POST ${target.publicUrl}/api/v1/events`, {
    id: "first-event",
    type: "execution.enrolled",
    workflow_id: target.workflowId,
    execution_id: FIRST_EXECUTION,
    contact_id: "first-contact",
    occurred_at: target.now.toISOString(),
    source: "api",
  });
}

/**
 * The command that registers a workflow of one step.
 *
 * @param target Where to.
 * @returns A shell command.
 */
export function workflowCommand(target: CurlTarget): string {
  return curl(`PUT ${target.publicUrl}/api/v1/workflows/${target.workflowId}`, {
    name: "My first workflow",
    steps: [{
      step_id: "00000000-0000-4000-8000-000000000002",
      name: "Say hello",
      type: "action",
      order: 1,
    }],
  });
}

/** The body holds no quote of the shell's, so single quotes keep it whole. */
function curl(request: string, body: unknown): string {
  return `curl -X ${request} \\
  -H "Authorization: Bearer $WEIR_KEY" \\
  -H "Content-Type: application/json" \\
  -d '${JSON.stringify(body)}'`;
}
