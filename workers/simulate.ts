/**
 * Keeps the demo alive: its story goes on in real time, and beside it some contacts run
 * through in minutes, so that whoever watches sees numbers move.
 *
 * @module
 */

import type { Sql } from "../db/client.ts";
import { enrolFast, openTraffic, recordNext, type Traffic } from "./demo.ts";
import { EVENT_ACCEPTED } from "./fold.ts";
import { pick, randomOf } from "./_random.ts";
import type { Job } from "./run.ts";

/** Between two fast enrolments while somebody has just started the demo, ms. */
const FIRST_PAUSE_MS = 18_000;

/** After so long the pause has doubled, after twice as long trebled, …, ms. */
const PAUSE_DOUBLES_MS = 30 * 60_000;

/**
 * Longest pause between two fast enrolments, ms: under 300 a day, some 4,000 events, so
 * that a demo left running stays small.
 */
const LONGEST_PAUSE_MS = 5 * 60_000;

/**
 * Makes a simulator that takes its beginning from its first run. It keeps nothing: a
 * later one goes on from the database.
 *
 * @param now The clock.
 * @returns A job to run about every second; idle where there is no demo.
 */
export function createSimulation(now: () => Date): Job {
  let traffics: Traffic[] | null = null;
  let startedAtMs = 0;
  let nextFastAtMs = 0;
  return {
    name: "simulate",
    everySeconds: 1,
    async run({ sql, signal }) {
      const at = now();
      if (traffics === null) {
        traffics = await openTraffic(sql, at);
        startedAtMs = nextFastAtMs = at.getTime();
      }
      if (at.getTime() >= nextFastAtMs && traffics.length > 0) {
        enrolSomebody(traffics, at.getTime());
        nextFastAtMs = at.getTime() +
          pauseMs(at.getTime() - startedAtMs, at.getTime());
      }
      return { events: await recordDue(sql, traffics, at, signal) };
    },
  };
}

/** The simulator of `deno task demo`. */
export const simulate: Job = createSimulation(() => new Date());

async function recordDue(
  sql: Sql,
  traffics: Traffic[],
  at: Date,
  signal: AbortSignal,
): Promise<number> {
  let events = 0;
  for (const traffic of traffics) {
    while (!signal.aborted) {
      const count = await recordNext(sql, traffic, at);
      if (count === 0) break;
      events += count;
    }
  }
  if (events > 0) await sql`select pg_notify(${EVENT_ACCEPTED}, '')`;
  return events;
}

function enrolSomebody(traffics: Traffic[], atMs: number): void {
  const choices = traffics.flatMap((traffic) =>
    traffic.account.workflows
      .filter((workflow) => workflow.enrolledPerDay > 0)
      .map((workflow): [() => void, number] => [
        function enrol() {
          const version = workflow.versions.length;
          enrolFast(traffic, { workflow, atMs, version });
        },
        workflow.enrolledPerDay,
      ])
  );
  pick(randomOf("fast", atMs), choices)();
}

/** Half to one and a half times the pause of this age, so that it is no metronome. */
function pauseMs(ageMs: number, atMs: number): number {
  const usualMs = FIRST_PAUSE_MS * (1 + ageMs / PAUSE_DOUBLES_MS);
  const jitter = 0.5 + randomOf("pause", atMs)();
  return Math.min(usualMs, LONGEST_PAUSE_MS) * jitter;
}
