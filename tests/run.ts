/**
 * `deno task test`: gets what the tests need, runs them, and says at last
 * `N passed, N failed`.
 *
 * Paths run only those tests, flags go to `deno test`:
 * `deno task test tests/db --filter=fold`. With `TEST_DATABASE_URL`, the URL of a
 * superuser, the tests run on that Postgres. With `TEST_CITUS_URL`, that of a superuser
 * at a database of a coordinator, they run on its cluster, but for those that
 * `cluster.ts` names.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connect } from "../db/client.ts";
import { type Embedded, startEmbedded } from "../db/embedded.ts";
import { migrate } from "../db/migrate.ts";
import { buildIslands } from "../islands/build.ts";
import { launcherGone } from "../workers/_launcher.ts";
import { createOnCluster, dropOnCluster } from "./cluster.ts";
import { ensurePrograms } from "./debian.ts";
import { TEMPLATE } from "./harness.ts";
import { ensurePostgres15, startPostgres15 } from "./postgres15.ts";

/** Least share of lines of ours that tests run, percent. */
const COVERAGE_PERCENT_MIN = 90;

/** Least share of branches, percent. */
const BRANCHES_PERCENT_MIN = 80;

/** Tests that measure time or kill processes run one after the other. */
const ALONE = /^tests\/(faults|e2e)\//;

/** Tests that take minutes begin first, so that none is left to run alone at the end. */
const LONG = /fold_property|live_property|routes\/(fuzz|stream)_test/;

/** Tests that need the oldest Postgres we promise to run on, and pg_cron. */
const CRON = /^tests\/cron\//;

/** What else runs there, so that what the newest alone understands is noticed. */
const ALSO_ON_POSTGRES_15 = [
  "tests/db/audit_test.ts",
  "tests/db/events_test.ts",
  "tests/db/migrate_test.ts",
  "tests/db/retention_test.ts",
  "tests/db/views_test.ts",
  "tests/routes/analytics_test.ts",
];

/** Each of three groups takes 5 minutes at most on two cores, and 14 on busy ones: what takes longer hangs. */
const GROUP_MINUTES_MAX = Number(Deno.env.get("TEST_MINUTES_MAX") ?? 25);

/** Three groups that hang, and what is before and after them. CI gives up after 90. */
const RUN_MINUTES_MAX = 3 * GROUP_MINUTES_MAX + 10;

/** `deno test` says at once what it is at when it is interrupted, ms. */
const LAST_WORDS_MS_MAX = 5_000;

/**
 * A script of `sh -c`: runs its arguments as a command, whose status is its own. Its group
 * of processes, with all that tests have started and left behind, is killed when whoever
 * holds the other end of its input closes that or is gone.
 */
const GROUP =
  'exec 3<&0; (read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 & "$@" 3<&- </dev/null';

const ROOT = new URL("../", import.meta.url);
const COVERAGE = fileURLToPath(new URL("coverage", ROOT));

/** What one `deno test` counted. */
interface Count {
  passed: number;
  failed: number;
}

async function main(args: string[], signal: AbortSignal): Promise<boolean> {
  const flags = args.filter((arg) => arg.startsWith("-"));
  const paths = args.filter((arg) => !arg.startsWith("-"));
  const files = (await Promise.all(
    (paths.length > 0 ? paths : ["tests"]).map(findTests),
  )).flat();
  if (files.length === 0) throw new Error("Cannot test: no test file found");
  const env = await ensurePrograms(files);
  // `serve` looks for them, whoever built them last.
  await buildIslands(new URL("dist/", ROOT));

  const dataDir = await Deno.makeTempDir({ prefix: "weir-test-" });
  // Whoever runs Postgres when we are root must get through to its own directory.
  if (Deno.uid() === 0) await Deno.chmod(dataDir, 0o711);
  let postgres: Embedded | undefined;
  try {
    const given = Deno.env.get("TEST_DATABASE_URL");
    postgres = given ? undefined : await startEmbedded({
      dataDir,
      ephemeral: true,
      onProgress: console.error,
    });
    env.TEST_DATABASE_URL = given ?? postgres!.url;
    await createTemplate(env.TEST_DATABASE_URL);
    const cluster = Deno.env.get("TEST_CITUS_URL");
    // Whatever is wrong with it is said once; and the roles, which all its databases share, are made by one.
    if (cluster) {
      await createOnCluster(cluster, TEMPLATE);
      await dropOnCluster(cluster, TEMPLATE);
    }
    return await runAll(files, flags, env, signal, paths.length === 0);
  } finally {
    await postgres?.stop();
    await Deno.remove(dataDir, { recursive: true });
  }
}

async function runAll(
  files: string[],
  flags: string[],
  env: Record<string, string>,
  signal: AbortSignal,
  isWhole: boolean,
): Promise<boolean> {
  await Deno.remove(COVERAGE, { recursive: true }).catch(() => {});
  const count: Count = { passed: 0, failed: 0 };
  const others = files.filter((file) => !CRON.test(file))
    .sort((a, b) => Number(LONG.test(b)) - Number(LONG.test(a)));
  for (
    const [group, ...parallel] of [
      [others.filter((file) => !ALONE.test(file)), "--parallel"],
      [others.filter((file) => ALONE.test(file))],
    ] as [string[], ...string[]][]
  ) {
    if (group.length === 0 || signal.aborted) continue;
    const part = await runTests([...parallel, ...flags, ...group], env, signal);
    count.passed += part.passed;
    count.failed += part.failed;
  }
  if (files.some((file) => CRON.test(file)) && !signal.aborted) {
    const part = await runOnPostgres15(files, flags, env, signal);
    count.passed += part.passed;
    count.failed += part.failed;
  }
  const isCovered = await reportCoverage(isWhole);
  if (signal.aborted) count.failed++;
  console.log(`${count.passed} passed, ${count.failed} failed`);
  return count.failed === 0 && isCovered;
}

