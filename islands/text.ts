/**
 * Everything the pages say. A language is this file and `LOCALE` in `format.ts`.
 *
 * @module
 */

import type { Granularity } from "../db/schema.ts";
import {
  formatAny,
  formatCount,
  formatInstant,
  formatPoints,
  formatWord,
  plural,
} from "./format.ts";

const BUCKETS = {
  hourly: "hour",
  daily: "day",
  weekly: "week",
  monthly: "month",
};

/** Words that the browser needs too; each weighs on the first visit. */
export const TEXT = {
  status: {
    draft: "Draft",
    active: "Active",
    paused: "Paused",
    archived: "Archived",
  },

  unnamed: (id: string) => `Unnamed workflow ${id.slice(0, 8)}`,

  dashboard: {
    asOf: "as of",
    comparedWith: (range: string) => `compared with ${range}`,
    loading: "Loading",
    links: "This workflow",
    executions: "Executions",
    exports: "Export",
    share: "Share",
    invalidRange: (message: string) =>
      `This view could not be read (${message}). The last 30 days are shown instead.`,
    zoneReplaced: (asked: string, effective: string) =>
      `Days this old are kept in the account’s time zone only: shown in ${effective} instead of ${asked}.`,
    headline: "Headline numbers",
  },

  live: {
    connecting: "Connecting",
    live: "Live",
    reconnecting: "Reconnecting: these numbers may be old",
    polling: "No live connection: updated every 30 seconds",
    paused: "Paused",
    reasons: {
      unauthenticated: "Signed out: reload the page to go on",
      not_readable: "No longer live: reload the page to go on",
    },
  },

  controls: {
    title: "What is shown",
    range: "Change the range",
    presets: {
      today: "Today",
      "7d": "Last 7 days",
      "30d": "Last 30 days",
      "90d": "Last 90 days",
      month: "This month",
      last_month: "Last month",
    },
    custom: "Custom",
    from: "From",
    to: "To",
    apply: "Apply",
    earlier: "Earlier",
    later: "Later",
    compare: "Compare",
    compares: {
      previous: "Previous period",
      year: "A year before",
      none: "Nothing",
      custom: "Other dates",
    },
    granularity: "By",
    bucket: (granularity: Granularity) => formatWord(BUCKETS[granularity]),
    automatic: (granularity: Granularity) =>
      `${formatWord(BUCKETS[granularity])} (auto)`,
    zone: "Time zone",
    otherZones: "All time zones",
    version: "Version",
    allVersions: "All",
    versionNumber: (version: string) => `Version ${version}`,
    attribution: "Count by",
    attributions: { cohort: "Enrolment", event: "Event" },
    attributionExplained: {
      cohort:
        "Counted by enrolment: what became of those enrolled in this range, whenever it happened.",
      event:
        "Counted by event: what happened in this range, whenever those were enrolled.",
    },
  },

  cards: {
    enrolled: "Enrolled",
    perBucket: (rate: string, granularity: Granularity) =>
      `${rate} per ${BUCKETS[granularity]}`,
    activeNow: "Active now",
    activeThen: (date: string) => `Active at the end of ${date}`,
    inProgress: (count: number) =>
      `${formatCount(count)} of this range still in progress`,
    completed: "Completed",
    medianDuration: (duration: string) => `Median ${duration} from enrolment`,
    noDuration: "None has completed yet",
    conversions: "Conversions",
    medianConversion: (duration: string) => `Median ${duration} to convert`,
    noConversion: "None has converted yet",
    ofEnrolled: "of enrolled",
    ofSettled: (rate: string) => `${rate} of those who have ended`,
    arrows: { up: "▲", down: "▼", same: "=" },
    counts: { more: "more", fewer: "fewer", same: "as before" },
    was: (before: string) => `was ${before}`,
    atEndOf: (before: string, when: string) => `${before} (${when})`,
    notCompared: "Nothing to compare with",
    rateShift: (points: number) =>
      `The rate is ${formatPoints(points)} percentage points ${
        points < 0 ? "lower" : "higher"
      }.`,
  },

  trend: {
    title: (granularity: Granularity) =>
      formatWord(`${BUCKETS[granularity]} by ${BUCKETS[granularity]}`),
    metrics: {
      new_enrollments: "Enrolled",
      completions: "Completed",
      conversions: "Converted",
      currently_active: "Active",
    },
    wholeRange: "Whole range",
    past: (range: string) => `Thin: ${range}`,
    before: (count: string) => `before ${count}`,
    unfinished: (granularity: Granularity) =>
      `Dashed: this ${BUCKETS[granularity]}, not over yet`,
    zoom: "Drag to zoom",
    soFar: "so far",
    date: "Date",
    table: "Show the numbers as a table",
    tableLabel: "Numbers of each bucket",
    chart: (metric: string, zooms: boolean) =>
      `${metric}, chart. Arrow keys move, Escape leaves${
        zooms ? "; with Shift they mark a range, Enter zooms into it" : ""
      }.`,
    summary: (
      totals: {
        new_enrollments: number;
        completions: number;
        conversions: number;
        currently_active: number;
      },
      buckets: number,
      granularity: Granularity,
    ) =>
      `${formatCount(totals.new_enrollments)} enrolled, ${
        formatCount(totals.completions)
      } completed and ${formatCount(totals.conversions)} converted in ${
        formatCount(buckets)
      } ${
        plural(buckets, BUCKETS[granularity], `${BUCKETS[granularity]}s`)
      }, each counted when it happened; ${
        formatCount(totals.currently_active)
      } ${plural(totals.currently_active, "is", "are")} active at its end.`,
    empty: "This range has not begun yet.",
  },

  funnel: {
    title: "Funnel",
    caption:
      "Steps of the workflow: of those enrolled in this range, how many entered each step and what became of them there",
    step: "Step",
    entered: "Entered",
    fates: {
      completed: "Completed",
      goal_exits: "Left by goal",
      in_progress: "In progress",
      dropped_off: "Dropped off",
    },
    time: "Mean time",
    median: (duration: string) => `median ${duration}`,
    visits: (count: number) =>
      `${formatCount(count)} ${plural(count, "visit", "visits")}`,
    leftAfter: (count: number) => `+ ${formatCount(count)} left after it`,
    bottleneck: "Bottleneck",
    slowest: "Slowest",
    types: {
      trigger: "Trigger",
      action: "Action",
      condition: "Condition",
      wait: "Wait",
      goal: "Goal",
    },
    unknownType: "Not in the definition",
    overall: (rate: string) => `${rate} of those enrolled complete.`,
    lost: (dropped: string, entered: string, rate: string) =>
      `${dropped} of the ${entered} who enter it drop off (${rate}), and`,
    stuck: (count: number) => `${plural(count, "is", "are")} in it now.`,
    points: {
      up: "percentage points more than in the period before",
      down: "percentage points fewer than in the period before",
    },
    pointsShort: "pts",
    mostLostAt: "Most are lost at",
    nobody: "Nobody was enrolled in this range.",
    emptyTitle: "No steps yet",
    empty:
      "Register the workflow’s steps, and send step.entered and step.completed events.",
  },

  lists: {
    reasons: "How they ended",
    reasonsEmpty: "Nobody has ended yet.",
    sources: "How they came in",
    sourcesEmpty: "Nobody was enrolled in this range.",
    goals: "Goals",
    goalsEmpty: "No goal was achieved in this range.",
    goalFirst: (count: number) => `${formatCount(count)} as first`,
    share: "Share",
    count: "Count",
    reason: "Reason",
    source: "Source",
    goal: "Goal",
    sourceNames: {
      trigger: "Trigger",
      bulk: "Bulk",
      api: "API",
      manual: "Manual",
    } as Record<string, string>,
  },

  times: {
    title: "Time to convert",
    lead: (median: string, p95: string) =>
      `Half within ${median}, 95% within ${p95}.`,
    column: "From enrolment to conversion",
    empty: "Nobody has converted yet.",
    under: (to: string) => `Under ${to}`,
    between: (from: string, to: string) => `${from} – ${to}`,
    over: (from: string) => `${from} and more`,
  },

  actions: {
    title: "Actions",
    lead: "By the time they ran, worst first.",
    action: "Action",
    columns: {
      health: "Health",
      executions: "Runs",
      success: "Success",
      failures: "Failed",
      mean: "Mean",
      p50: "p50",
      p95: "p95",
      p99: "p99",
    },
    pages: "Pages of actions",
    before: "Previous",
    after: "Next",
    shown: (first: number, last: number, all: number) =>
      `${formatCount(first)}–${formatCount(Math.min(last, all))} of ${
        formatCount(all)
      }`,
    levels: {
      error: "Error",
      warning: "Warning",
      slow: "Slow",
      ok: "OK",
    },
    tableLabel: "Numbers of each action",
    empty: "No action ran in this range.",
  },
} as const;

