-- Reads with unit=contact: how many contacts, where the others count executions. Contacts of any two days
-- do not add up, so all is read from the detail, which is promised of detail_since() on: of a range that
-- begins before, the head alone is answered. Parameters and keys are those of 30_reads.sql; since and until
-- are instants.
--
-- Cost follows the executions of the range, about 10 us each in memory, and for those who were active all
-- that are kept, about 2 us each. A day of them is planned otherwise than three months, and planning is short beside either: so
-- these functions plan each call for itself.

-- contact_facts(workflow, since, until, only_version): a row each enrolment, end and conversion between two
-- instants, with what its execution is now.
create or replace function contact_facts(workflow int, since timestamptz, until timestamptz, only_version int)
returns table (
  fact text, at timestamptz, contact_id text, source enrollment_source, completes boolean, exits boolean,
  converts boolean, runs boolean, end_reason text, duration_us bigint, conversion_us bigint
)
language sql stable
begin atomic
  select x.fact, x.at, x.contact_id, x.source, x.status in ('completed', 'goal_achieved'),
    x.status in ('exited', 'error'), x.converted_at is not null, x.ended_at is null, x.end_reason,
    case when x.status in ('completed', 'goal_achieved') then microseconds(x.ended_at - x.enrolled_at) end,
    microseconds(x.converted_at - x.enrolled_at)
  from (
    select 'enrolled' as fact, e.enrolled_at as at, e.* from execution e
    where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until
    union all
    select 'ended', e.ended_at, e.* from execution e
    where e.workflow_id = workflow and e.ended_at >= since and e.ended_at < until
    union all
    select 'converted', e.converted_at, e.* from execution e
    where e.workflow_id = workflow and e.converted_at >= since and e.converted_at < until
  ) x
  where only_version is null or x.version = only_version;
end;

-- contact_sums(workflow, bounds, cohort, only_version): a row each bucket in which something happened, and one
-- for the range, whose position is null. A contact counts once in each number, if any of its executions does.
--
-- bounds       where each bucket begins, and the end of the last
-- newcomers    of the enrolled, those not enrolled in an earlier bucket of the range
-- settled_*    of the enrolled of whom no execution of the same bucket, or range, still runs
-- durations    executions that duration_us is the sum of; conversion_times alike
create or replace function contact_sums(workflow int, bounds timestamptz[], cohort boolean, only_version int)
returns table (
  "position" int, enrolled bigint, newcomers bigint, in_progress bigint, cohort_completed bigint,
  cohort_converted bigint, settled_completed bigint, settled_converted bigint, completed bigint,
  exited bigint, converted bigint, trigger bigint, bulk bigint, api bigint, manual bigint,
  durations bigint, duration_us text, conversion_times bigint, conversion_us text
)
language sql stable
begin atomic
  with fact as (
    select width_bucket(f.at, bounds) - 1 as bucket, f.contact_id, f.source, f.fact,
      f.fact = 'enrolled' and f.completes as cohort_completed, f.fact = 'enrolled' and f.converts as cohort_converted,
      f.fact = 'enrolled' and f.runs as runs, f.fact = 'ended' and f.completes as completed,
      f.fact = 'ended' and f.exits as exited,
      case when f.fact = case when cohort then 'enrolled' else 'ended' end then f.duration_us end as duration_us,
      case when f.fact = case when cohort then 'enrolled' else 'converted' end then f.conversion_us end as conversion_us
    from contact_facts(workflow, bounds[1], bounds[cardinality(bounds)], only_version) f
  ), contact as materialized (
    select f.bucket, f.contact_id, bool_or(f.fact = 'enrolled') as enrolled,
      min(f.bucket) filter (where f.fact = 'enrolled') as first_bucket,
      bool_or(f.cohort_completed) as cohort_completed, bool_or(f.cohort_converted) as cohort_converted,
      bool_or(f.runs) as runs, bool_or(f.completed) as completed, bool_or(f.exited) as exited,
      bool_or(f.fact = 'converted') as converted,
      bool_or(f.fact = 'enrolled' and f.source = 'trigger') as trigger,
      bool_or(f.fact = 'enrolled' and f.source = 'bulk') as bulk,
      bool_or(f.fact = 'enrolled' and f.source = 'api') as api,
      bool_or(f.fact = 'enrolled' and f.source = 'manual') as manual,
      count(f.duration_us) as durations, sum(f.duration_us) as duration_us,
      count(f.conversion_us) as conversion_times, sum(f.conversion_us) as conversion_us
    from fact f
    group by grouping sets ((f.bucket, f.contact_id), (f.contact_id))
  ), newcomer as (
    select c.first_bucket, count(*) as contacts from contact c where c.bucket is null and c.enrolled group by 1
  )
  select c.bucket, count(*) filter (where c.enrolled), coalesce(min(n.contacts), 0),
    count(*) filter (where c.runs),
    count(*) filter (where c.cohort_completed), count(*) filter (where c.cohort_converted),
    count(*) filter (where c.cohort_completed and not c.runs),
    count(*) filter (where c.cohort_converted and not c.runs),
    count(*) filter (where c.completed), count(*) filter (where c.exited), count(*) filter (where c.converted),
    count(*) filter (where c.trigger), count(*) filter (where c.bulk), count(*) filter (where c.api),
    count(*) filter (where c.manual),
    sum(c.durations)::bigint, coalesce(sum(c.duration_us), 0)::text,
    sum(c.conversion_times)::bigint, coalesce(sum(c.conversion_us), 0)::text
  from contact c left join newcomer n on n.first_bucket = c.bucket
  group by c.bucket;
