/**
 * Addresses that others call, signing what they send.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import type { Sql } from "./client.ts";

/** Whose a webhook is. */
export interface Webhook {
  account_id: number;
  account_uuid: string;
  /** What the other side signs with. */
  secret: string;
}

/**
 * Makes a webhook for GitHub.
 *
 * @param sql Client.
 * @param accountId Whose events it reports.
 * @returns Its id, which is part of its address, and its secret.
 */
export async function createWebhook(
  sql: Sql,
  accountId: number,
): Promise<{ webhook_id: string; secret: string }> {
  const webhook_id = randomBytes(16).toString("hex");
  const secret = randomBytes(32).toString("base64url");
  await sql`
    insert into weir.webhook (webhook_id, account_id, provider, secret)
    values (${webhook_id}, ${accountId}, 'github', ${secret})`;
  return { webhook_id, secret };
}

/**
 * Finds a webhook.
 *
 * @returns `null` when there is none of this id, or it was revoked.
 */
export async function findWebhook(
  sql: Sql,
  webhookId: string,
): Promise<Webhook | null> {
  const [webhook] = await sql<Webhook[]>`
    select * from weir.find_webhook(${webhookId})`;
  return webhook ?? null;
}
