import assert from "node:assert/strict";
import { Event } from "../../db/schema.ts";
import {
  goalsOf,
  History,
  type HistoryOptions,
  type HistoryTotals,
  type Transition,
  uuidV5,
} from "../../workers/_history.ts";

const WORKFLOW = "5d0c7c1e-0000-4000-8000-000000000001";

const OPTIONS: HistoryOptions = {
  workflowId: WORKFLOW,
  source: "bulk",
  goals: [],
  ends: [],
  endReason: "completed",
  unended: "completed",
  oldestMicros: -Infinity,
};

/** `case activity transition minute`, the minutes of 2026-05-01 08:00 UTC. */
type Row = [string, string, Transition, number];

function historyOf(rows: Row[]): History {
  const history = new History();
  for (const [caseId, activity, transition, minute] of rows) {
    const micros = Date.UTC(2026, 4, 1, 8, minute) * 1000;
    history.add(caseId, activity, transition, micros);
  }
  return history;
}

function tell(
  rows: Row[],
  options: Partial<HistoryOptions> = {},
): { events: Event[]; totals: HistoryTotals } {
  const totals: HistoryTotals = {
    executions: 0,
    events: 0,
    goalsAchieved: 0,
    ended: 0,
    unended: 0,
    tooOld: { cases: 0, rows: 0 },
    firstMicros: null,
    lastMicros: null,
  };
  const told = historyOf(rows).events({ ...OPTIONS, ...options }, totals);
  // Whatever is told must be an event that the API would take.
  return { events: [...told].map((event) => Event.parse(event)), totals };
}

/** `08:05 step.entered A` with the names that the ids were made of. */
function inWords(events: Event[], activities: string[]): string[] {
  const names = new Map(activities.flatMap((name) => [
    [uuidV5(WORKFLOW, "step", name), name],
    [uuidV5(WORKFLOW, "goal", name), name],
  ]));
  return events.map((event) => {
    const subject = "step_id" in event
      ? event.step_id
      : "goal_id" in event
      ? event.goal_id
      : "";
    const reason = "reason" in event ? ` ${event.reason}` : "";
    const name = subject === "" ? "" : ` ${names.get(subject)}`;
    return `${event.occurred_at.slice(11, 16)} ${event.type}${name}${reason}`;
  });
}

Deno.test("events() of completions enter a step at the event before", () => {
  const { events, totals } = tell([
    ["c", "B", "complete", 5],
    ["c", "A", "complete", 0],
    ["c", "A", "complete", 9],
  ]);
  assert.deepEqual(inWords(events, ["A", "B"]), [
    "08:00 execution.enrolled",
    "08:00 step.entered A",
    "08:00 step.completed A",
    "08:00 step.entered B",
    "08:05 step.completed B",
    "08:05 step.entered A",
    "08:09 step.completed A",
    "08:09 execution.completed",
  ]);
  assert.deepEqual(events.map((event) => event.sequence), [
    ...[0, 1, 2, 3, 4, 5, 6, 7],
  ]);
  assert.equal(new Set(events.map((event) => event.id)).size, 8);
  assert.equal(new Set(events.map((event) => event.execution_id)).size, 1);
  assert.ok(events.every((event) => event.contact_id === "c"));
  assert.deepEqual([totals.executions, totals.events], [1, 8]);
});

Deno.test("events() of starts and completions are told as they are", () => {
  const { events } = tell([
    ["c", "A", "start", 1],
    ["c", "A", "complete", 2],
    // Nobody ever noted a start of B.
    ["c", "B", "complete", 4],
    ["c", "A", "complete", 5],
    ["d", "A", "start", 7],
  ]);
  assert.deepEqual(inWords(events, ["A", "B"]), [
    "08:01 execution.enrolled",
    "08:01 step.entered A",
    "08:02 step.completed A",
    "08:02 step.entered B",
    "08:04 step.completed B",
    "08:05 step.completed A",
    "08:05 execution.completed",
    "08:07 execution.enrolled",
    "08:07 step.entered A",
    "08:07 execution.completed",
  ]);
});

Deno.test("events() keep the file's order within one instant", () => {
  const { events } = tell([
    ["c", "B", "complete", 0],
    ["c", "A", "complete", 0],
  ]);
  assert.deepEqual(inWords(events, ["A", "B"]).slice(1, 5), [
    "08:00 step.entered B",
    "08:00 step.completed B",
    "08:00 step.entered A",
    "08:00 step.completed A",
  ]);
});

