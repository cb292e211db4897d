import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { parse } from "yaml";
import { dbTest } from "./harness.ts";
import { recordJob, refreshAll } from "../db/jobs.ts";
import { partitions, retain } from "../workers/retain.ts";
import { makePast } from "./db/_history.ts";
import { send, WORKFLOW } from "./routes/_requests.ts";

async function read(path: string): Promise<string> {
  return await Deno.readTextFile(new URL(`../${path}`, import.meta.url));
}

/** What a file for Docker Compose says of a service. */
interface Service {
  image?: string;
  build?: string | { dockerfile_inline: string };
  command?: string;
  environment?: Record<string, string>;
  healthcheck?: { test?: string[]; disable?: boolean };
  depends_on?: Record<string, { condition: string }>;
  restart?: string;
  stop_grace_period?: string;
  shm_size?: string;
  volumes?: string[];
}

/** Requests under way have so long to finish: docs/operating.md, Stopping. */
const DRAIN_SECONDS = 10;

/** A rule of Prometheus. */
interface Rule {
  alert: string;
  expr: string;
  for: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}

/** Labels that Prometheus gives to all that it scrapes: one of the same name would be called otherwise. */
const OF_THE_SCRAPE = ["job", "instance"];

/** Metrics of which every process tells what is its own; all others are the database's, and the same from each. */
const OF_A_PROCESS =
  /^weir_(http|cache|limited|streams|pool|access_log|replica)/;

/** The labels of each metric, and their values. */
function labelsIn(metrics: string): Map<string, Map<string, Set<string>>> {
  const found = new Map<string, Map<string, Set<string>>>();
  for (
    const [, name, labels] of metrics.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)
  ) {
    const of = found.get(name!) ?? new Map<string, Set<string>>();
    found.set(name!, of);
    for (
      const [, label, value] of (labels ?? "").matchAll(/(\w+)="([^"]*)"/g)
    ) {
      of.set(label!, (of.get(label!) ?? new Set()).add(value!));
    }
  }
  return found;
}

/** That an expression asks for labels that there are, and adds up nothing that several processes tell of. */
function assertAsks(
  expr: string,
  known: Map<string, Map<string, Set<string>>>,
): void {
  for (const [, name, labels] of expr.matchAll(/\b(weir_\w+)(?:\{(.*?)\})?/g)) {
    const of = known.get(name!);
    ok(of, `${name} is none of ${[...known.keys()]}`);
    for (
      const [, label, values] of (labels ?? "").matchAll(/(\w+)=~?"([^"]*)"/g)
    ) {
      // Statuses are those that have been answered.
      const wanted = label === "status" ? [] : values!.split("|");
      ok(of.has(label!), `${name} has no ${label}`);
      for (const value of wanted) {
        ok(of.get(label!)!.has(value), `${name} of ${value}`);
      }
    }
    ok(
      OF_A_PROCESS.test(name!) || !/\bsum\b/.test(expr),
      `${expr} counts ${name} once a process`,
    );
    const by = /\bby \((\w+)\)/.exec(expr)?.[1];
    ok(by === undefined || of.has(by), `${name} has no ${by}`);
  }
}

/** Names of metrics in a text. */
function metricsIn(text: string): string[] {
  return [...new Set(text.match(/\bweir_[a-z_]+/g))].sort();
}

