/**
 * Reports, printed by a real browser and read back by poppler.
 *
 * @module
 */

import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { readNumbers } from "../../db/export_file.ts";
import { fold, recordEvents } from "../../db/events.ts";
import {
  AnalyticsQuery,
  type Event,
  WorkflowDefinition,
} from "../../db/schema.ts";
import { putWorkflow } from "../../db/workflows.ts";
import { renderReport } from "../../routes/report.tsx";
import { PrintError } from "../../workers/export.ts";
import { createPrinter, type Printer } from "../../workers/pdf.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import { send } from "../routes/_requests.ts";
import { serve } from "../serve.ts";
import { endOf } from "../within.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const GOAL = "33333333-3333-4333-8333-333333333333";
const NEVER = new AbortController().signal;

function stepId(n: number): string {
  return `22222222-2222-4222-8222-${String(n).padStart(12, "0")}`;
}

/** A report of so many steps, whose names say what is asked of them. */
async function makeReport(
  { sql, account }: World,
  steps: number,
  nameOf: (n: number) => string = (n) => `Step ${n}`,
  asked: object = {},
) {
  const id = account.account_id;
  const definition = WorkflowDefinition.parse({
    name: nameOf(-1),
    steps: Array.from({ length: steps }, (_, n) => ({
      step_id: stepId(n),
      name: nameOf(n),
      type: "action",
      order: n,
    })),
    goals: [{ goal_id: GOAL, type: "order", name: nameOf(-2) }],
  });
  await putWorkflow(sql, id, WORKFLOW, definition);
  await recordEvents(sql, id, [...journeys(steps)]);
  while (await fold(sql) > 0);
  const query = AnalyticsQuery.parse({
    start_date: "2026-06-10",
    end_date: "2026-06-15",
    compare: "previous",
    ...asked,
  });
  const numbers = await readNumbers({
    sql,
    accountId: id,
    workflowUuid: WORKFLOW,
    now: NOW,
  }, query);
  const html = renderReport({
    ...numbers!,
    workflowName: definition.name,
    accountName: account.name,
    query,
    generatedAt: NOW,
  });
  return { html, numbers: numbers! };
}

/** Each goes one step further than the one before, and ends by turns. */
function* journeys(steps: number): Generator<Event> {
  const executions = Math.max(12, steps);
  for (let i = 0; i < executions; i++) {
    const start = NOW.getTime() - 4 * 86_400_000 + i * 5_400_000;
    const of = (seconds: number, rest: object) => ({
      id: `${steps} ${i} ${seconds}`,
      workflow_id: WORKFLOW,
      execution_id: crypto.randomUUID(),
      contact_id: `c${i}`,
      occurred_at: new Date(start + seconds * 1_000).toISOString(),
      ...rest,
    } as Event);
    const execution_id = crypto.randomUUID();
    yield of(0, {
      type: "execution.enrolled",
      source: i % 2 ? "api" : "bulk",
      execution_id,
    });
    const depth = Math.min(steps, i + 1);
    for (let n = 0; n < depth; n++) {
      const step_id = stepId(n);
      yield of(n * 60 + 1, { type: "step.entered", step_id, execution_id });
      yield of(n * 60 + 2, {
        type: "action.executed",
        step_id,
        execution_id,
        status: (i + n) % 7 ? "succeeded" : "failed",
        duration_ms: 100 + n * 17.25,
      });
      if (n < depth - 1 || i % 3) {
        yield of(n * 60 + 31, {
          type: "step.completed",
          step_id,
          execution_id,
        });
      }
    }
    if (i % 4 === 0) {
      yield of(9_000, { type: "goal.achieved", goal_id: GOAL, execution_id });
    } else if (i % 4 === 1) {
      yield of(9_100, { type: "execution.completed", execution_id });
    } else if (i % 4 === 2) {
      yield of(9_200, {
        type: "execution.exited",
        reason: "unsubscribed",
        execution_id,
      });
    }
  }
}

async function poppler(
  program: string,
  pdf: Uint8Array,
  ...args: string[]
): Promise<string> {
  const file = await Deno.makeTempFile({ suffix: ".pdf" });
  try {
    await Deno.writeFile(file, pdf);
    const path = Deno.env.get("PDFTOTEXT_PATH")!.replace(/pdftotext$/, program);
    const { stdout } = await new Deno.Command(path, {
      args: [...args, file, ...(program === "pdftotext" ? ["-"] : [])],
    }).output();
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(file);
  }
}

