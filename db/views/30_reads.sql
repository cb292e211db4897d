-- Their answers were jsonb, a head had no steps beside it, and facts no edges. Whoever is not, stays: a function that is
-- dropped fails those who are calling it.
do $$
declare
  f  regprocedure;
begin
  for f in
    select oid from pg_proc where pronamespace = 'weir'::regnamespace and (
      proname in ('read_head', 'read_analytics', 'read_funnel', 'read_actions', 'read_contacts', 'read_contact_funnel')
        and pg_get_function_result(oid) ~ 'jsonb'
      or proname = 'read_head' and not 'steps' = any (proargnames)
      or proname = 'range_facts' and not 'edges' = any (proargnames))
  loop
    execute format('drop function %s', f);
  end loop;
end $$;

drop function if exists day_bins(int, measure, grain, timestamptz, timestamptz, int);
drop function if exists day_percentiles(int, measure, grain, timestamptz, timestamptz, int);
drop function if exists samples_between(int, measure, timestamptz, timestamptz, boolean);
drop function if exists goal_sums(int, grain, timestamptz, timestamptz, int);
drop function if exists percentiles(int, measure, grain, timestamptz, timestamptz, int);
drop function if exists written_days(int, timestamptz[]);
drop function if exists changed_reasons(int, timestamptz[]);
drop function if exists net_beyond(int, grain, timestamptz[], timestamptz[], timestamptz, int);
drop function if exists net_after(int, grain, timestamptz[], timestamptz[], timestamptz, int);
drop function if exists samples_of_bin(int, measure, int, smallint, timestamptz, timestamptz);
drop function if exists end_histograms(int, measure, timestamptz, timestamptz, int);