async function runOnPostgres15(
  files: string[],
  flags: string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<Count> {
  const problem = await ensurePostgres15();
  if (problem !== null) {
    console.error(problem);
    return { passed: 0, failed: 0 };
  }
  await using postgres = await startPostgres15();
  await createTemplate(postgres.url);
  return await runTests(
    ["--parallel", ...flags, ...files.filter((file) => CRON.test(file))]
      .concat(ALSO_ON_POSTGRES_15),
    { ...env, TEST_DATABASE_URL: postgres.url, TEST_CITUS_URL: "" },
    signal,
  );
}

async function findTests(path: string): Promise<string[]> {
  path = path.replace(/\/$/, "");
  const { isDirectory } = await Deno.stat(new URL(path, ROOT));
  if (!isDirectory) return [path];
  const found: string[] = [];
  for await (const entry of Deno.readDir(new URL(path, ROOT))) {
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory) found.push(...await findTests(child));
    else if (/_test\.tsx?$/.test(entry.name)) found.push(child);
  }
  return found.sort();
}

async function createTemplate(server: string): Promise<void> {
  const sql = connect(server, { max: 1, statementTimeoutMs: 0 });
  await sql.unsafe(`drop database if exists ${TEMPLATE} with (force)`);
  await sql.unsafe(`create database ${TEMPLATE}`);
  await sql.end();
  const url = new URL(server);
  url.pathname = `/${TEMPLATE}`;
  const template = connect(url.href, { max: 1, statementTimeoutMs: 0 });
  await migrate(template);
  await template.end();
}

async function runTests(
  args: string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<Count> {
  const child = new Deno.Command("/bin/sh", {
    // Types are for `deno task ok`: checking them takes longer than the tests.
    args: ["-c", GROUP, "sh", Deno.execPath(), "test", "-A", "--no-check"]
      .concat(`--coverage=${COVERAGE}`, "--coverage-raw-data-only", ...args),
    cwd: ROOT,
    env,
    stdin: "piped",
    stdout: "piped",
    detached: true,
  }).spawn();
  const ending = endOf(child, signal);
  let tail = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    await Deno.stdout.write(new TextEncoder().encode(chunk));
    tail = (tail + chunk).slice(-4_000);
  }
  const success = await ending;
  // deno-lint-ignore no-control-regex
  const plain = tail.replaceAll(/\x1b\[[\d;]*m/g, "");
  const [, passed, failed] = /(\d+) passed.* \| (\d+) failed/.exec(plain) ?? [];
  const count = { passed: Number(passed ?? 0), failed: Number(failed ?? 0) };
  // It may fail without a failed test: a file that does not load, a kill.
  if (!success && count.failed === 0) count.failed = 1;
  return count;
}

/** Waits for a group, until it is told not to or the group is late. Returns whether all is well. */
async function endOf(
  group: Deno.ChildProcess,
  signal: AbortSignal,
): Promise<boolean> {
  const late = AbortSignal.timeout(GROUP_MINUTES_MAX * 60_000);
  const enough = AbortSignal.any([signal, late]);
  const giveUp = new Promise<null>((resolve) =>
    enough.addEventListener("abort", () => resolve(null))
  );
  let status = await Promise.race([group.status, giveUp]);
  if (status === null) {
    if (late.aborted) {
      console.error(
        `Cannot wait any longer: after ${GROUP_MINUTES_MAX} minutes there are tests that have not ended`,
      );
    }
    // It names them.
    Deno.kill(-group.pid, "SIGINT");
    status = await Promise.race([group.status, delay(LAST_WORDS_MS_MAX, null)]);
  }
  await group.stdin.close();
  return status?.success ?? false;
}

/** Only a whole run is held to the limit. */
async function reportCoverage(isWhole: boolean): Promise<boolean> {
  if (!isWhole) return true;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "coverage",
      COVERAGE,
      `--include=^${ROOT.href}(main|db|routes|islands|workers)`,
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stderr: "inherit",
  }).output();
  const table = new TextDecoder().decode(stdout);
  console.log(table);
  const [, branches, lines] =
    /^\| *All files *\| *([\d.]+) *\|[^|]*\| *([\d.]+)/m.exec(table)
      ?.map(Number) ?? [];
  if (lines! >= COVERAGE_PERCENT_MIN && branches! >= BRANCHES_PERCENT_MIN) {
    return true;
  }
  console.error(
    `Cannot accept the tests: they run ${lines} % of our lines and ${branches} % of ` +
      `branches, and ${COVERAGE_PERCENT_MIN} and ${BRANCHES_PERCENT_MIN} are wanted`,
  );
  return false;
}

if (import.meta.main) {
  setTimeout(() => {
    console.error(
      `Cannot go on: this takes ${RUN_MINUTES_MAX} minutes already`,
    );
    console.log("0 passed, 1 failed");
    Deno.exit(1);
  }, RUN_MINUTES_MAX * 60_000);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.abort());
  }
  try {
    const isGood = await main(
      Deno.args,
      AbortSignal.any([stop.signal, await launcherGone()]),
    );
    Deno.exit(isGood ? 0 : 1);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.log("0 passed, 1 failed");
    Deno.exit(1);
  }
}
