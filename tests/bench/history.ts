/**
 * A past for benchmarks: executions made in the database itself, deterministic,
 * recorded as if accepted and folded by the fold.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { fold } from "../../db/events.ts";
import type { Sql } from "../../db/client.ts";

/** Steps of the workflows that the past is made for. */
export const STEPS = 8;

/** The range that enrolments are spread over where nothing else is said, days. */
export const HISTORY_DAYS = 90;

/** Executions inserted at a time: what folds in a few seconds. */
const CHUNK_EXECUTIONS = 10_000;

/** How far back an account's days go, days. */
const DAYS_KEPT = 730;

/** Local dates that a past of 90 days touches, and whole weeks. */
const COPIED_DAYS = 91;

/** Which past. The same numbers, days and end are the same events. */
export interface Span {
  /** First number of an execution. */
  from: number;
  /** The number after the last. */
  until: number;
  /** How many numbers the days are spread over; number `of` is enrolled where 0 is. */
  of: number;
  /** @default {HISTORY_DAYS} */
  days?: number;
  /** No event is later; enrolments are spread up to here. @default the server's clock */
  endsAt?: Date;
}

/**
 * The id of a step, as the database makes it too.
 *
 * @param step From 0.
 */
export function stepUuid(step: number): string {
  return uuidOf(`step ${step}`);
}

/** The id of the goal that a fifth of the executions end with. */
export const GOAL_UUID = uuidOf("goal");

