/**
 * A log's rows as our events: each case an execution, each activity a step.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type { Event, Goal, SOURCES, Step } from "../db/schema.ts";
import { formatInstant } from "./_instant.ts";

/** What may happen to an activity. */
export type Transition = "start" | "complete";

/** How a log's cases are told as executions. */
export interface HistoryOptions {
  workflowId: string;
  source: (typeof SOURCES)[number];
  /** Activities whose completion achieves a goal. */
  goals: string[];
  /** Activities whose completion ends the execution. */
  ends: string[];
  /** `completed`, or the reason of the exit that {@linkcode ends} are. */
  endReason: string;
  /** What becomes of cases without an end: `open`, `completed`, or an exit's reason. */
  unended: string;
  /** Cases that began before are left out whole; microseconds since 1970 UTC. */
  oldestMicros: number;
}

/** What the events of a history add up to. */
export interface HistoryTotals {
  executions: number;
  events: number;
  goalsAchieved: number;
  ended: number;
  /** Cases without an end activity or a goal that ends them. */
  unended: number;
  /** Cases, and their rows, that began too long ago. */
  tooOld: { cases: number; rows: number };
  /** First and last instant, microseconds since 1970 UTC; `null` if there is none. */
  firstMicros: number | null;
  lastMicros: number | null;
}

/** One row of a case, by its activity's number. */
interface Moment {
  micros: number;
  activity: number;
  transition: Transition;
}

/**
 * The rows of a log in 24 bytes each: the steps' order is known only when all are
 * read, and cases may lie scattered over the file.
 */
export class History {
  #caseIds: string[] = [];
  #caseNumbers = new Map<string, number>();
  #activities: string[] = [];
  #activityNumbers = new Map<string, number>();
  /** Of each activity: whether the log has starts, completions of it. */
  #has: { start: boolean; complete: boolean }[] = [];
  /** Per row: number of the case; twice that of the activity, plus 1 for a start; time. */
  #rowCases: number[] = [];
  #rowKinds: number[] = [];
  #rowMicros: number[] = [];

  /** How many rows were added. */
  get rowCount(): number {
    return this.#rowCases.length;
  }

  /** The activities' names, in the order they appeared. */
  get activities(): readonly string[] {
    return this.#activities;
  }

