/**
 * Numbers that show that they changed.
 *
 * @module
 */

import { useRef } from "preact/hooks";

/**
 * A number that lights up when it changes: a new value is a new element, so that its
 * animation begins anew. The first one, which the server wrote, stays dark.
 *
 * @param value As it is shown.
 */
export function Glow({ value }: { value: string }) {
  const first = useRef(value);
  if (value === first.current) return <>{value}</>;
  return <span key={value} class="glow">{value}</span>;
}