Deno.test("events() end at the first end, and leave cases without one open", () => {
  const rows: Row[] = [
    ["c", "A", "complete", 0],
    ["c", "End", "complete", 1],
    ["c", "End", "complete", 2],
    ["c", "A", "complete", 3],
    ["d", "A", "complete", 4],
  ];
  const ends = { ends: ["End"], unended: "open" };
  const { events, totals } = tell(rows, ends);
  const terminal = (event: Event) =>
    event.type === "execution.completed" || event.type === "execution.exited";
  assert.deepEqual(inWords(events.filter(terminal), []), [
    "08:01 execution.completed",
  ]);
  assert.deepEqual([totals.ended, totals.unended], [1, 1]);
  const told = tell(rows, {
    ...ends,
    endReason: "transferred",
    unended: "abandoned",
  });
  assert.deepEqual(inWords(told.events.filter(terminal), []), [
    "08:01 execution.exited transferred",
    "08:04 execution.exited abandoned",
  ]);
});

Deno.test("events() achieve a goal once, when it is completed", () => {
  const rows: Row[] = [
    ["c", "A", "start", 0],
    ["c", "Buy", "start", 1],
    ["c", "Buy", "complete", 2],
    ["c", "Buy", "complete", 3],
    ["c", "Seen", "start", 4],
  ];
  const goals = ["Buy", "Seen"];
  const { events, totals } = tell(rows, { goals });
  assert.deepEqual(
    inWords(events, goals).filter((text) => / (goal|execution)\./.test(text)),
    [
      "08:00 execution.enrolled",
      "08:02 goal.achieved Buy",
      // Only ever started: its start is the goal. And the goal has ended the case.
      "08:04 goal.achieved Seen",
    ],
  );
  assert.deepEqual([totals.goalsAchieved, totals.ended], [2, 1]);
  assert.deepEqual(
    goalsOf({ workflowId: WORKFLOW, goals }).map(({ name }) => name),
    goals,
  );
});

Deno.test("events() are the same whatever the rows' order", () => {
  const rows: Row[] = [
    ["c", "A", "complete", 0],
    ["d", "A", "complete", 3],
    ["c", "B", "complete", 1],
    ["c", "A", "complete", 2],
  ];
  const byId = (a: Event, b: Event) => a.id < b.id ? -1 : 1;
  assert.deepEqual(
    tell(rows.toReversed()).events.sort(byId),
    tell(rows).events.sort(byId),
  );
});

Deno.test("events() leave out cases that began too long ago, whole", () => {
  const { events, totals } = tell([
    ["old", "A", "complete", 0],
    ["old", "B", "complete", 9],
    ["new", "A", "complete", 5],
  ], { oldestMicros: Date.UTC(2026, 4, 1, 8, 5) * 1000 });
  assert.deepEqual(
    new Set(events.map((event) => event.contact_id)),
    new Set(["new"]),
  );
  assert.deepEqual(totals.tooOld, { cases: 1, rows: 2 });
});

/** Cases as words, each activity a minute after the one before. */
function namesInOrder(cases: string[], goals: string[] = []): string[] {
  const rows = cases.flatMap((activities, number) =>
    activities.split(" ").map((activity, minute): Row => [
      `case ${number}`,
      activity,
      "complete",
      minute,
    ])
  );
  const steps = historyOf(rows).steps({ workflowId: WORKFLOW, goals });
  assert.deepEqual(steps.map(({ order }) => order), [...steps.keys()]);
  assert.ok(
    steps.every((step) =>
      step.step_id === uuidV5(WORKFLOW, "step", step.name) &&
      step.type === (goals.includes(step.name) ? "goal" : "action")
    ),
  );
  return steps.map(({ name }) => name);
}

Deno.test("steps() are in order of when cases first come to them", () => {
  assert.deepEqual(
    namesInOrder([
      "Start Left End",
      "Start Right Right End Start",
      "Start",
      "Left Right",
    ], ["End"]),
    ["Start", "Left", "Right", "End"],
  );
});

Deno.test("steps() keep their order where most cases break off or skip", () => {
  assert.deepEqual(
    namesInOrder(["Z Y X W", ...Array(9).fill("Z Y"), ...Array(9).fill("Z")]),
    ["Z", "Y", "X", "W"],
  );
  assert.deepEqual(
    namesInOrder(["Z Y X W", ...Array(9).fill("Z W")]),
    ["Z", "Y", "X", "W"],
  );
});

Deno.test("steps() puts ties by name, in whatever order they appear", () => {
  const rows: Row[] = [
    ["c", "A", "complete", 0],
    ["c", "C", "complete", 1],
    ["d", "A", "complete", 2],
    ["d", "B", "complete", 3],
  ];
  for (const order of [rows, rows.toReversed()]) {
    assert.deepEqual(
      historyOf(order).steps({ workflowId: WORKFLOW, goals: [] })
        .map(({ name }) => name),
      ["A", "B", "C"],
    );
  }
});

Deno.test("uuidV5() is version 5 of RFC 9562, and keeps names apart", () => {
  // Known answer: Python's uuid.uuid5(uuid.NAMESPACE_DNS, '["a","b"]').
  const dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  assert.equal(uuidV5(dns, "a", "b"), "bd4c1fe6-dea7-51ca-b3f3-2a90b4817ead");
  assert.notEqual(uuidV5(dns, "a", "b"), uuidV5(dns, "a,b"));
});
