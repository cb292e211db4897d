-- Reads of one workflow. Each is one statement in one snapshot, so that all its numbers belong to
-- the same revision, and answers counts and sums; rates and rounding are db/*.ts's.
--
-- Parameters they share:
--   account, id   whose workflow; null is returned when the account has none of this id
--   first_day, last_day   local dates, both included; zone: IANA, null for the account's
--   only_version  executions of this version; null: of all
--   now           the clock, for what is "running now"

-- day_bounds(first_day, last_day, zone): the instants at which the days begin, and the end of the last one.
create or replace function day_bounds(first_day date, last_day date, zone text) returns timestamptz[]
language sql stable parallel safe
return array(
  select weir.first_instant(day::date, zone)
  from generate_series(first_day::timestamp, (last_day + 1)::timestamp, '1 day') as day order by day);

-- as_of(workflow, now): the instant up to which its numbers are complete: everything acknowledged
-- before is counted.
create or replace function as_of(workflow int, now timestamptz) returns timestamptz
language sql stable
set search_path = weir, pg_temp
return least(now,
  (select accepted_at from event_queue where workflow_id = workflow order by queue_id limit 1),
  (select recompute_since from workflow w where w.workflow_id = workflow));

-- day_percentiles(workflow, what, since, until, only_version): a row each step (or 0 for the workflow)
-- with nearest ranks over days of the account, in microseconds. since, until: day keys, until not in it.
create or replace function day_percentiles(
  workflow int, what measure, since timestamptz, until timestamptz, only_version int
) returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language sql stable
set search_path = weir, pg_temp
begin atomic
  with bins as (
    select h.subject_id, h.bin, sum(h.samples) as samples
    from histogram_rollup h
    where h.workflow_id = workflow and h.grain = 'day' and h.measure = what
      and h.bucket >= since and h.bucket < until
      and (only_version is null or h.version = only_version)
    group by h.subject_id, h.bin having sum(h.samples) > 0
  ), ranked as (
    select bins.subject_id, bin, sum(samples) over (partition by bins.subject_id order by bin) as rank,
      sum(samples) over (partition by bins.subject_id) as total
    from bins
  )
  select r.subject_id,
    histogram_value(min(bin) filter (where rank >= ceil(0.50 * total))),
    histogram_value(min(bin) filter (where rank >= ceil(0.95 * total))),
    histogram_value(min(bin) filter (where rank >= ceil(0.99 * total))),
    histogram_value(min(bin)), histogram_value(max(bin))
  from ranked r group by r.subject_id;
end;

-- exact_percentiles(workflow, what, since, until, only_version): the same from the detail, for
-- ranges that are not days of the account.
create or replace function exact_percentiles(
  workflow int, what measure, since timestamptz, until timestamptz, only_version int
) returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
  with sample as (
    select 0 as subject_id, microseconds(e.ended_at - e.enrolled_at) as us
    from execution e
    where what = 'cohort_duration' and e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
      and e.enrolled_at >= since and e.enrolled_at < until
      and (only_version is null or e.version = only_version)
    union all
    select 0, microseconds(e.ended_at - e.enrolled_at)
    from execution e
    where what = 'duration' and e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
      and e.ended_at >= since and e.ended_at < until
      and (only_version is null or e.version = only_version)
    union all
    select 0, microseconds(e.converted_at - e.enrolled_at)
    from execution e
    where what = 'cohort_conversion' and e.workflow_id = workflow and e.converted_at is not null
      and e.enrolled_at >= since and e.enrolled_at < until
      and (only_version is null or e.version = only_version)
    union all
    select 0, microseconds(e.converted_at - e.enrolled_at)
    from execution e
    where what = 'conversion' and e.workflow_id = workflow
      and e.converted_at >= since and e.converted_at < until
      and (only_version is null or e.version = only_version)
    union all
    select s.step_id, greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at)))
    from execution e join execution_step s using (workflow_id, execution_id)
    where what = 'step_time' and e.workflow_id = workflow and s.completed_at is not null
      and e.enrolled_at >= since and e.enrolled_at < until
      and (only_version is null or e.version = only_version)
    union all
    select s.step_id, a.duration_us
    from event a
    join execution e using (workflow_id, execution_id)
    join step s on s.workflow_id = a.workflow_id and s.step_uuid = a.subject_uuid
    where what = 'action_duration' and a.workflow_id = workflow and a.type = 'action.executed'
      and a.occurred_at >= since and a.occurred_at < until and e.enrolled_at is not null
      and (only_version is null or e.version = only_version)
      and not exists (  -- accepted, not folded yet
        select from event_queue q where q.workflow_id = a.workflow_id and q.event_id = a.event_id)
  ), ranked as (
    select sample.subject_id, percentile_disc(array[0.5, 0.95, 0.99]) within group (order by us) as p,
      min(us) as fastest, max(us) as slowest
    from sample group by sample.subject_id
  )
  select r.subject_id, p[1]::float8, p[2]::float8, p[3]::float8, r.fastest::float8, r.slowest::float8
  from ranked r;
end $$;

-- percentiles(workflow, what, grain, since, until, only_version): from histograms where the range is
-- made of the account's days, else exactly.
create or replace function percentiles(
  workflow int, what measure, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  if grain = 'day' then
    return query select * from day_percentiles(workflow, what, since, until, only_version);
  else
    return query select * from exact_percentiles(workflow, what, since, until, only_version);
  end if;
end $$;

-- definition_of(workflow, version): {"steps": […], "goals": […]} of a version; null where there is none.
create or replace function definition_of(workflow int, version int) returns jsonb
language sql stable
return (select v.definition from weir.workflow_version v
  where v.workflow_id = workflow and v.version = definition_of.version);

-- newest_with(workflow, part, key, id): the step or goal as the newest version that has it says.
create or replace function newest_with(workflow int, part text, key text, id uuid) returns jsonb
language sql stable
return (
  select item from weir.workflow_version v, jsonb_array_elements(v.definition->part) as item
  where v.workflow_id = workflow and item->>key = id::text
  order by v.version desc limit 1);

-- read_head(…): what every read begins with; workflow is null when the account has none of this id.
--
-- grain  'day' where the zone's days are the account's, else '15min'
-- keys   in the rollups of that grain: where each day begins, and the end of the last
-- head   {tz, bounds, as_of, revision, steps} of the answer; bounds are instants
create or replace function read_head(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz,
  out workflow int, out grain grain, out keys timestamptz[], out head jsonb
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  w       record;
  bounds  timestamptz[];
begin
  select f.workflow_id, f.newest_version, a.time_zone, coalesce(zone, a.time_zone) as tz into w
  from workflow f join account a using (account_id)
  where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return;
  end if;

  workflow := w.workflow_id;
  bounds := day_bounds(first_day, last_day, w.tz);
  if w.tz = w.time_zone or bounds = day_bounds(first_day, last_day, w.time_zone) then
    grain := 'day';
    keys := array(select day_key(first_day + i) from generate_series(0, last_day - first_day + 1) as i);
  else
    grain := '15min';
    keys := bounds;
  end if;
  head := jsonb_build_object(
    'tz', w.tz,
    'bounds', (select jsonb_agg(iso_instant(b) order by ix) from unnest(bounds) with ordinality as x(b, ix)),
    'as_of', iso_instant(as_of(workflow, now)),
    'revision', coalesce((select revision from workflow_revision r where r.workflow_id = workflow), 0),
    'steps', coalesce(definition_of(workflow, coalesce(only_version, w.newest_version))->'steps', '[]'));
end $$;

-- read_analytics(…): counts behind GET …/analytics. attribution: 'cohort' | 'event'.
-- Callers: readAnalytics() of db/analytics.ts, which names the columns.
create or replace function read_analytics(
  account int, id uuid, first_day date, last_day date, zone text, attribution text, only_version int, now timestamptz
) returns jsonb
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  r       record;
  since   timestamptz;
  until   timestamptz;
  cohort  boolean := attribution = 'cohort';
begin
  r := read_head(account, id, first_day, last_day, zone, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  return r.head || jsonb_build_object(
    -- One row a day on which something happened; day: 0 for the first.
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by day), '[]') from (
        select width_bucket(bucket, r.keys) - 1 as day,
          sum(enrolled) as enrolled, sum(cohort_completed) as cohort_completed,
          sum(cohort_exited) as cohort_exited, sum(cohort_converted) as cohort_converted,
          sum(cohort_settled_converted) as cohort_settled_converted,
          sum(completed) as completed, sum(exited) as exited, sum(converted) as converted,
          sum(enrolled_trigger) as trigger, sum(enrolled_bulk) as bulk,
          sum(enrolled_api) as api, sum(enrolled_manual) as manual,
          sum(case when cohort then cohort_duration_us else duration_us end)::text as duration_us,
          sum(case when cohort then cohort_conversion_us else conversion_us end)::text as conversion_us
        from workflow_rollup
        where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
          and (only_version is null or version = only_version)
        group by 1
      ) d),
    'running', (
      select coalesce(sum(executions), 0) from workflow_running
      where workflow_id = r.workflow and (only_version is null or version = only_version)),
    -- Enrolled less ended, dated at or after the range's end …
    'net_after', net_since(r.workflow, r.grain, until, only_version),
    -- … and at or after now, for days that are not over.
    'net_ahead', net_ahead(r.workflow, now, only_version),
    'reasons', (
      select coalesce(jsonb_agg(to_jsonb(x)), '[]') from (
        select reason, sum(case when cohort then cohort_ends else ends end) as count
        from reason_rollup
        where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
          and (only_version is null or version = only_version)
        group by reason having sum(case when cohort then cohort_ends else ends end) > 0
        order by 2 desc, 1
      ) x),
    'goals', (
      select coalesce(jsonb_agg(to_jsonb(x)), '[]') from (
        select g.goal_uuid as goal_id, achieved, first,
          newest_with(r.workflow, 'goals', 'goal_id', g.goal_uuid)->>'name' as goal_name
        from (
          select goal_id, sum(case when cohort then cohort_achieved else t.achieved end) as achieved,
            sum(case when cohort then cohort_first else t.first end) as first
          from goal_rollup t
          where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
            and (only_version is null or version = only_version)
          group by goal_id
        ) sums join goal g on g.workflow_id = r.workflow and g.goal_id = sums.goal_id
        where achieved > 0
        order by achieved desc, g.goal_uuid
      ) x),
    'duration', (select to_jsonb(p) from percentiles(r.workflow,
      case when cohort then 'cohort_duration' else 'duration' end::measure,
      r.grain, since, until, only_version) p),
    'conversion', (select to_jsonb(p) from percentiles(r.workflow,
      case when cohort then 'cohort_conversion' else 'conversion' end::measure,
      r.grain, since, until, only_version) p));
end $$;

-- net_since(workflow, grain, key, only_version): executions enrolled less executions ended, in the buckets
-- from a key on.
create or replace function net_since(workflow int, grain grain, key timestamptz, only_version int)
returns bigint
language sql stable
set search_path = weir, pg_temp
begin atomic
  select coalesce(sum(enrolled) - sum(completed) - sum(exited), 0)::bigint from workflow_rollup r
  where workflow_id = workflow and r.grain = net_since.grain and bucket >= key
    and (only_version is null or version = only_version);
end;

-- net_ahead(workflow, instant, only_version): the same at or after any instant near now: whole quarters of
-- an hour from the rollup, the rest of its own from the detail.
create or replace function net_ahead(workflow int, instant timestamptz, only_version int) returns bigint
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  next  timestamptz := bucket_15min(instant) + interval '15 minutes';
begin
  return net_since(workflow, '15min', next, only_version)
    + (select count(*) from execution
       where workflow_id = workflow and enrolled_at >= instant and enrolled_at < next
         and (only_version is null or version = only_version))
    - (select count(*) from execution
       where workflow_id = workflow and ended_at >= instant and ended_at < next
         and (only_version is null or version = only_version));
end $$;

-- read_funnel(…): counts behind GET …/analytics/funnel, cohort attributed.
-- Callers: readFunnel() of db/funnel.ts.
create or replace function read_funnel(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz
) returns jsonb
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  r      record;
  since  timestamptz;
  until  timestamptz;
begin
  r := read_head(account, id, first_day, last_day, zone, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  return r.head || jsonb_build_object(
    'cohort', (
      select jsonb_build_object('enrolled', coalesce(sum(enrolled), 0),
        'completed', coalesce(sum(cohort_completed), 0))
      from workflow_rollup
      where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
        and (only_version is null or version = only_version)),
    'counts', (
      select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (
        select s.step_uuid as step_id, sums.*, p.p50, p.p95,
          newest_with(r.workflow, 'steps', 'step_id', s.step_uuid) as step
        from (
          select step_id as number, sum(entered) as entered, sum(completed) as completed,
            sum(dropped_off) as dropped_off, sum(goal_exits) as goal_exits,
            sum(left_after) as left_after, sum(visits) as visits, sum(time_us)::text as time_us
          from step_rollup
          where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
            and (only_version is null or version = only_version)
          group by step_id having sum(entered) > 0
        ) sums
        join step s on s.workflow_id = r.workflow and s.step_id = sums.number
        left join percentiles(r.workflow, 'step_time', r.grain, since, until, only_version) p
          on p.subject_id = sums.number
      ) c));
end $$;

-- read_actions(…): counts behind GET …/analytics/actions, by event.
-- Callers: readActions() of db/actions.ts.
create or replace function read_actions(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz
) returns jsonb
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  r      record;
  since  timestamptz;
  until  timestamptz;
begin
  r := read_head(account, id, first_day, last_day, zone, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  return r.head || jsonb_build_object(
    'counts', (
      select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (
        select s.step_uuid as action_id, sums.*, p.p50, p.p95, p.p99,
          newest_with(r.workflow, 'steps', 'step_id', s.step_uuid) as step
        from (
          select step_id as number, sum(executions) as executions, sum(successes) as successes,
            sum(duration_us)::text as duration_us
          from action_rollup
          where workflow_id = r.workflow and grain = r.grain and bucket >= since and bucket < until
            and (only_version is null or version = only_version)
          group by step_id having sum(executions) > 0
        ) sums
        join step s on s.workflow_id = r.workflow and s.step_id = sums.number
        left join percentiles(r.workflow, 'action_duration', r.grain, since, until, only_version) p
          on p.subject_id = sums.number
      ) c));
end $$;

-- workflow_listing(account, now, days): every workflow of an account with its last days, today
-- included, in the account's zone, cohort attributed. sort_name: the name, or the id, in lower case.
create or replace function workflow_listing(account int, now timestamptz, days int)
returns table (
  workflow_id int, workflow_uuid uuid, name text, status text, owner_id text, sort_name text,
  total_enrolled int, currently_active int, completed int, goals_achieved int, as_of text
)
language sql stable
set search_path = weir, pg_temp
begin atomic
  select w.workflow_id, w.workflow_uuid, w.name, w.status, w.owner_id,
    lower(coalesce(w.name, w.workflow_uuid::text)) collate "C",
    coalesce(sums.enrolled, 0)::int,
    (coalesce(running.executions, 0) - net_ahead(w.workflow_id, workflow_listing.now, null))::int,
    coalesce(sums.completed, 0)::int, coalesce(sums.converted, 0)::int,
    iso_instant(min(as_of(w.workflow_id, workflow_listing.now)) over ())
  from workflow w
  join account a using (account_id)
  cross join lateral (
    select day_key(today - (days - 1)) as since, day_key(today) as until
    from (select (workflow_listing.now at time zone a.time_zone)::date as today) t
  ) range
  left join lateral (
    select sum(q.enrolled) as enrolled, sum(q.cohort_completed) as completed,
      sum(q.cohort_converted) as converted
    from workflow_rollup q
    where q.workflow_id = w.workflow_id and q.grain = 'day'
      and q.bucket between range.since and range.until
  ) sums on true
  left join lateral (
    select sum(v.executions) as executions from workflow_running v where v.workflow_id = w.workflow_id
  ) running on true
  where w.account_id = account;
end;
