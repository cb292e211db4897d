-- The audit: every number recomputed from what lies below it, by the words of the rules and not by the
-- fold's arithmetic. Executions from their events, rollups from executions and actions, months from days.
--
-- Only what can be recomputed is: executions whose events are all kept (open, or ended within 90 days), days
-- that began within 89, months whose days are kept.

-- audit_compare(relation, stored, expected): records how two queries with the same columns differ. Returns
-- the number of rows that are wrong or missing.
create or replace function audit_compare(relation text, stored text, expected text) returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  difference   record;
  differences  int := 0;
begin
  for difference in execute format($q$
    with stored as materialized (%s), expected as materialized (%s)
    select to_jsonb(a) as is_stored, null::jsonb as should_be
    from (select * from stored except all select * from expected) a
    union all
    select null, to_jsonb(b) from (select * from expected except all select * from stored) b$q$, stored, expected)
  loop
    insert into audit_drift (relation, is_stored, should_be)
    values (relation, difference.is_stored, difference.should_be) on conflict do nothing;
    differences := differences + 1;
  end loop;
  return differences;
end $$;

-- audit_executions(sample, horizon): some executions (null: all) against their events.
create or replace function audit_executions(sample int, horizon timestamptz) returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows  int[] := array(select workflow_id from workflow where recompute_since is null);
  pick       record;
