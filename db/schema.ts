/**
 * What the words mean: one zod schema per thing that crosses a boundary, the type
 * read off it, and the limits with their reasons. Imports nothing but zod, so every
 * folder may import it; islands import its types only.
 *
 * - **account**: a tenant, with a reporting time zone.
 * - **workflow**: an automation; its steps and goals belong to numbered versions.
 * - **execution**: one enrolment of one contact; the unit of every count.
 * - **event**: one fact a producer reports about an execution; append-only.
 * - **revision**: how many times a workflow's numbers or its definition have changed.
 *
 * @module
 */

import { z } from "zod";

/** Most events in one JSON request: a larger one belongs into NDJSON, which has no limit. */
export const EVENTS_PER_REQUEST_MAX = 10_000;

/** Most bytes of one JSON request: 10,000 events of 800 bytes. */
export const REQUEST_BYTES_MAX = 8 * 1024 * 1024;

/** Most bytes of one NDJSON line: the longest valid event has some 7.5 KB with all of its text as `\u` escapes, the rest is white space. */
export const LINE_BYTES_MAX = 64 * 1024;

/** Events of an NDJSON stream that are committed together. */
export const NDJSON_CHUNK_EVENTS = 1_000;

/** Detail is kept 90 days; an older event would meet a past that is already summed up. */
export const EVENT_AGE_MAX_DAYS = 90;

/** How far a producer's clock may be ahead of ours. */
export const EVENT_AHEAD_MAX_MS = 5 * 60_000;

/** A year: a longer action is a mistake of units. */
export const DURATION_MS_MAX = 366 * 86_400_000;

/** Most characters of an event's `id` and of a `contact_id`. */
export const ID_LENGTH_MAX = 128;

/** Most characters of an `error`. */
export const ERROR_LENGTH_MAX = 1_000;

/** Most steps, and most goals, of one version: a page that shows more helps nobody. */
export const STEPS_MAX = 500;

/** Longest range by granularity, days. Days are kept two years, months for ever (20 years of them is a page). */
export const RANGE_DAYS_MAX = {
  hourly: 92,
  daily: 732,
  weekly: 732,
  monthly: 7_305,
} as const;

/** Most of one failed request's errors that are spelled out; the count is always whole. */
export const ERRORS_LISTED_MAX = 1_000;

/** Most characters of one error's message, which may name every unknown field there is. */
export const MESSAGE_LENGTH_MAX = 1_000;

/** Postgres has no NUL in text, and a lone surrogate would turn into another id. */
function isStorableText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\u0000");
}

function storableText(max: number) {
  return z.string().min(1).max(max)
    .refine(isStorableText, "Must be well-formed text without NUL");
}

/** Any RFC 9562 UUID, also nil and max; compared and stored in lower case. */
export const Uuid = z.guid().toLowerCase();

/** An instant as we answer it. */
const UtcInstant = z.iso.datetime();

/** How many. */
const Count = z.int().min(0);

/**
 * RFC 3339 with offset, at most microseconds, years 1900 to 9999. Postgres reads
 * offsets below 16 hours; no zone is 15 from UTC.
 */
export const Instant = z.iso.datetime({ offset: true })
  .regex(/^(19|[2-9]\d)\d\d-/, "Must be of the year 1900 or later")
  .regex(
    /T\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$/,
    "Must have seconds, and at most microseconds",
  )
  .regex(/(Z|[+-](0\d|1[0-5]):\d\d)$/, "Must have an offset below 16:00")
  .meta({ format: "date-time" });

/** A producer's own word for why an execution ended. */
export const Reason = z.string().regex(/^[a-z][a-z0-9_]{0,63}$/);

export const SOURCES = ["trigger", "bulk", "api", "manual"] as const;
export const STEP_TYPES = [
  "trigger",
  "action",
  "condition",
  "wait",
  "goal",
] as const;
export const EVENT_TYPES = [
  "execution.enrolled",
  "step.entered",
  "step.completed",
  "action.executed",
  "goal.achieved",
  "execution.completed",
  "execution.exited",
  "execution.failed",
] as const;

const ofExecution = {
  id: storableText(ID_LENGTH_MAX).describe(
    "Chosen by the producer, unique per workflow; the same id again is a duplicate",
  ),
  workflow_id: Uuid,
  execution_id: Uuid,
  contact_id: storableText(ID_LENGTH_MAX),
  occurred_at: Instant.describe(
    "By the producer's clock: RFC 3339 with offset, at most microseconds",
  ),
  workflow_version: z.int().min(1).max(2_147_483_647).optional()
    .describe("Default: the newest registered when the event is accepted"),
  sequence: z.int().min(0).optional()
    .describe("Orders events of one execution that share an instant"),
};

/** One fact about an execution, as a producer reports it. */
export const Event = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("execution.enrolled"),
    ...ofExecution,
    source: z.enum(SOURCES),
  }),
  z.strictObject({
    type: z.enum(["step.entered", "step.completed"]),
    ...ofExecution,
    step_id: Uuid,
  }),
  z.strictObject({
    type: z.literal("action.executed"),
    ...ofExecution,
    step_id: Uuid,
    status: z.enum(["succeeded", "failed"]),
    duration_ms: z.number().min(0).max(DURATION_MS_MAX)
      .describe("Milliseconds, taken to whole microseconds"),
    error: storableText(ERROR_LENGTH_MAX).optional(),
  }).refine((event) => event.status === "failed" || event.error === undefined, {
    path: ["error"],
    message: "Must not be set when the action succeeded",
  }),
  z.strictObject({
    type: z.literal("goal.achieved"),
    ...ofExecution,
    goal_id: Uuid,
  }),
  z.strictObject({ type: z.literal("execution.completed"), ...ofExecution }),
  z.strictObject({
    type: z.literal("execution.exited"),
    ...ofExecution,
    reason: Reason.describe("Your own word, in lower snake case"),
  }),
  z.strictObject({
    type: z.literal("execution.failed"),
    ...ofExecution,
    error: storableText(ERROR_LENGTH_MAX).optional(),
  }),
]).meta({ id: "Event" });
export type Event = z.infer<typeof Event>;

/** Why one event of a request was refused. */
export const EventRefusal = z.strictObject({
  index: Count.describe(
    "Position in the request, from 0; for NDJSON the line among non-empty lines",
  ),
  id: z.string().max(ID_LENGTH_MAX).nullable()
    .describe("The event's id, null where it has none that can be read"),
  code: z.enum([
    "invalid_event",
    "event_too_old",
    "event_in_future",
    "event_conflict",
    "workflow_not_found",
  ]),
  message: z.string(),
}).meta({ id: "EventRefusal" });
export type EventRefusal = z.infer<typeof EventRefusal>;

/** Answer of `POST /events`; `accepted + duplicates + rejected` is what was read. */
export const EventReceipt = z.strictObject({
  accepted: Count,
  duplicates: Count,
  rejected: Count,
  errors: z.array(EventRefusal).max(ERRORS_LISTED_MAX)
    .describe("The first thousand refusals; rejected counts all"),
}).meta({ id: "EventReceipt" });
export type EventReceipt = z.infer<typeof EventReceipt>;

