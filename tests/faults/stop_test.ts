import {
  deepStrictEqual,
  match,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { NDJSON_CHUNK_EVENTS } from "../../db/schema.ts";
import { dbTest, startServer, until } from "../harness.ts";

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
      const { code: exit, signal: killedBy } = await server.process.status;
      deepStrictEqual([exit, killedBy], [0, null]);
      match(server.log(), /"message":"stopped"/);
    },
  );
}

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