begin
  if sample is null then
    create temp table audit_execution on commit drop as
    select x.workflow_id, x.execution_id from execution x join workflow w using (workflow_id)
    where w.recompute_since is null and (x.ended_at is null or x.ended_at > horizon);
  else
    create temp table audit_execution (workflow_id int, execution_id uuid, primary key (workflow_id, execution_id))
    on commit drop;
    for pick in
      select gen_random_uuid() as id, workflows[1 + floor(random() * cardinality(workflows))::int] as workflow_id
      from generate_series(1, sample)
    loop
      insert into audit_execution
      select workflow_id, execution_id from (
        select * from execution x where x.workflow_id = pick.workflow_id and x.execution_id >= pick.id
        order by x.execution_id limit 1
      ) x where x.ended_at is null or x.ended_at > horizon
      on conflict do nothing;
    end loop;
  end if;
  analyze audit_execution;

  create temp table audit_fact on commit drop as
  select e.*, s.step_id, g.goal_id, w.goal_ends_execution as goal_ends,
    w.conversion_window_us * interval '1 microsecond' as open_for
  from audit_execution x
  join event e using (workflow_id, execution_id)
  join workflow w using (workflow_id)
  left join step s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
  left join goal g on g.workflow_id = e.workflow_id and g.goal_uuid = e.subject_uuid
  left join event_queue q on q.workflow_id = e.workflow_id and q.event_id = e.event_id
  where q.event_id is null;
  analyze audit_fact;

  create temp table audit_enrolled on commit drop as
  with enrolment as (
    select distinct on (workflow_id, execution_id) * from audit_fact
    where type = 'execution.enrolled'
    order by workflow_id, execution_id, occurred_at, sequence, event_id
  ), ending as (
    select distinct on (workflow_id, execution_id) *, case type
      when 'execution.completed' then 'completed' when 'execution.failed' then 'error'
      when 'goal.achieved' then 'goal_achieved' else reason end as word
    from audit_fact
    where type in ('execution.completed', 'execution.exited', 'execution.failed')
      or type = 'goal.achieved' and goal_ends
    order by workflow_id, execution_id, occurred_at, sequence, event_id
  )
  select n.workflow_id, n.execution_id, n.contact_id, n.source, n.version, n.occurred_at as enrolled_at,
    n.occurred_at + n.open_for as window_end, e.word,
    case when e.word is not null then greatest(e.occurred_at, n.occurred_at) end as ended_at,
    e.occurred_at as end_at, e.sequence as end_sequence, e.event_id as end_event,
    case when e.word is null then 'active'
      when e.word in ('completed', 'goal_achieved', 'error') then e.word else 'exited' end as status
  from enrolment n left join ending e using (workflow_id, execution_id);
  analyze audit_enrolled;

  create temp table audit_achieved on commit drop as
  with once as (
    select distinct on (f.workflow_id, f.execution_id, f.goal_id) f.*,
      greatest(f.occurred_at, x.enrolled_at) as achieved_at
    from audit_fact f join audit_enrolled x using (workflow_id, execution_id)
    where f.type = 'goal.achieved' and (x.word is null
      or (f.occurred_at, f.sequence, f.event_id) <= (x.end_at, x.end_sequence, x.end_event)
      or greatest(f.occurred_at, x.enrolled_at) < x.window_end)
    order by f.workflow_id, f.execution_id, f.goal_id, f.occurred_at, f.sequence, f.event_id
  )
  select *, row_number() over (
    partition by workflow_id, execution_id order by occurred_at, sequence, event_id) = 1 as is_conversion
  from once;

  create temp table audit_visited on commit drop as
  select workflow_id, execution_id, step_id,
    count(*) filter (where type = 'step.entered') as visits,
    min(occurred_at) filter (where type = 'step.entered') as entered_at,
    min(occurred_at) filter (where type = 'step.completed') as completed_at,
    (array_agg(sequence order by occurred_at, sequence, event_id) filter (where type = 'step.completed'))[1]
      as completed_sequence,
    (array_agg(event_id order by occurred_at, sequence, event_id) filter (where type = 'step.completed'))[1]
      as completed_event
  from audit_fact where type in ('step.entered', 'step.completed')
  group by workflow_id, execution_id, step_id;

  return audit_compare('execution', $q$
      select workflow_id, execution_id, enrolled_at, contact_id, source, version, status::text, ended_at, end_reason,
        converted_at, left_after
      from execution join audit_execution using (workflow_id, execution_id) where status is not null$q$, $q$
      select x.workflow_id, x.execution_id, x.enrolled_at, x.contact_id, x.source, x.version, x.status, x.ended_at,
        x.word, g.achieved_at, case when x.status in ('exited', 'error') and l.completed_at is not null then l.step_id end
      from audit_enrolled x
      left join (select * from audit_achieved where is_conversion) g using (workflow_id, execution_id)
      left join (
        select distinct on (workflow_id, execution_id) * from audit_visited order by workflow_id, execution_id,
          completed_at desc nulls first, completed_sequence desc, completed_event desc
      ) l using (workflow_id, execution_id)$q$)
    + audit_compare('execution_step', $q$
      select workflow_id, execution_id, step_id, visits, entered_at, completed_at, enrolled_at
      from execution_step join audit_execution using (workflow_id, execution_id)$q$, $q$
      select workflow_id, execution_id, step_id, visits, entered_at, completed_at, x.enrolled_at
      from audit_visited left join audit_enrolled x using (workflow_id, execution_id)$q$)
    + audit_compare('execution_goal', $q$
      select workflow_id, execution_id, goal_id, achieved_at, is_conversion
      from execution_goal join audit_execution using (workflow_id, execution_id) where achieved_at is not null$q$, $q$
      select workflow_id, execution_id, goal_id, achieved_at, is_conversion from audit_achieved$q$);
end $$;

-- audit_rollup(relation, keys, sums, source, grains): a rollup in audited days against its source, which has a
-- row a fact with at and day. sums: {"column": "aggregate"}.
create or replace function audit_rollup(relation text, keys text, sums jsonb, source text, grains text) returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  names    text := (select string_agg(key, ', ' order by key) from jsonb_each_text(sums));
  counted  text := (select string_agg(format('coalesce(%s, 0) as %I', value, key), ', ' order by key) from jsonb_each_text(sums));
begin
  return audit_compare(relation, format($q$
      select r.workflow_id, r.grain, r.bucket, r.version, %1$s, %2$s
      from audit_bucket b join %3$I r on r.workflow_id = b.workflow_id and r.grain = 'day' and r.bucket = b.bucket
      where 0 <> any (array[%2$s]::numeric[])
      union all
      select r.workflow_id, r.grain, r.bucket, r.version, %1$s, %2$s
      from audit_bucket b join %3$I r on r.workflow_id = b.workflow_id and r.grain = '15min'
        and r.bucket >= b.since and r.bucket < b.until and (r.bucket at time zone b.zone)::date = b.day
      where 0 <> any (array[%2$s]::numeric[])$q$, keys, names, relation), format($q$
      select * from (
        select workflow_id, grain, bucket, version, %1$s, %2$s
        from %4$s s cross join lateral (values
          ('day'::grain, day_key(day)), ('15min'::grain, bucket_15min(at))) g(grain, bucket)
        where grain = any (%5$L::grain[])
        group by workflow_id, grain, bucket, version, %1$s
      ) counted where 0 <> any (array[%3$s]::numeric[])$q$, keys, counted, names, source, grains));
