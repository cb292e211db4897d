/**
 * The whole truth about a database whose every accepted event is known: each is
 * stored once, every stored number is the plain recomputation, every answer the
 * oracle's.
 *
 * @module
 */

import { deepStrictEqual } from "node:assert/strict";
import { readActions } from "../db/actions.ts";
import { readAnalytics } from "../db/analytics.ts";
import type { Sql } from "../db/client.ts";
import { readFunnel } from "../db/funnel.ts";
import { type AnalyticsQuery, ATTRIBUTIONS } from "../db/schema.ts";
import { type Facts, oracle, sameNumbers } from "./oracle.ts";
import { recount } from "./recount.ts";

/** One workflow, and everything that was accepted for it. */
export interface Known extends Facts {
  account_id: number;
}

/** Which answers are asked for. */
export interface Question {
  start_date: string;
  end_date: string;
  /** Zones besides the account's own. */
  zones: string[];
  now: Date;
}

/**
 * Asserts that nothing is missing, doubled or miscounted. Nothing may write or fold
 * meanwhile, and all must be folded.
 *
 * @param sql Client.
 * @param all Every workflow of the database.
 * @param question Which answers to compare.
 * @throws {AssertionError} Saying what differs.
 */
export async function sameAsKnown(
  sql: Sql,
  all: Known[],
  question: Question,
): Promise<void> {
  deepStrictEqual(await readStored(sql), idsOf(all));
  const [queue] = await sql`select count(*) as waiting from weir.event_queue`;
  deepStrictEqual(queue, { waiting: 0 });
  deepStrictEqual(await recount(sql), []);
  for (const known of all) {
    for (const attribution of ATTRIBUTIONS) {
      for (const tz of [undefined, ...question.zones]) {
        await compare(sql, known, question, { tz, attribution });
      }
    }
  }
}

/** `workflow event` of each row, in order: a row that is there twice is twice in it. */
async function readStored(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select workflow_uuid || ' ' || event_id as name
    from weir.event join weir.workflow using (workflow_id)`;
  return rows.map((row) => row.name).sort();
}

function idsOf(all: Known[]): string[] {
  return all.flatMap(({ workflow_id, events }) =>
    events.map(({ id }) => `${workflow_id} ${id}`)
  ).sort();
}

async function compare(
  sql: Sql,
  known: Known,
  { start_date, end_date, zones: _, now }: Question,
  asked: Pick<AnalyticsQuery, "tz" | "attribution">,
): Promise<void> {
  const query: AnalyticsQuery = {
    start_date,
    end_date,
    granularity: "daily",
    compare: "none",
    unit: "execution",
    ...asked,
  };
  const expected = oracle(known, query, now);
  const percentiles = asked.tz === undefined ? "histogram" : "exact";
  const { account_id, workflow_id } = known;
  for (
    const [name, read] of [
      ["analytics", readAnalytics],
      ["funnel", readFunnel],
      ["actions", readActions],
    ] as const
  ) {
    const actual = await read(sql, account_id, workflow_id, query, now);
    sameNumbers(actual, expected[name], percentiles);
  }
}