/** Words that only the server writes. */
export const PAGE_TEXT = {
  quality: {
    title: "Data quality",
    lead: "Of the events of the last 30 days, by when they arrived.",
    tableLabel: "What was noticed about the events",
    finding: "Noticed",
    count: "How often",
    examples: "For example the executions",
    good: "Nothing was noticed.",
    arrivals: {
      duplicate: "The same event again. Harmless",
      conflict: "Another event under an id that was used. Refused",
      late: "More than an hour late. Counted where it belongs",
      future: "More than 5 minutes ahead of our clock. Refused",
      too_old: "More than 90 days old. Refused",
      invalid: "Not an event by its form. Refused",
      conflicting_end: "An end after the execution had ended. Ignored",
    },
    unknownStep: (step: string) => `Step ${step} is in no definition`,
    neverCompleted: (step: string) =>
      `“${step}” was entered and never completed, and executions ended in it`,
    forbidden: (from: string | null, to: string) =>
      from === null
        ? `Begins with ${to}, which has steps before it`
        : `From ${from} to ${to}, where the definition leads elsewhere`,
  },

  first: {
    title: "Waiting for the first event",
    lead:
      "Send an event from a terminal. It counts within seconds, and this page shows it.",
    key: "Make a key for this account",
    event: "Enrol somebody",
  },

  quiet: {
    title: "Nothing happened in this range",
    lead: "The last time anything did was in",
  },

  product: "Weir",
  description: "What becomes of those who enter your workflows, as it happens.",
  skipToContent: "Skip to content",

  site: {
    workflows: "Workflows",
    navigation: "Site",
    account: "Account",
    signOut: "Sign out",
    theme: "Theme",
    themes: { system: "System", light: "Light", dark: "Dark" },
  },

  preferences: {
    title: "Preferences",
    lead: "Yours alone, wherever you sign in.",
    saved: "Saved.",
    browserZone: (zone: string | null) =>
      zone === null ? "As this browser is" : `As this browser is (${zone})`,
    zoneNote: (zone: string) =>
      `What days are days of, where an address does not say. The account’s is ${zone}.`,
    theme: "Theme",
    range: "Range",
    rangeNote: "What a workflow’s page shows first.",
    save: "Save",
  },

  overview: {
    title: "Workflows",
    lead: (days: number) =>
      `The last ${days} days, cohort by cohort: what became of those who were enrolled in them.`,
    search: "Search by name",
    status: "Status",
    anyStatus: "Any status",
    submit: "Apply",
    sort: "Sort by",
    sorts: {
      name: "Workflow",
      total_enrolled: "Enrolled",
      currently_active: "Active now",
      completion_rate: "Completed",
      conversion_rate: "Conversions",
    },
    letters: { asc: "A to Z", desc: "Z to A" },
    numbers: { asc: "least first", desc: "most first" },
    tooMany: (most: number) =>
      `More than ${
        formatCount(most)
      } workflows match, too many to sort by a number: they come by name. A search or a status narrows the list.`,
    daily: "Enrolled a day",
    dailySentence: (least: number, most: number, last: number) =>
      `From ${formatCount(least)} to ${formatCount(most)} a day, ${
        formatCount(last)
      } today`,
    next: "Next page",
    first: "First page",
    pages: "Pages",
    asOf: "As of",
    nothingFound: "No workflow matches this search.",
    clear: "Show all workflows",
    emptyTitle: "No workflow yet",
    emptyLead:
      "Make a key for this account, then register a workflow. Its events may come before or after: nothing is lost.",
    emptyKey: "1. Make a key that may register workflows and send events",
    emptyWorkflow: "2. Register a workflow",
    emptyEvent: "3. Send its first event",
    memberEmptyLead:
      "You see the workflows you own, and none is yours yet. An admin of this account can make you the owner of one.",
  },

  executions: {
    title: "Executions",
    crumbs: "Way back",
    filters: "Shown are only executions that",
    drop: (filter: string) => `Remove the filter: ${filter}`,
    enrolled: (range: string) => `Enrolled ${range}`,
    happened: (range: string) => `Happened ${range}`,
    outcomes: {
      entered: (step: string) => `Entered ${step}`,
      completed: (step: string) => `Completed ${step}`,
      dropped_off: (step: string) => `Dropped off at ${step}`,
      goal_exits: (step: string) => `Left ${step} by goal`,
      in_progress: (step: string) => `In progress at ${step}`,
      left_after: (step: string) => `Left after ${step}`,
    },
    achieved: (goal: string) => `Achieved ${goal}`,
    cameBy: (source: string) => `Came in by ${source}`,
    either: (names: string[]) => formatAny(names),
    converted: { true: "Converted", false: "Not converted" },
    running: (instant: string) =>
      `Running at ${formatInstant(instant, "UTC")} UTC`,
    invalid: (message: string) =>
      `This filter could not be read (${message}). All executions are shown instead.`,
    search: "Contact, execution, or words of an error",
    kept: "An execution can be seen until 90 days after it ended.",
    nothingFound: "No execution is like this.",
    clear: "Show all executions",
    tableLabel: "Executions, newest enrolment first",
    contact: "Contact",
    nobody: "Not known yet",
    status: "Status",
    where: "Is at, or was",
    source: "Source",
    enrolledAt: "Enrolled",
    endedAt: "Ended",
    took: "Took",
    notEnrolled: "Not enrolled yet",
    statuses: {
      active: "Active",
      completed: "Completed",
      goal_achieved: "Goal achieved",
      error: "Error",
      exited: "Exited",
    },
    timeline: "What happened",
    events: (count: number) =>
      `${formatCount(count)} ${plural(count, "event", "events")}.`,
    firstEvents: (shown: number, count: number) =>
      `The first ${formatCount(shown)} of ${formatCount(count)} events.`,
    types: {
      "execution.enrolled": "Enrolled",
      "step.entered": "Entered",
      "step.completed": "Completed",
      "action.executed": "Ran",
      "goal.achieved": "Achieved",
      "execution.completed": "Completed as a whole",
      "execution.exited": "Left",
      "execution.failed": "Failed",
    },
    results: { succeeded: "Succeeded", failed: "Failed" },
    steps: "Time in each step",
    noSteps: "It has entered no step yet.",
    visits: (count: string) => `${count} visits`,
    open: "Still in it",
    leftOpen: "Ended in it",
  },

  exports: {
    title: "Exports",
    menu: "Export",
    more: "All exports",
    make: "Make a file",
    lead:
      "A file is made while you do something else, and kept here for a day. Nothing is downloaded unless you say so.",
    what: "What",
    kindLeads: {
      report:
        "Summary with comparison, funnel, trends, actions and exit reasons, to print or to forward",
      numbers_csv: "A line a day, hour, week or month",
      numbers_json: "Everything that the page shows, as the API answers it",
      executions_csv: "A line an execution, as many as there are",
      executions_json: "An object an execution",
    },
    bom: "Begin CSV with a mark that tells Excel of UTF-8",
    zone: (zone: string) => `Days are days in ${zone}.`,
    filter: "Only executions that match",
    submit: "Make it",
    refresh: "Show how far they are",
    problems: {
      exports_busy:
        "This account has as many files under way as it may. Wait for one of them, or give one up.",
      exports_full:
        "This account keeps as many bytes as it may. The oldest files go first: try again later.",
    },
    invalid: (message: string) => `This could not be asked for (${message}).`,
  },

  shares: {
    title: "Share",
    lead:
      "A link shows this workflow’s numbers to whoever has it: no account, no executions, no contacts.",
    new: "New link",
    open: "Open links",
    none: "No link is open. Nobody outside sees these numbers.",
    fields: {
      name: "Name",
      range: "Range",
      tz: "Zone",
      compare: "Compare with",
      expires_at: "Ends",
      password: "Password",
      frame_ancestors: "Sites that may show it in a frame",
    },
    nameNote: "For those who look after it; the page does not show it.",
    rolling: "Moves with the day",
    days: "How far back",
    lastDays: (days: number) => `Last ${formatCount(days)} days`,
    fixed: "Stays as it is",
    ends: (days: number) =>
      days === 0
        ? "When revoked"
        : `After ${formatCount(days)} ${plural(days, "day", "days")}`,
    passwordNote: "Optional. At least 8 characters; edge caches keep nothing.",
    framesNote: "Optional. One a line, as https://status.example.com.",
    submit: "Open the link",
    made: "The link is open",
    once:
      "Copy it now: only its fingerprint is kept, so it cannot be shown again.",
    embed: "For a page of yours",
    look: "Look at it",
    unnamed: "Without a name",
    expired: "Expired",
    locked: "Password",
    created: (instant: string, by: string | null) =>
      by === null ? `Since ${instant}.` : `Since ${instant}, by ${by}.`,
    until: (instant: string) => `Ends ${instant}.`,
    framedBy: (origins: readonly string[]) =>
      `In frames of ${origins.join(", ")}`,
    revoke: "Revoke",
    full: "This workflow has as many open links as it may. Revoke one first.",
    invalid: (field: string, message: string) =>
      `The link could not be opened (${field}: ${message}).`,
  },

  shared: {
    gone: "This link opens nothing",
    goneLead:
      "It may be mistyped, or whoever sent it has ended it. Ask them for a new one.",
    title: "This page has a password",
    lead: "Whoever sent you the link can tell you what it is.",
    password: "Password",
    open: "Open",
    wrong: "That is not the password.",
    empty: "Nothing has happened in this range yet.",
  },

  schedule: {
    title: "By schedule",
    lead:
      "A report of each week or month, told to a webhook with a link to the file and a signature.",
    secret:
      "What is sent is signed with this secret, which is shown this once:",
    what: (kind: string, every: string) =>
      `${kind}, ${every[0]!.toLowerCase()}${every.slice(1)}`,
    every: { week: "Every Monday", month: "Every first of the month" },
    granularities: {
      hourly: "By hour",
      daily: "By day",
      weekly: "By week",
      monthly: "By month",
    },
    enabled: "On",
    disabled: "Off",
    next: (instant: string) => `next on ${instant}`,
    deliveries: "The newest deliveries",
    statuses: {
      making: "the file is being made",
      sending: "on its way",
      delivered: "arrived",
      failed: "given up",
    },
    send: "Send now",
    enable: "Turn on",
    remove: "Remove",
    add: "Add one",
    when: "When",
    hour: "Hour",
    url: "Webhook",
    submit: "Add it",
    problems: {
      reports_full:
        "This account has as many reports by schedule as it may. Remove one first.",
      reports_busy:
        "This report is being sent several times already. Wait for one of them.",
    },
  },

  signIn: {
    title: "Sign in",
    lead:
      "Weir has no passwords. An admin of your account makes a link that signs you in once.",
    command: "On the machine that runs Weir, this prints one:",
    offerTitle: "Sign in to Weir",
    account: "Account",
    as: "As",
    roles: { admin: "Admin", member: "Member" },
    button: "Sign in",
    fine: (days: number) =>
      `The link works once. This browser then stays signed in for ${days} days.`,
    linkUsedTitle: "This link does not work any more",
    linkUsed:
      "It was used before, or it is too old. Each link signs in once: ask for a new one.",
  },

  errors: {
    home: "Back to the workflows",
    forbidden: {
      title: "This workflow is not yours to see",
      lead:
        "Its owner and the admins of the account can. Ask one of them to make you its owner.",
    },
    notFound: {
      title: "There is nothing here",
      lead:
        "The address may be mistyped, or the workflow belongs to another account.",
    },
    signedOut: {
      title: "You are signed out",
      lead: "Nothing was done. Sign in, then do it again.",
    },
    refused: {
      title: "This address cannot be read",
      lead:
        "A part of it is not what we expect. Start again from the workflows.",
    },
    failed: {
      title: "Something broke on our side",
      lead: "Your data is safe, and the error is in the log. Try again.",
    },
  },
} as const;

