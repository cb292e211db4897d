import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { startEmbedded } from "../../db/embedded.ts";
import { until } from "../harness.ts";
import { endOf, within } from "../within.ts";
import { killHard } from "./_kill.ts";

/** What another process answered, and the process. */
interface User extends AsyncDisposable {
  url: string;
  started: boolean;
  process: Deno.ChildProcess;
  /** Lets it leave in order, and waits until it has. */
  leave(): Promise<void>;
}

/** A directory as `DATA_DIR` would be; what runs there at the end is the test's failure. */
async function withDataDir(fn: (dataDir: string) => Promise<void>) {
  const dataDir = await Deno.makeTempDir({ prefix: "weir-test-" });
  if (Deno.uid() === 0) await Deno.chmod(dataDir, 0o711);
  try {
    await fn(dataDir);
    await allEnd(dataDir);
  } finally {
    for (const pid of await processesOf(dataDir)) killHard(pid);
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function startUser(dataDir: string): Promise<User> {
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "tests/fixtures/use_postgres.ts",
      dataDir,
    ],
    cwd: new URL("../../", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream())
    .getReader();

  async function leave(): Promise<void> {
    await process.stdin.close().catch(() => {});
    await endOf(process);
    await reader.cancel();
  }
  async function dispose(): Promise<void> {
    try {
      process.kill("SIGKILL");
    } catch { /* It has ended already. */ }
    await leave();
  }
  try {
    const { value } = await within("it uses Postgres", reader.read(), 60);
    ok(value, "the other process ended before it used Postgres");
    return {
      ...JSON.parse(value),
      process,
      leave,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Postgres and its watchdog have their directory in their command lines. */
async function processesOf(dataDir: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await Deno.readTextFile(`/proc/${name}/cmdline`)
      .catch(() => "");
    if (command.includes(`${dataDir}/postgres`)) found.push(Number(name));
  }
  return found;
}

/** The watchdog ends a moment after its Postgres. */
function allEnd(dataDir: string): Promise<void> {
  return until(
    "Postgres and its watchdog have ended",
    async () => (await processesOf(dataDir)).length === 0,
  );
}

async function ask(url: string, statement: string): Promise<unknown> {
  const sql = connect(url, { max: 1, statementTimeoutMs: 10_000 });
  try {
    const [row] = await sql.unsafe(statement).values();
    return row?.[0];
  } finally {
    await sql.end();
  }
}

async function readPid(path: string): Promise<number> {
  return Number((await Deno.readTextFile(path)).split("\n")[0]);
}

Deno.test("startEmbedded() makes a database that only its password opens", () =>
  withDataDir(async (dataDir) => {
    const { url, started, stop } = await startEmbedded({
      dataDir,
      ephemeral: true,
    });
    try {
      strictEqual(started, true);
      strictEqual(await ask(url, "select current_database()"), "weir");
      strictEqual(await ask(url, "show listen_addresses"), "127.0.0.1");
      const wrong = new URL(url);
      wrong.password = "wrong";
      await rejects(ask(wrong.href, "select 1"), /password authentication/);
      const { mode } = await Deno.stat(`${dataDir}/embedded.json`);
      strictEqual(mode! & 0o777, 0o600);
    } finally {
      await stop();
    }
  }));

Deno.test("startEmbedded() is durable unless told that nobody will miss the data", () =>
  withDataDir(async (dataDir) => {
    const { url, stop } = await startEmbedded({ dataDir });
    try {
      strictEqual(await ask(url, "show fsync"), "on");
      strictEqual(await ask(url, "show synchronous_commit"), "on");
      strictEqual(await ask(url, "show full_page_writes"), "on");
    } finally {
      await stop();
    }
  }));

Deno.test("startEmbedded() joins a running one, which stops with its last user", () =>
  withDataDir(async (dataDir) => {
    await using first = await startUser(dataDir);
    const second = await startEmbedded({ dataDir });
    deepStrictEqual([first.started, second.started], [true, false]);
    strictEqual(second.url, first.url);

    await first.leave();
    strictEqual(await ask(second.url, "select 1"), 1);
    await second.stop();
    const pid = `${dataDir}/postgres/data/postmaster.pid`;
    await rejects(Deno.stat(pid), Deno.errors.NotFound);
  }));

Deno.test("startEmbedded() starts one for all who come at once", () =>
  withDataDir(async (dataDir) => {
    await using all = new AsyncDisposableStack();
    const users = await Promise.all(
      Array.from(
        { length: 4 },
        async () => all.use(await startUser(dataDir)),
      ),
    );
    strictEqual(users.filter((user) => user.started).length, 1);
    strictEqual(new Set(users.map((user) => user.url)).size, 1);
    await Promise.all(users.map((user) => user.leave()));
  }));

Deno.test("startEmbedded() keeps two directories apart", () =>
  withDataDir((one) =>
    withDataDir(async (other) => {
      await using a = await startUser(one);
      await using b = await startUser(other);
      await ask(a.url, "create table here ()");
      strictEqual(await ask(b.url, "select to_regclass('here')"), null);
      await Promise.all([a.leave(), b.leave()]);
    })
  ));

for (const signal of ["SIGKILL", "SIGTERM", "SIGINT"] as const) {
  Deno.test(`startEmbedded() leaves no orphan after ${signal}, and keeps data and port`, () =>
    withDataDir(async (dataDir) => {
      await using user = await startUser(dataDir);
      await ask(user.url, "create table kept ()");
      user.process.kill(signal);
      await allEnd(dataDir);
      const again = await startEmbedded({ dataDir });
      try {
        strictEqual(again.url, user.url);
        strictEqual(await ask(again.url, "select to_regclass('kept')"), "kept");
      } finally {
        await again.stop();
      }
    }));
}

Deno.test("startEmbedded() brings a killed Postgres back for its users", () =>
  withDataDir(async (dataDir) => {
    const { url, stop } = await startEmbedded({ dataDir });
    try {
      await ask(url, "create table kept ()");
      const killed = await readPid(`${dataDir}/postgres/data/postmaster.pid`);
      Deno.kill(killed, "SIGKILL");
      await until(
        "Postgres answers again",
        () => ask(url, "select 1").then(() => true, () => false),
      );
      strictEqual(await ask(url, "select to_regclass('kept')"), "kept");
    } finally {
      await stop();
    }
  }));

Deno.test("startEmbedded() takes over when user and watchdog were killed", () =>
  withDataDir(async (dataDir) => {
    await using user = await startUser(dataDir);
    const home = `${dataDir}/postgres`;
    const orphan = await readPid(`${home}/data/postmaster.pid`);
    for (const pid of await processesOf(dataDir)) {
      if (pid !== orphan) killHard(pid);
    }
    user.process.kill("SIGKILL");
    await endOf(user.process);
    // What is killed is there until it has ended, and could be joined.
    await until(
      "they are gone",
      async () => (await processesOf(dataDir)).length === 1,
    );

    const again = await startEmbedded({ dataDir });
    try {
      strictEqual(again.started, true);
      strictEqual(await ask(again.url, "select 1"), 1);
    } finally {
      await again.stop();
    }
  }));

Deno.test("startEmbedded() sees through a pid that went to another process", () =>
  withDataDir(async (dataDir) => {
    await (await startEmbedded({ dataDir, ephemeral: true })).stop();
    await Deno.writeTextFile(
      `${dataDir}/postgres/data/postmaster.pid`,
      `${Deno.pid}\n${dataDir}/postgres/data\n1700000000\n1\n\n127.0.0.1\n1 1\nready\n`,
    );
    const { url, stop } = await startEmbedded({ dataDir, ephemeral: true });
    try {
      strictEqual(await ask(url, "select 1"), 1);
    } finally {
      await stop();
    }
  }));

Deno.test("startEmbedded() takes another port when its own is taken", () =>
  withDataDir(async (dataDir) => {
    const before = await startEmbedded({ dataDir, ephemeral: true });
    await before.stop();
    const { hostname, port } = new URL(before.url);
    using _taken = Deno.listen({ hostname, port: Number(port) });
    const { url, stop } = await startEmbedded({ dataDir, ephemeral: true });
    try {
      ok(new URL(url).port !== port);
      strictEqual(await ask(url, "select 1"), 1);
    } finally {
      await stop();
    }
  }));

Deno.test("startEmbedded() refuses data of another Postgres", () =>
  withDataDir(async (dataDir) => {
    await (await startEmbedded({ dataDir, ephemeral: true })).stop();
    await Deno.writeTextFile(`${dataDir}/postgres/data/PG_VERSION`, "16\n");
    await rejects(
      startEmbedded({ dataDir }),
      /^Error: Cannot start Postgres 17 in ".*": its data is of Postgres 16$/,
    );
  }));

Deno.test({
  name:
    "startEmbedded() keeps root's data where its runner can enter, and finds it again",
  ignore: Deno.uid() !== 0,
  async fn() {
    const closed = await Deno.makeTempDir({ prefix: "weir-test-" });
    const dataDir = `${closed}/.data`;
    const said: string[] = [];
    let place = "";
    try {
      for (const tables of [0, 1]) {
        const { url, stop } = await startEmbedded({
          dataDir,
          ephemeral: true,
          onProgress: (text) => said.push(text),
        });
        place = await Deno.realPath(`${dataDir}/postgres`);
        try {
          const count =
            "select count(*)::int from pg_tables where tablename = 'kept'";
          strictEqual(await ask(url, count), tables);
          if (tables === 0) await ask(url, "create table kept ()");
        } finally {
          await stop();
        }
      }
      const { mode, uid } = await Deno.stat(place);
      strictEqual(mode! & 0o777, 0o700);
      ok(uid !== 0);
      match(said.join("\n"), new RegExp(`Keeping data in ${place}`));
    } finally {
      await Deno.remove(closed, { recursive: true });
      if (place) await Deno.remove(place, { recursive: true });
    }
  },
});

/** The task, which may start nothing and write nowhere. */
async function createAccount(DATA_DIR: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "account", "create", "Mine"],
    cwd: new URL("../../", import.meta.url),
    env: { DATA_DIR },
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("startEmbedded() only joins where it may start nothing", () =>
  withDataDir(async (dataDir) => {
    const alone = await createAccount(dataDir);
    strictEqual(alone.code, 1);
    match(alone.err, /^Cannot reach the embedded Postgres .*deno task start/);
    await using first = await startUser(dataDir);
    const { code, out, err } = await createAccount(dataDir);
    strictEqual(code, 0, err);
    strictEqual(
      await ask(first.url, "select account_uuid from weir.account"),
      out.trim(),
    );
    await first.leave();
  }));
