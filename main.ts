/**
 * Composition root: the only file of the program that reads the environment, and
 * that knows which command was asked for. It makes the clients that others are handed.
 *
 * @module
 */

import {
  account,
  type Command,
  importFile,
  key,
  signIn,
  UsageError,
  webhook,
} from "./workers/_commands.ts";
import { createSignInLink } from "./db/access.ts";
import {
  type Bus,
  postgresBus,
  relayRings,
  type UpstashAddress,
  upstashBus,
} from "./db/bus.ts";
import { connect, isOutage, type Sql } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { scheduleJobs } from "./db/jobs.ts";
import { createLog, type Log } from "./db/log.ts";
import { migrate, pendingMigrations } from "./db/migrate.ts";
import { pickRole, readsTables } from "./db/roles.ts";
import { ROLES, SCOPES } from "./db/schema.ts";
import type { Manifest } from "./islands/build.ts";
import type { TokenTrust } from "./routes/_token.ts";
import { AppError, PROBLEM_TYPE, problemOf } from "./routes/_errors.ts";
import { hideAddresses } from "./routes/_trace.ts";
import {
  DEFAULT_PORT,
  readSettings,
  type Settings,
} from "./workers/_settings.ts";
import { launcherGone } from "./workers/_launcher.ts";
import { createReader } from "./db/replica.ts";
import { diskStore, type ExportStore, postgresStore } from "./db/store.ts";
import { audit, auditCommand } from "./workers/audit.ts";
import { createExpiryJob, createExportJob } from "./workers/export.ts";
import { EVENT_ACCEPTED, fold } from "./workers/fold.ts";
import { createPrinter, type Printer } from "./workers/pdf.ts";
import { recompute } from "./workers/recompute.ts";
import { refresh } from "./workers/refresh.ts";
import { createReportJob } from "./workers/report.ts";
import { partitions, retain } from "./workers/retain.ts";
import { type Job, runJobs } from "./workers/run.ts";

const USAGE = `Usage: deno task COMMAND

  demo       everything, on a database of its own, with living demo data
  start      serve and work in one process
  serve      answer requests
  work       run the jobs
  migrate    bring the database up to date
  build      build what browsers load into dist/
  account    create NAME [--time-zone ZONE]
  key        create --account ID --scopes ${SCOPES.join(",")}
             [--user ID] [--role ${ROLES.join("|")}]
             list --account ID; revoke KEY_ID --account ID
  sign-in    --account ID [--user ID] [--role ${ROLES.join("|")}]
  webhook    create --account ID, an address for GitHub to report runs to
  audit      recompute every number from below; exit 1 if any differs
  import     FILE --account ID --workflow NAME [flags], see import --help

Settings are environment variables, see .env.example.`;

/** The demo takes the next free port, so that two can be looked at side by side. */
const DEMO_PORTS = 20;

/** A file of a hundred thousand rows at a hundredth of a disk's speed, ms. */
const SLOW_STATEMENT_TIMEOUT_MS = 10 * 60_000;

/** Files that are sent at once by one process; more wait for each other. */
const SLOW_STATEMENTS_MAX = 4;

/** The jobs of exports, of which one reads, writes and gives a sign of life at once. */
const EXPORT_CONNECTIONS = 5;

/** A read or a batch that takes longer does more harm than its failure, ms. */
const WEB_STATEMENT_TIMEOUT_MS = 15_000;

/** Of one server, to the primary, and as many to the replica. */
const WEB_CONNECTIONS = 8;

/**
 * More questions than this at once wait for longer than their askers do, and each may
 * hold a batch of megabytes: they are refused with 503, and asked again later.
 */
const WEB_WAITING_MAX = 48;

/**
 * Jobs bound themselves by their batches; a recompute or a first retention is one
 * statement that takes as long as it takes. 0: no limit.
 */
const WORK_STATEMENT_TIMEOUT_MS = 0;

/** Requests that take longer to finish are cut off when we are told to stop, ms. */
const DRAIN_MS_MAX = 10_000;

/** Commits of events within this are one wake-up of the fold, ms. */
const RING_MS = 100;

const DIST = new URL("dist/", import.meta.url);

/** What works on the database beside the demo's traffic. */
const JOBS: Job[] = [fold, recompute, refresh, partitions, retain, audit];

