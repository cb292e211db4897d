-- Conversions by when they happened. Most come with an end, whose index changes anyway.
create index execution_by_conversion on execution (workflow_id, converted_at) where converted_at is not null;
