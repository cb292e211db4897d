-- How people like to see their numbers.

-- user_id: '' for who acts for the account without an id of their own.
create table preference (
  account_id     int not null references account,
  user_id        text not null,
  time_zone      text,                                           -- IANA; null: the account's
  theme          text not null check (theme in ('system', 'light', 'dark')),
  default_range  text not null check (default_range ~ '^[a-z0-9_]{1,32}$'),
  updated_at     timestamptz not null default now(),
  primary key (account_id, user_id)
);
