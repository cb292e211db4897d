-- iso_instant(instant): RFC 3339 in UTC with milliseconds, as every answer writes instants;
-- microseconds where there are any.
create or replace function iso_instant(instant timestamptz) returns text
language sql stable parallel safe
return regexp_replace(to_char(instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '000$', '') || 'Z';

-- put_workflow(account, id, definition, window_us): registers or changes a workflow.
--
-- definition  {name, status, owner_id, goal_ends_execution, conversion_window, steps, goals}
-- window_us   conversion_window in microseconds
-- Returns     false when the id is another account's.
-- Callers     putWorkflow() of db/workflows.ts.
-- Repeat      The same definition again changes nothing.
-- A change raises the workflow's revision and rings, as a fold does.
create or replace function put_workflow(account int, id uuid, definition jsonb, window_us bigint)
returns boolean
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  known  workflow;
  parts  jsonb := jsonb_build_object('steps', definition->'steps', 'goals', definition->'goals');
begin
  insert into workflow (workflow_uuid, account_id) values (id, account)
  on conflict (workflow_uuid) do nothing;
  select * into known from workflow where workflow_uuid = id for no key update;  -- a fold may go on naming steps
  if known.account_id is distinct from account then
    return false;
  end if;

  if known.newest_version is null or parts is distinct from (
    select v.definition from workflow_version v
    where v.workflow_id = known.workflow_id and v.version = known.newest_version
  ) then
    insert into workflow_version (workflow_id, version, definition)
    values (known.workflow_id, coalesce(known.newest_version, 0) + 1, parts)
    returning version into known.newest_version;
  end if;

  update workflow set
    name = definition->>'name', status = definition->>'status', owner_id = definition->>'owner_id',
    newest_version = known.newest_version,
    goal_ends_execution = (definition->>'goal_ends_execution')::boolean,
    conversion_window = definition->>'conversion_window', conversion_window_us = window_us,
    recompute_since = case
      when known.goal_ends_execution = (definition->>'goal_ends_execution')::boolean
        and known.conversion_window_us = window_us then recompute_since
      else coalesce(recompute_since, clock_timestamp()) end,
    settings_revision = known.settings_revision + 1
  where workflow_id = known.workflow_id
    and (newest_version, name, status, owner_id, goal_ends_execution, conversion_window, conversion_window_us)
      is distinct from (known.newest_version, definition->>'name', definition->>'status',
        definition->>'owner_id', (definition->>'goal_ends_execution')::boolean, definition->>'conversion_window',
        window_us);
  if found then
    perform pg_notify('workflow_analytics', id::text);
  end if;
  return true;
end $$;

-- workflow_head(account, id): whose a workflow is and how it is called; no row when the account has none of
-- this id. Its versions, which may be long, are read_workflow()'s.
-- Callers: readWorkflowHead() of db/workflows.ts, before every read of a workflow.
create or replace function workflow_head(account int, id uuid)
returns table (name text, status text, owner_id text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query select w.name, w.status, w.owner_id from workflow w where w.workflow_uuid = id and w.account_id = account;
end $$;

-- read_workflow(account, id): a workflow with its versions, the newest first; no row when the account has none
-- of this id.
-- Callers: readWorkflow() of db/workflows.ts.
create or replace function read_workflow(account int, id uuid)
returns table (
  workflow_uuid uuid, name text, status text, owner_id text, conversion_window text, goal_ends_execution boolean,
  versions json
)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
begin
  return query
  select w.workflow_uuid, w.name, w.status, w.owner_id, w.conversion_window, w.goal_ends_execution,
    coalesce((
      select json_agg(json_build_object('version', v.version, 'created_at', iso_instant(v.created_at),
        'steps', v.definition->'steps', 'goals', v.definition->'goals') order by v.version desc)
      from workflow_version v where v.workflow_id = workflow), '[]')
  from workflow w
  where w.workflow_id = workflow;
end $$;
