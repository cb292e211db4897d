/**
 * Writers that hold their transactions open, roll back and report the same events as
 * others, while two folders fold: the order in which things are committed must lose
 * and double nothing.
 *
 * `HAZARD_SEED` repeats the events and batches of a run; what meets when does not.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { fold, type Outcome, recordEvents } from "../../db/events.ts";
import { type Event, WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { type Random, randomOf, uuidOfWords } from "../../workers/_random.ts";
import { type Known, sameAsKnown } from "../exact.ts";
import { dbTest, NOW } from "../harness.ts";
import { journeyOf, stepIdOf } from "../journeys.ts";
import { recount } from "../recount.ts";

const SEED = Number(
  Deno.env.get("HAZARD_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

const WRITERS = 8;
const FOLDERS = 2;
const BATCH_EVENTS_MAX = 60;
const HOLD_MS_MAX = 20;
const ROLLBACK_SHARE = 0.05;

/** Share of events that a second writer reports as well, and of those that it garbles. */
const REPEAT_SHARE = 0.15;
const CONFLICT_SHARE = 0.1;

const DAY_MS = 86_400_000;

/** Accounts, and how many executions each of their workflows has; the first one is hot. */
const ACCOUNTS = [
  { zone: "UTC", executions: [2_200, 400, 200] },
  { zone: "Asia/Kathmandu", executions: [400, 300] },
  { zone: "America/New_York", executions: [100] },
];

/** What one transaction reports, how long it stays open, and how it ends. */
interface Batch {
  accountId: number;
  events: Event[];
  holdMs: number;
  rollsBack: boolean;
}

/** Everything that writers were told by transactions that they committed. */
interface Ledger {
  /** By workflow and id. */
  accepted: Map<string, Event>;
  repeated: Event[];
  conflicting: Event[];
  rolledBack: number;
}

class RolledBack extends Error {}

dbTest(
  "fold() counts every committed event once, beside 8 writers and another folder",
  async ({ sql, database_url }) => {
    console.info(`HAZARD_SEED=${SEED}`);
    const random = randomOf(SEED);
    const known = await createWorld(sql);
    const batches = planBatches(random, known);
    const ledger: Ledger = {
      accepted: new Map(),
      repeated: [],
      conflicting: [],
      rolledBack: 0,
    };

    const writing = writeAll(database_url, batches, ledger);
    const folding = Array.from(
      { length: FOLDERS },
      (_, n) => foldUntil(database_url, writing, randomOf(SEED, "folder", n)),
    );
    const looking = lookUntil(database_url, writing);
    // To their end, also when one fails: it is its message that counts.
    await Promise.allSettled([writing, looking, ...folding]);
    await writing;
    const looks = await looking;
    const folded = await Promise.all(folding);
    const rest = await foldAll(sql);

    ok(folded.every((events) => events > 0), `folded ${folded}, then ${rest}`);
    strictEqual(sum(folded) + rest, ledger.accepted.size);
    ok(looks > 1, "nobody looked while it went on");
    checkLedger(ledger, batches);
    for (const one of known) one.events = acceptedOf(ledger, one);
    await sameAsKnown(sql, known, {
      start_date: "2026-05-25",
      end_date: "2026-06-16",
      zones: ["Australia/Lord_Howe"],
      now: NOW,
    });
  },
);

/** Some of the workflows are registered: goals end executions in one, not in the other. */
async function createWorld(sql: Sql): Promise<Known[]> {
  const all: Known[] = [];
  for (const [n, { zone, executions }] of ACCOUNTS.entries()) {
    const { account_id } = await createAccount(sql, `Account ${n}`, zone);
    for (const i of executions.keys()) {
      all.push({
        account_id,
        workflow_id: uuidOfWords(SEED, "workflow", n, i),
        account_zone: zone,
        events: [],
        settings: { conversion_window: "P90D", goal_ends_execution: true },
        versions: [],
      });
    }
  }
  await register(sql, all[0]!, { window: "PT2H", goalEnds: false, steps: 2 });
  await register(sql, all[0]!, { window: "PT2H", goalEnds: false, steps: 4 });
  await register(sql, all[3]!, { window: "P1D", goalEnds: true, steps: 6 });
  return all;
}

async function register(
  sql: Sql,
  known: Known,
  asked: { window: string; goalEnds: boolean; steps: number },
): Promise<void> {
  const { account_id, workflow_id } = known;
  const workflow = await putWorkflow(
    sql,
    account_id,
    workflow_id,
    WorkflowDefinition.parse({
      name: "Any",
      conversion_window: asked.window,
      goal_ends_execution: asked.goalEnds,
      steps: Array.from({ length: asked.steps }, (_, order) => ({
        step_id: stepIdOf(workflow_id, order),
        name: `Step ${order}`,
        type: "action",
        order,
      })),
    }),
  );
  known.settings = workflow!;
  known.versions = workflow!.versions;
}

