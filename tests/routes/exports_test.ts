import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { createHash } from "node:crypto";
import { fold, recordEvents } from "../../db/events.ts";
import {
  type Analytics,
  ATTRIBUTIONS,
  COMPARES,
  EXPORT_BYTES_MAX,
  EXPORTS_AT_ONCE_MAX,
  EXPORTS_OPEN_MAX,
  GRANULARITIES,
  type TrendPoint,
} from "../../db/schema.ts";
import { claimExport } from "../../db/exports.ts";
import { diskStore, postgresStore } from "../../db/store.ts";
import {
  createExpiryJob,
  createExportJob,
  PrintError,
} from "../../workers/export.ts";
import { randomOf } from "../../workers/_random.ts";
import { rangeOf } from "../../routes/exports.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { serve } from "../serve.ts";
import { journeyOf } from "../journeys.ts";
import {
  type Answer,
  appWith,
  assertInvalid,
  assertProblem,
  at,
  DEFINITION,
  enrolled,
  post,
  put,
  RANGE,
  send,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}`;
const EXPORT = `${PATH}/analytics/export`;

/** A table as RFC 4180 has it, read by nothing of ours. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  const row: string[] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/y;
  while (cell.lastIndex < text.length) {
    const [, quoted, plain, end] = cell.exec(text)!;
    row.push(quoted?.replaceAll('""', '"') ?? plain!);
    if (end !== ",") rows.push(row.splice(0));
  }
  return rows;
}

/** Rows by the names of their columns. */
function readTable(text: string): Record<string, string>[] {
  const [head, ...rows] = readCsv(text);
  return rows.map((row) => {
    strictEqual(row.length, head!.length);
    return Object.fromEntries(head!.map((name, i) => [name, row[i]!]));
  });
}

async function makePast(world: World, executions = 60): Promise<void> {
  const random = randomOf("exports");
  await put(world);
  const events = Array.from({ length: executions }, (_, i) =>
    journeyOf(
      random,
      WORKFLOW,
      `x${i}`,
      NOW.getTime() - 3 * 86_400_000 + i * 3_600_000,
    ));
  await recordEvents(world.sql, world.account.account_id, events.flat());
  while (await fold(world.sql) > 0);
}

/** Works until nothing waits; what is printed says how long the page was. */
async function work(world: World): Promise<void> {
  const job = createExportJob({
    store: postgresStore(world.sql),
    renderReport: ({ workflowName }) => workflowName,
    print: (html) => Promise.resolve(new TextEncoder().encode(`%PDF ${html}`)),
    now: () => world.clock.now,
  });
  await job.run({ sql: world.sql, signal: new AbortController().signal });
}

const DATES = "start_date=2026-06-14&end_date=2026-06-15";

/** Every way to look at a range, by turns in another zone, and what is rarer once. */
function* queries(): Generator<string> {
  const zones = ["UTC", "Asia/Kathmandu", "America/St_Johns"];
  let i = 0;
  for (const granularity of GRANULARITIES) {
    for (const attribution of ATTRIBUTIONS) {
      for (const compare of COMPARES) {
        const custom = compare === "custom"
          ? "&compare_start=2026-06-12&compare_end=2026-06-14"
          : "";
        const tz = zones[i++ % zones.length];
        yield `granularity=${granularity}&tz=${tz}&attribution=${attribution}&compare=${compare}${custom}`;
      }
    }
  }
  yield "version=1&compare=previous";
  yield "unit=contact&compare=previous";
}

/** The table of an answer, and of the answer for what it is compared with. */
function tableOf(
  { trends, period }: Analytics,
  previous: TrendPoint[] | null,
): Record<string, string>[] {
  let [completed, converted] = [0, 0];
  const rateOf = (point: TrendPoint) =>
    point.new_enrollments === 0 ? null : Math.round(
      point.cohort_converted / point.new_enrollments * 10_000,
    ) / 100;
  return trends.map((point, i) => {
    const { start, end, ...plain } = point;
    completed += point.completions;
    converted += point.conversions;
    const isSum = period.unit === "execution";
    const past = previous?.[i];
    const row = {
      ...plain,
      start_utc: start.replace("T", " ").replace("Z", ""),
      end_utc: end.replace("T", " ").replace("Z", ""),
      completed: isSum ? completed : null,
      goals_achieved: isSum ? converted : null,
      conversion_rate: rateOf(point),
      ...previous && {
        previous_date: past?.date,
        previous_new_enrollments: past?.new_enrollments,
        previous_completions: past?.completions,
        previous_conversions: past?.conversions,
        previous_exits: past?.exits,
        previous_conversion_rate: past && rateOf(past),
      },
    };
    return Object.fromEntries(
      Object.entries(row).map(([name, cell]) => [name, String(cell ?? "")]),
    );
  });
}

dbTest(
  "GET …/export is equal to what a page shows, however it is asked",
  async (world) => {
    await makePast(world);
    let compared = 0;
    for (const query of queries()) {
      const ask = async (path: string, query: string) => {
        const url = `${PATH}/analytics${path}?${query}`;
        const answer = await send(world, "GET", url);
        strictEqual(answer.status, 200, `${url} ${answer.text}`);
        return answer;
      };
      const params = `${DATES}&${query}`;
      const [analytics, funnel, actions] = await Promise.all(
        ["", "/funnel", "/actions"].map(async (path) =>
          (await ask(path, params)).json
        ),
      );
      const { revision, ...reads } =
        (await ask("/export", `format=json&${params}`)).json;
      ok(revision > 0);
      deepStrictEqual(reads, { analytics, funnel, actions }, query);

      const { comparison } = analytics;
      let previous: TrendPoint[] | null = null;
      if (comparison !== null) {
        const { start_date, end_date } = comparison.period;
        const range = `start_date=${start_date}&end_date=${end_date}`;
        const asked = params.replaceAll(
          /(start|end|compare)[a-z_]*=[^&]*&?/g,
          "",
        );
        // Hours of a year ago are not kept: the numbers compared with are, not their trend.
        const isKept = !/hourly.*compare=year/.test(query);
        previous = isKept
          ? (await ask("", `${range}&${asked}`)).json.trends as TrendPoint[]
          : [];
        for (const point of previous) compared += point.new_enrollments;
      }
      const csv = await ask("/export", `format=csv&${params}`);
      strictEqual(csv.status, 200, csv.text);
      match(csv.headers.get("content-type")!, /^text\/csv; charset=utf-8/);
      strictEqual(
        csv.headers.get("content-disposition"),
        `attachment; filename="workflow-analytics-${WORKFLOW}-2026-06-15.csv"`,
      );
      ok(csv.text.startsWith(
        "date,total_enrolled,new_enrollments,completed,goals_achieved,conversion_rate,",
      ));
      ok(analytics.trends.length > 0);
      deepStrictEqual(readTable(csv.text), tableOf(analytics, previous), query);
    }
    ok(compared > 0, "there was something to compare with");
  },
);

dbTest("GET …/export writes the executions of a filter", async (world) => {
  await makePast(world);
  const contacts = [
    "=1+1",
    "+1",
    "-1",
    "@a",
    "\t=1",
    'a "b", c',
    "a\r\nb",
    "é漢",
    "\\.",
  ];
  await post(
    world,
    contacts.map((contact_id, i) =>
      enrolled({ contact_id, occurred_at: at(-i) })
    ),
  );
  await fold(world.sql);
  const filter = "rows=executions&start_date=2026-06-13&end_date=2026-06-15";
  const list = await send(
    world,
    "GET",
    `${PATH}/executions?limit=200&${filter.replace("rows=executions&", "")}`,
  );
  const executions = list.json.executions.toReversed();
  ok(executions.length > 40);

  const json = await send(world, "GET", `${EXPORT}?format=json&${filter}`);
  strictEqual(json.json.workflow_id, WORKFLOW);
  deepStrictEqual(json.json.executions, executions);

  const csv = await send(
    world,
    "GET",
    `${EXPORT}?format=csv&bom=true&${filter}`,
  );
  ok(csv.text.endsWith("\r\n") && !csv.text.endsWith("\r\n\r\n"));
  const rows = readTable(csv.text.replace(/^\uFEFF/, ""));
  strictEqual(rows.length, executions.length);
  for (const [i, execution] of executions.entries()) {
    const row = rows[i]!;
    strictEqual(row.execution_id, execution.execution_id);
    const isFormula = /^[=+\-@\t\r]/.test(execution.contact_id);
    strictEqual(row.contact_id, (isFormula ? "'" : "") + execution.contact_id);
    strictEqual(
      Date.parse(`${row.enrolled_at_utc}Z`),
      Date.parse(execution.enrolled_at),
    );
    strictEqual(Number(row.duration_seconds), execution.duration_seconds ?? 0);
    strictEqual(row.goal_id, execution.goal_id ?? "");
    strictEqual(
      row.open_steps,
      execution.open_steps.map((s: { step_name: string }) => s.step_name).join(
        "; ",
      ),
    );
  }
  for (const contact of contacts) {
    ok(rows.some((row) => row.contact_id!.endsWith(contact)), contact);
  }
  // Bytes, as text() takes the mark away.
  const response = await world.app.request(
    `${EXPORT}?format=csv&bom=true&rows=executions&status=error&reason=none`,
    { headers: { authorization: `Bearer ${world.key}` } },
  );
  const bytes = await response.bytes();
  deepStrictEqual([...bytes.subarray(0, 3)], [0xef, 0xbb, 0xbf]);
  strictEqual(readCsv(new TextDecoder().decode(bytes)).length, 1);
});

dbTest(
  "GET …/export finds what the list finds, by any filter",
  async (world) => {
    await makePast(world);
    const list = async (filter: string) =>
      (await send(world, "GET", `${PATH}/executions?limit=200&${filter}`)).json
        .executions;
    const all = await list("");
    const one = all.find((x: { goal_id: string | null }) => x.goal_id !== null);
    const step =
      all.find((x: { open_steps: unknown[] }) => x.open_steps.length > 0)
        .open_steps[0].step_id;
    const filters = [
      "status=completed,goal_achieved",
      "status=active",
      "source=api",
      `step_id=${step}`,
      `reason=${one.end_reason}`,
      `text=${one.contact_id}`,
      "version=1&status=active",
      "start_date=2026-06-13&end_date=2026-06-13&tz=Asia/Kathmandu",
    ];
    for (const filter of filters) {
      const found = await list(filter);
      ok(found.length > 0 && found.length < all.length, filter);
      const params = `rows=executions&${filter}`;
      const json = await send(world, "GET", `${EXPORT}?format=json&${params}`);
      deepStrictEqual(json.json.executions, found.toReversed(), filter);
      const csv = await send(world, "GET", `${EXPORT}?format=csv&${params}`);
      deepStrictEqual(
        readTable(csv.text).map((row) => row.execution_id),
        found.toReversed().map((x: { execution_id: string }) => x.execution_id),
        filter,
      );
    }
    // Names come from outside as contacts do.
    await put(world, {
      ...DEFINITION,
      steps: [{ step_id: step, name: "=1+1", type: "action", order: 0 }],
      goals: [{ goal_id: one.goal_id, type: "order", name: "@goal" }],
    });
    const { text } = await send(
      world,
      "GET",
      `${EXPORT}?format=csv&rows=executions`,
    );
    const rows = readTable(text);
    ok(rows.some(({ goal_name }) => goal_name === "'@goal"));
    ok(rows.some(({ open_steps }) => /(^|; )'=1\+1/.test(open_steps!)));
    for (const { goal_name, open_steps } of rows) {
      ok(!/^[=@]/.test(goal_name!) && !/^[=@]/.test(open_steps!));
    }
  },
);

dbTest("GET …/export makes a job of what is long", async (world) => {
  await put(world);
  const found = async (rows: number) =>
    await world.sql.unsafe(`
      create or replace function weir.export_head(account int, id uuid, filter jsonb, now timestamptz, rows_max int)
      returns json language sql stable security definer set search_path = weir, pg_temp
      as $$ select json_build_object('rows', least(${rows}, rows_max + 1), 'as_of', iso_instant(now)) $$`);
  const ask = (format: string) =>
    send(world, "GET", `${EXPORT}?format=${format}&rows=executions`);
  for (const format of ["csv", "json"]) {
    await found(100_000);
    strictEqual((await ask(format)).status, 200);
    await found(100_001);
    const queued = await ask(format);
    strictEqual(queued.status, 202, queued.text);
    strictEqual(queued.json.status, "queued");
    strictEqual(queued.json.request.format, format);
  }
  // Whatever is printed is a job, too.
  const printed = await send(world, "GET", `${EXPORT}?format=pdf&${RANGE}`);
  strictEqual(printed.status, 202);
});

dbTest("a job that three workers were lost at is given up", async (world) => {
  const { sql } = world;
  await put(world);
  const { json } = await ask(world, { format: "json", ...RANGE_JSON });
  const path = `${PATH}/exports/${json.job_id}`;
  for (let attempt = 1; attempt <= 3; attempt++) {
    const claimed = await claimExport(sql);
    strictEqual(claimed!.job.attempts, attempt);
    strictEqual(await claimExport(sql), null, "it is another's");
    await sql`update weir.export_job set lease_until = now() - interval '1 second'`;
  }
  strictEqual(await claimExport(sql), null);
  const { status, error } = (await send(world, "GET", path)).json;
  strictEqual(status, "failed");
  match(error, /3 workers were lost at it/);
  strictEqual((await send(world, "POST", `${path}/retry`)).status, 202);
  await work(world);
  strictEqual((await send(world, "GET", path)).json.status, "done");
});

dbTest("GET …/export refuses what it cannot write", async (world) => {
  await put(world);
  const ask = (query: string) => send(world, "GET", `${EXPORT}?${query}`);
  assertInvalid(await ask(RANGE), "format");
  assertInvalid(await ask(`format=xls&${RANGE}`), "format");
  assertInvalid(await ask("format=csv"), "start_date", "end_date");
  assertInvalid(await ask("format=pdf&rows=executions"), "format");
  assertInvalid(await ask(`format=csv&rows=buckets&status=error&${RANGE}`), "");
  assertInvalid(
    await ask(
      "format=csv&start_date=2026-01-01&end_date=2026-01-02&unit=contact",
    ),
    "unit",
  );
});

dbTest(
  "GET …/export ends its statement within a second of a client that leaves",
  async (world) => {
    const { sql } = world;
    await put(world);
    const app = appWith(world);
    await using server = serve(app.fetch);
    const running = async () => {
      const [row] = await sql<[{ count: number }]>`
        select count(*) from pg_stat_activity
        where datname = current_database() and query like 'copy %' and state = 'active'`;
      return row.count;
    };
    // More than fits between the two; then one whose first row takes longer than anybody waits.
    // Often: connections that end as soon as they have cancelled something are no refusals.
    const long = "generate_series(1, 1000000)";
    for (const rows of [...Array(8).fill(long), "pg_sleep(60)"]) {
      await sql.unsafe(`
        drop function weir.export_executions;
        create function weir.export_executions(account int, id uuid, filter jsonb, now timestamptz)
        returns table (line text) language sql security definer set search_path = weir, pg_temp
        as $$ select repeat('x', 1000) from ${rows} $$;
        grant execute on function weir.export_executions to weir_web`);
      const leaving = new AbortController();
      const asked = fetch(
        `${server.url}${EXPORT}?format=csv&rows=executions`,
        {
          headers: { authorization: `Bearer ${world.key}` },
          signal: leaving.signal,
        },
      );
      const read = asked.then(async (response) => {
        for await (const _ of response.body!) {
          await until("it has left", () => leaving.signal.aborted);
        }
      }).catch(() => {});
      await until("it runs", async () => await running() === 1);
      leaving.abort();
      await until("it has ended", async () => await running() === 0, 1);
      await read;
    }
    // The connections are as good as before.
    strictEqual((await send(world, "GET", `${PATH}/exports`)).status, 200);
  },
);

/** Executions without end, as far as the two between can hold. */
async function makeEndless({ sql }: World): Promise<void> {
  await sql.unsafe(`
    drop function weir.export_executions;
    create function weir.export_executions(account int, id uuid, filter jsonb, now timestamptz)
    returns table (line text) language sql security definer set search_path = weir, pg_temp
    as $$ select repeat('x', 1000) from generate_series(1, 24000) $$;
    grant execute on function weir.export_executions to weir_web`);
}

dbTest(
  "GET …/export lets no account take all that is sent at once",
  async (world) => {
    await put(world);
    await makeEndless(world);
    await using server = serve(appWith(world).fetch);
    const open = (method = "GET") =>
      fetch(
        `${server.url}${EXPORT}?format=csv&rows=executions`,
        { method, headers: { authorization: `Bearer ${world.key}` } },
      );
    // Whoever asks for the head alone has nothing sent.
    for (let i = 0; i < 2 * EXPORTS_AT_ONCE_MAX; i++) {
      const head = await open("HEAD");
      strictEqual(head.status, 200);
      match(head.headers.get("content-disposition")!, /csv/);
    }
    const readers = [];
    for (let i = 0; i < EXPORTS_AT_ONCE_MAX; i++) {
      const response = await open();
      strictEqual(response.status, 200);
      readers.push(response.body!.getReader());
    }
    const busy = await open();
    strictEqual(busy.status, 429);
    ok(Number(busy.headers.get("retry-after")) > 0);
    strictEqual((await busy.json()).code, "exports_busy");
    // One leaves, one reads to the end: there is room for as many.
    await readers.pop()!.cancel();
    for (const reader of readers.splice(0)) {
      while (!(await reader.read()).done);
    }
    for (let i = 0; i < EXPORTS_AT_ONCE_MAX; i++) {
      await until("there is room", async () => {
        const response = await open();
        if (response.status === 200) readers.push(response.body!.getReader());
        else await response.body!.cancel();
        return response.status === 200;
      });
    }
    for (const reader of readers) await reader.cancel();
  },
);

dbTest(
  "GET …/export leaves its connections as good as before, read whole",
  async (world) => {
    await put(world);
    await world.sql.unsafe(`
      drop function weir.export_executions;
      create function weir.export_executions(account int, id uuid, filter jsonb, now timestamptz)
      returns table (line text) language sql security definer set search_path = weir, pg_temp
      as $$ select repeat('x', 1000) from generate_series(1, 4000) $$;
      grant execute on function weir.export_executions to weir_web`);
    // Each connection of the pool, several times: one that stayed paused would hang here.
    for (let round = 0; round < 10; round++) {
      const { text } = await send(
        world,
        "GET",
        `${EXPORT}?format=csv&rows=executions`,
        { headers: { "x-request-id": `round ${round}` } },
      );
      ok(text.length > 4_000_000);
    }
  },
);

async function ask(world: World, request: unknown): Promise<Answer> {
  return await send(world, "POST", `${PATH}/exports`, { json: request });
}

const RANGE_JSON = { start_date: "2026-06-12", end_date: "2026-06-15" };

dbTest(
  "POST …/exports makes a file that is fetched in parts",
  async (world) => {
    await makePast(world);
    const request = { format: "csv", rows: "executions", ...RANGE_JSON };
    const queued = await ask(world, request);
    strictEqual(queued.status, 202, queued.text);
    const path = `${PATH}/exports/${queued.json.job_id}`;
    strictEqual(queued.headers.get("location"), path);
    strictEqual(queued.json.status, "queued");
    assertProblem(
      await send(world, "GET", `${path}/download`),
      409,
      "export_not_done",
    );
    await work(world);

    const { json } = await send(world, "GET", path);
    strictEqual(json.status, "done");
    strictEqual(json.percent, 100);
    deepStrictEqual(json.request, { attribution: "cohort", ...request });
    const { file } = json;
    deepStrictEqual((await send(world, "GET", `${PATH}/exports`)).json, {
      exports: [json],
    });

    const direct = await send(
      world,
      "GET",
      `${EXPORT}?${new URLSearchParams(request)}`,
    );
    const whole = await send(world, "GET", `${path}/download`);
    strictEqual(whole.text, direct.text);
    const { headers } = whole;
    const digest = createHash("sha256").update(whole.text).digest();
    strictEqual(file.sha256, digest.toString("hex"));
    strictEqual(headers.get("etag"), `"${file.sha256}"`);
    strictEqual(
      headers.get("repr-digest"),
      `sha-256=:${digest.toString("base64")}:`,
    );
    strictEqual(headers.get("x-row-count"), String(file.rows));
    strictEqual(file.rows, readTable(whole.text).length);
    strictEqual(headers.get("content-length"), String(file.bytes));
    strictEqual(file.bytes, new TextEncoder().encode(whole.text).length);

    const part = (range: string, more = {}) =>
      send(world, "GET", `${path}/download`, { headers: { range, ...more } });
    const tail = await part("bytes=100-");
    strictEqual(tail.status, 206);
    strictEqual(
      tail.headers.get("content-range"),
      `bytes 100-${file.bytes - 1}/${file.bytes}`,
    );
    const head = await part("bytes=0-99", { "if-range": `"${file.sha256}"` });
    strictEqual(head.text + tail.text, whole.text);
    strictEqual(
      (await part("bytes=0-9", { "if-range": '"other"' })).status,
      200,
    );
    assertProblem(
      await part(`bytes=${file.bytes}-`),
      416,
      "range_not_satisfiable",
    );
    const same = await part("", { "if-none-match": `"${file.sha256}"` });
    strictEqual(same.status, 304);
    // As proxies that compress make of it, and among others.
    const weak = { "if-none-match": `"other", W/"${file.sha256}"` };
    strictEqual((await part("", weak)).status, 304);

    // The link opens it without a key, and no other, and for a day.
    strictEqual(
      Date.parse(json.expires_at) - Date.parse(json.finished_at),
      24 * 3_600_000,
    );
    const link = new URL(file.download_url);
    const open = (url: URL) =>
      send(world, "GET", url.pathname + url.search, { key: null });
    strictEqual((await open(link)).text, whole.text);
    const forged = new URL(link);
    forged.searchParams.set("signature", "0".repeat(64));
    assertProblem(await open(forged), 403, "link_expired");
    world.clock.now = new Date(Date.parse(json.expires_at) + 1);
    assertProblem(await open(link), 403, "link_expired");
    assertProblem(
      await send(world, "GET", `${path}/download`),
      410,
      "export_gone",
    );
  },
);

dbTest(
  "the access log tells which file went out, by which link, and what a link was refused",
  async (world) => {
    await makePast(world);
    const request = { format: "csv", rows: "executions", ...RANGE_JSON };
    const { job_id } = (await ask(world, request)).json;
    await work(world);
    const path = `${PATH}/exports/${job_id}`;
    const { json } = await send(world, "GET", path);
    const { bytes, sha256, rows } = json.file;
    const link = new URL(json.file.download_url);
    const open = async (
      headers: Record<string, string> = {},
      pathname = link.pathname,
      search = link.search,
    ) => {
      const answer = await send(world, "GET", pathname + search, {
        key: null,
        headers,
      });
      return answer.status;
    };
    const other = link.pathname.replace(job_id, crypto.randomUUID());
    strictEqual(await open(), 200);
    strictEqual(await open({ range: "bytes=0-9" }), 206);
    strictEqual(await open({ "if-none-match": `"${sha256}"` }), 304);
    strictEqual(await open({}, link.pathname, "?signature=x"), 403);
    strictEqual(await open({}, other), 403);
    await send(world, "GET", `${path}/download`);
    const direct = new URLSearchParams(request);
    const sent = await send(world, "GET", `${EXPORT}?${direct}`);

    const action = "GET /api/v1/workflows/:id/exports/:job_id/download";
    const log = `/api/v1/access-log?action=${encodeURIComponent(action)}`;
    // deno-lint-ignore no-explicit-any
    let entries: any[] = [];
    await until("all are logged", async () => {
      entries = (await send(world, "GET", log)).json.entries;
      return entries.length >= 5;
    });
    const credential = `link of export ${job_id}`;
    const filter = { attribution: "cohort", ...request };
    const whole = { credential, filter, rows, bytes, sha256, status: 200 };
    const none = { ...whole, rows: null, bytes: null, sha256: null };
    const seen = entries.map((entry) =>
      Object.fromEntries(Object.keys(whole).map((name) => [name, entry[name]]))
    ).sort((a, b) => a.status - b.status || b.bytes - a.bytes);
    const byKey = seen.splice(
      seen.findIndex(({ credential }) => /^key:/.test(credential)),
      1,
    )[0]!;
    deepStrictEqual({ ...byKey, credential }, whole);
    deepStrictEqual(seen, [
      whole,
      { ...whole, bytes: 10, status: 206 },
      { ...none, status: 304 },
      { ...none, filter: {}, status: 403 },
    ]);
    for (const entry of entries) strictEqual(entry.workflow_id, WORKFLOW);
    const atOnce = encodeURIComponent(
      "GET /api/v1/workflows/:id/analytics/export",
    );
    await until("all has gone out", async () => {
      const path = `/api/v1/access-log?action=${atOnce}`;
      entries = (await send(world, "GET", path)).json.entries;
      return entries.length >= 2;
    });
    const text = new TextEncoder().encode(sent.text);
    const went = {
      rows,
      bytes: text.length,
      sha256: createHash("sha256").update(text).digest("hex"),
    };
    deepStrictEqual(
      entries.map(({ rows, bytes, sha256 }) => ({ rows, bytes, sha256 }))
        .sort((a, b) => b.bytes - a.bytes),
      [went, { rows, bytes: null, sha256: null }],
    );
    strictEqual(entries[0].request_id, entries[1].request_id);
  },
);

dbTest(
  "POST …/exports limits what an account has open and keeps",
  async (world) => {
    await put(world);
    const request = { format: "json", ...RANGE_JSON };
    for (let i = 0; i < EXPORTS_OPEN_MAX; i++) {
      strictEqual((await ask(world, request)).status, 202);
    }
    const busy = await ask(world, request);
    assertProblem(busy, 429, "exports_busy");
    ok(Number(busy.headers.get("retry-after")) > 0);
    // Nor by giving up and asking again.
    const [job] = (await send(world, "GET", `${PATH}/exports`)).json.exports;
    const path = `${PATH}/exports/${job.job_id}`;
    await send(world, "DELETE", path);
    const { json: last } = await ask(world, request);
    strictEqual(last.status, "queued");
    assertProblem(
      await send(world, "POST", `${path}/retry`),
      429,
      "exports_busy",
    );
    strictEqual((await send(world, "GET", path)).json.status, "cancelled");
    // What is under way already is told of, and not refused.
    const same = await send(
      world,
      "POST",
      `${PATH}/exports/${last.job_id}/retry`,
    );
    strictEqual(same.json.status, "queued");
    await work(world);
    strictEqual((await send(world, "POST", `${path}/retry`)).status, 202);
    await work(world);
    strictEqual((await ask(world, request)).status, 202);
    await world.sql`
    update weir.export_job set bytes = ${EXPORT_BYTES_MAX}
    where job_id = (select job_id from weir.export_job where status = 'done' limit 1)`;
    assertProblem(await ask(world, request), 429, "exports_full");
  },
);

dbTest("an export is cancelled, tried again, and watched", async (world) => {
  await put(world);
  const { json } = await ask(world, { format: "pdf", ...RANGE_JSON });
  const path = `${PATH}/exports/${json.job_id}`;
  const cancelled = await send(world, "DELETE", path);
  strictEqual(cancelled.json.status, "cancelled");
  await work(world);
  strictEqual((await send(world, "GET", path)).json.status, "cancelled");

  const again = await send(world, "POST", `${path}/retry`);
  strictEqual(again.status, 202);
  strictEqual(again.json.status, "queued");
  const watching = [
    send(world, "GET", `${path}/events`),
    send(world, "GET", `${PATH}/exports`, {
      headers: { accept: "text/event-stream" },
    }),
  ];
  await work(world);
  for (const [i, { text }] of (await Promise.all(watching)).entries()) {
    const told = text.split("\n").filter((line) => line.startsWith("data: "))
      .map((line) => JSON.parse(line.slice(6)))
      .map((told) => i === 0 ? told : told.exports[0]);
    ok(["queued", "running"].includes(told[0].status));
    strictEqual(told.at(-1).status, "done");
  }
  strictEqual((await send(world, "DELETE", path)).json.status, "done");
  const pdf = await send(world, "GET", `${path}/download`);
  strictEqual(pdf.text, "%PDF Welcome");
});

dbTest("a job that cannot be done fails with its reason", async (world) => {
  await put(world);
  const { sql } = world;
  const { json } = await ask(world, { format: "pdf", ...RANGE_JSON });
  const reasons = ["Cannot print: no browser", "secret of ours"];
  const job = createExportJob({
    store: postgresStore(sql),
    renderReport: () => "",
    print: () =>
      Promise.reject(
        reasons.length > 1
          ? new PrintError(reasons.shift())
          : new Error(reasons[0]),
      ),
  });
  const signal = new AbortController().signal;
  const path = `${PATH}/exports/${json.job_id}`;
  for (let attempt = 1; attempt <= 3; attempt++) {
    await job.run({ sql, signal }).catch(() => {});
    const now = (await send(world, "GET", path)).json;
    strictEqual(now.attempts, attempt);
    strictEqual(now.status, attempt === 3 ? "failed" : "queued");
    if (attempt === 1) strictEqual(now.error, "Cannot print: no browser");
    else {strictEqual(
        now.error,
        "Cannot make the file because of an error of ours",
      );}
    await sql`update weir.export_job set not_before = now()`;
  }
  // What is asked for wrongly is not tried again.
  const old = await ask(world, {
    format: "json",
    unit: "contact",
    start_date: "2025-01-01",
    end_date: "2025-01-02",
  });
  await work(world);
  const failed = await send(world, "GET", `${PATH}/exports/${old.json.job_id}`);
  strictEqual(failed.json.status, "failed");
  match(failed.json.error, /90 days/);
});

dbTest("postgresStore() keeps all of a file, or nothing", async (world) => {
  const { sql } = world;
  const store = postgresStore(sql);
  const file = { job_id: crypto.randomUUID(), attempt: crypto.randomUUID() };
  const pieces = (count: number) =>
    ReadableStream.from(
      Array.from({ length: count }, () => new Uint8Array(300_000)),
    );
  await sql.unsafe(`
    create function weir.refuse() returns trigger language plpgsql as $$
    begin
      if new.position = 2 or length(new.bytes) = 300000 then raise 'disk full'; end if;
      return new;
    end $$;
    create trigger refuse before insert on weir.export_chunk
    for each row execute function weir.refuse()`);
  // Amid it; and when all has been sent, and nothing is left to be told while it is.
  for (const count of [20, 1]) {
    await rejects(store.write(file, pieces(count)), /disk full/);
  }
  // Nobody is there any more, amid it.
  const lost = new ReadableStream({
    async pull(controller) {
      await sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like 'copy %' and state = 'active'`;
      controller.enqueue(new Uint8Array(700_000));
    },
  });
  await rejects(store.write(file, lost), Error);
  strictEqual((await sql`select from weir.export_chunk`).length, 0);
  // Its connections are as good as before, all of them.
  await sql`drop function weir.refuse cascade`;
  for (let round = 0; round < 10; round++) await store.write(file, pieces(4));
  const [{ bytes }] = await sql<[{ bytes: number }]>`
    select sum(length(bytes)) as bytes from weir.export_chunk`;
  strictEqual(Number(bytes), 1_200_000);
});