/** What every command is given. */
interface Context {
  settings: Settings;
  args: string[];
  log: Log;
  /** Told to stop: by a signal, or because whoever launched us is gone. */
  signal: AbortSignal;
}

/** Where the database is. */
interface Database {
  /** For short statements; there may be a transaction pooler between. */
  pooled: string;
  /** For everything that needs a session of its own. */
  direct: string;
  /** A streaming replica, `undefined` where there is none. */
  read?: string;
}

const COMMANDS: Record<string, (context: Context) => Promise<void>> = {
  demo,
  start,
  serve,
  work,
  migrate: runMigrate,
  build: runBuild,
  account: administrative(account),
  key: administrative(key),
  "sign-in": administrative(signIn),
  webhook: administrative(webhook),
  import: administrative(importFile),
  audit: runAudit,
};

async function demo(context: Context): Promise<void> {
  const { settings, signal } = context;
  if (settings.DATABASE_URL) {
    throw new Error(
      "Cannot show the demo in another database, whose numbers may be real: unset DATABASE_URL",
    );
  }
  // Whoever waits for the link wants to see it, and not a line for every job.
  const log = createLog(settings.LOG_LEVEL ?? "warn");
  const { seedDemo } = await import("./workers/demo.ts");
  const { simulate } = await import("./workers/simulate.ts");
  await withDatabase(settings, async (database) => {
    const manifest = await prepare(database, signal);
    const accounts = await unlessStopped(
      signal,
      withClient(database, (sql) => seedDemo(sql, tell, new Date())),
    );
    await run({ ...context, log }, database, manifest, [...JOBS, simulate], {
      ports: settings.PORT === undefined ? DEMO_PORTS : 1,
      async onListening(url) {
        const token = await withClient(
          database,
          (sql) => createSignInLink(sql, accounts[0]!.account_id, {}),
        );
        tell("Weir is ready; Ctrl-C ends it. Sign in once with this link:");
        console.log(`${url}/sign-in?token=${token}`);
      },
    });
  });
}

async function start(context: Context): Promise<void> {
  await withDatabase(context.settings, async (database) => {
    const manifest = await prepare(database, context.signal);
    await run(context, database, manifest, JOBS);
  });
}

async function serve(context: Context): Promise<void> {
  await withDatabase(context.settings, async (database) => {
    await refuseOldSchema(database);
    await run(context, database, await readManifest(), []);
  });
}

async function work(context: Context): Promise<void> {
  await withDatabase(context.settings, async (database) => {
    await refuseOldSchema(database);
    await run(context, database, null, JOBS);
  });
}

async function runMigrate({ settings }: Context): Promise<void> {
  await withDatabase(settings, async (database) => {
    const { ran, schedules } = await bringUpToDate(database, tell);
    tell(ran.length === 0 ? "All was up to date" : `${ran.length} files ran`);
    tell(schedules === 0 ? "Jobs are the worker's" : "Jobs are pg_cron's too");
  });
}

async function runAudit(context: Context): Promise<void> {
  let isRight = false;
  await withDatabase(context.settings, async (database) => {
    if (context.settings.DATABASE_URL) await refuseOldSchema(database);
    isRight = await withClient(
      database,
      (sql) => auditCommand(sql, (line) => console.log(line), new Date()),
      { snapshots: true },
    );
  });
  if (!isRight) throw new Error("Cannot vouch for the numbers: they differ");
}

async function runBuild(): Promise<void> {
  const { buildIslands } = await import("./islands/build.ts");
  tell(Object.values(await buildIslands(DIST)).join("\n"));
}

/** On a database that lacks migrations the embedded one gets them, others are refused. */
function administrative(
  command: (command: Command) => Promise<void>,
): (context: Context) => Promise<void> {
  return ({ settings, args }) =>
    withDatabase(settings, async (database) => {
      if (settings.DATABASE_URL) await refuseOldSchema(database);
      await withClient(database, async (sql) => {
        if (!settings.DATABASE_URL) await migrate(sql);
        await command({
          args,
          sql,
          print: (line) => console.log(line),
          publicUrl: () => findPublicUrl(settings),
        });
      });
    });
}

async function prepare(
  database: Database,
  signal: AbortSignal,
): Promise<Manifest> {
  const { buildIslands } = await import("./islands/build.ts");
  tell("Bringing the database up to date");
  await unlessStopped(signal, bringUpToDate(database));
  tell("Building the pages");
  return await unlessStopped(signal, buildIslands(DIST));
}

