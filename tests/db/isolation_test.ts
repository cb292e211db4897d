/**
 * What the serving role may do in the database: nothing but call functions, each of
 * which answers for one account.
 *
 * @module
 */

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { createAccount } from "../../db/access.ts";
import { connect, type Sql } from "../../db/client.ts";
import { recordEvents } from "../../db/events.ts";
import { pickRole, readsTables } from "../../db/roles.ts";
import { admin, dbTest, NOW, type World } from "../harness.ts";
import { throughPgBouncer } from "../pgbouncer.ts";
import { makePast } from "./_history.ts";

/** What a call is about. */
interface Subject {
  /** `null`: the caller forgot it. */
  account: number | null;
  workflow: string;
  /** A refresh that waits. */
  job: string;
  execution: string;
  /** A file, and whose attempt made it. */
  exported: string;
  attempt: string;
  shared: string;
  /** One by schedule. */
  report: string;
}

type Call = (sql: Sql, subject: Subject) => Promise<readonly object[]>;

/** Whom every tenant of this test has. */
const CONTACT = "contact-0";

const RANGE = ["2026-06-01", "2026-06-15"] as const;

/** `read_summary()` and its like: account, workflow, range, and what they have besides. */
function read(name: string, ...rest: string[]): Call {
  return async (sql, { account, workflow }) => {
    const rows = await sql.unsafe(
      `select weir.${name}($1::int, $2::uuid, '${RANGE[0]}', '${RANGE[1]}', ${
        rest.join(", ")
      }, '${NOW.toISOString()}') as answer`,
      [account, workflow],
    );
    return rows.filter(({ answer }) => answer !== null);
  };
}

