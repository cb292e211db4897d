/**
 * What exports cost: executions by HTTP beside psql's own COPY of the same query, what
 * the server's memory grows by, jobs of half a million and a million, their files read
 * by who is fast and who is slow, and a report.
 *
 * @module
 */

import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { jsonLiteral, uuidLiteral } from "../../db/copy.ts";
import { ensurePrograms } from "../debian.ts";
import { type Server, startServer, until } from "../harness.ts";
import { makeHistory } from "./history.ts";
import type { Bench } from "./run.ts";

/** Each way is taken so often, by turns; the fastest of each counts. */
const ROUNDS = 5;

/** A reader on a slow line, bytes a second. */
const SLOW_BYTES = 1024 * 1024;

/** So long a slow reader is watched, ms. */
const SLOW_MS = 20_000;

/** Executions that a job is measured with, where there are as many. */
const JOB_EXECUTIONS = 500_000;

/** Reports printed: the first starts the browser. */
const REPORTS = 4;

/** Measures all of it. */
export async function benchExports(bench: Bench): Promise<void> {
  const env = {
    DATABASE_URL: bench.databaseUrl,
    RATE_LIMIT_PER_MINUTE: "900000",
  };
  await using server = await startServer(env, "start");
  // A file that is sent at once has an end; whatever is longer is a job.
  await benchStream(bench, server);
  await benchJob(bench, server);
  await benchReport(bench, server);
}

/** Each execution that is made is there so often. */
const TWINS = 10;

/**
 * Makes the past of the busy workflow as far as exports read it: its executions, of which
 * most are copies of others under ids of their own.
 */
export async function makeTwins(
  { sql, busy, executions, endsAt }: Bench,
): Promise<void> {
  const count = Math.ceil(executions / TWINS);
  await makeHistory(sql, busy.id, { from: 0, until: count, of: count, endsAt });
  while (await fold(sql, 200_000) > 0);
  await sql`
    create temp table twin as
    select x.execution_id, md5(x.execution_id::text || n)::uuid as twin_id
    from weir.execution x, generate_series(2, ${TWINS}) n where x.workflow_id = ${busy.id}`;
  await sql`analyze twin`;
  for (const table of ["execution", "execution_step", "execution_goal"]) {
    await sql.unsafe(`analyze weir.${table}`);
    await sql.unsafe(`
      insert into weir.${table}
      select r.* from weir.${table} x join twin t using (execution_id),
        lateral jsonb_populate_record(x, jsonb_build_object('execution_id', t.twin_id)) r
      where x.workflow_id = ${busy.id}`);
    await sql.unsafe(`vacuum (analyze) weir.${table}`);
  }
}

function filterOf(executions: number, bench: Bench) {
  // Newest first, so that any size of the past has as many; not the last days, which are full of what was folded
  // to be timed.
  const days = Math.max(1, Math.floor(90 * executions / bench.executions) - 1);
  const dayOf = (daysAgo: number) =>
    new Date(bench.endsAt.getTime() - daysAgo * 86_400_000)
      .toISOString().slice(0, 10);
  return {
    rows: "executions",
    tz: "UTC",
    start_date: dayOf(days + 2),
    end_date: dayOf(2),
    attribution: "cohort",
  };
}

