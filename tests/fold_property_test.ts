/**
 * Order never matters: random workflows and executions, their events permuted,
 * repeated, delayed, cut into batches, folded and views refreshed in between, settings
 * changed in the middle; every number of the three reads is the oracle's.
 *
 * `PROPERTY_SEED` repeats a run, `PROPERTY_RUNS` makes it longer.
 *
 * @module
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { createAccount } from "../db/access.ts";
import { readActions } from "../db/actions.ts";
import { readAnalytics } from "../db/analytics.ts";
import type { Sql } from "../db/client.ts";
import {
  fold,
  type Outcome,
  readRecomputes,
  recompute,
  recordEvents,
} from "../db/events.ts";
import { readFunnel } from "../db/funnel.ts";
import { DetailExpired } from "../db/period.ts";
import {
  type AnalyticsQuery,
  ATTRIBUTIONS,
  COMPARES,
  type Event,
  GRANULARITIES,
  type Period,
  RANGE_DAYS_MAX,
  SOURCES,
  STEP_TYPES,
  WorkflowDefinition,
} from "../db/schema.ts";
import { putWorkflow } from "../db/workflows.ts";
import { dbTest } from "./harness.ts";
import {
  type Answers,
  comparedDates,
  dayStartUs,
  durationUs,
  type Facts,
  instantText,
  isRefused,
  oracle,
  sameNumbers,
} from "./oracle.ts";

const RUNS = Number(Deno.env.get("PROPERTY_RUNS") ?? 100);
const SEED = Number(
  Deno.env.get("PROPERTY_SEED") ?? crypto.getRandomValues(new Int32Array(1))[0],
);

/** Offsets of half and quarter hours, half an hour of DST, midnights twice or never, a lost day. */
const ZONES = [
  "America/New_York",
  "Europe/Paris",
  "Asia/Kathmandu",
  "Australia/Lord_Howe",
  "Pacific/Chatham",
  "Asia/Kolkata",
  "America/Havana",
  "America/Santiago",
  "Pacific/Apia",
];
const ACCOUNT_ZONES = ["UTC", ...ZONES];

/** An ordinary day, then days on which some of the zones change their clocks. */
const ANCHORS = [
  "2026-01-15",
  "2026-03-08",
  "2026-03-29",
  "2026-04-05",
  "2026-09-06",
  "2026-09-27",
  "2026-10-04",
  "2026-11-01",
  "2011-12-30",
  "2024-02-29",
  "2025-12-31",
];

/** Their order by bytes is neither that of JavaScript's strings nor that of a dictionary. */
const ID_STEMS = [
  "a",
  "A",
  "b",
  "_",
  "\u00E9",
  "e\u0301",
  "\uFF5E",
  "\u{1F600}",
  "a ",
  "z".repeat(120),
];

/** Not in the order of their numbers, so that an order by id is not one by chance. */
const STEP_IDS = [7, 2, 15, 4, 1, 9].map((n) => uuid(2, n));
const GOAL_IDS = [3, 1, 2].map((n) => uuid(3, n));
const WINDOWS = ["PT0S", "PT0.000001S", "PT90M", "P1D", "P1DT1.5S", "P90D"];
const REASONS = ["completed", "goal_achieved", "error", "unsubscribed", "z_9"];
const MINUTE_US = 60_000_000;

/** A counterexample that is not yet small by then is shown as it is. */
const MINUTES_MAX = 10;

/** How many different questions a scenario asks. */
const QUESTIONS = 3;

/** How late, in ticks, an event or an operation may be. */
const TICKS = 20;

// ----------------------------------------------------------------- generators

const EDGES = [
  "start",
  "end",
  "compared start",
  "compared end",
  /** Where a comparison is broken off because the range is not over. */
  "broken off",
] as const;
/** `kept`: when the range begins to be too old for other zones; for `now`. */
type Edge = typeof EDGES[number] | "kept";

/** An instant, said by what it is near to. */
type When =
  | { near: "day"; zone: string; days: number; delta_us: number }
  /** An edge of what will be asked for, in one of the zones it will be asked in. */
  | {
    near: "range";
    edge: Edge;
    zone: number;
    question: number;
    delta_us: number;
  }
  | { near: "enrolment"; delta_us: number }
  | { near: "window"; window: string; delta_us: number };

