/**
 * The headline numbers of a range: what they are, how they moved, and against what.
 *
 * @module
 */

import type { ComponentChildren } from "preact";
import type { Analytics, Change, Comparison } from "../db/schema.ts";
import type { ChartPoint, ChartTrend } from "./columns.ts";
import {
  formatBucketShort,
  formatCount,
  formatDay,
  formatHeadline,
  formatPoints,
  formatRange,
  formatRate,
  formatSeconds,
  formatShift,
} from "./format.ts";
import { Glow } from "./glow.tsx";
import { Count, type Filter, type Opener } from "./open.tsx";
import { Sparkline } from "./spark.tsx";
import { TEXT } from "./text.ts";

/** An analytics answer without its buckets, which {@linkcode ChartTrend} has. */
export type Numbers = Omit<Analytics, "trends">;

/** Four cards: enrolled, active, completed, conversions. */
export function Headline(
  { numbers, trend, open }: {
    numbers: Numbers;
    trend: ChartTrend;
    /** Leads to the executions behind a number, `null` where they are not to be seen. */
    open: Opener | null;
  },
) {
  const { summary, period, comparison, as_of } = numbers;
  const isOver = Date.parse(period.end) <= Date.parse(as_of);
  const byEvent = period.attribution === "event";
  const duration = summary.median_duration_seconds;
  const conversion = summary.time_to_conversion.median;
  return (
    <section class="headline" aria-label={TEXT.dashboard.headline}>
      <Card
        label={TEXT.cards.enrolled}
        value={summary.total_enrolled}
        open={open}
        filter={{}}
        shift={comparison && <CountShift change={comparison.total_enrolled} />}
        spark={<Spark trend={trend} metric="new_enrollments" />}
      >
        {summary.enrollment_rate !== null &&
          TEXT.cards.perBucket(
            formatHeadline(summary.enrollment_rate),
            period.granularity,
          )}
      </Card>
      <Card
        label={isOver
          ? TEXT.cards.activeThen(formatDay(period.end_date))
          : TEXT.cards.activeNow}
        value={summary.currently_active}
        open={open}
        filter={{ running_at: isOver ? period.end : as_of }}
        shift={comparison && (
          <ActiveShift now={summary.currently_active} trend={trend} />
        )}
        spark={<Spark trend={trend} metric="currently_active" />}
      >
        {TEXT.cards.inProgress(summary.in_progress)}
      </Card>
      <Card
        label={TEXT.cards.completed}
        value={summary.completed}
        open={open}
        filter={{ status: "completed,goal_achieved" }}
        rate={summary.completion_rate}
        shift={comparison && (
          <RateShift
            change={comparison.completed}
            points={comparison.completion_rate.change}
          />
        )}
        spark={
          <Spark
            trend={trend}
            metric={byEvent ? "completions" : "cohort_completed"}
          />
        }
        settled={summary.settled_completion_rate}
      >
        {duration === null
          ? TEXT.cards.noDuration
          : TEXT.cards.medianDuration(formatSeconds(duration))}
      </Card>
      <Card
        label={TEXT.cards.conversions}
        value={summary.goals_achieved}
        open={open}
        filter={{ converted: "true" }}
        rate={summary.conversion_rate}
        shift={comparison && (
          <RateShift
            change={comparison.goals_achieved}
            points={comparison.conversion_rate.change}
          />
        )}
        spark={
          <Spark
            trend={trend}
            metric={byEvent ? "conversions" : "cohort_converted"}
          />
        }
        settled={summary.settled_conversion_rate}
      >
        {conversion === null
          ? TEXT.cards.noConversion
          : TEXT.cards.medianConversion(formatSeconds(conversion))}
      </Card>
    </section>
  );
}

