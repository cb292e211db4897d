-- content_digest(…): 8 bytes of SHA-256 of an event's content as it was given: equal for a retry,
-- also when it writes the same instant with another offset, or the sequence 0 that it left out.
create or replace function content_digest(
  execution_id uuid, type event_type, occurred_at timestamptz, contact_id text, version int,
  sequence bigint, subject uuid, succeeded boolean, duration_us bigint, source enrollment_source,
  reason text, error text
) returns bigint
language sql stable parallel safe
return ('x' || encode(substring(sha256(convert_to(json_build_array(
  execution_id, type, extract(epoch from occurred_at), contact_id, version, coalesce(sequence, 0), subject,
  succeeded, duration_us, source, reason, error)::text, 'UTF8')) for 8), 'hex'))::bit(64)::bigint;

-- record_events(account, events): accepts events, once each.
--
-- account  Whose events they are; workflows nobody has named yet become this account's.
-- events   JSON array of {w, x, i, t, at, c, v, q, s, ok, us, src, r, e}: workflow, execution, id,
--          type, occurred_at, contact, version, sequence, step or goal, succeeded, duration_us,
--          source, reason, error. Valid ones: the caller has judged form and age.
-- Returns  one row an event, in order: 'accepted', 'duplicate' (the same id and content, here or
--          before), 'event_conflict' (the same id, other content), 'workflow_not_found'
--          (another account's workflow).
-- Callers  recordEvents() of db/events.ts for every request that carries events.
-- Repeat   Harmless: everything is a duplicate the second time.
-- Locks    Keys are inserted in their order, so that requests sharing events cannot deadlock.
-- Plan     The planner takes both sides of candidate and key for one row each and would loop over
--          their product: 2,000 events in 540 ms. Hence no nested loops, and LATERAL … OFFSET 0
--          (which is always one) where an index is to be looked up.
create or replace function record_events(account int, events json)
returns table (outcome text)
language plpgsql security definer
set enable_nestloop = off
set enable_seqscan = off
set search_path = weir, pg_temp as $$
declare
  fresh     int[];
  total     int := json_array_length(events);
  names     uuid[] := array(select distinct e.w from json_to_recordset(events) as e(w uuid) order by 1);
  mine      uuid[];
  ids       int[];
  versions  int[];
begin
  insert into workflow (workflow_uuid, account_id)
  select named, account from unnest(names) as named
  where not exists (select from workflow known where known.workflow_uuid = named offset 0)
  on conflict (workflow_uuid) do nothing;
  select array_agg(named), array_agg(w.workflow_id), array_agg(w.newest_version) into mine, ids, versions
  from unnest(names) as named cross join lateral (
    select * from workflow known where known.workflow_uuid = named and known.account_id = account offset 0
  ) w;

  -- One statement for all that is new; digests are of the content as it was given, so that a
  -- version registered in between does not turn a retry into a conflict.
  with given as materialized (
    select given.*, w.workflow_id, w.newest_version,
      encode(substring(sha256(convert_to(i, 'UTF8')) for 16), 'hex')::uuid as event_digest,
      content_digest(x, t, at, c, v, q, s, ok, us, src, r, e) as content_digest
    from rows from (json_to_recordset(events) as (
      w uuid, x uuid, i text, t event_type, at timestamptz, c text, v int, q bigint,
      s uuid, ok boolean, us bigint, src enrollment_source, r text, e text
    )) with ordinality as given(w, x, i, t, at, c, v, q, s, ok, us, src, r, e, ix)
    join unnest(mine, ids, versions) as w(workflow_uuid, workflow_id, newest_version) on w.workflow_uuid = given.w
  ), candidate as materialized (
    select distinct on (workflow_id, event_digest) * from given
    order by workflow_id, event_digest, ix
  ), key as (
    insert into event_key (workflow_id, event_digest, content_digest)
    select workflow_id, event_digest, content_digest from candidate
    order by workflow_id, event_digest
    on conflict do nothing
    returning workflow_id, event_digest
  ), accepted as materialized (
    select c.* from candidate c join key using (workflow_id, event_digest)
  ), stored as (
    insert into event (workflow_id, execution_id, event_id, type, occurred_at, contact_id, version,
      sequence, subject_uuid, succeeded, duration_us, source, reason, error)
    select workflow_id, x, i, t, at, c, coalesce(v, newest_version, 1),
      coalesce(q, 0), s, ok, us, src, r, e
    from accepted
  ), queued as (
    insert into event_queue (workflow_id, execution_id, event_id, type, occurred_at, contact_id, version,
      sequence, subject_uuid, succeeded, duration_us, source, reason, error)
    select workflow_id, x, i, t, at, c, coalesce(v, newest_version, 1),
      coalesce(q, 0), s, ok, us, src, r, e
    from accepted order by ix
  )
  select array_agg(ix) into fresh from accepted;

  if cardinality(fresh) = total then
    return query select 'accepted' from generate_series(1, total);
    return;
  end if;

  -- A new statement sees the keys of whoever was faster. What came twice is counted, for its producer to see.
  return query
  with judged as materialized (
    select given.ix, given.x as execution_id, w.workflow_id, case
        when given.ix = any (fresh) then 'accepted'
        when w.workflow_id is null then 'workflow_not_found'
        -- 0: of an erased contact, whose content nothing is left of.
        when key.content_digest in (0, content_digest(x, t, at, c, v, q, s, ok, us, src, r, e)) then 'duplicate'
        else 'event_conflict'
      end as verdict
    from rows from (json_to_recordset(events) as (
      w uuid, x uuid, i text, t event_type, at timestamptz, c text, v int, q bigint,
      s uuid, ok boolean, us bigint, src enrollment_source, r text, e text
    )) with ordinality as given(w, x, i, t, at, c, v, q, s, ok, us, src, r, e, ix)
    left join unnest(mine, ids) as w(workflow_uuid, workflow_id) on w.workflow_uuid = given.w
    left join lateral (
      select found.content_digest from event_key found
      where found.workflow_id = w.workflow_id
        and found.event_digest = encode(substring(sha256(convert_to(given.i, 'UTF8')) for 16), 'hex')::uuid
      offset 0
    ) key on true
  ), counted as (
    insert into quality_count as q (workflow_id, day, kind, events, last_at, executions)
    select workflow_id, (now() at time zone 'UTC')::date, kind, count(*), now(),
      (array_agg(distinct execution_id))[1:5]
    from (
      select workflow_id, execution_id,
        case verdict when 'duplicate' then 'duplicate' else 'conflict' end::quality_kind as kind
      from judged where verdict in ('duplicate', 'event_conflict')
    ) met
    group by workflow_id, kind order by workflow_id, kind
    on conflict (workflow_id, day, kind) do update set
      events = q.events + excluded.events, last_at = excluded.last_at,
      executions = (excluded.executions || q.executions)[1:5]
  )
  select verdict from judged order by ix;
end $$;
