/**
 * From a number to the executions behind it.
 *
 * @module
 */

import { formatCount } from "./format.ts";
import type { Fate } from "./flow.ts";
import { Glow } from "./glow.tsx";

/** Which executions of a view are behind a number: what `GET …/executions` is asked. */
export interface Filter {
  status?: string;
  converted?: "true";
  step_id?: string;
  /** What became of them in that step; without it, all who entered. */
  step?: Fate;
  source?: string;
  reason?: string;
  goal_id?: string;
  /** Enrolled before this instant and not ended before it; instead of the range. */
  running_at?: string;
}

/** The address of the list of such executions. */
export type Opener = (filter: Filter) => string;

/** A count that leads to its executions, where there are any and they may be seen. */
export function Count(
  { value, open, filter, format = formatCount }: {
    value: number;
    open: Opener | null;
    filter: Filter;
    format?(value: number): string;
  },
) {
  const href = open === null || value === 0 ? undefined : open(filter);
  return <Glow value={format(value)} href={href} />;
}
