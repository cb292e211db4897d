-- The fold: accepted events become numbers. Cost follows the events of a batch, never history.
--
-- One transaction takes events off the queue, merges them into the projections (minima in the
-- order of events, so no order of arrival matters), derives what each touched execution counted
-- before and counts now, and adds the difference to the rollups. A crash anywhere undoes all of
-- it, and the events are still queued.
--
-- A workflow is folded by one session at a time: lock_workflow(). Any number of sessions fold
-- different workflows.
--
-- The steps hand each other rows in temporary tables (prefix fold_), which the session makes once.
-- They have no statistics, and a plan made on an empty table outlives its emptiness, so nothing is
-- left to the planner's guess: joins between them are by hash (enable_nestloop, enable_mergejoin = off), and
-- lookups of stored rows are LATERAL … ORDER BY 1, which is a loop, by an index (enable_seqscan = off): a subquery that
-- is ordered is not made a join of, and ordered it is, as its workflow is one. Keys to look up are handed over as
-- arrays, so that no statement joins stored rows with staged ones and each can be sent to where a workflow is stored.
-- With a plan of the first minute, 1,000 events took 1,180 ms; so they take 30.
-- What all rows of a workflow share (its zone) is joined after they are added up: carried along, it is sorted by.
-- Of an execution that has no row nothing else is stored: fold_store() writes one whatever is known of it, and who deletes
-- one holds the workflow's lock. So most of a batch, which are new, are looked up once.
-- Executions are ordered by the uuid first, which Postgres sorts by a third faster than by what is equal in most rows.

-- lock_workflow(id): true if this transaction now holds the right to change the projections and
-- rollups of a workflow. Never waits.
create or replace function lock_workflow(workflow_id int) returns boolean
language sql volatile
return pg_try_advisory_xact_lock(1464158546, workflow_id);  -- 'WEIR'

-- ring_fold(): wakes fold() when this transaction commits: meanwhile it passed by a workflow that was locked here.
create or replace function ring_fold() returns void
language sql volatile
return pg_notify('event_accepted', '');

