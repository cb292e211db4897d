-- Spreads an empty Weir over the nodes of a Citus cluster, by workflow. Nobody but you runs it, once, as the owner,
-- on the coordinator, after `migrate` and before the first event:
--
--   psql --single-transaction --set ON_ERROR_STOP=1 --file db/citus.sql "$DATABASE_URL"
--
-- The extension and its nodes have to be there before `migrate`, as Citus copies functions to nodes when they are made.
-- The coordinator has to be a node of its own cluster (citus_set_coordinator_host): tables that stay on it have
-- foreign keys to those that lie everywhere. tests/cluster.ts does it all in this order.
--
-- NOT TRIED ON CITUS: there was none to try it on. tests/db/citus_test.ts runs it on a plain Postgres, where
-- stand-ins note what it asks for, and holds that against Citus's documented rules: keys, foreign keys, triggers,
-- partitions, functions, every statement, and every table of the schema in exactly one of the three groups below.
-- With TEST_CITUS_URL the suite runs there.
--
-- docs/scaling.md, One Postgres, and many, names what is otherwise there, and what nobody knows before it has run there.
set local search_path = weir, public;
set local citus.multi_shard_modify_mode = 'sequential';

-- Short ids are int, and identity columns of what is spread have to be bigint. So they come of sequences, which give
-- the same numbers, on the coordinator only: no node but it may take inserts.
do $$
declare
  c  record;
begin
  for c in
    select attrelid::regclass as relation, relname, attname from pg_attribute join pg_class on pg_class.oid = attrelid
    where relname in ('account', 'workflow', 'step', 'goal') and relnamespace = 'weir'::regnamespace
      and attidentity <> ''
  loop
    execute format('alter table %s alter %I drop identity', c.relation, c.attname);
    execute format('create sequence %I', c.relname || '_ids');
    execute format('select setval(%L, max(%I)) from %s', c.relname || '_ids', c.attname, c.relation);
    execute format('alter table %s alter %I set default nextval(%L)', c.relation, c.attname, c.relname || '_ids');
    execute format('grant usage on sequence %I to weir_work', c.relname || '_ids');
  end loop;
end $$;

-- Citus reaches nodes as whoever asks, and the worker asks as weir_work. Without a password: how nodes let it in is up
-- to you (pg_hba.conf, pg_dist_authinfo).
do $$
begin
  if not (select rolcanlogin from pg_roles where rolname = 'weir_work') then
    alter role weir_work login;
  end if;
end $$;

-- Else plans without values could not be sent to one node.
select plan_with_values();

-- On every node, whole: few rows, seldom changed, joined with everything.
select create_reference_table('account');
select create_reference_table('workflow');
select create_reference_table('api_key');
select create_reference_table('session');
select create_reference_table('sign_in_link');
select create_reference_table('webhook');
select create_reference_table('preference');
select create_reference_table('share');

-- By workflow, all that is of one on one node. Partitions go with their table.
select create_distributed_table('workflow_revision', 'workflow_id');
select create_distributed_table(name, 'workflow_id', colocate_with => 'workflow_revision')
from unnest(array[
  'workflow_version', 'step', 'goal', 'event', 'event_key', 'event_queue', 'quality_count',
  'execution', 'execution_step', 'execution_goal', 'parked_action', 'returning_contact',
  'workflow_running', 'workflow_rollup', 'reason_rollup', 'goal_rollup', 'step_rollup', 'action_rollup',
  'histogram_rollup', 'histogram_window', 'window_histogram', 'window_slice', 'window_edge', 'changed_day', 'view_revision'
]) as name;

-- On the coordinator alone, where the jobs run. Nothing to be done for these; they are named so that a new table is
-- not forgotten:
-- local: applied, job, view_refresh, refresh_request, audit_drift, touched_month, access_log, export_job, export_chunk
-- local: report, report_delivery, event_era