/** In a random order, with repeats of some events close by, for writers to meet at. */
function planBatches(random: Random, all: Known[]): Batch[] {
  const counts = ACCOUNTS.flatMap((account) => account.executions);
  const byAccount = Map.groupBy(
    all.flatMap((known, i) => journeysOf(random, known, counts[i]!)),
    ({ accountId }) => accountId,
  );
  const batches = shuffled(
    random,
    [...byAccount].flatMap(([accountId, reports]) =>
      cut(random, shuffled(random, reports.map(({ event }) => event)))
        .map((events) => ({
          accountId,
          events,
          holdMs: random() * HOLD_MS_MAX,
          rollsBack: random() < ROLLBACK_SHARE,
        }))
    ),
  );
  for (const [i, { accountId, events }] of batches.entries()) {
    const near = batches.slice(i + 1, i + WRITERS)
      .find((batch) => batch.accountId === accountId);
    for (const event of near ? events.slice() : []) {
      if (random() >= REPEAT_SHARE) continue;
      const isGarbled = random() < CONFLICT_SHARE;
      near!.events.push(isGarbled ? { ...event, contact_id: "other" } : event);
    }
  }
  return batches;
}

function journeysOf(
  random: Random,
  { account_id, workflow_id }: Known,
  executions: number,
): { accountId: number; event: Event }[] {
  return Array.from({ length: executions }, (_, n) => {
    const startMs = NOW.getTime() - Math.floor(random() * 20 * DAY_MS);
    return journeyOf(random, workflow_id, `run-${n}`, startMs);
  }).flat().map((event) => ({ accountId: account_id, event }));
}

/** Each writer takes the next batch as soon as it has ended the one before. */
async function writeAll(
  url: string,
  batches: Batch[],
  ledger: Ledger,
): Promise<void> {
  const waiting = batches.values();
  await Promise.all(Array.from({ length: WRITERS }, async () => {
    const sql = connect(url, { max: 1, statementTimeoutMs: 60_000 });
    try {
      for (const batch of waiting) await write(sql, batch, ledger);
    } finally {
      await sql.end();
    }
  }));
}

async function write(sql: Sql, batch: Batch, ledger: Ledger): Promise<void> {
  const { accountId, events, holdMs, rollsBack } = batch;
  let outcomes: Outcome[] = [];
  try {
    await sql.begin(async (tx) => {
      outcomes = await recordEvents(tx as unknown as Sql, accountId, events);
      await tx`select pg_sleep(${holdMs / 1_000})`;
      if (rollsBack) throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
    ledger.rolledBack++;
    return;
  }
  for (const [i, event] of events.entries()) {
    if (outcomes[i] === "duplicate") ledger.repeated.push(event);
    else if (outcomes[i] === "event_conflict") ledger.conflicting.push(event);
    else {
      strictEqual(outcomes[i], "accepted");
      strictEqual(ledger.accepted.has(nameOf(event)), false);
      ledger.accepted.set(nameOf(event), event);
    }
  }
}

/** Folds in small rounds of changing size. Returns how many events. */
async function foldUntil(
  url: string,
  ended: Promise<void>,
  random: Random,
): Promise<number> {
  const sql = connect(url, { max: 1, statementTimeoutMs: 60_000 });
  let isOver = false;
  let folded = 0;
  ended.finally(() => isOver = true).catch(() => {});
  try {
    while (!isOver) folded += await fold(sql, 1 + Math.floor(random() * 400));
    return folded;
  } finally {
    await sql.end();
  }
}

/** Every number is right at every instant, for what has been folded by then. */
async function lookUntil(url: string, ended: Promise<void>): Promise<number> {
  const sql = connect(url, { max: 1, statementTimeoutMs: 60_000 });
  let isOver = false;
  let looks = 0;
  ended.finally(() => isOver = true).catch(() => {});
  try {
    for (; !isOver; looks++) deepStrictEqual(await recount(sql), []);
    return looks;
  } finally {
    await sql.end();
  }
}

async function foldAll(sql: Sql): Promise<number> {
  let folded = 0;
  for (;;) {
    const round = await fold(sql, 5_000);
    if (round === 0) return folded;
    folded += round;
  }
}

/** What was refused must be there already; and the test must have met what it is for. */
function checkLedger(ledger: Ledger, batches: Batch[]): void {
  const { accepted, repeated, conflicting, rolledBack } = ledger;
  for (const event of repeated) {
    deepStrictEqual(accepted.get(nameOf(event)), event);
  }
  for (const event of conflicting) {
    const other = accepted.get(nameOf(event));
    ok(other && other.contact_id !== event.contact_id, nameOf(event));
  }
  strictEqual(rolledBack, batches.filter((one) => one.rollsBack).length);
  ok(accepted.size > 20_000 && rolledBack > 10);
  ok(repeated.length > 1_000 && conflicting.length > 100);
  console.info(
    `${accepted.size} events accepted, ${repeated.length} repeated, ` +
      `${conflicting.length} conflicting, ${rolledBack} of ${batches.length} batches rolled back`,
  );
}

function acceptedOf(ledger: Ledger, { workflow_id, versions }: Known) {
  const newest = Math.max(1, ...versions.map((one) => one.version));
  return [...ledger.accepted.values()]
    .filter((event) => event.workflow_id === workflow_id)
    .map((event) => ({
      ...event,
      workflow_version: event.workflow_version ?? newest,
    }));
}

function nameOf({ workflow_id, id }: Event): string {
  return `${workflow_id} ${id}`;
}

function shuffled<T>(random: Random, items: T[]): T[] {
  return items.map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at).map(({ item }) => item);
}

function cut<T>(random: Random, items: T[]): T[][] {
  const pieces: T[][] = [];
  for (let from = 0; from < items.length;) {
    const length = 1 + Math.floor(random() * BATCH_EVENTS_MAX);
    pieces.push(items.slice(from, from += length));
  }
  return pieces;
}

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