-- make_fold_tables(): the session's staging tables, emptied at the end of every transaction.
-- was_* is what was counted before this batch, the plain name what counts with it.
create or replace function make_fold_tables() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  if to_regclass('pg_temp.fold_workflow') is not null then
    return;
  end if;
  create temp table fold_slice (
    workflow_id int, measure measure, days int, subject_id int, place smallint, first_bin smallint, last_bin smallint,
    us_from bigint, us_until bigint, of_one_value boolean
  ) on commit delete rows;
  create temp table fold_name (workflow_id int, subject_uuid uuid, is_goal boolean) on commit delete rows;
  create temp table fold_step_id (workflow_id int, step_uuid uuid, step_id int) on commit delete rows;
  create temp table fold_goal_id (workflow_id int, goal_uuid uuid, goal_id int) on commit delete rows;
  create temp table fold_left (workflow_id int, execution_id uuid, step_id int) on commit delete rows;
  create temp table fold_sample (
    workflow_id int, measure measure, at timestamptz, subject_id int, version int, us bigint, sign int
  ) on commit delete rows;
  perform make_fold_table('fold_workflow', 'workflow_id int, revision bigint, zone text, goal_ends_execution boolean,
    conversion_window interval, detail_from timestamptz, workflow_uuid uuid');
  perform make_fold_table('fold_window', 'like histogram_window');
  perform make_fold_table('fold_event', 'like event, accepted_at timestamptz');
  perform make_fold_table('fold_execution', 'like execution, is_stored boolean');  -- as stored
  perform make_fold_table('fold_goal', 'like execution_goal');  -- merged, derived as stored
  perform make_fold_table('fold_state', 'like execution,
    was_enrolled_at timestamptz, was_ended_at timestamptz, was_converted_at timestamptz, was_version int,
    was_left_after int, was_status execution_status, was_source enrollment_source, was_end_reason text,
    final_at timestamptz, final_sequence bigint, final_event text collate "C",  -- the event that ended it
    conversion_goal int,
    whole boolean,  -- all its steps are looked at, not just those of the batch
    is_stored boolean, has_changed boolean, has_new_contact boolean');
  perform make_fold_table('fold_stored_step', 'like execution_step');
  perform make_fold_table('fold_step', 'like execution_step,
    was_visits int, was_entered_at timestamptz, was_completed_at timestamptz,
    arrived boolean');  -- the batch says something of it
  perform make_fold_table('fold_action', 'workflow_id int, version int, step_id int, occurred_at timestamptz,
    duration_us bigint, succeeded boolean, sign int, event_id text collate "C"');
end $$;

-- make_fold_table(name, columns): one that has columns of any length. Nothing of it is kept elsewhere (TOAST), as no row is
-- longer than a page: emptying that and its index anew in each transaction was a twentieth of a fold of 1,000 events.
create or replace function make_fold_table(name text, columns text) returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  execute format('create temp table fold_draft (%s)', columns);
  execute (
    select 'alter table fold_draft ' || string_agg(format('alter %I set storage plain', attname), ', ')
    from pg_attribute where attrelid = 'fold_draft'::regclass and attnum > 0 and attlen = -1);
  execute format('create temp table %I (like fold_draft including storage) on commit delete rows', name);
  drop table fold_draft;
end $$;

-- fold(events_max): folds about so many queued events: of workflows that have few waiting all of them, and of one
-- that has many a good share, or as many as that if it is alone. It leaves the other ones with many to other sessions:
-- what one session claims and does not get to is work that nobody may do meanwhile.
--
-- Returns  events folded; 0 when none wait or other sessions are at all of them. Raises what keeps it
--          from folding when it could fold nothing else.
-- Callers  workers/fold.ts whenever events were accepted, and every second.
-- Repeat   Harmless: an event is folded by the transaction that deletes it from the queue.
create or replace function fold(events_max int default 20000) returns int
language plpgsql
set search_path = weir, pg_temp
set jit = off  -- what other scans cost says nothing: Postgres would compile each statement, for a second a fold
set enable_seqscan = off as $$
declare
  start    int := (select random() * max(workflow_id) from workflow);
  at       int := start;
  wrapped  boolean := false;
  hop      int;
  many     int := greatest(1, events_max / 4);  -- a round of others is then not long either
  waiting  int;
  last     bigint;
  large    int;
  passed   int := 0;
  total    int := 0;
  claimed  int[] := '{}';
  lasts    bigint[] := '{}';  -- up to where of each
  folded   int := 0;
  failure  text;
begin
  perform make_fold_tables();

  -- From waiting workflow to waiting workflow along the index, once round, from a random one on, so
  -- that nobody starves. 256 locks are few for Postgres, and many workflows for one batch.
  loop
    select q.workflow_id into hop from event_queue q
    where q.workflow_id > at order by q.workflow_id limit 1;
    if hop is null and not wrapped then
      wrapped := true;
      at := 0;
      continue;
    end if;
    exit when hop is null or (wrapped and hop > start);
    select count(*), max(queue_id) into waiting, last
    from (select q.queue_id from event_queue q where q.workflow_id = hop order by q.queue_id limit many) w;
    if waiting = many and large is not null then
      passed := passed + 1;
    elsif lock_workflow(hop) then
      claimed := claimed || hop;
      lasts := lasts || last;
      total := total + waiting;
      large := case when waiting = many then hop else large end;
    end if;
    exit when total >= events_max or cardinality(claimed) + passed = 256;
    at := hop;
  end loop;
  if cardinality(claimed) = 0 then
    return 0;
  end if;

  if claimed = array[large] then
    lasts := array(
      select max(queue_id)
      from (select q.queue_id from event_queue q where q.workflow_id = large order by q.queue_id limit events_max) w);
  end if;
  begin
    return fold_claimed(claimed, lasts);
  exception when others then
    if cardinality(claimed) = 1 then
      raise;
    end if;
  end;
  -- One of them cannot be folded: each by itself, so that only that one waits. What failed has
  -- taken back what it staged; what went well has to be cleared for the next.
  for i in 1 .. cardinality(claimed) loop
    begin
      folded := folded + fold_claimed(claimed[i:i], lasts[i:i]);
      truncate fold_workflow, fold_window, fold_slice, fold_event, fold_name, fold_step_id, fold_goal_id, fold_execution, fold_goal,
        fold_state, fold_stored_step, fold_step, fold_left, fold_action, fold_sample;
    exception when others then
      failure := format('Cannot fold workflow %s: %s', claimed[i], sqlerrm);
      raise warning '%', failure;
    end;
  end loop;
  if folded = 0 and failure is not null then
    raise exception '%', failure;
  end if;
  return folded;
end $$;

-- fold_claimed(ids, lasts): folds the events of each workflow, which this transaction has locked, up to the queue_id that
-- stands beside it.
drop function if exists fold_claimed(int[], int);
create or replace function fold_claimed(ids int[], lasts bigint[]) returns int
language plpgsql
set work_mem = '64MB'  -- a batch sorts and hashes in memory
set search_path = weir, pg_temp as $$
declare
  folded  int := take_events(ids, lasts);
begin
  if folded > 0 then
    perform stage_workflows((select array_agg(distinct workflow_id) from fold_event));
    perform stage_executions();
    perform fold_staged();
    perform count_late();
    perform count_conflicts();
    perform announce_revisions();
  end if;
  return folded;
end $$;

-- take_events(ids, lasts): moves events from the queue to fold_event; returns how many. One statement, as between two
-- others would become visible and be deleted unread.
-- The queue is looked up, not joined: with other scans off, no plan is left but a bitmap of each workflow's rows.
create or replace function take_events(ids int[], lasts bigint[]) returns int
language plpgsql
set search_path = weir, pg_temp
set enable_nestloop = on
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_indexscan = off as $$
declare
  taken  int;
begin
  with taken as (
    delete from event_queue q using unnest(ids, lasts) as claimed(workflow_id, last)
    where q.workflow_id = claimed.workflow_id and q.queue_id <= claimed.last
    returning q.workflow_id, q.execution_id, q.occurred_at, q.sequence, q.duration_us, q.version,
      q.type, q.source, q.subject_uuid, q.succeeded, q.event_id, q.contact_id, q.reason, q.accepted_at
  )
  insert into fold_event (workflow_id, execution_id, occurred_at, sequence, duration_us, version,
    type, source, subject_uuid, succeeded, event_id, contact_id, reason, accepted_at)
  select * from taken;
  get diagnostics taken = row_count;
  return taken;
end $$;

-- stage_executions(): every execution that the batch touches, as it is stored, in fold_execution.
create or replace function stage_executions() returns void
language plpgsql
set search_path = weir, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off as $$
declare
  workflows   int[];
  executions  uuid[];
begin
  select array_agg(workflow_id), array_agg(execution_id) into workflows, executions
  from (select distinct workflow_id, execution_id from fold_event order by 2, 1) touched;

  insert into fold_execution
  select stored.*, true
  from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id) touched cross join lateral (
    select * from execution e
    where e.workflow_id = touched.workflow_id and e.execution_id = touched.execution_id order by 1
  ) stored;

  insert into fold_execution (workflow_id, execution_id, is_stored)
  select workflow_id, execution_id, false
  from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id) touched
  where not exists (
    select from fold_execution stored
    where stored.workflow_id = touched.workflow_id and stored.execution_id = touched.execution_id);
end $$;

-- count_late(): events of the batch that were accepted more than an hour after they happened.
create or replace function count_late() returns void
language plpgsql
set enable_sort = off  -- as in count_samples()
set search_path = weir, pg_temp as $$
begin
  insert into quality_count as q (workflow_id, day, kind, events, last_at, executions)
  select workflow_id, day, 'late', events, last_at, array(select distinct id from unnest(examples) as id limit 5)
  from (
    select workflow_id, (accepted_at at time zone 'UTC')::date as day, count(*) as events,
      max(accepted_at) as last_at, (array_agg(execution_id))[1:50] as examples
    from fold_event where accepted_at - occurred_at > interval '1 hour' group by 1, 2
  ) late
  order by workflow_id, day
  on conflict (workflow_id, day, kind) do update set
    events = q.events + excluded.events, last_at = greatest(q.last_at, excluded.last_at),
    executions = (excluded.executions || q.executions)[1:5];
end $$;

-- count_conflicts(): ends beyond the first of an execution, in the batch or before it: they change nothing, and
-- say that a producer contradicts itself. The sum is the same whatever order they come in.
create or replace function count_conflicts() returns void
language plpgsql
set search_path = weir, pg_temp
set enable_nestloop = off
set enable_mergejoin = off as $$
begin
  insert into quality_count as q (workflow_id, day, kind, events, last_at, executions)
  select workflow_id, (now() at time zone 'UTC')::date, 'conflicting_end', sum(ends - 1 + known), now(),
    (array_agg(execution_id))[1:5]
  from (
    select e.workflow_id, e.execution_id, e.ends, (x.stopped_at is not null)::int as known
    from (
      select workflow_id, execution_id, count(*) as ends from fold_event
      where type in ('execution.completed', 'execution.exited', 'execution.failed')
      group by workflow_id, execution_id
    ) e join fold_execution x using (workflow_id, execution_id)
  ) met
  where ends + known > 1
  group by workflow_id order by workflow_id
  on conflict (workflow_id, day, kind) do update set
    events = q.events + excluded.events, last_at = excluded.last_at,
    executions = (excluded.executions || q.executions)[1:5];
end $$;

-- recompute(workflow): counts every execution of a workflow anew under its present settings.
--
-- Returns  true when done; false when another session holds the workflow: try again.
-- Callers  workers/recompute.ts, for workflows with recompute_since.
-- Repeat   Harmless: the second difference is nothing.
-- One transaction, so that readers see all executions under the old settings or all under the new.
create or replace function recompute(workflow int) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
declare
  last   uuid := '00000000-0000-0000-0000-000000000000';
  chunk  int;
begin
  if not lock_workflow(workflow) then
    return false;
  end if;
  perform make_fold_tables();
  perform stage_workflows(array[workflow]);
  loop
    insert into fold_execution
    select e.*, true from execution e
    where e.workflow_id = workflow and e.execution_id >= last
    order by e.execution_id limit 20000;
    get diagnostics chunk = row_count;
    perform fold_staged();
    exit when chunk < 20000;
    last := (select max(execution_id::text)::uuid from fold_execution);
    truncate fold_execution, fold_goal, fold_state, fold_stored_step, fold_step, fold_left, fold_action, fold_sample;
  end loop;
  perform announce_revisions();
  perform ring_fold();
  -- A setting that changed meanwhile is still owed.
  update workflow w set recompute_since = null
  from fold_workflow f
  where w.workflow_id = workflow and f.workflow_id = workflow
    and f.goal_ends_execution = w.goal_ends_execution
    and f.conversion_window = w.conversion_window_us * interval '1 microsecond';
  return true;
end $$;

-- stage_workflows(ids): settings of the workflows a batch touches, and the revision it will make. The
-- lock holds off retain() from dropping quarters of an hour that this transaction is about to count in.
create or replace function stage_workflows(ids int[]) returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  lock table only workflow_rollup in row exclusive mode;
  with next as (
    insert into workflow_revision as r (workflow_id, revision, changed_at)
    select id, 1, now() from unnest(ids) as id order by id
    on conflict (workflow_id) do update set revision = r.revision + 1, changed_at = excluded.changed_at
    returning r.workflow_id, r.revision
  )
  insert into fold_workflow
  select next.workflow_id, next.revision, w.time_zone, w.goal_ends_execution,
    w.conversion_window_us * interval '1 microsecond', (select detail_from()), w.workflow_uuid
  from next cross join lateral (
    select known.*, a.time_zone from workflow known join account a using (account_id)
    where known.workflow_id = next.workflow_id offset 0
  ) w;
  insert into fold_window select h.* from histogram_window h where h.workflow_id = any (ids);
  insert into fold_slice
  select s.workflow_id, s.measure, s.days, s.subject_id, s.place, s.first_bin, s.last_bin, s.us_from, s.us_until,
    s.alike is not null
  from window_slice s where s.workflow_id = any (ids);
end $$;

-- announce_revisions(): rings 'workflow_analytics' with the id of each workflow that changed: a doorbell, whoever
-- listens goes and looks.
create or replace function announce_revisions() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  perform pg_notify('workflow_analytics', workflow_uuid::text) from fold_workflow;
end $$;

-- fold_staged(): the fold of what fold() or recompute() have staged in fold_workflow, fold_event and
-- fold_execution (every execution to look at, as it is stored).
create or replace function fold_staged() returns void
language plpgsql
set search_path = weir, pg_temp
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set jit = off  -- as in fold(), for recompute()
set work_mem = '64MB'  -- a batch sorts and hashes in memory
as $$
begin
  perform fold_names();
  perform fold_goals();
  perform fold_states();
  perform fold_steps();
  perform fold_store();
  perform count_executions();
  perform count_goals();
  perform count_steps();
  perform count_actions();
  perform count_samples();
end $$;

-- fold_names(): short ids for the steps and goals in fold_event, made for those met for the first time. Stages
-- fold_step_id and fold_goal_id.
create or replace function fold_names() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows  int[];
  uuids      uuid[];
begin
  insert into fold_name
  select distinct workflow_id, subject_uuid, type = 'goal.achieved' from fold_event where subject_uuid is not null;

  select array_agg(workflow_id), array_agg(subject_uuid) into workflows, uuids from fold_name where not is_goal;
  insert into fold_step_id
  select known.* from (select unnest(workflows) as workflow_id, unnest(uuids) as step_uuid) met cross join lateral (
    select s.workflow_id, s.step_uuid, s.step_id from step s
    where s.workflow_id = met.workflow_id and s.step_uuid = met.step_uuid order by 1
  ) known;
  with made as (
    insert into step (workflow_id, step_uuid)
    select * from unnest(workflows, uuids) except select workflow_id, step_uuid from fold_step_id
    returning workflow_id, step_uuid, step_id
  )
  insert into fold_step_id select * from made;

  select array_agg(workflow_id), array_agg(subject_uuid) into workflows, uuids from fold_name where is_goal;
  insert into fold_goal_id
  select known.* from (select unnest(workflows) as workflow_id, unnest(uuids) as goal_uuid) met cross join lateral (
    select g.workflow_id, g.goal_uuid, g.goal_id from goal g
    where g.workflow_id = met.workflow_id and g.goal_uuid = met.goal_uuid order by 1
  ) known;
  with made as (
    insert into goal (workflow_id, goal_uuid)
    select * from unnest(workflows, uuids) except select workflow_id, goal_uuid from fold_goal_id
    returning workflow_id, goal_uuid, goal_id
  )
  insert into fold_goal_id select * from made;
end $$;

-- fold_goals(): merges goals, then stages all goals of the touched executions in fold_goal.
create or replace function fold_goals() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows   int[];
  executions  uuid[];
begin
  with merged as (
    insert into execution_goal as stored (workflow_id, execution_id, goal_id, occurred_at, sequence, event_id)
    select distinct on (execution_id, e.workflow_id, goal_id)
      e.workflow_id, execution_id, goal_id, occurred_at, sequence, event_id
    from fold_event e join fold_goal_id g on g.workflow_id = e.workflow_id and g.goal_uuid = e.subject_uuid
    where e.type = 'goal.achieved'
    order by execution_id, e.workflow_id, goal_id, occurred_at, sequence, event_id
    on conflict (workflow_id, execution_id, goal_id) do update set
      occurred_at = excluded.occurred_at, sequence = excluded.sequence, event_id = excluded.event_id
    where (excluded.occurred_at, excluded.sequence, excluded.event_id)
        < (stored.occurred_at, stored.sequence, stored.event_id)
    returning *
  )
  insert into fold_goal
  select g.* from merged g join fold_execution x using (workflow_id, execution_id) where not x.is_stored;

  select array_agg(workflow_id), array_agg(execution_id) into workflows, executions from fold_execution where is_stored;
  insert into fold_goal
  select stored.* from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id) touched cross join lateral (
    select * from execution_goal g
    where g.workflow_id = touched.workflow_id and g.execution_id = touched.execution_id order by 1
  ) stored;
end $$;

-- fold_states(): what each touched execution is now, by section 2 of the rules of events:
-- the earliest enrolment; the earliest end, a goal's where goals end executions; the first goal
-- as conversion, if the execution still ran or the window was open. Stages fold_state.
create or replace function fold_states() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  insert into fold_state (workflow_id, execution_id, enrolled_at, enrolled_sequence, enrolled_event,
    contact_id, source, version, stopped_at, stopped_sequence, stopped_event, stop_reason,
    final_at, final_sequence, final_event, status, ended_at, end_reason, converted_at, conversion_goal,
    whole, is_stored, has_changed, has_new_contact,
    was_enrolled_at, was_ended_at, was_converted_at, was_version, was_left_after, was_status,
    was_source, was_end_reason)
  with fact as (
    select workflow_id, execution_id, type = 'execution.enrolled' as enrols,
      occurred_at, sequence, event_id, contact_id, source, version,
      case type when 'execution.completed' then 'completed' when 'execution.failed' then 'error'
        else reason end as reason
    from fold_event
    where type in ('execution.enrolled', 'execution.completed', 'execution.exited', 'execution.failed')
    union all
    select workflow_id, execution_id, true,
      enrolled_at, enrolled_sequence, enrolled_event, contact_id, source, version, null
    from fold_execution where enrolled_at is not null
    union all
    select workflow_id, execution_id, false,
      stopped_at, stopped_sequence, stopped_event, null, null, null, stop_reason
    from fold_execution where stopped_at is not null
  ), earliest as (
    select distinct on (execution_id, workflow_id, enrols) * from fact
    order by execution_id, workflow_id, enrols, occurred_at, sequence, event_id
  ), first_goal as (
    select distinct on (execution_id, workflow_id) * from fold_goal
    order by execution_id, workflow_id, occurred_at, sequence, event_id
  )
  select b.workflow_id, b.execution_id,
    enrolment.occurred_at, enrolment.sequence, enrolment.event_id,
    enrolment.contact_id, enrolment.source, enrolment.version,
    stop.occurred_at, stop.sequence, stop.event_id, stop.reason,
    final.at, final.sequence, final.event_id,
    is_now.status,
    ended.at, ended.reason, converted.at,
    case when converted.at is not null then goal.goal_id end,
    coalesce(is_now.status in ('exited', 'error'), false)  -- null: not enrolled
      or (b.enrolled_at, b.version, b.status)
        is distinct from (enrolment.occurred_at, enrolment.version, is_now.status),
    b.is_stored,
    (b.enrolled_at, b.enrolled_sequence, b.enrolled_event, b.stopped_at, b.stopped_sequence, b.stopped_event,
        b.status, b.ended_at, b.end_reason, b.converted_at)
      is distinct from (enrolment.occurred_at, enrolment.sequence, enrolment.event_id, stop.occurred_at, stop.sequence,
        stop.event_id, is_now.status, ended.at, ended.reason, converted.at),
    b.contact_id is distinct from enrolment.contact_id,
    b.enrolled_at, b.ended_at, b.converted_at, b.version, b.left_after, b.status, b.source, b.end_reason
  from fold_execution b
  join fold_workflow w on w.workflow_id = b.workflow_id
  left join earliest enrolment on enrolment.workflow_id = b.workflow_id
    and enrolment.execution_id = b.execution_id and enrolment.enrols
  left join earliest stop on stop.workflow_id = b.workflow_id
    and stop.execution_id = b.execution_id and not stop.enrols
  left join first_goal goal on goal.workflow_id = b.workflow_id and goal.execution_id = b.execution_id
  cross join lateral (
    select w.goal_ends_execution and goal.occurred_at is not null and (stop.occurred_at is null
      or (goal.occurred_at, goal.sequence, goal.event_id) < (stop.occurred_at, stop.sequence, stop.event_id)
    ) as by_goal
  ) ending
  cross join lateral (select
    case when by_goal then goal.occurred_at else stop.occurred_at end as at,
    case when by_goal then goal.sequence else stop.sequence end as sequence,
    case when by_goal then goal.event_id else stop.event_id end as event_id,
    case when by_goal then 'goal_achieved' else stop.reason end as reason
  ) final
  cross join lateral (select case
    when enrolment.occurred_at is null then null
    when final.at is null then 'active'
    when final.reason in ('completed', 'goal_achieved', 'error') then final.reason
    else 'exited' end::execution_status as status
  ) is_now
  cross join lateral (select
    case when is_now.status <> 'active' then greatest(final.at, enrolment.occurred_at) end as at,
    case when is_now.status <> 'active' then final.reason end as reason
  ) ended
  cross join lateral (
    select case when enrolment.occurred_at is not null and goal.occurred_at is not null and (
      final.at is null
      or (goal.occurred_at, goal.sequence, goal.event_id) <= (final.at, final.sequence, final.event_id)
      or greatest(goal.occurred_at, enrolment.occurred_at) < enrolment.occurred_at + w.conversion_window
    ) then greatest(goal.occurred_at, enrolment.occurred_at) end as at
  ) converted;
end $$;

-- fold_steps(): merges steps into fold_step: earliest entry, earliest completion, number of visits.
-- Of executions whose state changed all steps are needed, because they count elsewhere now; of the
-- others just those of the batch; of new ones there are no others. Then the step after which an execution
-- left, into fold_left.
create or replace function fold_steps() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows   int[];
  executions  uuid[];
  steps       int[];
begin
  select array_agg(workflow_id), array_agg(execution_id) into workflows, executions
  from (select workflow_id, execution_id from fold_state where whole and is_stored order by 2, 1) changed;
  insert into fold_stored_step
  select stored.* from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id) changed cross join lateral (
    select * from execution_step s
    where s.workflow_id = changed.workflow_id and s.execution_id = changed.execution_id order by 1
  ) stored;

  select array_agg(workflow_id), array_agg(execution_id), array_agg(step_id) into workflows, executions, steps
  from (
    select distinct e.workflow_id, e.execution_id, s.step_id
    from fold_state x
    join fold_event e on e.workflow_id = x.workflow_id and e.execution_id = x.execution_id
    join fold_step_id s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
    where not x.whole and x.is_stored and e.type in ('step.entered', 'step.completed') order by 2, 1, 3
  ) met;
  insert into fold_stored_step
  select stored.* from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id, unnest(steps) as step_id) met cross join lateral (
    select * from execution_step s
    where s.workflow_id = met.workflow_id and s.execution_id = met.execution_id and s.step_id = met.step_id order by 1
  ) stored;

  with arrived as materialized (
    select e.workflow_id, e.execution_id, s.step_id, e.type = 'step.completed' as completes,
      e.occurred_at, e.sequence, e.event_id
    from fold_event e join fold_step_id s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
    where e.type in ('step.entered', 'step.completed')
  ), completion as (
    select distinct on (execution_id, workflow_id, step_id) * from (
      select workflow_id, execution_id, step_id, occurred_at, sequence, event_id from arrived where completes
      union all
      select workflow_id, execution_id, step_id, completed_at, completed_sequence, completed_event
      from fold_stored_step where completed_at is not null
    ) c order by execution_id, workflow_id, step_id, occurred_at, sequence, event_id
  ), piece as (
    select workflow_id, execution_id, step_id, true as arrived, (not completes)::int as visits,
      case when not completes then occurred_at end as entered_at,
      null::timestamptz as completed_at, null::bigint as completed_sequence, null as completed_event,
      null::int as was_visits, null::timestamptz as was_entered_at, null::timestamptz as was_completed_at
    from arrived
    union all
    select workflow_id, execution_id, step_id, false, 0, null, occurred_at, sequence, event_id, null, null, null
    from completion
    union all
    select workflow_id, execution_id, step_id, false, visits, entered_at, null, null, null,
      visits, entered_at, completed_at
    from fold_stored_step
  )
  insert into fold_step (workflow_id, execution_id, step_id, arrived, visits, entered_at,
    completed_at, completed_sequence, completed_event, was_visits, was_entered_at, was_completed_at)
  select workflow_id, execution_id, step_id, bool_or(arrived), sum(visits), min(entered_at),
    max(completed_at), max(completed_sequence), max(completed_event),
    max(was_visits), max(was_entered_at), max(was_completed_at)
  from piece group by workflow_id, execution_id, step_id;

  insert into fold_left
  select distinct on (s.execution_id, s.workflow_id) s.workflow_id, s.execution_id, s.step_id
  from fold_step s join fold_state x using (workflow_id, execution_id)
  where x.status in ('exited', 'error') and not exists (
    select from fold_step still_open
    where still_open.workflow_id = s.workflow_id and still_open.execution_id = s.execution_id
      and still_open.completed_at is null)
  order by s.execution_id, s.workflow_id,
    s.completed_at desc, s.completed_sequence desc, s.completed_event desc;
