/**
 * Every projection and rollup, recomputed plainly from `weir.event` by the words of
 * the contract, and held against what is stored. Written without a look at the fold.
 *
 * @module
 */

import type { Sql } from "../db/client.ts";

/** Differences that are told of one table: more say nothing new. */
const DIFFERENCES_MAX = 5;

/** What is stored of one kind, and what the contract says; both with the same columns. */
interface Comparison {
  name: string;
  stored: string;
  expected: string;
}

function microseconds(interval: string): string {
  return `(extract(epoch from (${interval})) * 1000000)::bigint`;
}

/** Rows of a source that has `at` and `time_zone`, once for each grain they count in. */
function grained(source: string): string {
  return `(select s.*, g.grain::weir.grain, g.bucket
    from ${source} s cross join lateral (values
      ('15min', to_timestamp(floor(extract(epoch from at) / 900) * 900)),
      ('day', (at at time zone time_zone)::date::timestamp at time zone 'UTC'),
      ('month', to_char(at at time zone time_zone, 'YYYY-MM-01')::timestamp at time zone 'UTC')
    ) as g(grain, bucket)) grained`;
}

/** The order of events. */
const PLACE = "occurred_at, sequence, event_id";

/** All events that do not wait in the queue, with the settings of their workflow. */
const FACTS = `
create temp table fact on commit drop as
select e.*, s.step_id, g.goal_id, w.goal_ends_execution as goal_ends, a.time_zone,
  w.conversion_window_us * interval '1 microsecond' as open_for
from weir.event e
join weir.workflow w using (workflow_id)
join weir.account a using (account_id)
left join weir.step s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
left join weir.goal g on g.workflow_id = e.workflow_id and g.goal_uuid = e.subject_uuid
where not exists (
  select from weir.event_queue q where q.workflow_id = e.workflow_id and q.event_id = e.event_id);
analyze fact`;

/** Executions that are enrolled, with their end. */
const ENROLLED = `
create temp table enrolled on commit drop as
with enrolment as (
  select distinct on (workflow_id, execution_id) * from fact
  where type = 'execution.enrolled'
  order by workflow_id, execution_id, ${PLACE}
), ending as (
  select distinct on (workflow_id, execution_id) *, case type
    when 'execution.completed' then 'completed' when 'execution.failed' then 'error'
    when 'goal.achieved' then 'goal_achieved' else reason end as word
  from fact
  where type in ('execution.completed', 'execution.exited', 'execution.failed')
    or type = 'goal.achieved' and goal_ends
  order by workflow_id, execution_id, ${PLACE}
)
select n.workflow_id, n.execution_id, n.contact_id, n.source, n.version, n.time_zone,
  n.occurred_at as enrolled_at, n.occurred_at + n.open_for as window_end, e.word,
  case when e.word is not null then greatest(e.occurred_at, n.occurred_at) end as ended_at,
  e.occurred_at as end_at, e.sequence as end_sequence, e.event_id as end_event,
  case when e.word is null then 'active'
    when e.word in ('completed', 'goal_achieved', 'error') then e.word else 'exited' end as status
from enrolment n left join ending e using (workflow_id, execution_id);
analyze enrolled`;

/** Goals that convert, each once an execution. */
const GOALS = `
create temp table achieved on commit drop as
with converting as (
  select f.*, x.version as enrolled_version, x.enrolled_at,
    greatest(f.occurred_at, x.enrolled_at) as achieved_at
  from fact f join enrolled x using (workflow_id, execution_id)
  where f.type = 'goal.achieved' and (x.word is null
    or (f.occurred_at, f.sequence, f.event_id) <= (x.end_at, x.end_sequence, x.end_event)
    or greatest(f.occurred_at, x.enrolled_at) < x.window_end)
), once as (
  select distinct on (workflow_id, execution_id, goal_id) * from converting
  order by workflow_id, execution_id, goal_id, ${PLACE}
)
select *, row_number() over (
  partition by workflow_id, execution_id order by ${PLACE}) = 1 as is_first
from once;
analyze achieved`;

/** Steps of all executions; `time_us` is 0 while open. */
const STEPS = `
create temp table visited on commit drop as
select *, greatest(0, ${
  microseconds("completed_at - coalesce(entered_at, completed_at)")
}) * (completed_at is not null)::int as time_us
from (
  select workflow_id, execution_id, step_id,
    count(*) filter (where type = 'step.entered') as visits,
    min(occurred_at) filter (where type = 'step.entered') as entered_at,
    min(occurred_at) filter (where type = 'step.completed') as completed_at,
    (array_agg(sequence order by ${PLACE}) filter (where type = 'step.completed'))[1] as sequence,
    (array_agg(event_id order by ${PLACE}) filter (where type = 'step.completed'))[1] as event_id
  from fact where type in ('step.entered', 'step.completed')
  group by workflow_id, execution_id, step_id
) s;
analyze visited`;

