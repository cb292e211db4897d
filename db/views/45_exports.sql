-- Exports: executions by the million, the queue of files to be made, and where they are kept.

-- plain_cell(text): a cell that no spreadsheet takes for a formula.
create or replace function plain_cell(cell text) returns text
language sql immutable parallel safe
return case when cell ~ '^[=+@\t\r\n-]' then '''' || cell else cell end;

-- utc_cell(instant): as Excel, pandas and DuckDB all read an instant, which is UTC.
create or replace function utc_cell(instant timestamptz) returns text
language sql stable parallel safe
return to_char(instant at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS');

-- export_head(account, id, filter, now, rows_max): {rows, as_of}: how many executions a filter finds, counted up to
-- rows_max + 1; null where the account has no such workflow.
-- Callers: openExport() of db/export_file.ts.
create or replace function export_head(account int, id uuid, filter jsonb, now timestamptz, rows_max int) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  w     record;
  rows  int;
begin
  select f.workflow_id, a.time_zone into w
  from workflow f join account a using (account_id) where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return null;
  end if;
  execute 'select count(*) from (select from weir.execution x where '
    || execution_conditions(w.workflow_id, w.time_zone, filter, now) || format(' limit %s) found', rows_max::bigint + 1)
  into rows;
  return json_build_object('rows', rows, 'as_of', iso_instant(as_of(w.workflow_id, now)));
end $$;

-- export_executions(account, id, filter, now): a row each execution that a filter finds, in the order of their
-- enrolment, as the cells of a table. Names of steps and goals come from outside: no cell is a formula.
-- Callers: copyExecutions() of db/export_file.ts, inside COPY.
create or replace function export_executions(account int, id uuid, filter jsonb, now timestamptz)
returns table (
  execution_id uuid, contact_id text, status text, source text, version int, enrolled_at_utc text, ended_at_utc text,
  end_reason text, duration_seconds numeric, converted_at_utc text, goal_id uuid, goal_name text, open_steps text
)
language plpgsql stable security definer
set search_path = weir, pg_temp
set work_mem = '32MB' as $$
declare
  w      record;
  steps  jsonb;
  goals  jsonb;
begin
  select f.workflow_id, a.time_zone into w
  from workflow f join account a using (account_id) where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return;
  end if;
  steps := (
    select coalesce(jsonb_agg(jsonb_build_object('step_id', n.step_id, 'name', plain_cell(n.name))), '[]')
    from step_names(w.workflow_id) n);
  goals := (
    select coalesce(jsonb_agg(jsonb_build_object('goal_id', g.goal_id, 'goal_uuid', g.goal_uuid,
      'name', plain_cell(newest_with(w.workflow_id, 'goals', 'goal_id', g.goal_uuid)->>'name'))), '[]')
    from goals_of(w.workflow_id) g);
  return query execute format($q$
    with step_name as materialized (
      select * from jsonb_to_recordset(%3$L) as n(step_id int, name text)
    ), goal_name as materialized (
      select * from jsonb_to_recordset(%4$L) as n(goal_id int, goal_uuid uuid, name text)
    )
    select x.execution_id, plain_cell(x.contact_id), x.status::text, x.source::text, x.version,
      utc_cell(x.enrolled_at), utc_cell(x.ended_at), x.end_reason,
      round(microseconds(x.ended_at - x.enrolled_at) / 1000000.0, 3), utc_cell(x.converted_at), g.goal_uuid, g.name,
      (select string_agg(n.name, '; ' order by s.entered_at, s.step_id)
        from execution_step s join step_name n using (step_id)
        where s.workflow_id = %1$s and s.execution_id = x.execution_id and s.completed_at is null)
    from execution x
    left join lateral (
      select n.goal_uuid, n.name from execution_goal c join goal_name n using (goal_id)
      where x.converted_at is not null and c.workflow_id = %1$s and c.execution_id = x.execution_id and c.is_conversion
    ) g on true
    where %2$s
    order by x.enrolled_at, x.execution_id$q$,
    w.workflow_id, execution_conditions(w.workflow_id, w.time_zone, filter, now), steps, goals);
end $$;

-- export_execution_rows(account, id, filter, now): the same as the objects that the API answers with, each in one line.
-- Callers: copyExecutions() of db/export_file.ts, inside COPY.
create or replace function export_execution_rows(account int, id uuid, filter jsonb, now timestamptz)
returns setof text
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  w  record;
  x  execution;
begin
  select f.workflow_id, a.time_zone into w
  from workflow f join account a using (account_id) where f.workflow_uuid = id and f.account_id = account;
  if w.workflow_id is null then
    return;
  end if;
  for x in
    execute 'select x.* from execution x where '
      || execution_conditions(w.workflow_id, w.time_zone, filter, now) || ' order by x.enrolled_at, x.execution_id'
  loop
    return next replace(execution_row(x)::text, e'\n', '');
  end loop;
end $$;

-- export_signature(secret, job, expires_at): what a link carries that opens one file for as long as it is kept.
create or replace function export_signature(secret bytea, job uuid, expires_at timestamptz) returns text
language sql stable
return encode(sha256(secret || sha256(secret || convert_to(job || ' ' || extract(epoch from expires_at), 'UTF8'))), 'hex');

-- export_row(j): a job as answers show it, with what opens its file.
create or replace function export_row(j export_job) returns json
language sql stable
set search_path = weir, pg_temp
return json_build_object(
  'job_id', j.job_id, 'workflow_id', (select w.workflow_uuid from workflow w where w.workflow_id = j.workflow_id),
  'status', j.status, 'percent', j.percent, 'request', j.request, 'requested_by', j.user_id,
  'requested_at', iso_instant(j.requested_at), 'started_at', iso_instant(j.started_at),
  'finished_at', iso_instant(j.finished_at), 'expires_at', iso_instant(j.expires_at), 'attempts', j.attempts,
  'error', j.error, 'attempt', j.attempt,
  'signature', case when j.status = 'done' then export_signature(j.secret, j.job_id, j.expires_at) end,
  'file', case when j.status = 'done' then json_build_object('name', j.file_name, 'media_type', j.media_type,
    'bytes', j.bytes, 'rows', j.rows, 'sha256', encode(j.sha256, 'hex')) end);

-- request_export(account, id, user, request, open_max, bytes_max): queues a file. Returns the job, or {refused}:
-- 'busy' when the account has as many open, 'full' when its files are as large; null without such a workflow.
-- Callers: requestExport() of db/exports.ts.
create or replace function request_export(
  account int, id uuid, asker text, request jsonb, open_max int, bytes_max bigint
) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
  kept      bigint;
  job       export_job;
begin
  if workflow is null then
    return null;
  end if;
  if open_exports(account) >= open_max then
    return json_build_object('refused', 'busy');
  end if;
  select coalesce(sum(j.bytes), 0) into kept from export_job j where j.account_id = account and j.status = 'done';
  if kept >= bytes_max then
    return json_build_object('refused', 'full');
  end if;
  insert into export_job (account_id, workflow_id, user_id, request)
  values (account, workflow, asker, request_export.request) returning * into job;
  perform pg_notify('export_requested', '');
  return export_row(job);
end $$;

-- list_exports(account, id, rows_max): the newest jobs of a workflow.
create or replace function list_exports(account int, id uuid, rows_max int) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select coalesce(json_agg(export_row(j) order by j.requested_at desc), '[]') from (
    select j.* from export_job j join workflow w using (workflow_id)
    where w.workflow_uuid = id and w.account_id = account
    order by j.requested_at desc limit rows_max
  ) j);

-- read_export(account, id, job): null where the account's workflow has no such job.
create or replace function read_export(account int, id uuid, job uuid) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select export_row(j) from export_job j join workflow w using (workflow_id)
  where j.job_id = job and w.workflow_uuid = id and w.account_id = account and j.account_id = account);

-- open_export(id, job, signature, now): the job whose file a signed link opens; null where it opens none, or none
-- any more. Has no account: the signature is of one job of one.
create or replace function open_export(id uuid, job uuid, signature text, now timestamptz) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select json_build_object('account_id', j.account_id, 'job', export_row(j))
  from export_job j join workflow w using (workflow_id)
  where j.job_id = job and w.workflow_uuid = id and j.status = 'done' and j.expires_at > open_export.now
    -- Digests of digests: how long it takes to compare them tells nothing.
    and sha256(convert_to(export_signature(j.secret, j.job_id, j.expires_at), 'UTF8')) = sha256(convert_to(signature, 'UTF8')));

-- account_of_export(id, job): whose job it is, for the access log to tell that its link was refused; null without one.
create or replace function account_of_export(id uuid, job uuid) returns int
language sql stable security definer
set search_path = weir, pg_temp
return (
  select j.account_id from export_job j join workflow w using (workflow_id) where j.job_id = job and w.workflow_uuid = id);

-- cancel_export(account, id, job): ends a job that is not done. Returns it as it is now; null without one.
create or replace function cancel_export(account int, id uuid, job uuid) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  update export_job j set status = 'cancelled', finished_at = clock_timestamp(), lease_until = null
  from workflow w
  where w.workflow_id = j.workflow_id and j.job_id = job and w.workflow_uuid = id and w.account_id = account
    and j.status in ('queued', 'running');
  return read_export(account, id, job);
end $$;

-- open_exports(account): how many files are queued or being made for who asked for them, for as long as the
-- transaction lasts: two who ask at once must not both be the last.
create or replace function open_exports(account int) returns bigint
language plpgsql
set search_path = weir, pg_temp as $$
begin
  perform pg_advisory_xact_lock(1464158549, account);
  return (
    select count(*) from export_job j
    where j.account_id = account and j.status in ('queued', 'running') and not j.for_report);
end $$;

-- retry_export(account, id, job, open_max): queues a job that failed or was cancelled anew, with all its attempts
-- before it. Returns it as it is now; {refused: 'busy'} when the account has as many open; null without one.
drop function if exists retry_export(int, uuid, uuid);
create or replace function retry_export(account int, id uuid, job uuid, open_max int) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  is_over  boolean := (
    select j.status in ('failed', 'cancelled') from export_job j join workflow w using (workflow_id)
    where j.job_id = job and w.workflow_uuid = id and w.account_id = account);
begin
  if is_over and open_exports(account) >= open_max then
    return json_build_object('refused', 'busy');
  end if;
  update export_job j set status = 'queued', attempts = 0, percent = 0, error = null, not_before = now(),
    started_at = null, finished_at = null
  from workflow w
  where w.workflow_id = j.workflow_id and j.job_id = job and w.workflow_uuid = id and w.account_id = account
    and j.status in ('failed', 'cancelled');
  perform pg_notify('export_requested', '');
  return read_export(account, id, job);
end $$;

-- read_export_chunk(account, job, attempt, chunk): a piece of a file that the database keeps; null after the last.
create or replace function read_export_chunk(account int, job uuid, attempt uuid, chunk int) returns bytea
language sql stable security definer
set search_path = weir, pg_temp
return (
  select c.bytes from export_chunk c join export_job j using (job_id)
  where c.job_id = job and c.attempt = read_export_chunk.attempt and c.position = chunk and j.account_id = account);

-- lease_is_over(until, seconds): whether a lease of so many seconds has run out, or there is none. One that would run
-- for longer was given before the clock was set back, and is not waited for.
create or replace function lease_is_over(until timestamptz, seconds int) returns boolean
language sql volatile
return until is null or until < clock_timestamp() or until > clock_timestamp() + seconds * interval '1 second';

-- claim_export(lease_seconds, attempts_max): gives the oldest job that waits, or whose worker is gone, to the caller.
-- One that had all its attempts and whose worker is gone again is given up: it may be what kills them.
--
-- Returns  {job, account_id, workflow_name, time_zone}; null when nothing waits.
-- Callers  workers/export.ts. Any number at once: rows are skipped that another one is looking at.
create or replace function claim_export(lease_seconds int, attempts_max int) returns json
language plpgsql
set search_path = weir, pg_temp as $$
declare
  claimed  export_job;
begin
  update export_job j set status = 'failed', finished_at = clock_timestamp(), lease_until = null,
    error = format('Cannot finish: %s workers were lost at it', attempts_max)
  where j.status = 'running' and lease_is_over(j.lease_until, lease_seconds) and j.attempts >= attempts_max;

  update export_job j set status = 'running', attempts = j.attempts + 1, attempt = gen_random_uuid(), percent = 0,
    started_at = clock_timestamp(), lease_until = clock_timestamp() + lease_seconds * interval '1 second'
  where j.job_id = (
    select q.job_id from export_job q
    where q.status in ('queued', 'running') and q.attempts < attempts_max
      and case q.status
        when 'running' then lease_is_over(q.lease_until, lease_seconds)
        else q.attempts = 0 or q.not_before <= clock_timestamp() end
    order by q.requested_at limit 1 for update skip locked)
  returning * into claimed;
  if claimed.job_id is null then
    return null;
  end if;
  return (
    select json_build_object('job', export_row(claimed), 'account_id', a.account_id, 'account_name', a.name,
      'time_zone', a.time_zone, 'workflow_name', w.name)
    from account a, workflow w where a.account_id = claimed.account_id and w.workflow_id = claimed.workflow_id);
end $$;

-- beat_export(job, attempt, percent, lease_seconds): true while the caller still has the job; it was cancelled, or
-- given to another, when not.
create or replace function beat_export(job uuid, attempt uuid, percent int, lease_seconds int) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
begin
  update export_job j set percent = greatest(j.percent, beat_export.percent),
    lease_until = clock_timestamp() + lease_seconds * interval '1 second'
  where j.job_id = job and j.attempt = beat_export.attempt and j.status = 'running';
  return found;
end $$;

-- finish_export(job, attempt, file, keep_hours): true when the caller's file is the job's now; once for every job.
create or replace function finish_export(job uuid, attempt uuid, file jsonb, keep_hours int) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
begin
  update export_job j set status = 'done', percent = 100, finished_at = clock_timestamp(), lease_until = null,
    expires_at = clock_timestamp() + keep_hours * interval '1 hour', error = null,
    file_name = file->>'name', media_type = file->>'media_type', bytes = (file->>'bytes')::bigint,
    rows = (file->>'rows')::bigint, sha256 = decode(file->>'sha256', 'hex')
  where j.job_id = job and j.attempt = finish_export.attempt and j.status = 'running';
  if not found then
    return false;
  end if;
  perform pg_notify('report_due', '');
  return true;
end $$;

-- fail_export(job, attempt, reason, is_final, rest_seconds, attempts_max): takes note of a failure; the job rests and
-- is tried again unless that is final or was the last attempt.
create or replace function fail_export(
  job uuid, attempt uuid, reason text, is_final boolean, rest_seconds int, attempts_max int
) returns void
language sql volatile
set search_path = weir, pg_temp
begin atomic
  update export_job j set error = left(reason, 1000), lease_until = null,
    status = case when is_final or j.attempts >= attempts_max then 'failed' else 'queued' end,
    finished_at = case when is_final or j.attempts >= attempts_max then clock_timestamp() end,
    not_before = clock_timestamp() + rest_seconds * interval '1 second'
  where j.job_id = job and j.attempt = fail_export.attempt and j.status = 'running';
end;

-- release_export(job, attempt): gives a job back that its worker, told to stop, leaves.
create or replace function release_export(job uuid, attempt uuid) returns void
language sql volatile
set search_path = weir, pg_temp
begin atomic
  update export_job j set status = 'queued', attempts = j.attempts - 1, percent = 0, lease_until = null,
    not_before = '-infinity'
  where j.job_id = job and j.attempt = release_export.attempt and j.status = 'running';
  select pg_notify('export_requested', '');
end;

-- count_exports(attempts_max): how the queue is doing; of nobody's data.
--
-- Returns  {queued, running, dead, wait_seconds}: dead had all their attempts, until they are tried again or a week has
--          passed; wait_seconds is how long the one waits that a worker could have begun first, 0 without one.
-- Callers  countExports() of db/exports.ts.
create or replace function count_exports(attempts_max int) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select json_build_object('queued', count(*) filter (where j.status = 'queued'),
    'running', count(*) filter (where j.status = 'running'),
    'dead', (select count(*) from export_job d where d.status = 'failed' and d.attempts >= attempts_max),
    'wait_seconds', coalesce(extract(epoch from max(clock_timestamp() -
      case j.status when 'queued' then j.not_before else j.lease_until end)
      filter (where clock_timestamp() >
        case j.status when 'queued' then j.not_before else j.lease_until end)), 0)::float8)
  from export_job j where j.status in ('queued', 'running'));

-- expire_exports(): forgets files that have expired by the clock that says when they do, jobs a week after they ended,
-- and pieces that lost workers left behind. Returns {jobs, live}: how many expired, and the attempts whose files are still wanted.
-- Callers: workers/export.ts. Repeat: harmless.
drop function if exists expire_exports(timestamptz);
create or replace function expire_exports() returns json
language plpgsql
set search_path = weir, pg_temp as $$
declare
  expired  int;
begin
  delete from export_job j
  where j.status in ('done', 'failed', 'cancelled')
    and coalesce(j.expires_at, j.finished_at + interval '7 days') < clock_timestamp();
  get diagnostics expired = row_count;
  delete from export_chunk c where not exists (
    select from export_job j
    where j.job_id = c.job_id and j.attempt = c.attempt and j.status in ('running', 'done'));
  return json_build_object('jobs', expired, 'live', (
    select coalesce(json_agg(j.attempt), '[]') from export_job j where j.attempt is not null and j.status in ('running', 'done')));
end $$;
