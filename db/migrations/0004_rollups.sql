-- Sums and counts, never averages. fold() adds to them the difference that each batch makes, to all
-- grains in one transaction: so days and months need no consolidation, a late event corrects a
-- month as it corrects a quarter of an hour, and retention is dropping partitions.
-- grain    '15min': bucket is the quarter of an hour that begins then; every zone in use is offset
--          by a multiple. 'day', 'month': of the account's zone; bucket is its first local date at
--          00:00 UTC.
-- version  of the execution's enrolment
-- revision of the workflow when the row last changed
-- cohort_* belong to the bucket of the enrolment, the others to when it happened.
-- Sums of microseconds are numeric: 15,000 executions of 20 years overflow a bigint.

create type grain as enum ('15min', 'day', 'month');

create table workflow_revision (
  workflow_id   int primary key,
  revision      bigint not null,
  changed_at    timestamptz not null
) with (fillfactor = 50);

-- Executions that are enrolled and not ended, whenever dated. What was running at an instant is
-- this less what happened since.
create table workflow_running (
  workflow_id  int not null,
  version      int not null,
  executions   bigint not null,
  primary key (workflow_id, version)
) with (fillfactor = 50);

create table workflow_rollup (
  workflow_id           int not null,
  grain                 grain not null,
  bucket                timestamptz not null,
  version               int not null,
  enrolled              int not null,
  enrolled_trigger      int not null,
  enrolled_bulk         int not null,
  enrolled_api          int not null,
  enrolled_manual       int not null,
  cohort_completed      int not null,
  cohort_exited         int not null,
  cohort_converted      int not null,
  -- of those, ended
  cohort_settled_converted  int not null,
  completed             int not null,
  exited                int not null,
  converted             int not null,
  cohort_duration_us    numeric not null,                        -- of the completed
  cohort_conversion_us  numeric not null,                        -- enrolment to conversion
  duration_us           numeric not null,
  conversion_us         numeric not null,
  revision              bigint not null,
  primary key (workflow_id, grain, bucket, version)
) partition by range (grain, bucket);

create table reason_rollup (
  workflow_id  int not null,
  grain        grain not null,
  bucket       timestamptz not null,
  version      int not null,
  reason       text collate "C" not null,
  cohort_ends  int not null,
  ends         int not null,
  revision     bigint not null,
  primary key (workflow_id, grain, bucket, reason, version)
) partition by range (grain, bucket);

create table goal_rollup (
  workflow_id      int not null,
  grain            grain not null,
  bucket           timestamptz not null,
  version          int not null,
  goal_id          int not null,
  cohort_achieved  int not null,
  cohort_first     int not null,
  achieved         int not null,
  first            int not null,
  revision         bigint not null,
  primary key (workflow_id, grain, bucket, goal_id, version)
) partition by range (grain, bucket);

-- By cohort. In progress = entered - completed - dropped_off - goal_exits.
create table step_rollup (
  workflow_id  int not null,
  grain        grain not null,
  bucket       timestamptz not null,
  version      int not null,
  step_id      int not null,
  entered      int not null,
  completed    int not null,
  dropped_off  int not null,
  goal_exits   int not null,
  left_after   int not null,
  visits       int not null,
  time_us      numeric not null,                                 -- of the completed
  revision     bigint not null,
  primary key (workflow_id, grain, bucket, step_id, version)
) partition by range (grain, bucket);

-- By event.
create table action_rollup (
  workflow_id  int not null,
  grain        grain not null,
  bucket       timestamptz not null,
  version      int not null,
  step_id      int not null,
  executions   int not null,
  successes    int not null,
  duration_us  numeric not null,
  revision     bigint not null,
  primary key (workflow_id, grain, bucket, step_id, version)
) partition by range (grain, bucket);

create type measure as enum (
  'cohort_duration', 'duration', 'cohort_conversion', 'conversion', 'step_time', 'action_duration'
);

-- Log histograms: one row a bin that something fell into, per day and month of the account's zone.
-- Bins of any days, versions and partitions add up; histogram_bin() says which values they hold.
create table histogram_rollup (
  workflow_id  int not null,
  grain        grain not null check (grain <> '15min'),
  measure      measure not null,
  bucket       timestamptz not null,
  subject_id   int not null,                                     -- step_id, or 0 for the workflow
  version      int not null,
  bin          smallint not null,
  samples      int not null,
  revision     bigint not null,
  primary key (workflow_id, grain, measure, bucket, subject_id, version, bin)
) partition by range (grain, bucket);

-- Quarters of an hour lie in months, made ahead and dropped by make_partitions() and retention, and
-- in one partition for imported history. Live rows change all the time: fillfactor leaves room for
-- updates in place, and no index holds a column that changes.
do $$
declare
  rollup   text;
  history  timestamptz := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - interval '4 months';
begin
  foreach rollup in array array['workflow', 'reason', 'goal', 'step', 'action', 'histogram'] loop
    execute format('create table %I partition of %I for values from (''day'', minvalue) to (''day'', maxvalue)
      with (fillfactor = 70)', rollup || '_day', rollup || '_rollup');
    execute format('create table %I partition of %I for values from (''month'', minvalue) to (''month'', maxvalue)
      with (fillfactor = 70)', rollup || '_month', rollup || '_rollup');
    continue when rollup = 'histogram';
    execute format('create table %I partition of %I for values from (''15min'', minvalue) to (''15min'', %L)
      with (fillfactor = 70)', rollup || '_15min_history', rollup || '_rollup', history);
  end loop;
end $$;
