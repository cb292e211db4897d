import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { readAnalytics } from "../../db/analytics.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery } from "../../db/schema.ts";
import { readWorkflow } from "../../db/workflows.ts";
import {
  importCommand,
  importLog,
  type ImportOptions,
  type ImportReport,
  parseFlags,
} from "../../workers/import.ts";
import { dbTest, NOW, type World } from "../harness.ts";

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

function take(
  { sql, account }: World,
  file: string,
  options: Partial<ImportOptions> = {},
): Promise<ImportReport> {
  return importLog(sql, account, {
    file: fixture(file),
    workflow: "Imported",
    now: NOW,
    ...options,
  });
}

const MAY = AnalyticsQuery.parse({
  start_date: "2026-05-01",
  end_date: "2026-05-31",
});

async function readMay({ sql, account }: World, workflowId: string) {
  const { account_id } = account;
  const analytics = await readAnalytics(sql, account_id, workflowId, MAY, NOW);
  const funnel = await readFunnel(sql, account_id, workflowId, MAY, NOW);
  return { summary: analytics!.summary, steps: funnel!.funnel_steps };
}

/** Runs the command; what it printed, and what it said to stderr. */
async function run(
  { sql, account }: World,
  args: string[],
): Promise<{ printed: string[]; said: string }> {
  const printed: string[] = [];
  const said: string[] = [];
  const original = console.error;
  console.error = (text: string) => said.push(text);
  try {
    await importCommand(
      sql,
      [...args, "--account", account.account_uuid, "--workflow", "Imported"],
      (text) => printed.push(text),
    );
  } finally {
    console.error = original;
  }
  return { printed, said: said.join("\n") };
}

