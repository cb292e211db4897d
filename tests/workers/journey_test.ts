import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Event } from "../../db/schema.ts";
import { definitionOf, DEMO_ACCOUNTS } from "../../workers/_demo_workflows.ts";
import {
  type Enrolment,
  enrolmentsOf,
  executionIdOf,
  journeyOf,
  squeezedMs,
} from "../../workers/_journey.ts";

const NOW_MS = Date.parse("2026-03-01T12:00:30Z");
const DAY_MS = 86_400_000;

Deno.test("enrolmentsOf() says the same for the same stretch", () => {
  for (const account of DEMO_ACCOUNTS) {
    deepStrictEqual(
      enrolmentsOf(account, NOW_MS - 90 * DAY_MS, NOW_MS, NOW_MS),
      enrolmentsOf(account, NOW_MS - 90 * DAY_MS, NOW_MS, NOW_MS),
    );
  }
});

Deno.test("enrolmentsOf() cut in two enrols nobody twice and forgets nobody", () => {
  for (const account of DEMO_ACCOUNTS) {
    const whole = enrolmentsOf(account, NOW_MS - 9 * DAY_MS, NOW_MS, NOW_MS);
    const cutMs = whole[20]!.atMs;
    const parts = [
      ...enrolmentsOf(account, NOW_MS - 9 * DAY_MS, cutMs, NOW_MS),
      ...enrolmentsOf(account, cutMs, NOW_MS, NOW_MS),
    ];
    deepStrictEqual(idsOf(parts).sort(), idsOf(whole).sort());
    strictEqual(new Set(idsOf(parts)).size, parts.length);
  }
});

Deno.test("enrolmentsOf() follows the business hours of the account's zone", () => {
  const clinic = DEMO_ACCOUNTS[1]!;
  const hours = history(clinic).map(({ atMs }) =>
    Number(
      new Date(atMs).toLocaleString("en-US", {
        timeZone: clinic.timeZone,
        hour: "2-digit",
        hourCycle: "h23",
      }),
    )
  );
  strictEqual(hours.filter((hour) => hour < 6 || hour > 22).length, 0);
  const morning = hours.filter((hour) => hour >= 8 && hour < 12).length;
  ok(morning > hours.length / 3, `${morning} of ${hours.length}`);
});

Deno.test("enrolmentsOf() grows, and changes a workflow's version once", () => {
  const [account] = DEMO_ACCOUNTS;
  const enrolments = history(account!);
  const half = NOW_MS - 45 * DAY_MS;
  const late = enrolments.filter((one) => one.atMs > half).length;
  ok(late > enrolments.length * 0.53, `${late} of ${enrolments.length}`);
  const trial = enrolments.filter((one) => one.workflow.versions.length > 1)
    .sort((a, b) => a.atMs - b.atMs).map((one) => one.version);
  deepStrictEqual(trial, trial.toSorted());
  deepStrictEqual([...new Set(trial)], [1, 2]);
});

Deno.test("journeyOf() makes valid events, each id once, in their order", () => {
  const ids = new Set<string>();
  let events = 0;
  for (const account of DEMO_ACCOUNTS) {
    for (const enrolment of history(account)) {
      let before = new Date(enrolment.atMs).toISOString();
      for (const event of journeyOf(enrolment, "real")) {
        deepStrictEqual(Event.parse(event), event);
        ok(event.occurred_at >= before, `${event.id} is out of order`);
        before = event.occurred_at;
        ids.add(`${event.workflow_id} ${event.id}`);
        events++;
      }
    }
  }
  strictEqual(ids.size, events);
  ok(events > 30_000 && events < 80_000, `${events} events`);
});

Deno.test("journeyOf() passes only steps and goals of its version", () => {
  for (const account of DEMO_ACCOUNTS) {
    for (const enrolment of history(account)) {
      const version = definitionOf(enrolment.workflow, enrolment.version);
      const known = new Set([
        ...version.steps.map((step) => step.step_id),
        ...version.goals.map((goal) => goal.goal_id),
      ]);
      for (const event of journeyOf(enrolment, "real")) {
        if ("step_id" in event) ok(known.has(event.step_id), event.id);
        if ("goal_id" in event) ok(known.has(event.goal_id), event.id);
      }
    }
  }
});

Deno.test("journeyOf() tells a story of every kind", () => {
  const seen = new Set<string>();
  const contacts = new Map<string, number>();
  for (const enrolment of history(DEMO_ACCOUNTS[0]!)) {
    const events = journeyOf(enrolment, "real");
    const { contact_id } = events[0]!;
    contacts.set(contact_id, (contacts.get(contact_id) ?? 0) + 1);
    for (const event of events) {
      seen.add(event.type);
      if (event.type === "execution.exited") seen.add(event.reason);
      if (event.type === "action.executed") seen.add(event.status);
    }
  }
  for (
    const kind of [
      "goal.achieved",
      "execution.completed",
      "execution.failed",
      "unsubscribed",
      "manual_removal",
      "trial_cancelled",
      "succeeded",
      "failed",
    ]
  ) {
    ok(seen.has(kind), `no ${kind}`);
  }
  ok([...contacts.values()].some((count) => count > 1), "nobody came back");
});

Deno.test("journeyOf() lets a fast one live minutes, under an id of its own", () => {
  const workflow = DEMO_ACCOUNTS[0]!.workflows[1]!;
  for (let i = 0; i < 200; i++) {
    const enrolment = { workflow, atMs: NOW_MS + i, version: 2 };
    const events = journeyOf(enrolment, "fast");
    const lastMs = Date.parse(events.at(-1)!.occurred_at);
    ok(lastMs - enrolment.atMs < 30 * 60_000, `${lastMs - enrolment.atMs} ms`);
    ok(events[0]!.execution_id !== executionIdOf(workflow, NOW_MS + i, "real"));
  }
});

Deno.test("squeezedMs() keeps seconds and never turns longer into shorter", () => {
  strictEqual(squeezedMs(0), 0);
  strictEqual(squeezedMs(3_000), 3_000);
  ok(squeezedMs(7 * DAY_MS) < 3 * 60_000);
  for (let ms = 1; ms < 30 * DAY_MS; ms *= 1.3) {
    ok(squeezedMs(ms * 1.3) > squeezedMs(ms), `at ${ms} ms`);
  }
});

function history(account: (typeof DEMO_ACCOUNTS)[number]): Enrolment[] {
  return enrolmentsOf(account, NOW_MS - 90 * DAY_MS, NOW_MS, NOW_MS);
}

function idsOf(enrolments: Enrolment[]): string[] {
  return enrolments.map((one) => executionIdOf(one.workflow, one.atMs, "real"));
}
