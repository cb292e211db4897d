-- State of each execution: a pure function of the set of its events, kept by fold().
-- The raw columns are minima in the order of events (occurred_at, sequence, id), so that a
-- changed setting recomputes from here alone; the derived ones are what was last counted.

create type execution_status as enum ('active', 'completed', 'goal_achieved', 'error', 'exited');

create table execution (
  workflow_id        int not null,
  execution_id       uuid not null,
  -- the earliest enrolment; null until it arrives, and then nothing of it counts
  enrolled_at        timestamptz,
  enrolled_sequence  bigint,
  -- the earliest end other than by a goal
  stopped_at         timestamptz,
  stopped_sequence   bigint,
  -- derived
  ended_at           timestamptz,                                -- never before enrolled_at
  converted_at       timestamptz,                                -- never before enrolled_at
  version            int,
  left_after         int,                                        -- step_id
  status             execution_status,                           -- null until enrolled
  source             enrollment_source,
  enrolled_event     text collate "C",
  stopped_event      text collate "C",
  contact_id         text collate "C",
  stop_reason        text,
  end_reason         text,                                       -- derived
  primary key (workflow_id, execution_id)
) with (fillfactor = 85);

create index execution_by_enrollment on execution (workflow_id, enrolled_at);
create index execution_by_end on execution (workflow_id, ended_at) where ended_at is not null;
create index execution_by_conversion on execution (workflow_id, converted_at) where converted_at is not null;

create table execution_step (
  workflow_id         int not null,
  execution_id        uuid not null,
  step_id             int not null,
  visits              int not null,                              -- step.entered events; 0 where implied
  entered_at          timestamptz,                               -- null where implied by completed_at
  completed_at        timestamptz,
  completed_sequence  bigint,
  completed_event     text collate "C",
  primary key (workflow_id, execution_id, step_id)
) with (fillfactor = 85);

create table execution_goal (
  workflow_id        int not null,
  execution_id       uuid not null,
  goal_id            int not null,
  occurred_at        timestamptz not null,                       -- the earliest
  sequence           bigint not null,
  event_id           text collate "C" not null,
  achieved_at        timestamptz,                                -- derived: null where it does not count
  is_conversion      boolean not null default false,             -- derived: the first of its execution
  primary key (workflow_id, execution_id, goal_id)
) with (fillfactor = 85);

-- Actions of executions whose enrolment has not arrived.
create table parked_action (
  workflow_id   int not null,
  execution_id  uuid not null,
  step_id       int not null,
  occurred_at   timestamptz not null,
  duration_us   bigint not null,
  succeeded     boolean not null
);

create index parked_action_by_execution on parked_action (workflow_id, execution_id);