/**
 * Serves where there is a manifest and works where there are jobs, until told to
 * stop; then finishes what is under way.
 */
async function run(
  context: Context,
  database: Database,
  manifest: Manifest | null,
  jobs: Job[],
  options: ServeOptions = {},
): Promise<void> {
  const { log, signal, settings } = context;
  const { pooled, direct, read } = database;
  outliveOutages(log);
  const onWarning = (warning: string) =>
    log.warn("postgres warns", { warning });
  const [webRole, workRole] = await withClient(
    database,
    (sql) =>
      Promise.all([pickRole(sql, "weir_web"), pickRole(sql, "weir_work")]),
  );
  const serving = {
    max: WEB_CONNECTIONS,
    waitingMax: WEB_WAITING_MAX,
    statementTimeoutMs: WEB_STATEMENT_TIMEOUT_MS,
    name: "weir serve",
    role: webRole,
    pooled: pooled !== direct,
    onWarning,
  };
  const web = connect(pooled, serving);
  const replica = read && manifest ? connect(read, serving) : null;
  const slow = connect(pooled, {
    max: SLOW_STATEMENTS_MAX,
    statementTimeoutMs: SLOW_STATEMENT_TIMEOUT_MS,
    name: "weir export",
    role: webRole,
    pooled: pooled !== direct,
    onWarning,
  });
  const sql = connect(direct, {
    max: jobs.length + EXPORT_CONNECTIONS,
    statementTimeoutMs: WORK_STATEMENT_TIMEOUT_MS,
    name: "weir work",
    role: workRole,
    onWarning,
  });
  const snapshots = connect(direct, {
    max: 1,
    statementTimeoutMs: WORK_STATEMENT_TIMEOUT_MS,
    name: "weir audit",
    role: workRole,
    snapshots: true,
  });
  // Postgres rings after each commit; who listens to Upstash is told by us.
  const rings = postgresBus(sql, log);
  const upstash = upstashOf(settings);
  const bus = upstash ? upstashBus(upstash, log, { instead: rings }) : rings;
  const relayed = upstash && jobs.length > 0
    ? relayRings(rings, bus, log)
    : null;
  // One of them failing ends the other.
  const failed = new AbortController();
  const stopping = AbortSignal.any([signal, failed.signal]);
  const printer = createPrinter({
    chromiumPath: context.settings.CHROMIUM_PATH,
    chromiumUrl: context.settings.CHROMIUM_URL,
  });
  if (jobs.length > 0) {
    jobs = [...jobs, ...await makeExportJobs(context.settings, sql, printer)];
  }
  const parts = [runJobs(jobs, { sql, snapshots, log, signal: stopping })];
  if (manifest) {
    parts.push(
      answerRequests(
        { ...context, signal: stopping },
        { web, slow, replica, bus },
        manifest,
        options,
      ),
    );
  }
  try {
    await Promise.all(parts).catch((error) => {
      failed.abort();
      throw error;
    }).finally(() => Promise.allSettled(parts));
  } finally {
    await printer.close();
    await relayed?.();
    await Promise.all(
      [web, slow, replica, sql, snapshots]
        .map((client) => client?.end({ timeout: 5 })),
    );
  }
  log.info("stopped");
}

/** Reports are pages, and pages are not the workers' to know: so both meet here. */
async function makeExportJobs(
  settings: Settings,
  sql: Sql,
  { print }: Printer,
): Promise<Job[]> {
  const { renderReport } = await import("./routes/report.tsx");
  const store = storeOf(settings, sql);
  return [
    createExportJob({ store, renderReport, print }),
    createExpiryJob(store),
    createReportJob({
      webhook: { allowPrivate: settings.REPORTS_TO_PRIVATE },
      publicUrl: () => findPublicUrl(settings),
    }),
  ];
}

function storeOf(
  { EXPORT_STORE, DATABASE_URL, DATA_DIR }: Settings,
  sql: Sql,
): ExportStore {
  const kind = EXPORT_STORE ?? (DATABASE_URL ? "postgres" : "disk");
  return kind === "disk"
    ? diskStore(`${DATA_DIR}/exports`)
    : postgresStore(sql);
}