-- SQL functions here are inlined or small; what is neither is plpgsql, which keeps its plans: Postgres plans an
-- SQL function anew at every call.
--
-- Reads of one workflow. Each is one statement in one snapshot, so that all its numbers belong to
-- the same revision, and answers counts and sums; rates and rounding are db/*.ts's.
--
-- Parameters they share:
--   account, id   whose workflow; null is returned when the account has none of this id
--   first_day, last_day   local dates, both included; zone: IANA, null for the account's
--   only_version  executions of this version; null: of all
--   now           the clock, for what is "running now"

-- bucket_dates(first_day, last_day, granularity): the local dates on which days, weeks (ISO) or months begin,
-- cut to the range: the first bucket begins with it. Granularity null: the first date alone.
create or replace function bucket_dates(first_day date, last_day date, granularity text) returns date[]
language plpgsql immutable parallel safe as $$
begin
  if granularity is null then
    return array[first_day];
  elsif granularity not in ('weekly', 'monthly') then
    return array(select first_day + generate_series(0, last_day - first_day));
  end if;
  return array(
    select first_day
    union
    select start::date from generate_series(
      date_trunc(case granularity when 'weekly' then 'week' else 'month' end, first_day::timestamp),
      last_day::timestamp,
      case granularity when 'weekly' then interval '7 days' else interval '1 month' end
    ) as start
    where start::date > first_day
    order by 1);
end $$;

-- hour_starts(since, until, zone): the instants at which an hour begins: the range's own begin, where the wall
-- clock shows a full hour, and where the offset changes.
create or replace function hour_starts(since timestamptz, until timestamptz, zone text) returns timestamptz[]
language sql stable parallel safe
return array(
  select since
  union
  select instant from generate_series(since, until - interval '1 microsecond', '15 minutes') as instant
  where extract(minute from instant at time zone zone) = 0
    or (instant at time zone zone) - ((instant - interval '15 minutes') at time zone zone) <> '15 minutes'
  order by 1);

-- local_time(instant, zone): ISO 8601 to the minute with the offset, so that an hour that comes twice has
-- two names.
create or replace function local_time(instant timestamptz, zone text) returns text
language sql stable parallel safe
return to_char(instant at time zone zone, 'YYYY-MM-DD"T"HH24:MI')
  || case when (instant at time zone zone) < (instant at time zone 'UTC') then '-' else '+' end
  || to_char(greatest((instant at time zone zone) - (instant at time zone 'UTC'),
    (instant at time zone 'UTC') - (instant at time zone zone)), 'HH24:MI');

-- as_of(workflow, now): the instant up to which its numbers are complete: everything acknowledged
-- before is counted. By the index, as a plan that was made while the queue was empty would sort it when it is not.
create or replace function as_of(workflow int, now timestamptz) returns timestamptz
language plpgsql stable
set jit = off  -- as in fold()
set enable_seqscan = off
set search_path = weir, pg_temp as $$
begin
  return least(now,
    (select accepted_at from event_queue where workflow_id = workflow order by queue_id limit 1),
    (select recompute_since from workflow w where w.workflow_id = workflow));
end $$;

-- histograms(workflow, what, grain, since, until, only_version): a row each step (or 0 for the workflow), over days or
-- months of the account. since, until: keys, until not in it. Sums that end today lie ready; of other days, whole months
-- in between are read as months, a thirtieth of the rows, for as long as their days are all kept.
create or replace function histograms(
  workflow int, what measure, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (subject_id int, samples int[])
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  months_from   timestamptz := until;
  months_until  timestamptz := until;
begin
  if grain = 'day' and only_version is null then
    return query
      select h.subject_id, h.samples from histogram_window w join window_histogram h using (workflow_id)
      where w.workflow_id = workflow and w.last_day = until - interval '24 hours' and h.measure = what
        and h.days * interval '24 hours' = until - since;
    if found then
      return;
    end if;
  end if;
  if grain = 'day' and since > now() - interval '700 days' then
    months_until := date_trunc('month', until, 'UTC');
    months_from := least(months_until,
      date_trunc('month', since at time zone 'UTC' + interval '1 month' - interval '1 day') at time zone 'UTC');
  end if;
  return query
    select h.subject_id, histogram_sum(h.samples)
    from (
      select * from histogram_rollup h
      where h.grain = histograms.grain and h.workflow_id = workflow and h.measure = what
        and h.bucket >= since and h.bucket < months_from
      union all
      select * from histogram_rollup h
      where h.grain = 'month' and h.workflow_id = workflow and h.measure = what
        and h.bucket >= months_from and h.bucket < months_until
      union all
      select * from histogram_rollup h
      where h.grain = histograms.grain and h.workflow_id = workflow and h.measure = what
        and h.bucket >= greatest(since, months_until) and h.bucket < until
    ) h
    where only_version is null or h.version = only_version
    group by h.subject_id;
end $$;

-- nearest_day(instant, zone): the local date that begins nearest to an instant.
create or replace function nearest_day(instant timestamptz, zone text) returns date
language sql stable
return (instant at time zone zone)::date
  + (instant - weir.first_instant((instant at time zone zone)::date, zone)
    > weir.first_instant((instant at time zone zone)::date + 1, zone) - instant)::int;

-- whole_days(workflow, since, until): the days of the account that are nearest to a range of instants, as keys, and
-- what lies between at either end: counted in addition (sign 1), or to be taken off again (-1). Half a day at most, so
-- that a range in any zone costs what it costs in the account's, and two such ends.
create or replace function whole_days(
  workflow int, since timestamptz, until timestamptz,
  out first_key timestamptz, out last_key timestamptz,
  out lower_since timestamptz, out lower_until timestamptz, out lower_sign int,
  out upper_since timestamptz, out upper_until timestamptz, out upper_sign int
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  zone   text := (select a.time_zone from workflow w join account a using (account_id) where w.workflow_id = workflow);
  first  date := nearest_day(since, zone);
  last   date := nearest_day(until, zone);
  start  timestamptz := first_instant(first, zone);
  stop   timestamptz := first_instant(last, zone);
begin
  first_key := day_key(first);
  last_key := day_key(last);
  lower_since := least(start, since);
  lower_until := greatest(start, since);
  lower_sign := case when since < start then 1 else -1 end;
  upper_since := least(stop, until);
  upper_until := greatest(stop, until);
  upper_sign := case when stop < until then 1 else -1 end;
end $$;

-- parts_of(workflow, grain, since, until): the rows of the rollups that a range is summed up from, between keys of a
-- grain: its own days or months, or whole_days() and quarters of an hour at either end.
create or replace function parts_of(workflow int, of_grain grain, since timestamptz, until timestamptz)
returns table (grain grain, first_key timestamptz, last_key timestamptz, sign int)
language plpgsql stable rows 3
set search_path = weir, pg_temp as $$
declare
  d  record;
begin
  if of_grain <> '15min' then
    return query select of_grain, since, until, 1;
    return;
  end if;
  d := whole_days(workflow, since, until);
  return query
  select * from (values
    ('day'::grain, d.first_key, d.last_key, 1),
    ('15min', d.lower_since, d.lower_until, d.lower_sign),
    ('15min', d.upper_since, d.upper_until, d.upper_sign)) as part(grain, first_key, last_key, sign)
  where part.first_key < part.last_key;
end $$;

-- samples_between(workflow, what, since, until): the samples of a measure that count between two instants, from the
-- detail. How many they are is planned for each call.
create or replace function samples_between(workflow int, what measure, since timestamptz, until timestamptz)
returns table (subject_id int, us bigint, version int)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
  if what = 'cohort_duration' then
    return query
      select 0, microseconds(e.ended_at - e.enrolled_at), e.version
      from execution e
      where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
        and e.enrolled_at >= since and e.enrolled_at < until;
  elsif what = 'duration' then
    return query
      select 0, microseconds(e.ended_at - e.enrolled_at), e.version
      from execution e
      where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
        and e.ended_at >= since and e.ended_at < until;
  elsif what = 'cohort_conversion' then
    return query
      select 0, microseconds(e.converted_at - e.enrolled_at), e.version
      from execution e
      where e.workflow_id = workflow and e.converted_at is not null and e.enrolled_at >= since and e.enrolled_at < until;
  elsif what = 'conversion' then
    return query
      select 0, microseconds(e.converted_at - e.enrolled_at), e.version
      from execution e
      where e.workflow_id = workflow and e.converted_at >= since and e.converted_at < until;
  elsif what = 'step_time' then
    return query
      select s.step_id, greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at))), e.version
      from execution e join execution_step s using (workflow_id, execution_id)
      where e.workflow_id = workflow and s.completed_at is not null
        and e.enrolled_at >= since and e.enrolled_at < until;
  else
    return query
      select s.step_id, a.duration_us, e.version
      from event a
      join execution e using (workflow_id, execution_id)
      join step s on s.workflow_id = a.workflow_id and s.step_uuid = a.subject_uuid
      where a.workflow_id = workflow and a.type = 'action.executed'
        and a.occurred_at >= since and a.occurred_at < until and e.enrolled_at is not null
        and not exists (  -- accepted, not folded yet
          select from event_queue q where q.workflow_id = workflow and q.event_id = a.event_id);
  end if;
end $$;

-- actions_wait(workflow): whether there are actions that do not count yet, in the queue or parked. By indexes, as in
-- as_of().
create or replace function actions_wait(workflow int) returns boolean
language plpgsql stable
set jit = off  -- as in fold()
set enable_seqscan = off
set search_path = weir, pg_temp as $$
begin
  return exists (select from event_queue q where q.workflow_id = workflow and q.type = 'action.executed')
    or exists (select from parked_action p where p.workflow_id = workflow);
end $$;

-- samples_of_bin(workflow, what, subject, in_bin, since, until, waits): of those samples the ones of a step (or 0) in a
-- bin of the histograms, by indexes that hold just that. waits: actions_wait(); to take none out of 24,000 costs as much
-- as to read them.
create or replace function samples_of_bin(
  workflow int, what measure, subject int, in_bin smallint, since timestamptz, until timestamptz, waits boolean
) returns table (us bigint)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  action  uuid;
begin
  if what in ('cohort_duration', 'duration') then
    return query
      select microseconds(e.ended_at - e.enrolled_at)
      from execution e
      where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
        and histogram_bin(microseconds(e.ended_at - e.enrolled_at)) = in_bin
        and e.enrolled_at < until
        and e.enrolled_at >= case what when 'cohort_duration' then since else '-infinity' end
        and (what = 'cohort_duration' or e.ended_at >= since and e.ended_at < until);
  elsif what in ('cohort_conversion', 'conversion') then
    return query
      select microseconds(e.converted_at - e.enrolled_at)
      from execution e
      where e.workflow_id = workflow and e.converted_at is not null
        and histogram_bin(microseconds(e.converted_at - e.enrolled_at)) = in_bin
        and e.enrolled_at < until
        and e.enrolled_at >= case what when 'cohort_conversion' then since else '-infinity' end
        and (what = 'cohort_conversion' or e.converted_at >= since and e.converted_at < until);
  elsif what = 'step_time' then
    return query
      select greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at)))
      from execution_step s
      where s.workflow_id = workflow and s.step_id = subject and s.completed_at is not null
        and histogram_bin(greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at)))) = in_bin
        and s.enrolled_at is not null and s.enrolled_at >= since and s.enrolled_at < until;
  else
    action := (select s.step_uuid from step s where s.workflow_id = workflow and s.step_id = subject);
    if not waits then
      return query
        select a.duration_us
        from event a
        where a.workflow_id = workflow and a.type = 'action.executed' and a.subject_uuid = action
          and histogram_bin(a.duration_us) = in_bin and a.occurred_at >= since and a.occurred_at < until;
      return;
    end if;
    return query
      select a.duration_us
      from event a
      where a.workflow_id = workflow and a.type = 'action.executed' and a.subject_uuid = action
        and histogram_bin(a.duration_us) = in_bin and a.occurred_at >= since and a.occurred_at < until
      except all (
        select q.duration_us
        from event_queue q
        where q.workflow_id = workflow and q.type = 'action.executed' and q.subject_uuid = action
          and histogram_bin(q.duration_us) = in_bin and q.occurred_at >= since and q.occurred_at < until
        union all
        select p.duration_us
        from parked_action p
        where p.workflow_id = workflow and p.step_id = subject
          and histogram_bin(p.duration_us) = in_bin and p.occurred_at >= since and p.occurred_at < until);
  end if;
end $$;

-- end_histograms(workflow, what, since, until, sign, subjects): a row each of some steps (or 0 for the workflow; null: of
-- all) over a part of a day of the account; negative where sign is -1. The day's own histograms tell which bins to count
-- in, each a look into the index of samples_of_bin(): by a join of executions with their steps it took ten times as long.
create or replace function end_histograms(
  workflow int, what measure, since timestamptz, until timestamptz, sign int, subjects int[]
) returns table (subject_id int, samples int[])
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  zone  text := (select a.time_zone from workflow w join account a using (account_id) where w.workflow_id = workflow);
begin
  if since >= until then
    return;
  elsif what = 'action_duration' then
    return query
      select s.step_id, histogram_of(array_agg(histogram_bin(a.duration_us)), array_agg(sign * a.samples))
      from (
        select e.subject_uuid, e.duration_us, 1 as samples from event e
        where e.workflow_id = workflow and e.type = 'action.executed' and e.occurred_at >= since and e.occurred_at < until
        union all
        select q.subject_uuid, q.duration_us, -1 from event_queue q
        where q.workflow_id = workflow and q.type = 'action.executed' and q.occurred_at >= since and q.occurred_at < until
        union all
        select s.step_uuid, p.duration_us, -1 from parked_action p join step s using (workflow_id, step_id)
        where p.workflow_id = workflow and p.occurred_at >= since and p.occurred_at < until
      ) a join step s on s.workflow_id = workflow and s.step_uuid = a.subject_uuid
      where subjects is null or s.step_id = any (subjects)
      group by s.step_id;
    return;
  elsif what in ('duration', 'conversion') then
    return query
      select b.subject_id, histogram_of(array_agg(b.bin), array_agg(sign * b.samples))
      from (
        select s.subject_id, histogram_bin(s.us) as bin, count(*)::int as samples
        from samples_between(workflow, what, since, until) s group by 1, 2
      ) b group by b.subject_id;
    return;
  elsif not exists (
    select from execution e where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until
  ) then
    return;
  end if;
  return query
    select b.subject_id, histogram_of(array_agg(b.bin), array_agg(sign * c.samples))
    from (
      select distinct h.subject_id, h.bin from histogram_bins h
      where h.workflow_id = workflow and h.grain = 'day' and h.measure = what
        and h.bucket between day_key((since at time zone zone)::date)
          and day_key(((until - interval '1 microsecond') at time zone zone)::date)
        and (subjects is null or h.subject_id = any (subjects))
    ) b
    cross join lateral (
      select case what
        when 'step_time' then (
          select count(*) from execution_step s
          where s.workflow_id = workflow and s.step_id = b.subject_id and s.completed_at is not null
            and histogram_bin(greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at)))) = b.bin
            and s.enrolled_at is not null and s.enrolled_at >= since and s.enrolled_at < until)
        when 'cohort_duration' then (
          select count(*) from execution e
          where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
            and histogram_bin(microseconds(e.ended_at - e.enrolled_at)) = b.bin
            and e.enrolled_at >= since and e.enrolled_at < until)
        when 'cohort_conversion' then (
          select count(*) from execution e
          where e.workflow_id = workflow and e.converted_at is not null
            and histogram_bin(microseconds(e.converted_at - e.enrolled_at)) = b.bin
            and e.enrolled_at >= since and e.enrolled_at < until)
        end::int as samples
    ) c
    where c.samples > 0
    group by b.subject_id;
end $$;

-- bin_percentiles(workflow, what, since, until, subjects): percentiles exactly, of some steps (or 0; null: of all), for
-- ranges that are not days of the account. The histograms of the nearest days, and of what lies between at either end,
-- tell which bin each rank lies in, and the how manieth sample there it is; of that bin the samples are read, a hundredth
-- of all. 30 days of a million executions: all samples of the steps took 970 ms. Of a measure, only its asked_places().
create or replace function bin_percentiles(
  workflow int, what measure, since timestamptz, until timestamptz, subjects int[]
) returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  d      record := whole_days(workflow, since, until);
  waits  boolean := what = 'action_duration' and actions_wait(workflow);
  asked  smallint[] := asked_places(what);
begin
  return query
  with part as (
    select * from histograms(workflow, what, 'day', d.first_key, d.last_key, null)
    union all
    select * from end_histograms(workflow, what, d.lower_since, d.lower_until, d.lower_sign, subjects)
    union all
    select * from end_histograms(workflow, what, d.upper_since, d.upper_until, d.upper_sign, subjects)
  ), total as materialized (
    select part.subject_id, histogram_sum(part.samples) as samples from part
    where subjects is null or part.subject_id = any (subjects)
    group by part.subject_id
  ), wanted as materialized (
    select t.subject_id, u.bin, u.nth, u.place
    from total t cross join lateral histogram_ranks(t.samples) r
    cross join lateral unnest(r.bins, r.nths) with ordinality as u(bin, nth, place)
    where u.place = any (asked)
  )
  select w.subject_id, max(v.us::float8) filter (where place = 4), max(v.us::float8) filter (where place = 3),
    max(v.us::float8) filter (where place = 2), max(v.us::float8) filter (where place = 5),
    max(v.us::float8) filter (where place = 1)
  from wanted w cross join lateral (
    select s.us from samples_of_bin(workflow, what, w.subject_id, w.bin, since, until, waits) s
    order by s.us offset w.nth - 1 limit 1
  ) v
  group by w.subject_id;
end $$;

-- dated_samples(workflow, what, since, until): the samples that count between two instants, as samples_between(), with
-- when. Few of many: by lookups.
create or replace function dated_samples(workflow int, what measure, since timestamptz, until timestamptz)
returns table (subject_id int, at timestamptz, us bigint)
language plpgsql stable
set search_path = weir, pg_temp
set jit = off  -- as in fold()
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off as $$
begin
  if what = 'step_time' then
    return query
      select s.step_id, e.enrolled_at, greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at)))
      from execution e join execution_step s using (workflow_id, execution_id)
      where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until and s.completed_at is not null;
  elsif what = 'action_duration' then
    return query
      select s.step_id, a.occurred_at, a.duration_us
      from event a join execution e using (workflow_id, execution_id)
      join step s on s.workflow_id = a.workflow_id and s.step_uuid = a.subject_uuid
      where a.workflow_id = workflow and a.type = 'action.executed' and a.occurred_at >= since and a.occurred_at < until
        and e.enrolled_at is not null
        and a.event_id <> all (array(  -- accepted, not folded yet
          select q.event_id from event_queue q
          where q.workflow_id = workflow and q.type = 'action.executed' and q.occurred_at >= since and q.occurred_at < until));
  elsif what = 'cohort_duration' then
    return query
      select 0, e.enrolled_at, microseconds(e.ended_at - e.enrolled_at) from execution e
      where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
        and e.enrolled_at >= since and e.enrolled_at < until;
  elsif what = 'duration' then
    return query
      select 0, e.ended_at, microseconds(e.ended_at - e.enrolled_at) from execution e
      where e.workflow_id = workflow and e.status in ('completed', 'goal_achieved')
        and e.ended_at >= since and e.ended_at < until;
  elsif what = 'cohort_conversion' then
    return query
      select 0, e.enrolled_at, microseconds(e.converted_at - e.enrolled_at) from execution e
      where e.workflow_id = workflow and e.converted_at is not null and e.enrolled_at >= since and e.enrolled_at < until;
  else
    return query
      select 0, e.converted_at, microseconds(e.converted_at - e.enrolled_at) from execution e
      where e.workflow_id = workflow and e.converted_at >= since and e.converted_at < until;
  end if;
end $$;

-- anything_between(workflow, what, since, until): whether something happened that may be a sample between two instants.
create or replace function anything_between(workflow int, what measure, since timestamptz, until timestamptz)
returns boolean
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return case
    when since >= until then false
    when what = 'action_duration' then exists (
      select from event e
      where e.workflow_id = workflow and e.type = 'action.executed' and e.occurred_at >= since and e.occurred_at < until)
    when what = 'duration' then exists (
      select from execution e where e.workflow_id = workflow and e.ended_at >= since and e.ended_at < until)
    when what = 'conversion' then exists (
      select from execution e where e.workflow_id = workflow and e.converted_at >= since and e.converted_at < until)
    else exists (
      select from execution e where e.workflow_id = workflow and e.enrolled_at >= since and e.enrolled_at < until) end;
end $$;

-- concat_samples(samples): of any number.
create or replace aggregate concat_samples(bigint[]) (sfunc = array_cat, stype = bigint[], initcond = '{}');

-- nth_sample(sorted, others, sign, nth): the nth least of sorted samples together with others, in any order (sign 1), or
-- without them (-1); null when there are not so many.
create or replace function nth_sample(sorted bigint[], others bigint[], sign int, nth bigint) returns bigint
language plpgsql immutable parallel safe as $$
declare
  many    int := cardinality(others);
  first   int;
  last    int := cardinality(sorted);
  middle  int;
  found   bigint;
begin
  if nth between 1 and last and many = 0 then
    return sorted[nth];
  elsif nth < 1 or nth > last + sign * many then
    return null;
  end if;
  others := array(select us from unnest(others) us order by us);
  first := greatest(1, nth - case when sign > 0 then many else 0 end);
  last := least(last, nth + case when sign < 0 then many else 0 end);
  while first <= last loop
    middle := (first + last) / 2;
    if width_bucket(sorted[middle], sorted) + sign * width_bucket(sorted[middle], others) >= nth then
      found := sorted[middle];
      last := middle - 1;
    else
      first := middle + 1;
    end if;
  end loop;
  if sign > 0 then
    first := 1;
    last := many;
    while first <= last loop
      middle := (first + last) / 2;
      if width_bucket(others[middle], sorted) + width_bucket(others[middle], others) >= nth then
        found := least(found, others[middle]);
        last := middle - 1;
      else
        first := middle + 1;
      end if;
    end loop;
  end if;
  return found;
end $$;

-- first_sample(workflow, what, since, until, bins, greatest_of): the least (or greatest) sample between two instants in
-- the first of some bins that has any.
create or replace function first_sample(
  workflow int, what measure, since timestamptz, until timestamptz, bins smallint[], greatest_of boolean
) returns bigint
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  bin    smallint;
  found  bigint;
begin
  foreach bin in array bins loop
    if greatest_of then
      select max(s.us) into found from samples_of_bin(workflow, what, 0, bin, since, until, false) s;
    else
      select min(s.us) into found from samples_of_bin(workflow, what, 0, bin, since, until, false) s;
    end if;
    exit when found is not null;
  end loop;
  return found;
end $$;

-- sample_percentiles(workflow, what, since, until): the same, of all steps. A range that is one of make_windows() but
-- for the zone is that and an edge of a day at most, which it has more or less (sign 1, -1): slices hold the samples
-- about each rank, and how many lie below, so that nothing but the edge is to be counted. A rank that has left its slice
-- is found by bins. Sums of counts are written out: calls of functions take a tenth of the time.
create or replace function sample_percentiles(workflow int, what measure, since timestamptz, until timestamptz)
returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  near     record;
  r        record;
  asked    smallint[] := asked_places(what);
  bins     smallint[];
  missing  int[];
begin
  select v.days, v.start, v.stop, case when since < v.start then 1 else -1 end as sign into near
  from (
    select days, first_instant(d.first, a.time_zone) as start, first_instant(d.first - 1, a.time_zone) as edge,
      first_instant(d.first + 1, a.time_zone) as edge_end, first_instant(d.first + days, a.time_zone) as stop
    from histogram_window h join workflow w using (workflow_id) join account a using (account_id)
    cross join unnest(window_days()) as days
    cross join lateral (select (h.last_day at time zone 'UTC')::date + 1 - days as first) d
    where h.workflow_id = workflow and what = any (h.sliced)
  ) v
  where since >= v.edge and since < v.edge_end and since = bucket_15min(since) and v.start = bucket_15min(v.start);
  if anything_between(workflow, what, least(until, near.stop), greatest(until, near.stop)) then
    near := null;
  end if;
  if near is null then
    return query select * from bin_percentiles(workflow, what, since, until, null);
    return;
  end if;
  for r in
    with edge as materialized (
      select e.subject_id, e.samples from window_edge e
      where e.workflow_id = workflow and e.measure = what
        and e.quarter >= least(since, near.start) and e.quarter < greatest(since, near.start)
    ), part as (
      select h.subject_id, h.samples, h.total as n from window_histogram h
      where h.workflow_id = workflow and h.measure = what and h.days = near.days
      union all
      select e.subject_id, null, near.sign * sum(cardinality(e.samples)) from edge e group by e.subject_id
    ), total as materialized (
      select part.subject_id, max(part.samples) as samples, sum(part.n)::bigint as n from part group by part.subject_id
    ), slice as materialized (
      select t.subject_id, p.place, s.us_from, s.us_until, s.alike, s.samples,
        rank_of(p.place, t.n) - s.below
          - (select coalesce(sum(counted), 0) from unnest(t.samples[:s.first_bin - 1]) as counted) as nth
      from total t cross join unnest(asked) as p(place)
      left join window_slice s on s.workflow_id = workflow and s.measure = what and s.days = near.days
        and s.subject_id = t.subject_id and s.place = p.place
      where t.n > 0 and p.place between 2 and 4
    ), moved as (
      select s.subject_id, s.place, sum(width_bucket(s.us_from - 1, e.samples)) as below,
        concat_samples(
          e.samples[width_bucket(s.us_from - 1, e.samples) + 1:width_bucket(s.us_until, e.samples)]) as samples
      from slice s join edge e on e.subject_id = s.subject_id
      group by s.subject_id, s.place
    ), found as (
      select s.subject_id, s.place, case
          when s.alike is null then nth_sample(s.samples, o.samples, near.sign, o.nth)
          when o.nth between 1 and s.alike + near.sign * cardinality(o.samples) then s.us_from end as us
      from slice s left join moved m on m.subject_id = s.subject_id and m.place = s.place
      cross join lateral (
        select coalesce(m.samples, '{}') as samples, s.nth - near.sign * coalesce(m.below, 0) as nth) o
    )
    select f.subject_id, max(f.us) filter (where place = 4) as p50, max(f.us) filter (where place = 3) as p95,
      max(f.us) filter (where place = 2) as p99, count(f.us) = count(*) as is_found
    from found f group by f.subject_id
  loop
    if not r.is_found then
      missing := missing || r.subject_id;
      continue;
    end if;
    subject_id := r.subject_id;
    p50 := r.p50;
    p95 := r.p95;
    p99 := r.p99;
    if asked && '{1,5}' then
      bins := array(
        select (array_lower(h.samples, 1) + u.ix - 1)::smallint as bin
        from window_histogram h cross join lateral unnest(h.samples) with ordinality as u(n, ix)
        where h.workflow_id = workflow and h.measure = what and h.days = near.days and u.n > 0
        union
        select histogram_bin(u.us) from window_edge e cross join unnest(e.samples) as u(us)
        where e.workflow_id = workflow and e.measure = what and e.quarter >= since and e.quarter < near.start
        order by 1);
      fastest := first_sample(workflow, what, since, until, bins, false);
      slowest := first_sample(workflow, what, since, until, array(select b from unnest(bins) b order by b desc), true);
    end if;
    return next;
  end loop;
  if missing is not null then
    return query select * from bin_percentiles(workflow, what, since, until, missing);
  end if;
end $$;

-- exact_percentiles(workflow, what, since, until, only_version): the same of one version, from all samples.
create or replace function exact_percentiles(
  workflow int, what measure, since timestamptz, until timestamptz, only_version int
) returns table (subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
  return query
  with ranked as (
    select s.subject_id, percentile_disc(array[0.5, 0.95, 0.99]) within group (order by s.us) as p,
      min(s.us) as fastest, max(s.us) as slowest
    from samples_between(workflow, what, since, until) s
    where only_version is null or s.version = only_version group by s.subject_id
  )
  select r.subject_id, p[1]::float8, p[2]::float8, p[3]::float8, r.fastest::float8, r.slowest::float8
  from ranked r;
end $$;

-- range_percentiles(workflow, measures, grain, since, until, only_version): a row each measure and step (or 0), from the
-- view where it holds the range and nothing changed since, else from the windows of the fold, else from histograms where
-- the range is made of the account's days, else exactly. View and windows hold a range for all measures or for none.
create or replace function range_percentiles(
  workflow int, measures measure[], grain grain, since timestamptz, until timestamptz, only_version int
) returns table (
  measure measure, subject_id int, p50 float8, p95 float8, p99 float8, fastest float8, slowest float8
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  if grain = '15min' and only_version is null then
    return query
      select m, p.* from unnest(measures) as m cross join lateral sample_percentiles(workflow, m, since, until) p;
    return;
  elsif grain = '15min' then
    return query
      select m, p.* from unnest(measures) as m
      cross join lateral exact_percentiles(workflow, m, since, until, only_version) p;
    return;
  end if;
  if grain = 'day' and only_version is null then
    return query
      select w.measure, w.subject_id, w.p50, w.p95, w.p99, w.fastest, w.slowest
      from view_revision v join workflow_revision r using (workflow_id) join window_percentiles w using (workflow_id)
      where v.view = 'window_percentiles' and v.workflow_id = workflow and v.revision >= r.revision
        and w.measure = any (measures) and w.since = range_percentiles.since and w.until = range_percentiles.until;
    if found then
      return;
    end if;
    return query
      select h.measure, h.subject_id, p.* from histogram_window w join window_histogram h using (workflow_id)
      -- Worked out once, by OFFSET: what is inlined names it six times, each to be made ready, which takes 0.2 ms.
      cross join lateral (select coalesce(h.bins, (histogram_ranks(h.samples, h.total)).bins) as bins offset 0) b
      cross join lateral percentiles_of(b.bins) p
      where w.workflow_id = workflow and w.last_day = range_percentiles.until - interval '24 hours'
        and h.measure = any (measures) and h.days = extract(day from range_percentiles.until - range_percentiles.since)::int;
    if found then
      return;
    end if;
  end if;
  return query
    select m, h.subject_id, p.* from unnest(measures) as m
    cross join lateral histograms(workflow, m, grain, since, until, only_version) h
    cross join lateral percentiles_of((histogram_ranks(h.samples)).bins) p;
end $$;

-- durations_of(workflow, cohort, grain, since, until, only_version): of whole executions, and from enrolment to
-- conversion, in one attribution; null where there are none.
create or replace function durations_of(
  workflow int, cohort boolean, grain grain, since timestamptz, until timestamptz, only_version int,
  out duration json, out conversion json
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  measures  measure[] := case when cohort then '{cohort_duration,cohort_conversion}' else '{duration,conversion}' end;
begin
  select (array_agg(to_json(p)) filter (where p.measure = measures[1]))[1],
    (array_agg(to_json(p)) filter (where p.measure = measures[2]))[1]
  into duration, conversion
  from range_percentiles(workflow, measures, grain, since, until, only_version) p;
end $$;

-- definition_of(workflow, version): {"steps": […], "goals": […]} of a version; null where there is none.
create or replace function definition_of(workflow int, version int) returns jsonb
language plpgsql stable as $$
begin
  return (select v.definition from weir.workflow_version v
    where v.workflow_id = workflow and v.version = definition_of.version);
end $$;

-- newest_with(workflow, part, key, id): the step or goal as the newest version that has it says.
create or replace function newest_with(workflow int, part text, key text, id uuid) returns jsonb
language plpgsql stable as $$
begin
  return (
    select item from weir.workflow_version v, jsonb_array_elements(v.definition->part) as item
    where v.workflow_id = workflow and item->>key = id::text
    order by v.version desc limit 1);
end $$;

-- What follows is for statements that call functions. On Citus a statement that reads tables of a workflow runs on its
-- node, and may call no function that reads such tables itself; one that only calls functions runs here.

-- steps_of(workflow), goals_of(workflow): short ids, and the producer's.
create or replace function steps_of(workflow int) returns table (step_id int, step_uuid uuid)
language plpgsql stable rows 20
set search_path = weir, pg_temp as $$
begin
  return query select s.step_id, s.step_uuid from step s where s.workflow_id = workflow;
end $$;

create or replace function goals_of(workflow int) returns table (goal_id int, goal_uuid uuid)
language plpgsql stable rows 5
set search_path = weir, pg_temp as $$
begin
  return query select g.goal_id, g.goal_uuid from goal g where g.workflow_id = workflow;
end $$;

-- step_quarters(workflow, firsts, lasts, signs, only_version), action_quarters(…): a row each step, of all quarters of an
-- hour between some pairs of keys, each counted by its sign.
create or replace function step_quarters(
  workflow int, firsts timestamptz[], lasts timestamptz[], signs int[], only_version int
) returns table (
  step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
  visits bigint, time_us numeric
)
language plpgsql stable rows 20
set search_path = weir, pg_temp as $$
begin
  return query
    select r.step_id, sum(p.sign * r.entered)::bigint, sum(p.sign * r.completed)::bigint,
      sum(p.sign * r.dropped_off)::bigint, sum(p.sign * r.goal_exits)::bigint, sum(p.sign * r.left_after)::bigint,
      sum(p.sign * r.visits)::bigint, sum(p.sign * r.time_us)::numeric
    from unnest(firsts, lasts, signs) as p(first_key, last_key, sign)
    join step_rollup r on r.workflow_id = workflow
      and r.grain = '15min' and r.bucket >= p.first_key and r.bucket < p.last_key
    where only_version is null or r.version = only_version
    group by r.step_id;
end $$;

create or replace function action_quarters(
  workflow int, firsts timestamptz[], lasts timestamptz[], signs int[], only_version int
) returns table (step_id int, executions bigint, successes bigint, duration_us numeric)
language plpgsql stable rows 20
set search_path = weir, pg_temp as $$
begin
  return query
    select r.step_id, sum(p.sign * r.executions)::bigint, sum(p.sign * r.successes)::bigint,
      sum(p.sign * r.duration_us)::numeric
    from unnest(firsts, lasts, signs) as p(first_key, last_key, sign)
    join action_rollup r on r.workflow_id = workflow
      and r.grain = '15min' and r.bucket >= p.first_key and r.bucket < p.last_key
    where only_version is null or r.version = only_version
    group by r.step_id;
end $$;

-- stranger(workflow, steps, id): a step that is not among those of a definition, as the newest version that has it
-- says; null for one that is. Inlined.
create or replace function stranger(workflow int, steps jsonb, id uuid) returns jsonb
language sql stable
return case when not steps @> jsonb_build_array(jsonb_build_object('step_id', id))
  then weir.newest_with(workflow, 'steps', 'step_id', id) end;

-- detail_since(zone, now): the first local date of which quarters of an hour, and executions, are promised.
create or replace function detail_since(zone text, now timestamptz) returns date
language sql immutable parallel safe
return (now at time zone zone)::date - 90;

-- zone_kept(day, zone, account_zone, now): the zone that days from one on can be answered in.
create or replace function zone_kept(day date, zone text, account_zone text, now timestamptz) returns text
language sql immutable parallel safe
return case when day >= weir.detail_since(zone, now) then zone else account_zone end;

-- read_head(…): what every read begins with; workflow is null when the account has none of this id.
--
-- tz        the zone asked for; the account's where the range begins before quarters of an hour are promised
-- detail    whether they are
-- grain     'day' where the zone's days are the account's ('month' where days are gone), else '15min'
-- bounds    instants at which the buckets begin, and at which the last one ends
-- keys      the same in the rollups of that grain
-- steps     of the version, or the newest; null unless the granularity is: then the range is wanted as a whole
-- head      {tz, hours, dates, labels, bounds, as_of, steps} of the answer; bounds in ms since 1970, hours says
--           whether there are any. By columns, and json, as jsonb sorts the keys of every row.
create or replace function read_head(
  account int, id uuid, first_day date, last_day date, zone text, granularity text,
  only_version int, now timestamptz,
  out workflow int, out account_zone text, out tz text, out detail boolean, out grain grain,
  out bounds timestamptz[], out keys timestamptz[], out steps jsonb, out head json
)
language plpgsql stable
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
declare
  w       record;
  dates   date[];
  edges   date[];                                                -- of the buckets: dates, and the day after the last
  labels  text[];
  shown   json;
begin
  select f.workflow_id, f.newest_version, a.time_zone into w
  from workflow f join account a using (account_id)
  where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return;
  end if;

  workflow := w.workflow_id;
  account_zone := w.time_zone;
  tz := zone_kept(first_day, coalesce(zone, w.time_zone), w.time_zone, now);
  detail := first_day >= detail_since(tz, now);
  if granularity = 'hourly' and detail then
    bounds := hour_starts(first_instant(first_day, tz), first_instant(last_day + 1, tz), tz);
    grain := '15min';
    dates := array(select (b at time zone tz)::date from unnest(bounds) with ordinality as x(b, ix) order by ix);
    labels := array(select local_time(b, tz) from unnest(bounds) with ordinality as x(b, ix) order by ix);
    bounds := bounds || first_instant(last_day + 1, tz);
    keys := bounds;
  else
    dates := bucket_dates(first_day, last_day, granularity);
    edges := dates || (last_day + 1);
    bounds := first_instants(edges, tz);
    grain := case when tz = w.time_zone or bounds = first_instants(edges, w.time_zone) then 'day' else '15min' end;
    if granularity in ('weekly', 'monthly') then
      labels := array(
        select to_char(d, case granularity when 'weekly' then 'IYYY-"W"IW' else 'YYYY-MM' end)
        from unnest(dates) with ordinality as x(d, ix) order by ix);
    end if;
    -- Days are kept two years. Whole months of before are read as months, which are kept for ever.
    if grain = 'day' and coalesce(granularity, 'monthly') = 'monthly' and tz = account_zone
      and first_day < (now at time zone tz)::date - interval '2 years' and extract(day from first_day) = 1
      and (extract(day from last_day + 1) = 1 or last_day >= (now at time zone tz)::date)
    then
      grain := 'month';
    end if;
    keys := case grain when '15min' then bounds else edges::timestamptz[] end;  -- day_key() of each, in UTC
  end if;
  if granularity is null then
    steps := coalesce(definition_of(workflow, coalesce(only_version, w.newest_version))->'steps', '[]');
  end if;
  shown := to_json(dates);
  head := json_build_object(
    'tz', tz,
    'hours', detail,
    'dates', shown,
    'labels', coalesce(to_json(labels), shown),
    'bounds', array(select (date_part('epoch', unnest(bounds)) * 1000)::bigint),
    'as_of', iso_instant(as_of(workflow, now)),
    'steps', steps);
end $$;

-- past_range(first_day, last_day, tz, account_zone, elapsed, now): where a compared range lies. elapsed: how long the
-- present range has lasted, null when it is over; cut is where the past one is broken off then. Without
-- quarters of an hour a day is whole or not in it.
create or replace function past_range(
  first_day date, last_day date, inout tz text, account_zone text, elapsed interval, now timestamptz,
  out since timestamptz, out until timestamptz, out cut timestamptz,
  out grain grain, out first_key timestamptz, out last_key timestamptz
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  since := first_instant(first_day, tz);
  until := first_instant(last_day + 1, tz);
  if elapsed is not null then
    cut := least(until, since + greatest(interval '0', elapsed));
    if (cut at time zone tz)::date < detail_since(tz, now) then
      cut := first_instant((cut at time zone tz)::date, tz);
    end if;
  end if;
  grain := case when tz = account_zone then 'day' else '15min' end;
  first_key := case when grain = 'day' then day_key(first_day) else since end;
  last_key := case when grain = 'day' then day_key(last_day + 1) else until end;
end $$;

-- rolled_up(workflow, grain, since, until, only_days, only_version): a row each bucket between two keys in which something
-- happened, versions together, from the rollup. only_days: keys; null: all.
create or replace function rolled_up(
  workflow int, grain grain, since timestamptz, until timestamptz, only_days timestamptz[], only_version int
) returns table (
  bucket timestamptz, enrolled bigint, enrolled_trigger bigint, enrolled_bulk bigint, enrolled_api bigint,
  enrolled_manual bigint, cohort_completed bigint, cohort_exited bigint, cohort_converted bigint,
  cohort_settled_converted bigint, completed bigint, exited bigint, converted bigint, cohort_duration_us numeric,
  cohort_conversion_us numeric, duration_us numeric, conversion_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
    select r.bucket, sum(r.enrolled), sum(r.enrolled_trigger), sum(r.enrolled_bulk), sum(r.enrolled_api),
      sum(r.enrolled_manual), sum(r.cohort_completed), sum(r.cohort_exited), sum(r.cohort_converted),
      sum(r.cohort_settled_converted), sum(r.completed), sum(r.exited), sum(r.converted), sum(r.cohort_duration_us),
      sum(r.cohort_conversion_us), sum(r.duration_us), sum(r.conversion_us)
    from workflow_rollup r
    where r.workflow_id = workflow and r.grain = rolled_up.grain and r.bucket >= since and r.bucket < until
      and (only_days is null or r.bucket = any (only_days))
      and (only_version is null or r.version = only_version)
    group by r.bucket;
end $$;

-- workflow_sums(workflow, grain, since, until, only_version): the same. Days come from the view, those that changed since
-- from the rollup.
create or replace function workflow_sums(
  workflow int, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (
  bucket timestamptz, enrolled bigint, enrolled_trigger bigint, enrolled_bulk bigint, enrolled_api bigint,
  enrolled_manual bigint, cohort_completed bigint, cohort_exited bigint, cohort_converted bigint,
  cohort_settled_converted bigint, completed bigint, exited bigint, converted bigint, cohort_duration_us numeric,
  cohort_conversion_us numeric, duration_us numeric, conversion_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  changed  timestamptz[];
begin
  if grain = 'day' and only_version is null then
    changed := changed_days(workflow, 'workflow_day_sums', since, until);
  end if;
  if changed is not null then
    return query
      select v.bucket, v.enrolled, v.enrolled_trigger, v.enrolled_bulk, v.enrolled_api, v.enrolled_manual,
        v.cohort_completed, v.cohort_exited, v.cohort_converted, v.cohort_settled_converted, v.completed, v.exited,
        v.converted, v.cohort_duration_us, v.cohort_conversion_us, v.duration_us, v.conversion_us
      from workflow_day_sums v
      where v.workflow_id = workflow and v.bucket >= since and v.bucket < until and v.bucket <> all (changed);
    if changed = '{}' then
      return;
    end if;
  end if;
  return query select * from rolled_up(workflow, grain, since, until, changed, only_version);
end $$;

-- facts(key, …): what is counted of a day or a bucket as read_summary() hands it over: by position, as names would be
-- nine tenths of it, and without the spaces of json_build_array(), which takes longer. None of them is null. Sums of
-- microseconds are too large for a double.
create or replace function facts(
  key int, enrolled bigint, enrolled_trigger bigint, enrolled_bulk bigint, enrolled_api bigint, enrolled_manual bigint,
  cohort_completed bigint, cohort_exited bigint, cohort_converted bigint, cohort_settled_converted bigint,
  completed bigint, exited bigint, converted bigint, cohort_duration_us numeric, cohort_conversion_us numeric,
  duration_us numeric, conversion_us numeric
) returns json
language sql stable
return format('[%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,"%s","%s","%s","%s"]',
  key, enrolled, enrolled_trigger, enrolled_bulk, enrolled_api, enrolled_manual, cohort_completed, cohort_exited,
  cohort_converted, cohort_settled_converted, completed, exited, converted, cohort_duration_us, cohort_conversion_us,
  duration_us, conversion_us)::json;

-- nearest_days(workflow, instants): of each the day of the account that begins nearest to it, as nearest_day(): its key,
-- and when it begins.
create or replace function nearest_days(
  workflow int, instants timestamptz[], out keys timestamptz[], out starts timestamptz[]
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  zone     text := (select a.time_zone from workflow w join account a using (account_id) where w.workflow_id = workflow);
  first    date := (instants[1] at time zone zone)::date;
  last     date := (instants[cardinality(instants)] at time zone zone)::date + 1;
  begins   timestamptz[] := first_instants(array(select first + n from generate_series(0, last - first) as n), zone);
  -- Where the next one is nearer: to the microsecond, as half of two days has none less.
  middles  timestamptz[] := array(
    select begun + (next - begun) / 2 + interval '1 microsecond'
    from unnest(begins[:cardinality(begins) - 1], begins[2:]) with ordinality as x(begun, next, ix) order by ix);
begin
  select array_agg(day_key(first + d.nth) order by d.ix), array_agg(begins[d.nth + 1] order by d.ix) into keys, starts
  from (
    select ix, width_bucket(i, middles) as nth from unnest(instants) with ordinality as x(i, ix)
  ) d;
end $$;

-- edge_sums(workflow, keys, starts, only_version): a row each instant that is not when the day beside it begins, with its
-- position, 0 for the first: what happened in between, in quarters of an hour; negative where the day begins before.
-- starts: of nearest_days(). Each summed up by itself, as sorting all by the instant takes a third of the time.
create or replace function edge_sums(workflow int, keys timestamptz[], starts timestamptz[], only_version int)
returns table (
  "position" int, enrolled bigint, enrolled_trigger bigint, enrolled_bulk bigint, enrolled_api bigint,
  enrolled_manual bigint, cohort_completed bigint, cohort_exited bigint, cohort_converted bigint,
  cohort_settled_converted bigint, completed bigint, exited bigint, converted bigint, cohort_duration_us numeric,
  cohort_conversion_us numeric, duration_us numeric, conversion_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
    select e.nth, e.sign * s.enrolled, e.sign * s.enrolled_trigger, e.sign * s.enrolled_bulk, e.sign * s.enrolled_api,
      e.sign * s.enrolled_manual, e.sign * s.cohort_completed, e.sign * s.cohort_exited, e.sign * s.cohort_converted,
      e.sign * s.cohort_settled_converted, e.sign * s.completed, e.sign * s.exited, e.sign * s.converted,
      e.sign * s.cohort_duration_us, e.sign * s.cohort_conversion_us, e.sign * s.duration_us, e.sign * s.conversion_us
    from (
      select ix::int - 1 as nth, least(k, start) as since, greatest(k, start) as until,
        case when k < start then 1 else -1 end::bigint as sign
      from unnest(keys, starts) with ordinality as x(k, start, ix) where k <> start
    ) e
    cross join lateral (
      select sum(r.enrolled) as enrolled, sum(r.enrolled_trigger) as enrolled_trigger,
        sum(r.enrolled_bulk) as enrolled_bulk, sum(r.enrolled_api) as enrolled_api,
        sum(r.enrolled_manual) as enrolled_manual, sum(r.cohort_completed) as cohort_completed,
        sum(r.cohort_exited) as cohort_exited, sum(r.cohort_converted) as cohort_converted,
        sum(r.cohort_settled_converted) as cohort_settled_converted, sum(r.completed) as completed,
        sum(r.exited) as exited, sum(r.converted) as converted, sum(r.cohort_duration_us) as cohort_duration_us,
        sum(r.cohort_conversion_us) as cohort_conversion_us, sum(r.duration_us) as duration_us,
        sum(r.conversion_us) as conversion_us
      from workflow_rollup r
      where r.workflow_id = workflow and r.grain = '15min' and r.bucket >= e.since and r.bucket < e.until
        and (only_version is null or r.version = only_version)
      having count(*) > 0
    ) s;
end $$;

-- edge_reasons(workflow, since, until): the reasons of what lies between the ends of a range of instants and of the days
-- nearest to it, in addition, or to be taken off.
create or replace function edge_reasons(workflow int, since timestamptz, until timestamptz)
returns table (sign int, reasons json)
language plpgsql stable rows 2
set search_path = weir, pg_temp as $$
begin
  return query
    select p.sign, json_agg(json_build_array(r.reason, r.cohort_ends, r.ends))
    from parts_of(workflow, '15min', since, until) p
    join reason_rollup r on r.workflow_id = workflow and r.grain = '15min'
      and r.bucket >= p.first_key and r.bucket < p.last_key
    where p.grain = '15min'
    group by p.sign;
end $$;

-- range_facts(workflow, grain, keys, by_day, only_version): what read_summary() says of a range between keys.
--
-- by_day     whether the buckets are days
-- days       facts() of each day of the account on which something happened, by its day_number(): as the view has it
--            written, and those that changed since are written here; null where it lacks days
-- first_day  day_number() of that which is the first bucket, or nearest to it
-- edges      where days are another zone's: facts() of edge_sums(), which go to the bucket that begins there from the
--            one that ends there
-- parts      where days is null: facts() of what the buckets are summed up from, by the bucket's position
-- reasons    [[sign, [[reason, ends of those enrolled, ends], …]], …], to be added up
create or replace function range_facts(
  workflow int, grain grain, keys timestamptz[], by_day boolean, only_version int,
  out days json, out first_day int, out edges json, out parts json, out reasons json
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  first    timestamptz := keys[1];
  last     timestamptz := keys[cardinality(keys)];
  own      timestamptz[] := keys;  -- keys of the account's days
  in_turn  boolean := true;        -- whether these are one after the other
  starts   timestamptz[];
  since    timestamptz;
  until    timestamptz;
  changed  timestamptz[];
begin
  if by_day and only_version is null then
    if grain = '15min' then
      select d.keys, d.starts into own, starts from nearest_days(workflow, keys) d;
      -- Of zones half a day apart, two buckets are nearest to one day, or none to another, where a clock is changed.
      in_turn := own = array(select own[1] + n * interval '24 hours' from generate_series(0, cardinality(own) - 1) as n);
    end if;
    since := own[1];
    until := own[cardinality(own)];
    if in_turn then
      changed := changed_days(workflow, 'workflow_day_sums', since, until);
    end if;
  end if;
  if changed is null then
    parts := (
      select coalesce(json_agg(facts(p."position", p.enrolled, p.enrolled_trigger, p.enrolled_bulk, p.enrolled_api,
        p.enrolled_manual, p.cohort_completed, p.cohort_exited, p.cohort_converted, p.cohort_settled_converted,
        p.completed, p.exited, p.converted, p.cohort_duration_us, p.cohort_conversion_us, p.duration_us,
        p.conversion_us)), '[]')
      from bucket_parts(workflow, range_facts.grain, keys, only_version) p);
    reasons := (
      select json_build_array(json_build_array(1,
        coalesce(json_agg(json_build_array(s.reason, s.cohort_ends, s.ends)), '[]')))
      from reason_sums(workflow, range_facts.grain, first, last, only_version) s);
    return;
  end if;
  first_day := day_number(since);
  -- What follows would answer the same of no day that changed, but to be ready for some costs the whole read a tenth.
  if changed = '{}' then
    days := (
      select coalesce(json_agg(v.facts), '[]') from workflow_day_sums v
      where v.workflow_id = workflow and v.bucket >= since and v.bucket < until);
    reasons := (
      select coalesce(json_agg(json_build_array(u.sign, v.reasons)), '[]')
      from (values (until, 1), (since, -1)) as u(key, sign)
      cross join lateral (
        select w.reasons from workflow_day_sums w where w.workflow_id = workflow and w.bucket < u.key
        order by w.bucket desc limit 1) v);
  else
    days := (
      select coalesce(json_agg(d.facts), '[]')
      from (
        select v.facts from workflow_day_sums v
        where v.workflow_id = workflow and v.bucket >= since and v.bucket < until and v.bucket <> all (changed)
        union all
        select facts(day_number(r.bucket), sum(r.enrolled), sum(r.enrolled_trigger), sum(r.enrolled_bulk),
          sum(r.enrolled_api), sum(r.enrolled_manual), sum(r.cohort_completed), sum(r.cohort_exited),
          sum(r.cohort_converted), sum(r.cohort_settled_converted), sum(r.completed), sum(r.exited), sum(r.converted),
          sum(r.cohort_duration_us), sum(r.cohort_conversion_us), sum(r.duration_us), sum(r.conversion_us))
        from workflow_rollup r where r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
        group by r.bucket
      ) d);
    reasons := (
      select coalesce(json_agg(json_build_array(d.sign, d.reasons)), '[]')
      from (
        select u.sign, v.reasons
        from unchanged(since, until, changed) u
        cross join lateral (
          select w.reasons from workflow_day_sums w where w.workflow_id = workflow and w.bucket < u.key
          order by w.bucket desc limit 1) v
        union all
        select 1, json_agg(json_build_array(r.reason, r.cohort_ends, r.ends)) from reason_rollup r
        where r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
        having count(*) > 0
      ) d);
  end if;
  if grain = '15min' then
    edges := (
      select json_agg(facts(e."position", e.enrolled, e.enrolled_trigger, e.enrolled_bulk, e.enrolled_api,
        e.enrolled_manual, e.cohort_completed, e.cohort_exited, e.cohort_converted, e.cohort_settled_converted,
        e.completed, e.exited, e.converted, e.cohort_duration_us, e.cohort_conversion_us, e.duration_us,
        e.conversion_us))
      from edge_sums(workflow, keys, starts, null) e);
    reasons := (
      select coalesce(json_agg(d.signed), '[]')
      from (
        select json_array_elements(reasons) as signed
        union all
        select json_build_array(e.sign, e.reasons) from edge_reasons(workflow, first, last) e
      ) d);
  end if;
end $$;

-- bucket_parts(workflow, grain, keys, only_version): the rows that the buckets between some keys are summed up from, each
-- with the bucket's position, 0 for the first. Buckets of days in any zone are the days of the account that are nearest,
-- as ranges are (whole_days()), and the quarters of an hour about each midnight, which move from one to the other.
create or replace function bucket_parts(workflow int, of_grain grain, keys timestamptz[], only_version int)
returns table (
  "position" int, enrolled bigint, enrolled_trigger bigint, enrolled_bulk bigint, enrolled_api bigint,
  enrolled_manual bigint, cohort_completed bigint, cohort_exited bigint, cohort_converted bigint,
  cohort_settled_converted bigint, completed bigint, exited bigint, converted bigint, cohort_duration_us numeric,
  cohort_conversion_us numeric, duration_us numeric, conversion_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  buckets   int := cardinality(keys) - 1;
  by_hours  boolean := of_grain = '15min' and keys[buckets + 1] - keys[1] < buckets * interval '12 hours';
  summed    grain := of_grain;
  own       timestamptz[] := keys;
  starts    timestamptz[];
begin
  if of_grain = '15min' and not by_hours then
    select d.keys, d.starts into own, starts from nearest_days(workflow, keys) d;
    summed := 'day';
  end if;
  return query
    select width_bucket(s.bucket, own) - 1, s.enrolled, s.enrolled_trigger, s.enrolled_bulk, s.enrolled_api,
      s.enrolled_manual, s.cohort_completed, s.cohort_exited, s.cohort_converted, s.cohort_settled_converted,
      s.completed, s.exited, s.converted, s.cohort_duration_us, s.cohort_conversion_us, s.duration_us, s.conversion_us
    from workflow_sums(workflow, summed, own[1], own[buckets + 1], only_version) s;
  if summed = of_grain then
    return;
  end if;
  return query
    select side.position, side.sign * e.enrolled, side.sign * e.enrolled_trigger, side.sign * e.enrolled_bulk,
      side.sign * e.enrolled_api, side.sign * e.enrolled_manual, side.sign * e.cohort_completed,
      side.sign * e.cohort_exited, side.sign * e.cohort_converted, side.sign * e.cohort_settled_converted,
      side.sign * e.completed, side.sign * e.exited, side.sign * e.converted, side.sign * e.cohort_duration_us,
      side.sign * e.cohort_conversion_us, side.sign * e.duration_us, side.sign * e.conversion_us
    from edge_sums(workflow, keys, starts, only_version) e
    cross join lateral (values (e."position", 1), (e."position" - 1, -1)) as side(position, sign)
    where side.position between 0 and buckets - 1;
end $$;

-- bucket_sums(workflow, grain, keys, cohort, only_version): a row each bucket in which something happened. keys: where
-- each begins, and the end of the last. position: 0 for the first. Durations are those of the attribution.
-- Buckets of one day each are not added up again. Counts of days are int, and their sums bigint: of bigint, Postgres sums
-- wider, in twice the time.
create or replace function bucket_sums(workflow int, grain grain, keys timestamptz[], cohort boolean, only_version int)
returns table (
  "position" int, enrolled bigint, newcomers bigint, in_progress bigint, cohort_completed bigint,
  cohort_converted bigint, settled_completed bigint, settled_converted bigint, completed bigint,
  exited bigint, converted bigint, trigger bigint, bulk bigint, api bigint, manual bigint,
  durations bigint, duration_us text, conversion_times bigint, conversion_us text
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  if grain = 'day' and keys[cardinality(keys)] - keys[1] = (cardinality(keys) - 1) * interval '24 hours' then
    return query
      select s."position", s.enrolled, s.enrolled, s.enrolled - s.cohort_completed - s.cohort_exited,
        s.cohort_completed, s.cohort_converted, s.cohort_completed, s.cohort_settled_converted, s.completed, s.exited,
        s.converted, s.enrolled_trigger, s.enrolled_bulk, s.enrolled_api, s.enrolled_manual,
        case when cohort then s.cohort_completed else s.completed end,
        case when cohort then s.cohort_duration_us else s.duration_us end::text,
        case when cohort then s.cohort_converted else s.converted end,
        case when cohort then s.cohort_conversion_us else s.conversion_us end::text
      from bucket_parts(workflow, grain, keys, only_version) s;
    return;
  end if;
  return query
    select s."position", sum(s.enrolled::int), sum(s.enrolled::int),
      sum((s.enrolled - s.cohort_completed - s.cohort_exited)::int),
      sum(s.cohort_completed::int), sum(s.cohort_converted::int), sum(s.cohort_completed::int),
      sum(s.cohort_settled_converted::int), sum(s.completed::int), sum(s.exited::int), sum(s.converted::int),
      sum(s.enrolled_trigger::int), sum(s.enrolled_bulk::int), sum(s.enrolled_api::int), sum(s.enrolled_manual::int),
      sum((case when cohort then s.cohort_completed else s.completed end)::int),
      sum(case when cohort then s.cohort_duration_us else s.duration_us end)::text,
      sum((case when cohort then s.cohort_converted else s.converted end)::int),
      sum(case when cohort then s.cohort_conversion_us else s.conversion_us end)::text
    from bucket_parts(workflow, grain, keys, only_version) s
    group by 1;
end $$;

-- reason_sums(workflow, grain, since, until, only_version): a row each reason of ends between two keys. Where it is of one
-- grain, its partition is picked before the plan starts: to start up all of them takes longer than to read one.
create or replace function reason_sums(
  workflow int, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (reason text, cohort_ends bigint, ends bigint)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  if grain <> '15min' then
    return query
      select r.reason, sum(r.cohort_ends), sum(r.ends) from reason_rollup r
      where r.workflow_id = workflow and r.grain = reason_sums.grain and r.bucket >= since and r.bucket < until
        and (only_version is null or r.version = only_version)
      group by r.reason;
  else
    return query
      select r.reason, sum(p.sign * r.cohort_ends), sum(p.sign * r.ends)
      from parts_of(workflow, grain, since, until) p
      join reason_rollup r on r.workflow_id = workflow
        and r.grain = p.grain and r.bucket >= p.first_key and r.bucket < p.last_key
      where only_version is null or r.version = only_version
      group by r.reason;
  end if;
end $$;

-- goal_sums(workflow, grain, since, until, cohort, only_version): a row each goal, alike, in one attribution. Days are
-- asked for by their partition: to lock all of them takes as long as to read ninety days.
create or replace function goal_sums(
  workflow int, grain grain, since timestamptz, until timestamptz, cohort boolean, only_version int
) returns table (goal_id int, achieved bigint, first bigint)
language plpgsql stable rows 5
set enable_sort = off  -- few goals of many days: hashed
set search_path = weir, pg_temp as $$
begin
  if grain = 'day' then
    return query
      select r.goal_id, sum(case when cohort then r.cohort_achieved else r.achieved end),
        sum(case when cohort then r.cohort_first else r.first end)
      from goal_day r
      where r.workflow_id = workflow and r.grain = 'day' and r.bucket >= since and r.bucket < until
        and (only_version is null or r.version = only_version)
      group by r.goal_id;
  else
    return query
      select r.goal_id, sum(p.sign * case when cohort then r.cohort_achieved else r.achieved end),
        sum(p.sign * case when cohort then r.cohort_first else r.first end)
      from parts_of(workflow, grain, since, until) p
      join goal_rollup r on r.workflow_id = workflow
        and r.grain = p.grain and r.bucket >= p.first_key and r.bucket < p.last_key
      where only_version is null or r.version = only_version
      group by r.goal_id;
  end if;
end $$;

-- totals(…): the sums that two ranges are compared by. since, until: keys of the grain. cut: an instant at
-- which the range is broken off, null for its end; days before the cut's own are taken whole, then quarters
-- of an hour, then single executions.
create or replace function totals(
  workflow int, grain grain, since timestamptz, until timestamptz, cut timestamptz, zone text,
  cohort boolean, only_version int
) returns jsonb
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  quarter   timestamptz := bucket_15min(cut);
  cut_day   date := (cut at time zone zone)::date;
  whole     timestamptz := case when cut is null then until when grain = 'day' then day_key(cut_day) else quarter end;
  counted   record;
begin
  select coalesce(sum(r.enrolled), 0) as enrolled,
    coalesce(sum(case when cohort then r.cohort_completed else r.completed end), 0) as completed,
    coalesce(sum(case when cohort then r.cohort_converted else r.converted end), 0) as converted,
    coalesce(sum(case when cohort then r.cohort_duration_us else r.duration_us end), 0) as duration_us
  into counted
  from (
    select * from workflow_sums(workflow, totals.grain, since, whole, only_version)
    union all
    select * from workflow_sums(workflow, '15min', first_instant(cut_day, zone), quarter, only_version)
    where totals.grain = 'day'
  ) r;
  if cut is not null then
    select counted.enrolled + coalesce(sum(part.enrolled), 0) as enrolled,
      counted.completed + coalesce(sum(part.completed), 0) as completed,
      counted.converted + coalesce(sum(part.converted), 0) as converted,
      counted.duration_us + coalesce(sum(part.duration_us), 0) as duration_us
    into counted
    from (
      select (e.enrolled_at >= quarter and e.enrolled_at < cut)::int as enrolled,
        (e.status in ('completed', 'goal_achieved') and moment.completed >= quarter and moment.completed < cut)::int
          as completed,
        (moment.converted >= quarter and moment.converted < cut)::int as converted,
        case when e.status in ('completed', 'goal_achieved') and moment.completed >= quarter and moment.completed < cut
          then microseconds(e.ended_at - e.enrolled_at) end as duration_us
      from execution e cross join lateral (select
        case when cohort then e.enrolled_at else e.ended_at end as completed,
        case when e.converted_at is null then null when cohort then e.enrolled_at else e.converted_at end as converted
      ) moment
      where e.workflow_id = workflow and (only_version is null or e.version = only_version)
        and (e.enrolled_at >= quarter and e.enrolled_at < cut
          or not cohort and e.ended_at >= quarter and e.ended_at < cut
          or not cohort and e.converted_at >= quarter and e.converted_at < cut)
    ) part;
  end if;
  return jsonb_build_object('enrolled', counted.enrolled, 'completed', counted.completed,
    'converted', counted.converted, 'durations', counted.completed, 'duration_us', counted.duration_us::text);
end $$;

-- read_summary(…): counts behind GET …/analytics. attribution: 'cohort' | 'event'. compare_first, compare_last:
-- local dates of the compared range, null for none; it is broken off after as long as the range has lasted.
-- What buckets and reasons add up to is left to the caller: see range_facts().
-- Callers: readAnalytics() of db/analytics.ts.
-- Planned once: what few rows are expected of looks cheaper when planned for its values, and planning is half the read.
create or replace function read_summary(
  account int, id uuid, first_day date, last_day date, zone text, granularity text, attribution text,
  compare_first date, compare_last date, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  r         record;
  since     timestamptz;
  until     timestamptz;
  cohort    boolean := attribution = 'cohort';
  past      record;
  compared  json;
  f         record;
  running   record;
  timed     record;
begin
  r := read_head(account, id, first_day, last_day, zone, granularity, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  if compare_first is not null then
    past := past_range(compare_first, compare_last, zone_kept(compare_first, r.tz, r.account_zone, now),
      r.account_zone, case when now < r.bounds[cardinality(r.bounds)] then now - first_instant(first_day, r.tz) end, now);
    compared := json_build_object('tz', past.tz,
      'start', iso_instant(past.since), 'end', iso_instant(coalesce(past.cut, past.until)),
      'totals', totals(r.workflow, past.grain, past.first_key, past.last_key, past.cut, past.tz, cohort, only_version));
  end if;
  f := range_facts(r.workflow, r.grain, r.keys, granularity = 'daily' and r.grain <> 'month', only_version);
  running := running_counts(r.workflow, r.grain, r.keys, r.bounds, now, only_version);
  timed := durations_of(r.workflow, cohort, r.grain, since, until, only_version);

  return json_build_object('head', r.head,
    'days', f.days, 'first_day', f.first_day, 'edges', f.edges, 'parts', f.parts, 'reasons', f.reasons,
    'running', running.running,
    -- Enrolled less ended, dated at or after the range's end, and at or after now, for buckets that are not over.
    'net_after', running.after, 'net_ahead', running.ahead,
    'past', compared,
    'goals', goals_achieved(r.workflow, r.grain, since, until, cohort, only_version),
    'duration', timed.duration, 'conversion', timed.conversion);
end $$;

-- goals_achieved(workflow, grain, since, until, cohort, only_version): [{goal_id, goal_name, achieved, first}, …] between
-- two keys, most achieved first.
create or replace function goals_achieved(
  workflow int, grain grain, since timestamptz, until timestamptz, cohort boolean, only_version int
) returns json
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return (
    select coalesce(json_agg(json_build_object('goal_id', g.goal_uuid, 'achieved', s.achieved, 'first', s.first,
      'goal_name', newest_with(workflow, 'goals', 'goal_id', g.goal_uuid)->>'name')
      order by s.achieved desc, g.goal_uuid), '[]')
    from goal_sums(workflow, goals_achieved.grain, since, until, cohort, only_version) s
    join goals_of(workflow) g on g.goal_id = s.goal_id
    where s.achieved > 0);
end $$;

-- read_analytics(…): read_summary() as processes of the release before read it, for as long as one may run.
create or replace function read_analytics(
  account int, id uuid, first_day date, last_day date, zone text, granularity text, attribution text,
  compare_first date, compare_last date, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  r       record := read_head(account, id, first_day, last_day, zone, granularity, only_version, now);
  cohort  boolean := attribution = 'cohort';
  summed  json;
begin
  if r.workflow is null then
    return null;
  end if;
  summed := read_summary(account, id, first_day, last_day, zone, granularity, attribution, compare_first, compare_last,
    only_version, now);
  return json_build_object('head', r.head,
    'sums', (
      select coalesce(json_agg(to_json(d) order by position), '[]')
      from bucket_sums(r.workflow, r.grain, r.keys, cohort, only_version) d),
    'reasons', (
      select coalesce(json_agg(to_json(x)), '[]') from (
        select reason, case when cohort then cohort_ends else ends end as count
        from reason_sums(r.workflow, r.grain, r.keys[1], r.keys[cardinality(r.keys)], only_version)
        where case when cohort then cohort_ends else ends end > 0
        order by 2 desc, 1
      ) x),
    'running', summed->'running', 'net_after', summed->'net_after', 'net_ahead', summed->'net_ahead',
    'past', summed->'past', 'goals', summed->'goals', 'duration', summed->'duration', 'conversion', summed->'conversion');
end $$;

-- net_since(workflow, grain, key, only_version): executions enrolled less executions ended, in the buckets
-- from a key on.
create or replace function net_since(workflow int, grain grain, key timestamptz, only_version int)
returns bigint
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return (
    select coalesce(sum(enrolled) - sum(completed) - sum(exited), 0) from workflow_rollup r
    where r.workflow_id = workflow and r.grain = net_since.grain and r.bucket >= key
      and (only_version is null or r.version = only_version));
end $$;

-- net_ahead(workflow, instant, only_version): the same at or after now or later, from the detail: what is dated ahead
-- are minutes at most. To start up a read of the rollup's partitions takes ten times as long. That nothing is dated at
-- infinity tells the planner that it is not a third of all: for as many it started workers, 16 ms.
create or replace function net_ahead(workflow int, instant timestamptz, only_version int) returns bigint
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return (
      select count(*) from execution
      where workflow_id = workflow and enrolled_at >= instant and enrolled_at < 'infinity'
        and (only_version is null or version = only_version))
    - (select count(*) from execution
       where workflow_id = workflow and ended_at >= instant and ended_at < 'infinity'
        and (only_version is null or version = only_version));
end $$;

-- running_counts(workflow, grain, keys, bounds, now, only_version): executions that run once all that is recorded has happened, and
-- how many more were enrolled than ended at or after now (ahead), and at or after the end of a range (after).
create or replace function running_counts(
  workflow int, grain grain, keys timestamptz[], bounds timestamptz[], now timestamptz, only_version int,
  out running numeric, out ahead bigint, out after bigint
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  until  timestamptz := bounds[cardinality(bounds)];
begin
  -- As net_ahead(), asked once for both.
  select r.running, e.ahead - d.ahead, e.after - d.after into running, ahead, after
  from (
    select coalesce(sum(executions), 0) as running from workflow_running
    where workflow_id = workflow and (only_version is null or version = only_version)
  ) r, (
    select count(*) as ahead, count(*) filter (where enrolled_at >= until) as after from execution
    where workflow_id = workflow and enrolled_at >= now and enrolled_at < 'infinity'
      and (only_version is null or version = only_version)
  ) e, (
    select count(*) as ahead, count(*) filter (where ended_at >= until) as after from execution
    where workflow_id = workflow and ended_at >= now and ended_at < 'infinity'
      and (only_version is null or version = only_version)
  ) d;
  if until < now then
    after := net_since(workflow, grain, keys[cardinality(keys)], only_version);
  end if;
end $$;

-- step_sums(workflow, grain, since, until, only_version): a row each step of the cohorts between two keys. Days are
-- differences of the view's rows, those that changed since come from the rollup; quarters of an hour at the ends of a
-- range. So do actions'.
create or replace function step_sums(
  workflow int, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (
  step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
  visits bigint, time_us numeric
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  changed  timestamptz[];
  d        record;
begin
  if grain = '15min' then
    select min(p.first_key) filter (where p.grain = 'day') as day_first,
      min(p.last_key) filter (where p.grain = 'day') as day_last,
      array_agg(p.first_key) filter (where p.grain = '15min') as firsts,
      array_agg(p.last_key) filter (where p.grain = '15min') as lasts,
      array_agg(p.sign) filter (where p.grain = '15min') as signs
    into d from parts_of(workflow, grain, since, until) p;
    return query
    select s.step_id, sum(s.entered)::bigint, sum(s.completed)::bigint, sum(s.dropped_off)::bigint,
      sum(s.goal_exits)::bigint, sum(s.left_after)::bigint, sum(s.visits)::bigint, sum(s.time_us)
    from (
      select * from step_sums(workflow, 'day', d.day_first, d.day_last, only_version) where d.day_first is not null
      union all
      select * from step_quarters(workflow, d.firsts, d.lasts, d.signs, only_version)
    ) s group by s.step_id having sum(s.entered) > 0;
    return;
  end if;
  if grain = 'day' and only_version is null then
    changed := changed_days(workflow, 'step_day_sums', since, until);
  end if;
  if changed is not null then
    return query
    select s.step_id, sum(s.entered)::bigint, sum(s.completed)::bigint, sum(s.dropped_off)::bigint,
      sum(s.goal_exits)::bigint, sum(s.left_after)::bigint, sum(s.visits)::bigint, sum(s.time_us)
    from (
      select v.step_id, u.sign * v.entered as entered, u.sign * v.completed as completed,
        u.sign * v.dropped_off as dropped_off, u.sign * v.goal_exits as goal_exits, u.sign * v.left_after as left_after,
        u.sign * v.visits as visits, u.sign * v.time_us as time_us
      from unchanged(since, until, changed) u
      cross join lateral (
        select max(w.bucket) as bucket from step_day_sums w where w.workflow_id = workflow and w.bucket < u.key) last
      join step_day_sums v on v.workflow_id = workflow and v.bucket = last.bucket
      union all
      select r.step_id, r.entered, r.completed, r.dropped_off, r.goal_exits, r.left_after, r.visits, r.time_us
      from step_rollup r
      where changed <> '{}' and r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
    ) s group by s.step_id having sum(s.entered) > 0;
    return;
  end if;
  return query
    select r.step_id, sum(r.entered), sum(r.completed), sum(r.dropped_off), sum(r.goal_exits), sum(r.left_after),
      sum(r.visits), sum(r.time_us)
    from step_rollup r
    where r.workflow_id = workflow and r.grain = step_sums.grain and r.bucket >= since and r.bucket < until
      and (only_version is null or r.version = only_version)
    group by r.step_id having sum(r.entered) > 0;
end $$;

-- step_average(workflow, cut, cut_from, cut_until, only_version): a row each step of all cohorts that are kept as days
-- and lie before a day's key, and of those enrolled between two instants of that day.
create or replace function step_average(
  workflow int, cut timestamptz, cut_from timestamptz, cut_until timestamptz, only_version int
) returns table (step_id int, entered bigint, completed bigint, dropped_off bigint)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  if cut_from = cut_until then  -- a day that is cut at its beginning
    return query
      select s.step_id, s.entered, s.completed, s.dropped_off
      from step_sums(workflow, 'day', '-infinity', cut, only_version) s;
    return;
  end if;
  return query
    select s.step_id, sum(s.entered)::bigint, sum(s.completed)::bigint, sum(s.dropped_off)::bigint
    from (
      select d.step_id, d.entered, d.completed, d.dropped_off
      from step_sums(workflow, 'day', '-infinity', cut, only_version) d
      union all
      select r.step_id, r.entered, r.completed, r.dropped_off
      from step_quarters(workflow, array[cut_from], array[cut_until], array[1], only_version) r
    ) s group by s.step_id having sum(s.entered) > 0;
end $$;

-- compared_steps(workflow, grain, since, until, past, cut, cut_from, cut_until, only_version): step_sums() of a range, and
-- beside them what a step is compared with: of past, which is of past_range(), null where nobody entered; and
-- step_average(). Where all of these are days of the view, they are three of its rows and are read at once: one by one
-- they took 0.3 ms. Where no day changed since, nothing is to be added up, which takes a quarter less.
create or replace function compared_steps(
  workflow int, grain grain, since timestamptz, until timestamptz, past_grain grain, past_since timestamptz,
  past_until timestamptz, cut timestamptz, cut_from timestamptz, cut_until timestamptz, only_version int
) returns table (
  step_id int, entered bigint, completed bigint, dropped_off bigint, goal_exits bigint, left_after bigint,
  visits bigint, time_us numeric, past_entered bigint, past_completed bigint, past_dropped_off bigint,
  ever_entered bigint, ever_completed bigint, ever_dropped_off bigint
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  changed    timestamptz[];
  last       timestamptz;
  before     timestamptz;
  past_last  timestamptz;
begin
  if grain = 'day' and past_grain = 'day' and past_until = since and cut = until and cut_from = cut_until
    and only_version is null
    and past_since >= (select v.since from view_revision v where v.view = 'step_day_sums' and v.workflow_id = workflow)
  then
    changed := changed_days(workflow, 'step_day_sums', '-infinity', until);
  end if;
  if changed is null then
    return query
    select s.step_id, s.entered, s.completed, s.dropped_off, s.goal_exits, s.left_after, s.visits, s.time_us,
      p.entered, p.completed, p.dropped_off, a.entered, a.completed, a.dropped_off
    from step_sums(workflow, grain, since, until, only_version) s
    left join step_sums(workflow, past_grain, past_since, past_until, only_version) p on p.step_id = s.step_id
    left join step_average(workflow, cut, cut_from, cut_until, only_version) a on a.step_id = s.step_id;
    return;
  end if;
  if changed = '{}' then
    last := (select max(v.bucket) from step_day_sums v where v.workflow_id = workflow and v.bucket < until);
    past_last := (select max(v.bucket) from step_day_sums v where v.workflow_id = workflow and v.bucket < since);
    before := (select max(v.bucket) from step_day_sums v where v.workflow_id = workflow and v.bucket < past_since);
    return query
    select e.step_id, e.entered - coalesce(p.entered, 0), e.completed - coalesce(p.completed, 0),
      e.dropped_off - coalesce(p.dropped_off, 0), e.goal_exits - coalesce(p.goal_exits, 0),
      e.left_after - coalesce(p.left_after, 0), e.visits - coalesce(p.visits, 0), e.time_us - coalesce(p.time_us, 0),
      nullif(p.entered - coalesce(b.entered, 0), 0), p.completed - coalesce(b.completed, 0),
      p.dropped_off - coalesce(b.dropped_off, 0), e.entered, e.completed, e.dropped_off
    from step_day_sums e
    left join step_day_sums p on p.workflow_id = workflow and p.bucket = past_last and p.step_id = e.step_id
    left join step_day_sums b on b.workflow_id = workflow and b.bucket = before and b.step_id = e.step_id
    where e.workflow_id = workflow and e.bucket = last and e.entered > coalesce(p.entered, 0);
    return;
  end if;
  return query
  select s.step_id, sum(s.now * s.entered)::bigint, sum(s.now * s.completed)::bigint,
    sum(s.now * s.dropped_off)::bigint, sum(s.now * s.goal_exits)::bigint, sum(s.now * s.left_after)::bigint,
    sum(s.now * s.visits)::bigint, sum(s.now * s.time_us),
    nullif(sum(s.past * s.entered)::bigint, 0), sum(s.past * s.completed)::bigint, sum(s.past * s.dropped_off)::bigint,
    sum(s.ever * s.entered)::bigint, sum(s.ever * s.completed)::bigint, sum(s.ever * s.dropped_off)::bigint
  from (
    -- Of all days before a key, how often they count now, in the past and ever; less the days that changed.
    select k.now, k.past, k.ever, v.step_id, v.entered, v.completed, v.dropped_off, v.goal_exits, v.left_after, v.visits,
      v.time_us
    from (
      select e.key, sum(e.now)::int as now, sum(e.past)::int as past, sum(e.ever)::int as ever
      from (
        values (until, 1, 0, 1), (since, -1, 1, 0), (past_since, 0, -1, 0)
        union all
        select day + side.after, side.sign * (day >= since)::int, side.sign * (day >= past_since and day < since)::int,
          side.sign
        from unnest(changed) as day, (values (interval '0', 1), (interval '24 hours', -1)) as side(after, sign)
      ) e(key, now, past, ever)
      group by e.key having sum(e.now) <> 0 or sum(e.past) <> 0 or sum(e.ever) <> 0
    ) k
    cross join lateral (
      select max(w.bucket) as bucket from step_day_sums w where w.workflow_id = workflow and w.bucket < k.key) last
    join step_day_sums v on v.workflow_id = workflow and v.bucket = last.bucket
    union all
    select (r.bucket >= since)::int, (r.bucket >= past_since and r.bucket < since)::int, 1, r.step_id, r.entered,
      r.completed, r.dropped_off, r.goal_exits, r.left_after, r.visits, r.time_us
    from step_rollup r
    where r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
  ) s group by s.step_id having sum(s.now * s.entered) > 0;
end $$;

-- cohort_totals(workflow, grain, since, until, only_version): those enrolled between two keys, and of them the completed.
create or replace function cohort_totals(
  workflow int, grain grain, since timestamptz, until timestamptz, only_version int,
  out enrolled bigint, out completed bigint
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  changed  timestamptz[];
begin
  if grain = 'day' and only_version is null then
    changed := changed_days(workflow, 'workflow_day_sums', since, until);
  end if;
  if changed is not null then
    select sum(d.enrolled), sum(d.cohort_completed) into enrolled, completed
    from (
      select v.enrolled, v.cohort_completed from workflow_day_sums v
      where v.workflow_id = workflow and v.bucket >= since and v.bucket < until and v.bucket <> all (changed)
      union all
      select r.enrolled, r.cohort_completed from workflow_rollup r
      where changed <> '{}' and r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
    ) d;
  else
    select sum(p.sign * s.enrolled), sum(p.sign * s.cohort_completed) into enrolled, completed
    from parts_of(workflow, cohort_totals.grain, since, until) p
    cross join lateral workflow_sums(workflow, p.grain, p.first_key, p.last_key, only_version) s;
  end if;
  enrolled := coalesce(enrolled, 0);
  completed := coalesce(completed, 0);
end $$;

-- action_sums(workflow, grain, since, until, only_version): a row each step that executed between two keys.
create or replace function action_sums(
  workflow int, grain grain, since timestamptz, until timestamptz, only_version int
) returns table (step_id int, executions bigint, successes bigint, duration_us numeric)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  changed  timestamptz[];
  d        record;
begin
  if grain = '15min' then
    select min(p.first_key) filter (where p.grain = 'day') as day_first,
      min(p.last_key) filter (where p.grain = 'day') as day_last,
      array_agg(p.first_key) filter (where p.grain = '15min') as firsts,
      array_agg(p.last_key) filter (where p.grain = '15min') as lasts,
      array_agg(p.sign) filter (where p.grain = '15min') as signs
    into d from parts_of(workflow, grain, since, until) p;
    return query
    select s.step_id, sum(s.executions)::bigint, sum(s.successes)::bigint, sum(s.duration_us)
    from (
      select * from action_sums(workflow, 'day', d.day_first, d.day_last, only_version) where d.day_first is not null
      union all
      select * from action_quarters(workflow, d.firsts, d.lasts, d.signs, only_version)
    ) s group by s.step_id having sum(s.executions) > 0;
    return;
  end if;
  if grain = 'day' and only_version is null then
    changed := changed_days(workflow, 'action_day_sums', since, until);
  end if;
  if changed is not null then
    return query
    select s.step_id, sum(s.executions)::bigint, sum(s.successes)::bigint, sum(s.duration_us)
    from (
      select v.step_id, u.sign * v.executions as executions, u.sign * v.successes as successes,
        u.sign * v.duration_us as duration_us
      from unchanged(since, until, changed) u
      cross join lateral (
        select max(w.bucket) as bucket from action_day_sums w where w.workflow_id = workflow and w.bucket < u.key) last
      join action_day_sums v on v.workflow_id = workflow and v.bucket = last.bucket
      union all
      select r.step_id, r.executions, r.successes, r.duration_us
      from action_rollup r
      where changed <> '{}' and r.workflow_id = workflow and r.grain = 'day' and r.bucket = any (changed)
    ) s group by s.step_id having sum(s.executions) > 0;
    return;
  end if;
  return query
    select r.step_id, sum(r.executions), sum(r.successes), sum(r.duration_us)
    from action_rollup r
    where r.workflow_id = workflow and r.grain = action_sums.grain and r.bucket >= since and r.bucket < until
      and (only_version is null or r.version = only_version)
    group by r.step_id having sum(r.executions) > 0;
end $$;

-- read_funnel(…): counts behind GET …/analytics/funnel, cohort attributed. Beside the counts of each step those
-- that it is compared with: "previous", as many days directly before (in the account's zone where quarters of
-- an hour are gone), and "average", all cohorts before the range's end that are kept as days.
-- Callers: readFunnel() of db/funnel.ts.
create or replace function read_funnel(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  r         record;
  past      record;
  since     timestamptz;
  until     timestamptz;
  last_cut  date;
begin
  r := read_head(account, id, first_day, last_day, zone, null, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];
  past := past_range(first_day - (last_day - first_day + 1), first_day - 1,
    zone_kept(first_day - (last_day - first_day + 1), r.tz, r.account_zone, now), r.account_zone, null, now);
  last_cut := (r.bounds[cardinality(r.bounds)] at time zone r.account_zone)::date;

  return json_build_object('head', r.head,
    'cohort', (select to_json(c) from cohort_totals(r.workflow, r.grain, since, until, only_version) c),
    'counts', (
      select coalesce(json_agg(to_json(c)), '[]') from (
        select s.step_uuid as step_id, sums.entered, sums.completed, sums.dropped_off, sums.goal_exits,
          sums.left_after, sums.visits, sums.completed as times, sums.time_us::text as time_us, p.p50, p.p95,
          stranger(r.workflow, r.steps, s.step_uuid) as step,
          case when sums.past_entered is not null then json_build_object('entered', sums.past_entered,
            'completed', sums.past_completed, 'dropped_off', sums.past_dropped_off) end as previous,
          json_build_object('entered', sums.ever_entered, 'completed', sums.ever_completed,
            'dropped_off', sums.ever_dropped_off) as average
        from compared_steps(r.workflow, r.grain, since, until, past.grain, past.first_key, past.last_key,
          day_key(last_cut), first_instant(last_cut, r.account_zone), r.bounds[cardinality(r.bounds)], only_version) sums
        join steps_of(r.workflow) s on s.step_id = sums.step_id
        left join range_percentiles(r.workflow, '{step_time}', r.grain, since, until, only_version) p
          on p.subject_id = sums.step_id
      ) c));
end $$;

-- read_actions(…): counts behind GET …/analytics/actions, by event.
-- Callers: readActions() of db/actions.ts.
create or replace function read_actions(
  account int, id uuid, first_day date, last_day date, zone text, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
  r      record;
  since  timestamptz;
  until  timestamptz;
begin
  r := read_head(account, id, first_day, last_day, zone, null, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  return json_build_object('head', r.head,
    'counts', (
      select coalesce(json_agg(to_json(c)), '[]') from (
        select s.step_uuid as action_id, sums.executions, sums.successes, sums.duration_us::text as duration_us,
          p.p50, p.p95, p.p99, stranger(r.workflow, r.steps, s.step_uuid) as step
        from action_sums(r.workflow, r.grain, since, until, only_version) sums
        join steps_of(r.workflow) s on s.step_id = sums.step_id
        left join range_percentiles(r.workflow, '{action_duration}', r.grain, since, until, only_version) p
          on p.subject_id = sums.step_id
      ) c));
end $$;
