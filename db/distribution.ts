/**
 * How long conversions took.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import type { Head } from "./period.ts";
import { shares } from "./rates.ts";
import type { AnalyticsQuery, Distribution } from "./schema.ts";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Where one class ends and the next begins, seconds: what people say, a few to a decade. */
const EDGES = [
  10,
  MINUTE,
  5 * MINUTE,
  15 * MINUTE,
  HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  4 * DAY,
  7 * DAY,
  14 * DAY,
  30 * DAY,
  60 * DAY,
];

/** What `weir.read_distribution()` answers: microseconds that stand for a bin, and its conversions. */
interface Counts {
  head: Head;
  bins: [us: number, samples: number][];
}

/**
 * Reads how long it took those who converted, from enrolment on, in classes.
 *
 * @param sql Client.
 * @param accountId Whose workflow it must be.
 * @param workflowUuid Which one.
 * @param query Range, zone, attribution, version; executions are counted whatever it says.
 * @param now The clock.
 * @returns `null` when the account has no such workflow.
 */
export async function readDistribution(
  sql: Sql,
  accountId: number,
  workflowUuid: string,
  query: AnalyticsQuery,
  now: Date,
): Promise<Distribution | null> {
  const [row] = await sql<[{ counts: Counts | null }]>`
    select weir.read_distribution(${accountId}, ${workflowUuid}, ${query.start_date}::text::date,
      ${query.end_date}::text::date, ${
    query.tz ?? null
  }, ${query.attribution}, ${query.version ?? null}, ${now}) as counts`;
  const counts = row.counts;
  if (counts === null) return null;
  return {
    workflow_id: workflowUuid,
    as_of: counts.head.as_of,
    classes: classesOf(counts.bins),
  };
}

/** From the first class that has any to the last, so that gaps between them are seen. */
function classesOf(bins: Counts["bins"]): Distribution["classes"] {
  const counts = [0, ...EDGES].map(() => 0);
  for (const [us, samples] of bins) {
    const at = EDGES.findIndex((edge) => us < edge * 1_000_000);
    counts[at < 0 ? EDGES.length : at]! += samples;
  }
  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  if (first < 0) return [];
  const share = shares(counts);
  return counts.map((count, i) => ({
    from_seconds: i === 0 ? 0 : EDGES[i - 1]!,
    to_seconds: EDGES[i] ?? null,
    count,
    share: share[i]!,
  })).slice(first, last + 1);
}
