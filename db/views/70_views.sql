-- Materialized views: what most reads want, laid out for them. They are never the truth: a day that changed
-- since a view was refreshed (changed_day) is read from the rollups instead, so reads are exact at every
-- instant. A view is believed as far as view_revision says.

-- materialized_views(): all of them, in the order in which they are refreshed.
create or replace function materialized_views() returns text[]
language sql immutable parallel safe
return array['workflow_headline_sums', 'workflow_day_sums', 'step_day_sums', 'action_day_sums', 'window_percentiles'];

-- Earlier programs read the views through these.
drop view if exists workflow_days, step_days, action_days, workflow_headline;

-- make_view(name, key, definition): a materialized view with a unique index, which REFRESH … CONCURRENTLY
-- needs. One whose definition is as it was, and that of the functions it names, keeps its rows.
create or replace function make_view(name text, key text, definition text) returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  sum  text := 'Definition ' || md5(key || definition || (
    select coalesce(string_agg(pg_get_functiondef(p.oid), '' order by p.oid::regprocedure::text), '') from pg_proc p
    where p.pronamespace = 'weir'::regnamespace and p.prokind = 'f'
      and strpos(definition, 'weir.' || p.proname || '(') > 0));
begin
  if to_regclass(name) is not null then
    if obj_description(to_regclass(name), 'pg_class') = sum then
      return;
    end if;
    execute format('drop materialized view %I', name);
  end if;
  delete from view_revision where view = name;
  delete from view_refresh where view = name;
  execute format('create materialized view %I as %s with no data', name, definition);
  execute format('create unique index %I on %I (%s)', name || '_key', name, key);
  execute format('comment on materialized view %I is %L', name, sum);
end $$;

-- first_day_key(): the first day that views hold, as a key. 200 days are the preset ranges of up to 90 and
-- what they are compared with. REFRESH … CONCURRENTLY costs about 10 µs a row, changed or not: two years
-- of 20 workflows with 8 steps took 3.4 s, and these take 0.5 s (2 cores).
create or replace function first_day_key() returns timestamptz
language sql stable parallel safe
return weir.day_key((now() at time zone 'UTC')::date - 200);

-- today(zone): the local date, by which views end.
create or replace function today(zone text) returns date
language sql stable parallel safe
return (now() at time zone zone)::date;

-- Days of an account's zone, all versions together. bucket: the first local date at 00:00 UTC. facts: the day as
-- read_summary() hands it over, written once, not at every read: to write 90 days takes 0.3 ms. reasons: [[reason, ends
-- of those enrolled, ends], …] of all these days up to and including bucket, as steps and actions are below. These two
-- are read most, and stand before what is in the way: a row is read column by column up to what is wanted.
select make_view('workflow_day_sums', 'workflow_id, bucket', $$
  with day as (
    select workflow_id, bucket, sum(enrolled) as enrolled, sum(enrolled_trigger) as enrolled_trigger,
      sum(enrolled_bulk) as enrolled_bulk, sum(enrolled_api) as enrolled_api, sum(enrolled_manual) as enrolled_manual,
      sum(cohort_completed) as cohort_completed, sum(cohort_exited) as cohort_exited,
      sum(cohort_converted) as cohort_converted, sum(cohort_settled_converted) as cohort_settled_converted,
      sum(completed) as completed, sum(exited) as exited, sum(converted) as converted,
      sum(cohort_duration_us) as cohort_duration_us, sum(cohort_conversion_us) as cohort_conversion_us,
      sum(duration_us) as duration_us, sum(conversion_us) as conversion_us
    from weir.workflow_rollup where grain = 'day' and bucket >= weir.first_day_key() group by workflow_id, bucket
  ), reason_day as (
    select workflow_id, bucket, reason, sum(cohort_ends) as cohort_ends, sum(ends) as ends
    from weir.reason_rollup where grain = 'day' and bucket >= weir.first_day_key() group by workflow_id, bucket, reason
  ), so_far as (
    select workflow_id, bucket, reason, sum(cohort_ends) over days as cohort_ends, sum(ends) over days as ends
    from day join (select distinct workflow_id, reason from reason_day) r using (workflow_id)
    left join reason_day using (workflow_id, bucket, reason)
    window days as (partition by workflow_id, reason order by bucket rows unbounded preceding)
  ), reasons as (
    select workflow_id, bucket, json_agg(json_build_array(reason, cohort_ends, ends)) as reasons
    from so_far where cohort_ends is not null group by workflow_id, bucket
  )
  select workflow_id, bucket, weir.facts(weir.day_number(bucket), enrolled, enrolled_trigger, enrolled_bulk, enrolled_api,
    enrolled_manual, cohort_completed, cohort_exited, cohort_converted, cohort_settled_converted, completed, exited,
    converted, cohort_duration_us, cohort_conversion_us, duration_us, conversion_us) as facts,
    coalesce(reasons, '[]') as reasons, enrolled, enrolled_trigger, enrolled_bulk, enrolled_api, enrolled_manual,
    cohort_completed, cohort_exited, cohort_converted, cohort_settled_converted, completed, exited, converted,
    cohort_duration_us, cohort_conversion_us, duration_us, conversion_us
  from day left join reasons using (workflow_id, bucket)$$);