  /**
   * Adds a row.
   *
   * @param caseId The case's name: the execution's contact.
   * @param activity The activity's name.
   * @param transition What happened to it.
   * @param micros When, in microseconds since 1970 UTC.
   */
  add(
    caseId: string,
    activity: string,
    transition: Transition,
    micros: number,
  ): void {
    const caseNumber = numberOf(caseId, this.#caseIds, this.#caseNumbers);
    const number = numberOf(activity, this.#activities, this.#activityNumbers);
    this.#has[number] ??= { start: false, complete: false };
    this.#has[number][transition] = true;
    this.#rowCases.push(caseNumber);
    this.#rowKinds.push(number * 2 + (transition === "start" ? 1 : 0));
    this.#rowMicros.push(micros);
  }

  /**
   * The activities as steps in order of their typical position: first the ones that
   * come before most others, judged pair by pair over the cases that have both, by when
   * each first comes up. Places within a case would mislead: where most cases break
   * off, an early step is often the last, and where some skip steps, a late one is
   * often the second. Ties go by name.
   *
   * @param options Goals become steps of type `goal`, all others actions.
   * @returns Steps whose ids follow from workflow and name alone.
   */
  steps(options: Pick<HistoryOptions, "workflowId" | "goals">): Step[] {
    const before = this.#countPairs();
    const names = this.#activities.toSorted();
    return names.map((name) => {
      // In the order of names, or the additions' order could decide a tie.
      const others = names.map((other) => [
        before(name, other),
        before(other, name),
      ]).filter(([first, second]) => first! + second! > 0);
      const shares = others.map(([first, second]) =>
        first! / (first! + second!)
      );
      const sum = shares.reduce((a, b) => a + b, 0);
      return { name, lead: others.length === 0 ? 0.5 : sum / others.length };
    }).sort((a, b) => b.lead - a.lead)
      .map(({ name }, order) => ({
        step_id: uuidV5(options.workflowId, "step", name),
        name,
        type: options.goals.includes(name) ? "goal" : "action",
        order,
      }));
  }

  /** In how many cases one activity first comes up before another that does, too. */
  #countPairs(): (first: string, second: string) => number {
    const size = this.#activities.length;
    const counts = new Uint32Array(size * size);
    for (const { moments } of this.#cases()) {
      const order = [...new Set(moments.map(({ activity }) => activity))];
      for (const [place, first] of order.entries()) {
        for (let i = place + 1; i < order.length; i++) {
          counts[first * size + order[i]!]!++;
        }
      }
    }
    const numbers = this.#activityNumbers;
    return (first, second) =>
      counts[numbers.get(first)! * size + numbers.get(second)!]!;
  }

  /**
   * The cases as events, case by case, each in its order.
   *
   * Ids follow from workflow, case, activity and how many-th time it is: the same
   * file again, also sorted otherwise or with more rows, brings the same ones.
   *
   * @param options How to tell them.
   * @param totals Is counted up while the events are taken.
   */
  *events(options: HistoryOptions, totals: HistoryTotals): Generator<Event> {
    const telling: Telling = {
      options,
      totals,
      activities: this.#activities,
      has: this.#has,
      stepIds: this.#activities.map((name) =>
        uuidV5(options.workflowId, "step", name)
      ),
    };
    for (const { caseId, moments } of this.#cases()) {
      const first = moments[0]!.micros;
      if (first < options.oldestMicros) {
        totals.tooOld.cases++;
        totals.tooOld.rows += moments.length;
        continue;
      }
      const last = moments.at(-1)!.micros;
      totals.executions++;
      totals.firstMicros = Math.min(totals.firstMicros ?? first, first);
      totals.lastMicros = Math.max(totals.lastMicros ?? last, last);
      const events = new Execution(telling, caseId, moments).tell();
      totals.events += events.length;
      yield* events;
    }
  }

  /** Every case with its rows by time, those of one instant in the file's order. */
  *#cases(): Generator<{ caseId: string; moments: Moment[] }> {
    const starts = new Uint32Array(this.#caseIds.length + 1);
    for (const number of this.#rowCases) starts[number + 1]!++;
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const rows = new Uint32Array(this.#rowCases.length);
    const next = starts.slice();
    for (const [row, number] of this.#rowCases.entries()) {
      rows[next[number]!++] = row;
    }
    for (const [number, caseId] of this.#caseIds.entries()) {
      const ofCase = rows.subarray(starts[number], starts[number + 1]);
      const moments = Array.from(ofCase, (row): Moment => ({
        micros: this.#rowMicros[row]!,
        activity: this.#rowKinds[row]! >> 1,
        transition: this.#rowKinds[row]! % 2 === 1 ? "start" : "complete",
      }));
      yield { caseId, moments: moments.sort((a, b) => a.micros - b.micros) };
    }
  }
}

function numberOf(
  name: string,
  names: string[],
  numbers: Map<string, number>,
): number {
  let number = numbers.get(name);
  if (number === undefined) {
    number = names.length;
    names.push(name);
    numbers.set(name, number);
  }
  return number;
}

/** What is the same for all cases of a history. */
interface Telling {
  options: HistoryOptions;
  totals: HistoryTotals;
  activities: readonly string[];
  has: readonly { start: boolean; complete: boolean }[];
  stepIds: readonly string[];
}

/** One case while it is told. */
class Execution {
  #telling: Telling;
  #caseId: string;
  #moments: Moment[];
  #executionId: string;
  #events: Event[] = [];
  /** How often each kind of event was told. */
  #counts = new Map<string, number>();
  #achieved = new Set<string>();
  #isEnded = false;

  constructor(telling: Telling, caseId: string, moments: Moment[]) {
    this.#telling = telling;
    this.#caseId = caseId;
    this.#moments = moments;
    this.#executionId = uuidV5(
      telling.options.workflowId,
      "execution",
      caseId,
    );
  }

  tell(): Event[] {
    const { options, totals, has } = this.#telling;
    let before = this.#moments[0]!.micros;
    this.#push(before, "enrolled", "", {
      type: "execution.enrolled",
      source: options.source,
    });
    for (const moment of this.#moments) {
      this.#tellMoment(moment, has[moment.activity]!, before);
      before = moment.micros;
    }
    const isEndedByGoal = options.ends.length === 0 && this.#achieved.size > 0;
    if (this.#isEnded || isEndedByGoal) totals.ended++;
    else {
      totals.unended++;
      if (options.unended !== "open") this.#end(before, options.unended);
    }
    return this.#events;
  }