/**
 * The driver asks for the types of arrays on every new connection, and lets the
 * failure of that question fly (postgres.js 3.4.9): Postgres going away at that
 * moment would end us. Whatever else nobody caught still does.
 */
function outliveOutages(log: Log): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    if (!isOutage(event.reason?.code)) return;
    event.preventDefault();
    log.warn("lost a connection", { error: event.reason });
  });
}

/** What differs between serving and showing. */
interface ServeOptions {
  /** How many ports to try. */
  ports?: number;
  /** Called once requests are answered. */
  onListening?(publicUrl: string): Promise<void>;
  /** Takes the handler where somebody else listens, on `PORT`. */
  handTo?(handler: Deno.ServeHandler): void;
}

/** What requests need of outside. */
interface Clients {
  web: Sql;
  slow: Sql;
  replica: Sql | null;
  bus: Bus;
}

async function answerRequests(
  { settings, log, signal }: Context,
  { web: sql, slow, replica, bus }: Clients,
  manifest: Manifest,
  options: ServeOptions,
): Promise<void> {
  if (await readsTables(sql)) {
    log.warn("serving as a role that reads tables, see docs/operating.md");
  }
  const { createApp } = await import("./routes/app.ts");
  const { createAccessLog } = await import("./routes/_access.ts");
  const { createAuth } = await import("./routes/_auth.ts");
  const { createCache } = await import("./routes/_cache.ts");
  const { createTokenReader } = await import("./routes/_token.ts");
  const trust = trustOf(settings);
  const { createHub } = await import("./routes/_hub.ts");
  const { createLimiter } = await import("./routes/_limit.ts");
  const { createUpstash } = await import("./routes/_upstash.ts");
  const now = () => new Date();
  const hub = createHub({ sql, now, log, bus });
  const reader = createReader({ primary: sql, replica, now, log });
  const access = createAccessLog({ sql, log });
  const upstash = settings.UPSTASH_REDIS_REST_URL
    ? createUpstash({
      url: settings.UPSTASH_REDIS_REST_URL,
      token: settings.UPSTASH_REDIS_REST_TOKEN!,
      log,
    })
    : null;
  const perMinute = settings.RATE_LIMIT_PER_MINUTE;
  const ringer = createRinger(sql, log);
  const underWay = new Set<Promise<void>>();
  // The app knows its address, and that may be any free port: so the port comes first.
  let answer: Deno.ServeHandler = refuse;
  const handler: Deno.ServeHandler = (request, info) => {
    if (signal.aborted) return refuse();
    const response = answer(request, info);
    // What is there at once goes out before a server shuts down.
    if (response instanceof Response) return response;
    const sent = info.completed.catch(() => {});
    underWay.add(sent);
    sent.then(() => underWay.delete(sent));
    return response;
  };
  options.handTo?.(handler);
  const server = options.handTo
    ? null
    : listen(settings, options.ports ?? 1, handler);
  const port = server?.addr.port ?? settings.PORT ?? DEFAULT_PORT;
  const publicUrl = settings.PUBLIC_URL ?? urlOf(settings.HOST, port);
  answer = createApp({
    sql,
    auth: createAuth({
      sql,
      now,
      access,
      readToken: trust && createTokenReader(trust, now),
    }),
    access,
    slow,
    reader,
    store: storeOf(settings, sql),
    now,
    dist: DIST,
    manifest,
    publicUrl,
    log,
    eventsAccepted: ringer.ring,
    hub,
    cache: createCache({ now, upstash }),
    limiter: createLimiter({
      now,
      upstash,
      perMinute: {
        read: perMinute,
        page: 2 * perMinute,
        stranger: perMinute,
        sign_in: Math.ceil(perMinute / 3),
        share: 2 * perMinute,
      },
    }),
    trustedProxies: settings.TRUSTED_PROXIES,
    shareCacheSeconds: settings.SHARE_CACHE_SECONDS,
    stopping: signal,
  }).fetch;
  if (!settings.DATABASE_URL) {
    await Deno.writeTextFile(addressFile(settings), publicUrl);
  }
  await options.onListening?.(publicUrl);
  log.info("listening", { url: publicUrl });

  await stopped(signal);
  log.info("draining");
  // shutdown() breaks off bodies that are still being read, so it comes last.
  const tooLate = stopped(AbortSignal.timeout(DRAIN_MS_MAX));
  await Promise.race([Promise.all(underWay), tooLate]);
  await Promise.race([server?.shutdown(), tooLate]);
  ringer.remove();
  await hub.close();
  await reader.close();
  await access.close();
}

