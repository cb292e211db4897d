-- Who may act for an account. Secrets come here as their SHA-256 and never leave: whoever may call these
-- functions can try a secret, and not read one. A comparison's time tells nothing, as nobody can choose the
-- hash of a guess.

-- find_key(id, hash): what an API key grants. No row when there is none, or it was revoked.
-- Callers: findKey() of db/access.ts.
create or replace function find_key(id text, hash bytea)
returns table (account_id int, account_uuid uuid, account_name text, time_zone text, user_id text, role text, scopes text[])
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select a.account_id, a.account_uuid, a.name, a.time_zone, k.user_id, k.role, k.scopes
  from api_key k join account a using (account_id)
  where k.key_id = id and k.secret = hash and k.revoked_at is null;
end $$;

-- note_keys_used(ids): writes down that keys were used just now, to the minute. An id that is none is nothing.
-- Callers: the access log's writer, off the way of requests. Repeat: changes nothing within the minute.
create or replace function note_keys_used(ids text[]) returns void
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  update api_key k set last_used_at = now()
  from (select key_id from api_key where key_id = any (ids) order by key_id for no key update skip locked) used
  where k.key_id = used.key_id and (k.last_used_at is null or k.last_used_at < now() - interval '1 minute');
end $$;

-- find_account(id): an account by the id that the outside, and so a token, knows.
create or replace function find_account(id uuid)
returns table (account_id int, account_uuid uuid, name text, time_zone text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query select a.account_id, a.account_uuid, a.name, a.time_zone from account a where a.account_uuid = id;
end $$;

-- find_sign_in_link(link): whom a sign-in link would sign in. No row when it was used or is too old.
-- Callers: findSignInLink() of db/access.ts, when somebody opens the link. Repeat: harmless, it only reads.
create or replace function find_sign_in_link(link bytea)
returns table (account_name text, user_id text, role text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select a.name, l.user_id, l.role
  from sign_in_link l join account a using (account_id)
  where l.secret = link and l.expires_at > now();
end $$;

-- begin_session(link, session, days): uses a sign-in link up and begins a session under another secret.
-- Returns false when the link was used or is too old. Repeat: false.
create or replace function begin_session(link bytea, session bytea, days int) returns boolean
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  with used as (
    delete from sign_in_link l where l.secret = link and l.expires_at > now()
    returning l.account_id, l.user_id, l.role
  )
  insert into session (secret, account_id, user_id, role, expires_at)
  select begin_session.session, used.account_id, used.user_id, used.role, now() + days * interval '1 day' from used;
  return found;
end $$;

-- find_session(hash): whose session a browser is in. No row when it has ended.
create or replace function find_session(hash bytea)
returns table (account_id int, account_uuid uuid, account_name text, time_zone text, user_id text, role text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select a.account_id, a.account_uuid, a.name, a.time_zone, s.user_id, s.role
  from session s join account a using (account_id)
  where s.secret = hash and s.expires_at > now();
end $$;

-- end_session(hash): ends a session. Repeat: harmless.
create or replace function end_session(hash bytea) returns void
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  delete from session where secret = hash;
end $$;

-- record_access(entries): adds to the access log.
--
-- entries  JSON array of {account, user, credential, action, workflow, filter, rows, bytes, sha256, status, request,
--          age_ms}; and where the same was done up to a second before by up to 2,047 other requests, {earlier,
--          earlier_us}: their ids, and how long before each, in one order and parted by spaces
-- Callers  the access log's writer, many entries at once. Repeat: doubles them.
create or replace function record_access(entries json) returns void
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  insert into access_log (at, account_id, user_id, credential, action, workflow_uuid, filter, rows, bytes, sha256,
    status, request_id, earlier_ids, earlier_us)
  select now() - least(greatest(e.age_ms, 0), 3600000) * interval '1 ms', e.account, e."user", e.credential,
    e.action, e.workflow, coalesce(e.filter, '{}'), e.rows, e.bytes, e.sha256, e.status, e.request,
    string_to_array(e.earlier, ' '), string_to_array(e.earlier_us, ' ')::int[]
  from json_to_recordset(entries) as e(account int, "user" text, credential text, action text, workflow uuid,
    filter jsonb, rows bigint, bytes bigint, sha256 text, status smallint, request text, age_ms float8,
    earlier text, earlier_us text)
  where e.account is not null;
end $$;

-- list_access_log(account, …): the newest first, after a place on the way back if one is given. Filters that
-- are null hold nothing back.
--
-- The last request of a row is at the row's instant, the others up to a second before. So each row that lies before
-- the place has one to show at least, and as many rows as requests are asked for are enough; once so many are
-- counted, those of one second more; and beside them, rows of the second after the place.
-- Callers: readAccessLog() of db/access_log.ts.
create or replace function list_access_log(
  account int, only_user text, only_action text, only_workflow uuid, since timestamptz, until timestamptz,
  before_at timestamptz, before_id bigint, most int
) returns table (
  access_id bigint, at text, user_id text, credential text, action text, workflow_uuid uuid, filter jsonb,
  rows bigint, bytes bigint, sha256 text, status smallint, request_id text
)
language plpgsql stable security definer
set plan_cache_mode = force_custom_plan
set search_path = weir, pg_temp as $$
declare
  place  timestamptz := coalesce(least(until, before_at), 'infinity');
begin
  since := coalesce(since, '-infinity');
  until := coalesce(until, 'infinity');
  return query
  with told as not materialized (
    select l.*, coalesce(cardinality(l.earlier_us), 0) + 1 as requests
    from access_log l
    where l.account_id = account and l.at >= since
      and (only_user is null or l.user_id = only_user)
      and (only_action is null or l.action = only_action)
      and (only_workflow is null or l.workflow_uuid = only_workflow)
  ), before as materialized (
    select b.*, sum(b.requests) over (order by b.at desc, b.access_id desc) as counted
    from (select * from told t where t.at < place order by t.at desc, t.access_id desc limit most) b
  ), near as (
    select b.* from before b
    where b.at >= coalesce((select max(e.at) from before e where e.counted >= most), '-infinity') - interval '1 second'
    union all
    select t.*, 0 from told t where t.at >= place and t.at < place + interval '1 second'
  )
  select p.id, iso_instant(p.instant), p.user_id, p.credential, p.action, p.workflow_uuid, p.filter, p.rows, p.bytes,
    p.sha256, p.status, p.request
  from (
    select n.*, r.*
    from near n cross join lateral (
      select n.access_id + e.i - 1 as id, n.at - e.us * interval '1 us' as instant, e.request
      from unnest(n.earlier_ids || n.request_id, n.earlier_us || 0) with ordinality as e(request, us, i)
    ) r
    where r.instant >= since and r.instant < until
      and (before_at is null or (r.instant, r.id) < (before_at, before_id))
    order by r.instant desc, r.id desc limit most
  ) p
  order by p.instant desc, p.id desc;
end $$;

-- read_access_log(account, …): the same without files.
-- Callers: servers of the release before, so it goes with the next one.
create or replace function read_access_log(
  account int, only_user text, only_action text, only_workflow uuid, since timestamptz, until timestamptz,
  before_at timestamptz, before_id bigint, most int
) returns table (
  access_id bigint, at text, user_id text, credential text, action text, workflow_uuid uuid, filter jsonb,
  rows bigint, status smallint, request_id text
)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select l.access_id, l.at, l.user_id, l.credential, l.action, l.workflow_uuid, l.filter, l.rows, l.status, l.request_id
  from list_access_log(account, only_user, only_action, only_workflow, since, until, before_at, before_id, most) l;
end $$;

-- drop_access_months(horizon): drops months of the access log that ended by then. Returns how many.
-- Callers: retain(). Repeat: drops nothing.
create or replace function drop_access_months(horizon timestamptz) returns int
language plpgsql security definer
set lock_timeout = '300ms'
set search_path = weir, pg_temp as $$
declare
  month    text;
  dropped  int := 0;
begin
  perform lock_partitions();
  for month in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'access_log'::regclass
      and substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::timestamptz <= horizon
  loop
    execute format('drop table %I', month);
    dropped := dropped + 1;
  end loop;
  return dropped;
exception when lock_not_available then
  return 0;  -- the next day does it
end $$;
