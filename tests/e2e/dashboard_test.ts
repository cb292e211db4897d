/**
 * The pages in a real browser, served by a real server.
 *
 * @module
 */

import {
  deepStrictEqual,
  match,
  notStrictEqual,
  ok,
  strictEqual,
} from "node:assert/strict";
import type { Page } from "puppeteer-core";
import { createSignInLink } from "../../db/access.ts";
import type { Analytics, Funnel } from "../../db/schema.ts";
import {
  alive,
  barriers,
  forGuide,
  resembles,
  shoot,
  textOf,
  THEMES,
  type Visit,
  visit,
  widthBeyondScreen,
  withBrowser,
} from "./_browser.ts";
import {
  exportsByMenu,
  exportsInTrouble,
  exportsWithoutScripts,
  reportsBySchedule,
} from "./_exports.ts";
import { sharing } from "./_share.ts";
import {
  BOTTLENECK,
  CART,
  CART_NAME,
  enrolOne,
  QUIET,
  QUIET_NAME,
  STUCK,
  SYNC,
  SYNC_ACTIONS,
  SYNC_NAME,
  tellStory,
} from "./_story.ts";

/** A path without a page; the browser complains of its 404, as it should. */
const NOWHERE = "/nowhere";

/** Narrow phones to walls, CSS pixels. */
const WIDTHS = [320, 390, 1280, 1920, 3840];

/** Of each layout one, for the checker. */
const LAYOUTS = [320, 1280];

/** What a first visit may load, bytes as they come over the wire. */
const SCRIPT_BYTES_MAX = 45_000;
const STYLE_BYTES_MAX = 12_000;

Deno.test("Pages", async (t) => {
  await withBrowser(tellStory, async (it) => {
    const steps: Record<string, (it: Visit) => Promise<void>> = {
      "lead from the overview to the numbers of the API": numbersOfTheApi,
      "sort and search the overview by keys, without scripts": overview,
      "follow the controls, and Back undoes them": controls,
      "can be worked by keyboard alone: which step is the bottleneck, and how many are stuck in it":
        bottleneckByKeyboard,
      "have charts that keys read, and that say what their table says": charts,
      "zoom into what is dragged over, and what keys mark": zoom,
      "show what happens as it happens, and say how": live,
      "sort and page the table of actions": actions,
      "show the range in the reader's zone": zone,
      "read without scripts": withoutScripts,
      "have files made by menu, and hand them over": exportsByMenu,
      "tell how far a file is, what went wrong, and what to do then":
        exportsInTrouble,
      "have files made without scripts": exportsWithoutScripts,
      "have a report sent by schedule": reportsBySchedule,
      "are light, and nothing in them moves": light,
      "say what to do where nothing is": emptyStates,
      "have no barrier that axe finds, and fit the screen": everyone,
      "keep their looks": looks,
      "are shared by links, with strangers and the pages of other sites":
        sharing,
    };
    for (const [name, step] of Object.entries(steps)) {
      await t.step(name, () => step(it));
    }
  });
});

async function numbersOfTheApi({ page, url }: Visit) {
  await page(async (page) => {
    await page.goto(url);
    match(await textOf(page, "h1"), /Workflows/);
    await Promise.all([
      page.waitForNavigation(),
      page.click(`a[href="/workflows/${CART}"]`),
    ]);
    strictEqual(page.url(), `${url}/workflows/${CART}`);
    await alive(page);

    const [analytics, funnel] = await answersOf(page);
    const { summary, comparison } = analytics;
    const values = await page.$$eval(
      ".card data",
      (all) => all.map((data) => Number((data as HTMLDataElement).value)),
    );
    deepStrictEqual(values, [
      summary.total_enrolled,
      summary.currently_active,
      summary.completed,
      summary.goals_achieved,
    ]);
    match(
      await textOf(page, ".card"),
      new RegExp(`was ${comparison!.total_enrolled.previous}`),
    );

    const rows = await page.$$eval(
      ".funnel tbody tr",
      (rows) =>
        rows.map((row) =>
          [...row.querySelectorAll("td:not(.flow)")].slice(0, 5)
            .map((cell) => Number(cell.firstChild!.textContent))
        ),
    );
    deepStrictEqual(
      rows,
      funnel.funnel_steps.map((step) => [
        step.entered,
        step.completed,
        step.goal_exits,
        step.in_progress,
        step.dropped_off,
      ]),
    );
    const classes = await page.$$eval(
      "[aria-labelledby=times] td:first-of-type",
      (cells) => cells.map((cell) => Number(cell.textContent)),
    );
    strictEqual(
      classes.reduce((sum, count) => sum + count, 0),
      summary.goals_achieved,
    );
  });
}

