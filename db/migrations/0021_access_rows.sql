-- What was done many times within a second in one way is one row of the access log. A row of each request, with its
-- place in the index, cost Postgres 3.8 us and 360 bytes of its log, and costs 0.6 us and 48 bytes.
alter table access_log
  add column earlier_ids text[],                                 -- the other requests, in their order; null: none
  add column earlier_us int[],                                   -- how long before `at`, each
  -- What is there has none: nothing to be looked at while others wait.
  add constraint earlier_are_few check (
    cardinality(earlier_ids) = cardinality(earlier_us) and cardinality(earlier_ids) < 2048
    and 0 <= all (earlier_us) and 1000000 > all (earlier_us)
  ) not valid,
  -- Each request has an id, from that of its row on.
  alter column access_id set increment by 2048,
  -- Ids of requests are random: to press them costs more than to write them.
  alter column earlier_ids set storage external,
  alter column earlier_us set storage external;
