/**
 * `/metrics`: how the process and the pipeline are doing, for Prometheus.
 *
 * @module
 */

import { Hono, type MiddlewareHandler } from "hono";
import { type Sql, stateOfPool } from "../db/client.ts";
import { countExports, type ExportQueue } from "../db/exports.ts";
import { readPipeline } from "../db/jobs.ts";
import type { ReplicaState } from "../db/replica.ts";
import type { Pipeline } from "../db/schema.ts";
import { type AccessLog, actionOf } from "./_access.ts";
import type { Cache } from "./_cache.ts";
import type { Limiter } from "./_limit.ts";
import type { Deps } from "./app.ts";
import type { Audience } from "./stream.ts";

/** Counts the requests of this process. */
export interface RequestCounter {
  middleware: MiddlewareHandler;
  /**
   * @param route Its pattern and not its path, which has ids: nobody's data, and few rows.
   * @returns What counts one more of these.
   */
  counterOf(method: string, route: string, status: number): () => void;
  /** @returns A row for each method, route and status that has been. */
  rows(): { labels: Record<string, string>; value: number }[];
}

/** What one metric is, and its samples. No label is `job` or `instance`: those are of whoever scrapes. */
interface Metric {
  name: string;
  type: "counter" | "gauge";
  help: string;
  samples: { labels?: Record<string, string>; value: number | null }[];
}

/** @returns A counter at zero. */
export function createRequestCounter(): RequestCounter {
  const counts = new Map<string, { value: number }>();

  function counterOf(method: string, route: string, status: number) {
    const key = `${method} ${status} ${route}`;
    let count = counts.get(key);
    if (!count) counts.set(key, count = { value: 0 });
    const counted = count;
    return () => void counted.value++;
  }

  return {
    counterOf,
    async middleware(c, next) {
      await next();
      const { status } = c.res;
      const route = status === 404 ? "other" : actionOf(c).split(" ")[1]!;
      counterOf(c.req.method, route, status)();
    },
    rows() {
      return [...counts].map(([key, { value }]) => {
        const [method, status, route] = key.split(" ") as [
          string,
          string,
          string,
        ];
        return { labels: { method, route, status }, value };
      });
    },
  };
}

/**
 * @param requests What the app counts.
 * @returns The route; public, it tells nothing of anybody's data.
 */
export function metrics(
  { sql, slow, reader, cache, limiter, access }: Pick<
    Deps,
    "sql" | "slow" | "reader" | "cache" | "limiter" | "access"
  >,
  requests: RequestCounter,
  audience: Audience,
): Hono {
  return new Hono().get("/metrics", async (c) => {
    const [pipeline, queue] = await Promise.all([
      readPipeline(sql),
      countExports(sql),
    ]);
    const all = [
      ...pipelineMetrics(pipeline),
      ...exportMetrics(queue),
      counter(
        "weir_http_requests_total",
        "Requests that this process has answered",
        requests.rows(),
      ),
      ...edgeMetrics(cache, limiter),
      ...processMetrics(access, audience, { web: sql, export: slow }),
      ...replicaMetrics(reader.state()),
    ];
    return c.body(all.map(metricText).join(""), 200, {
      "content-type": "text/plain; version=0.0.4; charset=utf-8",
      "cache-control": "no-store",
    });
  });
}

function pipelineMetrics(state: Pipeline): Metric[] {
  const { jobs, views } = state;
  return [
    gauge("weir_fold_lag_seconds", "Age of the oldest event not counted", [
      { value: state.fold_lag_seconds },
    ]),
    gauge("weir_queued_events", "Events not counted, at most 100000", [
      { value: state.queued_events },
    ]),
    gauge("weir_audit_drift", "Numbers that differ from what lies below", [
      { value: state.drift },
    ]),
    gauge("weir_scheduler", "Who keeps the beat of the jobs", [
      { labels: { scheduler: state.scheduler }, value: 1 },
    ]),
    gauge(
      "weir_job_lag_seconds",
      "Since a job last went well",
      jobs.map((job) => ({
        labels: { name: job.name },
        value: job.lag_seconds,
      })),
    ),
    {
      name: "weir_job_runs_total",
      type: "counter",
      help: "Rounds of a job",
      samples: jobs.map((job) => ({
        labels: { name: job.name },
        value: job.runs,
      })),
    },
    {
      name: "weir_job_failures_total",
      type: "counter",
      help: "Rounds of a job that failed",
      samples: jobs.map((job) => ({
        labels: { name: job.name },
        value: job.failures,
      })),
    },
    gauge(
      "weir_view_age_seconds",
      "Since the last good refresh of a view began",
      views.map((view) => ({
        labels: { view: view.name },
        value: view.age_seconds,
      })),
    ),
    gauge(
      "weir_view_refresh_seconds",
      "How long that took",
      views.map((view) => ({
        labels: { view: view.name },
        value: view.refresh_seconds,
      })),
    ),
  ];
}

