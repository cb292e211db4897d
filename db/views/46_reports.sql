-- Reports by schedule: who is due, and what becomes of what is sent. Everything is at least once under one id, so
-- that receivers can tell a repetition.

-- due_after(every, hour, zone, instant): when the next report is due after an instant: at a full hour of Mondays or
-- of first days of months.
create or replace function due_after(every text, hour int, zone text, instant timestamptz) returns timestamptz
language sql stable
return (
  select min(d.due) from (
    select (date_trunc(every, instant at time zone zone) + n * ('1 ' || every)::interval + make_interval(hours => hour))
      at time zone zone as due
    from generate_series(0, 2) as n
  ) d where d.due > instant);

-- report_period(every, zone, instant): the last week or month that was over at an instant, both dates in it.
create or replace function report_period(every text, zone text, instant timestamptz, out first date, out last date)
language sql stable as $$
  select (date_trunc(every, instant at time zone zone) - ('1 ' || every)::interval)::date,
    (date_trunc(every, instant at time zone zone) - interval '1 day')::date
$$;

-- report_row(r, deliveries_max): a report as answers show it, with its newest deliveries and without its secret.
create or replace function report_row(r report, deliveries_max int) returns json
language sql stable
set search_path = weir, pg_temp
return json_build_object(
  'report_id', r.report_id, 'workflow_id', (select w.workflow_uuid from workflow w where w.workflow_id = r.workflow_id),
  'every', r.every, 'hour', r.hour, 'request', r.request, 'url', r.url, 'created_by', r.created_by,
  'created_at', iso_instant(r.created_at), 'failures', r.failures,
  'due_at', case when r.disabled_at is null then iso_instant(r.due_at) end,
  'disabled_at', iso_instant(r.disabled_at), 'disabled_reason', r.reason,
  'deliveries', (
    select coalesce(json_agg(json_build_object(
      'delivery_id', d.delivery_id, 'start_date', d.start_date, 'end_date', d.end_date, 'by_hand', d.by_hand,
      'status', d.status, 'attempts', d.attempts, 'created_at', iso_instant(d.created_at),
      'finished_at', iso_instant(d.finished_at),
      'next_attempt_at', case when d.status = 'sending' then iso_instant(d.not_before) end,
      'http_status', d.http_status, 'error', d.error) order by d.created_at desc), '[]')
    from (
      select * from report_delivery d where d.report_id = r.report_id order by d.created_at desc limit deliveries_max
    ) d));

-- find_report(account, id, report): null where the account's workflow has no such report.
create or replace function find_report(account int, id uuid, wanted uuid) returns report
language sql stable
set search_path = weir, pg_temp as $$
  select r.* from report r join workflow w using (workflow_id)
  where r.report_id = wanted and w.workflow_uuid = id and w.account_id = account and r.account_id = account
$$;

-- add_report(account, id, asker, every, hour, request, url, secret, now, reports_max, deliveries_max): returns the
-- report; {refused: 'full'} when the account has as many; null without such a workflow.
-- Callers: addReport() of db/reports.ts.
create or replace function add_report(
  account int, id uuid, asker text, every text, hour int, request jsonb, url text, secret bytea, now timestamptz,
  reports_max int, deliveries_max int
) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  found_workflow  int;
  zone            text;
  added           report;
begin
  select w.workflow_id, a.time_zone into found_workflow, zone
  from workflow w join account a using (account_id) where w.workflow_uuid = id and w.account_id = account;
  if found_workflow is null then
    return null;
  end if;
  -- Two who add at once must not both be the last.
  perform pg_advisory_xact_lock(1464158550, account);
  if (select count(*) from report r where r.account_id = account) >= reports_max then
    return json_build_object('refused', 'full');
  end if;
  insert into report as r (account_id, workflow_id, created_by, every, hour, request, url, secret, due_at)
  values (account, found_workflow, asker, add_report.every, add_report.hour, add_report.request, add_report.url,
    add_report.secret, due_after(add_report.every, add_report.hour, zone, add_report.now))
  returning r.* into added;
  return report_row(added, deliveries_max);
end $$;

