/**
 * Bodies, in bounded memory.
 *
 * @module
 */

import { REQUEST_BYTES_MAX } from "../db/schema.ts";
import { AppError } from "./_errors.ts";

/** What a line that cannot be read has instead of text. */
export interface UnreadLine {
  /** Why. */
  unread: string;
}

/** Our forms have a few short fields. */
const FORM_BYTES_MAX = 16 * 1024;

const NEWLINE = 10;

/**
 * What kind of body a request says it has.
 *
 * @param request Whose.
 * @returns Media type in lower case, without parameters; `""` when it does not say.
 */
export function mediaTypeOf(request: Request): string {
  const type = request.headers.get("content-type") ?? "";
  return /^[^;\s]*/.exec(type)![0].toLowerCase();
}

/**
 * Reads a body as it is.
 *
 * @param request Whose.
 * @param bytesMax A larger one is not read.
 * @returns Its bytes, unfolded.
 * @throws {AppError} When it is too large or ends early.
 */
export async function readBytes(
  request: Request,
  bytesMax = REQUEST_BYTES_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of partsOf(request)) {
    refuseMore(length += part.byteLength, bytesMax);
    parts.push(part);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

function refuseMore(bytes: number, bytesMax = REQUEST_BYTES_MAX): void {
  if (bytes <= bytesMax) return;
  throw new AppError("payload_too_large", {
    detail: `Send at most ${bytesMax} bytes`,
  });
}

/**
 * Reads what a form of our pages sends.
 *
 * @param request Whose.
 * @returns Its fields; none where it is no such form.
 * @throws {AppError} When it is too large or ends early.
 */
export async function readForm(request: Request): Promise<URLSearchParams> {
  const bytes = await readBytes(request, FORM_BYTES_MAX);
  return new URLSearchParams(new TextDecoder().decode(bytes));
}

/**
 * Reads a body of JSON.
 *
 * @param request Whose.
 * @returns What it holds.
 * @throws {AppError} When it is too large, ends early, or is no JSON in UTF-8.
 */
export async function readJson(request: Request): Promise<unknown> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  for await (const part of partsOf(request)) {
    refuseMore(bytes += part.byteLength);
    text += decode(decoder, part);
  }
  text += decode(decoder);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new AppError("invalid_json", {
      detail: (error as Error).message,
      cause: error,
    });
  }
}

function decode(decoder: TextDecoder, part?: Uint8Array): string {
  try {
    return decoder.decode(part, { stream: part !== undefined });
  } catch (error) {
    throw new AppError("invalid_json", {
      detail: "The body is not UTF-8",
      cause: error,
    });
  }
}

/**
 * Splits a body at newlines. Blank lines come as `""`; a carriage return before the
 * newline belongs to the newline.
 *
 * @param request Whose.
 * @param bytesMax A longer line is not read.
 * @returns Trimmed lines, one after the other.
 * @throws {AppError} When the body ends early.
 */
export async function* linesOf(
  request: Request,
  bytesMax: number,
): AsyncGenerator<string | UnreadLine> {
  const tooLongLine = { unread: `Cannot read a line over ${bytesMax} bytes` };
  let rest = new Uint8Array();
  let tooLong = false;
  for await (const part of partsOf(request)) {
    let from = 0;
    for (
      let end = part.indexOf(NEWLINE);
      end >= 0;
      end = part.indexOf(NEWLINE, from)
    ) {
      const line = joined(rest, part.subarray(from, end));
      yield tooLong || line.length > bytesMax ? tooLongLine : readLine(line);
      rest = new Uint8Array();
      tooLong = false;
      from = end + 1;
    }
    tooLong ||= rest.length + part.length - from > bytesMax;
    rest = tooLong ? new Uint8Array() : joined(rest, part.subarray(from));
  }
  if (tooLong) yield tooLongLine;
  else if (rest.length > 0) yield readLine(rest);
}

/** Bytes that are no UTF-8 are refused: replaced, two ids would become one. */
function readLine(line: Uint8Array): string | UnreadLine {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(line).trim();
  } catch {
    return { unread: "Cannot read a line that is not UTF-8" };
  }
}

/**
 * A sender who goes away is no error of ours. What was compressed is measured
 * unfolded, by those who read the parts: a small body may unfold without end.
 */
async function* partsOf(request: Request): AsyncGenerator<Uint8Array> {
  const body = unfolded(request);
  try {
    for await (const part of body ?? []) yield part;
  } catch (cause) {
    throw new AppError("incomplete_body", { cause });
  }
}

function unfolded(request: Request): ReadableStream<Uint8Array> | null {
  const encoding = request.headers.get("content-encoding") ?? "identity";
  switch (encoding.toLowerCase()) {
    case "identity":
      return request.body;
    case "gzip":
    case "x-gzip":
      return request.body?.pipeThrough(new DecompressionStream("gzip")) ?? null;
    default:
      throw new AppError("unsupported_media_type", {
        detail: "Send the body with no content-encoding, or gzip",
      });
  }
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
