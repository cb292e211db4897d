/**
 * What folding and refreshing cost, and that history does not matter.
 *
 * @module
 */

import { fold } from "../../db/events.ts";
import { HISTORY_DAYS, makeHistory, recordExecutions } from "./history.ts";
import type { Bench } from "./run.ts";
import { rank, Rounds, timed } from "./times.ts";

/** Events, the days they are spread over, and how often they are folded; the median counts. */
const SIZES = [
  { events: 1_000, days: 1, rounds: 15, name: "1 K new events" },
  { events: 1_000, days: HISTORY_DAYS, rounds: 15, name: "1 K late events" },
  { events: 10_000, days: 1, rounds: 5, name: "10 K new events" },
  { events: 100_000, days: 1, rounds: 5, name: "100 K new events" },
] as const;

/** Events that an execution of the last day has at least, on average. */
const EVENTS_EACH = 4;

const PROMISES: Record<string, string> = {
  "1 K new events": "<= 60 ms",
  "1 K late events": "<= 2 x the new",
  "100 K new events": "<= 2,000 ms",
};

/** Milliseconds by name. */
type Times = Record<string, number>;

/** Folds new events on a fifth of the busy workflow's past, then on the whole account's. */
export async function benchFold(
  bench: Bench,
  makeRest: () => Promise<number>,
): Promise<void> {
  const { sql, busy, executions, report, endsAt } = bench;
  while (await fold(sql, 200_000) > 0);
  const early = Math.round(executions / 5);
  const events = await makeHistory(sql, busy.id, {
    from: 0,
    until: early,
    of: executions,
    endsAt,
  });
  const before = await measure(bench, events);
  const after = await measure(bench, events + await makeRest());
  for (const [name, value] of Object.entries(after)) {
    report({
      name: `${name}, against a fifth of the history`,
      value,
      unit: "ms",
      floor: { name: "with a fifth", value: before[name]! },
      promise: "<= 1.5 x",
    });
  }
}

async function measure(bench: Bench, behind: number): Promise<Times> {
  const { sql, report } = bench;
  const medians: Times = {};
  // What the load of the past left to do would be measured along.
  await sql`vacuum (analyze)`;
  await sql`checkpoint`;
  await sql`call weir.refresh_views('worker', 0, null)`;
  await sql`create table bare_event (like weir.event_queue)`;
  const refreshes = new Rounds();
  for (const { events, days, rounds, name } of SIZES) {
    const folds = new Rounds();
    const floors: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await recordExecutions(sql, bench.busy.id, {
        ...bench.newNumbers(Math.ceil(events / EVENTS_EACH)),
        days,
      });
      await sql`vacuum (analyze) weir.event_queue`;
      floors.push(
        await timed(() =>
          sql`insert into bare_event select * from weir.event_queue`
        ),
      );
      await folds.add(() => fold(sql, events));
      while (await fold(sql, 200_000) > 0);
      if (events === 100_000) {
        await refreshes.add(() =>
          sql`call weir.refresh_views('worker', 0, null)`
        );
      }
    }
    medians[`fold of ${name}`] = folds.median();
    report({
      name: `fold of ${name}, ${behind} behind`,
      value: folds.median(),
      unit: "ms",
      floor: { name: "their copy to a bare table", value: rank(floors, 0.5) },
      promise: PROMISES[name],
      note: folds.note(),
    });
  }
  await sql`drop table bare_event`;
  // It follows days, not events: their rows are what it has to be held against.
  const [{ rows }] = await sql<[{ rows: number }]>`
    select sum(reltuples)::int as rows from pg_class
    where relnamespace = 'weir'::regnamespace and relkind = 'm'`;
  report({
    name: `refresh of ${rows} rows of views after 100 K, ${behind} behind`,
    value: refreshes.median(),
    unit: "ms",
    promise: "<= 2,000 ms",
    note: refreshes.note(),
  });
  return medians;
}