-- list_reports(account, id, deliveries_max): the reports of a workflow, oldest first.
create or replace function list_reports(account int, id uuid, deliveries_max int) returns json
language sql stable security definer
set search_path = weir, pg_temp
return (
  select coalesce(json_agg(report_row(r, deliveries_max) order by r.created_at, r.report_id), '[]')
  from report r join workflow w using (workflow_id) where w.workflow_uuid = id and w.account_id = account);

-- remove_report(account, id, report): with all its deliveries. Returns whether there was one.
create or replace function remove_report(account int, id uuid, wanted uuid) returns boolean
language plpgsql security definer
set search_path = weir, pg_temp as $$
begin
  delete from report r where r.report_id = (find_report(account, id, wanted)).report_id;
  return found;
end $$;

-- enable_report(account, id, report, now, deliveries_max): has a report sent again from its next period on. Returns it
-- as it is then; null without one.
create or replace function enable_report(account int, id uuid, wanted uuid, now timestamptz, deliveries_max int)
returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  r  report := find_report(account, id, wanted);
begin
  update report set disabled_at = null, reason = null, failures = 0,
    due_at = due_after(report.every, report.hour, (select a.time_zone from account a where a.account_id = account), enable_report.now)
  where report_id = r.report_id and disabled_at is not null;
  return case when r.report_id is not null then report_row(find_report(account, id, wanted), deliveries_max) end;
end $$;

-- send_report(account, id, report, now, open_max, deliveries_max): sends the last period now, besides what is due.
-- Returns the report; {refused: 'busy'} when as many deliveries of it are under way; null without one.
create or replace function send_report(
  account int, id uuid, wanted uuid, now timestamptz, open_max int, deliveries_max int
) returns json
language plpgsql security definer
set search_path = weir, pg_temp as $$
declare
  r  report := find_report(account, id, wanted);
begin
  if r.report_id is null then
    return null;
  end if;
  perform from report where report_id = r.report_id for update;
  if (select count(*) from report_delivery d where d.report_id = r.report_id and d.status in ('making', 'sending'))
    >= open_max then
    return json_build_object('refused', 'busy');
  end if;
  perform begin_delivery(r, true, send_report.now);
  return report_row(r, deliveries_max);
end $$;

-- begin_delivery(r, hand, now): queues the file of the last period and what is to be sent when it is there. Returns
-- whether that period was not begun before.
create or replace function begin_delivery(r report, hand boolean, now timestamptz) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
declare
  zone    text := (select a.time_zone from account a where a.account_id = r.account_id);
  period  record := report_period(r.every, zone, now);
  job     uuid := gen_random_uuid();
begin
  insert into report_delivery (report_id, start_date, end_date, by_hand, job_id)
  values (r.report_id, period.first, period.last, hand, job)
  on conflict (report_id, start_date) where not by_hand do nothing;
  if not found then
    return false;
  end if;
  insert into export_job (job_id, account_id, workflow_id, user_id, request, for_report)
  values (job, r.account_id, r.workflow_id, r.created_by,
    r.request || jsonb_build_object('start_date', period.first, 'end_date', period.last, 'tz', zone), true);
  perform pg_notify('export_requested', '');
  return true;
end $$;

-- plan_reports(now): begins what is due, and forgets deliveries of long ago. A period that nobody was there to send
-- in is not made up for when the next is over already. Returns how many were begun.
-- Callers: workers/report.ts, any number at once. Repeat: begins nothing.
create or replace function plan_reports(now timestamptz) returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  r      report;
  begun  int := 0;
begin
  for r in select * from report where disabled_at is null and due_at <= now for update skip locked loop
    begun := begun + begin_delivery(r, false, now)::int;
    update report set due_at = due_after(r.every, r.hour, (select a.time_zone from account a where a.account_id = r.account_id), now)
    where report_id = r.report_id;
  end loop;
  delete from report_delivery where finished_at < now - interval '90 days';
  return begun;
end $$;

