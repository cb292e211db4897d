/**
 * The tasks as `deno.json` has them: what they are given suffices, and is all they have.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { dbTest, until } from "../harness.ts";
import { put, WORKFLOW } from "../routes/_requests.ts";
import { within } from "../within.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** They start Postgres, esbuild, or programs of tests, and look at processes. */
const FREE = ["demo", "start", "build", "bench", "generate", "test"];

/** What the others must not be able to do; `import` reads the file that it is told. */
const PROBE = `
  const tries = {
    run: () => new Deno.Command("/bin/sh", { args: ["-c", "true"] }).output(),
    write: () => Deno.writeTextFile(Deno.args.at(-1), ""),
    write_here: () => Deno.writeTextFile("escaped", ""),
    read: () => Deno.readTextFile("/etc/passwd"),
    ffi: () => Deno.dlopen("/lib/libc.so.6", {}),
    sys: () => Deno.hostname(),
  };
  const done = {};
  for (const [name, act] of Object.entries(tries)) {
    try {
      await act();
      done[name] = "allowed";
    } catch (error) {
      if (error.name !== "NotCapable") done[name] = String(error);
    }
  }
  console.log(JSON.stringify(done));`;

function start(
  args: string[],
  env: Record<string, string>,
  cwd = ROOT,
) {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", ...args],
    cwd,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let log = "";
  // Both end when the last process that writes to them has.
  const ended = Promise.all(
    [process.stdout, process.stderr].map((stream) =>
      stream.pipeThrough(new TextDecoderStream()).pipeTo(
        new WritableStream({
          write(chunk) {
            log += chunk;
          },
        }),
      )
    ),
  );
  return {
    process,
    ended,
    log: () => log,
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGTERM");
      } catch { /* It has ended already. */ }
      await within("all of it has ended", ended);
    },
  };
}

async function tasks(): Promise<[name: string, command: string][]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  return Object.entries<string>(tasks)
    .filter(([, command]) => command.includes("deno run"));
}

Deno.test("tasks run, write and read nothing but what is theirs", async () => {
  const all = await tasks();
  deepStrictEqual(
    all.filter(([, command]) => / -A /.test(command)).map(([name]) => name)
      .sort(),
    FREE.toSorted(),
  );
  const folder = await Deno.makeTempDir({ dir: ROOT, prefix: ".probe-" });
  try {
    const probes = all.filter(([name]) => !FREE.includes(name))
      .map(([name, command]) => {
        ok(command.startsWith("deno run --no-prompt "), name);
        ok(command.endsWith(` main.ts ${name}`), name);
        return [name, command.replace(/main\.ts .*/, "probe.ts")] as const;
      });
    ok(probes.length >= 9);
    await Deno.writeTextFile(
      `${folder}/deno.json`,
      JSON.stringify({ tasks: Object.fromEntries(probes) }),
    );
    await Deno.writeTextFile(`${folder}/probe.ts`, PROBE);
    for (const [name] of probes) {
      const probe = start([name, `/weir-${crypto.randomUUID()}`], {}, folder);
      await within("the probe has ended", probe.ended);
      strictEqual((await probe.process.status).code, 0, probe.log());
      deepStrictEqual(
        [name, JSON.parse(probe.log())],
        [name, name === "import" ? { read: "allowed" } : {}],
      );
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("tasks that may not join an embedded Postgres say what to set instead", async () => {
  // Not below /tmp, which `work` may read.
  const DATA_DIR = `/weir-${crypto.randomUUID()}`;
  for (const name of ["serve", "work", "migrate"]) {
    await using task = start([name], { DATABASE_URL: "", DATA_DIR });
    await within("it has ended", task.ended);
    strictEqual((await task.process.status).code, 1);
    strictEqual(
      task.log(),
      `Cannot read where the embedded Postgres of "${DATA_DIR}" is: set DATABASE_URL\n`,
    );
  }
});

dbTest(
  "serve and work do all of their work as tasks, and leave when their task is killed",
  async (world) => {
    await put(world);
    const folder = await Deno.makeTempDir({ prefix: "weir-test-" });
    const env = {
      DATABASE_URL: world.database_url,
      DATA_DIR: folder,
      EXPORT_STORE: "disk",
      PORT: "0",
      LOG_LEVEL: "info",
    };
    const built = start(["build"], {});
    await within("it is built", built.ended);
    strictEqual((await built.process.status).code, 0, built.log());
    try {
      await using web = start(["serve"], env);
      await using worker = start(["work"], env);
      const url = await addressIn(web);
      const headers = { authorization: `Bearer ${world.key}` };
      const ready = await fetch(`${url}/readyz`);
      strictEqual((await ready.json()).database, "ok");
      const page = await (await fetch(`${url}/sign-in`)).text();
      const asset = await fetch(url + /"(\/assets\/[^"]+)"/.exec(page)![1]);
      strictEqual(asset.status, 200, await asset.text());

      const path = `/api/v1/workflows/${WORKFLOW}/exports`;
      const asked = await fetch(url + path, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({
          format: "pdf",
          start_date: "2026-06-12",
          end_date: "2026-06-15",
        }),
      });
      const { job_id } = await asked.json();
      // Asking over HTTP this often would be refused.
      let job: { status: string; error: string | null } | undefined;
      await until("the report is printed", async () => {
        [job] = await world.sql`
          select status, error from weir.export_job where job_id = ${job_id}`;
        return job?.status === "done" || job?.status === "failed";
      }, 60);
      deepStrictEqual(job, { status: "done", error: null });
      const file = await fetch(`${url}${path}/${job_id}/download`, { headers });
      match(await file.text(), /^%PDF/);
      // Whether they end is seen by the end of what they write.
      web.process.kill("SIGKILL");
      worker.process.kill("SIGKILL");
      await within("both have left", Promise.all([web.ended, worker.ended]));
      match(web.log(), /"message":"stopped"/);
      match(worker.log(), /"message":"stopped"/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function addressIn(web: ReturnType<typeof start>): Promise<string> {
  let url: string | undefined;
  await until("serve listens", () => {
    url = /"message":"listening","url":"([^"]+)"/.exec(web.log())?.[1];
    return url !== undefined;
  });
  return url!;
}
