// Generated from /openapi.json: do not edit.

/** An answer that is an error. */
export class WeirError extends Error {
  override readonly name = "WeirError";
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }
}

/** Where Weir is, and who asks. */
export interface ClientOptions {
  /** Without a slash at its end. */
  url: string;
  /** An API key; without one, a browser sends its session. */
  key?: string;
  /** Default: the global one. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

type Query = Record<string, string | number | undefined>;

async function send(
  { url, key, fetch = globalThis.fetch }: ClientOptions,
  method: string,
  path: string,
  query: Query = {},
  body?: unknown,
): Promise<Response> {
  const search = new URLSearchParams(
    Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, String(value)]),
  );
  const response = await fetch(
    `${url}${path}${search.size ? "?" : ""}${search}`,
    {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
  );
  if (!response.ok) throw new WeirError(await response.json());
  return response;
}

export type AccessLogPage = {
  /** The newest first */
  entries: ({
    at: string;
    /** null: a machine, or nobody in particular */
    user_id: string | null;
    /** What let them in, by a name that opens nothing */
    credential: string;
    /** Method and pattern of the route */
    action: string;
    workflow_id: string | null;
    /** What was asked for */
    filter: Record<string, unknown>;
    /** null where an answer is not made of rows */
    rows: number | null;
    /** That were sent; null but for files of jobs */
    bytes: number | null;
    /** Of the whole file */
    sha256: string | null;
    status: number;
    request_id: string;
  })[];
  /** Ask with it for the next page; null on the last one */
  next_cursor: string | null;
};

export type ActionMetrics = {
  /** The step's id */
  action_id: string;
  /** The id where no version names it */
  action_name: string;
  action_type: string | null;
  executions: number;
  successes: number;
  failures: number;
  /** Percent with two decimals; null where nothing can be divided by */
  success_rate: number | null;
  /** Percent with two decimals; null where nothing can be divided by */
  error_rate: number | null;
  /** Milliseconds with three decimals; null where nothing was measured */
  average_duration_ms: number | null;
  /** Milliseconds with three decimals; null where nothing was measured */
  p50_duration_ms: number | null;
  /** Milliseconds with three decimals; null where nothing was measured */
  p95_duration_ms: number | null;
  /** Milliseconds with three decimals; null where nothing was measured */
  p99_duration_ms: number | null;
  /** Below 80 % success, below 95 %, above 5,000 ms mean, else fine */
  health: "error" | "warning" | "slow" | "ok";
};

export type Actions = {
  workflow_id: string;
  /** The instant up to which the numbers are complete */
  as_of: string;
  period: Period;
  /** Worst first */
  actions: (ActionMetrics)[];
};

export type Analytics = {
  workflow_id: string;
  /** The instant up to which the numbers are complete */
  as_of: string;
  period: Period;
  summary: Summary;
  trends: (TrendPoint)[];
  /** null where none was asked for */
  comparison: Comparison | null;
};

/** null where nothing was measured, or contacts are not kept any more */
export type Change = {
  current: number | null;
  previous: number | null;
  change: number | null;
  /** Two decimals; null where previous is 0 or unknown */
  change_percent: number | null;
};

export type Comparison = {
  /** What was compared with: broken off after as long as the range has lasted */
  period: {
    start_date: string;
    end_date: string;
    tz_effective: string;
    start: string;
    end: string;
  };
  total_enrolled: Change;
  completed: Change;
  completion_rate: RateChange;
  goals_achieved: Change;
  conversion_rate: RateChange;
  average_duration_seconds: Change;
};

export type ErasedContact = {
  executions: number;
  events: number;
};

export type Event = {
  type: "execution.enrolled";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  source: "trigger" | "bulk" | "api" | "manual";
} | {
  type: "step.entered" | "step.completed";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  step_id: string;
} | {
  type: "action.executed";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  step_id: string;
  status: "succeeded" | "failed";
  /** Milliseconds, taken to whole microseconds */
  duration_ms: number;
  error?: string;
} | {
  type: "goal.achieved";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  goal_id: string;
} | {
  type: "execution.completed";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
} | {
  type: "execution.exited";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  /** Your own word, in lower snake case */
  reason: string;
} | {
  type: "execution.failed";
  /** Chosen by the producer, unique per workflow; the same id again is a duplicate */
  id: string;
  workflow_id: string;
  execution_id: string;
  contact_id: string;
  /** By the producer's clock: RFC 3339 with offset, at most microseconds */
  occurred_at: string;
  /** Default: the newest registered when the event is accepted */
  workflow_version?: number;
  /** Orders events of one execution that share an instant */
  sequence?: number;
  error?: string;
};

export type EventReceipt = {
  accepted: number;
  duplicates: number;
  rejected: number;
  /** The first thousand refusals; rejected counts all */
  errors: (EventRefusal)[];
};

export type EventRefusal = {
  /** Position in the request, from 0; for NDJSON the line among non-empty lines */
  index: number;
  /** The event's id, null where it has none that can be read */
  id: string | null;
  code:
    | "invalid_event"
    | "event_too_old"
    | "event_in_future"
    | "event_conflict"
    | "workflow_not_found";
  message: string;
};

