import { deepStrictEqual, ok } from "node:assert/strict";
import { dbTest } from "../harness.ts";

dbTest(
  "what lies below a workflow could be spread by workflow",
  async ({ sql }) => {
    const tables = await sql<{ name: string }[]>`
    select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'weir'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and a.attname = 'workflow_id'`;
    const below = tables.map(({ name }) => name).filter((name) =>
      // These are of the account, and few: they would be everywhere.
      !["workflow", "refresh_request", "export_job"]
        .includes(name)
    );
    ok(below.includes("event") && below.includes("quality_count"));
    const keys = await sql<{ name: string; columns: string[] }[]>`
    select i.indexrelid::regclass::text as name,
      array(select attname::text from pg_attribute where attrelid = i.indrelid and attnum = any (i.indkey)) as columns
    from pg_index i join pg_class c on c.oid = i.indrelid
    where i.indisunique and c.relnamespace = 'weir'::regnamespace and c.relname = any (${below})`;
    ok(keys.length >= 15);
    deepStrictEqual(
      keys.filter(({ columns }) => !columns.includes("workflow_id")),
      [],
    );
    const links = await sql<{ link: string }[]>`
    select conrelid::regclass || ' -> ' || confrelid::regclass as link from pg_constraint
    where contype = 'f' and connamespace = 'weir'::regnamespace
      and conrelid::regclass::text = any (${
      below.map((name) => `weir.${name}`)
    })
      and confrelid <> 'weir.workflow'::regclass`;
    deepStrictEqual([...links], []);
    const triggers = await sql<{ name: string }[]>`
    select tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where not tgisinternal and c.relnamespace = 'weir'::regnamespace`;
    deepStrictEqual([...triggers], []);
  },
);