end $$;

-- audit_days(sample, since, until): some days of workflows (null: all) between two instants in the rollups, against
-- executions and actions.
create or replace function audit_days(sample int, since timestamptz, until timestamptz) returns int
language plpgsql
set search_path = weir, pg_temp as $$
begin
  -- since and until leave room for clocks that go over midnight twice.
  create temp table audit_bucket on commit drop as
  select workflow_id, time_zone as zone, day, day_key(day) as bucket,
    day::timestamp at time zone time_zone - interval '4 hours' as since,
    (day + 1)::timestamp at time zone time_zone + interval '4 hours' as until
  from (
    select w.workflow_id, a.time_zone, d::date as day
    from workflow w join account a using (account_id)
    cross join lateral generate_series((audit_days.since at time zone a.time_zone)::date + 1,
      (audit_days.until at time zone a.time_zone)::date, interval '1 day') d
    where w.recompute_since is null
    order by case when sample is not null then random() end limit sample
  ) picked;
  analyze audit_bucket;

  create temp table audit_moment on commit drop as
  with moment as (
    select 'cohort' as kind, x.enrolled_at as at, b.day, x.*
    from audit_bucket b join execution x on x.workflow_id = b.workflow_id
      and x.enrolled_at >= b.since and x.enrolled_at < b.until and (x.enrolled_at at time zone b.zone)::date = b.day
    union all
    select 'end', x.ended_at, b.day, x.*
    from audit_bucket b join execution x on x.workflow_id = b.workflow_id
      and x.ended_at >= b.since and x.ended_at < b.until and (x.ended_at at time zone b.zone)::date = b.day
    union all
    select 'conversion', x.converted_at, b.day, x.*
    from (
      select x.*, (x.converted_at at time zone a.time_zone)::date as conversion_day
      from execution x join workflow using (workflow_id) join account a using (account_id)
      where x.converted_at >= audit_days.since
    ) c join audit_bucket b on b.workflow_id = c.workflow_id and b.day = c.conversion_day
    join execution x on x.workflow_id = c.workflow_id and x.execution_id = c.execution_id
  )
  select *, converted_at is not null as converts,
    status in ('completed', 'goal_achieved') as completes, status in ('exited', 'error') as exits,
    case when status in ('completed', 'goal_achieved') then microseconds(ended_at - enrolled_at) end as duration_us,
    microseconds(converted_at - enrolled_at) as conversion_us
  from moment;
  analyze audit_moment;

  create temp table audit_goal on commit drop as
  select 'cohort' as kind, m.at, m.day, m.workflow_id, m.version, g.goal_id, g.is_conversion
  from audit_moment m join execution_goal g using (workflow_id, execution_id)
  where m.kind = 'cohort' and g.achieved_at is not null
  union all
  select 'event', g.achieved_at, b.day, g.workflow_id, x.version, g.goal_id, g.is_conversion
  from (
    select g.*, (g.achieved_at at time zone a.time_zone)::date as day
    from execution_goal g join workflow using (workflow_id) join account a using (account_id)
    where g.achieved_at >= audit_days.since
  ) g join audit_bucket b on b.workflow_id = g.workflow_id and b.day = g.day
  join execution x on x.workflow_id = g.workflow_id and x.execution_id = g.execution_id;

  create temp table audit_step on commit drop as
  select m.at, m.day, m.workflow_id, m.version, m.status, s.step_id, s.visits, s.completed_at,
    m.left_after is not distinct from s.step_id as left_after,
    case when s.completed_at is not null
      then greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at))) end as time_us
  from audit_moment m join execution_step s using (workflow_id, execution_id)
  where m.kind = 'cohort';

  create temp table audit_action on commit drop as
  select e.occurred_at as at, b.day, e.workflow_id, x.version, s.step_id, e.succeeded, e.duration_us
  from audit_bucket b
  join event e on e.workflow_id = b.workflow_id and e.type = 'action.executed'
    and e.occurred_at >= b.since and e.occurred_at < b.until and (e.occurred_at at time zone b.zone)::date = b.day
  join step s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
  join execution x on x.workflow_id = e.workflow_id and x.execution_id = e.execution_id and x.enrolled_at is not null
  left join event_queue q on q.workflow_id = e.workflow_id and q.event_id = e.event_id
  where q.event_id is null;

  return audit_rollup('workflow_rollup', 'null::text', $j${
      "enrolled": "count(*) filter (where kind = 'cohort')",
      "enrolled_trigger": "count(*) filter (where kind = 'cohort' and source = 'trigger')",
      "enrolled_bulk": "count(*) filter (where kind = 'cohort' and source = 'bulk')",
      "enrolled_api": "count(*) filter (where kind = 'cohort' and source = 'api')",
      "enrolled_manual": "count(*) filter (where kind = 'cohort' and source = 'manual')",
      "cohort_completed": "count(*) filter (where kind = 'cohort' and completes)",
      "cohort_exited": "count(*) filter (where kind = 'cohort' and exits)",
      "cohort_converted": "count(*) filter (where kind = 'cohort' and converts)",
      "cohort_settled_converted": "count(*) filter (where kind = 'cohort' and converts and ended_at is not null)",
      "completed": "count(*) filter (where kind = 'end' and completes)",
      "exited": "count(*) filter (where kind = 'end' and exits)",
      "converted": "count(*) filter (where kind = 'conversion')",
      "cohort_duration_us": "sum(duration_us) filter (where kind = 'cohort')",
      "cohort_conversion_us": "sum(conversion_us) filter (where kind = 'cohort')",
      "duration_us": "sum(duration_us) filter (where kind = 'end')",
      "conversion_us": "sum(conversion_us) filter (where kind = 'conversion')"}$j$, 'audit_moment', '{day,15min}')
    + audit_rollup('reason_rollup', 'reason', $j${
      "cohort_ends": "count(*) filter (where kind = 'cohort')",
      "ends": "count(*) filter (where kind = 'end')"}$j$,
      '(select *, end_reason as reason from audit_moment where end_reason is not null)', '{day,15min}')
    + audit_rollup('goal_rollup', 'goal_id', $j${
      "cohort_achieved": "count(*) filter (where kind = 'cohort')",
      "cohort_first": "count(*) filter (where kind = 'cohort' and is_conversion)",
      "achieved": "count(*) filter (where kind = 'event')",
      "first": "count(*) filter (where kind = 'event' and is_conversion)"}$j$, 'audit_goal', '{day,15min}')
    + audit_rollup('step_rollup', 'step_id', $j${
      "entered": "count(*)",
      "completed": "count(*) filter (where completed_at is not null)",
      "dropped_off": "count(*) filter (where completed_at is null and status in ('exited', 'error'))",
      "goal_exits": "count(*) filter (where completed_at is null and status in ('completed', 'goal_achieved'))",
      "left_after": "count(*) filter (where left_after)",
      "visits": "sum(greatest(visits, 1))",
      "time_us": "sum(time_us)"}$j$, 'audit_step', '{day,15min}')
    + audit_rollup('action_rollup', 'step_id', $j${
      "executions": "count(*)",
      "successes": "count(*) filter (where succeeded)",
      "duration_us": "sum(duration_us)"}$j$, 'audit_action', '{day,15min}')
    + audit_rollup('histogram_bins', 'measure, subject_id, bin', '{"samples": "count(*)"}', $q$(
      select workflow_id, at, day, version, measure::measure, subject_id, histogram_bin(us) as bin from (
        select workflow_id, at, day, version, case kind when 'cohort' then 'cohort_duration' else 'duration' end, 0, duration_us
        from audit_moment where kind in ('cohort', 'end') and duration_us is not null
        union all
        select workflow_id, at, day, version, case kind when 'cohort' then 'cohort_conversion' else 'conversion' end, 0,
          conversion_us
        from audit_moment where kind in ('cohort', 'conversion') and conversion_us is not null
        union all
        select workflow_id, at, day, version, 'step_time', step_id, time_us from audit_step where time_us is not null
        union all
        select workflow_id, at, day, version, 'action_duration', step_id, duration_us from audit_action
      ) sample(workflow_id, at, day, version, measure, subject_id, us))$q$, '{day}');
