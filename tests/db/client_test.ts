import { deepStrictEqual } from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { dbTest } from "../harness.ts";

dbTest("connect() tells of warnings, and of nothing less", async (world) => {
  const told: string[] = [];
  const sql = connect(world.database_url, {
    max: 1,
    statementTimeoutMs: 1_000,
    onWarning: (text) => told.push(text),
  });
  try {
    await sql.unsafe(`do $$ begin
      raise notice 'by the way';
      raise warning 'Cannot fold workflow 7';
    end $$`);
  } finally {
    await sql.end();
  }
  deepStrictEqual(told, ["Cannot fold workflow 7"]);
});
