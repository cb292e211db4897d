-- plan_with_values(): has functions that are set to plan their statements once plan them with the values of each call.
-- A plan without them cannot be sent to the node of one workflow.
--
-- Callers  db/citus.sql; and where that has run, here, as these files set what it has reset. Repeat: harmless.
create or replace function plan_with_values() returns void
language plpgsql
set search_path = weir, pg_temp as $$
declare
  name  regprocedure;
begin
  for name in
    select oid::regprocedure from pg_proc
    where pronamespace = 'weir'::regnamespace and 'plan_cache_mode=force_generic_plan' = any (proconfig)
  loop
    execute format('alter function %s reset plan_cache_mode', name);
  end loop;
end $$;

select plan_with_values() where on_citus();