function exportMetrics({ wait_seconds, ...states }: ExportQueue): Metric[] {
  return [
    gauge(
      "weir_exports",
      "Files that wait, are being made, or were given up (dead) within a week",
      Object.entries(states)
        .map(([state, value]) => ({ labels: { state }, value })),
    ),
    gauge(
      "weir_export_wait_seconds",
      "How long a file waits that a worker could have begun",
      [{ value: wait_seconds }],
    ),
  ];
}

function edgeMetrics(cache: Cache, limiter: Limiter): Metric[] {
  return [
    counter(
      "weir_cache_reads_total",
      "Reads of numbers by where this process found them; loaded: in the database",
      Object.entries(cache.counts())
        .map(([found, value]) => ({ labels: { found }, value })),
    ),
    gauge("weir_cache_bytes", "What the cache of this process holds", [
      { value: cache.bytes() },
    ]),
    counter(
      "weir_limited_total",
      "Requests that were counted against a limit, by what became of them",
      limiter.counts().flatMap(({ policy, allowed, refused }) => [
        { labels: { policy, verdict: "allowed" }, value: allowed },
        { labels: { policy, verdict: "refused" }, value: refused },
      ]),
    ),
  ];
}

function processMetrics(
  access: AccessLog,
  audience: Audience,
  pools: Record<string, Sql>,
): Metric[] {
  const states = Object.entries(pools).map(([pool, sql]) => ({
    labels: { pool },
    ...stateOfPool(sql),
  }));
  return [
    gauge("weir_streams", "Streams that this process has open", [
      { value: audience.count() },
    ]),
    gauge(
      "weir_pool_connections",
      "Connections of this process to Postgres",
      states.map(({ labels, connections }) => ({
        labels,
        value: connections,
      })),
    ),
    gauge(
      "weir_pool_waiting",
      "Questions to Postgres that wait for their answer",
      states.map(({ labels, waiting }) => ({ labels, value: waiting })),
    ),
    counter(
      "weir_access_log_lost_total",
      "Entries of the access log that were never written",
      [{ value: access.lost() }],
    ),
  ];
}

/** Without samples where there is no replica. */
function replicaMetrics(state: ReplicaState | null): Metric[] {
  return [
    gauge(
      "weir_replica_used",
      "Whether numbers are read from the replica",
      state ? [{ value: Number(state.isUsed) }] : [],
    ),
    gauge(
      "weir_replica_lag_seconds",
      "How far the replica is behind",
      state ? [{ value: state.lag_seconds }] : [],
    ),
    counter(
      "weir_replica_reads_total",
      "Reads of numbers by who answered; behind: the primary, as the replica lacked a change",
      Object.entries(state?.reads ?? {})
        .map(([answered, value]) => ({ labels: { answered }, value })),
    ),
  ];
}

function counter(
  name: string,
  help: string,
  samples: Metric["samples"],
): Metric {
  return { name, type: "counter", help, samples };
}

function gauge(
  name: string,
  help: string,
  samples: Metric["samples"],
): Metric {
  return { name, type: "gauge", help, samples };
}

function metricText({ name, type, help, samples }: Metric): string {
  const lines = samples.filter(({ value }) => value !== null)
    .map(({ labels = {}, value }) => {
      const named = Object.entries(labels)
        .map(([key, text]) => `${key}="${escaped(text)}"`).join(",");
      return `${name}${named && `{${named}}`} ${value}\n`;
    });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}
