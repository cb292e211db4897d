/**
 * What capacity is planned by: computing of the database's own, and bytes, by the unit.
 * Computing is told by Linux of the one process of Postgres that does it, so that what
 * else a machine is at does not matter. `deno task bench --costs --executions 40000`.
 *
 * @module
 */

import { fold, recordEvents } from "../../db/events.ts";
import { refreshAll } from "../../db/jobs.ts";
import { readLive, readRevisions } from "../../db/live.ts";
import { randomOf, uuidOfWords } from "../../workers/_random.ts";
import { journeyOf } from "../journeys.ts";
import { copyDays, makeHistory } from "./history.ts";
import { lastDays } from "./reads.ts";
import type { Bench } from "./run.ts";

/** What `/proc` counts time in, ms. */
const TICK_MS = 10;

const RECORDED = 20_000;
const BATCH_EVENTS = 1_000;
/** Workflows that have one event each in a round, and rounds of them. */
const SCATTERED = 1_000;
const ROUNDS = 5;

const READS = 100;
const REVISIONS = 1_000;

/** Days of the ranges that are read. */
const RANGES = [7, 30, 90];

/** Costs of capacity.ts, one after the other. */
export async function benchCosts(bench: Bench): Promise<void> {
  const { sql, account, busy, executions, report } = bench;
  if (Deno.build.os !== "linux") {
    throw new Error("Cannot measure: only Linux has /proc");
  }
  const [{ pid }] = await sql<[{ pid: number }]>`
    select pg_backend_pid() as pid`;
  /** Ms of computing of the session's process so far. */
  async function computed(): Promise<number> {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    // What comes before may have spaces in it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }
  async function costOf(
    units: number,
    act: () => Promise<unknown>,
  ): Promise<number> {
    const before = await computed();
    await act();
    return (await computed() - before) / units;
  }

  const span = { from: 0, until: executions, of: executions };
  await makeHistory(sql, busy.id, { ...span, endsAt: bench.endsAt });
  while (await fold(sql, 200_000) > 0);
  await copyDays(sql, bench.endsAt);
  await sql.unsafe("vacuum analyze");
  await reportBytes(bench);

  const random = randomOf("costs");
  const events = Array.from(
    { length: RECORDED / 5 },
    (_, n) =>
      journeyOf(random, busy.uuid, `cost-${n}`, Date.now() - 86_400_000 * 3),
  )
    .flat().slice(0, RECORDED);
  const batches = Array.from(
    { length: Math.floor(events.length / BATCH_EVENTS) },
    (_, n) => events.slice(n * BATCH_EVENTS, (n + 1) * BATCH_EVENTS),
  );
  const recorded = batches.length * BATCH_EVENTS;
  let [record_ms, fold_ms] = [0, 0];
  for (const batch of batches) {
    record_ms += await costOf(
      recorded,
      () => recordEvents(sql, account.account_id, batch),
    );
    // A round of as many as one request brings, where each alone would cost more.
    fold_ms += await costOf(recorded, () => fold(sql));
  }
  report({
    name: "recording, a core",
    value: 1_000 / record_ms,
    unit: "events/s",
  });
  report({ name: "folding, a core", value: 1_000 / fold_ms, unit: "events/s" });

  // As of many accounts: each event of a round is of another workflow.
  const scattered = Array.from({ length: SCATTERED }, (_, n) => ({
    ...events[0]!,
    id: `scattered ${n}`,
    workflow_id: uuidOfWords("costs", n),
  }));
  await recordEvents(sql, account.account_id, scattered);
  while (await fold(sql) > 0);
  let scattered_ms = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await recordEvents(
      sql,
      account.account_id,
      scattered.map((event) => ({
        ...event,
        id: `${event.id} ${round}`,
        execution_id: uuidOfWords(event.id, round),
      })),
    );
    scattered_ms += await costOf(
      SCATTERED * ROUNDS,
      async () => {
        while (await fold(sql) > 0);
      },
    );
  }
  report({
    name: "folding an event of a workflow of its own",
    value: scattered_ms,
    unit: "ms",
  });

  for (const state of ["views behind a day", "views fresh"]) {
    if (state === "views fresh") await refreshAll(sql);
    for (const days of RANGES) {
      const ms = await costOf(READS, async () => {
        for (let n = 0; n < READS; n++) {
          await readLive(
            sql,
            account.account_id,
            busy.uuid,
            lastDays(days),
            new Date(),
          );
        }
      });
      report({
        name: `a stream's read of ${days} days, ${state}`,
        value: ms,
        unit: "ms",
      });
    }
  }
  const rows = await sql<{ workflow_uuid: string }[]>`
    select workflow_uuid from weir.workflow`;
  const uuids = rows.map((row) => row.workflow_uuid);
  const revision_ms = await costOf(REVISIONS * uuids.length, async () => {
    for (let n = 0; n < REVISIONS; n++) {
      await readRevisions(sql, uuids, new Date());
    }
  });
  report({
    name: "a revision, of those asked together",
    value: revision_ms,
    unit: "ms",
  });
}

async function reportBytes({ sql, report }: Bench): Promise<void> {
  const [row] = await sql<[{ events: number; executions: number }]>`
    select (select count(*) from weir.event)::int as events,
      (select count(*) from weir.execution)::int as executions`;
  const bytes = async (pattern: string) => {
    const [found] = await sql<[{ bytes: number }]>`
      select sum(pg_total_relation_size(oid))::float8 as bytes from pg_class
      where relnamespace = 'weir'::regnamespace and relkind = 'r' and relname ~ ${pattern}`;
    return found.bytes;
  };
  const [event, execution] = [
    await bytes("^event_\\d"),
    await bytes("^(execution|parked)"),
  ];
  for (
    const [name, value] of [
      ["events an execution", row.events / row.executions],
      ["an event", event / row.events],
      ["an execution", execution / row.executions],
      ["all of it, an event", (event + execution) / row.events],
    ] as const
  ) report({ name: `bytes: ${name}`, value, unit: "B" });
}
