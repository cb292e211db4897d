-- What changed in which days, so that a read knows which of a view's days to take from the rollups instead.

-- One row a day of a workflow that fold() has ever counted in; revision: of the workflow when it last did.
-- As many rows as workflow_rollup has days, and gone with them.
create table changed_day (
  workflow_id  int not null,
  bucket       timestamptz not null,                             -- key of grain 'day'
  revision     bigint not null,
  primary key (workflow_id, bucket)
) with (fillfactor = 50);

-- What changed before this table was there is not in it: the views have to be refreshed to be believed.
delete from view_revision;
delete from view_refresh;
