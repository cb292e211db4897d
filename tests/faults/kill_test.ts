/**
 * Ten kills, and a stop in good order, during the ingest of 50,000 events over HTTP: of the server, of a folder
 * in the middle of its transaction, of Postgres, of everything at once. What was
 * acknowledged is there once, and every number is the recomputation.
 *
 * `KILL_SEED` repeats the events and the order of the kills; the moments are chance.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { createAccount, createKey } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { startEmbedded } from "../../db/embedded.ts";
import { type Event, type EventReceipt } from "../../db/schema.ts";
import { auditCommand } from "../../workers/audit.ts";
import { type Random, randomOf, uuidOfWords } from "../../workers/_random.ts";
import { type Known, sameAsKnown } from "../exact.ts";
import { type Server, startServer, until } from "../harness.ts";
import { journeyOf, stepIdOf } from "../journeys.ts";
import { endOf } from "../within.ts";
import { killHard } from "./_kill.ts";
import { HUNG_MS } from "./_ledger.ts";

const SEED = Number(
  Deno.env.get("KILL_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0],
);

const EVENTS = 50_000;
const BATCH_EVENTS = 250;
const CLIENTS = 4;

/** Share of batches of which nobody asks again when there was no answer. */
const GIVE_UP_SHARE = 0.3;

/** Characters of the server's log that a failure shows. */
const LOG_TAIL = 6_000;

const HOUR_MS = 3_600_000;

/** Journeys last less than a day, and nothing may be of the future. */
const START_AGE_MS_MIN = 26 * HOUR_MS;
const START_AGE_MS_MAX = 10 * 24 * HOUR_MS;

const WORKFLOWS = [0, 1, 2].map((n) => uuidOfWords(SEED, "workflow", n));

/**
 * What is killed, and whether while a fold has written and not committed. With the
 * watchdog go the server and Postgres, but not the guard that is to end Postgres.
 */
const KILLS = [
  { victim: "server", midFold: false },
  { victim: "server", midFold: true },
  { victim: "folder", midFold: true },
  { victim: "folder", midFold: true },
  { victim: "folder", midFold: true },
  { victim: "postgres", midFold: false },
  { victim: "postgres, gently", midFold: false },
  { victim: "postgres", midFold: true },
  { victim: "postgres", midFold: true },
  { victim: "watchdog", midFold: true },
  { victim: "everything", midFold: false },
] as const;
type Kill = (typeof KILLS)[number];

/** The program under fire. */
interface Place {
  dataDir: string;
  /** Where Postgres' own files are. */
  home: string;
  server: Server;
  key: string;
}

/** What the clients know. */
interface Ledger {
  acknowledged: Event[];
  /** Sent once at least; the last answer was none. */
  unknown: Event[];
  /** Sum of what the answers said was accepted. */
  accepted: number;
  failures: number;
  batchesDone: number;
}

Deno.test({
  name:
    "POST /events acknowledges what no kill can lose; fold() counts it once",
  // Processes are found by their working directory, which other systems hide.
  ignore: Deno.build.os !== "linux",
  async fn() {
    console.info(`KILL_SEED=${SEED}`);
    const dataDir = await Deno.makeTempDir({ prefix: "weir-kill-" });
    // Whoever runs Postgres when we are root must get through to its own directory.
    if (Deno.uid() === 0) await Deno.chmod(dataDir, 0o711);
    try {
      await survive(dataDir);
    } finally {
      const home = await Deno.realPath(join(dataDir, "postgres"));
      await killIn(home);
      await Deno.remove(home, { recursive: true });
      await Deno.remove(dataDir, { recursive: true });
    }
  },
});