function printerTest(
  name: string,
  test: (world: World, printer: Printer) => Promise<void>,
) {
  dbTest(name, async (world) => {
    const printer = createPrinter({
      chromiumPath: Deno.env.get("CHROMIUM_PATH"),
    });
    try {
      await test(world, printer);
    } finally {
      await printer.close();
    }
  });
}

/** Every number of an answer as a report writes it; signs are its own. */
function numbersIn(value: unknown, path = ""): string[] {
  if (typeof value === "number") {
    // What orders rows is the order of the rows.
    if (/step_order$/.test(path)) return [];
    // Of an average of counts two decimals are shown, and of a rate always two.
    const isRate =
      /(completion|conversion|off|success|error)_rate(\.(current|previous|change))?$|\.rate$|share$|overall_conversion$/;
    const plain = Math.abs(value);
    return [isRate.test(path) ? plain.toFixed(2) : String(plain)];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) =>
    numbersIn(part, Array.isArray(value) ? path : `${path}.${name}`)
  );
}

printerTest(
  "a report shows every number, whole, of 1, 8 and 60 steps",
  async (world, printer) => {
    for (const steps of [1, 8, 60]) {
      const { html, numbers } = await makeReport(world, steps);
      const pdf = await printer.print(html, NEVER);
      const keep = Deno.env.get("KEEP_REPORTS");
      if (keep) await Deno.writeFile(`${keep}/report-${steps}.pdf`, pdf);
      const text = (await poppler("pdftotext", pdf, "-layout")).replaceAll(
        ",",
        "",
      );
      const { analytics, funnel, actions } = numbers;
      for (const number of numbersIn({ analytics, funnel, actions })) {
        ok(text.includes(number), `${number} of ${steps} steps`);
      }
      for (let n = 0; n < steps; n++) {
        ok(text.includes(`Step ${n}`), `Step ${n}`);
      }
      for (
        const text of [
          "UTC",
          "Step -1",
          "Generated",
          "Jun 15, 2026, 12:00:00 PM",
          "2026-06-10 – 2026-06-15",
          `revision ${numbers.revision}`,
        ]
      ) {
        ok((await poppler("pdftotext", pdf, "-layout")).includes(text), text);
      }
      const info = await poppler("pdfinfo", pdf);
      match(info, /Tagged: +yes/);
      const pages = Number(/Pages: +(\d+)/.exec(info)![1]);
      ok(pages <= 2 + steps / 5, info);
      match(text, new RegExp(`\\b${pages} ?/ ?${pages}\\b`));
      const raw = new TextDecoder("latin1").decode(pdf);
      ok(raw.includes("/Outlines"), "outlined");
      if (steps === 60) {
        // Heads are repeated on each page that a table goes on to.
        ok(
          text.split("Mean time in step").length - 1 >= 2,
          "the head is repeated",
        );
      }
    }
  },
);

printerTest(
  "a report is whole with names as long as they may be",
  async (world, printer) => {
    const nameOf = (n: number) =>
      [`${n + 9} ${"word ".repeat(30)}end`, `${n + 9}${"x".repeat(180)}end`][
        Math.abs(n % 2)
      ]!;
    const hours = { granularity: "hourly", tz: "Asia/Kathmandu" };
    const { html } = await makeReport(world, 4, nameOf, hours);
    const pdf = await printer.print(html, NEVER);
    const text = await poppler("pdftotext", pdf, "-raw");
    const plain = text.replaceAll(/\s/g, "");
    for (const n of [-2, -1, 0, 1, 2, 3]) {
      ok(plain.includes(nameOf(n).replaceAll(" ", "")), nameOf(n));
    }
    // In its own line on every page, whatever stands beside it.
    const pages = Number(
      /Pages: +(\d+)/.exec(await poppler("pdfinfo", pdf))![1],
    );
    for (let page = 1; page <= pages; page++) {
      match(text, new RegExp(`\\b${page} / ${pages}$`, "m"));
    }
    match(text, /^2026-06-10 00:00 \+05:45 0 /m);
  },
);

printerTest(
  "a report of an empty range says so, and draws no lines",
  async (world, printer) => {
    const empty = { start_date: "2026-05-01", end_date: "2026-05-03" };
    const { html } = await makeReport(world, 2, undefined, empty);
    const text = await poppler("pdftotext", await printer.print(html, NEVER));
    match(text, /Nobody was enrolled in this range/);
    ok(!text.includes("The upper line"));
    ok(text.includes("2026-05-03"));
  },
);