/** Both are set or none is; `_settings.ts` sees to it. */
function upstashOf(
  { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token }: Settings,
): UpstashAddress | null {
  return url && token ? { url, token } : null;
}

/** Whose tokens count; an issuer is who publishes the keys, unless it is said otherwise. */
function trustOf(settings: Settings): TokenTrust | undefined {
  const { AUTH_JWKS_URL, AUTH_JWT_SECRET, AUTH_ISSUER, AUTH_AUDIENCE } =
    settings;
  if (AUTH_JWT_SECRET) {
    return {
      secret: AUTH_JWT_SECRET,
      issuer: AUTH_ISSUER,
      audience: AUTH_AUDIENCE,
    };
  }
  if (!AUTH_JWKS_URL) return undefined;
  return {
    jwksUrl: AUTH_JWKS_URL,
    issuer: AUTH_ISSUER ?? AUTH_JWKS_URL.replace(/\/\.well-known\/.*$/, ""),
    audience: AUTH_AUDIENCE,
  };
}

/** For who comes while we start or stop. */
function refuse(): Response {
  const error = new AppError("stopping");
  return Response.json(problemOf(error), {
    status: error.status,
    headers: {
      "content-type": PROBLEM_TYPE,
      "retry-after": "1",
      connection: "close",
    },
  });
}

function listen(
  { HOST, PORT = DEFAULT_PORT }: Settings,
  ports: number,
  handler: Deno.ServeHandler,
): Deno.HttpServer<Deno.NetAddr> {
  for (let port = PORT;; port++) {
    try {
      return Deno.serve({ hostname: HOST, port, onListen() {} }, handler);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      if (port + 1 < PORT + ports) continue;
      throw new Error(
        `Cannot listen on ${HOST}:${port}: the port is in use, set PORT to another`,
        { cause: error },
      );
    }
  }
}

/** Many commits in a short time are one wake-up, after the last of which nothing waits. */
function createRinger(
  sql: Sql,
  log: Log,
): { ring(): void; remove(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    ring() {
      timer ??= setTimeout(() => {
        timer = undefined;
        sql`select pg_notify(${EVENT_ACCEPTED}, '')`
          .catch((error) => log.warn("cannot wake the fold", { error }));
      }, RING_MS);
    },
    remove() {
      clearTimeout(timer);
    },
  };
}

async function withDatabase(
  settings: Settings,
  fn: (database: Database) => Promise<void>,
): Promise<void> {
  const { DATABASE_URL: pooled, DATA_DIR } = settings;
  if (pooled) {
    return await fn({
      pooled,
      direct: settings.DATABASE_URL_DIRECT ?? pooled,
      read: settings.DATABASE_URL_READ,
    });
  }
  const { url, stop } = await startEmbedded({
    dataDir: DATA_DIR,
    onProgress: tell,
  });
  try {
    await fn({ pooled: url, direct: url });
  } finally {
    await stop();
  }
}

