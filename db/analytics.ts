/**
 * The summary and trends of a workflow.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import {
  comparedRange,
  type DateRange,
  DetailExpired,
  type Head,
  type Percentiles,
  periodOf,
} from "./period.ts";
import { meanSeconds, quotient, rate, seconds, shares } from "./rates.ts";
import {
  type Analytics,
  type AnalyticsQuery,
  type Change,
  type Comparison,
  SOURCES,
  type Summary,
  type TrendPoint,
} from "./schema.ts";

/** Sums of one bucket in which something happened. */
interface Sums extends Record<(typeof SOURCES)[number], number> {
  /** 0 for the first of the range. */
  position: number;
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
  sums: Sums[];
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
  /** The compared range, `null` where there is none. */
  past: Totals & { tz: string; start: string; end: string } | null;
}

/** What two ranges are compared by, in the attribution that was asked for. */
interface Totals {
  enrolled: number;
  completed: number;
  converted: number;
  /** Too large for a double. */
  duration_us: string;
}

/**
 * Reads the summary and the trends of a range.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, attribution, version.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 * @throws {DetailExpired} When hours are asked for that are not kept.
 */
export async function readAnalytics(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Analytics | null> {
  const past = comparedRange(query);
  const [row] = await sql<[{ counts: Counts | null }]>`
    select weir.read_analytics(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${
    query.tz ?? null
  }, ${query.granularity}, ${query.attribution},
      ${past?.first ?? null}::text::date, ${past?.last ?? null}::text::date,
      ${query.version ?? null}, ${now}) as counts`;
  const counts = row.counts;
  if (counts === null) return null;
  if (query.granularity === "hourly" && !counts.hours) {
    throw new DetailExpired(
      "Cannot answer by hour: hours are kept for 90 days",
    );
  }

  const trends = trendsOf(counts, now);
  return {
    workflow_id: workflowUuid,
    as_of: counts.as_of,
    period: periodOf(counts, query),
    summary: summaryOf(counts, query, trends, now),
    trends,
    comparison: past && comparisonOf(counts, query, past),
  };
}

function trendsOf(
  { bounds, buckets, sums, running, net_after, net_ahead }: Counts,
  now: Date,
): TrendPoint[] {
  const byPosition = new Map(sums.map((sum) => [sum.position, sum]));
  let enrolled = 0;
  const points = buckets.map(({ date, label }, i): TrendPoint => {
    const sum = byPosition.get(i);
    enrolled += sum?.enrolled ?? 0;
    return {
      date,
      label,
      start: bounds[i]!,
      end: bounds[i + 1]!,
      new_enrollments: sum?.enrolled ?? 0,
      completions: sum?.completed ?? 0,
      conversions: sum?.converted ?? 0,
      exits: sum?.exited ?? 0,
      cohort_completed: sum?.cohort_completed ?? 0,
      cohort_converted: sum?.cohort_converted ?? 0,
      in_progress: sum
        ? sum.enrolled - sum.cohort_completed - sum.cohort_exited
        : 0,
      total_enrolled: enrolled,
      currently_active: 0,
    };
  });

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

/** The counted columns of a bucket. */
type Count = Exclude<keyof Sums, "duration_us" | "conversion_us">;

function total({ sums }: Counts, key: Count): number {
  return sums.reduce((total, sum) => total + sum[key], 0);
}

function totalUs({ sums }: Counts, key: "duration_us" | "conversion_us") {
  return sums.reduce((total, sum) => total + BigInt(sum[key]), 0n).toString();
}

function totalsOf(
  counts: Counts,
  { attribution }: AnalyticsQuery,
): Totals {
  const byEvent = attribution === "event";
  return {
    enrolled: total(counts, "enrolled"),
    completed: total(counts, byEvent ? "completed" : "cohort_completed"),
    converted: total(counts, byEvent ? "converted" : "cohort_converted"),
    duration_us: totalUs(counts, "duration_us"),
  };
}

function summaryOf(
  counts: Counts,
  query: AnalyticsQuery,
  trends: TrendPoint[],
  now: Date,
): Summary {
  const totals = totalsOf(counts, query);
  const { enrolled, completed, converted } = totals;
  const cohortCompleted = total(counts, "cohort_completed");
  const settled = cohortCompleted + total(counts, "cohort_exited");
  const begun = trends.filter((point) =>
    Date.parse(point.start) <= now.getTime()
  );

  const sources = SOURCES
    .map((source) => ({ source, count: total(counts, source) }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || (a.source < b.source ? -1 : 1));

  return {
    total_enrolled: enrolled,
    currently_active: trends.at(-1)!.currently_active,
    completed,
    completion_rate: rate(completed, enrolled),
    goals_achieved: converted,
    conversion_rate: rate(converted, enrolled),
    average_duration_seconds: meanSeconds(totals.duration_us, completed),
    average_duration_hours: quotient(
      totals.duration_us,
      BigInt(completed) * 3_600_000_000n,
      2,
    ),
    median_duration_seconds: seconds(counts.duration?.p50 ?? null),
    p95_duration_seconds: seconds(counts.duration?.p95 ?? null),
    in_progress: enrolled - settled,
    settled,
    settled_completion_rate: rate(cohortCompleted, settled),
    settled_conversion_rate: rate(
      total(counts, "cohort_settled_converted"),
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
      average: meanSeconds(totalUs(counts, "conversion_us"), converted),
      median: seconds(counts.conversion?.p50 ?? null),
      p95: seconds(counts.conversion?.p95 ?? null),
      fastest: seconds(counts.conversion?.fastest ?? null),
      slowest: seconds(counts.conversion?.slowest ?? null),
    },
  };
}

function comparisonOf(
  counts: Counts,
  query: AnalyticsQuery,
  { first, last }: DateRange,
): Comparison {
  const past = counts.past!;
  const now = totalsOf(counts, query);
  const inPoints = (part: "completed" | "converted") => {
    const { change_percent: _, ...points } = changeOf(
      rate(now[part], now.enrolled),
      rate(past[part], past.enrolled),
      2,
    );
    return points;
  };
  return {
    period: {
      start_date: first,
      end_date: last,
      tz_effective: past.tz,
      start: past.start,
      end: past.end,
    },
    total_enrolled: changeOf(now.enrolled, past.enrolled, 0),
    completed: changeOf(now.completed, past.completed, 0),
    completion_rate: inPoints("completed"),
    goals_achieved: changeOf(now.converted, past.converted, 0),
    conversion_rate: inPoints("converted"),
    average_duration_seconds: changeOf(
      meanSeconds(now.duration_us, now.completed),
      meanSeconds(past.duration_us, past.completed),
      3,
    ),
  };
}

/** From the numbers as they are shown, so that a reader finds the same. */
function changeOf(
  current: number | null,
  previous: number | null,
  decimals: number,
): Change {
  if (current === null || previous === null) {
    return { current, previous, change: null, change_percent: null };
  }
  const unit = 10 ** decimals;
  const change = Math.round(current * unit) - Math.round(previous * unit);
  return {
    current,
    previous,
    change: change / unit,
    change_percent: quotient(
      BigInt(change) * 100n,
      BigInt(Math.round(previous * unit)),
      2,
    ),
  };
}

function withShares<T extends { count: number }>(
  list: T[],
): (T & { share: number })[] {
  const share = shares(list.map(({ count }) => count));
  return list.map((item, i) => ({ ...item, share: share[i]! }));
}
