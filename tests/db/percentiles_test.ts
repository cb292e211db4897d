/**
 * What the histograms say, against the samples themselves and against a sketch of
 * other people's; and that their bins add up, however they came together.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { DDSketch } from "@datadog/sketches-js";
import { createAccount } from "../../db/access.ts";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import {
  AnalyticsQuery,
  DURATION_MS_MAX,
  type Event,
} from "../../db/schema.ts";
import {
  logNormal,
  type Random,
  randomOf,
  uuidOfWords,
} from "../../workers/_random.ts";
import { recordExecutions } from "../bench/history.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { recount } from "../recount.ts";
import { DAY_MS, makePast } from "./_history.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const DAY = AnalyticsQuery.parse({
  start_date: "2026-06-15",
  end_date: "2026-06-15",
});
const DAY_START = Temporal.Instant.from("2026-06-15T00:00:00Z");

/** What the contract allows, and what the sketch was asked for. */
const OUR_ERROR = 0.02;
const SKETCH_ERROR = 0.01;

/** Half of the last decimal of a millisecond. */
const ROUNDING_MS = 0.0005;

/** With it the sketch's ranks are the nearest ranks: q (n - 1) is whole. */
const SAMPLES = 2_001;
const QUANTILES = [0.5, 0.95, 0.99];

/** Distributions of a sample, microseconds. */
const DRAWS: Record<string, (random: Random) => number> = {
  uniform: (random) => random() * 10_000_000,
  "log-normal": (random) => logNormal(random, 400_000, 2),
  bimodal: (random) =>
    random() < 0.93 ? 2_000 + random() * 500 : 8e9 + random() * 1e9,
  constant: () => 1_234_567,
  "zero-heavy": (random) => random() < 0.9 ? 0 : random() * 40,
  "heavy-tailed": (random) =>
    Math.min(100 / random() ** 2.5, DURATION_MS_MAX * 1_000),
};

/** One execution, and an action of it for every sample. */
function actionsOf(samplesUs: number[][]): Event[] {
  const execution_id = uuidOfWords(WORKFLOW, "execution");
  const common = {
    workflow_id: WORKFLOW,
    execution_id,
    contact_id: "contact",
    occurred_at: DAY_START.toString(),
  };
  const actions = samplesUs.flatMap((samples, n) =>
    samples.map((us, i): Event => ({
      ...common,
      id: `${n}-${i}`,
      type: "action.executed",
      step_id: uuidOfWords(WORKFLOW, "step", n),
      status: "succeeded",
      duration_ms: us / 1_000,
    }))
  );
  return [
    { ...common, id: "0", type: "execution.enrolled", source: "api" },
    ...actions,
  ];
}

async function record(
  sql: Sql,
  accountId: number,
  events: Event[],
): Promise<void> {
  for (let i = 0; i < events.length; i += 10_000) {
    await recordEvents(sql, accountId, events.slice(i, i + 10_000));
  }
  while (await fold(sql) > 0);
}

/** p50, p95 and p99 of each sample's action, ms. */
async function percentilesOf(
  { sql, account }: World,
  samplesUs: number[][],
): Promise<number[][]> {
  await record(sql, account.account_id, actionsOf(samplesUs));
  const answer = await readActions(sql, account.account_id, WORKFLOW, DAY, NOW);
  const rows = new Map(answer!.actions.map((row) => [row.action_id, row]));
  return samplesUs.map((_, n) => {
    const row = rows.get(uuidOfWords(WORKFLOW, "step", n))!;
    return [row.p50_duration_ms!, row.p95_duration_ms!, row.p99_duration_ms!];
  });
}

function isNear(ms: number, exact: number, error: number, what: string): void {
  const off = Math.abs(ms - exact);
  ok(
    off <= exact * error + ROUNDING_MS + Number.EPSILON * exact,
    `${what}: ${ms} is more than ${error * 100} % from ${exact}`,
  );
}

