/**
 * The route table. Read first.
 *
 * @module
 */

import { type Context, Hono, type MiddlewareHandler } from "hono";
import { compress } from "hono/compress";
import { methodNotAllowed } from "hono/method-not-allowed";
import { secureHeaders } from "hono/secure-headers";
import type { Sql } from "../db/client.ts";
import type { Log } from "../db/log.ts";
import type { Reader } from "../db/replica.ts";
import type { ExportStore } from "../db/store.ts";
import type { Manifest } from "../islands/build.ts";
import type { AccessLog } from "./_access.ts";
import { type Again, createAgain } from "./_again.ts";
import { type Auth, requiresSession } from "./_auth.ts";
import type { Cache } from "./_cache.ts";
import { answerProblem, AppError, toAppError } from "./_errors.ts";
import type { Hub } from "./_hub.ts";
import { logRequests } from "./_log.ts";
import { accessLog } from "./access_log.ts";
import { limitedByAddress, type Limiter, limitsStrangers } from "./_limit.ts";
import { createOpenShares, type OpenShares } from "./_open_shares.ts";
import { createPreferenceStore, type PreferenceStore } from "./_preferences.ts";
import { knowsReader } from "./_reader.ts";
import { createReads, type Reads } from "./_reads.ts";
import { analytics } from "./analytics.ts";
import { assets } from "./assets.ts";
import { dashboard } from "./dashboard.tsx";
import { answerErrorPage } from "./error_page.tsx";
import { events } from "./events.ts";
import { contacts, executions } from "./executions.ts";
import { exports } from "./exports.ts";
import { exportForms, exportPages } from "./exports_page.tsx";
import { github } from "./github.ts";
import { executionPages } from "./executions_page.tsx";
import { health } from "./health.ts";
import { ingest } from "./ingest.ts";
import { createRequestCounter, metrics } from "./metrics.ts";
import { docs } from "./docs.tsx";
import { openapi } from "./openapi.ts";
import { overview } from "./overview.tsx";
import { preferences } from "./preferences.ts";
import { preferencesPage } from "./preferences_page.tsx";
import { quality } from "./quality.ts";
import { refresh } from "./refresh.ts";
import { reports } from "./reports.ts";
import { framing, sharedPages } from "./share.tsx";
import { shares } from "./shares.ts";
import { sharesForms, sharesPages } from "./shares_page.tsx";
import { signIn } from "./sign_in.tsx";
import { type Audience, stream, STREAM_LIMITS } from "./stream.ts";
import { theme } from "./theme.ts";
import { workflows } from "./workflows.ts";

/** Everything a route may need, made once in main.ts. */
export interface Deps {
  sql: Sql;
  /** The same, for statements that rightly take minutes: exports, erasures. */
  slow: Sql;
  /** Reads numbers, from a replica where there is one. */
  reader: Reader;
  /** Where exported files are. */
  store: ExportStore;
  /** Turns secrets into grants. */
  auth: Auth;
  /** Where reads and exports are written down; `requires()` does. */
  access: AccessLog;
  /** The clock. */
  now(): Date;
  /** Where the built islands are, ending in a slash. */
  dist: URL;
  manifest: Manifest;
  /** Where browsers and producers reach us, without a slash at its end. */
  publicUrl: string;
  log: Log;
  /** Tells the workers that events wait; cheap, as often as one likes. */
  eventsAccepted(): void;
  /** Answers that are kept. */
  cache: Cache;
  /** How much anybody may ask for. */
  limiter: Limiter;
  /** How many proxies of ours stand before us, whose `X-Forwarded-For` is believed. */
  trustedProxies: number;
  /** How long an edge cache may keep a shared page before it asks again, seconds. */
  shareCacheSeconds: number;
  /** How far workflows are, and who waits for their changes. */
  hub: Hub;
  /** Aborted when we are told to stop: what would go on for ever ends then. */
  stopping: AbortSignal;
}

/**
 * Builds the app. Every route below is either public (and says why in its file) or
 * begins with `requires(scope)` or `requiresSession()`.
 *
 * @param deps What the routes close over.
 */
