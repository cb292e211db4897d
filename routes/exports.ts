/**
 * `/api/v1/workflows/{id}/analytics/export`: numbers and executions as a file, at once.
 * `/api/v1/workflows/{id}/exports`: files that a worker makes, because they are long or
 * printed, and where they are fetched.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { type Context, Hono, type Next } from "hono";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import type { SentFile } from "../db/access_log.ts";
import { countRows, openExport } from "../db/export_file.ts";
import {
  accountOfExport,
  cancelExport,
  type ExportRow,
  listExports,
  openSigned,
  readExport,
  retryExport,
} from "../db/exports.ts";
import {
  EXPORT_ROWS_AT_ONCE_MAX,
  type ExportJob,
  ExportQuery,
  EXPORTS_AT_ONCE_MAX,
  Uuid,
} from "../db/schema.ts";
import { accessOf } from "./_access.ts";
import { type AuthEnv, credentialOf, recordExport, requires } from "./_auth.ts";
import { readJson } from "./_body.ts";
import { AppError } from "./_errors.ts";
import { isKnown } from "./_cache.ts";
import {
  BUSY_SECONDS,
  exportJobOf,
  isOver,
  jobOrRefuse,
  queueExport,
} from "./_exports.ts";
import { addressOf, takeOrRefuse } from "./_limit.ts";
import { parsed, valid } from "./_valid.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { WorkflowPath } from "./workflows.ts";

/** The path of one job. */
export const ExportPath = z.object({ id: Uuid, job_id: Uuid });

/** A watcher sees a change at most so late, ms; each costs one indexed look. */
const WATCH_MS = 500;

/** A watcher who wants to see more asks again, ms. */
const WATCH_MS_MAX = 10 * 60_000;

/** Who watch at once here: each asks the database twice a second. */
const WATCHERS_MAX = 100;

/** What somebody watches until it is over. */
interface Watched<Known> {
  event: string;
  isOver(known: Known): boolean;
  /** Reads it again; `null` when it is gone. */
  read(): Promise<Known | null>;
  /** As it is told. */
  shown(known: Known): object;
}

