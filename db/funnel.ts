/**
 * The funnel of a workflow.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import { type Head, periodOf, requireContacts } from "./period.ts";
import { meanSeconds, rate, seconds } from "./rates.ts";
import type {
  AnalyticsQuery,
  Funnel,
  FunnelStep,
  RateDifference,
  Step,
} from "./schema.ts";

/** Steps that fewer entered are judged last: their rates are noise. */
const DROP_OFF_ENTERED_MIN = 30;

/** How many drop-off points are named. */
const DROP_OFF_POINTS = 3;

/** What the rates of a step are of. */
interface RateCounts {
  entered: number;
  completed: number;
  dropped_off: number;
}

interface StepCounts extends RateCounts {
  step_id: string;
  goal_exits: number;
  left_after: number;
  visits: number;
  /** Executions that completed it, whose times `time_us` adds up. */
  times: number;
  /** Too large for a double. */
  time_us: string;
  p50: number | null;
  p95: number | null;
  /** As the newest version that has it says; `null` where none does. */
  step: Step | null;
  /** Of as many days directly before; `null` where nobody entered, or contacts are not kept. */
  previous: RateCounts | null;
  /** Of all cohorts before the range's end that are kept as days; `null` of contacts. */
  average: RateCounts | null;
}

/** What `weir.read_funnel()` and `weir.read_contact_funnel()` answer. */
export interface FunnelCounts {
  head: Head;
  cohort: { enrolled: number; completed: number };
  counts: StepCounts[];
}

/** A step and the exact numbers that its place among others is decided by. */
interface Judged {
  step: FunnelStep;
  times: number;
  timeUs: bigint;
}

/**
 * Reads the funnel of the executions enrolled in a range, or of their contacts.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, unit, version; funnels are cohort attributed whatever it says.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 * @throws {DetailExpired} When contacts are asked for that are not kept.
 */
export async function readFunnel(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Funnel | null> {
  const call = callFunnel(sql, accountId, workflowUuid, query, now);
  const [row] = await sql<[{ counts: FunnelCounts | null }]>`
    select ${call} as counts`;
  return row.counts && funnelOf(row.counts, workflowUuid, query);
}

/**
 * The call behind {@linkcode readFunnel}, to be part of a statement; takes the same.
 */
export function callFunnel(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
) {
  const read = query.unit === "contact"
    ? sql`weir.read_contact_funnel`
    : sql`weir.read_funnel`;
  return sql`${read}(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${query.tz ?? null}, ${
    query.version ?? null
  },
      ${now})`;
}

/**
 * The funnel, from what the database counted.
 *
 * @throws {DetailExpired} As {@linkcode readFunnel}.
 */
export function funnelOf(
  counts: FunnelCounts,
  workflowUuid: string,
  query: AnalyticsQuery,
): Funnel {
  requireContacts(counts.head, query);

  const judged = stepsOf(counts);
  const points = dropOffPoints(judged.map(({ step }) => step));
  return {
    workflow_id: workflowUuid,
    as_of: counts.head.as_of,
    period: { ...periodOf(counts.head, query), attribution: "cohort" },
    funnel_steps: judged.map(({ step }) => step),
    overall_conversion: rate(counts.cohort.completed, counts.cohort.enrolled),
    drop_off_points: points,
    bottleneck_step: points[0]?.step_id ?? null,
    slowest_step: slowest(judged),
  };
}

/** The definition's steps in its order, then those it lacks by their ids. */
function stepsOf({ head: { steps }, counts }: FunnelCounts): Judged[] {
  const byId = new Map(counts.map((count) => [count.step_id, count]));
  const defined = new Set(steps.map((step) => step.step_id));
  const strangers = counts.filter((count) => !defined.has(count.step_id))
    .sort((a, b) => a.step_id < b.step_id ? -1 : 1);
  const highest = steps.reduce((max, step) => Math.max(max, step.order), -1);

  return [
    ...steps.map((step) =>
      stepOf(step.step_id, step, step.order, byId.get(step.step_id))
    ),
    ...strangers.map((count, i) =>
      stepOf(count.step_id, count.step, highest + 1 + i, count)
    ),
  ];
}

function stepOf(
  id: string,
  definition: Step | null,
  order: number,
  count: StepCounts | undefined,
): Judged {
  const { entered, completed, dropped_off, goal_exits, left_after, visits } =
    count ?? NOBODY;
  const timeUs = count?.time_us ?? "0";
  const times = count?.times ?? 0;
  return {
    times,
    timeUs: BigInt(timeUs),
    step: {
      step_id: id,
      step_name: definition?.name ?? id,
      step_type: definition?.type ?? null,
      step_order: order,
      entered,
      completed,
      dropped_off,
      goal_exits,
      in_progress: entered - completed - dropped_off - goal_exits,
      left_after,
      conversion_rate: rate(completed, entered),
      drop_off_rate: rate(dropped_off, entered),
      average_time_seconds: meanSeconds(timeUs, times),
      median_time_seconds: seconds(count?.p50 ?? null),
      p95_time_seconds: seconds(count?.p95 ?? null),
      visits,
      vs_previous_period: difference(count, count?.previous),
      vs_workflow_average: difference(count, count?.average),
    },
  };
}

/** In percentage points of the rates as they are shown. */
function difference(
  counts: RateCounts | undefined,
  others: RateCounts | null | undefined,
): RateDifference {
  const of = (part: "completed" | "dropped_off") =>
    counts && others
      ? points(
        rate(counts[part], counts.entered),
        rate(others[part], others.entered),
      )
      : null;
  return { conversion_rate: of("completed"), drop_off_rate: of("dropped_off") };
}

function points(rate: number | null, other: number | null): number | null {
  return rate === null || other === null
    ? null
    : (Math.round(rate * 100) - Math.round(other * 100)) / 100;
}

const NOBODY = {
  entered: 0,
  completed: 0,
  dropped_off: 0,
  goal_exits: 0,
  left_after: 0,
  visits: 0,
};

/** Highest exact rate first, small steps last; ties: more dropped, then order. */
function dropOffPoints(steps: FunnelStep[]): Funnel["drop_off_points"] {
  return steps
    .filter((step) => step.dropped_off > 0)
    .sort((a, b) =>
      Number(a.entered < DROP_OFF_ENTERED_MIN) -
        Number(b.entered < DROP_OFF_ENTERED_MIN) ||
      // a/b > c/d compared as a·d > c·b: exact below 2^53
      b.dropped_off * a.entered - a.dropped_off * b.entered ||
      b.dropped_off - a.dropped_off ||
      a.step_order - b.step_order
    )
    .slice(0, DROP_OFF_POINTS)
    .map(({ step_id, step_name, entered, dropped_off, drop_off_rate }) => ({
      step_id,
      step_name,
      entered,
      dropped_off,
      drop_off_rate,
    }));
}

/** The step with the highest exact mean time; the earlier one of equals. */
function slowest(judged: Judged[]): string | null {
  let slowest: Judged | null = null;
  for (const candidate of judged) {
    if (candidate.times === 0) continue;
    if (
      slowest === null ||
      candidate.timeUs * BigInt(slowest.times) >
        slowest.timeUs * BigInt(candidate.times)
    ) {
      slowest = candidate;
    }
  }
  return slowest?.step.step_id ?? null;
}
