/**
 * Enrolments, completions and conversions over time: a table on the server, a
 * chart with a cursor in the browser, the same numbers in both.
 *
 * @module
 */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import {
  chartColumns,
  type ChartPoint,
  chartTotals,
  type ChartTrend,
  METRICS,
} from "./columns.ts";
import {
  formatCount,
  formatDay,
  formatDayShort,
  formatTick,
} from "./format.ts";
import { TEXT } from "./text.ts";

const HEIGHT_PX = 260;

/** With so few buckets each one gets a dot: a line needs two. */
const DOTS_UP_TO = 31;

/** Counts are whole, so are the distances of the grid: 1, 2, 5, 10, 20, … */
const WHOLE_STEPS = Array.from(
  { length: 36 },
  (_, i) => [1, 2, 5][i % 3]! * 10 ** Math.floor(i / 3),
);

/** JSON only: these props are written into the page. */
export interface TrendChartProps {
  trend: ChartTrend;
}

/** The island. */
export default function TrendChart({ trend }: TrendChartProps) {
  const { points, finished } = trend;
  const [at, setAt] = useState<number | null>(null);
  const totals = useMemo(() => chartTotals(points), [points]);
  if (points.length === 0) return <p class="muted">{TEXT.trend.empty}</p>;

  return (
    <figure class="trend">
      <figcaption class="hidden">
        {TEXT.trend.summary({
          enrolled: totals.new_enrollments,
          completed: totals.completions,
          converted: totals.conversions,
          days: points.length,
        })}
      </figcaption>
      <Legend trend={trend} at={at} totals={totals} />
      <Plot trend={trend} at={at} onMove={setAt} />
      {finished < points.length && <p class="note">{TEXT.trend.unfinished}</p>}
      <TrendTable trend={trend} />
    </figure>
  );
}

function Legend(
  { trend: { points, finished }, at, totals }: TrendChartProps & {
    at: number | null;
    totals: Record<string, number>;
  },
) {
  const point = at === null ? undefined : points[at];
  return (
    <div class="legend">
      <span class="legend-when">
        {point ? formatDay(point.date) : TEXT.trend.wholeRange}
        {point && at! >= finished ? ` (${TEXT.trend.soFar})` : ""}
      </span>
      {METRICS.map((metric) => (
        <span key={metric} class={`legend-item ${metric}`}>
          <span class="swatch" />
          {TEXT.trend.metrics[metric]}{" "}
          <b>{formatCount(point ? point[metric] : totals[metric]!)}</b>
        </span>
      ))}
    </div>
  );
}

function Plot(
  { trend, at, onMove }: TrendChartProps & {
    at: number | null;
    onMove(at: number | null): void;
  },
) {
  const root = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const last = trend.points.length - 1;

  const [drawn, setDrawn] = useState(false);

  useEffect(() => {
    setDrawn(true);
    return keepDrawn(root.current!, trend, chart, onMove);
  }, [trend]);

  function onKeyDown(event: KeyboardEvent) {
    const target = keyTarget(event.key, at ?? last + 1, last);
    if (target === undefined) return;
    event.preventDefault();
    const left = target === null ? -10 : chart.current!.valToPos(target, "x");
    chart.current!.setCursor({ left, top: target === null ? -10 : 0 });
  }

  // What cannot be moved yet does not call itself a slider.
  const slider = drawn && {
    role: "slider" as const,
    tabIndex: 0,
    "aria-label": TEXT.trend.chart,
    "aria-valuemin": 0,
    "aria-valuemax": last,
    "aria-valuenow": at ?? last,
    "aria-valuetext": sentence(trend.points[at ?? last]!),
    onKeyDown,
  };
  return <div ref={root} class="plot" {...slider} />;
}

/** Where a key moves the cursor: `null` away, `undefined` nowhere. */
function keyTarget(
  key: string,
  at: number,
  last: number,
): number | null | undefined {
  if (key === "ArrowLeft" || key === "ArrowDown") return Math.max(0, at - 1);
  if (key === "ArrowRight" || key === "ArrowUp") return Math.min(last, at + 1);
  if (key === "Home") return 0;
  if (key === "End") return last;
  return key === "Escape" ? null : undefined;
}

