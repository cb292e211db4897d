/**
 * Puts contacts through the demo's workflows. Pure: who enrols when, and what becomes
 * of them, follows from the workflow and the instant alone, so that history, a restart
 * and the living traffic tell the same story and event ids never collide.
 *
 * @module
 */

import type { Event } from "../db/schema.ts";
import {
  type DemoAccount,
  type DemoAction,
  type DemoStep,
  type DemoWorkflow,
  goalIdOf,
  stepIdOf,
  workflowIdOf,
} from "./_demo_workflows.ts";
import {
  logNormal,
  pick,
  poisson,
  type Random,
  randomOf,
  uuidOfWords,
} from "./_random.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The past that a demo shows, and over which it grew. */
export const HISTORY_DAYS = 90;

/** Version 2 of a workflow with two is this old when the demo is first seeded. */
const SECOND_VERSION_AGE_DAYS = 40;

/** Share of today's enrolments that the demo had at the start of its history. */
const GROWTH_START = 0.55;

/** Enrolments of a campaign's days, as a multiple of the usual. */
const CAMPAIGN_FACTOR = 2.6;

/** Tries of an action that fails, the first one included. */
const TRIES_MAX = 3;

/** Share of long stays that never end: every real system has some. */
const STALLED_SHARE = 0.004;

/** Share that is taken out by hand between two steps. */
const REMOVED_SHARE = 0.004;

/** Share of enrolments by contacts that come back. */
const REGULARS_SHARE = 0.12;

/** How well each way in converts; 1 is the shape's own share. */
const SOURCE_LUCK = { trigger: 1, api: 0.85, manual: 1.3, bulk: 0.5 };

/** One enrolment to come or past. */
export interface Enrolment {
  workflow: DemoWorkflow;
  atMs: number;
  version: number;
}

/** `real`: days of waiting are days; `fast`: they pass within minutes, for who watches. */
export type Pace = "real" | "fast";

type OfExecution =
  | "id"
  | "workflow_id"
  | "execution_id"
  | "contact_id"
  | "occurred_at"
  | "sequence";
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K>
  : never;
type Fact = DistributiveOmit<Event, OfExecution>;

/** An execution while it is made up. */
interface Walk {
  workflow: DemoWorkflow;
  random: Random;
  /** Multiplies every share of converting. */
  luck: number;
  atMs: number;
  facts: { atMs: number; fact: Fact }[];
}

/**
 * Who enrols in a stretch of time.
 *
 * @param account Whose workflows.
 * @param afterMs Start of the stretch, not in it, ms since 1970.
 * @param untilMs End of the stretch, in it, ms since 1970.
 * @param grownAtMs When the account had grown to its size of today, ms since 1970;
 *   `-Infinity`: always.
 * @returns The enrolments, by workflow and hour; no two of a workflow at one instant.
 */
export function enrolmentsOf(
  account: DemoAccount,
  afterMs: number,
  untilMs: number,
  grownAtMs: number,
): Enrolment[] {
  const loadOf = createLoad(account);
  const enrolments: Enrolment[] = [];
  const lastHour = Math.floor(untilMs / HOUR_MS);
  for (let hour = Math.floor(afterMs / HOUR_MS); hour <= lastHour; hour++) {
    const load = loadOf(hour * HOUR_MS) * growthAt(hour * HOUR_MS, grownAtMs);
    for (const workflow of account.workflows) {
      for (const atMs of instantsOf(workflow, hour * HOUR_MS, load)) {
        if (atMs <= afterMs || atMs > untilMs) continue;
        const isOld = grownAtMs - atMs > SECOND_VERSION_AGE_DAYS * DAY_MS;
        const version = isOld ? 1 : workflow.versions.length;
        enrolments.push({ workflow, atMs, version });
      }
    }
  }
  return enrolments;
}

/** The share of an average day's enrolments that falls into an hour, by its start. */
function createLoad(account: DemoAccount): (hourMs: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: account.timeZone,
    weekday: "short",
    hour: "2-digit",
    hourCycle: "h23",
  });
  const names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const hoursSum = account.hours.reduce((sum, weight) => sum + weight, 0);
  return function loadOf(hourMs: number): number {
    const parts = format.formatToParts(hourMs);
    const text = (type: string) => parts.find((p) => p.type === type)?.value;
    const weekday = account.weekdays[names.indexOf(text("weekday")!)]!;
    return weekday * account.hours[Number(text("hour"))]! / hoursSum;
  };
}

