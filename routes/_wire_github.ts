/**
 * GitHub's `workflow_run` and `workflow_job` as our events: a workflow of a repository
 * is a workflow, an attempt at a run an execution, a job a step and an action.
 *
 * @module
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Step } from "../db/schema.ts";

const Repository = z.object({
  id: z.int(),
  full_name: z.string().max(140),
});

/** GitHub has had null and `""` where a name was to be. */
const Name = z.string().min(1).max(1_000);

const RunPayload = z.object({
  action: z.enum(["requested", "in_progress", "completed"]),
  repository: Repository,
  workflow: z.object({ name: Name }),
  workflow_run: z.object({
    id: z.int(),
    run_attempt: z.int().default(1),
    event: z.string(),
    head_sha: z.string(),
    conclusion: z.string().nullable(),
    created_at: z.string(),
    run_started_at: z.string().optional(),
    updated_at: z.string(),
  }),
});

const JobPayload = z.object({
  action: z.enum(["in_progress", "completed"]),
  repository: Repository,
  workflow_job: z.object({
    id: z.int(),
    run_id: z.int(),
    run_attempt: z.int().default(1),
    workflow_name: Name,
    name: Name,
    head_sha: z.string(),
    conclusion: z.string().nullable(),
    started_at: z.string(),
    completed_at: z.string().nullable(),
  }),
});

/** What a delivery says. */
export interface Delivery {
  workflow_id: string;
  /** What the workflow is called, if nobody has named it. */
  name: string;
  /** A step that its definition should have. */
  step: Omit<Step, "order"> | null;
  /** Not yet judged. */
  events: Record<string, unknown>[];
}

/**
 * Whether a body comes from who knows the secret.
 *
 * @param secret The webhook's.
 * @param body As it was sent.
 * @param signature The header `X-Hub-Signature-256`.
 */
export function isSigned(
  secret: string,
  body: Uint8Array,
  signature: string | undefined,
): boolean {
  const given = /^sha256=([0-9a-f]{64})$/.exec(signature ?? "")?.[1];
  if (given === undefined) return false;
  const wanted = createHmac("sha256", secret).update(body).digest();
  return timingSafeEqual(wanted, Uint8Array.from(given.match(/../g)!, byteOf));
}

function byteOf(hex: string): number {
  return parseInt(hex, 16);
}

/**
 * Reads a delivery.
 *
 * @param event The header `X-GitHub-Event`.
 * @param payload JSON, anything.
 * @param accountUuid Whose webhook it was sent to: two accounts may watch one repository.
 * @returns `null` when it says nothing of a run or a job that we count.
 */
export function readDelivery(
  event: string | undefined,
  payload: unknown,
  accountUuid: string,
): Delivery | null {
  if (event === "workflow_run") {
    const run = RunPayload.safeParse(payload);
    return run.success ? readRun(run.data, accountUuid) : null;
  }
  if (event === "workflow_job") {
    const job = JobPayload.safeParse(payload);
    return job.success ? readJob(job.data, accountUuid) : null;
  }
  return null;
}

function readRun(
  { action, repository, workflow, workflow_run: run }: z.infer<
    typeof RunPayload
  >,
  accountUuid: string,
): Delivery {
  const { workflow_id, common, name } = attemptOf(
    accountUuid,
    repository,
    workflow.name,
    run,
  );
  const id = `run:${run.id}:${run.run_attempt}`;
  const events: Record<string, unknown>[] = [{
    ...common,
    id: `${id}:enrolled`,
    type: "execution.enrolled",
    occurred_at: run.run_started_at ?? run.created_at,
    source: sourceOf(run.event),
  }];
  if (action === "completed") {
    events.push({
      ...common,
      id: `${id}:ended`,
      occurred_at: run.updated_at,
      ...endOf(run.conclusion ?? "unknown"),
    });
  }
  return { workflow_id, name, step: null, events };
}

function readJob(
  { action, repository, workflow_job: job }: z.infer<typeof JobPayload>,
  accountUuid: string,
): Delivery | null {
  // A job that was passed over never ran.
  if (job.conclusion === "skipped") return null;
  const { workflow_id, common, name } = attemptOf(
    accountUuid,
    repository,
    job.workflow_name,
    { ...job, id: job.run_id },
  );
  const step_id = uuidOf(workflow_id, "job", job.name);
  const id = `job:${job.id}`;
  const events: Record<string, unknown>[] = [{
    ...common,
    id: `${id}:entered`,
    type: "step.entered",
    occurred_at: job.started_at,
    step_id,
  }];
  if (action === "completed" && job.completed_at !== null) {
    const { completed_at, conclusion } = job;
    const isGood = conclusion === "success" || conclusion === "neutral";
    if (isGood) {
      events.push({
        ...common,
        id: `${id}:completed`,
        type: "step.completed",
        occurred_at: completed_at,
        step_id,
      });
    }
    events.push({
      ...common,
      id: `${id}:executed`,
      type: "action.executed",
      occurred_at: completed_at,
      step_id,
      status: isGood ? "succeeded" : "failed",
      duration_ms: Math.max(
        0,
        Date.parse(completed_at) - Date.parse(job.started_at),
      ),
      ...(isGood ? {} : { error: conclusion ?? "unknown" }),
    });
  }
  const step = {
    step_id,
    name: job.name.slice(0, 200).toWellFormed(),
    type: "action" as const,
    action_type: "job",
  };
  return { workflow_id, name, step, events };
}

/** What all events of one attempt share. A contact is the commit that goes through. */
function attemptOf(
  accountUuid: string,
  repository: z.infer<typeof Repository>,
  workflowName: string,
  run: { id: number; run_attempt: number; head_sha: string },
) {
  const workflow_id = uuidOf(
    accountUuid,
    "github",
    repository.id,
    workflowName,
  );
  return {
    workflow_id,
    name: `${repository.full_name}: ${workflowName}`.slice(0, 200)
      .toWellFormed(),
    common: {
      workflow_id,
      execution_id: uuidOf(workflow_id, "run", run.id, run.run_attempt),
      contact_id: run.head_sha,
    },
  };
}

function sourceOf(event: string): string {
  if (event === "workflow_dispatch") return "manual";
  return event === "repository_dispatch" ? "api" : "trigger";
}

function endOf(conclusion: string): Record<string, unknown> {
  switch (conclusion) {
    case "success":
    case "neutral":
      return { type: "execution.completed" };
    case "failure":
    case "timed_out":
    case "startup_failure":
      return { type: "execution.failed", error: conclusion };
    default:
      return { type: "execution.exited", reason: conclusion };
  }
}

/** The same words are the same id: RFC 9562, version 8, of SHA-256. */
function uuidOf(...words: (string | number)[]): string {
  const bytes = createHash("sha256").update(JSON.stringify(words)).digest()
    .subarray(0, 16);
  bytes[6] = bytes[6]! & 0x0f | 0x80;
  bytes[8] = bytes[8]! & 0x3f | 0x80;
  return bytes.toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