/** Runs something with a file that is gone afterwards. */
async function withFile(
  bytes: Uint8Array | string,
  fn: (path: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "log");
    await Deno.writeFile(
      path,
      typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes,
    );
    await fn(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

dbTest("importLog() counts a log of completions", async (world) => {
  const report = await take(world, "onboarding.csv");
  assert.deepEqual(report.columns, {
    case: "Case ID",
    activity: "Activity",
    timestamp: "Complete Timestamp",
    lifecycle: null,
  });
  // 9 rows make 18 events of steps; three cases begin and end.
  assert.deepEqual([report.rows, report.accepted], [9, 24]);
  assert.equal(report.broken.count, 0);
  const { summary, steps } = await readMay(world, report.workflow_id);
  assert.equal(summary.total_enrolled, 3);
  assert.equal(summary.completed, 3);
  assert.deepEqual(summary.enrollment_sources.map(({ source }) => source), [
    "bulk",
  ]);
  // An hour, an hour, and a day and 20 minutes.
  assert.equal(summary.average_duration_seconds, (3600 + 3600 + 87600) / 3);
  assert.deepEqual(
    steps.map((step) => [
      step.step_name,
      step.entered,
      step.completed,
      step.visits,
      step.average_time_seconds,
    ]),
    [
      ["Sign up", 3, 3, 3, 0],
      ["Verify; e-mail", 2, 2, 3, 300],
      ["First order", 2, 2, 2, (3000 + 1200) / 2],
      ["Come back", 1, 1, 1, 86400],
    ],
  );
});

dbTest("importLog() counts a log of starts and completions", async (world) => {
  const report = await take(world, "visits.csv", { ends: ["Check out"] });
  assert.equal(report.ignored, 1);
  const { summary, steps } = await readMay(world, report.workflow_id);
  assert.deepEqual(
    [summary.total_enrolled, summary.completed, summary.in_progress],
    [2, 1, 1],
  );
  assert.deepEqual(
    steps.map((step) => [
      step.step_name,
      step.entered,
      step.completed,
      step.in_progress,
      step.average_time_seconds,
    ]),
    [
      ["Register", 2, 2, 0, 600],
      ["X-ray", 1, 1, 0, 1800],
      ["Check out", 2, 1, 1, 60],
    ],
  );
});

dbTest(
  "importLog() takes activities for goals, ends and exits",
  async (world) => {
    const goal = await take(world, "onboarding.csv", {
      workflow: "Goal",
      goals: ["first ORDER"],
    });
    const byGoal = (await readMay(world, goal.workflow_id)).summary;
    assert.deepEqual([byGoal.goals_achieved, byGoal.completed], [2, 3]);
    assert.deepEqual(
      byGoal.exit_reasons.map(({ reason, count }) => [reason, count]),
      [
        ["goal_achieved", 2],
        ["completed", 1],
      ],
    );

    const end = await take(world, "onboarding.csv", {
      workflow: "End",
      goals: ['"Verify; e-mail",First order'],
      ends: ["Come back"],
      unended: "gave_up",
    });
    const byEnd = (await readMay(world, end.workflow_id)).summary;
    // The goals are on the way: only the end ends.
    assert.deepEqual(
      byEnd.exit_reasons.map(({ reason, count }) => [reason, count]),
      [
        ["gave_up", 2],
        ["completed", 1],
      ],
    );
    assert.deepEqual(
      byEnd.goal_breakdown.map((
        goal,
      ) => [goal.goal_name, goal.achieved, goal.first])
        .sort(),
      [["First order", 2, 1], ["Verify; e-mail", 2, 2]],
    );
    const { goal_ends_execution, goals } = (await readWorkflow(
      world.sql,
      world.account.account_id,
      end.workflow_id,
    ))!;
    assert.equal(goal_ends_execution, false);
    assert.equal(goals.length, 2);

    await assert.rejects(
      take(world, "onboarding.csv", { goals: ["Firth order"] }),
      /Cannot find the activity "Firth order" of --goal: the log has "Sign up", /,
    );
  },
);

dbTest("importLog() the second time changes nothing", async (world) => {
  const first = await take(world, "onboarding.csv");
  const numbers = await readMay(world, first.workflow_id);
  const second = await take(world, "onboarding.csv");
  assert.equal(second.workflow_id, first.workflow_id);
  assert.deepEqual(
    [second.accepted, second.duplicates, second.conflicts],
    [0, first.accepted, 0],
  );
  assert.deepEqual(await readMay(world, first.workflow_id), numbers);
  const { versions } = (await readWorkflow(
    world.sql,
    world.account.account_id,
    first.workflow_id,
  ))!;
  assert.equal(versions.length, 1);
  const other = await take(world, "onboarding.csv", { workflow: "Other" });
  assert.notEqual(other.workflow_id, first.workflow_id);
  assert.equal(other.accepted, first.accepted);
});

dbTest(
  "importLog() adds what a log has gained, and says what contradicts",
  async (world) => {
    const header = "case,activity,time\n";
    const before = `${header}c,A,2026-05-01 08:00\n`;
    const options = { unended: "open" };
    await withFile(before, async (path) => {
      await take(world, "", { ...options, file: path });
    });
    await withFile(`${before}c,B,2026-05-01 09:00\n`, async (path) => {
      const report = await take(world, "", { ...options, file: path });
      assert.deepEqual([report.accepted, report.duplicates], [2, 3]);
      // The same log an hour off is another past of the same cases.
      const shifted = await take(world, "", {
        ...options,
        file: path,
        timeZone: "Europe/Paris",
      });
      assert.deepEqual([shifted.accepted, shifted.conflicts], [0, 5]);
    });
  },
);

dbTest(
  "importLog() takes local times in the zone it is told",
  async (world) => {
    const text =
      "case,activity,time\nc,A,2026-03-29 02:30\nc,B,2026-03-29 03:30\n";
    await withFile(text, async (path) => {
      const report = await take(world, "", {
        file: path,
        timeZone: "Europe/Paris",
      });
      // 02:30 did not exist that day: both are 01:30 UTC.
      const { firstMicros, lastMicros } = report.totals;
      assert.equal(firstMicros, Date.UTC(2026, 2, 29, 1, 30) * 1000);
      assert.equal(lastMicros, firstMicros);
      await assert.rejects(
        take(world, "", { file: path, timeZone: "Paris" }),
        /"Paris" is no IANA time zone/,
      );
    });
  },
);

dbTest("importLog() reads XES, gzipped too", async (world) => {
  const xes = await take(world, "loans.xes");
  assert.equal(xes.format, "xes");
  // The event without a time is left out, the scheduled one ignored.
  assert.deepEqual([xes.broken.count, xes.ignored], [1, 1]);
  const { summary, steps } = await readMay(world, xes.workflow_id);
  assert.equal(summary.total_enrolled, 2);
  assert.deepEqual(
    steps.map((step) => [
      step.step_name,
      step.entered,
      step.completed,
      step.average_time_seconds,
    ]),
    [["Apply", 2, 2, 0], ["Check", 1, 1, 1800]],
  );
  await withFile(
    gzipSync(await Deno.readFile(fixture("loans.xes"))),
    async (path) => {
      const packed = await take(world, "", { file: path });
      assert.deepEqual(
        [packed.accepted, packed.duplicates],
        [0, xes.accepted],
      );
    },
  );
});

dbTest("importLog() reads events of ours, line by line", async (world) => {
  const report = await take(world, "events.ndjson");
  assert.equal(report.workflow_id, "5d0c7c1e-0000-4000-8000-000000000001");
  assert.equal(report.accepted, 4);
  assert.deepEqual(report.broken.first.map(({ line }) => line), [3, 4, 8]);
  assert.match(report.broken.first[1]!.problem, /is not an event: step_id: /);
  const { summary } = await readMay(world, report.workflow_id);
  assert.deepEqual([summary.total_enrolled, summary.completed], [1, 1]);
  assert.equal(summary.average_duration_seconds, 5400);
  const known = await readWorkflow(
    world.sql,
    world.account.account_id,
    report.workflow_id,
  );
  assert.equal(known!.name, "Imported");
  const again = await take(world, "events.ndjson", { workflow: "Renamed" });
  assert.equal(again.duplicates, 4);
});

dbTest(
  "importLog() counts broken lines and takes the others",
  async (world) => {
    const report = await take(world, "broken.csv");
    assert.equal(report.broken.count, 9);
    assert.deepEqual(report.broken.first, [
      { line: 3, problem: "has a quote inside a quoted field" },
      { line: 5, problem: "has a quote inside a quoted field" },
      { line: 6, problem: "has no case" },
      { line: 7, problem: "has no activity" },
      {
        line: 8,
        problem: 'has a timestamp that cannot be read: "05/01/2026 08:30"',
      },
    ]);
    const { steps } = await readMay(world, report.workflow_id);
    assert.deepEqual(steps.map((step) => [step.step_name, step.visits]), [
      ["Open", 2],
      ["Close", 1],
    ]);
  },
);

dbTest(
  "importLog() refuses what began more than 90 days ago",
  async (world) => {
    const text = "case,activity,time\n" +
      "old,A,2026-03-17 11:59:59\nold,B,2026-05-01 12:00\nnew,A,2026-03-17 12:00\n";
    await withFile(text, async (path) => {
      const report = await take(world, "", { file: path });
      assert.deepEqual(report.totals.tooOld, { cases: 1, rows: 2 });
      assert.equal(report.totals.executions, 1);
      const all = await take(world, "", { file: path, allowOld: true });
      assert.deepEqual([all.totals.executions, all.duplicates], [2, 4]);
    });
  },
);

dbTest("importLog() as a dry run writes nothing", async (world) => {
  for (const file of ["onboarding.csv", "events.ndjson"]) {
    const report = await take(world, file, { dryRun: true });
    assert.ok(report.totals.events > 0);
    assert.equal(report.accepted, 0);
  }
  const [left] = await world.sql`select count(*) as n from weir.workflow`;
  assert.equal(left!.n, 0);
});

dbTest(
  "importCommand() prints the workflow's id alone at last",
  async (world) => {
    const { printed, said } = await run(world, [
      fixture("visits.csv"),
      "--end",
      "Check out",
      "--allow-old",
    ]);
    assert.equal(printed.length, 1);
    const workflow = await readWorkflow(
      world.sql,
      world.account.account_id,
      printed[0]!,
    );
    assert.equal(workflow!.name, "Imported");
    assert.match(said, /10 rows of CSV; case "patient", activity "handling"/);
    assert.match(said, /2\. X-ray/);
    assert.match(said, /1 case without an end still run/);
    assert.match(
      said,
      /2 executions, 12 events from 2026-05-01T08:00:00\.000Z/,
    );
    assert.match(said, /12 new events, 0 duplicates/);
  },
);

dbTest(
  "importCommand() keeps what is new of a grown log, and fails for what contradicts",
  async (world) => {
    const { sql, account } = world;
    const text = "case,activity,time\nc,A,2026-05-01 08:00\n";
    async function run(text: string, ...flags: string[]): Promise<string[]> {
      const printed: string[] = [];
      await withFile(text, async (path) => {
        const args = [path, "--account", account.account_uuid, "--allow-old"]
          .concat("--workflow", "Grown", ...flags);
        await importCommand(sql, args, (line) => printed.push(line))
          .catch((error) => printed.push(error.message));
      });
      return printed;
    }
    strictlyOne(await run(text));
    const grown = `${text}c,B,2026-05-01 09:00\n`;
    const [, problem] = await run(grown);
    assert.match(problem!, /^Cannot import all of .*1 event of it/);
    // The new step is there, and the end where it was.
    const [{ steps, ends }] = await sql<[{ steps: number; ends: Date }]>`
      select (select count(*)::int from weir.execution_step) as steps, ended_at as ends
      from weir.execution`;
    assert.deepEqual([steps, ends.toISOString()], [
      2,
      "2026-05-01T08:00:00.000Z",
    ]);
    // What was left open has no end that could move.
    const open = ["--unended", "open", "--workflow", "Open"];
    strictlyOne(await run(text, ...open));
    strictlyOne(await run(grown, ...open));
  },
);

/** An id, and no complaint after it. */
function strictlyOne(printed: string[]): void {
  assert.equal(printed.length, 1, printed.join("\n"));
}

dbTest("importCommand() fails when nothing can be used", async (world) => {
  const old = "case,activity,time\nc,A,1999-01-01\n";
  await withFile(old, async (path) => {
    await assert.rejects(run(world, [path]), /nothing of it can be used/);
  });
  await assert.rejects(
    run(world, ["no/such/file"]),
    /Cannot read no\/such\/file: there is no such file/,
  );
  await assert.rejects(
    importCommand(world.sql, [
      ...[fixture("visits.csv"), "--workflow", "W"],
      ...["--account", "5d0c7c1e-0000-4000-8000-00000000dead"],
    ], () => {}),
    /there is no account 5d0c7c1e/,
  );
  const [left] = await world.sql`select count(*) as n from weir.workflow`;
  assert.equal(left!.n, 0);
});

Deno.test("parseFlags() reads every flag", () => {
  const parsed = parseFlags([
    ...["log.csv", "--account", "a", "--workflow", "W", "--case", "c"],
    ...["--delimiter", "tab", "--goal", "A", "--goal", "B,C", "--open"],
    ...["--time-zone", "Asia/Kolkata", "--source", "api", "--dry-run"],
  ]);
  assert.ok(parsed !== "help");
  assert.equal(parsed.account, "a");
  const { options } = parsed;
  assert.deepEqual(
    [options.file, options.workflow, options.mapping?.case],
    ["log.csv", "W", "c"],
  );
  assert.deepEqual(options.goals, ["A", "B,C"]);
  assert.deepEqual(
    [options.delimiter, options.unended, options.source, options.timeZone],
    ["\t", "open", "api", "Asia/Kolkata"],
  );
  assert.equal(options.dryRun, true);
  assert.equal(parseFlags(["-h"]), "help");
});

Deno.test("parseFlags() says what is wrong", () => {
  const needed = ["f", "--account", "a", "--workflow", "w"];
  assert.throws(() => parseFlags(["f"]), /--account and --workflow are needed/);
  assert.throws(() => parseFlags([...needed, "--gaol", "x"]), /--gaol/);
  assert.throws(
    () => parseFlags([...needed, "--source", "x"]),
    /--source must be one of trigger, bulk, api, manual: it is "x"/,
  );
  assert.throws(
    () => parseFlags([...needed, "--delimiter", ";;"]),
    /--delimiter must be one character/,
  );
});
