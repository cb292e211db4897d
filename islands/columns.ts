/**
 * Turns trends into what the charts draw. Pure: no DOM, no network.
 *
 * @module
 */

import type { TrendPoint } from "../db/schema.ts";

/** A chart each, in this order; also the order of the table. */
export const METRICS = [
  "new_enrollments",
  "completions",
  "conversions",
  "currently_active",
] as const;
export type Metric = (typeof METRICS)[number];

/** What the charts need of a bucket; the rest would only make the page heavier. */
export type ChartPoint = Pick<
  TrendPoint,
  Metric | "date" | "label" | "cohort_completed" | "cohort_converted"
>;

/** What the page hands to the charts. */
export interface ChartTrend {
  /** Buckets that have begun, oldest first. */
  points: ChartPoint[];
  /** How many of them are over; at most the last one is not. */
  finished: number;
  /** The compared range's buckets, the first beside the first; `null` where nothing is compared. */
  past: ChartPoint[] | null;
}

/**
 * Leaves out what has not begun and marks what is not over yet.
 *
 * @param trends Buckets, oldest first.
 * @param asOf The instant up to which the numbers are complete.
 * @param past Buckets of the compared range, all over.
 * @returns The charts' own points.
 */
export function chartTrend(
  trends: TrendPoint[],
  asOf: string,
  past: TrendPoint[] | null = null,
): ChartTrend {
  const now = Date.parse(asOf);
  const begun = trends.filter((point) => Date.parse(point.start) <= now);
  return {
    points: begun.map(chartPoint),
    finished: begun.filter((point) => Date.parse(point.end) <= now).length,
    past: past && past.map(chartPoint),
  };
}

function chartPoint(point: TrendPoint): ChartPoint {
  return {
    date: point.date,
    label: point.label,
    new_enrollments: point.new_enrollments,
    completions: point.completions,
    conversions: point.conversions,
    currently_active: point.currently_active,
    cohort_completed: point.cohort_completed,
    cohort_converted: point.cohort_converted,
  };
}

/**
 * Columns of one chart: positions, the finished buckets, the stretch to the unfinished
 * one, which is drawn dashed, and the compared range.
 *
 * @param trend What to draw.
 * @param metric Of which.
 * @returns Four columns of equal length; `null` is a gap.
 */
export function chartColumns(
  { points, finished, past }: ChartTrend,
  metric: Metric,
): [number[], ...(number | null)[][]] {
  return [
    points.map((_, i) => i),
    points.map((point, i) => i < finished ? point[metric] : null),
    points.map((point, i) =>
      finished < points.length && i >= finished - 1 ? point[metric] : null
    ),
    points.map((_, i) => past?.[i]?.[metric] ?? null),
  ];
}

/**
 * What a metric is over the whole range: the sum of what happened, or how many are
 * active at its end.
 *
 * @param points Buckets.
 * @param metric Which.
 * @returns 0 where there is no bucket.
 */
export function chartTotal(points: ChartPoint[], metric: Metric): number {
  return metric === "currently_active"
    ? points.at(-1)?.currently_active ?? 0
    : points.reduce((sum, point) => sum + point[metric], 0);
}

/**
 * Corners of a small line without axes, on a field of 100 by 24.
 *
 * @param values Oldest first.
 * @returns Points of a polyline; a single value is a level line, none is nothing.
 */
export function sparkline(values: number[]): string[] {
  const max = Math.max(...values, 1);
  const y = (value: number) => round(23 - value / max * 22);
  if (values.length === 1) {
    return [`0,${y(values[0]!)}`, `100,${y(values[0]!)}`];
  }
  return values.map((value, i) =>
    `${round(i / (values.length - 1) * 100)},${y(value)}`
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
