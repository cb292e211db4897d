/**
 * `db/citus.sql`, which spreads the schema over nodes: held against the rules of Citus, and
 * run on the cluster of `TEST_CITUS_URL`, or on one that stands in for it.
 *
 * @module
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { createAccount, findAccount } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { listExecutions } from "../../db/executions.ts";
import { audit, refreshAll, retain } from "../../db/jobs.ts";
import { readLive } from "../../db/live.ts";
import { AnalyticsQuery, ExecutionsQuery } from "../../db/schema.ts";
import { auditCommand } from "../../workers/audit.ts";
import {
  judge,
  readersOf,
  type SqlFunction,
  statementsOf,
  type Way,
} from "../citus.ts";
import { startStandIn } from "../citus_stand_in.ts";
import { createOnCluster, dropOnCluster, nodesOf, SCRIPT } from "../cluster.ts";
import { dbTest, type World } from "../harness.ts";

/** Tables of one workflow must lie together with this one. */
const ANCHOR = "workflow_revision";

/** Of a coordinator, if there is a cluster. */
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

/** How many statements run in which way, as docs/scaling.md says. */
async function told(): Promise<Partial<Record<Way, number>>> {
  const page = await Deno.readTextFile(
    new URL("../../docs/scaling.md", import.meta.url),
  );
  const rows = [...page.matchAll(/^\| \*\*(.+?)\*\* +\| +(\d+) +\|/gm)];
  return Object.fromEntries(rows.map(([, way, count]) => [way, Number(count)]));
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

/** Statements, and in which way they run: the rules that the test below goes by. */
const WAYS: [Way, string][] = [
  ["routed", "select * from execution where workflow_id = $1 limit 1"],
  ["across", "select * from execution e join step s using (step_id)"],
  [
    "pushed down",
    "select * from execution e join step s on s.workflow_id = e.workflow_id",
  ],
  [
    "pushed down",
    `insert into staged select e.* from (select unnest($1) as workflow_id) wanted
     cross join lateral (select * from execution e where e.workflow_id = wanted.workflow_id order by 1) e`,
  ],
  [
    "pushed down",
    "delete from step s using unnest($1) as gone(workflow_id) where s.workflow_id = gone.workflow_id",
  ],
  [
    "across",
    "select * from staged join execution e on e.workflow_id = staged.workflow_id",
  ],
  ...[
    "select * from execution e where e.workflow_id = wanted.workflow_id offset 0",
    "select * from execution e where e.workflow_id = wanted.workflow_id limit 1",
    "select count(*) as n from execution e where e.workflow_id = wanted.workflow_id",
    "select distinct e.step_id from execution e where e.workflow_id = wanted.workflow_id",
  ].map((subquery): [Way, string] => [
    "across",
    `select found.* from unnest($1) as wanted(workflow_id) cross join lateral (${subquery}) found`,
  ]),
  [
    "across",
    "select * from unnest($1) as w(workflow_id) left join execution e on e.workflow_id = w.workflow_id",
  ],
  [
    "across",
    "select * from unnest($1) as w(workflow_id) where exists (select from step s where s.workflow_id = w.workflow_id)",
  ],
  [
    "across",
    "select * from made($1) as w join step s on s.workflow_id = w.workflow_id",
  ],
  ["by rows", "insert into step select * from staged"],
];

Deno.test("judge() tells what Citus runs on each node from what it refuses", () => {
  const places = {
    spread: new Set(["execution", "step"]),
    local: new Set(["staged"]),
  };
  for (const [way, source] of WAYS) {
    const [statement] = statementsOf({
      name: "",
      language: "sql",
      definition: "",
      body: null,
      source,
    }, []);
    strictEqual(judge(statement, places).way, way, source);
  }
});

/** What producers and readers of one workflow wait for, and the fold: the functions that are called for it. */
const HOT = [
  "record_events",
  "fold",
  "put_workflow",
  "workflow_head",
  "read_workflow",
  "read_revision",
  "read_revisions",
  "next_change",
  "read_summary",
  "read_contacts",
  "read_funnel",
  "read_contact_funnel",
  "read_actions",
  "read_distribution",
  "list_executions",
  "read_execution",
  "read_quality",
  // Called by texts that are put together.
  "execution_row",
];

/** What goes over several workflows, and so over nodes: jobs, health, erasing, and pages of a whole account. */
const OVER_ALL = [
  "audit_days",
  "audit_executions",
  "audit_months",
  "audit_windows",
  "daily_enrolled",
  "erase_contact",
  "read_pipeline",
  "refresh_views",
  "workflow_headlines",
];

/** Temporary tables, the fold's most of all. */
const STAGED = /(?:create temp table |make_fold_table\(')(\w+)/g;

/** What Citus refuses on what is spread, and its stand-in with it: else that would let everything through. */
const REFUSALS: [RegExp, string][] = [
  [
    /triggers are not supported/,
    `create trigger bad after insert on weir.event_history for each row
     execute function weir.note_touched_month()`,
  ],
  [
    /constraint|unique|distribution column/i,
    "create unique index on weir.execution (execution_id)",
  ],
  [
    /constraint|unique|distribution column/i,
    `create table public.bad (id int primary key, workflow_id int);
     select create_distributed_table('public.bad', 'workflow_id')`,
  ],
  [
    /foreign key/i,
    `create table public.one (id int primary key);
     create table public.bad (id int references public.one, workflow_id int);
     select create_distributed_table('public.bad', 'workflow_id')`,
  ],
];

dbTest(
  "statements on spread tables run as Citus can run them, as docs/scaling.md counts them",
  async ({ sql, snapshots }) => {
    const placed = await place(sql);
    const spread = new Set(
      placed.filter(({ by }) => by !== null).map(({ name }) => name)
        // A view of nothing but one of them.
        .concat("histogram_bins"),
    );
    const partitions = await sql<{ name: string; of: string }[]>`
      select inhrelid::regclass::text as name, inhparent::regclass::text as of from pg_inherits`;
    for (const { name, of } of partitions) if (spread.has(of)) spread.add(name);
    ok(spread.has("goal_day"));
    const functions = await sql<(SqlFunction & { volatility: string })[]>`
      select proname as name, lanname as language, pg_get_functiondef(p.oid) as definition,
        pg_get_function_sqlbody(p.oid) as body, prosrc as source, provolatile as volatility
      from pg_proc p join pg_language l on l.oid = prolang
      where pronamespace = 'weir'::regnamespace and prokind in ('f', 'p')`;
    const tables = await sql<{ name: string }[]>`
      select relname as name from pg_class where relnamespace = 'weir'::regnamespace and relkind in ('r', 'p', 'm')`;
    const names = tables.map(({ name }) => name);
    const everywhere = new Set(
      placed.filter(({ by }) => by === null).map(({ name }) => name),
    );
    const staged = functions.flatMap(({ source }) =>
      [...source.matchAll(STAGED)].map(([, name]) => name!)
    );
    ok(staged.length >= 10);
    const local = new Set(
      names.filter((name) => !spread.has(name) && !everywhere.has(name))
        .concat(staged),
    );

    const found = functions.map((each) => ({
      ...each,
      statements: statementsOf(each, names)
        .map((statement) => judge(statement, { spread, local })),
    }));
    const hot = new Set(HOT);
    for (const name of hot) {
      const of = found.filter((each) => each.name === name);
      ok(of.length > 0, name);
      for (const { statements } of of) {
        for (const call of statements.flatMap(({ calls }) => [...calls])) {
          if (found.some((each) => each.name === call)) hot.add(call);
        }
      }
    }
    const touching = found.filter(({ statements }) =>
      statements.some(({ way }) => way !== "elsewhere")
    );
    const namesOf = (some: { name: string }[]) =>
      [...new Set(some.map(({ name }) => name))].sort();
    deepStrictEqual(
      namesOf(
        functions.filter(({ definition }) =>
          definition.includes("SET plan_cache_mode TO 'force_generic_plan'")
        ),
      ),
      [],
      "a plan without values cannot be routed",
    );
    const across = touching.filter(({ statements }) =>
      statements.some(({ way }) => way === "across")
    );
    deepStrictEqual(
      namesOf(across.filter(({ name }) => !hot.has(name))),
      OVER_ALL,
    );
    // Citus refuses none, but of those that go another way there.
    const refused = across.filter(({ source, statements }) =>
      statements.some(({ isRefused }) => isRefused) &&
      !source.includes("if on_citus() then")
    );
    deepStrictEqual(namesOf(refused), []);

    // Of what is waited for, nothing goes over several workflows in another way than each node for its own.
    deepStrictEqual(namesOf(across.filter(({ name }) => hot.has(name))), []);

    const readers = readersOf(found);
    // A statement that is sent to a node calls its functions there, and one that reads what is spread, or of the
    // coordinator alone, is refused.
    const nested = touching.filter(({ statements }) =>
      statements.some(({ way, calls }) =>
        way !== "elsewhere" && way !== "by rows" &&
        [...calls].some((call) => readers.has(call))
      )
    );
    deepStrictEqual(namesOf(nested), []);

    // Functions in SQL that ask spread tables by a parameter are refused before Postgres 18: they are planned without
    // its value. Those in PL/pgSQL are not.
    const hotOnes = touching.filter(({ name }) => hot.has(name));
    deepStrictEqual(
      namesOf(hotOnes.filter(({ language }) => language === "sql")),
      [],
    );
    const counts = await told();
    const counted: typeof counts = {};
    for (const { way } of hotOnes.flatMap(({ statements }) => statements)) {
      counted[way] = (counted[way] ?? 0) + 1;
    }
    delete counted.elsewhere;
    deepStrictEqual(counts, counted);

    // Rules that nothing may break.
    const volatilities = new Map(
      functions.map(({ name, volatility }) => [name, volatility]),
    );
    for (const { name, statements } of found) {
      for (const { changesBy, insertsSubquery } of statements) {
        ok(!insertsSubquery, `${name} inserts what a subquery answers`);
        for (const call of changesBy) {
          ok(
            (volatilities.get(call) ?? "i") === "i",
            `${name} changes a row by ${call}(), which is not immutable`,
          );
        }
      }
    }
    const levels = await sql`
      select inhrelid::regclass::text as name from pg_inherits join pg_partitioned_table on partrelid = inhrelid`;
    deepStrictEqual([...levels], [], "a partition that has partitions");

    // A filter is put together, and begins with the workflow.
    const [filter] = await sql<{ text: string }[]>`
      select weir.execution_conditions(7, 'UTC', '{}', now()) as text`;
    const [listed] = statementsOf({
      name: "list",
      language: "sql",
      definition: "",
      body: null,
      source: `select x.* from weir.execution x where ${filter!.text}`,
    }, []);
    strictEqual(judge(listed, { spread, local }).way, "routed");

    // So is what the audit compares.
    await sql.unsafe(`
      create table public.compared (source text);
      grant insert on public.compared to weir_work;
      create or replace function weir.audit_compare(relation text, stored text, expected text)
      returns int language plpgsql as $$
      begin
        insert into public.compared values (stored), (expected);
        return 0;
      end $$`);
    await audit(snapshots, null, new Date());
    const compared = await sql<{ source: string }[]>`
      select source from public.compared`;
    ok(compared.length >= 30);
    for (const { source } of compared) {
      const [text] = statementsOf({
        name: "compared",
        language: "sql",
        definition: "",
        body: null,
        source,
      }, []);
      const { way, isRefused, calls } = judge(text, { spread, local });
      ok(!isRefused, source);
      ok(
        way === "elsewhere" || ![...calls].some((call) => readers.has(call)),
        source,
      );
    }

    // What a node works out for itself has to be the same on all of them.
    const bad = await sql<{ what: string }[]>`
      with expression as (
        select 'pg_attrdef'::regclass as catalog, d.oid, c.relname || '.' || attname as what
        from pg_attrdef d join pg_class c on c.oid = adrelid join pg_attribute a on attrelid = adrelid and attnum = adnum
        where relnamespace = 'weir'::regnamespace and relname = any (${[
      ...spread,
    ]})
        union all
        select 'pg_class'::regclass, indexrelid, indexrelid::regclass::text from pg_index join pg_class c on c.oid = indrelid
        where relnamespace = 'weir'::regnamespace and relname = any (${[
      ...spread,
    ]})
        union all
        select 'pg_constraint'::regclass, k.oid, conname from pg_constraint k join pg_class c on c.oid = conrelid
        where contype = 'c' and relnamespace = 'weir'::regnamespace and relname = any (${[
      ...spread,
    ]})
      )
      select what || ' calls ' || proname as what
      from expression e join pg_depend on classid = catalog and objid = e.oid and refclassid = 'pg_proc'::regclass
      join pg_proc p on p.oid = refobjid
      where pronamespace = 'weir'::regnamespace and provolatile <> 'i'`;
    deepStrictEqual([...bad], []);
  },
);

Deno.test("createOnCluster() makes a Weir that counts, on every node, and dropOnCluster() leaves none", async () => {
  const database = `weir_${crypto.randomUUID().replaceAll("-", "")}`;
  await using standIn = CITUS_URL ? null : await startStandIn();
  const cluster = CITUS_URL || standIn!.url;
  const nodes = await nodesOf(cluster);
  ok(nodes.length >= 2);
  const have = () =>
    Promise.all(nodes.map(async ({ url }) => {
      const sql = connect(url, { max: 1, statementTimeoutMs: 60_000 });
      const rows = await sql`
        select from pg_database where datname = ${database}`;
      await sql.end();
      return rows.length;
    }));
  await createOnCluster(cluster, database);
  try {
    deepStrictEqual(await have(), nodes.map(() => 1));
    const url = new URL(cluster);
    url.pathname = `/${database}`;
    const options = { max: 2, statementTimeoutMs: 60_000 };
    const sql = connect(url.href, options);
    const worker = { ...options, role: "weir_work" } as const;
    const work = connect(url.href, worker);
    const snapshots = connect(url.href, { ...worker, snapshots: true });
    try {
      deepStrictEqual(
        (await nodesOf(url.href)).map(({ url }) => url).sort(),
        nodes.map(({ url }) => url).sort(),
      );
      const [spread] = await sql`
        select count(distinct colocationid)::int as groups, count(*)::int as tables
        from pg_dist_partition where partmethod = 'h'`;
      strictEqual(spread!.groups, 1);
      const before = spread!.tables as number;
      // A month that is made later is spread with its table.
      await sql`select weir.make_partitions(now() + interval '1 month')`;
      const [after] = await sql`
        select count(*)::int as tables from pg_dist_partition where partmethod = 'h'`;
      ok(after!.tables > before);
      await useAll({ sql, work, snapshots });
      await retain(work, new Date());
    } finally {
      await Promise.all([sql.end(), work.end(), snapshots.end()]);
    }
    for (const [refused, statement] of REFUSALS) {
      const sql = connect(url.href, options);
      await rejects(() => sql.begin((tx) => tx.unsafe(statement)), refused);
      await sql.end();
    }
  } finally {
    await dropOnCluster(cluster, database);
  }
  deepStrictEqual(await have(), nodes.map(() => 0));
});
