-- Who acts in the database: the migrator owns everything, weir_work works, weir_web serves. What the last may
-- do is all in 95_grants.sql. Neither may log in: a session takes the role on (`role` of its startup), or its
-- login was granted it.

-- make_role(name): a role of the cluster that the migrator may take on. Several databases share it, and may be
-- migrated at once. Where roles cannot be made (some managed Postgres) it warns, and all is done by the owner.
create or replace function make_role(name text) returns void
language plpgsql
set search_path = weir, pg_temp as $$
begin
  if not exists (select from pg_roles where rolname = name) then
    begin
      execute format('create role %I nologin', name);
    exception when duplicate_object or unique_violation then null;  -- by another migrator, just now
    end;
  end if;
  -- On 16 and later, who made a role may grant it, and not take it on.
  if not (select rolsuper from pg_roles where rolname = current_user)
      and not pg_has_role(current_user, name, 'member') then
    execute format('grant %I to current_user', name);
  end if;
exception when insufficient_privilege then
  raise warning 'Cannot make the role %: % may not; requests are served by the owner of the tables, see docs/operating.md',
    name, current_user;
end $$;

select make_role(name) from unnest(array['weir_web', 'weir_work']) as name;

-- may_take_on(name): whether this session may act as a role, which there may not be.
-- Callers: pickRole() of db/roles.ts, before it serves or works.
create or replace function may_take_on(name text) returns boolean
language sql stable
return coalesce((select pg_has_role(session_user, oid, 'member') from pg_roles where rolname = name), false);
