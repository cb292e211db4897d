import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { migrate, pendingMigrations } from "../../db/migrate.ts";
import { auditCommand } from "../../workers/audit.ts";
import { makePast } from "../db/_history.ts";
import { admin, dbTest, urlOf } from "../harness.ts";
import { enrolled, post } from "../routes/_requests.ts";

const BIN = "/usr/lib/postgresql/15/bin";

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(`${BIN}/${program}`, {
    args,
    stdout: "null",
  }).output();
  ok(success, new TextDecoder().decode(stderr));
}

dbTest(
  "a dump that is restored has every number, and counts on",
  async (world) => {
    await makePast(world, 200);
    world.clock.now = new Date();
    // Accepted and not counted: the queue goes along.
    const waiting = enrolled({ occurred_at: new Date().toISOString() });
    strictEqual((await post(world, waiting)).status, 202);
    const database = `weir_restored_${crypto.randomUUID().slice(0, 8)}`;
    const file = await Deno.makeTempFile({ prefix: "weir-dump-" });
    await admin(`create database ${database}`);
    const options = { max: 2, statementTimeoutMs: 60_000 };
    const restored = connect(urlOf(database), options);
    const snapshots = connect(urlOf(database), { ...options, snapshots: true });
    const count = async (sql: typeof restored) => {
      const rows = await sql`
      select sum(enrolled)::int as enrolled, (select count(*)::int from weir.event) as events,
        (select count(*)::int from weir.event_queue) as queued
      from weir.workflow_rollup where grain = 'day'`;
      return { ...rows[0] };
    };
    try {
      const startedAt = performance.now();
      await run(
        "pg_dump",
        "--schema=weir",
        "--format=custom",
        `--file=${file}`,
        `--dbname=${world.database_url}`,
      );
      await run(
        "pg_restore",
        "--no-owner",
        `--dbname=${urlOf(database)}`,
        file,
      );
      console.info(
        `restored in ${Math.round(performance.now() - startedAt)} ms`,
      );

      deepStrictEqual(await pendingMigrations(restored), []);
      await migrate(restored);
      const before = await count(world.sql);
      deepStrictEqual(await count(restored), before);
      strictEqual(before.queued, 1);
      while (await fold(restored) > 0);
      const after = await count(restored);
      strictEqual(after.enrolled, before.enrolled! + 1);
      const drift: string[] = [];
      ok(
        await auditCommand(snapshots, (line) => drift.push(line), new Date()),
        drift.join("\n"),
      );
    } finally {
      await Promise.all([restored.end(), snapshots.end()]);
      await admin(`drop database ${database} with (force)`);
      await Deno.remove(file);
    }
  },
);
