-- What is a duplicate. Two requests with the same id, of which both would be accepted, there cannot be:
--
-- 1. A request inserts its ids into event_key. Whoever inserted one of them and has not committed yet is waited for; if
--    the other commits, the id is known, and if it rolls back, it is ours.
-- 2. Then, in a new statement and so in a new snapshot, it looks its ids up in event. If another one has ever accepted
--    an id of which the key was ours to insert, its key had been taken away by forget_keys(). That takes away keys
--    of transactions that are over, as it waits for the others; so the event was there before the key was gone,
--    before ours was inserted, and before the snapshot was taken: it is found.
-- 3. What is not found is stored. From now until our commit others wait at 1, and afterwards they find it at 2.
--
-- A transaction that keeps one snapshot (repeatable read) cannot do 2. Of an id that was accepted after its snapshot it
-- either meets the key, which Postgres refuses (40001), or the key was taken away since, and so event_era changed; of
-- one before it, a month that was moved since would hide it, and event_era changes then, too.

-- stored_events(workflows, ids): events by their ids, in a snapshot of now. workflows and ids go together, one by one.
--
-- Callers  record_events()
-- Plan     By event_by_id of each month for each id, whatever statistics say or do not say yet of a new month; "+ 0", as
--          there is an index by execution that begins with the workflow. Volatile, so that it sees what was committed
--          by now, and a month that retain() has just put into the place of another.
create or replace function stored_events(workflows int[], ids text[]) returns setof event
language plpgsql
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_memoize = off
set jit = off
set plan_cache_mode = force_generic_plan
set search_path = weir, pg_temp as $$
begin
  return query
  select e.*
  from unnest(workflows, ids) as given(workflow_id, event_id)
  join event e on hashtextextended(e.event_id, e.workflow_id) = hashtextextended(given.event_id, given.workflow_id)
    and e.event_id = given.event_id and e.workflow_id + 0 = given.workflow_id;
end $$;

