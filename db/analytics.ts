/**
 * The summary and trends of a workflow.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import { addDays, type Head, type Percentiles, periodOf } from "./period.ts";
import { meanSeconds, quotient, rate, seconds, shares } from "./rates.ts";
import {
  type Analytics,
  type AnalyticsQuery,
  SOURCES,
  type Summary,
  type TrendPoint,
} from "./schema.ts";

/** Sums of one day on which something happened. */
interface Day extends Record<(typeof SOURCES)[number], number> {
  /** 0 for the first of the range. */
  day: number;
  enrolled: number;
  cohort_completed: number;
  cohort_exited: number;
  cohort_converted: number;
  cohort_settled_converted: number;
  completed: number;
  exited: number;
  converted: number;
  /** Of the attribution that was asked for; too large for a double. */
  duration_us: string;
  conversion_us: string;
}

/** What `weir.read_analytics()` answers. */
interface Counts extends Head {
  days: Day[];
  running: number;
  net_after: number;
  net_ahead: number;
  reasons: { reason: string; count: number }[];
  goals: {
    goal_id: string;
    goal_name: string | null;
    achieved: number;
    first: number;
  }[];
  duration: Percentiles | null;
  conversion: Percentiles | null;
}

/**
 * Reads the summary and the daily trends of a range.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, attribution, version.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 */
export async function readAnalytics(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Analytics | null> {
  const [row] = await sql<[{ counts: Counts | null }]>`
    select weir.read_analytics(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${query.tz ?? null}, ${query.attribution},
      ${query.version ?? null}, ${now}) as counts`;
  const counts = row.counts;
  if (counts === null) return null;

  const trends = trendsOf(counts, query, now);
  return {
    workflow_id: workflowUuid,
    as_of: counts.as_of,
    period: periodOf(counts, query),
    summary: summaryOf(counts, query, trends, now),
    trends,
    comparison: null,
  };
}

function trendsOf(
  { bounds, days, running, net_after, net_ahead }: Counts,
  query: AnalyticsQuery,
  now: Date,
): TrendPoint[] {
  const byDay = new Map(days.map((day) => [day.day, day]));
  const points: TrendPoint[] = [];
  let enrolled = 0;
  for (let i = 0; i + 1 < bounds.length; i++) {
    const day = byDay.get(i);
    enrolled += day?.enrolled ?? 0;
    const date = addDays(query.start_date, i);
    points.push({
      date,
      label: date,
      start: bounds[i]!,
      end: bounds[i + 1]!,
      new_enrollments: day?.enrolled ?? 0,
      completions: day?.completed ?? 0,
      conversions: day?.converted ?? 0,
      exits: day?.exited ?? 0,
      cohort_completed: day?.cohort_completed ?? 0,
      cohort_converted: day?.cohort_converted ?? 0,
      in_progress: day
        ? day.enrolled - day.cohort_completed - day.cohort_exited
        : 0,
      total_enrolled: enrolled,
      currently_active: 0,
    });
  }

  // Backwards from what runs in the end: take away what began since, add what ended.
  let active = running - net_after;
  for (const point of points.toReversed()) {
    point.currently_active = Date.parse(point.end) <= now.getTime()
      ? active
      : running - net_ahead;
    active -= point.new_enrollments - point.completions - point.exits;
  }
  return points;
}

function summaryOf(
  counts: Counts,
  { attribution }: AnalyticsQuery,
  trends: TrendPoint[],
  now: Date,
): Summary {
  const { days } = counts;
  const total = (key: Exclude<keyof Day, "duration_us" | "conversion_us">) =>
    days.reduce((sum, day) => sum + day[key], 0);
  const totalUs = (key: "duration_us" | "conversion_us") =>
    days.reduce((sum, day) => sum + BigInt(day[key]), 0n).toString();

  const enrolled = total("enrolled");
  const byEvent = attribution === "event";
  const completed = total(byEvent ? "completed" : "cohort_completed");
  const converted = total(byEvent ? "converted" : "cohort_converted");
  const settled = total("cohort_completed") + total("cohort_exited");
  const begun = trends.filter((point) =>
    Date.parse(point.start) <= now.getTime()
  );

  const sources = SOURCES.map((source) => ({ source, count: total(source) }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || (a.source < b.source ? -1 : 1));

  return {
    total_enrolled: enrolled,
    currently_active: trends.at(-1)!.currently_active,
    completed,
    completion_rate: rate(completed, enrolled),
    goals_achieved: converted,
    conversion_rate: rate(converted, enrolled),
    average_duration_seconds: meanSeconds(totalUs("duration_us"), completed),
    average_duration_hours: quotient(
      totalUs("duration_us"),
      BigInt(completed) * 3_600_000_000n,
      2,
    ),
    median_duration_seconds: seconds(counts.duration?.p50 ?? null),
    p95_duration_seconds: seconds(counts.duration?.p95 ?? null),
    in_progress: enrolled - settled,
    settled,
    settled_completion_rate: rate(total("cohort_completed"), settled),
    settled_conversion_rate: rate(
      total("cohort_settled_converted"),
      settled,
    ),
    enrollment_rate: quotient(enrolled, begun.length, 2),
    enrollment_sources: withShares(sources),
    exit_reasons: withShares(counts.reasons),
    goal_breakdown: counts.goals.map((goal) => ({
      goal_id: goal.goal_id,
      goal_name: goal.goal_name,
      achieved: goal.achieved,
      rate: rate(goal.achieved, enrolled),
      first: goal.first,
    })),
    time_to_conversion: {
      average: meanSeconds(totalUs("conversion_us"), converted),
      median: seconds(counts.conversion?.p50 ?? null),
      p95: seconds(counts.conversion?.p95 ?? null),
      fastest: seconds(counts.conversion?.fastest ?? null),
      slowest: seconds(counts.conversion?.slowest ?? null),
    },
  };
}

function withShares<T extends { count: number }>(
  list: T[],
): (T & { share: number })[] {
  const share = shares(list.map(({ count }) => count));
  return list.map((item, i) => ({ ...item, share: share[i]! }));
}
