-- How long it took from enrolment to the conversion: what the page of a workflow draws beside the percentiles.

-- read_distribution(…): {head, bins} of a range, null when the account has no such workflow. bins: [[microseconds,
-- conversions], …], fastest first; from the histograms where the range is made of the account's days, exactly
-- (in the histogram's bins) from the executions elsewhere.
--
-- attribution  'cohort': of those enrolled in the range; 'event': of those who converted in it
-- Callers: readDistribution() of db/distribution.ts. Repeat: harmless, it only reads.
create or replace function read_distribution(
  account int, id uuid, first_day date, last_day date, zone text, attribution text, only_version int, now timestamptz
) returns json
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  r       record;
  cohort  boolean := attribution = 'cohort';
  what    measure := case when cohort then 'cohort_conversion' else 'conversion' end;
  since   timestamptz;
  until   timestamptz;
  bins    json;
begin
  r := read_head(account, id, first_day, last_day, zone, null, only_version, now);
  if r.workflow is null then
    return null;
  end if;
  since := r.keys[1];
  until := r.keys[cardinality(r.keys)];

  if r.grain <> '15min' then
    bins := (
      select json_agg(json_build_array(histogram_value((array_lower(h.samples, 1) + n.nth - 1)::smallint), n.samples)
        order by array_lower(h.samples, 1) + n.nth)
      from histograms(r.workflow, what, r.grain, since, until, only_version) h
      cross join lateral unnest(h.samples) with ordinality as n(samples, nth)
      where n.samples > 0);
  else
    bins := (
      select json_agg(json_build_array(histogram_value(bin::smallint), samples) order by bin) from (
        select histogram_bin(microseconds(e.converted_at - e.enrolled_at)) as bin, count(*) as samples
        from execution e
        where e.workflow_id = r.workflow and e.converted_at is not null
          and case when cohort then e.enrolled_at else e.converted_at end >= since
          and case when cohort then e.enrolled_at else e.converted_at end < until
          and (only_version is null or e.version = only_version)
        group by 1
      ) b);
  end if;
  return json_build_object('head', r.head, 'bins', coalesce(bins, '[]'));
end $$;
