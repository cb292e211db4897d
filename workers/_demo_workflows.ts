/**
 * The two businesses of the demo: who they are and what they automate. Shapes and
 * chances only; `_journey.ts` puts contacts through them.
 *
 * @module
 */

import { type Goal, type Step, WorkflowDefinition } from "../db/schema.ts";
import { uuidOfWords } from "./_random.ts";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How an action behaves, and how its provider does on bad days. */
export interface DemoAction {
  /** Half of the calls take less, ms. */
  medianMs: number;
  /** Standard deviation of the logarithm of the duration. */
  spread: number;
  /** Share of calls that fail on a usual day. */
  failureShare: number;
  /** Days of every four weeks, from 0, on which the provider is down, and how much. */
  outage?: { fromDay: number; days: number; failureShare: number };
  /** What the provider says when it fails. */
  error: string;
  /** Whether an execution ends when all tries failed; else it goes on without. */
  isFatal: boolean;
}

/** One node: how long contacts stay, and what becomes of them. */
export interface DemoStep {
  key: string;
  name: string;
  type: Step["type"];
  actionType?: string;
  /** Half of the stays are shorter, seconds. */
  staySeconds: number;
  /** Standard deviation of the logarithm of the stay. */
  spread: number;
  action?: DemoAction;
  /** Share that exits while in the step, and why, by weight. */
  leaves?: { share: number; reasons: [string, number][] };
  /** Share that achieves a goal while in the step. */
  converts?: { share: number; goal: string };
  /** The goal that entering this step achieves. */
  achieves?: string;
  /** Where to next, by weight; `null` is the end. `isWon`: likelier from good sources. */
  next: { to: string | null; weight: number; isWon?: boolean }[];
}

/** One automation of a demo account. */
export interface DemoWorkflow {
  key: string;
  name: string;
  status: WorkflowDefinition["status"];
  goalEndsExecution: boolean;
  goals: { key: string; type: string; name: string }[];
  /** Steps of version 1, 2, …; the last is the one of today. */
  versions: DemoStep[][];
  /** Enrolments of an average day once grown; 0: no events yet. */
  enrolledPerDay: number;
  sources: ["trigger" | "bulk" | "api" | "manual", number][];
  /** Weeks of every five in which a campaign doubles and trebles the enrolments, from 0. */
  campaignWeek?: number;
}

/** One tenant of the demo. */
export interface DemoAccount {
  key: string;
  name: string;
  timeZone: string;
  /** Load of Sunday to Saturday, 1 on average. */
  weekdays: number[];
  /** Load of the 24 hours of the local day, any scale. */
  hours: number[];
  workflows: DemoWorkflow[];
}

const unsubscribed: [string, number][] = [
  ["unsubscribed", 8],
  ["manual_removal", 1],
];

const email: DemoAction = {
  medianMs: 340,
  spread: 0.5,
  failureShare: 0.006,
  error: "421 mailbox temporarily unavailable",
  isFatal: true,
};
const textMessage: DemoAction = {
  medianMs: 900,
  spread: 0.6,
  failureShare: 0.015,
  outage: { fromDay: 9, days: 5, failureShare: 0.4 },
  error: "Carrier rejected the message (30005)",
  isFatal: true,
};
const crmWebhook: DemoAction = {
  medianMs: 620,
  spread: 0.8,
  failureShare: 0.02,
  outage: { fromDay: 18, days: 6, failureShare: 0.85 },
  error: "503 Service Unavailable from crm.example.com",
  isFatal: false,
};
const rendering: DemoAction = {
  medianMs: 5_600,
  spread: 0.45,
  failureShare: 0.004,
  error: "Rendering timed out",
  isFatal: false,
};

const welcome: DemoWorkflow = {
  key: "welcome",
  name: "Welcome series",
  status: "active",
  goalEndsExecution: true,
  goals: [{ key: "order", type: "purchase", name: "First order" }],
  enrolledPerDay: 15,
  sources: [["trigger", 62], ["api", 20], ["bulk", 14], ["manual", 4]],
  campaignWeek: 2,
  versions: [[
    {
      key: "signed-up",
      name: "Signed up",
      type: "trigger",
      staySeconds: 4,
      spread: 0.4,
      next: [{ to: "hello", weight: 1 }],
    },
    {
      key: "hello",
      name: "Welcome email",
      type: "action",
      actionType: "send_email",
      staySeconds: 5 * HOUR,
      spread: 0.9,
      action: email,
      leaves: { share: 0.07, reasons: unsubscribed },
      next: [{ to: "guide", weight: 1 }],
    },
    {
      key: "guide",
      name: "Personal brew guide",
      type: "action",
      actionType: "render_pdf",
      staySeconds: 22 * HOUR,
      spread: 0.5,
      action: rendering,
      leaves: { share: 0.17, reasons: unsubscribed },
      converts: { share: 0.05, goal: "order" },
      next: [{ to: "offer", weight: 1 }],
    },
    {
      key: "offer",
      name: "First order offer",
      type: "action",
      actionType: "send_email",
      staySeconds: 20 * HOUR,
      spread: 0.8,
      action: email,
      leaves: { share: 0.09, reasons: unsubscribed },
      next: [
        { to: "order", weight: 46, isWon: true },
        { to: null, weight: 54 },
      ],
    },
    {
      key: "order",
      name: "First order",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "order",
      next: [{ to: null, weight: 1 }],
    },
  ]],
};

