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
 * @param href Where it leads; it may come with the value, of which this is to know both.
 */
export function Glow({ value, href }: { value: string; href?: string }) {
  const first = useRef(value);
  const text = value === first.current
    ? value
    : <span key={value} class="glow">{value}</span>;
  return href === undefined
    ? <>{text}</>
    : <a class="count" href={href}>{text}</a>;
}
