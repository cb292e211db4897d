import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readAnalytics } from "../../db/analytics.ts";
import { readDistribution } from "../../db/distribution.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { AnalyticsQuery, type Event } from "../../db/schema.ts";
import { dbTest, NOW } from "../harness.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const GOAL = "33333333-3333-4333-8333-333333333333";

/** One that is enrolled two days ago, and converts so many seconds later. */
function conversion(n: number, seconds: number): Event[] {
  const enrolledMs = NOW.getTime() - 2 * 86_400_000;
  const of = {
    workflow_id: WORKFLOW,
    execution_id: `22222222-2222-4222-8222-${String(n).padStart(12, "0")}`,
    contact_id: "contact",
  };
  const at = (ms: number) => new Date(enrolledMs + ms).toISOString();
  return [
    {
      ...of,
      id: `${n} in`,
      type: "execution.enrolled",
      source: "api",
      occurred_at: at(0),
    },
    {
      ...of,
      id: `${n} goal`,
      type: "goal.achieved",
      goal_id: GOAL,
      occurred_at: at(seconds * 1_000),
    },
  ];
}

const SECONDS = [5, 30, 40, 8_000, 9_000, 100_000];

dbTest(
  "readDistribution() has every conversion in its class, in days and in any zone",
  async (world) => {
    const { sql, account } = world;
    await recordEvents(
      sql,
      account.account_id,
      SECONDS.flatMap((seconds, n) => conversion(n, seconds)),
    );
    while (await fold(sql) > 0);
    // The account's zone is read from histograms, the other one from executions.
    for (const tz of ["UTC", "Asia/Kathmandu"]) {
      for (const attribution of ["cohort", "event"] as const) {
        const query = AnalyticsQuery.parse({
          start_date: "2026-06-10",
          end_date: "2026-06-15",
          tz,
          attribution,
        });
        const asked = [sql, account.account_id, WORKFLOW, query, NOW] as const;
        const { classes } = (await readDistribution(...asked))!;
        deepStrictEqual(
          classes.map(({ from_seconds, count }) => [from_seconds, count]),
          [
            [0, 1],
            [10, 2],
            [60, 0],
            [300, 0],
            [900, 0],
            [3_600, 2],
            [10_800, 0],
            [21_600, 0],
            [43_200, 0],
            [86_400, 1],
          ],
          `${tz} ${attribution}`,
        );
        const { summary } = (await readAnalytics(...asked))!;
        strictEqual(summary.goals_achieved, SECONDS.length);
        const shares = classes.reduce((sum, { share }) => sum + share, 0);
        strictEqual(shares.toFixed(2), "100.00");
      }
    }
  },
);

dbTest(
  "readDistribution() is empty where nobody converted, and null for a stranger",
  async ({ sql, account }) => {
    const query = AnalyticsQuery.parse({
      start_date: "2026-06-10",
      end_date: "2026-06-15",
    });
    const [enrolled] = conversion(1, 5);
    await recordEvents(sql, account.account_id, [enrolled!]);
    while (await fold(sql) > 0);
    const of = (id: number) => readDistribution(sql, id, WORKFLOW, query, NOW);
    deepStrictEqual((await of(account.account_id))!.classes, []);
    strictEqual(await of(account.account_id + 1), null);
  },
);
