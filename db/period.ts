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
  /** Whether the range lies where hours and executions are kept. */
  hours: boolean;
  /** Of each bucket, as is the next. */
  dates: string[];
  labels: string[];
  /** Instants, ms since 1970: the buckets begin at all but the last, which is the range's end. */
  bounds: number[];
  as_of: string;
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
    start: new Date(head.bounds[0]!).toISOString(),
    end: new Date(head.bounds.at(-1)!).toISOString(),
    granularity: query.granularity,
    attribution: query.attribution,
    unit: query.unit,
  };
}

/** Hours or contacts were asked for of a range that begins before they are kept. */
export class DetailExpired extends RangeError {
  override readonly name = "DetailExpired";
  /** What of the query asked for them. */
  readonly path: "granularity" | "unit";

  constructor(path: "granularity" | "unit", message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Refuses to count the contacts of a range whose executions are not all kept.
 *
 * @param head What the database said of the range.
 * @param query What was asked for.
 * @throws {DetailExpired} When it is too old.
 */
export function requireContacts(
  head: Pick<Head, "hours">,
  { unit }: Pick<AnalyticsQuery, "unit">,
): void {
  if (unit === "contact" && !head.hours) {
    throw new DetailExpired(
      "unit",
      "Cannot count contacts: executions are kept for 90 days",
    );
  }
}

/** Both dates of a range, included. */
export interface DateRange {
  first: string;
  last: string;
}

/**
 * The range that another one is compared with.
 *
 * @param query What was asked for.
 * @returns `null` where nothing is compared.
 */
export function comparedRange(query: AnalyticsQuery): DateRange | null {
  const { start_date, end_date } = query;
  switch (query.compare) {
    case "none":
      return null;
    case "custom":
      return { first: query.compare_start!, last: query.compare_end! };
    case "year":
      return { first: yearBefore(start_date), last: yearBefore(end_date) };
    case "previous": {
      const first = Temporal.PlainDate.from(start_date);
      const days = first.until(end_date).days + 1;
      return {
        first: first.subtract({ days }).toString(),
        last: first.subtract({ days: 1 }).toString(),
      };
    }
  }
}

/** 29 February goes back to the 28th. */
function yearBefore(date: string): string {
  return Temporal.PlainDate.from(date).subtract({ years: 1 }).toString();
}
