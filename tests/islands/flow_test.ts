import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { FunnelStep } from "../../db/schema.ts";
import { FLOW_WIDTH, layOutFlow } from "../../islands/flow.ts";

function step(
  completed: number,
  goal_exits: number,
  in_progress: number,
  dropped_off: number,
): FunnelStep {
  return {
    step_id: crypto.randomUUID(),
    step_name: "Step",
    step_type: null,
    step_order: 0,
    entered: completed + goal_exits + in_progress + dropped_off,
    completed,
    dropped_off,
    goal_exits,
    in_progress,
    left_after: 0,
    conversion_rate: null,
    drop_off_rate: null,
    average_time_seconds: null,
    median_time_seconds: null,
    p95_time_seconds: null,
    visits: 0,
    vs_previous_period: { conversion_rate: null, drop_off_rate: null },
    vs_workflow_average: { conversion_rate: null, drop_off_rate: null },
  };
}

Deno.test("layOutFlow() lays the fates side by side, as wide as who entered", () => {
  const [first, second] = layOutFlow([
    step(60, 10, 10, 20),
    step(50, 0, 0, 0),
  ]);
  deepStrictEqual(first!.bars, [
    { fate: "completed", x: 0, width: 600 },
    { fate: "goal_exits", x: 600, width: 100 },
    { fate: "in_progress", x: 700, width: 100 },
    { fate: "dropped_off", x: 800, width: 200 },
  ]);
  deepStrictEqual(second!.bars, [{ fate: "completed", x: 0, width: 500 }]);
});

Deno.test("layOutFlow() scales to the fullest step, also when it is a later one", () => {
  const flows = layOutFlow([step(10, 0, 0, 0), step(30, 5, 5, 0)]);
  const widths = flows.map((flow) =>
    flow.bars.reduce((sum, bar) => sum + bar.width, 0)
  );
  deepStrictEqual(widths, [FLOW_WIDTH / 4, FLOW_WIDTH]);
});

Deno.test("layOutFlow() lets the stream of two rows meet at one width", () => {
  const [first, second] = layOutFlow([step(100, 0, 0, 0), step(40, 0, 0, 0)]);
  const [, , lowerRight] = first!.outflow!.split(" ");
  const [, upperRight] = second!.inflow!.split(" ");
  strictEqual(lowerRight!.split(",")[0], "700");
  strictEqual(upperRight!.split(",")[0], "700");
  strictEqual(first!.inflow, null);
  strictEqual(second!.outflow, null);
});

Deno.test("layOutFlow() draws nothing where nobody entered", () => {
  const [flow] = layOutFlow([step(0, 0, 0, 0)]);
  deepStrictEqual(flow!.bars, []);
});
