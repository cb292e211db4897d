-- Tenants, who may act for them, and what they registered.
-- Small tables: on Citus they are reference tables.

create table account (
  account_id    int generated always as identity primary key,
  account_uuid  uuid not null unique default gen_random_uuid(),  -- what the outside knows
  name          text not null,
  time_zone     text not null,                                   -- IANA; days are days of this zone
  created_at    timestamptz not null default now()
);

-- Only the SHA-256 of a secret is kept, so a stolen table opens nothing.
create table api_key (
  key_id      text primary key,
  account_id  int not null references account,
  secret      bytea not null check (length(secret) = 32),
  scopes      text[] not null check (cardinality(scopes) > 0),
  user_id     text,                                              -- null: a machine of the account
  role        text not null check (role in ('admin', 'member')),
  created_at  timestamptz not null default now(),
  revoked_at  timestamptz
);

create table sign_in_link (
  secret      bytea primary key check (length(secret) = 32),
  account_id  int not null references account,
  user_id     text,
  role        text not null check (role in ('admin', 'member')),
  expires_at  timestamptz not null
);

create table session (
  secret      bytea primary key check (length(secret) = 32),
  account_id  int not null references account,
  user_id     text,
  role        text not null check (role in ('admin', 'member')),
  expires_at  timestamptz not null
);

create table workflow (
  workflow_id            int generated always as identity primary key,
  workflow_uuid          uuid not null unique,
  account_id             int not null references account,
  name                   text,                                   -- null until registered
  status                 text not null default 'active' check (status in ('draft', 'active', 'paused', 'archived')),
  owner_id               text,
  newest_version         int,                                    -- null until registered
  goal_ends_execution    boolean not null default true,
  conversion_window      text not null default 'P90D',           -- ISO 8601, as it was given
  conversion_window_us   bigint not null default 7776000000000,
  recompute_since        timestamptz,                            -- a setting changed then; recompute() owes the rest
  created_at             timestamptz not null default now()
);

create index workflow_by_account on workflow (account_id, workflow_id);

-- Steps and goals as they were registered, immutable. definition: {"steps": [...], "goals": [...]}
create table workflow_version (
  workflow_id  int not null references workflow,
  version      int not null check (version >= 1),
  definition   jsonb not null,
  created_at   timestamptz not null default now(),
  primary key (workflow_id, version)
);

-- Short names for the ids of steps and goals, given when fold() first meets them.
create table step (
  workflow_id  int not null references workflow,
  step_id      int generated always as identity,
  step_uuid    uuid not null,
  primary key (workflow_id, step_id),
  unique (workflow_id, step_uuid)
);

create table goal (
  workflow_id  int not null references workflow,
  goal_id      int generated always as identity,
  goal_uuid    uuid not null,
  primary key (workflow_id, goal_id),
  unique (workflow_id, goal_uuid)
);
