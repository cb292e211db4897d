-- Whatever is known of an execution, it has a row in execution, so that fold() looks for steps, goals and actions of
-- those alone that have one: of most executions of a batch nobody has heard before.

-- A fold that has begun would leave others out by the functions of before: stage_workflows() waits for this.
lock table only workflow_rollup in share row exclusive mode;

insert into execution (workflow_id, execution_id)
select workflow_id, execution_id from execution_step
union select workflow_id, execution_id from execution_goal
union select workflow_id, execution_id from parked_action
except select workflow_id, execution_id from execution;
