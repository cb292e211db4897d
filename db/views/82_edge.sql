-- What the edge asks: how long an answer may be kept, and what others may see without being users.

-- next_change(account, id, now): when next an execution of the workflow begins or ends that is dated ahead; null
-- when none is. Until then what runs at now is the same, as long as the revision is.
--
-- Callers  readNextChange() of db/live.ts, after a read whose range is not over.
create or replace function next_change(account int, id uuid, now timestamptz) returns timestamptz
language plpgsql stable security definer
set search_path = weir, pg_temp as $$
declare
  workflow  int := (select w.workflow_id from workflow w where w.workflow_uuid = id and w.account_id = account);
begin
  return least(
    (select min(e.enrolled_at) from execution e where e.workflow_id = workflow and e.enrolled_at >= now),
    (select min(e.ended_at) from execution e where e.workflow_id = workflow and e.ended_at >= now));
end $$;
