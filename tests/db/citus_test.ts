/**
 * `db/citus.sql`, which spreads the schema over nodes: held against the rules of Citus
 * where there is none, and run where there is one.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createAccount, findAccount } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { listExecutions } from "../../db/executions.ts";
import { refreshAll } from "../../db/jobs.ts";
import { readLive } from "../../db/live.ts";
import { migrate } from "../../db/migrate.ts";
import { AnalyticsQuery, ExecutionsQuery } from "../../db/schema.ts";
import { auditCommand } from "../../workers/audit.ts";
import { dbTest, type World } from "../harness.ts";

const SCRIPT = await Deno.readTextFile(
  new URL("../../db/citus.sql", import.meta.url),
);

/** Tables of one workflow must lie together with this one. */
const ANCHOR = "workflow_revision";

/** Coordinator of a cluster, at an empty database with the extension and its nodes. */
const CITUS_URL = Deno.env.get("TEST_CITUS_URL");

/** Where the script wants a table to lie. */
interface Placement {
  name: string;
  /** `null`: whole, on every node. */
  by: string | null;
  beside: string | null;
}

/** Runs the script with stand-ins for what Citus does, which note that they were called. */
async function place(sql: Sql): Promise<Placement[]> {
  await sql.unsafe(`
    create table public.placed (name text, by text, beside text);
    create function public.create_reference_table(name text) returns void language sql as $$
      insert into public.placed select relname, null, null from pg_class where oid = name::regclass $$;
    create function public.create_distributed_table(name text, by text, colocate_with text default null)
    returns void language sql as $$
      insert into public.placed select relname, by, colocate_with from pg_class where oid = name::regclass $$;`);
  await sql.begin((tx) => tx.unsafe(SCRIPT));
  return [...await sql<Placement[]>`select * from public.placed`];
}

/** Events by SQL, folded, refreshed, read in every way and audited: what is counted of them. */
async function useAll(
  { sql, work, snapshots }: Pick<World, "sql" | "work" | "snapshots">,
): Promise<void> {
  const { account_uuid } = await createAccount(sql, "Spread", "UTC");
  const { account_id } = (await findAccount(sql, account_uuid))!;
  const workflows = Array.from({ length: 5 }, () => crypto.randomUUID());
  const step_id = crypto.randomUUID();
  for (const workflow_id of workflows) {
    const event = {
      workflow_id,
      execution_id: crypto.randomUUID(),
      contact_id: "ada",
      occurred_at: new Date().toISOString(),
    };
    const record = (more: Record<string, string>) =>
      sql`select weir.record(${account_uuid}, ${
        sql.json({ ...event, ...more })
      })`;
    await record({ id: "1", type: "execution.enrolled", source: "api" });
    await record({ id: "2", type: "step.entered", step_id });
    await record({ id: "2", type: "step.entered", step_id });
  }
  while (await fold(work) > 0);
  await refreshAll(work);
  const today = new Date().toISOString().slice(0, 10);
  const query = AnalyticsQuery.parse({ start_date: today, end_date: today });
  for (const id of workflows) {
    const live = await readLive(work, account_id, id, query, new Date());
    strictEqual(live!.analytics.summary.total_enrolled, 1);
    strictEqual(live!.funnel.funnel_steps[0]!.entered, 1);
    const list = await listExecutions(
      work,
      account_id,
      id,
      ExecutionsQuery.parse({}),
      new Date(),
    );
    strictEqual(list!.executions.length, 1);
  }
  const drift: string[] = [];
  ok(
    await auditCommand(snapshots, (line) => drift.push(line), new Date()),
    drift.join("\n"),
  );
}

dbTest(
  "db/citus.sql places every table once, as keys, foreign keys and triggers allow",
  async (world) => {
    const { sql } = world;
    const placed = await place(sql);
    const spread = placed.filter(({ by }) => by !== null);
    const everywhere = placed.filter(({ by }) => by === null)
      .map(({ name }) => name);
    for (const { name, by, beside } of spread) {
      strictEqual(by, "workflow_id", name);
      strictEqual(beside, name === ANCHOR ? null : ANCHOR, name);
    }
    const local = [...SCRIPT.matchAll(/^-- local: (.+)$/gm)]
      .flatMap(([, names]) => names!.split(", "));

    const tables = await sql<{ name: string; columns: string[] }[]>`
      select relname as name, array(select attname::text from pg_attribute where attrelid = c.oid) as columns
      from pg_class c
      where relnamespace = 'weir'::regnamespace and relkind in ('r', 'p') and not relispartition`;
    deepStrictEqual(
      [...placed.map(({ name }) => name), ...local].sort(),
      tables.map(({ name }) => name).sort(),
    );

    const names = spread.map(({ name }) => name);
    const keys = await sql<{ key: string }[]>`
      select indexrelid::regclass::text as key from pg_index join pg_class c on c.oid = indrelid
      where indisunique and relnamespace = 'weir'::regnamespace and relname = any (${names})
        and not exists (
          select from pg_attribute where attrelid = indrelid and attname = 'workflow_id' and attnum = any (indkey))`;
    deepStrictEqual([...keys], [], "a key without the workflow");

    const links = await sql<{ from: string; to: string; columns: string[] }[]>`
      select f.relname as from, t.relname as to,
        array(select attname::text from pg_attribute where attrelid = conrelid and attnum = any (conkey)) as columns
      from pg_constraint join pg_class f on f.oid = conrelid join pg_class t on t.oid = confrelid
      where contype = 'f' and connamespace = 'weir'::regnamespace and conparentid = 0`;
    ok(links.length >= 10);
    deepStrictEqual(
      links.filter(({ from, to, columns }) =>
        !everywhere.includes(to) &&
        !(local.includes(from) && local.includes(to)) &&
        !(names.includes(from) && names.includes(to) &&
          columns.includes("workflow_id"))
      ),
      [],
      "a foreign key to what lies elsewhere",
    );

    const bad = await sql<{ what: string }[]>`
      select 'trigger ' || tgname as what from pg_trigger join pg_class c on c.oid = tgrelid
      where not tgisinternal and relnamespace = 'weir'::regnamespace
      union all select 'exclusion ' || conname from pg_constraint
      where contype = 'x' and connamespace = 'weir'::regnamespace
      union all select 'identity ' || relname || '.' || attname from pg_attribute join pg_class c on c.oid = attrelid
      where attidentity <> '' and atttypid <> 'bigint'::regtype and relkind in ('r', 'p')
        and relname = any (${[...names, ...everywhere]})
      union all select 'rule ' || rulename from pg_rewrite join pg_class c on c.oid = ev_class
      where relkind in ('r', 'p') and relnamespace = 'weir'::regnamespace`;
    deepStrictEqual([...bad], []);
    // One node counts as before.
    await useAll(world);
  },
);

