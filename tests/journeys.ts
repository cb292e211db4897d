/**
 * Believable trouble: executions with every kind of event, many of them at the same
 * instants, before the enrolment, after the end, or without an enrolment at all.
 *
 * @module
 */

import { type Event, SOURCES } from "../db/schema.ts";
import { pick, type Random, uuidOfWords } from "../workers/_random.ts";

/** Steps, and goals, of every workflow made here. */
const STEPS = 6;
const GOALS = 3;

const HOUR_SECONDS = 3_600;

type Envelope =
  | "id"
  | "workflow_id"
  | "execution_id"
  | "contact_id"
  | "occurred_at"
  | "sequence";
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K>
  : never;

/** What its type asks of an event. */
type Fact = DistributiveOmit<Event, Envelope>;

/**
 * @param workflowId Of which workflow.
 * @param n From 0.
 * @returns The id of its n-th step.
 */
export function stepIdOf(workflowId: string, n: number): string {
  return uuidOfWords(workflowId, "step", n);
}

/**
 * @param workflowId Of which workflow.
 * @param n From 0.
 * @returns The id of its n-th goal.
 */
export function goalIdOf(workflowId: string, n: number): string {
  return uuidOfWords(workflowId, "goal", n);
}

/**
 * Lives one execution: about ten events.
 *
 * @param random Where chance comes from.
 * @param workflowId In which workflow.
 * @param name Unique in the workflow; names the execution and its events.
 * @param startMs When it enrols, ms since 1970; it lasts hours at most.
 * @returns Its events, in no order that matters.
 */
export function journeyOf(
  random: Random,
  workflowId: string,
  name: string,
  startMs: number,
): Event[] {
  const contact_id = `contact-${Math.floor(random() * 500)}`;
  return factsOf(random, workflowId).map(([seconds, fact], i) =>
    ({
      id: `${name}-${i}`,
      workflow_id: workflowId,
      execution_id: uuidOfWords(workflowId, name),
      contact_id,
      occurred_at: new Date(startMs + Math.round(seconds) * 1_000)
        .toISOString(),
      ...(random() < 0.2 && { sequence: Math.floor(random() * 3) }),
      ...fact,
    }) as Event
  );
}

/** Pairs of seconds after the enrolment and what happened. */
function factsOf(random: Random, workflowId: string): [number, Fact][] {
  const facts: [number, Fact][] = [];
  const enrolments = pick(random, [[1, 88], [0, 4], [2, 8]]);
  for (let i = 0; i < enrolments; i++) {
    facts.push([i * (random() - 0.5) * 2 * HOUR_SECONDS, enrolment(random)]);
  }
  let seconds = 0;
  const steps = Math.floor(random() * (STEPS + 1));
  for (let step = 0; step < steps; step++) {
    const step_id = stepIdOf(workflowId, step);
    const stay = pick(random, [[0, 1], [random() * 3 * HOUR_SECONDS, 4]]);
    for (let visits = pick(random, [[1, 8], [2, 1], [0, 1]]); visits--;) {
      facts.push([seconds + visits * 60, { type: "step.entered", step_id }]);
    }
    for (let runs = pick(random, [[0, 1], [1, 2], [3, 1]]); runs--;) {
      facts.push([seconds + random() * stay, action(random, step_id)]);
    }
    seconds += stay;
    if (random() < 0.85) {
      facts.push([seconds, { type: "step.completed", step_id }]);
    }
  }
  for (let goals = pick(random, [[0, 6], [1, 3], [2, 1]]); goals--;) {
    const goal_id = goalIdOf(workflowId, Math.floor(random() * GOALS));
    const at = (random() * 4 - 0.5) * HOUR_SECONDS;
    facts.push([at, { type: "goal.achieved", goal_id }]);
  }
  for (let ends = pick(random, [[0, 3], [1, 8], [2, 1]]); ends--;) {
    facts.push([seconds + random() * 10 - 2, ending(random)]);
  }
  return facts;
}

function enrolment(random: Random): Fact {
  return {
    type: "execution.enrolled",
    source: SOURCES[Math.floor(random() * SOURCES.length)]!,
    ...(random() < 0.5 && { workflow_version: 1 + Math.floor(random() * 3) }),
  };
}

function action(random: Random, step_id: string): Fact {
  return {
    type: "action.executed",
    step_id,
    status: random() < 0.9 ? "succeeded" : "failed",
    duration_ms: Math.floor(random() * 9_000_000) / 1_000,
  };
}

function ending(random: Random): Fact {
  return pick<Fact>(random, [
    [{ type: "execution.completed" }, 4],
    [{ type: "execution.failed", error: "Cannot reach the mailbox" }, 1],
    [{ type: "execution.exited", reason: "unsubscribed" }, 2],
    [{ type: "execution.exited", reason: "manual_removal" }, 1],
    [{ type: "execution.exited", reason: "goal_achieved" }, 1],
  ]);
}