dbTest(
  "percentiles are within 2 % of the samples', and near the sketch's",
  async (world) => {
    const random = randomOf("percentiles");
    const names = Object.keys(DRAWS);
    const samples = names.map((name) =>
      Array.from({ length: SAMPLES }, () => Math.round(DRAWS[name]!(random)))
    );
    const ours = await percentilesOf(world, samples);
    for (const [n, name] of names.entries()) {
      const [row] = await world.sql<[{ exact: number[] }]>`
      select percentile_disc(${QUANTILES}::float8[]) within group (order by us / 1000) as exact
      from unnest(${samples[n]!}::float8[]) us`;
      const sketch = new DDSketch({ relativeAccuracy: SKETCH_ERROR });
      for (const us of samples[n]!) sketch.accept(us / 1_000);
      QUANTILES.forEach((quantile, i) => {
        const what = `${name} p${quantile * 100}`;
        const exact = row.exact[i]!;
        const theirs = sketch.getValueAtQuantile(quantile);
        isNear(ours[n]![i]!, exact, OUR_ERROR, what);
        isNear(theirs, exact, SKETCH_ERROR, `${what} of the sketch`);
        isNear(ours[n]![i]!, theirs, OUR_ERROR + SKETCH_ERROR, `${what}, both`);
      });
    }
  },
);

dbTest(
  "a percentile of one sample is within 2 % at every magnitude",
  async (world) => {
    const max = DURATION_MS_MAX * 1_000;
    const samples = [0, max];
    for (let us = 1; us < max; us = Math.ceil(us * 1.083)) samples.push(us);
    ok(samples.length > 300);
    const ours = await percentilesOf(world, samples.map((us) => [us]));
    samples.forEach((us, n) => {
      for (const ms of ours[n]!) isNear(ms, us / 1_000, OUR_ERROR, `${us} µs`);
    });
  },
);

/** Executions over two months of Paris, some near its midnights, with every measure. */
function historyOf(workflow_id: string): Event[] {
  const random = randomOf("history");
  // 31 May begins at 22:00 UTC of the 30th, and June a day later.
  const start = Temporal.Instant.from("2026-05-29T21:00:00Z");
  return Array.from({ length: 30 }, (_, n) => {
    const enrolled = start.add({
      minutes: Math.floor(random() * 4 * 24 * 60),
    });
    const facts: [number, Record<string, unknown>][] = [
      [0, { type: "execution.enrolled", source: "api" }],
      [0, { type: "step.entered", step_id: uuidOfWords("step", n % 2) }],
      [random() * 9_000, {
        type: "step.completed",
        step_id: uuidOfWords("step", n % 2),
      }],
      ...[0, 1, 2].map((i): [number, Record<string, unknown>] => [
        random() * 90_000,
        {
          type: "action.executed",
          step_id: uuidOfWords("step", i % 2),
          status: "succeeded",
          duration_ms: Math.round(1_000 / (1 - random())),
        },
      ]),
      [random() * 90_000, {
        type: "goal.achieved",
        goal_id: uuidOfWords("goal", 0),
      }],
      [random() * 90_000, { type: "execution.completed" }],
    ];
    return facts.map(([seconds, fact], i) =>
      ({
        id: `${n}-${i}`,
        workflow_id,
        execution_id: uuidOfWords("execution", n),
        contact_id: "contact",
        workflow_version: 1 + n % 2,
        occurred_at: enrolled.add({ seconds: Math.floor(seconds) }).toString(),
        ...fact,
      }) as Event
    );
  }).flat();
}

/** A way for the same events to come together. */
interface Way {
  order(a: Event, b: Event): number;
  /** Events sent at once, and folded at once. */
  sent: number;
  folded: number;
  /** Whether something is folded after every batch, or all in the end. */
  between: boolean;
}

function byTime(a: Event, b: Event): number {
  return a.occurred_at < b.occurred_at ? -1 : 1;
}

