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
 * @param write Takes one line without its end; default: stderr.
 * @returns One function a level.
 */
export function createLog(
  level: LogLevel,
  write: (line: string) => void = (line) => console.error(line),
): Log {
  function writer(of: LogLevel) {
    if (LOG_LEVELS.indexOf(of) < LOG_LEVELS.indexOf(level)) return () => {};
    return (message: string, fields: LogFields = {}) =>
      write(JSON.stringify(
        { at: new Date().toISOString(), level: of, message, ...fields },
        plain,
      ));
  }
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
  };
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