end $$;

-- audit_months(sample, since): some months of workflows (null: all) in every rollup, against the sum of their days.
-- since: days are kept from then on.
create or replace function audit_months(sample int, since timestamptz) returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  relation     text;
  keys         text;
  sums         text;
  counted      text;
  differences  int := 0;
begin
  create temp table audit_month on commit drop as
  select workflow_id, bucket from (
    select distinct workflow_id, bucket from workflow_rollup where grain = 'month' and bucket >= since
    union
    select distinct workflow_id, bucket from action_rollup where grain = 'month' and bucket >= since
  ) m order by case when sample is not null then random() end limit sample;
  analyze audit_month;
  foreach relation in array array['workflow_rollup', 'reason_rollup', 'goal_rollup', 'step_rollup', 'action_rollup'] loop
    select string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
        filter (where a.attnum = any (i.indkey) and attname not in ('grain', 'bucket')),
      string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
        filter (where not a.attnum = any (i.indkey) and attname <> 'revision'),
      string_agg(format('sum(r.%1$I) as %1$I', a.attname), ', ' order by a.attnum)
        filter (where not a.attnum = any (i.indkey) and attname <> 'revision')
    into keys, sums, counted
    from pg_attribute a join pg_index i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = relation::regclass and a.attnum > 0 and not a.attisdropped;
    differences := differences + audit_compare(relation, format($q$
      select 'month' as grain, r.bucket, %s, %s from audit_month m join %I r
        on r.workflow_id = m.workflow_id and r.grain = 'month' and r.bucket = m.bucket
      where 0 <> any (array[%2$s]::numeric[])$q$, keys, sums, relation), format($q$
      select * from (
        select 'month' as grain, m.bucket, %1$s, %2$s from audit_month m join %3$I r
          on r.workflow_id = m.workflow_id and r.grain = 'day' and r.bucket >= m.bucket
            and r.bucket < (m.bucket at time zone 'UTC' + interval '1 month') at time zone 'UTC'
        group by m.bucket, %1$s
      ) r where 0 <> any (array[%4$s]::numeric[])$q$, keys, counted, relation, sums));
  end loop;
  return differences + audit_compare('histogram_bins', $q$
      select h.* from audit_month m join histogram_bins h
        on h.workflow_id = m.workflow_id and h.grain = 'month' and h.bucket = m.bucket$q$, $q$
      select h.workflow_id, 'month'::grain, h.measure, m.bucket, h.subject_id, h.version, h.bin, sum(h.samples)
      from audit_month m join histogram_bins h
        on h.workflow_id = m.workflow_id and h.grain = 'day' and h.bucket >= m.bucket
          and h.bucket < (m.bucket at time zone 'UTC' + interval '1 month') at time zone 'UTC'
      group by h.workflow_id, h.measure, m.bucket, h.subject_id, h.version, h.bin having sum(h.samples) <> 0$q$);
