/**
 * Geometry of the funnel: bars of what entered each step, and the stream that
 * runs from one to the next. Pure.
 *
 * @module
 */

import type { FunnelStep } from "../db/schema.ts";

/** Width and height of one step's drawing, in its own units. */
export const FLOW_WIDTH = 1_000;
export const FLOW_HEIGHT = 100;

/** The bar lies between these; above and below runs the stream. */
export const BAR_TOP = 24;
export const BAR_BOTTOM = 76;

/** Fates of those who entered a step, in the order they are drawn. */
export const FATES = [
  "completed",
  "goal_exits",
  "in_progress",
  "dropped_off",
] as const;
export type Fate = (typeof FATES)[number];

/** One step as drawn. */
export interface StepFlow {
  bars: { fate: Fate; x: number; width: number }[];
  /** Corners of the stream coming in, `null` for the first step. */
  inflow: string | null;
  /** Corners of the stream going out, `null` for the last step. */
  outflow: string | null;
}

/**
 * Lays out all steps on one scale: the widest is the fullest step.
 *
 * @param steps In their order.
 * @returns One drawing a step.
 */
export function layOutFlow(steps: FunnelStep[]): StepFlow[] {
  const fullest = Math.max(1, ...steps.map((step) => step.entered));
  const widthOf = (count: number) =>
    Math.round(count / fullest * FLOW_WIDTH * 100) / 100;

  return steps.map((step, i) => {
    const before = steps[i - 1];
    const after = steps[i + 1];
    let x = 0;
    const bars = FATES.filter((fate) => step[fate] > 0).map((fate) => {
      const bar = { fate, x, width: widthOf(step[fate]) };
      x = Math.round((x + bar.width) * 100) / 100;
      return bar;
    });
    // Half of each stream is drawn by either row, so they meet in the middle.
    const middle = (from: FunnelStep, to: FunnelStep) =>
      (widthOf(from.entered) + widthOf(to.entered)) / 2;
    return {
      bars,
      inflow: before
        ? corners(middle(before, step), 0, widthOf(step.entered), BAR_TOP)
        : null,
      outflow: after
        ? corners(
          widthOf(step.entered),
          BAR_BOTTOM,
          middle(step, after),
          FLOW_HEIGHT,
        )
        : null,
    };
  });
}

function corners(
  topWidth: number,
  top: number,
  bottomWidth: number,
  bottom: number,
): string {
  return `0,${top} ${topWidth},${top} ${bottomWidth},${bottom} 0,${bottom}`;
}
