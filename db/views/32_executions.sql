-- Executions one by one: those behind a number, one with its events, and the erasure of a contact.

-- execution_range(…): the instants that a filter's range lies between; null where it has none. Dates are of the
-- zone that the other reads would answer in.
create or replace function execution_range(
  filter jsonb, account_zone text, now timestamptz, out since timestamptz, out until timestamptz
)
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  first_day  date := filter->>'start_date';
  tz         text;
begin
  if first_day is null then
    since := filter->>'start';
    until := filter->>'end';
    return;
  end if;
  tz := zone_kept(first_day, coalesce(filter->>'tz', account_zone), account_zone, now);
  since := first_instant(first_day, tz);
  until := first_instant((filter->>'end_date')::date + 1, tz);
end $$;

-- texts(list): a JSON array as an array of text; null for none.
create or replace function texts(list jsonb) returns text[]
language sql immutable parallel safe
return (select array_agg(item) from jsonb_array_elements_text(list) as item);

-- execution_conditions(workflow, account_zone, filter, now): what must hold of a row x of execution, as the text of
-- an SQL condition: put together, so that each filter is planned for what it asks.
--
-- filter   ExecutionsFilter of db/schema.ts; every value of it becomes a literal.
-- By cohort the range is of the enrolment. By event, whatever the filter asks for must have happened in it: the end
-- for status and reason, the conversion, the goal; where it asks for none of these, the enrolment.
create or replace function execution_conditions(
  workflow int, account_zone text, filter jsonb, now timestamptz
) returns text
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  conditions  text := format('x.workflow_id = %s and x.status is not null', workflow);
  by_event    boolean := coalesce(filter->>'attribution' = 'event', false);
  dated       boolean := false;
  statuses    text[] := texts(filter->'status');
  sources     text[] := texts(filter->'source');
  reasons     text[] := texts(filter->'reason');
  range       record;
  inside      text;
  running_at  timestamptz := case when filter ? 'running_at' then least((filter->>'running_at')::timestamptz, now) end;
  step        int;
  outcome     text := filter->>'step';
  goal        int;
begin
  range := execution_range(filter, account_zone, now);
  inside := case when range.since is null then '%s is not null'
    else '%s >= ' || quote_literal(range.since) || ' and %1$s < ' || quote_literal(range.until) end;

  if filter ? 'version' then
    conditions := conditions || format(' and x.version = %s', (filter->>'version')::int);
  end if;
  if sources is not null then
    conditions := conditions || format(' and x.source = any (%L::enrollment_source[])', sources);
  end if;
  if statuses is not null then
    conditions := conditions || format(' and x.status = any (%L::execution_status[])', statuses);
    if by_event then
      conditions := conditions || ' and ' || case when 'active' = any (statuses)
        then format('(x.ended_at is null and ' || inside || ' or ', 'x.enrolled_at') || format(inside || ')', 'x.ended_at')
        else format(inside, 'x.ended_at') end;
      dated := true;
    end if;
  end if;
  if reasons is not null then
    conditions := conditions || format(' and x.end_reason = any (%L::text[])', reasons);
    if by_event then
      conditions := conditions || ' and ' || format(inside, 'x.ended_at');
      dated := true;
    end if;
  end if;
  if filter ? 'converted' then
    conditions := conditions || ' and x.converted_at is ' || case when (filter->>'converted')::boolean then 'not ' else '' end
      || 'null';
    if by_event and (filter->>'converted')::boolean then
      conditions := conditions || ' and ' || format(inside, 'x.converted_at');
      dated := true;
    end if;
  end if;
  if filter ? 'goal_id' then
    goal := (select g.goal_id from goal g where g.workflow_id = workflow and g.goal_uuid = (filter->>'goal_id')::uuid);
    conditions := conditions || format(
      ' and exists (select from weir.execution_goal g where g.workflow_id = %s and g.execution_id = x.execution_id'
      ' and g.goal_id = %L and g.achieved_at is not null', workflow, goal)
      || case when filter->>'goal' = 'first' then ' and g.is_conversion' else '' end
      || case when by_event then ' and ' || format(inside, 'g.achieved_at') else '' end || ')';
    dated := dated or by_event;
  end if;
  if filter ? 'step_id' then
    step := (select s.step_id from step s where s.workflow_id = workflow and s.step_uuid = (filter->>'step_id')::uuid);
    conditions := conditions || case outcome
      when 'dropped_off' then ' and x.status in (''exited'', ''error'')'
      when 'goal_exits' then ' and x.status in (''completed'', ''goal_achieved'')'
      when 'in_progress' then ' and x.status = ''active'''
      when 'left_after' then format(' and x.left_after = %L', step)
      else '' end
      || format(
        ' and exists (select from weir.execution_step s where s.workflow_id = %s and s.execution_id = x.execution_id'
        ' and s.step_id = %L', workflow, step)
      || case when outcome in ('completed', 'left_after') then ' and s.completed_at is not null)'
        when outcome in ('dropped_off', 'goal_exits', 'in_progress') then ' and s.completed_at is null)'
        else ')' end;
  end if;
  if running_at is not null then
    conditions := conditions || format(' and x.enrolled_at < %1$L and (x.ended_at is null or x.ended_at >= %1$L)', running_at);
  end if;
  if filter ? 'text' then
    conditions := conditions || ' and x.execution_id in (' || execution_search(workflow, filter->>'text') || ')';
  end if;
  if not dated and range.since is not null then
    conditions := conditions || ' and ' || format(inside, 'x.enrolled_at');
  end if;
  return conditions;
