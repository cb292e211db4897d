/**
 * A session that tells the plans of what it runs, of statements inside of functions too.
 *
 * @module
 */

import postgres from "postgres";
import type { Sql } from "../../db/client.ts";

const SETTINGS = {
  "auto_explain.log_min_duration": "0",
  "auto_explain.log_nested_statements": "on",
  "auto_explain.log_analyze": "on",
  "auto_explain.log_timing": "off",
  "auto_explain.log_format": "json",
  client_min_messages: "log",
};

/**
 * Opens one, hands it to somebody, and closes it.
 *
 * @param tell Told each plan, as auto_explain writes it, and what else Postgres says.
 */
export async function withExplained(
  databaseUrl: string,
  tell: (message: string) => void,
  run: (sql: Sql) => Promise<void>,
): Promise<void> {
  const sql = postgres(databaseUrl, {
    max: 1,
    onnotice: ({ message }) => tell(message!),
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
  }) as unknown as Sql;
  try {
    await sql`load 'auto_explain'`;
    for (const [name, value] of Object.entries(SETTINGS)) {
      await sql`select set_config(${name}, ${value}, false)`;
    }
    await run(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
