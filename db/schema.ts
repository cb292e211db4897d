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
export const Uuid = z.guid().transform((uuid) => uuid.toLowerCase());

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
  .regex(/(Z|[+-](0\d|1[0-5]):\d\d)$/, "Must have an offset below 16:00");

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
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate. */
  id: storableText(ID_LENGTH_MAX),
  workflow_id: Uuid,
  execution_id: Uuid,
  contact_id: storableText(ID_LENGTH_MAX),
  /** The producer's clock. */
  occurred_at: Instant,
  /** Default: the newest registered when the event is accepted. */
  workflow_version: z.int().min(1).max(2_147_483_647).optional(),
  /** Orders events of one execution that share an instant. */
  sequence: z.int().min(0).optional(),
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
    /** Milliseconds, taken to whole microseconds. */
    duration_ms: z.number().min(0).max(DURATION_MS_MAX),
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
    reason: Reason,
  }),
  z.strictObject({
    type: z.literal("execution.failed"),
    ...ofExecution,
    error: storableText(ERROR_LENGTH_MAX).optional(),
  }),
]);
export type Event = z.infer<typeof Event>;

/** Why one event of a request was refused. */
export interface EventRefusal {
  /** Position in the request, from 0; for NDJSON the line among non-empty lines. */
  index: number;
  /** The event's id, `null` where it has none that can be read. */
  id: string | null;
  code:
    | "invalid_event"
    | "event_too_old"
    | "event_in_future"
    | "event_conflict"
    | "workflow_not_found";
  message: string;
}

/** Answer of `POST /events`; `accepted + duplicates + rejected` is what was read. */
export interface EventReceipt {
  accepted: number;
  duplicates: number;
  rejected: number;
  /** At most {@linkcode ERRORS_LISTED_MAX}; `rejected` counts all. */
  errors: EventRefusal[];
}

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
  /** Place in the funnel, ascending, no two the same. */
  order: z.int().min(0).max(1_000_000),
  /** Steps that may follow: several make a branch, none an end. */
  next: shortList(Uuid, 50).optional(),
});
export type Step = z.infer<typeof Step>;

export const Goal = z.strictObject({
  goal_id: Uuid,
  type: storableText(64),
  name: storableText(200),
});
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
  conversion_window: Duration.default("P90D"),
  goal_ends_execution: z.boolean().default(true),
  /** The user who may read it besides the account's admins. */
  owner_id: storableText(ID_LENGTH_MAX).nullable().default(null),
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
});
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
export interface WorkflowVersion {
  version: number;
  created_at: string;
  steps: Step[];
  goals: Goal[];
}

/** Answer of `GET` and `PUT /workflows/{id}`. */
export interface Workflow {
  workflow_id: string;
  /** `null` until it is registered. */
  name: string | null;
  status: (typeof WORKFLOW_STATUSES)[number];
  owner_id: string | null;
  conversion_window: string;
  goal_ends_execution: boolean;
  /** The newest registered version; `null` until it is registered. */
  version: number | null;
  /** Of the newest version, in their order. */
  steps: Step[];
  goals: Goal[];
  /** All versions, newest first. */
  versions: WorkflowVersion[];
}

/** A workflow in a list, with its last 30 days. */
export interface WorkflowListing {
  workflow_id: string;
  name: string | null;
  status: (typeof WORKFLOW_STATUSES)[number];
  total_enrolled: number;
  currently_active: number;
  completed: number;
  completion_rate: number | null;
  goals_achieved: number;
  conversion_rate: number | null;
}

/** `GET /workflows` query. */
export const WorkflowsQuery = z.strictObject({
  /** Part of the name, in any case. */
  search: z.string().max(200)
    .refine(isStorableText, "Must be well-formed text without NUL").optional(),
  status: z.enum(WORKFLOW_STATUSES).optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  /** `next_cursor` of the page before: a name of 200 characters, as base64 of UTF-8. */
  cursor: z.string().max(4_096).optional(),
});
export type WorkflowsQuery = z.infer<typeof WorkflowsQuery>;

/** Answer of `GET /workflows`. */
export interface WorkflowList {
  as_of: string;
  workflows: WorkflowListing[];
  /** Ask with it for the next page; `null` on the last one. */
  next_cursor: string | null;
}

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

export const ATTRIBUTIONS = ["cohort", "event"] as const;
export type Attribution = (typeof ATTRIBUTIONS)[number];

