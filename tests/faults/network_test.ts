/**
 * A server whose way to Postgres fails in every way a network knows, and a Postgres
 * that has no room: every request has an answer within its time, what was
 * acknowledged is there once, and all is as before when the fault is over.
 *
 * @module
 */

import { ok, rejects, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { dbTest, type Server, startServer, until } from "../harness.ts";
import { endOf } from "../within.ts";
import {
  check,
  enrolment,
  HUNG_MS,
  type Ledger,
  newLedger,
  report,
} from "./_ledger.ts";
import { openProxy } from "./_proxy.ts";

/** Silence of 2 s, a beat, a probe of 2 s, and a busy machine: no request waits longer, ms. */
const ANSWER_MS_MAX = 8_000;

/** How soon all is well after a fault is over, ms. */
const RECOVERY_MS_MAX = 10_000;

dbTest(
  "main start outlives every weather between it and Postgres",
  async (world) => {
    using proxy = openProxy(world.database_url);
    await using server = await startServer({ DATABASE_URL: proxy.url });
    const ledger = newLedger();
    const say: string[] = [];
    let n = 0;
    async function burst(): Promise<void> {
      await Promise.all(Array.from(
        { length: 12 },
        () => report(server, world.key, ledger, [enrolment(`e${n++}`)]),
      ));
    }
    await burst();
    strictEqual(ledger.acknowledged.size, 12);

    for (const weather of ["cut", "blackhole", "truncate", "delay"] as const) {
      ledger.slowestMs = 0;
      ledger.statuses.clear();
      if (weather === "delay") proxy.delayMs = 100;
      else proxy.weather = weather;
      if (weather === "cut") proxy.cut();
      await burst();
      // The second finds out at once what the first had to wait for.
      await burst();
      ok(
        ledger.slowestMs < ANSWER_MS_MAX,
        `${weather}: ${ledger.slowestMs} ms`,
      );
      strictEqual(ledger.statuses.has(503), weather !== "delay", weather);
      const ready = await fetch(`${server.url}/readyz`, {
        signal: AbortSignal.timeout(HUNG_MS),
      });
      await ready.body?.cancel();
      strictEqual(ready.status, weather === "delay" ? 200 : 503, weather);

      const slowest = Math.round(ledger.slowestMs);
      const over = performance.now();
      proxy.weather = "good";
      proxy.delayMs = 0;
      await until(
        `it answers after ${weather}`,
        async () =>
          (await report(server, world.key, ledger, [enrolment(`e${n++}`)]))
            .status === 202,
        RECOVERY_MS_MAX / 1_000,
      );
      const recovery = Math.round(performance.now() - over);
      say.push(
        `${weather}: slowest answer ${slowest} ms, well after ${recovery} ms`,
      );
    }
    await check(world, ledger);
    console.info(say.join("\n"));
    server.process.kill("SIGTERM");
    strictEqual((await endOf(server.process)).code, 0);
  },
);

dbTest(
  "a connection that was forgotten on the way is given up, though Postgres is there",
  async (world) => {
    using proxy = openProxy(world.database_url);
    const client = connect(proxy.url, { max: 1, statementTimeoutMs: 500 });
    try {
      await client`select 1`;
      proxy.forget();
      await rejects(client`select 2`, { code: "ECONNRESET" });
      // What is asked before the driver has heard of it goes the same way.
      await until(
        "another connection is made",
        () => client`select 3`.then(() => true, () => false),
        RECOVERY_MS_MAX / 1_000,
      );
    } finally {
      await client.end({ timeout: 1 });
    }
  },
);

dbTest(
  "main start answers 503 while Postgres has no connection left, and goes on when it has",
  async (world) => {
    const { sql, key } = world;
    const role = `weir_full_${crypto.randomUUID().slice(0, 8)}`;
    // All that the owner may, but for being a superuser, whom no limit holds.
    await sql.unsafe(`
      create role ${role} login password 'x' in role weir, weir_web, weir_work`);
    const url = new URL(world.database_url);
    url.username = role;
    url.password = "x";
    const limit = async (connections: number) => {
      await sql.unsafe(`alter role ${role} connection limit ${connections}`);
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`;
    };
    try {
      await using server = await startServer({ DATABASE_URL: url.href });
      const ledger = newLedger();
      let n = 0;
      const burst = () =>
        Promise.all(Array.from(
          { length: 12 },
          () => report(server, key, ledger, [enrolment(`e${n++}`)]),
        ));
      await burst();
      strictEqual(ledger.acknowledged.size, 12);
      for (const left of [0, 3]) {
        ledger.slowestMs = 0;
        await limit(left);
        await burst();
        await burst();
        ok(ledger.slowestMs < ANSWER_MS_MAX, `${left}: ${ledger.slowestMs} ms`);
        if (left === 0) strictEqual(ledger.statuses.get(503)! >= 12, true);
        await limit(-1);
        const over = performance.now();
        await until(
          "it takes events",
          async () =>
            (await report(server, key, ledger, [enrolment(`e${n++}`)]))
              .status === 202,
          RECOVERY_MS_MAX / 1_000,
        );
        console.info(
          `${left} connections: slowest answer ${
            Math.round(ledger.slowestMs)
          } ms, well after ${
            Math.round(performance.now() - over)
          } ms, answers ${JSON.stringify([...ledger.statuses])}`,
        );
      }
      await check(world, ledger);
      server.process.kill("SIGTERM");
      strictEqual((await endOf(server.process)).code, 0);
    } finally {
      await sql.unsafe(`drop role ${role}`);
    }
  },
);

/** Resident memory of a process, bytes. */
async function memoryOf(pid: number): Promise<number> {
  const statm = await Deno.readTextFile(`/proc/${pid}/statm`);
  return Number(statm.split(" ")[1]) * 4_096;
}

const BATCH = 200;

dbTest(
  "main serve refuses in time what is three times too much",
  async (world) => {
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      INGEST_EVENTS_PER_MINUTE: "100000000",
    });
    const calm = newLedger();
    let n = 0;
    const batch = () =>
      Array.from({ length: BATCH }, () => enrolment(`e${n++}`));
    const send = (ledger: Ledger) => report(server, world.key, ledger, batch());
    // What it can do: as many as eight who wait for each answer get done.
    const stopAt = performance.now() + 2_000;
    await Promise.all(Array.from({ length: 8 }, async () => {
      while (performance.now() < stopAt) await send(calm);
    }));
    const capacity = calm.acknowledged.size / 2 / BATCH;
    const before = await memoryOf(server.process.pid);

    const storm = newLedger();
    const sending: Promise<Response>[] = [];
    const startedAt = performance.now();
    let most = before;
    for (let sent = 0; performance.now() - startedAt < 4_000;) {
      const due = capacity * 3 * (performance.now() - startedAt) / 1_000;
      for (; sent < due; sent++) {
        const answer = send(storm);
        // What it may say is heard below, with all others.
        answer.catch(() => {});
        sending.push(answer);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
      most = Math.max(most, await memoryOf(server.process.pid));
    }
    const over = performance.now();
    await Promise.all(sending);
    await until(
      "it takes what it is sent again",
      async () => (await send(storm)).status === 202,
      RECOVERY_MS_MAX / 1_000,
    );
    const recovery = Math.round(performance.now() - over);
    const grown = Math.round((most - before) / 1e6);
    console.info(
      `capacity ${
        Math.round(capacity * BATCH)
      } events/s; of ${sending.length} requests at 3 x that, ` +
        `answers ${JSON.stringify([...storm.statuses])}, slowest ${
          Math.round(storm.slowestMs)
        } ms; memory +${grown} MB; well after ${recovery} ms`,
    );
    const refused = [429, 503].map((status) => storm.statuses.get(status) ?? 0);
    // Each of them said when to come back: report() asks for it.
    ok(refused[0]! + refused[1]! > 0, "nothing was refused");
    ok(grown < 100, `memory grew by ${grown} MB`);
    ok(recovery < RECOVERY_MS_MAX, `${recovery} ms`);
    for (const id of calm.acknowledged) storm.acknowledged.add(id);
    await check(world, storm);
  },
);

dbTest("ten rolling restarts under load fail no request", async (world) => {
  const env = { DATABASE_URL: world.database_url };
  const ledger = newLedger();
  let current = await startServer(env);
  const underWay = new Map<Server, number>();
  let isOver = false;
  let n = 0;
  async function send(): Promise<Response> {
    const server = current;
    const count = (by: number) =>
      underWay.set(server, (underWay.get(server) ?? 0) + by);
    count(1);
    const event = enrolment(`e${n++}`);
    return await report(server, world.key, ledger, [event])
      .finally(() => count(-1));
  }
  const load = Promise.all(Array.from({ length: 4 }, async () => {
    while (!isOver) {
      strictEqual((await send()).status, 202);
      // The next one is to start, too.
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }));
  try {
    for (let restart = 0; restart < 10; restart++) {
      const next = await Promise.race([startServer(env, "serve"), load]);
      if (Array.isArray(next)) break;
      const old = current;
      current = next;
      // As whoever balances the load does: what it was sent before it left comes back.
      await until("nothing is under way", () => underWay.get(old) === 0);
      old.process.kill("SIGTERM");
      strictEqual((await endOf(old.process)).code, 0, old.log());
      await old[Symbol.asyncDispose]();
    }
    isOver = true;
    await load;
  } finally {
    isOver = true;
    await Promise.allSettled([load]);
    await current[Symbol.asyncDispose]();
  }
  console.info(`${ledger.acknowledged.size} requests, none failed`);
  // The first server folded; what came after it waits for one that does.
  while (await fold(world.sql) > 0);
  await check(world, ledger);
});

dbTest("a worker that is frozen holds up nobody", async (world) => {
  const env = { DATABASE_URL: world.database_url };
  await using frozen = await startServer(env);
  await using awake = await startServer(env);
  const ledger = newLedger();
  let n = 0;
  const send = (to: { url: string }) =>
    report(to, world.key, ledger, [enrolment(`e${n++}`)]);
  await Promise.all(Array.from({ length: 20 }, () => send(frozen)));
  frozen.process.kill("SIGSTOP");
  try {
    await Promise.all(Array.from({ length: 20 }, () => send(awake)));
    await check(world, ledger);
  } finally {
    frozen.process.kill("SIGCONT");
  }
  await send(frozen);
  await check(world, ledger);
});

dbTest(
  "a transaction that writes for long holds up nobody's events but those that it reports too",
  async (world) => {
    const { sql, account, key, database_url } = world;
    await using server = await startServer({ DATABASE_URL: database_url });
    const ledger = newLedger();
    const send = (event: Record<string, unknown>) =>
      report(server, key, ledger, [event]);
    const counted = async () => {
      const [row] = await sql<[{ enrolled: number }]>`
        select coalesce(sum(enrolled), 0)::int as enrolled
        from weir.workflow_rollup where grain = 'day'`;
      return row.enrolled;
    };
    strictEqual((await send(enrolment("before"))).status, 202);
    const both = enrolment("both");
    let repeat: Promise<Response> | undefined;
    await sql.begin(async (tx) => {
      for (const event of [both, enrolment("open")]) {
        await tx`select weir.record(${account.account_uuid}, ${
          JSON.stringify(event)
        }::text::jsonb)`;
        ledger.acknowledged.add(event.id as string);
      }
      // Whether it is a duplicate is not known before the transaction ends.
      repeat = send(both);
      // It is waited for below, unless something fails before.
      repeat.catch(() => {});
      await until("it waits", async () => {
        const [row] = await sql`
          select count(*)::int as waiting from pg_stat_activity
          where datname = current_database() and wait_event = 'transactionid'`;
        return row!.waiting === 1;
      });
      for (let n = 0; n < 20; n++) {
        strictEqual((await send(enrolment(`beside ${n}`))).status, 202);
      }
      await until(
        "what is committed counts",
        async () => await counted() === 21,
      );
    });
    strictEqual((await repeat!).status, 202);
    await until(
      "and what was open, afterwards",
      async () => await counted() === 23,
    );
    strictEqual(ledger.acknowledged.size, 23);
    await check(world, ledger);
  },
);

/** Room for a fresh Postgres and some events. */
const DISK_MB = 220;

Deno.test({
  name: "main start answers 503 on a full disk, and goes on when there is room",
  // Only root makes a small disk.
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
  async fn() {
    const disk = await Deno.makeTempDir({ prefix: "weir-disk-" });
    const run = async (...args: string[]) =>
      (await new Deno.Command(args[0]!, { args: args.slice(1) }).output())
        .success;
    const size = `size=${DISK_MB}m,mode=711`;
    if (!await run("mount", "-t", "tmpfs", "-o", size, "tmpfs", disk)) {
      console.info("not tried: this place lets nobody mount");
      return await Deno.remove(disk);
    }
    try {
      await using server = await startServer({ DATA_DIR: disk });
      const { port, password } = JSON.parse(
        await Deno.readTextFile(`${disk}/embedded.json`),
      );
      const url = `postgres://weir:${password}@127.0.0.1:${port}/weir`;
      const options = { max: 2, statementTimeoutMs: 60_000 };
      const sql = connect(url, options);
      const snapshots = connect(url, { ...options, snapshots: true });
      try {
        const { account_id } = await createAccount(sql, "Full", "UTC");
        const key = await createKey(sql, account_id, { scopes: ["admin"] });
        const ledger = newLedger();
        let n = 0;
        const send = (events = 500) =>
          report(
            server,
            key,
            ledger,
            Array.from({ length: events }, () => enrolment(`e${n++}`)),
          );
        strictEqual((await send()).status, 202);
        await run("sh", "-c", `head -c 1G /dev/zero > ${disk}/filler`);
        await until(
          "the disk is full",
          async () => (await send()).status === 503,
          60,
        );
        await Deno.remove(`${disk}/filler`);
        const freed = performance.now();
        await until(
          "it takes events",
          async () => (await send(1)).status === 202,
        );
        console.info(
          `of ${n} events ${ledger.acknowledged.size} acknowledged, answers ${
            JSON.stringify([...ledger.statuses])
          }, well after ${Math.round(performance.now() - freed)} ms`,
        );
        await check({ sql, snapshots }, ledger);
      } finally {
        await Promise.all(
          [sql, snapshots].map((client) => client.end({ timeout: 5 })),
        );
      }
      server.process.kill("SIGTERM");
      strictEqual((await endOf(server.process)).code, 0);
    } finally {
      await run("umount", "--lazy", disk);
      await Deno.remove(disk);
    }
  },
});
