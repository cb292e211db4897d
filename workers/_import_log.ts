/**
 * An event log as a workflow's history.
 *
 * A log's rows are read first, in 24 bytes each, because the order of the steps is
 * known only at the end; then told as events, recorded and folded. Our own events
 * (NDJSON) go straight through.
 *
 * @module
 */

import type { Sql } from "../db/client.ts";
import { fold, recordEvents } from "../db/events.ts";
import {
  type Event,
  EVENT_AGE_MAX_DAYS,
  EVENT_AHEAD_MAX_MS,
  ID_LENGTH_MAX,
  Reason,
  SOURCES,
  type Step,
  STEPS_MAX,
  TimeZone,
  WorkflowDefinition,
} from "../db/schema.ts";
import { putWorkflow, readWorkflow } from "../db/workflows.ts";
import {
  type Columns,
  type LogRow,
  type Mapping,
  readCsv,
  splitFields,
} from "./_csv.ts";
import {
  goalsOf,
  History,
  type HistoryOptions,
  type HistoryTotals,
  type Transition,
  uuidV5,
} from "./_history.ts";
import { formatInstant, parseInstant } from "./_instant.ts";
import { readNdjson } from "./_ndjson.ts";
import {
  type BrokenRow,
  type LogFormat,
  type OpenedLog,
  openLog,
  readLines,
} from "./_text.ts";
import { readXes } from "./_xes.ts";

/** Whose history it becomes: what `findAccount()` returns. */
export interface ImportAccount {
  account_id: number;
  account_uuid: string;
  /** Zone of timestamps without offset, unless the options name one. */
  time_zone: string;
}

/** How a log is taken over. */
export interface ImportOptions {
  /** Path of a CSV, XES or NDJSON file, plain or gzipped. */
  file: string;
  /** Name of the workflow; with the account it decides the workflow's id. */
  workflow: string;
  /** Which columns hold what; guessed from the header by default. */
  mapping?: Mapping;
  /** One character; default: the most frequent of `,` `;` tab `|` in the header. */
  delimiter?: string;
  /** As `TextDecoder` names it; default: told by the file, else UTF-8. */
  encoding?: string;
  /** IANA zone of timestamps without offset; default: the account's. */
  timeZone?: string;
  /** Activities that are goals. */
  goals?: string[];
  /** Activities that end the execution. With them, goals do not end it. */
  ends?: string[];
  /** What `ends` mean: `completed` (default), or a reason of exit. */
  endReason?: string;
  /**
   * What becomes of cases without an end: `completed` at their last row (default,
   * where no `ends` are named), `open` (default, where some are), or a reason of exit.
   */
  unended?: string;
  /** How the cases were enrolled; default `bulk`. */
  source?: (typeof SOURCES)[number];
  /** Take what is older than 90 days, too. */
  allowOld?: boolean;
  /** Read and count only; nothing is written. */
  dryRun?: boolean;
  /** What is old or ahead is judged by it; default: the clock. */
  now?: Date;
  /** Hears of progress. */
  report?: (text: string) => void;
}

/** What became of a log. */
export interface ImportReport {
  workflow_id: string;
  format: LogFormat;
  /** `null` for events. */
  columns: Columns | null;
  /** Rows (events) read, those broken and ignored included. */
  rows: number;
  /** Those that cannot be used: how many, and the first few. */
  broken: { count: number; first: BrokenRow[] };
  /** Rows of transitions other than start and complete. */
  ignored: number;
  /** Steps in their order; empty for events. */
  steps: Step[];
  totals: HistoryTotals;
  accepted: number;
  duplicates: number;
  conflicts: number;
}

/** Events in one transaction: large enough to be quick, small enough to let others in. */
const BATCH_EVENTS = 2_000;

/** Broken rows that are shown; all are counted. */
const BROKEN_SHOWN = 5;

const STARTS = new Set(["start", "started", "begin"]);
const COMPLETIONS = new Set(["", "complete", "completed", "end", "finished"]);

/**
 * Imports an event log. Importing it again changes nothing: all are duplicates.
 *
 * @param sql A connection with the right to write.
 * @param account Whose it becomes.
 * @param options What is read, and how.
 * @returns What became of it. Nothing was written where `totals.events` is 0.
 * @throws {Error} If the file cannot be read, or an option does not fit it.
 */
