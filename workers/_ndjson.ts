/**
 * Logs of our own events, one JSON object a line.
 *
 * @module
 */

import { Event } from "../db/schema.ts";
import type { BrokenRow, Line } from "./_text.ts";

/** One event and where it stood. */
export interface EventRow {
  /** Line in the file, from 1. */
  line: number;
  event: Event;
}

/**
 * Reads events. Blank lines are passed over.
 *
 * @param batches The file's lines.
 * @returns Events, and broken lines that say what is wrong.
 */
export async function* readNdjson(
  batches: AsyncGenerator<Line[]>,
): AsyncGenerator<(EventRow | BrokenRow)[]> {
  for await (const lines of batches) {
    yield lines.filter(({ text }) => text?.trim() !== "").map(readEvent);
  }
}

function readEvent({ line, text }: Line): EventRow | BrokenRow {
  if (text === null) return { line, problem: "is too long for an event" };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { line, problem: "is not JSON" };
  }
  const parsed = Event.safeParse(json);
  if (parsed.success) return { line, event: parsed.data };
  const [issue] = parsed.error.issues;
  const path = issue!.path.join(".");
  return {
    line,
    problem: `is not an event: ${path === "" ? "" : `${path}: `}${
      issue!.message
    }`,
  };
}
