import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { TrendPoint } from "../../db/schema.ts";
import {
  chartColumns,
  chartTotals,
  chartTrend,
} from "../../islands/columns.ts";

function point(day: number, enrolled: number): TrendPoint {
  const date = `2026-03-${String(day).padStart(2, "0")}`;
  const next = `2026-03-${String(day + 1).padStart(2, "0")}`;
  return {
    date,
    label: date,
    start: `${date}T00:00:00Z`,
    end: `${next}T00:00:00Z`,
    new_enrollments: enrolled,
    completions: enrolled - 1,
    conversions: enrolled - 2,
    exits: 0,
    cohort_completed: 0,
    cohort_converted: 0,
    in_progress: 0,
    total_enrolled: 0,
    currently_active: 0,
  };
}

const TRENDS = [point(1, 10), point(2, 20), point(3, 30), point(4, 40)];

Deno.test("chartTrend() leaves out buckets that have not begun", () => {
  const trend = chartTrend(TRENDS, "2026-03-03T09:00:00Z");
  deepStrictEqual(trend.points.map((p) => p.date), [
    "2026-03-01",
    "2026-03-02",
    "2026-03-03",
  ]);
  strictEqual(trend.finished, 2);
});

Deno.test("chartTrend() takes a bucket for finished at its very end", () => {
  strictEqual(chartTrend(TRENDS, "2026-03-05T00:00:00Z").finished, 4);
  strictEqual(chartTrend(TRENDS, "2026-03-04T23:59:59.999Z").finished, 3);
});

Deno.test("chartColumns() dashes only the stretch to the unfinished bucket", () => {
  const [positions, ...columns] = chartColumns(
    chartTrend(TRENDS, "2026-03-03T09:00:00Z"),
  );
  deepStrictEqual(positions, [0, 1, 2]);
  deepStrictEqual(columns, [
    [10, 20, null],
    [9, 19, null],
    [8, 18, null],
    [null, 20, 30],
    [null, 19, 29],
    [null, 18, 28],
  ]);
});

Deno.test("chartColumns() dashes nothing of a range that is over", () => {
  const [, ...columns] = chartColumns(
    chartTrend(TRENDS, "2026-04-01T00:00:00Z"),
  );
  deepStrictEqual(columns[0], [10, 20, 30, 40]);
  deepStrictEqual(columns[3], [null, null, null, null]);
});

Deno.test("chartTotals() sums each metric", () => {
  deepStrictEqual(chartTotals(TRENDS), {
    new_enrollments: 100,
    completions: 96,
    conversions: 92,
  });
});
