/**
 * A log file as a stream of text, whatever wraps it: gzip, byte order marks,
 * encodings. What it holds is told from its first bytes, never from its name.
 *
 * @module
 */

import { createReadStream } from "node:fs";
import { pipeline, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";

/** What a log file is written in. */
export type LogFormat = "csv" | "xes" | "ndjson";

/** A log file that has been opened. */
export interface OpenedLog {
  format: LogFormat;
  /** The whole text in pieces of any size. */
  text: AsyncGenerator<string>;
  /** To be called at last, however far the text was read. */
  close(): Promise<void>;
}

/** A piece of a log that cannot be taken over, and why. */
export interface BrokenRow {
  /** Line in the file, from 1. */
  line: number;
  problem: string;
}

/** One line of a text. */
export interface Line {
  /** Line in the file, from 1. */
  line: number;
  /** Without its line ending; `null` where it is longer than {@linkcode LINE_CHARS_MAX}. */
  text: string | null;
}

/** Longest line, and longest CSV record, in UTF-16 units: a longer one is binary or lacks a quote. */
export const LINE_CHARS_MAX = 1024 * 1024;

/**
 * Opens a log file and looks at its beginning.
 *
 * @param path CSV, XES or NDJSON, each also gzipped.
 * @param encoding Label of the text's encoding, as `TextDecoder` knows it; default:
 * the byte order mark's, else the XML declaration's, else UTF-8.
 * @returns Its format and its text.
 * @throws {Error} If it cannot be read, is empty, or is of a kind that is not read.
 */
export async function openLog(
  path: string,
  encoding?: string,
): Promise<OpenedLog> {
  const { file, bytes } = await openBytes(path);
  const text = decode(path, bytes, encoding);

  async function close(): Promise<void> {
    await text.return();
    // A read ahead may still be under way; that it was cut short is no news.
    file.on("error", ignore).destroy();
    if (file.closed) return;
    await new Promise<void>((resolve) => file.once("close", resolve));
  }
  try {
    const start = await readStart(path, text);
    return { format: formatOf(path, start), text: prepend(start, text), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readStart(
  path: string,
  text: AsyncGenerator<string, void>,
): Promise<string> {
  let start = "";
  while (start.trimStart() === "") {
    const piece = await text.next();
    if (piece.done) throw new Error(`Cannot read ${path}: it is empty`);
    start += piece.value;
  }
  return start;
}

function formatOf(path: string, text: string): LogFormat {
  const start = text.trimStart();
  if (start.startsWith("<")) return "xes";
  if (start.startsWith("{")) return "ndjson";
  if (!/^\[\s*[{\]]/.test(start)) return "csv";
  throw new Error(
    `Cannot read ${path}: it is a JSON array, expected one event a line (NDJSON)`,
  );
}

async function* prepend(
  start: string,
  rest: AsyncGenerator<string, void>,
): AsyncGenerator<string> {
  yield start;
  yield* rest;
}

/** The file, and what it unpacks to: itself where it is not packed. */
async function openBytes(
  path: string,
): Promise<{ file: Readable; bytes: Readable }> {
  const magic = new Uint8Array(4);
  try {
    using file = await Deno.open(path);
    await file.read(magic);
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (magic[0] === 0x50 && magic[1] === 0x4b) {
    throw new Error(
      `Cannot read ${path}: it is a zip archive (or a spreadsheet), expected CSV, XES or NDJSON, plain or gzipped`,
    );
  }
  const file = createReadStream(path);
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return { file, bytes: file };
  // `DecompressionStream` refuses files of several members, as bgzip and `cat` make.
  const bytes = createGunzip();
  pipeline(file, bytes, ignore);
  return { file, bytes };
}

/** Whoever reads sees the errors itself. */
function ignore(): void {}

/** What an error says, in words for the one who typed the command. */
export function messageOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  return error instanceof Error ? error.message : String(error);
}

async function* decode(
  path: string,
  bytes: Readable,
  encoding: string | undefined,
): AsyncGenerator<string, void> {
  let decoder: TextDecoder | null = null;
  try {
    for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
      decoder ??= new TextDecoder(encoding ?? sniffEncoding(chunk));
      yield decoder.decode(chunk, { stream: true });
    }
  } catch (error) {
    throw new Error(`Cannot read ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (decoder !== null) yield decoder.decode();
}

/** A file's first bytes to its encoding's label. */
function sniffEncoding(start: Uint8Array): string {
  if (start[0] === 0xff && start[1] === 0xfe) return "utf-16le";
  if (start[0] === 0xfe && start[1] === 0xff) return "utf-16be";
  const head = new TextDecoder("latin1").decode(start.subarray(0, 200));
  return /^\s*<\?xml[^>]*\bencoding=["']([\w.:-]+)["']/.exec(head)?.[1] ??
    "utf-8";
}

/**
 * Splits a text into lines at LF or CRLF.
 *
 * @param text Pieces of any size.
 * @returns Lines, some at a time; never more of a line in memory than its longest
 * permitted length and a piece.
 */
export async function* readLines(
  text: AsyncIterable<string>,
): AsyncGenerator<Line[]> {
  let line = 1;
  let rest = "";
  let isTooLong = false;
  for await (const piece of text) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop()!;
    const lines: Line[] = [];
    for (const part of parts) {
      isTooLong ||= part.length > LINE_CHARS_MAX;
      lines.push({ line: line++, text: isTooLong ? null : withoutCr(part) });
      isTooLong = false;
    }
    if (rest.length > LINE_CHARS_MAX) {
      isTooLong = true;
      rest = "";
    }
    if (lines.length > 0) yield lines;
  }
  if (rest !== "" || isTooLong) {
    yield [{ line, text: isTooLong ? null : withoutCr(rest) }];
  }
}

function withoutCr(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