printerTest(
  "names in a report reach nothing and run nothing",
  async (world, printer) => {
    let asked = 0;
    await using server = serve(() => {
      asked += 1;
      return new Response("secret");
    });
    const to = server.url;
    const payloads = [
      `<img src="${to}/1">`,
      `<script src="${to}/2"></script>`,
      `<iframe src="${to}/3"></iframe>`,
      `<iframe src="file:///etc/passwd"></iframe>`,
      `<link rel=stylesheet href="${to}/5">`,
      `<style>@import "${to}/6";</style>`,
      `<svg><image href="${to}/7"/></svg>`,
      `<object data="${to}/8"></object>`,
      `<embed src="${to}/9">`,
      `<meta http-equiv=refresh content="0;url=${to}/10">`,
      `<base href="${to}/">`,
      `<video src="${to}/12" autoplay></video>`,
      `"><img src=x onerror="fetch('${to}/13')">`,
      `'-fetch("${to}/14")-'`,
      `</title><img src="${to}/15">`,
      `</style><img src="${to}/16">`,
      `<a href="javascript:fetch('${to}/17')">`,
      `<form action="${to}/18"><input autofocus>`,
      `<img srcset="${to}/19 1x">`,
      `<div style="background:url(${to}/20)">`,
    ].map((payload) => payload.slice(0, 190));
    const { html } = await makeReport(
      world,
      payloads.length,
      (n) => payloads[n] ?? payloads[0]!,
    );
    const text = await poppler("pdftotext", await printer.print(html, NEVER));
    strictEqual(asked, 0);
    ok(text.replaceAll(/\s/g, "").includes("<imgsrc="), "shown as it is");
    // Were they markup, the printer would still reach nothing.
    const naked = `<!doctype html><title>x</title><body><h1>Naked</h1>${
      payloads.join("\n")
    }`;
    await printer.print(naked, NEVER).catch((error) =>
      ok(error instanceof PrintError)
    );
    strictEqual(asked, 0);
  },
);

