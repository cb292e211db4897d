-- Every update of these changes what an index is of (an end, a completion), so none can stay in its page, and the room
-- that was left for that in each was left for nothing: 12 bytes an event.
alter table execution set (fillfactor = 100);
alter table execution_step set (fillfactor = 100);