export async function importLog(
  sql: Sql,
  account: ImportAccount,
  options: ImportOptions,
): Promise<ImportReport> {
  refuseBadWords(options);
  const log = await openLog(options.file, options.encoding);
  try {
    return log.format === "ndjson"
      ? await importEvents(sql, account, options, log)
      : await importRows(sql, account, options, log);
  } finally {
    await log.close();
  }
}

function refuseBadWords(
  { timeZone, endReason, unended, workflow }: ImportOptions,
): void {
  if (timeZone !== undefined && !TimeZone.safeParse(timeZone).success) {
    throw new Error(`Cannot import: "${timeZone}" is no IANA time zone`);
  }
  for (const reason of [endReason, unended]) {
    if (reason !== undefined && !Reason.safeParse(reason).success) {
      throw new Error(
        `Cannot import: a reason is lower snake case, at most 64 characters: it is "${reason}"`,
      );
    }
  }
  if (!WorkflowDefinition.safeParse({ name: workflow }).success) {
    throw new Error(
      `Cannot import: a workflow's name has 1 to 200 characters: it is "${workflow}"`,
    );
  }
}

async function importRows(
  sql: Sql,
  account: ImportAccount,
  options: ImportOptions,
  log: OpenedLog,
): Promise<ImportReport> {
  const { columns, rows } = log.format === "csv"
    ? await readCsv(
      readLines(log.text),
      options.mapping ?? {},
      options.delimiter,
    )
    : readXes(log.text, options.mapping ?? {});
  const workflowId = uuidV5(account.account_uuid, "workflow", options.workflow);
  const report = emptyReport(workflowId, log.format, columns);
  const history = await readHistory(
    rows,
    report,
    options.timeZone ?? account.time_zone,
    options.now ?? new Date(),
    options.report,
  );
  if (history.rowCount === 0) return report;
  const telling = tellingOf(history, workflowId, options);
  report.steps = stepsOf(history, telling);
  const events = history.events(telling, report.totals);
  // The workflow is made only when there is something to be put into it.
  const first = events.next();
  if (first.done) return report;
  if (!options.dryRun) {
    await register(sql, account, workflowId, {
      name: options.workflow,
      steps: report.steps,
      goals: goalsOf(telling),
      goal_ends_execution: telling.ends.length === 0,
    });
  }
  const writer = new Writer(sql, account, report, options);
  await writer.add(first.value);
  for (const event of events) await writer.add(event);
  await writer.finish();
  return report;
}

function emptyReport(
  workflow_id: string,
  format: LogFormat,
  columns: Columns | null,
): ImportReport {
  return {
    workflow_id,
    format,
    columns,
    rows: 0,
    broken: { count: 0, first: [] },
    ignored: 0,
    steps: [],
    totals: {
      executions: 0,
      events: 0,
      goalsAchieved: 0,
      ended: 0,
      unended: 0,
      tooOld: { cases: 0, rows: 0 },
      firstMicros: null,
      lastMicros: null,
    },
    accepted: 0,
    duplicates: 0,
    conflicts: 0,
  };
}

function noteBroken({ broken }: ImportReport, row: BrokenRow): void {
  broken.count++;
  if (broken.first.length < BROKEN_SHOWN) broken.first.push(row);
}

async function readHistory(
  batches: AsyncGenerator<(LogRow | BrokenRow)[]>,
  report: ImportReport,
  timeZone: string,
  now: Date,
  tellProgress?: (text: string) => void,
): Promise<History> {
  const history = new History();
  const newestMicros = (now.getTime() + EVENT_AHEAD_MAX_MS) * 1000;
  let told = 0;
  for await (const rows of batches) {
    for (const row of rows) {
      report.rows++;
      const problem = "problem" in row
        ? row.problem
        : addRow(history, row, report, timeZone, newestMicros);
      if (problem !== null) noteBroken(report, { line: row.line, problem });
    }
    if (report.rows - told >= PROGRESS_ROWS) {
      told = report.rows;
      tellProgress?.(`${count(told, "row")} read`);
    }
  }
  return history;
}

/** Rows and events between two words of progress. */
const PROGRESS_ROWS = 100_000;

