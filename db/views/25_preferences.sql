-- What people prefer, as {time_zone, theme, default_range}.

-- read_preferences(account, who): null where nothing was chosen.
-- Callers: readPreferences() of db/preferences.ts. Repeat: harmless, it only reads.
create or replace function read_preferences(account int, who text) returns json
language sql stable security definer
set search_path = weir, pg_temp
begin atomic
  select json_build_object('time_zone', p.time_zone, 'theme', p.theme, 'default_range', p.default_range)
  from preference p where p.account_id = account and p.user_id = who;
end;

-- preferences_version(account, who): of what somebody has chosen, null where that is nothing. It is asked for with
-- every grant, so that what they prefer can be kept under it.
-- Callers: findKey() and its like of db/access.ts. Repeat: harmless, it only reads.
create or replace function preferences_version(account int, who text) returns bigint
language sql stable security definer
set search_path = weir, pg_temp
begin atomic
  select (extract(epoch from p.updated_at) * 1000000)::bigint
  from preference p where p.account_id = account and p.user_id = who;
end;

-- write_preferences(account, who, chosen): replaces them whole; null without an account. The answer has their
-- version, too: of two choices the later has the greater, whatever the clock does.
-- Callers: writePreferences() of db/preferences.ts. Repeat: the same again changes nothing but updated_at.
create or replace function write_preferences(account int, who text, chosen jsonb) returns json
language sql volatile security definer
set search_path = weir, pg_temp
begin atomic
  insert into preference as p (account_id, user_id, time_zone, theme, default_range)
  select a.account_id, who, chosen->>'time_zone', chosen->>'theme', chosen->>'default_range'
  from account a where a.account_id = account
  on conflict (account_id, user_id) do update set time_zone = excluded.time_zone, theme = excluded.theme,
    default_range = excluded.default_range,
    updated_at = greatest(clock_timestamp(), p.updated_at + interval '1 microsecond')
  returning json_build_object('time_zone', p.time_zone, 'theme', p.theme, 'default_range', p.default_range,
    'version', (extract(epoch from p.updated_at) * 1000000)::bigint);
end;
