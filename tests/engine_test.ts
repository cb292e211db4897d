/**
 * A real engine: bpmn-engine runs a process with branches, its listener reports what it
 * tells, and Weir's numbers are what the engine did. A gateway that is not told to
 * report its completion shows as what it is: entered, and never completed.
 *
 * @module
 */

import { EventEmitter } from "node:events";
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Engine } from "bpmn-engine";
import { fold } from "../db/events.ts";
import { uuidOfWords } from "../workers/_random.ts";
import { dbTest } from "./harness.ts";
import { post, put, send, WORKFLOW } from "./routes/_requests.ts";

const PROCESS = `<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <process id="Loan" isExecutable="true">
    <startEvent id="start" />
    <sequenceFlow id="f1" sourceRef="start" targetRef="score" />
    <scriptTask id="score" scriptFormat="javascript"><script>next();</script></scriptTask>
    <sequenceFlow id="f2" sourceRef="score" targetRef="switch" />
    <exclusiveGateway id="switch" default="toReject" />
    <sequenceFlow id="toPay" sourceRef="switch" targetRef="pay">
      <conditionExpression xsi:type="tFormalExpression" language="javascript">next(null, this.environment.variables.score &gt; 5);</conditionExpression>
    </sequenceFlow>
    <sequenceFlow id="toReject" sourceRef="switch" targetRef="reject" />
    <scriptTask id="pay" scriptFormat="javascript"><script>next();</script></scriptTask>
    <scriptTask id="reject" scriptFormat="javascript"><script>next();</script></scriptTask>
    <sequenceFlow id="f3" sourceRef="pay" targetRef="end" />
    <sequenceFlow id="f4" sourceRef="reject" targetRef="end" />
    <endEvent id="end" />
  </process>
</definitions>`;

const STEPS = ["score", "switch", "pay", "reject"];

function stepId(name: string): string {
  return uuidOfWords(WORKFLOW, name);
}

/** Runs the process once, and returns what a producer would report of it. */
async function run(score: number): Promise<Record<string, unknown>[]> {
  const execution_id = crypto.randomUUID();
  const events: Record<string, unknown>[] = [];
  function note(type: string, fields: Record<string, unknown> = {}): void {
    events.push({
      id: `${execution_id}:${events.length}`,
      sequence: events.length,
      type,
      workflow_id: WORKFLOW,
      execution_id,
      contact_id: `applicant-${score}`,
      occurred_at: new Date().toISOString(),
      ...fields,
    });
  }
  const listener = new EventEmitter();
  listener.on("activity.enter", ({ id }: { id: string }) => {
    if (STEPS.includes(id)) note("step.entered", { step_id: stepId(id) });
  });
  listener.on("activity.end", ({ id }: { id: string }) => {
    // As with engines whose switch only passes on.
    if (id === "switch" || !STEPS.includes(id)) return;
    note("step.completed", { step_id: stepId(id) });
  });
  note("execution.enrolled", { source: "api" });
  const engine = new Engine({ name: "loan", source: PROCESS });
  const done = Promise.withResolvers<void>();
  engine.once("end", () => done.resolve());
  engine.once("error", done.reject);
  await engine.execute({ listener, variables: { score } });
  await done.promise;
  note("execution.completed");
  return events;
}

dbTest(
  "a real engine's branching process has the numbers it ran",
  async (world) => {
    world.clock.now = new Date();
    const next: Record<string, string[]> = {
      score: ["switch"],
      switch: ["pay", "reject"],
      pay: [],
      reject: [],
    };
    await put(world, {
      name: "Loan",
      steps: STEPS.map((name, order) => ({
        step_id: stepId(name),
        name,
        type: name === "switch" ? "condition" : "action",
        order,
        next: next[name]!.map(stepId),
      })),
    });
    const scores = [1, 3, 5, 6, 7, 8, 9];
    for (const score of scores) {
      const answer = await post(world, await run(score));
      deepStrictEqual(answer.json.errors, [], answer.text);
    }
    while (await fold(world.sql) > 0);
    const today = world.clock.now.toISOString().slice(0, 10);
    const base = `/api/v1/workflows/${WORKFLOW}`;
    const { json: funnel } = await send(
      world,
      "GET",
      `${base}/analytics/funnel?start_date=${today}&end_date=${today}`,
    );
    type Row = Record<string, unknown>;
    deepStrictEqual(
      funnel.funnel_steps.map((step: Row) => [
        step.step_name,
        step.entered,
        step.completed,
        step.goal_exits,
        step.dropped_off,
        step.in_progress,
      ]),
      [
        ["score", 7, 7, 0, 0, 0],
        // The executions went on and completed, with it open.
        ["switch", 7, 0, 7, 0, 0],
        ["pay", 4, 4, 0, 0, 0],
        ["reject", 3, 3, 0, 0, 0],
      ],
    );
    strictEqual(funnel.overall_conversion, 100);
    const { json: quality } = await send(world, "GET", `${base}/quality`);
    deepStrictEqual(
      quality.never_completed.map((
        step: Row,
      ) => [step.step_name, step.left_open]),
      [["switch", 7]],
    );
    deepStrictEqual(quality.forbidden_transitions, []);
    deepStrictEqual(quality.unknown_steps, []);
  },
);
