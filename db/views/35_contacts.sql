-- Reads with unit=contact: how many contacts, where the others count executions. Most contacts come once, and of them a
-- number of contacts is a number of executions. So these are the reads of 30_reads.sql, put right for those who come
-- again (returning_contact): less what their executions count, and what they count as contacts in addition. Of them any
-- two days do not add up, so that is read from the detail, which is promised of detail_since() on: of a range that
-- begins before, the head alone is answered. Parameters and keys are those of 30_reads.sql; since and until are instants.
--
-- Cost is that of the read of executions, and some 20 us an execution of those who come again. How many these are, and
-- whether of a day or of three months, is planned for each call anew, which is short beside it.

-- returning_facts(workflow, since, until, only_version): a row each enrolment, end and conversion between two instants,
-- of contacts who come again, with what its execution is now.
create or replace function returning_facts(workflow int, since timestamptz, until timestamptz, only_version int)
returns table (
  fact text, at timestamptz, contact_id text, source enrollment_source, completes boolean, exits boolean,
  converts boolean, runs boolean, end_reason text
)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
  return query
    select k.fact, k.at, e.contact_id, e.source, e.status in ('completed', 'goal_achieved'),
      e.status in ('exited', 'error'), e.converted_at is not null, e.ended_at is null, e.end_reason
    from returning_contact c
    join execution e on e.workflow_id = c.workflow_id and e.contact_id = c.contact_id
    cross join lateral (values
      ('enrolled', e.enrolled_at), ('ended', e.ended_at), ('converted', e.converted_at)
    ) as k(fact, at)
    where c.workflow_id = workflow and k.at >= since and k.at < until and (only_version is null or e.version = only_version);
end $$;

