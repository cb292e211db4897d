/**
 * Prints pages of our own as PDF, in a browser that can reach nothing.
 *
 * @module
 */

import { tmpdir } from "node:os";
import type { Browser, Page } from "puppeteer-core";
import { unlessAborted } from "./_abort.ts";
import { PrintError } from "./export.ts";

/** Pages that are printed at once: each takes a core. */
const PAGES_MAX = 2;

/** A browser that has printed so many pages makes room for a new one: they grow. */
const PRINTS_MAX = 50;

/** A page that takes longer will not come any more, ms. */
const DEADLINE_MS = 30_000;

/** A browser starts in two seconds; on a machine that is busy in a few more, ms. */
const LAUNCH_MS_MAX = 20_000;

/** A browser that is left alone this long is closed: it holds 200 MB, ms. */
const IDLE_MS = 60_000;

/** Where systems have their browser, in the order they are tried. */
const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

const ARGS = [
  // Its sandbox needs what containers and root do not give. What it opens is ours, without scripts.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-extensions",
  // Nothing is resolved, whatever asks.
  "--host-resolver-rules=MAP * ~NOTFOUND",
  "--proxy-server=127.0.0.1:9",
  "--proxy-bypass-list=<-loopback>",
];

/** Where the browser is. */
export interface PrinterOptions {
  /** A program; default: the first that the system has. */
  chromiumPath?: string;
  /** Instead: a browser elsewhere, `ws://` or `wss://`. */
  chromiumUrl?: string;
  /** Default: {@linkcode DEADLINE_MS}. */
  deadlineMs?: number;
  /** Default: {@linkcode PRINTS_MAX}. */
  printsMax?: number;
}

/** Prints. */
export interface Printer {
  /**
   * @param html A whole page; what it refers to elsewhere is not fetched.
   * @param signal Ends it.
   * @returns The PDF.
   * @throws {PrintError} When there is no browser, or it failed twice.
   */
  print(html: string, signal: AbortSignal): Promise<Uint8Array>;
  /** Ends the browser. */
  close(): Promise<void>;
}

/** A browser that is there. */
interface Press {
  browser: Browser;
  /** Where it keeps what it need not keep. */
  folder: Folder | null;
}

/** A browser that is started, and what it has to do. */
interface Job {
  press: Promise<Press>;
  /** Pages that it was given. */
  prints: number;
  /** Of those, pages that are not out yet. */
  printing: number;
  isEnded: boolean;
}

/**
 * @param options Where the browser is.
 * @returns A printer that starts it when it is first needed.
 */
export function createPrinter(options: PrinterOptions): Printer {
  const { printsMax = PRINTS_MAX, deadlineMs = DEADLINE_MS } = options;
  /** The one that pages are given to; others may still be at their last. */
  let current: Job | null = null;
  let printing = 0;
  let idle: ReturnType<typeof setTimeout> | undefined;
  const waiting: (() => void)[] = [];
  const closing = new Set<Promise<void>>();

  async function take(): Promise<void> {
    clearTimeout(idle);
    if (printing >= PAGES_MAX) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else printing += 1;
  }

  function give(): void {
    const next = waiting.shift();
    if (next) return next();
    printing -= 1;
    if (printing > 0) return;
    idle = setTimeout(close, IDLE_MS);
    Deno.unrefTimer(idle);
  }

  function begin(): Job {
    const job: Job = {
      press: open(options),
      prints: 0,
      printing: 0,
      isEnded: false,
    };
    // One that ends by itself is given nothing more.
    job.press.then(({ browser }) =>
      browser.once("disconnected", () => dismiss(job))
    ).catch(() => dismiss(job));
    return job;
  }

  /** Gives a browser nothing more. */
  function dismiss(job: Job): void {
    if (job === current) current = null;
  }

  function end(job: Job): void {
    dismiss(job);
    if (job.isEnded) return;
    job.isEnded = true;
    const closed = job.press.then(shut, () => {});
    closing.add(closed);
    closed.finally(() => closing.delete(closed));
  }

  async function printOnce(
    html: string,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const job = current ??= begin();
    job.printing += 1;
    job.prints += 1;
    if (job.prints >= printsMax) dismiss(job);
    try {
      const printed = job.press.then(({ browser }) =>
        printPage(browser, html, deadlineMs)
      );
      return await withDeadline(printed, signal, deadlineMs);
    } catch (error) {
      // Hung or gone: the next try has a browser of its own.
      end(job);
      throw error;
    } finally {
      job.printing -= 1;
      if (job !== current && job.printing === 0) end(job);
    }
  }

  return {
    async print(html, signal) {
      await take();
      try {
        signal.throwIfAborted();
        return await printOnce(html, signal).catch((error) => {
          if (signal.aborted || error instanceof PrintError) throw error;
          return printOnce(html, signal);
        });
      } catch (cause) {
        if (signal.aborted || cause instanceof PrintError) throw cause;
        throw new PrintError("Cannot print: the browser failed twice", {
          cause,
        });
      } finally {
        give();
      }
    },
    close,
  };

  async function close(): Promise<void> {
    clearTimeout(idle);
    if (current) end(current);
    await Promise.all(closing);
  }
}

