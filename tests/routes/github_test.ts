import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { createHmac } from "node:crypto";
import examples from "@octokit/webhooks-examples" with { type: "json" };
import { createAccount } from "../../db/access.ts";
import { fold } from "../../db/events.ts";
import { createWebhook } from "../../db/webhooks.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { type Answer, assertProblem, send } from "./_requests.ts";

// deno-lint-ignore no-explicit-any
type Payload = Record<string, any>;

/** The payloads that GitHub's community has collected, of an event and an action. */
function examplesOf(event: string, action: string): Payload[] {
  return (examples as unknown as { name: string; examples: Payload[] }[])
    .find(({ name }) => name === event)!.examples
    .filter((example) => example.action === action);
}

async function deliver(
  world: World,
  { webhook_id, secret }: { webhook_id: string; secret: string },
  event: string,
  payload: Payload,
  change: { body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const body = change.body ?? JSON.stringify(payload);
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  return await send(world, "POST", `/webhooks/github/${webhook_id}`, {
    key: null,
    body,
    headers: {
      "content-type": "application/json",
      "x-github-event": event,
      "x-hub-signature-256": `sha256=${signature}`,
      ...change.headers,
    },
  });
}

/** Minutes of a run that began an hour before the test's clock. */
function minute(n: number): string {
  return new Date(NOW.getTime() + (n - 60) * 60_000).toISOString()
    .replace(".000", "");
}

const RUN = examplesOf("workflow_run", "completed")[0]!;
const JOB = examplesOf("workflow_job", "completed")
  .find(({ workflow_job }) => workflow_job.conclusion === "success")!;

/** A run that succeeds, or not, in the words of GitHub's own example. */
function runOf(id: number, action: string, change: Payload = {}): Payload {
  return {
    ...RUN,
    action,
    workflow: { ...RUN.workflow, name: "CI" },
    workflow_run: {
      ...RUN.workflow_run,
      id,
      event: "push",
      run_started_at: minute(0),
      updated_at: minute(action === "completed" ? 10 : 0),
      conclusion: action === "completed" ? "success" : null,
      ...change,
    },
  };
}

function jobOf(run_id: number, name: string, change: Payload = {}): Payload {
  return {
    ...JOB,
    repository: RUN.repository,
    action: "completed",
    workflow_job: {
      ...JOB.workflow_job,
      id: run_id * 10 + name.length,
      run_id,
      run_attempt: 1,
      workflow_name: "CI",
      name,
      head_sha: RUN.workflow_run.head_sha,
      started_at: minute(1),
      completed_at: minute(4),
      conclusion: "success",
      ...change,
    },
  };
}

dbTest(
  "POST /webhooks/github makes a repository's CI a workflow with funnel and times",
  async (world) => {
    const webhook = await createWebhook(world.sql, world.account.account_id);
    const deliveries: [string, Payload][] = [
      ["workflow_run", runOf(1, "requested")],
      ["workflow_job", { ...jobOf(1, "test"), action: "in_progress" }],
      ["workflow_job", jobOf(1, "test")],
      ["workflow_job", jobOf(1, "deploy", { completed_at: minute(2) })],
      ["workflow_run", runOf(1, "completed")],
      // The end is told before the rest of a run that broke.
      ["workflow_run", runOf(2, "completed", { conclusion: "failure" })],
      ["workflow_job", jobOf(2, "test", { conclusion: "failure" })],
      ["workflow_job", jobOf(2, "deploy", { conclusion: "skipped" })],
      ["workflow_run", runOf(3, "completed", { conclusion: "cancelled" })],
      // A second try is another execution of the same commit.
      ["workflow_run", runOf(3, "in_progress", { run_attempt: 2 })],
    ];
    for (const again of [false, true]) {
      for (const [event, payload] of deliveries) {
        const answer = await deliver(world, webhook, event, payload);
        strictEqual(answer.status, 202, answer.text);
        strictEqual(answer.json.rejected, 0, answer.text);
        if (again) strictEqual(answer.json.accepted, 0);
      }
    }
    await fold(world.sql);

    const { json: list } = await send(world, "GET", "/api/v1/workflows");
    strictEqual(list.workflows.length, 1);
    const { workflow_id, name } = list.workflows[0];
    strictEqual(name, `${RUN.repository.full_name}: CI`);
    const path = `/api/v1/workflows/${workflow_id}/analytics`;
    const range = "start_date=2026-06-01&end_date=2026-06-15";
    const { json: analytics } = await send(world, "GET", `${path}?${range}`);
    const { summary } = analytics;
    deepStrictEqual(
      [summary.total_enrolled, summary.completed, summary.in_progress],
      [4, 1, 1],
    );
    strictEqual(summary.average_duration_seconds, 600);
    deepStrictEqual(
      summary.exit_reasons.map(({ reason, count }: Payload) => [reason, count]),
      [["cancelled", 1], ["completed", 1], ["error", 1]],
    );
    const { json: funnel } = await send(
      world,
      "GET",
      `${path}/funnel?${range}`,
    );
    deepStrictEqual(
      funnel.funnel_steps.map((step: Payload) => [
        step.step_name,
        step.entered,
        step.completed,
        step.dropped_off,
        step.average_time_seconds,
      ]),
      [["test", 2, 1, 1, 180], ["deploy", 1, 1, 0, 60]],
    );
    const { json: actions } = await send(
      world,
      "GET",
      `${path}/actions?${range}`,
    );
    deepStrictEqual(
      actions.actions.map((action: Payload) => [
        action.action_name,
        action.executions,
        action.success_rate,
      ]),
      [["test", 2, 50], ["deploy", 1, 100]],
    );
  },
);

dbTest("POST /webhooks/github reads every payload there is", async (world) => {
  const webhook = await createWebhook(world.sql, world.account.account_id);
  let accepted = 0;
  let ids = 0;
  for (
    const { name, examples: payloads } of examples as unknown as {
      name: string;
      examples: Payload[];
    }[]
  ) {
    for (const payload of payloads.slice(0, 12)) {
      // They are of long ago: the clock goes back to each.
      const { workflow_run: run, workflow_job: job } = payload;
      // Some were written over the same job.
      if (job) job.id = ++ids;
      const then = run?.updated_at ?? job?.started_at;
      world.clock.now = then ? new Date(Date.parse(then) + 60_000) : NOW;
      const answer = await deliver(world, webhook, name, payload);
      strictEqual(answer.status, 202, `${name}: ${answer.text}`);
      accepted += answer.json.accepted;
    }
  }
  const [row] = await world.sql<[{ runs: number; jobs: number }]>`
    select count(distinct execution_id) filter (where type = 'execution.enrolled')::int as runs,
      count(distinct subject_uuid)::int as jobs
    from weir.event`;
  // Its five runs are of two ids; of its jobs three have a workflow's name and have begun.
  strictEqual(row.runs, 2);
  strictEqual(row.jobs, 3);
  strictEqual(accepted > 0, true);
});

dbTest("POST /webhooks/github believes signatures alone", async (world) => {
  const { account_id } = world.account;
  const webhook = await createWebhook(world.sql, account_id);
  const other = await createWebhook(
    world.sql,
    (await createAccount(world.sql, "Other", "UTC")).account_id,
  );
  const payload = runOf(1, "requested");
  const sign = (secret: string, algorithm = "sha256") =>
    createHmac(algorithm, secret).update(JSON.stringify(payload)).digest("hex");
  const forged = [
    "",
    "sha256=",
    `sha256=${"0".repeat(64)}`,
    `sha256=${sign(other.secret)}`,
    `sha256=${sign(webhook.secret).toUpperCase()}`,
    `sha1=${sign(webhook.secret, "sha1")}`,
    sign(webhook.secret),
  ];
  for (const signature of forged) {
    const answer = await deliver(world, webhook, "workflow_run", payload, {
      headers: { "x-hub-signature-256": signature },
    });
    assertProblem(answer, 401, "unauthenticated", signature);
  }
  const changed = await deliver(world, webhook, "workflow_run", payload, {
    body: JSON.stringify(payload) + " ",
    headers: { "x-hub-signature-256": `sha256=${sign(webhook.secret)}` },
  });
  assertProblem(changed, 401, "unauthenticated");
  for (const webhook_id of ["0".repeat(32), "'", "%00"]) {
    const answer = await deliver(
      world,
      { ...webhook, webhook_id },
      "workflow_run",
      payload,
    );
    assertProblem(answer, 401, "unauthenticated", webhook_id);
  }

  // Two accounts may watch one repository, and do not meet.
  for (const one of [webhook, other]) {
    const answer = await deliver(world, one, "workflow_run", payload);
    deepStrictEqual([answer.status, answer.json.accepted], [202, 1]);
  }
  const form = new URLSearchParams({ payload: JSON.stringify(payload) });
  const asForm = await deliver(world, webhook, "workflow_run", payload, {
    body: form.toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
  deepStrictEqual([asForm.status, asForm.json.duplicates], [202, 1]);
  assertProblem(
    await deliver(world, webhook, "workflow_run", payload, { body: "{" }),
    400,
    "invalid_json",
  );
  await world.sql`
    update weir.webhook set revoked_at = now() where account_id = ${account_id}`;
  const revoked = await deliver(world, webhook, "workflow_run", payload);
  assertProblem(revoked, 401, "unauthenticated");
});
