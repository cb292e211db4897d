-- Sums and counts, never averages. fold() adds to them the difference that each batch makes.
-- bucket   quarter of an hour that begins then: every zone in use is offset by a multiple
-- version  of the execution's enrolment
-- revision of the workflow when the row last changed
-- cohort_* belong to the bucket of the enrolment, the others to when it happened.
-- Sums of microseconds are numeric: 15,000 executions of 20 years overflow a bigint.
-- fillfactor leaves room for updates in place; no index holds a column that changes.

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

create table workflow_15min (
  workflow_id           int not null,
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
  cohort_settled_converted int not null,                         -- of those, ended
  completed             int not null,
  exited                int not null,
  converted             int not null,
  cohort_duration_us    numeric not null,                        -- of the completed
  cohort_conversion_us  numeric not null,                        -- enrolment to conversion
  duration_us           numeric not null,
  conversion_us         numeric not null,
  revision              bigint not null,
  primary key (workflow_id, bucket, version)
) with (fillfactor = 70);

create table reason_15min (
  workflow_id  int not null,
  bucket       timestamptz not null,
  version      int not null,
  reason       text collate "C" not null,
  cohort_ends  int not null,
  ends         int not null,
  revision     bigint not null,
  primary key (workflow_id, bucket, reason, version)
) with (fillfactor = 70);

create table goal_15min (
  workflow_id      int not null,
  bucket           timestamptz not null,
  version          int not null,
  goal_id          int not null,
  cohort_achieved  int not null,
  cohort_first     int not null,
  achieved         int not null,
  first            int not null,
  revision         bigint not null,
  primary key (workflow_id, bucket, goal_id, version)
) with (fillfactor = 70);

-- By cohort. In progress = entered - completed - dropped_off - goal_exits.
create table step_15min (
  workflow_id  int not null,
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
  primary key (workflow_id, bucket, step_id, version)
) with (fillfactor = 70);

-- By event.
create table action_15min (
  workflow_id  int not null,
  bucket       timestamptz not null,
  version      int not null,
  step_id      int not null,
  executions   int not null,
  successes    int not null,
  duration_us  numeric not null,
  revision     bigint not null,
  primary key (workflow_id, bucket, step_id, version)
) with (fillfactor = 70);

create type measure as enum (
  'cohort_duration', 'duration', 'cohort_conversion', 'conversion', 'step_time', 'action_duration'
);

-- Log histograms: one row a bin that something fell into, per day of the account's zone.
-- Bins of any days, versions and partitions add up; histogram_bin() says which values they hold.
create table histogram_day (
  workflow_id  int not null,
  measure      measure not null,
  day          date not null,
  subject_id   int not null,                                     -- step_id, or 0 for the workflow
  version      int not null,
  bin          smallint not null,
  samples      int not null,
  revision     bigint not null,
  primary key (workflow_id, measure, day, subject_id, version, bin)
) with (fillfactor = 80);