end $$;

-- execution_search(workflow, search): a query for the executions that a text names: whose id or contact begins with
-- it, or in whose errors or reason for ending its words are.
create or replace function execution_search(workflow int, search text) returns text
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  words    tsquery := websearch_to_tsquery('simple', search);
  hex      text := lower(replace(search, '-', ''));
  reasons  text[] := array(
    select distinct r.reason from reason_rollup r
    where r.workflow_id = workflow and r.grain = 'month' and to_tsvector('simple', replace(r.reason, '_', ' ')) @@ words);
begin
  return format('select c.execution_id from weir.execution c where c.workflow_id = %s and c.contact_id ^@ %L', workflow, search)
    || case when hex ~ '^[0-9a-f]{4,32}$' then format(
      ' union select c.execution_id from weir.execution c where c.workflow_id = %s and c.execution_id between %L and %L',
      workflow, rpad(hex, 32, '0')::uuid, rpad(hex, 32, 'f')::uuid) else '' end
    || case when numnode(words) > 0 then format(
      ' union select e.execution_id from weir.event e where weir.event_words(e.workflow_id, e.error) @@ %L::tsquery'
      ' and e.error is not null and e.workflow_id = %s',
      format('''workflow %s''', workflow)::tsquery && words, workflow) else '' end
    || case when reasons <> '{}' then format(
      ' union select c.execution_id from weir.execution c where c.workflow_id = %s and c.end_reason = any (%L)',
      workflow, reasons) else '' end;
end $$;

-- step_names(workflow): every step that executions were in, as the newest version that has it calls it; its id
-- where none does.
create or replace function step_names(workflow int) returns table (step_id int, step_uuid uuid, name text)
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
  select s.step_id, s.step_uuid, coalesce(newest_with(workflow, 'steps', 'step_id', s.step_uuid)->>'name', s.step_uuid::text)
  from steps_of(workflow) s;
end $$;

-- open_steps(workflow, execution): steps that it entered and did not complete, the earliest entered first.
create or replace function open_steps(workflow int, execution uuid) returns json
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  s      record;
  steps  json[];
begin
  for s in
    select t.step_uuid, e.entered_at from execution_step e join step t using (workflow_id, step_id)
    where e.workflow_id = workflow and e.execution_id = execution and e.completed_at is null
    order by e.entered_at, t.step_id
  loop
    steps := array_append(steps, json_build_object('step_id', s.step_uuid, 'step_name',
      coalesce(newest_with(workflow, 'steps', 'step_id', s.step_uuid)->>'name', s.step_uuid::text),
      'entered_at', iso_instant(s.entered_at)));
  end loop;
  return coalesce((select json_agg(step) from unnest(steps) as step), '[]');
end $$;

-- execution_row(x): an execution as answers show it.
create or replace function execution_row(x execution) returns json
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  goal  uuid := (
    select g.goal_uuid from execution_goal c join goal g using (workflow_id, goal_id)
    where c.workflow_id = x.workflow_id and c.execution_id = x.execution_id and c.is_conversion);
