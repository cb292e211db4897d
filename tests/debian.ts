/**
 * Programs that tests run for real and that npm does not have: Debian's packages.
 *
 * @module
 */

/** A program that some tests start. */
interface Program {
  /** Files of the tests that start it. */
  tests: RegExp;
  /** Names that it may be found under, the first first. */
  names: string[];
  /** Debian's package. */
  package: string;
  /** The environment variable that tells tests where it is; set from outside, it wins. */
  variable: string;
}

/**
 * A script of `sh -c`: runs its arguments as a command, and kills that when whoever holds
 * the other end of its input is gone.
 */
export const WATCHDOG =
  '"$@" & pid=$!; read -r _ || :; kill -KILL "$pid"; wait "$pid"';

/** A test file that starts another program adds it here. */
const PROGRAMS: Program[] = [
  {
    tests:
      /^tests\/(e2e\/|workers\/pdf_test|faults\/(exports|permissions)_test|bench\/(exports|page)\.ts)/,
    names: ["chromium", "chromium-browser", "google-chrome"],
    package: "chromium",
    variable: "CHROMIUM_PATH",
  },
  {
    tests: /^tests\/workers\/pdf_test/,
    names: ["pdftotext"],
    package: "poppler-utils",
    variable: "PDFTOTEXT_PATH",
  },
  {
    tests:
      /^tests\/(upstash_test|live_property_test|db\/bus_test|faults\/redis_test|routes\/(cache|limit|preferences)_test)\.ts$/,
    names: ["redis-server"],
    package: "redis-server",
    variable: "REDIS_PATH",
  },
  {
    tests:
      /^tests\/(faults\/pgbouncer_test|db\/isolation_test|routes\/auth_test)\.ts$/,
    names: ["pgbouncer", "/usr/sbin/pgbouncer"],
    package: "pgbouncer",
    variable: "PGBOUNCER_PATH",
  },
  {
    tests: /^tests\/routes\/edge_test/,
    names: ["nginx", "/usr/sbin/nginx"],
    package: "nginx",
    variable: "NGINX_PATH",
  },
  {
    tests: /^tests\/workers\/report_test/,
    names: ["openssl"],
    package: "openssl",
    variable: "OPENSSL_PATH",
  },
  {
    tests: /^tests\/routes\/snippets_test/,
    names: ["curl"],
    package: "curl",
    variable: "CURL_PATH",
  },
  {
    tests: /^tests\/routes\/snippets_test/,
    names: ["python3"],
    package: "python3",
    variable: "PYTHON_PATH",
  },
  {
    tests: /^tests\/routes\/snippets_test/,
    names: ["go"],
    package: "golang-go",
    variable: "GO_PATH",
  },
  {
    tests: /^tests\/workers\/producer_test/,
    names: ["node"],
    package: "nodejs",
    variable: "NODE_BINARY",
  },
  {
    tests: /^tests\/faults\/clock_test/,
    names: ["faketime"],
    package: "faketime",
    variable: "FAKETIME_PATH",
  },
  {
    tests: /^tests\/bench\/exports\.ts$/,
    names: ["psql"],
    package: "postgresql-client",
    variable: "PSQL_PATH",
  },
  {
    tests: /^tests\/bench\/edge\.ts$/,
    names: ["wrk"],
    package: "wrk",
    variable: "WRK_PATH",
  },
];

/**
 * Finds the programs that tests start, and as root installs what is missing, all at once.
 *
 * @param files The tests that are to run.
 * @returns Where each program is, by its environment variable.
 * @throws {Error} Naming the command that installs what is missing.
 */
export async function ensurePrograms(
  files: string[],
): Promise<Record<string, string>> {
  const wanted = PROGRAMS.filter(({ tests }) =>
    files.some((file) => tests.test(file))
  );
  const missing = [];
  for (const program of wanted) {
    if (await find(program) === null) missing.push(program.package);
  }
  if (missing.length > 0) await install(missing);
  const found: Record<string, string> = {};
  for (const program of wanted) {
    const path = await find(program);
    if (path === null) {
      throw new Error(
        `Cannot find '${
          program.names[0]
        }', which tests start: install it, or set ${program.variable}`,
      );
    }
    found[program.variable] = path;
  }
  return found;
}

/**
 * Installs Debian's packages.
 *
 * @param packages Their names.
 * @throws {Error} Where that takes another user or another system.
 */
export async function install(packages: string[]): Promise<void> {
  const command =
    `apt-get update && apt-get install -y --no-install-recommends ${
      packages.join(" ")
    }`;
  const isDebian = await Deno.stat("/usr/bin/apt-get")
    .then(() => true, () => false);
  if (Deno.uid() !== 0 || !isDebian) {
    throw new Error(
      `Cannot test without ${
        packages.join(", ")
      }: run \`${command}\` as root, or the like on another system`,
    );
  }
  console.error(`Installing ${packages.join(", ")} for the tests`);
  await new Deno.Command("/bin/sh", {
    args: ["-c", command],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
  }).output();
}

async function find({ names, variable }: Program): Promise<string | null> {
  const given = Deno.env.get(variable);
  if (given) return given;
  const { stdout } = await new Deno.Command("/bin/sh", {
    args: ["-c", `command -v ${names.join(" ")}`],
  }).output();
  return new TextDecoder().decode(stdout).split("\n")[0] || null;
}