dbTest(
  "alerts and dashboard ask for metrics that there are, and every alert has its runbook",
  async (world) => {
    await makePast(world, 3);
    await refreshAll(world.work);
    for (const { name } of [partitions, retain]) {
      await recordJob(world.sql, {
        name,
        every_seconds: 1,
        started_at: new Date(),
        did: {},
        error: null,
        rounds: 1,
      });
    }
    await send(world, "GET", "/healthz", { key: null });
    const { text } = await send(world, "GET", "/metrics", { key: null });
    const known = labelsIn(text);
    for (const [name, labels] of known) {
      for (const taken of OF_THE_SCRAPE) {
        ok(!labels.has(taken), `${name} has the scrape's label ${taken}`);
      }
    }
    const alerts = await read("docs/prometheus-alerts.yaml");
    const dashboard = await read("docs/grafana.json");
    const { panels } = JSON.parse(dashboard) as {
      panels: { targets: { expr: string }[] }[];
    };
    const shown = panels.flatMap(({ targets }) => targets);
    ok(shown.length >= 10);
    for (const { expr } of shown) assertAsks(expr, known);
    const runbook = await read("docs/operating.md");
    const { groups } = parse(alerts) as { groups: { rules: Rule[] }[] };
    const rules = groups.flatMap(({ rules }) => rules);
    ok(rules.length >= 8);
    for (const { alert, labels, annotations, ...rule } of rules) {
      match(runbook, new RegExp(`^### ${alert}$`, "m"));
      strictEqual(
        annotations.runbook,
        `docs/operating.md#${alert.toLowerCase()}`,
      );
      ok(annotations.summary.length > 10, alert);
      match(labels.severity, /^(critical|warning)$/);
      match(rule.for, /^\d+[smh]$/);
      ok(rule.expr.includes('up{job="weir"}') || metricsIn(rule.expr).length);
      // Without a replica there is no metric of it: its own test has it.
      if (alert !== "WeirReplicaUnused") assertAsks(rule.expr, known);
    }
    // What it has operators ask can be asked.
    const questions = [
      ...runbook.slice(runbook.indexOf("\n## Alerts"))
        .matchAll(/`((?:select|update)\b[^`]+)`/g),
    ];
    ok(questions.length >= 6);
    for (const [, question] of questions) {
      await world.sql.unsafe(question!.replace("…", WORKFLOW));
    }
    // And none is explained that there is not.
    deepStrictEqual(
      [...runbook.matchAll(/^### (Weir\w+)$/gm)].map(([, name]) => name).sort(),
      rules.map(({ alert }) => alert).sort(),
    );
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
  const { services, volumes } = parse(await read("compose.yaml")) as {
    services: Record<string, Service>;
    volumes: Record<string, unknown>;
  };
  deepStrictEqual(
    Object.keys(services).sort(),
    ["migrate", "postgres", "redis", "upstash", "web", "worker"],
  );
  deepStrictEqual(Object.keys(volumes), ["postgres"]);
  const main = await read("main.ts");
  const settings = await read(".env.example");
  for (const [name, service] of Object.entries(services)) {
    const { image, build, command, environment, depends_on } = service;
    if (build === ".") {
      ok(main.includes(`  ${command}`), `${name} runs ${command}`);
      strictEqual(image, undefined);
      for (const variable of Object.keys(environment!)) {
        match(settings, new RegExp(`^#? ?${variable}=`, "m"));
      }
      const { hostname, pathname } = new URL(environment!.DATABASE_URL!);
      deepStrictEqual([hostname, pathname], ["postgres", "/weir"]);
      ok(environment!.UPSTASH_REDIS_REST_URL!.includes("//upstash:"));
    } else {
      const from = image ??
        /^FROM (\S+)$/m.exec(
          (build as Exclude<typeof build, string>)!
            .dockerfile_inline,
        )![1]!;
      match(from, /^[a-z/-]+:\d+\.\d+(\.\d+)?$/, `${name} is not pinned`);
    }
    for (const [other, { condition }] of Object.entries(depends_on ?? {})) {
      ok(services[other], `${name} waits for ${other}`);
      // Whoever is waited for until it is well says whether it is.
      if (condition === "service_healthy") {
        ok(services[other]!.healthcheck!.test!.length >= 2, other);
      }
    }
  }
  // The image's own asks by HTTP, which the others do not speak.
  strictEqual(services.web!.healthcheck, undefined);
  for (const name of ["worker", "migrate"]) {
    deepStrictEqual(services[name]!.healthcheck, { disable: true });
  }
  // When the machine starts again all do, but what has done its work.
  for (const [name, { restart }] of Object.entries(services)) {
    const wanted = name === "migrate" ? undefined : "unless-stopped";
    strictEqual(restart, wanted, name);
  }
  // At its socket Postgres answers while it is made, and then stops once more.
  const postgres = services.postgres!;
  const asked = postgres.healthcheck!.test!;
  deepStrictEqual(asked.slice(0, 4), ["CMD", "pg_isready", "-h", "127.0.0.1"]);
  // Where the image of Postgres 17 has its data, as an engine makes it for the image's user.
  deepStrictEqual(postgres.volumes, ["postgres:/var/lib/postgresql/data"]);
  match(postgres.command!, /shared_preload_libraries=pg_cron\b/);
  match(postgres.command!, /cron\.database_name=weir\b/);
  const seconds = (text: string) =>
    Number(/^(\d+)(s|m)$/.exec(text)![1]) * (text.endsWith("m") ? 60 : 1);
  for (const name of ["web", "worker"]) {
    ok(seconds(services[name]!.stop_grace_period!) > DRAIN_SECONDS, name);
  }
  ok(seconds(postgres.stop_grace_period!) >= 60);

  // As much is told of Fly.
  const fly = /```toml\n# fly\.toml[^]+?```/
    .exec(await read("docs/operating.md"))![0];
  ok(seconds(/kill_timeout = "(\w+)"/.exec(fly)![1]!) > DRAIN_SECONDS);
  const commands = [
    ...fly.matchAll(/^(?:release_command|web|worker) = "(\w+)"/gm),
  ].map(([, command]) => command);
  deepStrictEqual(commands, ["migrate", "serve", "work"]);
  for (const command of commands) ok(main.includes(`  ${command}`), command);
  match(
    dockerfile,
    RegExp(`^EXPOSE ${/internal_port = (\d+)/.exec(fly)![1]}$`, "m"),
  );
});
