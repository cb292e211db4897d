/**
 * The contract, recomputed naively: every number of the three reads from the plain
 * set of events, with straight loops. Written from the contract's words alone and
 * without a look at the SQL, so that a number both agree on is right twice.
 *
 * @module
 */

import { AssertionError } from "node:assert/strict";
import type {
  ActionMetrics,
  Actions,
  Analytics,
  AnalyticsQuery,
  Change,
  Comparison,
  Event,
  Funnel,
  FunnelStep,
  Goal,
  Health,
  Period,
  RateDifference,
  SOURCES,
  Step,
  Summary,
  TrendPoint,
  Workflow,
  WorkflowVersion,
} from "../db/schema.ts";

/** An event as it was stored: its version resolved when it was accepted. */
export type AcceptedEvent = Event & { workflow_version: number };

/** Everything that the numbers of one workflow are a function of. */
export interface Facts {
  workflow_id: string;
  account_zone: string;
  /** In any order, with or without repeats. */
  events: AcceptedEvent[];
  /** As they are now; the defaults where the workflow is not registered. */
  settings: Pick<Workflow, "conversion_window" | "goal_ends_execution">;
  /** In any order; empty where the workflow is not registered. */
  versions: Pick<WorkflowVersion, "version" | "steps" | "goals">[];
}

/** The three answers, without the instant they were made for. */
export interface Answers {
  analytics: Omit<Analytics, "as_of">;
  funnel: Omit<Funnel, "as_of">;
  actions: Omit<Actions, "as_of">;
}

/** A place in the order of events: `(occurred_at, sequence, id)`. */
interface Place {
  at_us: bigint;
  sequence: number;
  id: string;
}

/** The events of one type. */
type Of<T extends Event["type"], E = AcceptedEvent> = E extends
  { type: infer U } ? T extends U ? E & { type: T; place: Place } : never
  : never;

interface StepState {
  step_id: string;
  entered_us: bigint;
  /** `null` while the step is open. */
  completed: Place | null;
  time_us: bigint | null;
  visits: number;
}

interface Execution {
  version: number;
  source: (typeof SOURCES)[number];
  enrolled_us: bigint;
  status: "active" | "completed" | "goal_achieved" | "error" | "exited";
  /** Never before the enrolment; `null` while it runs. */
  ended_us: bigint | null;
  reason: string | null;
  /** The first conversion of each goal, in order; the first of all is *the* conversion. */
  conversions: { goal_id: string; at_us: bigint }[];
  steps: StepState[];
  actions: Of<"action.executed">[];
}

/** Half-open. */
interface Range {
  start_us: bigint;
  end_us: bigint;
}

interface Bucket extends Range {
  date: string;
  label: string;
}

/** A range of local dates in the zone it is answered in. */
interface Span extends Range {
  first: Temporal.PlainDate;
  last: Temporal.PlainDate;
  zone: string;
  /** Whether it begins where the detail is still kept. */
  kept: boolean;
}

/** Days that the detail is kept, today not counted. */
const KEPT_DAYS = 90;

/**
 * What the contract says the three reads answer. Hours that are kept no more are
 * counted all the same: see {@linkcode isRefused}.
 *
 * @param facts The workflow's whole world.
 * @param query As the reads get it.
 * @param now The instant of the question.
 * @returns All three answers; `as_of` is the implementation's own.
 */
export function oracle(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): Answers {
  const executions = projectExecutions(facts).filter((execution) =>
    query.version === undefined || execution.version === query.version
  );
  const span = askedSpan(facts, query, now);
  const buckets = bucketsOf(span, query.granularity);
  const now_us = usOf(now);
  const { workflow_id } = facts;
  const asked = period(facts, query, span);
  const summary = summarise(facts, query, executions, span, buckets, now_us);
  const trends = buckets.map((bucket) =>
    trendPoint(executions, span, bucket, now_us)
  );
  return {
    analytics: {
      workflow_id,
      period: asked,
      summary,
      trends,
      comparison: comparison(facts, query, executions, now),
    },
    // The other two know one attribution each, and say so whatever was asked.
    funnel: {
      workflow_id,
      period: { ...asked, attribution: "cohort" },
      ...funnel(facts, query, executions, now),
    },
    actions: {
      workflow_id,
      period: { ...asked, attribution: "event" },
      actions: actionTable(facts, query, executions, span),
    },
  };
}

/**
 * Whether the summary is refused because hours are asked for that are not kept.
 *
 * @param facts The workflow's whole world.
 * @param query As the reads get it.
 * @param now The instant of the question.
 */
export function isRefused(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): boolean {
  return query.granularity === "hourly" && !askedSpan(facts, query, now).kept;
}

// ---------------------------------------------------------------- executions

