/**
 * `deno task bench`: what Weir costs, each figure beside its floor in the same run.
 * Ratios travel between machines, milliseconds do not.
 *
 * The past is an account of 20 workflows with 8 steps each, 90 days of events and two
 * years of days. `--executions N` (default 200,000) is the size of the busiest workflow;
 * the others have a fiftieth of that each. With 1,000,000 there are some 10 million events,
 * built in ten minutes on two cores.
 *
 * Alone: `--costs` measures what tests/scale/capacity.ts plans by, `--page` measures the page in Chromium, `--edge` kept answers, `--streams` viewers,
 * `--exports` files (of a past of which nine tenths are copies, so that a million is there
 * in minutes). `--soak N` watches 500 viewers for N minutes (60), `--fuzz` sends 20,000
 * requests that nobody thought of.
 *
 * `--database URL` measures on that Postgres, at an empty database of a superuser, in place of the embedded one.
 *
 * @module
 */

import { parseArgs } from "node:util";
import {
  type Account,
  createAccount,
  createKey,
  findAccount,
} from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { startEmbedded } from "../../db/embedded.ts";
import { buildIslands } from "../../islands/build.ts";
import { fold } from "../../db/events.ts";
import { migrate } from "../../db/migrate.ts";
import { SCOPES, WorkflowDefinition } from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { ensurePrograms } from "../debian.ts";
import { benchCosts } from "./costs.ts";
import { benchEdge } from "./edge.ts";
import { benchExports, makeTwins } from "./exports.ts";
import { benchFold } from "./fold.ts";
import {
  copyDays,
  GOAL_UUID,
  makeHistory,
  type Span,
  STEPS,
  stepUuid,
} from "./history.ts";
import { benchIngest } from "./ingest.ts";
import { benchRetention, benchStorage } from "./keep.ts";
import { benchPage } from "./page.ts";
import { benchReads } from "./reads.ts";
import { soakStreams } from "./soak.ts";
import { benchStreams } from "./streams.ts";

const WORKFLOWS = 20;

/** How many times as many executions the busiest workflow has as another one. */
const BUSY_TIMES = 50;

/** What every benchmark is handed. */
export interface Bench {
  /** One session, as a worker has: its plans are made once. */
  sql: Sql;
  databaseUrl: string;
  account: Account;
  /** Every scope. */
  key: string;
  /** The workflow that the figures are of. */
  busy: Workflow;
  /** Size of its past. */
  executions: number;
  /** Where the past ends. */
  endsAt: Date;
  /** Executions that there have not been yet. */
  newNumbers(count: number): Span;
  /** Writes one line of the report. */
  report(figure: Figure): void;
}

/** Its outside and inside id. */
interface Workflow {
  uuid: string;
  id: number;
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
  /** What to bear in mind with it. */
  note?: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      executions: { type: "string", default: "200000" },
      database: { type: "string" },
      costs: { type: "boolean", default: false },
      page: { type: "boolean", default: false },
      edge: { type: "boolean", default: false },
      fuzz: { type: "boolean", default: false },
      streams: { type: "boolean", default: false },
      exports: { type: "boolean", default: false },
      soak: { type: "string" },
    },
  });
  if (values.fuzz) return await fuzz();
  const alone = values.soak !== undefined
    ? "soak"
    : (["costs", "edge", "streams", "page", "exports"] as const)
      .find((name) => values[name]);
  await findPrograms(alone ? [alone] : ["exports", "edge"]);
  await using postgres = values.database === undefined
    ? await startPrivate()
    : { url: values.database, async [Symbol.asyncDispose]() {} };
  const sql = connect(postgres.url, { max: 1, statementTimeoutMs: 0 });
  try {
    await describe(sql);
    await migrate(sql);
    await buildIslands(new URL("../../dist/", import.meta.url));
    const { bench, workflows } = await prepare(
      sql,
      postgres.url,
      Number(values.executions),
    );
    if (values.soak !== undefined) {
      return await soakStreams(bench, Number(values.soak || 60));
    }
    if (values.costs) return await benchCosts(bench);
    if (values.edge) return await benchEdge(bench);
    if (values.streams) return await benchStreams(bench);
    if (values.page) {
      await makeHistory(sql, bench.busy.id, firstFifth(bench));
      await makeRest(bench, workflows);
      return await benchPage(bench);
    }
    if (values.exports) {
      await makeTwins(bench);
      return await benchExports(bench);
    }
    await benchIngest(bench);
    await benchFold(bench, () => makeRest(bench, workflows));
    await benchStorage(bench);
    await benchReads(bench);
    await benchExports(bench);
    await benchEdge(bench);
    await benchRetention(bench);
    await benchStreams(bench);
    await fuzz();
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** First of all, as to find one missing after half an hour would be late. */
async function findPrograms(benchmarks: string[]): Promise<void> {
  const files = benchmarks.map((name) => `tests/bench/${name}.ts`);
  for (const [name, path] of Object.entries(await ensurePrograms(files))) {
    Deno.env.set(name, path);
  }
}

/** An embedded Postgres on data that is gone with it. */
async function startPrivate(): Promise<{ url: string } & AsyncDisposable> {
  const dataDir = await Deno.makeTempDir({ prefix: "weir-bench-" });
  if (Deno.uid() === 0) await Deno.chmod(dataDir, 0o711);
  const postgres = await startEmbedded({ dataDir });
  return {
    url: postgres.url,
    async [Symbol.asyncDispose]() {
      await postgres.stop();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}

/** Which Postgres it is, and how it was compiled: figures are of that. */
async function describe(sql: Sql): Promise<void> {
  const [row] = await sql<[{ version: string; level: string | null }]>`
    select current_setting('server_version') as version,
      (select (regexp_matches(setting, '.*(-O\\S+)'))[1] from pg_config where name = 'CFLAGS') as level`;
  console.log(
    `PostgreSQL ${row.version}, compiled with ${row.level ?? "no -O"}`,
  );
}

/** The fuzzer of the suite, for eight times as long. */
async function fuzz(): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "tests/run.ts", "tests/routes/fuzz_test.ts"],
    cwd: new URL("../../", import.meta.url),
    env: { FUZZ_REQUESTS: "20000" },
    stdin: "null",
  }).spawn().status;
  if (!success) throw new Error("Cannot vouch for the API: see the seed above");
}

