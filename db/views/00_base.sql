-- Small functions that give a word one meaning. Immutable ones are inlined by the planner.

-- bucket_15min(instant): the quarter of an hour that an instant lies in.
create or replace function bucket_15min(instant timestamptz) returns timestamptz
language sql immutable parallel safe
return date_bin('15 minutes', instant, timestamptz '2000-01-01 00:00:00+00');

-- microseconds(duration): exact, for intervals between instants.
create or replace function microseconds(duration interval) returns bigint
language sql immutable parallel safe
return (extract(epoch from duration) * 1000000)::bigint;

-- histogram_bin(us): the bin of a duration of whole microseconds. Bin 0 holds 1, bin i the
-- values above gamma^(i-1) up to gamma^i, with gamma = (1 + a) / (1 - a) and a = 0.0195: the
-- value that histogram_value() gives for a bin is within 1.95 % of everything in it, which
-- leaves a margin to the promised 2 %. Bin -1 holds 0.
create or replace function histogram_bin(us bigint) returns smallint
language sql immutable parallel safe
return case when us <= 0 then -1 else ceil(ln(us::float8) / ln(1.0195::float8 / 0.9805::float8)) end::smallint;

-- histogram_value(bin): microseconds that stand for everything in a bin.
create or replace function histogram_value(bin smallint) returns float8
language sql immutable parallel safe
return case when bin < 0 then 0
  else power(1.0195::float8 / 0.9805::float8, bin) * 0.9805::float8 end;

-- first_instant(day, zone): the first instant that carries this local date, or would have, in
-- a zone that skipped it. AT TIME ZONE alone takes the later of two midnights (Havana, 2026-11-01).
-- Callers: period(). Stable: it depends on the server's zone data.
create or replace function first_instant(day date, zone text) returns timestamptz
language plpgsql stable parallel safe as $$
declare
  instant timestamptz := day::timestamp at time zone zone;
begin
  while ((instant - interval '15 minutes') at time zone zone)::date >= day loop
    instant := instant - interval '15 minutes';
  end loop;
  return instant;
end $$;

-- make_event_partitions(today): makes the months of event from the end of event_history to two
-- months ahead of today. Returns how many were made. Callers: migrate, and the worker daily.
-- Repeating it makes nothing. Event days are UTC months.
create or replace function make_event_partitions(today timestamptz default now()) returns int
language plpgsql as $$
declare
  month timestamptz := (
    select substring(pg_get_expr(relpartbound, oid) from 'TO \(''([^'']+)''\)')::timestamptz
    from pg_class where oid = 'weir.event_history'::regclass);
  name  text;
  made  int := 0;
begin
  while month < today + interval '2 months' loop
    name := 'event_' || to_char(month at time zone 'UTC', 'YYYY_MM');
    if to_regclass('weir.' || name) is null then
      execute format('create table weir.%I partition of weir.event for values from (%L) to (%L)',
        name, month, month + interval '1 month');
      made := made + 1;
    end if;
    month := month + interval '1 month';
  end loop;
  return made;
end $$;

select make_event_partitions();