/** ISO 8601 duration of weeks, days (24 h), hours, minutes and seconds. */
export const Duration = z.string().max(64).regex(
  /^P(?=[\dT])(\d{1,5}W)?(\d{1,6}D)?(T(?=\d)(\d{1,7}H)?(\d{1,9}M)?(\d{1,10}(\.\d{1,6})?S)?)?$/,
  "Must be an ISO 8601 duration of weeks, days, hours, minutes and seconds",
);

export const WORKFLOW_STATUSES = [
  "draft",
  "active",
  "paused",
  "archived",
] as const;

export const Step = z.strictObject({
  step_id: Uuid,
  name: storableText(200),
  type: z.enum(STEP_TYPES),
  action_type: storableText(64).optional(),
  order: z.int().min(0).max(1_000_000)
    .describe("Place in the funnel, ascending, no two the same"),
  next: shortList(Uuid, 50).optional()
    .describe("Steps that may follow: several make a branch, none an end"),
}).meta({ id: "Step" });
export type Step = z.infer<typeof Step>;

export const Goal = z.strictObject({
  goal_id: Uuid,
  type: storableText(64),
  name: storableText(200),
}).meta({ id: "Goal" });
export type Goal = z.infer<typeof Goal>;

/** Counted before it is read: a body of a million wrong items is one error. */
function shortList<Item extends z.ZodType>(item: Item, max: number) {
  return z.array(z.unknown()).max(max).pipe(z.array(item));
}

/** `PUT /workflows/{id}` body: the whole definition; what is left out is its default. */
export const WorkflowDefinition = z.strictObject({
  name: storableText(200),
  status: z.enum(WORKFLOW_STATUSES).default("active"),
  steps: shortList(Step, STEPS_MAX).default([]),
  goals: shortList(Goal, STEPS_MAX).default([]),
  conversion_window: Duration.default("P90D").describe(
    "How long after its enrolment an execution can convert: ISO 8601 duration of weeks, days, hours, minutes and seconds",
  ),
  goal_ends_execution: z.boolean().default(true)
    .describe("Whether achieving a goal ends the execution"),
  owner_id: storableText(ID_LENGTH_MAX).nullable().default(null).describe(
    "The user who may see it besides the account's admins; a member's own by default",
  ),
}).superRefine(({ steps, goals }, ctx) => {
  const ids = new Set(steps.map((step) => step.step_id));
  refuseRepeats(steps, "steps", "step_id", ctx);
  refuseRepeats(steps, "steps", "order", ctx);
  refuseRepeats(goals, "goals", "goal_id", ctx);
  steps.forEach((step, i) =>
    step.next?.forEach((next, j) => {
      if (!ids.has(next)) {
        ctx.addIssue({
          code: "custom",
          path: ["steps", i, "next", j],
          message: "Must name a step of this definition",
        });
      }
    })
  );
}).meta({ id: "WorkflowDefinition" });
export type WorkflowDefinition = z.infer<typeof WorkflowDefinition>;

function refuseRepeats<T>(
  list: T[],
  path: string,
  key: keyof T & string,
  ctx: z.RefinementCtx,
): void {
  const seen = new Set<unknown>();
  list.forEach((item, i) => {
    if (seen.has(item[key])) {
      ctx.addIssue({
        code: "custom",
        path: [path, i, key],
        message: "Must not repeat",
      });
    }
    seen.add(item[key]);
  });
}

/** One immutable version of a workflow's steps and goals. */
export const WorkflowVersion = z.strictObject({
  version: z.int().min(1),
  created_at: UtcInstant,
  steps: z.array(Step),
  goals: z.array(Goal),
}).meta({ id: "WorkflowVersion" });
export type WorkflowVersion = z.infer<typeof WorkflowVersion>;

/** Answer of `GET` and `PUT /workflows/{id}`. */
export const Workflow = z.strictObject({
  workflow_id: Uuid,
  name: z.string().nullable().describe("null until it is registered"),
  status: z.enum(WORKFLOW_STATUSES),
  owner_id: z.string().nullable(),
  conversion_window: z.string(),
  goal_ends_execution: z.boolean(),
  version: z.int().min(1).nullable()
    .describe("The newest registered version; null until it is registered"),
  steps: z.array(Step).describe("Of the newest version, in their order"),
  goals: z.array(Goal),
  versions: z.array(WorkflowVersion).describe("All of them, newest first"),
}).meta({ id: "Workflow" });
export type Workflow = z.infer<typeof Workflow>;

/** Percent with two decimals. */
const Rate = z.number().nullable()
  .describe("Percent with two decimals; null where nothing can be divided by");
export type Rate = z.infer<typeof Rate>;

/** A workflow in a list, with its last 30 days. */
export const WorkflowListing = z.strictObject({
  workflow_id: Uuid,
  name: z.string().nullable(),
  status: z.enum(WORKFLOW_STATUSES),
  total_enrolled: Count,
  currently_active: Count,
  completed: Count,
  completion_rate: Rate,
  goals_achieved: Count,
  conversion_rate: Rate,
  daily_enrollments: z.array(Count)
    .describe("Enrolled on each of the 30 days, oldest first"),
}).meta({ id: "WorkflowListing" });
export type WorkflowListing = z.infer<typeof WorkflowListing>;

/** `GET /access-log` query. */
export const AccessLogQuery = z.strictObject({
  user_id: z.string().max(128)
    .refine(isStorableText, "Must be well-formed text without NUL").optional(),
  /** Method and pattern, e.g. `GET /api/v1/workflows/:id/analytics`. */
  action: z.string().max(200)
    .refine(isStorableText, "Must be well-formed text without NUL").optional(),
  workflow_id: Uuid.optional(),
  /** Entries from this instant on … */
  since: Instant.optional(),
  /** … and before this one. */
  until: Instant.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  /** `next_cursor` of the page before. */
  cursor: z.string().max(64).optional(),
});
export type AccessLogQuery = z.infer<typeof AccessLogQuery>;

/** Answer of `GET /access-log`. */
export const AccessLogPage = z.strictObject({
  entries: z.array(z.strictObject({
    at: UtcInstant,
    user_id: z.string().nullable()
      .describe("null: a machine, or nobody in particular"),
    credential: z.string()
      .describe("What let them in, by a name that opens nothing"),
    action: z.string().describe("Method and pattern of the route"),
    workflow_id: Uuid.nullable(),
    filter: z.record(z.string(), z.unknown()).describe("What was asked for"),
    rows: z.int().nullable()
      .describe("null where an answer is not made of rows"),
    bytes: z.int().nullable()
      .describe("That were sent; null but for files of jobs"),
    sha256: z.string().nullable().describe("Of the whole file"),
    status: z.int(),
    request_id: z.string(),
  })).describe("The newest first"),
  next_cursor: z.string().nullable()
    .describe("Ask with it for the next page; null on the last one"),
}).meta({ id: "AccessLogPage" });
export type AccessLogPage = z.infer<typeof AccessLogPage>;

/** `GET /workflows` query. */
/** What a list of workflows can be sorted by. */
export const WORKFLOW_SORTS = [
  "name",
  "total_enrolled",
  "currently_active",
  "completion_rate",
  "conversion_rate",
] as const;
export type WorkflowSort = (typeof WORKFLOW_SORTS)[number];

/** By a number all that match are counted before any is shown: 0.2 ms each. */
export const WORKFLOWS_RANKED_MAX = 2_000;