const deltaUs = fc.oneof(
  fc.constantFrom(0, 1, -1, 1_000_000, 15 * MINUTE_US, -15 * MINUTE_US),
  fc.integer({ min: 0, max: 48 * 60 }).map((min) => min * MINUTE_US),
  fc.integer({ min: -1e11, max: 2e11 }),
);

const dayWhen: fc.Arbitrary<When> = fc.record({
  near: fc.constant("day" as const),
  zone: fc.constantFrom(...ACCOUNT_ZONES),
  days: fc.integer({ min: -1, max: 2 }),
  delta_us: deltaUs,
});

const rangeWhen: fc.Arbitrary<When> = fc.record({
  near: fc.constant("range" as const),
  edge: fc.constantFrom(...EDGES),
  zone: fc.nat(3),
  question: fc.nat(QUESTIONS - 1),
  delta_us: fc.oneof(fc.constantFrom(0, -1, 1), deltaUs),
});

const keptWhen: fc.Arbitrary<When> = fc.record({
  near: fc.constant("range" as const),
  edge: fc.constant("kept" as const),
  zone: fc.nat(3),
  question: fc.constant(0),
  delta_us: fc.constantFrom(0, -1_000, 1_000),
});

const when: fc.Arbitrary<When> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      near: fc.constant("enrolment" as const),
      delta_us: deltaUs,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      near: fc.constant("window" as const),
      window: fc.constantFrom(...WINDOWS.slice(0, -1)),
      delta_us: fc.constantFrom(0, -1, 1),
    }),
  },
  { weight: 1, arbitrary: dayWhen },
  { weight: 2, arbitrary: rangeWhen },
);

const step_id = fc.constantFrom(...STEP_IDS);
const enrolled = fc.record({
  type: fc.constant("execution.enrolled" as const),
  source: fc.constantFrom(...SOURCES),
});
const what = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constantFrom("step.entered" as const, "step.completed" as const),
      step_id,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("action.executed" as const),
      step_id,
      status: fc.constantFrom("succeeded" as const, "failed" as const),
      duration_ms: fc.oneof(
        fc.constantFrom(0, 0.0004, 1.0005, 5_000, 5_000.001, 31_622_400_000),
        fc.nat(9_000_000).map((us) => us / 1000),
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("goal.achieved" as const),
      goal_id: fc.constantFrom(...GOAL_IDS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("execution.exited" as const),
      reason: fc.constantFrom(...REASONS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "execution.completed" as const,
        "execution.failed" as const,
      ),
    }),
  },
  { weight: 1, arbitrary: enrolled },
);

/** What the producer sends along, and when it arrives: first, again, and garbled. */
const envelope = {
  stem: fc.constantFrom(...ID_STEMS),
  sequence: fc.option(
    fc.constantFrom(0, 1, 2, Number.MAX_SAFE_INTEGER),
    { nil: undefined, freq: 2 },
  ),
  version: fc.option(fc.integer({ min: 1, max: 3 }), {
    nil: undefined,
    freq: 2,
  }),
  arrives: fc.nat(TICKS),
  again: fc.array(fc.nat(TICKS), { maxLength: 2 }),
  /** Arrival of another event with the same id: whichever comes first is kept. */
  conflict: fc.option(fc.nat(TICKS), { nil: undefined, freq: 9 }),
};

const execution = fc.record({
  contact_id: fc.constantFrom("c0", "c1", "ç2"),
  base: fc.oneof(
    { weight: 4, arbitrary: dayWhen },
    { weight: 1, arbitrary: rangeWhen },
  ),
  enrolment: fc.option(fc.record({ what: enrolled, ...envelope }), {
    nil: undefined,
    freq: 9,
  }),
  facts: fc.array(fc.record({ what, when, ...envelope }), {
    maxLength: 12,
    size: "max",
  }),
  /** More than one lived nearly the same: see {@linkcode copyOf}. */
  copies: fc.oneof(
    { weight: 19, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 2, max: 45 }) },
  ),
});

const settings = fc.record({
  conversion_window: fc.constantFrom(...WINDOWS),
  goal_ends_execution: fc.boolean(),
});
const definition = fc.record({
  settings,
  steps: fc.uniqueArray(
    fc.record({
      step_id,
      order: fc.nat(9),
      type: fc.constantFrom(...STEP_TYPES),
      name: fc.constantFrom("Mail", "Wait", "✓"),
      action_type: fc.option(fc.constant("send_email"), { nil: undefined }),
    }),
    { selector: (step) => step.step_id, maxLength: STEP_IDS.length },
  ).map((steps) =>
    steps.filter((step, i) =>
      steps.findIndex((one) => one.order === step.order) === i
    )
  ),
  goals: fc.subarray(GOAL_IDS),
});