async function survive(dataDir: string): Promise<void> {
  const random = randomOf(SEED);
  const server = await startServer({ DATA_DIR: dataDir });
  const home = await Deno.realPath(join(dataDir, "postgres"));
  const place: Place = { dataDir, home, server, key: "" };
  const ledger: Ledger = {
    acknowledged: [],
    unknown: [],
    accepted: 0,
    failures: 0,
    batchesDone: 0,
  };
  let all: Known[];
  try {
    all = await createWorld(place);
    await ingest(place, random, ledger);
    await withSql(place, (sql) =>
      until("all is folded", async () => {
        const [queue] = await sql<[{ empty: boolean }]>`
          select not exists (select from weir.event_queue) as empty`;
        return queue.empty;
      }));
    place.server.process.kill("SIGTERM");
    strictEqual((await endOf(place.server.process)).code, 0);
  } catch (error) {
    console.error(place.server.log().slice(-LOG_TAIL));
    throw error;
  } finally {
    await place.server[Symbol.asyncDispose]();
  }
  await until(
    "no process is left",
    async () => (await processesIn(home)).length === 0,
  );
  await check(dataDir, all, ledger);
}

/** One workflow is registered, so that its goals end nothing. */
async function createWorld(place: Place): Promise<Known[]> {
  const account_id = await withSql(place, async (sql) => {
    const account = await createAccount(sql, "Any", "Europe/Paris");
    place.key = await createKey(sql, account.account_id, { scopes: ["admin"] });
    return account.account_id;
  });
  const workflow_id = WORKFLOWS[0]!;
  const response = await fetch(
    `${place.server.url}/api/v1/workflows/${workflow_id}`,
    {
      method: "PUT",
      headers: headersOf(place),
      body: JSON.stringify({
        name: "Any",
        goal_ends_execution: false,
        conversion_window: "PT2H",
        steps: [{
          step_id: stepIdOf(workflow_id, 0),
          name: "Mail",
          type: "action",
          order: 0,
        }],
      }),
    },
  );
  const workflow = await response.json();
  ok(response.ok, JSON.stringify(workflow));
  return WORKFLOWS.map((id) => ({
    account_id,
    workflow_id: id,
    account_zone: "Europe/Paris",
    events: [],
    settings: id === workflow_id
      ? workflow
      : { conversion_window: "P90D", goal_ends_execution: true },
    versions: id === workflow_id ? workflow.versions : [],
  }));
}

/** Each kill has its part of the batches, and nobody goes on to the next before it. */
async function ingest(
  place: Place,
  random: Random,
  ledger: Ledger,
): Promise<void> {
  const batches = batchesOf(random);
  const kills = shuffled(random, [...KILLS]);
  const share = batches.length / (kills.length + 1);
  const killed = kills.map(() => Promise.withResolvers<void>());
  let isOver = false;

  async function* feed(): AsyncGenerator<Event[]> {
    for (const [i, batch] of batches.entries()) {
      await killed[Math.floor(i / share) - 1]?.promise;
      if (isOver) return;
      yield batch;
    }
  }
  const waiting = feed();
  const sending = Promise.all(Array.from({ length: CLIENTS }, async () => {
    for await (const batch of waiting) {
      await send(place, batch, random, ledger);
    }
  }));
  try {
    for (const [i, kill] of kills.entries()) {
      const at = share * (i + random() * 0.7);
      const isDue = until("it is due", () => ledger.batchesDone >= at, 60);
      // A client that fails ends it all.
      await Promise.race([sending, isDue]);
      await commit(place, kill);
      killed[i]!.resolve();
    }
    await sending;
  } finally {
    isOver = true;
    killed.forEach(({ resolve }) => resolve());
    await Promise.allSettled([sending]);
  }
}

function batchesOf(random: Random): Event[][] {
  const events: Event[] = [];
  for (let n = 0; events.length < EVENTS; n++) {
    const ageMs = START_AGE_MS_MIN + random() * START_AGE_MS_MAX;
    const workflowId = WORKFLOWS[n % WORKFLOWS.length]!;
    const startMs = Math.floor(Date.now() - ageMs);
    events.push(...journeyOf(random, workflowId, `run-${n}`, startMs));
  }
  const order = shuffled(random, events.slice(0, EVENTS));
  return Array.from(
    { length: EVENTS / BATCH_EVENTS },
    (_, i) => order.slice(i * BATCH_EVENTS, (i + 1) * BATCH_EVENTS),
  );
}

