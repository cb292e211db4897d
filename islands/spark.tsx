/**
 * A small line without axes.
 *
 * @module
 */

import { sparkline } from "./columns.ts";

/** As wide as its place; what leads to what is not over yet is dashed. */
export function Sparkline({ values, finished, label }: {
  /** Oldest first. */
  values: number[];
  /** How many of them are over. */
  finished: number;
  /** What it says, in a sentence; default: something beside it does. */
  label?: string;
}) {
  const corners = sparkline(values);
  return (
    <svg
      class="spark"
      viewBox="0 0 100 24"
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
      aria-hidden={!label}
    >
      <polygon points={["0,24", ...corners, "100,24"].join(" ")} />
      <polyline points={corners.slice(0, finished || 1).join(" ")} />
      <polyline
        class="unfinished"
        points={corners.slice(Math.max(0, finished - 1)).join(" ")}
      />
    </svg>
  );
}
