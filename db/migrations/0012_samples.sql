-- Percentiles of ranges that are not made of the account's days are exact, and found without reading every
-- sample: the histograms tell which bin each of them lies in, and these indexes give the samples of that bin.

-- microseconds(duration): exact, for intervals between instants. Not among the views, as indexes are made of it.
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

-- Of its execution; null until that is enrolled.
alter table execution_step add enrolled_at timestamptz;
update execution_step s set enrolled_at = e.enrolled_at
from execution e where e.workflow_id = s.workflow_id and e.execution_id = s.execution_id and e.enrolled_at is not null;

create index execution_by_duration on execution
  (workflow_id, histogram_bin(microseconds(ended_at - enrolled_at)), enrolled_at) include (ended_at)
  where status in ('completed', 'goal_achieved');
create index execution_by_conversion_time on execution
  (workflow_id, histogram_bin(microseconds(converted_at - enrolled_at)), enrolled_at) include (converted_at)
  where converted_at is not null;
create index execution_step_by_time on execution_step
  (workflow_id, step_id, histogram_bin(greatest(0, microseconds(completed_at - coalesce(entered_at, completed_at)))), enrolled_at)
  include (entered_at, completed_at)
  where completed_at is not null and enrolled_at is not null;
create index event_by_duration on event
  (workflow_id, subject_uuid, histogram_bin(duration_us), occurred_at) include (duration_us)
  where type = 'action.executed';

-- The same indexes as before, with what samples are made of.
drop index event_actions;
create index event_actions on event (workflow_id, occurred_at) include (subject_uuid, duration_us)
  where type = 'action.executed';
drop index execution_by_conversion;
create index execution_by_conversion on execution (workflow_id, converted_at) include (enrolled_at)
  where converted_at is not null;