printerTest("createPrinter() survives its browser", async (_world, printer) => {
  const page = "<!doctype html><title>x</title><h1>Report</h1>";
  await printer.print(page, NEVER);
  const printing = [1, 2, 3].map(() => printer.print(page, NEVER));
  const killed = await children();
  strictEqual(killed.length, 1);
  Deno.kill(killed[0]!, "SIGKILL");
  for (const pdf of await Promise.all(printing)) {
    strictEqual(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
  }
  const warm = performance.now();
  await printer.print(page, NEVER);
  ok(performance.now() - warm < 20_000);
  const stopped = AbortSignal.abort(new Error("stopped"));
  await rejects(printer.print(page, stopped), /stopped/);
  await printer.close();
  await until(
    "no browser is left",
    async () => (await children()).length === 0,
  );
  const none = createPrinter({ chromiumPath: "/none" });
  await rejects(none.print(page, NEVER), PrintError);
  deepStrictEqual(await none.close(), undefined);
});

dbTest("a browser that hangs costs one retry and is gone", async () => {
  const page = "<!doctype html><title>x</title><h1>Report</h1>";
  const printer = createPrinter({
    chromiumPath: Deno.env.get("CHROMIUM_PATH"),
    deadlineMs: 5_000,
  });
  await printer.print(page, NEVER);
  const hung = await children();
  ok(hung.length > 0);
  for (const pid of hung) Deno.kill(pid, "SIGSTOP");
  const pdf = await printer.print(page, NEVER);
  strictEqual(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
  await until("the one that hung is gone", async () => {
    const now = await children();
    return hung.every((pid) => !now.includes(pid));
  });
  await printer.close();
  strictEqual((await children()).length, 0);
});

dbTest(
  "a browser has two pages at most, and makes room for another",
  async () => {
    const page = `<!doctype html><title>x</title>${"<p>Report".repeat(500)}`;
    await using remote = await startRemote();
    const elsewhere = createPrinter({ chromiumUrl: remote.url });
    let most = 0;
    let isOver = false;
    const printing = Promise.all(
      Array.from({ length: 4 }, () => elsewhere.print(page, NEVER)),
    ).finally(() => isOver = true);
    // Beside the one that it began with.
    while (!isOver) most = Math.max(most, await remote.pages() - 1);
    await printing;
    strictEqual(most, 2);
    await elsewhere.close();

    const printer = createPrinter({
      chromiumPath: Deno.env.get("CHROMIUM_PATH"),
      printsMax: 2,
    });
    const seen = new Set<number>();
    const pages = Array.from({ length: 5 }, async () => {
      const pdf = await printer.print(page, NEVER);
      strictEqual(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
      for (const pid of await children()) seen.add(pid);
    });
    await Promise.all(pages);
    ok(seen.size >= 3, `${seen.size} for 5 pages of 2 each`);
    await printer.close();
    strictEqual((await children()).length, 0, "none is left");
  },
);

/** A browser that is somebody else's, and where it is spoken to. */
async function startRemote() {
  const folder = await Deno.makeTempDir();
  const process = new Deno.Command(Deno.env.get("CHROMIUM_PATH")!, {
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--remote-debugging-port=0",
      `--user-data-dir=${folder}`,
      "about:blank",
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let url = "";
  await until("it listens", async () => {
    const told = await Deno.readTextFile(`${folder}/DevToolsActivePort`)
      .catch(() => "");
    const [port, path] = told.split("\n");
    if (path) url = `ws://127.0.0.1:${port}${path}`;
    return url !== "";
  });
  return {
    url,
    process,
    /** How many pages it has open, as it tells by itself. */
    async pages(): Promise<number> {
      const list = await fetch(
        new URL("/json/list", url.replace("ws:", "http:")),
      );
      const isPage = ({ type }: { type: string }) => type === "page";
      return (await list.json()).filter(isPage).length;
    },
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGKILL");
      } catch { /* It has ended already. */ }
      await process.status;
      await until(
        "its folder is gone",
        () =>
          Deno.remove(folder, { recursive: true })
            .then(() => true, () => false),
      );
    },
  };
}

dbTest("a browser elsewhere prints, and stays", async (world) => {
  let asked = 0;
  await using server = serve(() => {
    asked += 1;
    return new Response("secret");
  });
  await using remote = await startRemote();
  const printer = createPrinter({ chromiumUrl: remote.url });
  const { html } = await makeReport(world, 3);
  const text = await poppler("pdftotext", await printer.print(html, NEVER));
  ok(text.includes("Step 2"));
  // This one resolves names: the page itself is what asks for nothing.
  const to = server.url;
  await printer.print(
    `<title>x</title><img src="${to}/1"><iframe src="${to}/2"></iframe><script>fetch("${to}/3")</script>`,
    NEVER,
  );
  strictEqual(asked, 0);
  await printer.close();
  strictEqual(await remote.pages(), 1);

  // It goes away amid a report, and does not come back: its job fails, the next may not.
  const lost = createPrinter({ chromiumUrl: remote.url });
  await lost.print(html, NEVER);
  const job = lost.print(html, NEVER);
  remote.process.kill("SIGKILL");
  await rejects(job, PrintError);
  await rejects(lost.print(html, NEVER), /cannot be reached/);
  await lost.close();
});

dbTest(
  "main.ts work prints in the browser that CHROMIUM_URL names",
  async (world) => {
    await using remote = await startRemote();
    await makeReport(world, 2);
    const path = `/api/v1/workflows/${WORKFLOW}/exports`;
    const range = { start_date: "2026-06-10", end_date: "2026-06-15" };
    const ask = async () => {
      const json = { format: "pdf", ...range };
      return (await send(world, "POST", path, { json })).json.job_id as string;
    };
    const isDone = async (id: string) => {
      const { json } = await send(world, "GET", `${path}/${id}`);
      strictEqual(json.error, null);
      return json.status === "done";
    };
    // With no other to fall back on.
    const worker = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "main.ts", "work"],
      cwd: new URL("../../", import.meta.url),
      env: {
        DATABASE_URL: world.database_url,
        LOG_LEVEL: "error",
        CHROMIUM_URL: remote.url,
        CHROMIUM_PATH: "/none",
      },
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
    try {
      const ids = [await ask(), await ask()];
      for (const id of ids) await until("it is printed", () => isDone(id));
      const pdf = await world.app.request(`${path}/${ids[1]}/download`, {
        headers: { authorization: `Bearer ${world.key}` },
      });
      const text = await poppler("pdftotext", await pdf.bytes());
      ok(text.includes("Step 1"));
    } finally {
      worker.kill("SIGTERM");
      strictEqual((await endOf(worker)).code, 0);
    }
    // It was not ours, and is as it was.
    strictEqual(await remote.pages(), 1);
  },
);

/** Browsers that printers of this process have started, whichever of its threads that was. */
async function children(): Promise<number[]> {
  const tasks = `/proc/${Deno.pid}/task`;
  const found: number[] = [];
  for await (const { name } of Deno.readDir(tasks)) {
    const text = await Deno.readTextFile(`${tasks}/${name}/children`)
      .catch(() => "");
    for (const pid of text.split(" ").filter(Boolean)) {
      const command = await Deno.readTextFile(`/proc/${pid}/cmdline`)
        .catch(() => "");
      if (command.includes("weir-print-")) found.push(Number(pid));
    }
  }
  return found;
}
