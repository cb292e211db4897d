/**
 * Everything the pages say. A language is this file and `LOCALE` in `format.ts`.
 *
 * @module
 */

import { formatCount, plural } from "./format.ts";

/** The pages' words, by place. */
export const TEXT = {
  product: "Weir",
  skipToContent: "Skip to content",

  site: {
    workflows: "Workflows",
    navigation: "Site",
    account: "Account",
    signOut: "Sign out",
  },

  status: {
    draft: "Draft",
    active: "Active",
    paused: "Paused",
    archived: "Archived",
  },

  unnamed: (id: string) => `Unnamed workflow ${id.slice(0, 8)}`,

  overview: {
    title: "Workflows",
    lead: (days: number) =>
      `The last ${days} days, cohort by cohort: what became of those who were enrolled in them.`,
    search: "Search by name",
    status: "Status",
    anyStatus: "Any status",
    submit: "Search",
    workflow: "Workflow",
    enrolled: "Enrolled",
    active: "Active now",
    completed: "Completed",
    conversions: "Conversions",
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

  dashboard: {
    range: "Range",
    presets: {
      1: "Today",
      7: "7 days",
      30: "30 days",
      90: "90 days",
    },
    from: "From",
    to: "To",
    apply: "Apply",
    asOf: "as of",
    attribution: "Count by",
    attributions: { cohort: "Enrolment", event: "Event" },
    attributionExplained: {
      cohort:
        "What became of those enrolled in this range, whenever it happened.",
      event: "What happened in this range, whenever those were enrolled.",
    },
    invalidRange: (message: string) =>
      `This range could not be read (${message}). The last 30 days are shown instead.`,
    zoneReplaced: (asked: string, effective: string) =>
      `Days this old are kept in the account’s time zone only: shown in ${effective} instead of ${asked}.`,
    headline: "Headline numbers",
  },

  cards: {
    enrolled: "Enrolled",
    perDay: (rate: string) => `${rate} a day`,
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
  },

  trend: {
    title: "Day by day",
    lead: "What happened on each day.",
    metrics: {
      new_enrollments: "Enrolled",
      completions: "Completed",
      conversions: "Converted",
    },
    wholeRange: "Whole range",
    unfinished: "The dashed end is today, which is not over yet.",
    soFar: "so far",
    date: "Date",
    table: "Show the numbers as a table",
    tableLabel: "Numbers of each day",
    chart:
      "Chart. Use the arrow keys to move from day to day, Escape to leave.",
    summary: (
      { enrolled, completed, converted, days }: {
        enrolled: number;
        completed: number;
        converted: number;
        days: number;
      },
    ) =>
      `${formatCount(enrolled)} enrolled, ${
        formatCount(completed)
      } completed and ${formatCount(converted)} converted in ${
        formatCount(days)
      } ${plural(days, "day", "days")}.`,
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
      `${dropped} of the ${entered} who enter it drop off (${rate}).`,
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

  actions: {
    title: "Actions",
    lead: "By the time they ran, worst first.",
    action: "Action",
    health: "Health",
    executions: "Runs",
    failures: "Failed",
    success: "Success",
    mean: "Mean",
    p50: "p50",
    p95: "p95",
    p99: "p99",
    levels: {
      error: "Error",
      warning: "Warning",
      slow: "Slow",
      ok: "OK",
    },
    tableLabel: "Numbers of each action",
    empty: "No action ran in this range.",
  },

  first: {
    title: "Waiting for the first event",
    lead:
      "Send an event from a terminal, then reload this page. It counts within seconds.",
    key: "Make a key for this account",
    event: "Enrol somebody",
    otherRange: "Nothing happened in this range.",
    widen: "Show the last 90 days",
  },

  signIn: {
    title: "Sign in",
    lead:
      "Weir has no passwords. An admin of your account makes a link that signs you in once.",
    command: "On the machine that runs Weir, this prints one:",
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
