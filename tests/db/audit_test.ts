import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { audit, readPipeline } from "../../db/jobs.ts";
import { fold } from "../../db/events.ts";
import { auditCommand } from "../../workers/audit.ts";
import { recordExecutions } from "../bench/history.ts";
import { dbTest, type World } from "../harness.ts";
import { makePast } from "./_history.ts";

async function relations(world: World): Promise<string[]> {
  const { drift } = await audit(world.snapshots, null, new Date());
  return [...new Set(drift.map((row) => row.relation))];
}

dbTest("audit() finds nothing wrong with what fold() made", async (world) => {
  const { sql } = world;
  const { workflow_id } = await makePast(world);
  const now = new Date();
  deepStrictEqual(await audit(world.snapshots, null, now), {
    differences: 0,
    drift: [],
  });
  // Events that wait are not counted yet, and not missed.
  await recordExecutions(sql, workflow_id, { from: 300, until: 310, of: 310 });
  strictEqual((await audit(world.snapshots, null, now)).differences, 0);
  strictEqual((await audit(world.snapshots, 1_000, now)).differences, 0);
  await fold(sql);
  strictEqual((await audit(world.snapshots, null, now)).differences, 0);
});

/** Every kind of number, made wrong. */
/** Has slices made of a past that is small. */
const SLICED = `
  create or replace function weir.sliced_from() returns int language sql immutable return 1;
  select weir.make_windows(workflow_id) from weir.workflow`;

const WRONG: Record<
  string,
  { before?: string; sql: string; also?: string[] }
> = {
  execution: {
    sql:
      "update weir.execution set contact_id = 'wrong' where ctid = (select min(ctid) from weir.execution where status = 'active')",
  },
  execution_step: {
    sql:
      "update weir.execution_step set visits = visits + 1 where ctid = (select min(ctid) from weir.execution_step)",
    also: ["step_rollup"],
  },
  execution_goal: {
    sql:
      "insert into weir.execution_goal select workflow_id, execution_id, 1, enrolled_at, 0, 'wrong', enrolled_at, true from weir.execution limit 1",
    also: ["goal_rollup"],
  },
  workflow_running: { sql: "update weir.workflow_running set executions = 1" },
  reason_rollup: {
    sql:
      "update weir.reason_rollup set ends = ends + 1 where grain in ('day', 'month')",
  },
  action_rollup: {
    sql:
      "delete from weir.action_rollup where grain = '15min' and bucket > now() - interval '40 days'",
  },
  histogram_bins: {
    sql:
      "update weir.histogram_rollup set samples[300] = coalesce(samples[300], 0) + 1 where grain = 'month'",
  },
  window_histogram: {
    sql:
      "insert into weir.window_histogram select workflow_id, 'step_time', 7, 0, '[5:6]={1,0}', null, 1 from weir.workflow",
  },
  window_slice: {
    before: SLICED,
    sql:
      "update weir.window_slice set samples = samples[2:] where place = 4 and days = 30",
  },
  window_edge: {
    before: SLICED,
    sql:
      "update weir.window_edge set samples[1] = samples[1] + 1 where measure = 'step_time'",
  },
  workflow_rollup: {
    sql:
      "update weir.workflow_rollup set duration_us = duration_us + 1 where grain = 'day'",
  },
  step_rollup: {
    sql:
      "insert into weir.step_rollup select workflow_id, grain, bucket, 9, step_id, 1, 1, 0, 0, 0, 1, 1, 1 from weir.step_rollup where grain = 'day' and bucket > now() - interval '40 days' limit 1",
  },
};

dbTest(
  "audit() finds a total or bins that are not of their histogram",
  async (world) => {
    const { sql } = world;
    await makePast(world, 60);
    await sql`select weir.make_windows(workflow_id) from weir.workflow`;
    for (const wrong of ["total = total + 1", "bins[4] = bins[4] + 1"]) {
      deepStrictEqual(await relations(world), []);
      const changed = await sql.unsafe(
        `update weir.window_histogram set ${wrong}`,
      );
      ok(changed.count > 0);
      deepStrictEqual(await relations(world), ["window_histogram"]);
      await sql`update weir.histogram_window set last_day = last_day - interval '24 hours'`;
      await sql`select weir.make_windows(workflow_id) from weir.workflow`;
    }
  },
);

for (const [relation, wrong] of Object.entries(WRONG)) {
  dbTest(`audit() finds what is wrong in ${relation}`, async (world) => {
    await makePast(world, 60);
    await world.sql.unsafe(wrong.before ?? "");
    deepStrictEqual(await relations(world), []);
    const changed = await world.sql.unsafe(wrong.sql);
    ok(changed.count > 0);
    deepStrictEqual(
      await relations(world),
      [relation, ...wrong.also ?? []],
    );
  });
}

dbTest(
  "audit() of a sample tells until a whole one finds it gone",
  async (world) => {
    const { sql } = world;
    await makePast(world, 60);
    const shift = (by: number) =>
      sql`update weir.workflow_rollup set enrolled = enrolled + ${by}::int where grain = 'month'`;
    await shift(1);
    const months = await sql`
    select from weir.workflow_rollup where grain = 'month'`;
    for (let round = 0; round < 2; round++) {
      const { differences, drift } = await audit(
        world.snapshots,
        100,
        new Date(),
      );
      strictEqual(differences, 2 * months.count);
      deepStrictEqual(drift, []);
      strictEqual((await readPipeline(sql)).drift, 2 * months.count);
    }
    await shift(-1);
    strictEqual((await audit(world.snapshots, 100, new Date())).differences, 0);
    strictEqual((await readPipeline(sql)).drift, 2 * months.count);
    strictEqual(
      (await audit(world.snapshots, null, new Date())).differences,
      0,
    );
    strictEqual((await readPipeline(sql)).drift, 0);
  },
);

dbTest("audit() refuses a transaction that sees others", async ({ sql }) => {
  await rejects(() => sql`select weir.audit(1)`, /not repeatable read/);
});

dbTest("auditCommand() prints every difference", async (world) => {
  const { sql } = world;
  await makePast(world, 20);
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  strictEqual(await auditCommand(world.snapshots, print, new Date()), true);
  deepStrictEqual(lines.splice(0), ["0 differences"]);
  await sql`update weir.workflow_running set executions = executions + 1`;
  strictEqual(await auditCommand(world.snapshots, print, new Date()), false);
  strictEqual(lines.length, 3);
  ok(lines[0]!.startsWith("workflow_running "));
  ok(lines.some((line) => line.startsWith("workflow_running lacks {")));
  ok(lines.some((line) => line.startsWith("workflow_running has {")));
  strictEqual(lines[2], "2 differences");
});
