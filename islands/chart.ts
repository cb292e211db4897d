/**
 * One chart, drawn by uPlot on a canvas. Only the browser runs this.
 *
 * @module
 */

import uPlot from "uplot";
import {
  chartColumns,
  type ChartPoint,
  type ChartTrend,
  type Metric,
} from "./columns.ts";
import { formatBucketShort, formatTick } from "./format.ts";

/** With so few buckets each one gets a dot: a line needs two. */
const DOTS_UP_TO = 31;

/** Counts are whole, so are the distances of the grid: 1, 2, 5, 10, 20, … */
const WHOLE_STEPS = Array.from(
  { length: 36 },
  (_, i) => [1, 2, 5][i % 3]! * 10 ** Math.floor(i / 3),
);

/** What a chart tells of. */
interface Handlers {
  /** The cursor is over a bucket, or over none. */
  onMove(at: number | null): void;
  /** A stretch was dragged over; `null`: dragging does nothing. */
  onZoom: ((from: number, to: number) => void) | null;
  /** It was drawn anew. */
  onDraw(plot: uPlot): void;
}

/**
 * Draws, and draws again when the width or the colours change.
 *
 * @param root Where; what is drawn has the width of it.
 * @param trend What.
 * @param metric Which of it.
 * @param handlers Who is told.
 * @returns To show newer numbers, and to take it away.
 */
export function drawChart(
  root: HTMLElement,
  trend: ChartTrend,
  metric: Metric,
  handlers: Handlers,
) {
  let plot: uPlot;
  function draw() {
    plot?.destroy();
    plot = new uPlot(
      options(root, trend, metric, handlers),
      chartColumns(trend, metric) as uPlot.AlignedData,
      root,
    );
    handlers.onDraw(plot);
  }
  draw();
  const resized = new ResizeObserver(() => {
    const { width, height } = sizeOf(root);
    if (width > 0 && (width !== plot.width || height !== plot.height)) {
      plot.setSize({ width, height });
    }
  });
  resized.observe(root);
  const themed = new MutationObserver(draw);
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  return {
    setTrend(newer: ChartTrend) {
      if (newer === trend) return;
      const isLonger = newer.points.length !== trend.points.length;
      trend = newer;
      // Its axis knows the buckets it began with.
      if (isLonger) draw();
      else plot.setData(chartColumns(trend, metric) as uPlot.AlignedData);
    },
    destroy() {
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", draw);
      plot.destroy();
    },
  };
}

function options(
  root: HTMLElement,
  { points, finished }: ChartTrend,
  metric: Metric,
  { onMove, onZoom }: Handlers,
): uPlot.Options {
  const style = getComputedStyle(root);
  const line = colorOf(root, metric);
  // On a wall all of the page is larger.
  const scale = root.clientHeight / 168;
  const axis = {
    stroke: colorOf(root, "ink-soft"),
    // Whole, as uPlot multiplies the digits before `px` on screens of many pixels.
    font: `${Math.round(12 * scale)}px ${style.fontFamily}`,
    ticks: { show: false },
  };
  const dots = { show: points.length <= DOTS_UP_TO, size: 5 * scale };
  return {
    ...sizeOf(root),
    // The last date has half of its width beyond the last point.
    padding: [8, 22 * scale, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: onZoom !== null, y: false, setScale: false, dist: 8 },
      points: { size: 8 * scale },
      sync: { key: "trends", setSeries: false },
    },
    scales: {
      x: { time: false, range: xRange(points.length) },
      y: { range: yRange },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 26 * scale,
        space: 64 * scale,
        incrs: [1, 2, 3, 6, 7, 12, 14, 24, 28, 56, 91, 182, 364],
        values: (_, at) => at.map((i) => labelAt(points, i)),
      },
      {
        ...axis,
        size: 44 * scale,
        space: 28 * scale,
        grid: { stroke: colorOf(root, "line"), width: 1 },
        incrs: WHOLE_STEPS,
        values: (_, at) => at.map((value) => formatTick(value)),
      },
    ],
    series: [
      {},
      {
        stroke: line,
        width: 2 * scale,
        fill: colorOf(root, `${metric}-fill`),
        points: { ...dots, fill: line },
      },
      {
        stroke: line,
        width: 2 * scale,
        dash: [4 * scale, 4 * scale],
        // The finished end of it has a dot already.
        points: {
          ...dots,
          fill: colorOf(root, "surface"),
          filter: (_, _series, show) => show ? [finished] : null,
        },
      },
      {
        stroke: colorOf(root, "past"),
        width: 1.5 * scale,
        points: { show: points.length === 1, size: 5 * scale },
      },
    ],
    hooks: {
      setCursor: [(plot) => onMove(plot.cursor.idx ?? null)],
      setSelect: [(plot) => {
        if (plot.select.width === 0) return;
        const from = plot.posToIdx(plot.select.left);
        const to = plot.posToIdx(plot.select.left + plot.select.width);
        onZoom?.(from, to);
      }],
    },
  };
}

function sizeOf({ clientWidth: width, clientHeight: height }: HTMLElement) {
  return { width, height };
}

/** A token's color in the theme that is on, as a canvas understands it. */
function colorOf(root: HTMLElement, token: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${token})`;
  root.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** From the first bucket to the last; one alone stands in the middle. */
function xRange(buckets: number): uPlot.Range.MinMax {
  return buckets === 1 ? [-0.5, 0.5] : [0, buckets - 1];
}

/** From 0, with a little air above; a chart of zeros still has a scale. */
function yRange(_: uPlot, _min: number, max: number): uPlot.Range.MinMax {
  return [0, Math.max(4, max * 1.08)];
}

function labelAt(points: ChartPoint[], i: number): string {
  const point = points[i];
  return point ? formatBucketShort(point.label, point.date) : "";
}
