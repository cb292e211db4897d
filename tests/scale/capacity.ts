/**
 * A model of what Weir needs: a day, minute by minute, of so many events, accounts and
 * viewers, out of measured costs. Deterministic: the same load needs the same machines.
 *
 * `deno run tests/scale/capacity.ts` prints docs/scaling.md's table.
 *
 * @module
 */

/** What is asked of an installation. */
export interface Load {
  /** In 90 days, which are kept. */
  events: number;
  accounts: number;
  /** Watch at the peak, all at once. */
  viewers: number;
}

/**
 * What one unit costs, measured on one core of the machine that docs/scaling.md tells of.
 * Another machine, or another program, has others: `deno task bench` and this folder's test.
 */
export interface Costs {
  /** Of an event, while its detail is kept, bytes. */
  event_bytes: number;
  /** Events that one connection records in a second of a core, in batches. */
  recorded_per_second: number;
  /** Events that one worker folds in a second of a core, where many are of one workflow. */
  folded_per_second: number;
  /** What each workflow adds that has something in a round of the fold, ms of a core. */
  folded_workflow_ms: number;
  /** Reading summary, funnel and actions for a stream, ms of the database's core. */
  read_ms: number;
  /** Telling one viewer of a change, ms of a server's core. */
  message_ms: number;
  /** Memory of a viewer who watches, bytes of a server. */
  viewer_bytes: number;
  /** What a server asks on each beat for a workflow that is watched, ms of the database's core. */
  revision_ms: number;
  /** Refreshing the views of one workflow, ms of the database's core. */
  refresh_ms: number;
}

/** Bytes of an event with its share of its execution. */
const EVENT_BYTES = 390;

/** What was measured, and by what. */
const MEASURED: Record<keyof Costs, [cost: number, by: string]> = {
  event_bytes: [
    EVENT_BYTES,
    "`--costs`, 200,000 executions of 7.6 events, all that keeps them",
  ],
  recorded_per_second: [23_000, "`--costs`, batches of 1,000"],
  folded_per_second: [33_000, "`--costs`, rounds of 1,000 of one workflow"],
  folded_workflow_ms: [
    0.1,
    "`--costs`, rounds of 1,000 workflows with an event each",
  ],
  read_ms: [
    24,
    "`--costs`, 30 days of 40,000 executions, changed since the refresh; 6 where nothing has",
  ],
  message_ms: [0.1, "`--streams`"],
  viewer_bytes: [77_000, "`--streams`: 76 KiB"],
  revision_ms: [0.03, "`--costs`, of 20 asked together"],
  refresh_ms: [
    2,
    "`SCALE_ACCOUNTS=10000 deno task test tests/scale`: 60 s for 30,000",
  ],
};

/** Measured. */
export const COSTS = Object.fromEntries(
  Object.entries(MEASURED).map(([name, [cost]]) => [name, cost]),
) as unknown as Costs;

/** How installations are used; each a guess that can be argued with. */
const USE = {
  /** The busiest minute over the mean. */
  peak: 3,
  /** Workflows of an account. */
  workflows: 3,
  /** Executions are watched where they happen: viewers of one workflow's one query, on average. */
  viewers_per_query: 10,
  /** Nothing is planned to be busier than this. */
  busy: 0.6,
  /** A topic rests between reads for so long at least, seconds. */
  rest_seconds: 0.1,
  /** Events wait for a round for so long where there are few, seconds. */
  round_seconds: 0.1,
  /** A server reads the revisions of what is watched every so many seconds. */
  beat_seconds: 2,
  /** Viewers that one server takes at most, by its memory and the limit of its streams. */
  viewers_per_server: 5_000,
  /** What one Postgres is trusted with: cores, and bytes on fast disks. */
  postgres_cores: 32,
  postgres_bytes: 8e12,
};

/** What a load needs. */
export interface Need {
  peak_events_per_second: number;
  disk_bytes: number;
  workers: number;
  servers: number;
  /** What viewers take of all servers' memory. */
  memory_bytes: number;
  /** Cores of the primary, all for writing and for counting. */
  write_cores: number;
  /** Cores for reads: the primary's, or replicas'. */
  read_cores: number;
  /** How long refreshing all views takes; reads are exact meanwhile, seconds. */
  refresh_seconds: number;
  /** The longest that an event waited to be counted in the day, seconds. */
  wait_seconds_max: number;
  /** What is short first on one Postgres of {@linkcode USE}. */
  short: "nothing" | "read cores" | "write cores" | "disk";
}

/** Events a second in a minute of the day, from 0; the mean is 1. */
export function curve(minute: number): number {
  // From nothing at night to the peak at noon; the exponent makes the mean 1.
  const wave = (1 - Math.cos(2 * Math.PI * minute / 1_440)) / 2;
  return USE.peak * wave ** 2.62;
}