export const GRANULARITIES = ["hourly", "daily", "weekly", "monthly"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** What is counted: enrolments, or the contacts behind them. */
export const UNITS = ["execution", "contact"] as const;
export type Unit = (typeof UNITS)[number];

export const COMPARES = ["none", "previous", "year", "custom"] as const;

const LocalDate = z.iso.date()
  .regex(/^(19|[2-9]\d)/, "Must be of the year 1900 or later");

/** Query of every read of a workflow's numbers. */
export const AnalyticsQuery = z.strictObject({
  /** First local date of the range. */
  start_date: LocalDate,
  /** Last local date of the range, included. */
  end_date: LocalDate,
  /** Default: the account's. */
  tz: TimeZone.optional(),
  granularity: z.enum(GRANULARITIES).default("daily"),
  attribution: z.enum(ATTRIBUTIONS).default("cohort"),
  /**
   * `contact` counts each contact once a number, above and below the line. Needs the
   * detail, so the range must not begin more than 90 days ago. Actions are counted by
   * execution whatever it says.
   */
  unit: z.enum(UNITS).default("execution"),
  /** As many days directly before, the same dates a year back, or those given. */
  compare: z.enum(COMPARES).default("none"),
  compare_start: LocalDate.optional(),
  compare_end: LocalDate.optional(),
  /** Only executions enrolled in this version; default: all. */
  version: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
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

/** What was asked for, and what was answered. Instants are UTC, `end` is not in it. */
export interface Period {
  start_date: string;
  end_date: string;
  tz: string;
  tz_effective: string;
  start: string;
  end: string;
  granularity: Granularity;
  attribution: Attribution;
  unit: Unit;
}

/** Percent with two decimals; `null` where nothing can be divided by. */
export type Rate = number | null;

/** Seconds with three decimals; `null` where nothing was measured. */
export type Seconds = number | null;

/**
 * The headline numbers of a range. With `unit=contact` a contact counts once in each:
 * it is enrolled, completed or converted, is active or in progress, left for a reason,
 * came from a source or achieved a goal, if any of its executions that count did. So it
 * may be in several rows of a list, and both completed and in progress; settled are
 * those of whom nothing runs. Durations and times stay those of executions, each once.
 */
export interface Summary {
  total_enrolled: number;
  /** Running at the range's end, or now, whenever enrolled. */
  currently_active: number;
  completed: number;
  completion_rate: Rate;
  goals_achieved: number;
  conversion_rate: Rate;
  average_duration_seconds: Seconds;
  /** Two decimals. */
  average_duration_hours: number | null;
  median_duration_seconds: Seconds;
  p95_duration_seconds: Seconds;
  /** Of those enrolled in the range, in both attributions. */
  in_progress: number;
  settled: number;
  settled_completion_rate: Rate;
  settled_conversion_rate: Rate;
  /** Enrolments per bucket that has begun, two decimals. */
  enrollment_rate: number | null;
  /** Shares sum to exactly 100. */
  enrollment_sources: { source: string; count: number; share: number }[];
  exit_reasons: { reason: string; count: number; share: number }[];
  goal_breakdown: {
    goal_id: string;
    /** `null` where no version names it. */
    goal_name: string | null;
    achieved: number;
    rate: Rate;
    first: number;
  }[];
  time_to_conversion: {
    average: Seconds;
    median: Seconds;
    p95: Seconds;
    fastest: Seconds;
    slowest: Seconds;
  };
}

/** A count or a mean, then and now; `null` where nothing was measured, or contacts are not kept. */
export interface Change {
  current: number | null;
  previous: number | null;
  change: number | null;
  /** Two decimals; `null` where previous is 0 or unknown. */
  change_percent: number | null;
}

/** The same numbers of another range. A rate's change is in percentage points. */
export interface Comparison {
  /** What was compared with: broken off after as long as the range has lasted. */
  period: {
    start_date: string;
    end_date: string;
    tz_effective: string;
    start: string;
    end: string;
  };
  total_enrolled: Change;
  completed: Change;
  completion_rate: Omit<Change, "change_percent">;
  goals_achieved: Change;
  conversion_rate: Omit<Change, "change_percent">;
  average_duration_seconds: Change;
}

/**
 * One bucket of a trend. With `unit=contact` each number is of different contacts, so
 * buckets do not add up to the summary.
 */
export interface TrendPoint {
  /** Local date the bucket begins on. */
  date: string;
  /** Local: `2026-11-23`, `2026-W48`, `2026-11`, or `2026-11-23T14:00+01:00`. */
  label: string;
  start: string;
  end: string;
  /** By event: what happened in the bucket. */
  new_enrollments: number;
  completions: number;
  conversions: number;
  exits: number;
  /** By cohort: what became of those enrolled in the bucket. */
  cohort_completed: number;
  cohort_converted: number;
  in_progress: number;
  /** Enrolled from the range's start to the bucket's end. */
  total_enrolled: number;
  /** Running at the bucket's end, or now. */
  currently_active: number;
}

/** Answer of `GET /workflows/{id}/analytics`. */
export interface Analytics {
  workflow_id: string;
  as_of: string;
  period: Period;
  summary: Summary;
  trends: TrendPoint[];
  /** `null` where none was asked for. */
  comparison: Comparison | null;
}

/**
 * One step of a funnel: `entered = completed + dropped_off + goal_exits + in_progress`.
 * With `unit=contact` a contact counts once, with the best that became of its executions
 * there: completed, else a goal exit, else in progress, else dropped off. Then
 * `left_after` are those who left after it and of whom no other execution completed it
 * and went on; times and visits stay those of all executions.
 */
export interface FunnelStep {
  step_id: string;
  /** The id where no version names it. */
  step_name: string;
  step_type: (typeof STEP_TYPES)[number] | null;
  step_order: number;
  entered: number;
  completed: number;
  dropped_off: number;
  goal_exits: number;
  in_progress: number;
  left_after: number;
  conversion_rate: Rate;
  drop_off_rate: Rate;
  average_time_seconds: Seconds;
  median_time_seconds: Seconds;
  p95_time_seconds: Seconds;
  visits: number;
  /** Against as many days directly before. */
  vs_previous_period: RateDifference;
  /** Against every cohort still kept as days and enrolled before the range's end; days know no contacts. */
  vs_workflow_average: RateDifference;
}

/** Percentage points of the rates as shown; `null` where either is. */
export interface RateDifference {
  conversion_rate: number | null;
  drop_off_rate: number | null;
}

/** Answer of `GET /workflows/{id}/analytics/funnel`. */
export interface Funnel {
  workflow_id: string;
  as_of: string;
  period: Period;
  funnel_steps: FunnelStep[];
  overall_conversion: Rate;
  drop_off_points: {
    step_id: string;
    step_name: string;
    entered: number;
    dropped_off: number;
    drop_off_rate: Rate;
  }[];
  bottleneck_step: string | null;
  slowest_step: string | null;
}

/** How an action fares: below 80 % success, below 95 %, above 5,000 ms mean, else fine. */
export type Health = "error" | "warning" | "slow" | "ok";

/** One row of the action table. Milliseconds have three decimals. */
export interface ActionMetrics {
  action_id: string;
  /** The id where no version names it. */
  action_name: string;
  action_type: string | null;
  executions: number;
  successes: number;
  failures: number;
  success_rate: Rate;
  error_rate: Rate;
  average_duration_ms: number | null;
  p50_duration_ms: number | null;
  p95_duration_ms: number | null;
  p99_duration_ms: number | null;
  health: Health;
}

/** Answer of `GET /workflows/{id}/analytics/actions`. */
export interface Actions {
  workflow_id: string;
  as_of: string;
  period: Period;
  actions: ActionMetrics[];
}

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
  /**
   * The `id` of the last message that a client has; for those that cannot send the
   * header `Last-Event-ID`, which wins.
   */
  last_event_id: z.string().max(64).optional(),
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
  /** Local dates, both included, and their zone: as of {@linkcode AnalyticsQuery}. */
  start_date: LocalDate.optional(),
  end_date: LocalDate.optional(),
  tz: TimeZone.optional(),
  /** Instead of dates, `end` not included: those of a bucket of a trend. */
  start: Instant.optional(),
  end: Instant.optional(),
  /**
   * `cohort`: the range is of the enrolment. `event`: whatever else is asked for must
   * have happened in it: the end for `status` and `reason`, the conversion, the goal.
   */
  attribution: z.enum(ATTRIBUTIONS).default("cohort"),
  version: z.coerce.number().int().min(1).max(2_147_483_647).optional(),
  status: commaList(z.enum(EXECUTION_STATUSES)).optional(),
  source: commaList(z.enum(SOURCES)).optional(),
  reason: commaList(Reason).optional(),
  converted: z.enum(["true", "false"]).optional(),
  goal_id: Uuid.optional(),
  /** Achieved it at all, or as its first one, which is the conversion. */
  goal: z.enum(["achieved", "first"]).optional(),
  step_id: Uuid.optional(),
  /** What became of the execution there. Default: entered. */
  step: z.enum(STEP_OUTCOMES).optional(),
  /** Enrolled before this instant, or now, and not ended before it. */
  running_at: Instant.optional(),
  /** Begin of an execution's or contact's id, or words of an error or reason. */
  text: z.string().min(1).max(SEARCH_LENGTH_MAX)
    .refine(isStorableText, "Must be well-formed text without NUL").optional(),
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
  /** `next_cursor` of the page before. */
  cursor: z.string().max(256).optional(),
}).superRefine(refuseHalves);
export type ExecutionsQuery = z.infer<typeof ExecutionsQuery>;

/** An execution as it is now. */
export interface Execution {
  execution_id: string;
  contact_id: string | null;
  /** `null` until its enrolment has arrived; until then it counts nowhere. */
  status: (typeof EXECUTION_STATUSES)[number] | null;
  source: (typeof SOURCES)[number] | null;
  /** Of the workflow, when it was enrolled. */
  version: number | null;
  enrolled_at: string | null;
  /** `null` while it runs, as are the next two. */
  ended_at: string | null;
  end_reason: string | null;
  /** Enrolment to end. */
  duration_seconds: Seconds;
  converted_at: string | null;
  /** The goal that converted it. */
  goal_id: string | null;
  /** Entered and not completed: where it is, or was when it ended. */
  open_steps: {
    step_id: string;
    /** The id where no version names it. */
    step_name: string;
    entered_at: string;
  }[];
}

/** Answer of `GET /workflows/{id}/executions`, newest enrolment first. */
export interface ExecutionList {
  workflow_id: string;
  as_of: string;
  executions: Execution[];
  /** Ask with it for the next page; `null` on the last one. */
  next_cursor: string | null;
}

/** Answer of `GET /workflows/{id}/executions/{execution_id}`. */
export interface ExecutionDetail extends Execution {
  workflow_id: string;
  as_of: string;
  /** In the order they were entered. */
  steps: {
    step_id: string;
    step_name: string;
    entered_at: string;
    /** `null` while it is open, as is the time. */
    completed_at: string | null;
    visits: number;
    time_seconds: Seconds;
  }[];
  /** Achieved, by the rules that count. */
  goals: {
    goal_id: string;
    /** `null` where no version names it. */
    goal_name: string | null;
    achieved_at: string;
    is_conversion: boolean;
  }[];
  /** In their order, the first {@linkcode EVENTS_SHOWN_MAX}. */
  events: ExecutionEvent[];
  events_total: number;
}

/** Most events of one execution that are shown. */
export const EVENTS_SHOWN_MAX = 1_000;

/** An event as it was reported; what its type does not have is left out. */
export interface ExecutionEvent {
  id: string;
  type: (typeof EVENT_TYPES)[number];
  occurred_at: string;
  sequence: number;
  source?: (typeof SOURCES)[number];
  step_id?: string;
  step_name?: string;
  goal_id?: string;
  goal_name?: string;
  status?: "succeeded" | "failed";
  duration_ms?: number;
  error?: string;
  reason?: string;
}

/** The path of a contact. */
export const ContactPath = z.strictObject({
  contact_id: storableText(ID_LENGTH_MAX),
});

/** Answer of `DELETE /contacts/{contact_id}`: what was of it; 0 where it is not known. */
export interface ErasedContact {
  executions: number;
  events: number;
}

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
export type QualityKind =
  | "duplicate"
  | "conflict"
  | "late"
  | "future"
  | "too_old"
  | "invalid"
  | "conflicting_end";

/** Answer of `GET /workflows/{id}/quality`. Lists of executions are examples, at most five. */
export interface Quality {
  workflow_id: string;
  since: string;
  /** One of each kind, also where there was none. */
  arrivals: {
    kind: QualityKind;
    events: number;
    last_at: string | null;
    executions: string[];
  }[];
  /** Steps that events name and no version defines; empty while nothing is defined. */
  unknown_steps: {
    step_id: string;
    entered: number;
    actions: number;
    executions: string[];
  }[];
  /** Steps that nobody completed, and that executions ended in. */
  never_completed: {
    step_id: string;
    step_name: string | null;
    entered: number;
    left_open: number;
    executions: string[];
  }[];
  /** Steps that were entered though no step before them in the definition was. */
  forbidden_transitions: {
    /** The step entered last before; `null` where it was the first. */
    from_step_id: string | null;
    to_step_id: string;
    count: number;
    executions: string[];
  }[];
  /** Of the newest executions, whose transitions were looked at. */
  checked_executions: number;
}
