/**
 * The app as tests run it: the real one, on a world's database and clock.
 *
 * @module
 */

import type { Hono } from "hono";
import { createLog } from "../db/log.ts";
import { createAccessLog } from "../routes/_access.ts";
import { createReader } from "../db/replica.ts";
import { postgresStore } from "../db/store.ts";
import { createAuth } from "../routes/_auth.ts";
import { createCache } from "../routes/_cache.ts";
import { createHub } from "../routes/_hub.ts";
import { createLimiter, POLICIES } from "../routes/_limit.ts";
import { createTokenReader } from "../routes/_token.ts";
import { createApp, type Deps } from "../routes/app.ts";
import { documented } from "./documented.ts";
import type { World } from "./harness.ts";
import { TRUST } from "./tokens.ts";

/** Where the app of a test believes to be reached. */
export const PUBLIC_URL = "http://weir.test";

/** What browsers send with what our own pages do. */
export const SAME_ORIGIN = { origin: PUBLIC_URL };

/** Tests of other things ask more in a minute than anybody may. */
const UNLIMITED = Object.fromEntries(
  Object.keys(POLICIES).map((policy) => [policy, Infinity]),
);

/**
 * Builds the app. Its answers are held against the document at `/openapi.json`.
 *
 * @param world Whose database and clock it has.
 * @param deps What is to be otherwise.
 */
export function appWith(world: World, deps: Partial<Deps> = {}): Hono {
  return documented(createApp(depsWith(world, deps)));
}

/**
 * What the app is made of, for tests that make a part of it.
 *
 * @param world Whose database and clock it has.
 * @param deps What is to be otherwise.
 */
export function depsWith(world: World, deps: Partial<Deps> = {}): Deps {
  const now = () => world.clock.now;
  const sql = world.web;
  const log = deps.log ?? createLog("error");
  const access = createAccessLog({ sql, log });
  world.atEnd.push(access.close);
  return {
    sql,
    auth: createAuth({
      sql,
      now,
      access,
      readToken: createTokenReader(TRUST, now),
    }),
    access,
    slow: sql,
    reader: createReader({
      primary: deps.sql ?? sql,
      replica: null,
      now: deps.now ?? now,
      log,
    }),
    store: postgresStore(sql),
    now,
    dist: new URL("../dist/", import.meta.url),
    manifest: {},
    publicUrl: PUBLIC_URL,
    log,
    eventsAccepted: () => {},
    // Without a bus it asks the database, so that a test sees each change at once.
    hub: createHub({ sql, now, log, bus: null }),
    cache: createCache({ now, upstash: null }),
    limiter: createLimiter({ now, upstash: null, perMinute: UNLIMITED }),
    trustedProxies: 0,
    shareCacheSeconds: 60,
    stopping: new AbortController().signal,
    ...deps,
  };
}
