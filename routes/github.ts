/**
 * `POST /webhooks/github/{id}`: GitHub tells of runs and jobs. No key: what is sent is
 * signed with the webhook's secret, and whoever cannot sign is refused.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import { STEPS_MAX, type Workflow, WorkflowDefinition } from "../db/schema.ts";
import { findWebhook, type Webhook } from "../db/webhooks.ts";
import { putWorkflow, readWorkflow } from "../db/workflows.ts";
import { mediaTypeOf, readBytes } from "./_body.ts";
import { AppError } from "./_errors.ts";
import { numbered, takeEvents } from "./_ingest.ts";
import { limitsStrangers } from "./_limit.ts";
import { type Delivery, isSigned, readDelivery } from "./_wire_github.ts";
import type { Deps } from "./app.ts";

/** A webhook's name in its address. */
export const WebhookId = z.string().regex(/^[0-9a-f]{32}$/);

/** @returns The routes below `/webhooks/github`. */
export function github(deps: Deps): Hono {
  return new Hono().post("/:id", limitsStrangers(deps), async (c) => {
    const id = WebhookId.safeParse(c.req.param("id"));
    const webhook = id.success ? await findWebhook(deps.sql, id.data) : null;
    const body = await readBytes(c.req.raw);
    const signature = c.req.header("x-hub-signature-256");
    if (webhook === null || !isSigned(webhook.secret, body, signature)) {
      throw new AppError("unauthenticated");
    }
    const delivery = readDelivery(
      c.req.header("x-github-event"),
      payloadOf(mediaTypeOf(c.req.raw), body),
      webhook.account_uuid,
    );
    const { account_id } = webhook;
    const events = delivery?.events ?? [];
    const receipt = await takeEvents(deps, account_id, [numbered(events)]);
    if (delivery) await register(deps, webhook, delivery);
    return c.json({ ...receipt, ignored: delivery ? 0 : 1 }, 202);
  });
}

/** GitHub sends JSON, or a form with the JSON in it, as it was set up. */
function payloadOf(type: string, body: Uint8Array): unknown {
  const text = new TextDecoder().decode(body);
  try {
    return JSON.parse(
      type === "application/x-www-form-urlencoded"
        ? new URLSearchParams(text).get("payload") ?? ""
        : text,
    );
  } catch (cause) {
    throw new AppError("invalid_json", { cause });
  }
}

/**
 * Names the workflow and the job, where nobody has. Of two jobs that are met at once one
 * may be forgotten, until its next event.
 */
async function register(
  { sql }: Deps,
  { account_id }: Webhook,
  { workflow_id, name, step }: Delivery,
): Promise<void> {
  const known = await readWorkflow(sql, account_id, workflow_id);
  const steps = known?.steps ?? [];
  const isNew = step !== null && steps.length < STEPS_MAX &&
    !steps.some(({ step_id }) => step_id === step.step_id);
  if (known?.name && !isNew) return;
  const order = Math.max(-1, ...steps.map((one) => one.order)) + 1;
  await putWorkflow(sql, account_id, workflow_id, {
    ...settingsOf(known),
    name: known?.name ?? name,
    steps: isNew ? [...steps, { ...step, order }] : steps,
  });
}

function settingsOf(known: Workflow | null): WorkflowDefinition {
  if (known === null) return WorkflowDefinition.parse({ name: "-" });
  const { status, goals, conversion_window, goal_ends_execution, owner_id } =
    known;
  return WorkflowDefinition.parse({
    name: "-",
    status,
    goals,
    conversion_window,
    goal_ends_execution,
    owner_id,
  });
}
