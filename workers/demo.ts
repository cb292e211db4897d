/**
 * The demo's data: two accounts whose history is recorded and folded like anybody's.
 *
 * @module
 */

import { createAccount } from "../db/access.ts";
import type { Sql } from "../db/client.ts";
import { fold, recordEvents } from "../db/events.ts";
import type { Event } from "../db/schema.ts";
import { putWorkflow, readWorkflow } from "../db/workflows.ts";
import {
  definitionOf,
  DEMO_ACCOUNTS,
  type DemoAccount,
  workflowIdOf,
} from "./_demo_workflows.ts";
import {
  type Enrolment,
  enrolmentsOf,
  executionIdOf,
  HISTORY_DAYS,
  journeyOf,
  type Pace,
} from "./_journey.ts";

const DAY_MS = 86_400_000;

/** Events recorded at once: few enough that progress is seen, many enough to be fast. */
const EVENTS_PER_BATCH = 5_000;

/** Recorded once more after a restart; what is there already is a duplicate. */
const OVERLAP_MS = 10 * 60_000;

/** One demo account with what is still to happen in it. */
export interface Traffic {
  account: DemoAccount;
  account_id: number;
  account_uuid: string;
  /** Events to come of executions that enrolled, earliest first. */
  pending: Event[];
  /** Enrolments up to here are in `pending` or recorded, ms since 1970. */
  plannedUntilMs: number;
  /** When growth ends and version 2 is 40 days old, ms since 1970; `-Infinity`: long ago. */
  grownAtMs: number;
}

/**
 * Makes the demo accounts, registers their workflows, and records what happened in them
 * up to now: 90 days the first time, since the last event afterwards. To run it again
 * adds nothing twice.
 *
 * @param sql A client that may write.
 * @param report Told a line of progress now and then.
 * @param now The present; nothing is dated later.
 * @returns The accounts; the first is the one to show.
 */
export async function seedDemo(
  sql: Sql,
  report: (line: string) => void,
  now: Date,
): Promise<{ account_id: number; account_uuid: string }[]> {
  for (const account of DEMO_ACCOUNTS) await register(sql, account);
  // Without it, executions whose events wait to be folded could not be taken up again.
  await foldAll(sql);
  const traffics = await openTraffic(sql, now);
  await Promise.all(
    traffics.map((traffic) => recordAll(sql, traffic, report, now)),
  );
  report("Counting …");
  // Each folds other workflows; the last call waits for nobody and finds what is left.
  await Promise.all(traffics.map(() => foldAll(sql)));
  await foldAll(sql);
  return traffics.map(({ account_id, account_uuid }) => ({
    account_id,
    account_uuid,
  }));
}

async function recordAll(
  sql: Sql,
  traffic: Traffic,
  report: (line: string) => void,
  now: Date,
): Promise<void> {
  let recorded = 0;
  for (;;) {
    const count = await recordNext(sql, traffic, now);
    if (count === 0) return;
    recorded += count;
    report(`${traffic.account.name}: ${recorded} events recorded`);
  }
}

async function foldAll(sql: Sql): Promise<void> {
  while (await fold(sql) > 0);
}

async function register(sql: Sql, account: DemoAccount): Promise<void> {
  const { account_id } = await findByName(sql, account.name) ??
    await createAccount(sql, account.name, account.timeZone);
  for (const workflow of account.workflows) {
    const id = workflowIdOf(workflow);
    const known = await readWorkflow(sql, account_id, id);
    const first = (known?.version ?? 0) + 1;
    for (let version = first; version <= workflow.versions.length; version++) {
      const definition = definitionOf(workflow, version);
      if (!await putWorkflow(sql, account_id, id, definition)) {
        throw new Error(
          `Cannot register "${workflow.name}": ${id} belongs to another account`,
        );
      }
    }
  }
}

async function findByName(sql: Sql, name: string) {
  const [row] = await sql<[{ account_id: number; account_uuid: string }?]>`
    select account_id, account_uuid from weir.account
    where name = ${name} order by account_id limit 1`;
  return row ?? null;
}

/**
 * Takes the demo's story up where the database left it.
 *
 * @param sql A client that may read every account.
 * @param now The present.
 * @returns One for each demo account; none where there is no demo.
 */
