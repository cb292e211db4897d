/**
 * One browser and one server for all tests of the pages: both cost seconds to start.
 *
 * @module
 */

import { deepStrictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import axe from "axe-core";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { createSignInLink } from "../../db/access.ts";
import { startServer, withDatabase, type World } from "../harness.ts";

/** Kept for whoever wants to see what the tests saw; not part of the project. */
const SHOTS = new URL("./shots/", import.meta.url);

export const THEMES = ["light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** What a test of pages is handed. */
export interface Visit {
  browser: Browser;
  world: World;
  /** Of the server, without a slash at its end. */
  url: string;
  /**
   * Opens a page of the signed-in browser, hands it over and closes it. Whatever the
   * browser complains about is an error, e.g. a refused inline style.
   */
  page(use: (page: Page) => Promise<void>, meant?: RegExp): Promise<void>;
}

/**
 * Runs something in a browser that is signed in as an admin.
 *
 * @param prepare Brings data in, before.
 * @param use What to run.
 */
export async function withBrowser(
  prepare: (url: string, world: World) => Promise<void>,
  use: (visit: Visit) => Promise<void>,
): Promise<void> {
  await Deno.mkdir(SHOTS, { recursive: true });
  await withDatabase(async (world) => {
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      RATE_LIMIT_PER_MINUTE: "10000",
    });
    const { url } = server;
    await prepare(url, world);
    const browser = await puppeteer.launch({
      executablePath: Deno.env.get("CHROMIUM_PATH") ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--force-color-profile=srgb"],
    });
    try {
      await signIn(browser, url, world);
      await use({
        browser,
        world,
        url,
        page: (use, meant) => withPage(browser, use, meant),
      });
    } finally {
      await browser.close();
    }
  });
}

/** Signs a browser in as an admin of an account. */
export async function signIn(
  browser: Browser,
  url: string,
  { sql, account }: Pick<World, "sql" | "account">,
): Promise<void> {
  const page = await browser.newPage();
  const token = await createSignInLink(sql, account.account_id, {});
  await page.goto(`${url}/sign-in?token=${token}`);
  await Promise.all([page.waitForNavigation(), page.click("main form button")]);
  await page.close();
}

async function withPage(
  browser: Browser,
  use: (page: Page) => Promise<void>,
  meant: RegExp = /^$/,
) {
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const where = message.location().url ?? "";
    if (["error", "warn"].includes(message.type()) && !meant.test(where)) {
      complaints.push(`${message.text()} ${where}`);
    }
  });
  try {
    await use(page);
    deepStrictEqual(complaints, []);
  } catch (error) {
    await shoot(page, "failed").catch(() => {});
    throw error;
  } finally {
    await page.close();
  }
}

/**
 * Goes somewhere at a size and in a theme, and waits until the page is alive.
 *
 * @param page Where.
 * @param href What.
 * @param width CSS pixels.
 * @param theme What the system prefers.
 */
export async function visit(
  page: Page,
  href: string,
  width = 1280,
  theme: Theme = "light",
): Promise<void> {
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: theme },
  ]);
  await page.setViewport({ width, height: 900 });
  await page.goto(href);
  await alive(page);
}

/** Waits until every island is hydrated and every chart drawn. */
export async function alive(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const islands = [...document.querySelectorAll("[data-island]")];
    const plots = [...document.querySelectorAll(".plot")];
    return islands.every((island) =>
      "ready" in (island as HTMLElement).dataset
    ) &&
      plots.every((plot) => plot.querySelector("canvas"));
  });
}

/**
 * Keeps what a page looks like.
 *
 * @param name Of the file, without its ending.
 */
export async function shoot(page: Page, name: string): Promise<void> {
  const path = fileURLToPath(new URL(`${name}.png`, SHOTS)) as `${string}.png`;
  await page.screenshot({ path, fullPage: true });
}

/** With `UPDATE=1` the pictures that are kept are taken anew. */
const UPDATE = Deno.env.get("UPDATE") === "1";

/** What a page is to look like. */
const KEPT = new URL("./kept/", import.meta.url);

/** The pictures of docs/guide.md. */
const GUIDE = new URL("../../docs/", import.meta.url);

/** Letters of another font differ in so many pixels; a block that moved, in more. */
const DIFFERENT_MAX = 0.04;

/** A pixel is another one when a channel differs by more, of 255. */
const CHANNEL_MAX = 40;

/**
 * Holds what is on the screen against a picture that is kept.
 *
 * @param name Of the picture, without its ending.
 * @throws When more than a twenty-fifth of the pixels are others.
 */
export async function resembles(page: Page, name: string): Promise<void> {
  const seen = await page.screenshot();
  const kept = new URL(`${name}.png`, KEPT);
  if (UPDATE) return await Deno.writeFile(kept, seen);
  const different = await differenceOf(page, seen, await Deno.readFile(kept));
  if (different <= DIFFERENT_MAX) return;
  await shoot(page, `${name}-seen`);
  throw new Error(`${different * 100} % of ${name} look different`);
}

/** Share of the pixels that differ; 1 where the sizes do. The browser reads the pictures. */
async function differenceOf(
  page: Page,
  ...pictures: Uint8Array[]
): Promise<number> {
  return await page.evaluate(
    async (channelMax, ...pictures) => {
      const [a, b] = await Promise.all(pictures.map(async (base64) => {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes]));
        const { width, height } = bitmap;
        const context = new OffscreenCanvas(width, height).getContext("2d")!;
        context.drawImage(bitmap, 0, 0);
        return context.getImageData(0, 0, width, height);
      }));
      if (a!.width !== b!.width || a!.height !== b!.height) return 1;
      const others = new Set<number>();
      a!.data.forEach((value, i) => {
        if (Math.abs(value - b!.data[i]!) > channelMax) others.add(i >> 2);
      });
      return others.size / (a!.width * a!.height);
    },
    CHANNEL_MAX,
    ...pictures.map((picture) => picture.toBase64()),
  );
}

/**
 * Takes a picture of the screen for the user guide.
 *
 * @param name Of the picture, without its ending.
 */
export async function forGuide(page: Page, name: string): Promise<void> {
  const folder = UPDATE ? GUIDE : SHOTS;
  const path = fileURLToPath(new URL(`${name}.png`, folder));
  await page.screenshot({ path: path as `${string}.png` });
}

/** How far the page sticks out of the screen, CSS pixels. */
export async function widthBeyondScreen(page: Page): Promise<number> {
  return await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return Math.max(0, scrollWidth - clientWidth);
  });
}

/** What axe finds on a page. Its policy must be bypassed, as the checker is put into it. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as {
      axe: typeof axe;
    }).axe.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.slice(0, 3).map((node) => `${id}: ${node.html}`)
    );
  });
}

/** Text of the first element that matches, in one line. */
export async function textOf(page: Page, selector: string): Promise<string> {
  return await page.$eval(
    selector,
    (element) => element.textContent!.replace(/\s+/g, " ").trim(),
  );
}