-- contact_sums(workflow, grain, keys, bounds, cohort, only_version): bucket_sums() of contacts, and one row for the
-- range, whose position is null. A contact counts once in each number, if any of its executions does.
--
-- bounds       where each bucket begins, and the end of the last, as instants
-- newcomers    of the enrolled, those not enrolled in an earlier bucket of the range
-- settled_*    of the enrolled of whom no execution of the same bucket, or range, still runs
-- durations    executions that duration_us is the sum of; conversion_times alike
create or replace function contact_sums(
  workflow int, grain grain, keys timestamptz[], bounds timestamptz[], cohort boolean, only_version int
) returns table (
  "position" int, enrolled bigint, newcomers bigint, in_progress bigint, cohort_completed bigint,
  cohort_converted bigint, settled_completed bigint, settled_converted bigint, completed bigint,
  exited bigint, converted bigint, trigger bigint, bulk bigint, api bigint, manual bigint,
  durations bigint, duration_us text, conversion_times bigint, conversion_us text
)
language sql stable
begin atomic
  with fact as materialized (
    select width_bucket(f.at, bounds) - 1 as bucket, f.contact_id, f.fact = 'enrolled' as enrolled,
      f.fact = 'converted' as converted, case when f.fact = 'enrolled' then f.source end as source,
      f.fact = 'enrolled' and f.completes as cohort_completed, f.fact = 'enrolled' and f.converts as cohort_converted,
      f.fact = 'enrolled' and f.runs as runs, f.fact = 'ended' and f.completes as completed,
      f.fact = 'ended' and f.exits as exited
    from returning_facts(workflow, bounds[1], bounds[cardinality(bounds)], only_version) f
  ), contact as materialized (
    select f.bucket, f.contact_id, bool_or(f.enrolled) as enrolled,
      min(f.bucket) filter (where f.enrolled) as first_bucket,
      bool_or(f.cohort_completed) as cohort_completed, bool_or(f.cohort_converted) as cohort_converted,
      bool_or(f.runs) as runs, bool_or(f.completed) as completed, bool_or(f.exited) as exited,
      bool_or(f.converted) as converted,
      bool_or(f.source = 'trigger') as trigger, bool_or(f.source = 'bulk') as bulk,
      bool_or(f.source = 'api') as api, bool_or(f.source = 'manual') as manual
    from fact f
    group by grouping sets ((f.bucket, f.contact_id), (f.contact_id))
  ), newcomer as (
    select c.first_bucket, count(*) as contacts from contact c where c.bucket is null and c.enrolled group by 1
  ), sums as materialized (
    select b."position", b.enrolled, b.newcomers, b.in_progress, b.cohort_completed, b.cohort_converted,
      b.settled_completed, b.settled_converted, b.completed, b.exited, b.converted, b.trigger, b.bulk, b.api, b.manual,
      b.durations, b.duration_us::numeric as duration_us, b.conversion_times, b.conversion_us::numeric as conversion_us
    from bucket_sums(workflow, grain, keys, cohort, only_version) b
    union all  -- less the executions of those who come again
    select f.bucket, -count(*) filter (where f.enrolled), -count(*) filter (where f.enrolled),
      -count(*) filter (where f.runs), -count(*) filter (where f.cohort_completed),
      -count(*) filter (where f.cohort_converted), -count(*) filter (where f.cohort_completed),
      -count(*) filter (where f.cohort_converted and not f.runs),
      -count(*) filter (where f.completed), -count(*) filter (where f.exited), -count(*) filter (where f.converted),
      -count(*) filter (where f.source = 'trigger'), -count(*) filter (where f.source = 'bulk'),
      -count(*) filter (where f.source = 'api'), -count(*) filter (where f.source = 'manual'), 0, 0, 0, 0
    from fact f group by f.bucket
  ), whole as (  -- of the range as of a bucket, but the contacts, who do not add up
    select s."position", s.enrolled, s.newcomers, s.in_progress, s.cohort_completed, s.cohort_converted,
      s.settled_completed, s.settled_converted, s.completed, s.exited, s.converted, s.trigger, s.bulk, s.api, s.manual,
      s.durations, s.duration_us, s.conversion_times, s.conversion_us
    from sums s
    union all
    select null, s.enrolled, 0, s.in_progress, s.cohort_completed, s.cohort_converted,
      s.settled_completed, s.settled_converted, s.completed, s.exited, s.converted, s.trigger, s.bulk, s.api, s.manual,
      s.durations, s.duration_us, s.conversion_times, s.conversion_us
    from sums s
    union all
    select c.bucket, count(*) filter (where c.enrolled), coalesce(min(n.contacts), 0),
      count(*) filter (where c.runs),
      count(*) filter (where c.cohort_completed), count(*) filter (where c.cohort_converted),
      count(*) filter (where c.cohort_completed and not c.runs),
      count(*) filter (where c.cohort_converted and not c.runs),
      count(*) filter (where c.completed), count(*) filter (where c.exited), count(*) filter (where c.converted),
      count(*) filter (where c.trigger), count(*) filter (where c.bulk), count(*) filter (where c.api),
      count(*) filter (where c.manual), 0, 0, 0, 0
    from contact c left join newcomer n on n.first_bucket = c.bucket
    group by c.bucket
  )
  select w."position", sum(w.enrolled)::bigint, sum(w.newcomers)::bigint, sum(w.in_progress)::bigint,
    sum(w.cohort_completed)::bigint, sum(w.cohort_converted)::bigint, sum(w.settled_completed)::bigint,
    sum(w.settled_converted)::bigint, sum(w.completed)::bigint, sum(w.exited)::bigint, sum(w.converted)::bigint,
    sum(w.trigger)::bigint, sum(w.bulk)::bigint, sum(w.api)::bigint, sum(w.manual)::bigint,
    sum(w.durations)::bigint, sum(w.duration_us)::text, sum(w.conversion_times)::bigint, sum(w.conversion_us)::text
  from whole w
  group by w."position";
end;

-- fewer_running(workflow, instants, only_version): how many contacts fewer than executions run, at each of some
-- ascending instants. Whenever enrolled: of those that ended, as far back as they are kept.
create or replace function fewer_running(workflow int, instants timestamptz[], only_version int) returns bigint[]
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
begin
  return array(
    -- An execution runs from the first instant after its enrolment to the last not after its end.
    with stay as materialized (
      select contact_id, int4range(width_bucket(enrolled_at, instants),
        coalesce(width_bucket(ended_at, instants), cardinality(instants))) as positions
      from returning_contact join execution using (workflow_id, contact_id)
      where workflow_id = workflow and enrolled_at < instants[cardinality(instants)]
        and (ended_at is null or ended_at >= instants[1])
        and (only_version is null or version = only_version)
    ), change as (
      select k.position, sum(k.fewer) as fewer
      from (
        select positions, 1 as sign from stay
        union all
        select unnest(range_agg(positions)), -1 from stay group by contact_id
      ) part cross join lateral (values (lower(positions), sign), (upper(positions), -sign)) as k(position, fewer)
      group by 1
    )
    select coalesce(sum(fewer) over (order by position), 0)::bigint
    from generate_series(0, cardinality(instants) - 1) as i(position) left join change using (position)
    order by position);
