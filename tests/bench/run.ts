/**
 * `deno task bench`: what Weir costs, each figure beside its floor in the same run.
 * Ratios travel between machines, milliseconds do not.
 *
 * `--executions N` (default 1,000,000) is the size of the past; a tenth of it is
 * quick to look at.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { createAccount, createKey } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { startEmbedded } from "../../db/embedded.ts";
import { buildIslands } from "../../islands/build.ts";
import { migrate } from "../../db/migrate.ts";
import { SCOPES, WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { benchFold } from "./fold.ts";
import { STEPS, stepUuid } from "./history.ts";
import { benchIngest } from "./ingest.ts";
import { benchReads } from "./reads.ts";

/** What every benchmark is handed. */
export interface Bench {
  sql: Sql;
  databaseUrl: string;
  account: { account_id: number; account_uuid: string };
  /** Every scope. */
  key: string;
  workflowUuid: string;
  workflowId: number;
  /** Size of the past. */
  executions: number;
  /** Writes one line of the report. */
  report(figure: Figure): void;
}

/** One line of the report. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** What the same thing costs without us. */
  floor?: { name: string; value: number };
  /** What was promised. */
  promise?: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { executions: { type: "string", default: "1000000" } },
  });
  const dataDir = await Deno.makeTempDir({ prefix: "weir-bench-" });
  if (Deno.uid() === 0) await Deno.chmod(dataDir, 0o711);
  const postgres = await startEmbedded({ dataDir });
  // One session, as a worker has: its plans are made once.
  const sql = connect(postgres.url, { max: 1, statementTimeoutMs: 0 });
  try {
    await migrate(sql);
    await buildIslands(new URL("../../dist/", import.meta.url));
    const bench = await prepare(sql, postgres.url, Number(values.executions));
    await benchIngest(bench);
    await benchFold(bench);
    await benchReads(bench);
  } finally {
    await sql.end({ timeout: 5 });
    await postgres.stop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function prepare(
  sql: Sql,
  databaseUrl: string,
  executions: number,
): Promise<Bench> {
  const account = await createAccount(sql, "Bench", "Europe/Paris");
  const key = await createKey(sql, account.account_id, { scopes: [...SCOPES] });
  const workflowUuid = crypto.randomUUID();
  await putWorkflow(
    sql,
    account.account_id,
    workflowUuid,
    WorkflowDefinition.parse({
      name: "Bench",
      steps: Array.from({ length: STEPS }, (_, step) => ({
        step_id: stepUuid(step),
        name: `Step ${step}`,
        type: "action",
        order: step,
      })),
    }),
  );
  const [row] = await sql<[{ workflow_id: number }]>`
    select workflow_id from weir.workflow where workflow_uuid = ${workflowUuid}`;
  return {
    sql,
    databaseUrl,
    account,
    key,
    workflowUuid,
    workflowId: row.workflow_id,
    executions,
    report,
  };
}

function report({ name, value, unit, floor, promise }: Figure): void {
  const ratio = floor === undefined
    ? ""
    : `  ${(value / floor.value).toFixed(2)} x ${floor.name} (${
      format(floor.value)
    } ${unit})`;
  console.log(
    `${name.padEnd(52)} ${format(value).padStart(9)} ${unit.padEnd(9)}${ratio}${
      promise === undefined ? "" : `  promised: ${promise}`
    }`,
  );
}

function format(value: number): string {
  return value.toLocaleString("en", {
    maximumFractionDigits: value < 10 ? 3 : value < 100 ? 1 : 0,
  });
}

if (import.meta.main) await main();
