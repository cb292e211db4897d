-- What is known of the quality of what producers send. Arrivals are counted where they are met anyway:
-- record_events() meets duplicates and conflicts, fold() what is late and ends that contradict, routes/_ingest.ts
-- what it refuses. All else is read from the projections and rollups when somebody asks.

-- note_refusals(account, refusals): counts events that were refused before they came to record_events().
--
-- refusals  JSON array of {w, x, k}: workflow, execution (may be null), kind. Of workflows that the account
--           does not have nothing is noted: a refused event makes no workflow.
-- Returns   how many workflows and kinds were noted.
-- Callers   noteRefusals() of db/quality.ts.
-- Repeat    Counts again.
create or replace function note_refusals(account int, refusals json) returns bigint
language sql volatile security definer
set search_path = weir, pg_temp
begin atomic
  with noted as (
    insert into weir.quality_count as q (workflow_id, day, kind, events, last_at, executions)
    select w.workflow_id, (now() at time zone 'UTC')::date, k, count(*), now(),
      coalesce((array_agg(distinct x) filter (where x is not null))[1:5], '{}')
    from json_to_recordset(refusals) as r(w uuid, x uuid, k weir.quality_kind)
    join weir.workflow w on w.workflow_uuid = r.w and w.account_id = account
    group by w.workflow_id, k order by w.workflow_id, k
    on conflict (workflow_id, day, kind) do update set
      events = q.events + excluded.events, last_at = excluded.last_at,
      executions = (excluded.executions || q.executions)[1:5]
    returning 1
  )
  select count(*) from noted;
end;

-- read_quality(account, id, days): what arrived as it should not in the last days, and what the steps say that
-- the definition does not.
--
-- Returns  JSON, as Quality of db/schema.ts; null when the account has no such workflow.
-- Callers  readQuality() of db/quality.ts.
-- A transition is forbidden when a step was entered that has steps before it in the definition of the
-- execution's version, and none of those was entered before. So branches that run side by side are no fault.
-- Looked at are the newest 500 executions, so that the cost is bounded: 1,000 execution_step rows take 10 ms.
create or replace function read_quality(account int, id uuid, days int) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
  since     timestamptz := now() - days * interval '1 day';
begin
  if workflow is null then
    return null;
  end if;
  return (
  with arrival as (
    select q.kind, sum(q.events) as events, max(q.last_at) as last_at
    from quality_count q
    where q.workflow_id = workflow and q.day >= (since at time zone 'UTC')::date group by q.kind
  ), arrival_example as (
    select kind, array_agg(distinct execution) as executions
    from (
      select q.kind, execution, row_number() over (partition by q.kind order by q.last_at desc) as place
      from quality_count q cross join unnest(q.executions) as execution
      where q.workflow_id = workflow and q.day >= (since at time zone 'UTC')::date
    ) newest where place <= 5 group by kind
  ), defined as (  -- the steps of each version, and where they lead
    select v.version, (s->>'step_id')::uuid as step_uuid, s->>'name' as name, s->'next' as next
    from workflow_version v cross join jsonb_array_elements(v.definition->'steps') as s
    where v.workflow_id = workflow
  ), edge as (
    select version, step_uuid as came_from, n::uuid as goes_to
    from defined cross join jsonb_array_elements_text(coalesce(next, '[]')) as n
  ), step_sum as (
    select s.step_uuid, sum(r.entered) as entered, sum(r.completed) as completed,
      sum(r.dropped_off + r.goal_exits) as left_open
    from step_rollup r join step s on s.workflow_id = workflow and s.step_id = r.step_id
    where r.workflow_id = workflow and r.grain = 'day' and r.bucket >= since group by s.step_uuid
  ), action_sum as (
    select s.step_uuid, sum(r.executions) as executions
    from action_rollup r join step s on s.workflow_id = workflow and s.step_id = r.step_id
    where r.workflow_id = workflow and r.grain = 'day' and r.bucket >= since group by s.step_uuid
  ), sample as materialized (
    select e.execution_id, e.version, e.ended_at from execution e
    where e.workflow_id = workflow and e.enrolled_at >= since
    order by e.enrolled_at desc limit 500
  ), visit as materialized (
    select x.execution_id, x.version, x.ended_at, s.step_uuid, e.completed_at,
      coalesce(e.entered_at, e.completed_at) as at
    from sample x
    join execution_step e on e.workflow_id = workflow and e.execution_id = x.execution_id
    join step s on s.workflow_id = workflow and s.step_id = e.step_id
  ), forbidden as (
    select v.execution_id, v.step_uuid as goes_to, (
        select p.step_uuid from visit p
        where p.execution_id = v.execution_id and p.step_uuid <> v.step_uuid and p.at <= v.at
        order by p.at desc, p.step_uuid limit 1
      ) as came_from
    from visit v
    where exists (select from edge where edge.version = v.version and edge.goes_to = v.step_uuid)
      and not exists (
        select from edge join visit p on p.step_uuid = edge.came_from
        where edge.version = v.version and edge.goes_to = v.step_uuid
          and p.execution_id = v.execution_id and p.at <= v.at)
  )
  select json_build_object(
    'workflow_id', id,
    'since', iso_instant(since),
    'arrivals', (
      select json_agg(json_build_object('kind', kind, 'events', coalesce(events, 0),
        'last_at', iso_instant(last_at), 'executions', coalesce(executions, '{}')) order by kind)
      from unnest(enum_range(null::quality_kind)) as kind
      left join arrival using (kind) left join arrival_example using (kind)),
    'unknown_steps', (
      select coalesce(json_agg(json_build_object('step_id', step_uuid, 'entered', coalesce(entered, 0),
        'actions', coalesce(executions, 0),
        'executions', array(select execution_id from visit where visit.step_uuid = u.step_uuid limit 5)
      ) order by step_uuid), '[]')
      from (select * from step_sum full join action_sum using (step_uuid)) u
      where exists (select from defined) and step_uuid not in (select step_uuid from defined)),
    'never_completed', (
      select coalesce(json_agg(json_build_object('step_id', step_uuid,
        'step_name', (select name from defined d where d.step_uuid = s.step_uuid order by version desc limit 1),
        'entered', entered, 'left_open', left_open,
        'executions', array(
          select execution_id from visit
          where visit.step_uuid = s.step_uuid and completed_at is null and ended_at is not null limit 5)
      ) order by left_open desc, step_uuid), '[]')
      from step_sum s where completed = 0 and left_open > 0),
    'forbidden_transitions', (
      select coalesce(json_agg(json_build_object('from_step_id', came_from, 'to_step_id', goes_to,
        'count', count, 'executions', executions) order by count desc, goes_to), '[]')
      from (
        select came_from, goes_to, count(*) as count, (array_agg(execution_id))[1:5] as executions
        from forbidden group by came_from, goes_to
      ) f),
    'checked_executions', (select count(*) from sample)));