export type EventsProblem = {
  /** urn:weir:error: and the code */
  type: string;
  title: string;
  status: number;
  /** Stable: switch on it */
  code:
    | "invalid_request"
    | "invalid_json"
    | "incomplete_body"
    | "unauthenticated"
    | "insufficient_scope"
    | "cross_site_request"
    | "forbidden"
    | "link_expired"
    | "workflow_not_found"
    | "execution_not_found"
    | "export_not_found"
    | "share_not_found"
    | "not_found"
    | "method_not_allowed"
    | "export_not_done"
    | "shares_full"
    | "report_not_found"
    | "reports_full"
    | "export_gone"
    | "payload_too_large"
    | "unsupported_media_type"
    | "range_not_satisfiable"
    | "rate_limited"
    | "all_events_rejected"
    | "too_many_streams"
    | "exports_busy"
    | "exports_full"
    | "reports_busy"
    | "internal"
    | "identity_unavailable"
    | "unavailable"
    | "streams_full"
    | "overloaded"
    | "stopping"
    | "query_timeout";
  /** What is wrong in this case */
  detail?: string;
  /** Event by event, or where the request as a whole is wrong */
  errors?: (EventRefusal)[] | (FieldError)[];
  accepted?: number;
  duplicates?: number;
  rejected?: number;
};

export type Execution = {
  execution_id: string;
  contact_id: string | null;
  /** null until its enrolment has arrived; until then it counts nowhere */
  status: "active" | "completed" | "goal_achieved" | "error" | "exited" | null;
  source: "trigger" | "bulk" | "api" | "manual" | null;
  /** Of the workflow, when it was enrolled */
  version: number | null;
  enrolled_at: string | null;
  /** null while it runs, as are the next two */
  ended_at: string | null;
  end_reason: string | null;
  /** Enrolment to end */
  duration_seconds: number | null;
  converted_at: string | null;
  /** The goal that converted it */
  goal_id: string | null;
  /** Entered and not completed: where it is, or was when it ended */
  open_steps: ({
    step_id: string;
    /** The id where no version names it */
    step_name: string;
    entered_at: string;
  })[];
};

export type ExecutionDetail = {
  execution_id: string;
  contact_id: string | null;
  /** null until its enrolment has arrived; until then it counts nowhere */
  status: "active" | "completed" | "goal_achieved" | "error" | "exited" | null;
  source: "trigger" | "bulk" | "api" | "manual" | null;
  /** Of the workflow, when it was enrolled */
  version: number | null;
  enrolled_at: string | null;
  /** null while it runs, as are the next two */
  ended_at: string | null;
  end_reason: string | null;
  /** Enrolment to end */
  duration_seconds: number | null;
  converted_at: string | null;
  /** The goal that converted it */
  goal_id: string | null;
  /** Entered and not completed: where it is, or was when it ended */
  open_steps: ({
    step_id: string;
    /** The id where no version names it */
    step_name: string;
    entered_at: string;
  })[];
  workflow_id: string;
  as_of: string;
  /** In the order they were entered */
  steps: ({
    step_id: string;
    step_name: string;
    entered_at: string;
    /** null while it is open, as is the time */
    completed_at: string | null;
    visits: number;
    /** Seconds with three decimals; null where nothing was measured */
    time_seconds: number | null;
  })[];
  /** Achieved, by the rules that count */
  goals: ({
    goal_id: string;
    /** null where no version names it */
    goal_name: string | null;
    achieved_at: string;
    is_conversion: boolean;
  })[];
  /** The first thousand, in their order */
  events: (ExecutionEvent)[];
  events_total: number;
};

export type ExecutionEvent = {
  id: string;
  type:
    | "execution.enrolled"
    | "step.entered"
    | "step.completed"
    | "action.executed"
    | "goal.achieved"
    | "execution.completed"
    | "execution.exited"
    | "execution.failed";
  occurred_at: string;
  sequence: number;
  source?: "trigger" | "bulk" | "api" | "manual";
  step_id?: string;
  step_name?: string;
  goal_id?: string;
  goal_name?: string;
  status?: "succeeded" | "failed";
  duration_ms?: number;
  error?: string;
  reason?: string;
};

export type ExecutionList = {
  workflow_id: string;
  as_of: string;
  executions: (Execution)[];
  /** Ask with it for the next page; null on the last one */
  next_cursor: string | null;
};

export type ExportJob = {
  job_id: string;
  workflow_id: string;
  status: "queued" | "running" | "done" | "failed" | "cancelled";
  percent: number;
  /** What was asked for */
  request: Record<string, unknown>;
  /** A user; null: a machine of the account */
  requested_by: string | null;
  requested_at: string;
  started_at: string | null;
  finished_at: string | null;
  /** When the file goes; null until it is there */
  expires_at: string | null;
  attempts: number;
  /** Why the last attempt failed; null where it did not */
  error: string | null;
  /** Null until it is done */
  file: {
    name: string;
    media_type: string;
    bytes: number;
    /** Of the table; null where it is none */
    rows: number | null;
    /** Hexadecimal */
    sha256: string;
    /** Opens this file without a key for as long as it is kept */
    download_url: string;
  } | null;
};

export type ExportList = {
  exports: (ExportJob)[];
};