/** Any order that has nothing to do with time, the same in every run. */
function byChance(a: Event, b: Event): number {
  return uuidOfWords(a.id) < uuidOfWords(b.id) ? -1 : 1;
}

const WAYS: Way[] = [
  { order: byTime, sent: 10_000, folded: 20_000, between: false },
  { order: byTime, sent: 50, folded: 7, between: true },
  {
    order: (a, b) => byTime(b, a),
    sent: 4,
    folded: 20_000,
    between: true,
  },
  { order: byChance, sent: 97, folded: 20_000, between: true },
  { order: byChance, sent: 33, folded: 5, between: true },
];

async function come(
  sql: Sql,
  accountId: number,
  workflow_id: string,
  { order, sent, folded, between }: Way,
): Promise<void> {
  const events = historyOf(workflow_id).sort(order);
  for (let i = 0; i < events.length; i += sent) {
    await recordEvents(sql, accountId, events.slice(i, i + sent));
    if (between) await fold(sql, folded);
  }
  while (await fold(sql, folded) > 0);
}

/** Every bin of a workflow that something fell into; month grain, or days summed into months. */
async function binsOf(
  sql: Sql,
  workflow_id: string,
  grain: "day" | "month" | "day into month",
) {
  const month = sql`date_trunc('month', bucket, 'UTC')`;
  return await sql`
    select measure, ${grain === "day" ? sql`bucket` : month} as bucket, version,
      bin, sum(samples)::int as samples, coalesce(step_uuid::text, '') as subject
    from weir.histogram_bins h join weir.workflow using (workflow_id)
    left join weir.step s on s.workflow_id = h.workflow_id and s.step_id = h.subject_id
      and h.subject_id <> 0
    where workflow_uuid = ${workflow_id} and grain = ${
    grain === "month" ? "month" : "day"
  }
    group by 1, 2, 3, 4, 6
    having sum(samples) <> 0
    order by 1, 2, 3, 4, 6`;
}

dbTest(
  "fold() ends in the same bins, in whatever order and batches",
  async ({ sql }) => {
    const { account_id } = await createAccount(sql, "Any", "Europe/Paris");
    const found = [];
    for (const way of WAYS) {
      const workflow_id = crypto.randomUUID();
      await come(sql, account_id, workflow_id, way);
      const day = await binsOf(sql, workflow_id, "day");
      const month = await binsOf(sql, workflow_id, "month");
      deepStrictEqual(await binsOf(sql, workflow_id, "day into month"), month);
      found.push({ day: [...day], month: [...month] });
    }
    for (const one of found) deepStrictEqual(one, found[0]);
    const { day, month } = found[0]!;
    strictEqual(new Set(day.map((row) => row.measure)).size, 6);
    strictEqual(new Set(month.map((row) => Number(row.bucket))).size, 2);
    ok(new Set(day.map((row) => Number(row.bucket))).size > 4);
  },
);

dbTest(
  "percentiles of years ago are the same by day and by month",
  async ({ sql }) => {
    const { account_id } = await createAccount(sql, "Any", "Europe/Paris");
    const workflow_id = crypto.randomUUID();
    await come(sql, account_id, workflow_id, WAYS[0]!);
    const summaries = [];
    for (const granularity of ["daily", "weekly", "monthly"]) {
      for (const now of ["2026-07-10T00:00:00Z", "2046-07-10T00:00:00Z"]) {
        const answer = await readAnalytics(
          sql,
          account_id,
          workflow_id,
          AnalyticsQuery.parse({
            start_date: "2026-05-01",
            end_date: "2026-06-30",
            granularity,
          }),
          new Date(now),
        );
        const { enrollment_rate: _, ...summary } = answer!.summary;
        summaries.push(summary);
      }
    }
    strictEqual(summaries[0]!.completed, 30);
    for (const one of summaries) deepStrictEqual(one, summaries[0]);
  },
);

