/**
 * During a deploy the processes of the release before serve on the new schema. What they
 * call is kept in `tests/fixtures`, so that it needs neither them nor the history.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { connect, isOvertaken, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { migrate } from "../../db/migrate.ts";
import { check, newLedger } from "../faults/_ledger.ts";
import { dbTest, startServer, until } from "../harness.ts";
import { toAppError } from "../../routes/_errors.ts";
import { enrolled } from "../routes/_requests.ts";
import { endOf } from "../within.ts";

const ROOT = new URL("../../", import.meta.url);

/** What the release before this one calls. */
const BEFORE = new URL("../fixtures/functions_0.txt", import.meta.url);

/** A function as those see it who call it by position, in this order in a line. */
interface Signature {
  role: string;
  name: string;
  /** Types of its parameters. */
  takes: string[];
  /** How many of them may be left out. */
  optional: number;
  gives: string;
}

/** What may be called by the role that serves, and what is named by our own programs. */
async function signatures(sql: Sql): Promise<Signature[]> {
  return [
    ...await sql<Signature[]>`
      select role, proname as name, pronargdefaults::int as optional,
        array(select format_type(type, null) from unnest(proargtypes::oid[]) with ordinality as t (type, i) order by i) as takes,
        pg_get_function_result(p.oid) as gives
      from pg_proc p, unnest(array['weir_web', 'weir_work']) as role
      where pronamespace = 'weir'::regnamespace and prokind = 'f' and has_function_privilege(role, p.oid, 'execute')
      order by role, proname, takes`,
  ];
}

