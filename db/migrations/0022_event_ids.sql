-- What came before is told by event itself. event_key had a row for every event, 112 bytes with its index; the index
-- below takes 36.

-- First, so that requests wait here and hold nothing that is waited for.
drop table event_key;

-- Ids that requests are accepting right now, and those since the last forget_keys(): whoever comes with the same id
-- waits for the other to commit. Uniqueness cannot live in event: a unique key of a partitioned table contains the
-- partition key, so the same id dated into another month would be a second row.
create table event_key (
  workflow_id  int not null,
  event_id     text collate "C" not null,
  primary key (workflow_id, event_id)
);

-- By hash, which keeps 4 bytes of each: half the computing of a btree for an id that is new, looked up in every month.
-- 4 bytes suffice, as the event is fetched and its id compared anyway: ids that share them cost a fetch and nothing
-- else, one in 43 of new ones where a month has a hundred million events. The workflow is the seed, so that ids such as
-- 1, 2, 3 of many workflows do not share them. The function is immutable; partitions by hash of text rest on it too, so
-- that the index survives pg_upgrade.
create index event_by_id on event using hash (hashtextextended(event_id, workflow_id));

-- One row. It changes in every transaction that takes away what an older snapshot needs to find an event: keys, or a
-- month for a copy of it. A transaction that keeps its snapshot locks the row before it records, which Postgres
-- refuses where it has changed since.
create table event_era (
  began_at  timestamptz not null
);
insert into event_era values (now());