/** What an execution is in the end. */
const LIVED = `
create temp table lived on commit drop as
with last_step as (
  select distinct on (workflow_id, execution_id) * from visited
  order by workflow_id, execution_id, completed_at desc nulls first, sequence desc, event_id desc
)
select x.*, g.achieved_at as converted_at,
  case when status in ('exited', 'error') and l.completed_at is not null then l.step_id end as left_after,
  case when status in ('completed', 'goal_achieved')
    then ${microseconds("ended_at - x.enrolled_at")} end as duration_us,
  ${microseconds("g.achieved_at - x.enrolled_at")} as conversion_us
from enrolled x
left join last_step l using (workflow_id, execution_id)
left join achieved g on g.workflow_id = x.workflow_id and g.execution_id = x.execution_id
  and g.is_first;
analyze lived`;

/** Each execution once by cohort, once where it ended, once where it converted. */
const MOMENTS = `
create temp table moment on commit drop as
select kind, at, l.*,
  status in ('completed', 'goal_achieved') as completes, status in ('exited', 'error') as exits
from lived l cross join lateral (
  values ('cohort', enrolled_at), ('end', ended_at), ('conversion', converted_at)) as m(kind, at)
where at is not null;
analyze moment`;

const STAGES = [FACTS, ENROLLED, GOALS, STEPS, LIVED, MOMENTS];

/** Rollups hold zeros where something was counted and moved away: they mean nothing. */
function rollup(
  table: string,
  keys: string,
  sums: Record<string, string>,
  source: string,
): Comparison {
  const names = Object.keys(sums).join(", ");
  const counted = Object.entries(sums)
    .map(([name, sum]) => `coalesce(${sum}, 0) as ${name}`).join(", ");
  const some = `where 0 <> any (array[${names}]::numeric[])`;
  return {
    name: table,
    stored: `select ${keys}, ${names} from weir.${table} ${some}`,
    expected: `select * from (
      select ${keys}, ${counted} from ${source} group by ${keys}) counted ${some}`,
  };
}

function countIf(condition: string): string {
  return `count(*) filter (where ${condition})`;
}

function sumOf(kind: string, column: string): string {
  return `sum(${column}) filter (where kind = '${kind}')`;
}

/** Everything that a percentile is of. */
const SAMPLES = `(select * from (
  select workflow_id, case kind when 'cohort' then 'cohort_duration' else 'duration' end,
    at, time_zone, 0, version, duration_us
  from moment where kind in ('cohort', 'end') and duration_us is not null
  union all
  select workflow_id, case kind when 'cohort' then 'cohort_conversion' else 'conversion' end,
    at, time_zone, 0, version, conversion_us
  from moment where kind in ('cohort', 'conversion') and conversion_us is not null
  union all
  select workflow_id, 'step_time', enrolled_at, time_zone, step_id, version, time_us
  from lived join visited using (workflow_id, execution_id) where completed_at is not null
  union all
  select f.workflow_id, 'action_duration', f.occurred_at, f.time_zone, f.step_id, x.version,
    f.duration_us
  from fact f join lived x using (workflow_id, execution_id) where f.type = 'action.executed'
) as sample(workflow_id, measure, at, time_zone, subject_id, version, us))`;

/** The same with the key of the account's day. */
const DAY_SAMPLES =
  `(select *, (at at time zone time_zone)::date::timestamp at time zone 'UTC' as day from ${SAMPLES} x)`;

