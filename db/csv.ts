/**
 * Tables as RFC 4180 says, for spreadsheets that run what looks like a formula.
 *
 * @module
 */

import type { Analytics, TrendPoint } from "./schema.ts";
import { rate } from "./rates.ts";

/** Tells Excel that a file is UTF-8. */
export const BOM = "\uFEFF";

/** A number, a text, or nothing. */
type Cell = string | number | null;

/**
 * One line of a table.
 *
 * @param cells Texts that a spreadsheet would run are escaped by an apostrophe.
 */
export function csvLine(cells: Cell[]): string {
  return cells.map(cellText).join(",") + "\r\n";
}

function cellText(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number") return String(cell);
  const plain = /^[=+\-@\t\r\n]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** The first six are the contract's; what is added goes to their right. */
const COLUMNS = [
  "date",
  "total_enrolled",
  "new_enrollments",
  "completed",
  "goals_achieved",
  "conversion_rate",
  "label",
  "start_utc",
  "end_utc",
  "completions",
  "conversions",
  "exits",
  "cohort_completed",
  "cohort_converted",
  "in_progress",
  "currently_active",
];

/** What is said of the bucket at the same place in the compared range. */
const COMPARED_COLUMNS = [
  "previous_date",
  "previous_new_enrollments",
  "previous_completions",
  "previous_conversions",
  "previous_exits",
  "previous_conversion_rate",
];

/**
 * The trends as a table, one line a bucket.
 *
 * @param analytics What the API answers.
 * @param previous The trend of the compared range; `null` where it is not kept.
 * @returns Lines, the first with the names of the columns.
 */
export function* analyticsCsv(
  { trends, period, comparison }: Analytics,
  previous: TrendPoint[] | null,
): Generator<string> {
  const isCompared = comparison !== null;
  yield csvLine([...COLUMNS, ...isCompared ? COMPARED_COLUMNS : []]);
  // Different contacts of two buckets do not add up.
  const addsUp = period.unit === "execution";
  let completed = 0;
  let converted = 0;
  for (const [i, point] of trends.entries()) {
    completed += point.completions;
    converted += point.conversions;
    yield csvLine([
      point.date,
      point.total_enrolled,
      point.new_enrollments,
      addsUp ? completed : null,
      addsUp ? converted : null,
      rate(point.cohort_converted, point.new_enrollments),
      point.label,
      utcCell(point.start),
      utcCell(point.end),
      point.completions,
      point.conversions,
      point.exits,
      point.cohort_completed,
      point.cohort_converted,
      point.in_progress,
      point.currently_active,
      ...isCompared ? comparedCells(previous?.[i]) : [],
    ]);
  }
}

function comparedCells(point: TrendPoint | undefined): Cell[] {
  if (!point) return COMPARED_COLUMNS.map(() => null);
  return [
    point.date,
    point.new_enrollments,
    point.completions,
    point.conversions,
    point.exits,
    rate(point.cohort_converted, point.new_enrollments),
  ];
}

/** As Excel, pandas and DuckDB all read an instant. */
function utcCell(instant: string): string {
  return instant.replace("T", " ").replace("Z", "");
}

/** Bytes that are sent together: a row alone costs more in passing on than in itself. */
const PIECE_BYTES = 64 * 1024;

const QUOTE = 0x22;
const NEWLINE = 0x0a;

/** What goes between rows, and around them. */
export interface Framing {
  head: string;
  /** Between two rows. */
  between: string;
  /** After the last row, whether there is one or not. */
  foot: string;
  /** The head is a row like the others, and a newline between quotes a part of one. */
  isTable: boolean;
}

/**
 * Counts the rows that COPY sends and ends them as a format wants it, in pieces of a
 * size that is worth sending.
 *
 * @param framing The format.
 * @param counted Told how many rows there were so far, now and then and at the end.
 */
export function framed(
  { head, between, foot, isTable }: Framing,
  counted: (rows: number) => void,
): TransformStream<Uint8Array, Uint8Array> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const separator = encode(between);
  let piece = new Uint8Array(PIECE_BYTES);
  let size = 0;
  let rows = 0;
  let isQuoted = false;
  /** A row has ended, and it is not known yet whether another follows. */
  let isBetween = isTable;
  type Controller = TransformStreamDefaultController<Uint8Array>;

  function put(bytes: Uint8Array, controller: Controller): void {
    for (let from = 0; from < bytes.length;) {
      const part = bytes.subarray(from, from + piece.length - size);
      piece.set(part, size);
      size += part.length;
      from += part.length;
      if (size === piece.length) send(controller);
    }
  }

  function send(controller: Controller): void {
    if (size > 0) controller.enqueue(piece.subarray(0, size));
    piece = new Uint8Array(PIECE_BYTES);
    size = 0;
    counted(rows);
  }

  return new TransformStream(
    {
      start(controller) {
        put(encode(head), controller);
      },
      transform(chunk, controller) {
        let from = 0;
        for (let i = 0; i < chunk.length; i++) {
          const byte = chunk[i];
          if (isBetween) {
            put(separator, controller);
            isBetween = false;
          }
          if (byte === QUOTE && isTable) isQuoted = !isQuoted;
          else if (byte === NEWLINE && !isQuoted) {
            put(chunk.subarray(from, i), controller);
            from = i + 1;
            rows += 1;
            isBetween = true;
          }
        }
        put(chunk.subarray(from), controller);
      },
      flush(controller) {
        put(encode(foot), controller);
        send(controller);
      },
    },
    { highWaterMark: 1 },
    { highWaterMark: 1 },
  );
}