/** Functions that weir_web may call about an account: one that is not here fails the suite. */
const OF_AN_ACCOUNT: Record<string, Call> = {
  read_summary: read(
    "read_summary",
    ...["null", "'daily'", "'cohort'", "null", "null", "null"],
  ),
  read_analytics: read(
    "read_analytics",
    ...["null", "'daily'", "'cohort'", "null", "null", "null"],
  ),
  read_contacts: read(
    "read_contacts",
    ...["null", "'daily'", "'cohort'", "null", "null", "null"],
  ),
  read_funnel: read("read_funnel", "null", "null"),
  read_contact_funnel: read("read_contact_funnel", "null", "null"),
  read_actions: read("read_actions", "null", "null"),
  read_distribution: read("read_distribution", "null", "'cohort'", "null"),
  workflow_head: (sql, { account, workflow }) =>
    sql`select * from weir.workflow_head(${account}, ${workflow})`,
  read_workflow: (sql, { account, workflow }) =>
    sql`select * from weir.read_workflow(${account}, ${workflow})`,
  workflow_listing: (sql, { account }) =>
    sql`select * from weir.workflow_listing(${account}, ${NOW}, 30, null, null, null,
      'total_enrolled', true, null, null, null, 10, 10)`,
  ask_refresh: (sql, { account, workflow }) =>
    sql`select * from weir.ask_refresh(${account}, ${workflow})`,
  read_refresh: (sql, { account, workflow, job }) =>
    sql`select * from weir.read_refresh(${account}, ${workflow}, ${job})`,
  read_access_log: (sql, { account }) =>
    sql`select * from weir.read_access_log(${account}, null, null, null, null, null, null, null, 10)`,
  list_access_log: (sql, { account }) =>
    sql`select * from weir.list_access_log(${account}, null, null, null, null, null, null, null, 10)`,
  read_revision: async (sql, { account, workflow }) =>
    (await sql<{ revision: number | null }[]>`
      select weir.read_revision(${account}, ${workflow}) as revision`)
      .filter(({ revision }) => revision),
  next_change: async (sql, { account, workflow }) =>
    (await sql<{ at: Date | null }[]>`
      select weir.next_change(${account}, ${workflow}, '-infinity') as at`)
      .filter(({ at }) => at),
  list_executions: async (sql, { account, workflow }) =>
    (await sql<{ list: unknown }[]>`
      select weir.list_executions(${account}, ${workflow}, '{}', null, null, 10, ${NOW}) as list`)
      .filter(({ list }) => list !== null),
  read_execution: async (sql, { account, workflow, execution }) =>
    (await sql<{ detail: unknown }[]>`
      select weir.read_execution(${account}, ${workflow}, ${execution}, 10, ${NOW}) as detail`)
      .filter(({ detail }) => detail !== null),
  read_quality: async (sql, { account, workflow }) =>
    (await sql<{ quality: unknown }[]>`
      select weir.read_quality(${account}, ${workflow}, 30) as quality`)
      .filter(({ quality }) => quality !== null),
  note_refusals: async (sql, { account, workflow }) =>
    (await sql<{ noted: number }[]>`
      select weir.note_refusals(${account}, ${
      JSON.stringify([{ w: workflow, x: null, k: "future" }])
    }::text::json) as noted`).filter(({ noted }) => noted > 0),
  export_head: async (sql, { account, workflow }) =>
    (await sql<{ head: unknown }[]>`
      select weir.export_head(${account}, ${workflow}, '{}', ${NOW}, 10) as head`)
      .filter(({ head }) => head !== null),
  export_executions: (sql, { account, workflow }) =>
    sql`select * from weir.export_executions(${account}, ${workflow}, '{}', ${NOW})`,
  export_execution_rows: (sql, { account, workflow }) =>
    sql`select weir.export_execution_rows(${account}, ${workflow}, '{}', ${NOW})`,
  request_export: async (sql, { account, workflow }) =>
    (await sql<{ job: unknown }[]>`
      select weir.request_export(${account}, ${workflow}, null, '{}', 9, 9) as job`)
      .filter(({ job }) => job !== null),
  list_exports: async (sql, { account, workflow }) =>
    (await sql<[{ jobs: object[] }]>`
      select weir.list_exports(${account}, ${workflow}, 10) as jobs`)[0].jobs,
  read_export_chunk: async (sql, { account, exported, attempt }) =>
    (await sql<{ bytes: unknown }[]>`
      select weir.read_export_chunk(${account}, ${exported}, ${attempt}, 0) as bytes`)
      .filter(({ bytes }) => bytes !== null),
  create_share: async (sql, { account, workflow }) =>
    (await sql<{ made: unknown }[]>`
      select weir.create_share(${account}, ${workflow}, null, ${
      crypto.getRandomValues(new Uint8Array(32))
    }, '{"view": {"range": {"days": 7}, "tz": "UTC"}, "frame_ancestors": []}', ${NOW}, 9) as made`)
      .filter(({ made }) => made !== null),
  list_shares: async (sql, { account, workflow }) =>
    (await sql<[{ shares: object[] }]>`
      select weir.list_shares(${account}, ${workflow}, 10) as shares`)[0]
      .shares,
  revoke_share: async (sql, { account, workflow, shared }) =>
    (await sql<{ ended: unknown }[]>`
      select weir.revoke_share(${account}, ${workflow}, ${shared}) as ended`)
      .filter(({ ended }) => ended !== null),
  add_report: async (sql, { account, workflow }) =>
    (await sql<{ report: unknown }[]>`
      select weir.add_report(${account}, ${workflow}, null, 'week', 6, '{}', 'https://a.test',
        '\\x00', ${NOW}, 99, 9) as report`).filter(({ report }) =>
      report !== null
    ),
  list_reports: async (sql, { account, workflow }) =>
    (await sql<[{ reports: object[] }]>`
      select weir.list_reports(${account}, ${workflow}, 9) as reports`)[0]
      .reports,
  write_preferences: async (sql, { account }) =>
    (await sql`select weir.write_preferences(${account}, 'ada',
      '{"theme":"dark","default_range":"7d"}') as chosen`)
      .filter(({ chosen }) => chosen !== null),
  read_preferences: async (sql, { account }) =>
    (await sql`select weir.read_preferences(${account}, 'ada') as chosen`)
      .filter(({ chosen }) => chosen !== null),
  preferences_version: async (sql, { account }) =>
    (await sql`select weir.preferences_version(${account}, 'ada') as version`)
      .filter(({ version }) => version !== null),
  erase_contact: async (sql, { account }) =>
    (await sql<{ erased: Record<string, number> }[]>`
      select weir.erase_contact(${account}, ${CONTACT}) as erased`)
      .filter(({ erased }) => Object.values(erased).some((n) => n > 0)),
  record_events: async (sql, { account, workflow }) =>
    (await recordEvents(sql, account!, [{
      id: crypto.randomUUID(),
      type: "execution.enrolled",
      workflow_id: workflow,
      execution_id: crypto.randomUUID(),
      contact_id: "c",
      occurred_at: NOW.toISOString(),
      source: "api",
    }])).filter((outcome) => outcome === "accepted").map((outcome) => ({
      outcome,
    })),
  put_workflow: async (sql, { account, workflow }) =>
    (await sql<{ done: boolean }[]>`
      select weir.put_workflow(${account}, ${workflow}, ${
      sql.json({
        name: "Mine",
        status: "active",
        owner_id: null,
        goal_ends_execution: true,
        conversion_window: "P90D",
        steps: [],
        goals: [],
      })
    }, 7776000000000) as done`).filter(({ done }) => done),
};

