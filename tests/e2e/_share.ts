/**
 * A workflow is shared: its links are made on its page, opened by a browser that is signed
 * in nowhere, and framed by the pages of other sites.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Page } from "puppeteer-core";
import {
  barriers,
  shoot,
  textOf,
  THEMES,
  type Visit,
  visit,
  widthBeyondScreen,
} from "./_browser.ts";
import { serve, type Served } from "../serve.ts";
import { CART } from "./_story.ts";

/** Each theme and each width once: colours do not depend on the layout. CSS pixels. */
const VIEWS = [["light", 320], ["dark", 1280]] as const;

const PASSWORD = "correct horse";

/** What the browser says when it refuses to show a frame. */
const REFUSED = /frame|embed|chrome-error|127\.0\.0\.1/;

/** Links from the form to the frame. */
export async function sharing(it: Visit): Promise<void> {
  await using host = hostOf((embed) => `<iframe src="${embed}"></iframe>`);
  const { url, embed } = await openLink(it, { frame_ancestors: host.url });
  const stranger = await it.browser.createBrowserContext();
  try {
    await looksAt(await stranger.newPage(), url);
    await looksAt(await stranger.newPage(), embed);
    await readsWithoutScripts(await stranger.newPage(), url);
    await framed(await stranger.newPage(), host, embed);
    const locked = await openLink(it, { password: PASSWORD });
    await unlocks(await stranger.newPage(), locked.url);
  } finally {
    await stranger.close().catch(() => {});
  }
  await looksAfterThem(it, url);
}

/** Makes a link on the workflow's page, as its owner does. */
async function openLink(
  { page, url }: Visit,
  fields: Record<string, string>,
): Promise<{ url: string; embed: string }> {
  const made = { url: "", embed: "" };
  await page(async (page) => {
    await visit(page, `${url}/workflows/${CART}`);
    await Promise.all([
      page.waitForNavigation(),
      page.click('.page-links a[href$="/shares"]'),
    ]);
    for (const [name, value] of Object.entries(fields)) {
      await page.type(`[name=${name}]`, value);
    }
    await Promise.all([
      page.waitForNavigation(),
      page.click(".order .primary"),
    ]);
    made.url = await textOf(page, ".command");
    made.embed = made.url.replace("/share/", "/embed/");
    match(made.url, /\/share\/[\w-]{43}$/);
    await page.setBypassCSP(true);
    await shoot(page, `share-made-${Object.keys(fields)[0]}`);
  });
  return made;
}

async function looksAt(page: Page, url: string) {
  const name = url.split("/").at(-2);
  await page.setBypassCSP(true);
  for (const [theme, width] of VIEWS) {
    const where = `${name} ${theme} ${width}`;
    await visit(page, url, width, theme);
    strictEqual(await widthBeyondScreen(page), 0, where);
    deepStrictEqual(await barriers(page), [], where);
    await shoot(page, `${name}-${theme}-${width}`);
  }
  match(await textOf(page, "h1"), /Abandoned cart/);
  strictEqual((await page.$$(".chart canvas")).length, 4);
  const hrefs = await page.$$eval(
    "main a",
    (all) => all.map((link) => link.getAttribute("href")),
  );
  deepStrictEqual(hrefs, []);
  deepStrictEqual(await page.cookies(), []);
  if (name === "embed") return page.close();
  await Promise.all([
    page.waitForNavigation(),
    page.click('.themes a[href="?theme=light"]'),
  ]);
  strictEqual(
    await page.evaluate(() => document.documentElement.dataset.theme),
    "light",
  );
  await page.close();
}

async function readsWithoutScripts(page: Page, url: string) {
  await page.setJavaScriptEnabled(false);
  await page.goto(url);
  const row = await page.waitForSelector(".twin tbody tr", { visible: true });
  ok(await row!.isVisible());
  match(await textOf(page, ".headline"), /Enrolled/);
  await page.close();
}

/** A page of another site, under two names: both lead to it, and one is on the list. */
async function framed(page: Page, host: Served, embed: string) {
  const shown = async (origin: string) => {
    await page.goto(`${origin}/?embed=${encodeURIComponent(embed)}`);
    const frame = (await (await page.waitForSelector("iframe"))!
      .contentFrame())!;
    return await frame.$eval("h1", (head) => head.textContent!);
  };
  match(await shown(host.url), /Abandoned cart/);
  await shoot(page, "share-framed");
  // What the browser puts in its place.
  match(
    await shown(host.url.replace("127.0.0.1", "localhost")),
    /127\.0\.0\.1 is blocked/,
  );
  await page.close();
}

async function unlocks(page: Page, url: string) {
  await page.setBypassCSP(true);
  for (const theme of THEMES) {
    await visit(page, url, 390, theme);
    deepStrictEqual(await barriers(page), [], theme);
    await shoot(page, `share-locked-${theme}-390`);
  }
  const submit = async (password: string) => {
    await page.type("[name=password]", password);
    await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
  };
  await submit("wrong horse");
  match(await textOf(page, "[role=alert]"), /not the password/);
  deepStrictEqual(await barriers(page), []);
  await submit(PASSWORD);
  match(await textOf(page, ".headline"), /Enrolled/);
  await page.close();
}

/** The owner's list: seen in all sizes, and what is revoked opens nothing. */
async function looksAfterThem({ page, url }: Visit, link: string) {
  await page(async (page) => {
    await page.setBypassCSP(true);
    for (const [theme, width] of VIEWS) {
      const where = `shares ${theme} ${width}`;
      await visit(page, `${url}/workflows/${CART}/shares`, width, theme);
      strictEqual(await widthBeyondScreen(page), 0, where);
      deepStrictEqual(await barriers(page), [], where);
      await shoot(page, `shares-${theme}-${width}`);
    }
    const links = async () => (await page.$$(".files li")).length;
    strictEqual(await links(), 2);
    await Promise.all([
      page.waitForNavigation(),
      page.click(".files li:last-child button"),
    ]);
    strictEqual(await links(), 1);
    await page.goto(link);
    match(await textOf(page, "h1"), /This link opens nothing/);
    await shoot(page, "share-gone");
  }, REFUSED);
}

/** Another site, with one page. */
function hostOf(page: (embed: string) => string): Served {
  return serve((request) => {
    const embed = new URL(request.url).searchParams.get("embed") ?? "";
    const style = "<style>iframe{width:100%;height:90vh;border:0}</style>";
    return new Response(`<!doctype html>${style}${page(embed)}`, {
      headers: { "content-type": "text/html" },
    });
  });
}