/** Executions whose enrolment has not arrived count nowhere, nor do their actions. */
function projectExecutions(facts: Facts): Execution[] {
  const byId = new Map<string, AcceptedEvent>();
  for (const event of facts.events) {
    if (!byId.has(event.id)) byId.set(event.id, event);
  }
  const byExecution = new Map<string, (AcceptedEvent & { place: Place })[]>();
  for (const event of byId.values()) {
    const list = byExecution.get(event.execution_id) ?? [];
    list.push({ ...event, place: placeOf(event) });
    byExecution.set(event.execution_id, list);
  }
  const executions: Execution[] = [];
  for (const events of byExecution.values()) {
    events.sort((a, b) => comparePlaces(a.place, b.place));
    const enrolment = ofType(events, "execution.enrolled")[0];
    if (enrolment) executions.push(project(facts, events, enrolment));
  }
  return executions;
}

/** `events` are those of one execution, in order. */
function project(
  { settings }: Facts,
  events: (AcceptedEvent & { place: Place })[],
  enrolment: Of<"execution.enrolled">,
): Execution {
  const enrolled_us = enrolment.place.at_us;
  const end = events.find((event) =>
    event.type === "execution.completed" ||
    event.type === "execution.exited" ||
    event.type === "execution.failed" ||
    (event.type === "goal.achieved" && settings.goal_ends_execution)
  );
  const window_us = durationUs(settings.conversion_window);
  const conversions: Execution["conversions"] = [];
  for (const goal of ofType(events, "goal.achieved")) {
    const at_us = later(goal.place.at_us, enrolled_us);
    const runs = !end || comparePlaces(goal.place, end.place) <= 0;
    const inWindow = at_us < enrolled_us + window_us;
    const again = conversions.some((one) => one.goal_id === goal.goal_id);
    if ((runs || inWindow) && !again) {
      conversions.push({ goal_id: goal.goal_id, at_us });
    }
  }
  const reason = end ? reasonOf(end) : null;
  return {
    version: enrolment.workflow_version,
    source: enrolment.source,
    enrolled_us,
    status: statusOf(reason),
    ended_us: end ? later(end.place.at_us, enrolled_us) : null,
    reason,
    conversions,
    steps: projectSteps(events),
    actions: ofType(events, "action.executed"),
  };
}

function reasonOf(end: AcceptedEvent): string {
  if (end.type === "execution.exited") return end.reason;
  if (end.type === "execution.failed") return "error";
  return end.type === "goal.achieved" ? "goal_achieved" : "completed";
}

/** An exit whose reason is another end's word is that end. */
function statusOf(reason: string | null): Execution["status"] {
  if (reason === null) return "active";
  if (reason === "completed" || reason === "goal_achieved") return reason;
  return reason === "error" ? "error" : "exited";
}

/** Steps count whenever dated: before the enrolment and after the end too. */
function projectSteps(
  events: (AcceptedEvent & { place: Place })[],
): StepState[] {
  const entries = ofType(events, "step.entered");
  const completions = ofType(events, "step.completed");
  const ids = new Set([...entries, ...completions].map((e) => e.step_id));
  return [...ids].map((step_id) => {
    const entered = entries.filter((event) => event.step_id === step_id);
    const completed = completions.find((e) => e.step_id === step_id)?.place ??
      null;
    const entered_us = (entered[0]?.place ?? completed!).at_us;
    const time_us = completed && later(completed.at_us - entered_us, 0n);
    const visits = Math.max(entered.length, 1);
    return { step_id, entered_us, completed, time_us, visits };
  });
}

// ------------------------------------------------------------------- summary

/** `event`: what happened in the range; `cohort`: what became of those enrolled in it. */
function summarise(
  facts: Facts,
  query: AnalyticsQuery,
  all: Execution[],
  range: Range,
  buckets: Bucket[],
  now_us: bigint,
): Summary {
  const { cohort, ended, converted } = countedIn(query, all, range);
  const byEvent = query.attribution === "event";
  const settled = cohort.filter((one) => one.ended_us !== null);
  const begun = buckets.filter((bucket) => bucket.start_us <= now_us).length;
  return {
    total_enrolled: cohort.length,
    currently_active: runningAt(all, earlier(range.end_us, now_us)),
    ...durations(ended.filter(isCompleted), cohort.length),
    goals_achieved: converted.length,
    conversion_rate: percent(converted.length, cohort.length),
    in_progress: cohort.length - settled.length,
    settled: settled.length,
    settled_completion_rate: percent(
      settled.filter(isCompleted).length,
      settled.length,
    ),
    settled_conversion_rate: percent(
      settled.filter((one) => one.conversions[0]).length,
      settled.length,
    ),
    enrollment_rate: quotient(BigInt(cohort.length), BigInt(begun), 2),
    enrollment_sources: shares(cohort.map((one) => one.source))
      .map(({ key, count, share }) => ({ source: key, count, share })),
    exit_reasons: shares(ended.map((one) => one.reason!))
      .map(({ key, count, share }) => ({ reason: key, count, share })),
    goal_breakdown: goalBreakdown(
      facts,
      query,
      byEvent ? all : cohort,
      byEvent ? range : null,
      cohort.length,
    ),
    time_to_conversion: timeToConversion(converted),
  };
}