/**
 * What goes over all workflows, and so over all nodes: work of jobs and of health checks,
 * which no producer or reader waits for. In fold() it is the look for who waits, which
 * docs/scaling.md counts among what is in the way.
 */
const OVER_ALL = [
  "audit_months",
  "fold",
  "make_view",
  "read_pipeline",
  "refresh_view",
  "retain",
];

/** A statement of one workflow, or of some: Citus sends it to where they lie, or to all and adds up. */
const ROUTED =
  /workflow_id\s*(=|in\b|<>)|execution_conditions\(w\.workflow_id|=\s*(any\s*\(\s*)?[\w.]*workflow_id|using\s*\([^)]*\bworkflow_id|insert into [\w. ]+\([^)]*\bworkflow_id|group by [^)]*\bworkflow_id/i;

dbTest(
  "statements of db/views name the workflow that they are of, wherever what they touch is spread",
  async ({ sql }) => {
    const spread = (await place(sql)).filter(({ by }) => by !== null)
      .map(({ name }) => name);
    const functions = await sql<{ name: string; text: string }[]>`
      select proname as name, pg_get_functiondef(oid) as text from pg_proc
      where pronamespace = 'weir'::regnamespace and prokind in ('f', 'p')`;
    let statements = 0;
    const unrouted = new Map<string, string>();
    for (const { name, text } of functions) {
      // Past the head, which has parameters and not statements.
      const body = text.slice(
        text.search(/\$(function|procedure)\$|BEGIN ATOMIC|RETURN /),
      );
      for (const statement of body.split(";")) {
        const touched = [...statement.matchAll(
          /\b(?:from|join|into|update|using)\s+(?:only\s+)?(?:weir\.)?(\w+)/gi,
        )].filter(([, table]) => spread.includes(table!));
        if (touched.length === 0) continue;
        statements++;
        if (!ROUTED.test(statement)) {
          unrouted.set(name, statement.replaceAll(/\s+/g, " ").slice(0, 300));
        }
      }
    }
    ok(statements > 100, `${statements} statements`);
    const known = new Set(OVER_ALL);
    deepStrictEqual(
      [...unrouted].filter(([name]) => !known.has(name)),
      [],
    );
    deepStrictEqual([...unrouted.keys()].sort(), OVER_ALL);

    // What a node works out for itself has to be the same on all of them.
    const bad = await sql<{ what: string }[]>`
      with expression as (
        select 'pg_attrdef'::regclass as catalog, d.oid, c.relname || '.' || attname as what
        from pg_attrdef d join pg_class c on c.oid = adrelid join pg_attribute a on attrelid = adrelid and attnum = adnum
        where relnamespace = 'weir'::regnamespace and relname = any (${spread})
        union all
        select 'pg_class'::regclass, indexrelid, indexrelid::regclass::text from pg_index join pg_class c on c.oid = indrelid
        where relnamespace = 'weir'::regnamespace and relname = any (${spread})
        union all
        select 'pg_constraint'::regclass, k.oid, conname from pg_constraint k join pg_class c on c.oid = conrelid
        where contype = 'c' and relnamespace = 'weir'::regnamespace and relname = any (${spread})
      )
      select what || ' calls ' || proname as what
      from expression e join pg_depend on classid = catalog and objid = e.oid and refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = refobjid
      where pronamespace = 'weir'::regnamespace and provolatile <> 'i'`;
    deepStrictEqual([...bad], []);
  },
);

Deno.test({
  name: CITUS_URL
    ? "db/citus.sql makes a Weir on Citus that counts"
    : "db/citus.sql makes a Weir on Citus that counts (needs TEST_CITUS_URL)",
  ignore: !CITUS_URL,
  async fn() {
    const options = { max: 2, statementTimeoutMs: 60_000 };
    const sql = connect(CITUS_URL!, options);
    const worker = { ...options, role: "weir_work" } as const;
    const work = connect(CITUS_URL!, worker);
    const snapshots = connect(CITUS_URL!, { ...worker, snapshots: true });
    try {
      await migrate(sql);
      await sql.begin((tx) => tx.unsafe(SCRIPT));
      const [row] = await sql`
        select count(distinct colocationid)::int as groups from pg_dist_partition where partmethod = 'h'`;
      strictEqual(row!.groups, 1);
      await useAll({ sql, work, snapshots });
    } finally {
      await Promise.all([sql.end(), work.end(), snapshots.end()]);
    }
  },
});
