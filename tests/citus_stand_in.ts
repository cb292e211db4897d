/**
 * A cluster without Citus: a coordinator and a worker of the embedded Postgres, in a copy that has
 * `fixtures/citus` for the extension. All rows are on the coordinator; what is seen on it is what `tests/cluster.ts`
 * and `db/citus.sql` do, and that tests pass on databases which were made so.
 *
 * By itself it runs until Ctrl-C, and says what to run the suite with:
 * `deno run -A tests/citus_stand_in.ts`.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBinaries, findRunner, run } from "../db/_binaries.ts";
import { connect } from "../db/client.ts";
import { freePort } from "./harness.ts";
import { launch, PRIVATE_SETTINGS } from "./postgres15.ts";

const EXTENSION = fileURLToPath(new URL("fixtures/citus", import.meta.url));

/** As the embedded one has it, where it matters. */
const SETTINGS = [
  ...PRIVATE_SETTINGS,
  "max_locks_per_transaction=256",
  "jit=off",
]
  .concat("synchronous_commit=off", "checkpoint_timeout=1h");

/** A cluster of two. */
export interface StandIn extends AsyncDisposable {
  /** For `TEST_CITUS_URL`. */
  url: string;
}

/**
 * Starts one. Disposing of it leaves nothing.
 *
 * @returns The running cluster.
 * @throws {Error} When a server does not start.
 */
export async function startStandIn(): Promise<StandIn> {
  const runner = await findRunner();
  const home = await Deno.makeTempDir({ prefix: "weir-citus-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(home, { recursive: true }));
  if (runner) await Deno.chmod(home, 0o711);

  const native = join(home, "native");
  await run("cp", ["-RL", dirname(await findBinaries(runner)), native], null);
  await run("cp", [
    "-R",
    `${EXTENSION}/.`,
    join(native, "share/postgresql/extension"),
  ], null);
  await run("chmod", ["-R", "u=rwX,go=rX", native], null);
  const bin = join(native, "bin");
  const ports = [];
  for (const name of ["coordinator", "worker"]) {
    const place = join(home, name);
    await Deno.mkdir(place);
    if (runner) await Deno.chown(place, runner.uid, runner.gid);
    await run(
      join(bin, "initdb"),
      ["-D", join(place, "data"), "-U", "weir", "-A", "trust", "-E", "UTF8"]
        .concat("--locale=C.UTF-8", "--no-sync"),
      runner,
    );
    const port = freePort();
    const server = await launch(
      `the ${name}`,
      place,
      runner,
      SETTINGS,
      port,
      bin,
    );
    stack.defer(() => server.end());
    ports.push(port);
  }
  const url = `postgres://weir@127.0.0.1:${ports[0]}/postgres`;
  const sql = connect(url, { max: 1, statementTimeoutMs: 10_000 });
  await sql`create extension citus`;
  await sql`select citus_set_coordinator_host('127.0.0.1', ${ports[0]!}::int)`;
  await sql`select citus_add_node('127.0.0.1', ${ports[1]!}::int)`;
  await sql.end();
  const running = stack.move();
  return { url, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

if (import.meta.main) {
  await using standIn = await startStandIn();
  console.log(`TEST_CITUS_URL=${standIn.url}`);
  const stop = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.resolve());
  }
  await stop.promise;
}
