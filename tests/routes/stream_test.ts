import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Hono } from "hono";
import { createKey, endSession } from "../../db/access.ts";
import { type Bus, postgresBus } from "../../db/bus.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { createLog } from "../../db/log.ts";
import { Event, type LiveNumbers } from "../../db/schema.ts";
import { createAccessLog } from "../../routes/_access.ts";
import { answerProblem } from "../../routes/_errors.ts";
import { createHub, type Hub } from "../../routes/_hub.ts";
import {
  stream,
  STREAM_LIMITS,
  type StreamLimits,
} from "../../routes/stream.ts";
import { readEvents, type Reading, sameLive, taken } from "../event_stream.ts";
import { depsWith } from "../app.ts";
import { dbTest, NOW, until, type World } from "../harness.ts";
import {
  assertProblem,
  at,
  DEFINITION,
  enrolled,
  GOAL,
  put,
  RANGE,
  send,
  signIn,
  STEP,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics`;

/** Nothing happens by itself but what a test asks for. */
const QUIET: StreamLimits = {
  ...STREAM_LIMITS,
  heartbeatMs: 3_600_000,
  recheckMs: 3_600_000,
  sweepMs: 5,
};

/** A server's streams, without a port between. */
interface Streams {
  /** Asks for one, with the world's key unless told otherwise. */
  ask(
    query?: string,
    headers?: Record<string, string>,
    method?: string,
  ): Promise<Response>;
  /** The same, and reads it. */
  open(query?: string, headers?: Record<string, string>): Promise<Reading>;
  /** Tells the server to stop. */
  stop(): void;
  hub: Hub;
  bus: Bus;
  /** Statements that readers of numbers have run. */
  reads(): number;
}

async function withStreams(
  world: World,
  limits: Partial<StreamLimits>,
  test: (streams: Streams) => Promise<void>,
): Promise<void> {
  // Refusals of a full or stopping server are no news.
  const log = createLog("error", () => {});
  const now = () => world.clock.now;
  const stopping = new AbortController();
  let reads = 0;
  const sql = new Proxy(world.web, {
    apply(target, self, args) {
      if (String(args[0]).includes("weir.read_revision(")) reads++;
      return Reflect.apply(target, self, args);
    },
  });
  // The beat is left out of it: what comes, comes by ringing.
  const bus = postgresBus(world.sql, log);
  const hub = createHub({ sql, now, log, bus, beatMs: 3_600_000 });
  const access = createAccessLog({ sql, log });
  world.atEnd.push(access.close);
  const deps = depsWith(world, { sql, log, hub, stopping: stopping.signal });
  const app = new Hono();
  app.route("/api/v1/workflows", stream(deps, { ...QUIET, ...limits }));
  app.onError((error, c) => answerProblem(error, c, log));
  const readings: Reading[] = [];

  async function ask(
    query: string = RANGE,
    headers: Record<string, string> = {},
    method = "GET",
  ): Promise<Response> {
    const authorization = `Bearer ${world.key}`;
    return await app.request(`${PATH}/stream?${query}`, {
      method,
      headers: headers.cookie ? headers : { authorization, ...headers },
    });
  }

  try {
    // Rings before it listens would be lost.
    await until("the hub listens", async () => {
      const [row] = await world.sql`
        select count(*)::int as listening from pg_stat_activity
        where datname = current_database() and query ilike 'listen %'`;
      return row!.listening > 0;
    });
    await test({
      hub,
      bus,
      ask,
      reads: () => reads,
      stop: () => stopping.abort(),
      async open(query, headers) {
        const response = await ask(query, headers);
        strictEqual(response.status, 200);
        const reading = readEvents(response.body!);
        readings.push(reading);
        return reading;
      },
    });
  } finally {
    stopping.abort();
    await Promise.all(readings.map((reading) => reading.close()));
    await hub.close();
  }
}

/** Accepts events, folds them, and so rings. */
async function happen(
  { sql, account }: World,
  ...events: Record<string, unknown>[]
): Promise<void> {
  await recordEvents(
    sql,
    account.account_id,
    // What is undefined is left out.
    events.map((event) => Event.parse(JSON.parse(JSON.stringify(event)))),
  );
  await fold(sql);
}

/** What the three reads answer. */
async function fresh(
  world: World,
  query: string = RANGE,
): Promise<LiveNumbers> {
  const read = async (path: string) =>
    (await send(world, "GET", `${PATH}${path}?${query}`)).json;
  return {
    analytics: await read(""),
    funnel: await read("/funnel"),
    actions: await read("/actions"),
  };
}

const ACTION = { type: "action.executed", step_id: STEP, source: undefined };

dbTest(
  "GET …/stream begins with the bodies of the three reads, and tells what each fold changed",
  async (world) => {
    await put(world, {
      ...DEFINITION,
      steps: [{ step_id: STEP, name: "Mail", type: "action", order: 0 }],
    });
    const execution_id = crypto.randomUUID();
    await happen(world, enrolled({ execution_id }));
    await withStreams(world, {}, async ({ ask }) => {
      const response = await ask();
      strictEqual(
        response.headers.get("content-type"),
        "text/event-stream; charset=utf-8",
      );
      match(response.headers.get("cache-control")!, /no-transform/);
      const reading = readEvents(response.body!);
      const first = await reading.next();
      strictEqual(first.event, "snapshot");
      const { analytics, funnel, actions, ...rest } = first.data;
      deepStrictEqual({ analytics, funnel, actions }, await fresh(world));
      deepStrictEqual(rest, {
        workflow_id: WORKFLOW,
        timestamp: NOW.toISOString(),
        revision: 2,
      });
      match(first.id, /^2\.[\w-]{16}$/);
      ok(reading.retry()! >= 1_000);

      await happen(world, enrolled());
      const second = await reading.next();
      strictEqual(second.event, "metrics_update");
      strictEqual(second.id.split(".")[0], "3");
      const { changes, ...head } = second.data;
      deepStrictEqual(head, {
        workflow_id: WORKFLOW,
        timestamp: NOW.toISOString(),
        revision: 3,
        since: first.id,
        as_of: NOW.toISOString(),
      });
      const today = { start: "2026-06-15T00:00:00.000Z" };
      deepStrictEqual(changes, {
        total_enrolled: 2,
        total_enrolled_delta: 1,
        new_enrollments_delta: 1,
        currently_active: 2,
        currently_active_delta: 1,
        in_progress: 2,
        in_progress_delta: 1,
        enrollment_rate: 0.13,
        enrollment_sources: [{ source: "api", count: 2, share: 100 }],
        trends: [{
          ...today,
          new_enrollments: 2,
          in_progress: 2,
          total_enrolled: 2,
          currently_active: 2,
        }],
      });

      const held = taken(taken(null, first), second);
      await happen(world, {
        ...enrolled({ execution_id }),
        ...ACTION,
        status: "failed",
        duration_ms: 12,
      });
      const third = await reading.next();
      deepStrictEqual(third.data.changes.actions.actions_order, [STEP]);
      await happen(world, {
        ...enrolled({ execution_id, source: undefined }),
        type: "goal.achieved",
        goal_id: GOAL,
      }, {
        ...enrolled({ execution_id, source: undefined }),
        type: "step.entered",
        step_id: STEP,
      });
      const fourth = await reading.next();
      deepStrictEqual(fourth.data.changes.funnel.funnel_steps[0].step_id, STEP);
      strictEqual(fourth.data.changes.completed_delta, 1);
      const now = taken(taken(held, third), fourth)!;
      sameLive(now.numbers, await fresh(world));

      await put(world, {
        ...DEFINITION,
        steps: [{ step_id: STEP, name: "Letter", type: "action", order: 0 }],
      });
      const renamed = await reading.next();
      deepStrictEqual(renamed.data.changes, {
        funnel: { funnel_steps: [{ step_id: STEP, step_name: "Letter" }] },
        actions: { actions: [{ action_id: STEP, action_name: "Letter" }] },
      });
      await reading.close();
    });
  },
);

dbTest(
  "GET …/stream goes on from the last id: with nothing, with the difference, or anew",
  async (world) => {
    await put(world);
    await happen(world, enrolled());
    await withStreams(world, {}, async ({ open }) => {
      const one = await open();
      const first = await one.next();
      let held = taken(null, first)!;
      await one.close();

      const same = await open(RANGE, { "last-event-id": held.id });
      strictEqual((await same.next()).event, "heartbeat");
      await same.close();

      // Twice while nobody reads.
      await happen(world, enrolled());
      await happen(world, enrolled());
      const later = await open(`${RANGE}&last_event_id=${held.id}`);
      const update = await later.next();
      deepStrictEqual([update.event, update.data.since], [
        "metrics_update",
        held.id,
      ]);
      strictEqual(update.data.changes.total_enrolled_delta, 2);
      held = taken(held, update)!;
      sameLive(held.numbers, await fresh(world));
      await later.close();

      for (const unknown of ["7.abcdefghijklmnop", "x", "1."]) {
        const anew = await open(RANGE, { "last-event-id": unknown });
        const whole = await anew.next();
        deepStrictEqual([whole.event, whole.id], ["snapshot", held.id]);
        await anew.close();
      }
      // Another query's id is not this one's.
      const other = await open(`${RANGE}&attribution=event`, {
        "last-event-id": held.id,
      });
      strictEqual((await other.next()).event, "snapshot");
    });
  },
);

dbTest(
  "GET …/stream reads once a revision, however many watch",
  async (world) => {
    await put(world);
    await withStreams(world, {}, async ({ open, reads }) => {
      const readings = await Promise.all(
        Array.from({ length: 40 }, () => open()),
      );
      await Promise.all(readings.map((reading) => reading.next("snapshot")));
      ok(reads() <= 2, `${reads()} reads for the first`);
      const before = reads();
      await happen(world, enrolled());
      const told = await Promise.all(
        readings.map((reading) => reading.next("metrics_update")),
      );
      strictEqual(reads(), before + 1);
      strictEqual(new Set(told.map(({ id }) => id)).size, 1);
      // Another query is another read.
      const other = await open(`${RANGE}&attribution=event`);
      await other.next("snapshot");
      strictEqual(reads(), before + 2);
    });
  },
);

dbTest(
  "GET …/stream tells a slow reader what is newest, and gathers nothing for it",
  async (world) => {
    await put(world);
    await withStreams(world, {}, async ({ ask, open }) => {
      const slow = (await ask()).body!;
      const quick = await open();
      await quick.next("snapshot");
      for (let i = 1; i <= 5; i++) {
        await happen(world, enrolled());
        const { data } = await quick.next("metrics_update");
        strictEqual(data.changes.total_enrolled, i);
      }
      const reading = readEvents(slow);
      let held = taken(null, await reading.next());
      strictEqual(held!.numbers.analytics.summary.total_enrolled, 0);
      const update = await reading.next();
      strictEqual(update.data.changes.total_enrolled_delta, 5);
      held = taken(held, update);
      sameLive(held!.numbers, await fresh(world));
      await reading.close();
    });
  },
);

dbTest(
  "GET …/stream tells what time alone changes: a bucket that begins, a range that ends",
  async (world) => {
    await put(world);
    world.clock.now = new Date("2026-06-15T23:59:00Z");
    await happen(world, enrolled());
    await withStreams(world, {}, async ({ open }) => {
      const reading = await open("start_date=2026-06-15&end_date=2026-06-16");
      let held = taken(null, await reading.next());
      strictEqual(held!.numbers.analytics.summary.enrollment_rate, 1);
      world.clock.now = new Date("2026-06-16T00:00:00Z");
      const update = await reading.next("metrics_update");
      deepStrictEqual(update.data.changes, { enrollment_rate: 0.5 });
      held = taken(held, update);
      sameLive(
        held!.numbers,
        await fresh(world, "start_date=2026-06-15&end_date=2026-06-16"),
      );
    });
  },
);

dbTest(
  "GET …/stream says that it lives, and what it is complete up to",
  async (world) => {
    await put(world);
    await withStreams(world, { heartbeatMs: 5 }, async ({ open, bus }) => {
      const reading = await open();
      await reading.next("snapshot");
      const beat = await reading.next();
      deepStrictEqual([beat.event, beat.data], ["heartbeat", {
        as_of: NOW.toISOString(),
      }]);
      strictEqual((await reading.next()).event, "heartbeat");
      await bus.announce("Maintenance at noon");
      const { data } = await reading.next("announcement");
      deepStrictEqual(data, {
        timestamp: NOW.toISOString(),
        text: "Maintenance at noon",
      });
    });
  },
);

dbTest(
  "GET …/stream tells of what was ahead of its clock as soon as it is due",
  async (world) => {
    await put(world);
    await withStreams(world, {}, async ({ open }) => {
      const reading = await open();
      await reading.next("snapshot");
      // Ahead, or counted while the read was waiting for its turn.
      await happen(world, enrolled({ occurred_at: at(1 / 60) }));
      const ahead = await reading.next("metrics_update");
      deepStrictEqual(
        [
          ahead.data.changes.total_enrolled,
          ahead.data.changes.currently_active,
        ],
        [1, undefined],
      );
      world.clock.now = new Date(NOW.getTime() + 1_001);
      const due = await reading.next("metrics_update");
      strictEqual(due.data.changes.currently_active, 1);
    });
  },
);

dbTest(
  "GET …/stream ends after its time, when the server stops, and is gone on with",
  async (world) => {
    await put(world);
    await withStreams(world, { lifeMs: 30 }, async ({ open }) => {
      const reading = await open();
      const { id } = await reading.next("snapshot");
      const end = await reading.next("end");
      deepStrictEqual([end.data, end.id], [{ reason: "renew" }, id]);
      await reading.ended;
    });
    await withStreams(world, {}, async ({ open, stop, ask }) => {
      const reading = await open();
      await reading.next("snapshot");
      stop();
      deepStrictEqual((await reading.next()).data, { reason: "stopping" });
      await reading.ended;
      strictEqual((await ask()).status, 503);
    });
  },
);

dbTest(
  "GET …/stream ends when its credential does, or its right to the workflow",
  async (world) => {
    const { sql, account: { account_id } } = world;
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const key = await createKey(sql, account_id, {
      scopes: ["analytics:read"],
    });
    const { cookie } = await signIn(world, { userId: "ada", role: "member" });
    const gone = await signIn(world);
    await withStreams(world, { recheckMs: 5 }, async ({ open }) => {
      const lasting = await open();
      const byKey = await open(RANGE, { authorization: `Bearer ${key}` });
      const byOwner = await open(RANGE, { cookie });
      const bySession = await open(RANGE, gone);
      await Promise.all(
        [lasting, byKey, byOwner, bySession].map((one) => one.next()),
      );
      await sql`update weir.api_key set revoked_at = now()
        where scopes = array['analytics:read']`;
      await endSession(sql, gone.cookie.split("=")[1]!);
      await put(world, { ...DEFINITION, owner_id: "grace" });
      // What was believed of a credential is believed for some seconds.
      world.clock.now = new Date(NOW.getTime() + 10_000);
      for (const reading of [byKey, byOwner, bySession]) {
        const { data } = await reading.next("end");
        deepStrictEqual(data, { reason: "unauthenticated" });
        await reading.ended;
      }
      await happen(world, enrolled());
      await lasting.next("metrics_update");
    });
  },
);

dbTest(
  "GET …/stream bounds the streams of a user and of a process, and frees the place of who leaves",
  async (world) => {
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const { cookie } = await signIn(world, { userId: "ada" });
    const limits = { perUserMax: 2, perProcessMax: 3 };
    await withStreams(world, limits, async ({ open, ask }) => {
      const refused = async (headers = {}) => {
        const response = await ask(RANGE, headers);
        const text = await response.text();
        return {
          status: response.status,
          headers: response.headers,
          text,
          json: JSON.parse(text),
        };
      };
      const first = await open();
      await open();
      const third = await refused();
      assertProblem(third, 429, "too_many_streams");
      strictEqual(third.headers.get("retry-after"), "30");
      await open(RANGE, { cookie });
      const fourth = await refused({ cookie });
      assertProblem(fourth, 503, "streams_full");
      ok(Number(fourth.headers.get("retry-after")) > 0);
      await first.close();
      await open();
      assertProblem(await refused(), 429, "too_many_streams");
    });
    // What fails, and what nobody reads, takes no place.
    await withStreams(world, { perUserMax: 1 }, async ({ open, ask }) => {
      strictEqual((await ask("start_date=2026-06-01")).status, 400);
      const old = "start_date=2026-01-01&end_date=2026-01-02&unit=contact";
      strictEqual((await ask(old)).status, 400);
      const head = await ask(RANGE, {}, "HEAD");
      deepStrictEqual([head.status, head.body], [200, null]);
      await (await open()).next("snapshot");
    });
  },
);

dbTest(
  "GET …/stream ends where the range cannot be answered any more",
  async (world) => {
    await put(world);
    await withStreams(world, {}, async ({ open }) => {
      const reading = await open(
        "start_date=2026-03-17&end_date=2026-03-18&unit=contact",
      );
      await reading.next("snapshot");
      world.clock.now = new Date("2026-06-16T00:00:00Z");
      const { data } = await reading.next("end");
      deepStrictEqual(data, { reason: "not_readable" });
    });
  },
);
