import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createLog } from "../../db/log.ts";
import type { Sql } from "../../db/client.ts";
import { fold } from "../../workers/fold.ts";
import { type Job, runJobs } from "../../workers/run.ts";
import { recordEvents } from "../../db/events.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";

/** A pause that no test outlives: what runs again was rung for. */
const LONG_SECONDS = 600;

const ZERO_UUID = "00000000-0000-0000-0000-000000000000";

/** Runs jobs while `fn` does, and answers with what they logged. */
async function whileRunning(
  { sql }: World,
  jobs: Job[],
  fn: () => Promise<void>,
): Promise<Record<string, unknown>[]> {
  const lines: string[] = [];
  const stop = new AbortController();
  const log = createLog("debug", (line) => lines.push(line));
  const running = runJobs(jobs, { sql, log, signal: stop.signal });
  try {
    await fn();
  } finally {
    stop.abort();
    await running;
  }
  return lines.map((line) => JSON.parse(line));
}

dbTest("runJobs() runs again when rung, and not before", async (world) => {
  let rounds = 0;
  const job: Job = {
    name: "count",
    everySeconds: LONG_SECONDS,
    wakeOn: "bell",
    run: () => Promise.resolve({ rounds: ++rounds }),
  };
  await whileRunning(world, [job], async () => {
    // The first round, and the one that looks once it listens.
    await until("it listens", async () => {
      const listening = await world.sql`
        select from pg_stat_activity
        where datname = current_database() and query ilike 'listen%'`;
      return rounds === 2 && listening.length === 1;
    });
    await world.sql`select pg_notify('other', '')`;
    await world.sql`select pg_notify('bell', '')`;
    await until("it was rung", () => rounds === 3);
  });
  strictEqual(rounds, 3);
});

dbTest("runJobs() does not miss a ring during a round", async (world) => {
  let rounds = 0;
  const job: Job = {
    name: "count",
    everySeconds: LONG_SECONDS,
    wakeOn: "bell",
    async run() {
      rounds++;
      if (rounds === 3) {
        // Arrives before this round has ended.
        await world.sql`select pg_notify('bell', '')`;
        await world.sql`select pg_sleep(0.2)`;
      }
      return { rounds };
    },
  };
  await whileRunning(world, [job], async () => {
    await until("it listens", () => rounds === 2);
    await world.sql`select pg_notify('bell', '')`;
    await until("it ran for the ring in the round", () => rounds === 4);
  });
});

dbTest(
  "runJobs() logs a failure, tries again, and lets the others run",
  async (world) => {
    let failures = 0;
    let others = 0;
    const bad: Job = {
      name: "bad",
      everySeconds: 0,
      run() {
        if (++failures < 2) throw new Error("no luck");
        return Promise.resolve({ luck: 1 });
      },
    };
    const good: Job = {
      name: "good",
      everySeconds: 0.01,
      run: () => Promise.resolve({ others: ++others }),
    };
    const lines = await whileRunning(
      world,
      [bad, good],
      () => until("the bad one was tried again", () => failures >= 2),
    );
    ok(others > 2, `the other ran ${others} times`);
    const [failed] = lines.filter((line) => line.level === "error");
    const { job, message, error } = failed as Record<
      string,
      { message: string }
    >;
    deepStrictEqual([job, message, error!.message], [
      "bad",
      "job failed",
      "no luck",
    ]);
  },
);

dbTest("runJobs() runs again when rung, also after failures", async (world) => {
  const startedMs: number[] = [];
  const job: Job = {
    name: "bad",
    everySeconds: LONG_SECONDS,
    wakeOn: "bell",
    run() {
      startedMs.push(performance.now());
      throw new Error("no luck");
    },
  };
  let rung = true;
  await whileRunning(world, [job], async () => {
    const ring = async () => {
      while (rung) await world.sql`select pg_notify('bell', '')`;
    };
    const ringing = ring();
    // Without a bell the fifth would begin after 1 + 2 + 4 + 8 s.
    await until("it was tried five times", () => startedMs.length >= 5, 12);
    rung = false;
    await ringing;
  });
  // As often as that, and not more often.
  startedMs.slice(1).forEach((ms, i) => ok(ms - startedMs[i]! >= 990));
});

dbTest(
  "runJobs() returns when told to stop, in the middle of a pause",
  async (world) => {
    const job: Job = {
      name: "idle",
      everySeconds: LONG_SECONDS,
      run: () => Promise.resolve({ found: 0 }),
    };
    const lines = await whileRunning(world, [job], () => Promise.resolve());
    // Nothing to do is nothing to tell, unless one asks for it.
    deepStrictEqual(lines.map((line) => line.level), ["debug"]);
  },
);

dbTest("fold drains what waits before it sleeps", async (world) => {
  const workflow_id = crypto.randomUUID();
  const count = 25_000;
  for (let done = 0; done < count; done += 5_000) {
    await recordEvents(
      world.sql,
      world.account.account_id,
      Array.from({ length: 5_000 }, (_, i) => ({
        type: "execution.enrolled" as const,
        id: `e${done + i}`,
        workflow_id,
        execution_id: crypto.randomUUID(),
        contact_id: "c",
        occurred_at: NOW.toISOString(),
        source: "api" as const,
      })),
    );
  }
  const { signal } = new AbortController();
  deepStrictEqual(await fold.run({ sql: world.sql, signal }), {
    events: count,
  });
  deepStrictEqual(await fold.run({ sql: world.sql, signal }), { events: 0 });
});

dbTest(
  "fold does not wait for its beat after it passed a workflow by",
  async (world) => {
    const { sql } = world;
    const workflow_id = crypto.randomUUID();
    const enrolment = (id: string) => ({
      type: "execution.enrolled" as const,
      id,
      workflow_id,
      execution_id: crypto.randomUUID(),
      contact_id: "c",
      occurred_at: NOW.toISOString(),
      source: "api" as const,
    });
    const { account_id } = world.account;
    await recordEvents(sql, account_id, [enrolment("0")]);
    const [{ id }] = await sql<[{ id: number }]>`
    select workflow_id as id from weir.workflow where workflow_uuid = ${workflow_id}`;
    const waiting = async () =>
      (await sql`select from weir.event_queue where workflow_id = ${id}`)
        .length;
    let rounds = 0;
    const job: Job = {
      ...fold,
      everySeconds: LONG_SECONDS,
      async run(deps) {
        const did = await fold.run(deps);
        rounds++;
        return did;
      },
    };
    const holders = {
      make_windows: (tx: Sql) => tx`select weir.make_windows(${id})`,
      recompute: (tx: Sql) => tx`select weir.recompute(${id})`,
      erase_contact: (tx: Sql) =>
        tx`select weir.erase_contact(${account_id}, 'c')`,
      delete_executions: (tx: Sql) =>
        tx`select weir.delete_executions(${id}, ${NOW}, '-infinity', ${ZERO_UUID})`,
    };
    await whileRunning(world, [job], async () => {
      await until("the first is folded", async () => await waiting() === 0);
      for (const [name, hold] of Object.entries(holders)) {
        await sql.begin(async (tx) => {
          await hold(tx as unknown as Sql);
          await recordEvents(sql, account_id, [enrolment(name)]);
          const before = rounds;
          await sql`select pg_notify('event_accepted', '')`;
          await until("a round passed it by", () => rounds > before);
          strictEqual(await waiting(), 1);
        });
        await until(`${name}() let go`, async () => await waiting() === 0);
      }
    });
  },
);
