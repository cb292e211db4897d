-- The list of an account's workflows.

drop function if exists matching_workflows(int, text, text, text);
drop function if exists workflow_headline(int, date, int, timestamptz);

-- workflow_headlines(ids, today, days): the last days of workflows, today included, cohort attributed. Those in which
-- nothing has changed since the view of headlines was refreshed, today, are read from there.
--   running  enrolled and not ended, whenever dated
-- Callers: workflow_listing().
create or replace function workflow_headlines(ids int[], today date, days int)
returns table (workflow_id int, enrolled int, running int, completed int, converted int)
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  with ready as materialized (
    select s.workflow_id, s.enrolled, s.running, s.completed, s.converted
    from unnest(ids) as w(workflow_id) join workflow_headline_sums s on s.workflow_id = w.workflow_id
    join view_revision v on v.view = 'workflow_headline_sums' and v.workflow_id = w.workflow_id
    join workflow_revision r on r.workflow_id = w.workflow_id and r.revision = v.revision
    where s.last_day = today and s.days = workflow_headlines.days
  ), other as materialized (
    select unnest(ids) as workflow_id except select workflow_id from ready
  ), sums as materialized (
    select q.workflow_id, sum(q.enrolled) as enrolled, sum(q.cohort_completed) as completed,
      sum(q.cohort_converted) as converted
    from other w join workflow_rollup q on q.workflow_id = w.workflow_id and q.grain = 'day'
      and q.bucket between day_key(today - (workflow_headlines.days - 1)) and day_key(today)
    group by q.workflow_id
  ), running as materialized (
    select v.workflow_id, sum(v.executions) as executions
    from other w join workflow_running v on v.workflow_id = w.workflow_id
    group by v.workflow_id
  )
  select r.workflow_id, r.enrolled::int, r.running::int, r.completed::int, r.converted::int from ready r
  union all
  select w.workflow_id, coalesce(s.enrolled, 0)::int, coalesce(r.executions, 0)::int, coalesce(s.completed, 0)::int,
    coalesce(s.converted, 0)::int
  from other w left join sums s on s.workflow_id = w.workflow_id left join running r on r.workflow_id = w.workflow_id;
end $$;

-- daily_enrolled(ids, today, days): how many were enrolled into workflows on each of their last days, oldest first.
-- Callers: workflow_listing().
create or replace function daily_enrolled(ids int[], today date, days int)
returns table (workflow_id int, daily int[])
language plpgsql stable
set search_path = weir, pg_temp
set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  keys  timestamptz[] := array(select day_key(today - days + n) from generate_series(1, days) as n order by n);
begin
  return query
  with sums as materialized (
    select q.workflow_id, q.bucket, sum(q.enrolled)::int as enrolled
    from unnest(ids) as w(workflow_id) join workflow_rollup q on q.workflow_id = w.workflow_id and q.grain = 'day'
      and q.bucket between keys[1] and keys[days]
    group by q.workflow_id, q.bucket
  )
  -- By a join of all their days it took three times as long.
  select w.workflow_id, array(select coalesce(s.enrolled[array_position(s.buckets, key)], 0) from unnest(keys) as key)
  from unnest(ids) as w(workflow_id) left join (
    select workflow_id, array_agg(bucket) as buckets, array_agg(enrolled) as enrolled from sums group by workflow_id
  ) s on s.workflow_id = w.workflow_id;
end $$;

drop function if exists workflow_listing(int, timestamptz, int, text, text, text, text, int, int);

