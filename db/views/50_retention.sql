-- Keeping: raw events and executions 90 days, quarters of an hour 90 days, days two years, months for ever; the
-- access log a year.
-- A workflow younger than that keeps its detail and its days as long as if all had happened since it first
-- appeared: a history that was imported yesterday is not gone tomorrow.
-- Nothing here changes a count: what days and months hold was counted when it happened.
--
-- Months of event are dropped. What is still wanted of them stays behind in a small partition in their
-- place, and moves to event_history once it is small enough to do so in a moment.
--
-- Citus has neither triggers, by which a month tells that it is written to, nor blocks of a table that lies on many
-- nodes: there events are deleted from their months, workflow by workflow (delete_events()), and a month goes when
-- little is left of it.

-- kept_executions(part, from_block, to_block, horizon, at): executions with events in these blocks of a
-- partition that are still wanted: open, ended after the horizon, or with an open conversion window; those
-- that are not enrolled yet while they have anything younger; those with events that wait.
create or replace function kept_executions(
  part regclass, from_block bigint, to_block bigint, horizon timestamptz, at timestamptz
) returns table (workflow_id int, execution_id uuid)
language plpgsql
set search_path = weir, pg_temp as $$
begin
  return query execute format($q$
    select m.workflow_id, m.execution_id
    from (select distinct p.workflow_id, p.execution_id from %s p where p.ctid >= $1 and p.ctid < $2) m
    join workflow w on w.workflow_id = m.workflow_id
    left join execution x on x.workflow_id = m.workflow_id and x.execution_id = m.execution_id
    left join (select distinct workflow_id, execution_id from event_queue) q
      on q.workflow_id = m.workflow_id and q.execution_id = m.execution_id
    where q.execution_id is not null or w.created_at > $3 or case when x.enrolled_at is null then exists (
          select from event e
          where e.workflow_id = m.workflow_id and e.execution_id = m.execution_id and e.occurred_at >= $3)
        else x.ended_at is null or x.ended_at > $3
          or x.enrolled_at + w.conversion_window_us * interval '1 microsecond' > $4 end$q$, part)
  using format('(%s,0)', from_block)::tid, format('(%s,0)', to_block)::tid, horizon, at;
end $$;

-- blocks(part): how many a table has.
create or replace function blocks(part regclass) returns bigint
language sql volatile
return pg_relation_size(part) / current_setting('block_size')::int;

-- orphans(workflow): its executions that never were enrolled and of which no event is left. By index: a null sorts, too.
drop function if exists forget_events(text);
create or replace function orphans(workflow int) returns uuid[]
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return array(
    select x.execution_id from execution x
    where x.workflow_id = workflow and x.enrolled_at is null and not exists (
      select from event e where e.workflow_id = workflow and e.execution_id = x.execution_id));
end $$;

-- delete_orphans(workflow, ids): deletes what lies about of some orphans(), asked again now that the workflow is ours: a
-- fold may just have enrolled one. False when somebody is at the workflow.
create or replace function delete_orphans(workflow int, ids uuid[]) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
begin
  if not lock_workflow(workflow) then
    return false;
  end if;
  perform ring_fold();
  with gone as (
    delete from execution x
    where x.workflow_id = workflow and x.execution_id = any (ids) and x.enrolled_at is null and not exists (
      select from event e where e.workflow_id = workflow and e.execution_id = x.execution_id)
    returning x.execution_id
  )
  select array_agg(execution_id) into ids from gone;
  delete from execution_step where workflow_id = workflow and execution_id = any (ids);
  delete from execution_goal where workflow_id = workflow and execution_id = any (ids);
  delete from parked_action where workflow_id = workflow and execution_id = any (ids);
  return true;
end $$;

-- delete_events(workflow, until, horizon, at, id): deletes, of the next thousand executions of a workflow that have
-- events before until, those events, unless they are wanted as kept_executions() says. For Citus: each statement runs
-- on the node of the workflow. What is wanted is judged by the statement that deletes, so an event that came just now is
-- seen, or stays.
-- Returns where it came to; id is null when it came to the end. busy: somebody is at the workflow.
create or replace function delete_events(
  workflow int, until timestamptz, horizon timestamptz, at timestamptz, inout id uuid, out deleted int, out busy boolean
)
language plpgsql
set search_path = weir, pg_temp as $$
declare
  ids  uuid[];
