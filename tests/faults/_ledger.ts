/**
 * What clients were told while things failed, and whether it was so: nothing acknowledged
 * is lost, nothing is counted twice, and the audit is clean.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { EventReceipt } from "../../db/schema.ts";
import { auditCommand } from "../../workers/audit.ts";
import { until, type World } from "../harness.ts";

/** Of all events reported here. */
export const WORKFLOW = crypto.randomUUID();

/** No answer by then is none, ms. */
export const HUNG_MS = 30_000;

/** What clients know. */
export interface Ledger {
  acknowledged: Set<string>;
  statuses: Map<number, number>;
  slowestMs: number;
}

/** @returns A ledger without entries. */
export function newLedger(): Ledger {
  return { acknowledged: new Set(), statuses: new Map(), slowestMs: 0 };
}

/** An enrolment of now, of one workflow. */
export function enrolment(id: string): Record<string, unknown> {
  return {
    id,
    type: "execution.enrolled",
    workflow_id: WORKFLOW,
    execution_id: crypto.randomUUID(),
    contact_id: "c",
    occurred_at: new Date().toISOString(),
    source: "api",
  };
}

/** Reports events in one request; a failure without an answer is the server's, and fails the test. */
export async function report(
  { url }: { url: string },
  key: string,
  ledger: Ledger,
  events: Record<string, unknown>[],
): Promise<Response> {
  const startedAt = performance.now();
  const response = await fetch(`${url}/api/v1/events`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(events),
    signal: AbortSignal.timeout(HUNG_MS),
  });
  const text = await response.text();
  const { status } = response;
  ledger.slowestMs = Math.max(ledger.slowestMs, performance.now() - startedAt);
  ledger.statuses.set(status, (ledger.statuses.get(status) ?? 0) + 1);
  if (status === 202) {
    const receipt: EventReceipt = JSON.parse(text);
    strictEqual(receipt.accepted + receipt.duplicates, events.length);
    for (const { id } of events) ledger.acknowledged.add(id as string);
  } else {
    ok([429, 503].includes(status), `${status} ${text}`);
    ok(
      Number(response.headers.get("retry-after")) > 0,
      "says when to come back",
    );
  }
  return response;
}

/** All that was acknowledged is there, once, and counts. */
export async function check(
  { sql, snapshots }: Pick<World, "sql" | "snapshots">,
  ledger: Ledger,
): Promise<void> {
  await until("all is folded", async () => {
    const [row] = await sql`
      select not exists (select from weir.event_queue) as empty`;
    return row!.empty;
  });
  const rows = await sql<{ event_id: string }[]>`
    select event_id from weir.event`;
  const stored = rows.map((row) => row.event_id);
  strictEqual(new Set(stored).size, stored.length, "nothing is there twice");
  const kept = new Set(stored);
  deepStrictEqual(
    [...ledger.acknowledged].filter((id) => !kept.has(id)),
    [],
    "nothing acknowledged is lost",
  );
  const [row] = await sql<[{ enrolled: number }]>`
    select coalesce(sum(enrolled), 0)::int as enrolled
    from weir.workflow_rollup where grain = 'day'`;
  strictEqual(row.enrolled, stored.length);
  const drift: string[] = [];
  ok(
    await auditCommand(snapshots, (line) => drift.push(line), new Date()),
    drift.join("\n"),
  );
}
