/**
 * What changed between two states of a workflow's numbers, and how to go from the one
 * to the other: the server takes the difference, browsers and tests fold it in. Pure.
 *
 * For any two states, `folded(before, { as_of, changes: changesBetween(before, after) })`
 * equals `after`, but for an `as_of` that differs between the three bodies (none does:
 * they are read together).
 *
 * @module
 */

import type {
  Analytics,
  LiveChanges,
  LiveNumbers,
  LiveUpdate,
  Summary,
} from "../db/schema.ts";

/** Counts of the summary of which also is told what was added. */
const SUMMARY_COUNTS = [
  "total_enrolled",
  "currently_active",
  "completed",
  "goals_achieved",
  "in_progress",
  "settled",
] as const;

/** Counts of what happened in a bucket, of which is told what was added over all. */
const TREND_COUNTS = [
  "new_enrollments",
  "completions",
  "conversions",
  "exits",
] as const;

type Row = Record<string, unknown>;

/**
 * Finds what differs.
 *
 * @param before What somebody has.
 * @param after What they are to have. As parsed from JSON, both.
 * @returns `null` where nothing but `as_of` differs.
 */
export function changesBetween(
  before: LiveNumbers,
  after: LiveNumbers,
): LiveChanges | null {
  const changes: LiveChanges = {
    ...difference(before.analytics.summary, after.analytics.summary),
    ...difference(
      { ...before.analytics, ...PARTS },
      { ...after.analytics, ...PARTS },
    ),
    ...rowsBetween(
      "trends",
      "start",
      before.analytics.trends,
      after.analytics.trends,
    ),
  };
  const funnel = {
    ...difference(
      { ...before.funnel, ...PARTS },
      { ...after.funnel, ...PARTS },
    ),
    ...rowsBetween(
      "funnel_steps",
      "step_id",
      before.funnel.funnel_steps,
      after.funnel.funnel_steps,
    ),
  };
  const actions = {
    ...difference(
      { ...before.actions, ...PARTS },
      { ...after.actions, ...PARTS },
    ),
    ...rowsBetween(
      "actions",
      "action_id",
      before.actions.actions,
      after.actions.actions,
    ),
  };
  if (!isEmpty(funnel)) changes.funnel = funnel;
  if (!isEmpty(actions)) changes.actions = actions;
  if (isEmpty(changes)) return null;
  return { ...changes, ...deltas(before.analytics, after.analytics) };
}

/** What is compared elsewhere, or not at all. */
const PARTS = {
  as_of: undefined,
  summary: undefined,
  trends: undefined,
  funnel_steps: undefined,
  actions: undefined,
};

/**
 * Folds an update into what it goes on from. Parts that did not change stay the same
 * objects.
 *
 * @param numbers What the message of `update.since` made.
 * @param update What came.
 * @returns The numbers as a fresh read would tell them.
 */
export function folded(
  numbers: LiveNumbers,
  update: Pick<LiveUpdate, "as_of" | "changes">,
): LiveNumbers {
  const { as_of, changes } = update;
  const {
    period,
    comparison,
    trends,
    trends_order,
    funnel = {},
    actions = {},
    ...summary
  } = changes;
  const { funnel_steps, funnel_steps_order, ...ofFunnel } = funnel;
  const { actions: rows, actions_order, ...ofActions } = actions;
  const { analytics } = numbers;
  return {
    analytics: {
      ...analytics,
      as_of,
      period: period ?? analytics.period,
      comparison: comparison === undefined ? analytics.comparison : comparison,
      summary: foldedSummary(analytics.summary, summary),
      trends: foldedRows(analytics.trends, "start", trends, trends_order),
    },
    funnel: {
      ...numbers.funnel,
      ...ofFunnel,
      as_of,
      funnel_steps: foldedRows(
        numbers.funnel.funnel_steps,
        "step_id",
        funnel_steps,
        funnel_steps_order,
      ),
    },
    actions: {
      ...numbers.actions,
      ...ofActions,
      as_of,
      actions: foldedRows(
        numbers.actions.actions,
        "action_id",
        rows,
        actions_order,
      ),
    },
  };
}

function foldedSummary(summary: Summary, changed: Partial<Summary>): Summary {
  const kept = Object.entries(changed)
    .filter(([name]) => !name.endsWith("_delta"));
  return kept.length === 0
    ? summary
    : { ...summary, ...Object.fromEntries(kept) };
}

function foldedRows<T extends object>(
  rows: T[],
  key: keyof T & string,
  changed: Partial<T>[] | undefined,
  order: string[] | undefined,
): T[] {
  if (!changed && !order) return rows;
  const byKey = new Map(rows.map((row) => [row[key] as string, row]));
  for (const change of changed ?? []) {
    const id = change[key] as string;
    byKey.set(id, { ...byKey.get(id), ...change } as T);
  }
  return (order ?? rows.map((row) => row[key] as string))
    .map((id) => byKey.get(id)!);
}

/** Fields of `after` that are another value in `before`. */
function difference(before: object, after: object): Row {
  const was = before as Row;
  return Object.fromEntries(
    Object.entries(after).filter(([name, value]) => !isSame(was[name], value)),
  );
}

function rowsBetween<T extends object>(
  name: string,
  key: keyof T & string,
  before: T[],
  after: T[],
): Row {
  const was = new Map(before.map((row) => [row[key], row]));
  const changed = after.flatMap((row): object[] => {
    const old = was.get(row[key]);
    if (old === undefined) return [row];
    const change = difference(old, row);
    return isEmpty(change) ? [] : [{ [key]: row[key], ...change }];
  });
  const keys = after.map((row) => row[key]);
  const isMoved = keys.length !== before.length ||
    before.some((row, i) => row[key] !== keys[i]);
  return {
    ...(changed.length > 0 ? { [name]: changed } : {}),
    ...(isMoved ? { [`${name}_order`]: keys } : {}),
  };
}

function deltas(before: Analytics, after: Analytics): Record<string, number> {
  const added: Record<string, number> = {};
  for (const name of SUMMARY_COUNTS) {
    added[name] = after.summary[name] - before.summary[name];
  }
  for (const name of TREND_COUNTS) {
    added[name] = sum(after, name) - sum(before, name);
  }
  return Object.fromEntries(
    Object.entries(added).filter(([, delta]) => delta !== 0)
      .map(([name, delta]) => [`${name}_delta`, delta]),
  );
}

function sum({ trends }: Analytics, name: typeof TREND_COUNTS[number]): number {
  return trends.reduce((total, point) => total + point[name], 0);
}

function isEmpty(value: object): boolean {
  return Object.keys(value).length === 0;
}

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  return typeof a === "object" && typeof b === "object" &&
    JSON.stringify(a) === JSON.stringify(b);
}