end $$;

-- record(account, event): one event, from within the producer's own transaction: it is reported if and only if
-- what it reports is committed.
--
-- account  Its UUID.
-- event    As for POST /api/v1/events.
-- Returns  'accepted' or 'duplicate'.
-- Raises   22023 with what is wrong, and code and text of the same refusals as over HTTP.
-- Callers  Producers that share the database. To whom it is granted may report for every account.
-- Repeat   Harmless.
create or replace function record(account uuid, event jsonb) returns text
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  of_all    text[] := '{id,type,workflow_id,execution_id,contact_id,occurred_at,workflow_version,sequence}';
  of_type   text[];
  needed    text[];
  field     text;
  value     jsonb;
  is_right  boolean;
  mine      int := (select account_id from account a where a.account_uuid = record.account);
  at        timestamptz;
  outcome   text;
begin
  if mine is null then
    raise 'Cannot record an event: there is no such account' using errcode = '22023';
  end if;
  of_type := case event->>'type'
    when 'execution.enrolled' then '{source}'
    when 'step.entered' then '{step_id}'
    when 'step.completed' then '{step_id}'
    when 'action.executed' then '{step_id,status,duration_ms,error}'
    when 'goal.achieved' then '{goal_id}'
    when 'execution.completed' then '{}'
    when 'execution.exited' then '{reason}'
    when 'execution.failed' then '{error}'
  end;
  if of_type is null then
    raise 'Cannot record an event: type: must be one of ours' using errcode = '22023';
  end if;
  needed := array_remove(of_all[:6] || of_type, 'error');
  for field in select unnest(needed) except select jsonb_object_keys(event) loop
    raise 'Cannot record an event: %: is missing', field using errcode = '22023';
  end loop;
  for field, value in select * from jsonb_each(event) loop
    is_right := field = any (of_all || of_type) and case
      when field in ('workflow_id', 'execution_id', 'step_id', 'goal_id') then
        jsonb_typeof(value) = 'string' and value #>> '{}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      when field in ('id', 'contact_id') then
        jsonb_typeof(value) = 'string' and length(value #>> '{}') between 1 and 128
      when field = 'error' then
        jsonb_typeof(value) = 'string' and length(value #>> '{}') between 1 and 1000
          and coalesce(event->>'status', 'failed') = 'failed'
      when field = 'occurred_at' then
        value #>> '{}' ~ '^(19|[2-9]\d)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-5]):\d\d)$'
      when field = 'workflow_version' then
        jsonb_typeof(value) = 'number' and value #>> '{}' ~ '^[1-9]\d{0,9}$'
          and (value #>> '{}')::bigint <= 2147483647
      when field = 'sequence' then
        jsonb_typeof(value) = 'number' and value #>> '{}' ~ '^\d{1,16}$'
          and (value #>> '{}')::bigint <= 9007199254740991
      when field = 'duration_ms' then
        jsonb_typeof(value) = 'number' and (value #>> '{}')::numeric between 0 and 366 * 86400000::numeric
      when field = 'status' then value in ('"succeeded"', '"failed"')
      when field = 'source' then value in ('"trigger"', '"bulk"', '"api"', '"manual"')
      when field = 'reason' then jsonb_typeof(value) = 'string' and value #>> '{}' ~ '^[a-z][a-z0-9_]{0,63}$'
      else true
    end;
    if not is_right then
      raise 'Cannot record an event: %: is not as it must be', field using errcode = '22023';
    end if;
  end loop;
  at := (event->>'occurred_at')::timestamptz;
  if at < now() - interval '90 days' then
    raise 'Cannot record an event: event_too_old' using errcode = '22023';
  elsif at > clock_timestamp() + interval '5 minutes' then
    raise 'Cannot record an event: event_in_future' using errcode = '22023';
  end if;

  outcome := (select r.outcome from record_events(mine, json_build_array(json_strip_nulls(json_build_object(
    'w', event->>'workflow_id', 'x', event->>'execution_id', 'i', event->>'id', 't', event->>'type',
    'at', event->>'occurred_at', 'c', event->>'contact_id', 'v', event->'workflow_version',
    'q', event->'sequence', 's', coalesce(event->>'step_id', event->>'goal_id'),
    'ok', case event->>'type' when 'action.executed' then event->>'status' = 'succeeded' end,
    'us', round((event->>'duration_ms')::numeric * 1000), 'src', event->>'source', 'r', event->>'reason',
    'e', event->>'error')))) as r);
  if outcome not in ('accepted', 'duplicate') then
    raise 'Cannot record an event: %', outcome using errcode = '22023';
  end if;
  perform ring_fold();
  return outcome;
end $$;