  #tellMoment(
    { micros, activity, transition }: Moment,
    has: { start: boolean; complete: boolean },
    before: number,
  ): void {
    const { options, activities, stepIds } = this.#telling;
    const name = activities[activity]!;
    const step_id = stepIds[activity]!;
    if (transition === "start" || !has.start) {
      // Where nobody noted its start, it has waited since the event before.
      const entered = transition === "start" ? micros : before;
      this.#push(entered, "entered", step_id, {
        type: "step.entered",
        step_id,
      });
    }
    if (transition === "complete") {
      this.#push(micros, "completed", step_id, {
        type: "step.completed",
        step_id,
      });
    }
    // An activity that the log only ever starts is reached when it starts.
    if (transition === "start" && has.complete) return;
    if (options.goals.includes(name) && !this.#achieved.has(name)) {
      this.#achieved.add(name);
      this.#telling.totals.goalsAchieved++;
      const goal_id = uuidV5(options.workflowId, "goal", name);
      this.#push(micros, "achieved", goal_id, {
        type: "goal.achieved",
        goal_id,
      });
    }
    if (options.ends.includes(name) && !this.#isEnded) {
      this.#isEnded = true;
      this.#end(micros, options.endReason);
    }
  }

  #end(micros: number, reason: string): void {
    this.#push(
      micros,
      "ended",
      "",
      reason === "completed"
        ? { type: "execution.completed" }
        : { type: "execution.exited", reason },
    );
  }

  /** Adds an event about a step or a goal, or about neither (`""`). */
  #push(micros: number, what: string, subjectId: string, facts: Facts): void {
    // 12 of 32 digits tell 500 steps apart; a hash of all would cost more than the rest.
    const kind = `${what}/${subjectId.slice(-12)}`;
    const count = this.#counts.get(kind) ?? 0;
    this.#counts.set(kind, count + 1);
    this.#events.push({
      id: `${this.#executionId}/${kind}/${count}`,
      workflow_id: this.#telling.options.workflowId,
      execution_id: this.#executionId,
      contact_id: this.#caseId,
      occurred_at: formatInstant(micros),
      sequence: this.#events.length,
      ...facts,
    });
  }
}

/** What tells one kind of event from another. */
type Facts =
  | { type: "execution.enrolled"; source: (typeof SOURCES)[number] }
  | { type: "step.entered" | "step.completed"; step_id: string }
  | { type: "goal.achieved"; goal_id: string }
  | { type: "execution.completed" }
  | { type: "execution.exited"; reason: string };

/**
 * The goals of a history.
 *
 * @param options Their activities, and the workflow they are of.
 * @returns Goals whose ids follow from workflow and name alone.
 */
export function goalsOf(
  options: Pick<HistoryOptions, "workflowId" | "goals">,
): Goal[] {
  return options.goals.map((name) => ({
    goal_id: uuidV5(options.workflowId, "goal", name),
    type: "activity",
    name,
  }));
}

/**
 * A name-based UUID (RFC 9562, version 5).
 *
 * @param namespace The UUID that the names are unique in.
 * @param names What is named; `["a", "b"]` and `["a b"]` are two names.
 * @returns Always the same for the same names.
 */
export function uuidV5(namespace: string, ...names: string[]): string {
  const hash = createHash("sha1")
    .update(namespace.replaceAll("-", ""), "hex")
    .update(JSON.stringify(names))
    .digest();
  hash[6] = hash[6]! & 0x0f | 0x50;
  hash[8] = hash[8]! & 0x3f | 0x80;
  const hex = hash.toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join("-");
}