/** @returns The routes below `/api/v1/workflows`. */
export function exports(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql, slow, now, store, publicUrl, stopping, trustedProxies } = deps;
  const writes = requires(deps, "exports:write");
  const app = new Hono<AuthEnv>();
  let watchers = 0;
  /** Files of executions that are being sent, by account. */
  const sending = new Map<number, number>();

  app.get(
    "/:id/analytics/export",
    writes,
    valid("param", WorkflowPath),
    valid("query", ExportQuery),
    async (c) => {
      const { id } = c.req.valid("param");
      const request = c.req.valid("query");
      const { account_id } = await readerOf(c, id);
      const source = {
        sql: slow,
        accountId: account_id,
        workflowUuid: id,
        now: now(),
        signal: c.req.raw.signal,
      };
      const head = await countRows(source, request, EXPORT_ROWS_AT_ONCE_MAX);
      if (head === null) throw new AppError("workflow_not_found");
      const isLong = head.rows > EXPORT_ROWS_AT_ONCE_MAX;
      if (request.format === "pdf" || isLong) {
        return await queue(c, id, request);
      }
      const end = request.rows === "executions"
        ? beginSending(account_id)
        : () => {};
      const file = await openExport(source, request).catch((error) => {
        end();
        // Nobody is there to be told.
        if (c.req.raw.signal.aborted) return undefined;
        throw error;
      });
      if (file === undefined) return c.body(null);
      if (file === null) {
        end();
        throw new AppError("workflow_not_found");
      }
      c.set("rows", head.rows);
      const body = measured(file.body, (sent) => {
        end();
        if (sent === null) return;
        c.set("file", sent);
        deps.access.record(accessOf(c));
      });
      return c.body(body, 200, {
        "content-type": file.mediaType,
        "content-disposition": `attachment; filename="${file.name}"`,
        "cache-control": "private, no-store",
      });
    },
  );

  app.post("/:id/exports", writes, valid("param", WorkflowPath), async (c) => {
    const { id } = c.req.valid("param");
    const request = parsed(ExportQuery, await readJson(c.req.raw));
    await readerOf(c, id);
    return await queue(c, id, request);
  });

  app.get("/:id/exports", writes, valid("param", WorkflowPath), async (c) => {
    const { id } = c.req.valid("param");
    const { account_id } = await readerOf(c, id);
    const read = () => listExports(sql, account_id, id);
    const jobs = await read();
    const shown = (jobs: ExportRow[]) => ({ exports: jobs.map(jobOf) });
    c.header("vary", "accept");
    if (c.req.header("accept")?.includes("text/event-stream")) {
      const isAllOver = (jobs: ExportRow[]) => jobs.every(isOver);
      return watch(c, jobs, {
        event: "exports",
        isOver: isAllOver,
        read,
        shown,
      });
    }
    c.header("cache-control", "private, no-store");
    return c.json(shown(jobs));
  });

  app.get(
    "/:id/exports/:job_id",
    writes,
    valid("param", ExportPath),
    async (c) => {
      c.header("cache-control", "private, no-store");
      return c.json(jobOf(await findJob(c, readExport, c.req.valid("param"))));
    },
  );

  app.delete(
    "/:id/exports/:job_id",
    writes,
    valid("param", ExportPath),
    async (c) =>
      c.json(jobOf(await findJob(c, cancelExport, c.req.valid("param")))),
  );

  app.post(
    "/:id/exports/:job_id/retry",
    writes,
    valid("param", ExportPath),
    async (c) => {
      const { id, job_id } = c.req.valid("param");
      const { account_id } = await readerOf(c, id);
      const job = jobOrRefuse(await retryExport(sql, account_id, id, job_id));
      if (job === null) throw new AppError("export_not_found");
      return c.json(jobOf(job), 202);
    },
  );

  app.get(
    "/:id/exports/:job_id/events",
    writes,
    valid("param", ExportPath),
    async (c) => {
      const { id, job_id } = c.req.valid("param");
      const first = await findJob(c, readExport, { id, job_id });
      const { account_id } = c.get("viewer");
      return watch(c, first, {
        event: "job",
        isOver,
        read: () => readExport(sql, account_id, id, job_id),
        shown: jobOf,
      });
    },
  );

  // A signature opens it without a key: it is of one file, and as old as that at most.
  app.get(
    "/:id/exports/:job_id/download",
    async (c, next) =>
      c.req.query("signature") === undefined
        ? await writes(c, next)
        : await byLink(c, next),
    valid("param", ExportPath),
    async (c) => {
      const { id, job_id } = c.req.valid("param");
      const signature = c.req.query("signature");
      if (signature === undefined) {
        const job = await findJob(c, readExport, { id, job_id });
        return await download(c, c.get("viewer").account_id, job);
      }
      const opened = /^[0-9a-f]{64}$/.test(signature)
        ? await openSigned(sql, id, job_id, signature, now())
        : null;
      if (opened === null) {
        // Whoever tries many would fill the access log of its account.
        await takeOrRefuse(deps, "stranger", addressOf(c, trustedProxies));
        throw new AppError("link_expired");
      }
      return await download(c, opened.account_id, opened.job);
    },
  );
  return app;

  /** Each takes one of few connections for as long as its reader likes. */
  function beginSending(accountId: number): () => void {
    const count = sending.get(accountId) ?? 0;
    if (count >= EXPORTS_AT_ONCE_MAX) {
      throw new AppError("exports_busy", { retryAfterSeconds: BUSY_SECONDS });
    }
    sending.set(accountId, count + 1);
    return () => {
      const left = sending.get(accountId)! - 1;
      if (left > 0) sending.set(accountId, left);
      else sending.delete(accountId);
    };
  }

  /** Writes down what a link did, for the account whose job it names. */
  async function byLink(c: Context<AuthEnv>, next: Next): Promise<void> {
    await next();
    if (c.res.status === 429) return;
    const path = ExportPath.safeParse(c.req.param());
    if (!path.success) return;
    const { id, job_id } = path.data;
    const account_id = await accountOfExport(sql, id, job_id);
    if (account_id === null) return;
    const credential = `link of export ${job_id}`;
    const access = accessOf(c, { account_id, user_id: null, credential });
    await recordExport(deps, c, access);
  }

  function watch<Known>(c: Context, known: Known, watched: Watched<Known>) {
    if (watchers >= WATCHERS_MAX) throw new AppError("streams_full");
    watchers += 1;
    const credential = credentialOf(c, deps);
    return streamSSE(c, async (stream) => {
      const deadline = Date.now() + WATCH_MS_MAX;
      try {
        for (let told = "", now: Known | null = known; now !== null;) {
          const data = JSON.stringify(watched.shown(now));
          if (data !== told) {
            await stream.writeSSE({ event: watched.event, data });
          }
          told = data;
          if (watched.isOver(now) || Date.now() > deadline) return;
          await stream.sleep(WATCH_MS);
          if (stream.aborted || stopping.aborted) return;
          if (await credential() === null) return;
          now = await watched.read();
        }
      } finally {
        watchers -= 1;
      }
    });
  }

  async function readerOf(c: Context<AuthEnv>, id: string): Promise<Grant> {
    const viewer = c.get("viewer");
    await reads.workflow(viewer, id);
    return viewer;
  }

  async function findJob(
    c: Context<AuthEnv>,
    find: typeof readExport,
    { id, job_id }: z.infer<typeof ExportPath>,
  ): Promise<ExportRow> {
    const { account_id } = await readerOf(c, id);
    const job = await find(sql, account_id, id, job_id);
    if (job === null) throw new AppError("export_not_found");
    return job;
  }

  async function queue(c: Context<AuthEnv>, id: string, request: ExportQuery) {
    const job = await queueExport(deps, c.get("viewer"), id, request);
    c.header("location", `/api/v1/workflows/${id}/exports/${job.job_id}`);
    return c.json(jobOf(job), 202);
  }

  function jobOf(job: ExportRow): ExportJob {
    return exportJobOf(job, publicUrl);
  }

  async function download(
    c: Context<AuthEnv>,
    accountId: number,
    job: ExportRow,
  ): Promise<Response> {
    const { file, expires_at } = job;
    c.set("filter", job.request);
    if (file === null) throw new AppError("export_not_done");
    const isGone = Date.parse(expires_at!) <= now().getTime();
    if (isGone || !await store.has(accountId, job)) {
      throw new AppError("export_gone");
    }
    const etag = `"${file.sha256}"`;
    const headers = {
      etag,
      "accept-ranges": "bytes",
      "cache-control": "private, no-store",
      "content-type": file.media_type,
      "content-disposition": `attachment; filename="${file.name}"`,
      "repr-digest": `sha-256=:${Uint8Array.fromHex(file.sha256).toBase64()}:`,
      ...(file.rows === null ? {} : { "x-row-count": String(file.rows) }),
    };
    if (isKnown(c.req.header("if-none-match"), etag)) {
      return c.body(null, 304, { etag });
    }
    const ifRange = c.req.header("if-range");
    const asked = ifRange === undefined || ifRange === etag
      ? c.req.header("range")
      : undefined;
    const range = rangeOf(asked, file.bytes);
    if (range === null) {
      c.header("content-range", `bytes */${file.bytes}`);
      throw new AppError("range_not_satisfiable");
    }
    const [from, until] = range ?? [0, file.bytes];
    if (file.rows !== null) c.set("rows", file.rows);
    c.set("file", { bytes: until - from, sha256: file.sha256 });
    return c.body(
      store.read(accountId, job, from, until),
      range ? 206 : 200,
      {
        ...headers,
        "content-length": String(until - from),
        ...(range
          ? { "content-range": `bytes ${from}-${until - 1}/${file.bytes}` }
          : {}),
      },
    );
  }
}

