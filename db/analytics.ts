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
  requireContacts,
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

/** What is counted of a bucket in which something happened, or of a range. */
interface Sums extends Record<(typeof SOURCES)[number], number> {
  enrolled: number;
  /** Of those enrolled, as are the next five. */
  in_progress: number;
  cohort_completed: number;
  cohort_converted: number;
  /** Of those not in progress, as is the next one. */
  settled_completed: number;
  settled_converted: number;
  completed: number;
  exited: number;
  converted: number;
  /** Executions that `duration_us` is of, in the attribution that was asked for. */
  durations: number;
  /** Too large for a double. */
  duration_us: string;
  conversion_times: number;
  conversion_us: string;
}

interface BucketSums extends Sums {
  /** 0 for the first of the range. */
  position: number;
  /** Of those enrolled, who was not in an earlier bucket of the range. */
  newcomers: number;
}

/** What `weir.read_summary()` and `weir.read_contacts()` answer. */
interface Answer {
  head: Head;
  goals: {
    goal_id: string;
    goal_name: string | null;
    achieved: number;
    first: number;
  }[];
  duration: Percentiles | null;
  conversion: Percentiles | null;
  /** The compared range, `null` where there is none; its totals where contacts are not kept. */
  past:
    | { tz: string; start: string; end: string; totals: Totals | null }
    | null;
}

/** Ends by reason, of executions enrolled in a range and in the range; counted in addition, or to be taken off. */
type ReasonFacts = [
  sign: 1 | -1,
  ends: [reason: string, cohortEnds: number, ends: number][],
];

/** A row of `weir.facts()`. */
type Facts = [
  /** Days since 1970, or a bucket's position. */
  key: number,
  enrolled: number,
  trigger: number,
  bulk: number,
  api: number,
  manual: number,
  cohortCompleted: number,
  cohortExited: number,
  cohortConverted: number,
  cohortSettledConverted: number,
  completed: number,
  exited: number,
  converted: number,
  /** Too large for a double, as are the next three. */
  cohortDurationUs: string,
  cohortConversionUs: string,
  durationUs: string,
  conversionUs: string,
];

/** Executions: of the range is what its buckets add up to. */
interface ExecutionCounts extends Answer {
  /** Of each day of the account; `null` where there are parts. */
  days: Facts[] | null;
  /** Which day the first bucket is, or is nearest to; `null` without days. */
  first_day: number | null;
  /** What buckets of another zone have more than the day before has less; `null` where there are none. */
  edges: Facts[] | null;
  /** What buckets are summed up from. */
  parts: Facts[] | null;
  reasons: ReasonFacts[];
  running: number;
  net_after: number;
  net_ahead: number;
}

/** Contacts, which do not add up. */
interface ContactCounts extends Answer {
  sums: BucketSums[];
  reasons: { reason: string; count: number }[];
  /** Of the range; `null` where nothing happened in it. */
  whole: Sums | null;
  /** Running at each bucket's end, or now. */
  active: number[];
}

/** Either, added up. */
interface Counts extends Answer {
  /** By position; without those in which nothing happened. */
  buckets: (BucketSums | undefined)[];
  whole: Sums;
  /** Most first. */
  reasons: { reason: string; count: number }[];
  /** Running at each bucket's end, or now. */
  active: number[];
}

/** What two ranges are compared by, in the attribution that was asked for. */
type Totals =
  & Pick<Sums, "enrolled" | "completed" | "converted">
  & Pick<Sums, "durations" | "duration_us">;

const NOTHING: Sums = {
  enrolled: 0,
  in_progress: 0,
  cohort_completed: 0,
  cohort_converted: 0,
  settled_completed: 0,
  settled_converted: 0,
  completed: 0,
  exited: 0,
  converted: 0,
  trigger: 0,
  bulk: 0,
  api: 0,
  manual: 0,
  durations: 0,
  duration_us: "0",
  conversion_times: 0,
  conversion_us: "0",
};

/** Its durations, in microseconds. */
const TIMED = ["duration_us", "conversion_us"] as const;

const DAY_MS = 86_400_000;

