/**
 * Ranges of local dates. Pure.
 *
 * @module
 */

import type { Preferences } from "../db/schema.ts";
import { kept } from "./format.ts";

/** Both dates included, `YYYY-MM-DD`. */
export interface DateRange {
  start_date: string;
  end_date: string;
}

/** Ranges that are one key away. They move with the day, all but the last month end today. */
export const PRESETS = [
  "today",
  "7d",
  "30d",
  "90d",
  "month",
  "last_month",
] as const satisfies readonly Preferences["default_range"][];
export type Preset = (typeof PRESETS)[number];

/** What is shown when neither the URL nor the reader's preferences name a range. */
export const DEFAULT_PRESET: Preset = "30d";

/**
 * The date on the wall of a zone.
 *
 * @param now The instant.
 * @param timeZone IANA.
 * @returns `YYYY-MM-DD`
 */
export function localDate(now: Date, timeZone: string): string {
  const parts = calendarOf(timeZone).formatToParts(now);
  const part = new Map(parts.map(({ type, value }) => [type, value]));
  return `${part.get("year")!.padStart(4, "0")}-${part.get("month")}-${
    part.get("day")
  }`;
}

const calendarOf = kept((timeZone) =>
  new Intl.DateTimeFormat("en", {
    timeZone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  })
);

/**
 * The dates of a preset.
 *
 * @param preset Which one.
 * @param today Today in the reader's zone, `YYYY-MM-DD`.
 */
export function presetRange(preset: Preset, today: string): DateRange {
  const first = `${today.slice(0, 8)}01`;
  switch (preset) {
    case "today":
      return { start_date: today, end_date: today };
    case "month":
      return { start_date: first, end_date: today };
    case "last_month": {
      const end_date = addDays(first, -1);
      return { start_date: `${end_date.slice(0, 8)}01`, end_date };
    }
    default:
      return {
        start_date: addDays(today, 1 - parseInt(preset)),
        end_date: today,
      };
  }
}

/**
 * A date so many days later.
 *
 * @param date `YYYY-MM-DD`
 * @param days May be negative.
 */
export function addDays(date: string, days: number): string {
  const at = new Date(`${date}T00:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

/**
 * How many days a range has.
 *
 * @param range Both dates included.
 * @returns 1 or more.
 */
export function daysOf({ start_date, end_date }: DateRange): number {
  return (Date.parse(end_date) - Date.parse(start_date)) / 86_400_000 + 1;
}

/**
 * The range of as many days directly before or after.
 *
 * @param range A range.
 * @param direction -1 before, 1 after.
 */
export function neighbour(range: DateRange, direction: -1 | 1): DateRange {
  const days = daysOf(range) * direction;
  return {
    start_date: addDays(range.start_date, days),
    end_date: addDays(range.end_date, days),
  };
}