end $$;

-- fold_store(): writes the projections, where they changed, and who was enrolled before.
create or replace function fold_store() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows  int[];
  contacts   text[];
  often      boolean[];
begin
  select array_agg(workflow_id), array_agg(contact_id), array_agg(executions > 1) into workflows, contacts, often
  from (
    select workflow_id, contact_id, count(*) as executions
    from fold_state where has_new_contact
    group by workflow_id, contact_id order by 1, 2
  ) comer;
  insert into returning_contact (workflow_id, contact_id)
  select workflow_id, contact_id from (select unnest(workflows) as workflow_id, unnest(contacts) as contact_id, unnest(often) as came_often) comer
  where came_often
  on conflict do nothing;
  -- Before they are stored, so that of most nothing is found. Distinct, as one execution is enough.
  insert into returning_contact (workflow_id, contact_id)
  select known.* from (select unnest(workflows) as workflow_id, unnest(contacts) as contact_id) comer cross join lateral (
    select distinct e.workflow_id, e.contact_id from execution e
    where e.workflow_id = comer.workflow_id and e.contact_id = comer.contact_id
  ) known
  on conflict do nothing;

  -- Most are new, and need not be asked for as those are that may be there.
  insert into execution (workflow_id, execution_id, enrolled_at, enrolled_sequence, enrolled_event,
    contact_id, source, version, stopped_at, stopped_sequence, stopped_event, stop_reason,
    status, ended_at, end_reason, converted_at, left_after)
  select workflow_id, execution_id, enrolled_at, enrolled_sequence, enrolled_event,
    contact_id, source, version, stopped_at, stopped_sequence, stopped_event, stop_reason,
    status, ended_at, end_reason, converted_at, l.step_id
  from fold_state left join fold_left l using (workflow_id, execution_id)
  where not is_stored
  order by execution_id, workflow_id;

  insert into execution (workflow_id, execution_id, enrolled_at, enrolled_sequence, enrolled_event,
    contact_id, source, version, stopped_at, stopped_sequence, stopped_event, stop_reason,
    status, ended_at, end_reason, converted_at, left_after)
  select workflow_id, execution_id, enrolled_at, enrolled_sequence, enrolled_event,
    contact_id, source, version, stopped_at, stopped_sequence, stopped_event, stop_reason,
    status, ended_at, end_reason, converted_at, l.step_id
  from fold_state left join fold_left l using (workflow_id, execution_id)
  where is_stored and (has_changed or was_left_after is distinct from l.step_id)
  order by execution_id, workflow_id
  on conflict (workflow_id, execution_id) do update set
    enrolled_at = excluded.enrolled_at, enrolled_sequence = excluded.enrolled_sequence,
    enrolled_event = excluded.enrolled_event, contact_id = excluded.contact_id,
    source = excluded.source, version = excluded.version, stopped_at = excluded.stopped_at,
    stopped_sequence = excluded.stopped_sequence, stopped_event = excluded.stopped_event,
    stop_reason = excluded.stop_reason, status = excluded.status, ended_at = excluded.ended_at,
    end_reason = excluded.end_reason, converted_at = excluded.converted_at,
    left_after = excluded.left_after;

  insert into execution_step (workflow_id, execution_id, step_id, visits, entered_at,
    completed_at, completed_sequence, completed_event, enrolled_at)
  select s.workflow_id, s.execution_id, s.step_id, s.visits, s.entered_at,
    s.completed_at, s.completed_sequence, s.completed_event, x.enrolled_at
  from fold_step s join fold_state x using (workflow_id, execution_id)
  where s.was_visits is null
  order by execution_id, workflow_id, step_id;

  insert into execution_step (workflow_id, execution_id, step_id, visits, entered_at,
    completed_at, completed_sequence, completed_event, enrolled_at)
  select s.workflow_id, s.execution_id, s.step_id, s.visits, s.entered_at,
    s.completed_at, s.completed_sequence, s.completed_event, x.enrolled_at
  from fold_step s join fold_state x using (workflow_id, execution_id)
  where s.was_visits is not null and (s.arrived or x.was_enrolled_at is distinct from x.enrolled_at)
  order by execution_id, workflow_id, step_id
  on conflict (workflow_id, execution_id, step_id) do update set
    visits = excluded.visits, entered_at = excluded.entered_at, completed_at = excluded.completed_at,
    completed_sequence = excluded.completed_sequence, completed_event = excluded.completed_event,
    enrolled_at = excluded.enrolled_at;