async function namesCalled(): Promise<Set<string>> {
  const names = new Set<string>();
  for (const folder of ["db", "routes", "workers"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (!/\.tsx?$/.test(name)) continue;
      const text = await Deno.readTextFile(new URL(`${folder}/${name}`, ROOT));
      for (const [, called] of text.matchAll(/\bweir\.(\w+)\s*\(/g)) {
        names.add(called!);
      }
    }
  }
  return names;
}

function toLine({ role, name, takes, gives }: Signature): string {
  return `${role} ${name}(${takes.join(", ")}) returns ${gives}`;
}

/** Without what a caller of before cannot know and may leave out. */
function waysToCall(signature: Signature): string[] {
  const { takes, optional } = signature;
  return Array.from(
    { length: optional + 1 },
    (_, left) =>
      toLine({ ...signature, takes: takes.slice(0, takes.length - left) }),
  );
}

dbTest(
  "functions that the last release calls are there, as it calls them",
  async ({ sql }) => {
    const now = await signatures(sql);
    if (Deno.env.get("UPDATE")) {
      const called = await namesCalled();
      const lines = now.filter(({ role, name }) =>
        role === "weir_web" || called.has(name)
      ).map(toLine);
      await Deno.writeTextFile(BEFORE, `${lines.join("\n")}\n`);
    }
    const before = (await Deno.readTextFile(BEFORE)).trim().split("\n");
    ok(before.length >= 70, `${before.length} functions`);
    const callable = new Set(now.flatMap(waysToCall));
    const notes = await Deno.readTextFile(new URL("CHANGELOG.md", ROOT));
    deepStrictEqual(
      before.filter((line) =>
        !callable.has(line) &&
        // Only where operators are told to stop who calls it.
        !notes.includes(`\`weir.${/ (\w+)\(/.exec(line)![1]}\` is gone`)
      ),
      [],
      "see CONTRIBUTING.md, How to change a function",
    );
  },
);

dbTest(
  "migrate() replaces every function in its place, so that whoever calls one meets one",
  async ({ sql }) => {
    const functions = () =>
      sql<{ oid: number; name: string }[]>`
        select oid::int, oid::regprocedure::text as name from pg_proc
        where pronamespace = 'weir'::regnamespace order by name`;
    const before = await functions();
    ok(before.length > 150, `${before.length} functions`);
    // As where any of them was edited: all are run again.
    await sql`update weir.applied set sha256 = '' where name like 'views/%'`;
    ok((await migrate(sql)).length > 20);
    deepStrictEqual([...await functions()], [...before]);
  },
);

Deno.test("a request that a migration overtook is asked to come again", () => {
  for (
    const error of [
      { code: "40P01", message: "deadlock detected" },
      { code: "XX000", message: "cache lookup failed for function 17503" },
    ]
  ) strictEqual(toAppError(error).code, "unavailable");
  const bug = { code: "XX000", message: "unexpected chunk number 1" };
  strictEqual(toAppError(bug).code, "internal");
});

dbTest(
  "a request whose function lost another to a migration is asked to come again",
  async ({ sql, database_url }) => {
    await sql.unsafe(`
      create function weir.inner_thing() returns int language plpgsql as $$ begin return 1; end $$;
      create function weir.outer_thing() returns int language plpgsql as $$
      begin
        perform from weir.changed_day limit 1;
        return weir.inner_thing();
      end $$`);
    const reader = connect(database_url, {
      max: 1,
      statementTimeoutMs: 30_000,
    });
    let asked: Promise<unknown>;
    await sql.begin(async (migration) => {
      await migration`lock table weir.changed_day in access exclusive mode`;
      asked = reader`select weir.outer_thing()`.catch((error: unknown) =>
        error
      );
      await until("it waits", async () => {
        const [row] = await migration<[{ waits: boolean }]>`
          select exists (select from pg_locks where not granted and relation = 'weir.changed_day'::regclass) as waits`;
        return row.waits;
      });
      await migration`drop function weir.inner_thing()`;
    });
    strictEqual(toAppError(await asked!).code, "unavailable");
    await reader.end();
    const bug = await sql`select weir.inner_thing()`.catch((error: unknown) =>
      error
    );
    strictEqual(
      toAppError(bug).code,
      "internal",
      "what we name ourselves is no migration's",
    );
  },
);

/** The files of `db`, and what the next release might add to them. */
async function makeNextRelease(): Promise<URL> {
  const folder = new URL(`file://${await Deno.makeTempDir()}/`);
  for (const name of ["migrations", "views"]) {
    const from = new URL(`db/${name}/`, ROOT);
    await Deno.mkdir(new URL(name, folder));
    for await (const file of Deno.readDir(from)) {
      await Deno.copyFile(
        new URL(file.name, from),
        new URL(`${name}/${file.name}`, folder),
      );
    }
  }
  await Deno.writeTextFile(
    new URL("migrations/9999_next.sql", folder),
    `create table next_thing (workflow_id int primary key, note text);
     alter table workflow add column note text;
     alter table workflow_rollup add column noted int not null default 0;`,
  );
  // One that takes more than before, at the end and with a default.
  await Deno.writeTextFile(
    new URL("views/94_next.sql", folder),
    `do $$
     declare
       before  text := pg_get_functiondef('read_position'::regproc);
     begin
       drop function read_position();
       execute replace(before, 'read_position()', 'read_position(note text default null)');
     end $$;`,
  );
  return folder;
}

dbTest(
  "a server of the last release serves while five migrate the schema to the next, and after",
  async (world) => {
    const { sql, key, database_url } = world;
    const next = await makeNextRelease();
    await using server = await startServer({ DATABASE_URL: database_url });
    const workflow_id = crypto.randomUUID();
    const authorization = `Bearer ${key}`;
    const failures: string[] = [];
    const migrators = Array.from(
      { length: 5 },
      () => connect(database_url, { max: 1, statementTimeoutMs: 0 }),
    );
    const ledger = newLedger();
    const { acknowledged } = ledger;
    let reads = 0;
    /** Who met the migration is asked to come again, which producers and pages do. */
    let overtaken = 0;
    let isOver = false;

    function note(what: string, response: Response, text: string): void {
      if (response.status === 503 && response.headers.has("retry-after")) {
        overtaken++;
      } else failures.push(`${what} ${response.status}: ${text}`);
    }

    async function write(): Promise<void> {
      while (!isOver) {
        const id = crypto.randomUUID();
        const response = await fetch(`${server.url}/api/v1/events`, {
          method: "POST",
          headers: { authorization, "content-type": "application/json" },
          body: JSON.stringify(enrolled({
            id,
            execution_id: crypto.randomUUID(),
            workflow_id,
            occurred_at: new Date().toISOString(),
          })),
        });
        const text = await response.text();
        if (response.status === 202) acknowledged.add(id);
        else note("events", response, text);
      }
    }
    async function read(): Promise<void> {
      const today = new Date().toISOString().slice(0, 10);
      const range = `start_date=${today}&end_date=${today}`;
      const paths = [
        "/readyz",
        "/metrics",
        "/api/v1/workflows",
        ...["execution", "contact"].flatMap((unit) =>
          ["", "/funnel"].map((part) =>
            `/api/v1/workflows/${workflow_id}/analytics${part}?${range}&unit=${unit}`
          )
        ),
        `/api/v1/workflows/${workflow_id}/analytics/actions?${range}`,
        `/api/v1/workflows/${workflow_id}/executions?${range}&limit=5`,
        `/api/v1/workflows/${workflow_id}/quality`,
      ];
      await until("it is known", () => acknowledged.size > 0);
      while (!isOver) {
        for (const path of paths) {
          const response = await fetch(server.url + path, {
            headers: { authorization },
          });
          const text = await response.text();
          if (response.status === 200) reads++;
          else note(path, response, text);
        }
      }
    }
    async function deploy(): Promise<void> {
      try {
        await until("it is read", () => reads > 20);
        const ran = await Promise.all(
          migrators.map((one) =>
            migrate(one, () => {}, next).catch((error) => {
              // It is the migration itself that may lose a deadlock; then it is run again.
              if (!isOvertaken(error.cause)) throw error;
              return migrate(one, () => {}, next);
            })
          ),
        );
        const [winner, ...others] = ran.filter((names) => names.length > 0);
        ok(winner!.includes("migrations/9999_next.sql"));
        deepStrictEqual(others, [], "only one of them had anything to do");
        const [before, wanted] = [acknowledged.size + 20, reads + 40];
        await until(
          "it goes on",
          () => acknowledged.size > before && reads > wanted,
        );
      } finally {
        isOver = true;
        await Promise.all(migrators.map((one) => one.end()));
      }
    }
    await Promise.all([write(), read(), deploy()]);
    await Deno.remove(next, { recursive: true });
    deepStrictEqual(failures, []);
    console.info(
      `${acknowledged.size} events, ${reads} reads, ${overtaken} asked to come again`,
    );
    ok(overtaken <= 10, `${overtaken} of them met the migration`);

    server.process.kill("SIGTERM");
    strictEqual((await endOf(server.process)).code, 0);
    while (await fold(sql) > 0);
    await check(world, ledger);
  },
);
