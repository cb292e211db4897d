/**
 * What is in an exported file: the same for whoever sends it at once and for whoever
 * puts it away.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import { copyOut, jsonLiteral, uuidLiteral } from "./copy.ts";
import { analyticsCsv, BOM, framed } from "./csv.ts";
import { readLive } from "./live.ts";
import { readPast } from "./page.ts";
import type { AnalyticsQuery, ExportQuery, LiveNumbers } from "./schema.ts";

/** A file that has begun. */
export interface ExportFile {
  name: string;
  mediaType: string;
  body: ReadableStream<Uint8Array>;
  /** Rows so far; `null` where the file is no table. */
  rows(): number | null;
}

/** The three reads of one query and one snapshot, and how far the workflow was then. */
export interface Numbers extends LiveNumbers {
  revision: number;
}

/** Whose workflow, when, and where its rows come from. */
export interface ExportSource {
  sql: Sql;
  accountId: number;
  workflowUuid: string;
  now: Date;
  /** Ends what reads long. */
  signal?: AbortSignal;
}

/**
 * Counts the executions that an export would have.
 *
 * @param source Whose.
 * @param request What was asked for.
 * @param rowsMax Counted up to one more.
 * @returns `null` when the account has no such workflow; 0 rows for numbers.
 */
export async function countRows(
  { sql, accountId, workflowUuid, now }: ExportSource,
  request: ExportQuery,
  rowsMax: number,
): Promise<{ rows: number; as_of: string } | null> {
  if (request.rows !== "executions") {
    return { rows: 0, as_of: now.toISOString() };
  }
  const [row] = await sql<[{ head: { rows: number; as_of: string } | null }]>`
    select weir.export_head(${accountId}, ${workflowUuid},
      ${JSON.stringify(request)}::text::jsonb, ${now}, ${rowsMax}) as head`;
  return row.head;
}

/**
 * Begins a file of CSV or JSON.
 *
 * @param source Whose.
 * @param request What was asked for; of format `csv` or `json`.
 * @param counted Told how many rows there are so far, now and then.
 * @returns `null` when the account has no such workflow.
 * @throws {DetailExpired} When hours or contacts are asked for that are not kept.
 */
export async function openExport(
  source: ExportSource,
  request: ExportQuery,
  counted: (rows: number) => void = () => {},
): Promise<ExportFile | null> {
  const named = {
    name: fileName(source, request),
    mediaType: MEDIA_TYPES[request.format],
  };
  if (request.rows === "executions") {
    const head = await countRows(source, request, 0);
    if (head === null) return null;
    let rows = 0;
    const count = (soFar: number) => counted(rows = soFar);
    const body = await copyExecutions(source, request, head.as_of, count);
    return { ...named, body, rows: () => rows };
  }

  const numbers = await readNumbers(source, request);
  if (numbers === null) return null;
  if (request.format === "json") {
    const body = streamOf([JSON.stringify(numbers), "\n"]);
    return { ...named, body, rows: () => null };
  }
  const { sql, accountId, workflowUuid, now } = source;
  const previous = await readPast(sql, accountId, workflowUuid, request, now);
  const lines = analyticsCsv(numbers.analytics, previous);
  const body = streamOf([request.bom === "true" ? BOM : "", ...lines]);
  return { ...named, body, rows: () => numbers.analytics.trends.length };
}

/**
 * The three reads that a page shows.
 *
 * @returns `null` when the account has no such workflow.
 */
export async function readNumbers(
  { sql, accountId, workflowUuid, now }: ExportSource,
  query: AnalyticsQuery,
): Promise<Numbers | null> {
  const live = await readLive(sql, accountId, workflowUuid, query, now);
  if (live === null) return null;
  // When they change next is nobody's who reads them once.
  const { revision, analytics, funnel, actions } = live;
  return { revision, analytics, funnel, actions };
}

const MEDIA_TYPES = {
  csv: "text/csv; charset=utf-8; header=present",
  json: "application/json",
  pdf: "application/pdf",
};

/** Columns of `weir.export_executions()`. */
const EXECUTION_COLUMNS =
  "execution_id,contact_id,status,source,version,enrolled_at_utc,ended_at_utc,end_reason,duration_seconds,converted_at_utc,goal_id,goal_name,open_steps";

async function copyExecutions(
  { sql, accountId, workflowUuid, now, signal }: ExportSource,
  request: ExportQuery & { rows: "executions" },
  as_of: string,
  counted: (rows: number) => void,
): Promise<ReadableStream<Uint8Array>> {
  const parameters = [
    String(Math.trunc(accountId)),
    uuidLiteral(workflowUuid),
    jsonLiteral(request),
    `'${now.toISOString()}'::timestamptz`,
  ].join(", ");
  if (request.format === "csv") {
    const rows = await copyOut(
      sql,
      `copy (select * from weir.export_executions(${parameters})) to stdout (format csv)`,
      { signal },
    );
    return rows.pipeThrough(framed({
      head: (request.bom === "true" ? BOM : "") + EXECUTION_COLUMNS,
      between: "\r\n",
      foot: "\r\n",
      isTable: true,
    }, counted));
  }
  // Characters that JSON never has, so that COPY changes nothing in it.
  const rows = await copyOut(
    sql,
    `copy (select * from weir.export_execution_rows(${parameters})) to stdout (format csv, delimiter e'\\x01', quote e'\\x02')`,
    { signal },
  );
  const head = JSON.stringify({ workflow_id: workflowUuid, as_of });
  return rows.pipeThrough(framed({
    head: `${head.slice(0, -1)},"executions":[\n`,
    between: ",\n",
    foot: "\n]}\n",
    isTable: false,
  }, counted));
}

/**
 * What a file is called: `workflow-analytics-{workflow_id}-{date}.csv`, by the day it
 * was made.
 */
export function fileName(
  { workflowUuid, now }: Pick<ExportSource, "workflowUuid" | "now">,
  { format, rows }: Pick<ExportQuery, "format" | "rows">,
): string {
  const what = rows === "executions" ? "executions" : "analytics";
  const date = now.toISOString().slice(0, 10);
  return `workflow-${what}-${workflowUuid}-${date}.${format}`;
}

function streamOf(texts: Iterable<string>): ReadableStream<Uint8Array> {
  return ReadableStream.from(texts).pipeThrough(new TextEncoderStream());
}
