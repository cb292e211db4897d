import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import {
  fold as foldRound,
  readRecomputes,
  recordEvents,
} from "../../db/events.ts";
import { readPipeline } from "../../db/jobs.ts";
import { WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import type { Log } from "../../db/log.ts";
import { type Job, runJobs } from "../../workers/run.ts";
import { audit } from "../../workers/audit.ts";
import { fold } from "../../workers/fold.ts";
import { recompute } from "../../workers/recompute.ts";
import { refresh } from "../../workers/refresh.ts";
import { partitions, retain } from "../../workers/retain.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { makePast } from "../db/_history.ts";

function quiet(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const write = (message: string) => void lines.push(message);
  return {
    lines,
    log: { debug: () => {}, info: write, warn: write, error: write },
  };
}

/** Runs jobs until a condition holds of what is written about them. */
async function runUntil(
  { work: sql, snapshots }: World,
  jobs: Job[],
  what: string,
  check: (state: Awaited<ReturnType<typeof readPipeline>>) => boolean,
) {
  const stop = new AbortController();
  const { log, lines } = quiet();
  const running = runJobs(jobs, { sql, snapshots, log, signal: stop.signal });
  try {
    await until(what, async () => check(await readPipeline(sql)));
    return { state: await readPipeline(sql), lines };
  } finally {
    stop.abort();
    await running;
  }
}

dbTest(
  "runJobs() writes down what fails and what then goes well",
  async (world) => {
    let rounds = 0;
    const shaky: Job = {
      name: "shaky",
      everySeconds: 60,
      run() {
        rounds += 1;
        if (rounds === 1) return Promise.reject(new Error("Cannot do it yet"));
        return Promise.resolve({ things: 3 });
      },
    };
    const failed = await runUntil(
      world,
      [shaky],
      "a failure",
      ({ jobs }) => jobs.length > 0,
    );
    deepStrictEqual(failed.state.jobs, [{
      name: "shaky",
      run_by: "worker",
      every_seconds: 60,
      lag_seconds: null,
      last_error: "Cannot do it yet",
      runs: 1,
      failures: 1,
    }]);
    const { state } = await runUntil(
      world,
      [shaky],
      "a success",
      ({ jobs }) => jobs[0]!.last_error === null,
    );
    const { lag_seconds, ...rest } = state.jobs[0]!;
    ok(lag_seconds! >= 0 && lag_seconds! < 30);
    deepStrictEqual(rest, {
      name: "shaky",
      run_by: "worker",
      every_seconds: 60,
      last_error: null,
      runs: 2,
      failures: 1,
    });
    const [row] = await world.sql`select did from weir.job`;
    deepStrictEqual(row!.did, { things: 3 });
  },
);

dbTest("the worker's jobs all run beside each other", async (world) => {
  await makePast(world, 30);
  const jobs = [fold, recompute, refresh, partitions, retain, audit];
  const { state, lines } = await runUntil(
    world,
    jobs,
    "a round of every job",
    (found) => found.jobs.length === jobs.length,
  );
  deepStrictEqual(
    state.jobs.map((job) => [job.name, job.last_error]),
    jobs.map((job) => [job.name, null]).sort(),
  );
  strictEqual(state.drift, 0);
  strictEqual(state.scheduler, "worker");
  ok(state.views.every((view) => view.last_error === null));
  ok(!lines.includes("job failed"));
});

/** An event of a workflow of its own, in the queue. */
async function recordEnrolment({ sql, account }: World): Promise<string> {
  const workflow_id = crypto.randomUUID();
  await recordEvents(sql, account.account_id, [{
    type: "execution.enrolled",
    id: "e",
    workflow_id,
    execution_id: crypto.randomUUID(),
    contact_id: "c",
    occurred_at: NOW.toISOString(),
    source: "api",
  }]);
  return workflow_id;
}

dbTest("readPipeline() has the age of the oldest that waits", async (world) => {
  const { sql } = world;
  const lag = async () => (await readPipeline(sql)).fold_lag_seconds;
  strictEqual(await lag(), 0);
  for (const seconds of [5, 90, 30]) {
    const workflow = await recordEnrolment(world);
    await sql`
      update weir.event_queue set accepted_at = now() - ${seconds} * interval '1 s'
      where workflow_id = (
        select workflow_id from weir.workflow where workflow_uuid = ${workflow})`;
  }
  const age = await lag();
  ok(age >= 90 && age < 120, `${age}`);
  await foldRound(sql);
  strictEqual(await lag(), 0);
});

/** Workflows with an execution each and a setting that has changed. */
async function makeRecomputes(world: World, count: number): Promise<number[]> {
  const { sql, account } = world;
  const ids = await Promise.all(
    Array.from({ length: count }, () => recordEnrolment(world)),
  );
  await foldRound(sql);
  for (const id of ids) {
    const definition = WorkflowDefinition.parse({
      name: "W",
      conversion_window: "P1D",
    });
    await putWorkflow(sql, account.account_id, id, definition);
  }
  return await readRecomputes(sql);
}

dbTest(
  "recompute goes on with the others when one workflow fails",
  async (world) => {
    const { sql } = world;
    const [first] = await makeRecomputes(world, 3);
    await sql.unsafe(`
      alter table weir.workflow_revision add constraint poison
      check (workflow_id <> ${first} or revision < 2)`);
    const { signal } = new AbortController();
    await rejects(
      recompute.run({ sql, signal }),
      new RegExp(`^Error: Cannot recompute workflow ${first}: .*poison`),
    );
    deepStrictEqual(await readRecomputes(sql), [first]);
    await sql`alter table weir.workflow_revision drop constraint poison`;
    deepStrictEqual(await recompute.run({ sql, signal }), { workflows: 1 });
    deepStrictEqual(await readRecomputes(sql), []);
  },
);

dbTest("recompute ends at once when told to stop", async (world) => {
  const { sql } = world;
  const ids = await makeRecomputes(world, 2);
  const stop = new AbortController();
  const holder = await sql.reserve();
  try {
    await holder`begin`;
    await holder`lock table weir.workflow_revision`;
    const running = recompute.run({ sql, signal: stop.signal });
    await until("it is under way", async () => {
      const waiting = await sql`
        select from pg_stat_activity where datname = current_database()
          and query like '%weir.recompute%' and wait_event_type = 'Lock'`;
      return waiting.length === 1;
    });
    stop.abort();
    deepStrictEqual(await running, { workflows: 0 });
  } finally {
    await holder`rollback`;
    holder.release();
  }
  deepStrictEqual(await readRecomputes(sql), ids);
});
