-- Small functions that give a word one meaning. Immutable ones are inlined by the planner.

-- on_citus(): whether tables lie on nodes of a cluster, as db/citus.sql spreads them.
create or replace function on_citus() returns boolean
language sql stable
return exists (select from pg_extension where extname = 'citus');

-- bucket_15min(instant): the quarter of an hour that an instant lies in.
create or replace function bucket_15min(instant timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin('15 minutes', instant, timestamptz '2000-01-01 00:00:00+00');

-- histogram_value(bin): microseconds that stand for everything in a bin.
create or replace function histogram_value(bin smallint) returns float8
language sql immutable parallel safe
return case when bin < 0 then 0
  else power(1.0195::float8 / 0.9805::float8, bin) * 0.9805::float8 end;

-- earlier_midnight(day, zone): steps back from the later midnight for as long as the date is the same.
create or replace function earlier_midnight(day date, zone text) returns timestamptz
language plpgsql stable parallel safe as $$
declare
  instant  timestamptz := day::timestamp at time zone zone;
begin
  while (instant - interval '15 minutes') at time zone zone >= day::timestamp loop
    instant := instant - interval '15 minutes';
  end loop;
  return instant;
end $$;

-- first_instant(day, zone): the first instant that carries this local date, or would have, in
-- a zone that skipped it. AT TIME ZONE alone takes the later of two midnights (Havana, 2026-11-01).
-- Stable: it depends on the server's zone data. One expression, so that it is inlined: a read asks for every
-- day of its range, and a call of a function costs ten times as much.
create or replace function first_instant(day date, zone text) returns timestamptz
language sql stable parallel safe
return case
  when ((day::timestamp at time zone zone) - interval '15 minutes') at time zone zone < day::timestamp
    then day::timestamp at time zone zone
  else weir.earlier_midnight(day, zone) end;

-- first_instants(days, zone): of each of them, in their order. The session's zone is this one for as long as it runs, as AT
-- TIME ZONE looks a zone up by its name for each day: of 90 days half of the time. It is as it was afterwards because
-- the function sets it, to whatever.
create or replace function first_instants(days date[], zone text) returns timestamptz[]
language plpgsql stable
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
begin
  perform set_config('timezone', zone, true);
  return array(
    select case when (midnight - interval '15 minutes')::timestamp < day then midnight
      else earlier_midnight(day, zone) end
    from (select unnest(days) as day, unnest(days::timestamptz[]) as midnight) d);
end $$;

-- detail_from(): the first quarter of an hour that is kept: where the oldest partition of them begins. By name, as each
-- fold asks, and telling the bounds of all takes half a millisecond.
create or replace function detail_from() returns timestamptz
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  bounds  text;
begin
  select pg_get_expr(c.relpartbound, c.oid) into bounds
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'workflow_rollup'::regclass and c.relname like 'workflow\_15min\_%'
  order by c.relname <> 'workflow_15min_history', c.relname limit 1;
  return case when bounds is null then 'infinity' when bounds like '%MINVALUE%' then '-infinity'
    else substring(bounds from 'FROM \(''15min'', ''([^'']+)''\)') end::timestamptz;
end $$;

-- lock_partitions(): waits for the right to change which months there are, until the transaction ends.
create or replace function lock_partitions() returns void
language sql volatile
return pg_advisory_xact_lock(1464158548, 0);

-- make_partitions(today): makes the months of event and of the rollups' quarters of an hour, from the end
-- of their history to two months ahead of today; of the rollups none that retain() has dropped; and those of
-- the access log, from last month on. Returns how many were made. Months are UTC's, whatever the session's zone.
-- Callers: migrate, and the job "partitions". Repeating it makes nothing.
create or replace function make_partitions(today timestamptz default now()) returns int
language plpgsql security definer
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
declare
  history  timestamptz;
  parent   text;
  made     int := 0;
  month    timestamptz;
  name     text;
begin
  perform lock_partitions();
  history := (
    select substring(pg_get_expr(relpartbound, oid) from 'TO \(''([^'']+)''\)')::timestamptz
    from pg_class where oid = 'event_history'::regclass);
  foreach parent in array array['event', 'access_log', 'workflow_rollup', 'reason_rollup', 'goal_rollup', 'step_rollup', 'action_rollup'] loop
    month := case parent when 'event' then history when 'access_log' then date_trunc('month', today) - interval '1 month'
      else greatest(history, nullif(detail_from(), 'infinity')) end;
    while month < today + interval '2 months' loop
      name := replace(parent, 'rollup', '15min') || '_' || to_char(month at time zone 'UTC', 'YYYY_MM');
      if to_regclass(name) is null then
        execute format(
          case when parent in ('event', 'access_log') then 'create table %I partition of %I for values from (%L) to (%L)'
            else 'create table %I partition of %I for values from (''15min'', %L) to (''15min'', %L) with (fillfactor = 70)'
          end, name, parent, month, month + interval '1 month');
        if parent = 'access_log' and to_regrole('weir_work') is not null then
          execute format('revoke all on %I from weir_work', name);
        end if;
        made := made + 1;
      end if;
      month := month + interval '1 month';
    end loop;
  end loop;
  return made;
end $$;

select make_partitions();

-- grains(bucket, zone, detail_from): the buckets of every grain that a quarter of an hour belongs to; of days
-- and months alone where it is older than those that are kept.
create or replace function grains(bucket timestamptz, zone text, detail_from timestamptz)
returns table (grain grain, start timestamptz)
language sql stable parallel safe
as $$
  select '15min'::weir.grain, bucket where bucket >= detail_from
  union all select 'day', date_trunc('day', bucket at time zone zone) at time zone 'UTC'
  union all select 'month', date_trunc('month', bucket at time zone zone) at time zone 'UTC'
$$;

-- day_key(day): the bucket of grain 'day' that stands for a local date.
create or replace function day_key(day date) returns timestamptz
language sql immutable parallel safe
return day::timestamp at time zone 'UTC';

-- day_number(key): the days from 1970-01-01 to the local date that a key of grain 'day' stands for.
create or replace function day_number(key timestamptz) returns int
language sql immutable parallel safe
return extract(day from key - timestamptz '1970-01-01 00:00:00+00')::int;

-- A histogram is an array of counts whose subscripts are bins; null counts as 0.

-- histogram_add(total, added): the sum of two. By a loop, as an array in a plpgsql variable is changed in place.
create or replace function histogram_add(total int[], added int[]) returns int[]
language plpgsql immutable parallel safe as $$
begin
  if total = '{}' then
    return coalesce(added, total);
  end if;
  for bin in coalesce(array_lower(added, 1), 1) .. coalesce(array_upper(added, 1), 0) loop
    if added[bin] <> 0 then
      total[bin] := coalesce(total[bin], 0) + added[bin];
    end if;
  end loop;
  return total;
end $$;

-- histogram_sum(histogram): of any number.
create or replace aggregate histogram_sum(int[]) (sfunc = histogram_add, stype = int[], initcond = '{}', parallel = safe);

-- histogram_of(bins, samples): so many samples in each of some bins, in any order.
create or replace function histogram_of(bins smallint[], samples int[]) returns int[]
language plpgsql immutable parallel safe as $$
declare
  total  int[] := '{}';
begin
  for i in 1 .. cardinality(bins) loop
    total[bins[i]] := coalesce(total[bins[i]], 0) + samples[i];
  end loop;
  return total;
end $$;

-- histogram_total(samples): how many samples there are in it. UNNEST in the list of columns, as in FROM its rows are put
-- by first, which takes half as long again.
create or replace function histogram_total(samples int[]) returns bigint
language plpgsql immutable parallel safe as $$
begin
  return (select coalesce(sum(n), 0) from (select unnest(samples) as n) u);
end $$;

-- histogram_ranks(samples, total): the bins that slowest, p99, p95, p50 and fastest lie in, in this order, and the how
-- manieth sample of its bin each is; null where there are none. total: how many samples there are, where that is known.
-- Downwards, as most bins lie below the median: sums of all bins first, and a search in them, took twice as long.
drop function if exists histogram_ranks(int[]);
create or replace function histogram_ranks(
  samples int[], total bigint default null, out bins smallint[], out nths bigint[]
)
language plpgsql immutable parallel safe as $$
declare
  below  bigint;                                                 -- samples in bins before bin
  ranks  bigint[];
  nth    int := 1;
begin
  total := coalesce(total, weir.histogram_total(samples));  -- by its schema: a dump that is read in looks nowhere
  below := total;
  ranks := array[total, ceil(0.99 * total), ceil(0.95 * total), ceil(0.50 * total)];
  if total > 0 then
    for bin in reverse array_upper(samples, 1) .. array_lower(samples, 1) loop
      below := below - coalesce(samples[bin], 0);
      while below < ranks[nth] loop
        bins := bins || bin::smallint;
        nths := nths || ranks[nth] - below;
        nth := nth + 1;
      end loop;
      exit when nth > 4;
    end loop;
    for bin in array_lower(samples, 1) .. array_upper(samples, 1) loop
      if samples[bin] > 0 then
        bins := bins || bin::smallint;
        nths := nths || 1::bigint;
        exit;
      end if;
    end loop;
  end if;
end $$;

-- percentiles_of(bins): of the bins of histogram_ranks(), in microseconds, as near as bins are wide; none where there are
-- none. Inlined.
create or replace function percentiles_of(bins smallint[])
returns table (p50 float8, p95 float8, p99 float8, fastest float8, slowest float8)
language sql immutable parallel safe rows 1
begin atomic
  select histogram_value(bins[4]), histogram_value(bins[3]), histogram_value(bins[2]), histogram_value(bins[5]),
    histogram_value(bins[1])
  where bins is not null;
end;

-- A row a bin, for those who look at single ones.
create or replace view histogram_bins as
select h.workflow_id, h.grain, h.measure, h.bucket, h.subject_id, h.version,
  (array_lower(h.samples, 1) + n.nth - 1)::smallint as bin, n.samples
from histogram_rollup h cross join lateral unnest(h.samples) with ordinality as n(samples, nth)
where n.samples <> 0;