/** The executions that the numbers of a range count, by the attribution asked for. */
function countedIn(query: AnalyticsQuery, all: Execution[], range: Range) {
  const cohort = enrolledIn(all, range);
  const byEvent = query.attribution === "event";
  return {
    cohort,
    ended: byEvent
      ? all.filter((one) => one.ended_us !== null && isIn(one.ended_us, range))
      : cohort.filter((one) => one.ended_us !== null),
    converted: byEvent
      ? all.filter((one) =>
        one.conversions[0] && isIn(one.conversions[0].at_us, range)
      )
      : cohort.filter((one) => one.conversions[0]),
  };
}

function durations(completed: Execution[], enrolled: number) {
  const us = completed.map((one) => one.ended_us! - one.enrolled_us);
  return {
    completed: completed.length,
    completion_rate: percent(completed.length, enrolled),
    average_duration_seconds: mean(us, 1_000_000n, 3),
    average_duration_hours: mean(us, 3_600_000_000n, 2),
    median_duration_seconds: seconds(percentile(us, 50n)),
    p95_duration_seconds: seconds(percentile(us, 95n)),
  };
}

function timeToConversion(
  converted: Execution[],
): Summary["time_to_conversion"] {
  const us = converted.map((one) =>
    one.conversions[0]!.at_us - one.enrolled_us
  );
  return {
    average: mean(us, 1_000_000n, 3),
    median: seconds(percentile(us, 50n)),
    p95: seconds(percentile(us, 95n)),
    fastest: seconds(percentile(us, 0n)),
    slowest: seconds(percentile(us, 100n)),
  };
}

/**
 * Goals that were achieved, each execution once a goal: goals nobody achieved have
 * no row, as sources and reasons that never occurred have none.
 *
 * @param range `null`: whenever achieved.
 */
function goalBreakdown(
  facts: Facts,
  query: AnalyticsQuery,
  executions: Execution[],
  range: Range | null,
  enrolled: number,
): Summary["goal_breakdown"] {
  const counts = new Map<string, { achieved: number; first: number }>();
  for (const { conversions } of executions) {
    for (const conversion of conversions) {
      if (range && !isIn(conversion.at_us, range)) continue;
      const count = counts.get(conversion.goal_id) ?? { achieved: 0, first: 0 };
      count.achieved++;
      if (conversion === conversions[0]) count.first++;
      counts.set(conversion.goal_id, count);
    }
  }
  const goals = newestFirst(facts, query).flatMap((one) => one.goals);
  return [...counts].map(([goal_id, { achieved, first }]) => ({
    goal_id,
    goal_name: goals.find((goal: Goal) => goal.goal_id === goal_id)?.name ??
      null,
    achieved,
    rate: percent(achieved, enrolled),
    first,
  })).sort((a, b) =>
    b.achieved - a.achieved || compareBytes(a.goal_id, b.goal_id)
  );
}

/** Same fields in both attributions: each says of itself what it counts by. */
function trendPoint(
  all: Execution[],
  range: Range,
  bucket: Bucket,
  now_us: bigint,
): TrendPoint {
  const cohort = enrolledIn(all, bucket);
  const ended = all.filter((one) =>
    one.ended_us !== null && isIn(one.ended_us, bucket)
  );
  return {
    date: bucket.date,
    label: bucket.label,
    start: instantText(bucket.start_us),
    end: instantText(bucket.end_us),
    new_enrollments: cohort.length,
    completions: ended.filter(isCompleted).length,
    conversions:
      all.filter((one) =>
        one.conversions[0] && isIn(one.conversions[0].at_us, bucket)
      ).length,
    exits: ended.filter(isLost).length,
    cohort_completed: cohort.filter(isCompleted).length,
    cohort_converted: cohort.filter((one) => one.conversions[0]).length,
    in_progress: cohort.filter((one) => one.ended_us === null).length,
    total_enrolled: enrolledIn(all, { ...range, end_us: bucket.end_us }).length,
    currently_active: runningAt(all, earlier(bucket.end_us, now_us)),
  };
}

function enrolledIn(executions: Execution[], range: Range): Execution[] {
  return executions.filter((one) => isIn(one.enrolled_us, range));
}

function runningAt(executions: Execution[], at_us: bigint): number {
  return executions.filter((one) =>
    one.enrolled_us < at_us && !(one.ended_us !== null && one.ended_us < at_us)
  ).length;
}

function isCompleted({ status }: Execution): boolean {
  return status === "completed" || status === "goal_achieved";
}

function isLost({ status }: Execution): boolean {
  return status === "exited" || status === "error";
}

// --------------------------------------------------------------- comparisons

/**
 * The local dates that a range is compared with.
 *
 * @param query Asking for any comparison.
 * @returns Both included; `null` where nothing is compared.
 */
export function comparedDates(
  query: Omit<AnalyticsQuery, "attribution">,
): { first: Temporal.PlainDate; last: Temporal.PlainDate } | null {
  const first = Temporal.PlainDate.from(query.start_date);
  const last = Temporal.PlainDate.from(query.end_date);
  if (query.compare === "none") return null;
  if (query.compare === "previous") return daysBefore(first, last);
  if (query.compare === "year") {
    // 29 February becomes the 28th: Temporal constrains.
    return {
      first: first.subtract({ years: 1 }),
      last: last.subtract({ years: 1 }),
    };
  }
  return {
    first: Temporal.PlainDate.from(query.compare_start!),
    last: Temporal.PlainDate.from(query.compare_end!),
  };
}