-- record_events(account, events): accepts events, once each.
--
-- account  Whose events they are; workflows nobody has named yet become this account's.
-- events   JSON array of {w, x, i, t, at, c, v, q, s, ok, us, src, r, e}: workflow, execution, id,
--          type, occurred_at, contact, version, sequence, step or goal, succeeded, duration_us,
--          source, reason, error. Valid ones: the caller has judged form and age.
-- Returns  one row an event, in order: 'accepted', 'duplicate' (the same id and content, here or
--          before), 'event_conflict' (the same id, other content), 'workflow_not_found'
--          (another account's workflow). A version that is left out is the one that was filled in. What nothing is
--          left of is not compared: events of erased contacts, and those just forgotten by retain().
-- Callers  recordEvents() of db/events.ts for every request that carries events.
-- Repeat   Harmless: everything is a duplicate the second time.
-- Locks    Keys are inserted in their order, so that requests sharing events cannot deadlock.
-- Plan     The planner takes both sides of a join for one row each and would loop over their
--          product: 2,000 events in 540 ms. Hence no nested loops, and LATERAL … OFFSET 0
--          (which is always one) where an index is to be looked up. Generic plans, as those for arrays of a
--          few ids seem so cheap that each request is planned anew: 0.4 ms of 1.1 for a single event.
create or replace function record_events(account int, events json)
returns table (outcome text)
language plpgsql security definer
set jit = off  -- as in fold()
set enable_nestloop = off
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
set search_path = weir, pg_temp as $$
declare
  given_names       uuid[];
  given_ids         text[];
  names             uuid[];
  mine              uuid[];
  workflows         int[];
  versions          int[];
  places            bigint[];                                    -- of keys that are ours: where in events,
  key_workflows     int[];                                       -- the workflow,
  key_ids           text[];                                      -- the id
  fresh             bigint[];                                    -- those of places that are new
  known_workflows   int[];
  known_ids         text[];
begin
  select array_agg(w order by ix), array_agg(i order by ix) into given_names, given_ids
  from rows from (json_to_recordset(events) as (w uuid, i text)) with ordinality as given(w, i, ix);
  names := array(select distinct named from unnest(given_names) as named order by 1);

  insert into workflow (workflow_uuid, account_id)
  select named, account from unnest(names) as named
  where not exists (select from workflow known where known.workflow_uuid = named offset 0)
  on conflict (workflow_uuid) do nothing;
  select array_agg(named), array_agg(w.workflow_id), array_agg(w.newest_version) into mine, workflows, versions
  from unnest(names) as named cross join lateral (
    select * from workflow known where known.workflow_uuid = named and known.account_id = account offset 0
  ) w;

  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    perform from event_era for share;
  end if;
  with candidate as materialized (
    select distinct on (w.workflow_id, given.i collate "C") w.workflow_id, given.i, given.ix
    from unnest(given_names, given_ids) with ordinality as given(w, i, ix)
    join unnest(mine, workflows) as w(workflow_uuid, workflow_id) on w.workflow_uuid = given.w
    order by w.workflow_id, given.i collate "C", given.ix
  ), key as (
    insert into event_key (workflow_id, event_id)
    select workflow_id, i from candidate order by workflow_id, i collate "C"
    on conflict do nothing
    returning workflow_id, event_id
  )
  select array_agg(c.ix), array_agg(c.workflow_id), array_agg(c.i) into places, key_workflows, key_ids
  from candidate c join key k on k.workflow_id = c.workflow_id and k.event_id = c.i;

  fresh := array(
    select key.place from unnest(places, key_workflows, key_ids) as key(place, workflow_id, event_id)
    where not exists (
      select from stored_events(key_workflows, key_ids) s
      where s.workflow_id = key.workflow_id and s.event_id = key.event_id));

  with accepted as materialized (
    select given.*, w.workflow_id, w.newest_version
    from rows from (json_to_recordset(events) as (
      w uuid, x uuid, i text, t event_type, at timestamptz, c text, v int, q bigint,
      s uuid, ok boolean, us bigint, src enrollment_source, r text, e text
    )) with ordinality as given(w, x, i, t, at, c, v, q, s, ok, us, src, r, e, ix)
    join unnest(mine, workflows, versions) as w(workflow_uuid, workflow_id, newest_version) on w.workflow_uuid = given.w
    where given.ix = any (fresh)
  ), stored as (
    insert into event (workflow_id, execution_id, event_id, type, occurred_at, contact_id, version,
      sequence, subject_uuid, succeeded, duration_us, source, reason, error)
    select workflow_id, x, i, t, at, c, coalesce(v, newest_version, 1),
      coalesce(q, 0), s, ok, us, src, r, e
    from accepted
  )
  insert into event_queue (workflow_id, execution_id, event_id, type, occurred_at, contact_id, version,
    sequence, subject_uuid, succeeded, duration_us, source, reason, error)
  select workflow_id, x, i, t, at, c, coalesce(v, newest_version, 1),
    coalesce(q, 0), s, ok, us, src, r, e
  from accepted order by ix;

  if cardinality(fresh) = cardinality(given_ids) then
    return query select 'accepted' from generate_series(1, cardinality(fresh));
    return;
  end if;

  select array_agg(workflow_id), array_agg(i) into known_workflows, known_ids
  from (
    select distinct w.workflow_id, given.i from unnest(given_names, given_ids) with ordinality as given(w, i, ix)
    join unnest(mine, workflows) as w(workflow_uuid, workflow_id) on w.workflow_uuid = given.w
    where given.ix <> all (fresh)
  ) known;
  -- A new statement sees the events of whoever was faster, and ours. What came twice is counted, for its producer to see.
  return query
  with judged as materialized (
    select given.ix, given.x as execution_id, w.workflow_id, case
        when given.ix = any (fresh) then 'accepted'
        when w.workflow_id is null then 'workflow_not_found'
        when known.event_id is null or known.contact_id ~ '^erased-[0-9a-f-]{36}$' then 'duplicate'
        when (known.execution_id, known.type, known.occurred_at, known.contact_id, known.version, known.sequence)
            = (x, t, at, c, coalesce(v, known.version), coalesce(q, 0))
          and (known.subject_uuid, known.succeeded, known.duration_us, known.source, known.reason, known.error)
            is not distinct from (s, ok, us, src, r, e)
          then 'duplicate'
        else 'event_conflict'
      end as verdict
    from rows from (json_to_recordset(events) as (
      w uuid, x uuid, i text, t event_type, at timestamptz, c text, v int, q bigint,
      s uuid, ok boolean, us bigint, src enrollment_source, r text, e text
    )) with ordinality as given(w, x, i, t, at, c, v, q, s, ok, us, src, r, e, ix)
    left join unnest(mine, workflows) as w(workflow_uuid, workflow_id) on w.workflow_uuid = given.w
    left join stored_events(known_workflows, known_ids) known on known.workflow_id = w.workflow_id and known.event_id = given.i
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
