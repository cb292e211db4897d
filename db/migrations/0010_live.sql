-- What a change of the definition makes of a workflow's revision, so that caches and streams notice it.

-- How often its name, status, owner, settings, steps or goals have changed. Beside workflow_revision, which a
-- fold holds locked for as long as it runs: whoever changes a definition must not wait for it.
alter table workflow add column settings_revision bigint not null default 0;
