/**
 * The numbers of workflows as they are read again and again: from the cache for as long
 * as they are what the database would say.
 *
 * An answer depends on the workflow's revision, on the query, and here and there on what
 * time it is. The first two are in its name. What the clock changes bounds how long it
 * is kept; {@linkcode freshUntil} has the list.
 *
 * @module
 */

import type { Context } from "hono";
import { readActions } from "../db/actions.ts";
import { readAnalytics } from "../db/analytics.ts";
import type { Sql } from "../db/client.ts";
import { readFunnel } from "../db/funnel.ts";
import type {
  Actions,
  Analytics,
  AnalyticsQuery,
  Funnel,
} from "../db/schema.ts";
import { readNextChange } from "../db/live.ts";
import { type PageNumbers, readPage } from "../db/page.ts";
import { readWorkflowHead, type WorkflowHead } from "../db/workflows.ts";
import { mayRead } from "./_auth.ts";
import { type Entry, isKnown, type Loaded } from "./_cache.ts";
import { AppError } from "./_errors.ts";
import type { Deps } from "./app.ts";

/** An answer is kept so long at most, ms. */
const KEPT_MS_MAX = 5 * 60_000;

/** While events wait to be counted `as_of` stands still, and goes on soon, ms. */
const PENDING_MS = 1_000;

/** What is compared with grows all the time while the range is not over, ms. */
const COMPARED_MS = 60_000;

/** Whose workflow a head was found to be; some 300 bytes each. */
const HEADS_MAX = 10_000;

const READS = {
  summary: readAnalytics,
  funnel: readFunnel,
  actions: readActions,
  page: readPage,
};

/** What is read of a workflow; a page's numbers are read together. */
export type Part = keyof typeof READS;

/** Whose numbers are asked for. */
export interface Asker {
  account_id: number;
  /** The account's. */
  time_zone: string;
}

/** Reads through the cache. */
export interface Reads {
  /**
   * A workflow that a viewer may see, and at which revision that was found out.
   *
   * @throws {AppError} `workflow_not_found`, `forbidden`.
   */
  workflow(
    viewer: Asker & Parameters<typeof mayRead>[0],
    id: string,
  ): Promise<WorkflowHead & { revision: number }>;
  /** A workflow; whether the asker may see it was found out before. */
  head(asker: Asker, id: string): Promise<WorkflowHead>;
  /**
   * A part of a workflow's numbers. Whether the asker may see them was found out before.
   *
   * @throws {AppError} `workflow_not_found` when the account has no such workflow.
   * @throws {DetailExpired} When hours or contacts are asked for that are not kept.
   */
  part(
    part: Part,
    asker: Asker,
    id: string,
    query: AnalyticsQuery,
  ): Promise<Entry>;
  /** The numbers of a page; as in {@linkcode Reads.part}. */
  page(
    asker: Asker,
    id: string,
    query: AnalyticsQuery,
  ): Promise<{ numbers: PageNumbers; freshUntil: number }>;
}

/** @returns Reads of this process. */
export function createReads(
  { sql, reader, hub, cache }: Pick<Deps, "sql" | "reader" | "hub" | "cache">,
): Reads {
  type Head = WorkflowHead & { revision: number };
  const heads = new Map<string, Head>();

  async function headOf(asker: Asker, id: string): Promise<Head> {
    const name = `${asker.account_id}:${id}`;
    const revision = await hub.revision(id);
    const known = heads.get(name);
    if (known?.revision === revision) return known;
    const read = await readWorkflowHead(sql, asker.account_id, id);
    if (read === null) throw new AppError("workflow_not_found");
    const head = { ...read, revision };
    heads.set(name, head);
    if (heads.size > HEADS_MAX) heads.delete(heads.keys().next().value!);
    return head;
  }

  async function part(
    part: Part,
    asker: Asker,
    id: string,
    query: AnalyticsQuery,
  ): Promise<Entry> {
    const asked = { ...query, tz: query.tz ?? asker.time_zone };
    const revision = await hub.revision(id);
    const entry = await cache.read(
      nameOf(part, asker, id, asked, revision),
      revision,
      () =>
        reader.read(
          { accountId: asker.account_id, workflowUuid: id, revision },
          (sql, at) => load(sql, at, part, asker, id, asked),
        ),
    );
    if (entry === null) throw new AppError("workflow_not_found");
    return entry;
  }

  return {
    async workflow(viewer, id) {
      const head = await headOf(viewer, id);
      if (!mayRead(viewer, head)) throw new AppError("forbidden");
      return head;
    },
    head: headOf,
    part,
    async page(asker, id, query) {
      const { body, freshUntil } = await part("page", asker, id, query);
      const numbers = JSON.parse(new TextDecoder().decode(body));
      return { numbers, freshUntil };
    },
  };
}