/** Functions of one export, which answer with it. */
for (
  const [name, rest] of [
    ["read_export", ""],
    ["cancel_export", ""],
    ["retry_export", ", 9"],
  ]
) {
  OF_AN_ACCOUNT[name!] = async (sql, { account, workflow, exported }) =>
    (await sql.unsafe(
      `select weir.${name}($1::int, $2::uuid, $3::uuid${rest}) as job`,
      [account, workflow, exported],
    )).filter(({ job }) => job !== null);
}

/** Functions of one report. */
for (
  const [name, rest] of [
    ["send_report", `, '${NOW.toISOString()}', 9, 9`],
    ["enable_report", `, '${NOW.toISOString()}', 9`],
    ["remove_report", ""],
  ]
) {
  OF_AN_ACCOUNT[name!] = async (sql, { account, workflow, report }) =>
    (await sql.unsafe(
      `select weir.${name}($1::int, $2::uuid, $3::uuid${rest}) as answer`,
      [account, workflow, report],
    )).filter(({ answer }) => answer !== null && answer !== false);
}

/** And those that ask for a secret, or tell nothing of anybody's data. */
const OF_NO_ACCOUNT = [
  "find_key",
  "find_webhook",
  "find_session",
  "find_sign_in_link",
  "begin_session",
  "end_session",
  "open_export",
  "account_of_export",
  "find_share",
  "find_account",
  "note_keys_used",
  "record_access",
  "read_pipeline",
  "count_exports",
  "read_position",
  "read_revisions",
];

/** What a tenant has, so that each call finds something. */
async function makeTenant(world: World): Promise<Subject> {
  const { account_id } = await createAccount(world.sql, "Tenant", "UTC");
  const { workflow_uuid, workflow_id } = await makePast({
    sql: world.sql,
    account: { ...world.account, account_id },
  }, 3);
  const [{ execution_id }] = await world.sql<[{ execution_id: string }]>`
    select execution_id from weir.execution where workflow_id = ${workflow_id} limit 1`;
  const subject = {
    account: account_id,
    workflow: workflow_uuid,
    job: "",
    execution: execution_id,
    ...await makeExport(world.sql, account_id, workflow_id),
    shared: await makeShare(world.sql, account_id, workflow_id),
  };
  const [{ job_id }] = await OF_AN_ACCOUNT.ask_refresh!(
    world.sql,
    subject,
  ) as [{ job_id: string }];
  await world.sql`
    select weir.record_access(${
    JSON.stringify([{
      account: account_id,
      credential: "key:test",
      action: "GET /",
      status: 200,
      request: "r",
      age_ms: 0,
    }])
  }::text::json)`;
  return { ...subject, job: job_id };
}

async function makeShare(sql: Sql, accountId: number, workflowId: number) {
  const [share] = await sql<[{ share_id: string }]>`
    insert into weir.share (workflow_id, account_id, secret, view, frame_ancestors)
    values (${workflowId}, ${accountId}, ${
    crypto.getRandomValues(new Uint8Array(32))
  }, '{"range": {"days": 7}}', '{}')
    returning share_id`;
  return share.share_id;
}

