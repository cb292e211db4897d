/**
 * What of a workflow is looked at: the part of a page that its URL says. Pure.
 *
 * @module
 */

import type { AnalyticsQuery, Attribution, Granularity } from "../db/schema.ts";
import { type DateRange, daysOf, type Preset } from "./range.ts";

/** As the schema has them, which islands may not load. */
export const GRANULARITIES = [
  "hourly",
  "daily",
  "weekly",
  "monthly",
] as const satisfies readonly Granularity[];
export const COMPARES = [
  "previous",
  "year",
  "none",
] as const satisfies readonly AnalyticsQuery["compare"][];
export const ATTRIBUTIONS = [
  "cohort",
  "event",
] as const satisfies readonly Attribution[];

/** Columns that the table of actions can be sorted by. */
export const ACTION_SORTS = [
  "health",
  "executions",
  "success",
  "failures",
  "mean",
  "p50",
  "p95",
  "p99",
] as const;
export type ActionSort = (typeof ACTION_SORTS)[number];

/** How the numbers are asked for, and how they are shown. */
export interface View {
  /** Dates, zone, buckets, attribution, comparison, version. */
  query: AnalyticsQuery;
  /** The range moves with the day; `null` where it is two dates. */
  preset: Preset | null;
  /** Buckets follow the range's length. */
  autoGranularity: boolean;
  sort: ActionSort;
  /** The order was turned round. */
  reversed: boolean;
  /** Page of the table of actions, from 1. */
  page: number;
}

/** Ranges up to so many days have few enough hours to be told apart. */
const HOURS_DAYS_MAX = 2;

/** Weeks from here on: more than a hundred days are a hedge, not a line. */
const DAYS_DAYS_MAX = 100;

/** Months from here on. */
const WEEKS_DAYS_MAX = 732;

/** Hours are offered up to so many days, which is 336 buckets. */
export const HOURLY_DAYS_MAX = 14;

/**
 * Buckets that suit a range.
 *
 * @param range Its dates.
 */
export function granularityFor(range: DateRange): Granularity {
  const days = daysOf(range);
  if (days <= HOURS_DAYS_MAX) return "hourly";
  if (days <= DAYS_DAYS_MAX) return "daily";
  return days <= WEEKS_DAYS_MAX ? "weekly" : "monthly";
}

/**
 * A view as the query of a URL. What is the same for everybody is left out; the zone
 * never is, so that a link shows the same numbers wherever it is opened.
 *
 * @param view What to say.
 * @returns To be put behind a `?`.
 */
export function viewParams(view: View): URLSearchParams {
  const { query, preset } = view;
  const params = new URLSearchParams(
    preset
      ? { range: preset }
      : { start_date: query.start_date, end_date: query.end_date },
  );
  if (query.tz) params.set("tz", query.tz);
  if (!view.autoGranularity) params.set("granularity", query.granularity);
  if (query.attribution !== "cohort") {
    params.set("attribution", query.attribution);
  }
  if (query.unit !== "execution") params.set("unit", query.unit);
  if (query.compare !== "previous") params.set("compare", query.compare);
  if (query.compare === "custom") {
    params.set("compare_start", query.compare_start!);
    params.set("compare_end", query.compare_end!);
  }
  if (query.version) params.set("version", String(query.version));
  if (view.sort !== "health") params.set("sort", view.sort);
  if (view.reversed) params.set("reversed", "1");
  if (view.page > 1) params.set("page", String(view.page));
  return params;
}

/**
 * A view as the API is asked for it.
 *
 * @param view Its query is all that the API knows of it.
 */
export function apiParams({ query }: View): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) params.set(name, String(value));
  }
  return params;
}

/**
 * A view of other dates. Buckets follow, where nobody chose them.
 *
 * @param view The view before.
 * @param range A preset, or two dates.
 * @param dates Of the preset.
 */
export function withRange(
  view: View,
  preset: Preset | null,
  dates: DateRange,
): View {
  return { ...view, preset, page: 1, query: { ...view.query, ...dates } };
}

/**
 * A view that is asked for in another way.
 *
 * @param view The view before.
 * @param change Of its query.
 */
export function withQuery(view: View, change: Partial<AnalyticsQuery>): View {
  return { ...view, page: 1, query: { ...view.query, ...change } };
}
