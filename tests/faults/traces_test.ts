import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createSignInLink } from "../../db/access.ts";
import { dbTest, startServer, until } from "../harness.ts";
import { put, RANGE, WORKFLOW } from "../routes/_requests.ts";
import { serve } from "../serve.ts";

/** A span, as OTLP writes it in JSON. */
interface Span {
  name: string;
  traceId: string;
  attributes: { key: string; value: { stringValue?: string } }[];
}

/** Takes spans, as a collector does. */
function startCollector() {
  let text = "";
  const spans: Span[] = [];
  const server = serve(async (request) => {
    const body = await request.text();
    text += body;
    for (const { scopeSpans } of JSON.parse(body).resourceSpans ?? []) {
      for (const one of scopeSpans) spans.push(...one.spans);
    }
    return Response.json({});
  });
  return { ...server, spans, text: () => text };
}

function attributesOf({ attributes }: Span): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue]),
  );
}

dbTest(
  "OTEL_DENO sends a span a request, called by its route, in the caller's trace, and no address",
  async (world) => {
    await put(world);
    const token = await createSignInLink(
      world.sql,
      world.account.account_id,
      {},
    );
    const trace = "0af7651916cd43dd8448eb211c80319c";
    await using collector = startCollector();
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "50",
    }, "serve");
    const ask = async (path: string) => {
      const response = await fetch(server.url + path, {
        headers: {
          authorization: `Bearer ${world.key}`,
          traceparent: `00-${trace}-b7ad6b7169203331-01`,
        },
      });
      await response.body?.cancel();
      return [response.status, response.headers.get("x-request-id")];
    };
    const path = `/api/v1/workflows/${WORKFLOW}/analytics?${RANGE}`;
    // The second is sent again, by another way.
    deepStrictEqual(await ask(path), [200, trace]);
    deepStrictEqual(await ask(path), [200, trace]);
    deepStrictEqual(await ask(`/sign-in?token=${token}`), [200, trace]);
    deepStrictEqual(await ask(`/share/${token}`), [404, trace]);
    const ours = () =>
      collector.spans.filter(({ traceId }) => traceId === trace);
    await until("all spans have come", () => ours().length >= 4);

    const route = "/api/v1/workflows/:id/analytics";
    deepStrictEqual(
      ours().map(({ name }) => name).sort(),
      [`GET ${route}`, `GET ${route}`, "GET /share/:token", "GET /sign-in"]
        .sort(),
    );
    for (const span of ours()) {
      const attributes = attributesOf(span);
      strictEqual(`GET ${attributes["http.route"]}`, span.name);
      ok(attributes["http.response.status_code"]);
    }
    for (const secret of [token, world.key, WORKFLOW, "start_date"]) {
      ok(!collector.text().includes(secret), secret);
    }
  },
);