/** As many days, directly before. */
function daysBefore(first: Temporal.PlainDate, last: Temporal.PlainDate) {
  const days = first.until(last).days + 1;
  return { first: first.subtract({ days }), last: first.subtract({ days: 1 }) };
}

/** A range that is not over is compared with the same elapsed length. */
function comparedSpan(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
): Span | null {
  const dates = comparedDates(query);
  if (!dates) return null;
  const present = askedSpan(facts, query, now);
  // In one zone with the present where that one's days are still there.
  const past = spanOf(facts, { ...query, tz: present.zone }, now, dates);
  const now_us = usOf(now);
  if (now_us >= present.end_us) return past;
  const elapsed_us = later(now_us - present.start_us, 0n);
  const broken_us = earlier(past.start_us + elapsed_us, past.end_us);
  // Of a day whose detail is gone there is no part.
  const hasParts = isKept(
    zoned(broken_us, past.zone).toPlainDate(),
    past.zone,
    now,
  );
  return {
    ...past,
    end_us: hasParts ? broken_us : lastDayStart(past, broken_us),
  };
}

/** The last start of a day of the span, or its end, that is not after an instant. */
function lastDayStart(span: Span, us: bigint): bigint {
  return bucketsOf(span, "daily").map((day) => day.start_us)
    .concat(span.end_us).findLast((start_us) => start_us <= us)!;
}

function comparison(
  facts: Facts,
  query: AnalyticsQuery,
  all: Execution[],
  now: Date,
): Comparison | null {
  const past = comparedSpan(facts, query, now);
  if (!past) return null;
  const current = compared(query, all, askedSpan(facts, query, now));
  const previous = compared(query, all, past);
  const change = (name: keyof Compared, decimals: number) =>
    changeOf(current[name], previous[name], decimals);
  return {
    period: {
      start_date: past.first.toString(),
      end_date: past.last.toString(),
      tz_effective: past.zone,
      start: instantText(past.start_us),
      end: instantText(past.end_us),
    },
    total_enrolled: change("total_enrolled", 0),
    completed: change("completed", 0),
    completion_rate: inPoints(change("completion_rate", 2)),
    goals_achieved: change("goals_achieved", 0),
    conversion_rate: inPoints(change("conversion_rate", 2)),
    average_duration_seconds: change("average_duration_seconds", 3),
  };
}

function compared(
  query: AnalyticsQuery,
  all: Execution[],
  range: Range,
): Compared {
  const { cohort, ended, converted } = countedIn(query, all, range);
  return {
    total_enrolled: cohort.length,
    goals_achieved: converted.length,
    conversion_rate: percent(converted.length, cohort.length),
    ...durations(ended.filter(isCompleted), cohort.length),
  };
}

type Compared = Pick<
  Summary,
  | "total_enrolled"
  | "completed"
  | "completion_rate"
  | "goals_achieved"
  | "conversion_rate"
  | "average_duration_seconds"
>;

/** Of the numbers as they are shown. */
function changeOf(
  current: number | null,
  previous: number | null,
  decimals: number,
): Change {
  const change = minus(current, previous, decimals);
  return {
    current,
    previous,
    change,
    change_percent: change === null ? null : quotient(
      100n * units(change, decimals),
      units(previous!, decimals),
      2,
    ),
  };
}

function inPoints({ current, previous, change }: Change) {
  return { current, previous, change };
}

/** `null` where either is. */
function minus(
  a: number | null,
  b: number | null,
  decimals: number,
): number | null {
  if (a === null || b === null) return null;
  return quotient(
    units(a, decimals) - units(b, decimals),
    10n ** BigInt(decimals),
    decimals,
  );
}

/** How many units of its last decimal a shown number has. */
function units(shown: number, decimals: number): bigint {
  return BigInt(shown.toFixed(decimals).replace(".", ""));
}

// -------------------------------------------------------------------- funnel

/** A step of the funnel, with the exact sum that its rounded mean hides. */
interface Measured {
  step: FunnelStep;
  time_sum_us: bigint;
}

