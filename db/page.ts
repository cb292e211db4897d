/**
 * Everything that the page of a workflow shows of its numbers.
 *
 * @module
 */

import { readAnalytics } from "./analytics.ts";
import type { Sql } from "./client.ts";
import { readDistribution } from "./distribution.ts";
import { readLive } from "./live.ts";
import { comparedRange, DetailExpired } from "./period.ts";
import type {
  Actions,
  Analytics,
  AnalyticsQuery,
  Distribution,
  Funnel,
} from "./schema.ts";

/** The reads of a query together. */
export interface PageNumbers {
  analytics: Analytics;
  funnel: Funnel;
  actions: Actions;
  distribution: Distribution;
  /** Buckets of the compared range, `null` where there is none, or its hours are gone. */
  past: Analytics["trends"] | null;
}

/**
 * Reads the numbers of a page: summary, funnel and actions in one snapshot.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query What is shown.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 * @throws {DetailExpired} When hours or contacts are asked for that are not kept.
 */
export async function readPage(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<PageNumbers | null> {
  const asked = [sql, accountId, workflowUuid, query, now] as const;
  const [live, distribution, past] = await Promise.all([
    readLive(...asked),
    readDistribution(...asked),
    readPast(...asked),
  ]);
  if (live === null || distribution === null) return null;
  const { analytics, funnel, actions } = live;
  return { analytics, funnel, actions, distribution, past };
}

/**
 * Reads the trend of the range that another is compared with.
 *
 * @returns `null` when none was asked for, or hours or contacts of then are not kept
 * any more, though those of the range are.
 */
export async function readPast(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Analytics["trends"] | null> {
  const range = comparedRange(query);
  if (range === null) return null;
  const past = {
    ...query,
    start_date: range.first,
    end_date: range.last,
    compare: "none",
  } as const;
  try {
    const analytics = await readAnalytics(
      sql,
      accountId,
      workflowUuid,
      past,
      now,
    );
    return analytics && analytics.trends;
  } catch (error) {
    if (error instanceof DetailExpired) return null;
    throw error;
  }
}
