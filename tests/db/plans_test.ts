/**
 * How hot statements find their rows: by which index of which table, and of which
 * partitions. A plan that reads a large table from end to end is right and slow, and
 * no other test would notice.
 *
 * Plans are those that Postgres ran, told by auto_explain, of statements inside of
 * functions too. Costs are not looked at.
 *
 * @module
 */

import { deepStrictEqual, ok } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery, type Event, WorkflowsQuery } from "../../db/schema.ts";
import { listWorkflows } from "../../db/workflows.ts";
import { randomOf } from "../../workers/_random.ts";
import { copyDays, recordExecutions } from "../bench/history.ts";
import { dbTest, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { withExplained } from "./_explained.ts";
import { DAY_MS, makePast } from "./_history.ts";

/** So many that no table is so small that reading all of it is best. */
const WORKFLOWS = 6;
const EXECUTIONS = 500;

/** A session plans a statement of a function for each call at first. */
const CALLS = 7;

/** Tables of a row or a few each workflow, and those that are empty between folds. */
const SMALL =
  /^(account|workflow|workflow_version|workflow_revision|workflow_running|step|goal|view_revision|view_refresh|changed_day|workflow_headline_sums|histogram_window|event_queue|parked_action|fold_\w+|pg_\w+)$/;

/** A range of a month touches two; what is ahead of now is one more. */
const MONTHS_MAX = 3;

const READS = {
  analytics: readAnalytics,
  funnel: readFunnel,
  actions: readActions,
};

const RUNNING = [
  "execution by execution_by_end",
  "execution by execution_by_enrollment",
];
const WINDOW = "window_histogram by window_histogram_pkey";

/** Every scan of a large table that the reads of 30 days make. */
const GOLDEN = {
  "views fresh": {
    analytics: [
      ...RUNNING,
      "goal_day by goal_day_pkey",
      "window_percentiles by window_percentiles_key",
      "workflow_day_sums by workflow_day_sums_key",
    ].sort(),
    funnel: [
      "step_day_sums by step_day_sums_key",
      "window_percentiles by window_percentiles_key",
      "workflow_day_sums by workflow_day_sums_key",
    ],
    actions: [
      "action_day_sums by action_day_sums_key",
      "window_percentiles by window_percentiles_key",
    ],
  },
  "all changed since": {
    analytics: [
      ...RUNNING,
      WINDOW,
      "goal_day by goal_day_pkey",
      "reason_day by reason_day_pkey",
      "workflow_day by workflow_day_pkey",
      "workflow_day_sums by workflow_day_sums_key",
    ].sort(),
    funnel: [
      "step_day by step_day_pkey",
      "step_day_sums by step_day_sums_key",
      WINDOW,
      "workflow_day by workflow_day_pkey",
      "workflow_day_sums by workflow_day_sums_key",
    ],
    // Nothing is left of the view.
    actions: ["action_day by action_day_pkey", WINDOW],
  },
  "another zone": {
    analytics: [
      ...RUNNING,
      WINDOW,
      "execution by execution_by_conversion_time",
      "execution by execution_by_duration",
      "goal_15min_* by goal_15min_*_pkey",
      "goal_day by goal_day_pkey",
      "histogram_day by histogram_day_pkey",
      "reason_15min_* by reason_15min_*_pkey",
      "reason_day by reason_day_pkey",
      "workflow_15min_* by workflow_15min_*_pkey",
      "workflow_day by workflow_day_pkey",
      "workflow_day_sums by workflow_day_sums_key",
    ].sort(),
    funnel: [
      "execution by execution_by_enrollment",
      "execution_step by execution_step_by_time",
      "histogram_day by histogram_day_pkey",
      "step_15min_* by step_15min_*_pkey",
      "step_day by step_day_pkey",
      "step_day_sums by step_day_sums_key",
      WINDOW,
      "workflow_15min_* by workflow_15min_*_pkey",
      "workflow_day by workflow_day_pkey",
      "workflow_day_sums by workflow_day_sums_key",
    ],
    actions: [
      "action_15min_* by action_15min_*_pkey",
      "action_day by action_day_pkey",
      "event_* by event_actions",
      "event_* by event_by_duration",
      WINDOW,
    ],
  },
};

const SLICES = [
  "window_edge by window_edge_pkey",
  WINDOW,
  "window_slice by window_slice_pkey",
];

/** And percentiles of 30 days in another zone, where slices are kept. */
const SLICED = {
  step_time: ["execution by execution_by_enrollment", ...SLICES],
  cohort_conversion: [
    "execution by execution_by_conversion_time",
    "execution by execution_by_enrollment",
    ...SLICES,
  ],
  action_duration: ["event_* by event_actions", ...SLICES],
};

/** And the list of workflows, where everything changed. */
const LISTED = [...RUNNING, "workflow_day by workflow_day_pkey"].sort();

interface Node {
  "Node Type": string;
  "Relation Name"?: string;
  "Index Name"?: string;
  "Actual Loops"?: number;
  "Actual Rows"?: number;
  "Rows Removed by Filter"?: number;
  Plans?: Node[];
}

/** A session that tells the plans of what it runs. */
async function withPlans(
  { database_url }: World,
  run: (sql: Sql, plansOf: typeof plansOfCalls) => Promise<void>,
): Promise<void> {
  let told: string[] = [];
  async function plansOf(call: () => Promise<unknown>): Promise<string[]> {
    for (let i = 0; i < CALLS; i++) {
      told = [];
      await call();
    }
    return told.flatMap((message) => {
      const json = /^duration: .* plan:\s*(\{.*)$/s.exec(message)?.[1];
      return json === undefined ? [] : scansOf(JSON.parse(json).Plan);
    });
  }
  await withExplained(
    database_url,
    (message) => told.push(message),
    (sql) => run(sql, plansOf),
  );
}
declare function plansOfCalls(call: () => Promise<unknown>): Promise<string[]>;

/** `table by index` of every scan of a large table that was made at all. */
function scansOf(node: Node): string[] {
  const scans = (node.Plans ?? []).flatMap(scansOf);
  const relation = node["Relation Name"];
  // Of an empty table, such as the next month, all of it is nothing.
  const isEmpty = node["Node Type"] === "Seq Scan" &&
    !node["Actual Rows"] && !node["Rows Removed by Filter"];
  if (
    relation && node["Node Type"] !== "ModifyTable" && !SMALL.test(relation) &&
    node["Actual Loops"]! > 0 && !isEmpty
  ) {
    scans.push(
      `${relation} by ${indexOf(node) ?? `no index: ${node["Node Type"]}`}`,
    );
  }
  return scans;
}

function indexOf(node: Node): string | undefined {
  if (node["Index Name"]) return node["Index Name"];
  if (!node["Node Type"].startsWith("Bitmap")) return undefined;
  return node.Plans!.map(indexOf).find((name) => name !== undefined);
}

/** Once each, whatever month it is. Names of the indexes of months are Postgres'. */
function golden(scans: string[]): string[] {
  const named = scans.map((scan) =>
    scan.replaceAll(/_\d{4}_\d\d/g, "_*")
      .replace(/ by event_\*_workflow_id_occurred_at_\w+/, " by event_actions")
      .replace(
        / by event_\*_workflow_id_subject_uuid_\w+/,
        " by event_by_duration",
      )
      .replace(
        / by event_\*_workflow_id_execution_id_\w+/,
        " by event_by_execution",
      )
      .replace(/^event_history by event_history_/, "event_* by event_*_")
      .replace(/ by event_\*_hashtextextended_\w+/, " by event_by_id")
  );
  return [...new Set(named)].sort();
}

/** Asserts that of what is kept by months no more are looked at than a range touches. */
function assertPruned(scans: string[]): void {
  const months = Map.groupBy(
    new Set(scans.map((scan) => scan.split(" ")[0]!)),
    (relation) => relation.replace(/_\d{4}_\d\d$/, ""),
  );
  for (const [parent, parts] of months) {
    ok(parts.length <= MONTHS_MAX, `${parent} is read in ${parts}`);
  }
}

function daysOf(days: number, tz?: string): AnalyticsQuery {
  const today = Temporal.Now.plainDateISO("UTC");
  return AnalyticsQuery.parse({
    start_date: today.subtract({ days: days - 1 }).toString(),
    end_date: today.toString(),
    tz,
  });
}

async function makeRows(world: World): Promise<string> {
  const { sql } = world;
  let uuid = "";
  for (let n = 0; n < WORKFLOWS; n++) {
    const past = await makePast(world, 0);
    uuid = past.workflow_uuid;
    await recordExecutions(sql, past.workflow_id, {
      from: 0,
      until: EXECUTIONS,
      of: EXECUTIONS,
    });
    while (await fold(sql) > 0);
  }
  await copyDays(sql, new Date());
  await sql`call weir.refresh_views('worker', 0, null)`;
  await sql`vacuum (analyze)`;
  return uuid;
}

/** Has slices and edges, as many as a thousand workflows'. */
async function slice({ sql }: World): Promise<void> {
  await sql.unsafe(`
    create or replace function weir.sliced_from() returns int language sql immutable return 1;
    select weir.make_windows(1);
    insert into weir.window_slice
    select -n, measure, days, subject_id, place, first_bin, last_bin, us_from, us_until, below, alike, samples
    from weir.window_slice, generate_series(1, 50) n;
    insert into weir.window_edge
    select -n, measure, quarter, subject_id, samples from weir.window_edge, generate_series(1, 300) n;
    analyze weir.window_slice, weir.window_edge`);
}

dbTest(
  "reads, folds and records find their rows by indexes, in the months they need",
  async (world) => {
    const uuid = await makeRows(world);
    const id = world.account.account_id;
    const now = new Date();
    await withPlans(world, async (sql, plansOf) => {
      async function look(how: keyof typeof GOLDEN, tz?: string) {
        const query = daysOf(30, tz);
        for (const [name, read] of Object.entries(READS)) {
          const scans = await plansOf(() => read(sql, id, uuid, query, now));
          assertPruned(scans);
          deepStrictEqual(
            golden(scans),
            GOLDEN[how][name as keyof typeof READS],
            `${name}, ${how}: the plan is another`,
          );
        }
      }
      await look("views fresh");
      await world.sql`update weir.view_revision set revision = 0`;
      // Shortly after midnight nothing has happened today.
      await world.sql`
        insert into weir.changed_day (workflow_id, bucket, revision)
        select workflow_id, weir.day_key((now() at time zone 'UTC')::date), 1 from weir.workflow
        on conflict do nothing`;
      await look("all changed since");
      await look("another zone", "Asia/Kolkata");

      await slice(world);
      const zone = "Asia/Kolkata";
      const today = Temporal.Now.plainDateISO(zone);
      const [since, until] = [-29, 1].map((days) =>
        today.add({ days }).toZonedDateTime(zone).toInstant().toString()
      );
      for (const [what, expected] of Object.entries(SLICED)) {
        const scans = await plansOf(() =>
          sql`
          select * from weir.sample_percentiles(${1}, ${what}, ${since!}, ${until!})`
        );
        assertPruned(scans);
        deepStrictEqual(golden(scans), expected, what);
      }

      const list = WorkflowsQuery.parse({});
      const listed = await plansOf(() => listWorkflows(sql, id, list, now));
      assertPruned(listed);
      deepStrictEqual(golden(listed), LISTED);

      const random = randomOf("plans");
      const events: Event[] = Array.from(
        { length: 60 },
        (_, n) =>
          journeyOf(random, uuid, `new-${n}`, now.getTime() - 3 * DAY_MS),
      ).flat();
      let from = 0;
      const writes = [
        ...await plansOf(() =>
          recordEvents(sql, id, events.slice(from, from += 30))
        ),
        ...await plansOf(() => fold(sql, 20)),
      ];
      ok(writes.some((scan) => scan.startsWith("execution by execution_pkey")));
      deepStrictEqual(writes.filter((scan) => scan.includes("no index")), []);
    });
  },
);

dbTest(
  "recordEvents() looks ids up by their index, in every month, whatever is known of it",
  async (world) => {
    const uuid = await makeRows(world);
    const id = world.account.account_id;
    const random = randomOf("ids");
    const events = Array.from(
      { length: 60 },
      (_, n) => journeyOf(random, uuid, `id-${n}`, Date.now() - 3 * DAY_MS),
    ).flat();
    // As of months that nobody has analyzed, of as many workflows as there are.
    for (const known of ["all", "nothing"]) {
      if (known === "nothing") {
        await world.sql`
          delete from pg_statistic s using pg_class c
          where c.oid = s.starelid and relname like 'event\\_%'`;
      }
      await withPlans(world, async (sql, plansOf) => {
        let from = 0;
        const fresh = await plansOf(() =>
          recordEvents(sql, id, events.splice(0, 20))
        );
        const again = await plansOf(() =>
          recordEvents(sql, id, events.slice(0, from += 10))
        );
        for (const scans of [fresh, again]) {
          deepStrictEqual(
            golden(scans).filter((scan) => scan.startsWith("event_*")),
            ["event_* by event_by_id"],
          );
          ok(new Set(scans).size >= 6, "not all months are looked at");
        }
      });
    }
  },
);
