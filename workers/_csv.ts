/**
 * Event logs as CSV: the header mapped to what an event log needs, then row by row.
 *
 * Why not a CSV library: after one stray quote they lose everything up to the next one,
 * often the rest of the file. Here a broken line costs only itself, because a record
 * that does not close or has not the header's fields is given up after its first line.
 *
 * @module
 */

import { type BrokenRow, type Line, LINE_CHARS_MAX } from "./_text.ts";

/** One row of a log: something happened to a case. Empty texts where a field is missing. */
export interface LogRow {
  /** Line in the file, from 1. */
  line: number;
  caseId: string;
  activity: string;
  timestamp: string;
  lifecycle: string;
}

/** Which columns (attributes, in XES) hold what; what is left out is guessed. */
export interface Mapping {
  case?: string;
  activity?: string;
  timestamp?: string;
  /** `none`: ignore the one the file has. */
  lifecycle?: string;
}

/** The columns that are read. */
export interface Columns {
  case: string;
  activity: string;
  timestamp: string;
  /** `null`: every row is a completion. */
  lifecycle: string | null;
}

/** A CSV text whose header has been read. */
export interface CsvLog {
  columns: Columns;
  delimiter: string;
  rows: AsyncGenerator<(LogRow | BrokenRow)[]>;
}

/** Headers that are taken without being told, in letters and digits, best first. */
const USUAL_HEADERS = {
  case: [
    ...["caseconceptname", "caseid", "case", "casekey", "traceid", "trace"],
    ...["contactid", "contact", "patientid", "patient", "customerid"],
    ...["customer", "userid", "user", "processinstance", "processinstanceid"],
  ],
  activity: [
    ...["activity", "activityname", "conceptname", "activityid", "activityen"],
    ...["handling", "eventname", "event", "taskname", "task", "stepname"],
    ...["step", "action", "operation"],
  ],
  timestamp: [
    ...["timestamp", "timetimestamp", "completetimestamp", "eventtime"],
    ...["completiontime", "endtimestamp", "occurredat", "datetime", "time"],
    ...["eventtimestamp", "endtime", "starttimestamp", "starttime", "date"],
  ],
  lifecycle: [
    ...["lifecycletransition", "lifecycle", "lifecycleid", "transition"],
    ...["registrationtype", "eventtype"],
  ],
};

const DELIMITERS = [",", ";", "\t", "|"];

/**
 * Reads the header of a CSV log, and gets ready for its rows. An unquoted first line
 * `sep=;`, as Excel writes it, names the delimiter.
 *
 * @param batches The file's lines.
 * @param mapping Columns by name; guessed where not given.
 * @param delimiter One character; default: the most frequent in the header.
 * @returns The columns and the rows, of which the broken ones say why.
 * @throws {Error} If a column cannot be found, with the columns there are.
 */
export async function readCsv(
  batches: AsyncGenerator<Line[]>,
  mapping: Mapping,
  delimiter?: string,
): Promise<CsvLog> {
  const { header, named, rest } = await findHeader(batches);
  const separator = delimiter ?? named ?? guessDelimiter(header);
  const names = splitFields(header, separator);
  if (typeof names === "string") {
    throw new Error("Cannot read the header: a quote does not match");
  }
  const columns = findColumns(names.map((name) => name.trim()), mapping);
  return {
    columns,
    delimiter: separator,
    rows: readRows(rest, batches, names, columns, separator),
  };
}

/** The first line that is not blank, the delimiter named before it, and what follows. */
async function findHeader(
  batches: AsyncGenerator<Line[]>,
): Promise<{ header: string; named?: string; rest: Line[] }> {
  let named: string | undefined;
  for (;;) {
    const { value: lines, done } = await batches.next();
    if (done) {
      throw new Error("Cannot find a header: the file has no such line");
    }
    for (const [i, { text }] of lines.entries()) {
      const header = text ?? "";
      const separator: string | undefined = /^sep=(.)$/i.exec(header)?.[1];
      named ??= separator;
      if (header.trim() === "" || separator !== undefined) continue;
      return { header, named, rest: lines.slice(i + 1) };
    }
  }
}

function guessDelimiter(header: string): string {
  const bare = header.replace(/"[^"]*"/g, "");
  let best = ",";
  for (const candidate of DELIMITERS) {
    if (bare.split(candidate).length > bare.split(best).length) {
      best = candidate;
    }
  }
  return best;
}

function findColumns(names: string[], mapping: Mapping): Columns {
  const required = (use: "case" | "activity" | "timestamp") => {
    const found = findColumn(names, use, mapping[use]);
    if (found !== null) return found;
    throw new Error(
      `Cannot tell which column holds the ${use}: say --${use} with one of ${
        names.map((name) => JSON.stringify(name)).join(", ")
      }`,
    );
  };
  return {
    case: required("case"),
    activity: required("activity"),
    timestamp: required("timestamp"),
    lifecycle: mapping.lifecycle === "none"
      ? null
      : findColumn(names, "lifecycle", mapping.lifecycle),
  };
}

