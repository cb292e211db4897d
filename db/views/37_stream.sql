-- What streams and caches ask to know whether anything has changed.

-- revision_of(workflow): how many times its numbers or its definition have changed; it only grows, and two
-- different states never have the same.
create or replace function revision_of(workflow int) returns bigint
language sql stable
set search_path = weir, pg_temp
return coalesce((select revision from workflow_revision r where r.workflow_id = workflow), 0)
  + (select settings_revision from workflow w where w.workflow_id = workflow);

-- read_revisions(ids, now): of each of these workflows that there is, its revision, and the instant up to which
-- its numbers are complete.
--
-- Callers  the hub, for all workflows that somebody watches at once; readRevisions() of db/live.ts.
-- No account: it tells nothing but a counter and an instant of an id that the caller has to know, and the hub asks
-- for workflows of all accounts together. Who may see the numbers is asked where they are read.
create or replace function read_revisions(ids uuid[], now timestamptz)
returns table (workflow_uuid uuid, revision bigint, as_of text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select w.workflow_uuid, revision_of(w.workflow_id), iso_instant(as_of(w.workflow_id, read_revisions.now))
  from workflow w where w.workflow_uuid = any (ids);
end $$;

-- read_revision(account, id): the workflow's revision; null when the account has none of this id. For whoever reads
-- its numbers in the same statement, and so the same snapshot.
-- Callers: readLive() of db/live.ts.
create or replace function read_revision(account int, id uuid) returns bigint
language sql stable security definer
set search_path = weir, pg_temp
return (
  select revision_of(w.workflow_id) from workflow w where w.workflow_uuid = id and w.account_id = account);
