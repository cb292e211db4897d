import { ok, strictEqual } from "node:assert/strict";
import { dbTest } from "../harness.ts";
import { assertProblem, send } from "./_requests.ts";

dbTest(
  "errors below /api/ are problems whatever is accepted",
  async (world) => {
    const headers = { accept: "text/html, image/gif, */*; q=.2" };
    for (
      const [method, path, status, code] of [
        ["GET", "/api/v1/workflows", 401, "unauthenticated"],
        ["GET", "/api/v1/nothing", 404, "not_found"],
        ["DELETE", "/api/v1/events", 405, "method_not_allowed"],
      ] as const
    ) {
      const answer = await send(world, method, path, { key: null, headers });
      assertProblem(answer, status, code);
    }
    const page = await send(world, "GET", "/nothing", { key: null, headers });
    strictEqual(page.status, 404);
    ok(page.text.startsWith("<!doctype html>"));
  },
);