function funnel(
  facts: Facts,
  query: AnalyticsQuery,
  all: Execution[],
  now: Date,
): Omit<Funnel, "workflow_id" | "as_of" | "period"> {
  const span = askedSpan(facts, query, now);
  const cohort = enrolledIn(all, span);
  const others: Others = {
    previous: enrolledIn(
      all,
      spanOf(facts, query, now, daysBefore(span.first, span.last)),
    ),
    average: all.filter((one) => one.enrolled_us < span.end_us),
  };
  const measured = funnelSteps(facts, query, cohort, others);
  const leaks = measured.map((one) => one.step)
    .filter((step) => step.dropped_off > 0)
    .sort((a, b) =>
      Number(a.entered < 30) - Number(b.entered < 30) ||
      b.dropped_off * a.entered - a.dropped_off * b.entered ||
      b.dropped_off - a.dropped_off || a.step_order - b.step_order
    ).slice(0, 3);
  // A tie goes to the step that comes first: sort is stable.
  const slowest = measured.filter((one) => one.step.completed > 0)
    .sort((a, b) =>
      compare(
        b.time_sum_us * BigInt(a.step.completed),
        a.time_sum_us * BigInt(b.step.completed),
      )
    )[0];
  return {
    funnel_steps: measured.map((one) => one.step),
    overall_conversion: percent(
      cohort.filter(isCompleted).length,
      cohort.length,
    ),
    drop_off_points: leaks.map((
      { step_id, step_name, entered, dropped_off, drop_off_rate },
    ) => ({ step_id, step_name, entered, dropped_off, drop_off_rate })),
    bottleneck_step: leaks[0]?.step_id ?? null,
    slowest_step: slowest?.step.step_id ?? null,
  };
}

/** The cohorts that a step is compared with. */
interface Others {
  previous: Execution[];
  average: Execution[];
}

/** All steps of the definition, also those nobody entered; then the entered ones it lacks. */
function funnelSteps(
  facts: Facts,
  query: AnalyticsQuery,
  cohort: Execution[],
  others: Others,
): Measured[] {
  const defined =
    definitionOf(facts, query)?.steps.toSorted((a, b) => a.order - b.order) ??
      [];
  const entered = new Set(
    cohort.flatMap((one) => one.steps.map((step) => step.step_id)),
  );
  const lacking = [...entered].filter((id) =>
    !defined.some((step) => step.step_id === id)
  ).sort(compareBytes);
  // Without a definition they count from 0, the least order a step can have.
  let order = defined.at(-1)?.order ?? -1;
  return [
    ...defined.map((step) => measure(facts, query, cohort, others, step)),
    ...lacking.map((step_id) =>
      measure(facts, query, cohort, others, { step_id, order: ++order })
    ),
  ];
}

function measure(
  facts: Facts,
  query: AnalyticsQuery,
  cohort: Execution[],
  others: Others,
  { step_id, order }: Pick<Step, "step_id" | "order">,
): Measured {
  const named = stepNamed(facts, query, step_id);
  const { here, done, open, dropped } = passed(cohort, step_id);
  const times = done.map((one) => one.time_us!);
  const rates = ratesOf(cohort, step_id);
  const step: FunnelStep = {
    step_id,
    step_name: named?.name ?? step_id,
    step_type: named?.type ?? null,
    step_order: order,
    entered: here.length,
    completed: done.length,
    dropped_off: dropped.length,
    goal_exits: open.filter((one) => isCompleted(one.execution)).length,
    in_progress: open.filter((one) => one.execution.status === "active").length,
    left_after: cohort.filter((one) => leftAfter(one) === step_id).length,
    ...rates,
    average_time_seconds: mean(times, 1_000_000n, 3),
    median_time_seconds: seconds(percentile(times, 50n)),
    p95_time_seconds: seconds(percentile(times, 95n)),
    visits: here.reduce((sum, one) => sum + one.visits, 0),
    vs_previous_period: difference(rates, ratesOf(others.previous, step_id)),
    vs_workflow_average: difference(rates, ratesOf(others.average, step_id)),
  };
  return { step, time_sum_us: sum(times) };
}

/** Who of a cohort came through a step, and how far. */
function passed(cohort: Execution[], step_id: string) {
  const here = cohort.flatMap((execution) =>
    execution.steps.filter((one) => one.step_id === step_id)
      .map((state) => ({ ...state, execution }))
  );
  const open = here.filter((one) => !one.completed);
  return {
    here,
    done: here.filter((one) => one.completed),
    open,
    dropped: open.filter((one) => isLost(one.execution)),
  };
}

function ratesOf(cohort: Execution[], step_id: string): RateDifference {
  const { here, done, dropped } = passed(cohort, step_id);
  return {
    conversion_rate: percent(done.length, here.length),
    drop_off_rate: percent(dropped.length, here.length),
  };
}

function difference(ours: RateDifference, theirs: RateDifference) {
  return {
    conversion_rate: minus(ours.conversion_rate, theirs.conversion_rate, 2),
    drop_off_rate: minus(ours.drop_off_rate, theirs.drop_off_rate, 2),
  };
}

/** The step that was completed last, of an execution lost between steps. */
function leftAfter(execution: Execution): string | null {
  const { steps } = execution;
  if (!isLost(execution) || steps.some((step) => !step.completed)) return null;
  return steps.toSorted((a, b) => comparePlaces(a.completed!, b.completed!))
    .at(-1)?.step_id ?? null;
}

// ------------------------------------------------------------------- actions

const WORST_FIRST: Health[] = ["error", "warning", "slow", "ok"];