const ROLLUPS: Comparison[] = [
  rollup("workflow_rollup", "workflow_id, grain, bucket, version", {
    enrolled: countIf("kind = 'cohort'"),
    enrolled_trigger: countIf("kind = 'cohort' and source = 'trigger'"),
    enrolled_bulk: countIf("kind = 'cohort' and source = 'bulk'"),
    enrolled_api: countIf("kind = 'cohort' and source = 'api'"),
    enrolled_manual: countIf("kind = 'cohort' and source = 'manual'"),
    cohort_completed: countIf("kind = 'cohort' and completes"),
    cohort_exited: countIf("kind = 'cohort' and exits"),
    cohort_converted: countIf("kind = 'cohort' and converted_at is not null"),
    cohort_settled_converted: countIf(
      "kind = 'cohort' and converted_at is not null and ended_at is not null",
    ),
    completed: countIf("kind = 'end' and completes"),
    exited: countIf("kind = 'end' and exits"),
    converted: countIf("kind = 'conversion'"),
    cohort_duration_us: sumOf("cohort", "duration_us"),
    cohort_conversion_us: sumOf("cohort", "conversion_us"),
    duration_us: sumOf("end", "duration_us"),
    conversion_us: sumOf("conversion", "conversion_us"),
  }, grained("moment")),
  rollup("workflow_running", "workflow_id, version", {
    executions: countIf("status = 'active'"),
  }, "lived"),
  rollup("reason_rollup", "workflow_id, grain, bucket, version, reason", {
    cohort_ends: countIf("kind = 'cohort'"),
    ends: countIf("kind = 'end'"),
  }, grained("(select *, word as reason from moment where word is not null)")),
  rollup(
    "goal_rollup",
    "workflow_id, grain, bucket, version, goal_id",
    {
      cohort_achieved: countIf("kind = 'cohort'"),
      cohort_first: countIf("kind = 'cohort' and is_first"),
      achieved: countIf("kind = 'event'"),
      first: countIf("kind = 'event' and is_first"),
    },
    grained(
      `(select workflow_id, goal_id, enrolled_version as version, is_first,
      kind, at, time_zone
    from achieved cross join lateral (
      values ('cohort', enrolled_at), ('event', achieved_at)) as k(kind, at))`,
    ),
  ),
  rollup(
    "step_rollup",
    "workflow_id, grain, bucket, version, step_id",
    {
      entered: "count(*)",
      completed: countIf("completed_at is not null"),
      dropped_off: countIf(
        "completed_at is null and status in ('exited', 'error')",
      ),
      goal_exits: countIf(
        "completed_at is null and status in ('completed', 'goal_achieved')",
      ),
      left_after: countIf("left_after = step_id"),
      visits: "sum(greatest(visits, 1))",
      time_us: "sum(time_us)",
    },
    grained(`(select *, enrolled_at as at
    from lived join visited using (workflow_id, execution_id))`),
  ),
  rollup(
    "action_rollup",
    "workflow_id, grain, bucket, version, step_id",
    {
      executions: "count(*)",
      successes: countIf("succeeded"),
      duration_us: "sum(duration_us)",
    },
    grained(
      `(select f.workflow_id, f.step_id, f.succeeded, f.duration_us, x.version,
      f.occurred_at as at, f.time_zone
    from fact f join lived x using (workflow_id, execution_id)
    where f.type = 'action.executed')`,
    ),
  ),
  rollup(
    "histogram_bins",
    "workflow_id, grain, measure, bucket, subject_id, version, bin",
    {
      samples: "count(*)",
    },
    `(select workflow_id, grain, measure::weir.measure, bucket,
      subject_id, version, weir.histogram_bin(us) as bin
    from ${grained(SAMPLES)}
    where grain <> '15min') h`,
  ),
  {
    name: "window_histogram",
    stored:
      `select workflow_id, measure, days, subject_id, array_lower(samples, 1) + nth - 1, n
      from weir.window_histogram, unnest(samples) with ordinality as u(n, nth) where n <> 0`,
    expected: `select workflow_id, measure, days, subject_id, bin, sum(samples)
      from weir.histogram_window w cross join (values (7), (30), (90)) as v(days)
      join weir.histogram_bins h using (workflow_id)
      where grain = 'day' and bucket <= last_day and bucket > last_day - make_interval(hours => 24 * days)
      group by 1, 2, 3, 4, 5 having sum(samples) <> 0`,
  },
  {
    name: "percentiles of window_histogram",
    stored: `select workflow_id, measure, days, subject_id, total,
        coalesce(bins, (weir.histogram_ranks(samples, total)).bins)
      from weir.window_histogram where total <> 0`,
    expected:
      `select workflow_id, measure::weir.measure, days, subject_id, count(*),
        array[max(bin), percentile_disc(0.99) within group (order by bin), percentile_disc(0.95) within group (order by bin),
          percentile_disc(0.5) within group (order by bin), min(bin)]
      from weir.histogram_window w cross join (values (7), (30), (90)) as v(days)
      join (select *, weir.histogram_bin(us) as bin from ${DAY_SAMPLES} d) s using (workflow_id)
      where day <= last_day and day > last_day - make_interval(hours => 24 * days)
      group by 1, 2, 3, 4`,
  },
  {
    name: "window_slice",
    stored:
      `select workflow_id, measure, days, subject_id, place, below, alike, samples from weir.window_slice`,
    expected: `select v.workflow_id, v.measure, days, v.subject_id, place,
        count(*) filter (where us < us_from and weir.histogram_bin(us) = first_bin) as below,
        case when alike is not null then count(*) filter (where us = us_from) end as alike,
        coalesce(array_agg(us order by us) filter (where alike is null and us between us_from and us_until), '{}') as samples
      from weir.window_slice v join weir.histogram_window w using (workflow_id)
      left join ${DAY_SAMPLES} s on s.workflow_id = v.workflow_id and s.measure = v.measure::text
        and s.subject_id = v.subject_id and day <= last_day and day > last_day - make_interval(hours => 24 * days)
      group by 1, 2, 3, 4, 5, v.alike`,
  },
  {
    name: "window_edge",
    stored: `select workflow_id, measure, quarter, subject_id, samples
      from weir.window_edge where samples <> '{}'`,
    expected:
      `select workflow_id, measure::weir.measure, to_timestamp(floor(extract(epoch from at) / 900) * 900) as quarter, subject_id,
        array_agg(us order by us) as samples
      from weir.histogram_window w join ${DAY_SAMPLES} s using (workflow_id)
      where measure::weir.measure = any (sliced) and exists (
        select from (values (7), (30), (90)) as v(days)
        where day in (last_day - make_interval(hours => 24 * (days - 1)), last_day - make_interval(hours => 24 * days)))
      group by 1, 2, 3, 4`,
  },
];

