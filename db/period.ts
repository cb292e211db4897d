/**
 * What every read of a workflow's numbers begins with.
 *
 * @module
 */

import type { AnalyticsQuery, Period, Step } from "./schema.ts";

/** What `weir.read_head()` says of a workflow and a range. */
export interface Head {
  /** The zone that was answered in. */
  tz: string;
  /** Instants: the days begin at all but the last, which is the range's end. */
  bounds: string[];
  as_of: string;
  revision: number;
  /** Of the version that was asked for, in order. */
  steps: Step[];
}

/** Nearest ranks of a set of durations, microseconds; `null` where there are none. */
export interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
  fastest: number | null;
  slowest: number | null;
}

/**
 * The range that was answered.
 *
 * @param head What the database said of it.
 * @param query What was asked for.
 */
export function periodOf(head: Head, query: AnalyticsQuery): Period {
  return {
    start_date: query.start_date,
    end_date: query.end_date,
    tz: query.tz ?? head.tz,
    tz_effective: head.tz,
    start: head.bounds[0]!,
    end: head.bounds.at(-1)!,
    granularity: query.granularity,
    attribution: query.attribution,
  };
}

/**
 * The local date some days after another.
 *
 * @param date `YYYY-MM-DD`
 * @param days May be negative.
 */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString()
    .slice(0, 10);
}
