-- Jobs: what the worker does every few seconds, pg_cron does every minute where it is there. Neither knows
-- of the other; every job is harmless to repeat and safe beside itself.

-- record_job(…): one round, or several of which the last is told.
--
-- error    null when it went well
-- rounds   how many this stands for
-- Callers  recordJob() of db/jobs.ts, run_job().
create or replace function record_job(
  job_name text, by_whom text, pause_seconds int, began_at timestamptz, outcome jsonb, problem text, rounds int default 1
) returns void
language sql volatile
set search_path = weir, pg_temp
begin atomic
  insert into job as j (name, run_by, every_seconds, started_at, finished_at, did, error, failed_at, runs, failures)
  values (job_name, by_whom, pause_seconds, began_at, case when problem is null then clock_timestamp() end,
    coalesce(outcome, '{}'), problem, case when problem is not null then clock_timestamp() end,
    rounds, (problem is not null)::int)
  on conflict (name) do update set
    run_by = excluded.run_by, every_seconds = excluded.every_seconds, started_at = excluded.started_at,
    finished_at = coalesce(excluded.finished_at, j.finished_at),
    did = case when excluded.error is null then excluded.did else j.did end,
    error = excluded.error, failed_at = coalesce(excluded.failed_at, j.failed_at),
    runs = j.runs + excluded.runs, failures = j.failures + excluded.failures;
end;

-- lock_job(name): true if this transaction is now the only one at a job. Never waits.
create or replace function lock_job(name text) returns boolean
language sql volatile
return pg_try_advisory_xact_lock(1464158547, hashtext(name));

-- extend_partitions(): make_partitions() that lets traffic pass: it needs every table for an instant, and
-- asks for so long only that nobody notices those who queue behind it.
--
-- Callers  the job "partitions". Repeat: makes nothing.
create or replace function extend_partitions() returns int
language plpgsql
set lock_timeout = '300ms'
set search_path = weir, pg_temp as $$
begin
  for attempt in 1..20 loop
    begin
      return make_partitions();
    exception when lock_not_available then
      perform pg_sleep(0.1 * attempt);
    end;
  end loop;
  raise 'Cannot make partitions: the tables were in use at every attempt';
end $$;

-- run_job(name): one round of a job, in transactions of its own, recorded.
--
-- Callers  pg_cron (90_cron.sql). The worker calls what is called here by itself.
-- Errors   end it; pg_cron logs them, and "cron log" copies them to where /readyz looks.
-- The session's zone may be any where pg_cron runs.
create or replace procedure run_job(job_name text)
language plpgsql as $$
declare
  began_at  timestamptz := clock_timestamp();
  pause     int := 60;
  count     bigint := 0;
  step      bigint;
  id        int;
  did       jsonb := '{}';
begin
  perform set_config('timezone', 'UTC', false);
  case job_name
    when 'fold' then
      loop
        step := weir.fold();
        commit;
        count := count + step;
        exit when step = 0 or clock_timestamp() > began_at + interval '50 seconds';
      end loop;
      did := jsonb_build_object('events', count);
    when 'recompute' then
      for id in select workflow_id from weir.workflow where recompute_since is not null order by recompute_since loop
        count := count + weir.recompute(id)::int;
        commit;
      end loop;
      did := jsonb_build_object('workflows', count);
    when 'refresh' then
      call weir.refresh_all('pg_cron', did);
    when 'partitions' then
      pause := 86400;
      did := jsonb_build_object('partitions', weir.extend_partitions());
    when 'retain' then
      pause := 86400;
      call weir.retain(now(), did);
    when 'audit' then
      pause := 3600;
      commit;
      set transaction isolation level repeatable read;
      did := jsonb_build_object('differences', weir.audit(20));
    when 'cron log' then
      did := jsonb_build_object('failures', weir.read_cron_log());
    else
      raise 'Cannot run "%": there is no such job', job_name;
  end case;
  perform weir.record_job(job_name, 'pg_cron', pause, began_at, did, null);
end $$;

