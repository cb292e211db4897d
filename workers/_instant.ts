/**
 * Timestamps as logs write them, and as events carry them. An instant is microseconds
 * since 1970 UTC: exact in a number until the year 2255.
 *
 * @module
 */

const TIME = String
  .raw`(?:[T ]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?`;
const OFFSET = String.raw`\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?`;

/** `2014/10/22 11:15:41.000`, ISO 8601, RFC 3339: year first, any one separator. */
const YEAR_FIRST = new RegExp(
  String.raw`^(\d{4})([-/.])(\d{1,2})\2(\d{1,2})${TIME}${OFFSET}$`,
  "i",
);

/** `22.10.2014 11:15`: with dots the day comes first everywhere. */
const DAY_FIRST = new RegExp(
  String.raw`^(\d{1,2})\.(\d{1,2})\.(\d{4})${TIME}${OFFSET}$`,
  "i",
);

/** Unix time: seconds, milliseconds or microseconds of the years 2001 to 2286. */
const UNIX = /^\d{10}(\d{3}){0,2}$/;

/** First instant that an event may carry: the year 1900. */
const FIRST_MICROS = Date.UTC(1900, 0, 1) * 1000;

/**
 * Reads a timestamp: year first (`2014/10/22 11:15:41.000`, ISO 8601), day first with
 * dots (`22.10.2014 11:15`), with or without time and offset, or Unix time. What is
 * finer than a microsecond is cut off. `01/02/2014` is refused: nobody knows its month.
 *
 * @param text As the log writes it.
 * @param timeZone IANA zone of timestamps without offset. A local time that a clock
 * change skipped is moved forward by the gap, one that came twice is the earlier.
 * @returns Microseconds since 1970 UTC, or `null` if it cannot be read.
 */
export function parseInstant(text: string, timeZone: string): number | null {
  if (UNIX.test(text)) return Number(text.padEnd(16, "0"));
  const parts = partsOf(text);
  if (parts === null) return null;
  const [year, month, day, hour, minute, second, fraction, offset] = parts;
  const micros = Number(fraction.padEnd(6, "0").slice(0, 6));
  const milliseconds = Date.UTC(year, month - 1, day, hour, minute, second);
  const asWritten = new Date(milliseconds);
  if (
    hour > 23 || minute > 59 || second > 59 ||
    asWritten.getUTCMonth() !== month - 1 || asWritten.getUTCDate() !== day
  ) return null;
  const offsetMs = offset === "" && timeZone !== "UTC"
    ? offsetInZoneMs(asWritten, timeZone)
    : parseOffsetMs(offset);
  if (offsetMs === null) return null;
  const instant = (milliseconds - offsetMs) * 1000 + micros;
  return instant < FIRST_MICROS ? null : instant;
}

type Parts = [
  ...[number, number, number, number, number, number],
  fraction: string,
  offset: string,
];

function partsOf(text: string): Parts | null {
  let year, month, day, rest: (string | undefined)[];
  let match = YEAR_FIRST.exec(text);
  if (match !== null) {
    [, year, , month, day, ...rest] = match;
  } else {
    match = DAY_FIRST.exec(text);
    if (match === null) return null;
    [, day, month, year, ...rest] = match;
  }
  const [hour = 0, minute = 0, second = 0, fraction = "", offset = ""] = rest;
  return [
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
    fraction,
    offset.toUpperCase(),
  ];
}

function parseOffsetMs(offset: string): number | null {
  if (!/^[+-]/.test(offset)) return 0;
  const hours = Number(offset.slice(1, 3));
  const minutes = Number(offset.slice(3).replace(":", ""));
  if (hours > 23 || minutes > 59) return null;
  return (offset.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}

/** What a zone is ahead of UTC at a local time, that is written as if it were UTC. */
function offsetInZoneMs(local: Date, timeZone: string): number {
  const instant = new Temporal.PlainDateTime(
    local.getUTCFullYear(),
    local.getUTCMonth() + 1,
    local.getUTCDate(),
    local.getUTCHours(),
    local.getUTCMinutes(),
    local.getUTCSeconds(),
  ).toZonedDateTime(timeZone, { disambiguation: "compatible" });
  return local.getTime() - instant.epochMilliseconds;
}

/**
 * Writes an instant as RFC 3339 in UTC.
 *
 * @param micros Microseconds since 1970 UTC.
 * @returns Milliseconds, or microseconds where it has some: `2014-10-22T09:15:41.000Z`.
 */
export function formatInstant(micros: number): string {
  const rest = ((micros % 1000) + 1000) % 1000;
  const milliseconds = new Date((micros - rest) / 1000).toISOString();
  return rest === 0
    ? milliseconds
    : `${milliseconds.slice(0, -1)}${String(rest).padStart(3, "0")}Z`;
}