/** What the API says of what the page shows by default. */
async function answersOf(
  page: Page,
): Promise<readonly [Analytics, Funnel]> {
  return await page.evaluate(async (id) => {
    const end = new Date().toISOString().slice(0, 10);
    const start = new Date(Date.now() - 29 * 86_400_000).toISOString()
      .slice(0, 10);
    const range = `start_date=${start}&end_date=${end}&tz=UTC&compare=previous`;
    const get = async (path: string) =>
      await (await fetch(`/api/v1/workflows/${id}/analytics${path}?${range}`))
        .json();
    return [await get(""), await get("/funnel")] as const;
  }, CART);
}

async function overview({ page, url }: Visit) {
  await page(async (page) => {
    await page.setJavaScriptEnabled(false);
    const names = () =>
      page.$$eval(
        ".workflows tbody bdi",
        (all) => all.map((name) => name.textContent),
      );
    const enter = () =>
      Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
    await page.setViewport({ width: 1280, height: 800 });
    await page.goto(url);
    deepStrictEqual(await names(), [CART_NAME, SYNC_NAME, QUIET_NAME]);
    await reach(page, '.workflows thead a[href*="total_enrolled"]');
    await enter();
    deepStrictEqual(await names(), [CART_NAME, SYNC_NAME, QUIET_NAME]);
    strictEqual(await sortOf(page), "Enrolled descending");
    await reach(page, ".workflows [aria-sort] a");
    await enter();
    deepStrictEqual(await names(), [QUIET_NAME, SYNC_NAME, CART_NAME]);
    match(page.url(), /sort=total_enrolled\.asc/);
    match(
      await page.$eval(".spark", (line) => line.getAttribute("aria-label")!),
      /^From 0 to 0 a day, 0 today$/,
    );
    // A search keeps the order.
    await page.type("[name=search]", "n");
    await enter();
    deepStrictEqual(await names(), [QUIET_NAME, SYNC_NAME, CART_NAME]);
    match(page.url(), /search=n.*sort=total_enrolled\.asc/);
    await page.setViewport({ width: 320, height: 800 });
    await page.select(".sort", "name.desc");
    await Promise.all([
      page.waitForNavigation(),
      page.click(".search button"),
    ]);
    deepStrictEqual(await names(), [QUIET_NAME, SYNC_NAME, CART_NAME]);
  });
}

async function controls({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    const facts = () => textOf(page, ".page-facts");
    const before = await facts();

    await page.focus(".range summary");
    await page.keyboard.press("ArrowDown");
    strictEqual(await focused(page), "Last 30 days");
    await page.keyboard.press("ArrowUp");
    await changes(page, () => page.keyboard.press("Enter"));
    match(page.url(), /\?range=7d&tz=UTC$/);
    notStrictEqual(await facts(), before);
    strictEqual(await textOf(page, ".range summary b"), "Last 7 days");

    await changes(page, () => page.select("[name=granularity]", "hourly"));
    match(page.url(), /granularity=hourly/);
    match(await textOf(page, "#trend"), /Hour by hour/);
    await changes(page, () => page.select("[name=compare]", "none"));
    doesNotSay(await facts(), "compared with");
    await changes(page, () => page.click(".choice a:last-child"));
    match(page.url(), /attribution=event/);
    match(await textOf(page, "#attribution-note"), /by event/);
    await changes(page, () => page.select("[name=version]", "1"));
    match(page.url(), /version=1/);

    // Two dates of one's own, by keyboard.
    const yesterday = new Date(Date.now() - 86_400_000).toISOString()
      .slice(0, 10);
    await page.focus(".range summary");
    await page.keyboard.press("Enter");
    for (const name of ["start_date", "end_date"]) {
      await page.$eval(
        `.range [name=${name}]`,
        (input, date) => (input as HTMLInputElement).value = date,
        yesterday,
      );
    }
    await page.focus(".range [name=end_date]");
    await changes(page, () => page.keyboard.press("Enter"));
    match(
      page.url(),
      new RegExp(`start_date=${yesterday}&end_date=${yesterday}`),
    );
    strictEqual(await page.$(".range [open]"), null);

    // A link is a view: another page shows the same.
    const shown = await textOf(page, ".headline");
    await page.reload();
    strictEqual(await textOf(page, ".headline"), shown);
    await alive(page);
    for (let steps = 0; steps < 6; steps++) {
      await changes(page, () => page.evaluate(() => history.back()));
    }
    strictEqual(page.url(), `${url}/workflows/${CART}`);
    strictEqual(await facts().then(rangeOf), rangeOf(before));

    await page.focus(".range summary");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".range [open]");
    await page.keyboard.press("Escape");
    strictEqual(await page.$(".range [open]"), null);
    strictEqual(await focused(page), "Last 30 daysChange the range");
  });
}

