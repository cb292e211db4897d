/**
 * How the actions of a workflow fare.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import { type Head, periodOf } from "./period.ts";
import { meanMilliseconds, milliseconds, rate } from "./rates.ts";
import type {
  ActionMetrics,
  Actions,
  AnalyticsQuery,
  Health,
  Step,
} from "./schema.ts";

/** Mean above which an action that succeeds is slow. */
const SLOW_MS = 5_000;

const HEALTH_WORST_FIRST: Health[] = ["error", "warning", "slow", "ok"];

interface ActionCounts {
  action_id: string;
  executions: number;
  successes: number;
  /** Too large for a double. */
  duration_us: string;
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** As the newest version that has it says; `null` where none does. */
  step: Step | null;
}

/** What `weir.read_actions()` answers. */
export interface ActionsCounts {
  head: Head;
  counts: ActionCounts[];
}

/**
 * Reads what the actions of a workflow did in a range, worst first.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, version; actions are by event whatever it says.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 */
export async function readActions(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Actions | null> {
  const call = callActions(sql, accountId, workflowUuid, query, now);
  const [row] = await sql<[{ counts: ActionsCounts | null }]>`
    select ${call} as counts`;
  return row.counts && actionsOf(row.counts, workflowUuid, query);
}

/**
 * The call behind {@linkcode readActions}, to be part of a statement; takes the same.
 */
export function callActions(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
) {
  return sql`weir.read_actions(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${query.tz ?? null}, ${
    query.version ?? null
  },
      ${now})`;
}

/** How the actions fare, from what the database counted. */
export function actionsOf(
  counts: ActionsCounts,
  workflowUuid: string,
  query: AnalyticsQuery,
): Actions {
  const defined = new Map(
    counts.head.steps.map((step) => [step.step_id, step]),
  );
  return {
    workflow_id: workflowUuid,
    as_of: counts.head.as_of,
    period: {
      ...periodOf(counts.head, query),
      attribution: "event",
      unit: "execution",
    },
    actions: counts.counts.toSorted(worstFirst).map((count) =>
      metricsOf(count, defined.get(count.action_id) ?? count.step)
    ),
  };
}

function metricsOf(count: ActionCounts, step: Step | null): ActionMetrics {
  const { action_id, executions, successes, duration_us } = count;
  return {
    action_id,
    action_name: step?.name ?? action_id,
    action_type: step?.action_type ?? null,
    executions,
    successes,
    failures: executions - successes,
    success_rate: rate(successes, executions),
    error_rate: rate(executions - successes, executions),
    average_duration_ms: meanMilliseconds(duration_us, executions),
    p50_duration_ms: milliseconds(count.p50),
    p95_duration_ms: milliseconds(count.p95),
    p99_duration_ms: milliseconds(count.p99),
    health: healthOf(count),
  };
}

/** From the exact rate and mean, not from what they are rounded to. */
function healthOf(
  { executions, successes, duration_us }: ActionCounts,
): Health {
  if (successes * 100 < executions * 80) return "error";
  if (successes * 100 < executions * 95) return "warning";
  if (BigInt(duration_us) > BigInt(executions) * BigInt(SLOW_MS) * 1_000n) {
    return "slow";
  }
  return "ok";
}

/** Worse health, then lower success, then higher mean, then id. */
function worstFirst(a: ActionCounts, b: ActionCounts): number {
  const byHealth = HEALTH_WORST_FIRST.indexOf(healthOf(a)) -
    HEALTH_WORST_FIRST.indexOf(healthOf(b));
  const bySuccess = a.successes * b.executions - b.successes * a.executions;
  const meanA = BigInt(a.duration_us) * BigInt(b.executions);
  const meanB = BigInt(b.duration_us) * BigInt(a.executions);
  const byMean = meanA === meanB ? 0 : meanA > meanB ? -1 : 1;
  return byHealth || bySuccess || byMean ||
    (a.action_id < b.action_id ? -1 : 1);
}