async function withClient<T>(
  { direct }: Database,
  fn: (sql: Sql) => Promise<T>,
  options: { snapshots?: boolean } = {},
): Promise<T> {
  const sql = connect(direct, { max: 4, statementTimeoutMs: 0, ...options });
  try {
    return await fn(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Schedules also when nothing ran: pg_cron may have come since. */
async function bringUpToDate(
  database: Database,
  onProgress?: (text: string) => void,
): Promise<{ ran: string[]; schedules: number }> {
  return await withClient(database, async (sql) => ({
    ran: await migrate(sql, onProgress),
    schedules: await scheduleJobs(sql),
  }));
}

async function refuseOldSchema(database: Database): Promise<void> {
  const pending = await withClient(database, (sql) => pendingMigrations(sql));
  if (pending.length === 0) return;
  throw new Error(
    `Cannot use the database: it lacks ${
      pending.join(", ")
    }, run \`deno task migrate\``,
  );
}

async function readManifest(): Promise<Manifest> {
  const text = await Deno.readTextFile(new URL("manifest.json", DIST))
    .catch((cause) => {
      throw new Error(
        "Cannot serve: dist/manifest.json is missing, run `deno task build`",
        { cause },
      );
    });
  return JSON.parse(text);
}

/** Where a server that took its port by itself left word for the commands beside it. */
function addressFile({ DATA_DIR }: Settings): string {
  return `${DATA_DIR}/address`;
}

async function findPublicUrl(settings: Settings): Promise<string> {
  const { PUBLIC_URL, HOST, PORT, DATABASE_URL } = settings;
  if (PUBLIC_URL) return PUBLIC_URL;
  const left = DATABASE_URL
    ? null
    : await Deno.readTextFile(addressFile(settings)).catch(() => null);
  return left ?? urlOf(HOST, PORT ?? DEFAULT_PORT);
}

function urlOf(host: string, port: number): string {
  // Nobody can open "every address" in a browser.
  if (host === "0.0.0.0" || host === "::") host = "127.0.0.1";
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Leaves what cannot be told to stop; for what is safe to be cut off anywhere. */
async function unlessStopped<T>(
  signal: AbortSignal,
  work: Promise<T>,
): Promise<T> {
  return await Promise.race([
    work,
    stopped(signal).then(() => {
      throw signal.reason;
    }),
  ]);
}

function stopped(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

/** For people who wait; stdout is for results. */
function tell(text: string): void {
  console.error(text);
}

/**
 * Serves in one of the isolates of `deno serve --parallel`. Each has clients, caches and
 * limits of its own; they share the process, so that the last one to be done ends it.
 *
 * @returns What `deno serve` calls.
 */
export function serveParallel(): Deno.ServeDefaultExport {
  hideAddresses();
  let answer: Deno.ServeHandler = refuse;
  const stop = stopOnSignals();
  const isolates = createIsolates(stop.signal);
  async function begin(): Promise<void> {
    const settings = readSettings(Deno.env.toObject());
    if (!settings.DATABASE_URL) {
      throw new Error(
        "Cannot serve in parallel on the embedded Postgres: set DATABASE_URL",
      );
    }
    const log = createLog(settings.LOG_LEVEL ?? "info");
    const { signal } = stop;
    await withDatabase(settings, async (database) => {
      await refuseOldSchema(database);
      const context = { settings, args: [], log, signal };
      await run(context, database, await readManifest(), [], {
        handTo: (handler) => answer = handler,
      });
    });
  }
  begin().then(isolates.end, (error) => {
    tell(error instanceof Error ? error.message : String(error));
    Deno.exit(1);
  });
  return { fetch: (request, info) => answer(request, info) };
}

/** Isolates tell each other of what they are at this soon after a signal, ms. */
const HEARD_MS = 250;

/** All isolates of the process hear its signals, and whichever exits ends all of them. */
function createIsolates(signal: AbortSignal): { end(): Promise<void> } {
  const id = crypto.randomUUID();
  const busy = new Set<string>();
  const channel = new BroadcastChannel("weir stopping");
  const changed = new EventTarget();
  channel.onmessage = ({ data }) => {
    if (data.isDone) busy.delete(data.id);
    else busy.add(data.id);
    changed.dispatchEvent(new Event("change"));
  };
  stopped(signal).then(() => channel.postMessage({ id, isDone: false }));
  return {
    async end() {
      await stopped(AbortSignal.timeout(HEARD_MS));
      channel.postMessage({ id, isDone: true });
      while (busy.size > 0) {
        await new Promise((resolve) =>
          changed.addEventListener("change", resolve, { once: true })
        );
      }
      Deno.exit(0);
    },
  };
}

function stopOnSignals(): AbortController {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.abort());
  }
  return stop;
}

async function main(): Promise<number> {
  hideAddresses();
  const [name = "", ...args] = Deno.args;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    tell(USAGE);
    return 2;
  }
  const isLasting = [demo, start, serve, work].includes(command);
  // The others end at once, and Postgres notices.
  const stop = isLasting ? stopOnSignals() : new AbortController();
  const signal = AbortSignal.any([stop.signal, await launcherGone()]);
  try {
    const settings = readSettings(Deno.env.toObject());
    const log = createLog(settings.LOG_LEVEL ?? "info");
    await command({ settings, args, log, signal });
    return 0;
  } catch (error) {
    if (signal.aborted && error === signal.reason) return 0;
    tell(error instanceof Error ? error.message : String(error));
    if (error instanceof UsageError) tell(`\n${USAGE}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

// What was left at the stop would keep the process waiting.
if (import.meta.main) Deno.exit(await main());