export const WorkflowsQuery = z.strictObject({
  search: z.string().max(200)
    .refine(isStorableText, "Must be well-formed text without NUL").optional()
    .describe("Part of the name, in any case"),
  status: z.enum(WORKFLOW_STATUSES).optional(),
  sort: z.enum(WORKFLOW_SORTS).default("name").describe(
    `By a number, at most ${
      WORKFLOWS_RANKED_MAX.toLocaleString("en")
    } workflows may match. Rates of nobody come last`,
  ),
  order: z.enum(["asc", "desc"]).optional()
    .describe("Default: asc by name, desc by a number"),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  // A name of 200 characters, as base64 of UTF-8.
  cursor: z.string().max(4_096).optional()
    .describe("next_cursor of the page before"),
});
export type WorkflowsQuery = z.infer<typeof WorkflowsQuery>;

/** Answer of `GET /workflows`. */
export const WorkflowList = z.strictObject({
  as_of: UtcInstant,
  workflows: z.array(WorkflowListing),
  next_cursor: z.string().nullable()
    .describe("Ask with it for the next page; null on the last one"),
}).meta({ id: "WorkflowList" });
export type WorkflowList = z.infer<typeof WorkflowList>;

/**
 * Names of three letters that are the same zone everywhere. Of the others Postgres
 * takes many for abbreviations with a fixed offset (`CET` has no summer there), and
 * ICU knows old ones that IANA does not (`IST`).
 */
const SHORT_ZONES = ["UTC", "GMT", "UCT", "PRC", "ROC", "ROK"];

/** An IANA zone by name; abbreviations, offsets and POSIX rules are none. */
export const TimeZone = z.string().max(64).regex(
  /^[A-Za-z][\w+-]*(\/[\w+-]+)*$/,
)
  .refine(
    (zone) => zone.length !== 3 || SHORT_ZONES.includes(zone.toUpperCase()),
    "Must be a time zone by its place, as Area/City: abbreviations mean different things",
  )
  .refine(isTimeZone, "Must be an IANA time zone");