end $$;

-- count_executions(): the difference in workflow_rollup, reason_rollup, workflow_running, and samples.
create or replace function count_executions() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  with moved as materialized (
    select * from fold_state
    where (was_enrolled_at, was_version, was_source, was_status, was_ended_at, was_end_reason, was_converted_at)
      is distinct from (enrolled_at, version, source, status, ended_at, end_reason, converted_at)
  ), change as materialized (
    select f.*, case when status in ('completed', 'goal_achieved') then microseconds(ended_at - enrolled_at) end as duration_us,
      microseconds(converted_at - enrolled_at) as conversion_us
    from (
      select workflow_id, -1 as sign, was_enrolled_at as enrolled_at, was_version as version, was_source as source,
        was_status as status, was_ended_at as ended_at, was_end_reason as end_reason, was_converted_at as converted_at
      from moved where was_enrolled_at is not null
      union all
      select workflow_id, 1, enrolled_at, version, source, status, ended_at, end_reason, converted_at
      from moved where enrolled_at is not null
    ) f
  ), running as (
    insert into workflow_running as r (workflow_id, version, executions)
    select workflow_id, version, sum(sign) from change where ended_at is null
    group by 1, 2 order by 1, 2
    on conflict (workflow_id, version) do update set executions = r.executions + excluded.executions
  ), reasons as (
    insert into reason_rollup as r (workflow_id, grain, bucket, version, reason, cohort_ends, ends, revision)
    select workflow_id, g.grain, g.start, version, end_reason, sum(cohort_ends), sum(ends), max(w.revision)
    from (
      select workflow_id, bucket_15min(at) as bucket, version, end_reason,
        coalesce(sum(sign) filter (where cohort), 0) as cohort_ends,
        coalesce(sum(sign) filter (where not cohort), 0) as ends
      from (
        select workflow_id, enrolled_at as at, version, end_reason, sign, true as cohort from change
        union all
        select workflow_id, ended_at, version, end_reason, sign, false from change
      ) fact where end_reason is not null
      group by workflow_id, bucket_15min(at), version, end_reason
    ) quarter join fold_workflow w using (workflow_id) cross join lateral grains(bucket, w.zone, w.detail_from) g
    group by workflow_id, g.grain, g.start, version, end_reason order by 1, 2, 3, 5, 4
    on conflict (workflow_id, grain, bucket, reason, version) do update set
      cohort_ends = r.cohort_ends + excluded.cohort_ends, ends = r.ends + excluded.ends,
      revision = excluded.revision
  ), samples as (
    insert into fold_sample
    select workflow_id, 'cohort_duration'::measure, enrolled_at, 0, version, duration_us, sign
    from change where duration_us is not null
    union all
    select workflow_id, 'duration', ended_at, 0, version, duration_us, sign from change where duration_us is not null
    union all
    select workflow_id, 'cohort_conversion', enrolled_at, 0, version, conversion_us, sign
    from change where conversion_us is not null
    union all
    select workflow_id, 'conversion', converted_at, 0, version, conversion_us, sign
    from change where conversion_us is not null
  ), quarter as (
    select workflow_id, bucket_15min(enrolled_at) as bucket, version,
      sum(sign) as enrolled,
      coalesce(sum(sign) filter (where source = 'trigger'), 0) as enrolled_trigger,
      coalesce(sum(sign) filter (where source = 'bulk'), 0) as enrolled_bulk,
      coalesce(sum(sign) filter (where source = 'api'), 0) as enrolled_api,
      coalesce(sum(sign) filter (where source = 'manual'), 0) as enrolled_manual,
      coalesce(sum(sign) filter (where duration_us is not null), 0) as cohort_completed,
      coalesce(sum(sign) filter (where status in ('exited', 'error')), 0) as cohort_exited,
      coalesce(sum(sign) filter (where conversion_us is not null), 0) as cohort_converted,
      coalesce(sum(sign) filter (where conversion_us is not null and status <> 'active'), 0) as cohort_settled_converted,
      0::bigint as completed, 0::bigint as exited, 0::bigint as converted,
      coalesce(sum(sign * duration_us), 0) as cohort_duration_us,
      coalesce(sum(sign * conversion_us), 0) as cohort_conversion_us,
      0::numeric as duration_us, 0::numeric as conversion_us
    from change group by workflow_id, bucket_15min(enrolled_at), version
    union all
    select workflow_id, bucket_15min(ended_at), version, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      coalesce(sum(sign) filter (where duration_us is not null), 0),
      coalesce(sum(sign) filter (where status in ('exited', 'error')), 0), 0,
      0, 0, coalesce(sum(sign * duration_us), 0), 0
    from change where ended_at is not null group by workflow_id, bucket_15min(ended_at), version
    union all
    select workflow_id, bucket_15min(converted_at), version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(sign),
      0, 0, 0, sum(sign * conversion_us)
    from change where converted_at is not null group by workflow_id, bucket_15min(converted_at), version
  ), counted as (
    insert into workflow_rollup as r (workflow_id, grain, bucket, version, enrolled, enrolled_trigger,
      enrolled_bulk, enrolled_api, enrolled_manual, cohort_completed, cohort_exited, cohort_converted,
      cohort_settled_converted, completed, exited, converted, cohort_duration_us, cohort_conversion_us,
      duration_us, conversion_us, revision)
    select workflow_id, g.grain, g.start, version, sum(enrolled), sum(enrolled_trigger),
      sum(enrolled_bulk), sum(enrolled_api), sum(enrolled_manual), sum(cohort_completed), sum(cohort_exited),
      sum(cohort_converted), sum(cohort_settled_converted), sum(completed), sum(exited), sum(converted),
      sum(cohort_duration_us), sum(cohort_conversion_us), sum(duration_us), sum(conversion_us), max(w.revision)
    from quarter join fold_workflow w using (workflow_id) cross join lateral grains(bucket, w.zone, w.detail_from) g
    group by workflow_id, g.grain, g.start, version order by 1, 2, 3, 4
    on conflict (workflow_id, grain, bucket, version) do update set
      enrolled = r.enrolled + excluded.enrolled,
      enrolled_trigger = r.enrolled_trigger + excluded.enrolled_trigger,
      enrolled_bulk = r.enrolled_bulk + excluded.enrolled_bulk,
      enrolled_api = r.enrolled_api + excluded.enrolled_api,
      enrolled_manual = r.enrolled_manual + excluded.enrolled_manual,
      cohort_completed = r.cohort_completed + excluded.cohort_completed,
      cohort_exited = r.cohort_exited + excluded.cohort_exited,
      cohort_converted = r.cohort_converted + excluded.cohort_converted,
      cohort_settled_converted = r.cohort_settled_converted + excluded.cohort_settled_converted,
      completed = r.completed + excluded.completed,
      exited = r.exited + excluded.exited,
      converted = r.converted + excluded.converted,
      cohort_duration_us = r.cohort_duration_us + excluded.cohort_duration_us,
      cohort_conversion_us = r.cohort_conversion_us + excluded.cohort_conversion_us,
      duration_us = r.duration_us + excluded.duration_us,
      conversion_us = r.conversion_us + excluded.conversion_us,
      revision = excluded.revision
    returning workflow_id, grain, bucket, revision
  )
  insert into changed_day as d (workflow_id, bucket, revision)
  select workflow_id, bucket, max(revision) from counted where grain = 'day'
  group by workflow_id, bucket order by workflow_id, bucket
  on conflict (workflow_id, bucket) do update set revision = excluded.revision where d.revision < excluded.revision;