function actionTable(
  facts: Facts,
  query: AnalyticsQuery,
  executions: Execution[],
  range: Range,
): ActionMetrics[] {
  const runs = executions.flatMap((one) => one.actions)
    .filter((event) => isIn(event.place.at_us, range));
  const ids = [...new Set(runs.map((event) => event.step_id))];
  return ids.map((id) => {
    const here = runs.filter((event) => event.step_id === id);
    return { row: actionRow(facts, query, id, here), us: durationsUs(here) };
  }).sort((a, b) =>
    WORST_FIRST.indexOf(a.row.health) - WORST_FIRST.indexOf(b.row.health) ||
    a.row.successes * b.row.executions - b.row.successes * a.row.executions ||
    compare(
      sum(b.us) * BigInt(a.row.executions),
      sum(a.us) * BigInt(b.row.executions),
    ) ||
    compareBytes(a.row.action_id, b.row.action_id)
  ).map(({ row }) => row);
}

function actionRow(
  facts: Facts,
  query: AnalyticsQuery,
  id: string,
  runs: Of<"action.executed">[],
): ActionMetrics {
  const named = stepNamed(facts, query, id);
  const us = durationsUs(runs);
  const successes = runs.filter((event) => event.status === "succeeded").length;
  return {
    action_id: id,
    action_name: named?.name ?? id,
    action_type: named?.action_type ?? null,
    executions: runs.length,
    successes,
    failures: runs.length - successes,
    success_rate: percent(successes, runs.length),
    error_rate: percent(runs.length - successes, runs.length),
    average_duration_ms: mean(us, 1_000n, 3),
    p50_duration_ms: milliseconds(percentile(us, 50n)),
    p95_duration_ms: milliseconds(percentile(us, 95n)),
    p99_duration_ms: milliseconds(percentile(us, 99n)),
    health: healthOf(successes, us),
  };
}

/** By the exact quotients: 94.996 % is a warning, though it shows as 95.00. */
function healthOf(successes: number, us: bigint[]): Health {
  if (successes * 100 < us.length * 80) return "error";
  if (successes * 100 < us.length * 95) return "warning";
  return sum(us) > 5_000_000n * BigInt(us.length) ? "slow" : "ok";
}

/** To the nearest whole microsecond, of the number as JSON gives it. */
function durationsUs(runs: Of<"action.executed">[]): bigint[] {
  return runs.map((event) => BigInt(Math.round(event.duration_ms * 1_000)));
}

// --------------------------------------------------------------- definitions

function definitionOf(
  { versions }: Facts,
  query: AnalyticsQuery,
): Facts["versions"][number] | undefined {
  const newest = Math.max(...versions.map((one) => one.version));
  return versions.find((one) => one.version === (query.version ?? newest));
}

/** Where names are looked up: the asked version first, then from the newest down. */
function newestFirst(facts: Facts, query: AnalyticsQuery): Facts["versions"] {
  const definition = definitionOf(facts, query);
  const others = facts.versions.toSorted((a, b) => b.version - a.version);
  return definition ? [definition, ...others] : others;
}

function stepNamed(
  facts: Facts,
  query: AnalyticsQuery,
  step_id: string,
): Step | undefined {
  return newestFirst(facts, query).flatMap((one) => one.steps)
    .find((step) => step.step_id === step_id);
}

// ---------------------------------------------------------------------- time

function period(facts: Facts, query: AnalyticsQuery, span: Span): Period {
  return {
    start_date: query.start_date,
    end_date: query.end_date,
    tz: query.tz ?? facts.account_zone,
    tz_effective: span.zone,
    start: instantText(span.start_us),
    end: instantText(span.end_us),
    granularity: query.granularity,
    attribution: query.attribution,
    unit: "execution",
  };
}

function askedSpan(facts: Facts, query: AnalyticsQuery, now: Date): Span {
  return spanOf(facts, query, now, {
    first: Temporal.PlainDate.from(query.start_date),
    last: Temporal.PlainDate.from(query.end_date),
  });
}

/** Days of zones that are not the account's exist as long as the detail does. */
function spanOf(
  facts: Facts,
  query: AnalyticsQuery,
  now: Date,
  { first, last }: Pick<Span, "first" | "last">,
): Span {
  const asked = query.tz ?? facts.account_zone;
  const zone = isKept(first, asked, now) ? asked : facts.account_zone;
  return {
    first,
    last,
    zone,
    kept: isKept(first, zone, now),
    start_us: dayStartUs(first, zone),
    end_us: dayStartUs(last.add({ days: 1 }), zone),
  };
}

function isKept(date: Temporal.PlainDate, zone: string, now: Date): boolean {
  const today = zoned(usOf(now), zone).toPlainDate();
  const oldest = today.subtract({ days: KEPT_DAYS });
  return Temporal.PlainDate.compare(date, oldest) >= 0;
}

/** At least one, cut to the span. */
function bucketsOf(
  span: Span,
  granularity: AnalyticsQuery["granularity"],
): Bucket[] {
  const starts = granularity === "hourly"
    ? hourStarts(span)
    : dateStarts(span, granularity);
  return starts.map((start, i) => ({
    ...start,
    end_us: starts[i + 1]?.start_us ?? span.end_us,
  }));
}

