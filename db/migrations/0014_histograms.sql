-- A histogram is one row, no longer one a bin: a fold of 1,000 events changed 2,400 rows of them and now changes 100,
-- and a day of them is a sixth of the size.
-- samples  how many each bin has; subscripts are bins (histogram_bin()), and null is 0. At most 1,122 of them,
--          4.5 kB, so a row always fits into its page; mostly noughts, so it is worth packing while it is small.
create function pg_temp.histogram_of(bins smallint[], counts int[]) returns int[] language plpgsql as $$
declare
  samples  int[] := array_fill(0, array[bins[cardinality(bins)] - bins[1] + 1], array[bins[1]::int]);
begin
  for i in 1 .. cardinality(bins) loop
    samples[bins[i]] := counts[i];
  end loop;
  return samples;
end $$;

create temp table packed on commit drop as
select workflow_id, grain, measure, bucket, subject_id, version,
  pg_temp.histogram_of(array_agg(bin), array_agg(samples)) as samples
from (select * from histogram_rollup order by workflow_id, grain, measure, bucket, subject_id, version, bin) ordered
group by workflow_id, grain, measure, bucket, subject_id, version;

drop materialized view if exists window_percentiles;
drop table histogram_rollup;

create table histogram_rollup (
  workflow_id  int not null,
  grain        grain not null check (grain <> '15min'),
  measure      measure not null,
  bucket       timestamptz not null,
  subject_id   int not null,                                     -- step_id, or 0 for the workflow
  version      int not null,
  samples      int[] not null,
  primary key (workflow_id, grain, measure, bucket, subject_id, version)
) partition by range (grain, bucket);
alter table histogram_rollup alter samples set storage main;

create table histogram_day partition of histogram_rollup for values from ('day', minvalue) to ('day', maxvalue)
  with (fillfactor = 70, toast_tuple_target = 256);
create table histogram_month partition of histogram_rollup for values from ('month', minvalue) to ('month', maxvalue)
  with (fillfactor = 70, toast_tuple_target = 256);

insert into histogram_rollup select * from packed order by workflow_id, grain, measure, bucket, subject_id, version;

-- The sums of the histograms of the last days that presets ask for, which the fold keeps like a grain: what is read most
-- costs a row a step, whatever has just changed. make_windows() makes them anew for each day.
create table histogram_window (
  workflow_id  int primary key,
  last_day     timestamptz not null                              -- key of the day that they end with
);

create table window_histogram (
  workflow_id  int not null,
  measure      measure not null,
  days         int not null,                                     -- 7, 30 or 90
  subject_id   int not null,
  samples      int[] not null,
  primary key (workflow_id, measure, days, subject_id)
) with (fillfactor = 50);

-- By floating point, a fifth of the time of numeric's: a difference of instants is exact in it up to 140 years.
create or replace function microseconds(duration interval) returns bigint
language sql immutable parallel safe
return (date_part('epoch', duration) * 1000000)::bigint;

-- Nobody reads it, and it is 8 bytes an event.
alter table event_key drop column accepted_at;