const MEASURES = [
  "cohort_duration",
  "duration",
  "cohort_conversion",
  "conversion",
  "step_time",
  "action_duration",
];

/** What reads answer of a measure: the other percentiles nobody asks for. */
const ASKED: Record<string, string[]> = {
  cohort_duration: ["p50", "p95"],
  duration: ["p50", "p95"],
  cohort_conversion: ["p50", "p95", "fastest", "slowest"],
  conversion: ["p50", "p95", "fastest", "slowest"],
  step_time: ["p50", "p95"],
  action_duration: ["p50", "p95", "p99"],
};

/**
 * Holds the percentiles of a range that are found among few samples against those of all.
 *
 * @param some Not all of them need be found.
 * @returns How many were.
 */
async function compare(
  sql: Sql,
  workflowId: number,
  since: Date,
  until: Date,
  some = false,
): Promise<number> {
  let compared = 0;
  for (const what of MEASURES) {
    const columns = sql(["subject_id", ...ASKED[what]!]);
    const few = await sql`
      select ${columns} from weir.sample_percentiles(${workflowId}, ${what}, ${since}, ${until}) order by 1`;
    const all = await sql`
      select ${columns} from weir.exact_percentiles(${workflowId}, ${what}, ${since}, ${until}, null) order by 1`;
    const found = new Set(few.map(({ subject_id }) => subject_id));
    deepStrictEqual(
      [...few],
      some ? all.filter((row) => found.has(row.subject_id)) : [...all],
      `${what} ${since.toISOString()} ${until.toISOString()}`,
    );
    compared += few.length;
  }
  return compared;
}

dbTest(
  "sample_percentiles() finds among few samples what exact_percentiles() finds among all",
  async (world) => {
    const { sql } = world;
    const { workflow_id } = await makePast(world, 400);
    const now = Date.now();
    async function check() {
      let compared = 0;
      // Ends near either midnight of the account, at it, and ranges shorter than its days.
      for (
        const [daysAgo, hours] of [[80, 1700.25], [33, 24], [30, 719.75], [
          20,
          23.5,
        ], [9, 12]]
      ) {
        for (const shift of [0, 5.5, 11.75, 12, 12.25, 18.25]) {
          const midnight = Math.floor(now / DAY_MS - daysAgo!) * DAY_MS;
          const since = new Date(midnight + shift * DAY_MS / 24);
          const until = new Date(since.getTime() + hours! * DAY_MS / 24);
          compared += await compare(sql, workflow_id, since, until);
        }
      }
      ok(compared > 200);
    }
    await check();
    // Actions that wait in the queue, and such whose execution is not enrolled, do not count.
    await recordExecutions(sql, workflow_id, {
      from: 400,
      until: 500,
      of: 100,
    });
    await sql`
      delete from weir.event_queue
      where type = 'execution.enrolled' and hashtext(event_id) % 2 = 0`;
    await fold(sql, 100);
    await check();
    while (await fold(sql) > 0);
    await check();
  },
);

/** Zones whose days begin up to a day before the account's, or after, and at quarters of an hour. */
const ZONES = [
  "Asia/Kathmandu",
  "America/Los_Angeles",
  "Pacific/Kiritimati",
  "Pacific/Pago_Pago",
];