/** What {@linkcode makeRest} leaves to {@linkcode benchFold}. */
function firstFifth({ executions, endsAt }: Bench): Span {
  return {
    from: 0,
    until: Math.round(executions / 5),
    of: executions,
    endsAt,
  };
}

/** An account whose workflows are as old as their days. */
async function prepare(
  sql: Sql,
  databaseUrl: string,
  executions: number,
): Promise<{ bench: Bench; workflows: Workflow[] }> {
  const { account_uuid } = await createAccount(sql, "Bench", "Europe/Paris");
  const account = (await findAccount(sql, account_uuid))!;
  const key = await createKey(sql, account.account_id, { scopes: [...SCOPES] });
  const workflows: Workflow[] = [];
  for (let n = 0; n < WORKFLOWS; n++) {
    const uuid = crypto.randomUUID();
    const steps = Array.from({ length: STEPS }, (_, step) => ({
      step_id: stepUuid(step),
      name: `Step ${step}`,
      type: "action",
      order: step,
    }));
    const goals = [{ goal_id: GOAL_UUID, type: "purchase", name: "Bought" }];
    const definition = { name: `Workflow ${n}`, steps, goals };
    await putWorkflow(
      sql,
      account.account_id,
      uuid,
      WorkflowDefinition.parse(definition),
    );
    const [{ id }] = await sql<[{ id: number }]>`
      update weir.workflow set created_at = now() - interval '3 years'
      where workflow_uuid = ${uuid} returning workflow_id as id`;
    workflows.push({ uuid, id });
  }
  let next = 100 * executions;
  const bench = {
    sql,
    databaseUrl,
    account,
    key,
    busy: workflows[0]!,
    executions,
    endsAt: new Date(),
    newNumbers(count: number): Span {
      const from = Math.ceil(next / count) * count;
      next = from + count;
      return { from, until: next, of: count };
    },
    report,
  };
  return { bench, workflows };
}

/** The rest of the past: the busy workflow in one session, the others in another. */
async function makeRest(
  { sql, databaseUrl, busy, executions, endsAt, report }: Bench,
  workflows: Workflow[],
): Promise<number> {
  const started = performance.now();
  const other = connect(databaseUrl, { max: 1, statementTimeoutMs: 0 });
  const [events, more] = await Promise.all([
    makeHistory(sql, busy.id, {
      from: Math.round(executions / 5),
      until: executions,
      of: executions,
      endsAt,
    }),
    (async () => {
      let events = 0;
      const count = Math.ceil(executions / BUSY_TIMES);
      for (const { id } of workflows) {
        if (id === busy.id) continue;
        events += await makeHistory(other, id, {
          from: 0,
          until: count,
          of: count,
          endsAt,
        });
      }
      await other.end();
      return events;
    })(),
  ]);
  while (await fold(sql, 200_000) > 0);
  await copyDays(sql, endsAt);
  report({
    name: `building ${events + more} events and two years of days`,
    value: (performance.now() - started) / 1_000,
    unit: "s",
  });
  return events + more;
}

function report({ name, value, unit, floor, promise, note }: Figure): void {
  const ratio = floor === undefined
    ? ""
    : `  ${(value / floor.value).toFixed(2)} x ${floor.name} (${
      format(floor.value)
    } ${unit})`;
  console.log(
    `${name.padEnd(52)} ${format(value).padStart(9)} ${unit.padEnd(9)}${ratio}${
      promise === undefined ? "" : `  promised: ${promise}`
    }${note === undefined ? "" : `  (${note})`}`,
  );
}

function format(value: number): string {
  return value.toLocaleString("en", {
    maximumFractionDigits: value < 10 ? 3 : value < 100 ? 1 : 0,
  });
}

if (import.meta.main) await main();