export type ExportParameters = {
  format: "csv" | "json" | "pdf";
  bom?: "true" | "false";
  /** The numbers of a range, or executions; default: buckets */
  rows?: "buckets" | "executions";
  /** First local date of the range */
  start_date?: string;
  /** Last local date of the range, included */
  end_date?: string;
  /** IANA time zone; default: the account's */
  tz?: string;
  /** Length of a bucket of the trends */
  granularity?: "hourly" | "daily" | "weekly" | "monthly";
  /** cohort: the range is of the enrolment. event: of the end for status and reason, of the conversion for converted, of the goal for goal_id; where none of these is asked for, of the enrolment */
  attribution?: "cohort" | "event";
  /** contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says */
  unit?: "execution" | "contact";
  /** As many days directly before, the same dates a year back, or those of compare_start and compare_end */
  compare?: "none" | "previous" | "year" | "custom";
  /** First date to compare with; with compare=custom alone */
  compare_start?: string;
  /** Last date to compare with, included; with compare=custom alone */
  compare_end?: string;
  /** Of the enrolment */
  version?: number;
  /** Instead of dates: an instant, as a bucket of a trend begins with */
  start?: string;
  /** The first instant after the range */
  end?: string;
  /** Of active, completed, goal_achieved, error, exited; several with commas */
  status?: string;
  /** Of trigger, bulk, api, manual; several with commas */
  source?: string;
  /** Why it ended; several with commas */
  reason?: string;
  converted?: "true" | "false";
  goal_id?: string;
  /** Achieved it at all, which is the default, or as its first one, which is the conversion */
  goal?: "achieved" | "first";
  step_id?: string;
  /** What became of the execution there; default: entered */
  step?:
    | "entered"
    | "completed"
    | "dropped_off"
    | "goal_exits"
    | "in_progress"
    | "left_after";
  /** Enrolled before this instant, or now, and not ended before it */
  running_at?: string;
  /** Begin of an execution's or contact's id, or words of an error or reason */
  text?: string;
};

export type FieldError = {
  /** Dotted, e.g. steps.0.name; empty for the whole */
  path: string;
  message: string;
};

export type Funnel = {
  workflow_id: string;
  /** The instant up to which the numbers are complete */
  as_of: string;
  period: Period;
  funnel_steps: (FunnelStep)[];
  /** Percent with two decimals; null where nothing can be divided by */
  overall_conversion: number | null;
  /** Where most drop off, by rate */
  drop_off_points: ({
    step_id: string;
    step_name: string;
    entered: number;
    dropped_off: number;
    /** Percent with two decimals; null where nothing can be divided by */
    drop_off_rate: number | null;
  })[];
  /** The first of drop_off_points */
  bottleneck_step: string | null;
  /** The step of the highest mean time */
  slowest_step: string | null;
};

/** entered = completed + dropped_off + goal_exits + in_progress. With unit=contact a contact counts once, with the best that became of its executions there: completed, else a goal exit, else in progress, else dropped off. Then left_after are those who left after it and of whom no other execution completed it and went on; times and visits stay those of all executions. */
export type FunnelStep = {
  step_id: string;
  /** The id where no version names it */
  step_name: string;
  step_type: "trigger" | "action" | "condition" | "wait" | "goal" | null;
  step_order: number;
  entered: number;
  completed: number;
  dropped_off: number;
  goal_exits: number;
  in_progress: number;
  left_after: number;
  /** Percent with two decimals; null where nothing can be divided by */
  conversion_rate: number | null;
  /** Percent with two decimals; null where nothing can be divided by */
  drop_off_rate: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  average_time_seconds: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  median_time_seconds: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  p95_time_seconds: number | null;
  visits: number;
  /** Against as many days directly before */
  vs_previous_period: RateDifference;
  /** Against every cohort still kept as days and enrolled before the range's end; days know no contacts */
  vs_workflow_average: RateDifference;
};

export type Goal = {
  goal_id: string;
  type: string;
  name: string;
};

export type JobState = {
  name: string;
  run_by: "pg_cron" | "worker";
  every_seconds: number;
  /** Since it last went well; null: never */
  lag_seconds: number | null;
  /** Of the last round; null when it went well */
  last_error: string | null;
  runs: number;
  failures: number;
};

export type NewReport = {
  report_id: string;
  workflow_id: string;
  every: "week" | "month";
  hour: number;
  /** What is in the file */
  request: Record<string, unknown>;
  url: string;
  /** A user; null: a machine of the account */
  created_by: string | null;
  created_at: string;
  /** Null while it is disabled */
  due_at: string | null;
  /** Deliveries given up since the last that arrived */
  failures: number;
  disabled_at: string | null;
  disabled_reason: string | null;
  /** The newest first */
  deliveries: ({
    delivery_id: string;
    start_date: string;
    end_date: string;
    by_hand: boolean;
    status: "making" | "sending" | "delivered" | "failed";
    attempts: number;
    created_at: string;
    finished_at: string | null;
    next_attempt_at: string | null;
    /** Of the last attempt; null where nobody answered */
    http_status: number | null;
    /** Of the last attempt */
    error: string | null;
  })[];
  /** Signs what is sent; shown this once */
  secret: string;
};

