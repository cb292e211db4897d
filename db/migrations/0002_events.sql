-- What producers reported. Append-only; everything else can be computed from it.

create type event_type as enum (
  'execution.enrolled', 'step.entered', 'step.completed', 'action.executed',
  'goal.achieved', 'execution.completed', 'execution.exited', 'execution.failed'
);
create type enrollment_source as enum ('trigger', 'bulk', 'api', 'manual');

-- ids compare by their bytes (collate "C"): they break ties in the order of events.
create table event (
  workflow_id   int not null,
  execution_id  uuid not null,
  occurred_at   timestamptz not null,
  sequence      bigint not null check (sequence >= 0),
  duration_us   bigint check (duration_us >= 0),
  version       int not null check (version >= 1),
  type          event_type not null,
  source        enrollment_source,
  subject_uuid  uuid,                                            -- step or goal
  succeeded     boolean,
  event_id      text collate "C" not null,
  contact_id    text collate "C" not null,
  reason        text,
  error         text
) partition by range (occurred_at);

create index event_by_execution on event (workflow_id, execution_id);
-- Percentiles of actions in zones that have no histograms.
create index event_actions on event (workflow_id, occurred_at) where type = 'action.executed';

-- Imported history, older than the oldest month; make_partitions() adds the months.
-- Three months back cover the 90 days that are accepted.
do $$
begin
  execute format(
    'create table event_history partition of event for values from (minvalue) to (%L)',
    date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - interval '4 months');
end $$;

-- One row an event id ever accepted. Uniqueness cannot live in event: a unique key of a
-- partitioned table contains the partition key, so the same id dated into another month
-- would be a second row. 16 bytes of SHA-256 stand for the id, 8 for the content.
create table event_key (
  workflow_id     int not null,
  event_digest    uuid not null,
  content_digest  bigint not null,
  accepted_at     timestamptz not null default now(),
  primary key (workflow_id, event_digest)
);

-- Accepted and not yet folded: a copy of the event, deleted by the fold that counts it.
-- The delete and the counting are one transaction: nothing is lost or counted twice.
create table event_queue (
  queue_id      bigint generated always as identity,
  accepted_at   timestamptz not null default now(),
  like event
);

create index event_queue_by_workflow on event_queue (workflow_id, queue_id);

-- A queue is mostly dead rows: vacuum it early and without pauses.
alter table event_queue set (
  autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0
);
