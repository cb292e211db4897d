/**
 * nginx for tests: Debian's, as an edge cache before a server of the test's, with the
 * very configuration that docs/sharing.md recommends.
 *
 * @module
 */

import { strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { WATCHDOG } from "./debian.ts";
import { until } from "./harness.ts";

const DOCS = new URL("../docs/sharing.md", import.meta.url);

/** A running nginx. */
export interface Nginx extends AsyncDisposable {
  /** Without a slash at its end. */
  url: string;
  /** What it keeps, all files one after the other. */
  kept(): Promise<string>;
  /** What it has written to its access log. */
  log(): Promise<string>;
}

/**
 * Starts one. Disposing of it kills it.
 *
 * @param origin What it stands before, without a slash at its end.
 * @returns The running nginx, which answers.
 */
export async function startNginx(origin: string): Promise<Nginx> {
  const home = await Deno.makeTempDir({ prefix: "weir-nginx-" });
  const port = freePort();
  const cache = join(home, "cache");
  const log = join(home, "access.log");
  const config = (await documentedConfig())
    .replaceAll("http://127.0.0.1:8000", origin)
    .replace("/var/cache/nginx/weir", cache)
    .replace("/var/log/nginx/weir.log", log)
    .replace("server {", `server {\n  listen 127.0.0.1:${port};`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${join(home, name)};`);
  await Deno.writeTextFile(
    join(home, "nginx.conf"),
    // One process, which ends when it is killed.
    `daemon off;
master_process off;
pid ${join(home, "pid")};
error_log stderr;
events {}
http {
${temporary.join("\n")}
${config}
}
`,
  );
  const process = new Deno.Command("/bin/sh", {
    args: ["-c", WATCHDOG, "sh", Deno.env.get("NGINX_PATH") ?? "nginx"]
      .concat("-p", home, "-c", join(home, "nginx.conf"), "-e", "stderr"),
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();

  async function dispose(): Promise<void> {
    await process.stdin.close();
    await process.status;
    await Deno.remove(home, { recursive: true });
  }
  const url = `http://127.0.0.1:${port}`;
  try {
    await until("nginx answers", async () => {
      const answer = await fetch(`${url}/healthz`).catch(() => null);
      await answer?.body?.cancel();
      return answer !== null;
    });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url,
    kept: () => readAll(cache),
    log: () => Deno.readTextFile(log),
    [Symbol.asyncDispose]: dispose,
  };
}

async function documentedConfig(): Promise<string> {
  const blocks = [
    ...(await Deno.readTextFile(DOCS)).matchAll(/```nginx\n([^`]*)```/g),
  ];
  strictEqual(blocks.length, 1);
  return blocks[0]![1]!;
}

async function readAll(folder: string): Promise<string> {
  let text = "";
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    text += isDirectory ? await readAll(path) : await Deno.readTextFile(path);
  }
  return text;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}