function findColumn(
  names: string[],
  use: keyof Columns,
  wanted: string | undefined,
): string | null {
  if (wanted === undefined) {
    for (const usual of USUAL_HEADERS[use]) {
      const found = names.find((name) => plain(name) === usual);
      if (found !== undefined) return found;
    }
    return null;
  }
  const found = names.find((name) => name === wanted) ??
    names.find((name) => name.toLowerCase() === wanted.trim().toLowerCase());
  if (found !== undefined) return found;
  throw new Error(
    `Cannot find the column "${wanted}" of --${use}: the file has ${
      names.map((name) => JSON.stringify(name)).join(", ")
    }`,
  );
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

async function* readRows(
  first: Line[],
  batches: AsyncGenerator<Line[]>,
  header: string[],
  columns: Columns,
  delimiter: string,
): AsyncGenerator<(LogRow | BrokenRow)[]> {
  const names = header.map((name) => name.trim());
  const place = {
    case: names.indexOf(columns.case),
    activity: names.indexOf(columns.activity),
    timestamp: names.indexOf(columns.timestamp),
    lifecycle: columns.lifecycle === null
      ? -1
      : names.indexOf(columns.lifecycle),
  };
  const needed = Math.max(...Object.values(place)) + 1;
  // Some writers leave out empty fields at the end, some add a delimiter there.
  const isWhole = (fields: string[], isOneLine: boolean) =>
    fields.length === names.length || isOneLine && fields.length >= needed &&
      fields.slice(names.length).every((field) => field === "");
  let lines = first;
  for (let isLast = false; !isLast;) {
    const next = await batches.next();
    if (next.done) isLast = true;
    else lines = lines.length === 0 ? next.value : lines.concat(next.value);
    const { records, open } = splitRecords(lines, delimiter, isWhole, isLast);
    lines = open;
    yield records.map((record) =>
      "problem" in record ? record : {
        line: record.line,
        caseId: record.fields[place.case]!,
        activity: record.fields[place.activity]!,
        timestamp: record.fields[place.timestamp]!,
        lifecycle: record.fields[place.lifecycle] ?? "",
      }
    );
  }
}

interface CsvRecord {
  line: number;
  fields: string[];
}

/**
 * Splits lines into records.
 *
 * @returns The records, and the lines at the end that may belong to one that goes on.
 */
function splitRecords(
  lines: Line[],
  delimiter: string,
  isWhole: (fields: string[], isOneLine: boolean) => boolean,
  isLast: boolean,
): { records: (CsvRecord | BrokenRow)[]; open: Line[] } {
  const records: (CsvRecord | BrokenRow)[] = [];
  for (let i = 0; i < lines.length;) {
    const line = lines[i]!.line;
    const found = recordAt(lines, i, delimiter, isWhole, isLast);
    if (found === "open") return { records, open: lines.slice(i) };
    if (typeof found === "string") {
      if (found !== "blank") records.push({ line, problem: found });
      i++;
    } else {
      records.push({ line, fields: found.fields });
      i += found.lineCount;
    }
  }
  return { records, open: [] };
}

/** The record that begins at a line; else `open`, `blank`, or what is wrong with that line. */
function recordAt(
  lines: Line[],
  start: number,
  delimiter: string,
  isWhole: (fields: string[], isOneLine: boolean) => boolean,
  isLast: boolean,
): { fields: string[]; lineCount: number } | string {
  const first = lines[start]!.text;
  if (first === null) return `is longer than ${LINE_CHARS_MAX} characters`;
  if (first.trim() === "") return "blank";
  let text = first;
  for (let end = start + 1;; end++) {
    const fields = splitFields(text, delimiter);
    if (fields === "broken") return "has a quote inside a quoted field";
    if (typeof fields !== "string") {
      if (isWhole(fields, text === first)) {
        return { fields, lineCount: end - start };
      }
      return `has ${fields.length} fields, not as many as the header`;
    }
    const next = lines[end];
    if (end - start > RECORD_LINES_MAX || next?.text === null) break;
    if (next === undefined && !isLast) return "open";
    if (next === undefined) break;
    text += `\n${next.text}`;
    if (text.length > LINE_CHARS_MAX) break;
  }
  return "has a quote that is never closed";
}

/** Most lines of one record: quoted line breaks are rare in logs, forgotten quotes are not. */
const RECORD_LINES_MAX = 100;

/**
 * Splits a record into its fields: RFC 4180, and a quote inside an unquoted field is
 * just a character.
 *
 * @param text One line, or several that a quoted field spans.
 * @param delimiter One character.
 * @returns The fields without their quotes; `open` if the last one is not closed yet;
 * `broken` if something follows a closing quote.
 */
export function splitFields(
  text: string,
  delimiter: string,
): string[] | "open" | "broken" {
  if (!text.includes('"')) return text.split(delimiter);
  const fields: string[] = [];
  for (let i = 0; i <= text.length; i++) {
    if (text[i] !== '"') {
      const end = text.indexOf(delimiter, i);
      const stop = end < 0 ? text.length : end;
      fields.push(text.slice(i, stop));
      i = stop;
      continue;
    }
    let end = text.indexOf('"', i + 1);
    while (end >= 0 && text[end + 1] === '"') end = text.indexOf('"', end + 2);
    if (end < 0) return "open";
    fields.push(text.slice(i + 1, end).replaceAll('""', '"'));
    i = end + 1;
    if (i < text.length && text[i] !== delimiter) return "broken";
  }
  return fields;
}
