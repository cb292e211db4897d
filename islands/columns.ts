/**
 * Turns a trend into what the chart draws. Pure: no DOM, no network.
 *
 * @module
 */

import type { TrendPoint } from "../db/schema.ts";

/** What the chart needs of a bucket; the rest would only make the page heavier. */
export type ChartPoint = Pick<
  TrendPoint,
  "date" | "new_enrollments" | "completions" | "conversions"
>;

/** Drawn in this order; also the order of the legend and the table. */
export const METRICS = [
  "new_enrollments",
  "completions",
  "conversions",
] as const;
export type Metric = (typeof METRICS)[number];

/** What the page hands to the chart. */
export interface ChartTrend {
  /** Buckets that have begun, oldest first. */
  points: ChartPoint[];
  /** How many of them are over; at most the last one is not. */
  finished: number;
}

/**
 * Leaves out what has not begun and marks what is not over yet.
 *
 * @param trends Buckets, oldest first.
 * @param asOf The instant up to which the numbers are complete.
 * @returns The chart's own points.
 */
export function chartTrend(trends: TrendPoint[], asOf: string): ChartTrend {
  const now = Date.parse(asOf);
  const begun = trends.filter((point) => Date.parse(point.start) <= now);
  const points = begun.map(
    ({ date, new_enrollments, completions, conversions }) => ({
      date,
      new_enrollments,
      completions,
      conversions,
    }),
  );
  const finished = begun.filter((point) => Date.parse(point.end) <= now).length;
  return { points, finished };
}

/**
 * Columns for the chart: positions, then each metric twice, its finished
 * buckets and the stretch to the unfinished one, which is drawn dashed.
 *
 * @param trend What to draw.
 * @returns Seven columns of equal length; `null` is a gap.
 */
export function chartColumns(
  { points, finished }: ChartTrend,
): [number[], ...(number | null)[][]] {
  const solid = METRICS.map((metric) =>
    points.map((point, i) => i < finished ? point[metric] : null)
  );
  const dashed = METRICS.map((metric) =>
    points.map((point, i) =>
      finished < points.length && i >= finished - 1 ? point[metric] : null
    )
  );
  return [points.map((_, i) => i), ...solid, ...dashed];
}

/**
 * Sums of the range.
 *
 * @param points Buckets.
 * @returns One sum a metric.
 */
export function chartTotals(points: ChartPoint[]): Record<Metric, number> {
  const totals = { new_enrollments: 0, completions: 0, conversions: 0 };
  for (const point of points) {
    for (const metric of METRICS) totals[metric] += point[metric];
  }
  return totals;
}