begin
  deleted := 0;
  busy := not lock_workflow(workflow);
  if busy then
    return;
  end if;
  perform ring_fold();
  ids := array(
    select distinct e.execution_id from event e
    where e.workflow_id = workflow and e.occurred_at < until and e.execution_id > delete_events.id
    order by e.execution_id limit 1000);
  id := ids[cardinality(ids)];
  delete from event e using workflow w
  where e.workflow_id = workflow and e.occurred_at < until and e.execution_id = any (ids)
    and w.workflow_id = workflow and w.created_at <= horizon
    and not exists (
      select from event_queue q where q.workflow_id = workflow and q.execution_id = e.execution_id)
    and not exists (
      select from execution x
      where x.workflow_id = workflow and x.execution_id = e.execution_id and x.enrolled_at is not null
        and (x.ended_at is null or x.ended_at > horizon
          or x.enrolled_at + w.conversion_window_us * interval '1 microsecond' > at))
    and (
      exists (
        select from execution x
        where x.workflow_id = workflow and x.execution_id = e.execution_id and x.enrolled_at is not null)
      or not exists (
        select from event y
        where y.workflow_id = workflow and y.execution_id = e.execution_id and y.occurred_at >= horizon));
  get diagnostics deleted = row_count;
end $$;

-- event_months(): the months that event is made of, oldest first. is_kept: what was wanted of it is all
-- that is left.
create or replace function event_months() returns table (part regclass, since timestamptz, until timestamptz, is_kept boolean)
language sql stable
set search_path = weir, pg_temp
begin atomic
  select c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz,
    obj_description(c.oid, 'pg_class') is not distinct from 'Kept by retain()'
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  cross join lateral regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') as bound
  where i.inhparent = 'event'::regclass and bound is not null
  order by 2;
end;

-- note_touched_month(): trigger of months that are being put away.
create or replace function note_touched_month() returns trigger
language plpgsql
set search_path = weir, pg_temp as $$
begin
  insert into touched_month values (tg_relid) on conflict do nothing;
  return null;
end $$;