-- read_cron_log(): copies what failed under pg_cron to job, and deletes what is older than a week, which
-- pg_cron itself never does. Returns failures copied.
create or replace function read_cron_log() returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  copied  int := 0;
begin
  with failed as (
    select distinct on (name) name, d.start_time, coalesce(d.end_time, d.start_time) as end_time, d.return_message
    from cron.job_run_details d
    cross join lateral (select substring(d.command from '^call weir\.run_job\(''([^'']+)''\)$') as name) c
    where d.status = 'failed' and d.database = current_database() and name is not null
    order by name, d.runid desc
  )
  insert into job as j (name, run_by, every_seconds, started_at, error, failed_at, runs, failures)
  select name, 'pg_cron', 60, start_time, return_message, end_time, 1, 1 from failed
  on conflict (name) do update set
    run_by = excluded.run_by, started_at = excluded.started_at, error = excluded.error, failed_at = excluded.failed_at,
    runs = j.runs + 1, failures = j.failures + 1
  where excluded.started_at > j.started_at;
  get diagnostics copied = row_count;

  delete from cron.job_run_details where end_time < now() - interval '7 days' and database = current_database();
  return copied;
end $$;

-- scheduler(): who keeps the beat: 'pg_cron' where our schedules are, 'worker' where they are not.
create or replace function scheduler() returns text
language plpgsql stable
set search_path = weir, pg_temp as $$
declare
  scheduled  boolean;
begin
  if to_regclass('cron.job') is null then
    return 'worker';
  end if;
  execute 'select exists (select from cron.job where jobname = ''weir fold'' and active and database = current_database())'
  into scheduled;
  return case when scheduled then 'pg_cron' else 'worker' end;
exception when insufficient_privilege then
  return 'worker';
end $$;

-- request_refresh(workflow): the job that brings a workflow up to date; the one that waits already if any.
create or replace function request_refresh(workflow int) returns uuid
language plpgsql
set search_path = weir, pg_temp as $$
declare
  id  uuid;
begin
  loop
    insert into refresh_request (workflow_id) values (workflow)
    on conflict (workflow_id) where status = 'queued' do nothing
    returning job_id into id;
    if id is null then
      select job_id into id from refresh_request where workflow_id = workflow and status = 'queued';
    end if;
    exit when id is not null;  -- else it was taken in between
  end loop;
  perform pg_notify('refresh_requested', '');
  return id;
end $$;

-- refresh_estimate(workflow): seconds until a request is answered, by how long the last rounds took.
create or replace function refresh_estimate(workflow int) returns int
language sql stable
set search_path = weir, pg_temp
begin atomic
  select ceil(
    case scheduler() when 'pg_cron' then 60 - extract(second from clock_timestamp()) else 1 end
    + (select count(*) from (select from event_queue q where q.workflow_id = workflow limit 1000000) waiting) / 20000.0
    + (
      select coalesce(sum(extract(epoch from finished_at - started_at)), 0)
      from (select distinct on (view) * from view_refresh order by view, refresh_id desc) newest
    ))::int;
end;

-- ask_refresh(account, id): request_refresh() for a workflow of an account, and how many seconds it should
-- take; no row when the account has none of this id.
-- Callers: requestRefresh() of db/jobs.ts.
create or replace function ask_refresh(account int, id uuid)
returns table (job_id uuid, estimated_completion_seconds int)
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
begin
  if workflow is null then
    return;
  end if;
  return query select request_refresh(workflow), refresh_estimate(workflow);
end $$;

-- read_refresh(account, id, job): what became of a request for a workflow of an account.
-- Callers: readRefresh() of db/jobs.ts.
create or replace function read_refresh(account int, id uuid, job uuid)
returns table (job_id uuid, status text, requested_at text, started_at text, finished_at text, error text)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
begin
  return query
  select r.job_id, r.status, iso_instant(r.requested_at), iso_instant(r.started_at), iso_instant(r.finished_at), r.error
  from refresh_request r join workflow w using (workflow_id)
  where w.workflow_uuid = id and w.account_id = account and r.job_id = job;
end $$;

-- read_pipeline(most): how jobs, views and queue are doing; of nobody's data. It hops along the queue's index
-- from workflow to workflow: in the queue as a whole nothing says which event is the oldest. Citus cannot hop over
-- nodes, and has each of them look through what waits there.
--
-- most     queued events are counted up to it
-- Callers  readPipeline() of db/jobs.ts.
create or replace function read_pipeline(most int)
returns table (scheduler text, fold_lag_seconds float8, queued_events bigint, drift bigint, jobs json, views json)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  oldest  timestamptz;
  queued  bigint;