/** What happens between the arrivals. */
const operation = fc.record({
  tick: fc.nat(TICKS),
  run: fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        fold: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constant(20_000)),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ read: true as const }) },
    { weight: 1, arbitrary: fc.record({ set: settings }) },
    { weight: 1, arbitrary: fc.constant({ recompute: true as const }) },
    { weight: 1, arbitrary: fc.constant({ refresh: true as const }) },
    { weight: 1, arbitrary: fc.record({ put: definition }) },
  ),
});

const question = fc.record({
  granularity: fc.constantFrom(...GRANULARITIES),
  compare: fc.constantFrom(...COMPARES),
  custom: fc.record({
    first: fc.oneof(
      fc.integer({ min: -8, max: 3 }),
      fc.integer({ min: -100, max: -80 }),
    ),
    days: fc.integer({ min: 1, max: 8 }),
  }),
});

const scenario = fc.record({
  accountZone: fc.constantFrom(...ACCOUNT_ZONES),
  anchor: fc.constantFrom(...ANCHORS),
  definition: fc.option(definition, { nil: undefined, freq: 3 }),
  executions: fc.array(execution, { minLength: 1, maxLength: 8, size: "max" }),
  operations: fc.array(operation, { maxLength: 8, size: "max" }),
  batchMax: fc.integer({ min: 1, max: 40 }),
  foldMax: fc.constantFrom(20_000, 1, 2, 3, 7),
  recomputeFirst: fc.boolean(),
  range: fc.record({
    first: fc.integer({ min: -2, max: 1 }),
    days: fc.oneof(
      { weight: 16, arbitrary: fc.integer({ min: 1, max: 6 }) },
      { weight: 3, arbitrary: fc.constantFrom(28, 31, 92) },
      { weight: 1, arbitrary: fc.constantFrom(366, 732) },
    ),
  }),
  questions: fc.array(question, {
    minLength: QUESTIONS,
    maxLength: QUESTIONS,
  }),
  /** Near to something that happens: the first execution's enrolment, for want of another. */
  now: fc.oneof(
    { weight: 4, arbitrary: when },
    { weight: 1, arbitrary: rangeWhen },
    { weight: 1, arbitrary: keptWhen },
  ),
  zones: fc.shuffledSubarray(ZONES, { minLength: 2, maxLength: 3 }),
  version: fc.integer({ min: 1, max: 3 }),
});

type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
type Operation = Scenario["operations"][number]["run"];
type Definition = NonNullable<Scenario["definition"]>;

// ------------------------------------------------------------------- arrivals

type Arrival = { tick: number } & ({ event: Event } | { run: Operation });

type Lived = Scenario["executions"][number];
type Fact = Lived["facts"][number];

/** Operations first, then events, in the order of their ticks. */
function arrivalsOf(scenario: Scenario, workflow_id: string): Arrival[] {
  const arrivals: Arrival[] = [...scenario.operations];
  const seen = new Map<string, number>();
  const lives = scenario.executions.flatMap((one) =>
    Array.from({ length: one.copies }, (_, n) => copyOf(one, n))
  );
  for (const [n, { contact_id, base, facts }] of lives.entries()) {
    const base_us = instantOf(scenario, base, 0n);
    for (const fact of facts) {
      const repeats = seen.get(fact.stem) ?? 0;
      seen.set(fact.stem, repeats + 1);
      const event = {
        id: repeats === 0 ? fact.stem : `${fact.stem}-${repeats}`,
        workflow_id,
        execution_id: uuid(1, n),
        contact_id,
        occurred_at: instantText(instantOf(scenario, fact.when, base_us)),
        ...fact.what,
        ...(fact.sequence !== undefined && { sequence: fact.sequence }),
        ...(fact.version !== undefined && { workflow_version: fact.version }),
      } as Event;
      for (const tick of [fact.arrives, ...fact.again]) {
        arrivals.push({ tick, event });
      }
      if (fact.conflict !== undefined) {
        const other = { ...event, contact_id: "other" };
        arrivals.push({ tick: fact.conflict, event: other });
      }
    }
  }
  return arrivals.sort((a, b) => a.tick - b.tick);
}