-- watch_month(part): from when this is committed on, touched_month tells of writes to a partition.
create or replace function watch_month(part regclass) returns void
language plpgsql security definer
set lock_timeout = '300ms'
set search_path = weir, pg_temp as $$
begin
  delete from touched_month t where t.part = watch_month.part;
  if not exists (select from pg_trigger where tgrelid = part and tgname = 'note_touched_month') then
    execute format('create trigger note_touched_month after insert or update or delete on %s
      for each row execute function note_touched_month()', part);
  end if;
end $$;

-- replace_month(part, since, until, horizon, at): puts a partition with what is wanted of a month into its
-- place. The month itself is left beside as …_dropped, as deleting its files takes a while. After watch_month().
--
-- Returns  how many events go; null when the month was written to meanwhile (by imports of old history): try again.
-- Locks    event first and for itself, so that nobody who waits for us holds what we wait for; whoever holds
--          another for long makes this give up well before Postgres looks for deadlocks (1 s).
drop function if exists sift_month(regclass, timestamptz, timestamptz, timestamptz, timestamptz);
create or replace function replace_month(
  part regclass, since timestamptz, until timestamptz, horizon timestamptz, at timestamptz
) returns bigint
language plpgsql security definer
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
declare
  name     text := (select relname from pg_class where oid = part);
  kept     bigint;
  dropped  bigint;
begin
  perform lock_partitions();
  execute format('drop table if exists %I', name || '_kept');
  execute format('create table %I (like event including all)', name || '_kept');
  execute format('alter table %I add constraint of_its_month check (occurred_at >= %L and occurred_at < %L)',
    name || '_kept', since, until);
  execute format('insert into %I select e.* from %s e join kept_executions(%L, 0, %s, %L, %L) k using (workflow_id, execution_id)',
    name || '_kept', part, part, blocks(part), horizon, at);
  get diagnostics kept = row_count;
  execute format('select count(*) - $1 from %s', part) into dropped using kept;
  for attempt in 1..12 loop
    begin
      perform set_config('lock_timeout', '400ms', true);
      lock table only event in access exclusive mode;
      perform set_config('lock_timeout', '100ms', true);
      execute format('lock table %s in access exclusive mode', part);
      if exists (select from touched_month t where t.part = replace_month.part) then
        execute format('drop table %I', name || '_kept');
        return null;
      end if;
      update event_era set began_at = clock_timestamp();
      execute format('alter table event detach partition %s', part);
      execute format('alter table %I rename to %I', name, name || '_dropped');
      execute format('alter table %I rename to %I', name || '_kept', name);
      execute format('alter table event attach partition %I for values from (%L) to (%L)', name, since, until);
      execute format('alter table %I drop constraint of_its_month', name);
      execute format('comment on table %I is ''Kept by retain()''', name);
      return dropped;
    exception when lock_not_available then
      perform pg_sleep(0.05 * attempt);
    end;
  end loop;
  raise 'Cannot drop %: event was in use at every attempt', name;
end $$;

-- merge_month(part, until): moves the few events of the oldest month that are left to event_history, which
-- from then on reaches to its end. There is a valid constraint that its own events do not.
create or replace function merge_month(part regclass, until timestamptz) returns void
language plpgsql security definer
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
begin
  perform lock_partitions();
  for attempt in 1..12 loop
    begin
      perform set_config('lock_timeout', '400ms', true);
      lock table only event in access exclusive mode;
      perform set_config('lock_timeout', '100ms', true);
      update event_era set began_at = clock_timestamp();
      execute format('alter table event detach partition %s', part);
      alter table event detach partition event_history;
      execute format('insert into event_history select * from %s', part);
      execute format('drop table %s', part);
      execute format('alter table event attach partition event_history for values from (minvalue) to (%L)', until);
      alter table event_history drop constraint before_its_end;
      return;
    exception when lock_not_available then
      perform pg_sleep(0.05 * attempt);
    end;
  end loop;
  raise 'Cannot merge %: event was in use at every attempt', part;
end $$;

-- drop_sifted(name): drops what replace_month() left beside.
create or replace function drop_sifted(name text) returns void
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  if name !~ '^event_\d{4}_\d\d_dropped$' then
    raise 'Cannot drop %: it is no month that was put away', name;
  end if;
  execute format('drop table %I', name);
end $$;

-- bound_history(until), validate_history(): the constraint that merge_month() relies on, made in a moment and
-- proven beside traffic. Whoever records looks into event_history, and would queue behind one who waits for it.
create or replace function bound_history(until timestamptz) returns void
language plpgsql security definer
set lock_timeout = '300ms'
set timezone = 'UTC'
set search_path = weir, pg_temp as $$
begin
  alter table event_history drop constraint if exists before_its_end;
  execute format('alter table event_history add constraint before_its_end check (occurred_at < %L) not valid', until);
end $$;

create or replace function validate_history() returns void
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  alter table event_history validate constraint before_its_end;
end $$;

-- forget_keys(): empties event_key, of which nobody needs a key whose transaction is over (05_record.sql). At once, as
-- deleting would leave as many rows to vacuum; it waits for those who are recording, and they for it, for 100 ms.
-- Callers: retain(). Repeating it is harmless.
create or replace function forget_keys() returns void
language plpgsql security definer
set lock_timeout = '100ms'
set search_path = weir, pg_temp as $$
begin
  for attempt in 1..12 loop
    begin
      truncate event_key;
      update event_era set began_at = clock_timestamp();
      return;
    exception when lock_not_available then
      perform pg_sleep(0.05 * attempt);
    end;
  end loop;
  raise 'Cannot forget keys: event_key was in use at every attempt';
end $$;

-- drop_quarters(horizon): drops months of quarters of an hour that are over by then, of all rollups at once,
-- and imported ones. Returns how many.
create or replace function drop_quarters(horizon timestamptz) returns int
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  suffix   text;
  dropped  int := 0;
begin
  perform lock_partitions();
  for suffix in
    select substring(c.relname from '^workflow(_15min_.+)$')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'workflow_rollup'::regclass and c.relname like 'workflow\_15min\_%'
      and substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''15min'', ''(.+)''\)')::timestamptz <= horizon
    order by pg_get_expr(c.relpartbound, c.oid)
  loop
    for attempt in 1..12 loop
      begin
        perform set_config('lock_timeout', '400ms', true);
        lock table only workflow_rollup in access exclusive mode;  -- the fold's first, and ours
        perform set_config('lock_timeout', '100ms', true);
        execute format('drop table workflow%1$s, reason%1$s, goal%1$s, step%1$s, action%1$s', suffix);
        dropped := dropped + 1;
        exit;
      exception when lock_not_available then
        if attempt = 12 then
          raise 'Cannot drop quarters of an hour: the rollups were in use at every attempt';
        end if;
        perform pg_sleep(0.05 * attempt);
      end;
    end loop;
  end loop;
  return dropped;