function isTimeZone(zone: string): boolean {
  // A place holder of systems that were never told their zone.
  if (zone.toLowerCase() === "factory") return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** Light, dark, or as the reader's system is. */
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** Ranges that move with the day, all but the last month end today. */
export const PRESETS = [
  "today",
  "7d",
  "30d",
  "90d",
  "month",
  "last_month",
] as const;

/** Body and answer of `/me/preferences`. */
export const Preferences = z.strictObject({
  time_zone: TimeZone.nullable()
    .describe(
      "What days are days of on pages; null: the zone of the browser, else the account's",
    ),
  theme: z.enum(THEMES),
  default_range: z.enum(PRESETS)
    .describe("Shown where the address names no range"),
}).meta({ id: "Preferences" });
export type Preferences = z.infer<typeof Preferences>;

export const ATTRIBUTIONS = ["cohort", "event"] as const;
export type Attribution = (typeof ATTRIBUTIONS)[number];

export const GRANULARITIES = ["hourly", "daily", "weekly", "monthly"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** What is counted: enrolments, or the contacts behind them. */
export const UNITS = ["execution", "contact"] as const;
export type Unit = (typeof UNITS)[number];

export const COMPARES = ["none", "previous", "year", "custom"] as const;

// A range of the last days of 9999 would end at an instant that RFC 3339 cannot write.
const LocalDate = z.iso.date()
  .regex(/^(?!9999)(19|[2-9]\d)/, "Must be of the years 1900 to 9998")
  .meta({ format: "date" });

/** Query of every read of a workflow's numbers. */
export const AnalyticsQuery = z.strictObject({
  start_date: LocalDate.describe("First local date of the range"),
  end_date: LocalDate.describe("Last local date of the range, included"),
  tz: TimeZone.optional().describe("IANA time zone; default: the account's"),
  granularity: z.enum(GRANULARITIES).default("daily")
    .describe("Length of a bucket of the trends"),
  attribution: z.enum(ATTRIBUTIONS).default("cohort").describe(
    "Whether a fact belongs to the day its execution was enrolled or to the day it happened",
  ),
  unit: z.enum(UNITS).default("execution").describe(
    "contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says",
  ),
  compare: z.enum(COMPARES).default("none").describe(
    "As many days directly before, the same dates a year back, or those of compare_start and compare_end",
  ),
  compare_start: LocalDate.optional()
    .describe("First date to compare with; with compare=custom alone"),
  compare_end: LocalDate.optional()
    .describe("Last date to compare with, included; with compare=custom alone"),
  version: z.coerce.number().int().min(1).max(2_147_483_647).optional()
    .describe("Only executions enrolled in this version; default: all"),
}).superRefine((query, ctx) => {
  const daysMax = RANGE_DAYS_MAX[query.granularity];
  refuseRange(query, "start_date", "end_date", daysMax, ctx);
  const given = [query.compare_start, query.compare_end]
    .filter((date) => date !== undefined).length;
  if (given !== (query.compare === "custom" ? 2 : 0)) {
    ctx.addIssue({
      code: "custom",
      path: ["compare"],
      message: query.compare === "custom"
        ? "Must come with compare_start and compare_end"
        : "Must be custom where compare_start or compare_end is given",
    });
  } else if (given === 2) {
    refuseRange(query, "compare_start", "compare_end", daysMax, ctx);
  }
});

/** Refuses a range that ends before it starts, or is too long. */
function refuseRange<Key extends string>(
  query: { [key in Key]?: string },
  start: Key,
  end: Key,
  daysMax: number,
  ctx: z.RefinementCtx,
): void {
  const days =
    (Date.parse(query[end]!) - Date.parse(query[start]!)) / 86_400_000 + 1;
  // NaN where a date is none, which has been said already.
  if (!(days < 1 || days > daysMax)) return;
  ctx.addIssue({
    code: "custom",
    path: [end],
    message: days < 1
      ? `Must not be before ${start}`
      : `Must be at most ${daysMax} days after ${start}`,
  });
}
export type AnalyticsQuery = z.infer<typeof AnalyticsQuery>;

/** What was asked for, and what was answered. */
export const Period = z.strictObject({
  start_date: LocalDate,
  end_date: LocalDate,
  tz: z.string().describe("The zone that was asked for"),
  tz_effective: z.string().describe("The zone that was answered in"),
  start: UtcInstant,
  end: UtcInstant.describe("The first instant after the range"),
  granularity: z.enum(GRANULARITIES),
  attribution: z.enum(ATTRIBUTIONS),
  unit: z.enum(UNITS),
}).meta({ id: "Period" });
export type Period = z.infer<typeof Period>;

/** A duration as it is answered. */
const Seconds = z.number().nullable()
  .describe("Seconds with three decimals; null where nothing was measured");
export type Seconds = z.infer<typeof Seconds>;

/** Part of a whole. */
const Share = z.number().min(0).max(100)
  .describe("Percent; those of a list sum to exactly 100");

/** The headline numbers of a range. */
export const Summary = z.strictObject({
  total_enrolled: Count,
  currently_active: Count
    .describe("Running at the range's end, or now, whenever enrolled"),
  completed: Count,
  completion_rate: Rate,
  goals_achieved: Count,
  conversion_rate: Rate,
  average_duration_seconds: Seconds,
  average_duration_hours: z.number().nullable().describe("Two decimals"),
  median_duration_seconds: Seconds,
  p95_duration_seconds: Seconds,
  in_progress: Count
    .describe("Of those enrolled in the range, in both attributions"),
  settled: Count.describe("Enrolled in the range and ended"),
  settled_completion_rate: Rate,
  settled_conversion_rate: Rate,
  enrollment_rate: z.number().nullable()
    .describe("Enrolments per bucket that has begun, two decimals"),
  enrollment_sources: z.array(z.strictObject({
    source: z.enum(SOURCES),
    count: Count,
    share: Share,
  })),
  exit_reasons: z.array(z.strictObject({
    reason: z.string(),
    count: Count,
    share: Share,
  })),
  goal_breakdown: z.array(z.strictObject({
    goal_id: Uuid,
    goal_name: z.string().nullable()
      .describe("null where no version names it"),
    achieved: Count,
    rate: Rate,
    first: Count.describe("Executions whose conversion it is"),
  })),
  time_to_conversion: z.strictObject({
    average: Seconds,
    median: Seconds,
    p95: Seconds,
    fastest: Seconds,
    slowest: Seconds,
  }),
}).meta({
  id: "Summary",
  description:
    "With unit=contact a contact counts once in each number: it is enrolled, completed or converted, is active or in progress, left for a reason, came from a source or achieved a goal, if any of its executions that count did. So it may be in several rows of a list, and both completed and in progress; settled are those of whom nothing runs. Durations and times stay those of executions, each once.",
});
export type Summary = z.infer<typeof Summary>;

/** A count or a mean, then and now. */
export const Change = z.strictObject({
  current: z.number().nullable(),
  previous: z.number().nullable(),
  change: z.number().nullable(),
  change_percent: z.number().nullable()
    .describe("Two decimals; null where previous is 0 or unknown"),
}).meta({
  id: "Change",
  description:
    "null where nothing was measured, or contacts are not kept any more",
});
export type Change = z.infer<typeof Change>;

/** A rate, then and now. */
export const RateChange = Change.omit({ change_percent: true })
  .meta({ id: "RateChange", description: "Change in percentage points" });

/** The same numbers of another range. */
export const Comparison = z.strictObject({
  period: z.strictObject({
    start_date: LocalDate,
    end_date: LocalDate,
    tz_effective: z.string(),
    start: UtcInstant,
    end: UtcInstant,
  }).describe(
    "What was compared with: broken off after as long as the range has lasted",
  ),
  total_enrolled: Change,
  completed: Change,
  completion_rate: RateChange,
  goals_achieved: Change,
  conversion_rate: RateChange,
  average_duration_seconds: Change,
}).meta({ id: "Comparison" });
export type Comparison = z.infer<typeof Comparison>;

/** One bucket of a trend. */
export const TrendPoint = z.strictObject({
  date: LocalDate.describe("Local date the bucket begins on"),
  label: z.string().describe(
    "Local: 2026-11-23, 2026-W48, 2026-11, or 2026-11-23T14:00+01:00",
  ),
  start: UtcInstant,
  end: UtcInstant,
  new_enrollments: Count.describe("What happened in the bucket, as the next 3"),
  completions: Count,
  conversions: Count,
  exits: Count.describe("Ended by leaving or an error"),
  cohort_completed: Count
    .describe("What became of those enrolled in the bucket, as the next 2"),
  cohort_converted: Count,
  in_progress: Count,
  total_enrolled: Count
    .describe("Enrolled from the range's start to the bucket's end"),
  currently_active: Count.describe("Running at the bucket's end, or now"),
}).meta({
  id: "TrendPoint",
  description:
    "With unit=contact each number is of different contacts, so buckets do not add up to the summary.",
});
export type TrendPoint = z.infer<typeof TrendPoint>;

/** What every read of a workflow's numbers begins with. */
const numbersOfWorkflow = {
  workflow_id: Uuid,
  as_of: UtcInstant
    .describe("The instant up to which the numbers are complete"),
  period: Period,
};

/** Answer of `GET /workflows/{id}/analytics`. */
export const Analytics = z.strictObject({
  ...numbersOfWorkflow,
  summary: Summary,
  trends: z.array(TrendPoint),
  comparison: Comparison.nullable().describe("null where none was asked for"),
}).meta({ id: "Analytics" });
export type Analytics = z.infer<typeof Analytics>;

/** How two rates differ. */
export const RateDifference = z.strictObject({
  conversion_rate: z.number().nullable(),
  drop_off_rate: z.number().nullable(),
}).meta({
  id: "RateDifference",
  description:
    "Percentage points of the rates as shown; null where either rate is",
});
export type RateDifference = z.infer<typeof RateDifference>;

/** One step of a funnel. */
export const FunnelStep = z.strictObject({
  step_id: Uuid,
  step_name: z.string().describe("The id where no version names it"),
  step_type: z.enum(STEP_TYPES).nullable(),
  step_order: Count,
  entered: Count,
  completed: Count,
  dropped_off: Count,
  goal_exits: Count,
  in_progress: Count,
  left_after: Count,
  conversion_rate: Rate,
  drop_off_rate: Rate,
  average_time_seconds: Seconds,
  median_time_seconds: Seconds,
  p95_time_seconds: Seconds,
  visits: Count,
  vs_previous_period: RateDifference
    .describe("Against as many days directly before"),
  vs_workflow_average: RateDifference.describe(
    "Against every cohort still kept as days and enrolled before the range's end; days know no contacts",
  ),
}).meta({
  id: "FunnelStep",
  description:
    "entered = completed + dropped_off + goal_exits + in_progress. With unit=contact a contact counts once, with the best that became of its executions there: completed, else a goal exit, else in progress, else dropped off. Then left_after are those who left after it and of whom no other execution completed it and went on; times and visits stay those of all executions.",
});
export type FunnelStep = z.infer<typeof FunnelStep>;

/** Answer of `GET /workflows/{id}/analytics/funnel`. */
export const Funnel = z.strictObject({
  ...numbersOfWorkflow,
  funnel_steps: z.array(FunnelStep),
  overall_conversion: Rate,
  drop_off_points: z.array(z.strictObject({
    step_id: Uuid,
    step_name: z.string(),
    entered: Count,
    dropped_off: Count,
    drop_off_rate: Rate,
  })).max(3).describe("Where most drop off, by rate"),
  bottleneck_step: Uuid.nullable().describe("The first of drop_off_points"),
  slowest_step: Uuid.nullable().describe("The step of the highest mean time"),
}).meta({ id: "Funnel" });
export type Funnel = z.infer<typeof Funnel>;

/** How an action fares. */
export const Health = z.enum(["error", "warning", "slow", "ok"]).describe(
  "Below 80 % success, below 95 %, above 5,000 ms mean, else fine",
);
export type Health = z.infer<typeof Health>;

const Milliseconds = z.number().nullable()
  .describe(
    "Milliseconds with three decimals; null where nothing was measured",
  );

/** One row of the action table. */
export const ActionMetrics = z.strictObject({
  action_id: Uuid.describe("The step's id"),
  action_name: z.string().describe("The id where no version names it"),
  action_type: z.string().nullable(),
  executions: Count,
  successes: Count,
  failures: Count,
  success_rate: Rate,
  error_rate: Rate,
  average_duration_ms: Milliseconds,
  p50_duration_ms: Milliseconds,
  p95_duration_ms: Milliseconds,
  p99_duration_ms: Milliseconds,
  health: Health,
}).meta({ id: "ActionMetrics" });
export type ActionMetrics = z.infer<typeof ActionMetrics>;

/** Answer of `GET /workflows/{id}/analytics/actions`. */
export const Actions = z.strictObject({
  ...numbersOfWorkflow,
  actions: z.array(ActionMetrics).describe("Worst first"),
}).meta({ id: "Actions" });
export type Actions = z.infer<typeof Actions>;

/** Answer of `POST /workflows/{id}/analytics/refresh`. */
export const RefreshQueued = z.strictObject({
  status: z.literal("queued"),
  job_id: Uuid,
  estimated_completion_seconds: z.number().min(0),
}).meta({ id: "RefreshQueued" });
export type RefreshQueued = z.infer<typeof RefreshQueued>;

/** What became of a request to bring a workflow up to date. */
export const RefreshRequest = z.strictObject({
  job_id: Uuid,
  status: z.enum(["queued", "running", "done", "failed"]),
  requested_at: UtcInstant,
  started_at: UtcInstant.nullable(),
  finished_at: UtcInstant.nullable(),
  error: z.string().nullable(),
}).meta({ id: "RefreshRequest" });
export type RefreshRequest = z.infer<typeof RefreshRequest>;

/** Who keeps the beat of the jobs. */
export const Scheduler = z.enum(["pg_cron", "worker"]);
export type Scheduler = z.infer<typeof Scheduler>;

/** How a job is doing. */
export const JobState = z.strictObject({
  name: z.string(),
  run_by: Scheduler,
  every_seconds: z.number(),
  lag_seconds: z.number().nullable()
    .describe("Since it last went well; null: never"),
  last_error: z.string().nullable()
    .describe("Of the last round; null when it went well"),
  runs: Count,
  failures: Count,
}).meta({ id: "JobState" });
export type JobState = z.infer<typeof JobState>;

/** How fresh a materialized view is. */
export const ViewState = z.strictObject({
  name: z.string(),
  age_seconds: z.number().nullable()
    .describe("Since the last refresh that went well began; null: never"),
  refresh_seconds: z.number().nullable(),
  rows: Count.nullable(),
  last_error: z.string().nullable(),
}).meta({ id: "ViewState" });
export type ViewState = z.infer<typeof ViewState>;

const pipeline = {
  scheduler: Scheduler.describe("Who keeps the beat of the jobs"),
  fold_lag_seconds: z.number().min(0)
    .describe("Age of the oldest event that is not counted; 0: none waits"),
  queued_events: Count.describe("Not counted yet; at most 100,000 are told"),
  jobs: z.array(JobState),
  views: z.array(ViewState),
};

/** How everything is doing that nobody waits for. */
export type Pipeline = z.infer<z.ZodObject<typeof pipeline>> & {
  /** Numbers that the audit found to differ from what lies below them. */
  drift: number;
};

/** Answer of `GET /readyz` while it can work. */
export const Readiness = z.strictObject({
  status: z.enum(["ready", "behind"]).describe(
    "behind: events are accepted, and counted later than usual",
  ),
  database: z.literal("ok"),
  alerts: z.array(z.string()).describe("What somebody should look at"),
  ...pipeline,
}).meta({ id: "Readiness" });
export type Readiness = z.infer<typeof Readiness>;

/** How long conversions took, from enrolment on. */
export interface Distribution {
  workflow_id: string;
  as_of: string;
  /** Fastest first; none where nobody converted. `to_seconds` is not in a class, `null`: no end. */
  classes: {
    from_seconds: number;
    to_seconds: number | null;
    count: number;
    share: number;
  }[];
}

/** `GET /workflows/{id}/analytics/stream` query: a read's, and where to go on. */
export const StreamQuery = AnalyticsQuery.safeExtend({
  last_event_id: z.string().max(64).optional().describe(
    "The id of the last message that the client has; for those that cannot send the header Last-Event-ID, which wins",
  ),
});
export type StreamQuery = z.infer<typeof StreamQuery>;

/** What a stream is about: the bodies of the three reads of one query, of one revision. */
export interface LiveNumbers {
  analytics: Analytics;
  funnel: Funnel;
  actions: Actions;
}

/** Data of `event: snapshot`. */
export interface LiveSnapshot extends LiveNumbers {
  workflow_id: string;
  /** When it was read. */
  timestamp: string;
  /** How many times the workflow's numbers or definition have changed. */
  revision: number;
}

/** Data of `event: metrics_update`. */
export interface LiveUpdate {
  workflow_id: string;
  timestamp: string;
  revision: number;
  /** The `id` of the message that these changes go on from. */
  since: string;
  /** The instant up to which the numbers are complete now, of all three bodies. */
  as_of: string;
  changes: LiveChanges;
}

/** Of each row that changed, its key and the fields that did; of a new one, all. */
export type RowChanges<Row, Key extends keyof Row> =
  (Partial<Row> & Pick<Row, Key>)[];

/**
 * Only what changed, as absolute values. The metrics of the summary lie at the top.
 * A list `x` holds the rows that changed; where rows came, went or moved, `x_order`
 * names the keys of all rows that there are, in order.
 */
export interface LiveChanges extends Partial<Summary> {
  /** Of `analytics`, as are the next three. */
  period?: Period;
  comparison?: Comparison | null;
  trends?: RowChanges<TrendPoint, "start">;
  trends_order?: string[];
  funnel?: Partial<Omit<Funnel, "funnel_steps">> & {
    funnel_steps?: RowChanges<FunnelStep, "step_id">;
    funnel_steps_order?: string[];
  };
  actions?: Partial<Omit<Actions, "actions">> & {
    actions?: RowChanges<ActionMetrics, "action_id">;
    actions_order?: string[];
  };
  /** What was added to a count; for people and logs, folding does not need it. */
  total_enrolled_delta?: number;
  currently_active_delta?: number;
  completed_delta?: number;
  goals_achieved_delta?: number;
  in_progress_delta?: number;
  settled_delta?: number;
  /** Added over all buckets of `trends`, as are the next three. */
  new_enrollments_delta?: number;
  completions_delta?: number;
  conversions_delta?: number;
  exits_delta?: number;
}

/** Data of `event: heartbeat`. */
export interface LiveHeartbeat {
  /** The instant up to which what was sent is complete by now. */
  as_of: string;
}

/** Data of `event: announcement`: a text for everybody, from whoever runs the server. */
export interface LiveAnnouncement {
  timestamp: string;
  text: string;
}

/** Why a stream ends; connect again with the last `id`, unless the reason speaks against it. */
export const STREAM_ENDS = [
  /** It has lasted as long as streams do. */
  "renew",
  /** The server stops; another one, or its successor, goes on. */
  "stopping",
  /** The credential, or its right to this workflow, is gone. */
  "unauthenticated",
  /** The workflow is gone, or the range cannot be answered any more. */
  "not_readable",
] as const;

/** Data of `event: end`, the last message. */
export interface LiveEnd {
  reason: (typeof STREAM_ENDS)[number];
}

export const EXECUTION_STATUSES = [
  "active",
  "completed",
  "goal_achieved",
  "error",
  "exited",
] as const;

/** What may have become of an execution in a step; the words of the funnel. */
export const STEP_OUTCOMES = [
  "entered",
  "completed",
  "dropped_off",
  "goal_exits",
  "in_progress",
  "left_after",
] as const;

/** Most characters of a search: an id is the longest thing to look for. */
export const SEARCH_LENGTH_MAX = 200;

/** Most values of one filter: more than there are of any that can be listed. */
const FILTER_VALUES_MAX = 20;

/** Values with commas between, as they are written in an address. */
function commaList<Item extends z.ZodType>(item: Item) {
  return z.string().max(FILTER_VALUES_MAX * 65)
    .transform((text): unknown[] => text.split(","))
    .pipe(shortList(item, FILTER_VALUES_MAX));
}

const ofExecutions = {
  start_date: LocalDate.optional().describe("First local date of the range"),
  end_date: LocalDate.optional()
    .describe("Last local date of the range, included"),
  tz: TimeZone.optional().describe("IANA time zone; default: the account's"),
  start: Instant.optional().describe(
    "Instead of dates: an instant, as a bucket of a trend begins with",
  ),
  end: Instant.optional().describe("The first instant after the range"),
  attribution: z.enum(ATTRIBUTIONS).default("cohort").describe(
    "cohort: the range is of the enrolment. event: of the end for status and reason, of the conversion for converted, of the goal for goal_id; where none of these is asked for, of the enrolment",
  ),
  version: z.coerce.number().int().min(1).max(2_147_483_647).optional()
    .describe("Of the enrolment"),
  status: commaList(z.enum(EXECUTION_STATUSES)).optional()
    .describe(`Of ${EXECUTION_STATUSES.join(", ")}; several with commas`),
  source: commaList(z.enum(SOURCES)).optional()
    .describe(`Of ${SOURCES.join(", ")}; several with commas`),
  reason: commaList(Reason).optional()
    .describe("Why it ended; several with commas"),
  converted: z.enum(["true", "false"]).optional(),
  goal_id: Uuid.optional(),
  goal: z.enum(["achieved", "first"]).optional().describe(
    "Achieved it at all, which is the default, or as its first one, which is the conversion",
  ),
  step_id: Uuid.optional(),
  step: z.enum(STEP_OUTCOMES).optional()
    .describe("What became of the execution there; default: entered"),
  running_at: Instant.optional()
    .describe("Enrolled before this instant, or now, and not ended before it"),
  text: z.string().min(1).max(SEARCH_LENGTH_MAX)
    .refine(isStorableText, "Must be well-formed text without NUL").optional()
    .describe(
      "Begin of an execution's or contact's id, or words of an error or reason",
    ),
};

/** What of two parameters makes no sense without the other. */
const TOGETHER = [
  ["start_date", "end_date"],
  ["end_date", "start_date"],
  ["tz", "start_date"],
  ["start", "end"],
  ["end", "start"],
  ["goal", "goal_id"],
  ["step", "step_id"],
] as const;

function refuseHalves(
  query: z.infer<z.ZodObject<typeof ofExecutions>>,
  ctx: z.RefinementCtx,
): void {
  for (const [one, other] of TOGETHER) {
    if (query[one] === undefined || query[other] !== undefined) continue;
    ctx.addIssue({
      code: "custom",
      path: [one],
      message: `Must come with ${other}`,
    });
  }
  if (query.start_date !== undefined && query.start !== undefined) {
    ctx.addIssue({
      code: "custom",
      path: ["start"],
      message: "Must not come with start_date",
    });
  }
  refuseRange(query, "start_date", "end_date", RANGE_DAYS_MAX.monthly, ctx);
  if (Date.parse(query.start!) >= Date.parse(query.end!)) {
    ctx.addIssue({
      code: "custom",
      path: ["end"],
      message: "Must be after start",
    });
  }
}

/** Which executions are meant: those behind any number of the summary and the funnel. */
export const ExecutionsFilter = z.strictObject(ofExecutions)
  .superRefine(refuseHalves);
export type ExecutionsFilter = z.infer<typeof ExecutionsFilter>;

/** `GET /workflows/{id}/executions` query. */
export const ExecutionsQuery = z.strictObject({
  ...ofExecutions,
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(256).optional()
    .describe("next_cursor of the page before"),
}).superRefine(refuseHalves);
export type ExecutionsQuery = z.infer<typeof ExecutionsQuery>;

/** An execution as it is now. */
export const Execution = z.strictObject({
  execution_id: Uuid,
  contact_id: z.string().nullable(),
  status: z.enum(EXECUTION_STATUSES).nullable().describe(
    "null until its enrolment has arrived; until then it counts nowhere",
  ),
  source: z.enum(SOURCES).nullable(),
  version: z.int().min(1).nullable()
    .describe("Of the workflow, when it was enrolled"),
  enrolled_at: UtcInstant.nullable(),
  ended_at: UtcInstant.nullable()
    .describe("null while it runs, as are the next two"),
  end_reason: z.string().nullable(),
  duration_seconds: Seconds.describe("Enrolment to end"),
  converted_at: UtcInstant.nullable(),
  goal_id: Uuid.nullable().describe("The goal that converted it"),
  open_steps: z.array(z.strictObject({
    step_id: Uuid,
    step_name: z.string().describe("The id where no version names it"),
    entered_at: UtcInstant,
  })).describe(
    "Entered and not completed: where it is, or was when it ended",
  ),
}).meta({ id: "Execution" });
export type Execution = z.infer<typeof Execution>;

/** Answer of `GET /workflows/{id}/executions`, newest enrolment first. */
export const ExecutionList = z.strictObject({
  workflow_id: Uuid,
  as_of: UtcInstant,
  executions: z.array(Execution),
  next_cursor: z.string().nullable()
    .describe("Ask with it for the next page; null on the last one"),
}).meta({ id: "ExecutionList" });
export type ExecutionList = z.infer<typeof ExecutionList>;

/** Most events of one execution that are shown. */
export const EVENTS_SHOWN_MAX = 1_000;

/** An event as it was reported; what its type does not have is left out. */
export const ExecutionEvent = z.strictObject({
  id: z.string(),
  type: z.enum(EVENT_TYPES),
  occurred_at: UtcInstant,
  sequence: Count,
  source: z.enum(SOURCES).optional(),
  step_id: Uuid.optional(),
  step_name: z.string().optional(),
  goal_id: Uuid.optional(),
  goal_name: z.string().optional(),
  status: z.enum(["succeeded", "failed"]).optional(),
  duration_ms: z.number().min(0).optional(),
  error: z.string().optional(),
  reason: z.string().optional(),
}).meta({ id: "ExecutionEvent" });
export type ExecutionEvent = z.infer<typeof ExecutionEvent>;

/** Answer of `GET /workflows/{id}/executions/{execution_id}`. */
export const ExecutionDetail = z.strictObject({
  ...Execution.shape,
  workflow_id: Uuid,
  as_of: UtcInstant,
  steps: z.array(z.strictObject({
    step_id: Uuid,
    step_name: z.string(),
    entered_at: UtcInstant,
    completed_at: UtcInstant.nullable()
      .describe("null while it is open, as is the time"),
    visits: Count,
    time_seconds: Seconds,
  })).describe("In the order they were entered"),
  goals: z.array(z.strictObject({
    goal_id: Uuid,
    goal_name: z.string().nullable()
      .describe("null where no version names it"),
    achieved_at: UtcInstant,
    is_conversion: z.boolean(),
  })).describe("Achieved, by the rules that count"),
  events: z.array(ExecutionEvent).max(EVENTS_SHOWN_MAX)
    .describe("The first thousand, in their order"),
  events_total: Count,
}).meta({ id: "ExecutionDetail" });
export type ExecutionDetail = z.infer<typeof ExecutionDetail>;

/** The path of a contact. */
export const ContactPath = z.strictObject({
  contact_id: storableText(ID_LENGTH_MAX),
});

/** Answer of `DELETE /contacts/{contact_id}`: what was of it; 0 where it is not known. */
export const ErasedContact = z.strictObject({
  executions: Count,
  events: Count,
}).meta({ id: "ErasedContact" });
export type ErasedContact = z.infer<typeof ErasedContact>;

/** Executions that are sent at once; more are a job by themselves. */
export const EXPORT_ROWS_AT_ONCE_MAX = 100_000;

/** How long a file is kept, hours: to be fetched on the day that it was asked for. */
export const EXPORT_HOURS = 24;

/** Most jobs of an account that are queued or running: others have accounts, too. */
export const EXPORTS_OPEN_MAX = 5;

/** Most files of executions that one process sends an account at once: others wait for it. */
export const EXPORTS_AT_ONCE_MAX = 2;

/** Most bytes of an account's files: ten million executions. */
export const EXPORT_BYTES_MAX = 2 * 1024 ** 3;

/** Jobs that are listed: more than a day of asking. */
export const EXPORTS_LISTED_MAX = 50;

export const EXPORT_FORMATS = ["csv", "json", "pdf"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

const ofExport = {
  format: z.enum(EXPORT_FORMATS),
  /** Whether CSV begins with a mark that tells Excel of UTF-8. */
  bom: z.enum(["true", "false"]).optional(),
};

/**
 * What is to be exported: the aggregated numbers of a read's query, or the executions
 * that a filter finds; a PDF has no executions.
 */
export const ExportQuery = z.preprocess(
  (query) =>
    typeof query === "object" && query !== null
      ? { rows: "buckets", ...query }
      : query,
  z.discriminatedUnion("rows", [
    AnalyticsQuery.safeExtend({ rows: z.literal("buckets"), ...ofExport }),
    ExecutionsFilter.safeExtend({
      rows: z.literal("executions"),
      ...ofExport,
      format: z.enum(["csv", "json"]),
    }),
  ]),
);
export type ExportQuery = z.infer<typeof ExportQuery>;

export const EXPORT_STATUSES = [
  "queued",
  "running",
  "done",
  "failed",
  "cancelled",
] as const;

/**
 * The parameters of an export as one list, for the document; what goes with what is
 * {@linkcode ExportQuery}'s to say.
 */
export const ExportParameters = z.strictObject({
  ...ofExport,
  rows: z.enum(["buckets", "executions"]).optional()
    .describe("The numbers of a range, or executions; default: buckets"),
  ...z.strictObject(AnalyticsQuery.shape).partial().shape,
  ...ofExecutions,
}).meta({ id: "ExportParameters" });

/** A file that a worker makes. */
export const ExportJob = z.strictObject({
  job_id: Uuid,
  workflow_id: Uuid,
  status: z.enum(EXPORT_STATUSES),
  percent: z.int().min(0).max(100),
  request: z.record(z.string(), z.unknown()).describe("What was asked for"),
  requested_by: z.string().nullable()
    .describe("A user; null: a machine of the account"),
  requested_at: UtcInstant,
  started_at: UtcInstant.nullable(),
  finished_at: UtcInstant.nullable(),
  expires_at: UtcInstant.nullable()
    .describe("When the file goes; null until it is there"),
  attempts: Count,
  error: z.string().nullable()
    .describe("Why the last attempt failed; null where it did not"),
  file: z.strictObject({
    name: z.string(),
    media_type: z.string(),
    bytes: Count,
    rows: Count.nullable().describe("Of the table; null where it is none"),
    sha256: z.string().describe("Hexadecimal"),
    download_url: z.string()
      .describe("Opens this file without a key for as long as it is kept"),
  }).nullable().describe("Null until it is done"),
}).meta({ id: "ExportJob" });
export type ExportJob = z.infer<typeof ExportJob>;

/** Answer of `GET /workflows/{id}/exports`, newest first. */
export const ExportList = z.strictObject({ exports: z.array(ExportJob) })
  .meta({ id: "ExportList" });
export type ExportList = z.infer<typeof ExportList>;

/** Links of a workflow that are open at once: more are not looked after. */
export const SHARES_OPEN_MAX = 100;

/** Links that are listed: those that are open, and as many that have expired. */
export const SHARES_LISTED_MAX = 200;

/** Sites that may frame one link's page. */
const FRAME_ANCESTORS_MAX = 20;

/** A rolling range is as long at most, days: two years are kept day by day. */
const SHARE_DAYS_MAX = RANGE_DAYS_MAX.daily;

/** What a shared page may be compared with: its own dates are nobody's to choose. */
export const SHARE_COMPARES = ["none", "previous", "year"] as const;

/** One site, as `frame-ancestors` takes it; `https://*.example.com` is all below it. */
export const FrameAncestor = z.string().max(200).toLowerCase().regex(
  /^https?:\/\/(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9]\d{0,4})?$/,
  "Must be an origin, e.g. https://example.com or https://*.example.com",
);

/** What a shared page shows: the last so many days, or two dates. */
export const ShareRange = z.union([
  z.strictObject({
    days: z.int().min(1).max(SHARE_DAYS_MAX)
      .describe("So many local dates, today included: it moves with the day"),
  }),
  z.strictObject({
    start_date: LocalDate.describe("First local date of the range"),
    end_date: LocalDate.describe("Last local date of the range, included"),
  }).superRefine((range, ctx) =>
    refuseRange(range, "start_date", "end_date", RANGE_DAYS_MAX.monthly, ctx)
  ),
]).meta({ id: "ShareRange" });
export type ShareRange = z.infer<typeof ShareRange>;

/** Body of `POST /workflows/{id}/shares`. */
export const ShareDefinition = z.strictObject({
  name: z.string().trim().min(1).max(200)
    .refine(isStorableText, "Must be well-formed text without NUL")
    .nullable().default(null)
    .describe("Tells whoever looks after it what it is for; not shown on it"),
  range: ShareRange,
  tz: TimeZone.optional().describe("IANA time zone; default: the account's"),
  compare: z.enum(SHARE_COMPARES).default("previous"),
  password: z.string().min(8).max(200)
    .refine(isStorableText, "Must be well-formed text without NUL")
    .nullable().default(null)
    .describe("Asked of whoever opens it; kept as a slow hash"),
  frame_ancestors: z.array(FrameAncestor).max(FRAME_ANCESTORS_MAX).default([])
    .describe("Origins whose pages may show it in a frame; none by default"),
  expires_at: Instant.nullable().default(null)
    .describe("When it ends by itself; null: when it is revoked"),
}).meta({ id: "ShareDefinition" });
export type ShareDefinition = z.infer<typeof ShareDefinition>;

/** A link, without what opens it. */
export const ShareLink = z.strictObject({
  share_id: Uuid,
  workflow_id: Uuid,
  name: z.string().nullable(),
  range: ShareRange,
  tz: z.string(),
  compare: z.enum(SHARE_COMPARES),
  has_password: z.boolean(),
  frame_ancestors: z.array(z.string()),
  created_by: z.string().nullable()
    .describe("null: a machine, or nobody in particular"),
  created_at: UtcInstant,
  expires_at: UtcInstant.nullable(),
}).meta({ id: "ShareLink" });
export type ShareLink = z.infer<typeof ShareLink>;

/** Answer of `POST /workflows/{id}/shares`. */
export const NewShare = z.strictObject({
  ...ShareLink.shape,
  url: z.string().describe("The page. Shown once: it cannot be read again"),
  embed_url: z.string()
    .describe("The same for a frame, on the sites of frame_ancestors"),
}).meta({ id: "NewShare" });
export type NewShare = z.infer<typeof NewShare>;

/** Answer of `GET /workflows/{id}/shares`, newest first. */
export const ShareList = z.strictObject({ shares: z.array(ShareLink) })
  .meta({ id: "ShareList" });
export type ShareList = z.infer<typeof ShareList>;
/** Scheduled reports of an account: more than a workflow each for most. */
export const REPORTS_MAX = 50;

/** Deliveries that are told of, of each report: two months of weeks. */
export const DELIVERIES_SHOWN = 8;

/** Deliveries of a report that are under way at once; more are asked for by mistake. */
export const DELIVERIES_OPEN_MAX = 3;

/** Deliveries given up one after the other that disable a report. */
export const DELIVERIES_FAILED_MAX = 3;

export const REPORT_PERIODS = ["week", "month"] as const;
export type ReportPeriod = (typeof REPORT_PERIODS)[number];

/** Where a report goes. What it leads to is looked at when it is sent: it may change. */
const WebhookUrl = z.url({ protocol: /^https?$/, error: "Must be https://…" })
  .max(2_000)
  .refine(
    (url) => !/^https?:\/\/[^/?#]*@/i.test(url),
    "Must not have a user or a password",
  )
  .describe("Takes the notice by POST; https, at a public address");

/** Body of `POST /workflows/{id}/reports`. */
export const ReportOrder = z.strictObject({
  every: z.enum(REPORT_PERIODS)
    .describe("The week before, on Mondays; the month before, on first days"),
  hour: z.coerce.number().int().min(0).max(23).default(6)
    .describe("Of the day, in the account's zone"),
  format: z.enum(["pdf", "csv"]),
  granularity: z.enum(GRANULARITIES).default("daily"),
  attribution: z.enum(ATTRIBUTIONS).default("cohort"),
  compare: z.enum(["none", "previous", "year"]).default("previous"),
  url: WebhookUrl,
}).meta({ id: "ReportOrder" });
export type ReportOrder = z.infer<typeof ReportOrder>;

/** A report that is sent by schedule. */
export const ScheduledReport = z.strictObject({
  report_id: Uuid,
  workflow_id: Uuid,
  every: z.enum(REPORT_PERIODS),
  hour: z.int().min(0).max(23),
  request: z.record(z.string(), z.unknown()).describe("What is in the file"),
  url: z.string(),
  created_by: z.string().nullable()
    .describe("A user; null: a machine of the account"),
  created_at: UtcInstant,
  due_at: UtcInstant.nullable().describe("Null while it is disabled"),
  failures: Count.describe("Deliveries given up since the last that arrived"),
  disabled_at: UtcInstant.nullable(),
  disabled_reason: z.string().nullable(),
  deliveries: z.array(z.strictObject({
    delivery_id: Uuid,
    start_date: LocalDate,
    end_date: LocalDate,
    by_hand: z.boolean(),
    status: z.enum(["making", "sending", "delivered", "failed"]),
    attempts: Count,
    created_at: UtcInstant,
    finished_at: UtcInstant.nullable(),
    next_attempt_at: UtcInstant.nullable(),
    http_status: z.int().nullable()
      .describe("Of the last attempt; null where nobody answered"),
    error: z.string().nullable().describe("Of the last attempt"),
  })).describe("The newest first"),
}).meta({ id: "ScheduledReport" });
export type ScheduledReport = z.infer<typeof ScheduledReport>;

/** Answer of `POST /workflows/{id}/reports`. */
export const NewReport = ScheduledReport.extend({
  secret: z.string().describe("Signs what is sent; shown this once"),
}).meta({ id: "NewReport" });
export type NewReport = z.infer<typeof NewReport>;

/** Answer of `GET /workflows/{id}/reports`, oldest first. */
export const ReportList = z.strictObject({ reports: z.array(ScheduledReport) })
  .meta({ id: "ReportList" });
export type ReportList = z.infer<typeof ReportList>;

/** What a credential may do. */
export const SCOPES = [
  "events:write",
  "workflows:write",
  "analytics:read",
  "exports:write",
  "admin",
] as const;
export type Scope = (typeof SCOPES)[number];

export const ROLES = ["admin", "member"] as const;
export type Role = (typeof ROLES)[number];

/** How far back the quality of events is told of; counts are kept as long as detail. */
export const QualityQuery = z.strictObject({
  days: z.coerce.number().int().min(1).max(90).default(30),
});

/** What can be wrong with an event that arrives; `db/migrations/0011_producers.sql` says each. */
export const QualityKind = z.enum([
  "duplicate",
  "conflict",
  "late",
  "future",
  "too_old",
  "invalid",
  "conflicting_end",
]);
export type QualityKind = z.infer<typeof QualityKind>;

/** Where to look. */
const ExampleExecutions = z.array(Uuid).max(5)
  .describe("Examples of executions");

/** Answer of `GET /workflows/{id}/quality`. */
export const Quality = z.strictObject({
  workflow_id: Uuid,
  since: UtcInstant,
  arrivals: z.array(z.strictObject({
    kind: QualityKind,
    events: Count,
    last_at: UtcInstant.nullable(),
    executions: ExampleExecutions,
  })).describe("One of each kind, also where there was none"),
  unknown_steps: z.array(z.strictObject({
    step_id: Uuid,
    entered: Count,
    actions: Count,
    executions: ExampleExecutions,
  })).describe(
    "Steps that events name and no version defines; empty while nothing is defined",
  ),
  never_completed: z.array(z.strictObject({
    step_id: Uuid,
    step_name: z.string().nullable(),
    entered: Count,
    left_open: Count,
    executions: ExampleExecutions,
  })).describe("Steps that nobody completed, and that executions ended in"),
  forbidden_transitions: z.array(z.strictObject({
    from_step_id: Uuid.nullable().describe(
      "The step entered last before; null where it was the first",
    ),
    to_step_id: Uuid,
    count: Count,
    executions: ExampleExecutions,
  })).describe(
    "Steps that were entered though no step before them in the definition was",
  ),
  checked_executions: Count.describe(
    "Of the newest executions, whose transitions were looked at",
  ),
}).meta({ id: "Quality" });
export type Quality = z.infer<typeof Quality>;