/** Adds a row to a history; returns what is wrong with it, `null` if nothing is. */
function addRow(
  history: History,
  row: LogRow,
  report: ImportReport,
  timeZone: string,
  newestMicros: number,
): string | null {
  const transition = transitionOf(row.lifecycle);
  if (transition === null) {
    report.ignored++;
    return null;
  }
  const caseId = row.caseId.trim();
  const activity = row.activity.trim();
  const problem = problemOfName("case", caseId, ID_LENGTH_MAX) ??
    problemOfName("activity", activity, ACTIVITY_LENGTH_MAX);
  if (problem !== null) return problem;
  const micros = parseInstant(row.timestamp.trim(), timeZone);
  if (micros === null) {
    return `has a timestamp that cannot be read: "${
      row.timestamp.slice(0, 40)
    }"`;
  }
  if (micros > newestMicros) {
    return `is ahead of the clock: ${formatInstant(micros)}`;
  }
  history.add(caseId, activity, transition, micros);
  return null;
}

/** As many characters as a step's name may have. */
const ACTIVITY_LENGTH_MAX = 200;

function problemOfName(
  what: string,
  name: string,
  lengthMax: number,
): string | null {
  if (name === "") return `has no ${what}`;
  if (name.length > lengthMax) {
    return `has a longer ${what} than ${lengthMax} characters`;
  }
  return name.includes("\u0000") ? `has a NUL in its ${what}` : null;
}

/** `null`: neither, such as `schedule` or `suspend`. */
function transitionOf(word: string): Transition | null {
  const plain = word.trim().toLowerCase();
  if (COMPLETIONS.has(plain)) return "complete";
  return STARTS.has(plain) ? "start" : null;
}

function tellingOf(
  history: History,
  workflowId: string,
  options: ImportOptions,
): HistoryOptions {
  const ends = matchActivities("end", options.ends, history.activities);
  return {
    workflowId,
    source: options.source ?? "bulk",
    goals: matchActivities("goal", options.goals, history.activities),
    ends,
    endReason: options.endReason ?? "completed",
    unended: options.unended ?? (ends.length > 0 ? "open" : "completed"),
    oldestMicros: options.allowOld
      ? -Infinity
      : ((options.now ?? new Date()).getTime() -
        EVENT_AGE_MAX_DAYS * 86_400_000) * 1000,
  };
}

/** `A,"B, with a comma"`, or one name as it is, to activities that are there. */
function matchActivities(
  flag: string,
  lists: string[] = [],
  activities: readonly string[],
): string[] {
  const names = lists.flatMap((list) => {
    if (activities.includes(list.trim())) return [list];
    const parts = splitFields(list, ",");
    return typeof parts === "string" ? [list] : parts;
  });
  const found = names.map((name) => {
    const wanted = name.trim();
    const match = activities.find((activity) => activity === wanted) ??
      activities.find((activity) =>
        activity.toLowerCase() === wanted.toLowerCase()
      );
    if (match !== undefined) return match;
    throw new Error(
      `Cannot find the activity "${wanted}" of --${flag}: the log has ${
        activities.slice(0, 50).map((name) => JSON.stringify(name)).join(", ")
      }`,
    );
  });
  return [...new Set(found)];
}

function stepsOf(history: History, telling: HistoryOptions): Step[] {
  if (history.activities.length > STEPS_MAX) {
    throw new Error(
      `Cannot import: the log has ${history.activities.length} activities, ${STEPS_MAX} steps are the most; is --activity the right column?`,
    );
  }
  return history.steps(telling);
}

async function register(
  sql: Sql,
  account: ImportAccount,
  workflowId: string,
  definition: Partial<WorkflowDefinition> & { name: string },
): Promise<void> {
  const whole = WorkflowDefinition.parse(definition);
  const put = await putWorkflow(sql, account.account_id, workflowId, whole);
  if (put !== null) return;
  throw new Error(
    `Cannot import: workflow ${workflowId} belongs to another account`,
  );
}

/** Records events in batches, and folds them at last. */
class Writer {
  #sql: Sql;
  #account: ImportAccount;
  #report: ImportReport;
  #options: ImportOptions;
  #batch: Event[] = [];
  #written = 0;

  constructor(
    sql: Sql,
    account: ImportAccount,
    report: ImportReport,
    options: ImportOptions,
  ) {
    this.#sql = sql;
    this.#account = account;
    this.#report = report;
    this.#options = options;
  }