end;

-- contacts_running(workflow, instants, only_version): contacts of whom anything ran, at each of some ascending
-- instants. Whenever enrolled: of those that ended, as far back as they are kept.
create or replace function contacts_running(workflow int, instants timestamptz[], only_version int) returns bigint[]
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
begin
  return array(
    -- An execution runs from the first instant after its enrolment to the last not after its end.
    with stay as (
      select range_agg(int4range(width_bucket(enrolled_at, instants),
        coalesce(width_bucket(ended_at, instants), cardinality(instants)))) as positions
      from execution
      where workflow_id = workflow and enrolled_at < instants[cardinality(instants)]
        and (ended_at is null or ended_at >= instants[1])
        and (only_version is null or version = only_version)
      group by contact_id
    ), change as (
      select k.position, sum(k.contacts) as contacts
      from stay cross join lateral unnest(positions) as part
      cross join lateral (values (lower(part), 1), (upper(part), -1)) as k(position, contacts)
      group by 1
    )
    select coalesce(sum(contacts) over (order by position), 0)::bigint
    from generate_series(0, cardinality(instants) - 1) as i(position) left join change using (position)
    order by position);
end $$;

-- contact_totals(workflow, since, until, cohort, only_version): totals() of contacts.
create or replace function contact_totals(
  workflow int, since timestamptz, until timestamptz, cohort boolean, only_version int
) returns jsonb
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan
set work_mem = '32MB' as $$
begin
  return (
    select to_jsonb(x) from (
      select count(distinct contact_id) filter (where fact = 'enrolled') as enrolled,
        count(distinct contact_id) filter (where fact = ended and completes) as completed,
        count(distinct contact_id) filter (where fact = converted and converts) as converted,
        count(duration_us) filter (where fact = ended) as durations,
        coalesce(sum(duration_us) filter (where fact = ended), 0)::text as duration_us
      from contact_facts(workflow, since, until, only_version)
      cross join (select case when cohort then 'enrolled' else 'ended' end as ended,
        case when cohort then 'enrolled' else 'converted' end as converted) counted
    ) x);
end $$;

-- contact_goals(workflow, since, until, cohort, only_version): a row each goal and execution that achieved it.
create or replace function contact_goals(
  workflow int, since timestamptz, until timestamptz, cohort boolean, only_version int
) returns table (goal_id int, contact_id text, is_conversion boolean)
language sql stable
begin atomic
  select g.goal_id, e.contact_id, g.is_conversion
  from execution e join execution_goal g using (workflow_id, execution_id)
  where cohort and e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until
    and g.achieved_at is not null and (only_version is null or e.version = only_version)
  union all
  select g.goal_id, e.contact_id, g.is_conversion
  from execution_goal g join execution e using (workflow_id, execution_id)
  where not cohort and g.workflow_id = workflow and g.achieved_at >= since and g.achieved_at < until
    and (only_version is null or e.version = only_version);
