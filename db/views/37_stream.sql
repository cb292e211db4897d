-- What streams and caches ask to know whether anything has changed.

-- revision_of(workflow): how many times its numbers or its definition have changed; it only grows, and two
-- different states never have the same.
create or replace function revision_of(workflow int) returns bigint
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return coalesce((select r.revision from workflow_revision r where r.workflow_id = workflow), 0)
    + (select w.settings_revision from workflow w where w.workflow_id = workflow);
end $$;

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
-- its numbers in the same statement, and so the same snapshot, or right after.
-- Callers: readLive() and readRevision() of db/live.ts.
create or replace function read_revision(account int, id uuid) returns bigint
language sql stable security definer
set search_path = weir, pg_temp
return (
  select revision_of(w.workflow_id) from workflow w where w.workflow_uuid = id and w.account_id = account);

-- read_position(): where this server's log is, in bytes since its cluster was made: on a primary how far it is written,
-- on a replica how far it is replayed. cluster: the same for a primary and its replicas.
--
-- Callers  createReader() of db/replica.ts, on both, every second.
create or replace function read_position() returns table (cluster text, is_replica boolean, bytes bigint)
language plpgsql volatile security definer
set search_path = weir, pg_temp as $$
begin
  -- Not the flushed end: without synchronous commits what is acknowledged is not flushed yet.
  return query select (select system_identifier::text from pg_control_system()), pg_is_in_recovery(),
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end
      - '0/0'::pg_lsn)::bigint;
end $$;