end $$;

-- count_goals(): which goals of the touched executions count now, and the difference in goal_rollup.
create or replace function count_goals() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  with judged as materialized (
    select g.workflow_id, g.execution_id, g.goal_id, g.occurred_at, g.sequence, g.event_id,
      x.was_enrolled_at, x.was_version, g.achieved_at as was_achieved_at, g.is_conversion as was_conversion,
      x.enrolled_at, x.version,
      case when x.enrolled_at is not null and (
        x.final_at is null
        or (g.occurred_at, g.sequence, g.event_id) <= (x.final_at, x.final_sequence, x.final_event)
        or greatest(g.occurred_at, x.enrolled_at) < x.enrolled_at + w.conversion_window
      ) then greatest(g.occurred_at, x.enrolled_at) end as achieved_at,
      coalesce(g.goal_id = x.conversion_goal, false) as is_conversion
    from fold_goal g
    join fold_state x using (workflow_id, execution_id)
    join fold_workflow w using (workflow_id)
  ), stored as (  -- only ever updates: by key, where an UPDATE … FROM would be a join with all goals
    insert into execution_goal (workflow_id, execution_id, goal_id, occurred_at, sequence, event_id,
      achieved_at, is_conversion)
    select workflow_id, execution_id, goal_id, occurred_at, sequence, event_id, achieved_at, is_conversion
    from judged
    where (was_achieved_at, was_conversion) is distinct from (achieved_at, is_conversion)
    order by execution_id, workflow_id, goal_id
    on conflict (workflow_id, execution_id, goal_id) do update set
      achieved_at = excluded.achieved_at, is_conversion = excluded.is_conversion
  )
  insert into goal_rollup as r (workflow_id, grain, bucket, version, goal_id, cohort_achieved, cohort_first,
    achieved, first, revision)
  select workflow_id, g.grain, g.start, version, goal_id,
    sum(cohort_achieved), sum(cohort_first), sum(achieved), sum(first), max(w.revision)
  from (
    select workflow_id, bucket_15min(at) as bucket, f.version, goal_id,
      coalesce(sum(sign) filter (where kind = 'cohort'), 0) as cohort_achieved,
      coalesce(sum(sign) filter (where kind = 'cohort' and conversion), 0) as cohort_first,
      coalesce(sum(sign) filter (where kind = 'event'), 0) as achieved,
      coalesce(sum(sign) filter (where kind = 'event' and conversion), 0) as first
    from judged cross join lateral (values
      (-1, 'cohort', was_enrolled_at, was_version, was_achieved_at, was_conversion),
      (-1, 'event', was_achieved_at, was_version, was_achieved_at, was_conversion),
      (1, 'cohort', enrolled_at, judged.version, judged.achieved_at, is_conversion),
      (1, 'event', judged.achieved_at, judged.version, judged.achieved_at, is_conversion)
    ) as f(sign, kind, at, version, achieved_at, conversion)
    where f.achieved_at is not null
      and (was_enrolled_at, was_version, was_achieved_at, was_conversion)
        is distinct from (enrolled_at, judged.version, judged.achieved_at, is_conversion)
    group by workflow_id, bucket_15min(at), f.version, goal_id
  ) quarter join fold_workflow w using (workflow_id) cross join lateral grains(bucket, w.zone, w.detail_from) g
  group by workflow_id, g.grain, g.start, version, goal_id order by 1, 2, 3, 5, 4
  on conflict (workflow_id, grain, bucket, goal_id, version) do update set
    cohort_achieved = r.cohort_achieved + excluded.cohort_achieved,
    cohort_first = r.cohort_first + excluded.cohort_first,
    achieved = r.achieved + excluded.achieved,
    first = r.first + excluded.first,
    revision = excluded.revision;
