/**
 * What traces tell of a request, where Deno sends them (`OTEL_DENO`).
 *
 * @module
 */

import { trace } from "@opentelemetry/api";

/** What Deno notes of an address, which has ids, contacts and secrets in it. */
const ADDRESS = /^url\.(full|path|query)$/;

/**
 * Has spans take no addresses. Deno notes them before we are asked, and what is noted is
 * not taken back: so its spans are taught to leave them out. Does nothing without traces.
 */
export function hideAddresses(): void {
  const span = trace.getTracer("weir").startSpan("start");
  if (!span.isRecording()) return;
  span.end();
  const kind: typeof span = Object.getPrototypeOf(span);
  const { setAttribute } = kind;
  kind.setAttribute = function (name, value) {
    return ADDRESS.test(name) ? this : setAttribute.call(this, name, value);
  };
}

/**
 * Calls the span of the present request by its route.
 *
 * @param action Method and pattern.
 */
export function nameSpan(action: string): void {
  const span = trace.getActiveSpan();
  if (span === undefined) return;
  span.updateName(action);
  span.setAttribute("http.route", action.slice(action.indexOf(" ") + 1));
}