/**
 * Lives through a day.
 *
 * @param load What is asked.
 * @param costs Of one unit.
 * @param workers How many fold; default: as many as the peak needs.
 */
export function simulate(load: Load, costs = COSTS, workers?: number): Need {
  const mean = load.events / 90 / 86_400;
  const peak = mean * USE.peak;
  const workflows = load.accounts * USE.workflows;
  /** Seconds of a core that folding an event takes at a rate: in small rounds it is more. */
  function foldSeconds(rate: number): number {
    // Events of a workflow in a round, of those that have any, where each comes by chance.
    const mean = rate / workflows * USE.round_seconds;
    const together = mean / -Math.expm1(-mean) || 1;
    return 1 / costs.folded_per_second +
      costs.folded_workflow_ms / 1_000 / together;
  }
  const folders = workers ??
    Math.max(1, Math.ceil(peak * foldSeconds(peak) / USE.busy));
  const topics = load.viewers / USE.viewers_per_query;
  const watched = Math.min(workflows, topics);
  const servers = Math.max(
    1,
    Math.ceil(load.viewers / USE.viewers_per_server),
  );

  let queued = 0;
  let wait = 0;
  let writeBusy = 0;
  let readBusy = 0;
  let serveBusy = 0;
  for (let minute = 0; minute < 1_440; minute++) {
    const rate = mean * curve(minute);
    const foldable = folders * 60 / foldSeconds(rate);
    const arrived = rate * 60;
    const folded = Math.min(queued + arrived, foldable);
    queued += arrived - folded;
    wait = Math.max(wait, queued * 60 / foldable);
    writeBusy = Math.max(
      writeBusy,
      rate / costs.recorded_per_second +
        folded / 60 * foldSeconds(rate) +
        // A refresh rests for twenty times as long as it takes.
        Math.min(1 / 21, workflows * costs.refresh_ms / 1_000 / 60),
    );
    // A topic reads once a change of its workflow, and rests after each for twice as long.
    const changes = Math.min(
      rate / workflows,
      1 / (USE.rest_seconds + 3 * costs.read_ms / 1_000),
    );
    readBusy = Math.max(
      readBusy,
      topics * changes * costs.read_ms / 1_000 +
        servers * Math.min(watched, USE.viewers_per_server) *
          costs.revision_ms / 1_000 / USE.beat_seconds,
    );
    serveBusy = Math.max(
      serveBusy,
      load.viewers * changes * costs.message_ms / 1_000,
    );
  }
  const disk = load.events * costs.event_bytes;
  const [write, read] = [writeBusy / USE.busy, readBusy / USE.busy];
  return {
    peak_events_per_second: peak,
    disk_bytes: disk,
    workers: folders,
    servers: Math.max(servers, Math.ceil(serveBusy / USE.busy)),
    memory_bytes: load.viewers * costs.viewer_bytes,
    write_cores: write,
    read_cores: read,
    refresh_seconds: workflows * costs.refresh_ms / 1_000,
    wait_seconds_max: wait,
    short: write > USE.postgres_cores
      ? "write cores"
      : disk > USE.postgres_bytes
      ? "disk"
      : write + read > USE.postgres_cores
      ? "read cores"
      : "nothing",
  };
}

/** What docs/scaling.md tells of. */
export const LOADS: Load[] = [
  { events: 10e6, accounts: 10, viewers: 100 },
  { events: 100e6, accounts: 1_000, viewers: 10_000 },
  { events: 1e9, accounts: 10_000, viewers: 100_000 },
  { events: 10e9, accounts: 10_000, viewers: 100_000 },
  { events: 50e9, accounts: 10_000, viewers: 100_000 },
];

/** @returns The table of docs/scaling.md, a line each. */
export function capacityTable(): string[] {
  const number = (value: number) => value.toLocaleString("en-US");
  const cores = (value: number) => number(Math.ceil(value));
  return LOADS.map((load) => {
    const need = simulate(load);
    return [
      number(load.events / 1e6) + " M",
      number(load.accounts),
      number(load.viewers),
      number(Math.round(need.peak_events_per_second)),
      number(Math.round(need.disk_bytes / 1e9)) + " GB",
      number(need.workers),
      number(need.servers),
      cores(need.write_cores),
      cores(need.read_cores),
      number(Math.round(need.refresh_seconds)) + " s",
      need.short,
    ].join(" | ");
  });
}

/** @returns The table of costs in docs/scaling.md, a line each. */
export function costsTable(): string[] {
  return Object.entries(MEASURED).map(([name, [cost, by]]) =>
    `\`${name}\` | ${cost.toLocaleString("en-US")} | ${by}`
  );
}

if (import.meta.main) {
  console.log([...costsTable(), ...capacityTable()].join("\n"));
}
