/**
 * `unit=contact`, recomputed naively: a contact counts in a number if the same number
 * of its own executions alone is not zero. So the oracle is asked once for each
 * contact, and what remains to be said here is how contacts are put together.
 *
 * @module
 */

import type {
  AnalyticsQuery,
  Change,
  Comparison,
  FunnelStep,
  Summary,
  TrendPoint,
} from "../db/schema.ts";
import {
  type AcceptedEvent,
  type Answers,
  type Facts,
  instantUs,
  oracle,
} from "./oracle.ts";

/** Days that executions are kept, today not counted. */
const KEPT_DAYS = 90;

/** Steps that fewer entered are judged last. */
const DROP_OFF_ENTERED_MIN = 30;

/**
 * What the contract says the summary and the funnel answer by contact.
 *
 * @param facts The workflow's whole world.
 * @param query As the reads get it; its `unit` is taken for contact.
 * @param now The instant of the question.
 * @returns Both answers; `null` where they are refused, for not all is kept.
 */
export function contactOracle(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): Omit<Answers, "actions"> | null {
  const whole = oracle(facts, query, now);
  const { period } = whole.analytics;
  if (!isKept(query.start_date, period.tz_effective, now)) return null;

  const each = contactsOf(facts).map((one) => oracle(one, query, now));
  const cohort = contactsOf(facts)
    .map((one) => oracle(one, { ...query, attribution: "cohort" }, now));
  const { summary, trends, comparison } = whole.analytics;
  const begun =
    trends.filter((point) => Date.parse(point.start) <= now.getTime()).length;
  return {
    analytics: {
      ...whole.analytics,
      period: { ...period, unit: "contact" },
      summary: summarise(summary, each, cohort, begun),
      trends: trends.map((point, i) => trendPoint(point, i, each)),
      comparison: comparison && compare(comparison, each, now),
    },
    funnel: {
      ...whole.funnel,
      period: { ...whole.funnel.period, unit: "contact" },
      ...funnel(facts, query, now, whole, each),
    },
  };
}

function isKept(first: string, zone: string, now: Date): boolean {
  const today = Temporal.Instant.fromEpochMilliseconds(now.getTime())
    .toZonedDateTimeISO(zone).toPlainDate();
  const oldest = today.subtract({ days: KEPT_DAYS });
  return Temporal.PlainDate.compare(first, oldest) >= 0;
}

/** The same world with one contact in it, for each; that of the earliest enrolment is an execution's. */
function contactsOf(facts: Facts): Facts[] {
  const contacts = new Map<string, AcceptedEvent[]>();
  const executions = Map.groupBy(facts.events, (event) => event.execution_id);
  for (const events of executions.values()) {
    const enrolment = events.toSorted(inOrder)
      .find((event) => event.type === "execution.enrolled");
    if (!enrolment) continue;
    const others = contacts.get(enrolment.contact_id) ?? [];
    contacts.set(enrolment.contact_id, [...others, ...events]);
  }
  return [...contacts.values()].map((events) => ({ ...facts, events }));
}

function inOrder(a: AcceptedEvent, b: AcceptedEvent): number {
  return Number(instantUs(a.occurred_at) - instantUs(b.occurred_at)) ||
    (a.sequence ?? 0) - (b.sequence ?? 0) ||
    (bytesOf(a.id) < bytesOf(b.id) ? -1 : 1);
}

/** Two digits a byte: texts that are ordered as the bytes are. */
function bytesOf(id: string): string {
  return new TextEncoder().encode(id).toHex();
}

// ------------------------------------------------------------------- summary

function summarise(
  whole: Summary,
  each: Answers[],
  cohort: Answers[],
  begun: number,
): Summary {
  const contacts = each.map((one) => one.analytics.summary);
  const enrolled = cohort.map((one) => one.analytics.summary)
    .filter((one) => one.total_enrolled > 0);
  const settled = enrolled.filter((one) => one.in_progress === 0);
  const completed = count(contacts, (one) => one.completed);
  const converted = count(contacts, (one) => one.goals_achieved);
  const sources = contacts.flatMap((one) => one.enrollment_sources)
    .map((one) => one.source);
  const reasons = contacts.flatMap((one) => one.exit_reasons)
    .map((one) => one.reason);
  return {
    // Durations and times are those of executions.
    ...whole,
    total_enrolled: enrolled.length,
    currently_active: count(contacts, (one) => one.currently_active),
    completed,
    completion_rate: percent(completed, enrolled.length),
    goals_achieved: converted,
    conversion_rate: percent(converted, enrolled.length),
    in_progress: enrolled.length - settled.length,
    settled: settled.length,
    settled_completion_rate: percent(
      count(settled, (one) => one.completed),
      settled.length,
    ),
    settled_conversion_rate: percent(
      count(settled, (one) => one.goals_achieved),
      settled.length,
    ),
    enrollment_rate: divide(enrolled.length, begun, 2),
    enrollment_sources: rows(sources)
      .map(({ key, ...rest }) => ({ source: key, ...rest })),
    exit_reasons: rows(reasons)
      .map(({ key, ...rest }) => ({ reason: key, ...rest })),
    goal_breakdown: goals(whole, contacts, enrolled.length),
  };
}