export function createApp(deps: Deps): Hono {
  const app = new Hono();
  const requests = createRequestCounter();
  app.use(logRequests(deps.log));
  const reads = createReads(deps);
  const open = createOpenShares(deps);
  const again = createAgain(deps, requests);
  const chosen = createPreferenceStore(deps);
  const audience = { count: () => 0 };
  app.use(requests.middleware);
  app.use("/embed/*", framing);
  app.use(protect(deps.publicUrl));

  app.use(methodNotAllowed({ app, onMethodNotAllowed: refuseMethod }));

  app.route("/", health(deps));
  app.route("/", metrics(deps, requests, audience));
  app.route("/", openapi(deps));
  app.route("/", docs(deps));
  app.route("/assets", assets(deps));
  app.route("/api/v1", api(deps, reads, open, again, chosen, audience));
  app.route("/", ingest(deps));
  app.route("/webhooks/github", github(deps));
  app.route("/", sharedPages(deps, reads, open));
  app.route("/", pages(deps, reads, open, chosen));

  app.notFound((c) => onError(new AppError("not_found"), c));
  app.onError(onError);
  const theLongWay = app.fetch;
  app.fetch = (request, ...rest) =>
    again.answer(request) ?? answer(request, ...rest);
  return app;

  async function answer(...args: Parameters<typeof theLongWay>) {
    const response = await theLongWay(...args);
    again.remember(args[0], response);
    return response;
  }

  function refuseMethod(c: Context, methods: string[]) {
    c.header("allow", methods.join(", "));
    return onError(new AppError("method_not_allowed"), c);
  }

  function onError(thrown: unknown, c: Context) {
    const problem = answerProblem(thrown, c, deps.log);
    // Clients of the API may accept HTML without meaning it: Java's do by default.
    const wantsPage = !c.req.path.startsWith("/api/") &&
      c.req.header("accept")?.includes("text/html");
    if (!wantsPage) return problem;
    return answerErrorPage(c, toAppError(thrown).status, deps.manifest);
  }
}

/**
 * What browsers are told to keep to. Of the API's answers nothing is shown, so less is
 * said: a header costs as much as looking a key up.
 */
function protect(publicUrl: string): MiddlewareHandler {
  const everywhere = {
    // Of browsers that are gone.
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    // Promised for our own host alone, and only where there is https to come back to.
    strictTransportSecurity: publicUrl.startsWith("https:")
      ? "max-age=63072000"
      : false,
  };
  const ofData = secureHeaders({
    ...everywhere,
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      frameAncestors: ["'none'"],
    },
    crossOriginOpenerPolicy: false,
    xFrameOptions: false,
    referrerPolicy: false,
  });
  const ofPages = secureHeaders({
    ...everywhere,
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      frameAncestors: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
    },
    // With none at all, browsers would hide from us too that a form is our own.
    referrerPolicy: "same-origin",
  });
  return (c, next) =>
    c.req.path.startsWith("/api/") ? ofData(c, next) : ofPages(c, next);
}

function api(
  deps: Deps,
  reads: Reads,
  open: OpenShares,
  again: Again,
  chosen: PreferenceStore,
  audience: Audience,
): Hono {
  const app = new Hono();
  app.use(limitsStrangers(deps));
  app.route("/events", events(deps));
  app.route("/workflows", workflows(deps));
  app.route("/workflows", analytics(deps, reads, again));
  app.route("/workflows", stream(deps, STREAM_LIMITS, audience));
  app.route("/workflows", quality(deps, reads));
  app.route("/workflows", refresh(deps, reads));
  app.route("/workflows", executions(deps, reads));
  app.route("/workflows", exports(deps, reads));
  app.route("/workflows", shares(deps, reads, open));
  app.route("/workflows", reports(deps, reads));
  app.route("/contacts", contacts(deps));
  app.route("/me", preferences(deps, chosen));
  app.route("/access-log", accessLog(deps));
  return app;
}

function pages(
  deps: Deps,
  reads: Reads,
  open: OpenShares,
  chosen: PreferenceStore,
): Hono {
  const app = new Hono();
  app.use(compress());
  app.use("/sign-in", limitedByAddress(deps, "sign_in"));
  app.route("/", signIn(deps));
  app.route("/", theme(deps));
  app.route("/", exportForms(deps, reads));
  app.route("/", sharesForms(deps, reads, open));
  for (const path of ["/", "/preferences", "/workflows/*"]) {
    app.use(path, requiresSession(deps), knowsReader(chosen));
  }
  app.route("/", overview(deps));
  app.route("/", preferencesPage(deps, chosen));
  app.route("/", dashboard(deps, reads));
  app.route("/", executionPages(deps));
  app.route("/", exportPages(deps));
  app.route("/", sharesPages(deps, reads));
  return app;
}