export async function openTraffic(sql: Sql, now: Date): Promise<Traffic[]> {
  const traffics: Traffic[] = [];
  for (const account of DEMO_ACCOUNTS) {
    const found = await findByName(sql, account.name);
    if (!found) continue;
    const lastMs = await readLastEventMs(sql, found.account_id, now);
    const oldestMs = now.getTime() - HISTORY_DAYS * DAY_MS;
    const fromMs = Math.max(oldestMs, (lastMs ?? -Infinity) - OVERLAP_MS);
    const from = new Date(fromMs).toISOString();
    const running = await readRunning(sql, found.account_id, account);
    traffics.push({
      ...found,
      account,
      pending: running.flatMap(({ enrolment, pace }) =>
        journeyOf(enrolment, pace).filter((event) => event.occurred_at > from)
      ).sort(byInstant),
      plannedUntilMs: fromMs,
      grownAtMs: lastMs === null ? now.getTime() : -Infinity,
    });
  }
  return traffics;
}

async function readLastEventMs(
  sql: Sql,
  accountId: number,
  now: Date,
): Promise<number | null> {
  // A visitor's own event may be dated ahead; the story goes on from the present.
  const [row] = await sql<[{ last: Date | null }]>`
    select max(occurred_at) as last
    from weir.event join weir.workflow using (workflow_id)
    where account_id = ${accountId} and occurred_at <= ${now}`;
  return row.last?.getTime() ?? null;
}

/** The executions that still run and are ours: an id proves enrolment and pace. */
async function readRunning(
  sql: Sql,
  accountId: number,
  account: DemoAccount,
): Promise<{ enrolment: Enrolment; pace: Pace }[]> {
  const rows = await sql<
    { workflow: string; execution_id: string; at: Date; version: number }[]
  >`
    select workflow_uuid as workflow, execution_id, enrolled_at as at, version
    from weir.execution join weir.workflow using (workflow_id)
    where account_id = ${accountId} and execution.status = 'active'`;
  return rows.flatMap(function takeUp(row) {
    const atMs = row.at.getTime();
    const workflow = account.workflows
      .find((workflow) => workflowIdOf(workflow) === row.workflow);
    if (!workflow?.versions[row.version - 1]) return [];
    const pace = (["real", "fast"] as const).find((pace) =>
      executionIdOf(workflow, atMs, pace) === row.execution_id
    );
    if (!pace) return [];
    return [{ enrolment: { workflow, atMs, version: row.version }, pace }];
  });
}

/**
 * Records the next events that are due, at most 5,000, as their producer would.
 *
 * @param sql A client that may write.
 * @param traffic What is to happen; the recorded events are taken from it.
 * @param now What is dated later is not due.
 * @returns How many were due; 0: none left.
 */
export async function recordNext(
  sql: Sql,
  traffic: Traffic,
  now: Date,
): Promise<number> {
  plan(traffic, now.getTime());
  const until = now.toISOString();
  const batch = traffic.pending.slice(0, EVENTS_PER_BATCH)
    .filter((event) => event.occurred_at <= until);
  if (batch.length === 0) return 0;
  await recordEvents(sql, traffic.account_id, batch);
  // Only now: a batch that failed is tried again.
  traffic.pending.splice(0, batch.length);
  return batch.length;
}

function plan(traffic: Traffic, untilMs: number): void {
  if (untilMs <= traffic.plannedUntilMs) return;
  const { account, plannedUntilMs, grownAtMs } = traffic;
  for (
    const enrolment of enrolmentsOf(account, plannedUntilMs, untilMs, grownAtMs)
  ) {
    schedule(traffic, journeyOf(enrolment, "real"));
  }
  traffic.plannedUntilMs = untilMs;
  traffic.pending.sort(byInstant);
}

/**
 * Lets somebody enrol whose days of waiting pass within minutes.
 *
 * @param traffic Where.
 * @param enrolment Which workflow, when.
 */
export function enrolFast(traffic: Traffic, enrolment: Enrolment): void {
  schedule(traffic, journeyOf(enrolment, "fast"));
  traffic.pending.sort(byInstant);
}

function schedule(traffic: Traffic, events: Event[]): void {
  for (const event of events) traffic.pending.push(event);
}

/** `toISOString` has a fixed width, so text order is time order; sequences break ties. */
function byInstant(a: Event, b: Event): number {
  if (a.occurred_at !== b.occurred_at) {
    return a.occurred_at < b.occurred_at ? -1 : 1;
  }
  return a.sequence! - b.sequence!;
}
