/**
 * What the edge costs: a kept answer and a `304` beside bare Hono that sends the same
 * bytes of JSON (`304` also beside one that sends nothing), and what of it is
 * authentication, limits and logs.
 *
 * The load comes from Debian's `wrk`, which leaves the servers a core. All take turns, a
 * second each, and of each the best second counts: what else the machine does makes
 * nobody faster.
 *
 * @module
 */

import { ensurePrograms } from "../debian.ts";
import { until } from "../harness.ts";
import type { Bench } from "./run.ts";
import { lastDays } from "./reads.ts";

const ROOT = new URL("../../", import.meta.url);
const SERVER = "tests/bench/_edge_server.ts";

/** Requests under way at once. */
const CONNECTIONS = 16;

const ROUNDS = 12;

/** Of one server in one round, s. */
const ROUND_SECONDS = 1;

/** More than any of them answers a minute. */
const UNLIMITED = "99999999";

/** What wrk has measured. */
interface Load {
  perSecond: number;
  p99_ms: number;
}

/** Who takes turns. */
interface Runner {
  url: string;
  headers: string[];
  loads: Load[];
}

/** Measures kept answers as they are sent to a key. */
export async function benchEdge(bench: Bench): Promise<void> {
  const { WRK_PATH } = await ensurePrograms(["tests/bench/edge.ts"]);
  const { start_date, end_date } = lastDays(30);
  const path = `/api/v1/workflows/${bench.busy.uuid}/analytics` +
    `?start_date=${start_date}&end_date=${end_date}`;
  const authorization = `authorization: Bearer ${bench.key}`;
  const file = await Deno.makeTempFile();
  const children: Deno.ChildProcess[] = [];
  try {
    const weir = await startWeir(bench, children);
    const first = await fetch(weir + path, {
      headers: { authorization: `Bearer ${bench.key}` },
    });
    await Deno.writeFile(file, await first.bytes());
    const etag = `if-none-match: ${first.headers.get("etag")}`;
    const bareUrl = await startOther(bench, children, "bare", file);
    const nothingUrl = await startOther(bench, children, "known");
    const openUrl = await startOther(
      bench,
      children,
      "open",
      String(bench.account.account_id),
    );
    const bare = { url: bareUrl, headers: [authorization], loads: [] };
    const nothing = { url: nothingUrl, headers: [authorization], loads: [] };
    const kept = { url: weir, headers: [authorization], loads: [] };
    const known = { url: weir, headers: [authorization, etag], loads: [] };
    const open = { url: openUrl, headers: [authorization], loads: [] };
    const runners: Runner[] = [bare, nothing, kept, known, open];
    for (let round = -1; round < ROUNDS; round++) {
      for (const { url, headers, loads } of runners) {
        const load = await run(WRK_PATH!, url + path, headers);
        // The first round is for the compilers.
        if (round >= 0) loads.push(load);
      }
    }
    reportAll(bench, { bare, nothing, kept, known, open });
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.status));
    await Deno.remove(file);
  }
}

function reportAll(
  { report }: Bench,
  { bare, nothing, kept, known, open }: Record<
    "bare" | "nothing" | "kept" | "known" | "open",
    Runner
  >,
): void {
  const floor = { name: "bare Hono", value: most(bare) };
  report({
    name: "a kept answer",
    value: most(kept),
    unit: "/s",
    floor,
    promise: ">= 0.4 x",
  });
  report({
    name: "304, the client has it",
    value: most(known),
    unit: "/s",
    floor,
    promise: ">= 0.6 x",
  });
  report({
    name: "304, beside nothing but a 304",
    value: most(known),
    unit: "/s",
    floor: { name: "bare Hono's 304", value: most(nothing) },
  });
  report({
    name: `a kept answer, ${CONNECTIONS} at once, p99`,
    value: middleP99(kept),
    unit: "ms",
    floor: { name: "bare Hono", value: middleP99(bare) },
    promise: "<= 5 ms",
  });
  report({
    name: "of a kept answer, authentication, limit and log",
    value: 100 * (1 - most(kept) / most(open)),
    unit: "%",
    promise: "<= 15",
  });
}

function most({ loads }: Runner): number {
  return Math.max(...loads.map(({ perSecond }) => perSecond));
}

function middleP99({ loads }: Runner): number {
  const all = loads.map(({ p99_ms }) => p99_ms).sort((a, b) => a - b);
  return all[Math.floor(all.length / 2)]!;
}

/** The real one as its task starts it; its log goes nowhere, as reading it would cost the other core. */
async function startWeir(
  { databaseUrl }: Bench,
  children: Deno.ChildProcess[],
): Promise<string> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  children.push(
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", await flags(), "--no-check", "main.ts", "serve"],
      cwd: ROOT,
      env: {
        DATABASE_URL: databaseUrl,
        PORT: String(port),
        RATE_LIMIT_PER_MINUTE: UNLIMITED,
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn(),
  );
  const url = `http://127.0.0.1:${port}`;
  await until("the server answers", async () => {
    const answer = await fetch(`${url}/healthz`).catch(() => null);
    await answer?.body?.cancel();
    return answer !== null;
  });
  return url;
}

/** What V8 is told by the task, so that all are alike but for what they do. */
async function flags(): Promise<string> {
  const config = await Deno.readTextFile(new URL("deno.json", ROOT));
  return /--v8-flags=\S+/.exec(JSON.parse(config).tasks.serve)![0];
}

async function startOther(
  { databaseUrl }: Bench,
  children: Deno.ChildProcess[],
  ...args: string[]
): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", await flags(), "--no-check", SERVER, ...args],
    cwd: ROOT,
    env: { DATABASE_URL: databaseUrl },
    stdin: "null",
    stdout: "piped",
  }).spawn();
  children.push(child);
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    return text.trim();
  }
  throw new Error("Cannot start a server to compare with");
}

async function run(
  wrk: string,
  url: string,
  headers: string[],
): Promise<Load> {
  const { stdout } = await new Deno.Command(wrk, {
    args: ["-t1", `-c${CONNECTIONS}`, `-d${ROUND_SECONDS}s`, "--latency"]
      .concat(headers.flatMap((header) => ["-H", header]), url),
  }).output();
  const text = new TextDecoder().decode(stdout);
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? [];
  const [, perSecond] = /Requests\/sec:\s+([\d.]+)/.exec(text) ?? [];
  if (perSecond === undefined || /Non-2xx/.test(text)) {
    throw new Error(`Cannot measure ${url}: ${text}`);
  }
  const ms = { us: 0.001, ms: 1, s: 1_000 }[unit as "us" | "ms" | "s"];
  return { perSecond: Number(perSecond), p99_ms: Number(amount) * ms };
}