/** Where a local date begins that begins a day, an ISO week or a month. */
function dateStarts(
  { first, last, zone }: Span,
  granularity: "daily" | "weekly" | "monthly",
): Omit<Bucket, "end_us">[] {
  const starts: Omit<Bucket, "end_us">[] = [];
  let date = first;
  while (Temporal.PlainDate.compare(date, last) <= 0) {
    const begins = granularity === "daily" || date.equals(first) ||
      (granularity === "weekly" ? date.dayOfWeek === 1 : date.day === 1);
    if (begins) {
      starts.push({
        date: date.toString(),
        label: labelOf(date, granularity),
        start_us: dayStartUs(date, zone),
      });
    }
    date = date.add({ days: 1 });
  }
  return starts;
}

function labelOf(
  date: Temporal.PlainDate,
  granularity: "daily" | "weekly" | "monthly",
): string {
  if (granularity === "daily") return date.toString();
  if (granularity === "monthly") return date.toPlainYearMonth().toString();
  return `${date.yearOfWeek}-W${String(date.weekOfYear).padStart(2, "0")}`;
}

const MINUTE_US = 60_000_000n;
const HOUR_US = 60n * MINUTE_US;

/** The span's start, and within it every full hour of the wall clock and every new offset. */
function hourStarts(
  { start_us, end_us, zone }: Span,
): Omit<Bucket, "end_us">[] {
  const starts: Omit<Bucket, "end_us">[] = [];
  let us = start_us;
  do {
    const local = zoned(us, zone);
    starts.push({
      date: local.toPlainDate().toString(),
      label: `${
        local.toPlainDateTime().toString().slice(0, 16)
      }${local.offset}`,
      start_us: us,
    });
    us = nextHour(us, zone);
  } while (us < end_us);
  return starts;
}

function nextHour(us: bigint, zone: string): bigint {
  const { offset, minute, second } = zoned(us, zone);
  const into_us = BigInt(minute) * MINUTE_US + BigInt(second) * 1_000_000n;
  const full_us = us + HOUR_US - into_us;
  if (zoned(full_us - 1n, zone).offset === offset) return full_us;
  // No zone changes twice within an hour, nor within a minute.
  for (let at_us = us + MINUTE_US - us % MINUTE_US;; at_us += MINUTE_US) {
    if (zoned(at_us, zone).offset !== offset) return at_us;
  }
}

function zoned(us: bigint, zone: string): Temporal.ZonedDateTime {
  return Temporal.Instant.fromEpochNanoseconds(us * 1000n)
    .toZonedDateTimeISO(zone);
}

function usOf(date: Date): bigint {
  return BigInt(date.getTime()) * 1000n;
}

/**
 * The first instant that carries a local date.
 *
 * @param zone IANA name.
 */
export function dayStartUs(date: Temporal.PlainDate, zone: string): bigint {
  return date.toZonedDateTime(zone).startOfDay().epochNanoseconds / 1000n;
}

/**
 * Microseconds since 1970 of an RFC 3339 instant.
 *
 * @param text With at most microseconds.
 */
export function instantUs(text: string): bigint {
  return Temporal.Instant.from(text).epochNanoseconds / 1000n;
}

/**
 * An instant in UTC, with as many decimals as it needs.
 *
 * @param us Microseconds since 1970.
 */
export function instantText(us: bigint): string {
  return Temporal.Instant.fromEpochNanoseconds(us * 1000n).toString();
}

/**
 * Microseconds of an ISO 8601 duration; a day has 24 hours.
 *
 * @param text Of weeks, days, hours, minutes and seconds.
 */
export function durationUs(text: string): bigint {
  const duration = Temporal.Duration.from(text);
  const days = BigInt(duration.weeks) * 7n + BigInt(duration.days);
  const hours = days * 24n + BigInt(duration.hours);
  const minutes = hours * 60n + BigInt(duration.minutes);
  const ms = (minutes * 60n + BigInt(duration.seconds)) * 1000n +
    BigInt(duration.milliseconds);
  return ms * 1000n + BigInt(duration.microseconds);
}

// --------------------------------------------------------------------- order

function placeOf(event: AcceptedEvent): Place {
  return {
    at_us: instantUs(event.occurred_at),
    sequence: event.sequence ?? 0,
    id: event.id,
  };
}

function comparePlaces(a: Place, b: Place): number {
  return compare(a.at_us, b.at_us) || a.sequence - b.sequence ||
    compareBytes(a.id, b.id);
}

