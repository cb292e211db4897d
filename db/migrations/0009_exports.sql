-- Executions by what people know of them: a contact, a word of an error.

-- For erase_contact() and the search of executions; ids by their first characters.
create index execution_by_contact on execution (workflow_id, contact_id) where contact_id is not null;

-- event_words(workflow, error): what a search for words finds an event by. The workflow is one of the words, so
-- that a word that is common elsewhere costs nothing here; with a space in it, it is no word that anybody writes.
create function event_words(workflow_id int, error text) returns tsvector
language sql immutable parallel safe
return to_tsvector('simple'::regconfig, error) || array_to_tsvector(array['workflow ' || workflow_id::text]);

-- Few events have an error, so accepting events costs nothing more.
create index event_by_error on event using gin (event_words(workflow_id, error)) where error is not null;