  async add(event: Event): Promise<void> {
    if (this.#options.dryRun) return;
    this.#batch.push(event);
    if (this.#batch.length === BATCH_EVENTS) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    if (this.#options.dryRun) return;
    if (this.#written >= PROGRESS_ROWS) {
      this.#options.report?.("counting them up");
    }
    while (await fold(this.#sql) > 0);
  }

  async #flush(): Promise<void> {
    if (this.#batch.length === 0) return;
    const { account_id } = this.#account;
    const outcomes = await recordEvents(this.#sql, account_id, this.#batch);
    for (const outcome of outcomes) {
      if (outcome === "accepted") this.#report.accepted++;
      else if (outcome === "duplicate") this.#report.duplicates++;
      else if (outcome === "event_conflict") this.#report.conflicts++;
      else {
        throw new Error(
          `Cannot import: workflow ${this.#report.workflow_id} belongs to another account`,
        );
      }
    }
    const before = this.#written;
    this.#written += this.#batch.length;
    this.#batch = [];
    if (progressOf(before) < progressOf(this.#written)) {
      this.#options.report?.(`${count(this.#written, "event")} recorded`);
    }
  }
}

function progressOf(events: number): number {
  return Math.floor(events / PROGRESS_ROWS);
}

/** Our own events keep their ids, and their workflow: the first line's. */
async function importEvents(
  sql: Sql,
  account: ImportAccount,
  options: ImportOptions,
  log: OpenedLog,
): Promise<ImportReport> {
  const report = emptyReport("", "ndjson", null);
  const writer = new Writer(sql, account, report, options);
  const executions = new Set<string>();
  for await (const rows of readNdjson(readLines(log.text))) {
    for (const row of rows) {
      report.rows++;
      const problem = "problem" in row
        ? row.problem
        : problemOfEvent(row.event, report, options);
      if (problem !== null) noteBroken(report, { line: row.line, problem });
      if (problem !== null || "problem" in row) continue;
      const { event } = row;
      if (report.workflow_id === "") {
        report.workflow_id = event.workflow_id;
        await registerEvents(sql, account, event.workflow_id, options);
      }
      if (countEvent(event, executions, report, options)) {
        await writer.add(event);
      }
    }
  }
  await writer.finish();
  return report;
}

function problemOfEvent(
  event: Event,
  { workflow_id }: ImportReport,
  { now = new Date() }: ImportOptions,
): string | null {
  if (workflow_id !== "" && event.workflow_id !== workflow_id) {
    return `is of another workflow than the lines before: ${event.workflow_id}`;
  }
  const ahead = Date.parse(event.occurred_at) - now.getTime();
  return ahead > EVENT_AHEAD_MAX_MS
    ? `is ahead of the clock: ${event.occurred_at}`
    : null;
}

/** A workflow that its owner has described is left as it is. */
async function registerEvents(
  sql: Sql,
  account: ImportAccount,
  workflowId: string,
  { dryRun, workflow: name }: ImportOptions,
): Promise<void> {
  if (dryRun) return;
  const known = await readWorkflow(sql, account.account_id, workflowId);
  if (known === null || known.version === null) {
    await register(sql, account, workflowId, { name });
  }
}

/** Counts an event; `false`: it is too old to be taken. */
function countEvent(
  event: Event,
  executions: Set<string>,
  { totals }: ImportReport,
  { allowOld, now = new Date() }: ImportOptions,
): boolean {
  const ageMs = now.getTime() - Date.parse(event.occurred_at);
  if (!allowOld && ageMs > EVENT_AGE_MAX_DAYS * 86_400_000) {
    totals.tooOld.rows++;
    return false;
  }
  totals.events++;
  if (event.type === "goal.achieved") totals.goalsAchieved++;
  executions.add(event.execution_id);
  totals.executions = executions.size;
  const micros = parseInstant(event.occurred_at, "UTC")!;
  totals.firstMicros = Math.min(totals.firstMicros ?? micros, micros);
  totals.lastMicros = Math.max(totals.lastMicros ?? micros, micros);
  return true;
}

/**
 * Writes a count.
 *
 * @param n How many.
 * @param what Of what, one of them.
 * @returns `1 row`, `1,050 rows`.
 */
export function count(n: number, what: string): string {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}