async function load(
  sql: Sql,
  at: Date,
  part: Part,
  { account_id, time_zone }: Asker,
  id: string,
  asked: AnalyticsQuery,
): Promise<Loaded | null> {
  const answer = await READS[part](sql, account_id, id, asked, at);
  if (answer === null) return null;
  const changing = "analytics" in answer ? answer.analytics : answer;
  // Asked after the answer: what it has seen, this sees too.
  const next = isOver(changing, at) || !("summary" in changing)
    ? null
    : await readNextChange(sql, account_id, id, at);
  const until = freshUntil(changing, asked, time_zone, at, next);
  return { answer, freshUntil: until };
}

/** The account is in it though ids of workflows are nobody else's: to be sure. */
function nameOf(
  part: Part,
  { account_id }: Asker,
  id: string,
  query: AnalyticsQuery,
  revision: number,
): string {
  const { start_date, end_date, tz, granularity, attribution, unit } = query;
  const { compare, compare_start, compare_end, version } = query;
  const range = [start_date, end_date, tz, granularity, attribution, unit]
    .concat(compare, compare_start ?? "", compare_end ?? "")
    .concat(String(version ?? ""));
  return `analytics:${id}:${range.join(":")}:${account_id}:${revision}:${part}`;
}

/**
 * Until when an answer is what the database would say at the same revision (but for
 * `as_of`, which says itself how old it is).
 *
 * @param answer Any of the three.
 * @param query What was asked for, with its zone.
 * @param accountZone IANA.
 * @param at When it was read.
 * @param nextChange When next an execution begins or ends that is dated ahead.
 * @returns Ms since 1970, the earliest of:
 * - five minutes: what is kept for so long is not missed;
 * - the next second where events wait: `as_of` moves on when they are counted;
 * - the next minute where a range that is not over is compared: the other range
 *   is as long, and grows;
 * - the next midnight here and in the account: what is kept as hours, and which zone an
 *   old range is answered in, moves with the date;
 * - the next bucket: one more has begun;
 * - the next change: events may be dated five minutes ahead, and count when it is time.
 */
export function freshUntil(
  answer: Analytics | Funnel | Actions,
  query: AnalyticsQuery,
  accountZone: string,
  at: Date,
  nextChange: Date | null,
): number {
  const now = at.getTime();
  const ends = [
    now + KEPT_MS_MAX,
    nextMidnight(at, query.tz ?? accountZone),
    nextMidnight(at, accountZone),
  ];
  if (Date.parse(answer.as_of) < now) ends.push(now + PENDING_MS);
  if (nextChange !== null) ends.push(nextChange.getTime());
  if ("trends" in answer) {
    if (query.compare !== "none" && !isOver(answer, at)) {
      ends.push(now + COMPARED_MS);
    }
    const begins = answer.trends.map(({ start }) => Date.parse(start))
      .find((start) => start > now);
    if (begins !== undefined) ends.push(begins);
  }
  return Math.min(...ends);
}

function isOver(answer: Analytics | Funnel | Actions, at: Date): boolean {
  return Date.parse(answer.period.end) <= at.getTime();
}

function nextMidnight(at: Date, zone: string): number {
  return Temporal.Instant.fromEpochMilliseconds(at.getTime())
    .toZonedDateTimeISO(zone).add({ days: 1 }).startOfDay().epochMilliseconds;
}

/**
 * Answers a viewer with what is kept, or tells them that they have it.
 *
 * @param c The request.
 * @param entry From {@linkcode Reads.part}.
 */
export function answerEntry(c: Context, { body, etag }: Entry): Response {
  c.header("cache-control", "private, max-age=0, must-revalidate");
  c.header("etag", etag);
  if (isKnown(c.req.header("if-none-match"), etag)) return c.body(null, 304);
  return c.body(body, 200, { "content-type": "application/json" });
}