function Card(
  { label, value, open, filter, rate, shift, spark, settled, children }: {
    label: string;
    value: number;
    open: Opener | null;
    filter: Filter;
    rate?: number | null;
    /** How it moved, `null` where nothing is compared. */
    shift: ComponentChildren;
    spark: ComponentChildren;
    settled?: number | null;
    children: ComponentChildren;
  },
) {
  return (
    <div class="card">
      <h2>{label}</h2>
      <p class="card-value">
        <data value={value} title={formatCount(value)}>
          <Count
            value={value}
            open={open}
            filter={filter}
            format={formatHeadline}
          />
        </data>
        {rate !== undefined && rate !== null && (
          <span class="card-rate">
            <Glow value={formatRate(rate)} />{" "}
            <span class="hidden">{TEXT.cards.ofEnrolled}</span>
          </span>
        )}
      </p>
      {shift}
      <p class="card-note">
        {children}
        {settled !== undefined && settled !== null && settled !== rate && (
          <span>{TEXT.cards.ofSettled(formatRate(settled))}</span>
        )}
      </p>
      {spark}
    </div>
  );
}

function CountShift({ change }: { change: Change }) {
  const { change_percent, previous } = change;
  if (change.change === null || previous === null) return <NoShift />;
  const size = change_percent === null
    ? formatCount(Math.abs(change.change))
    : formatShift(change_percent);
  return (
    <Shift
      change={change.change}
      size={size}
      words={TEXT.cards.counts}
      was={formatCount(previous)}
    />
  );
}

function RateShift(
  { change, points }: { change: Change; points: number | null },
) {
  return (
    <>
      <CountShift change={change} />
      {points !== null && (
        <span class="hidden">{TEXT.cards.rateShift(points)}</span>
      )}
    </>
  );
}

function ActiveShift({ now, trend }: { now: number; trend: ChartTrend }) {
  const past = trend.past?.[trend.points.length - 1];
  if (!past) return <NoShift />;
  const before = past.currently_active;
  return (
    <Shift
      change={now - before}
      size={before === 0
        ? formatCount(Math.abs(now - before))
        : formatShift((now - before) / before * 100)}
      words={TEXT.cards.counts}
      was={TEXT.cards.atEndOf(
        formatCount(before),
        formatBucketShort(past.label, past.date),
      )}
      neutral
    />
  );
}

/** Keeps its room, so that cards stay in line. */
function NoShift() {
  return <p class="shift">{TEXT.cards.notCompared}</p>;
}

function Shift({ change, size, words, was, neutral }: {
  change: number;
  size: string;
  words: { more: string; fewer: string; same: string };
  /** What it was, in words. */
  was: string;
  /** More is neither good nor bad. */
  neutral?: boolean;
}) {
  const way = change > 0 ? "up" : change < 0 ? "down" : "same";
  return (
    <p class={`shift ${neutral ? "" : way}`}>
      <b>
        <span class="arrow" aria-hidden="true">{TEXT.cards.arrows[way]}</span>
        {" "}
        {way === "same"
          ? words.same
          : `${size} ${way === "up" ? words.more : words.fewer}`}
      </b>{" "}
      <span>{TEXT.cards.was(was)}</span>
    </p>
  );
}

/** The line under a card; the chart below says the same with a scale. */
function Spark(
  { trend: { points, finished }, metric }: {
    trend: ChartTrend;
    metric: Exclude<keyof ChartPoint, "date" | "label">;
  },
) {
  const values = points.map((point) => point[metric]);
  return <Sparkline values={values} finished={finished} />;
}

/** What the numbers are compared with, in a sentence. */
export function ComparedWith(
  { comparison }: { comparison: Comparison | null },
) {
  if (comparison === null) return null;
  const { start_date, end_date } = comparison.period;
  return (
    <span>
      {TEXT.dashboard.comparedWith(formatRange(start_date, end_date))}
    </span>
  );
}

/** In percentage points, with an arrow and a word; nothing where it is not known. */
export function PointShift(
  { points, worseWhenUp = false }: {
    points: number | null;
    worseWhenUp?: boolean;
  },
) {
  if (points === null || points === 0) return null;
  const way = points > 0 ? "up" : "down";
  const isGood = (points > 0) !== worseWhenUp;
  return (
    <small class={`shift ${isGood ? "up" : "down"}`}>
      <span aria-hidden="true">{TEXT.cards.arrows[way]}</span>{" "}
      {formatPoints(points)}{" "}
      <span class="hidden">{TEXT.funnel.points[way]}</span>
      <span aria-hidden="true">{TEXT.funnel.pointsShort}</span>
    </small>
  );
}
