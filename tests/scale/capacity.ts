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
  /** Events that one worker folds in a second of a core. */
  folded_per_second: number;
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

/** Measured; where, docs/scaling.md says. */
export const COSTS: Costs = {
  event_bytes: 430,
  recorded_per_second: 28_000,
  folded_per_second: 15_000,
  read_ms: 12,
  message_ms: 0.1,
  viewer_bytes: 77_000,
  revision_ms: 0.05,
  refresh_ms: 2,
};

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
  const folders = workers ??
    Math.max(1, Math.ceil(peak / costs.folded_per_second / USE.busy));
  const workflows = load.accounts * USE.workflows;
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
    const foldable = folders * costs.folded_per_second * 60;
    const arrived = rate * 60;
    const folded = Math.min(queued + arrived, foldable);
    queued += arrived - folded;
    wait = Math.max(wait, queued / (folders * costs.folded_per_second));
    writeBusy = Math.max(
      writeBusy,
      rate / costs.recorded_per_second +
        folded / 60 / costs.folded_per_second +
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

if (import.meta.main) console.log(capacityTable().join("\n"));
