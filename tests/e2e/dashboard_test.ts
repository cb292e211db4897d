/**
 * The pages in a real browser, served by a real server.
 *
 * @module
 */

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  strictEqual,
} from "node:assert/strict";
import axe from "axe-core";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { createSignInLink } from "../../db/access.ts";
import { startServer, until, withDatabase, type World } from "../harness.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";
const STEPS = ["Say hello", "Wait", "Ask"].map((name, i) => ({
  step_id: `22222222-2222-4222-8222-22222222222${i}`,
  name,
  type: "action",
  order: i,
}));

/** A path without a page; the browser complains of its 404, as it should. */
const NOWHERE = "/nowhere";

/** Narrow phones to wide screens, CSS pixels. */
const WIDTHS = [320, 1280, 1920];
const THEMES = ["light", "dark"] as const;

/** Most enter the second step, and many of those leave it. */
const EXECUTIONS = 40;
const LEAVE_AT_SECOND = 15;

/** What a test of the browser is handed. */
interface Visit {
  page: Page;
  world: World;
  url: string;
  /** What the browser complained about, e.g. a refused inline style. */
  complaints: string[];
}

function browserTest(name: string, test: (visit: Visit) => Promise<void>) {
  Deno.test(name, () =>
    withDatabase(async (world) => {
      await using server = await startServer({
        DATABASE_URL: world.database_url,
      });
      await send(server.url, world);
      const browser = await launch();
      try {
        const visit = await open(browser, world, server.url);
        await test(visit);
        deepStrictEqual(visit.complaints, []);
      } finally {
        await browser.close();
      }
    }));
}

function launch(): Promise<Browser> {
  return puppeteer.launch({
    executablePath: Deno.env.get("CHROMIUM_PATH") ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
}

async function open(
  browser: Browser,
  world: World,
  url: string,
): Promise<Visit> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const isMeant = message.location().url?.endsWith(NOWHERE);
    if (["error", "warn"].includes(message.type()) && !isMeant) {
      complaints.push(message.text());
    }
  });
  const { sql, account } = world;
  const token = await createSignInLink(sql, account.account_id, {});
  await page.goto(`${url}/sign-in?token=${token}`);
  return { page, world, url, complaints };
}

async function send(url: string, { key, sql }: World): Promise<void> {
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
  };
  const put = await fetch(`${url}/api/v1/workflows/${WORKFLOW}`, {
    method: "PUT",
    headers,
    body: JSON.stringify({ name: "Welcome", steps: STEPS }),
  });
  strictEqual(put.status, 200, await put.text());
  const post = await fetch(`${url}/api/v1/events`, {
    method: "POST",
    headers,
    body: JSON.stringify(
      Array.from({ length: EXECUTIONS }, (_, n) => story(n)).flat(),
    ),
  });
  strictEqual(post.status, 202, await post.text());
  await until("all enrolments are folded", async () => {
    const [{ folded }] = await sql<[{ folded: number }]>`
      select count(*)::int as folded from weir.execution`;
    return folded === EXECUTIONS;
  });
}

/** One execution, begun `n` hours ago: some leave at the second step. */
function story(n: number) {
  const begun = Date.now() - (n + 1) * 3_600_000;
  const [first, second] = STEPS;
  const leaves = n < LEAVE_AT_SECOND;
  return [
    { type: "execution.enrolled", source: "api" },
    { type: "step.entered", step_id: first!.step_id },
    { type: "step.completed", step_id: first!.step_id },
    { type: "step.entered", step_id: second!.step_id },
    ...(leaves
      ? [{ type: "execution.exited", reason: "unsubscribed" }]
      : [{ type: "step.completed", step_id: second!.step_id }]),
  ].map((event, i) => ({
    ...event,
    id: `${n}-${i}`,
    workflow_id: WORKFLOW,
    execution_id: `33333333-3333-4333-8333-3333333333${
      String(n).padStart(2, "0")
    }`,
    contact_id: `contact ${n}`,
    occurred_at: new Date(begun + i * 1_000).toISOString(),
  }));
}

