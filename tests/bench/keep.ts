/**
 * What an event takes on the disk, and what forgetting a month costs those who read and
 * write meanwhile.
 *
 * @module
 */

import { readAnalytics } from "../../db/analytics.ts";
import { connect, type Sql } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import { retain } from "../../db/jobs.ts";
import { recordExecutions } from "./history.ts";
import { lastDays } from "./reads.ts";
import type { Bench } from "./run.ts";
import { rank, timed } from "./times.ts";

/** How long the quiet reads are watched that the others are compared with, ms. */
const QUIET_MS = 15_000;

const DAY_MS = 86_400_000;

/** Bytes of events and their projections, and of the rollups beside them; as each day leaves them, with no keys. */
export async function benchStorage({ sql, report }: Bench): Promise<void> {
  await sql`select weir.forget_keys()`;
  const sizes = await sql<{ kind: string; bytes: number }[]>`
    select case when relname ~ '^(event_(\\d|history|key)|execution|parked)' then 'events' when relname ~ '_sums|window_' then 'views'
        when relname ~ '_(15min|day|month)' then 'rollups' else 'rest' end as kind,
      sum(pg_total_relation_size(oid))::float8 as bytes
    from pg_class where relnamespace = 'weir'::regnamespace and relkind in ('r', 'm') group by 1`;
  const [{ events }] = await sql<[{ events: number }]>`
    select count(*) as events from weir.event`;
  const bytes = Object.fromEntries(sizes.map((row) => [row.kind, row.bytes]));
  report({
    name: "bytes an event: itself, its execution",
    value: bytes.events! / events,
    unit: "B",
    promise: "<= 400",
  });
  for (const kind of ["rollups", "views"]) {
    report({ name: `${kind}, MB`, value: bytes[kind]! / 2 ** 20, unit: "MB" });
  }
}

/** Lets a month become too old, while somebody reads and events come in. */
export async function benchRetention(bench: Bench): Promise<void> {
  const { sql, databaseUrl, report } = bench;
  const [{ until }] = await sql<[{ until: Date }]>`
    select until from weir.event_months() where until > now() - interval '80 days' order by until limit 1`;
  const at = new Date(until.getTime() + 92 * DAY_MS + 1);
  const other = connect(databaseUrl, { max: 2, statementTimeoutMs: 0 });
  try {
    const quiet = await watch(
      bench,
      other,
      new Promise((resolve) => setTimeout(resolve, QUIET_MS)),
    );
    const started = performance.now();
    let did: Awaited<ReturnType<typeof retain>> | undefined;
    const busy = await watch(
      bench,
      other,
      retain(sql, at).then((done) => {
        did = done;
      }),
    );
    report({
      name: `retention of a month (${JSON.stringify(did)})`,
      value: (performance.now() - started) / 1_000,
      unit: "s",
      promise: "<= 60 s",
    });
    for (const what of ["read", "ingest"] as const) {
      report({
        name: `${what} meanwhile, p99`,
        value: busy[what],
        unit: "ms",
        floor: { name: "quiet", value: quiet[what] },
        promise: what === "read" ? "<= 2 x" : undefined,
      });
    }
  } finally {
    await other.end({ timeout: 5 });
  }
}

/** Reads and writes until something is over. @returns The 99th percentile of each, ms. */
async function watch(
  bench: Bench,
  sql: Sql,
  over: Promise<void>,
): Promise<{ read: number; ingest: number }> {
  let isOver = false;
  const ending = over.finally(() => isOver = true);
  const query = lastDays(30);

  async function repeat(work: () => Promise<unknown>): Promise<number> {
    const times: number[] = [];
    while (!isOver) {
      times.push(await timed(work));
    }
    return rank(times, 0.99);
  }
  const [read, ingest] = await Promise.all([
    repeat(() =>
      readAnalytics(
        sql,
        bench.account.account_id,
        bench.busy.uuid,
        query,
        new Date(),
      )
    ),
    repeat(async () => {
      await recordExecutions(sql, bench.busy.id, {
        ...bench.newNumbers(10),
        days: 1,
      });
      await fold(sql);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }),
    ending,
  ]);
  return { read, ingest };
}
