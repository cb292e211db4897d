-- Whom a number of contacts differs from a number of executions by, so that unit=contact costs what they cost.

-- Contacts that were enrolled more than once in a workflow, kept by fold(). One too many does no harm: it is counted
-- by its executions. One too few would be counted once each.
create table returning_contact (
  workflow_id  int not null,
  contact_id   text collate "C" not null,
  primary key (workflow_id, contact_id)
);

-- A fold that has begun would count its contacts by the functions of before: stage_workflows() waits for this.
lock table only workflow_rollup in share row exclusive mode;

insert into returning_contact (workflow_id, contact_id)
select workflow_id, contact_id from execution where enrolled_at is not null
group by workflow_id, contact_id having count(*) > 1;
