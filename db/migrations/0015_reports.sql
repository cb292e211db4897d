-- Reports by schedule: what is sent where, and what became of each sending.

-- A job of a report is nobody's who waits for it: it does not count against what an account may have open.
alter table export_job add column for_report boolean not null default false;

create table report (
  report_id    uuid primary key default gen_random_uuid(),
  account_id   int not null references account,
  workflow_id  int not null references workflow,
  created_by   text,                                             -- null: a machine
  created_at   timestamptz not null default now(),
  every        text not null check (every in ('week', 'month')), -- of the account's zone: Mondays, first days
  hour         smallint not null check (hour between 0 and 23),
  request      jsonb not null,                                   -- ExportQuery of db/schema.ts but for the dates
  url          text not null,
  secret       bytea not null,                                   -- signs what is sent, so it cannot be a hash; see claim_delivery()
  due_at       timestamptz not null,
  failures     smallint not null default 0,                      -- deliveries given up one after the other
  disabled_at  timestamptz,
  reason       text                                              -- why it is disabled
);

create index report_by_workflow on report (workflow_id, created_at);
create index report_by_account on report (account_id);
create index report_due on report (due_at) where disabled_at is null;

-- A period is sent once, however many workers plan it; whatever else is sent was asked for by hand.
create table report_delivery (
  delivery_id   uuid primary key default gen_random_uuid(),
  report_id     uuid not null references report on delete cascade,
  start_date    date not null,
  end_date      date not null,
  by_hand       boolean not null,
  job_id        uuid not null,                                   -- export_job that makes the file
  status        text not null default 'making' check (status in ('making', 'sending', 'delivered', 'failed')),
  attempts      smallint not null default 0,
  attempt       uuid,                                            -- who is at it
  not_before    timestamptz not null default now(),
  lease_until   timestamptz,
  created_at    timestamptz not null default now(),
  finished_at   timestamptz,
  http_status   smallint,                                        -- of the last attempt, null: no answer
  error         text
) with (fillfactor = 50);

create unique index report_delivery_period on report_delivery (report_id, start_date) where not by_hand;
create index report_delivery_newest on report_delivery (report_id, created_at desc);
create index report_delivery_open on report_delivery (not_before) where status in ('making', 'sending');
