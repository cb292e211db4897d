-- Links by which anybody sees a workflow's numbers. Tokens come here as their SHA-256 and never leave.

-- share_row(s): a link as answers show it: without what opens it.
create or replace function share_row(s share) returns json
language sql stable
set search_path = weir, pg_temp
return json_build_object(
  'share_id', s.share_id, 'workflow_id', (select w.workflow_uuid from workflow w where w.workflow_id = s.workflow_id),
  'name', s.name, 'range', s.view->'range', 'tz', s.view->>'tz', 'compare', s.view->>'compare',
  'has_password', s.password is not null, 'frame_ancestors', s.frame_ancestors, 'created_by', s.created_by,
  'created_at', iso_instant(s.created_at), 'expires_at', iso_instant(s.expires_at));

-- create_share(account, id, asker, secret, share, now, open_max): opens a link.
--
-- share     {name, view: {range, tz, compare}, password, frame_ancestors, expires_at}
-- open_max  how many of a workflow may be open at once
-- Returns   the link, {refused: 'full'}, or null when the account has no such workflow.
-- Callers   createShare() of db/shares.ts. Repeat: another secret is another link, the same is refused.
-- What ended a year ago is forgotten with that, as the access log has forgotten who looked.
create or replace function create_share(
  account int, id uuid, asker text, secret bytea, share jsonb, now timestamptz, open_max int
) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int;
  made      share;
begin
  -- Two who ask at once must not both be the last.
  select w.workflow_id into workflow from workflow w where w.workflow_uuid = id and w.account_id = account
  for no key update;
  if workflow is null then
    return null;
  end if;
  delete from share s where s.workflow_id = workflow and least(s.revoked_at, s.expires_at) < now() - interval '1 year';
  if (select count(*) >= open_max from share s where s.workflow_id = workflow and s.revoked_at is null
      and (s.expires_at is null or s.expires_at > create_share.now)) then
    return json_build_object('refused', 'full');
  end if;
  insert into share (workflow_id, account_id, secret, name, view, password, frame_ancestors, created_by, expires_at)
  values (workflow, account, create_share.secret, share->>'name', share->'view', nullif(share->'password', 'null'),
    array(select jsonb_array_elements_text(share->'frame_ancestors')), asker, (share->>'expires_at')::timestamptz)
  returning * into made;
  return share_row(made);
end $$;

-- list_shares(account, id, most): the links of a workflow that are not revoked, the newest first; expired ones too.
-- Callers: listShares() of db/shares.ts.
create or replace function list_shares(account int, id uuid, most int) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select coalesce(json_agg(l.row), '[]') from (
    select share_row(s) as row from share s join workflow w using (workflow_id)
    where w.workflow_uuid = id and w.account_id = account and s.revoked_at is null
    order by s.created_at desc, s.share_id limit most) l);

-- revoke_share(account, id, link): ends a link, and tells what it was; null when the workflow has none of this id.
-- Callers: revokeShare() of db/shares.ts. Repeat: harmless, with the same answer.
create or replace function revoke_share(account int, id uuid, link uuid) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  ended  share;
begin
  update share s set revoked_at = coalesce(s.revoked_at, now())
  from workflow w
  where w.workflow_id = s.workflow_id and w.workflow_uuid = id and w.account_id = account and s.share_id = link
  returning s.* into ended;
  return case when ended.share_id is not null then share_row(ended) end;
end $$;

-- find_share(hash): what a link opens: {share, account…, password}; null when there is none, or it was revoked.
-- Whether it has expired is for the caller to see, who keeps the answer for some seconds.
-- Callers: findShare() of db/shares.ts.
create or replace function find_share(hash bytea) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select json_build_object('share', share_row(s), 'password', s.password, 'account_id', a.account_id,
    'account_uuid', a.account_uuid, 'account_name', a.name, 'time_zone', a.time_zone)
  from share s join account a using (account_id)
  where s.secret = hash and s.revoked_at is null);