function rangeOf(facts: string): string {
  return facts.split("UTC")[0]!;
}

function doesNotSay(text: string, words: string): void {
  ok(!text.includes(words), text);
}

async function focused(page: Page): Promise<string> {
  return await page.evaluate(() => document.activeElement!.textContent!);
}

/** Does something that leads to another view, and waits until it is there. */
async function changes(page: Page, act: () => Promise<unknown>): Promise<void> {
  await page.evaluate(() => {
    document.querySelector(".numbers-of-view")!.setAttribute("data-old", "");
  });
  await act();
  await page.waitForFunction(() =>
    document.querySelector(".numbers-of-view:not([data-old])")
  );
  await alive(page);
}

async function bottleneckByKeyboard({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    const [, funnel] = await answersOf(page);
    const step = funnel.funnel_steps.find(({ step_id }) =>
      step_id === funnel.bottleneck_step
    )!;
    strictEqual(step.step_name, BOTTLENECK);
    match(
      await textOf(page, "[aria-labelledby=funnel] .panel-head"),
      new RegExp(
        `Most are lost at ${BOTTLENECK}: .* ${step.in_progress} (is|are) in it now`,
      ),
    );
    // From the top of the page by Tab alone, to those who are stuck, and to one of them.
    await reach(page, "[aria-labelledby=funnel] .panel-head a");
    await Promise.all([
      page.waitForNavigation(),
      page.keyboard.press("Enter"),
    ]);
    match(
      await textOf(page, ".chips"),
      new RegExp(`progress at ${BOTTLENECK}`),
    );
    strictEqual((await page.$$("tbody tr")).length, step.in_progress);
    await shoot(page, "executions");
    await reach(page, "tbody th a");
    await Promise.all([
      page.waitForNavigation(),
      page.keyboard.press("Enter"),
    ]);
    match(await textOf(page, "h1"), /contact \d+ Active/);
    match(await textOf(page, ".timeline"), /Entered Reminder by email/);
    match(await textOf(page, "[aria-labelledby=steps]"), /Still in it/);
    await shoot(page, "timeline");
  });
}

/** Most presses of Tab from the top of a page to anything in it. */
const TABS_MAX = 60;

/** Presses Tab until the focus is on what is looked for. */
async function reach(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < TABS_MAX; presses++) {
    await page.keyboard.press("Tab");
    const isThere = await page.evaluate(
      (selector) => document.activeElement === document.querySelector(selector),
      selector,
    );
    if (isThere) return;
  }
  throw new Error(`Cannot reach ${selector} by Tab`);
}