/** Version 2 of the nurture adds a text message: the demo's answer to "did it help?". */
function trialSteps(hasText: boolean): DemoStep[] {
  const text: DemoStep = {
    key: "text",
    name: "Reminder by text",
    type: "action",
    actionType: "send_sms",
    staySeconds: 40 * MINUTE,
    spread: 0.7,
    action: textMessage,
    leaves: { share: 0.02, reasons: unsubscribed },
    next: [{ to: "wait-second", weight: 1 }],
  };
  return [
    {
      key: "started",
      name: "Trial box ordered",
      type: "trigger",
      staySeconds: 6,
      spread: 0.4,
      next: [{ to: "tips", weight: 1 }],
    },
    {
      key: "tips",
      name: "Tasting tips",
      type: "action",
      actionType: "send_email",
      staySeconds: 2 * HOUR,
      spread: 0.9,
      action: email,
      leaves: { share: 0.03, reasons: unsubscribed },
      next: [{ to: "wait-first", weight: 1 }],
    },
    {
      key: "wait-first",
      name: "Wait 3 days",
      type: "wait",
      staySeconds: 3 * DAY,
      spread: 0.0005,
      leaves: { share: 0.05, reasons: unsubscribed },
      converts: { share: 0.3, goal: "profile" },
      next: [{ to: hasText ? "text" : "wait-second", weight: 1 }],
    },
    ...(hasText ? [text] : []),
    {
      key: "wait-second",
      name: "Wait 4 days",
      type: "wait",
      staySeconds: 4 * DAY,
      spread: 0.0005,
      leaves: {
        share: hasText ? 0.13 : 0.22,
        reasons: [["unsubscribed", 5], ["trial_cancelled", 4]],
      },
      next: [{ to: "last-call", weight: 1 }],
    },
    {
      key: "last-call",
      name: "Last call",
      type: "action",
      actionType: "send_email",
      staySeconds: 18 * HOUR,
      spread: 0.9,
      action: email,
      leaves: { share: 0.06, reasons: unsubscribed },
      next: [
        { to: "subscribed", weight: hasText ? 42 : 31, isWon: true },
        { to: null, weight: hasText ? 58 : 69 },
      ],
    },
    {
      key: "subscribed",
      name: "Subscribed",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "subscribed",
      next: [{ to: null, weight: 1 }],
    },
  ];
}

const trial: DemoWorkflow = {
  key: "trial",
  name: "Trial box nurture",
  status: "active",
  goalEndsExecution: false,
  goals: [
    { key: "profile", type: "activation", name: "Taste profile filled in" },
    { key: "subscribed", type: "purchase", name: "Subscribed" },
  ],
  enrolledPerDay: 9,
  sources: [["trigger", 70], ["api", 18], ["manual", 12]],
  versions: [trialSteps(false), trialSteps(true)],
};