dbTest(
  "sample_percentiles() of the last days stays exact whatever comes after the slices were made",
  async (world) => {
    const { sql } = world;
    // So that a past that is made in a second has them.
    await sql.unsafe(
      "create or replace function weir.sliced_from() returns int language sql immutable return 1",
    );
    const { workflow_id } = await makePast(world, 600);
    await sql`select weir.make_windows(${workflow_id})`;

    async function check(
      what: string,
      { keptBack = false, some = false } = {},
    ): Promise<number> {
      let compared = 0;
      for (const zone of ZONES) {
        const today = Temporal.Now.plainDateISO(zone);
        for (const days of [7, 30, 90]) {
          const since = today.subtract({ days: days - 1 }).toZonedDateTime(
            zone,
          );
          const until = today.add({ days: 1 }).toZonedDateTime(zone);
          compared += await compare(
            sql,
            workflow_id,
            new Date(since.epochMilliseconds),
            new Date(until.epochMilliseconds),
            some,
          );
        }
      }
      ok(compared > 150);
      // What is kept back is stored, so it would be missed.
      if (!keptBack) deepStrictEqual(await recount(sql), [], what);
      return compared;
    }

    // Bins find nothing now: it is the slices that do, but where samples are so few that the edge of a range shifts a rank
    // beyond what its slice holds.
    const [{ bins }] = await sql<[{ bins: string }]>`
      select pg_get_functiondef('weir.bin_percentiles'::regproc) as bins`;
    await sql.unsafe(
      `create or replace function weir.bin_percentiles(workflow int, what weir.measure, since timestamptz,
        until timestamptz, subjects int[])
      returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
      language sql stable begin atomic
        select null::int, null::float8, null::float8, null::float8, null::float8, null::float8 where false;
      end`,
    );
    const bySlices = await check("as made", { some: true });
    await sql.unsafe(bins);
    const all = await check("as made");
    ok(bySlices > 0.9 * all, `${bySlices} of ${all}`);

    // Late ones all over the windows, a part of them folded, the rest waiting; some parked.
    await recordExecutions(sql, workflow_id, {
      from: 600,
      until: 900,
      of: 300,
    });
    await sql`
      with late as (
        delete from weir.event_queue
        where type = 'execution.enrolled' and hashtext(event_id) % 3 = 0 returning *
      )
      select * into weir.kept_back from late`;
    await fold(sql, 800);
    await check("some folded", { keptBack: true });
    while (await fold(sql) > 0);
    await check("some parked", { keptBack: true });
    await sql`
      insert into weir.event_queue overriding system value select * from weir.kept_back`;
    await sql`drop table weir.kept_back`;
    while (await fold(sql) > 0);
    await check("none parked");

    // Enrolled earlier than was known, and steps completed earlier.
    await sql`
      with moved as (
        insert into weir.event (workflow_id, execution_id, occurred_at, sequence, duration_us, version, type, source,
          subject_uuid, succeeded, event_id, contact_id, reason)
        select workflow_id, execution_id, occurred_at - interval '11 hours' * random(), sequence, duration_us, version, type,
          source, subject_uuid, succeeded, event_id || ' again', contact_id, reason
        from weir.event where workflow_id = ${workflow_id} and type in ('execution.enrolled', 'step.completed')
          and hashtext(event_id) % 5 = 0
        returning *
      )
      insert into weir.event_queue (workflow_id, execution_id, occurred_at, sequence, duration_us, version, type, source,
        subject_uuid, succeeded, event_id, contact_id, reason)
      select workflow_id, execution_id, occurred_at, sequence, duration_us, version, type, source, subject_uuid,
        succeeded, event_id, contact_id, reason from moved`;
    while (await fold(sql) > 0);
    await check("moved");

    // Every execution counts anew, and the slices follow the ranks.
    await sql`
      update weir.workflow set goal_ends_execution = false, conversion_window_us = 3600000000, recompute_since = now()
      where workflow_id = ${workflow_id}`;
    await sql`select weir.recompute(${workflow_id})`;
    await check("recomputed");
    await sql`select weir.make_windows(${workflow_id})`;
    await check("slices made anew");
  },
);