function growthAt(atMs: number, grownAtMs: number): number {
  const age = (grownAtMs - atMs) / (HISTORY_DAYS * DAY_MS);
  return 1 - (1 - GROWTH_START) * Math.min(1, Math.max(0, age));
}

/** Fixed days of the calendar, so that the demo keeps having campaigns as it lives on. */
function isCampaign(workflow: DemoWorkflow, atMs: number): boolean {
  if (workflow.campaignWeek === undefined) return false;
  const mondayBased = Math.floor(atMs / DAY_MS) + 3;
  const weekday = mondayBased % 7;
  return Math.floor(mondayBased / 7) % 5 === workflow.campaignWeek &&
    weekday >= 1 && weekday <= 3;
}

function instantsOf(
  workflow: DemoWorkflow,
  hourMs: number,
  load: number,
): Set<number> {
  const random = randomOf("enrolments", workflow.key, hourMs);
  const factor = isCampaign(workflow, hourMs) ? CAMPAIGN_FACTOR : 1;
  const count = poisson(random, workflow.enrolledPerDay * load * factor);
  const instants = new Set<number>();
  for (let i = 0; i < count; i++) {
    instants.add(hourMs + Math.floor(random() * HOUR_MS));
  }
  return instants;
}

/**
 * Names the execution that an enrolment begins.
 *
 * @param workflow The demo workflow.
 * @param enrolledAtMs Its enrolment, ms since 1970.
 * @param pace How fast it goes; both may enrol at one instant.
 * @returns The execution's id.
 */
export function executionIdOf(
  workflow: DemoWorkflow,
  enrolledAtMs: number,
  pace: Pace,
): string {
  return uuidOfWords("demo", workflow.key, "execution", enrolledAtMs, pace);
}

/**
 * Walks one execution from its enrolment to its end, or to where it stays for good.
 *
 * @param enrolment Who, when, in which version.
 * @param pace Whether days of waiting are days.
 * @returns All its events in their order, also those that are still to come.
 */
export function journeyOf(enrolment: Enrolment, pace: Pace): Event[] {
  const { workflow, atMs } = enrolment;
  const random = randomOf("journey", workflow.key, atMs, pace);
  const source = pick(random, sourcesOf(workflow, atMs));
  const contactId = contactOf(random, workflow, atMs);
  const luck = SOURCE_LUCK[source];
  const walk: Walk = { workflow, random, luck, atMs, facts: [] };
  add(walk, {
    type: "execution.enrolled",
    source,
    workflow_version: enrolment.version,
  });
  const steps = new Map(
    workflow.versions[enrolment.version - 1]!.map((step) => [step.key, step]),
  );
  let step = steps.values().next().value;
  while (step !== undefined) {
    const nextKey = passStep(walk, step);
    step = nextKey === null ? undefined : steps.get(nextKey);
  }
  return toEvents(walk, executionIdOf(workflow, atMs, pace), contactId, pace);
}

/** A campaign is a mailing list put in at once: mostly `bulk`. */
function sourcesOf(
  workflow: DemoWorkflow,
  atMs: number,
): DemoWorkflow["sources"] {
  if (!isCampaign(workflow, atMs)) return workflow.sources;
  return [...workflow.sources, ["bulk", 110]];
}

function contactOf(
  random: Random,
  workflow: DemoWorkflow,
  atMs: number,
): string {
  const number = Math.floor(random() * 400);
  return random() < REGULARS_SHARE
    ? `contact-${String(number).padStart(4, "0")}`
    : `contact-${uuidOfWords("contact", workflow.key, atMs).slice(0, 8)}`;
}

function add(walk: Walk, fact: Fact, atMs = walk.atMs): void {
  walk.facts.push({ atMs, fact });
}