async function chartIsDrawn(page: Page): Promise<void> {
  await page.waitForSelector("[data-ready] .plot[role=slider] canvas");
}

browserTest(
  "Overview and dashboard lead from the link to the bottleneck",
  async ({ page, url }) => {
    match(await page.$eval("h1", (h1) => h1.textContent!), /Workflows/);
    await Promise.all([page.waitForNavigation(), page.click("th a")]);
    strictEqual(page.url(), `${url}/workflows/${WORKFLOW}`);

    const bottleneck = await page.$$eval(
      ".funnel tbody tr",
      (rows) =>
        rows.filter((row) => row.textContent!.includes("Bottleneck"))
          .map((row) => row.querySelector("bdi")!.textContent),
    );
    deepStrictEqual(bottleneck, ["Wait"]);
    const enrolled = await page.$eval(".card data", (data) => data.value);
    strictEqual(enrolled, String(EXECUTIONS));

    await Promise.all([
      page.waitForNavigation(),
      page.click(".choice a:nth-child(2)"),
    ]);
    match(page.url(), /\?start_date=[\d-]+&end_date=[\d-]+$/);
    const current = await page.$eval(
      ".choice [aria-current]",
      (link) => link.textContent,
    );
    strictEqual(current, "7 days");
  },
);

browserTest(
  "TrendChart() can be read by keyboard and says what its table says",
  async ({ page, url }) => {
    await page.goto(`${url}/workflows/${WORKFLOW}`);
    await chartIsDrawn(page);
    await page.focus(".plot");
    await page.keyboard.press("Home");
    const said = () =>
      page.$eval(".plot", (plot) => plot.getAttribute("aria-valuetext")!);
    const first = await said();
    await page.keyboard.press("End");
    notStrictEqual(await said(), first);

    const rows = await page.$$eval(
      ".twin tbody tr",
      (rows) =>
        rows.map((row) => [...row.cells].map((cell) => cell.textContent!)),
    );
    const [day, enrolled, completed, converted] = rows.at(-1)!;
    strictEqual(
      await said(),
      `${
        day!.replace(" (so far)", "")
      }: Enrolled ${enrolled}, Completed ${completed}, Converted ${converted}`,
    );
    const sum = rows.reduce((sum, row) => sum + Number(row[1]), 0);
    strictEqual(sum, EXECUTIONS);
  },
);

browserTest(
  "Pages have no barrier that axe finds, and fit the screen",
  async ({ page, url }) => {
    // The checker is put into the page, which the page's own policy forbids.
    await page.setBypassCSP(true);
    for (
      const path of ["/", `/workflows/${WORKFLOW}`, NOWHERE, "/sign-in"]
    ) {
      for (const theme of THEMES) {
        for (const width of WIDTHS) {
          await page.emulateMediaFeatures([
            { name: "prefers-color-scheme", value: theme },
          ]);
          await page.setViewport({ width, height: 900 });
          await page.goto(url + path);
          if (path.startsWith("/workflows")) await chartIsDrawn(page);
          const where = `${path} ${theme} ${width}`;
          strictEqual(await widthBeyondScreen(page), 0, where);
          deepStrictEqual(await barriers(page), [], where);
        }
      }
    }
  },
);

browserTest("Dashboard reads without scripts", async ({ page, url }) => {
  await page.setJavaScriptEnabled(false);
  await page.goto(`${url}/workflows/${WORKFLOW}`);
  const row = await page.waitForSelector(".twin tbody tr", { visible: true });
  strictEqual(await row!.isVisible(), true);
});

async function widthBeyondScreen(page: Page): Promise<number> {
  return await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return Math.max(0, scrollWidth - clientWidth);
  });
}

async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as {
      axe: typeof axe;
    }).axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`);
  });
}