async function live({ browser, page, url, world }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}?range=today`);
    await page.waitForSelector(".connection.live");
    const enrolled = () =>
      page.$eval(".card data", (data) => (data as HTMLDataElement).value);
    const before = Number(await enrolled());
    await enrolOne(url, world, 1);
    await page.waitForFunction(
      (value) =>
        document.querySelector<HTMLDataElement>(".card data")!.value === value,
      {},
      String(before + 1),
    );
    strictEqual(await textOf(page, ".card .glow"), String(before + 1));
    const glow = () =>
      page.$eval(
        ".card .glow",
        (it) => getComputedStyle(it, "::before").animationName,
      );
    strictEqual(await glow(), "glow");
    await page.emulateMediaFeatures([
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    strictEqual(await glow(), "none");
    await page.waitForFunction(
      (value) =>
        document.querySelector(".chart.new_enrollments b")!.textContent ===
          value,
      {},
      String(before + 1),
    );
  });
  // Who wants nothing to move sees the new number, and nothing that moves.
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}?range=today`);
    await page.emulateMediaFeatures([
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    await page.waitForSelector(".connection.live");
    await enrolOne(url, world, 2);
    await page.waitForSelector(".card .glow");
    const moving = await page.evaluate(() =>
      document.getAnimations().map((animation) =>
        (animation as CSSAnimation).animationName
      )
    );
    deepStrictEqual(moving, []);
  });
  // Behind another tab it rests, and catches up when it is in front again.
  await page(async (page) => {
    const enrolled = (page: Page) =>
      page.$eval(".card data", (data) => (data as HTMLDataElement).value);
    const says = (page: Page, value: string) =>
      page.waitForFunction(
        (value) =>
          document.querySelector<HTMLDataElement>(".card data")!.value ===
            value,
        {},
        value,
      );
    await visit(page, `${url}/workflows/${CART}?range=today`);
    await page.waitForSelector(".connection.live");
    const before = await enrolled(page);
    const other = await browser.newPage();
    try {
      await visit(other, `${url}/workflows/${CART}?range=today`);
      await other.waitForSelector(".connection.live");
      await page.waitForSelector(".connection.paused");
      await enrolOne(url, world, 3);
      await says(other, String(Number(before) + 1));
      strictEqual(await enrolled(page), before);
      await page.bringToFront();
      await says(page, String(Number(before) + 1));
      await page.waitForSelector(".connection.live");
      await other.waitForSelector(".connection.paused");
    } finally {
      await other.close();
    }
  });
  // Without streams it asks, and says so.
  await page(async (page) => {
    await page.evaluateOnNewDocument(() => {
      Reflect.deleteProperty(globalThis, "EventSource");
    });
    await visit(page, `${url}/workflows/${CART}`);
    const said = await page.waitForSelector(".connection.polling");
    match(await said!.evaluate((it) => it.textContent!), /every 30 seconds/);
  });
}

async function charts({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    const rows = await page.$$eval(
      ".twin tbody tr",
      (rows) =>
        rows.map((row) =>
          [...row.cells].map((cell) => cell.firstChild!.textContent!)
        ),
    );
    const metrics = [
      "new_enrollments",
      "completions",
      "conversions",
      "currently_active",
    ];
    for (const [i, metric] of metrics.entries()) {
      const plot = `.chart.${metric} .plot`;
      await page.focus(plot);
      await page.keyboard.press("Home");
      const said = () =>
        page.$eval(plot, (plot) => plot.getAttribute("aria-valuetext")!);
      const first = rows[0]!;
      match(await said(), new RegExp(`^${first[0]}: ${first[i + 1]}, before`));
      await page.keyboard.press("End");
      const last = rows.at(-1)!;
      match(await said(), new RegExp(`^${last[0]}: ${last[i + 1]} so far`));
    }
    // One cursor for all.
    const shown = await page.$$eval(
      ".chart b",
      (all) => all.map((value) => value.textContent),
    );
    deepStrictEqual(shown, rows.at(-1)!.slice(1));
    await page.keyboard.press("Escape");
    match(await textOf(page, ".legend b"), /Whole range/);
  });
}