export type NewShare = {
  share_id: string;
  workflow_id: string;
  name: string | null;
  range: ShareRange;
  tz: string;
  compare: "none" | "previous" | "year";
  has_password: boolean;
  frame_ancestors: (string)[];
  /** null: a machine, or nobody in particular */
  created_by: string | null;
  created_at: string;
  expires_at: string | null;
  /** The page. Shown once: it cannot be read again */
  url: string;
  /** The same for a frame, on the sites of frame_ancestors */
  embed_url: string;
};

export type Period = {
  start_date: string;
  end_date: string;
  /** The zone that was asked for */
  tz: string;
  /** The zone that was answered in */
  tz_effective: string;
  start: string;
  /** The first instant after the range */
  end: string;
  granularity: "hourly" | "daily" | "weekly" | "monthly";
  attribution: "cohort" | "event";
  unit: "execution" | "contact";
};

export type Preferences = {
  /** What days are days of on pages; null: the zone of the browser, else the account's */
  time_zone: string | null;
  theme: "system" | "light" | "dark";
  /** Shown where the address names no range */
  default_range: "today" | "7d" | "30d" | "90d" | "month" | "last_month";
};

/** A problem as of RFC 9457 */
export type Problem = {
  /** urn:weir:error: and the code */
  type: string;
  title: string;
  status: number;
  /** Stable: switch on it */
  code:
    | "invalid_request"
    | "invalid_json"
    | "incomplete_body"
    | "unauthenticated"
    | "insufficient_scope"
    | "cross_site_request"
    | "forbidden"
    | "link_expired"
    | "workflow_not_found"
    | "execution_not_found"
    | "export_not_found"
    | "share_not_found"
    | "not_found"
    | "method_not_allowed"
    | "export_not_done"
    | "shares_full"
    | "report_not_found"
    | "reports_full"
    | "export_gone"
    | "payload_too_large"
    | "unsupported_media_type"
    | "range_not_satisfiable"
    | "rate_limited"
    | "all_events_rejected"
    | "too_many_streams"
    | "exports_busy"
    | "exports_full"
    | "reports_busy"
    | "internal"
    | "identity_unavailable"
    | "unavailable"
    | "streams_full"
    | "overloaded"
    | "stopping"
    | "query_timeout";
  /** What is wrong in this case */
  detail?: string;
  /** Where the request is wrong */
  errors?: (FieldError)[];
};

export type Quality = {
  workflow_id: string;
  since: string;
  /** One of each kind, also where there was none */
  arrivals: ({
    kind:
      | "duplicate"
      | "conflict"
      | "late"
      | "future"
      | "too_old"
      | "invalid"
      | "conflicting_end";
    events: number;
    last_at: string | null;
    /** Examples of executions */
    executions: (string)[];
  })[];
  /** Steps that events name and no version defines; empty while nothing is defined */
  unknown_steps: ({
    step_id: string;
    entered: number;
    actions: number;
    /** Examples of executions */
    executions: (string)[];
  })[];
  /** Steps that nobody completed, and that executions ended in */
  never_completed: ({
    step_id: string;
    step_name: string | null;
    entered: number;
    left_open: number;
    /** Examples of executions */
    executions: (string)[];
  })[];
  /** Steps that were entered though no step before them in the definition was */
  forbidden_transitions: ({
    /** The step entered last before; null where it was the first */
    from_step_id: string | null;
    to_step_id: string;
    count: number;
    /** Examples of executions */
    executions: (string)[];
  })[];
  /** Of the newest executions, whose transitions were looked at */
  checked_executions: number;
};

/** Change in percentage points */
export type RateChange = {
  current: number | null;
  previous: number | null;
  change: number | null;
};

/** Percentage points of the rates as shown; null where either rate is */
export type RateDifference = {
  conversion_rate: number | null;
  drop_off_rate: number | null;
};

export type Readiness = {
  /** behind: events are accepted, and counted later than usual */
  status: "ready" | "behind";
  database: "ok";
  /** What somebody should look at */
  alerts: (string)[];
  /** Who keeps the beat of the jobs */
  scheduler: "pg_cron" | "worker";
  /** Age of the oldest event that is not counted; 0: none waits */
  fold_lag_seconds: number;
  /** Not counted yet; at most 100,000 are told */
  queued_events: number;
  jobs: (JobState)[];
  views: (ViewState)[];
};

export type RefreshQueued = {
  status: "queued";
  job_id: string;
  estimated_completion_seconds: number;
};

export type RefreshRequest = {
  job_id: string;
  status: "queued" | "running" | "done" | "failed";
  requested_at: string;
  started_at: string | null;
  finished_at: string | null;
  error: string | null;
};

export type ReportList = {
  reports: (ScheduledReport)[];
};

export type ReportOrder = {
  /** The week before, on Mondays; the month before, on first days */
  every: "week" | "month";
  /** Of the day, in the account's zone */
  hour?: number;
  format: "pdf" | "csv";
  granularity?: "hourly" | "daily" | "weekly" | "monthly";
  attribution?: "cohort" | "event";
  compare?: "none" | "previous" | "year";
  /** Takes the notice by POST; https, at a public address */
  url: string;
};

