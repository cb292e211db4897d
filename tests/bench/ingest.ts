/**
 * Events a second over HTTP, against the same rows put into a bare table.
 *
 * @module
 */

import { connect } from "../../db/client.ts";
import { startServer } from "../harness.ts";
import { stepUuid } from "./history.ts";
import type { Bench } from "./run.ts";

const BATCH = 1_000;
const BATCHES = 100;

/** Connections of the floor, and clients of the server. */
const CLIENTS = 4;

/** Measures `POST /events` with the server in its own process, on the same cores. */
export async function benchIngest(bench: Bench): Promise<void> {
  const floor = await insertBare(bench);
  const bodies = makeBatches(bench.busy.uuid).map((batch) =>
    JSON.stringify(batch)
  );
  await using server = await startServer(
    { DATABASE_URL: bench.databaseUrl },
    "serve",
  );
  const started = performance.now();
  await inParallel(bodies, async (body) => {
    const response = await fetch(`${server.url}/api/v1/events`, {
      method: "POST",
      body,
      headers: {
        authorization: `Bearer ${bench.key}`,
        "content-type": "application/json",
      },
    });
    const receipt = await response.json();
    if (receipt.accepted !== BATCH) throw new Error(JSON.stringify(receipt));
  });
  bench.report({
    name: `ingest over HTTP, ${CLIENTS} clients, batches of ${BATCH}`,
    value: perSecond(started),
    unit: "events/s",
    floor: { name: "unnest into a bare table", value: floor },
    promise: ">= 25,000",
  });
}

/** A table with the same columns, a strict key and nothing else. */
async function insertBare(bench: Bench): Promise<number> {
  const sql = connect(bench.databaseUrl, {
    max: CLIENTS,
    statementTimeoutMs: 0,
  });
  await sql`
    create table bench_bare (workflow_id uuid, id text, type text, execution_id uuid,
      contact_id text, occurred_at timestamptz, step_id uuid, primary key (workflow_id, id))`;
  const batches = makeBatches(bench.busy.uuid);
  const started = performance.now();
  await inParallel(batches, async (batch) => {
    await sql`
      insert into bench_bare
      select * from unnest(${batch.map((e) => e.workflow_id)}::uuid[],
        ${batch.map((e) => e.id)}::text[], ${batch.map((e) => e.type)}::text[],
        ${batch.map((e) => e.execution_id)}::uuid[],
        ${batch.map((e) => e.contact_id)}::text[],
        ${batch.map((e) => e.occurred_at)}::timestamptz[],
        ${batch.map((e) => e.step_id ?? null)}::uuid[])
      on conflict do nothing`;
  });
  const rate = perSecond(started);
  await sql`drop table bench_bare`;
  await sql.end();
  return rate;
}

function perSecond(started: number): number {
  return BATCH * BATCHES / ((performance.now() - started) / 1_000);
}

async function inParallel<T>(
  items: T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    for (const item of queue) await work(item);
  }));
}

/** Executions of five events: enrolled, entered, executed, completed, ended. */
function makeBatches(workflow_id: string) {
  const begin = Date.now() - 86_400_000;
  return Array.from({ length: BATCHES }, (_, batch) => {
    const events = [];
    for (let i = 0; i < BATCH / 5; i++) {
      const base = {
        workflow_id,
        execution_id: crypto.randomUUID(),
        contact_id: `contact-${batch}-${i}`,
      };
      const at = (second: number) =>
        new Date(begin + batch * 60_000 + i * 100 + second * 1_000)
          .toISOString();
      const step_id = stepUuid(i % 8);
      events.push(
        { ...base, type: "execution.enrolled", source: "api" },
        { ...base, type: "step.entered", step_id },
        {
          ...base,
          type: "action.executed",
          step_id,
          status: "succeeded",
          duration_ms: 12.5,
        },
        { ...base, type: "step.completed", step_id },
        { ...base, type: "execution.completed" },
      );
      events.slice(-5).forEach((event, n) =>
        Object.assign(event, { id: crypto.randomUUID(), occurred_at: at(n) })
      );
    }
    return events as unknown as {
      id: string;
      type: string;
      workflow_id: string;
      execution_id: string;
      contact_id: string;
      occurred_at: string;
      step_id?: string;
    }[];
  });
}
