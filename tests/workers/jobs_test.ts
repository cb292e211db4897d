import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readPipeline } from "../../db/jobs.ts";
import type { Log } from "../../db/log.ts";
import { type Job, runJobs } from "../../workers/run.ts";
import { audit } from "../../workers/audit.ts";
import { fold } from "../../workers/fold.ts";
import { recompute } from "../../workers/recompute.ts";
import { refresh } from "../../workers/refresh.ts";
import { partitions, retain } from "../../workers/retain.ts";
import { dbTest, until, type World } from "../harness.ts";
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
  { sql }: World,
  jobs: Job[],
  what: string,
  check: (state: Awaited<ReturnType<typeof readPipeline>>) => boolean,
) {
  const stop = new AbortController();
  const { log, lines } = quiet();
  const running = runJobs(jobs, { sql, log, signal: stop.signal });
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