async function benchStream(bench: Bench, server: Server): Promise<void> {
  const filter = filterOf(90_000, bench);
  const query = new URLSearchParams({ format: "csv", ...filter });
  const url =
    `${server.url}/api/v1/workflows/${bench.busy.uuid}/analytics/export?${query}`;
  async function open(signal?: AbortSignal): Promise<Response> {
    const headers = { authorization: `Bearer ${bench.key}` };
    const response = await fetch(url, { headers, signal });
    if (response.status !== 200) {
      throw new Error(`Cannot measure: ${await response.text()}`);
    }
    return response;
  }
  const peak = await watchPeak(server);
  const [ours, floor] = [Infinity, Infinity].map((ms) => ({ ms, bytes: 0 }));
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    const bytes = await count((await open()).body!);
    keep(ours!, performance.now() - began, bytes);
    keep(floor!, ...await copyByPsql(bench, filter));
  }
  const speed = ({ ms, bytes }: { ms: number; bytes: number }) =>
    bytes / 1e6 / (ms / 1_000);
  bench.report({
    name: `executions as CSV, ${Math.round(ours!.bytes / 1e6)} MB at once`,
    value: speed(ours!),
    unit: "MB/s",
    floor: { name: "psql's COPY", value: speed(floor!) },
    promise: ">= 0.7 x",
  });
  reportPeak(bench, "of it", peak());
  const slowPeak = await watchPeak(server);
  await readSlowly((await open()).body!, SLOW_MS);
  reportPeak(bench, "with a reader at 1 MB/s", slowPeak());
  const other = connect(bench.databaseUrl, { max: 1, statementTimeoutMs: 0 });
  const isRunning = async () =>
    (await other`
      select from pg_stat_activity where query like 'copy %' and state = 'active'`)
      .length > 0;
  await until("no statement runs", async () => !await isRunning());
  const leaving = new AbortController();
  const { body } = await open(leaving.signal);
  await body!.getReader().read();
  if (!await isRunning()) throw new Error("Cannot leave amid it: it is over");
  const left = performance.now();
  leaving.abort();
  await until("its statement has ended", async () => !await isRunning());
  await other.end();
  bench.report({
    name: "end of the statement of a client that left",
    value: performance.now() - left,
    unit: "ms",
    promise: "<= 1,000",
  });
}

function reportPeak({ report }: Bench, of: string, bytes: number): void {
  report({
    name: `memory above idle ${of}`,
    value: bytes / 1024 ** 2,
    unit: "MiB",
    promise: "<= 64",
  });
}

function keep(best: { ms: number; bytes: number }, ms: number, bytes: number) {
  if (ms < best.ms) Object.assign(best, { ms, bytes });
}

/** The same rows without us between: Debian's psql. */
async function copyByPsql(
  bench: Bench,
  filter: object,
): Promise<[ms: number, bytes: number]> {
  const parameters = [
    String(bench.account.account_id),
    uuidLiteral(bench.busy.uuid),
    jsonLiteral(filter),
    "now()",
  ].join(", ");
  const { PSQL_PATH } = await ensurePrograms(["tests/bench/exports.ts"]);
  const began = performance.now();
  const child = new Deno.Command(PSQL_PATH!, {
    args: [
      bench.databaseUrl,
      "-qAt",
      "-c",
      `copy (select * from weir.export_executions(${parameters})) to stdout (format csv)`,
    ],
    env: { PGOPTIONS: "-c search_path=weir -c timezone=UTC" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const bytes = await count(child.stdout);
  await child.status;
  return [performance.now() - began, bytes];
}

async function count(body: ReadableStream<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const piece of body) bytes += piece.length;
  return bytes;
}

/** Reads at {@linkcode SLOW_BYTES} a second for a while, and leaves the rest. */
async function readSlowly(
  body: ReadableStream<Uint8Array>,
  ms: number,
): Promise<void> {
  const reader = body.getReader();
  const began = performance.now();
  for (let bytes = 0; performance.now() - began < ms;) {
    const { done, value } = await reader.read();
    if (done) return;
    bytes += value.length;
    const due = began + bytes / SLOW_BYTES * 1_000;
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, due - performance.now()))
    );
  }
  reader.cancel().catch(() => {});
}

