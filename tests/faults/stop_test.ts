import {
  deepStrictEqual,
  match,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { NDJSON_CHUNK_EVENTS } from "../../db/schema.ts";
import { STREAM_LIMITS } from "../../routes/stream.ts";
import { dbTest, startServer, until } from "../harness.ts";
import { endOf } from "../within.ts";

/** As many as one key may open. */
const WATCHERS = STREAM_LIMITS.perUserMax;

/** Lines of NDJSON, each the enrolment of somebody else. */
function enrolments(count: number): Uint8Array<ArrayBuffer> {
  const workflow_id = crypto.randomUUID();
  const lines = Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      type: "execution.enrolled",
      id: `e${i}`,
      workflow_id,
      execution_id: crypto.randomUUID(),
      contact_id: "c",
      occurred_at: new Date().toISOString(),
      source: "api",
    }));
  return new TextEncoder().encode(lines.join("\n") + "\n");
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  dbTest(
    `main start finishes a request after ${signal} and exits 0`,
    async ({ sql, key, database_url }) => {
      await using server = await startServer({ DATABASE_URL: database_url });
      const body = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>();
      const writer = body.writable.getWriter();
      const answer = fetch(`${server.url}/api/v1/events`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${key}`,
          "content-type": "application/x-ndjson",
        },
        body: body.readable,
      });
      // It is waited for below, unless something fails before.
      answer.catch(() => {});
      await writer.write(enrolments(NDJSON_CHUNK_EVENTS));
      await until("the request is under way", async () => {
        const [row] = await sql`select count(*)::int as events from weir.event`;
        return row!.events === NDJSON_CHUNK_EVENTS;
      });
      server.process.kill(signal);
      await until("it drains", () => server.log().includes('"draining"'));
      const late = await fetch(`${server.url}/healthz`);
      const { status, code, type } = await late.json();
      deepStrictEqual([late.status, status, code, type], [
        503,
        503,
        "stopping",
        "urn:weir:error:stopping",
      ]);
      await writer.write(enrolments(1));
      await writer.close();

      const response = await answer;
      strictEqual(response.status, 202);
      strictEqual((await response.json()).accepted, NDJSON_CHUNK_EVENTS + 1);
      const { code: exit, signal: killedBy } = await endOf(server.process);
      deepStrictEqual([exit, killedBy], [0, null]);
      // All that it wrote is read by then.
      await server[Symbol.asyncDispose]();
      match(server.log(), /"message":"stopped"/);
    },
  );
}

dbTest(
  "main serve stops in good order while those who watch leave",
  async ({ key, database_url }) => {
    const headers = { authorization: `Bearer ${key}` };
    await using server = await startServer(
      { DATABASE_URL: database_url },
      "serve",
    );
    const workflow = `${server.url}/api/v1/workflows/${crypto.randomUUID()}`;
    const put = await fetch(workflow, {
      method: "PUT",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ name: "Any", steps: [], goals: [] }),
    });
    await put.body!.cancel();
    strictEqual(put.status, 200);
    const today = new Date().toISOString().slice(0, 10);
    const url =
      `${workflow}/analytics/stream?start_date=${today}&end_date=${today}`;
    const watchers = [];
    for (let watcher = 0; watcher < WATCHERS; watcher++) {
      const stream = await fetch(url, { headers });
      const reader = stream.body!.getReader();
      await reader.read();
      watchers.push(reader);
    }
    // Whether their leaving or the signal is heard first is chance, for each of them.
    const leaving = watchers.map((reader) => reader.cancel());
    server.process.kill("SIGTERM");
    await Promise.all(leaving);
    const { code } = await endOf(server.process);
    strictEqual(code, 0, server.log());
  },
);

dbTest("main start refuses a port that is in use", async ({ database_url }) => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const PORT = String(taken.addr.port);
  await rejects(
    startServer({ DATABASE_URL: database_url, PORT }),
    new RegExp(`Cannot listen on 127.0.0.1:${PORT}: the port is in use`),
  );
});

dbTest(
  "main start counts what it accepts",
  async ({ sql, key, database_url }) => {
    await using server = await startServer({ DATABASE_URL: database_url });
    const response = await fetch(`${server.url}/api/v1/events`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key}`,
        "content-type": "application/x-ndjson",
      },
      body: enrolments(10),
    });
    strictEqual(response.status, 202);
    await response.body?.cancel();
    await until("it was folded", async () => {
      const [row] =
        await sql`select count(*)::int as executions from weir.execution`;
      return row!.executions === 10;
    });
  },
);

/** A connection of its own, as a balancer may open. */
async function fetchAnew(url: string): Promise<Response> {
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const response = await fetch(url, { client });
  return new Response(await response.arrayBuffer(), response);
}

dbTest(
  "deno serve --parallel answers from several isolates, and lets all of them finish",
  async ({ sql, key, database_url }) => {
    await using server = await startServer(
      { DATABASE_URL: database_url, DENO_JOBS: "2" },
      "serve in parallel",
    );
    // Each counts its own requests, so that of two the same count comes twice.
    const counts: string[] = [];
    await until("both have answered", async () => {
      const response = await fetchAnew(`${server.url}/metrics`);
      const count = /^weir_http_requests_total.*"\/metrics".*$/m
        .exec(await response.text());
      counts.push(String(count));
      return response.ok && new Set(counts).size < counts.length;
    });

    const answered = await sql.begin(async (tx) => {
      await tx`lock table weir.event in access exclusive mode`;
      const asked = Array.from(
        { length: 6 },
        () =>
          fetch(`${server.url}/api/v1/events`, {
            method: "POST",
            headers: {
              authorization: `Bearer ${key}`,
              "content-type": "application/x-ndjson",
            },
            body: enrolments(1),
          }).then((response) => response.json()),
      );
      await until("all wait for the lock", async () => {
        const [row] = await sql`
          select count(*)::int as waiting from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`;
        return row!.waiting === asked.length;
      });
      server.process.kill("SIGTERM");
      await until("it drains", () => server.log().includes('"draining"'));
      return asked;
    });
    for (const { accepted } of await Promise.all(answered)) {
      strictEqual(accepted, 1);
    }
    strictEqual((await endOf(server.process)).code, 0);
    await server[Symbol.asyncDispose]();
    const lines = server.log().trim().split("\n");
    for (const line of lines.filter((line) => line.startsWith("{"))) {
      JSON.parse(line);
    }
    strictEqual(lines.filter((line) => line.includes('"stopped"')).length, 2);
  },
);