function uuidOf(text: string): string {
  const hex = createHash("md5").update(text).digest("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * Records executions of some seven events each: enrolled, then one to eight steps (each
 * the less likely), an action in every other one, in the end completed, converted, exited
 * or failed, or none of these. Times in steps and of actions are log-normal.
 *
 * @param sql Client.
 * @param workflowId Inside id.
 * @param span Which.
 * @returns Events recorded.
 */
export async function recordExecutions(
  sql: Sql,
  workflowId: number,
  { from, until, of, days = HISTORY_DAYS, endsAt }: Span,
): Promise<number> {
  const ends = endsAt ?? null;
  // Sixteen bits of a hash are a number from 0 to 1; two such make a normal one.
  const [row] = await sql<[{ events: number }]>`
    with execution as materialized (
      select i, ${workflowId}::int as workflow_id, md5(${workflowId}::int || ' ' || i)::uuid as execution_id, ends_at,
        ends_at - ${days} * interval '1 day' * (1 - (i % ${of}::bigint + 0.5) / ${of}::bigint) as enrolled_at,
        least(${STEPS}, 1 + floor(-ln(1 - (hashint8extended(i, 1) & 65535) / 65536::float8) / 0.55)::int) as depth,
        (hashint8extended(i, 2) & 65535) / 65536::float8 as luck
      from generate_series(${from}::bigint, ${until}::bigint - 1) as i
      cross join (select coalesce(${ends}::timestamptz, now()) as ends_at) clock
    ), visit as materialized (
      select v.*, visit_s, sum(visit_s) over (partition by i order by step) as left_s, duration_us,
        (hashint8extended(v.visit, 7) & 65535) / 65536::float8 > 0.01 * (1 + step) as succeeded
      from (
        select e.*, step, i * ${STEPS} + step as visit
        from execution e cross join lateral generate_series(0, depth - 1) as step
      ) v cross join lateral (select
        600 * (1 + step) * exp(1.5 * sqrt(-2 * ln(1 - (hashint8extended(visit, 3) & 65535) / 65536::float8))
          * cos(2 * pi() * (hashint8extended(visit, 4) & 65535) / 65536::float8)) as visit_s,
        200000 * exp(sqrt(-2 * ln(1 - (hashint8extended(visit, 5) & 65535) / 65536::float8))
          * cos(2 * pi() * (hashint8extended(visit, 6) & 65535) / 65536::float8)) as duration_us
      ) s
    ), fact as (
      select e.*, null::int as step, 0 as n, 'execution.enrolled' as type, 0 as after_s,
        null::bigint as duration_us, null::boolean as succeeded
      from execution e
      union all
      select i, workflow_id, execution_id, ends_at, enrolled_at, depth, luck, step, f.n, f.type, f.after_s,
        case f.type when 'action.executed' then duration_us end, case f.type when 'action.executed' then succeeded end
      from visit v cross join lateral (values
        (step * 4 + 1, 'step.entered', left_s - visit_s, true),
        (step * 4 + 2, 'action.executed', left_s - visit_s + 1, step % 2 = 0),
        (step * 4 + 3, 'step.completed', left_s, step < depth - 1 or luck < 0.6),
        (99, case when luck < 0.25 then 'execution.completed' when luck < 0.45 then 'goal.achieved'
          when luck < 0.8 then 'execution.exited' else 'execution.failed' end, left_s + 5,
          step = depth - 1 and luck < 0.85)
      ) as f(n, type, after_s, happens)
      where f.happens
    ), stored as (
      insert into weir.event (workflow_id, execution_id, occurred_at, sequence, duration_us, version,
        type, source, subject_uuid, succeeded, event_id, contact_id, reason)
      select workflow_id, execution_id, enrolled_at + after_s * interval '1 second', n, duration_us, 1,
        type::weir.event_type,
        case type when 'execution.enrolled' then (enum_range(null::weir.enrollment_source))[1 + i % 4] end,
        case when n < 99 then md5('step ' || step)::uuid when type = 'goal.achieved' then ${GOAL_UUID}::uuid end,
        succeeded, execution_id || '-' || n, 'contact-' || i,
        case type when 'execution.exited' then (array['unsubscribed', 'manual_removal', 'bounced'])[1 + i % 3] end
      from fact where enrolled_at + after_s * interval '1 second' < ends_at returning *
    ), queued as (
      insert into weir.event_queue (workflow_id, execution_id, occurred_at, sequence, duration_us, version,
        type, source, subject_uuid, succeeded, event_id, contact_id, reason)
      select workflow_id, execution_id, occurred_at, sequence, duration_us, version,
        type, source, subject_uuid, succeeded, event_id, contact_id, reason
      from stored returning 1
    )
    select count(*) as events from queued`;
  return row.events;
}

/**
 * Records and folds a past, in chunks.
 *
 * @returns Events in it.
 */
export async function makeHistory(
  sql: Sql,
  workflowId: number,
  span: Span,
): Promise<number> {
  let events = 0;
  for (let from = span.from; from < span.until; from += CHUNK_EXECUTIONS) {
    const until = Math.min(span.until, from + CHUNK_EXECUTIONS);
    events += await recordExecutions(sql, workflowId, { ...span, from, until });
    while (await fold(sql, 200_000) > 0);
  }
  return events;
}

/** What {@linkcode copyDays} takes for ended, as nothing is there that could still end. */
const ENDED: Record<string, string> = {
  cohort_exited: "enrolled - cohort_completed",
  exited: "enrolled - completed",
  dropped_off: "entered - completed - goal_exits",
};

/** How columns that are no sums become those of a month. */
const ADDED: Record<string, string> = {
  revision: "max",
  samples: "weir.histogram_sum",
};

/**
 * Repeats the days of a past up to two years back, as days and months, which is all that
 * retention leaves of them.
 *
 * @param endsAt Where the past ends.
 */
export async function copyDays(sql: Sql, endsAt: Date): Promise<void> {
  for (
    const rollup of [
      "workflow",
      "reason",
      "goal",
      "step",
      "action",
      "histogram",
    ]
  ) {
    const columns = await sql<{ name: string; sums: boolean }[]>`
      select attname as name, attname not in ('revision', 'bucket', 'grain')
        and not attnum = any (i.indkey) as sums
      from pg_attribute a join pg_index i on i.indrelid = a.attrelid and i.indisprimary
      where attrelid = ${`weir.${rollup}_rollup`}::text::regclass and attnum > 0
      order by attnum`;
    const names = columns.map(({ name }) => name);
    const copied = names.map((name) =>
      name === "bucket"
        ? `bucket - copy * interval '${COPIED_DAYS} days'`
        : ENDED[name]?.replaceAll(/\w+/g, "r.$&").replaceAll("r.-", "-") ??
          `r.${name}`
    );
    await sql.unsafe(
      `insert into weir.${rollup}_rollup (${names})
       select ${copied} from weir.${rollup}_rollup r
       cross join generate_series(1, ${
        Math.floor(DAYS_KEPT / COPIED_DAYS)
      }) as copy
       where r.grain = 'day' and r.bucket > $1 order by r.workflow_id, copy, r.bucket`,
      [new Date(endsAt.getTime() - COPIED_DAYS * 86_400_000)],
    );
    await sql.unsafe(`delete from weir.${rollup}_rollup where grain = 'month'`);
    const keys = columns.filter(({ name, sums }) =>
      !sums && !["grain", "bucket", "revision"].includes(name)
    ).map(({ name }) => name);
    const added = columns.filter(({ name, sums }) =>
      sums || name === "revision"
    ).map(({ name }) => name);
    await sql.unsafe(
      `insert into weir.${rollup}_rollup (grain, bucket, ${keys}, ${added})
       select 'month', date_trunc('month', bucket, 'UTC'), ${keys}, ${
        added.map((name) => `${ADDED[name] ?? "sum"}(${name})`)
      }
       from weir.${rollup}_rollup where grain = 'day'
       group by date_trunc('month', bucket, 'UTC'), ${keys} order by ${keys}`,
    );
  }
}