begin
  if on_citus() then
    select min(q.accepted_at) into oldest from event_queue q;
  else
    with recursive hop as (
      (select q.workflow_id, q.accepted_at from event_queue q order by q.workflow_id, q.queue_id limit 1)
      union all
      select next.* from hop cross join lateral (
        select q.workflow_id, q.accepted_at from event_queue q where q.workflow_id > hop.workflow_id
        order by q.workflow_id, q.queue_id limit 1
      ) next
    )
    select min(accepted_at) into oldest from hop;
  end if;
  select count(*) into queued from (select from event_queue limit most) waiting;
  return query
  select scheduler(), greatest(extract(epoch from clock_timestamp() - oldest), 0)::float8, queued,
    (select count(*) from audit_drift),
    (select coalesce(json_agg(json_build_object('name', j.name, 'run_by', j.run_by, 'every_seconds', j.every_seconds,
        'lag_seconds', extract(epoch from clock_timestamp() - j.finished_at)::float8,
        'last_error', j.error, 'runs', j.runs, 'failures', j.failures) order by j.name), '[]')
      from job j),
    (select coalesce(json_agg(json_build_object('name', v.view,
        'age_seconds', extract(epoch from clock_timestamp() - good.started_at)::float8,
        'refresh_seconds', extract(epoch from good.finished_at - good.started_at)::float8,
        'rows', good.rows, 'last_error', newest.error) order by v.view), '[]')
      from unnest(materialized_views()) as v(view)
      left join lateral (
        select * from view_refresh r where r.view = v.view order by r.refresh_id desc limit 1
      ) newest on true
      left join lateral (
        select * from view_refresh r where r.view = v.view and r.error is null order by r.refresh_id desc limit 1
      ) good on true);
end $$;

-- answer_requests(by_whom, answered): folds what the workflows of all requests have waiting, then refreshes.
-- One that was left running, by somebody who was killed, is taken again after five minutes.
--
-- Callers  refresh_all(). Commits.
create or replace procedure answer_requests(by_whom text, inout answered int)
language plpgsql as $$
declare
  request    record;
  deadline   timestamptz;
  upto       bigint;
  problem    text;
  refreshed  int;
begin
  answered := 0;
  loop
    update weir.refresh_request r set status = 'running', started_at = clock_timestamp()
    where job_id = (
      select job_id from weir.refresh_request
      where status = 'queued'
        -- Or it began at a time that has not come yet: the clock was set back.
        or status = 'running' and clock_timestamp() - started_at not between interval '0' and interval '5 minutes'
      order by requested_at limit 1 for update skip locked)
    returning r.job_id, r.workflow_id into request;
    exit when request.job_id is null;
    commit;

    deadline := clock_timestamp() + interval '1 minute';
    upto := (select max(queue_id) from weir.event_queue q where q.workflow_id = request.workflow_id);
    problem := null;
    while problem is null and exists (
      select from weir.event_queue q where q.workflow_id = request.workflow_id and q.queue_id <= upto
    ) loop
      if weir.fold() = 0 then
        perform pg_sleep(0.02);  -- somebody else is at it
      end if;
      if clock_timestamp() > deadline then
        problem := 'Cannot fold: events still wait after a minute';
      end if;
      commit;
    end loop;
    call weir.refresh_views(by_whom, 0, refreshed);
    update weir.refresh_request set status = case when problem is null then 'done' else 'failed' end,
      finished_at = clock_timestamp(), error = problem
    where job_id = request.job_id;
    commit;
    answered := answered + 1;
  end loop;
end $$;

-- refresh_all(by_whom, did): answers requests, then refreshes what is not up to date.
--
-- did      {views, requests}
-- Callers  workers/refresh.ts, run_job(). Commits.
create or replace procedure refresh_all(by_whom text, inout did jsonb)
language plpgsql as $$
declare
  requests   int;
  refreshed  int;
begin
  call weir.answer_requests(by_whom, requests);
  call weir.refresh_views(by_whom, 20, refreshed);
  did := jsonb_build_object('views', refreshed, 'requests', requests);
end $$;
