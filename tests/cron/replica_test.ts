/**
 * Numbers from a streaming replica: two real servers, one of which follows the other, late
 * when it is told to.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { connect, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { createLog } from "../../db/log.ts";
import { createReader, type Reader } from "../../db/replica.ts";
import { createCache } from "../../routes/_cache.ts";
import { createHub } from "../../routes/_hub.ts";
import {
  dbTest,
  startServer,
  until,
  urlOf,
  withDatabase,
  type World,
} from "../harness.ts";
import { type Replica, startReplica } from "../postgres15.ts";
import { appWith, enrolled, post, put, send } from "../routes/_requests.ts";
import { endOf } from "../within.ts";

/** Sooner than what serves, as the test waits for it, and longer than a busy machine takes for three requests, ms. */
const LAG_MS_MAX = 5_000;

/** Reads meet writes, while replaying pauses and goes on, until so many have been answered … */
const ANSWERS = 40;

/** … and so many of them each way. */
const ANSWERS_EACH_WAY = 5;

/** What the tests ask. */
interface Subject {
  world: World;
  /** As superuser of the replica: for pausing it. */
  there: Sql;
  reader: Reader;
  /** Keeps nothing, so that each read is one. */
  app: ReturnType<typeof appWith>;
  /** The same, which keeps answers. */
  keeping: ReturnType<typeof appWith>;
}

/** The address of a test's database on the replica, once that has heard of it. */
async function urlThere(world: World, replica: Replica): Promise<string> {
  const url = new URL(replica.url);
  url.pathname = new URL(world.database_url).pathname;
  const there = connect(replica.url, { max: 1, statementTimeoutMs: 20_000 });
  try {
    await until("the replica has the database", async () => {
      const found = await there`
        select from pg_database where datname = ${url.pathname.slice(1)}`;
      return found.length > 0;
    });
  } finally {
    await there.end();
  }
  return url.href;
}

/** An app that reads from the replica. */
async function withReader(
  world: World,
  replica: Replica,
  fn: (subject: Subject) => Promise<void>,
): Promise<void> {
  const url = await urlThere(world, replica);
  const options = { max: 4, statementTimeoutMs: 20_000 };
  const there = connect(replica.url, { ...options, max: 1 });
  const web = connect(url, { ...options, role: "weir_web" });
  // The clock goes: it is the time that is in question.
  const now = () => new Date();
  // Warnings are what is tried here.
  const log = createLog("error");
  const reader = createReader({
    primary: world.web,
    replica: web,
    now,
    log,
    lagMsMax: LAG_MS_MAX,
  });
  const hub = createHub({ sql: world.web, now, log, bus: null });
  const deps = { now, reader, hub, log };
  const cache = createCache({ now, upstash: null, bytesMax: 0 });
  const app = appWith(world, { ...deps, cache });
  const keeping = appWith(world, deps);
  try {
    await until("the replica is used", () => reader.state()!.isUsed);
    await fn({ world, there, reader, app, keeping });
  } finally {
    await reader.close();
    // It may have failed in the midst, and the next one has the same replica.
    await there`select pg_wal_replay_resume()`.catch(() => {});
    await Promise.all([there.end({ timeout: 1 }), web.end({ timeout: 1 })]);
  }
}

function today(): string {
  return new Date().toISOString().slice(0, 10);
}

type Test = (world: World, replica: Replica) => Promise<void>;

const tests: [string, Test][] = [];

/** Tests one after the other on one replica: a copy of the server takes the longest of all. */
function testOfReplica(name: string, test: Test): void {
  tests.push([name, test]);
}

Deno.test("a replica follows", async (t) => {
  await using replica = await startReplica(urlOf("postgres"));
  for (const [name, test] of tests) {
    await t.step({
      name,
      fn: () => withDatabase((world) => test(world, replica)),
      // The replica that it stops is not the one that it starts; in the end none may be left.
      sanitizeOps: false,
      sanitizeResources: false,
    });
    await replica.start();
  }
});

