-- The list of an account's workflows.

-- matching_workflows(account, search, only_status, only_owner): those that a list is of.
--   search     part of the name, in any case; null for all, as the others
--   sort_name  the name, or the id, in lower case
-- Callers: workflow_listing(), which it is written into.
create or replace function matching_workflows(account int, search text, only_status text, only_owner text)
returns table (workflow_id int, workflow_uuid uuid, name text, status text, sort_name text)
language sql stable as $$
  select * from (
    select w.workflow_id, w.workflow_uuid, w.name, w.status,
      lower(coalesce(w.name, w.workflow_uuid::text)) collate "C" as sort_name
    from weir.workflow w
    where w.account_id = account
      and (only_status is null or w.status = only_status)
      and (only_owner is null or w.owner_id = only_owner)
  ) named
  where search is null or strpos(named.sort_name, lower(search)) > 0 $$;

-- workflow_headline(workflow, today, days, now): its last days, today included, cohort attributed. One in which
-- nothing has changed since the view of headlines was refreshed, today, is read from there.
-- Callers: workflow_listing(), which it is written into.
create or replace function workflow_headline(workflow int, today date, days int, now timestamptz)
returns table (enrolled int, running int, completed int, converted int)
language sql stable as $$
  select coalesce(h.enrolled, sums.enrolled, 0)::int,
    (coalesce(h.running, running.executions, 0) - weir.net_ahead(one.workflow_id, now, null))::int,
    coalesce(h.completed, sums.completed, 0)::int, coalesce(h.converted, sums.converted, 0)::int
  from (select workflow as workflow_id) one
  left join lateral (
    select s.workflow_id, s.enrolled, s.running, s.completed, s.converted from weir.workflow_headline_sums s
    join weir.view_revision v on v.view = 'workflow_headline_sums' and v.workflow_id = s.workflow_id
    join weir.workflow_revision r on r.workflow_id = s.workflow_id and r.revision = v.revision
    where s.workflow_id = one.workflow_id and s.last_day = today and s.days = workflow_headline.days
  ) h on true
  left join lateral (
    select sum(q.enrolled) as enrolled, sum(q.cohort_completed) as completed, sum(q.cohort_converted) as converted
    from weir.workflow_rollup q
    where h.workflow_id is null and q.workflow_id = one.workflow_id and q.grain = 'day'
      and q.bucket between weir.day_key(today - (days - 1)) and weir.day_key(today)
  ) sums on true
  left join lateral (
    select sum(v.executions) as executions from weir.workflow_running v
    where h.workflow_id is null and v.workflow_id = one.workflow_id
  ) running on true $$;

drop function if exists workflow_listing(int, timestamptz, int, text, text, text, text, int, int);

-- workflow_listing(…): a page of an account's workflows, each with its last days, today included, in the account's
-- zone, cohort attributed. By name the page is chosen first, so that its cost is not the account's; by a number all
-- that match have to be counted first, so more than ranked_max of them are refused.
--
--   search, only_status, only_owner   as of matching_workflows()
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
  today    date := (select (workflow_listing.now at time zone a.time_zone)::date from account a where a.account_id = account);
  by_name  boolean := sort = 'name';
  z_to_a   boolean := by_name and falls;
begin
  if not by_name and (select count(*) > ranked_max from (
    select from matching_workflows(account, search, only_status, only_owner) limit ranked_max + 1
  ) counted) then
    raise program_limit_exceeded using message = format('Cannot sort more than %s workflows by a number', ranked_max);
  end if;
  return query
  with chosen as materialized (
    select m.* from matching_workflows(account, search, only_status, only_owner) m
    where not by_name or after_name is null
      or case when z_to_a then (m.sort_name, m.workflow_id) < (after_name collate "C", after_id)
        else (m.sort_name, m.workflow_id) > (after_name collate "C", after_id) end
    order by case when z_to_a then m.sort_name end desc, case when z_to_a then m.workflow_id end desc,
      m.sort_name, m.workflow_id
    limit case when by_name then rows_max end
  ), counted as materialized (
    select c.*, h.*,
      case when by_name then 0 else coalesce(case when falls then -1.0::float8 else 1 end * case sort
        when 'total_enrolled' then h.enrolled
        when 'currently_active' then h.running
        when 'completion_rate' then h.completed::float8 / nullif(h.enrolled, 0)
        when 'conversion_rate' then h.converted::float8 / nullif(h.enrolled, 0)
      end, 'infinity') end as rank
    from chosen c
    cross join lateral workflow_headline(c.workflow_id, today, workflow_listing.days, workflow_listing.now) h
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
    array(
      select coalesce(d.enrolled, 0)::int
      from generate_series(1, workflow_listing.days) n
      left join (
        select q.bucket, sum(q.enrolled) as enrolled from workflow_rollup q
        where q.workflow_id = p.workflow_id and q.grain = 'day'
          and q.bucket between day_key(today - (workflow_listing.days - 1)) and day_key(today)
        group by q.bucket
      ) d on d.bucket = day_key(today - workflow_listing.days + n)
      order by n),
    iso_instant(as_of(p.workflow_id, workflow_listing.now))
  from page p
  order by p.rank, case when z_to_a then p.sort_name end desc, case when z_to_a then p.workflow_id end desc,
    p.sort_name, p.workflow_id;
end $$;