async function makeExport(sql: Sql, accountId: number, workflowId: number) {
  const [file] = await sql<[{ exported: string; attempt: string }]>`
    insert into weir.export_job (account_id, workflow_id, request, attempt)
    values (${accountId}, ${workflowId}, '{"rows": "buckets"}', gen_random_uuid())
    returning job_id as exported, attempt`;
  await sql`
    insert into weir.export_chunk values (${file.exported}, ${file.attempt}, 0, 'x')`;
  const [{ report }] = await sql<[{ report: string }]>`
    insert into weir.report (account_id, workflow_id, every, hour, request, url, secret, due_at)
    values (${accountId}, ${workflowId}, 'week', 6, '{}', 'https://a.test', 'x', now())
    returning report_id as report`;
  return { ...file, report };
}

dbTest(
  "weir_web may call what is tried here, and nothing else",
  async ({ sql }) => {
    const rows = await sql<{ name: string }[]>`
      select distinct proname as name from pg_proc
      where pronamespace = 'weir'::regnamespace
        and has_function_privilege('weir_web', oid, 'execute')`;
    deepStrictEqual(
      rows.map(({ name }) => name).sort(),
      [...Object.keys(OF_AN_ACCOUNT), ...OF_NO_ACCOUNT].sort(),
    );
  },
);

/** Both ways that a server reaches its database: the same holds on either. */
function webTest(name: string, test: (world: World) => Promise<void>): void {
  dbTest(name, test);
  dbTest(`${name}, through PgBouncer`, async (world) => {
    await throughPgBouncer(world);
    await test(world);
  });
}

webTest(
  "weir_web reads and writes no table, view, materialized view or sequence",
  async ({ sql, web }) => {
    // What is made later is no exception.
    await sql`create table weir.later (n int)`;
    await sql`create view weir.later_seen as select * from weir.later`;
    await sql`select weir.make_partitions(${new Date(
      NOW.getTime() + 365 * 86_400_000,
    )}::timestamptz)`;
    const relations = await sql<{ name: string; relkind: string }[]>`
      select format('weir.%I', c.relname) as name, c.relkind from pg_class c
      where c.relnamespace = 'weir'::regnamespace and c.relkind in ('r', 'p', 'm', 'v', 'S')`;
    ok(relations.filter(({ relkind }) => relkind === "m").length >= 5);
    for (const { name, relkind } of relations) {
      const denied = { code: "42501" };
      await rejects(web.unsafe(`select * from ${name} limit 1`), denied, name);
      if (relkind !== "r" && relkind !== "p") continue;
      await rejects(web.unsafe(`delete from ${name}`), denied, name);
      await rejects(web.unsafe(`truncate ${name}`), denied, name);
    }
    strictEqual(await readsTables(web), false);
    strictEqual(await readsTables(sql), true);
  },
);

webTest("weir_web makes nothing, in no schema", async ({ web }) => {
  await rejects(web`create table weir.mine (n int)`, { code: "42501" });
  await rejects(web`create table public.mine (n int)`, { code: "42501" });
  await rejects(web`create schema mine`, { code: "42501" });
});

webTest(
  "a call without an account, or with another's, finds and changes nothing",
  async (world) => {
    const mine = await makeTenant(world);
    const theirs = await makeTenant(world);
    const before = await everything(world.sql, theirs);
    for (const [name, call] of Object.entries(OF_AN_ACCOUNT)) {
      const found = await call(world.web, mine);
      ok(found.length > 0, `${name} finds what is there`);
      for (const account of [null, 0, -1, 2_147_483_647, mine.account]) {
        // A list is of whoever asks; what is asked about by its id is the other's.
        if (/listing|log|preferences/.test(name) && account === mine.account) {
          continue;
        }
        const answer = await call(world.web, { ...theirs, account })
          .catch((error) => {
            // To refuse is as good: an account that is none breaks a constraint.
            ok(["23502", "23503"].includes(error.code), `${name} ${error}`);
            return [];
          });
        deepStrictEqual([...answer], [], `${name} for the account ${account}`);
      }
    }
    deepStrictEqual(await everything(world.sql, theirs), before);
  },
);