function goals(
  whole: Summary,
  contacts: Summary[],
  enrolled: number,
): Summary["goal_breakdown"] {
  return whole.goal_breakdown.map(({ goal_id, goal_name }) => {
    const own = contacts.flatMap((one) => one.goal_breakdown)
      .filter((goal) => goal.goal_id === goal_id);
    return {
      goal_id,
      goal_name,
      achieved: own.length,
      rate: percent(own.length, enrolled),
      first: count(own, (goal) => goal.first),
    };
  }).sort((a, b) =>
    b.achieved - a.achieved || (a.goal_id < b.goal_id ? -1 : 1)
  );
}

function trendPoint(
  whole: TrendPoint,
  position: number,
  each: Answers[],
): TrendPoint {
  const points = each.map((one) => one.analytics.trends[position]!);
  return {
    ...whole,
    new_enrollments: count(points, (one) => one.new_enrollments),
    completions: count(points, (one) => one.completions),
    conversions: count(points, (one) => one.conversions),
    exits: count(points, (one) => one.exits),
    cohort_completed: count(points, (one) => one.cohort_completed),
    cohort_converted: count(points, (one) => one.cohort_converted),
    in_progress: count(points, (one) => one.in_progress),
    total_enrolled: count(points, (one) => one.total_enrolled),
    currently_active: count(points, (one) => one.currently_active),
  };
}

// ---------------------------------------------------------------- comparison

/** Of ranges that are not kept, nothing is known. */
function compare(
  whole: Comparison,
  each: Answers[],
  now: Date,
): Comparison {
  const { start_date, tz_effective } = whole.period;
  const kept = isKept(start_date, tz_effective, now);
  const [current, previous] = (["current", "previous"] as const).map((side) => {
    const of = (key: "total_enrolled" | "completed" | "goals_achieved") =>
      count(each, (one) => one.analytics.comparison![key][side]!);
    return {
      total_enrolled: of("total_enrolled"),
      completed: of("completed"),
      completion_rate: percent(of("completed"), of("total_enrolled")),
      goals_achieved: of("goals_achieved"),
      conversion_rate: percent(of("goals_achieved"), of("total_enrolled")),
      average_duration_seconds: whole.average_duration_seconds[side],
    };
  });
  const change = (key: keyof NonNullable<typeof current>, decimals: number) =>
    changeOf(current![key], kept ? previous![key] : null, decimals);
  const { change_percent: _, ...completion_rate } = change(
    "completion_rate",
    2,
  );
  const { change_percent: __, ...conversion_rate } = change(
    "conversion_rate",
    2,
  );
  return {
    period: whole.period,
    total_enrolled: change("total_enrolled", 0),
    completed: change("completed", 0),
    completion_rate,
    goals_achieved: change("goals_achieved", 0),
    conversion_rate,
    average_duration_seconds: change("average_duration_seconds", 3),
  };
}

function changeOf(
  current: number | null,
  previous: number | null,
  decimals: number,
): Change {
  if (current === null || previous === null) {
    return { current, previous, change: null, change_percent: null };
  }
  const unit = 10 ** decimals;
  const before = Math.round(previous * unit);
  const change = Math.round(current * unit) - before;
  return {
    current,
    previous,
    change: change / unit,
    change_percent: divide(change * 100, before, 2),
  };
}

// -------------------------------------------------------------------- funnel

type StepCounts = Pick<
  FunnelStep,
  | "entered"
  | "completed"
  | "dropped_off"
  | "goal_exits"
  | "in_progress"
  | "left_after"
>;