end $$;

-- count_steps(): the difference in step_rollup, and samples of time in step.
create or replace function count_steps() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  with moved as materialized (
    select s.*, l.step_id as left_step,
      x.was_enrolled_at, x.was_version, x.was_status, x.was_left_after, x.enrolled_at as now_enrolled_at, x.version, x.status
    from fold_step s
    join fold_state x using (workflow_id, execution_id)
    left join fold_left l using (workflow_id, execution_id)
    where (x.was_enrolled_at, x.was_version, x.was_status, x.was_left_after,
          s.was_visits, s.was_entered_at, s.was_completed_at)
        is distinct from (x.enrolled_at, x.version, x.status, l.step_id,
          s.visits, s.entered_at, s.completed_at)
  ), change as materialized (
    select f.*, case when completed_at is not null
        then greatest(0, microseconds(completed_at - coalesce(entered_at, completed_at))) end as time_us
    from (
      select workflow_id, step_id, -1 as sign, was_enrolled_at as enrolled_at, was_version as version, was_status as status,
        was_left_after is not distinct from step_id as left_after, was_visits as visits,
        was_entered_at as entered_at, was_completed_at as completed_at
      from moved where was_enrolled_at is not null and was_visits is not null
      union all
      select workflow_id, step_id, 1, now_enrolled_at, version, status, left_step is not distinct from step_id, visits,
        entered_at, completed_at
      from moved where now_enrolled_at is not null
    ) f
  ), samples as (
    insert into fold_sample
    select workflow_id, 'step_time', enrolled_at, step_id, version, time_us, sign
    from change where time_us is not null
  ), counted as (
    insert into step_rollup as r (workflow_id, grain, bucket, version, step_id, entered, completed, dropped_off,
      goal_exits, left_after, visits, time_us, revision)
    select workflow_id, g.grain, g.start, version, step_id, sum(entered), sum(completed), sum(dropped_off),
      sum(goal_exits), sum(left_after), sum(visits), sum(time_us), max(w.revision)
    from (
      select workflow_id, bucket_15min(enrolled_at) as bucket, version, step_id, sum(sign) as entered,
        coalesce(sum(sign) filter (where completed_at is not null), 0) as completed,
        coalesce(sum(sign) filter (where completed_at is null and status in ('exited', 'error')), 0) as dropped_off,
        coalesce(sum(sign) filter (where completed_at is null and status in ('completed', 'goal_achieved')), 0)
          as goal_exits,
        coalesce(sum(sign) filter (where left_after), 0) as left_after,
        sum(sign * greatest(visits, 1)) as visits,
        coalesce(sum(sign * time_us), 0) as time_us
      from change
      group by workflow_id, bucket_15min(enrolled_at), version, step_id
    ) quarter join fold_workflow w using (workflow_id) cross join lateral grains(bucket, w.zone, w.detail_from) g
    group by workflow_id, g.grain, g.start, version, step_id order by 1, 2, 3, 5, 4
    on conflict (workflow_id, grain, bucket, step_id, version) do update set
      entered = r.entered + excluded.entered,
      completed = r.completed + excluded.completed,
      dropped_off = r.dropped_off + excluded.dropped_off,
      goal_exits = r.goal_exits + excluded.goal_exits,
      left_after = r.left_after + excluded.left_after,
      visits = r.visits + excluded.visits,
      time_us = r.time_us + excluded.time_us,
      revision = excluded.revision
    returning workflow_id, grain, bucket, revision
  )
  insert into changed_day as d (workflow_id, bucket, revision)
  select workflow_id, bucket, max(revision) from counted where grain = 'day'
  group by workflow_id, bucket order by workflow_id, bucket
  on conflict (workflow_id, bucket) do update set revision = excluded.revision where d.revision < excluded.revision;
end $$;

-- stage_actions(): in fold_action, what actions count that count now and did not: those of the batch, and parked ones
-- of executions that are enrolled with it. Those of the batch that are not enrolled yet are parked.
create or replace function stage_actions() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows   int[];
  executions  uuid[];
  begun       record;
begin
  with arrived as materialized (
    select e.workflow_id, e.execution_id, s.step_id, e.occurred_at, e.duration_us, e.succeeded,
      x.version, x.enrolled_at is not null as counts
    from fold_event e
    join fold_step_id s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
    join fold_state x on x.workflow_id = e.workflow_id and x.execution_id = e.execution_id
    where e.type = 'action.executed'
  ), parked as (
    insert into parked_action (workflow_id, execution_id, step_id, occurred_at, duration_us, succeeded)
    select workflow_id, execution_id, step_id, occurred_at, duration_us, succeeded
    from arrived where not counts
  )
  insert into fold_action (workflow_id, version, step_id, occurred_at, duration_us, succeeded, sign)
  select workflow_id, version, step_id, occurred_at, duration_us, succeeded, 1 from arrived where counts;

  select array_agg(workflow_id), array_agg(execution_id) into workflows, executions
  from fold_state where is_stored and was_enrolled_at is null and enrolled_at is not null;
  for begun in
    select parked.workflow_id, array_agg(parked.execution_id) as executions
    from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id) x cross join lateral (
      select distinct p.workflow_id, p.execution_id from parked_action p
      where p.workflow_id = x.workflow_id and p.execution_id = x.execution_id
    ) parked
    group by parked.workflow_id
  loop
    with unparked as (
      delete from parked_action p
      where p.workflow_id = begun.workflow_id and p.execution_id = any (begun.executions)
      returning p.*
    )
    insert into fold_action (workflow_id, version, step_id, occurred_at, duration_us, succeeded, sign)
    select p.workflow_id, x.version, p.step_id, p.occurred_at, p.duration_us, p.succeeded, 1
    from unparked p join fold_state x using (workflow_id, execution_id);
  end loop;
end $$;

-- move_actions(): in fold_action, what actions of executions count whose version an earlier enrolment changed, once more
-- as it counted, less, and once as it counts now. They are read from event (rare).
create or replace function move_actions() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  workflows   int[];
  executions  uuid[];
  versions    int[];
  signs       int[];
begin
  select array_agg(workflow_id), array_agg(execution_id), array_agg(counted.version), array_agg(counted.sign)
  into workflows, executions, versions, signs
  from fold_state x cross join lateral (values (-1, x.was_version), (1, x.version)) as counted(sign, version)
  where x.was_version <> x.version;
  if workflows is null then
    return;
  end if;
  insert into fold_action (workflow_id, version, step_id, occurred_at, duration_us, succeeded, sign, event_id)
  select acted.workflow_id, x.version, acted.step_id, acted.occurred_at, acted.duration_us, acted.succeeded, x.sign,
    acted.event_id
  from (select unnest(workflows) as workflow_id, unnest(executions) as execution_id, unnest(versions) as version, unnest(signs) as sign) x
  cross join lateral (
    select e.workflow_id, s.step_id, e.occurred_at, e.duration_us, e.succeeded, e.event_id
    from event e join step s on s.workflow_id = e.workflow_id and s.step_uuid = e.subject_uuid
    where e.workflow_id = x.workflow_id and e.execution_id = x.execution_id and e.type = 'action.executed'
      and not exists (select from event_queue q where q.workflow_id = e.workflow_id and q.event_id = e.event_id)
    order by 1
  ) acted;
  -- Those of the batch counted as nothing before.
  delete from fold_action a using fold_event e where e.workflow_id = a.workflow_id and e.event_id = a.event_id;
end $$;

-- count_actions(): the difference in action_rollup, and samples of durations.
create or replace function count_actions() returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  perform stage_actions();
  perform move_actions();

  insert into fold_sample
  select workflow_id, 'action_duration', occurred_at, step_id, version, duration_us, sign from fold_action;

  with counted as (
    insert into action_rollup as r (workflow_id, grain, bucket, version, step_id, executions, successes,
      duration_us, revision)
    select workflow_id, g.grain, g.start, version, step_id,
      sum(executions), sum(successes), sum(duration_us), max(w.revision)
    from (
      select workflow_id, bucket_15min(occurred_at) as bucket, version, step_id, sum(sign) as executions,
        coalesce(sum(sign) filter (where succeeded), 0) as successes, sum(sign * duration_us) as duration_us
      from fold_action
      group by workflow_id, bucket_15min(occurred_at), version, step_id
    ) quarter join fold_workflow w using (workflow_id) cross join lateral grains(bucket, w.zone, w.detail_from) g
    group by workflow_id, g.grain, g.start, version, step_id order by 1, 2, 3, 5, 4
    on conflict (workflow_id, grain, bucket, step_id, version) do update set
      executions = r.executions + excluded.executions,
      successes = r.successes + excluded.successes,
      duration_us = r.duration_us + excluded.duration_us,
      revision = excluded.revision
    returning workflow_id, grain, bucket, revision
  )
  insert into changed_day as d (workflow_id, bucket, revision)
  select workflow_id, bucket, max(revision) from counted where grain = 'day'
  group by workflow_id, bucket order by workflow_id, bucket
  on conflict (workflow_id, bucket) do update set revision = excluded.revision where d.revision < excluded.revision;
