import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { audit } from "../../db/jobs.ts";
import { makePast } from "../db/_history.ts";
import { dbTest, withDatabase } from "../harness.ts";
import { recount } from "../recount.ts";
import { copyDays, makeHistory, recordExecutions } from "./history.ts";

const ENDS_AT = new Date();

const ROLLUPS = ["workflow", "reason", "goal", "step", "action", "histogram"];

async function digest(sql: Sql): Promise<string> {
  const [row] = await sql<[{ digest: string }]>`
    select md5(string_agg(e::text, ',' order by event_id)) as digest from weir.event e`;
  return row.digest;
}

dbTest(
  "makeHistory() makes the same past again, and what the fold makes of it is right",
  async (world) => {
    const { sql } = world;
    const { workflow_id } = await makePast(world, 0);
    const span = { from: 0, until: 300, of: 300, endsAt: ENDS_AT };
    const events = await makeHistory(sql, workflow_id, span);
    ok(events > 300 * 6);
    deepStrictEqual(await recount(sql), []);
    await withDatabase(async (other) => {
      await makePast(other, 0);
      for (const part of [{ from: 100 }, { until: 100 }]) {
        await recordExecutions(other.sql, workflow_id, { ...span, ...part });
      }
      while (await fold(other.sql) > 0);
      strictEqual(await digest(other.sql), await digest(sql));
    });
  },
);

dbTest(
  "copyDays() repeats days for two years, and months are their sums",
  async (world) => {
    const { sql } = world;
    await makePast(world, 300);
    const running = () =>
      sql`select sum(enrolled - completed - exited) as running
        from weir.workflow_rollup group by grain order by grain`;
    const before = await running();
    await copyDays(sql, ENDS_AT);
    deepStrictEqual((await running())[1], before[1]);
    for (const rollup of ROLLUPS) {
      const [days] = await sql<[{ span: number }]>`
        select extract(day from max(bucket) - min(bucket))::int as span
        from ${sql(`weir.${rollup}_rollup`)} where grain = 'day'`;
      ok(days.span > 700, rollup);
    }
    strictEqual((await audit(world.snapshots, null, ENDS_AT)).differences, 0);
  },
);
