/**
 * From a number to the executions behind it.
 *
 * @module
 */

import { formatCount } from "./format.ts";
import type { Fate } from "./flow.ts";
import { Glow } from "./headline.tsx";

/** Which executions of a view are behind a number. */
export interface Filter {
  status?: string;
  step_id?: string;
  /** What became of them in that step; without it, all who entered. */
  step_fate?: Fate;
  source?: string;
  reason?: string;
  goal_id?: string;
}

/** The address of the list of such executions. */
export type Opener = (filter: Filter) => string;

/** A count that leads to its executions, where there are any and they may be seen. */
export function Count(
  { value, open, filter }: {
    value: number;
    open: Opener | null;
    filter: Filter;
  },
) {
  const text = <Glow value={formatCount(value)} />;
  if (open === null || value === 0) return text;
  return <a class="count" href={open(filter)}>{text}</a>;
}