for (const kind of ["postgres", "disk"]) {
  dbTest(`${kind}Store() keeps the contract of stores`, async (world) => {
    const { sql, account } = world;
    const folder = await Deno.makeTempDir({ prefix: "weir-exports-" });
    const store = kind === "disk"
      ? diskStore(`${folder}/files`)
      : postgresStore(sql);
    try {
      await put(world);
      const { json } = await ask(world, { format: "json", ...RANGE_JSON });
      const of = { job_id: json.job_id as string };
      const [{ attempt }] = await sql<[{ attempt: string }]>`
        update weir.export_job set attempt = gen_random_uuid(), status = 'running'
        returning attempt`;
      const file = { ...of, attempt };
      const bytes = crypto.getRandomValues(new Uint8Array(40_000))
        .toHex().repeat(20);
      const whole = new TextEncoder().encode(bytes);
      const id = account.account_id;
      strictEqual(await store.has(id, file), false);
      await store.write(file, new Response("older").body!);
      await store.write(file, new Response(whole).body!);
      strictEqual(await store.has(id, file), true);
      const read = async (from: number, until: number) =>
        await new Response(store.read(id, file, from, until)).bytes();
      for (
        const [from, until] of [[0, whole.length], [5, 6], [524_287, 524_290], [
          7,
          7,
        ]] as const
      ) {
        deepStrictEqual(await read(from, until), whole.subarray(from, until));
      }
      const reader = store.read(id, file, 0, whole.length).getReader();
      await reader.read();
      await reader.cancel();

      const broken = { ...of, attempt: crypto.randomUUID() };
      const breaking = new ReadableStream({
        pull(controller) {
          controller.enqueue(whole);
          controller.error(new Error("broken"));
        },
      });
      await store.write(broken, breaking).then(
        () => ok(false),
        (e) => match(e.message, /broken/),
      );
      const expiring = createExpiryJob(store);
      const { signal } = new AbortController();
      const expire = () => expiring.run({ sql, signal });
      await expire();
      strictEqual(await store.has(id, broken), false);
      // What another worker begins meanwhile is not known to who asked before.
      const begun = { ...of, attempt: crypto.randomUUID() };
      await store.keepOnly(async () => {
        const wanted = [attempt];
        await store.write(begun, new Response("begun").body!);
        return wanted;
      });
      strictEqual(await store.has(id, begun), true);
      deepStrictEqual(await read(1, 9), whole.subarray(1, 9));
      await sql`update weir.export_job set status = 'done', expires_at = now() + interval '1 hour'`;
      await expire();
      strictEqual(await store.has(id, file), true);
      await sql`update weir.export_job set expires_at = now() - interval '1 second'`;
      await expire();
      strictEqual(await store.has(id, file), false);
      strictEqual(await store.has(id, begun), false);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("rangeOf() reads one range", () => {
  deepStrictEqual(rangeOf("bytes=0-", 10), [0, 10]);
  deepStrictEqual(rangeOf("bytes=2-4", 10), [2, 5]);
  deepStrictEqual(rangeOf("bytes=2-400", 10), [2, 10]);
  deepStrictEqual(rangeOf("bytes=-3", 10), [7, 10]);
  deepStrictEqual(rangeOf("bytes=-30", 10), [0, 10]);
  for (const none of ["bytes=10-", "bytes=-0"]) {
    strictEqual(rangeOf(none, 10), null);
  }
  for (
    const other of [
      undefined,
      "",
      "bytes=-",
      "lines=0-1",
      "bytes=0-1,3-4",
      "bytes=4-2",
    ]
  ) {
    strictEqual(rangeOf(other, 10), undefined);
  }
});