/**
 * Measures a file on its way.
 *
 * @param body The file.
 * @param tell Called once: with what has gone out when that is all of it, and with `null`
 * where somebody left amid it, or it broke.
 */
function measured(
  body: ReadableStream<Uint8Array>,
  tell: (sent: SentFile | null) => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const hash = createHash("sha256");
  let bytes = 0;
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read().catch((error) => {
        tell(null);
        throw error;
      });
      if (done) {
        tell({ bytes, sha256: hash.digest("hex") });
        return controller.close();
      }
      hash.update(value);
      bytes += value.byteLength;
      controller.enqueue(value);
    },
    cancel(reason) {
      tell(null);
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}

/**
 * Reads `Range: bytes=…` of one range; a client that asks for several gets everything.
 *
 * @param header As it was sent.
 * @param bytes Of the whole.
 * @returns First byte and the byte after the last; `undefined` for everything, `null`
 * where nothing is at that place.
 */
export function rangeOf(
  header: string | undefined,
  bytes: number,
): [from: number, until: number] | null | undefined {
  const [, first = "", last = ""] =
    /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return undefined;
  if (first === "") {
    const size = Math.min(Number(last), bytes);
    return size === 0 ? null : [bytes - size, bytes];
  }
  const from = Number(first);
  const until = last === "" ? bytes : Math.min(Number(last) + 1, bytes);
  if (last !== "" && Number(last) < from) return undefined;
  return from < bytes ? [from, until] : null;
}
