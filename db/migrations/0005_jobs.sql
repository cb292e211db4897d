-- What keeps the numbers fresh, small and right: who did what when, and what was found wrong.

-- One row a job, written by whoever ran it last: the worker or pg_cron.
create table job (
  name           text primary key,
  run_by         text not null check (run_by in ('worker', 'pg_cron')),
  every_seconds  int not null,                                   -- longest pause that its scheduler promises
  started_at     timestamptz not null,
  finished_at    timestamptz,                                    -- of the last round that went well
  did            jsonb not null default '{}',                    -- and what that did, in counts
  error          text,                                           -- of the last round, null when it went well
  failed_at      timestamptz,
  runs           bigint not null default 0,
  failures       bigint not null default 0
) with (fillfactor = 50);

-- One row a refresh of a materialized view; retain() keeps a week of them.
create table view_refresh (
  refresh_id   bigint generated always as identity primary key,
  view         text not null,
  started_at   timestamptz not null,
  finished_at  timestamptz not null,
  rows         bigint,                                           -- null: failed
  version      numeric not null,                                 -- sum of all workflows' revisions when it began
  error        text,
  run_by       text not null check (run_by in ('worker', 'pg_cron'))
);

create index view_refresh_newest on view_refresh (view, refresh_id);

-- The revision of each workflow that a view has seen at least: rollup rows with a higher one changed since.
create table view_revision (
  view         text not null,
  workflow_id  int not null,
  revision     bigint not null,
  since        timestamptz not null,                             -- key of the first day that it holds
  primary key (view, workflow_id)
) with (fillfactor = 50);

-- Somebody wants to see what has just happened. At most one waits for each workflow.
create table refresh_request (
  job_id        uuid primary key default gen_random_uuid(),
  workflow_id   int not null references workflow,
  status        text not null default 'queued' check (status in ('queued', 'running', 'done', 'failed')),
  requested_at  timestamptz not null default now(),
  started_at    timestamptz,
  finished_at   timestamptz,
  error         text
);

create unique index refresh_request_queued on refresh_request (workflow_id) where status = 'queued';
create index refresh_request_open on refresh_request (requested_at) where status in ('queued', 'running');

-- What audit() found to differ from what lies below it. Whole audits begin it anew.
create table audit_drift (
  drift_id     bigint generated always as identity primary key,
  relation     text not null,
  is_stored    jsonb,                                            -- null: it is missing
  should_be    jsonb,                                            -- null: it should not be there
  found_at     timestamptz not null default now()
);
create unique index audit_drift_once on audit_drift (relation, md5(coalesce(is_stored, should_be)::text), (is_stored is null));

-- Months of event that were written to while retain() copied what is wanted of them.
create table touched_month (
  part  oid primary key
);
