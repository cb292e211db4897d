/**
 * What a reader waits for in a real Chromium: the first and the largest paint of a
 * workflow's page, whether anything in it moves or holds it up while numbers change, and
 * the way of an event to the pixel.
 *
 * @module
 */

import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { alive, signIn } from "../e2e/_browser.ts";
import { startServer } from "../harness.ts";
import type { Bench } from "./run.ts";
import { post, quantile } from "./streams.ts";
import { timed } from "./times.ts";

/** First visits, each with nothing in the browser's cache. */
const VISITS = 15;

/** Events whose way is followed, one after the other. */
const EVENTS = 100;

/** What the page itself notices. */
interface Noticed {
  firstPaintMs: number;
  largestPaintMs: number;
  /** Sum of all layout shifts. */
  shift: number;
  /** Of the longest task since {@linkcode forget}; 0: none over 50 ms. */
  longestTaskMs: number;
}

/** Measures the page of the busiest workflow, with one worker. */
export async function benchPage(bench: Bench): Promise<void> {
  await using server = await startServer({
    DATABASE_URL: bench.databaseUrl,
    RATE_LIMIT_PER_MINUTE: "900000",
  });
  const browser = await puppeteer.launch({
    executablePath: Deno.env.get("CHROMIUM_PATH") ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
  });
  try {
    await signIn(browser, server.url, bench);
    const href = `${server.url}/workflows/${bench.busy.uuid}`;
    await benchVisits(bench, browser, href);
    await benchUpdates(bench, browser, href, server.url);
  } finally {
    await browser.close();
  }
}

async function benchVisits(
  { report }: Bench,
  browser: Browser,
  href: string,
): Promise<void> {
  const visits: Noticed[] = [];
  // The first one is the server's own warming up.
  for (let n = 0; n <= VISITS; n++) {
    const page = await watchedPage(browser);
    await page.setCacheEnabled(false);
    await page.goto(href);
    await alive(page);
    if (n > 0) visits.push(await noticedOf(page));
    await page.close();
  }
  const bare = await timed(async () => {
    const page = await watchedPage(browser);
    await page.goto("data:text/html,<p>Nothing");
    await page.close();
  });
  const floor = { name: "opening an empty page", value: bare };
  for (
    const [name, of, promise] of [
      ["first contentful paint", "firstPaintMs", "<= 500"],
      ["largest contentful paint", "largestPaintMs", "<= 800"],
    ] as const
  ) {
    const times = visits.map((visit) => visit[of]);
    report({ name: `${name}, p50`, value: quantile(times, 0.5), unit: "ms" });
    report({
      name: `${name}, p95`,
      value: quantile(times, 0.95),
      unit: "ms",
      floor,
      promise,
    });
  }
  report({
    name: "layout shift, most",
    value: Math.max(...visits.map(({ shift }) => shift)),
    unit: "",
    promise: "0",
  });
}

async function benchUpdates(
  bench: Bench,
  browser: Browser,
  href: string,
  url: string,
): Promise<void> {
  const page = await watchedPage(browser);
  await page.goto(href);
  await alive(page);
  await page.waitForSelector(".connection.live");
  const shown = () =>
    page.$eval(".card data", (data) => (data as HTMLDataElement).value);
  await page.evaluate(forget);
  await page.tracing.start({ categories: ["toplevel"] });
  const delays: number[] = [];
  for (let n = 0; n < EVENTS; n++) {
    const next = String(Number(await shown()) + 1);
    delays.push(
      await timed(async () => {
        await post(bench, url);
        await page.waitForFunction(isShown, { polling: "raf" }, next);
      }),
    );
  }
  const trace = (await page.tracing.stop())!;
  const { longestTaskMs, shift } = await noticedOf(page);
  for (const [name, share] of [["p50", 0.5], ["p99", 0.99]] as const) {
    bench.report({
      name: `POST of an event to its pixel, ${name}`,
      value: quantile(delays, share),
      unit: "ms",
      ...(name === "p99" ? { promise: "<= 1,000" } : {}),
    });
  }
  bench.report({
    name: `longest task over 50 ms while ${EVENTS} updates come`,
    value: longestTaskMs,
    unit: "ms",
    promise: "none",
  });
  bench.report({
    name: "the longest of all tasks then, of the processor",
    value: longestWorkMs(trace),
    unit: "ms",
    promise: "<= 50",
  });
  bench.report({
    name: "layout shift since the page began",
    value: shift,
    unit: "",
    promise: "0",
  });
}

/** What Chromium writes of each task, among other things. */
interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Processor time, us. */
  tdur?: number;
  args: { name?: string };
}

/** A task of 10 ms lasts ten times as long beside nine others; this is what it costs. */
function longestWorkMs(trace: Uint8Array): number {
  const { traceEvents }: { traceEvents: TraceEvent[] } = JSON.parse(
    new TextDecoder().decode(trace),
  );
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const pages = new Set(
    traceEvents.filter(({ args }) => args.name === "CrRendererMain")
      .map(threadOf),
  );
  const tasks = traceEvents.filter((event) =>
    event.name.endsWith("RunTask") && pages.has(threadOf(event))
  );
  if (tasks.length === 0) throw new Error("Cannot find a task in the trace");
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1_000;
}

function isShown(value: string): boolean {
  return document.querySelector<HTMLDataElement>(".card data")!.value === value;
}

/** A page that notices what happens to it. */
async function watchedPage(browser: Browser): Promise<Page> {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  await page.evaluateOnNewDocument(() => {
    const noticed = {
      firstPaintMs: 0,
      largestPaintMs: 0,
      shift: 0,
      longestTaskMs: 0,
    };
    Object.assign(globalThis, { noticed });
    const watch = (
      type: string,
      notice: (entry: PerformanceEntry & { value?: number }) => void,
    ) =>
      new PerformanceObserver((list) => list.getEntries().forEach(notice))
        .observe({ type, buffered: true });
    watch("paint", ({ name, startTime }) => {
      if (name === "first-contentful-paint") noticed.firstPaintMs = startTime;
    });
    watch("largest-contentful-paint", ({ startTime }) => {
      noticed.largestPaintMs = startTime;
    });
    watch("layout-shift", ({ value }) => {
      noticed.shift += value!;
    });
    watch("longtask", ({ duration }) => {
      noticed.longestTaskMs = Math.max(noticed.longestTaskMs, duration);
    });
  });
  return page;
}

/** What came before counts no more. */
function forget(): void {
  (globalThis as unknown as { noticed: Noticed }).noticed.longestTaskMs = 0;
}

async function noticedOf(page: Page): Promise<Noticed> {
  return await page.evaluate(() =>
    (globalThis as unknown as { noticed: Noticed }).noticed
  );
}
