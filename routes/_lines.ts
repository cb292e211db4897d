/**
 * Lines of a stream, in bounded memory.
 *
 * @module
 */

const NEWLINE = 10;

/**
 * Splits a stream of UTF-8 at newlines. Blank lines come as `""`; a carriage
 * return before the newline belongs to the newline.
 *
 * @param body The stream; `null` has no lines.
 * @param bytesMax A longer line is skipped and comes as `null`.
 * @returns Trimmed lines; bytes that are no UTF-8 become U+FFFD.
 */
export async function* linesOf(
  body: ReadableStream<Uint8Array> | null,
  bytesMax: number,
): AsyncGenerator<string | null> {
  const decoder = new TextDecoder();
  let rest = new Uint8Array();
  let tooLong = false;
  for await (const part of body ?? []) {
    let from = 0;
    for (
      let end = part.indexOf(NEWLINE);
      end >= 0;
      end = part.indexOf(NEWLINE, from)
    ) {
      const line = joined(rest, part.subarray(from, end));
      yield tooLong || line.length > bytesMax
        ? null
        : decoder.decode(line).trim();
      rest = new Uint8Array();
      tooLong = false;
      from = end + 1;
    }
    tooLong ||= rest.length + part.length - from > bytesMax;
    rest = tooLong ? new Uint8Array() : joined(rest, part.subarray(from));
  }
  if (tooLong) yield null;
  else if (rest.length > 0) yield decoder.decode(rest).trim();
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}
