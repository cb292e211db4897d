/**
 * What the program says about itself: one JSON object a line, on stderr, because
 * stdout is for answers.
 *
 * @module
 */

/** From everything to only what needs a person. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Facts beside a message; an `Error` is written with its stack and its causes. */
export type LogFields = Record<string, unknown>;

/**
 * Where everything in the program logs to. Never a secret, never a contact. Fields that
 * many lines share may be JSON already, without its braces.
 */
export type Log = Record<
  LogLevel,
  (message: string, fields?: LogFields | string) => void
>;

/**
 * Makes a log.
 *
 * @param level The least level that is written.
 * @param write Takes one line without its end, and whether it is urgent; default: stderr.
 * @returns One function a level.
 */
export function createLog(
  level: LogLevel,
  write: (line: string, isUrgent: boolean) => void = writeToStderr,
): Log {
  function writer(of: LogLevel) {
    if (LOG_LEVELS.indexOf(of) < LOG_LEVELS.indexOf(level)) return () => {};
    const isUrgent = of === "warn" || of === "error";
    return (message: string, fields: LogFields | string = "") => {
      const rest = typeof fields === "string" ? fields : toJson(fields);
      const start = `{"at":"${instant()}","level":"${of}","message":`;
      const end = rest === "" ? "}" : `,${rest}}`;
      write(start + JSON.stringify(message) + end, isUrgent);
    };
  }
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
}

/**
 * @param fields As a line of a log has them.
 * @returns The same as JSON, without its braces.
 */
export function toJson(fields: LogFields): string {
  // Asking about every value takes longer than writing the rest.
  return JSON.stringify(fields, isPlain(fields) ? undefined : plain)
    .slice(1, -1);
}

let instantMs = NaN;
let instantText = "";

/** Now, RFC 3339: writing it takes longer than a line's other fields, and many share one. */
function instant(): string {
  const now = Date.now();
  if (now !== instantMs) {
    instantMs = now;
    instantText = new Date(now).toISOString();
  }
  return instantText;
}

/** Longest that a line waits for others to be written with, ms: a write costs as much as a request. */
const WAIT_MS = 10;

/** Most that waits, UTF-16 units. */
const WAITING_LENGTH_MAX = 64 * 1024;

/** Lines that wait: made into bytes together, each costs a third less. */
let waiting = "";
const encoder = new TextEncoder();

/**
 * Lines of {@linkcode WAIT_MS} are one write. A kill before it loses them; what is urgent,
 * and an exit, do not wait.
 */
function writeToStderr(line: string, isUrgent: boolean): void {
  if (waiting === "" && !isUrgent) setTimeout(flush, WAIT_MS);
  waiting += `${line}\n`;
  if (isUrgent || waiting.length > WAITING_LENGTH_MAX) flush();
}

function flush(): void {
  const bytes = encoder.encode(waiting);
  waiting = "";
  writeAll(bytes);
}

function writeAll(bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length;) {
      at += Deno.stderr.writeSync(bytes.subarray(at));
    }
  } catch { /* Nobody reads it, which is no reason to end. */ }
}

globalThis.addEventListener("unload", flush);

/** Whether JSON knows all of it as it is. */
function isPlain(fields: LogFields): boolean {
  for (const name in fields) {
    const value = fields[name];
    const type = typeof value;
    if (type === "bigint" || (type === "object" && value !== null)) {
      return false;
    }
  }
  return true;
}

/** JSON knows neither errors nor big integers. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (!(value instanceof Error)) return value;
  return {
    name: value.name,
    message: value.message,
    stack: value.stack,
    ...(value.cause === undefined ? {} : { cause: value.cause }),
  };
}