-- Of steps and actions, sums of all days up to and including bucket: those of a range are a difference of two rows,
-- and what a step is compared with, all days that are kept, is one. Steps have a row on each day of their workflow, and
-- one under the key -infinity, of the days before those that views hold one by one.
select make_view('step_day_sums', 'workflow_id, bucket, step_id', $$
  with day as (
    select workflow_id, case when bucket >= weir.first_day_key() then bucket else '-infinity' end as bucket, step_id,
      sum(entered) as entered, sum(completed) as completed, sum(dropped_off) as dropped_off,
      sum(goal_exits) as goal_exits, sum(left_after) as left_after, sum(visits) as visits, sum(time_us) as time_us
    from weir.step_rollup where grain = 'day' group by 1, 2, 3
  )
  select workflow_id, bucket, step_id, coalesce(sum(entered) over so_far, 0)::bigint as entered,
    coalesce(sum(completed) over so_far, 0)::bigint as completed,
    coalesce(sum(dropped_off) over so_far, 0)::bigint as dropped_off,
    coalesce(sum(goal_exits) over so_far, 0)::bigint as goal_exits,
    coalesce(sum(left_after) over so_far, 0)::bigint as left_after, coalesce(sum(visits) over so_far, 0)::bigint as visits,
    coalesce(sum(time_us) over so_far, 0) as time_us
  from (select distinct workflow_id, bucket from day) b join (select distinct workflow_id, step_id from day) s using (workflow_id)
  left join day using (workflow_id, bucket, step_id)
  window so_far as (partition by workflow_id, step_id order by bucket rows unbounded preceding)$$);

select make_view('action_day_sums', 'workflow_id, bucket, step_id', $$
  with day as (
    select workflow_id, bucket, step_id, sum(executions) as executions, sum(successes) as successes,
      sum(duration_us) as duration_us
    from weir.action_rollup where grain = 'day' and bucket >= weir.first_day_key() group by workflow_id, bucket, step_id
  )
  select workflow_id, bucket, step_id, coalesce(sum(executions) over so_far, 0)::bigint as executions,
    coalesce(sum(successes) over so_far, 0)::bigint as successes, coalesce(sum(duration_us) over so_far, 0) as duration_us
  from (select distinct workflow_id, bucket from day) b join (select distinct workflow_id, step_id from day) s using (workflow_id)
  left join day using (workflow_id, bucket, step_id)
  window so_far as (partition by workflow_id, step_id order by bucket rows unbounded preceding)$$);

