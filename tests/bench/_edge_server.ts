/**
 * What {@linkcode benchEdge} compares the real server with, in a process of its own:
 *
 * - `bare FILE`: Hono that answers every request with a file's bytes, and does nothing else:
 *   it reads no header, and sends its type alone;
 * - `known`: Hono that answers every request with 304 and no header;
 * - `open ACCOUNT_ID`: our app that knows who asks, lets everybody ask for everything, and
 *   writes nothing down. What it does not do is what authentication, limits and logs cost.
 *
 * Prints its address.
 *
 * @module
 */

import { Hono } from "hono";
import { postgresBus } from "../../db/bus.ts";
import type { Grant } from "../../db/access.ts";
import { connect } from "../../db/client.ts";
import { createReader } from "../../db/replica.ts";
import { createLog } from "../../db/log.ts";
import { postgresStore } from "../../db/store.ts";
import { createCache } from "../../routes/_cache.ts";
import { createHub } from "../../routes/_hub.ts";
import { createApp } from "../../routes/app.ts";

async function bare(file: string): Promise<Deno.ServeHandler> {
  const body = await Deno.readFile(file);
  const headers = { "content-type": "application/json" };
  return new Hono().get("*", (c) => c.body(body, 200, headers)).fetch;
}

function known(): Deno.ServeHandler {
  return new Hono().get("*", (c) => c.body(null, 304)).fetch;
}

function open(accountId: number): Deno.ServeHandler {
  const sql = connect(Deno.env.get("DATABASE_URL")!, {
    max: 4,
    statementTimeoutMs: 15_000,
  });
  const now = () => new Date();
  const log = createLog("error");
  const grant: Grant = {
    credential: "key:0000000000000000",
    account_id: accountId,
    account_uuid: crypto.randomUUID(),
    account_name: "Bench",
    time_zone: "Europe/Paris",
    user_id: null,
    role: "admin",
    scopes: ["admin"],
    preferences_version: null,
  };
  const found = Promise.resolve(grant);
  const known = { allowed: true, limit: 1, remaining: 1, resetAt: 0 };
  const verdict = Promise.resolve(known);
  return createApp({
    sql,
    reader: createReader({ primary: sql, replica: null, now, log }),
    slow: sql,
    store: postgresStore(sql),
    auth: {
      authenticate: () => found,
      authenticateSession: () => found,
      forgetSession() {},
      believes: () => true,
    },
    access: {
      record() {},
      recordFirst: () => Promise.resolve(),
      keyUsed() {},
      lost: () => 0,
      close: () => Promise.resolve(),
    },
    now,
    dist: new URL("../../dist/", import.meta.url),
    manifest: {},
    publicUrl: "http://127.0.0.1",
    log,
    eventsAccepted() {},
    hub: createHub({ sql, now, log, bus: postgresBus(sql, log) }),
    cache: createCache({ now, upstash: null }),
    limiter: {
      take: () => verdict,
      takeHere: () => known,
      counts: () => [],
    },
    trustedProxies: 0,
    shareCacheSeconds: 0,
    stopping: new AbortController().signal,
  }).fetch;
}

const [mode, argument] = Deno.args;
const handler = mode === "bare"
  ? await bare(argument!)
  : mode === "known"
  ? known()
  : open(Number(argument));
Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(`http://127.0.0.1:${port}`),
}, handler);
