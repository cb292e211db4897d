/**
 * What happened before the browser comes: three workflows of one account, told by their
 * events, the same at every run but for the clock.
 *
 * @module
 */

import { strictEqual } from "node:assert/strict";
import { until, type World } from "../harness.ts";

export const CART = "11111111-1111-4111-8111-111111111111";
export const SYNC = "11111111-1111-4111-8111-222222222222";
export const QUIET = "11111111-1111-4111-8111-333333333333";

export const CART_NAME = "Abandoned cart";
export const SYNC_NAME = "Nightly sync";
export const QUIET_NAME = "Win them back";

const GOAL = "44444444-4444-4444-8444-444444444444";
const HOUR_MS = 3_600_000;

/** An execution that waits in the reminder for ever. */
export const STUCK = executionId(20);

/** One begins every four hours, so that 40 days have some. */
export const CART_EXECUTIONS = 240;
const CART_PACE_MS = 4 * HOUR_MS;

/** Actions of the workflow whose table has a second page. */
export const SYNC_ACTIONS = 18;

const CART_STEPS = [
  ["Cart left behind", "trigger"],
  ["Wait a day", "wait"],
  ["Reminder by email", "action"],
  ["Coupon by email", "action"],
  ["Order placed", "goal"],
].map(([name, type], order) => ({
  step_id: stepId(order),
  name,
  type,
  order,
  ...(type === "action" && { action_type: "send_email" }),
}));

/** The step at which the story has most leave, and how many wait in it for ever. */
export const BOTTLENECK = "Reminder by email";

/**
 * Registers the workflows, sends their events and waits until they count.
 *
 * @param url Of the server.
 * @param world Whose key is used.
 */
export async function tellStory(url: string, world: World): Promise<void> {
  const now = Date.now();
  await put(url, world, CART, {
    name: CART_NAME,
    steps: CART_STEPS.slice(0, 4),
    goals: [],
  });
  await put(url, world, CART, {
    name: CART_NAME,
    steps: CART_STEPS,
    goals: [{ goal_id: GOAL, type: "purchase", name: "Order placed" }],
  });
  await put(url, world, SYNC, {
    name: SYNC_NAME,
    status: "paused",
    steps: Array.from({ length: SYNC_ACTIONS }, (_, i) => ({
      step_id: stepId(100 + i),
      name: `Push table ${String(i + 1).padStart(2, "0")}`,
      type: "action",
      action_type: "webhook",
      order: i,
    })),
  });
  await put(url, world, QUIET, { name: QUIET_NAME, status: "draft" });
  const carts = Array.from(
    { length: CART_EXECUTIONS },
    (_, n) => cart(n, now - (n + 1) * CART_PACE_MS, now),
  );
  await post(url, world, [...carts.flat(), ...sync(now - 26 * HOUR_MS)]);
  await until("all enrolments are folded", async () => {
    const [{ folded }] = await world.sql<[{ folded: number }]>`
      select count(*)::int as folded from weir.execution`;
    return folded === CART_EXECUTIONS + 1;
  });
}

/**
 * Sends one more enrolment of the cart's, dated now.
 *
 * @param n Told apart by it.
 */
export async function enrolOne(
  url: string,
  world: World,
  n: number,
): Promise<void> {
  await post(url, world, cart(1_000 + n, Date.now() - 1_000, Date.now()));
}

/** One execution; what it would do after now is still to come. */
function cart(n: number, begun: number, now: number) {
  const fate = n % 10;
  const at = (hours: number) => begun + hours * HOUR_MS;
  const events: [at: number, fact: Record<string, unknown>][] = [
    [at(0), {
      type: "execution.enrolled",
      source: ["trigger", "trigger", "api", "bulk"][n % 4],
      workflow_version: n < 150 ? 2 : 1,
    }],
    [at(0), { type: "step.entered", step_id: stepId(0) }],
    [at(0.01), { type: "step.completed", step_id: stepId(0) }],
    [at(0.01), { type: "step.entered", step_id: stepId(1) }],
    [at(20 + n % 7), { type: "step.completed", step_id: stepId(1) }],
    [at(20 + n % 7), { type: "step.entered", step_id: stepId(2) }],
    [at(21 + n % 7), {
      type: "action.executed",
      step_id: stepId(2),
      status: n % 4 === 0 ? "failed" : "succeeded",
      duration_ms: 300 + n % 13 * 40,
    }],
  ];
  // Some wait in the reminder for ever, more leave it, the others go on.
  if (fate === 0) return written(n, events, now);
  if (fate <= 3) {
    const reason = fate === 3 ? "cart_emptied" : "unsubscribed";
    events.push([at(30), { type: "execution.exited", reason }]);
    return written(n, events, now);
  }
  events.push(
    [at(32), { type: "step.completed", step_id: stepId(2) }],
    [at(32), { type: "step.entered", step_id: stepId(3) }],
    [at(33), {
      type: "action.executed",
      step_id: stepId(3),
      status: "succeeded",
      duration_ms: 6_200,
    }],
    [at(36), { type: "step.completed", step_id: stepId(3) }],
    fate <= 7
      ? [at(36 + n % 30), { type: "goal.achieved", goal_id: GOAL }]
      : [at(40), { type: "execution.completed" }],
  );
  return written(n, events, now);
}

function sync(begun: number) {
  const events: [number, Record<string, unknown>][] = [
    [begun, { type: "execution.enrolled", source: "manual" }],
  ];
  for (let i = 0; i < SYNC_ACTIONS; i++) {
    events.push([begun + (i + 1) * 1_000, {
      type: "action.executed",
      step_id: stepId(100 + i),
      status: "succeeded",
      duration_ms: 100 + i * 10,
    }]);
  }
  return written(5_000, events, Infinity, SYNC);
}

function written(
  n: number,
  events: [at: number, fact: Record<string, unknown>][],
  now: number,
  workflow_id = CART,
) {
  return events.filter(([at]) => at <= now).map(([at, fact], i) => ({
    id: `${n}-${i}`,
    workflow_id,
    execution_id: executionId(n),
    contact_id: `contact ${n}`,
    occurred_at: new Date(at).toISOString(),
    sequence: i,
    ...fact,
  }));
}

function executionId(n: number): string {
  return `33333333-3333-4333-8333-${String(n).padStart(12, "0")}`;
}

function stepId(order: number): string {
  return `22222222-2222-4222-8222-${String(order).padStart(12, "0")}`;
}

async function put(url: string, { key }: World, id: string, body: unknown) {
  const answer = await fetch(`${url}/api/v1/workflows/${id}`, {
    method: "PUT",
    headers: headersOf(key),
    body: JSON.stringify(body),
  });
  strictEqual(answer.status, 200, await answer.text());
}

async function post(url: string, { key }: World, events: unknown[]) {
  const answer = await fetch(`${url}/api/v1/events`, {
    method: "POST",
    headers: headersOf(key),
    body: JSON.stringify(events),
  });
  strictEqual(answer.status, 202, await answer.text());
}

function headersOf(key: string) {
  return {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
  };
}