end $$;

-- audit_windows(sample): some slices and edges (null: all) of the workflows in audit_running, against the detail.
create or replace function audit_windows(sample int) returns int
language plpgsql
set search_path = weir, pg_temp as $$
begin
  create temp table audit_slice on commit drop as
  select s.*, first_instant(w.last_date + 1 - s.days, a.time_zone) as since,
    first_instant(w.last_date + 1, a.time_zone) as until
  from audit_running
  join (select *, (last_day at time zone 'UTC')::date as last_date from histogram_window) w using (workflow_id)
  join window_slice s using (workflow_id)
  join workflow k using (workflow_id) join account a using (account_id)
  order by case when sample is not null then random() end limit sample;
  create temp table audit_edge on commit drop as
  select w.workflow_id, measure, first_instant(edge, a.time_zone) as since,
    first_instant(edge + 1, a.time_zone) as until
  from audit_running join histogram_window w using (workflow_id)
  join workflow k using (workflow_id) join account a using (account_id)
  cross join unnest(w.sliced) as measure
  cross join (select unnest(window_days()) as days) d cross join generate_series(0, 1) as before
  cross join lateral (select (w.last_day at time zone 'UTC')::date - days + 1 - before as edge) e
  order by case when sample is not null then random() end limit sample;
  return audit_compare('window_slice',
      'select workflow_id, measure, days, subject_id, place, below, alike, samples from audit_slice', $q$
      select s.workflow_id, s.measure, s.days, s.subject_id, s.place,
        count(*) filter (where v.us < us_from and bin = first_bin),
        case when alike is not null then count(*) filter (where v.us = us_from) end,
        coalesce(array_agg(v.us order by v.us) filter (where alike is null and v.us between us_from and us_until), '{}')
      from audit_slice s cross join lateral generate_series(first_bin::int, last_bin) as bin
      left join lateral samples_of_bin(workflow_id, measure, subject_id, bin::smallint, since, until,
        measure = 'action_duration' and actions_wait(workflow_id)) v on true
      group by s.workflow_id, s.measure, s.days, s.subject_id, s.place, s.alike$q$)
    + audit_compare('window_edge', $q$
      select e.workflow_id, e.measure, e.quarter, e.subject_id, e.samples
      from audit_edge a join window_edge e on e.workflow_id = a.workflow_id and e.measure = a.measure
        and e.quarter >= a.since and e.quarter < a.until
      where e.samples <> '{}'$q$, $q$
      select a.workflow_id, a.measure, bucket_15min(v.at), v.subject_id, array_agg(v.us order by v.us)
      from audit_edge a cross join lateral dated_samples(workflow_id, measure, since, until) v
      group by 1, 2, 3, 4$q$);
