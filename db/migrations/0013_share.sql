-- Links by which anybody sees a workflow's numbers without being a user. Of a link's token only the SHA-256 is
-- kept, so a stolen table opens none.
create table share (
  share_id         uuid primary key default gen_random_uuid(),
  workflow_id      int not null references workflow,
  account_id       int not null references account,
  secret           bytea not null unique check (length(secret) = 32),
  name             text,
  view             jsonb not null,                               -- what it shows: range, tz, compare
  password         jsonb,                                        -- how it was hashed, and what came of it
  frame_ancestors  text[] not null,                              -- origins whose pages may frame it
  created_by       text,                                         -- null: a machine, or nobody in particular
  created_at       timestamptz not null default now(),
  expires_at       timestamptz,                                  -- null: it does not end by itself
  revoked_at       timestamptz
);

create index share_by_workflow on share (workflow_id, created_at) where revoked_at is null;