-- Nearest ranks of every measure over the windows of make_windows(). since, until: keys of days, until not in it.
select make_view('window_percentiles', 'workflow_id, measure, since, until, subject_id', $$
  select h.workflow_id, h.measure, w.last_day - (h.days - 1) * interval '24 hours' as since,
    w.last_day + interval '24 hours' as until, h.subject_id, p.p50, p.p95, p.p99, p.fastest, p.slowest
  from weir.window_histogram h join weir.histogram_window w using (workflow_id)
  cross join lateral (select coalesce(h.bins, (weir.histogram_ranks(h.samples, h.total)).bins) as bins offset 0) b
  cross join lateral weir.percentiles_of(b.bins) p$$);

-- The overview of an account: 30 days up to last_day, which was today when it was refreshed. running:
-- enrolled and not ended, whenever dated; what is dated ahead of now is to be taken off.
select make_view('workflow_headline_sums', 'workflow_id', $$
  select w.workflow_id, today.last_day, 30 as days, coalesce(days.enrolled, 0) as enrolled,
    coalesce(days.completed, 0) as completed, coalesce(days.converted, 0) as converted,
    coalesce(running.executions, 0) as running
  from weir.workflow w
  join weir.account a using (account_id)
  cross join lateral (select weir.today(a.time_zone) as last_day) today
  left join lateral (
    select sum(r.enrolled) as enrolled, sum(r.cohort_completed) as completed, sum(r.cohort_converted) as converted
    from weir.workflow_rollup r
    where r.workflow_id = w.workflow_id and r.grain = 'day'
      and r.bucket between weir.day_key(last_day - 29) and weir.day_key(last_day)
  ) days on true
  left join lateral (
    select sum(v.executions) as executions from weir.workflow_running v where v.workflow_id = w.workflow_id
  ) running on true$$);

-- changed_days(workflow, name, since, until): keys of the days from since on and before until that changed
-- since the view was refreshed; null when the view lacks the workflow or begins later. Since -infinity: when one that
-- changed lies before the days that the view holds one by one.
-- Callers: the reads of 30_reads.sql.
create or replace function changed_days(workflow int, name text, since timestamptz, until timestamptz)
returns timestamptz[]
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  held_since  timestamptz;
  changed     timestamptz[];
begin
  select v.since, array(
      select c.bucket from changed_day c
      where r.revision > v.revision  -- or there is nothing to look for
        and c.workflow_id = workflow and c.bucket >= changed_days.since and c.bucket < changed_days.until
        and c.revision > v.revision
      order by 1)
  into held_since, changed
  from view_revision v join workflow_revision r using (workflow_id) where v.view = name and v.workflow_id = workflow;
  if held_since <= (case changed_days.since when '-infinity' then changed_days.until else changed_days.since end)
    and (changed = '{}' or changed[1] >= held_since)
  then
    return changed;
  end if;
  return null;
end $$;

-- unchanged(since, until, changed): of a range of days less some that changed, where the stretches end (sign 1) and
-- begin (-1): what a view holds of all days before a key is to be added, or taken off. Inlined.
create or replace function unchanged(since timestamptz, until timestamptz, changed timestamptz[])
returns table (key timestamptz, sign int)
language sql immutable parallel safe
begin atomic
  select e.key, sum(e.sign)::int
  from (
    select until, 1
    union all select since, -1
    union all select day, 1 from unnest(changed) day
    union all select day + interval '24 hours', -1 from unnest(changed) day
  ) e(key, sign)
  group by e.key having sum(e.sign) <> 0;
end;

-- refresh_view(name, by_whom, pause, done): refreshes one of them, unless another session is at it or nothing
-- has changed since it was; at least every quarter of an hour, as today becomes another day somewhere.
--
-- pause    it rests for so many times as long as the last refresh took; 20 keeps it below a twentieth of a core
-- done     false when there was nothing to do, or it failed
-- Callers  refresh_views(). Repeat: harmless. Errors are recorded in view_refresh, and not thrown.
-- One transaction, to be committed at once: it holds off other writers of the view, no readers.
create or replace procedure refresh_view(name text, by_whom text, pause int, inout done boolean)
language plpgsql security definer
set jit = off
set search_path = weir, pg_temp as $$
declare
  began_at  timestamptz := clock_timestamp();
  last      view_refresh;
  seen      numeric;
  problem   text;
  count     bigint;