end $$;

-- count_samples(): the difference in histogram_rollup and window_histogram, window_slice and window_edge.
-- Few groups of many samples, which the planner would sort: where other scans are off, no plan seems dearer than another.
create or replace function count_samples() returns void
language plpgsql
set enable_sort = off
set search_path = weir, pg_temp as $$
begin
  with day_of as materialized (  -- once a quarter of an hour, as a sample each would cost more than all the rest
    select workflow_id, quarter, day_key((quarter at time zone zone)::date) as day
    from (select distinct workflow_id, bucket_15min(at) as quarter from fold_sample) met
    join fold_workflow using (workflow_id)
  ), counted as materialized (
    select workflow_id, measure, day, subject_id, version, histogram_of(array_agg(bin), array_agg(of_bin)) as samples,
      sum(of_bin) as total
    from (
      select s.workflow_id, measure, day, subject_id, version, histogram_bin(us) as bin, sum(sign)::int as of_bin
      from fold_sample s join day_of d on d.workflow_id = s.workflow_id and d.quarter = bucket_15min(s.at)
      group by s.workflow_id, measure, day, subject_id, version, histogram_bin(us)
      having sum(sign) <> 0
    ) bins
    group by workflow_id, measure, day, subject_id, version
  ), windows as (
    insert into window_histogram as h (workflow_id, measure, days, subject_id, samples, total)
    select workflow_id, measure, days, subject_id, histogram_sum(samples), sum(total)
    from counted join fold_window using (workflow_id) cross join unnest(window_days()) as days
    where day > last_day - days * interval '24 hours' and day <= last_day
    group by workflow_id, measure, days, subject_id order by 1, 2, 3, 4
    on conflict (workflow_id, measure, days, subject_id) do update set (samples, total, bins) = (
      select n.samples, n.total, (histogram_ranks(n.samples, n.total)).bins
      from (select histogram_add(h.samples, excluded.samples) as samples, h.total + excluded.total as total offset 0) n)
  ), slice as materialized (
    select s.*, w.last_day - days * interval '24 hours' as day_before, w.last_day
    from fold_slice s join fold_window w using (workflow_id)
  ), sliced as (
    insert into window_slice as s (workflow_id, measure, days, subject_id, place, first_bin, last_bin, us_from,
      us_until, below, alike, samples)
    select workflow_id, measure, days, subject_id, place, first_bin, last_bin, us_from, us_until,
      coalesce(sum(sign) filter (where us < us_from), 0),
      case when of_one_value then coalesce(sum(sign) filter (where us = us_from), 0) end,
      coalesce(array_agg(sample_change(us, sign) order by sample_change(us, sign))
        filter (where us >= us_from and not of_one_value), '{}')
    from (
      select s.*, x.us, case when sum(x.sign) > 0 then 1 else -1 end as sign,
        generate_series(1, abs(sum(x.sign)))
      from fold_sample x
      join (select *, generate_series(first_bin::int, last_bin) as bin from slice) s on s.workflow_id = x.workflow_id
        and s.measure = x.measure and s.subject_id = x.subject_id and s.bin = histogram_bin(x.us)
      join day_of d on d.workflow_id = x.workflow_id and d.quarter = bucket_15min(x.at)
      where x.us <= s.us_until and d.day > s.day_before and d.day <= s.last_day
      group by s.workflow_id, s.measure, s.days, s.subject_id, s.place, s.first_bin, s.last_bin, s.us_from, s.us_until,
        s.of_one_value, s.day_before, s.last_day, s.bin, x.us
    ) changed
    group by workflow_id, measure, days, subject_id, place, first_bin, last_bin, us_from, us_until, of_one_value
    order by 1, 2, 3, 4, 5
    on conflict (workflow_id, measure, days, subject_id, place) do update set
      below = s.below + excluded.below,
      alike = s.alike + excluded.alike,
      samples = case when excluded.samples = '{}' then s.samples else sorted_change(s.samples, excluded.samples) end
  ), edge_of as materialized (
    select d.workflow_id, d.quarter, w.sliced
    from (select workflow_id, sliced, unnest(edge_days(last_day)) as day from fold_window where sliced <> '{}') w
    join day_of d using (workflow_id, day)
  ), edge as (
    insert into window_edge as e (workflow_id, measure, quarter, subject_id, samples)
    select workflow_id, measure, quarter, subject_id, array_agg(sample_change(us, sign) order by sample_change(us, sign))
    from (
      select x.workflow_id, x.measure, d.quarter, x.subject_id, x.us,
        case when sum(x.sign) > 0 then 1 else -1 end as sign, generate_series(1, abs(sum(x.sign)))
      from fold_sample x join edge_of d on d.workflow_id = x.workflow_id and d.quarter = bucket_15min(x.at)
      where exists (select from edge_of)  -- seldom, so it is asked before they are joined
        and x.measure = any (d.sliced)
      group by x.workflow_id, x.measure, d.quarter, x.subject_id, x.us
    ) changed
    group by workflow_id, measure, quarter, subject_id order by 1, 2, 3, 4
    on conflict (workflow_id, measure, quarter, subject_id) do update set
      samples = sorted_change(e.samples, excluded.samples)
  )
  insert into histogram_rollup as h (workflow_id, grain, measure, bucket, subject_id, version, samples)
  select workflow_id, g.grain, measure, g.start, subject_id, version, histogram_sum(samples)
  from counted cross join lateral (values ('day'::grain, day), ('month', date_trunc('month', day, 'UTC'))) g(grain, start)
  group by workflow_id, g.grain, measure, g.start, subject_id, version order by 1, 2, 3, 4, 5, 6
  on conflict (workflow_id, grain, measure, bucket, subject_id, version) do update set
    samples = histogram_add(h.samples, excluded.samples);
end $$;

-- sample_change(us, sign): how sorted_change() wants it told that a value is to be put in (sign 1): as it is, or to be
-- taken out (-1): as -1 - value, so that those sort before. Where nothing is to be taken out, they are sorted samples.
drop function if exists sample_changes(bigint[], int[]);
create or replace function sample_change(us bigint, sign int) returns bigint
language sql immutable parallel safe
return case when sign > 0 then us else -1 - us end;

-- sorted_change(sorted, changes): sorted samples, after what sample_change() told, least first. What is not among them
-- cannot be taken out, and is not.
create or replace function sorted_change(sorted bigint[], changes bigint[]) returns bigint[]
language plpgsql immutable parallel safe as $$
declare
  taken   int := 0;
  change  bigint;
  upto    int;
begin
  foreach change in array changes loop
    exit when change >= 0;
    upto := width_bucket(-1 - change, sorted);
    if sorted[upto] = -1 - change then
      sorted := sorted[:upto - 1] || sorted[upto + 1:];
    end if;
    taken := taken + 1;
  end loop;
  if cardinality(changes) - taken > 6 then  -- sorted faster than put in one by one; and in FROM a half slower
    return array(select unnest(sorted || changes[taken + 1:]) order by 1);
  end if;
  foreach change in array changes[taken + 1:] loop
    upto := width_bucket(change, sorted);
    sorted := sorted[:upto] || change || sorted[upto + 1:];
  end loop;
  return sorted;
end $$;

-- window_days(): of how many days, today included, histograms lie ready as sums: what presets ask for.
create or replace function window_days() returns int[]
language sql immutable parallel safe
return array[7, 30, 90];

-- edge_days(last_day): keys of the days that windows begin with, and of those before. The same range of another zone
-- begins on one of the two.
create or replace function edge_days(last_day timestamptz) returns timestamptz[]
language plpgsql immutable parallel safe  -- as SQL it is planned anew in each fold
as $$
begin
  return array(
    select last_day - (days - later) * interval '24 hours'
    from unnest(weir.window_days()) as days, generate_series(0, 1) as later);
end $$;

-- sliced_from(): how many samples a measure of a workflow has in the longest window where slices are worth keeping. Of
-- fewer, bins are read as fast.
create or replace function sliced_from() returns int
language sql immutable parallel safe
return 10000;

-- measures_to_slice(workflow): those of which it has so many.
create or replace function measures_to_slice(workflow int) returns measure[]
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return array(
    select h.measure from window_histogram h
    where h.workflow_id = workflow and h.days = (select max(d) from unnest(window_days()) d)
    group by h.measure having sum(h.total) >= sliced_from());
end $$;

-- asked_places(what): the percentiles of a measure that reads answer, by their places in histogram_ranks().
create or replace function asked_places(what measure) returns smallint[]
language sql immutable parallel safe
return case
  when what in ('step_time', 'cohort_duration', 'duration') then array[4, 3]
  when what = 'action_duration' then array[4, 3, 2]
  else array[4, 3, 5, 1] end::smallint[];