function sentence(point: ChartPoint): string {
  const values = METRICS.map((metric) =>
    `${TEXT.trend.metrics[metric]} ${formatCount(point[metric])}`
  );
  return `${formatDay(point.date)}: ${values.join(", ")}`;
}

/** Draws, and draws again when the width or the colours change. */
function keepDrawn(
  root: HTMLDivElement,
  trend: ChartTrend,
  chart: { current: uPlot | null },
  onMove: (at: number | null) => void,
): () => void {
  function draw() {
    chart.current?.destroy();
    chart.current = new uPlot(
      options(root, trend, onMove),
      chartColumns(trend) as uPlot.AlignedData,
      root,
    );
  }
  draw();
  const resized = new ResizeObserver(() => {
    const width = root.clientWidth;
    if (width > 0 && width !== chart.current?.width) {
      chart.current?.setSize({ width, height: HEIGHT_PX });
    }
  });
  resized.observe(root);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", draw);
  return () => {
    resized.disconnect();
    dark.removeEventListener("change", draw);
    chart.current?.destroy();
    chart.current = null;
  };
}

function options(
  root: HTMLElement,
  { points }: ChartTrend,
  onMove: (at: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(root);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const axis = {
    stroke: color("ink-soft"),
    font: `12px ${style.fontFamily}`,
    ticks: { show: false },
  };
  const strokes = METRICS.map((metric) => color(metric));
  const dots = { show: points.length <= DOTS_UP_TO, size: 5 };

  return {
    width: root.clientWidth,
    height: HEIGHT_PX,
    padding: [12, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
    scales: {
      x: { time: false, range: xRange(points.length) },
      y: { range: yRange },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 72,
        incrs: [1, 2, 7, 14, 28, 56, 91, 182, 364],
        values: (_, at) => at.map((i) => dayAt(points, i)),
      },
      {
        ...axis,
        size: 56,
        grid: { stroke: color("line"), width: 1 },
        incrs: WHOLE_STEPS,
        values: (_, at) => at.map((value) => formatTick(value)),
      },
    ],
    series: [
      {},
      ...strokes.map((stroke, i) => ({
        stroke,
        width: 2,
        fill: i === 0 ? color("new_enrollments-fill") : undefined,
        points: { ...dots, fill: stroke },
      })),
      ...strokes.map((stroke, i) => ({
        stroke,
        width: 2,
        dash: [4, 4],
        fill: i === 0 ? color("new_enrollments-fill") : undefined,
        points: { ...dots, fill: color("surface") },
      })),
    ],
    hooks: { setCursor: [(u) => onMove(u.cursor.idx ?? null)] },
  };
}

/** From the first bucket to the last; one alone stands in the middle. */
function xRange(buckets: number): uPlot.Range.MinMax {
  return buckets === 1 ? [-0.5, 0.5] : [0, buckets - 1];
}

/** From 0, with a little air above; a chart of zeros still has a scale. */
function yRange(_: uPlot, _min: number, max: number): uPlot.Range.MinMax {
  return [0, Math.max(4, max * 1.08)];
}

function dayAt(points: ChartPoint[], i: number): string {
  const point = points[i];
  return point ? formatDayShort(point.date) : "";
}

function TrendTable({ trend: { points, finished } }: TrendChartProps) {
  return (
    <details class="twin">
      <summary>{TEXT.trend.table}</summary>
      <div
        class="scroll"
        role="region"
        aria-label={TEXT.trend.tableLabel}
        tabIndex={0}
      >
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">{TEXT.trend.date}</th>
              {METRICS.map((metric) => (
                <th key={metric} scope="col">{TEXT.trend.metrics[metric]}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {points.map((point, i) => (
              <tr key={point.date}>
                <th scope="row">
                  <time dateTime={point.date}>{formatDay(point.date)}</time>
                  {i >= finished ? ` (${TEXT.trend.soFar})` : ""}
                </th>
                {METRICS.map((metric) => (
                  <td key={metric}>{formatCount(point[metric])}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