export type ScheduledReport = {
  report_id: string;
  workflow_id: string;
  every: "week" | "month";
  hour: number;
  /** What is in the file */
  request: Record<string, unknown>;
  url: string;
  /** A user; null: a machine of the account */
  created_by: string | null;
  created_at: string;
  /** Null while it is disabled */
  due_at: string | null;
  /** Deliveries given up since the last that arrived */
  failures: number;
  disabled_at: string | null;
  disabled_reason: string | null;
  /** The newest first */
  deliveries: ({
    delivery_id: string;
    start_date: string;
    end_date: string;
    by_hand: boolean;
    status: "making" | "sending" | "delivered" | "failed";
    attempts: number;
    created_at: string;
    finished_at: string | null;
    next_attempt_at: string | null;
    /** Of the last attempt; null where nobody answered */
    http_status: number | null;
    /** Of the last attempt */
    error: string | null;
  })[];
};

export type ShareDefinition = {
  /** Tells whoever looks after it what it is for; not shown on it */
  name?: string | null;
  range: ShareRange;
  /** IANA time zone; default: the account's */
  tz?: string;
  compare?: "none" | "previous" | "year";
  /** Asked of whoever opens it; kept as a slow hash */
  password?: string | null;
  /** Origins whose pages may show it in a frame; none by default */
  frame_ancestors?: (string)[];
  /** When it ends by itself; null: when it is revoked */
  expires_at?: string | null;
};

export type ShareLink = {
  share_id: string;
  workflow_id: string;
  name: string | null;
  range: ShareRange;
  tz: string;
  compare: "none" | "previous" | "year";
  has_password: boolean;
  frame_ancestors: (string)[];
  /** null: a machine, or nobody in particular */
  created_by: string | null;
  created_at: string;
  expires_at: string | null;
};

export type ShareList = {
  shares: (ShareLink)[];
};

export type ShareRange = {
  /** So many local dates, today included: it moves with the day */
  days: number;
} | {
  /** First local date of the range */
  start_date: string;
  /** Last local date of the range, included */
  end_date: string;
};

export type Step = {
  step_id: string;
  name: string;
  type: "trigger" | "action" | "condition" | "wait" | "goal";
  action_type?: string;
  /** Place in the funnel, ascending, no two the same */
  order: number;
  /** Steps that may follow: several make a branch, none an end */
  next?: (string)[];
};

/** With unit=contact a contact counts once in each number: it is enrolled, completed or converted, is active or in progress, left for a reason, came from a source or achieved a goal, if any of its executions that count did. So it may be in several rows of a list, and both completed and in progress; settled are those of whom nothing runs. Durations and times stay those of executions, each once. */
export type Summary = {
  total_enrolled: number;
  /** Running at the range's end, or now, whenever enrolled */
  currently_active: number;
  completed: number;
  /** Percent with two decimals; null where nothing can be divided by */
  completion_rate: number | null;
  goals_achieved: number;
  /** Percent with two decimals; null where nothing can be divided by */
  conversion_rate: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  average_duration_seconds: number | null;
  /** Two decimals */
  average_duration_hours: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  median_duration_seconds: number | null;
  /** Seconds with three decimals; null where nothing was measured */
  p95_duration_seconds: number | null;
  /** Of those enrolled in the range, in both attributions */
  in_progress: number;
  /** Enrolled in the range and ended */
  settled: number;
  /** Percent with two decimals; null where nothing can be divided by */
  settled_completion_rate: number | null;
  /** Percent with two decimals; null where nothing can be divided by */
  settled_conversion_rate: number | null;
  /** Enrolments per bucket that has begun, two decimals */
  enrollment_rate: number | null;
  enrollment_sources: ({
    source: "trigger" | "bulk" | "api" | "manual";
    count: number;
    /** Percent; those of a list sum to exactly 100 */
    share: number;
  })[];
  exit_reasons: ({
    reason: string;
    count: number;
    /** Percent; those of a list sum to exactly 100 */
    share: number;
  })[];
  goal_breakdown: ({
    goal_id: string;
    /** null where no version names it */
    goal_name: string | null;
    achieved: number;
    /** Percent with two decimals; null where nothing can be divided by */
    rate: number | null;
    /** Executions whose conversion it is */
    first: number;
  })[];
  time_to_conversion: {
    /** Seconds with three decimals; null where nothing was measured */
    average: number | null;
    /** Seconds with three decimals; null where nothing was measured */
    median: number | null;
    /** Seconds with three decimals; null where nothing was measured */
    p95: number | null;
    /** Seconds with three decimals; null where nothing was measured */
    fastest: number | null;
    /** Seconds with three decimals; null where nothing was measured */
    slowest: number | null;
  };
};

/** With unit=contact each number is of different contacts, so buckets do not add up to the summary. */
export type TrendPoint = {
  /** Local date the bucket begins on */
  date: string;
  /** Local: 2026-11-23, 2026-W48, 2026-11, or 2026-11-23T14:00+01:00 */
  label: string;
  start: string;
  end: string;
  /** What happened in the bucket, as the next 3 */
  new_enrollments: number;
  completions: number;
  conversions: number;
  /** Ended by leaving or an error */
  exits: number;
  /** What became of those enrolled in the bucket, as the next 2 */
  cohort_completed: number;
  cohort_converted: number;
  in_progress: number;
  /** Enrolled from the range's start to the bucket's end */
  total_enrolled: number;
  /** Running at the bucket's end, or now */
  currently_active: number;
};