-- make_windows(workflow): sums its histograms up anew where they end with another day than today, and has its slices
-- where they should be. Others that change the workflow wait for the transaction's end, and fold() passes it over
-- meanwhile.
--
-- Callers  refresh_views(). Repeat: harmless.
create or replace function make_windows(workflow int) returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  today  timestamptz;
  made   histogram_window;
  many   measure[];
begin
  perform pg_advisory_xact_lock(1464158546, workflow);  -- lock_workflow()'s
  perform ring_fold();
  select day_key((now() at time zone a.time_zone)::date) into today
  from workflow w join account a using (account_id) where w.workflow_id = workflow;
  select * into made from histogram_window where workflow_id = workflow;
  if made.last_day is distinct from today then
    delete from window_histogram where workflow_id = workflow;
    insert into window_histogram (workflow_id, measure, days, subject_id, samples, total, bins)
    select workflow, s.measure, s.days, s.subject_id, s.samples, t.total, (histogram_ranks(s.samples, t.total)).bins
    from (
      select h.measure, days, h.subject_id, histogram_sum(h.samples) as samples
      from unnest(window_days()) as days cross join unnest(enum_range(null::measure)) as what
      join histogram_rollup h on h.workflow_id = workflow and h.grain = 'day' and h.measure = what
        and h.bucket > today - days * interval '24 hours' and h.bucket <= today
      group by h.measure, days, h.subject_id
    ) s cross join lateral (select histogram_total(s.samples) as total offset 0) t;  -- once, as it is named twice
    delete from window_slice where workflow_id = workflow;
    made.sliced := '{}';
  end if;
  many := measures_to_slice(workflow);
  if made.last_day is distinct from today or not made.sliced @> many then
    many := array(select unnest(many) union select unnest(made.sliced));
    insert into histogram_window (workflow_id, last_day, sliced) values (workflow, today, many)
    on conflict (workflow_id) do update set last_day = excluded.last_day, sliced = excluded.sliced;
    perform make_edges(workflow);
  end if;
  perform make_slices(workflow);
end $$;

-- make_edges(workflow): makes its window_edge anew, from the detail.
create or replace function make_edges(workflow int) returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  h  record;
begin
  select w.sliced, w.last_day, a.time_zone into h
  from histogram_window w join workflow k using (workflow_id) join account a using (account_id)
  where w.workflow_id = workflow;
  delete from window_edge where workflow_id = workflow;
  insert into window_edge (workflow_id, measure, quarter, subject_id, samples)
  select workflow, what, bucket_15min(s.at), s.subject_id, array_agg(s.us order by s.us)
  from unnest(h.sliced) as what
  cross join unnest(edge_days(h.last_day)) as edge
  cross join lateral (select (edge at time zone 'UTC')::date as day) d
  cross join lateral dated_samples(
    workflow, what, first_instant(d.day, h.time_zone), first_instant(d.day + 1, h.time_zone)) s
  group by what, bucket_15min(s.at), s.subject_id;
end $$;

-- make_slices(workflow): makes the slices that it lacks, and anew those that a percentile is about to leave, or has left
-- where all samples are alike, or that have grown long.
create or replace function make_slices(workflow int) returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  r  record;
begin
  for r in
    select * from slice_ranks(workflow) k
    where k.us_from is null
      or case when k.of_one_value then k.rank <= k.below or k.rank > k.below + k.length
        else k.length > 4 * k.margin or k.rank - k.below < least(k.margin, k.rank) / 2
          or k.below + k.length - k.rank < least(k.margin, k.total - k.rank) / 2 end
  loop
    perform make_slice(workflow, r.measure, r.days, r.subject_id, r.place, r.rank, r.margin);
  end loop;
  update histogram_window set sliced_at = now() where workflow_id = workflow;
end $$;

-- slice_ranks(workflow): a row each slice that its windows should have, with the rank of its percentile in the window's
-- total of samples, and how many samples a slice has to either side when it is made: what the edge of a range shifts a
-- rank by, and a day of changes. Of the slice that there is (else null) where it begins, how many samples of the window
-- lie below that, how many it holds, and whether it is of one value.
create or replace function slice_ranks(workflow int)
returns table (
  measure measure, days int, subject_id int, place smallint, total bigint, rank bigint, margin bigint,
  us_from bigint, below bigint, length int, of_one_value boolean
)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
  select h.measure, h.days, h.subject_id, p.place, h.total, rank_of(p.place, h.total),
    greatest(20, least(400, h.total / 100)), s.us_from, samples_before(h.samples, s.first_bin) + s.below,
    coalesce(s.alike, cardinality(s.samples)), s.alike is not null
  from histogram_window w
  join window_histogram h on h.workflow_id = w.workflow_id and h.measure = any (w.sliced)
  cross join lateral unnest(asked_places(h.measure)) as p(place)
  left join window_slice s on s.workflow_id = workflow and s.measure = h.measure and s.days = h.days
    and s.subject_id = h.subject_id and s.place = p.place
  where w.workflow_id = workflow and p.place in (2, 3, 4) and h.total > 0;
end $$;

-- rank_of(place, total): the nearest rank of a percentile, by its place in histogram_ranks().
create or replace function rank_of(place smallint, total bigint) returns bigint
language sql immutable parallel safe
return case place when 1 then total when 2 then ceil(0.99 * total) when 3 then ceil(0.95 * total)
  when 4 then ceil(0.50 * total) else 1 end::bigint;

-- samples_before(samples, bin): how many samples of a histogram lie in bins before one.
create or replace function samples_before(samples int[], bin smallint) returns bigint
language plpgsql immutable parallel safe as $$
begin
  return (select coalesce(sum(n), 0) from unnest(samples[:bin - 1]) n);
end $$;

-- make_slice(workflow, what, days, subject, place, rank, margin): one of them, from the samples of the bins about its
-- rank. Where too many are alike, it is of the value at the rank alone, and holds how many there are. None where fewer
-- samples are kept than are counted.
create or replace function make_slice(
  workflow int, what measure, of_days int, subject int, of_place smallint, rank bigint, margin bigint
) returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  counts    int[] := (
    select samples from window_histogram
    where workflow_id = workflow and measure = what and days = of_days and subject_id = subject);
  h         record;
  bins      smallint[];
  counted   bigint;                                              -- samples before these bins
  sorted    bigint[];
  us_from   bigint;
  us_until  bigint;
  first     int;
  last      int;
  alike     int;
  waits     boolean := what = 'action_duration' and actions_wait(workflow);
begin
  select array_agg(b.bin order by b.bin), min(b.upto - b.n) into bins, counted
  from (
    select (array_lower(counts, 1) + ix - 1)::smallint as bin, n, sum(n) over (order by ix) as upto
    from unnest(counts) with ordinality as u(n, ix) where n > 0
  ) b
  where b.upto >= rank - margin and b.upto - b.n < rank + margin;
  select (w.last_day at time zone 'UTC')::date + 1 as stop, a.time_zone into h
  from histogram_window w join workflow f using (workflow_id) join account a using (account_id)
  where w.workflow_id = workflow;
  sorted := array(
    select v.us
    from unnest(bins) as bin
    cross join lateral samples_of_bin(workflow, what, subject, bin,
      first_instant(h.stop - of_days, h.time_zone), first_instant(h.stop, h.time_zone), waits) v
    order by v.us);
  if cardinality(sorted) < rank - counted then  -- bins answer
    delete from window_slice s
    where s.workflow_id = workflow and s.measure = what and s.days = of_days and s.subject_id = subject
      and s.place = of_place;
    return;
  end if;
  us_from := sorted[greatest(1, rank - margin - counted)];
  us_until := sorted[least(cardinality(sorted), rank + margin - counted)];
  first := width_bucket(us_from - 1, sorted) + 1;
  last := width_bucket(us_until, sorted);
  if last - first >= 4 * margin then
    us_from := sorted[rank - counted];
    us_until := us_from;
    first := width_bucket(us_from - 1, sorted) + 1;
    alike := width_bucket(us_from, sorted) + 1 - first;
    last := first - 1;
  end if;
  insert into window_slice as s (workflow_id, measure, days, subject_id, place, first_bin, last_bin, us_from, us_until,
    below, alike, samples)
  values (workflow, what, of_days, subject, of_place, histogram_bin(us_from),
    histogram_bin(us_until), us_from, us_until,
    counted + first - 1 - samples_before(counts, histogram_bin(us_from)), alike, sorted[first:last])
  on conflict (workflow_id, measure, days, subject_id, place) do update set first_bin = excluded.first_bin,
    last_bin = excluded.last_bin, us_from = excluded.us_from, us_until = excluded.us_until, below = excluded.below,
    alike = excluded.alike, samples = excluded.samples;
end $$;