/** Words of the page of exports, in the browser too. */
export const EXPORTS_TEXT = {
  kinds: {
    report: "Report as PDF",
    numbers_csv: "Numbers as CSV",
    numbers_json: "Numbers as JSON",
    executions_csv: "Executions as CSV",
    executions_json: "Executions as JSON",
  },
  filesTitle: "Files",
  none: "Nobody has asked for a file yet.",
  allTime: "All time",
  statuses: {
    queued: "Waiting",
    running: "In progress",
    done: "Done",
    failed: "Failed",
    cancelled: "Given up",
  },
  expired: "Expired",
  by: (user: string) => `by ${user}`,
  percent: (percent: number) => `${percent}%`,
  retrying: (reason: string) => `It will be tried again. ${reason}`,
  download: "Download",
  rows: (rows: number) => `${formatCount(rows)} ${plural(rows, "row", "rows")}`,
  until: (instant: string) => `Kept until ${instant}`,
  digest: "SHA-256",
  again: "Again",
  giveUp: "Give up",
  lost: "The connection is lost. Reload the page to see how it stands.",
} as const;

/** What the printed report says. */
export const REPORT_TEXT = {
  account: "Account",
  range: "Range",
  zone: "Time zone",
  counted: "Counted by",
  attributions: { cohort: "enrolment", event: "event" },
  units: { execution: "executions", contact: "contacts" },
  version: (version: number) => `version ${version} only`,
  generated: "Generated",
  asOf: "Numbers of",
  revision: (revision: number) => `revision ${revision}`,
  summary: "Summary",
  compared: (range: string) => `Compared with ${range}.`,
  number: "Number",
  current: "This range",
  previous: "Before",
  change: "Change",
  points: "points",
  numbers: {
    total_enrolled: "Enrolled",
    currently_active: "Active at the end of the range, or now",
    in_progress: "In progress, of those enrolled",
    completed: "Completed",
    completion_rate: "Completion rate",
    settled_completion_rate: "Completion rate of those who have ended",
    goals_achieved: "Converted",
    conversion_rate: "Conversion rate",
    settled_conversion_rate: "Conversion rate of those who have ended",
    average_duration_seconds: "Mean time to completion",
    average_duration_hours: "The same in hours",
    median_duration_seconds: "Median time to completion",
    p95_duration_seconds: "95 % completed within",
    average_conversion: "Mean time to conversion",
    median_conversion: "Median time to conversion",
    p95_conversion: "95 % converted within",
    fastest_conversion: "Fastest conversion",
    slowest_conversion: "Slowest conversion",
    enrollment_rate: "Enrolled per bucket that has begun",
  },
  sources: "Sources",
  source: "Source",
  goals: "Goals",
  goal: "Goal",
  achieved: "Achieved",
  first: "Converted",
  rate: "Rate",
  count: "Count",
  share: "Share",
  overall: (rate: string) => `${rate} of those enrolled have completed.`,
  nobody: "Nobody was enrolled in this range.",
  lostAt: "Most were lost at",
  funnel: "Funnel",
  step: "Step",
  entered: "Entered",
  fates: {
    completed: "Completed",
    goal_exits: "Goal exits",
    in_progress: "In progress",
    dropped_off: "Dropped off",
  },
  leftAfter: "Left after",
  visits: "Visits",
  times: "Mean time in step",
  median: "median",
  differences:
    "Steps beside the range before, and beside all cohorts, in points",
  completedBefore: "Completed, to before",
  droppedBefore: "Dropped off, to before",
  completedEver: "Completed, to all",
  droppedEver: "Dropped off, to all",
  p95Time: "95 % within",
  trends: "Trends",
  buckets: {
    hourly: "Hour",
    daily: "Day",
    weekly: "Week",
    monthly: "Month",
  },
  trend: {
    new_enrollments: "Enrolled",
    completions: "Completed",
    conversions: "Converted",
    exits: "Exits",
    cohort_completed: "Cohort completed",
    cohort_converted: "Cohort converted",
    in_progress: "In progress",
    total_enrolled: "Enrolled in all",
    currently_active: "Active at its end",
  },
  chart: "Lines of the table below",
  upTo: (most: string) => `The upper line is ${most}`,
  actions: "Actions",
  action: "Action",
  executions: "Runs",
  failures: "Failures",
  success: "Success",
  average: "Mean",
  health: "Health",
  exits: "Exit reasons",
  reason: "Reason",
  none: "None",
} as const;