async function zoom({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    const dates = await page.$$eval(
      ".twin tbody th",
      (cells) => cells.map((cell) => cell.textContent!),
    );
    await page.focus(".plot");
    for (const key of ["Home", "ArrowRight", "ArrowRight"] as const) {
      await page.keyboard.press(key);
    }
    await page.keyboard.down("Shift");
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowRight");
    await page.keyboard.up("Shift");
    await changes(page, () => page.keyboard.press("Enter"));
    const zoomed = await page.$$eval(
      ".twin tbody th",
      (cells) => cells.map((cell) => cell.textContent!),
    );
    deepStrictEqual(zoomed, dates.slice(2, 6));

    const over = (await page.$(".chart.completions .u-over"))!;
    await over.scrollIntoView();
    const box = (await over.boundingBox())!;
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + 2, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.4, y, { steps: 4 });
    await changes(page, () => page.mouse.up());
    ok((await page.$$(".twin tbody th")).length >= 2);
    match(page.url(), /start_date=/);
  });
}

async function actions({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    const names = () =>
      page.$$eval(
        "[aria-labelledby=actions] tbody th > bdi",
        (all) => all.map((name) => name.textContent),
      );
    const badges = await page.$$eval(
      "[aria-labelledby=actions] .badge",
      (all) => all.map((badge) => badge.textContent),
    );
    deepStrictEqual(badges, ["Error", "Slow"]);

    await visit(page, `${url}/workflows/${SYNC}`);
    strictEqual((await names()).length, 15);
    await changes(page, () => page.click("[aria-labelledby=actions] .pages a"));
    strictEqual((await names()).length, SYNC_ACTIONS - 15);
    await changes(page, () => page.click('.numbers thead a[href*="sort=p95"]'));
    strictEqual((await names())[0], `Push table ${SYNC_ACTIONS}`);
    strictEqual(await sortOf(page), "p95 descending");
    await changes(page, () => page.click('.numbers thead a[href*="sort=p95"]'));
    strictEqual((await names())[0], "Push table 01");
    strictEqual(await sortOf(page), "p95 ascending");
  });
}

async function sortOf(page: Page): Promise<string> {
  return await page.$eval(
    "[aria-sort]",
    (header) =>
      `${
        header.querySelector("a")!.firstChild!.textContent
      } ${header.ariaSort}`,
  );
}

async function zone({ page, url }: Visit) {
  await page(async (page) => {
    await page.emulateTimezone("Asia/Tokyo");
    await visit(page, `${url}/workflows/${CART}`);
    await page.reload();
    match(await textOf(page, ".page-facts"), /Asia\/Tokyo/);
    await alive(page);
    await Promise.all([
      page.waitForResponse(`${url}/preferences`),
      changes(page, () => page.select("[name=tz]", "UTC")),
    ]);
    match(page.url(), /tz=UTC/);
    // It is remembered, until something else is chosen.
    await page.goto(`${url}/workflows/${CART}`);
    match(await textOf(page, ".page-facts"), /UTC/);
    await page.goto(`${url}/preferences`);
    await page.select("[name=time_zone]", "");
    await Promise.all([
      page.waitForNavigation(),
      page.click(".preferences button"),
    ]);
    strictEqual(await textOf(page, ".notice"), "Saved.");
    await page.goto(`${url}/workflows/${CART}`);
    match(await textOf(page, ".page-facts"), /Asia\/Tokyo/);
  });
  // The next visits are of a browser in UTC again.
  await page(async (page) => {
    await visit(page, url + `/workflows/${CART}`);
  });
}

async function withoutScripts({ page, url }: Visit) {
  await page(async (page) => {
    await page.setJavaScriptEnabled(false);
    await page.goto(`${url}/workflows/${CART}`);
    const row = await page.waitForSelector(".twin tbody tr", { visible: true });
    strictEqual(await row!.isVisible(), true);
    await page.select("[name=compare]", "year");
    await Promise.all([
      page.waitForNavigation(),
      page.click(".controls > button"),
    ]);
    match(page.url(), /compare=year/);
  });
}

