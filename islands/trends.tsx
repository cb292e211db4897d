/**
 * The trends: a chart for each metric, one cursor for all, and the same numbers as a
 * table. The server writes the table and the sentence; the browser draws.
 *
 * @module
 */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import type { Granularity } from "../db/schema.ts";
import { drawChart } from "./chart.ts";
import {
  type ChartPoint,
  chartTotal,
  type ChartTrend,
  type Metric,
  METRICS,
} from "./columns.ts";
import { formatBucket, formatCount } from "./format.ts";
import { Glow } from "./glow.tsx";
import { TEXT } from "./text.ts";

/** Both ends of what was dragged or marked, positions of buckets. */
export type Zoom = (from: number, to: number) => void;

/** What the section shows. */
export interface TrendsProps {
  trend: ChartTrend;
  granularity: Granularity;
  /** Words for the compared range, `null` where nothing is compared. */
  past: string | null;
  /** Narrows the range; `null` where the page's range is fixed. */
  onZoom: Zoom | null;
}

/** The whole section. */
export function Trends({ trend, granularity, past, onZoom }: TrendsProps) {
  const { points, finished } = trend;
  const [at, setAt] = useState<number | null>(null);
  const charts = useRef(new Map<Metric, uPlot>());
  const point = at === null ? undefined : points[at];
  const table = useMemo(() => <TrendTable trend={trend} />, [trend]);
  return (
    <section class="panel" aria-labelledby="trend">
      <header class="panel-head">
        <h2 id="trend">{TEXT.trend.title(granularity)}</h2>
        <p>
          {points.length === 0
            ? TEXT.trend.empty
            : TEXT.trend.summary(totalsOf(points), points.length, granularity)}
        </p>
      </header>
      {points.length > 0 && (
        <>
          <p class="legend">
            <b>
              {point
                ? formatBucket(point.label, point.date)
                : TEXT.trend.wholeRange}
              {point && at! >= finished ? ` (${TEXT.trend.soFar})` : ""}
            </b>
            {past && (
              <span>
                <span class="line past" />
                {TEXT.trend.past(past)}
              </span>
            )}
            {finished < points.length && (
              <span>
                <span class="line dashed" />
                {TEXT.trend.unfinished(granularity)}
              </span>
            )}
            {onZoom && <span class="scripted">{TEXT.trend.zoom}</span>}
          </p>
          <div class="charts">
            {METRICS.map((metric) => (
              <Chart
                key={metric}
                metric={metric}
                trend={trend}
                at={at}
                charts={charts.current}
                onMove={setAt}
                onZoom={onZoom}
              />
            ))}
          </div>
          {/* A cursor that moves leaves its thousands of rows alone. */}
          {table}
        </>
      )}
    </section>
  );
}

function totalsOf(points: ChartPoint[]): Record<Metric, number> {
  return Object.fromEntries(
    METRICS.map((metric) => [metric, chartTotal(points, metric)]),
  ) as Record<Metric, number>;
}

function Chart({ metric, trend, at, charts, onMove, onZoom }: {
  metric: Metric;
  trend: ChartTrend;
  at: number | null;
  /** All that are drawn, so that a key moves the cursor of each. */
  charts: Map<Metric, uPlot>;
  onMove(at: number | null): void;
  onZoom: Zoom | null;
}) {
  const { points, past, finished } = trend;
  const root = useRef<HTMLDivElement>(null);
  const chart = useRef<ReturnType<typeof drawChart> | null>(null);
  const mark = useRef<number | null>(null);
  const [drawn, setDrawn] = useState(false);
  const last = points.length - 1;
  const handlers = useRef({ onMove, onZoom });
  handlers.current = { onMove, onZoom };

  useEffect(() => {
    // One a frame, so that none of them holds the page up.
    const frame = requestAnimationFrame(() => {
      chart.current = drawChart(root.current!, trend, metric, {
        onMove: (at) => handlers.current.onMove(at),
        onZoom: onZoom && ((from, to) => handlers.current.onZoom?.(from, to)),
        onDraw: (plot) => charts.set(metric, plot),
      });
      setDrawn(true);
    });
    return () => {
      cancelAnimationFrame(frame);
      chart.current?.destroy();
      charts.delete(metric);
    };
  }, []);
  useEffect(() => chart.current?.setTrend(trend), [trend]);

  function onKeyDown(event: KeyboardEvent) {
    const from = at ?? last + 1;
    const target = keyTarget(event.key, from, last);
    if (event.key === "Enter" && mark.current !== null && at !== null) {
      event.preventDefault();
      onZoom?.(Math.min(mark.current, at), Math.max(mark.current, at));
      return;
    }
    if (target === undefined) return;
    event.preventDefault();
    if (!event.shiftKey || target === null) mark.current = null;
    else mark.current ??= Math.min(from, last);
    for (const plot of charts.values()) {
      const left = target === null ? -10 : plot.valToPos(target, "x");
      plot.setCursor({ left, top: target === null ? -10 : 0 });
      const begin = mark.current === null ? left : plot.valToPos(
        mark.current,
        "x",
      );
      plot.setSelect({
        left: Math.min(begin, left),
        width: mark.current === null ? 0 : Math.abs(left - begin),
        top: 0,
        height: plot.over.clientHeight,
      }, false);
    }
  }

  // What cannot be moved yet does not call itself a slider.
  const slider = drawn && {
    role: "slider" as const,
    tabIndex: 0,
    "aria-label": TEXT.trend.chart(
      TEXT.trend.metrics[metric],
      onZoom !== null,
    ),
    "aria-valuemin": 0,
    "aria-valuemax": last,
    "aria-valuenow": at ?? last,
    "aria-valuetext": sentence(trend, metric, at ?? last),
    onKeyDown,
  };
  const now = at === null ? chartTotal(points, metric) : points[at]?.[metric];
  // What is not over yet is less than the whole of before, which the cards know better.
  const before = past &&
    (at !== null
      ? past[at]?.[metric]
      : finished < points.length
      ? undefined
      : chartTotal(past.slice(0, points.length), metric));
  return (
    <figure class={`chart ${metric}`}>
      <figcaption>
        <span>{TEXT.trend.metrics[metric]}</span>{" "}
        <b>
          {at === null
            ? <Glow value={formatCount(now ?? 0)} />
            : formatCount(now ?? 0)}
        </b>
        {typeof before === "number" && (
          <span class="muted">{TEXT.trend.before(formatCount(before))}</span>
        )}
      </figcaption>
      <div ref={root} class="plot" {...slider} />
    </figure>
  );
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

function sentence(
  { points, past, finished }: ChartTrend,
  metric: Metric,
  at: number,
): string {
  const point = points[at]!;
  const before = past?.[at]?.[metric];
  return [
    `${formatBucket(point.label, point.date)}: ${formatCount(point[metric])}`,
    at >= finished ? ` ${TEXT.trend.soFar}` : "",
    before === undefined ? "" : `, ${TEXT.trend.before(formatCount(before))}`,
  ].join("");
}

function TrendTable({ trend: { points, finished, past } }: {
  trend: ChartTrend;
}) {
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
              <tr key={point.label}>
                <th scope="row">
                  {formatBucket(point.label, point.date)}
                  {i >= finished ? ` (${TEXT.trend.soFar})` : ""}
                </th>
                {METRICS.map((metric) => (
                  <td key={metric}>
                    {formatCount(point[metric])}
                    {past?.[i] && (
                      <small>
                        {TEXT.trend.before(formatCount(past[i]![metric]))}
                      </small>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