-- workflow_listing(…): a page of an account's workflows, each with its last days, today included, in the account's
-- zone, cohort attributed. By name the page is chosen first, so that its cost is not the account's; by a number all
-- that match have to be counted first, so more than ranked_max of them are refused.
--
--   search     part of the name, in any case; null for all, as only_status and only_owner
--   sort_name  the name, or the id, in lower case
--   sort       'name', or a number of the list: see rank below
--   falls      the greatest first, or the end of the alphabet. Rates of nobody are last either way
--   after_rank, after_name, after_id  rank, sort_name and workflow_id that the page before ended with; nulls for
--              the first page
--   rank       the least comes first, equals by name; 0 by name
--   daily      how many were enrolled on each of the days, oldest first
-- Fails with program_limit_exceeded where there are too many.
-- Callers: listWorkflows() of db/workflows.ts. Repeat: harmless, it only reads.
create or replace function workflow_listing(
  account int, now timestamptz, days int,
  search text, only_status text, only_owner text, sort text, falls boolean,
  after_rank float8, after_name text, after_id int, rows_max int, ranked_max int
) returns table (
  workflow_id int, workflow_uuid uuid, name text, status text, sort_name text, rank float8,
  total_enrolled int, currently_active int, completed int, goals_achieved int, daily int[], as_of text
)
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  today       date := (
    select (workflow_listing.now at time zone a.time_zone)::date from account a where a.account_id = account);
  by_name     boolean := sort = 'name';
  z_to_a      boolean := by_name and falls;
  ids         int[];
  uuids       uuid[];
  names       text[];
  statuses    text[];
  sort_names  text[];
begin
  select array_agg(c.workflow_id), array_agg(c.workflow_uuid), array_agg(c.name), array_agg(c.status),
    array_agg(c.sort_name)
  into ids, uuids, names, statuses, sort_names
  from (
    select * from (
      select w.workflow_id, w.workflow_uuid, w.name, w.status,
        lower(coalesce(w.name, w.workflow_uuid::text)) collate "C" as sort_name
      from workflow w
      where w.account_id = account and (only_status is null or w.status = only_status)
        and (only_owner is null or w.owner_id = only_owner)
    ) m
    where (search is null or strpos(m.sort_name, lower(search)) > 0)
      and (not by_name or after_name is null
        or case when z_to_a then (m.sort_name, m.workflow_id) < (after_name collate "C", after_id)
          else (m.sort_name, m.workflow_id) > (after_name collate "C", after_id) end)
    order by case when z_to_a then m.sort_name end desc, case when z_to_a then m.workflow_id end desc,
      m.sort_name, m.workflow_id
    limit case when by_name then rows_max else ranked_max + 1 end
  ) c;
  if not by_name and cardinality(ids) > ranked_max then
    raise program_limit_exceeded using message = format('Cannot sort more than %s workflows by a number', ranked_max);
  end if;
  -- Of no table, so that what it calls is called here on Citus too.
  return query
  with counted as materialized (
    select c.workflow_id, c.workflow_uuid, c.name, c.status, c.sort_name collate "C" as sort_name,
      h.enrolled, h.completed, h.converted, r.running,
      case when by_name then 0 else coalesce(case when falls then -1.0::float8 else 1 end * case sort
        when 'total_enrolled' then h.enrolled
        when 'currently_active' then r.running
        when 'completion_rate' then h.completed::float8 / nullif(h.enrolled, 0)
        when 'conversion_rate' then h.converted::float8 / nullif(h.enrolled, 0)
      end, 'infinity') end as rank
    from unnest(ids, uuids, names, statuses, sort_names) as c(workflow_id, workflow_uuid, name, status, sort_name)
    join workflow_headlines(ids, today, workflow_listing.days) h using (workflow_id)
    cross join lateral (
      select (h.running - net_ahead(c.workflow_id, workflow_listing.now, null))::int as running
      offset 0  -- else it is asked twice
    ) r
  ), page as materialized (
    select * from counted c
    where by_name or after_id is null
      or (c.rank, c.sort_name, c.workflow_id) > (after_rank, after_name collate "C", after_id)
    order by c.rank, case when z_to_a then c.sort_name end desc, case when z_to_a then c.workflow_id end desc,
      c.sort_name, c.workflow_id
    limit rows_max
  )
  select p.workflow_id, p.workflow_uuid, p.name, p.status, p.sort_name, p.rank::float8,
    p.enrolled, p.running, p.completed, p.converted,
    d.daily, iso_instant(as_of(p.workflow_id, workflow_listing.now))
  from page p
  join daily_enrolled(array(select page.workflow_id from page), today, workflow_listing.days) d using (workflow_id)
  order by p.rank, case when z_to_a then p.sort_name end desc, case when z_to_a then p.workflow_id end desc,
    p.sort_name, p.workflow_id;
end $$;
