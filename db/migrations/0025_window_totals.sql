-- What a fold adds to a window is a row of its own until it meets the one that is there, and a generated column was worked
-- out for both: a quarter of the time. The fold works out the sum of the two, once.
-- total  of samples
-- bins   null where they are as one fold has brought them, few, and ranked as they are read; or where there are none
alter table window_histogram alter bins drop expression;
alter table window_histogram add total bigint;
update window_histogram set total = (select coalesce(sum(n), 0) from unnest(samples) as n);
alter table window_histogram alter total set not null;
