import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { connect, isOutage, type Sql, stateOfPool } from "../../db/client.ts";
import { copyIn, copyOut } from "../../db/copy.ts";
import { dbTest, until, type World } from "../harness.ts";

/** A pool of one connection: what happens to it happens to whoever comes next. */
async function withOne(
  world: World,
  test: (sql: Sql) => Promise<void>,
): Promise<void> {
  const sql = connect(world.database_url, {
    max: 1,
    statementTimeoutMs: 30_000,
    name: "weir one",
  });
  try {
    await test(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

const copyOf = (rows: number) =>
  `copy (select repeat('x', 1000) from generate_series(1, ${rows})) to stdout`;

dbTest(
  "copyOut() gives all rows, and fails as its statement does",
  (world) =>
    withOne(world, async (sql) => {
      for (const rows of [0, 1, 100, 20_000]) {
        const text = await new Response(await copyOut(sql, copyOf(rows)))
          .text();
        strictEqual(text.length, rows * 1_001);
      }
      await rejects(copyOut(sql, "copy (select 1 / 0) to stdout"), /by zero/);
      await rejects(copyOut(sql, "copy nothing at all"), /syntax error/);
      const amid =
        "copy (select 1 / (10000 - n) from generate_series(1, 20000) n)";
      await rejects(
        new Response(await copyOut(sql, `${amid} to stdout`)).text(),
        /by zero/,
      );
      deepStrictEqual([...await sql`select 1 as one`], [{ one: 1 }]);
    }),
);

dbTest(
  "copyOut() cancels nobody else for a reader who leaves",
  (world) =>
    withOne(world, async (sql) => {
      // From what is over long before to what never would be.
      for (let round = 0; round < 90; round++) {
        const rows = [1, 60, 300, 1_000, 3_000, 40_000][round % 6]!;
        const reader = (await copyOut(sql, copyOf(rows))).getReader();
        await reader.read();
        const left = reader.cancel();
        await sql`select pg_sleep(0.01)`;
        await left;
      }
      const leaving = new AbortController();
      const slow = copyOut(
        sql,
        "copy (select pg_sleep(20)) to stdout",
        leaving,
      );
      slow.catch(() => {});
      await until("it runs", async () => await copiesOf(world) === 1);
      leaving.abort(new Error("left"));
      await sql`select 1`;
      await rejects(slow);
    }),
);

async function copiesOf({ sql }: World): Promise<number> {
  const [{ count }] = await sql<[{ count: number }]>`
    select count(*) from pg_stat_activity
    where datname = current_database() and query like 'copy %' and state = 'active'`;
  return count;
}

dbTest(
  "copyOut() and copyIn() have others wait for their connection",
  (world) =>
    withOne(world, async (sql) => {
      const out = await copyOut(sql, copyOf(20_000));
      const waits = sql`select 1 as one`;
      const isOver = Promise.all([waits, new Response(out).text()]);
      deepStrictEqual([...(await isOver)[0]], [{ one: 1 }]);

      await sql`create table weir.copied (n int)`;
      const asked: PromiseLike<unknown>[] = [];
      async function* lines() {
        for (let n = 1; n <= 3; n++) {
          yield new TextEncoder().encode(`${n}\n`);
          asked.push(sql`select 2 as two`.then(([row]) => row));
        }
      }
      await copyIn(sql, "copy weir.copied from stdin", lines());
      deepStrictEqual(await Promise.all(asked), Array(3).fill({ two: 2 }));
      strictEqual((await sql`select from weir.copied`).length, 3);
    }),
);

dbTest(
  "copyOut() and copyIn() fail when their connection does, and the pool goes on",
  (world) =>
    withOne(world, async (sql) => {
      const kill = () =>
        world.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and application_name = 'weir one'`;
      for (let round = 0; round < 5; round++) {
        const reader = (await copyOut(sql, copyOf(40_000))).getReader();
        await reader.read();
        await kill();
        await rejects(async () => {
          while (!(await reader.read()).done);
        }, ({ code }: { code?: string }) => isOutage(code));
        // The driver hands a connection's last words to whoever comes next (3.4.9).
        await sql`select 1`.catch(() => {});
        strictEqual((await sql`select 1`).length, 1);

        // Its last rows wait for their reader, and its connection has gone meanwhile.
        const short = (await copyOut(sql, copyOf(1))).getReader();
        await kill();
        await until("it has heard", () => stateOfPool(sql).connections === 0);
        strictEqual((await short.read()).value!.length, 1_001);
        strictEqual((await short.read()).done, true);
        strictEqual((await sql`select 1`).length, 1);
      }
    }),
);

dbTest(
  "copyOut() gives a reader up who takes nothing",
  (world) =>
    withOne(world, async (sql) => {
      const out = await copyOut(sql, copyOf(40_000), { stalledMsMax: 50 });
      // It waits for this connection.
      strictEqual((await sql`select 1`).length, 1);
      await rejects(new Response(out).text(), /nobody reads/);
      strictEqual(await copiesOf(world), 0);
    }),
);

dbTest(
  "end() of a pool ends statements whose rows nobody takes",
  async (world) => {
    await withOne(world, async (sql) => {
      const out = await copyOut(sql, copyOf(40_000));
      out.getReader();
      await sql.end({ timeout: 0.01 });
      await until("it has ended", async () => await copiesOf(world) === 0, 5);
    });
  },
);
