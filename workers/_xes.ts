/**
 * Event logs as XES (IEEE 1849): traces of events, each with attributes by key.
 * Extensions, globals and classifiers are passed over.
 *
 * @module
 */

import { SaxesParser, type SaxesTagPlain } from "saxes";
import type { Columns, LogRow, Mapping } from "./_csv.ts";
import type { BrokenRow } from "./_text.ts";

/** An XES text that is about to be read. */
export interface XesLog {
  columns: Columns;
  rows: AsyncGenerator<(LogRow | BrokenRow)[]>;
}

/** XML elements that carry one attribute of a trace or an event. */
const ATTRIBUTES = new Set(["string", "date", "int", "float", "boolean", "id"]);

/**
 * Reads an XES log.
 *
 * @param text The file's text.
 * @param mapping Attribute keys where they are not the standard ones; `case` is one
 * of the trace. A trace that lacks it is called by its number: `trace 17`.
 * @returns What is read, and the rows, in the file's order.
 * @throws {Error} While reading, if it is not XML or not XES.
 */
export function readXes(
  text: AsyncGenerator<string>,
  mapping: Mapping,
): XesLog {
  const columns: Columns = {
    case: mapping.case ?? "concept:name",
    activity: mapping.activity ?? "concept:name",
    timestamp: mapping.timestamp ?? "time:timestamp",
    lifecycle: mapping.lifecycle === "none"
      ? null
      : mapping.lifecycle ?? "lifecycle:transition",
  };
  return { columns, rows: readTraces(text, columns) };
}

async function* readTraces(
  text: AsyncGenerator<string>,
  columns: Columns,
): AsyncGenerator<(LogRow | BrokenRow)[]> {
  const traces = new TraceCollector(columns);
  for await (const piece of text) {
    traces.write(piece);
    const rows = traces.take();
    if (rows.length > 0) yield rows;
  }
  traces.close();
  yield traces.take();
}

/** Hears the XML and keeps no more of it than the trace that is being read. */
class TraceCollector {
  #parser = new SaxesParser({ xmlns: false });
  #columns: Columns;
  /** Names of the open elements. */
  #path: string[] = [];
  #traceCount = 0;
  #caseId: string | null = null;
  #events: LogRow[] = [];
  #event: LogRow | null = null;
  #rows: (LogRow | BrokenRow)[] = [];

  constructor(columns: Columns) {
    this.#columns = columns;
    this.#parser.on("opentag", (tag) => this.#open(tag));
    this.#parser.on("closetag", (tag) => this.#close(tag.name));
    this.#parser.on("error", (error) => {
      throw new Error(`Cannot read the XML: line ${error.message}`);
    });
  }

  write(piece: string): void {
    this.#parser.write(piece);
  }

  close(): void {
    this.#parser.close();
  }

  /** The rows of the traces that have ended since. */
  take(): (LogRow | BrokenRow)[] {
    const rows = this.#rows;
    this.#rows = [];
    return rows;
  }

  #open({ name, attributes }: SaxesTagPlain): void {
    const parent = this.#path.at(-1);
    if (parent === undefined && name !== "log") {
      throw new Error(
        `Cannot read the XML as XES: its root is <${name}>, not <log>`,
      );
    }
    this.#path.push(name);
    if (name === "trace" && parent === "log") {
      this.#traceCount++;
      this.#caseId = null;
    } else if (name === "event" && parent === "trace") {
      this.#event = {
        line: this.#parser.line,
        caseId: "",
        activity: "",
        timestamp: "",
        lifecycle: "",
      };
    } else if (ATTRIBUTES.has(name)) {
      const { key = "", value = "" } = attributes;
      if (parent === "event") this.#setOfEvent(key, value);
      else if (parent === "trace" && key === this.#columns.case) {
        this.#caseId = value;
      }
    }
  }

  #setOfEvent(key: string, value: string): void {
    if (this.#event === null) return;
    if (key === this.#columns.activity) this.#event.activity = value;
    if (key === this.#columns.timestamp) this.#event.timestamp = value;
    if (key === this.#columns.lifecycle) this.#event.lifecycle = value;
  }

  #close(name: string): void {
    this.#path.pop();
    if (name === "event" && this.#event !== null) {
      this.#events.push(this.#event);
      this.#event = null;
    } else if (name === "trace" && this.#path.at(-1) === "log") {
      const caseId = this.#caseId ?? `trace ${this.#traceCount}`;
      for (const event of this.#events) this.#rows.push({ ...event, caseId });
      this.#events = [];
    }
  }
}
