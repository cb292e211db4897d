import {
  deepStrictEqual,
  doesNotMatch,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import {
  account,
  type Command,
  importFile,
  key,
  signIn,
  UsageError,
} from "../../workers/_commands.ts";
import {
  beginSession,
  createAccount,
  findAccount,
  findKey,
} from "../../db/access.ts";
import { SCOPES } from "../../db/schema.ts";
import { admin, dbTest, urlOf, type World } from "../harness.ts";

/** Runs a command and answers with what it printed. */
async function say(
  command: (command: Command) => Promise<void>,
  { sql }: World,
  ...args: string[]
): Promise<string> {
  const lines: string[] = [];
  await command({
    args,
    sql,
    print: (line) => lines.push(line),
    publicUrl: () => Promise.resolve("http://weir.test"),
  });
  strictEqual(lines.length, 1);
  return lines[0]!;
}

dbTest(
  "account create prints the id of an account in its zone",
  async (world) => {
    const plain = await say(account, world, "create", "Plain");
    const paris = await say(
      account,
      world,
      "create",
      "Ici",
      "--time-zone",
      "Europe/Paris",
    );
    strictEqual((await findAccount(world.sql, plain))?.time_zone, "UTC");
    const found = await findAccount(world.sql, paris);
    deepStrictEqual([found?.name, found?.time_zone], ["Ici", "Europe/Paris"]);
  },
);

dbTest("key create prints a key for what was asked", async (world) => {
  const { account_uuid } = world.account;
  const machine = await say(
    key,
    world,
    "create",
    "--account",
    account_uuid,
    "--scopes",
    "events:write,analytics:read,events:write",
  );
  const found = await findKey(world.sql, machine);
  deepStrictEqual(
    [found?.scopes.toSorted(), found?.role, found?.user_id],
    [["analytics:read", "events:write"], "admin", null],
  );
  const person = await say(
    key,
    world,
    "create",
    "--account",
    account_uuid,
    "--scopes",
    "admin",
    "--user",
    "u1",
  );
  deepStrictEqual(
    [
      (await findKey(world.sql, person))?.role,
      (await findKey(world.sql, person))?.user_id,
    ],
    ["member", "u1"],
  );
});

dbTest(
  "key revoke ends a key of the account, and key list says so",
  async (world) => {
    const { sql, account } = world;
    const { account_uuid: other } = await createAccount(sql, "Other", "UTC");
    const id = world.key.split("_")[1]!;
    const ofAccount = ["--account", account.account_uuid];
    const list = async () =>
      JSON.parse(await say(key, world, "list", ...ofAccount));
    const { revoked_at, scopes } = await list();
    deepStrictEqual([revoked_at, scopes], [null, [...SCOPES]]);

    await rejects(
      say(key, world, "revoke", id, "--account", other),
      /Cannot revoke the key/,
    );
    ok(await findKey(sql, world.key));
    strictEqual(await say(key, world, "revoke", world.key, ...ofAccount), id);
    strictEqual(await findKey(sql, world.key), null);
    const { revoked_at: first, ...rest } = await list();
    ok(first);
    doesNotMatch(JSON.stringify(rest), new RegExp(world.key.slice(-43)));
    // The second time leaves the first.
    strictEqual(await say(key, world, "revoke", id, ...ofAccount), id);
    strictEqual((await list()).revoked_at, first);
  },
);

dbTest("sign-in prints a link that works", async (world) => {
  const link = await say(
    signIn,
    world,
    "--account",
    world.account.account_uuid,
    "--user",
    "u1",
    "--role",
    "admin",
  );
  match(link, /^http:\/\/weir\.test\/sign-in\?token=/);
  const token = new URL(link).searchParams.get("token")!;
  ok(await beginSession(world.sql, token));
});

dbTest("import prints the id of the workflow", async (world) => {
  const id = await say(
    importFile,
    world,
    "tests/fixtures/visits.csv",
    "--account",
    world.account.account_uuid,
    "--workflow",
    "Visits",
    "--allow-old",
  );
  match(id, /^[0-9a-f-]{36}$/);
});

const ID = "11111111-1111-4111-8111-111111111111";
for (
  const [command, args] of [
    [account, []],
    [account, ["create"]],
    [account, ["create", "A", "B"]],
    [account, ["delete", "A"]],
    [account, ["create", "A", "--time-zone", "Mars/Phobos"]],
    [account, ["create", "A", "--zone", "UTC"]],
    [key, ["create", "--account", ID]],
    [key, ["create", "--account", ID, "--scopes", "events:read"]],
    [key, ["create", "--scopes", "admin"]],
    [key, ["make", "--account", ID, "--scopes", "admin"]],
    [signIn, []],
    [signIn, ["me", "--account", ID]],
  ] as const
) {
  dbTest(
    `${command.name} ${args.join(" ")} is answered with the usage`,
    (world) => rejects(say(command, world, ...args), UsageError),
  );
}

dbTest("key create refuses an account that is not there", (world) =>
  rejects(
    say(key, world, "create", "--account", ID, "--scopes", "admin"),
    { message: `Cannot go on: there is no account "${ID}"` },
  ));

/** Runs main.ts in a process of its own. */
async function runMain(env: Record<string, string>, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "main.ts", ...args],
    cwd: new URL("../../", import.meta.url),
    env,
    // What it should refuse it might do, for ever.
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

dbTest(
  "main account create prints the id alone on stdout",
  async ({ sql, database_url }) => {
    const { code, out } = await runMain(
      { DATABASE_URL: database_url },
      "account",
      "create",
      "Main",
    );
    strictEqual(code, 0);
    strictEqual((await findAccount(sql, out.trim()))?.name, "Main");
  },
);

Deno.test("main answers an unknown command with the usage and 2", async () => {
  for (const args of [[], ["nonsense"], ["constructor"]]) {
    const { code, out, err } = await runMain({}, ...args);
    deepStrictEqual([code, out], [2, ""]);
    match(err, /^Usage: deno task COMMAND/);
  }
});

Deno.test("main refuses wrong settings with 1", async () => {
  const { code, err } = await runMain({ PORT: "x" }, "serve");
  deepStrictEqual([code, err], [
    1,
    "Cannot read the settings: PORT: Must be a number\n",
  ]);
});

Deno.test("main demo refuses a database of somebody else's", async () => {
  const DATABASE_URL = "postgres://nobody@127.0.0.1:1/real";
  const { code, err } = await runMain({ DATABASE_URL }, "demo");
  strictEqual(code, 1);
  match(
    err,
    /^Cannot show the demo in another database.*unset DATABASE_URL\n$/,
  );
});

dbTest("main answers a wrong flag with 2", async ({ database_url }) => {
  const { code, err } = await runMain(
    { DATABASE_URL: database_url },
    "sign-in",
  );
  strictEqual(code, 2);
  match(err, /^Cannot go on: --account ID is missing\n\nUsage/);
});

Deno.test("main refuses a database that lacks migrations, and migrate brings them", async () => {
  const database = `weir_${crypto.randomUUID().replaceAll("-", "")}`;
  await admin(`create database ${database}`);
  const env = { DATABASE_URL: urlOf(database) };
  try {
    for (const command of ["serve", "work", "sign-in"]) {
      const { code, err } = await runMain(env, command);
      strictEqual(code, 1);
      match(
        err,
        /^Cannot use the database: it lacks migrations\/0001_.*run `deno task migrate`/,
      );
    }
    const { code, err } = await runMain(env, "migrate");
    strictEqual(code, 0);
    match(err, /\d+ files ran\n/);
    match((await runMain(env, "migrate")).err, /All was up to date\n/);
  } finally {
    await admin(`drop database ${database} with (force)`);
  }
});
