import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import {
  type ActionMetrics,
  AnalyticsQuery,
  Event,
  type FunnelStep,
} from "../../db/schema.ts";
import { dbTest, NOW, type World } from "../harness.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const OCCURRED_AT = "2026-06-15T10:00:00.000Z";
const DAY = AnalyticsQuery.parse({
  start_date: "2026-06-15",
  end_date: "2026-06-15",
});

/** The n-th step: ids sort as they are numbered. */
function stepId(n: number): string {
  return `${String(n).padStart(8, "0")}-0000-4000-8000-000000000000`;
}

function event(execution_id: string, rest: Record<string, unknown>): Event {
  return Event.parse({
    id: crypto.randomUUID(),
    workflow_id: WORKFLOW,
    execution_id,
    contact_id: "contact",
    occurred_at: OCCURRED_AT,
    ...rest,
  });
}

async function record({ sql, account }: World, events: Event[]): Promise<void> {
  await recordEvents(sql, account.account_id, events);
  while (await fold(sql) > 0);
}

/** How often an action succeeded and failed, and how long it took, ms. */
interface Runs {
  succeeded: number;
  failed?: number;
  duration_ms?: number;
}

async function actionsOf(
  world: World,
  steps: Runs[],
): Promise<ActionMetrics[]> {
  const execution = crypto.randomUUID();
  const events = [event(execution, {
    type: "execution.enrolled",
    source: "api",
  })];
  steps.forEach(({ succeeded, failed = 0, duration_ms = 10 }, n) => {
    for (let i = 0; i < succeeded + failed; i++) {
      events.push(event(execution, {
        type: "action.executed",
        step_id: stepId(n),
        status: i < succeeded ? "succeeded" : "failed",
        duration_ms,
      }));
    }
  });
  await record(world, events);
  const { sql, account } = world;
  const answer = await readActions(
    sql,
    account.account_id,
    WORKFLOW,
    DAY,
    NOW,
  );
  return answer!.actions;
}

dbTest("readActions() judges health at its exact limits", async (world) => {
  const steps: [Runs, string][] = [
    [{ succeeded: 79, failed: 21 }, "error"],
    [{ succeeded: 80, failed: 20 }, "warning"],
    [{ succeeded: 94, failed: 6 }, "warning"],
    [{ succeeded: 95, failed: 5 }, "ok"],
    [{ succeeded: 1, duration_ms: 5_000 }, "ok"],
    [{ succeeded: 1, duration_ms: 5_000.001 }, "slow"],
    // Failing comes before slowness.
    [{ succeeded: 0, failed: 1, duration_ms: 9_000 }, "error"],
  ];
  const actions = await actionsOf(world, steps.map(([runs]) => runs));
  const health = new Map(actions.map((a) => [a.action_id, a.health]));
  steps.forEach(([, expected], n) =>
    strictEqual(health.get(stepId(n)), expected, `step ${n}`)
  );
});

dbTest("readActions() lists the worst first", async (world) => {
  const actions = await actionsOf(world, [
    { succeeded: 10 },
    { succeeded: 10, duration_ms: 11 },
    { succeeded: 10 },
    { succeeded: 10, duration_ms: 6_000 },
    { succeeded: 9, failed: 1 },
    { succeeded: 1, failed: 9 },
    { succeeded: 0, failed: 3 },
    { succeeded: 96, failed: 4 },
  ]);
  deepStrictEqual(
    actions.map(({ action_id }) => Number(action_id.slice(0, 8))),
    [6, 5, 4, 3, 7, 1, 0, 2],
  );
});

dbTest(
  "readActions() counts, means and ranks exactly or within 2 %",
  async (world) => {
    const [action] = await actionsOf(world, [
      { succeeded: 199, failed: 1, duration_ms: 1_234.5678 },
    ]);
    const { p50_duration_ms, p95_duration_ms, p99_duration_ms, ...exact } =
      action!;
    deepStrictEqual(exact, {
      action_id: stepId(0),
      action_name: stepId(0),
      action_type: null,
      executions: 200,
      successes: 199,
      failures: 1,
      success_rate: 99.5,
      error_rate: 0.5,
      average_duration_ms: 1_234.568,
      health: "ok",
    });
    for (const found of [p50_duration_ms, p95_duration_ms, p99_duration_ms]) {
      strictEqual(Math.abs(found! / 1_234.568 - 1) <= 0.02, true, `${found}`);
    }
  },
);

/** What became of the executions at one step. */
interface Fates {
  completed?: number;
  dropped?: number;
  left?: number;
}

async function funnelOf(world: World, steps: Fates[]) {
  const events: Event[] = [];
  function execute(n: number, ...types: Record<string, unknown>[]) {
    const execution = crypto.randomUUID();
    const step_id = stepId(n);
    events.push(
      event(execution, { type: "execution.enrolled", source: "api" }),
      event(execution, { type: "step.entered", step_id }),
      ...types.map((type) => event(execution, type)),
    );
  }
  steps.forEach(({ completed = 0, dropped = 0, left = 0 }, n) => {
    const done = { type: "step.completed", step_id: stepId(n) };
    const exit = { type: "execution.exited", reason: "moved", sequence: 1 };
    for (let i = 0; i < completed; i++) execute(n, done);
    for (let i = 0; i < dropped; i++) execute(n, exit);
    for (let i = 0; i < left; i++) execute(n, done, exit);
  });
  await record(world, events);
  const { sql, account } = world;
  const funnel = await readFunnel(sql, account.account_id, WORKFLOW, DAY, NOW);
  return funnel!;
}

dbTest("readFunnel() names the worst steps, small ones last", async (world) => {
  const funnel = await funnelOf(world, [
    { completed: 20, dropped: 10 },
    { completed: 40, dropped: 20 },
    { completed: 1, dropped: 28 },
    { completed: 29, dropped: 1 },
    { completed: 30 },
  ]);
  deepStrictEqual(
    funnel.drop_off_points.map(({ step_id, entered, dropped_off }) => [
      Number(step_id.slice(0, 8)),
      entered,
      dropped_off,
    ]),
    [[1, 60, 20], [0, 30, 10], [3, 30, 1]],
  );
  strictEqual(funnel.bottleneck_step, stepId(1));
});

dbTest("readFunnel() adds up at every step", async (world) => {
  const { funnel_steps } = await funnelOf(world, [
    { completed: 3, dropped: 2, left: 1 },
  ]);
  const [step] = funnel_steps as [FunnelStep];
  deepStrictEqual(
    [step.entered, step.completed, step.dropped_off, step.left_after],
    [6, 4, 2, 1],
  );
  deepStrictEqual(
    [step.conversion_rate, step.drop_off_rate],
    [66.67, 33.33],
  );
});