begin
  done := false;
  if not lock_job('refresh ' || name) then
    return;
  end if;
  select * into last from view_refresh r where r.view = name order by refresh_id desc limit 1;
  select coalesce(sum(revision), 0) into seen from workflow_revision;
  if last.error is null and last.version = seen
      and bucket_15min(last.started_at) = bucket_15min(began_at)
    -- Clocks step: one that finished later than now was told by another, and one that took hours took none.
    or began_at >= last.finished_at
      and began_at < last.finished_at + least(pause * (last.finished_at - last.started_at), interval '6 hours') then
    return;
  end if;

  begin
    -- Before the rows are read, so that what changes in between counts as changed.
    insert into view_revision as v (view, workflow_id, revision, since)
    select name, r.workflow_id, r.revision, first_day_key() from workflow_revision r
    on conflict (view, workflow_id) do update set revision = excluded.revision, since = excluded.since
    where (v.revision, v.since) is distinct from (excluded.revision, excluded.since);
    if (select relispopulated from pg_class where oid = to_regclass(name)) then
      execute format('refresh materialized view concurrently %I', name);
    else
      execute format('refresh materialized view %I', name);
    end if;
    execute format('select count(*) from %I', name) into count;
  exception when others or query_canceled then
    problem := sqlerrm;
  end;
  insert into view_refresh (view, started_at, finished_at, rows, version, error, run_by)
  values (name, began_at, clock_timestamp(), count, seen, problem, by_whom);
  if problem is not null then
    raise warning 'Cannot refresh %: %', name, problem;
  end if;
  done := problem is null;
end $$;

-- refresh_views(by_whom, pause, refreshed): all of them, one transaction each, after the windows of those workflows for
-- which another day has begun, and of those that have slices, or samples enough, and changed since these were looked at,
-- which takes some 15 ms: once a minute with a pause of 20. refreshed: how many views.
create or replace procedure refresh_views(by_whom text, pause int, inout refreshed int)
language plpgsql as $$
declare
  behind  record;
  name    text;
  done    boolean;
begin
  for behind in
    select w.workflow_id,
      v.last_day is distinct from weir.day_key(weir.today(a.time_zone)) or v.sliced <> '{}' as is_sure
    from weir.workflow_revision r join weir.workflow w using (workflow_id) join weir.account a using (account_id)
    left join weir.histogram_window v using (workflow_id)
    where v.last_day is distinct from weir.day_key(weir.today(a.time_zone))
      or v.sliced_at < r.changed_at and v.sliced_at <= now() - pause * interval '3 seconds'
    order by 1
  loop
    continue when not behind.is_sure and weir.measures_to_slice(behind.workflow_id) = '{}';
    perform weir.make_windows(behind.workflow_id);
    commit;
  end loop;
  refreshed := 0;
  foreach name in array weir.materialized_views() loop
    call weir.refresh_view(name, by_whom, pause, done);
    commit;
    refreshed := refreshed + done::int;
  end loop;
end $$;

drop function if exists histogram_percentiles(int[]);
drop procedure if exists refresh_view(text, text, boolean);
drop procedure if exists refresh_views(text, int);

-- A view that has never been filled cannot be read.
do $$
declare
  name  text;
begin
  foreach name in array weir.materialized_views() loop
    if not (select relispopulated from pg_class where oid = to_regclass(name)) then
      insert into view_revision (view, workflow_id, revision, since)
      select name, r.workflow_id, r.revision, first_day_key() from workflow_revision r;
      execute format('refresh materialized view %I', name);
    end if;
  end loop;
end $$;