end $$;

-- delete_executions(workflow, after_at, after_id, horizon): deletes the next few executions that ended, and
-- whose conversion window closed, before the horizon, with their steps and goals, if nothing of them is younger; and
-- that their contacts were enrolled more than once, when nothing of them is left.
-- Returns where it came to; at is null when it came to the end. busy: somebody is at the workflow.
create or replace function delete_executions(
  workflow int, horizon timestamptz, inout at timestamptz, inout id uuid, out deleted int, out busy boolean
)
language plpgsql
set search_path = weir, pg_temp as $$
declare
  ids       uuid[];
  contacts  text[];
begin
  deleted := 0;
  busy := not lock_workflow(workflow);
  if busy then
    return;
  end if;
  perform ring_fold();
  with next as materialized (
    select x.execution_id, x.enrolled_at, x.ended_at
    from execution x join workflow w on w.workflow_id = x.workflow_id
    where x.workflow_id = workflow
      and x.enrolled_at <= horizon - w.conversion_window_us * interval '1 microsecond'
      and (x.enrolled_at, x.execution_id) > (delete_executions.at, delete_executions.id)
    order by x.enrolled_at, x.execution_id limit 1000
  )
  select array_agg(n.execution_id) filter (where n.ended_at <= horizon and not exists (
      select from event e
      where e.workflow_id = workflow and e.execution_id = n.execution_id and e.occurred_at >= horizon)),
    max(n.enrolled_at), (array_agg(n.execution_id order by n.enrolled_at desc, n.execution_id desc))[1]
  into ids, at, id from next n;
  delete from execution_step where workflow_id = workflow and execution_id = any (ids);
  delete from execution_goal where workflow_id = workflow and execution_id = any (ids);
  with gone as (
    delete from execution where workflow_id = workflow and execution_id = any (ids) returning contact_id
  )
  select count(*), array_agg(distinct contact_id) into deleted, contacts from gone;
  delete from returning_contact r
  where r.workflow_id = workflow and r.contact_id = any (contacts) and not exists (
    select from execution e where e.workflow_id = workflow and e.contact_id = r.contact_id);
end $$;

-- retain(at, did): forgets what was promised to be kept no longer, in small transactions.
--
-- at       the clock
-- did      {months, quarters, events, executions, days}, what was dropped and deleted
-- Callers  workers/retain.ts, run_job(), daily. Commits.
-- Repeat   Harmless, also after being killed anywhere; one session at a time does it.
create or replace procedure retain(at timestamptz, inout did jsonb)
language plpgsql as $$
declare
  -- 90 days, and what whole local dates reach back beyond them in any zone
  horizon     timestamptz := at - interval '92 days';
  is_spread   boolean := weir.on_citus();
  old_until   timestamptz;                                       -- where months begin of which nothing goes yet
  month       record;
  w           record;
  batch       record;
  name        text;
  block       bigint;
  count       bigint;
  months      int := 0;
  quarters    int := 0;
  events      bigint := 0;
  executions  bigint := 0;
  days        bigint := 0;
  ids         uuid[];
  is_done     boolean;
