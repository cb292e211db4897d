-- Schedules of pg_cron, where it is installed in this database and this role may use it. pg_cron 1.4 knows
-- minutes only; the worker's beat is faster where there is one.

-- schedule_jobs(): makes the schedules as they should be, and removes those of ours that should not be.
--
-- Returns  how many there are; 0 where there is no pg_cron, and the worker has to do.
-- Callers  this file, and after it `deno task migrate` and `start`, on every run: pg_cron may have come
--          since. Also, pg_cron 1.4 misses what is committed while it reads its schedules, which it does
--          when it was just installed: the second time makes it read them again.
-- Repeat   changes nothing.
create or replace function schedule_jobs() returns int
language plpgsql
set search_path = weir, pg_temp as $$
declare
  wanted  jsonb := '{
    "fold": "* * * * *",
    "recompute": "* * * * *",
    "refresh": "* * * * *",
    "cron log": "* * * * *",
    "audit": "41 * * * *",
    "partitions": "7 2 * * *",
    "retain": "17 2 * * *"}';
  old     record;
begin
  if to_regclass('cron.job') is null then
    return 0;
  end if;
  perform cron.schedule('weir ' || key, value, format('call weir.run_job(%L)', key)) from jsonb_each_text(wanted);
  for old in
    select jobid from cron.job
    where jobname like 'weir %' and database = current_database() and not wanted ? substr(jobname, 6)
  loop
    perform cron.unschedule(old.jobid);
  end loop;
  return (select count(*) from jsonb_object_keys(wanted));
exception when insufficient_privilege then
  raise warning 'Cannot schedule jobs: % may not use pg_cron, the worker does without', current_user;
  return 0;
end $$;

select schedule_jobs();