-- fail_delivery(delivery, error, failures_max): gives a delivery up, and its report when too many were given up in a row.
create or replace function fail_delivery(failed uuid, problem text, failures_max int) returns void
language sql volatile
set search_path = weir, pg_temp
begin atomic
  update report_delivery set status = 'failed', error = problem, finished_at = clock_timestamp(), lease_until = null
  where delivery_id = failed;
  update report r set failures = r.failures + 1,
    disabled_at = case when r.failures + 1 >= failures_max then coalesce(r.disabled_at, clock_timestamp()) else r.disabled_at end,
    reason = case when r.failures + 1 >= failures_max then coalesce(r.reason, problem) else r.reason end
  where r.report_id = (select d.report_id from report_delivery d where d.delivery_id = failed);
end;

-- claim_delivery(lease_seconds, attempts_max, failures_max): gives the oldest delivery whose file is there, and which
-- nobody is at, to the caller. One whose file cannot be made is given up on the way, and one that had all its attempts.
--
-- Returns  {delivery_id, attempt, attempts, report_id, every, period, url, secret, job, workflow_name, account_id, time_zone}, the
--          secret in hexadecimal: who sends must sign. Null when nothing can be sent.
-- Callers  workers/report.ts, any number at once.
create or replace function claim_delivery(lease_seconds int, attempts_max int, failures_max int) returns json
language plpgsql
set search_path = weir, pg_temp as $$
declare
  gone     record;
  claimed  report_delivery;
begin
  for gone in
    select d.delivery_id, j.error, j.job_id, d.attempts
    from report_delivery d left join export_job j using (job_id)
    where d.status in ('making', 'sending') and lease_is_over(d.lease_until, lease_seconds)
      and (j.job_id is null or j.status in ('failed', 'cancelled') or d.attempts >= attempts_max)
    for update of d skip locked
  loop
    perform fail_delivery(gone.delivery_id, case
      when gone.attempts >= attempts_max then format('Cannot send: %s workers were lost at it', attempts_max)
      else coalesce(gone.error, 'Cannot send: the file is gone') end, failures_max);
  end loop;

  update report_delivery d set status = 'sending', attempts = d.attempts + 1, attempt = gen_random_uuid(),
    lease_until = clock_timestamp() + lease_seconds * interval '1 second'
  where d.delivery_id = (
    select q.delivery_id from report_delivery q join export_job j using (job_id)
    where q.status in ('making', 'sending') and j.status = 'done'
      and (q.attempts = 0 or q.not_before <= clock_timestamp()) and lease_is_over(q.lease_until, lease_seconds)
    order by q.not_before limit 1 for update of q skip locked)
  returning d.* into claimed;
  if claimed.delivery_id is null then
    return null;
  end if;
  return (
    select json_build_object('delivery_id', claimed.delivery_id, 'attempt', claimed.attempt, 'attempts', claimed.attempts,
      'report_id', r.report_id, 'every', r.every, 'start_date', claimed.start_date, 'end_date', claimed.end_date,
      'url', r.url, 'secret', encode(r.secret, 'hex'), 'job', export_row(j), 'workflow_name', f.name,
      'time_zone', a.time_zone)
    from report r join workflow f using (workflow_id) join account a on a.account_id = r.account_id, export_job j
    where r.report_id = claimed.report_id and j.job_id = claimed.job_id);
end $$;

-- end_delivery(delivery, attempt, http_status, problem, rest_seconds, is_gone, failures_max): takes note of an attempt.
-- problem null: it arrived. rest_seconds null: it is given up. is_gone: the receiver wants no more of them.
create or replace function end_delivery(
  sent uuid, by_attempt uuid, answered int, problem text, rest_seconds int, is_gone boolean, failures_max int
) returns boolean
language plpgsql
set search_path = weir, pg_temp as $$
begin
  update report_delivery d set lease_until = null, http_status = answered, error = problem,
    status = case when problem is null then 'delivered' else d.status end,
    finished_at = case when problem is null then clock_timestamp() end,
    not_before = clock_timestamp() + coalesce(rest_seconds, 0) * interval '1 second'
  where d.delivery_id = sent and d.attempt = by_attempt and d.status = 'sending';
  if not found then
    return false;
  end if;
  if problem is null then
    update report r set failures = 0
    where r.report_id = (select d.report_id from report_delivery d where d.delivery_id = sent) and r.failures > 0;
  elsif rest_seconds is null then
    perform fail_delivery(sent, problem, case when is_gone then 0 else failures_max end);
  end if;
  return true;
end $$;