end;

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
  compared  json;
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
    compared := json_build_object('tz', past.tz,
      'start', iso_instant(past.since), 'end', iso_instant(coalesce(past.cut, past.until)),
      'totals', case when compare_first >= detail_since(past.tz, now)
        then contact_totals(r.workflow, past.since, coalesce(past.cut, past.until), cohort, only_version) end);
  end if;

  return (
    select json_build_object('head', r.head,
      'sums', coalesce(json_agg(to_json(s) order by position) filter (where position is not null), '[]'),
      'whole', json_agg(to_json(s)) filter (where position is null)->0,
      'active', contacts_running(r.workflow,
        array(select least(b, now) from unnest(r.bounds[2:]) with ordinality as x(b, ix) order by ix), only_version),
      'past', compared,
      'reasons', (
        select coalesce(json_agg(to_json(x)), '[]') from (
          select end_reason as reason, count(distinct contact_id) as count
          from contact_facts(r.workflow, since, until, only_version)
          where fact = case when cohort then 'enrolled' else 'ended' end and end_reason is not null
          group by 1 order by 2 desc, 1
        ) x),
      'goals', (
        select coalesce(json_agg(to_json(x)), '[]') from (
          select g.goal_uuid as goal_id, achieved, first,
            newest_with(r.workflow, 'goals', 'goal_id', g.goal_uuid)->>'name' as goal_name
          from (
            select goal_id, count(distinct contact_id) as achieved,
              count(distinct contact_id) filter (where is_conversion) as first
            from contact_goals(r.workflow, since, until, cohort, only_version) group by goal_id
          ) sums join goal g on g.workflow_id = r.workflow and g.goal_id = sums.goal_id
          order by achieved desc, g.goal_uuid
        ) x),
      'duration', (select to_json(p) from percentiles(r.workflow,
        case when cohort then 'cohort_duration' else 'duration' end::measure,
        r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version) p),
      'conversion', (select to_json(p) from percentiles(r.workflow,
        case when cohort then 'cohort_conversion' else 'conversion' end::measure,
        r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version) p))
    from contact_sums(r.workflow, r.bounds, cohort, only_version) s);
end $$;

-- contact_steps(workflow, since, until, only_version): step_sums() of contacts, cohort attributed. A contact counts
-- once a step, with the best that became of any of its executions there, so that the identity holds.
--
-- left_after       contacts of whom an execution left after the step, and none completed it and went on
-- visits, time_us  of all their executions; times: how many of those completed it
create or replace function contact_steps(workflow int, since timestamptz, until timestamptz, only_version int)
returns table (
  step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
  visits bigint, times bigint, time_us numeric
)
language sql stable
begin atomic
  select c.step_id, count(*), count(*) filter (where c.outcome = 1), count(*) filter (where c.outcome = 4),
    count(*) filter (where c.outcome = 2), count(*) filter (where c.leaves and not c.goes_on),
    sum(c.visits)::bigint, sum(c.times)::bigint, coalesce(sum(c.time_us), 0)
  from (
    select s.step_id, e.contact_id,
      min(case when s.completed_at is not null then 1 when e.status in ('completed', 'goal_achieved') then 2
        when e.status = 'active' then 3 else 4 end) as outcome,
      bool_or(e.left_after = s.step_id) as leaves,
      bool_or(s.completed_at is not null and e.left_after is distinct from s.step_id) as goes_on,
      sum(greatest(s.visits, 1)) as visits, count(s.completed_at) as times,
      sum(case when s.completed_at is not null then
        greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at))) end) as time_us
    from execution e join execution_step s using (workflow_id, execution_id)
    where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until
      and (only_version is null or e.version = only_version)
    group by s.step_id, e.contact_id
  ) c
  group by c.step_id;
end;

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
  r := read_head(account, id, first_day, last_day, zone, 'daily', only_version, now);
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
  end if;

  return json_build_object('head', r.head,
    'cohort', (
      select to_json(x) from (
        select count(distinct contact_id) as enrolled, count(distinct contact_id) filter (where completes) as completed
        from contact_facts(r.workflow, since, until, only_version) where fact = 'enrolled'
      ) x),
    'counts', (
      select coalesce(json_agg(to_json(c)), '[]') from (
        select s.step_uuid as step_id, sums.entered, sums.completed, sums.dropped_off, sums.goal_exits,
          sums.left_after, sums.visits, sums.times, sums.time_us::text as time_us, p.p50, p.p95,
          newest_with(r.workflow, 'steps', 'step_id', s.step_uuid) as step,
          case when previous.entered is not null then json_build_object('entered', previous.entered,
            'completed', previous.completed, 'dropped_off', previous.dropped_off) end as previous,
          null as average
        from contact_steps(r.workflow, since, until, only_version) sums
        join step s on s.workflow_id = r.workflow and s.step_id = sums.step_id
        left join contact_steps(r.workflow, past.since, past.until, only_version) previous
          on previous.step_id = sums.step_id
        left join percentiles(r.workflow, 'step_time', r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version) p
          on p.subject_id = sums.step_id
      ) c));
end $$;