end $$;

-- contacts_running(workflow, grain, keys, bounds, now, only_version): contacts of whom anything runs at the end of each
-- bucket, or now.
create or replace function contacts_running(
  workflow int, grain grain, keys timestamptz[], bounds timestamptz[], now timestamptz, only_version int
) returns bigint[]
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  net    record := running_counts(workflow, grain, keys, bounds, now, only_version);
  fewer  bigint[];
begin
  fewer := fewer_running(workflow,
    array(select least(b, now) from unnest(bounds[2:]) with ordinality as x(b, ix) order by ix), only_version);
  return array(
    -- Backwards from what runs in the end: less what began since, and what ended.
    select case when bounds[i.ix + 1] > now then net.running - net.ahead
        else net.running - net.after
          - coalesce(sum(s.change) over (order by i.ix desc rows between unbounded preceding and 1 preceding), 0)
      end - fewer[i.ix]
    from generate_series(1, cardinality(bounds) - 1) as i(ix)
    left join (
      select position + 1 as ix, enrolled - completed - exited as change from bucket_sums(workflow, grain, keys, true, only_version)
    ) s using (ix)
    order by i.ix);
end $$;

-- returning_totals(workflow, since, until, cohort, only_version): what is to be added to the enrolled, completed and
-- converted of totals(), for contacts.
create or replace function returning_totals(
  workflow int, since timestamptz, until timestamptz, cohort boolean, only_version int,
  out enrolled bigint, out completed bigint, out converted bigint
)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
begin
  select count(distinct contact_id) filter (where fact = 'enrolled') - count(*) filter (where fact = 'enrolled'),
    count(distinct contact_id) filter (where fact = ended and completes) - count(*) filter (where fact = ended and completes),
    count(distinct contact_id) filter (where fact = won and converts) - count(*) filter (where fact = won and converts)
  into enrolled, completed, converted
  from returning_facts(workflow, since, until, only_version)
  cross join (select case when cohort then 'enrolled' else 'ended' end as ended,
    case when cohort then 'enrolled' else 'converted' end as won) counted;
end $$;

-- returning_goals(workflow, since, until, cohort, only_version): a row each goal and execution of a contact who comes
-- again that achieved it.
create or replace function returning_goals(
  workflow int, since timestamptz, until timestamptz, cohort boolean, only_version int
) returns table (goal_id int, contact_id text, is_conversion boolean)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
  return query
    select g.goal_id, e.contact_id, g.is_conversion
    from execution e join execution_goal g using (workflow_id, execution_id)
    join returning_contact c on c.workflow_id = workflow and c.contact_id = e.contact_id
    where e.workflow_id = workflow and g.achieved_at is not null and (only_version is null or e.version = only_version)
      and case when cohort then e.enrolled_at else g.achieved_at end >= since
      and case when cohort then e.enrolled_at else g.achieved_at end < until;
end $$;