/**
 * A crowd makes steps with thirty entries, percentiles with ranks and actions that
 * nearly always succeed: each copy is a little later, and most lack one of the facts.
 *
 * @param n From 0, which is the original.
 */
function copyOf(
  { contact_id, base, enrolment, facts }: Lived,
  n: number,
): { contact_id: string; base: When; facts: Fact[] } {
  const whole: Fact[] = [...facts];
  if (n > 0) whole.splice(n % 13, 1);
  if (enrolment) {
    whole.unshift({ ...enrolment, when: { near: "enrolment", delta_us: 0 } });
  }
  return {
    contact_id: `${contact_id}${n || ""}`,
    base: { ...base, delta_us: base.delta_us + n * 7 * MINUTE_US },
    facts: whole.map((fact) => ({
      ...fact,
      what: n % 10 === 9 && "status" in fact.what
        ? { ...fact.what, status: "failed" as const, duration_ms: n }
        : fact.what,
      when: { ...fact.when, delta_us: fact.when.delta_us + n * n * 1_001 },
    })),
  };
}

function instantOf(
  scenario: Scenario,
  when: When,
  base_us: bigint,
): bigint {
  const delta_us = BigInt(when.delta_us);
  if (when.near === "enrolment") return base_us + delta_us;
  if (when.near === "window") {
    return base_us + durationUs(when.window) + delta_us;
  }
  if (when.near === "range") return edgeOf(scenario, when) + delta_us;
  const date = Temporal.PlainDate.from(scenario.anchor);
  return dayStartUs(date.add({ days: when.days }), when.zone) + delta_us;
}

/** The days that are asked for: from the first until before the one after; many lie before the anchor. */
function rangeOf({ anchor, range: { first: shift, days } }: Scenario) {
  const first = Temporal.PlainDate.from(anchor)
    .add({ days: shift - Math.max(0, days - 6) });
  return { first, after: first.add({ days }) };
}

function edgeOf(
  scenario: Scenario,
  { edge, zone, question }: Extract<When, { near: "range" }>,
): bigint {
  const { first, after } = rangeOf(scenario);
  const asked = [scenario.accountZone, ...scenario.zones];
  const tz = asked[zone % asked.length]!;
  if (edge === "start") return dayStartUs(first, tz);
  if (edge === "end") return dayStartUs(after, tz);
  if (edge === "kept") return dayStartUs(first.add({ days: 91 }), tz);
  const past = comparedDates(queryOf(scenario, question)) ??
    { first, last: after.subtract({ days: 1 }) };
  if (edge === "compared end") {
    return dayStartUs(past.last.add({ days: 1 }), tz);
  }
  const start_us = dayStartUs(past.first, tz);
  // What happens may be near to now, but not now near to itself.
  if (edge === "compared start" || isNearNow(scenario.now)) return start_us;
  const now_us = BigInt(nowOf(scenario).getTime()) * 1000n;
  return start_us + now_us - dayStartUs(first, tz);
}

/** The n-th question about the range. */
function queryOf(
  scenario: Scenario,
  n: number,
): Omit<AnalyticsQuery, "attribution"> {
  const { first, after } = rangeOf(scenario);
  const { granularity, compare, custom } = scenario.questions[n % QUESTIONS]!;
  const compareFirst = first.add({ days: custom.first });
  const isLong = scenario.range.days > RANGE_DAYS_MAX[granularity];
  return {
    start_date: first.toString(),
    end_date: after.subtract({ days: 1 }).toString(),
    granularity: isLong ? "weekly" : granularity,
    compare,
    unit: "execution",
    ...(compare === "custom" && {
      compare_start: compareFirst.toString(),
      compare_end: compareFirst.add({ days: custom.days - 1 }).toString(),
    }),
  };
}

/** Whether now is said by what may itself be near to now. */
function isNearNow(now: When): boolean {
  return now.near !== "day" &&
    (now.near !== "range" || now.edge === "broken off");
}

/** In whole milliseconds, as clocks of ours are. */
function nowOf(scenario: Scenario): Date {
  const { now, executions } = scenario;
  const base_us = isNearNow(now)
    ? instantOf(scenario, executions[0]!.base, 0n)
    : 0n;
  const now_us = instantOf(scenario, now, base_us);
  return new Date(Number(now_us / 1000n));
}