async function open(options: PrinterOptions): Promise<Press> {
  const { default: puppeteer } = await import("puppeteer-core");
  if (options.chromiumUrl) {
    const browser = await puppeteer.connect({
      browserWSEndpoint: options.chromiumUrl,
      protocolTimeout: DEADLINE_MS,
    }).catch((cause) => {
      throw new PrintError("Cannot print: the browser cannot be reached", {
        cause,
      });
    });
    return { browser, folder: null };
  }
  const executablePath = options.chromiumPath ?? await findBrowser();
  await sweep().catch(() => {});
  const folder = await makeFolder();
  try {
    const browser = await puppeteer.launch({
      executablePath,
      headless: true,
      // No port that others could reach.
      pipe: true,
      args: ARGS,
      userDataDir: `${folder.path}/${PROFILE}`,
      timeout: LAUNCH_MS_MAX,
      protocolTimeout: DEADLINE_MS,
    });
    // It hears no more of its pipes once the browser is gone, and that one of them broke
    // would end us (25.16.0).
    for (const pipe of browser.process()?.stdio ?? []) {
      pipe?.on("error", () => {});
    }
    return { browser, folder };
  } catch (cause) {
    await removeFolder(folder);
    throw new PrintError("Cannot print: the browser does not start", { cause });
  }
}

async function shut({ browser, folder }: Press): Promise<void> {
  const process = browser.process();
  // Who hung does not close either.
  const killed = setTimeout(() => process?.kill("SIGKILL"), 3_000);
  try {
    if (process) await browser.close();
    else await browser.disconnect();
  } catch {
    process?.kill("SIGKILL");
  } finally {
    clearTimeout(killed);
  }
  if (folder) await removeFolder(folder);
}

/** A folder that is in use for as long as its file is locked: that ends with us. */
interface Folder {
  path: string;
  lock: Deno.FsFile;
}

const FOLDER_PREFIX = "weir-print-";

/** In a folder: what its browser writes. */
const PROFILE = "profile";

/** In a folder: the file whose lock says that it is in use. */
const LOCK = "lock";

async function makeFolder(): Promise<Folder> {
  const path = await Deno.makeTempDir({ prefix: FOLDER_PREFIX });
  const lock = await Deno.create(`${path}/unlocked`);
  await lock.lock(true);
  // Nobody ever sees it by its name and free while it is in use.
  await Deno.rename(`${path}/unlocked`, `${path}/${LOCK}`);
  return { path, lock };
}

/** What a browser that has not ended yet writes again is swept by the next printer. */
async function removeFolder({ path, lock }: Folder): Promise<void> {
  const recursive = { recursive: true };
  try {
    await Deno.remove(`${path}/${PROFILE}`, recursive).catch(ignoreMissing);
    await Deno.remove(path, recursive);
  } catch {
    /* The lock is there still, and nobody has it. */
  } finally {
    lock.close();
  }
}

/** Removes the folders of printers that were killed. */
async function sweep(): Promise<void> {
  for await (const { name, isDirectory } of Deno.readDir(tmpdir())) {
    if (!isDirectory || !name.startsWith(FOLDER_PREFIX)) continue;
    const path = `${tmpdir()}/${name}`;
    // One that is just being made has none.
    const lock = await Deno.open(`${path}/${LOCK}`, { write: true })
      .catch(() => null);
    if (lock === null) continue;
    if (await lock.tryLock(true)) await removeFolder({ path, lock });
    else lock.close();
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

async function printPage(
  browser: Browser,
  html: string,
  timeout: number,
): Promise<Uint8Array> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await isolate(page);
    await page.setContent(html, { waitUntil: "load", timeout });
    return await page.pdf({
      format: "A4",
      printBackground: true,
      preferCSSPageSize: true,
      tagged: true,
      outline: true,
      displayHeaderFooter: true,
      headerTemplate: "<span></span>",
      footerTemplate: FOOTER,
      margin: { top: "14mm", bottom: "18mm", left: "14mm", right: "14mm" },
      timeout,
    });
  } finally {
    await context.close().catch(() => {});
  }
}

const FOOTER =
  `<div style="font: 8px sans-serif; color: #555; width: 100%; overflow: hidden; padding: 0 14mm; display: flex; gap: 4mm; justify-content: space-between">
  <span class="title" style="overflow: hidden; text-overflow: ellipsis; white-space: nowrap"></span><span style="flex: none"><span class="pageNumber"></span> / <span class="totalPages"></span></span></div>`;

/** No script runs, and nothing is asked for that is not in the page itself. */
async function isolate(page: Page): Promise<void> {
  await page.setJavaScriptEnabled(false);
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const isOwn = request.url().startsWith("data:") ||
      request.url() === "about:blank";
    (isOwn ? request.continue() : request.abort()).catch(() => {});
  });
}

async function withDeadline<T>(
  work: Promise<T>,
  signal: AbortSignal,
  deadlineMs: number,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error("Cannot wait longer for the page")),
    deadlineMs,
  );
  try {
    return await unlessAborted(AbortSignal.any([signal, late.signal]), work);
  } finally {
    clearTimeout(timer);
  }
}

async function findBrowser(): Promise<string> {
  for (const path of PATHS) {
    if (await Deno.stat(path).then(() => true, () => false)) return path;
  }
  throw new PrintError(
    "Cannot print: no browser, set CHROMIUM_PATH or CHROMIUM_URL",
  );
}
