import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { EXPORTS_OPEN_MAX } from "../../db/schema.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, type World } from "../harness.ts";
import {
  type Answer,
  assertProblem,
  DEFINITION,
  put,
  send,
  signIn,
  WORKFLOW,
} from "./_requests.ts";

const PATH = `/workflows/${WORKFLOW}/exports`;

/** Sends the form as a browser does. */
function submit(
  world: World,
  headers: Record<string, string>,
  fields: Record<string, string>,
  path = PATH,
): Promise<Answer> {
  return send(world, "POST", path, {
    key: null,
    body: new URLSearchParams(fields),
    headers: { accept: "text/html", ...SAME_ORIGIN, ...headers },
  });
}

const MAKE = {
  do: "make",
  kind: "numbers_csv",
  start_date: "2026-06-01",
  end_date: "2026-06-15",
  tz: "Asia/Kathmandu",
  compare: "year",
  status: "active",
  bom: "true",
};

async function jobs(world: World) {
  const { json } = await send(world, "GET", `/api/v1${PATH}`);
  return json.exports;
}

dbTest(
  "POST /workflows/{id}/exports asks for what the form says",
  async (world) => {
    await put(world);
    const browser = await signIn(world, { userId: "ada", role: "admin" });
    const view = `${PATH}?range=7d&kind=report`;
    const made = await submit(world, browser, MAKE, view);
    strictEqual(made.status, 303, made.text);
    strictEqual(made.headers.get("location"), view);
    const [job] = await jobs(world);
    strictEqual(job.requested_by, "ada");
    const { status: _, do: __, kind: ___, ...numbers } = MAKE;
    for (const [name, value] of Object.entries(numbers)) {
      strictEqual(job.request[name], value);
    }
    strictEqual(job.request.status, undefined);
    // It waits in the page, which comes again by itself where nothing runs.
    const page = await send(world, "GET", view, {
      key: null,
      headers: browser,
    });
    match(page.text, /<noscript><meta http-equiv="refresh" content="3"/);
    match(page.text, /Waiting/);

    // What has expired is no link any more, though it is not forgotten yet.
    await world.sql`
      update weir.export_job set status = 'done', rows = 3, bytes = 9, sha256 = '\\x00',
        finished_at = now(), expires_at = now() + interval '1 minute'`;
    const files = async () =>
      (await send(world, "GET", PATH, { key: null, headers: browser })).text;
    match(await files(), /Done<.*\/download"/s);
    await world.sql`update weir.export_job set expires_at = now()`;
    match(await files(), /Expired</);
    doesNotMatch(await files(), /\/download"/);
    await world.sql`
      update weir.export_job set status = 'queued', expires_at = null`;

    const executions = { ...MAKE, kind: "executions_json", granularity: "x" };
    strictEqual((await submit(world, browser, executions)).status, 303);
    const [{ request }] = await jobs(world);
    strictEqual(request.rows, "executions");
    strictEqual(String(request.status), "active");
    strictEqual(request.granularity, undefined);

    const again = { do: "give_up", job_id: job.job_id };
    strictEqual((await submit(world, browser, again)).status, 303);
    strictEqual((await jobs(world)).at(-1).status, "cancelled");
    await submit(world, browser, { do: "again", job_id: job.job_id });
    strictEqual((await jobs(world)).at(-1).status, "queued");
  },
);

dbTest("the page of exports looks after reports by schedule", async (world) => {
  await put(world);
  const browser = await signIn(world);
  const listed = async () =>
    (await send(world, "GET", `/api/v1/workflows/${WORKFLOW}/reports`)).json
      .reports;
  const fields = { do: "order", every: "month", hour: "7", format: "pdf" };
  const wrong = await submit(world, browser, { ...fields, url: "ftp://a" });
  strictEqual(wrong.status, 400);
  match(wrong.text, /url: Must be https/);
  const url = 'https://hooks.test/"><script>';
  const ordered = await submit(world, browser, { ...fields, url });
  strictEqual(ordered.status, 200, ordered.text);
  match(ordered.text, /shown this once: <code>whsec_[\w+/=]{44}</);
  doesNotMatch(ordered.text, /<script>/);
  const [{ report_id, hour, every }] = await listed();
  strictEqual(`${every} ${hour}`, "month 7");

  await world.sql`
    update weir.report set disabled_at = now(), reason = 'Cannot send: nobody answers'`;
  const page = await send(world, "GET", PATH, { key: null, headers: browser });
  match(page.text, /Cannot send: nobody answers/);
  doesNotMatch(page.text, /whsec_/);
  const act = async (name: string) =>
    (await submit(world, browser, { do: name, report_id })).status;
  strictEqual(await act("enable"), 303);
  strictEqual((await listed())[0].disabled_at, null);
  for (let i = 0; i < 3; i++) strictEqual(await act("send"), 303);
  strictEqual(await act("send"), 429);
  strictEqual((await listed())[0].deliveries.length, 3);
  strictEqual(await act("remove"), 303);
  strictEqual(await act("remove"), 404);
});

dbTest(
  "POST /workflows/{id}/exports says why nothing is made",
  async (world) => {
    await put(world, { ...DEFINITION, owner_id: "ada" });
    const admin = await signIn(world);
    for (
      const [fields, status, text] of [
        [{ ...MAKE, end_date: "2026-05-01" }, 400, /could not be asked for/],
        [{ ...MAKE, kind: "everything" }, 400, /cannot be read/],
        [{ do: "again", job_id: WORKFLOW }, 404, /nothing here/],
      ] as const
    ) {
      const refused = await submit(world, admin, fields);
      strictEqual(refused.status, status, refused.text);
      match(refused.text, text);
    }
    // Names of others are text in it, whatever they are.
    const evil = await send(
      world,
      "GET",
      `${PATH}?kind="><script>&rows=executions&reason=x&text="><b>`,
      { key: null, headers: admin },
    );
    doesNotMatch(evil.text, /<script>|<b>"/);

    for (let i = 0; i < EXPORTS_OPEN_MAX; i++) {
      strictEqual((await submit(world, admin, MAKE)).status, 303);
    }
    const busy = await submit(world, admin, MAKE);
    strictEqual(busy.status, 429);
    match(busy.text, /as many files under way as it may/);

    // Who may not, and who is not one of our pages.
    const bob = await signIn(world, { userId: "bob", role: "member" });
    strictEqual((await submit(world, bob, MAKE)).status, 403);
    const other = { ...admin, origin: "https://evil.test" };
    strictEqual((await submit(world, other, MAKE)).status, 403);
    const nobody = await submit(world, {}, MAKE);
    strictEqual(nobody.status, 401);
    match(nobody.text, /You are signed out/);
    assertProblem(
      await send(world, "POST", PATH, { key: null }),
      401,
      "unauthenticated",
    );
    // What was asked for and refused is in the access log.
    await Promise.all(world.atEnd.splice(0).map((end) => end()));
    const log = await world.sql<{ status: number; count: number }[]>`
      select status, count(*)::int from weir.access_log
      where action = 'POST /workflows/:id/exports' group by status`;
    const count = (status: number) =>
      log.find((row) => row.status === status)?.count;
    strictEqual(count(303), EXPORTS_OPEN_MAX);
    strictEqual(count(429), 1);
    ok(count(403)! >= 1);
  },
);