function uuid(kind: number, n: number): string {
  return `${kind}0000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
}

// ---------------------------------------------------------------------- world

/** One workflow in the database, and what is known to have been accepted for it. */
class World {
  readonly #sql: Sql;
  readonly #accountId: number;
  readonly #scenario: Scenario;
  readonly #sent = new Map<string, string>();
  readonly facts: Facts;
  #batch: Event[] = [];

  constructor(sql: Sql, accountId: number, scenario: Scenario) {
    this.#sql = sql;
    this.#accountId = accountId;
    this.#scenario = scenario;
    this.facts = {
      workflow_id: crypto.randomUUID(),
      account_zone: scenario.accountZone,
      events: [],
      settings: { conversion_window: "P90D", goal_ends_execution: true },
      versions: [],
    };
  }

  async arrive(arrival: Arrival): Promise<void> {
    if ("event" in arrival) {
      this.#batch.push(arrival.event);
      if (this.#batch.length >= this.#scenario.batchMax) await this.record();
      return;
    }
    await this.record();
    const { run } = arrival;
    if ("fold" in run) await fold(this.#sql, run.fold);
    else if ("set" in run) await this.put({ settings: run.set });
    else if ("put" in run) await this.put(run.put);
    else if ("recompute" in run) await this.#recompute();
    else if ("refresh" in run) {
      await this.#sql`call weir.refresh_views('worker', 0, null)`;
    } else await this.#check([undefined], undefined);
  }

  /** Sends what has gathered, and holds the outcome of each event against the model. */
  async record(): Promise<void> {
    const batch = this.#batch.splice(0);
    if (batch.length === 0) return;
    const expected = batch.map((event) => this.#accept(event));
    deepStrictEqual(
      await recordEvents(this.#sql, this.#accountId, batch),
      expected,
    );
  }

  #accept(event: Event): Outcome {
    const content = JSON.stringify(event);
    const sent = this.#sent.get(event.id);
    if (sent !== undefined) {
      return sent === content ? "duplicate" : "event_conflict";
    }
    this.#sent.set(event.id, content);
    const newest = Math.max(1, ...this.facts.versions.map((v) => v.version));
    const workflow_version = event.workflow_version ?? newest;
    this.facts.events.push({ ...event, workflow_version });
    return "accepted";
  }

  /** Registers or changes; left out steps and goals stay as they are. */
  async put(change: Pick<Definition, "settings"> & Partial<Definition>) {
    const newest = this.facts.versions[0];
    const steps = change.steps ?? newest?.steps ?? [];
    const goals = change.goals?.map((goal_id) => ({
      goal_id,
      type: "purchase",
      name: `Goal ${goal_id.at(-1)}`,
    })) ?? newest?.goals ?? [];
    const whole = { name: "Any", ...change.settings, steps, goals };
    const workflow = await putWorkflow(
      this.#sql,
      this.#accountId,
      this.facts.workflow_id,
      WorkflowDefinition.parse(whole),
    );
    ok(workflow);
    strictEqual(workflow.conversion_window, whole.conversion_window);
    strictEqual(workflow.goal_ends_execution, whole.goal_ends_execution);
    if (newest && !change.steps) strictEqual(workflow.version, newest.version);
    this.facts.settings = change.settings;
    this.facts.versions = workflow.versions;
  }

  async checkAll(): Promise<void> {
    const { zones, version } = this.#scenario;
    await this.#check([undefined, ...zones], undefined);
    await this.#check([undefined, zones[0]], version);
  }

  /** Folds what is left and compares the reads, in each zone, by both attributions. */
  async #check(
    zones: (string | undefined)[],
    version: number | undefined,
  ): Promise<void> {
    if (this.#scenario.recomputeFirst) await this.#recompute();
    while (await fold(this.#sql, this.#scenario.foldMax) > 0);
    await this.#recompute();
    let n = 0;
    for (const tz of zones) {
      for (const attribution of ATTRIBUTIONS) {
        const query = queryOf(this.#scenario, n++);
        await this.#compare({ ...query, tz, attribution, version });
      }
    }
  }

  async #recompute(): Promise<void> {
    for (const id of await readRecomputes(this.#sql)) {
      ok(await recompute(this.#sql, id));
    }
  }

  /** A zone whose range begins and ends with the account's own is no other zone. */
  #isOwnRange({ start, end, start_date, end_date }: Period): boolean {
    const own = this.facts.account_zone;
    const first = Temporal.PlainDate.from(start_date);
    const after = Temporal.PlainDate.from(end_date).add({ days: 1 });
    return start === instantText(dayStartUs(first, own)) &&
      end === instantText(dayStartUs(after, own));
  }

  /** A day that its zone skipped has no hours, and 90 days later nobody may ask for them. */
  #asksForHoursOfNoDay(
    { granularity, start_date, end_date, tz }: AnalyticsQuery,
  ) {
    return granularity === "hourly" && start_date === "2011-12-30" &&
      end_date === "2011-12-30" &&
      (tz ?? this.facts.account_zone) === "Pacific/Apia";
  }

  async #compare(query: AnalyticsQuery): Promise<void> {
    const now = nowOf(this.#scenario);
    const { workflow_id } = this.facts;
    if (this.#asksForHoursOfNoDay(query)) return;
    const known = this.facts.events.length > 0 ||
      this.facts.versions.length > 0;
    const expected = oracle(this.facts, query, now);
    const percentiles = this.#isOwnRange(expected.analytics.period)
      ? "histogram"
      : "exact";
    const reads = {
      analytics: readAnalytics,
      // They know one attribution each: they are asked for the other one.
      ...(query.attribution === "event" && { funnel: readFunnel }),
      ...(query.attribution === "cohort" && { actions: readActions }),
    };
    for (const [name, read] of Object.entries(reads)) {
      const reading = read(
        this.#sql,
        this.#accountId,
        workflow_id,
        query,
        now,
      );
      if (
        known && name === "analytics" && isRefused(this.facts, query, now)
      ) {
        await rejects(reading, DetailExpired);
        continue;
      }
      const actual = await reading;
      const answer = known ? expected[name as keyof Answers] : null;
      try {
        if (answer === null) strictEqual(actual, null);
        else sameNumbers(actual, answer, percentiles);
      } catch (error) {
        throw new Error(
          `${name} of ${JSON.stringify({ ...query, now })}: ${
            (error as Error).message
          }`,
        );
      }
    }
  }
}

async function play(sql: Sql, scenario: Scenario): Promise<void> {
  const account = await createAccount(sql, "Any", scenario.accountZone);
  const world = new World(sql, account.account_id, scenario);
  const arrivals = arrivalsOf(scenario, world.facts.workflow_id);
  try {
    if (scenario.definition) await world.put(scenario.definition);
    for (const arrival of arrivals) await world.arrive(arrival);
    await world.record();
    await world.checkAll();
  } catch (error) {
    const told = [{ put: scenario.definition }, ...arrivals]
      .map((one) => JSON.stringify(one)).join("\n");
    throw new Error(`${(error as Error).message}\nIn this order:\n${told}`, {
      cause: error,
    });
  }
}

/**
 * Partitions reach two months ahead of today, which is more than an event may be; the
 * days of these scenarios lie years ahead.
 */
async function makeRoomAhead(sql: Sql): Promise<void> {
  const [made] = await sql<[{ until: string }]>`
    select max(substring(pg_get_expr(c.relpartbound, c.oid) from $$TO \\('([^']+)'\\)$$)) as until
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'weir.event'::regclass`;
  await sql.unsafe(`create table weir.event_ahead partition of weir.event
    for values from ('${made.until}') to (maxvalue)`);
  for (const rollup of ["workflow", "reason", "goal", "step", "action"]) {
    await sql.unsafe(`create table weir.${rollup}_15min_ahead
      partition of weir.${rollup}_rollup
      for values from ('15min', '${made.until}') to ('15min', maxvalue)`);
  }
}

/** The views hold the last 200 days, and the days of these scenarios are others. */
async function makeViewsHoldAll(sql: Sql): Promise<void> {
  await sql.unsafe(`
    create or replace function weir.first_day_key() returns timestamptz
    language sql stable parallel safe
    return timestamptz '2000-01-01 00:00Z'`);
}

dbTest(
  "fold() ends in the oracle's numbers, in whatever order events come",
  async ({ sql }) => {
    console.info(`PROPERTY_SEED=${SEED} PROPERTY_RUNS=${RUNS}`);
    await makeRoomAhead(sql);
    await makeViewsHoldAll(sql);
    await fc.assert(
      fc.asyncProperty(scenario, (one) => play(sql, one)),
      {
        seed: SEED,
        numRuns: RUNS,
        interruptAfterTimeLimit: MINUTES_MAX * 60_000,
        markInterruptAsFailure: true,
      },
    );
  },
);
