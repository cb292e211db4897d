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

/** Where everything in the program logs to. Never a secret, never a contact. */
export type Log = Record<
  LogLevel,
  (message: string, fields?: LogFields) => void
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
    return (message: string, fields: LogFields = {}) => {
      const line = { at: new Date().toISOString(), level: of, message };
      Object.assign(line, fields);
      // Asking about every value takes longer than writing the rest.
      const isPlain = Object.values(fields).every(isScalar);
      write(JSON.stringify(line, isPlain ? undefined : plain), isUrgent);
    };
  }
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
}

let waiting = "";
const encoder = new TextEncoder();

/**
 * Lines of one turn of the event loop are one write, as each costs what a request does.
 * A kill between the two loses them; what is urgent, and an exit, wait for no turn.
 */
function writeToStderr(line: string, isUrgent: boolean): void {
  if (waiting === "" && !isUrgent) setTimeout(flush, 0);
  waiting += `${line}\n`;
  if (isUrgent) flush();
}

function flush(): void {
  const bytes = encoder.encode(waiting);
  waiting = "";
  try {
    for (let at = 0; at < bytes.length;) {
      at += Deno.stderr.writeSync(bytes.subarray(at));
    }
  } catch { /* Nobody reads it, which is no reason to end. */ }
}

globalThis.addEventListener("unload", flush);

function isScalar(value: unknown): boolean {
  return value === undefined || value === null ||
    ["string", "number", "boolean"].includes(typeof value);
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