/** Repeats until it is acknowledged, as a producer does; some give up. */
async function send(
  place: Place,
  events: Event[],
  random: Random,
  ledger: Ledger,
): Promise<void> {
  const isGivenUp = random() < GIVE_UP_SHARE;
  await until("a batch is acknowledged", async () => {
    const receipt = await post(place, events);
    if (receipt) {
      deepStrictEqual(receipt.errors, []);
      strictEqual(receipt.accepted + receipt.duplicates, events.length);
      ledger.accepted += receipt.accepted;
      ledger.acknowledged.push(...events);
      return true;
    }
    ledger.failures++;
    if (isGivenUp) ledger.unknown.push(...events);
    return isGivenUp;
  }, 60);
  ledger.batchesDone++;
}

/** `null` where there was no answer, or that the database is out of reach. */
async function post(
  place: Place,
  events: Event[],
): Promise<EventReceipt | null> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${place.server.url}/api/v1/events`, {
      method: "POST",
      headers: headersOf(place),
      body: JSON.stringify(events),
      signal: AbortSignal.timeout(HUNG_MS),
    });
    text = await response.text();
  } catch {
    return null;
  }
  if (response.status === 503) return null;
  strictEqual(response.status, 202, text);
  return JSON.parse(text);
}

function headersOf({ key }: Place): Record<string, string> {
  return {
    "authorization": `Bearer ${key}`,
    "content-type": "application/json",
  };
}

/** Kills, and restarts what does not restart by itself. */
async function commit(place: Place, kill: Kill): Promise<void> {
  const startedAt = performance.now();
  console.info(`killing ${kill.victim}${kill.midFold ? " amid a fold" : ""}`);
  if (kill.midFold) {
    await whileFolding(place, (sql, pid) => strike(place, kill, sql, pid));
  } else {
    await withSql(place, (sql) => strike(place, kill, sql, null));
  }
  if (["server", "watchdog", "everything"].includes(kill.victim)) {
    place.server = await startServer({ DATA_DIR: place.dataDir });
  }
  await until("Postgres answers", async () => await isUp(place));
  const ms = Math.round(performance.now() - startedAt);
  console.info(`all is up again after ${ms} ms`);
}

/**
 * @param sql In reach of what is to be killed.
 * @param folder Backend that folds, where one was waited for.
 */
async function strike(
  place: Place,
  { victim }: Kill,
  sql: Sql,
  folder: number | null,
): Promise<void> {
  if (victim === "folder") {
    await sql`select pg_terminate_backend(${folder})`;
    return;
  }
  const watchdog = await readPid(join(place.home, "watchdog.pid"));
  const postmaster = await readPid(join(place.home, "data", "postmaster.pid"));
  if (victim === "postgres, gently") {
    // As whoever stops it for an update: its clients are told, and then refused.
    Deno.kill(postmaster, "SIGINT");
    return await until(
      "it has stopped",
      async () =>
        await readPid(join(place.home, "data", "postmaster.pid"))
          .catch(() => null) !== postmaster,
    );
  }
  if (victim !== "postgres") place.server.process.kill("SIGKILL");
  if (victim === "watchdog") killHard(watchdog);
  if (victim === "everything") await killIn(place.home);
  if (victim === "postgres" || victim === "watchdog") {
    killHard(postmaster);
    // All of them: one that waits for a killed one's latch would wait for ever.
    await killIn(join(place.home, "data"));
  }
  if (victim !== "postgres") await place.server[Symbol.asyncDispose]();
}

/** Stops a fold at its last step by locking what it writes there. */
async function whileFolding(
  place: Place,
  act: (sql: Sql, pid: number) => Promise<void>,
): Promise<void> {
  let acting: Promise<void> | undefined;
  await withSql(place, (sql) =>
    sql.begin(async (tx) => {
      await tx`lock table weir.histogram_rollup in share mode`;
      let pid: number | undefined;
      await until("a fold is halfway", async () => {
        const [row] = await tx<{ pid: number }[]>`
          select pid from pg_locks
          where relation = 'weir.histogram_rollup'::regclass
            and mode = 'RowExclusiveLock' and not granted`;
        pid = row?.pid;
        return pid !== undefined;
      });
      acting = act(tx as unknown as Sql, pid!);
      await acting;
    })).catch((error) => {
      if (!acting) throw error;
    });
  // The connection may be among the victims and go first.
  await acting;
}

async function withSql<T>(
  place: Place,
  fn: (sql: Sql) => Promise<T>,
): Promise<T> {
  const { port, password } = JSON.parse(
    await Deno.readTextFile(join(place.dataDir, "embedded.json")),
  );
  const sql = connect(`postgres://weir:${password}@127.0.0.1:${port}/weir`, {
    max: 1,
    statementTimeoutMs: 60_000,
    name: "weir test",
  });
  try {
    return await fn(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function isUp(place: Place): Promise<boolean> {
  try {
    await withSql(place, (sql) => sql`select 1`);
    return true;
  } catch {
    return false;
  }
}

async function readPid(path: string): Promise<number> {
  return Number((await Deno.readTextFile(path)).split("\n")[0]);
}

async function killIn(folder: string): Promise<void> {
  for (;;) {
    const pids = await processesIn(folder);
    if (pids.length === 0) return;
    pids.forEach(killHard);
  }
}

/** Postgres and its watchdog work in directories of their own; by that they are known. */
async function processesIn(parent: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const folder = await Deno.readLink(`/proc/${name}/cwd`).catch(() => "");
    if (folder.startsWith(parent)) found.push(Number(name));
  }
  return found;
}

/** The data directory is used again, and tells what it kept. */
async function check(
  dataDir: string,
  all: Known[],
  ledger: Ledger,
): Promise<void> {
  const { acknowledged, unknown, accepted, failures } = ledger;
  const postgres = await startEmbedded({ dataDir });
  const options = { max: 1, statementTimeoutMs: 60_000 };
  const sql = connect(postgres.url, options);
  const snapshots = connect(postgres.url, { ...options, snapshots: true });
  try {
    const drift: string[] = [];
    ok(
      await auditCommand(snapshots, (line) => drift.push(line), new Date()),
      drift.join("\n"),
    );
    const rows = await sql<{ event_id: string; workflow_uuid: string }[]>`
      select event_id, workflow_uuid
      from weir.event join weir.workflow using (workflow_id)`;
    const stored = new Set(
      rows.map((row) => `${row.workflow_uuid} ${row.event_id}`),
    );
    const lost = acknowledged.filter((event) => !stored.has(nameOf(event)));
    strictEqual(lost.length, 0, `lost ${lost.slice(0, 5).map(nameOf)}`);
    const kept = unknown.filter((event) => stored.has(nameOf(event)));
    console.info(
      `${acknowledged.length} events acknowledged, ${unknown.length} unanswered ` +
        `of which ${kept.length} were stored, ${failures} requests failed`,
    );
    ok(failures > 0, "no client noticed a kill");
    ok(accepted <= stored.size, "an event was accepted twice");
    for (const one of all) {
      one.events = [...acknowledged, ...kept]
        .filter((event) => event.workflow_id === one.workflow_id)
        .map((event) => ({
          ...event,
          workflow_version: event.workflow_version ?? 1,
        }));
    }
    await sameAsKnown(sql, all, {
      start_date: dateBefore(14),
      end_date: dateBefore(0),
      zones: ["Pacific/Chatham"],
      now: new Date(),
    });
  } finally {
    await Promise.all(
      [sql, snapshots].map((client) => client.end({ timeout: 5 })),
    );
    await postgres.stop();
  }
}

function dateBefore(days: number): string {
  return new Date(Date.now() - days * 24 * HOUR_MS).toISOString().slice(0, 10);
}

function nameOf({ workflow_id, id }: Event): string {
  return `${workflow_id} ${id}`;
}

function shuffled<T>(random: Random, items: T[]): T[] {
  return items.map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at).map(({ item }) => item);
}
