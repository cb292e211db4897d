/**
 * The `import` command: its flags, and what it says.
 *
 * @module
 */

import { basename } from "node:path";
import { parseArgs } from "node:util";
import { findAccount } from "../db/access.ts";
import type { Sql } from "../db/client.ts";
import { EVENT_AGE_MAX_DAYS, SOURCES } from "../db/schema.ts";
import {
  count,
  type ImportAccount,
  importLog,
  type ImportOptions,
  type ImportReport,
} from "./_import_log.ts";
import { formatInstant } from "./_instant.ts";
import { messageOf } from "./_text.ts";

export { importLog };
export type { ImportAccount, ImportOptions, ImportReport };

const USAGE = `Usage: import FILE --account ID --workflow NAME [flags]

FILE is an event log: CSV, XES, or NDJSON of our own events, each also gzipped.
Every case becomes an execution, every activity a step in order of its typical place.

  --case, --activity, --timestamp COLUMN   guessed from the header where left out
  --lifecycle COLUMN|none   start/complete; without it, every row is a completion and
                            its step was entered at the row before
  --delimiter CHAR          guessed from the header where left out
  --encoding LABEL          such as latin1; default: told by the file, else utf-8
  --time-zone ZONE          of timestamps without offset; default: the account's
  --goal ACTIVITY[,...]     completing it achieves a goal; it ends the execution
                            where no --end is named
  --end ACTIVITY[,...]      completing it ends the execution
  --end-reason REASON       what that end is; default: completed
  --unended WHAT            cases without an end: completed (at their last row; the
                            default without --end), open (the default with --end),
                            or a reason they exited for at their last row
  --open                    short for --unended open
  --source WORD             ${SOURCES.join(", ")}; default: bulk
  --allow-old               also what began more than ${EVENT_AGE_MAX_DAYS} days ago
  --dry-run                 only say what would be done`;

/**
 * Runs `import FILE --account ID --workflow NAME [flags]`. A summary goes to stderr.
 *
 * @param sql A connection with the right to write.
 * @param args What follows the word `import`.
 * @param print Takes what goes to stdout: the workflow's id, alone, at last.
 * @throws {Error} If nothing could be imported, or not all because it contradicts what
 * was; with the reason in plain words.
 */
export async function importCommand(
  sql: Sql,
  args: string[],
  print: (text: string) => void,
): Promise<void> {
  const parsed = parseFlags(args);
  if (parsed === "help") return print(USAGE);
  const account = await findAccount(sql, parsed.account);
  if (account === null) {
    throw new Error(`Cannot import: there is no account ${parsed.account}`);
  }
  const options = { ...parsed.options, report: tell };
  const report = await importLog(sql, account, options);
  tell(summaryOf(report, options, account));
  if (report.totals.events === 0) {
    throw new Error(
      `Cannot import ${options.file}: nothing of it can be used`,
    );
  }
  if (!options.dryRun && report.accepted + report.duplicates === 0) {
    throw new Error(
      `Cannot import ${options.file}: all of it contradicts what is there already`,
    );
  }
  print(report.workflow_id);
  if (report.conflicts > 0) {
    throw new Error(
      `Cannot import all of ${options.file}: ${
        count(report.conflicts, "event")
      } of it were imported before with other content, which stays; the rest is imported`,
    );
  }
}

/** Stdout is for the id. */
function tell(text: string): void {
  console.error(text);
}

const FLAGS = {
  account: { type: "string" },
  workflow: { type: "string" },
  case: { type: "string" },
  activity: { type: "string" },
  timestamp: { type: "string" },
  lifecycle: { type: "string" },
  delimiter: { type: "string" },
  encoding: { type: "string" },
  "time-zone": { type: "string" },
  goal: { type: "string", multiple: true },
  end: { type: "string", multiple: true },
  "end-reason": { type: "string" },
  unended: { type: "string" },
  open: { type: "boolean" },
  source: { type: "string" },
  "allow-old": { type: "boolean" },
  "dry-run": { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/**
 * Reads the command's flags.
 *
 * @param args What follows the word `import`.
 * @returns The account's id and the options; `help` if that was asked for.
 * @throws {Error} If a flag is unknown, missing or makes no sense.
 */
export function parseFlags(
  args: string[],
): { account: string; options: ImportOptions } | "help" {
  const { values, positionals } = parse(args);
  if (values.help) return "help";
  const [file, ...others] = positionals;
  const { account, workflow } = values;
  if (!file || others.length > 0 || !account || !workflow) {
    throw new Error(
      `Cannot import: a FILE, --account and --workflow are needed\n\n${USAGE}`,
    );
  }
  return {
    account,
    options: {
      file,
      workflow,
      mapping: {
        case: values.case,
        activity: values.activity,
        timestamp: values.timestamp,
        lifecycle: values.lifecycle,
      },
      delimiter: delimiterOf(values.delimiter),
      encoding: values.encoding,
      timeZone: values["time-zone"],
      goals: values.goal,
      ends: values.end,
      endReason: values["end-reason"],
      unended: values.unended ?? (values.open ? "open" : undefined),
      source: sourceOf(values.source),
      allowOld: values["allow-old"],
      dryRun: values["dry-run"],
    },
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, allowPositionals: true });
  } catch (error) {
    throw new Error(`Cannot import: ${messageOf(error)}\n\n${USAGE}`);
  }
}