export type ViewState = {
  name: string;
  /** Since the last refresh that went well began; null: never */
  age_seconds: number | null;
  refresh_seconds: number | null;
  rows: number | null;
  last_error: string | null;
};

export type Workflow = {
  workflow_id: string;
  /** null until it is registered */
  name: string | null;
  status: "draft" | "active" | "paused" | "archived";
  owner_id: string | null;
  conversion_window: string;
  goal_ends_execution: boolean;
  /** The newest registered version; null until it is registered */
  version: number | null;
  /** Of the newest version, in their order */
  steps: (Step)[];
  goals: (Goal)[];
  /** All of them, newest first */
  versions: (WorkflowVersion)[];
};

export type WorkflowDefinition = {
  name: string;
  status?: "draft" | "active" | "paused" | "archived";
  steps?: (Step)[];
  goals?: (Goal)[];
  /** How long after its enrolment an execution can convert: ISO 8601 duration of weeks, days, hours, minutes and seconds */
  conversion_window?: string;
  /** Whether achieving a goal ends the execution */
  goal_ends_execution?: boolean;
  /** The user who may see it besides the account's admins; a member's own by default */
  owner_id?: string | null;
};

export type WorkflowList = {
  as_of: string;
  workflows: (WorkflowListing)[];
  /** Ask with it for the next page; null on the last one */
  next_cursor: string | null;
};

export type WorkflowListing = {
  workflow_id: string;
  name: string | null;
  status: "draft" | "active" | "paused" | "archived";
  total_enrolled: number;
  currently_active: number;
  completed: number;
  /** Percent with two decimals; null where nothing can be divided by */
  completion_rate: number | null;
  goals_achieved: number;
  /** Percent with two decimals; null where nothing can be divided by */
  conversion_rate: number | null;
  /** Enrolled on each of the 30 days, oldest first */
  daily_enrollments: (number)[];
};

export type WorkflowVersion = {
  version: number;
  created_at: string;
  steps: (Step)[];
  goals: (Goal)[];
};

