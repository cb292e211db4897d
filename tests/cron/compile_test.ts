/**
 * That nothing is compiled where Postgres compiles by itself (`jit`), as Debian's does: what
 * the fold forbids the planner makes every plan look dear, and compiling it takes a tenth of
 * a second, once a statement. The embedded Postgres has no compiler.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { readActions } from "../../db/actions.ts";
import { readAnalytics } from "../../db/analytics.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { AnalyticsQuery, Event } from "../../db/schema.ts";
import { withExplained } from "../db/_explained.ts";
import { makePast } from "../db/_history.ts";
import { dbTest } from "../harness.ts";

dbTest("events are counted and read with no plan compiled", async (world) => {
  const { account } = world;
  const { workflow_uuid } = await makePast(world, 20);
  const plans: string[] = [];
  const tell = (plan: string) => plans.push(plan);
  await withExplained(world.database_url, tell, async (sql) => {
    const [server] = await sql`
      select current_setting('jit') as jit, pg_jit_available() as can_compile`;
    deepStrictEqual({ ...server }, { jit: "on", can_compile: true });
    const now = new Date();
    await recordEvents(sql, account.account_id, [Event.parse({
      id: "one",
      type: "execution.enrolled",
      workflow_id: workflow_uuid,
      execution_id: crypto.randomUUID(),
      contact_id: "contact",
      source: "api",
      occurred_at: now.toISOString(),
    })]);
    strictEqual(await fold(sql), 1);
    await sql`update weir.workflow set recompute_since = now()`;
    await sql`select weir.recompute(workflow_id) from weir.workflow`;
    await sql`call weir.refresh_views('worker', 0, null)`;
    for (const tz of [undefined, "Asia/Kathmandu"]) {
      const today = Temporal.Now.plainDateISO("UTC");
      const query = AnalyticsQuery.parse({
        start_date: today.subtract({ days: 29 }).toString(),
        end_date: today.toString(),
        tz,
      });
      for (const read of [readAnalytics, readFunnel, readActions]) {
        await read(sql, account.account_id, workflow_uuid, query, now);
      }
    }
  });
  ok(plans.length > 100, `${plans.length} plans`);
  deepStrictEqual(plans.filter((plan) => plan.includes('"JIT"')), []);
});
