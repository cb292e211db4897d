/**
 * Ranges of local dates. Pure.
 *
 * @module
 */

/** Both dates included, `YYYY-MM-DD`. */
export interface DateRange {
  start_date: string;
  end_date: string;
}

/** Lengths that are one click away, in days; the last day is today. */
export const PRESET_DAYS = [1, 7, 30, 90] as const;

/** What is shown when the URL names no range. */
export const DEFAULT_DAYS = 30;

/**
 * The date on the wall of a zone.
 *
 * @param now The instant.
 * @param timeZone IANA.
 * @returns `YYYY-MM-DD`
 */
export function localDate(now: Date, timeZone: string): string {
  const parts = new Intl.DateTimeFormat("en", {
    timeZone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  }).formatToParts(now);
  const part = new Map(parts.map(({ type, value }) => [type, value]));
  return `${part.get("year")!.padStart(4, "0")}-${part.get("month")}-${
    part.get("day")
  }`;
}

/**
 * The days that end with a given one.
 *
 * @param today Last day, `YYYY-MM-DD`.
 * @param days How many, 1 or more.
 * @returns The range.
 */
export function lastDays(today: string, days: number): DateRange {
  const start = new Date(`${today}T00:00:00Z`);
  start.setUTCDate(start.getUTCDate() - days + 1);
  return { start_date: start.toISOString().slice(0, 10), end_date: today };
}

/**
 * Which preset a range is.
 *
 * @param range A range.
 * @param today Today in the range's zone.
 * @returns Days of the preset, `null` where it is none.
 */
export function presetOf(
  range: DateRange,
  today: string,
): (typeof PRESET_DAYS)[number] | null {
  return PRESET_DAYS.find((days) => {
    const preset = lastDays(today, days);
    return preset.start_date === range.start_date &&
      preset.end_date === range.end_date;
  }) ?? null;
}
