/**
 * A command to paste.
 *
 * @module
 */

/** One tap selects all of it. */
export function Command({ text }: { text: string }) {
  return <pre class="command" tabIndex={0}><code>{text}</code></pre>;
}