async function read(
  { world, app }: Pick<Subject, "world" | "app">,
  workflow: string,
): Promise<{ enrolled: number; asOf: number; revision: number }> {
  const answer = await send(
    world,
    "GET",
    `/api/v1/workflows/${workflow}/analytics?start_date=2026-01-01&end_date=${today()}`,
    { app },
  );
  strictEqual(answer.status, 200, answer.text);
  return {
    enrolled: answer.json.summary.total_enrolled,
    asOf: Date.parse(answer.json.as_of),
    revision: Number(/^"(\d+)-/.exec(answer.headers.get("etag")!)![1]),
  };
}

async function accept(
  { world, app }: Subject,
  workflow: string,
): Promise<void> {
  const event = enrolled({
    id: crypto.randomUUID(),
    execution_id: crypto.randomUUID(),
    workflow_id: workflow,
    occurred_at: new Date().toISOString(),
  });
  strictEqual((await post(world, event, { app })).status, 202);
}

testOfReplica(
  "createReader() reads from a replica what it has, and says for when",
  (world, replica) =>
    withReader(world, replica, async (subject) => {
      const { there, reader, app } = subject;
      const counts = () => ({ ...reader.state()!.reads });
      const [busy, quiet] = [crypto.randomUUID(), crypto.randomUUID()];
      for (const workflow of [busy, quiet]) await accept(subject, workflow);
      while (await fold(world.sql) > 0);
      await until("it has replayed that", async () => {
        await reader.compare();
        const before = counts().replica;
        strictEqual((await read(subject, quiet)).enrolled, 1);
        return counts().replica > before;
      });

      // It stops replaying, and what is acknowledged from now on it does not know.
      await there`select pg_wal_replay_pause()`;
      await until("it pauses", async () => {
        const [row] =
          await there`select pg_get_wal_replay_pause_state() as state`;
        return row!.state === "paused";
      });
      const pausedAt = Date.now();
      await accept(subject, busy);
      await accept(subject, quiet);
      await reader.compare();
      const before = counts();
      const stale = await read(subject, quiet);
      deepStrictEqual(counts(), { ...before, replica: before.replica + 1 });
      strictEqual(stale.enrolled, 1);
      ok(stale.asOf <= pausedAt, "what waits was acknowledged later");

      // Whoever has heard of a change is not told of the time before.
      await world.sql`
        select weir.fold_claimed(array[workflow_id], array[9223372036854775807]) from weir.workflow, weir.make_fold_tables()
        where workflow_uuid = ${busy} and weir.lock_workflow(workflow_id)`;
      const fresh = await read(subject, busy);
      strictEqual(fresh.enrolled, 2);
      ok(fresh.revision > stale.revision || fresh.asOf > pausedAt);
      await put(world, { name: "Renamed" }, quiet, { app });
      const renamed = await send(world, "GET", `/api/v1/workflows/${quiet}`, {
        app,
      });
      strictEqual(renamed.json.name, "Renamed");
      const own = await read(subject, quiet);
      strictEqual(counts().replica, before.replica + 1, "the primary answered");
      ok(own.revision > stale.revision);

      // Past the limit it is not even asked.
      await until("it is left alone", () => !reader.state()!.isUsed);
      const { primary } = counts();
      await fold(world.sql);
      strictEqual((await read(subject, quiet)).enrolled, 2);
      strictEqual(counts().primary, primary + 1);
      const ready = await send(world, "GET", "/readyz", { app });
      deepStrictEqual(ready.json.alerts, ["replica_unused"]);

      await there`select pg_wal_replay_resume()`;
      await until("it has caught up", () => reader.state()!.isUsed);
      await accept(subject, busy);
      while (await fold(world.sql) > 0);
      await until("it is asked again", async () => {
        const { replica } = counts();
        await reader.compare();
        await read(subject, busy);
        return counts().replica > replica;
      });

      // It goes, amid whatever it is asked, and comes back.
      await replica.stop();
      await accept(subject, busy);
      while (await fold(world.sql) > 0);
      await read(subject, busy);
      await until("that is seen", () => !reader.state()!.isUsed);
      await replica.start();
      await until("it is used again", () => reader.state()!.isUsed);
    }),
);

testOfReplica(
  "createReader() claims nothing that is not so, however late the replica is",
  (world, replica) =>
    withReader(world, replica, async (subject) => {
      const workflow = crypto.randomUUID();
      const { there, reader } = subject;
      /** When each event was acknowledged, ms since 1970. */
      const acknowledged: number[] = [];
      /** What was counted when the workflow had a revision. */
      const countedAt = new Map<number, number>();
      let answers = 0;
      const stopAt = performance.now() + 30_000;
      function isOn(): boolean {
        const { replica, behind } = reader.state()!.reads;
        return performance.now() < stopAt && (answers < ANSWERS ||
          Math.min(replica, behind) < ANSWERS_EACH_WAY);
      }

      async function write(): Promise<void> {
        while (isOn()) {
          await accept(subject, workflow);
          acknowledged.push(Date.now());
          if (acknowledged.length % 3 !== 0) continue;
          await fold(world.sql);
          const [row] = await world.sql`
            select weir.revision_of(workflow_id) as revision, (
              select coalesce(sum(enrolled), 0)::int from weir.workflow_rollup r
              where r.workflow_id = w.workflow_id and grain = 'day') as enrolled
            from weir.workflow w where workflow_uuid = ${workflow}`;
          countedAt.set(row!.revision, row!.enrolled);
        }
      }
      async function look(app: Subject["app"]): Promise<void> {
        while (isOn()) {
          const { enrolled, asOf, revision } = await read(
            { world, app },
            workflow,
          );
          const due = acknowledged.filter((at) => at < asOf).length;
          ok(enrolled >= due, `${enrolled} as of ${asOf}, ${due} are due`);
          const known = countedAt.get(revision) ?? 0;
          ok(
            enrolled >= known,
            `${enrolled} at ${revision}, which has ${known}`,
          );
          answers++;
        }
      }
      async function pause(): Promise<void> {
        while (isOn()) {
          await there`select pg_wal_replay_pause()`;
          await new Promise((resolve) => setTimeout(resolve, 200));
          await there`select pg_wal_replay_resume()`;
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
      }
      await accept(subject, workflow);
      await Promise.all([
        write(),
        look(subject.app),
        look(subject.keeping),
        pause(),
      ]);
      const { reads } = reader.state()!;
      console.info(`${answers} answers: ${JSON.stringify(reads)}`);
      ok(Math.min(reads.replica, reads.behind) >= ANSWERS_EACH_WAY);
    }),
);

dbTest(
  "createReader() does not take the primary for its replica",
  async (world) => {
    const reader = createReader({
      primary: world.web,
      replica: world.web,
      now: () => new Date(),
      log: createLog("error"),
    });
    await reader.compare();
    strictEqual(reader.state()!.isUsed, false);
    await reader.close();
  },
);

testOfReplica(
  "main start reads from DATABASE_URL_READ",
  async (world, replica) => {
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      DATABASE_URL_READ: await urlThere(world, replica),
    });
    const metrics = async () =>
      await (await fetch(`${server.url}/metrics`)).text();
    await until(
      "it is used",
      async () => /^weir_replica_used 1/m.test(await metrics()),
    );
    match(await metrics(), /^weir_replica_lag_seconds \d/m);
    await replica.stop();
    await until(
      "it is not",
      async () => /^weir_replica_used 0/m.test(await metrics()),
    );
    server.process.kill("SIGTERM");
    strictEqual((await endOf(server.process)).code, 0);
  },
);