const cart: DemoWorkflow = {
  key: "cart",
  name: "Abandoned cart",
  status: "active",
  goalEndsExecution: true,
  goals: [{ key: "recovered", type: "purchase", name: "Cart recovered" }],
  enrolledPerDay: 15,
  sources: [["trigger", 81], ["api", 13], ["bulk", 6]],
  campaignWeek: 4,
  versions: [[
    {
      key: "abandoned",
      name: "Cart abandoned",
      type: "trigger",
      staySeconds: 3,
      spread: 0.5,
      next: [{ to: "cool-off", weight: 1 }],
    },
    {
      key: "cool-off",
      name: "Wait an hour",
      type: "wait",
      staySeconds: HOUR,
      spread: 0.001,
      leaves: { share: 0.03, reasons: [["cart_emptied", 1]] },
      converts: { share: 0.11, goal: "recovered" },
      next: [{ to: "worth", weight: 1 }],
    },
    {
      key: "worth",
      name: "Cart above 40 €?",
      type: "condition",
      staySeconds: 0.4,
      spread: 0.3,
      next: [{ to: "coupon", weight: 43 }, { to: "reminder", weight: 57 }],
    },
    {
      key: "coupon",
      name: "Coupon by email",
      type: "action",
      actionType: "send_email",
      staySeconds: 9 * HOUR,
      spread: 0.8,
      action: email,
      leaves: { share: 0.05, reasons: unsubscribed },
      next: [
        { to: "recovered", weight: 47, isWon: true },
        { to: "sync", weight: 53 },
      ],
    },
    {
      key: "reminder",
      name: "Reminder by email",
      type: "action",
      actionType: "send_email",
      staySeconds: 11 * HOUR,
      spread: 0.8,
      action: email,
      leaves: { share: 0.21, reasons: unsubscribed },
      next: [
        { to: "recovered", weight: 19, isWon: true },
        { to: "push", weight: 81 },
      ],
    },
    {
      key: "push",
      name: "Push notification",
      type: "action",
      actionType: "send_push",
      staySeconds: 7 * HOUR,
      spread: 0.7,
      action: { ...email, medianMs: 120, error: "Device token expired" },
      leaves: { share: 0.1, reasons: [["unsubscribed", 1]] },
      next: [
        { to: "recovered", weight: 12, isWon: true },
        { to: "sync", weight: 88 },
      ],
    },
    {
      key: "sync",
      name: "Tell the shop team",
      type: "action",
      actionType: "webhook",
      staySeconds: 45,
      spread: 0.6,
      action: crmWebhook,
      next: [{ to: null, weight: 1 }],
    },
    {
      key: "recovered",
      name: "Cart recovered",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "recovered",
      next: [{ to: null, weight: 1 }],
    },
  ]],
};

const winBack: DemoWorkflow = {
  key: "win-back",
  name: "Win back quiet customers",
  status: "draft",
  goalEndsExecution: true,
  goals: [{ key: "back", type: "purchase", name: "Ordered again" }],
  enrolledPerDay: 0,
  sources: [["bulk", 1]],
  versions: [[
    {
      key: "quiet",
      name: "No order for 60 days",
      type: "trigger",
      staySeconds: 5,
      spread: 0.4,
      next: [{ to: "miss-you", weight: 1 }],
    },
    {
      key: "miss-you",
      name: "We miss you",
      type: "action",
      actionType: "send_email",
      staySeconds: DAY,
      spread: 0.8,
      action: email,
      next: [{ to: "back", weight: 1, isWon: true }, { to: null, weight: 9 }],
    },
    {
      key: "back",
      name: "Ordered again",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "back",
      next: [{ to: null, weight: 1 }],
    },
  ]],
};

const appointment: DemoWorkflow = {
  key: "appointment",
  name: "Appointment reminders",
  status: "active",
  goalEndsExecution: true,
  goals: [{ key: "confirmed", type: "booking", name: "Visit confirmed" }],
  enrolledPerDay: 8,
  sources: [["api", 74], ["manual", 26]],
  versions: [[
    {
      key: "booked",
      name: "Visit booked",
      type: "trigger",
      staySeconds: 4,
      spread: 0.4,
      next: [{ to: "details", weight: 1 }],
    },
    {
      key: "details",
      name: "Visit details",
      type: "action",
      actionType: "send_email",
      staySeconds: 3 * HOUR,
      spread: 0.8,
      action: email,
      next: [{ to: "until-visit", weight: 1 }],
    },
    {
      key: "until-visit",
      name: "Wait until two days before",
      type: "wait",
      staySeconds: 4 * DAY,
      spread: 0.45,
      leaves: { share: 0.08, reasons: [["appointment_cancelled", 1]] },
      converts: { share: 0.18, goal: "confirmed" },
      next: [{ to: "remind", weight: 1 }],
    },
    {
      key: "remind",
      name: "Reminder by text",
      type: "action",
      actionType: "send_sms",
      staySeconds: 5 * HOUR,
      spread: 0.9,
      action: textMessage,
      leaves: { share: 0.05, reasons: [["appointment_cancelled", 1]] },
      next: [
        { to: "confirmed", weight: 78, isWon: true },
        { to: null, weight: 22 },
      ],
    },
    {
      key: "confirmed",
      name: "Visit confirmed",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "confirmed",
      next: [{ to: null, weight: 1 }],
    },
  ]],
};

