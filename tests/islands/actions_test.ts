import { deepStrictEqual } from "node:assert/strict";
import type { ActionMetrics } from "../../db/schema.ts";
import { sortActions } from "../../islands/actions.tsx";

function action(
  id: string,
  success_rate: number,
  average_duration_ms: number | null,
): ActionMetrics {
  return {
    action_id: id,
    action_name: id,
    action_type: null,
    executions: 100,
    successes: success_rate,
    failures: 100 - success_rate,
    success_rate,
    error_rate: 100 - success_rate,
    average_duration_ms,
    p50_duration_ms: null,
    p95_duration_ms: null,
    p99_duration_ms: null,
    health: "ok",
  };
}

const WORST_FIRST = [
  action("a", 40, 20),
  action("b", 90, 300),
  action("c", 70, null),
];
const ids = (actions: ActionMetrics[]) => actions.map((a) => a.action_id);

Deno.test("sortActions() puts what is worst in a column first", () => {
  deepStrictEqual(ids(sortActions(WORST_FIRST, "health", false)), [
    "a",
    "b",
    "c",
  ]);
  deepStrictEqual(ids(sortActions(WORST_FIRST, "success", false)), [
    "a",
    "c",
    "b",
  ]);
  deepStrictEqual(ids(sortActions(WORST_FIRST, "failures", false)), [
    "a",
    "c",
    "b",
  ]);
  deepStrictEqual(ids(sortActions(WORST_FIRST, "mean", false)), [
    "b",
    "a",
    "c",
  ]);
});

Deno.test("sortActions() turns round, and leaves its argument alone", () => {
  deepStrictEqual(ids(sortActions(WORST_FIRST, "health", true)), [
    "c",
    "b",
    "a",
  ]);
  deepStrictEqual(ids(WORST_FIRST), ["a", "b", "c"]);
});