function delimiterOf(text: string | undefined): string | undefined {
  const named = text === "\\t" || text === "tab" ? "\t" : text;
  if (named === undefined || named.length === 1 && named !== '"') return named;
  throw new Error(
    `Cannot import: --delimiter must be one character, or "tab": it is "${text}"`,
  );
}

function sourceOf(word: string | undefined): ImportOptions["source"] {
  const source = SOURCES.find((source) => source === word);
  if (word === undefined || source !== undefined) return source;
  throw new Error(
    `Cannot import: --source must be one of ${
      SOURCES.join(", ")
    }: it is "${word}"`,
  );
}

/** What became of a log, in words. */
function summaryOf(
  report: ImportReport,
  options: ImportOptions,
  account: ImportAccount,
): string {
  const { totals } = report;
  const lines = [
    readingOf(report, options, account),
    ...report.steps.map(({ name, type }, i) =>
      `  ${i + 1}. ${name}${type === "goal" ? " (goal)" : ""}`
    ),
    ...problemsOf(report, options),
  ];
  if (totals.events > 0) {
    lines.push(
      `${count(totals.executions, "execution")}, ${
        count(totals.events, "event")
      } from ${formatInstant(totals.firstMicros!)} to ${
        formatInstant(totals.lastMicros!)
      }, ${count(totals.goalsAchieved, "goal")} achieved`,
      options.dryRun
        ? "Nothing was written: it was a dry run"
        : `${count(report.accepted, "new event")}, ${
          count(report.duplicates, "duplicate")
        }`,
    );
  }
  return lines.join("\n");
}

function readingOf(
  { format, columns, rows }: ImportReport,
  options: ImportOptions,
  account: ImportAccount,
): string {
  const read = `${basename(options.file)}: ${count(rows, "row")} of ${
    { csv: "CSV", xes: "XES", ndjson: "events" }[format]
  }`;
  if (columns === null) return read;
  return `${read}; case "${columns.case}", activity "${columns.activity}", timestamp "${columns.timestamp}" (in ${
    options.timeZone ?? account.time_zone
  } where it has no offset), ${
    columns.lifecycle === null
      ? "completions only"
      : `lifecycle "${columns.lifecycle}"`
  }`;
}

function problemsOf(
  { broken, ignored, totals, conflicts, format }: ImportReport,
  options: ImportOptions,
): string[] {
  const lines: string[] = [];
  if (broken.count > 0) {
    lines.push(
      `${count(broken.count, "broken line")} left out, such as`,
      ...broken.first.map(({ line, problem }) => `  line ${line} ${problem}`),
    );
  }
  if (ignored > 0) {
    lines.push(
      `${
        count(ignored, "row")
      } of transitions other than start and complete left out`,
    );
  }
  if (totals.tooOld.rows > 0) {
    const what = count(
      totals.tooOld.rows,
      format === "ndjson" ? "event" : "row",
    );
    lines.push(
      `${what}${
        format === "ndjson" ? "" : ` of ${count(totals.tooOld.cases, "case")}`
      } refused: begun more than ${EVENT_AGE_MAX_DAYS} days ago; --allow-old takes them`,
    );
  }
  if (totals.unended > 0 && options.ends && options.unended === undefined) {
    lines.push(
      `${
        count(totals.unended, "case")
      } without an end still run; --unended REASON ends them at their last row`,
    );
  }
  if (conflicts > 0) {
    lines.push(
      `${
        count(conflicts, "event")
      } refused: imported before with other content`,
    );
  }
  return lines;
}