function funnel(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
  whole: Answers,
  each: Answers[],
) {
  const previous = previousOf(facts, query, now);
  const funnel_steps = whole.funnel.funnel_steps.map((step): FunnelStep => {
    const counts = stepCounts(each, step.step_id);
    const rates = ratesOf(counts);
    const before = previous && ratesOf(stepCounts(previous, step.step_id));
    const against = (key: keyof typeof rates) =>
      before ? minus(rates[key], before[key]) : null;
    return {
      // Visits and times are those of executions.
      ...step,
      ...counts,
      ...rates,
      vs_previous_period: {
        conversion_rate: against("conversion_rate"),
        drop_off_rate: against("drop_off_rate"),
      },
      vs_workflow_average: { conversion_rate: null, drop_off_rate: null },
    };
  });
  const drop_off_points = dropOffPoints(funnel_steps);
  const completed = each.filter((one) => one.funnel.overall_conversion);
  const enrolled = each.filter((one) => one.funnel.overall_conversion !== null);
  return {
    funnel_steps,
    overall_conversion: percent(completed.length, enrolled.length),
    drop_off_points,
    bottleneck_step: drop_off_points[0]?.step_id ?? null,
  };
}

/** Each contact as many days before; `null` where that is not kept. */
function previousOf(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): Answers[] | null {
  const first = Temporal.PlainDate.from(query.start_date);
  const days = first.until(query.end_date).days + 1;
  const before: AnalyticsQuery = {
    ...query,
    start_date: first.subtract({ days }).toString(),
    end_date: first.subtract({ days: 1 }).toString(),
  };
  const { tz_effective } = oracle(facts, before, now).funnel.period;
  if (!isKept(before.start_date, tz_effective, now)) return null;
  return contactsOf(facts).map((one) => oracle(one, before, now));
}

/** Each contact once, with the best that became of it. */
function stepCounts(each: Answers[], step_id: string): StepCounts {
  const own = each.flatMap((one) => one.funnel.funnel_steps)
    .filter((step) => step.step_id === step_id && step.entered > 0);
  const best = own.map((step) =>
    (["completed", "goal_exits", "in_progress", "dropped_off"] as const)
      .find((outcome) => step[outcome] > 0)!
  );
  return {
    entered: own.length,
    completed: best.filter((one) => one === "completed").length,
    goal_exits: best.filter((one) => one === "goal_exits").length,
    in_progress: best.filter((one) => one === "in_progress").length,
    dropped_off: best.filter((one) => one === "dropped_off").length,
    // Whoever completed it left after it.
    left_after:
      own.filter((step) =>
        step.left_after > 0 && step.left_after === step.completed
      ).length,
  };
}

function ratesOf({ entered, completed, dropped_off }: StepCounts) {
  return {
    conversion_rate: percent(completed, entered),
    drop_off_rate: percent(dropped_off, entered),
  };
}

function dropOffPoints(steps: FunnelStep[]) {
  return steps.filter((step) => step.dropped_off > 0)
    .sort((a, b) =>
      Number(a.entered < DROP_OFF_ENTERED_MIN) -
        Number(b.entered < DROP_OFF_ENTERED_MIN) ||
      b.dropped_off * a.entered - a.dropped_off * b.entered ||
      b.dropped_off - a.dropped_off || a.step_order - b.step_order
    ).slice(0, 3)
    .map(({ step_id, step_name, entered, dropped_off, drop_off_rate }) => ({
      step_id,
      step_name,
      entered,
      dropped_off,
      drop_off_rate,
    }));
}

// ---------------------------------------------------------------- arithmetic

function count<T>(list: T[], number: (item: T) => number): number {
  return list.filter((item) => number(item) > 0).length;
}

/** Most first, then by key; shares in hundredths by largest remainder. */
function rows<Key extends string>(keys: Key[]) {
  const list = [...Map.groupBy(keys, (key) => key)]
    .map(([key, { length }]) => ({ key, count: length }))
    .sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
  const whole = list.map(({ count }) =>
    Math.floor(count * 10_000 / keys.length)
  );
  const missing = 10_000 - whole.reduce((sum, one) => sum + one, 0);
  const first = list
    .map(({ count }, i) => ({ i, left: count * 10_000 % keys.length }))
    .sort((a, b) => b.left - a.left).slice(0, missing).map(({ i }) => i);
  return list.map((row, i) => ({
    ...row,
    share: (whole[i]! + Number(first.includes(i))) / 100,
  }));
}

function percent(part: number, whole: number): number | null {
  return divide(part * 100, whole, 2);
}

function minus(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return null;
  return (Math.round(a * 100) - Math.round(b * 100)) / 100;
}

/** Half away from zero; exact, because numbers here are small and whole. */
function divide(
  dividend: number,
  divisor: number,
  decimals: number,
): number | null {
  if (divisor === 0) return null;
  const unit = 10 ** decimals;
  const twice = Math.abs(dividend) * unit * 2 + divisor;
  return Math.sign(dividend) * Math.floor(twice / (2 * divisor)) / unit;
}
