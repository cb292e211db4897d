/**
 * A past for benchmarks: executions made in the database itself, deterministic,
 * recorded as if accepted and folded by the fold.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { fold } from "../../db/events.ts";
import type { Sql } from "../../db/client.ts";

/** Steps of the workflow that the past is made for. */
export const STEPS = 8;

/** The range the enrolments are spread over, days. */
const HISTORY_DAYS = 90;

/** Executions inserted at a time: what folds in a second or two. */
const CHUNK_EXECUTIONS = 20_000;

/**
 * The id of a step, as the database makes it too.
 *
 * @param step From 0.
 */
export function stepUuid(step: number): string {
  const hex = createHash("md5").update(`step ${step}`).digest("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * Records executions of about five events each: enrolled, then one to eight steps
 * (each the less likely), an action in every other one, half of them ended by now.
 *
 * @param sql Client.
 * @param workflowId Inside id.
 * @param from First number; the same number is the same execution.
 * @param until The number after the last.
 * @param of How many numbers the 90 days are spread over.
 * @returns Events recorded.
 */
export async function recordExecutions(
  sql: Sql,
  workflowId: number,
  from: number,
  until: number,
  of: number,
): Promise<number> {
  const [row] = await sql<[{ events: number }]>`
    with execution as materialized (
      select i, ${workflowId}::int as workflow_id,
        md5(${workflowId}::int || ' ' || i)::uuid as execution_id,
        now() - ${HISTORY_DAYS} * interval '1 day' + ((i % ${of}::bigint) * ${
    HISTORY_DAYS * 86_400
  }::float8 / ${of}) * interval '1 second' as enrolled_at,
        least(${STEPS}, 1 + floor(-ln(1 - (abs(hashint8(i)::bigint) % 100000) / 100000.0) / 0.9)::int) as depth,
        abs(hashint8(i + 7)::bigint) % 100 as luck
      from generate_series(${from}::bigint, ${until - 1}::bigint) as i
    ), fact as materialized (
      select e.*, f.n, f.type::weir.event_type as type, f.after_s, f.step
      from execution e cross join lateral (
        select 0 as n, 'execution.enrolled' as type, 0::float8 as after_s, null::int as step
        union all
        select s * 4, 'step.entered', s * 600.0 + luck, s from generate_series(0, depth - 1) as s
        union all
        select s * 4 + 1, 'action.executed', s * 600.0 + luck + 5, s
        from generate_series(0, depth - 1) as s where s % 2 = 0
        union all
        select s * 4 + 2, 'step.completed', s * 600.0 + luck * 3 + 20, s
        from generate_series(0, depth - 1) as s where s < depth - 1 or luck < 60
        union all
        select 99, case when luck < 40 then 'execution.completed' else 'execution.exited' end,
          depth * 600.0 + 400, null where luck < 50
      ) f
    ), stored as (
      insert into weir.event (workflow_id, execution_id, occurred_at, sequence, duration_us, version,
        type, source, subject_uuid, succeeded, event_id, contact_id, reason)
      select workflow_id, execution_id, enrolled_at + after_s * interval '1 second', n,
        case when type = 'action.executed' then 1000 + (i * 7919 % 900000) end, 1, type,
        case when type = 'execution.enrolled' then 'api'::weir.enrollment_source end,
        case when step is not null then md5('step ' || step)::uuid end,
        case when type = 'action.executed' then luck > 3 end,
        execution_id || '-' || n || '-' || type, 'contact-' || i,
        case when type = 'execution.exited' then 'unsubscribed' end
      from fact returning *
    ), keyed as (
      insert into weir.event_key (workflow_id, event_digest, content_digest)
      select workflow_id, md5(event_id)::uuid, 0 from stored
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
 * Records and folds a past.
 *
 * @returns Events in it.
 */
export async function makeHistory(
  sql: Sql,
  workflowId: number,
  from: number,
  until: number,
  of: number,
): Promise<number> {
  let events = 0;
  for (let i = from; i < until; i += CHUNK_EXECUTIONS) {
    const end = Math.min(until, i + CHUNK_EXECUTIONS);
    events += await recordExecutions(sql, workflowId, i, end, of);
    while (await fold(sql, 200_000) > 0);
  }
  return events;
}