async function light({ page, url }: Visit) {
  await page(async (page) => {
    await page.setCacheEnabled(false);
    await page.evaluateOnNewDocument(() => {
      const moved: unknown[] = [];
      Object.assign(globalThis, { moved });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) moved.push(entry.toJSON());
      }).observe({ type: "layout-shift", buffered: true });
    });
    await visit(page, `${url}/workflows/${CART}`);
    const loaded = await page.evaluate(() =>
      performance.getEntriesByType("resource").map((entry) => {
        const { name, encodedBodySize } = entry as PerformanceResourceTiming;
        return { name, bytes: encodedBodySize };
      })
    );
    deepStrictEqual(loaded.filter(({ name }) => !name.startsWith(url)), []);
    const sizeOf = (ending: string) =>
      loaded.filter(({ name }) => name.endsWith(ending))
        .reduce((sum, { bytes }) => sum + bytes, 0);
    const script = sizeOf(".js");
    ok(script > 0 && script <= SCRIPT_BYTES_MAX, `${script} bytes of script`);
    const style = sizeOf(".css");
    ok(style > 0 && style <= STYLE_BYTES_MAX, `${style} bytes of style`);
    for (const width of [390, 1280]) {
      await visit(page, `${url}/workflows/${CART}`, width);
      await page.waitForSelector(".connection.live");
      const moved = await page.evaluate(async () => {
        // What moves is noticed with the next frame.
        await new Promise((done) =>
          requestAnimationFrame(() => setTimeout(done))
        );
        return (globalThis as unknown as { moved: unknown[] }).moved;
      });
      deepStrictEqual(moved, [], `${width}`);
    }
  });
}

async function emptyStates({ page, url }: Visit) {
  await page(async (page) => {
    await visit(page, `${url}/workflows/${QUIET}`);
    const commands = await page.$$eval(
      ".command",
      (all) => all.map((command) => command.textContent!),
    );
    ok(
      commands.some((command) =>
        command.includes(`curl -X POST`) && command.includes(QUIET)
      ),
    );
    await shoot(page, "empty");
  });
}

async function everyone({ page, url, world }: Visit) {
  const { sql, account } = world;
  const token = await createSignInLink(sql, account.account_id, {
    userId: "ada.lovelace@a-long-name.example",
    role: "member",
  });
  const paths = {
    overview: "/",
    dashboard: `/workflows/${CART}`,
    quiet: `/workflows/${QUIET}`,
    executions: `/workflows/${CART}/executions?status=active`,
    timeline: `/workflows/${CART}/executions/${STUCK}`,
    exports: `/workflows/${CART}/exports`,
    nowhere: NOWHERE,
    preferences: "/preferences",
    "sign-in": "/sign-in",
    "sign-in-gone": "/sign-in?token=gone",
    "sign-in-offer": `/sign-in?token=${token}`,
  };
  await page(async (page) => {
    // The checker is put into the page, which the page's own policy forbids.
    await page.setBypassCSP(true);
    for (const [name, path] of Object.entries(paths)) {
      for (const theme of THEMES) {
        await visit(page, url + path, WIDTHS[0], theme);
        for (const width of WIDTHS) {
          const where = `${name} ${theme} ${width}`;
          await page.setViewport({ width, height: 900 });
          strictEqual(await widthBeyondScreen(page), 0, where);
          if (!LAYOUTS.includes(width)) continue;
          deepStrictEqual(await barriers(page), [], where);
          await shoot(page, `${name}-${theme}-${width}`);
        }
      }
    }
  }, /(nowhere|token=gone)$/);
}

/** Pages that say the same at every run, the user guide's pictures, and a strict theme. */
async function looks({ page, url }: Visit) {
  await page(async (page) => {
    for (
      const [name, path] of [["nowhere", NOWHERE], ["sign-in", "/sign-in"]]
    ) {
      await visit(page, url + path, 1280, "light");
      await resembles(page, `${name}-light-1280`);
      await visit(page, url + path, 320, "dark");
      await resembles(page, `${name}-dark-320`);
    }
    await visit(page, url, 1280, "light");
    await forGuide(page, "overview");
    await visit(page, `${url}/workflows/${CART}`, 1280, "light");
    await forGuide(page, "dashboard");
    await visit(page, `${url}/workflows/${CART}`, 390, "dark");
    await forGuide(page, "dashboard-phone");
    const stuck = `/workflows/${CART}/executions/${STUCK}`;
    await visit(page, url + stuck, 1280, "light");
    await forGuide(page, "timeline");
  }, /nowhere$/);
}
