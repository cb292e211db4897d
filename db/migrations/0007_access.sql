-- Who was let in, and what they read.

alter table api_key add last_used_at timestamptz;                -- to the minute

-- Every read and export, append-only: nobody but the owner of the schema may change what is there, and
-- forgetting is dropping months. make_partitions() adds them.
create table access_log (
  at             timestamptz not null,
  access_id      bigint generated always as identity,
  account_id     int not null,
  user_id        text,                                           -- null: a machine, or nobody in particular
  credential     text not null,                                  -- names what let them in, and opens nothing
  action         text not null,                                  -- method and pattern of the route
  workflow_uuid  uuid,
  filter         jsonb not null default '{}',                    -- what was asked for, as it was asked
  rows           bigint,                                         -- null: not a number of rows
  status         smallint not null,
  request_id     text not null,
  primary key (account_id, at, access_id)
) partition by range (at);
