-- What producers need besides keys, and what is known of the quality of what they send.

-- Addresses that others call and sign what they send. The signature is an HMAC, so the secret is kept
-- as it is: who steals this table can forge what these webhooks report, and nothing else.
create table webhook (
  webhook_id  text primary key,
  account_id  int not null references account,
  provider    text not null check (provider in ('github')),
  secret      text not null,
  created_at  timestamptz not null default now(),
  revoked_at  timestamptz
);

-- What arrived and should not have, or not so: counted where it is met anyway.
-- duplicate        the same event again
-- conflict         another event under a known id
-- late             accepted more than an hour after it occurred
-- future, too_old  refused for when it says it occurred
-- invalid          refused for its form
-- conflicting_end  an execution.completed, .exited or .failed beyond the first of its execution
create type quality_kind as enum (
  'duplicate', 'conflict', 'late', 'future', 'too_old', 'invalid', 'conflicting_end'
);

create table quality_count (
  workflow_id  int not null,
  day          date not null,                                    -- UTC, of the arrival
  kind         quality_kind not null,
  events       bigint not null,
  last_at      timestamptz not null,
  executions   uuid[] not null,                                  -- of the newest, for a look
  primary key (workflow_id, day, kind)
) with (fillfactor = 50);