dbTest(
  "slices answer where too many samples are alike to be held",
  async (world) => {
    const { sql, account } = world;
    await sql.unsafe(
      "create or replace function weir.sliced_from() returns int language sql immutable return 1",
    );
    const midnight = Math.floor(Date.now() / DAY_MS) * DAY_MS;
    /** Actions of three steps: alike all of them, and half of them. */
    async function happen(word: string, daysAgo: number, many: number) {
      const events = actionsOf([
        Array(many).fill(0),
        Array(many).fill(1_234_567),
        Array.from({ length: many }, (_, i) => i % 2 ? 1_000 : 900 + i),
      ]).map((event) => ({
        ...event,
        id: `${word} ${event.id}`,
        occurred_at: new Date(midnight - daysAgo * DAY_MS).toISOString(),
      }));
      await record(sql, account.account_id, events);
    }
    async function check() {
      // Half a day more than the window, and half a day less.
      for (const daysAgo of [6.5, 5.5]) {
        const since = new Date(midnight - daysAgo * DAY_MS);
        const until = new Date(midnight + 1.5 * DAY_MS);
        strictEqual(await compare(sql, workflow_id, since, until), 3);
      }
      deepStrictEqual(await recount(sql), []);
    }

    await happen("first", 1, 300);
    await happen("more", 6.25, 40);
    await happen("less", 5.75, 40);
    const [{ workflow_id }] = await sql<[{ workflow_id: number }]>`
      select workflow_id from weir.workflow where workflow_uuid = ${WORKFLOW}`;
    await sql`select weir.make_windows(${workflow_id})`;
    const [{ alike }] = await sql<[{ alike: number }]>`
      select count(*)::int as alike from weir.window_slice where alike > 100`;
    ok(alike > 0);
    // What slices do not answer is missing then.
    await sql.unsafe(
      `create or replace function weir.bin_percentiles(workflow int, what weir.measure, since timestamptz,
        until timestamptz, subjects int[])
      returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
      language plpgsql as $$ begin end $$`,
    );
    await check();
    await happen("late", 2, 100);
    await happen("late, at the edge", 5.6, 20);
    await check();
    await sql`select weir.make_windows(${workflow_id})`;
    await check();
  },
);

dbTest(
  "make_windows() makes no slice of samples that are gone",
  async (world) => {
    const { sql } = world;
    await sql.unsafe(
      "create or replace function weir.sliced_from() returns int language sql immutable return 1",
    );
    const { workflow_id } = await makePast(world, 300);
    async function slicedMeasures() {
      await sql`select weir.make_windows(${workflow_id})`;
      const [{ measures }] = await sql<[{ measures: string[] }]>`
        select coalesce(array_agg(distinct measure::text order by measure::text), '{}') as measures
        from weir.window_slice where workflow_id = ${workflow_id}`;
      return measures;
    }
    ok((await slicedMeasures()).includes("action_duration"));
    // As after a retention whose clock was months ahead.
    await sql`delete from weir.event where type = 'action.executed'`;
    await sql`update weir.histogram_window set last_day = last_day - interval '1 day'`;
    const measures = await slicedMeasures();
    ok(measures.includes("step_time"));
    ok(!measures.includes("action_duration"));
  },
);

dbTest(
  "refresh_views() leaves those alone who have too few samples for slices",
  async (world) => {
    const { sql } = world;
    const { workflow_id } = await makePast(world, 20);
    async function refreshed() {
      await recordExecutions(sql, workflow_id, newNumbers(5));
      while (await fold(sql) > 0);
      await sql`call weir.refresh_views('worker', 0, null)`;
      const [window] = await sql<[{ sliced_at: Date; sliced: string[] }]>`
        select sliced_at, sliced::text[] from weir.histogram_window where workflow_id = ${workflow_id}`;
      return window;
    }
    let from = 20;
    function newNumbers(of: number) {
      from += of;
      return { from: from - of, until: from, of };
    }

    const made = await refreshed();
    deepStrictEqual(await refreshed(), made);
    await sql.unsafe(
      "create or replace function weir.sliced_from() returns int language sql immutable return 1",
    );
    ok((await refreshed()).sliced.length > 0);
  },
);
