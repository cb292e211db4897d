import {
  deepStrictEqual,
  match,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { connect, type Sql } from "../../db/client.ts";
import { migrate, pendingMigrations } from "../../db/migrate.ts";
import { admin, dbTest, urlOf } from "../harness.ts";

/** What a migrator test is handed. */
interface Site {
  sql: Sql;
  folder: URL;
  /** Writes a file below the folder; `null` removes it. */
  put(name: string, text: string | null): Promise<void>;
  /** Runs the migrator and answers with the names of the files that ran. */
  run(): Promise<string[]>;
}

const ACCOUNT = "create table account (id int primary key);";
const NAMES = "create or replace view name as select 1 as n;";

/** An empty database, and a folder with one migration and one view. */
function migrateTest(name: string, test: (site: Site) => Promise<void>) {
  Deno.test(name, async () => {
    const database = `weir_${crypto.randomUUID().replaceAll("-", "")}`;
    await admin(`create database ${database}`);
    const root = await Deno.makeTempDir();
    const folder = pathToFileURL(`${root}/`);
    const sql = connect(urlOf(database), { max: 6, statementTimeoutMs: 0 });
    async function put(name: string, text: string | null) {
      if (text === null) await Deno.remove(`${root}/${name}`);
      else await Deno.writeTextFile(`${root}/${name}`, text);
    }
    try {
      await Deno.mkdir(`${root}/migrations`);
      await Deno.mkdir(`${root}/views`);
      await put("migrations/0001_account.sql", ACCOUNT);
      await put("views/10_name.sql", NAMES);
      const run = () => migrate(sql, undefined, folder);
      await test({ sql, folder, put, run });
    } finally {
      await sql.end();
      await Deno.remove(root, { recursive: true });
      await admin(`drop database ${database} with (force)`);
    }
  });
}

migrateTest(
  "migrate() runs migrations, then views, in the schema weir",
  async ({ sql, folder }) => {
    const said: string[] = [];
    const ran = await migrate(sql, (name) => said.push(name), folder);
    deepStrictEqual(ran, ["migrations/0001_account.sql", "views/10_name.sql"]);
    deepStrictEqual(said, ran);
    deepStrictEqual(
      [...await sql`select n from weir.name, weir.account right join (select 1) one on true`],
      [{ n: 1 }],
    );
  },
);

migrateTest("migrate() does nothing the second time", async ({ run }) => {
  await run();
  deepStrictEqual(await run(), []);
});

migrateTest(
  "migrate() runs every view again when one changed, is new or is gone",
  async ({ put, run }) => {
    await put(
      "views/20_twice.sql",
      "create or replace view twice as select n * 2 as n from name;",
    );
    await run();
    const both = ["views/10_name.sql", "views/20_twice.sql"];
    await put(
      "views/10_name.sql",
      "create or replace view name as select 7 as n;",
    );
    deepStrictEqual(await run(), both);
    await put("views/20_twice.sql", null);
    deepStrictEqual(await run(), ["views/10_name.sql"]);
    await put(
      "views/20_twice.sql",
      "create or replace view twice as select n * 2 as n from name;",
    );
    deepStrictEqual(await run(), both);
  },
);

migrateTest(
  "migrate() runs a new migration and the views after it",
  async ({ put, run }) => {
    await run();
    await put(
      "migrations/0002_more.sql",
      "alter table account add column name text;",
    );
    deepStrictEqual(await run(), [
      "migrations/0002_more.sql",
      "views/10_name.sql",
    ]);
  },
);

migrateTest(
  "migrate() takes another line ending for the same file",
  async ({ put, run }) => {
    await put("migrations/0001_account.sql", `${ACCOUNT}\n`);
    await run();
    await put("migrations/0001_account.sql", `${ACCOUNT}\r\n`);
    deepStrictEqual(await run(), []);
  },
);

migrateTest("migrate() refuses an edited migration", async ({ put, run }) => {
  await run();
  await put("migrations/0001_account.sql", `${ACCOUNT} -- better`);
  await rejects(run(), {
    message:
      'Cannot migrate: "migrations/0001_account.sql" was edited after it ran, add a new file instead',
  });
});

migrateTest(
  "migrate() refuses a migration that is missing",
  async ({ put, run }) => {
    await run();
    await put("migrations/0001_account.sql", null);
    await rejects(
      run(),
      /"migrations\/0001_account\.sql" ran on this database and is missing here/,
    );
  },
);

migrateTest(
  "migrate() refuses a migration that sorts before one that ran",
  async ({ put, run }) => {
    await run();
    await put("migrations/0000_late.sql", "select 1;");
    await rejects(
      run(),
      /"migrations\/0000_late\.sql" sorts before "migrations\/0001_account\.sql"/,
    );
  },
);

migrateTest(
  "migrate() leaves nothing when a file fails in the middle",
  async ({ sql, put, run }) => {
    await put(
      "migrations/0002_broken.sql",
      "create table half (id int);\nselect\n  nonsense;",
    );
    await rejects(run(), {
      message:
        'Cannot migrate: "migrations/0002_broken.sql" line 3: column "nonsense" does not exist',
    });
    const [row] = await sql`select to_regnamespace('weir')::text as schema`;
    deepStrictEqual(row, { schema: null });
  },
);

migrateTest(
  "migrate() leaves the old views when a new one fails",
  async ({ sql, put, run }) => {
    await run();
    await put("views/10_name.sql", "drop view name; select nonsense;");
    await rejects(
      run(),
      /^Error: Cannot migrate: "views\/10_name\.sql" line 1/,
    );
    strictEqual((await sql`select n from weir.name`).length, 1);
  },
);

migrateTest(
  "migrate() runs each file once when five come at once",
  async ({ sql, folder, put }) => {
    // Long enough that the others find the lock taken.
    await put(
      "migrations/0002_slow.sql",
      "select pg_sleep(0.3); create table slow ();",
    );
    const clients = Array.from(
      { length: 5 },
      () =>
        connect(urlOf(sql.options.database), { max: 1, statementTimeoutMs: 0 }),
    );
    try {
      const ran = await Promise.all(
        clients.map((client) => migrate(client, undefined, folder)),
      );
      deepStrictEqual(
        ran.map((names) => names.length).sort(),
        [0, 0, 0, 0, 3],
      );
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  },
);

migrateTest(
  "pendingMigrations() names what has not run, and nothing else",
  async ({ sql, folder, put, run }) => {
    deepStrictEqual(await pendingMigrations(sql, folder), [
      "migrations/0001_account.sql",
    ]);
    await run();
    deepStrictEqual(await pendingMigrations(sql, folder), []);
    await put("migrations/0002_more.sql", "select 1;");
    await put("views/10_name.sql", "select 1;");
    deepStrictEqual(await pendingMigrations(sql, folder), [
      "migrations/0002_more.sql",
    ]);
  },
);

dbTest(
  "migrate() finds the template up to date with the files of db",
  async ({ sql }) => {
    deepStrictEqual(await migrate(sql), []);
    const [row] = await sql<
      [{ name: string }]
    >`select min(name) as name from weir.applied`;
    match(row.name, /^migrations\/0001_/);
  },
);
