-- Executions by what people know of them: a contact, a word of an error.

-- For erase_contact() and the search of executions; ids by their first characters.
create index execution_by_contact on execution (workflow_id, contact_id) where contact_id is not null;

-- event_words(workflow, error): what a search for words finds an event by. The workflow is one of the words, so
-- that a word that is common elsewhere costs nothing here; with a space in it, it is no word that anybody writes.
create function event_words(workflow_id int, error text) returns tsvector
language sql immutable parallel safe
return to_tsvector('simple'::regconfig, error) || array_to_tsvector(array['workflow ' || workflow_id::text]);

-- Few events have an error, so accepting events costs nothing more.
create index event_by_error on event using gin (event_words(workflow_id, error)) where error is not null;

-- Files that somebody asked for and a worker makes. A row is kept as long as it tells something; see expire_exports().
create table export_job (
  job_id        uuid primary key default gen_random_uuid(),
  account_id    int not null references account,
  workflow_id   int not null references workflow,
  user_id       text,                                            -- who asked; null: a machine
  request       jsonb not null,                                  -- ExportQuery of db/schema.ts
  status        text not null default 'queued' check (status in ('queued', 'running', 'done', 'failed', 'cancelled')),
  percent       smallint not null default 0 check (percent between 0 and 100),
  attempts      smallint not null default 0,
  attempt       uuid,                                            -- who is at it, and which file is its
  not_before    timestamptz not null default now(),              -- after a failure it rests
  lease_until   timestamptz,                                     -- whoever runs it is gone when this has passed
  requested_at  timestamptz not null default now(),
  started_at    timestamptz,
  finished_at   timestamptz,
  expires_at    timestamptz,                                     -- of the file
  error         text,
  secret        bytea not null default sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')),
  file_name     text,                                            -- null until done, as are the next four
  media_type    text,
  bytes         bigint,
  rows          bigint,
  sha256        bytea
) with (fillfactor = 50);

create index export_job_open on export_job (requested_at) where status in ('queued', 'running');
create index export_job_by_workflow on export_job (workflow_id, requested_at desc);
create index export_job_by_account on export_job (account_id) where status in ('queued', 'running', 'done');

-- The files, where they are kept in the database: pieces of one attempt, in order. Not compressed: PDFs are, and a
-- piece in the middle is to be read alone.
create table export_chunk (
  job_id    uuid not null,
  attempt   uuid not null,
  position  int not null,
  bytes     bytea not null,
  primary key (job_id, attempt, position)
);
alter table export_chunk alter bytes set storage external;