end $$;

-- audit(sample, at): recomputes so many executions, days and months, picked by chance (null: everything), and
-- records what differs in audit_drift. Everything begins that list anew.
--
-- Returns  how many rows are wrong or missing.
-- Callers  workers/audit.ts, run_job() hourly with a small sample, `deno task audit` with everything.
-- Needs    a transaction of its own that is repeatable read: all of it is one snapshot, so others may
--          record and fold meanwhile. Blocks nobody.
create or replace function audit(sample int default null, at timestamptz default now()) returns int
language plpgsql
set jit = off
set work_mem = '64MB'
set search_path = weir, pg_temp as $$
declare
  horizon      timestamptz := at - interval '90 days';
  differences  int;
begin
  if current_setting('transaction_isolation') <> 'repeatable read' then
    raise 'Cannot audit: the transaction is not repeatable read';
  end if;
  if sample is null then
    delete from audit_drift;
  end if;
  differences := audit_executions(sample, horizon)
    + audit_days(sample, horizon, at + interval '1 day')
    + audit_months(sample, (date_trunc('month', at at time zone 'UTC') - interval '23 months') at time zone 'UTC');
  create temp table audit_running on commit drop as
  select workflow_id from workflow where recompute_since is null
  order by case when sample is not null then random() end
  limit case when sample is not null then 1 end;
  return differences + audit_compare('workflow_running',
    'select workflow_id, version, executions from workflow_running join audit_running using (workflow_id) where executions <> 0',
    'select workflow_id, version, count(*) from execution join audit_running using (workflow_id) where status = ''active'' group by 1, 2')
    + audit_compare('window_histogram', $q$
      select workflow_id, measure, days, subject_id, (array_lower(h.samples, 1) + n.nth - 1)::smallint as bin, n.samples
      from window_histogram h join audit_running using (workflow_id)
      cross join lateral unnest(h.samples) with ordinality as n(samples, nth) where n.samples <> 0$q$, $q$
      select workflow_id, h.measure, days, h.subject_id, h.bin, sum(h.samples)
      from histogram_window w join audit_running using (workflow_id) cross join unnest(window_days()) as days
      join histogram_bins h using (workflow_id)
      where h.grain = 'day' and h.bucket > last_day - days * interval '24 hours' and h.bucket <= last_day
      group by 1, 2, 3, 4, 5 having sum(h.samples) <> 0$q$)
    + audit_compare('window_histogram',
      'select workflow_id, measure, days, subject_id, total, bins from window_histogram join audit_running using (workflow_id)', $q$
      select workflow_id, measure, days, subject_id, histogram_total(samples),
        case when bins is not null then (histogram_ranks(samples)).bins end
      from window_histogram join audit_running using (workflow_id)$q$)
    + audit_windows(sample);
end $$;
