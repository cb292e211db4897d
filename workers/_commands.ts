/**
 * The administrative commands. Each prints its result alone on the last line of
 * stdout, so that scripts can take it; everything else goes to stderr.
 *
 * @module
 */

import { parseArgs, type ParseArgsConfig } from "node:util";
import { z } from "zod";
import {
  type Account,
  createAccount,
  createKey,
  createSignInLink,
  findAccount,
  listKeys,
  revokeKey,
} from "../db/access.ts";
import type { Sql } from "../db/client.ts";
import { createWebhook } from "../db/webhooks.ts";
import { ROLES, SCOPES, TimeZone } from "../db/schema.ts";

/** What a command works with. */
export interface Command {
  /** What follows its name. */
  args: string[];
  /** A client of an up-to-date database. */
  sql: Sql;
  /** Takes the result. */
  print(line: string): void;
  /** Where browsers reach us, without a slash at its end. */
  publicUrl(): Promise<string>;
}

/** What was asked for cannot be meant; answered with how to ask. */
export class UsageError extends Error {}

/** `account create NAME [--time-zone ZONE]`: prints the account's id. */
export async function account({ args, sql, print }: Command): Promise<void> {
  const { values, positionals } = parse(args, {
    "time-zone": { type: "string" },
  });
  const [verb, name, ...rest] = positionals;
  if (verb !== "create" || !name || rest.length > 0) {
    throw new UsageError("Cannot make an account: say `account create NAME`");
  }
  const zone = TimeZone.safeParse(values["time-zone"] ?? "UTC");
  if (!zone.success) {
    throw new UsageError(
      `Cannot make an account with the time zone "${values["time-zone"]}": ${
        zone.error.issues[0]!.message
      }`,
    );
  }
  print((await createAccount(sql, name, zone.data)).account_uuid);
}

/**
 * `key create --account ID --scopes a,b [--user ID] [--role R]` prints the key;
 * `key list --account ID` a line a key, with all but its secret; `key revoke KEY_ID
 * --account ID` the id of what opens nothing any more.
 */
export async function key({ args, sql, print }: Command): Promise<void> {
  const { values, positionals } = parse(args, {
    ...GRANT_FLAGS,
    scopes: { type: "string" },
  });
  const [verb, keyId, ...rest] = positionals;
  const takes = verb === "revoke" ? 2 : 1;
  if (
    !["create", "list", "revoke"].includes(verb ?? "") ||
    positionals.length !== takes || rest.length > 0
  ) {
    throw new UsageError(
      "Cannot tell what to do with keys: say `key create`, `key list` or `key revoke KEY_ID`",
    );
  }
  if (verb === "create") return await makeKey(sql, values, print);
  const { account_id } = await requireAccount(sql, values.account);
  if (verb === "list") {
    for (const one of await listKeys(sql, account_id)) {
      print(JSON.stringify(one));
    }
    return;
  }
  // Who has the whole key at hand may give it: only its middle is looked at.
  const id = /^weir_([0-9a-f]+)_/.exec(keyId!)?.[1] ?? keyId!;
  if (!await revokeKey(sql, account_id, id)) {
    throw new Error(`Cannot revoke the key: the account has none "${id}"`);
  }
  print(id);
}

async function makeKey(
  sql: Sql,
  flags: { account?: string; scopes?: string; user?: string; role?: string },
  print: (line: string) => void,
): Promise<void> {
  const scopes = z.array(z.enum(SCOPES)).min(1)
    .safeParse(flags.scopes?.split(",").map((scope) => scope.trim()) ?? []);
  if (!scopes.success) {
    throw new UsageError(
      `Cannot make a key: --scopes takes any of ${SCOPES.join(",")}`,
    );
  }
  const { account_id } = await requireAccount(sql, flags.account);
  const grant = { scopes: [...new Set(scopes.data)], ...grantOf(flags) };
  print(await createKey(sql, account_id, grant));
}

/** `sign-in --account ID [--user ID] [--role R]`: prints a link that works once. */
export async function signIn(command: Command): Promise<void> {
  const { args, sql, print } = command;
  const { values, positionals } = parse(args, GRANT_FLAGS);
  if (positionals.length > 0) {
    throw new UsageError(
      `Cannot make a link: "${positionals.join(" ")}" is not expected`,
    );
  }
  const { account_id } = await requireAccount(sql, values.account);
  const token = await createSignInLink(sql, account_id, grantOf(values));
  print(`${await command.publicUrl()}/sign-in?token=${token}`);
}

/** `webhook create --account ID`: prints the address, and the secret on the last line. */
export async function webhook(command: Command): Promise<void> {
  const { args, sql, print } = command;
  const { values, positionals } = parse(args, { account: { type: "string" } });
  if (positionals.join(" ") !== "create") {
    throw new UsageError("Cannot make a webhook: say `webhook create`");
  }
  const { account_id } = await requireAccount(sql, values.account);
  const { webhook_id, secret } = await createWebhook(sql, account_id);
  print(`${await command.publicUrl()}/webhooks/github/${webhook_id}`);
  print(secret);
}

/** `import FILE --account ID --workflow NAME [flags]`: prints the workflow's id. */
export async function importFile({ args, sql, print }: Command): Promise<void> {
  const { importCommand } = await import("./import.ts");
  await importCommand(sql, args, print);
}

const GRANT_FLAGS = {
  account: { type: "string" },
  user: { type: "string" },
  role: { type: "string" },
} as const;

/** A person is a member unless it is said otherwise; a machine has nothing of its own. */
function grantOf(flags: { user?: string; role?: string }) {
  const role = z.enum(ROLES)
    .safeParse(flags.role ?? (flags.user ? "member" : "admin"));
  if (!role.success) {
    throw new UsageError(`Cannot grant: --role is one of ${ROLES.join(", ")}`);
  }
  return { role: role.data, ...(flags.user ? { userId: flags.user } : {}) };
}

async function requireAccount(sql: Sql, id?: string): Promise<Account> {
  if (!id) throw new UsageError("Cannot go on: --account ID is missing");
  const found = await findAccount(sql, id);
  if (!found) throw new Error(`Cannot go on: there is no account "${id}"`);
  return found;
}

function parse<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  options: T,
) {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`Cannot go on: ${(error as Error).message}`);
  }
}
