/**
 * Numbers, shares, durations and dates as people read them. Pure; the same on
 * the server and in the browser.
 *
 * @module
 */

/** Language of the pages; texts are in `text.ts`. */
export const LOCALE = "en";

/** Shown where there is nothing to divide by or nothing was measured. */
export const NOTHING = "–";

/** From here on a headline is shortened; the whole number stays in its title. */
const HEADLINE_SHORT_FROM = 10_000_000;

const count = new Intl.NumberFormat(LOCALE);
const compact = new Intl.NumberFormat(LOCALE, {
  notation: "compact",
  maximumSignificantDigits: 4,
});
const oneDecimal = new Intl.NumberFormat(LOCALE, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const twoDecimals = new Intl.NumberFormat(LOCALE, {
  style: "percent",
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const pluralRules = new Intl.PluralRules(LOCALE);

/**
 * A count with its thousands grouped.
 *
 * @param value Any number; at most two decimals are shown.
 * @returns E.g. `12,345`.
 */
export function formatCount(value: number): string {
  return count.format(Math.round(value * 100) / 100);
}

/**
 * A count for a large figure: whole up to ten million, shortened from there.
 *
 * @param value A count.
 * @returns E.g. `9,876,543` or `12.35M`.
 */
export function formatHeadline(value: number): string {
  return value < HEADLINE_SHORT_FROM
    ? formatCount(value)
    : compact.format(value);
}

/**
 * A count for a chart's axis, where room is short.
 *
 * @param value A count.
 * @returns E.g. `500` or `12.5K`; the ticks of one axis end alike.
 */
export function formatTick(value: number): string {
  return compact.format(value);
}

/**
 * A percentage with one decimal, or with two where one would claim "all" or
 * "none" and neither is so.
 *
 * @param rate 0 to 100 (or above), or `null`.
 * @returns E.g. `56.0%`, `99.96%`, or {@linkcode NOTHING}.
 */
export function formatRate(rate: number | null): string {
  if (rate === null) return NOTHING;
  const rounded = Math.round(rate * 10) / 10;
  const claimsTooMuch = (rounded === 100 || rounded === 0) && rounded !== rate;
  return (claimsTooMuch ? twoDecimals : oneDecimal).format(rate / 100);
}

/** Units of a duration, largest first, in seconds. */
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
] as const;

/**
 * A duration in its two largest units.
 *
 * @param seconds 0 or more, or `null`.
 * @returns E.g. `2d 4h`, `1m 5s`, `12.4s`, `850ms`, or {@linkcode NOTHING}.
 */
export function formatSeconds(seconds: number | null): string {
  if (seconds === null) return NOTHING;
  if (seconds > 0 && seconds < 0.9995) {
    return formatUnit(Math.max(1, Math.round(seconds * 1_000)), "millisecond");
  }
  if (seconds < 59.95) {
    return formatUnit(Math.round(seconds * 10) / 10, "second");
  }

  const at = UNITS.findIndex(([, size]) => Math.round(seconds) >= size);
  const [, lesserSize] = UNITS[at + 1]!;
  // Rounded first: 23 h 59 min 45 s is a day, not 24 hours.
  return formatWhole(Math.round(seconds / lesserSize) * lesserSize);
}

function formatWhole(seconds: number): string {
  const at = UNITS.findIndex(([, size]) => seconds >= size);
  const [unit, size] = UNITS[at]!;
  const [lesserUnit, lesserSize] = UNITS[at + 1]!;
  const parts = [formatUnit(Math.floor(seconds / size), unit)];
  const rest = Math.floor(seconds % size / lesserSize);
  if (rest > 0) parts.push(formatUnit(rest, lesserUnit));
  return parts.join(" ");
}

/**
 * The same for milliseconds, as actions are measured in.
 *
 * @param milliseconds 0 or more, or `null`.
 * @returns E.g. `320ms`, `1.3s`, or {@linkcode NOTHING}.
 */
export function formatMilliseconds(milliseconds: number | null): string {
  return formatSeconds(milliseconds === null ? null : milliseconds / 1_000);
}

const unitOf = kept((unit) =>
  new Intl.NumberFormat(LOCALE, {
    style: "unit",
    unit,
    unitDisplay: "narrow",
    maximumFractionDigits: 1,
  })
);

function formatUnit(value: number, unit: string): string {
  return unitOf(unit).format(value);
}

/**
 * Keeps what is made: making a formatter costs a hundred times as much as using it.
 *
 * @param make Of a zone or a unit, of which there are some hundred.
 */
export function kept<T>(make: (key: string) => T): (key: string) => T {
  const made = new Map<string, T>();
  return (key) => {
    if (!made.has(key)) made.set(key, make(key));
    return made.get(key)!;
  };
}

/**
 * Chooses the word for a number.
 *
 * @param value The number that decides.
 * @param one For one.
 * @param other For all others.
 * @returns One of the two.
 */
export function plural(value: number, one: string, other: string): string {
  return pluralRules.select(value) === "one" ? one : other;
}

/** A local date stands for itself, so it is shown as if UTC were its zone. */
function atNoon(date: string): Date {
  return new Date(`${date}T12:00:00Z`);
}

/**
 * A local date, as short as a chart's axis needs.
 *
 * @param date `YYYY-MM-DD`
 * @returns E.g. `Nov 22`.
 */
export function formatDayShort(date: string): string {
  return dayShort.format(atNoon(date));
}

const dayShort = new Intl.DateTimeFormat(LOCALE, {
  month: "short",
  day: "numeric",
  timeZone: "UTC",
});

/**
 * A local date with its weekday.
 *
 * @param date `YYYY-MM-DD`
 * @returns E.g. `Sun, Nov 22, 2026`.
 */
export function formatDay(date: string): string {
  return day.format(atNoon(date));
}

const day = new Intl.DateTimeFormat(LOCALE, {
  weekday: "short",
  year: "numeric",
  month: "short",
  day: "numeric",
  timeZone: "UTC",
});

/**
 * The local time that a bucket of a trend stands for.
 *
 * @param label As `TrendPoint` has it: a day, `2026-W48`, `2026-11`, or an hour.
 * @param date The first local date of it, `YYYY-MM-DD`.
 * @returns E.g. `Sun, Nov 22, 2026`, `November 2026`, `Sun, Nov 22, 2 PM`.
 */
export function formatBucket(label: string, date: string): string {
  if (label.includes("T")) {
    return hour.format(new Date(`${label.slice(0, 16)}:00Z`));
  }
  if (/^\d+-\d\d$/.test(label)) return month.format(atNoon(date));
  return formatDay(date);
}

/**
 * The same, as short as a chart's axis needs.
 *
 * @returns E.g. `Nov 22` or `2 PM`.
 */
export function formatBucketShort(label: string, date: string): string {
  if (label.includes("T")) {
    return hourShort.format(new Date(`${label.slice(0, 16)}:00Z`));
  }
  return formatDayShort(date);
}

const month = new Intl.DateTimeFormat(LOCALE, {
  month: "long",
  year: "numeric",
  timeZone: "UTC",
});
const hour = new Intl.DateTimeFormat(LOCALE, {
  weekday: "short",
  month: "short",
  day: "numeric",
  hour: "numeric",
  timeZone: "UTC",
});
const hourShort = new Intl.DateTimeFormat(LOCALE, {
  hour: "numeric",
  timeZone: "UTC",
});

/**
 * How much a count changed.
 *
 * @param percent Of the count before, may be negative.
 * @returns Without its sign, e.g. `12.4%`.
 */
export function formatShift(percent: number): string {
  return oneDecimal.format(Math.abs(percent) / 100);
}

/**
 * How much a rate changed.
 *
 * @param points Percentage points, may be negative.
 * @returns Without its sign, e.g. `1.2`.
 */
export function formatPoints(points: number): string {
  return point.format(Math.abs(points));
}

const point = new Intl.NumberFormat(LOCALE, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

/**
 * A range of local dates, both included.
 *
 * @param start `YYYY-MM-DD`
 * @param end `YYYY-MM-DD`, not before `start`.
 * @returns E.g. `Oct 24 – Nov 22, 2026`.
 */
export function formatRange(start: string, end: string): string {
  return range.formatRange(atNoon(start), atNoon(end));
}

const range = new Intl.DateTimeFormat(LOCALE, {
  year: "numeric",
  month: "short",
  day: "numeric",
  timeZone: "UTC",
});

/**
 * An instant on the clock of a zone.
 *
 * @param instant RFC 3339.
 * @param timeZone IANA.
 * @returns E.g. `Nov 22, 2026, 2:03:22 PM`.
 */
export function formatInstant(instant: string, timeZone: string): string {
  return clockOf(timeZone).format(new Date(instant));
}

const clockOf = kept((timeZone) =>
  new Intl.DateTimeFormat(LOCALE, {
    dateStyle: "medium",
    timeStyle: "medium",
    timeZone,
  })
);

/**
 * A producer's own word, made readable.
 *
 * @param word Snake case, e.g. `manual_removal`.
 * @returns E.g. `Manual removal`.
 */
export function formatWord(word: string): string {
  const words = word.replaceAll("_", " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Names of which any will do.
 *
 * @param names One or more.
 * @returns E.g. `Completed or Exited`.
 */
export function formatAny(names: string[]): string {
  return new Intl.ListFormat(LOCALE, { type: "disjunction" }).format(names);
}