webTest(
  "tenants who ask at once, on sessions that they share, get what is their own",
  async (world) => {
    const tenants: Subject[] = [];
    for (let n = 0; n < 4; n++) tenants.push(await makeTenant(world));
    const asked = Array.from({ length: 200 }, (_, n) => n % tenants.length);
    await Promise.all(asked.map(async (n) => {
      const { account, workflow } = tenants[n]!;
      const [own, other] = await Promise.all([
        world.web<{ uuid: string }[]>`
          select workflow_uuid as uuid from weir.workflow_listing(${account}, ${NOW}, 30, null, null, null, 'name', false, null, null, null, 10, 10)`,
        world.web`
          select * from weir.workflow_head(${account}, ${
          tenants[(n + 1) % tenants.length]!.workflow
        })`,
      ]);
      deepStrictEqual(own.map(({ uuid }) => uuid), [workflow]);
      deepStrictEqual([...other], []);
    }));
  },
);

/** All that is kept of a tenant. */
async function everything(sql: Sql, { account }: Subject): Promise<unknown> {
  return await sql`
    select to_jsonb(w) as row from weir.workflow w where account_id = ${account}
    union all select to_jsonb(v) from weir.workflow_version v join weir.workflow w using (workflow_id)
      where account_id = ${account}
    union all select to_jsonb(e) from weir.event e join weir.workflow w using (workflow_id)
      where account_id = ${account}
    union all select to_jsonb(r) from weir.refresh_request r join weir.workflow w using (workflow_id)
      where account_id = ${account}
    union all select to_jsonb(j) from weir.export_job j where account_id = ${account}
    union all select to_jsonb(s) from weir.share s where account_id = ${account}
    union all select to_jsonb(p) from weir.preference p where account_id = ${account}
    union all select to_jsonb(l) from weir.access_log l where account_id = ${account}
    order by 1`;
}

dbTest(
  "functions that weir_web may call cannot be led astray by its search_path",
  async ({ sql }) => {
    const rows = await sql<{ name: string }[]>`
      select proname as name from pg_proc
      where pronamespace = 'weir'::regnamespace and has_function_privilege('weir_web', oid, 'execute')
        and not (prosecdef and 'search_path=weir, pg_temp' = any (proconfig))`;
    deepStrictEqual([...rows], []);
  },
);

dbTest("weir_work sees no secret and rewrites no access log", async (world) => {
  const tables = await world.sql<{ name: string }[]>`
    select format('weir.%I', relname) as name from pg_class
    where relnamespace = 'weir'::regnamespace and relkind in ('r', 'p')
      and relname ~ '^(api_key|session|sign_in_link|webhook|share|access_log)'`;
  ok(tables.length > 5);
  for (const { name } of tables) {
    const denied = { code: "42501" };
    await rejects(world.work.unsafe(`select * from ${name}`), denied, name);
    await rejects(world.work.unsafe(`delete from ${name}`), denied, name);
  }
  ok((await world.work`select * from weir.account`).length > 0);
});

dbTest(
  "pickRole() takes on what the login was granted alone",
  async ({ sql, database_url }) => {
    strictEqual(await pickRole(sql, "weir_web"), "weir_web");
    const login = `weir_test_${crypto.randomUUID().slice(0, 8)}`;
    await admin(`create role ${login} login password 'x' in role weir_web`);
    const url = new URL(database_url);
    url.username = login;
    url.password = "x";
    const client = connect(url.href, { max: 1, statementTimeoutMs: 10_000 });
    try {
      strictEqual(await readsTables(client), false);
      await rejects(client`select * from weir.account`, { code: "42501" });
      await rejects(client`set role weir_work`, { code: "42501" });
      ok((await client`select * from weir.read_pipeline(1)`).length === 1);
    } finally {
      await client.end({ timeout: 5 });
      await admin(`drop role ${login}`);
    }
  },
);