begin
  did := '{}';
  if not weir.lock_job('retain') then
    return;
  end if;
  perform weir.extend_partitions();
  commit;
  if not weir.lock_job('retain') then
    return;
  end if;
  delete from weir.view_refresh where started_at < at - interval '7 days';
  delete from weir.refresh_request where requested_at < at - interval '7 days';
  delete from weir.quality_count where day < (at - interval '90 days')::date;
  commit;
  if not weir.lock_job('retain') then
    return;
  end if;
  quarters := weir.drop_quarters(horizon);
  perform weir.drop_access_months(at - interval '1 year');
  commit;

  for month in select * from weir.event_months() where until <= horizon and not is_kept and not is_spread loop
    for attempt in 1..5 loop
      if not weir.lock_job('retain') then return; end if;
      perform weir.watch_month(month.part);
      commit;
      if not weir.lock_job('retain') then return; end if;
      count := weir.replace_month(month.part, month.since, month.until, horizon, at);
      commit;
      exit when count is not null;
    end loop;
    if count is null then
      raise 'Cannot drop %: it was written to at every attempt', month.part;
    end if;
    months := months + 1;
    events := events + count;
  end loop;

  for name in
    select relname from pg_class
    where relnamespace = 'weir'::regnamespace and relkind = 'r' and relname ~ '^event_\d{4}_\d\d_dropped$'
  loop
    if not weir.lock_job('retain') then return; end if;
    delete from weir.touched_month where part = ('weir.' || name)::regclass;
    perform weir.drop_sifted(name);
    commit;
  end loop;

  for month in
    select part from (
      select 'weir.event_history'::regclass as part union all select part from weir.event_months() where is_kept
    ) old where not is_spread
  loop
    block := 0;
    while block < weir.blocks(month.part) loop
      if not weir.lock_job('retain') then return; end if;
      execute format(
        'delete from %1$s d where d.ctid >= ''(%2$s,0)'' and d.ctid < ''(%3$s,0)'' and not exists (
           select from weir.kept_executions(%1$L, %2$s, %3$s, %4$L, %5$L) k
           where k.workflow_id = d.workflow_id and k.execution_id = d.execution_id)',
        month.part, block, block + 1000, horizon, at);
      get diagnostics count = row_count;
      commit;
      events := events + count;
      block := block + 1000;
    end loop;
  end loop;

  select coalesce(max(until) filter (where until <= horizon), min(since)) into old_until from weir.event_months();
  for w in
    select f.workflow_id, f.created_at, a.time_zone
    from weir.workflow f join weir.account a using (account_id)
    where f.created_at <= horizon order by f.workflow_id
  loop
    select '00000000-0000-0000-0000-000000000000'::uuid as id into batch;
    while is_spread and batch.id is not null loop
      if not weir.lock_job('retain') then return; end if;
      select * into batch from weir.delete_events(w.workflow_id, old_until, horizon, at, batch.id);
      commit;
      events := events + batch.deleted;
      if batch.busy then
        perform pg_sleep(0.05);
      end if;
    end loop;
    ids := weir.orphans(w.workflow_id);
    while ids <> '{}' loop
      if not weir.lock_job('retain') then return; end if;
      is_done := weir.delete_orphans(w.workflow_id, ids[:1000]);
      commit;
      if is_done then
        ids := ids[1001:];
      else
        perform pg_sleep(0.05);
      end if;
    end loop;
    select '-infinity'::timestamptz as at, '00000000-0000-0000-0000-000000000000'::uuid as id into batch;
    loop
      if not weir.lock_job('retain') then return; end if;
      select * into batch from weir.delete_executions(w.workflow_id, horizon, batch.at, batch.id);
      commit;
      executions := executions + batch.deleted;
      if batch.busy then
        perform pg_sleep(0.05);
      end if;
      exit when batch.at is null;
    end loop;
    continue when w.created_at > at - interval '2 years';
    foreach name in array array['workflow_day', 'reason_day', 'goal_day', 'step_day', 'action_day', 'histogram_day'] loop
      loop
        if not weir.lock_job('retain') then return; end if;
        execute format(
          'delete from weir.%I where workflow_id = $1 and ctid = any (array(select ctid from weir.%I
             where workflow_id = $1 and grain = ''day'' and bucket < $2 limit 5000))', name, name)
        using w.workflow_id, weir.day_key(((at at time zone w.time_zone)::date - interval '2 years')::date);
        get diagnostics count = row_count;
        if count > 0 then
          -- What the views sum over all days is no longer what is kept.
          delete from weir.view_revision v where v.workflow_id = w.workflow_id;
        end if;
        commit;
        days := days + count;
        exit when count < 5000;
      end loop;
    end loop;
    delete from weir.changed_day
    where workflow_id = w.workflow_id
      and bucket < weir.day_key(((at at time zone w.time_zone)::date - interval '2 years')::date);
    commit;
  end loop;

  loop
    if not weir.lock_job('retain') then return; end if;
    select * into month from weir.event_months() limit 1;
    exit when not found or not month.is_kept and not (is_spread and month.until <= horizon);
    execute format('select count(*) from (select from %s limit 5001) few', month.part) into count;
    exit when count > 5000;
    perform weir.bound_history(month.until);
    commit;
    perform weir.validate_history();
    commit;
    perform weir.merge_month(month.part, month.until);
    commit;
    months := months + is_spread::int;
  end loop;

  if not weir.lock_job('retain') then return; end if;
  -- Last: whoever records in a long transaction, or a dump, has it fail, and the job is tried again.
  perform weir.forget_keys();
  commit;
  did := jsonb_build_object('months', months, 'quarters', quarters, 'events', events,
    'executions', executions, 'days', days);
end $$;