-- read_contacts(…): read_analytics() of contacts. Its numbers do not follow from those of its buckets, so there
-- are two more keys: "whole", like one of the sums, and "active", contacts running at each bucket's end or now.
-- "totals" of "past" are null where the detail does not go back so far.
-- Callers: readAnalytics() of db/analytics.ts.
create or replace function read_contacts(
  account int, id uuid, first_day date, last_day date, zone text, granularity text, attribution text,
  compare_first date, compare_last date, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
declare
  r         record;
  since     timestamptz;
  until     timestamptz;
  cohort    boolean := attribution = 'cohort';
  past      record;
  again     record;
  compared  json;
  timed     record;
begin
  r := read_head(account, id, first_day, last_day, zone, granularity, only_version, now);
  if r.workflow is null then
    return null;
  elsif not r.detail then
    return json_build_object('head', r.head);
  end if;
  since := r.bounds[1];
  until := r.bounds[cardinality(r.bounds)];

  if compare_first is not null then
    past := past_range(compare_first, compare_last, zone_kept(compare_first, r.tz, r.account_zone, now),
      r.account_zone, case when now < until then now - since end, now);
    again := returning_totals(r.workflow, past.since, coalesce(past.cut, past.until), cohort, only_version);
    compared := json_build_object('tz', past.tz,
      'start', iso_instant(past.since), 'end', iso_instant(coalesce(past.cut, past.until)),
      'totals', case when compare_first >= detail_since(past.tz, now) then (
        select t || jsonb_build_object('enrolled', (t->>'enrolled')::bigint + again.enrolled,
          'completed', (t->>'completed')::bigint + again.completed, 'converted', (t->>'converted')::bigint + again.converted)
        from totals(r.workflow, past.grain, past.first_key, past.last_key, past.cut, past.tz, cohort, only_version) t) end);
  end if;

  timed := durations_of(r.workflow, cohort, r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version);
  return (
    select json_build_object('head', r.head,
      'sums', coalesce(json_agg(to_json(s) order by position) filter (where position is not null), '[]'),
      'whole', json_agg(to_json(s)) filter (where position is null)->0,
      'active', contacts_running(r.workflow, r.grain, r.keys, r.bounds, now, only_version),
      'past', compared,
      'reasons', (
        select coalesce(json_agg(to_json(x)), '[]') from (
          select reason, sum(contacts) as count
          from (
            select reason, case when cohort then cohort_ends else ends end as contacts
            from reason_sums(r.workflow, r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version)
            union all
            select end_reason, count(distinct contact_id) - count(*) from returning_facts(r.workflow, since, until, only_version)
            where fact = case when cohort then 'enrolled' else 'ended' end and end_reason is not null group by 1
          ) sums
          group by 1 having sum(contacts) > 0 order by 2 desc, 1
        ) x),
      'goals', (
        select coalesce(json_agg(to_json(x)), '[]') from (
          select g.goal_uuid as goal_id, achieved, first,
            newest_with(r.workflow, 'goals', 'goal_id', g.goal_uuid)->>'name' as goal_name
          from (
            select goal_id, sum(achieved) as achieved, sum(first) as first
            from (
              select goal_id, achieved, first
              from goal_sums(r.workflow, r.grain, r.keys[1], r.keys[cardinality(r.keys)], cohort, only_version)
              union all
              select goal_id, count(distinct contact_id) - count(*),
                count(distinct contact_id) filter (where is_conversion) - count(*) filter (where is_conversion)
              from returning_goals(r.workflow, since, until, cohort, only_version) group by goal_id
            ) parts
            group by goal_id having sum(achieved) > 0
          ) sums join goals_of(r.workflow) g on g.goal_id = sums.goal_id
          order by achieved desc, g.goal_uuid
        ) x),
      'duration', timed.duration, 'conversion', timed.conversion)
    from contact_sums(r.workflow, r.grain, r.keys, r.bounds, cohort, only_version) s);
end $$;

-- contact_steps(workflow, grain, first_key, last_key, since, until, only_version): step_sums() of contacts, cohort
-- attributed. A contact counts once a step, with the best that became of any of its executions there, so that the
-- identity holds.
--
-- since, until     the range as instants
-- left_after       contacts of whom an execution left after the step, and none completed it and went on
-- visits, time_us  of all their executions; times: how many of those completed it
create or replace function contact_steps(
  workflow int, grain grain, first_key timestamptz, last_key timestamptz, since timestamptz, until timestamptz,
  only_version int
) returns table (
  step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
  visits bigint, times bigint, time_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
  all_sums  jsonb := (
    select coalesce(jsonb_agg(s), '[]') from step_sums(workflow, grain, first_key, last_key, only_version) s);
begin
  return query
    with passed as materialized (
      select s.step_id, e.contact_id,
        case when s.completed_at is not null then 1 when e.status in ('completed', 'goal_achieved') then 2
          when e.status = 'active' then 3 else 4 end as outcome,
        e.left_after is not distinct from s.step_id as leaves,
        s.completed_at is not null and e.left_after is distinct from s.step_id as goes_on
      from execution e join execution_step s using (workflow_id, execution_id)
      join returning_contact c on c.workflow_id = workflow and c.contact_id = e.contact_id
      where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until
        and (only_version is null or e.version = only_version)
    )
    select x.step_id, sum(x.entered)::bigint, sum(x.completed)::bigint, sum(x.dropped_off)::bigint,
      sum(x.goal_exits)::bigint, sum(x.left_after)::bigint, sum(x.visits)::bigint, sum(x.times)::bigint, sum(x.time_us)
    from (
      select s.step_id, s.entered, s.completed, s.dropped_off, s.goal_exits, s.left_after, s.visits,
        s.completed as times, s.time_us
      from jsonb_to_recordset(all_sums) as s(
        step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
        visits bigint, time_us numeric)
      union all
      select p.step_id, -count(*), -count(*) filter (where p.outcome = 1), -count(*) filter (where p.outcome = 4),
        -count(*) filter (where p.outcome = 2), -count(*) filter (where p.leaves), 0, 0, 0
      from passed p group by p.step_id
      union all
      select c.step_id, count(*), count(*) filter (where c.outcome = 1), count(*) filter (where c.outcome = 4),
        count(*) filter (where c.outcome = 2), count(*) filter (where c.leaves and not c.goes_on), 0, 0, 0
      from (
        select p.step_id, min(p.outcome) as outcome, bool_or(p.leaves) as leaves, bool_or(p.goes_on) as goes_on
        from passed p group by p.step_id, p.contact_id
      ) c
      group by c.step_id
    ) x
    group by x.step_id;
end $$;

-- read_contact_funnel(…): read_funnel() of contacts. "previous" is null where the detail does not go back so far,
-- "average" always: days know no contacts.
-- Callers: readFunnel() of db/funnel.ts.
create or replace function read_contact_funnel(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
declare
  r               record;
  past            record;
  previous_first  date := first_day - (last_day - first_day + 1);
  since           timestamptz;
  until           timestamptz;
begin
  r := read_head(account, id, first_day, last_day, zone, null, only_version, now);
  if r.workflow is null then
    return null;
  elsif not r.detail then
    return json_build_object('head', r.head);
  end if;
  since := r.bounds[1];
  until := r.bounds[cardinality(r.bounds)];
  past := past_range(previous_first, first_day - 1,
    zone_kept(previous_first, r.tz, r.account_zone, now), r.account_zone, null, now);
  if previous_first < detail_since(past.tz, now) then
    past.until := past.since;
    past.last_key := past.first_key;
  end if;

  return json_build_object('head', r.head,
    'cohort', (
      select json_build_object('enrolled', coalesce(sum(p.sign * s.enrolled), 0) + min(again.enrolled),
        'completed', coalesce(sum(p.sign * s.cohort_completed), 0) + min(again.completed))
      from returning_totals(r.workflow, since, until, true, only_version) again
      left join (
        parts_of(r.workflow, r.grain, r.keys[1], r.keys[cardinality(r.keys)]) p
        cross join lateral workflow_sums(r.workflow, p.grain, p.first_key, p.last_key, only_version) s
      ) on true),
    'counts', (
      select coalesce(json_agg(to_json(c)), '[]') from (
        select s.step_uuid as step_id, sums.entered, sums.completed, sums.dropped_off, sums.goal_exits,
          sums.left_after, sums.visits, sums.times, sums.time_us::text as time_us, p.p50, p.p95,
          stranger(r.workflow, r.steps, s.step_uuid) as step,
          case when previous.entered is not null then json_build_object('entered', previous.entered,
            'completed', previous.completed, 'dropped_off', previous.dropped_off) end as previous,
          null as average
        from contact_steps(r.workflow, r.grain, r.keys[1], r.keys[cardinality(r.keys)], since, until, only_version) sums
        join steps_of(r.workflow) s on s.step_id = sums.step_id
        left join contact_steps(r.workflow, past.grain, past.first_key, past.last_key, past.since, past.until, only_version)
          previous
          on previous.step_id = sums.step_id
        left join range_percentiles(r.workflow, '{step_time}', r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version) p
          on p.subject_id = sums.step_id
      ) c));
end $$;

-- What these were made of before.
drop function if exists contact_sums(int, timestamptz[], boolean, int);
drop function if exists contacts_running(int, timestamptz[], int);
drop function if exists contact_totals(int, timestamptz, timestamptz, boolean, int);
drop function if exists contact_goals(int, timestamptz, timestamptz, boolean, int);
drop function if exists contact_steps(int, timestamptz, timestamptz, int);
drop function if exists contact_facts(int, timestamptz, timestamptz, int);
