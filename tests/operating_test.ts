import { deepStrictEqual, match, ok } from "node:assert/strict";
import { dbTest } from "./harness.ts";
import { makePast } from "./db/_history.ts";
import { send } from "./routes/_requests.ts";

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
}

/** Names of metrics in a text. */
function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\bweir_[a-z_]+/g))].sort();
}

dbTest(
  "alerts and dashboard ask for metrics that there are, and every alert has its runbook",
  async (world) => {
    await makePast(world, 3);
    await world.sql`select weir.refresh_views('worker')`.catch(() => {});
    const { text } = await send(world, "GET", "/metrics", { key: null });
    const known = metricsIn(text);
    const alerts = await read("docs/prometheus-alerts.yaml");
    const dashboard = await read("docs/grafana.json");
    for (const name of metricsIn(alerts + dashboard)) {
      ok(known.includes(name), `${name} is none of ${known}`);
    }
    JSON.parse(dashboard);
    const runbook = await read("docs/operating.md");
    const names = [...alerts.matchAll(/- alert: (\w+)/g)].map(([, name]) =>
      name!
    );
    ok(names.length >= 8);
    for (const name of names) {
      match(runbook, new RegExp(`^### ${name}$`, "m"));
      ok(alerts.includes(`docs/operating.md#${name.toLowerCase()}`));
    }
  },
);

Deno.test("Dockerfile and compose.yaml name files, commands and settings that there are", async () => {
  const dockerfile = await read("Dockerfile");
  const ignored = await read(".dockerignore");
  for (const [, names] of dockerfile.matchAll(/^COPY (?!--)(.+) \S+$/gm)) {
    for (const name of names!.split(" ")) {
      await Deno.stat(new URL(`../${name}`, import.meta.url));
      ok(ignored.includes(`!${name}\n`), name);
    }
  }
  match(dockerfile, /^USER nonroot$/m);
  match(dockerfile, /^HEALTHCHECK /m);
  // The version that CONTRIBUTING.md has everybody run.
  const version =
    /deno@(\d+\.\d+\.\d+)/.exec(await read("CONTRIBUTING.md"))![1];
  deepStrictEqual(
    new Set([...dockerfile.matchAll(/denoland\/deno:[a-z]+-(\S+)/g)]
      .map(([, tag]) => tag)),
    new Set([version]),
  );
  const compose = await read("compose.yaml");
  const main = await read("main.ts");
  for (const [, command] of compose.matchAll(/^ {4}command: (\w+)$/gm)) {
    ok(main.includes(`  ${command}`), command);
  }
  const settings = await read(".env.example");
  for (const [, name] of compose.matchAll(/^ {6}([A-Z_]+): /gm)) {
    if (/^(POSTGRES|SRH)_/.test(name!)) continue;
    match(settings, new RegExp(`^#? ?${name}=`, "m"));
  }
});
