import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { refreshAll } from "../../db/jobs.ts";
import { SCOPES } from "../../db/schema.ts";
import { dbTest } from "../harness.ts";
import {
  assertProblem,
  enrolled,
  post,
  put,
  send,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics/refresh`;

dbTest(
  "POST …/refresh queues once and tells what became of it",
  async (world) => {
    await put(world);
    await post(world, enrolled());
    const queued = await send(world, "POST", PATH);
    strictEqual(queued.status, 202);
    const { job_id, estimated_completion_seconds, ...rest } = queued.json;
    deepStrictEqual(rest, { status: "queued" });
    match(job_id, /^[\da-f]{8}-[\da-f-]{27}$/);
    ok(Number.isInteger(estimated_completion_seconds));
    ok(estimated_completion_seconds >= 1 && estimated_completion_seconds < 60);
    strictEqual(queued.headers.get("location"), `${PATH}/${job_id}`);
    strictEqual((await send(world, "POST", PATH)).json.job_id, job_id);

    const waiting = await send(world, "GET", `${PATH}/${job_id}`);
    strictEqual(waiting.status, 200);
    strictEqual(waiting.json.status, "queued");
    strictEqual(waiting.json.finished_at, null);
    await refreshAll(world.sql);
    const done = await send(world, "GET", `${PATH}/${job_id}`);
    strictEqual(done.json.status, "done");
    match(done.json.finished_at, /Z$/);
    strictEqual((await send(world, "GET", "/readyz")).json.fold_lag_seconds, 0);
    ok((await send(world, "POST", PATH)).json.job_id !== job_id);
  },
);

dbTest(
  "GET …/refresh/{job_id} knows no job of another workflow",
  async (world) => {
    await put(world);
    const { json } = await send(world, "POST", PATH);
    const { account_id } = await createAccount(world.sql, "Other", "UTC");
    const key = await createKey(world.sql, account_id, { scopes: [...SCOPES] });
    const other = PATH.replace(WORKFLOW, crypto.randomUUID());
    await put(world, { name: "Other" }, other.split("/")[4]!, { key });
    const stolen = await send(world, "GET", `${other}/${json.job_id}`, { key });
    assertProblem(stolen, 404, "not_found");
    const none = await send(world, "GET", `${PATH}/${crypto.randomUUID()}`);
    assertProblem(none, 404, "not_found");
  },
);