/** All months have these. */
const DAYS_OF_EACH_MONTH = 28;

/**
 * Reads the summary and the trends of a range.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, attribution, unit, version.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 * @throws {DetailExpired} When hours or contacts are asked for that are not kept.
 */
export async function readAnalytics(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Analytics | null> {
  const call = callAnalytics(sql, accountId, workflowUuid, query, now);
  const [row] = await sql<[{ counts: AnalyticsCounts | null }]>`
    select ${call} as counts`;
  return row.counts && analyticsOf(row.counts, workflowUuid, query, now);
}

/** What {@linkcode callAnalytics} answers. */
export type AnalyticsCounts = ExecutionCounts | ContactCounts;

/**
 * The call behind {@linkcode readAnalytics}, to be part of a statement; takes the same.
 */
export function callAnalytics(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
) {
  const past = comparedRange(query);
  const read = query.unit === "contact"
    ? sql`weir.read_contacts`
    : sql`weir.read_summary`;
  return sql`${read}(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${
    query.tz ?? null
  }, ${query.granularity}, ${query.attribution},
      ${past?.first ?? null}::text::date, ${past?.last ?? null}::text::date,
      ${query.version ?? null}, ${now})`;
}

/**
 * The summary and the trends, from what the database counted.
 *
 * @throws {DetailExpired} As {@linkcode readAnalytics}.
 */
export function analyticsOf(
  counts: AnalyticsCounts,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Analytics {
  const past = comparedRange(query);
  requireContacts(counts.head, query);
  if (query.granularity === "hourly" && !counts.head.hours) {
    throw new DetailExpired(
      "granularity",
      "Cannot answer by hour: hours are kept for 90 days",
    );
  }

  const added = "active" in counts
    ? addedContacts(counts)
    : addedExecutions(counts, query, now);
  const trends = trendsOf(added);
  return {
    workflow_id: workflowUuid,
    as_of: counts.head.as_of,
    period: periodOf(counts.head, query),
    summary: summaryOf(added, query, trends, now),
    trends,
    comparison: past && comparisonOf(added, totalsOf(added.whole, query), past),
  };
}

function addedContacts(counts: ContactCounts): Counts {
  const buckets: Counts["buckets"] = [];
  for (const sum of counts.sums) buckets[sum.position] = sum;
  return { ...counts, buckets, whole: counts.whole ?? NOTHING };
}

function addedExecutions(
  counts: ExecutionCounts,
  { attribution }: AnalyticsQuery,
  now: Date,
): Counts {
  const byEvent = attribution === "event";
  const buckets = bucketsOf(
    counts.days ?? counts.parts!,
    counts.first_day ?? 0,
    byEvent,
  );
  moveEdges(buckets, counts, byEvent);
  return {
    ...counts,
    buckets,
    whole: total(buckets),
    reasons: reasonsOf(counts.reasons, byEvent),
    active: activeOf(counts, buckets, now),
  };
}

function bucketsOf(
  rows: Facts[],
  firstKey: number,
  byEvent: boolean,
): Counts["buckets"] {
  const buckets: Counts["buckets"] = [];
  for (const row of rows) {
    const sums = sumsOf(row, firstKey, byEvent);
    const others = buckets[sums.position];
    if (others) add(others, sums, 1);
    else buckets[sums.position] = sums;
  }
  return buckets;
}

/** From the bucket that ends at an edge to the one that begins there. */
function moveEdges(
  buckets: Counts["buckets"],
  { edges, head }: ExecutionCounts,
  byEvent: boolean,
): void {
  for (const row of edges ?? []) {
    const edge = sumsOf(row, 0, byEvent);
    const { position } = edge;
    if (position < head.dates.length) add(bucketAt(position), edge, 1);
    if (position > 0) add(bucketAt(position - 1), edge, -1);
  }

  function bucketAt(position: number): BucketSums {
    return buckets[position] ??= { position, ...NOTHING, newcomers: 0 };
  }
}

function sumsOf(row: Facts, firstKey: number, byEvent: boolean): BucketSums {
  const [key, enrolled, trigger, bulk, api, manual] = row;
  const cohortCompleted = row[6];
  const cohortConverted = row[8];
  return {
    position: key - firstKey,
    enrolled,
    newcomers: enrolled,
    in_progress: enrolled - cohortCompleted - row[7],
    cohort_completed: cohortCompleted,
    cohort_converted: cohortConverted,
    settled_completed: cohortCompleted,
    settled_converted: row[9],
    completed: row[10],
    exited: row[11],
    converted: row[12],
    trigger,
    bulk,
    api,
    manual,
    durations: byEvent ? row[10] : cohortCompleted,
    duration_us: byEvent ? row[15] : row[13],
    conversion_times: byEvent ? row[12] : cohortConverted,
    conversion_us: byEvent ? row[16] : row[14],
  };
}

/** Adds to a bucket, or takes away from it. */
function add(bucket: BucketSums, sums: BucketSums, sign: 1 | -1): void {
  addCounts(bucket, sums, sign);
  bucket.newcomers += sign * sums.newcomers;
  for (const key of TIMED) {
    const us = BigInt(sums[key]);
    bucket[key] = String(BigInt(bucket[key]) + (sign > 0 ? us : -us));
  }
}

/** One by one: by a list of their names it takes ten times as long. */
function addCounts(to: Sums, sums: Sums, sign: 1 | -1): void {
  to.enrolled += sign * sums.enrolled;
  to.in_progress += sign * sums.in_progress;
  to.cohort_completed += sign * sums.cohort_completed;
  to.cohort_converted += sign * sums.cohort_converted;
  to.settled_completed += sign * sums.settled_completed;
  to.settled_converted += sign * sums.settled_converted;
  to.completed += sign * sums.completed;
  to.exited += sign * sums.exited;
  to.converted += sign * sums.converted;
  to.trigger += sign * sums.trigger;
  to.bulk += sign * sums.bulk;
  to.api += sign * sums.api;
  to.manual += sign * sums.manual;
  to.durations += sign * sums.durations;
  to.conversion_times += sign * sums.conversion_times;
}

/** What buckets add up to. */
function total(buckets: Counts["buckets"]): Sums {
  const whole = { ...NOTHING };
  buckets.forEach((sums) => addCounts(whole, sums!, 1));
  for (const key of TIMED) {
    whole[key] = String(
      buckets.reduce((us, sums) => us + BigInt(sums![key]), 0n),
    );
  }
  return whole;
}

/** Most first, then by name. */
function reasonsOf(
  facts: ReasonFacts[],
  byEvent: boolean,
): Counts["reasons"] {
  const counts = new Map<string, number>();
  for (const [sign, reasons] of facts) {
    for (const [reason, cohortEnds, ends] of reasons) {
      const count = sign * (byEvent ? ends : cohortEnds);
      counts.set(reason, (counts.get(reason) ?? 0) + count);
    }
  }
  return [...counts].map(([reason, count]) => ({ reason, count }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1));
}

/** Executions running at each bucket's end, or now. */
function activeOf(
  { head: { bounds }, running, net_after, net_ahead }: ExecutionCounts,
  buckets: Counts["buckets"],
  now: Date,
): number[] {
  const active: number[] = [];
  // Backwards from what runs in the end: take away what began since, add what ended.
  let atEnd = running - net_after;
  for (let i = bounds.length - 2; i >= 0; i--) {
    active[i] = bounds[i + 1]! <= now.getTime() ? atEnd : running - net_ahead;
    const { enrolled, completed, exited } = buckets[i] ?? NOTHING;
    atEnd -= enrolled - completed - exited;
  }
  return active;
}

function trendsOf({ head, buckets, active }: Counts): TrendPoint[] {
  const bounds = isoInstants(head.bounds);
  let enrolled = 0;
  return head.dates.map((date, i): TrendPoint => {
    const sum = buckets[i] ?? { ...NOTHING, newcomers: 0 };
    enrolled += sum.newcomers;
    return {
      date,
      label: head.labels[i]!,
      start: bounds[i]!,
      end: bounds[i + 1]!,
      new_enrollments: sum.enrolled,
      completions: sum.completed,
      conversions: sum.converted,
      exits: sum.exited,
      cohort_completed: sum.cohort_completed,
      cohort_converted: sum.cohort_converted,
      in_progress: sum.in_progress,
      total_enrolled: enrolled,
      currently_active: active[i]!,
    };
  });
}

/** As `Date` writes them. The same time of the next day is written over the day before: a date takes six times as long. */
function isoInstants(instants: number[]): string[] {
  let text = "";
  let day = DAYS_OF_EACH_MONTH;
  return instants.map((instant, i) => {
    if (day < DAYS_OF_EACH_MONTH && instant - instants[i - 1]! === DAY_MS) {
      day += 1;
      text = `${text.slice(0, 8)}${day < 10 ? "0" : ""}${day}${text.slice(10)}`;
    } else {
      text = new Date(instant).toISOString();
      day = Number(text.slice(8, 10));
    }
    return text;
  });
}

function totalsOf(whole: Sums, { attribution }: AnalyticsQuery): Totals {
  const byEvent = attribution === "event";
  return {
    enrolled: whole.enrolled,
    completed: byEvent ? whole.completed : whole.cohort_completed,
    converted: byEvent ? whole.converted : whole.cohort_converted,
    durations: whole.durations,
    duration_us: whole.duration_us,
  };
}

function summaryOf(
  counts: Counts,
  query: AnalyticsQuery,
  trends: TrendPoint[],
  now: Date,
): Summary {
  const { whole } = counts;
  const { enrolled, completed, converted } = totalsOf(whole, query);
  const settled = enrolled - whole.in_progress;
  const begun = counts.head.bounds.slice(0, -1)
    .filter((start) => start <= now.getTime());

  const sources = SOURCES
    .map((source) => ({ source, count: whole[source] }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || (a.source < b.source ? -1 : 1));

  return {
    total_enrolled: enrolled,
    currently_active: trends.at(-1)!.currently_active,
    completed,
    completion_rate: rate(completed, enrolled),
    goals_achieved: converted,
    conversion_rate: rate(converted, enrolled),
    average_duration_seconds: meanSeconds(whole.duration_us, whole.durations),
    average_duration_hours: quotient(
      whole.duration_us,
      BigInt(whole.durations) * 3_600_000_000n,
      2,
    ),
    median_duration_seconds: seconds(counts.duration?.p50 ?? null),
    p95_duration_seconds: seconds(counts.duration?.p95 ?? null),
    in_progress: whole.in_progress,
    settled,
    settled_completion_rate: rate(whole.settled_completed, settled),
    settled_conversion_rate: rate(whole.settled_converted, settled),
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
      average: meanSeconds(whole.conversion_us, whole.conversion_times),
      median: seconds(counts.conversion?.p50 ?? null),
      p95: seconds(counts.conversion?.p95 ?? null),
      fastest: seconds(counts.conversion?.fastest ?? null),
      slowest: seconds(counts.conversion?.slowest ?? null),
    },
  };
}

function comparisonOf(
  counts: Counts,
  current: Totals,
  { first, last }: DateRange,
): Comparison {
  const past = counts.past!;
  const shown = comparedOf(current);
  const before = past.totals && comparedOf(past.totals);
  const change = (key: keyof typeof shown, decimals: number) =>
    changeOf(shown[key], before && before[key], decimals);
  const inPoints = (key: "completion_rate" | "conversion_rate") => {
    const { change_percent: _, ...points } = change(key, 2);
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
    total_enrolled: change("total_enrolled", 0),
    completed: change("completed", 0),
    completion_rate: inPoints("completion_rate"),
    goals_achieved: change("goals_achieved", 0),
    conversion_rate: inPoints("conversion_rate"),
    average_duration_seconds: change("average_duration_seconds", 3),
  };
}

function comparedOf(totals: Totals) {
  const { enrolled, completed, converted, durations, duration_us } = totals;
  return {
    total_enrolled: enrolled,
    completed,
    completion_rate: rate(completed, enrolled),
    goals_achieved: converted,
    conversion_rate: rate(converted, enrolled),
    average_duration_seconds: meanSeconds(duration_us, durations),
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
