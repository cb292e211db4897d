import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { fold } from "../../db/events.ts";
import type { Log } from "../../db/log.ts";
import { dbTest } from "../harness.ts";
import {
  appWith,
  assertProblem,
  enrolled,
  post,
  RANGE,
  send,
  WORKFLOW,
} from "./_requests.ts";

/** Nobody listens there. */
const NOWHERE = "postgres://nobody:secret@127.0.0.1:1/nothing";

function listening(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const write = (message: string) => void lines.push(message);
  const log = { debug: write, info: write, warn: write, error: write };
  return { log, lines };
}

dbTest("GET /healthz and /readyz are well when all is", async (world) => {
  const health = await send(world, "GET", "/healthz", { key: null });
  deepStrictEqual([health.status, health.json], [200, { status: "ok" }]);
  const ready = await send(world, "GET", "/readyz", { key: null });
  deepStrictEqual([ready.status, ready.json], [200, {
    status: "ready",
    database: "ok",
    fold_lag_seconds: 0,
  }]);
});

dbTest("GET /readyz says when events are not counted", async (world) => {
  await post(world, enrolled());
  const fresh = await send(world, "GET", "/readyz", { key: null });
  strictEqual(fresh.json.status, "ready");
  await world.sql`
    update weir.event_queue set accepted_at = now() - interval '61 s'`;
  const behind = await send(world, "GET", "/readyz", { key: null });
  strictEqual(behind.status, 503);
  strictEqual(behind.json.status, "behind");
  ok(behind.json.fold_lag_seconds >= 61);
  await fold(world.sql);
  strictEqual((await send(world, "GET", "/readyz")).status, 200);
});

dbTest("without its database the app says so and no more", async (world) => {
  const sql = connect(NOWHERE, { max: 1, statementTimeoutMs: 1_000 });
  const { log, lines } = listening();
  const app = appWith(world, { sql, log });
  try {
    strictEqual((await send(world, "GET", "/healthz", { app })).status, 200);
    const ready = await send(world, "GET", "/readyz", { app });
    deepStrictEqual([ready.status, ready.json], [503, {
      status: "down",
      database: "unreachable",
    }]);
    const path = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    const read = await send(world, "GET", path, { app });
    assertProblem(read, 503, "unavailable");
    ok(Number(read.headers.get("retry-after")) > 0);
    assertProblem(await post(world, enrolled(), { app }), 503, "unavailable");
    deepStrictEqual(lines, ["not ready", "request failed", "request failed"]);
  } finally {
    await sql.end({ timeout: 0 });
  }
});

dbTest("a statement that takes too long is a 504", async (world) => {
  const sql = connect(world.database_url, { max: 1, statementTimeoutMs: 200 });
  const { log, lines } = listening();
  const app = appWith(world, { sql, log });
  const lock = await world.sql.reserve();
  try {
    await lock`begin`;
    await lock`lock table weir.workflow`;
    const path = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    const read = await send(world, "GET", path, { app });
    assertProblem(read, 504, "query_timeout");
    deepStrictEqual(lines, ["request failed"]);
  } finally {
    await lock`rollback`;
    lock.release();
    await sql.end();
  }
});