const intake: DemoWorkflow = {
  key: "intake",
  name: "Intake forms",
  status: "active",
  goalEndsExecution: true,
  goals: [{ key: "complete", type: "form", name: "Forms complete" }],
  enrolledPerDay: 5,
  sources: [["trigger", 55], ["manual", 45]],
  versions: [[
    {
      key: "new-patient",
      name: "New patient",
      type: "trigger",
      staySeconds: 5,
      spread: 0.4,
      next: [{ to: "forms", weight: 1 }],
    },
    {
      key: "forms",
      name: "Send forms",
      type: "action",
      actionType: "send_email",
      staySeconds: DAY,
      spread: 0.7,
      action: email,
      leaves: { share: 0.06, reasons: [["manual_removal", 1]] },
      converts: { share: 0.34, goal: "complete" },
      next: [{ to: "insured", weight: 1 }],
    },
    {
      key: "insured",
      name: "Insurance on file?",
      type: "condition",
      staySeconds: 0.6,
      spread: 0.3,
      next: [{ to: "nudge", weight: 7 }, { to: "call", weight: 3 }],
    },
    {
      key: "nudge",
      name: "Nudge by text",
      type: "action",
      actionType: "send_sms",
      staySeconds: 8 * HOUR,
      spread: 0.8,
      action: textMessage,
      next: [
        { to: "complete", weight: 56, isWon: true },
        { to: "call", weight: 44 },
      ],
    },
    {
      key: "call",
      name: "Call list for the desk",
      type: "action",
      actionType: "webhook",
      staySeconds: 16 * HOUR,
      spread: 0.6,
      action: { ...crmWebhook, outage: undefined },
      leaves: { share: 0.2, reasons: [["not_reachable", 1]] },
      next: [
        { to: "complete", weight: 62, isWon: true },
        { to: null, weight: 38 },
      ],
    },
    {
      key: "complete",
      name: "Forms complete",
      type: "goal",
      staySeconds: 1,
      spread: 0,
      achieves: "complete",
      next: [{ to: null, weight: 1 }],
    },
  ]],
};

/** The tenants of the demo; the first is the one whose sign-in link is printed. */
export const DEMO_ACCOUNTS: readonly DemoAccount[] = [
  {
    key: "coffee",
    name: "Kestrel Coffee",
    timeZone: "Europe/Paris",
    weekdays: [1.15, 0.85, 0.85, 0.9, 0.95, 1.1, 1.2],
    // Shoppers: breakfast, lunch, and the long evening.
    hours: [
      ...[4, 2, 1, 1, 1, 2, 5, 12, 18, 17, 15, 17],
      ...[24, 21, 16, 15, 17, 22, 27, 32, 38, 36, 24, 11],
    ],
    workflows: [welcome, trial, cart, winBack],
  },
  {
    key: "clinic",
    name: "Tidewater Clinic",
    timeZone: "America/New_York",
    weekdays: [0.1, 1.5, 1.35, 1.3, 1.25, 1.2, 0.3],
    // A front desk, with a lunch break and a little self-service at night.
    hours: [
      ...[0, 0, 0, 0, 0, 0, 1, 6, 20, 32, 34, 28],
      ...[14, 22, 30, 28, 22, 10, 4, 3, 3, 2, 1, 0],
    ],
    workflows: [appointment, intake],
  },
];

/**
 * @param workflow A demo workflow.
 * @returns Its id, the same in every installation.
 */
export function workflowIdOf(workflow: DemoWorkflow): string {
  return uuidOfWords("demo", workflow.key);
}

/**
 * @param workflow A demo workflow.
 * @param stepKey Key of one of its steps.
 * @returns The step's id, the same in every version.
 */
export function stepIdOf(workflow: DemoWorkflow, stepKey: string): string {
  return uuidOfWords("demo", workflow.key, "step", stepKey);
}

/**
 * @param workflow A demo workflow.
 * @param goalKey Key of one of its goals.
 * @returns The goal's id.
 */
export function goalIdOf(workflow: DemoWorkflow, goalKey: string): string {
  return uuidOfWords("demo", workflow.key, "goal", goalKey);
}

/**
 * Spells a version as one would `PUT` it.
 *
 * @param workflow A demo workflow.
 * @param version 1 to the number of its versions.
 * @returns The definition, valid.
 */
export function definitionOf(
  workflow: DemoWorkflow,
  version: number,
): WorkflowDefinition {
  const steps = workflow.versions[version - 1]!.map(
    function toStep(step, order): Step {
      const following = step.next.flatMap((edge) =>
        edge.to === null ? [] : [stepIdOf(workflow, edge.to)]
      );
      return {
        step_id: stepIdOf(workflow, step.key),
        name: step.name,
        type: step.type,
        ...(step.actionType === undefined
          ? {}
          : { action_type: step.actionType }),
        order,
        next: following,
      };
    },
  );
  const goals = workflow.goals.map((goal): Goal => ({
    goal_id: goalIdOf(workflow, goal.key),
    type: goal.type,
    name: goal.name,
  }));
  return WorkflowDefinition.parse({
    name: workflow.name,
    status: workflow.status,
    steps,
    goals,
    goal_ends_execution: workflow.goalEndsExecution,
  });
}
