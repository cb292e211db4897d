/**
 * Workers killed amid a file: another one finishes it, once.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { fold, recordEvents } from "../../db/events.ts";
import { randomOf } from "../../workers/_random.ts";
import { auditCommand } from "../../workers/audit.ts";
import { dbTest, NOW, until as untilWithin, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { put, send, WORKFLOW } from "../routes/_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/exports`;
const EXECUTIONS = 300;

/** Longer than any of it takes on a machine that others keep busy, too, seconds. */
const SECONDS_MAX = 120;

function until(what: string, check: () => boolean | Promise<boolean>) {
  return untilWithin(what, check, SECONDS_MAX);
}

/** A worker of its own process. */
function startWorker({ database_url }: World, TMPDIR: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "main.ts", "work"],
    cwd: new URL("../../", import.meta.url),
    env: { DATABASE_URL: database_url, LOG_LEVEL: "error", TMPDIR },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    process,
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGKILL");
      } catch { /* It has ended already. */ }
      await process.status;
    },
  };
}

/** Somebody has reported what the files are of. */
async function report(world: World): Promise<void> {
  const { sql } = world;
  await put(world);
  const random = randomOf("killed exports");
  const events = Array.from(
    { length: EXECUTIONS },
    (_, i) =>
      journeyOf(random, WORKFLOW, `x${i}`, NOW.getTime() - (i + 1) * 600_000),
  );
  await recordEvents(sql, world.account.account_id, events.flat());
  while (await fold(sql) > 0);
}

async function isAudited({ snapshots }: World): Promise<void> {
  const drift: string[] = [];
  ok(
    await auditCommand(snapshots, (line) => drift.push(line), new Date()),
    drift.join("\n"),
  );
}

/** Where workers keep what they need not keep. */
async function makeTemporary() {
  const folder = await Deno.makeTempDir();
  return {
    folder,
    printers: async () =>
      (await Array.fromAsync(Deno.readDir(folder)))
        .filter(({ name }) => name.startsWith("weir-print-")),
    // The browser of the last one may not have ended yet.
    [Symbol.asyncDispose]: () =>
      until("it is gone", () =>
        Deno.remove(folder, { recursive: true })
          .then(() => true, () => false)),
  };
}

/** Rows come so slowly that a kill finds the file half written. */
async function slowDown({ sql }: World): Promise<void> {
  await sql.unsafe(`
    alter function weir.export_executions rename to export_executions_fast;
    create function weir.export_executions(account int, id uuid, filter jsonb, now timestamptz)
    returns setof record language sql security definer set search_path = weir, pg_temp as $$
      select fast.* from export_executions_fast(account, id, filter, now) fast
      where pg_sleep(0.02) is not null $$`);
}

async function speedUp({ sql }: World): Promise<void> {
  await sql.unsafe(`
    drop function weir.export_executions;
    alter function weir.export_executions_fast rename to export_executions`);
}

/** A file is kept only when told, so that a kill finds it printed and not yet finished. */
async function holdKeeping({ sql }: World, jobId: string) {
  const holder = await sql.reserve();
  await holder`select pg_advisory_lock(${KEEPING})`;
  await sql.unsafe(`
    create function weir.wait() returns trigger language plpgsql as $$
    begin
      if new.job_id = '${jobId}' then perform pg_advisory_xact_lock_shared(${KEEPING}); end if;
      return new;
    end $$;
    create trigger wait before insert on weir.export_chunk
    for each row execute function weir.wait()`);
  return {
    async [Symbol.asyncDispose]() {
      await holder`select pg_advisory_unlock(${KEEPING})`;
      holder.release();
      await sql.unsafe("drop function weir.wait cascade");
    },
  };
}

/** The lock that {@linkcode holdKeeping} holds. */
const KEEPING = 4_242;

