import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { TrendPoint } from "../../db/schema.ts";
import {
  chartColumns,
  chartTotal,
  chartTrend,
  sparkline,
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

Deno.test("chartTrend() lays the compared range beside it, bucket by bucket", () => {
  const past = [point(5, 50), point(6, 60), point(7, 70), point(8, 80)];
  const trend = chartTrend(TRENDS, "2026-03-02T09:00:00Z", past);
  deepStrictEqual(trend.past!.map((p) => p.new_enrollments), [50, 60, 70, 80]);
  deepStrictEqual(chartColumns(trend, "new_enrollments")[3], [50, 60]);
});

Deno.test("chartColumns() dashes only the stretch to the unfinished bucket", () => {
  const trend = chartTrend(TRENDS, "2026-03-03T09:00:00Z", [point(5, 50)]);
  deepStrictEqual(chartColumns(trend, "completions"), [
    [0, 1, 2],
    [9, 19, null],
    [null, 19, 29],
    [49, null, null],
  ]);
});

Deno.test("chartColumns() dashes nothing of a range that is over", () => {
  const trend = chartTrend(TRENDS, "2026-04-01T00:00:00Z");
  deepStrictEqual(chartColumns(trend, "new_enrollments"), [
    [0, 1, 2, 3],
    [10, 20, 30, 40],
    [null, null, null, null],
    [null, null, null, null],
  ]);
});

Deno.test("chartTotal() sums what happened, and takes the last of what is", () => {
  const active = TRENDS.map((p, i) => ({ ...p, currently_active: 7 - i }));
  strictEqual(chartTotal(active, "new_enrollments"), 100);
  strictEqual(chartTotal(active, "currently_active"), 4);
  strictEqual(chartTotal([], "currently_active"), 0);
});

Deno.test("sparkline() goes from edge to edge, with 0 at the bottom", () => {
  deepStrictEqual(sparkline([0, 5, 10]), ["0,23", "50,12", "100,1"]);
  deepStrictEqual(sparkline([4]), ["0,1", "100,1"]);
  deepStrictEqual(sparkline([]), []);
});
