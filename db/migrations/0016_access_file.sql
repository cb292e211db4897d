-- The access log tells which file went out.

alter table access_log
  add column bytes bigint,                                       -- that were sent, null: not of a file that was made before
  add column sha256 text;                                        -- of the whole file