/** @returns A function for each operation. */
export function createClient(options: ClientOptions) {
  return {
    /** Report events */
    async sendEvents(body: Event | (Event)[]): Promise<EventReceipt> {
      return await (await send(options, "POST", `/api/v1/events`, {}, body))
        .json();
    },
    /** Register or change a workflow */
    async putWorkflow(id: string, body: WorkflowDefinition): Promise<Workflow> {
      return await (await send(
        options,
        "PUT",
        `/api/v1/workflows/${encodeURIComponent(id)}`,
        {},
        body,
      )).json();
    },
    /** Read a workflow's definition and versions */
    async readWorkflow(id: string): Promise<Workflow> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}`,
      )).json();
    },
    /** List workflows with their last 30 days */
    async listWorkflows(query: {
      /** Part of the name, in any case */
      search?: string;
      status?: "draft" | "active" | "paused" | "archived";
      /** By a number, at most 2,000 workflows may match. Rates of nobody come last */
      sort?:
        | "name"
        | "total_enrolled"
        | "currently_active"
        | "completion_rate"
        | "conversion_rate";
      /** Default: asc by name, desc by a number */
      order?: "asc" | "desc";
      limit?: number;
      /** next_cursor of the page before */
      cursor?: string;
    } = {}): Promise<WorkflowList> {
      return await (await send(options, "GET", `/api/v1/workflows`, query))
        .json();
    },
    /** Read the summary and the trends of a range */
    async readAnalytics(id: string, query: {
      /** First local date of the range */
      start_date: string;
      /** Last local date of the range, included */
      end_date: string;
      /** IANA time zone; default: the account's */
      tz?: string;
      /** Length of a bucket of the trends */
      granularity?: "hourly" | "daily" | "weekly" | "monthly";
      /** Whether a fact belongs to the day its execution was enrolled or to the day it happened */
      attribution?: "cohort" | "event";
      /** contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says */
      unit?: "execution" | "contact";
      /** As many days directly before, the same dates a year back, or those of compare_start and compare_end */
      compare?: "none" | "previous" | "year" | "custom";
      /** First date to compare with; with compare=custom alone */
      compare_start?: string;
      /** Last date to compare with, included; with compare=custom alone */
      compare_end?: string;
      /** Only executions enrolled in this version; default: all */
      version?: number;
    }): Promise<Analytics> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics`,
        query,
      )).json();
    },
    /** Read how a range's executions went through the steps */
    async readFunnel(id: string, query: {
      /** First local date of the range */
      start_date: string;
      /** Last local date of the range, included */
      end_date: string;
      /** IANA time zone; default: the account's */
      tz?: string;
      /** Length of a bucket of the trends */
      granularity?: "hourly" | "daily" | "weekly" | "monthly";
      /** Whether a fact belongs to the day its execution was enrolled or to the day it happened */
      attribution?: "cohort" | "event";
      /** contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says */
      unit?: "execution" | "contact";
      /** As many days directly before, the same dates a year back, or those of compare_start and compare_end */
      compare?: "none" | "previous" | "year" | "custom";
      /** First date to compare with; with compare=custom alone */
      compare_start?: string;
      /** Last date to compare with, included; with compare=custom alone */
      compare_end?: string;
      /** Only executions enrolled in this version; default: all */
      version?: number;
    }): Promise<Funnel> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics/funnel`,
        query,
      )).json();
    },
    /** Read how the actions of a range fared */
    async readActions(id: string, query: {
      /** First local date of the range */
      start_date: string;
      /** Last local date of the range, included */
      end_date: string;
      /** IANA time zone; default: the account's */
      tz?: string;
      /** Length of a bucket of the trends */
      granularity?: "hourly" | "daily" | "weekly" | "monthly";
      /** Whether a fact belongs to the day its execution was enrolled or to the day it happened */
      attribution?: "cohort" | "event";
      /** contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says */
      unit?: "execution" | "contact";
      /** As many days directly before, the same dates a year back, or those of compare_start and compare_end */
      compare?: "none" | "previous" | "year" | "custom";
      /** First date to compare with; with compare=custom alone */
      compare_start?: string;
      /** Last date to compare with, included; with compare=custom alone */
      compare_end?: string;
      /** Only executions enrolled in this version; default: all */
      version?: number;
    }): Promise<Actions> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics/actions`,
        query,
      )).json();
    },
    /** Bring a workflow up to date now */
    async requestRefresh(id: string): Promise<RefreshQueued> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics/refresh`,
      )).json();
    },
    /** Read what became of a refresh */
    async readRefresh(id: string, job_id: string): Promise<RefreshRequest> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics/refresh/${
          encodeURIComponent(job_id)
        }`,
      )).json();
    },
    /** Read what arrived as it should not */
    async readQuality(id: string, query: {
      days?: number;
    } = {}): Promise<Quality> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/quality`,
        query,
      )).json();
    },
    /** List the executions behind any number */
    async listExecutions(id: string, query: {
      /** First local date of the range */
      start_date?: string;
      /** Last local date of the range, included */
      end_date?: string;
      /** IANA time zone; default: the account's */
      tz?: string;
      /** Instead of dates: an instant, as a bucket of a trend begins with */
      start?: string;
      /** The first instant after the range */
      end?: string;
      /** cohort: the range is of the enrolment. event: of the end for status and reason, of the conversion for converted, of the goal for goal_id; where none of these is asked for, of the enrolment */
      attribution?: "cohort" | "event";
      /** Of the enrolment */
      version?: number;
      /** Of active, completed, goal_achieved, error, exited; several with commas */
      status?: string;
      /** Of trigger, bulk, api, manual; several with commas */
      source?: string;
      /** Why it ended; several with commas */
      reason?: string;
      converted?: "true" | "false";
      goal_id?: string;
      /** Achieved it at all, which is the default, or as its first one, which is the conversion */
      goal?: "achieved" | "first";
      step_id?: string;
      /** What became of the execution there; default: entered */
      step?:
        | "entered"
        | "completed"
        | "dropped_off"
        | "goal_exits"
        | "in_progress"
        | "left_after";
      /** Enrolled before this instant, or now, and not ended before it */
      running_at?: string;
      /** Begin of an execution's or contact's id, or words of an error or reason */
      text?: string;
      limit?: number;
      /** next_cursor of the page before */
      cursor?: string;
    } = {}): Promise<ExecutionList> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/executions`,
        query,
      )).json();
    },
    /** Read one execution with its steps, goals and events */
    async readExecution(
      id: string,
      execution_id: string,
    ): Promise<ExecutionDetail> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/executions/${
          encodeURIComponent(execution_id)
        }`,
      )).json();
    },
    /** Fetch numbers or executions as a file */
    async exportNow(id: string, query: {
      format: "csv" | "json" | "pdf";
      bom?: "true" | "false";
      /** The numbers of a range, or executions; default: buckets */
      rows?: "buckets" | "executions";
      /** First local date of the range */
      start_date?: string;
      /** Last local date of the range, included */
      end_date?: string;
      /** IANA time zone; default: the account's */
      tz?: string;
      /** Length of a bucket of the trends */
      granularity?: "hourly" | "daily" | "weekly" | "monthly";
      /** cohort: the range is of the enrolment. event: of the end for status and reason, of the conversion for converted, of the goal for goal_id; where none of these is asked for, of the enrolment */
      attribution?: "cohort" | "event";
      /** contact counts each contact once a number, above and below the line. The range must not begin more than 90 days ago. Actions are counted by execution whatever it says */
      unit?: "execution" | "contact";
      /** As many days directly before, the same dates a year back, or those of compare_start and compare_end */
      compare?: "none" | "previous" | "year" | "custom";
      /** First date to compare with; with compare=custom alone */
      compare_start?: string;
      /** Last date to compare with, included; with compare=custom alone */
      compare_end?: string;
      /** Of the enrolment */
      version?: number;
      /** Instead of dates: an instant, as a bucket of a trend begins with */
      start?: string;
      /** The first instant after the range */
      end?: string;
      /** Of active, completed, goal_achieved, error, exited; several with commas */
      status?: string;
      /** Of trigger, bulk, api, manual; several with commas */
      source?: string;
      /** Why it ended; several with commas */
      reason?: string;
      converted?: "true" | "false";
      goal_id?: string;
      /** Achieved it at all, which is the default, or as its first one, which is the conversion */
      goal?: "achieved" | "first";
      step_id?: string;
      /** What became of the execution there; default: entered */
      step?:
        | "entered"
        | "completed"
        | "dropped_off"
        | "goal_exits"
        | "in_progress"
        | "left_after";
      /** Enrolled before this instant, or now, and not ended before it */
      running_at?: string;
      /** Begin of an execution's or contact's id, or words of an error or reason */
      text?: string;
    }): Promise<Response> {
      return await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/analytics/export`,
        query,
      );
    },
    /** Have a file made */
    async requestExport(
      id: string,
      body: ExportParameters,
    ): Promise<ExportJob> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports`,
        {},
        body,
      )).json();
    },
    /** List the newest files of a workflow */
    async listExports(id: string): Promise<ExportList> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports`,
      )).json();
    },
    /** Read how far a file is */
    async readExport(id: string, job_id: string): Promise<ExportJob> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports/${
          encodeURIComponent(job_id)
        }`,
      )).json();
    },
    /** Give a file up that is not done */
    async cancelExport(id: string, job_id: string): Promise<ExportJob> {
      return await (await send(
        options,
        "DELETE",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports/${
          encodeURIComponent(job_id)
        }`,
      )).json();
    },
    /** Try again what failed or was given up */
    async retryExport(id: string, job_id: string): Promise<ExportJob> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports/${
          encodeURIComponent(job_id)
        }/retry`,
      )).json();
    },
    /** Fetch a file, or a part of it */
    async downloadExport(id: string, job_id: string, query: {
      signature?: string;
    } = {}): Promise<Response> {
      return await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/exports/${
          encodeURIComponent(job_id)
        }/download`,
        query,
      );
    },
    /** Open a link by which anybody sees the numbers */
    async createShare(id: string, body: ShareDefinition): Promise<NewShare> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/shares`,
        {},
        body,
      )).json();
    },
    /** List the links of a workflow */
    async listShares(id: string): Promise<ShareList> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/shares`,
      )).json();
    },
    /** Revoke a link */
    async revokeShare(id: string, share_id: string): Promise<ShareLink> {
      return await (await send(
        options,
        "DELETE",
        `/api/v1/workflows/${encodeURIComponent(id)}/shares/${
          encodeURIComponent(share_id)
        }`,
      )).json();
    },
    /** Have a report sent to a webhook every week or month */
    async addReport(id: string, body: ReportOrder): Promise<NewReport> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/reports`,
        {},
        body,
      )).json();
    },
    /** List the scheduled reports of a workflow, and what became of each */
    async listReports(id: string): Promise<ReportList> {
      return await (await send(
        options,
        "GET",
        `/api/v1/workflows/${encodeURIComponent(id)}/reports`,
      )).json();
    },
    /** Send the last period of a report now */
    async sendReport(id: string, report_id: string): Promise<ScheduledReport> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/reports/${
          encodeURIComponent(report_id)
        }/send`,
      )).json();
    },
    /** Send a report again that was disabled after failures */
    async enableReport(
      id: string,
      report_id: string,
    ): Promise<ScheduledReport> {
      return await (await send(
        options,
        "POST",
        `/api/v1/workflows/${encodeURIComponent(id)}/reports/${
          encodeURIComponent(report_id)
        }/enable`,
      )).json();
    },
    /** Send a report no more */
    async removeReport(id: string, report_id: string): Promise<Response> {
      return await send(
        options,
        "DELETE",
        `/api/v1/workflows/${encodeURIComponent(id)}/reports/${
          encodeURIComponent(report_id)
        }`,
      );
    },
    /** Erase a contact everywhere, changing no number */
    async eraseContact(contact_id: string): Promise<ErasedContact> {
      return await (await send(
        options,
        "DELETE",
        `/api/v1/contacts/${encodeURIComponent(contact_id)}`,
      )).json();
    },
    /** Read what whoever asks prefers */
    async readPreferences(): Promise<Preferences> {
      return await (await send(options, "GET", `/api/v1/me/preferences`))
        .json();
    },
    /** Choose what is preferred */
    async writePreferences(body: Preferences): Promise<Preferences> {
      return await (await send(
        options,
        "PUT",
        `/api/v1/me/preferences`,
        {},
        body,
      )).json();
    },
    /** Read who read and exported what */
    async readAccessLog(query: {
      user_id?: string;
      action?: string;
      workflow_id?: string;
      since?: string;
      until?: string;
      limit?: number;
      cursor?: string;
    } = {}): Promise<AccessLogPage> {
      return await (await send(options, "GET", `/api/v1/access-log`, query))
        .json();
    },
    /** Ask whether the process lives */
    async readHealth(): Promise<{
      status: "ok";
    }> {
      return await (await send(options, "GET", `/healthz`)).json();
    },
    /** Ask whether the process can work, and how its jobs are doing */
    async readReadiness(): Promise<Readiness> {
      return await (await send(options, "GET", `/readyz`)).json();
    },
    /** Read counters and gauges for Prometheus */
    async readMetrics(): Promise<string> {
      return await (await send(options, "GET", `/metrics`)).text();
    },
  };
}
