-- What people prefer. Both functions answer with {time_zone, theme, default_range}.

-- read_preferences(account, who): null where nothing was chosen.
-- Callers: readPreferences() of db/preferences.ts. Repeat: harmless, it only reads.
create or replace function read_preferences(account int, who text) returns json
language sql stable security definer
set search_path = weir, pg_temp
begin atomic
  select json_build_object('time_zone', p.time_zone, 'theme', p.theme, 'default_range', p.default_range)
  from preference p where p.account_id = account and p.user_id = who;
end;

-- write_preferences(account, who, chosen): replaces them whole; null without an account.
-- Callers: writePreferences() of db/preferences.ts. Repeat: the same again changes nothing but updated_at.
create or replace function write_preferences(account int, who text, chosen jsonb) returns json
language sql volatile security definer
set search_path = weir, pg_temp
begin atomic
  insert into preference as p (account_id, user_id, time_zone, theme, default_range)
  select a.account_id, who, chosen->>'time_zone', chosen->>'theme', chosen->>'default_range'
  from account a where a.account_id = account
  on conflict (account_id, user_id) do update set time_zone = excluded.time_zone, theme = excluded.theme,
    default_range = excluded.default_range, updated_at = now()
  returning json_build_object('time_zone', p.time_zone, 'theme', p.theme, 'default_range', p.default_range);
end;