/** By UTF-8 bytes, which is not the order of JavaScript's strings above U+FFFF. */
function compareBytes(a: string, b: string): number {
  const left = new TextEncoder().encode(a);
  const right = new TextEncoder().encode(b);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return left.length - right.length;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function ofType<T extends Event["type"]>(
  events: (AcceptedEvent & { place: Place })[],
  type: T,
): Of<T>[] {
  return events.filter((event) => event.type === type) as Of<T>[];
}

function isIn(us: bigint, { start_us, end_us }: Range): boolean {
  return start_us <= us && us < end_us;
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function earlier(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

// ---------------------------------------------------------------- arithmetic

/** Exact, half away from zero; `null` when the divisor is 0, which is never negative. */
function quotient(
  dividend: bigint,
  divisor: bigint,
  decimals: number,
): number | null {
  if (divisor === 0n) return null;
  if (dividend < 0n) return 0 - quotient(-dividend, divisor, decimals)!;
  const unit = 10n ** BigInt(decimals);
  const scaled = (2n * dividend * unit + divisor) / (2n * divisor);
  return Number(
    `${scaled / unit}.${String(scaled % unit).padStart(decimals, "0")}`,
  );
}

function percent(part: number, whole: number): number | null {
  return quotient(BigInt(part) * 100n, BigInt(whole), 2);
}

function sum(values: bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n);
}

function mean(
  us: bigint[],
  unit_us: bigint,
  decimals: number,
): number | null {
  return quotient(sum(us), unit_us * BigInt(us.length), decimals);
}

/** Nearest rank: the smallest value that at least `percent` of all do not exceed. */
function percentile(us: bigint[], percent: bigint): bigint | null {
  const sorted = us.toSorted(compare);
  const rank = (percent * BigInt(us.length) + 99n) / 100n;
  return sorted[Math.max(Number(rank) - 1, 0)] ?? null;
}

function seconds(us: bigint | null): number | null {
  return us === null ? null : quotient(us, 1_000_000n, 3);
}

function milliseconds(us: bigint | null): number | null {
  return us === null ? null : quotient(us, 1_000n, 3);
}

/**
 * Counts of equal keys, most first, then by key; shares in hundredths of a percent by
 * largest remainder, equal remainders in the order of the list.
 */
function shares<Key extends string>(
  keys: Key[],
): { key: Key; count: number; share: number }[] {
  const counts = new Map<Key, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  const rows = [...counts].map(([key, count]) => ({
    key,
    count,
    hundredths: Math.floor(count * 10_000 / keys.length),
    remainder: count * 10_000 % keys.length,
  })).sort((a, b) => b.count - a.count || compareBytes(a.key, b.key));
  const missing = 10_000 -
    rows.reduce((total, one) => total + one.hundredths, 0);
  const largest = rows.toSorted((a, b) => b.remainder - a.remainder);
  for (const row of largest.slice(0, missing)) row.hundredths++;
  return rows.map(({ key, count, hundredths }) => ({
    key,
    count,
    share: quotient(BigInt(hundredths), 100n, 2)!,
  }));
}

// ---------------------------------------------------------------- comparison

/** Their relative error, where they come from histograms. */
const HISTOGRAM_ERROR = 0.02;

/** Fields that may come from histograms, with half a unit of their last decimal. */
const PERCENTILE =
  /(^|\.)(median|p50|p95|p99|fastest|slowest)(_\w+)?_?(seconds|ms)?$/;
const HALF_A_UNIT = 0.0005;

/**
 * Asserts that an answer is what the contract says, to the last digit.
 *
 * @param actual An answer, `as_of` ignored.
 * @param expected The oracle's.
 * @param percentiles `"histogram"` allows percentiles, fastest and slowest to be
 * within 2 %: the answers in the account's own zone. `"exact"` does not.
 * @throws {AssertionError} Naming every field that differs, with both values.
 */
export function sameNumbers(
  actual: unknown,
  expected: unknown,
  percentiles: "exact" | "histogram" = "exact",
): void {
  const differences: string[] = [];
  collect("", actual, expected, percentiles, differences);
  if (differences.length === 0) return;
  throw new AssertionError({
    message: `The answer differs from the contract in ${differences.length} ` +
      `place(s):\n${differences.map((one) => `  ${one}`).join("\n")}`,
  });
}

function collect(
  path: string,
  actual: unknown,
  expected: unknown,
  percentiles: "exact" | "histogram",
  differences: string[],
): void {
  if (isTree(actual) && isTree(expected)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)]);
    if (path === "") keys.delete("as_of");
    for (const key of keys) {
      const at = path === "" ? key : `${path}.${key}`;
      collect(at, actual[key], expected[key], percentiles, differences);
    }
  } else if (!isSame(path, actual, expected, percentiles)) {
    differences.push(
      `${path}: is ${text(actual)}, should be ${text(expected)}`,
    );
  }
}

function isSame(
  path: string,
  actual: unknown,
  expected: unknown,
  percentiles: "exact" | "histogram",
): boolean {
  if (actual === expected) return true;
  if (typeof actual === "number" && typeof expected === "number") {
    return percentiles === "histogram" && PERCENTILE.test(path) &&
      Math.abs(actual - expected) <=
        expected * HISTOGRAM_ERROR + HALF_A_UNIT + Number.EPSILON * expected;
  }
  // 00:00:00Z and 00:00:00.000Z are the same instant.
  if (typeof actual === "string" && typeof expected === "string") {
    return /\.(start|end)$/.test(path) &&
      Date.parse(actual) === Date.parse(expected);
  }
  return false;
}

function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? "missing";
}