/** Whether a process runs that was told of a folder. */
async function isUsed(folder: string): Promise<boolean> {
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`)
      .catch(() => "");
    if (command.includes(folder)) return true;
  }
  return false;
}

dbTest("a file is finished once, whoever is killed amid it", async (world) => {
  const { sql } = world;
  await report(world);
  const ask = async (json: object) =>
    (await send(world, "POST", PATH, { json })).json.job_id as string;
  const job = async (id: string) =>
    (await send(world, "GET", `${PATH}/${id}`)).json;
  const range = { start_date: "2026-06-01", end_date: "2026-06-15" };
  const csv = await ask({ format: "csv", rows: "executions" });
  const pdf = await ask({ format: "pdf", ...range });

  await using temporary = await makeTemporary();
  const { folder } = temporary;
  // Nobody waits here for a lease to end that a dead worker holds.
  const release = () =>
    sql`update weir.export_job set lease_until = now() where status = 'running'`;
  {
    await slowDown(world);
    await using _killed = startWorker(world, folder);
    await until("it writes", async () => (await job(csv)).status === "running");
  }
  await speedUp(world);
  await release();
  {
    await using _held = await holdKeeping(world, pdf);
    await using _killed = startWorker(world, folder);
    await until("it prints", async () => {
      const { status, percent } = await job(pdf);
      return status === "running" && percent >= 20 &&
        (await temporary.printers()).length === 1;
    });
  }
  // A browser that writes yet keeps its folder from being removed.
  await until("its browser has ended", async () => !await isUsed(folder));
  await release();
  await using _last = startWorker(world, folder);
  for (const id of [csv, pdf]) {
    await until("it is done", async () => (await job(id)).status === "done");
  }

  for (const id of [csv, pdf]) {
    const { file, attempts } = await job(id);
    ok(attempts >= 2, "somebody was killed at it");
    const { text, headers } = await send(
      world,
      "GET",
      `${PATH}/${id}/download`,
    );
    if (id === csv) {
      strictEqual(
        createHash("sha256").update(text).digest("hex"),
        file.sha256,
      );
      strictEqual(text.split("\r\n").length, file.rows + 2);
      const path = PATH.replace("exports", "analytics/export");
      const direct = `${path}?format=csv&rows=executions`;
      strictEqual((await send(world, "GET", direct)).text, text);
    } else match(text, /^%PDF-/);
    strictEqual(headers.get("etag"), `"${file.sha256}"`);
  }
  // What the dead left behind goes, and nothing else.
  strictEqual((await temporary.printers()).length, 1);
  await sql`select weir.expire_exports()`;
  const kept = await sql<{ job_id: string }[]>`
    select distinct job_id, attempt from weir.export_chunk order by job_id`;
  deepStrictEqual(kept.map(({ job_id }) => job_id), [csv, pdf].sort());
  await isAudited(world);
});

dbTest(
  "a file is finished once, though a worker that was frozen past its lease goes on with it",
  async (world) => {
    const { sql } = world;
    await report(world);
    const ask = async () => {
      const json = { format: "csv", rows: "executions" };
      return (await send(world, "POST", PATH, { json })).json.job_id as string;
    };
    const job = async (id: string) =>
      (await send(world, "GET", `${PATH}/${id}`)).json;
    const isDone = (id: string) =>
      until("it is done", async () => (await job(id)).status === "done");
    await using temporary = await makeTemporary();
    const { folder } = temporary;
    const first = await ask();
    await slowDown(world);
    await using frozen = startWorker(world, folder);
    await until(
      "it writes",
      async () => (await job(first)).status === "running",
    );
    frozen.process.kill("SIGSTOP");
    // As if the time of the lease had passed.
    await sql`update weir.export_job set lease_until = now()`;
    await speedUp(world);
    {
      await using _awake = startWorker(world, folder);
      await isDone(first);
    }
    const before = await job(first);
    strictEqual(before.attempts, 2);
    frozen.process.kill("SIGCONT");
    // It has found out that the file is another's when it takes the next.
    const next = await ask();
    await isDone(next);
    const after = await job(first);
    deepStrictEqual(
      [after.file, after.attempts, after.finished_at],
      [before.file, before.attempts, before.finished_at],
    );
    for (const id of [first, next]) {
      const { text } = await send(world, "GET", `${PATH}/${id}/download`);
      const { file } = await job(id);
      strictEqual(createHash("sha256").update(text).digest("hex"), file.sha256);
      strictEqual(text.split("\r\n").length, file.rows + 2);
    }
    await sql`select weir.expire_exports()`;
    const kept = await sql<{ job_id: string; n: number }[]>`
      select job_id, count(distinct attempt)::int as n from weir.export_chunk group by 1`;
    deepStrictEqual(kept.map(({ n }) => n), [1, 1]);
    await isAudited(world);
  },
);