/** Passes one step; returns the key of the next one, `null` where the walk is over. */
function passStep(walk: Walk, step: DemoStep): string | null {
  const { random, workflow } = walk;
  const step_id = stepIdOf(workflow, step.key);
  add(walk, { type: "step.entered", step_id });
  if (step.action && !runAction(walk, step_id, step.action)) {
    add(walk, { type: "execution.failed", error: step.action.error });
    return null;
  }
  const stayMs = 1_000 * logNormal(random, step.staySeconds, step.spread);
  if (step.leaves && random() < step.leaves.share) {
    const reason = pick(random, step.leaves.reasons);
    const leftAtMs = walk.atMs + stayMs * random();
    add(walk, { type: "execution.exited", reason }, leftAtMs);
    return null;
  }
  if (stayMs > HOUR_MS && random() < STALLED_SHARE) return null;
  if (step.converts && random() < step.converts.share * walk.luck) {
    const isEnd = achieve(walk, step.converts.goal, stayMs * random());
    if (isEnd) return null;
  }
  walk.atMs += stayMs;
  add(walk, { type: "step.completed", step_id });
  if (step.achieves && achieve(walk, step.achieves, 0)) return null;
  return leaveStep(walk, step);
}

/** Adds a goal; returns whether it ended the execution. */
function achieve(walk: Walk, goalKey: string, afterMs: number): boolean {
  const goal_id = goalIdOf(walk.workflow, goalKey);
  add(walk, { type: "goal.achieved", goal_id }, walk.atMs + afterMs);
  return walk.workflow.goalEndsExecution;
}

function leaveStep(walk: Walk, step: DemoStep): string | null {
  const nextKey = pick(
    walk.random,
    step.next.map((edge) => [
      edge.to,
      edge.weight * (edge.isWon ? walk.luck : 1),
    ]),
  );
  if (nextKey === null) {
    add(walk, { type: "execution.completed" });
    return null;
  }
  if (walk.random() < REMOVED_SHARE) {
    const reason = "manual_removal";
    add(walk, { type: "execution.exited", reason }, walk.atMs + 90_000);
    return null;
  }
  return nextKey;
}

/** Tries an action until it works; returns whether the execution may go on. */
function runAction(walk: Walk, step_id: string, action: DemoAction): boolean {
  const { random } = walk;
  for (let tries = 1; tries <= TRIES_MAX; tries++) {
    const ms = logNormal(random, action.medianMs, action.spread);
    walk.atMs += 400 + 1_200 * random() + ms;
    const duration_ms = Math.round(ms * 1_000) / 1_000;
    const isFailed = random() < failureShareAt(action, walk.atMs);
    add(walk, {
      type: "action.executed",
      step_id,
      status: isFailed ? "failed" : "succeeded",
      duration_ms,
      ...(isFailed ? { error: action.error } : {}),
    });
    if (!isFailed) return true;
    if (tries < TRIES_MAX) walk.atMs += tries * 5 * 60_000;
  }
  return !action.isFatal;
}

function failureShareAt(action: DemoAction, atMs: number): number {
  if (!action.outage) return action.failureShare;
  const { fromDay, days, failureShare } = action.outage;
  const day = Math.floor(atMs / DAY_MS) % 28 - fromDay;
  return day >= 0 && day < days ? failureShare : action.failureShare;
}

function toEvents(
  walk: Walk,
  execution_id: string,
  contact_id: string,
  pace: Pace,
): Event[] {
  const workflow_id = workflowIdOf(walk.workflow);
  let previousMs = walk.facts[0]!.atMs;
  let atMs = previousMs;
  return walk.facts.map(function toEvent(entry, sequence): Event {
    const gapMs = entry.atMs - previousMs;
    atMs += pace === "fast" ? squeezedMs(gapMs) : gapMs;
    previousMs = entry.atMs;
    return {
      ...entry.fact,
      id: `${execution_id}:${sequence}`,
      workflow_id,
      execution_id,
      contact_id,
      occurred_at: new Date(atMs).toISOString(),
      sequence,
    };
  });
}

/**
 * Makes a pause short enough to watch: seconds stay, an hour becomes a minute and a
 * half, a week two and a half minutes. A longer one never becomes the shorter.
 *
 * @param gapMs At least 0, ms.
 * @returns At least 0, ms.
 */
export function squeezedMs(gapMs: number): number {
  const watchableMs = 12_000;
  if (gapMs <= watchableMs) return gapMs;
  return watchableMs * (1 + Math.log(gapMs / watchableMs));
}
