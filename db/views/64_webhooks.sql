-- find_webhook(id): whose a webhook is and what signs it; no row when there is none, or it was revoked.
-- Names no account because it is what an account is found by.
-- Callers  findWebhook() of db/webhooks.ts.
create or replace function find_webhook(id text) returns table (account_id int, account_uuid uuid, secret text)
language sql stable security definer
set search_path = weir, pg_temp
begin atomic
  select a.account_id, a.account_uuid, w.secret
  from weir.webhook w join weir.account a using (account_id)
  where w.webhook_id = id and w.revoked_at is null;
end;
