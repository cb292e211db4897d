/**
 * Exports as a reader has them made, by menu and page.
 *
 * @module
 */

import { match, ok, strictEqual } from "node:assert/strict";
import type { Page } from "puppeteer-core";
import { until } from "../harness.ts";
import { shoot, textOf, type Visit, visit } from "./_browser.ts";
import { CART } from "./_story.ts";

const PATH = `/workflows/${CART}`;

/** The newest file of the list. */
const NEWEST = ".files li:first-child";

/** From the menu of the dashboard to a file in hand. */
export async function exportsByMenu({ page, url }: Visit): Promise<void> {
  await page(async (page) => {
    await visit(page, `${url}${PATH}?range=7d&compare=none&granularity=weekly`);
    await page.click(".page-links summary");
    const links = await page.$$eval(
      ".page-links .menu-body a",
      (links) => links.map(({ href }) => href),
    );
    const csv = new URL(links[0]!);
    strictEqual(csv.searchParams.get("granularity"), "weekly");
    const { text, name } = await fetched(page, csv.href);
    match(text, /^date,total_enrolled,/);
    match(name, /filename="workflow-analytics-.*\.csv"/);

    await go(page, `.page-links a[href*="kind=report"]`);
    strictEqual(
      await page.$eval("[name=kind]:checked", valueOf),
      "report",
    );
    strictEqual(await page.$eval("[name=compare]", valueOf), "none");
    await go(page, ".order > button");
    // It comes alive by itself: nobody loads the page again.
    await page.waitForSelector(`${NEWEST} .badge.good`, { timeout: 60_000 });
    match(await textOf(page, NEWEST), /^Report as PDF Done.* Kept until/);
    const href = await page.$eval(`${NEWEST} a`, ({ href }) => href);
    match((await fetched(page, href)).text, /^%PDF-/);

    // What the list of executions is filtered by goes along.
    await visit(page, `${url}${PATH}/executions?status=error,exited`);
    await go(page, ".page-links a");
    match(await textOf(page, ".order .chips"), /Error or Exited/);
    await go(page, ".order > button");
    await page.waitForSelector(`${NEWEST} .badge.good`);
    match(await textOf(page, NEWEST), /^Executions as CSV.*[1-9]\d* rows/);
    const rows = await page.$eval(`${NEWEST} a`, ({ href }) => href);
    ok(!(await fetched(page, rows)).text.includes(",active,"));
  });
}

/** How far it is, what went wrong, and what to do then; the reader may leave meanwhile. */
export async function exportsInTrouble(
  { page, url, world: { sql } }: Visit,
): Promise<void> {
  await page(async (page) => {
    await visit(page, `${url}${PATH}/exports?kind=numbers_csv`);
    await go(page, ".order > button");
    await page.waitForSelector(`${NEWEST} .badge.good`);
    // As if a worker were at it, and one that nobody can help.
    const change = (status: string, percent: number, error: string | null) =>
      sql`update weir.export_job set status = ${status}, percent = ${percent},
        error = ${error}, lease_until = now() + interval '1 hour', finished_at = now()
        where requested_at = (select max(requested_at) from weir.export_job)`;
    await change("running", 30, null);
    await visit(page, `${url}${PATH}`);
    await visit(page, `${url}${PATH}/exports`);
    const bar = (percent: number) =>
      page.waitForSelector(`${NEWEST} progress[value="${percent}"]`);
    await bar(30);
    await change("running", 70, null);
    await bar(70);
    await change("failed", 70, "Cannot print: no browser");
    await page.waitForSelector(`${NEWEST} .badge.bad`);
    match(await textOf(page, NEWEST), /Failed.*Cannot print: no browser/);
    await go(page, `${NEWEST} [value=again]`);
    await page.waitForSelector(`${NEWEST} .badge.good`);

    await change("running", 10, null);
    await visit(page, `${url}${PATH}/exports`);
    await go(page, `${NEWEST} [value=give_up]`);
    match(await textOf(page, NEWEST), /Given up/);
    strictEqual(await page.$(`${NEWEST} a`), null);
  });
}

/** A report by schedule: ordered, looked at, and sent no more. */
export async function reportsBySchedule({ page, url }: Visit): Promise<void> {
  await page(async (page) => {
    await visit(page, `${url}${PATH}/exports`);
    const section = "[aria-labelledby=schedule]";
    await page.click(`${section} summary`);
    await page.type(`${section} [name=url]`, "https://hooks.invalid/weir");
    await go(page, `${section} [value=order]`);
    match(await textOf(page, `${section} [role=alert]`), /whsec_/);
    await go(page, `${section} [value=send]`);
    // Nobody is there, and it says so when the page is asked again.
    await until("it says why", async () => {
      await page.goto(`${url}${PATH}/exports`);
      return (await textOf(page, section)).includes("the host is not known");
    });
    await shoot(page, "schedule");
    await go(page, `${section} [value=remove]`);
    strictEqual(await page.$(`${section} .files li`), null);
  });
}

/** Plain forms, and a page that asks for itself again. */
export async function exportsWithoutScripts(
  { page, url }: Visit,
): Promise<void> {
  await page(async (page) => {
    await page.setJavaScriptEnabled(false);
    await page.goto(`${url}${PATH}/exports`);
    await page.click("[value=numbers_json]");
    await go(page, ".order > button");
    match(await textOf(page, NEWEST), /^Numbers as JSON/);
    // The page comes again by itself, and takes what is looked at along.
    await until(
      "it is done",
      async () =>
        await page.$(`${NEWEST} .badge.good`).catch(() => null) !== null,
    );
  });
}

function valueOf(field: Element): string {
  return (field as HTMLSelectElement).value;
}

async function go(page: Page, selector: string): Promise<void> {
  await Promise.all([page.waitForNavigation(), page.click(selector)]);
}

/** What a link leads to, as the reader's browser would have it. */
async function fetched(
  page: Page,
  href: string,
): Promise<{ text: string; name: string }> {
  return await page.evaluate(async (href) => {
    const response = await fetch(href);
    return {
      text: await response.text(),
      name: response.headers.get("content-disposition")!,
    };
  }, href);
}
