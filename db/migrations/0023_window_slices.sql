-- Exact percentiles of the last days, in a zone that is not the account's, were found by reading the samples of whole
-- bins, a hundredth of all, and by counting the hours at the range's ends bin by bin. These hold the few samples that
-- matter, of the windows of histogram_window: kept by the fold, and made by make_windows() where a measure has many.

-- sliced     the measures of which window_slice and window_edge are kept
-- sliced_at  when slices were last made, or found to be good still
alter table histogram_window add sliced measure[] not null default '{}';
alter table histogram_window add sliced_at timestamptz not null default '-infinity';

-- The samples of a window about the rank of a percentile, least first: all from us_from to us_until, both included.
-- place  of the percentile in histogram_ranks()
-- below  so many samples of the window are less than us_from and in its bin, first_bin; bins before that are counted in
--        window_histogram
-- alike  where too many are alike to be held: of one value, us_from, how many there are, and samples is empty; else null
create table window_slice (
  workflow_id  int not null,
  measure      measure not null,
  days         int not null,
  subject_id   int not null,
  place        smallint not null,
  first_bin    smallint not null,
  last_bin     smallint not null,
  us_from      bigint not null,
  us_until     bigint not null,
  below        int not null,
  alike        int,
  samples      bigint[] not null,
  primary key (workflow_id, measure, days, subject_id, place)
) with (fillfactor = 50);
alter table window_slice alter samples set storage external;     -- not written again when below changes

-- The samples of the day that a window begins with and of the day before, least first, by quarters of an hour: what a
-- range of another zone has less, or more.
create table window_edge (
  workflow_id  int not null,
  measure      measure not null,
  quarter      timestamptz not null,
  subject_id   int not null,
  samples      bigint[] not null,
  primary key (workflow_id, measure, quarter, subject_id)
);