const PROJECTIONS: Comparison[] = [
  {
    name: "execution",
    stored:
      `select workflow_id, execution_id, enrolled_at, contact_id, source, version,
        status::text, ended_at, end_reason, converted_at, left_after
      from weir.execution where status is not null`,
    expected:
      `select workflow_id, execution_id, enrolled_at, contact_id, source, version,
        status, ended_at, word, converted_at, left_after
      from lived`,
  },
  {
    name: "execution_step",
    stored:
      `select workflow_id, execution_id, step_id, visits, entered_at, completed_at, enrolled_at
      from weir.execution_step`,
    expected:
      `select workflow_id, execution_id, step_id, visits, entered_at, completed_at, x.enrolled_at
      from visited left join enrolled x using (workflow_id, execution_id)`,
  },
  {
    name: "execution_goal",
    stored:
      `select workflow_id, execution_id, goal_id, achieved_at, is_conversion
      from weir.execution_goal where achieved_at is not null`,
    expected:
      `select workflow_id, execution_id, goal_id, achieved_at, is_first from achieved`,
  },
  {
    name: "parked_action",
    stored:
      `select workflow_id, execution_id, step_id, occurred_at, duration_us, succeeded
      from weir.parked_action`,
    expected:
      `select workflow_id, execution_id, step_id, occurred_at, duration_us, succeeded
      from fact f where type = 'action.executed' and not exists (
        select from lived l
        where l.workflow_id = f.workflow_id and l.execution_id = f.execution_id)`,
  },
  {
    name: "event ids",
    stored:
      `select workflow_id, count(distinct event_id) from weir.event group by 1`,
    expected: `select workflow_id, count(*) from weir.event group by 1`,
  },
];

/**
 * Recomputes every projection and rollup from the stored events that do not wait in
 * the queue, in one snapshot: it may be asked at any instant, also while others write
 * and fold, and holds unless a changed setting still owes its `recompute()`.
 *
 * @param sql Client; one connection of it is used.
 * @returns What differs, a line each; empty when every number is right.
 */
export async function recount(sql: Sql): Promise<string[]> {
  return await sql.begin("isolation level repeatable read", async (tx) => {
    for (const stage of STAGES) await tx.unsafe(stage);
    const differences: string[] = [];
    for (const { name, stored, expected } of [...PROJECTIONS, ...ROLLUPS]) {
      const rows = await tx.unsafe<{ side: string; row: string }[]>(`
        with stored as materialized (${stored}), expected as materialized (${expected})
        select 'is' as side, to_jsonb(a)::text as row
        from (select * from stored except all select * from expected) a
        union all
        select 'should be', to_jsonb(b)::text
        from (select * from expected except all select * from stored) b
        order by row limit ${DIFFERENCES_MAX}`);
      differences.push(
        ...rows.map(({ side, row }) => `${name} ${side} ${row}`),
      );
    }
    return differences;
  });
}