begin
  return json_build_object(
    'execution_id', x.execution_id, 'contact_id', x.contact_id, 'status', x.status, 'source', x.source,
    'version', x.version, 'enrolled_at', iso_instant(x.enrolled_at), 'ended_at', iso_instant(x.ended_at),
    'end_reason', x.end_reason,
    'duration_seconds', round(microseconds(x.ended_at - x.enrolled_at) / 1000000.0, 3),
    'converted_at', iso_instant(x.converted_at),
    'goal_id', goal,
    'open_steps', open_steps(x.workflow_id, x.execution_id));
end $$;

-- list_executions(…): a page of an account's executions of a workflow, newest enrolment first: {as_of, executions};
-- null where the account has no such workflow.
--
-- filter    see execution_conditions()
-- after_at, after_id   the last of the page before; null for the first
-- Callers: listExecutions() of db/executions.ts.
create or replace function list_executions(
  account int, id uuid, filter jsonb, after_at timestamptz, after_id uuid, rows_max int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  w     record;
  x     execution;
  page  json[];
begin
  select f.workflow_id, a.time_zone into w
  from workflow f join account a using (account_id)
  where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return null;
  end if;
  for x in
    execute 'select x.* from weir.execution x where ' || execution_conditions(w.workflow_id, w.time_zone, filter, now)
      || case when after_at is null then ''
        else format(' and (x.enrolled_at, x.execution_id) < (%L, %L)', after_at, after_id) end
      || format(' order by x.enrolled_at desc, x.execution_id desc limit %s', rows_max)
  loop
    page := array_append(page, execution_row(x));
  end loop;
  return json_build_object('as_of', iso_instant(as_of(w.workflow_id, now)),
    'executions', coalesce((select json_agg(e) from unnest(page) as e), '[]'));
end $$;

-- events_of(workflow, execution, most), steps_in(…), goals_in(…): what there is of an execution: its first events, the
-- steps it was in, the goals it achieved.
create or replace function events_of(workflow int, execution uuid, most int) returns setof event
language plpgsql stable
set search_path = weir, pg_temp as $$
begin
  return query
    select * from event e where e.workflow_id = workflow and e.execution_id = execution
    order by e.occurred_at, e.sequence, e.event_id limit most;
end $$;

create or replace function steps_in(workflow int, execution uuid) returns setof execution_step
language plpgsql stable rows 20
set search_path = weir, pg_temp as $$
begin
  return query select * from execution_step s where s.workflow_id = workflow and s.execution_id = execution;
end $$;

create or replace function goals_in(workflow int, execution uuid) returns setof execution_goal
language plpgsql stable rows 5
set search_path = weir, pg_temp as $$
begin
  return query select * from execution_goal g where g.workflow_id = workflow and g.execution_id = execution;
end $$;

-- read_execution(account, id, execution, events_max, now): one execution with its steps, goals and first events;
-- null where the account's workflow has none of this id. One whose enrolment has not arrived has no status.
-- Callers: readExecution() of db/executions.ts.
create or replace function read_execution(account int, id uuid, execution uuid, events_max int, now timestamptz)
returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
  known     execution;
  timeline  json;
  total     bigint;
begin
  select * into known from execution x where x.workflow_id = workflow and x.execution_id = read_execution.execution;
  if known.execution_id is null then
    return null;
  end if;
  timeline := (
    select coalesce(json_agg(json_strip_nulls(json_build_object(
      'id', e.event_id, 'type', e.type, 'occurred_at', iso_instant(e.occurred_at), 'sequence', e.sequence,
      'source', e.source,
      'step_id', case when e.type in ('step.entered', 'step.completed', 'action.executed') then e.subject_uuid end,
      'step_name', case when e.type in ('step.entered', 'step.completed', 'action.executed')
        then newest_with(workflow, 'steps', 'step_id', e.subject_uuid)->>'name' end,
      'goal_id', case when e.type = 'goal.achieved' then e.subject_uuid end,
      'goal_name', case when e.type = 'goal.achieved'
        then newest_with(workflow, 'goals', 'goal_id', e.subject_uuid)->>'name' end,
      'status', case when e.succeeded then 'succeeded' when not e.succeeded then 'failed' end,
      'duration_ms', e.duration_us / 1000.0, 'error', e.error, 'reason', e.reason))
      order by e.occurred_at, e.sequence, e.event_id), '[]')
    from events_of(workflow, execution, events_max) e);
  total := (
    select count(*) from event e where e.workflow_id = workflow and e.execution_id = read_execution.execution);
  return json_build_object('as_of', iso_instant(as_of(workflow, now)), 'execution', execution_row(known),
    'steps', (
      select coalesce(json_agg(json_build_object('step_id', n.step_uuid, 'step_name', n.name,
        'entered_at', iso_instant(coalesce(s.entered_at, s.completed_at)), 'completed_at', iso_instant(s.completed_at),
        'visits', greatest(s.visits, 1),
        'time_seconds', case when s.completed_at is not null
          then round(greatest(0, microseconds(s.completed_at - coalesce(s.entered_at, s.completed_at))) / 1000000.0, 3) end)
        order by coalesce(s.entered_at, s.completed_at), s.completed_at, n.step_id), '[]')
      from steps_in(workflow, execution) s join step_names(workflow) n using (step_id)),
    'goals', (
      select coalesce(json_agg(json_build_object('goal_id', g.goal_uuid,
        'goal_name', newest_with(workflow, 'goals', 'goal_id', g.goal_uuid)->>'name',
        'achieved_at', iso_instant(a.achieved_at), 'is_conversion', a.is_conversion)
        order by a.achieved_at, g.goal_uuid), '[]')
      from goals_in(workflow, execution) a join goals_of(workflow) g using (goal_id)
      where a.achieved_at is not null),
    'events_total', total,
    'events', timeline);
end $$;

-- erase_contact(account, contact): makes everything that an account keeps of a contact nobody's: each place that has
-- its id gets one random word instead, the same in all of them, so that no count changes, of contacts neither.
-- Errors are the producer's own text and may name the contact: they go. By the word, record_events() knows that the
-- content of an event is no longer what was given: a retry of any of them is a duplicate, whatever it says.
--
-- Returns  {executions, events}: how many had it; 0 when the account does not know it.
-- Callers  eraseContact() of db/executions.ts.
-- Repeat   Finds nothing the second time. Events that come later make the contact known again.
-- Cost     One scan of event, which has no index by contact; then workflows are locked as the fold does, in order.
create or replace function erase_contact(account int, contact text) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  tombstone   text := 'erased-' || gen_random_uuid();
  workflows   int[];
  executions  uuid[];
  workflow    int;
  enrolled    int;
  events      int;
begin
  select array_agg(k.workflow_id), array_agg(k.execution_id) into workflows, executions
  from (
    select x.workflow_id, x.execution_id from workflow w join execution x using (workflow_id)
    where w.account_id = account and x.contact_id = contact
    union
    select e.workflow_id, e.execution_id from workflow w join event e using (workflow_id)
    where w.account_id = account and e.contact_id = contact
  ) k;
  for workflow in select distinct w from unnest(workflows) as w order by 1 loop
    perform pg_advisory_xact_lock(1464158546, workflow);  -- lock_workflow(), but waiting
  end loop;
  perform ring_fold();

  update execution x set contact_id = tombstone
  from unnest(workflows, executions) as k(workflow_id, execution_id)
  where x.workflow_id = k.workflow_id and x.execution_id = k.execution_id and x.contact_id = contact;
  get diagnostics enrolled = row_count;
  update returning_contact r set contact_id = tombstone
  where r.workflow_id = any (workflows) and r.contact_id = contact;
  update event_queue q set contact_id = tombstone, error = null
  where q.workflow_id = any (workflows) and q.contact_id = contact;
  update event e set contact_id = tombstone, error = null
  from unnest(workflows, executions) as k(workflow_id, execution_id)
  where e.workflow_id = k.workflow_id and e.execution_id = k.execution_id and e.contact_id = contact;
  get diagnostics events = row_count;
  -- Files that may hold it, and filters that may name it, are gone a day later anyway.
  if workflows is not null then
    delete from export_job j where j.account_id = account and j.request->>'rows' = 'executions';
  end if;
  return json_build_object('executions', enrolled, 'events', events);
end $$;