async function benchJob(bench: Bench, server: Server): Promise<void> {
  const sizes = [JOB_EXECUTIONS, 2 * JOB_EXECUTIONS]
    .filter((size) => size <= bench.executions);
  for (const size of sizes.length > 0 ? sizes : [bench.executions]) {
    const filter = size === bench.executions
      ? { rows: "executions" }
      : filterOf(size, bench);
    const peak = await watchPeak(server);
    const began = performance.now();
    const job = await made(bench, server, { format: "csv", ...filter });
    const seconds = (performance.now() - began) / 1_000;
    const grown = peak();
    const [floorMs, floorBytes] = await copyByPsql(bench, filter);
    bench.report({
      name: `a job of ${job.rows!.toLocaleString("en")} executions as CSV`,
      value: seconds,
      unit: "s",
      floor: { name: "psql's COPY", value: floorMs / 1_000 },
      promise: "500,000 in <= 30 s, <= 1.43 x",
    });
    reportPeak(bench, "of it", grown);
    // The head, and a byte more a line.
    const more = job.bytes! - floorBytes - job.rows!;
    if (more < 0 || more > 1_000) throw new Error("Cannot compare other rows");
    await benchDownload(bench, server, job);
  }
}

/** Reads a job's file as fast as it comes, and slowly. */
async function benchDownload(
  bench: Bench,
  server: Server,
  { job_id, bytes }: Made,
): Promise<void> {
  const url =
    `${server.url}/api/v1/workflows/${bench.busy.uuid}/exports/${job_id}/download`;
  const open = async () =>
    (await fetch(url, { headers: { authorization: `Bearer ${bench.key}` } }))
      .body!;
  const peak = await watchPeak(server);
  const began = performance.now();
  const read = await count(await open());
  if (read !== bytes) throw new Error(`Cannot vouch for ${read} of ${bytes}`);
  bench.report({
    name: `a file of ${Math.round(bytes / 1e6)} MB fetched`,
    value: bytes / 1e6 / ((performance.now() - began) / 1_000),
    unit: "MB/s",
  });
  reportPeak(bench, "of it", peak());
  const slowPeak = await watchPeak(server);
  await readSlowly(await open(), SLOW_MS);
  reportPeak(bench, "with a reader of it at 1 MB/s", slowPeak());
}

async function benchReport(bench: Bench, server: Server): Promise<void> {
  const { rows: _, ...range } = filterOf(bench.executions, bench);
  const times: number[] = [];
  for (let n = 0; n < REPORTS; n++) {
    const began = performance.now();
    await made(bench, server, { format: "pdf", compare: "previous", ...range });
    times.push(performance.now() - began);
  }
  const [cold, ...warm] = times;
  bench.report({ name: "a first report as PDF", value: cold!, unit: "ms" });
  bench.report({
    name: "a warm report as PDF, slowest of three",
    value: Math.max(...warm),
    unit: "ms",
    promise: "<= 2,000",
  });
}

/** A job that is done. */
interface Made {
  job_id: string;
  /** `null` where the file is no table. */
  rows: number | null;
  bytes: number;
}

/** Has a file made and waits for it. */
async function made(
  bench: Bench,
  { url }: Server,
  request: object,
): Promise<Made> {
  const path = `${url}/api/v1/workflows/${bench.busy.uuid}/exports`;
  const headers = { authorization: `Bearer ${bench.key}` };
  const asked = await fetch(path, {
    method: "POST",
    headers,
    body: JSON.stringify(request),
  });
  const asking = await asked.json();
  if (asked.status !== 202) throw new Error(JSON.stringify(asking));
  const { job_id } = asking;
  let job: Made | undefined;
  // Asking the server would be refused after thirty looks a minute.
  await until("the file is made", async () => {
    const [row] = await bench.sql<
      [Made & { status: string; error: string | null }]
    >`
      select job_id, status, error, rows::int, bytes
      from weir.export_job where job_id = ${job_id}`;
    if (row.status === "failed") throw new Error(row.error ?? "failed");
    if (row.status === "done") job = row;
    return job !== undefined;
  }, 600);
  return job!;
}

/** @returns How much more memory a server has had since, bytes, by the kernel's own account. */
async function watchPeak(
  { process: { pid } }: Server,
): Promise<() => number> {
  const read = (name: string) =>
    kibOf(Deno.readTextFileSync(`/proc/${pid}/status`), name);
  const idle = read("VmRSS");
  await Deno.writeTextFile(`/proc/${pid}/clear_refs`, "5");
  return () => read("VmHWM") - idle;
}

function kibOf(status: string, name: string): number {
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) * 1024;
}
