-- What weir_web and weir_work may do, all of it, and anew each time.
--
-- weir_web may read no table and no view. It may call the functions below, each of which is security definer
-- with a search path of its own, and takes the account as a parameter: the tenant is part of the one statement
-- that a request is, so that no session state can carry it over to another's, whatever pooler stands between.
-- Without an account, or with another's, every one of them returns nothing; tests/db/isolation_test.ts tries
-- each. A function that routes call is added here.
do $$
declare
  for_web  text[] := array[
    -- of an account
    'record_events', 'put_workflow', 'workflow_head', 'read_workflow', 'workflow_listing', 'read_summary', 'read_analytics',
    'read_contacts', 'read_funnel', 'read_contact_funnel', 'read_actions', 'ask_refresh', 'read_refresh',
    'read_access_log', 'list_access_log', 'read_distribution', 'list_executions', 'read_execution', 'erase_contact', 'read_revision',
    'read_quality', 'note_refusals', 'next_change', 'read_preferences', 'write_preferences', 'preferences_version',
    'export_head', 'export_executions', 'export_execution_rows', 'request_export', 'list_exports', 'read_export',
    'cancel_export', 'retry_export', 'read_export_chunk', 'create_share', 'list_shares', 'revoke_share',
    'add_report', 'list_reports', 'remove_report', 'enable_report', 'send_report',
    -- of whoever has the secret
    'find_key', 'find_webhook', 'find_session', 'find_sign_in_link', 'begin_session', 'end_session', 'open_export', 'account_of_export',
    'find_share',
    -- of nobody's data
    'find_account', 'note_keys_used', 'record_access', 'read_pipeline', 'count_exports', 'read_position',
    -- how often workflows have changed, known by their ids
    'read_revisions'];
  missing  text;
  f        record;
begin
  if to_regrole('weir_web') is null or to_regrole('weir_work') is null then
    return;
  end if;
  select string_agg(name, ', ') into missing from unnest(for_web) as name
  where not exists (select from pg_proc where proname = name and pronamespace = 'weir'::regnamespace);
  if missing is not null then
    raise 'Cannot grant what there is not: %', missing;
  end if;

  revoke all on schema weir from public, weir_web, weir_work;
  revoke all on all tables in schema weir from public, weir_web, weir_work;
  revoke all on all routines in schema weir from public, weir_web, weir_work;
  grant usage on schema weir to weir_web, weir_work;

  for f in
    select p.oid::regprocedure as signature, p.prosecdef, p.proconfig
    from pg_proc p where p.pronamespace = 'weir'::regnamespace and p.proname = any (for_web)
  loop
    if not f.prosecdef or not 'search_path=weir, pg_temp' = any (coalesce(f.proconfig, '{}')) then
      raise 'Cannot grant %: it must be security definer with search_path = weir, pg_temp', f.signature;
    end if;
    execute format('grant execute on function %s to weir_web', f.signature);
  end loop;

  -- The worker is ours alone: it moves every number, but sees no secret and rewrites no access log.
  grant execute on all routines in schema weir to weir_work;
  grant select, insert, update, delete, truncate on all tables in schema weir to weir_work;
  -- Months that are made later, by whoever migrated.
  alter default privileges in schema weir grant select, insert, update, delete on tables to weir_work;
  for f in
    select c.oid::regclass as signature from pg_class c
    where c.relnamespace = 'weir'::regnamespace and c.relkind in ('r', 'p')
      and c.relname ~ '^(api_key|session|sign_in_link|webhook|share|applied|access_log.*)$'
  loop
    execute format('revoke all on %s from weir_work', f.signature);
  end loop;
end $$;
