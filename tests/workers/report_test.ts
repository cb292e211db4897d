/**
 * Reports by schedule: planned once, sent at least once, to nobody who is not meant.
 *
 * @module
 */

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import { Webhook } from "standardwebhooks";
import { planReports, REST_SECONDS } from "../../db/reports.ts";
import { DELIVERIES_FAILED_MAX } from "../../db/schema.ts";
import { postgresStore } from "../../db/store.ts";
import { isPublic, sendNotice } from "../../workers/_webhook.ts";
import { createExportJob, PrintError } from "../../workers/export.ts";
import { createReportJob } from "../../workers/report.ts";
import { dbTest, until, type World } from "../harness.ts";
import {
  assertInvalid,
  assertProblem,
  enrolled,
  post,
  put,
  send,
  WORKFLOW,
} from "../routes/_requests.ts";
import { serve } from "../serve.ts";
import { within } from "../within.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/reports`;
const NEVER = new AbortController().signal;

/** What a receiver was sent. */
interface Received {
  headers: Record<string, string>;
  body: string;
}

/** A receiver that answers as it is told to. */
function receiver(answer: () => Response | Promise<Response>) {
  const received: Received[] = [];
  const server = serve(async (request) => {
    const headers = Object.fromEntries(request.headers);
    received.push({ headers, body: await request.text() });
    return await answer();
  });
  return { ...server, received, url: `${server.url}/hook?a=b` };
}

/** Works until nothing waits. */
async function work(
  { sql, work, clock }: World,
  print = () => Promise.resolve(new TextEncoder().encode("%PDF")),
): Promise<void> {
  const now = () => clock.now;
  const exporting = createExportJob({
    store: postgresStore(sql),
    renderReport: ({ workflowName }) => workflowName,
    print,
    now,
  });
  const reporting = createReportJob({
    webhook: { allowPrivate: true, deadlineMs: 2_000 },
    publicUrl: () => Promise.resolve("http://weir.test"),
    now,
  });
  const deps = { sql: work, signal: NEVER };
  await reporting.run(deps);
  await exporting.run(deps).catch(() => {});
  await reporting.run(deps);
}

/** What a page of the docs has to offer. */
async function snippetOf(page: string, name: string) {
  const url = new URL(`../../docs/${page}`, import.meta.url);
  const text = await Deno.readTextFile(url);
  const code = [...text.matchAll(/```ts\n([^]*?)```/g)]
    .map(([, code]) => code!).find((code) => code.includes(name))!;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const buffer = `import { Buffer } from "node:buffer";\n`;
    await Deno.writeTextFile(file, buffer + code);
    return await import(`file://${file}`);
  } finally {
    await Deno.remove(file);
  }
}

async function order(world: World, url: string, more = {}) {
  const json = { every: "week", format: "csv", url, ...more };
  const added = await send(world, "POST", PATH, { json });
  strictEqual(added.status, 201, added.text);
  return added.json;
}

async function listed(world: World) {
  return (await send(world, "GET", PATH)).json.reports;
}

/** Lets what rests be tried now. */
async function hurry({ sql }: World): Promise<void> {
  await sql`update weir.report_delivery set not_before = now()`;
  await sql`update weir.export_job set not_before = now()`;
}

dbTest("a report is due by the account's clock", async ({ sql }) => {
  for (
    const [every, hour, zone, now, due] of [
      // 2026-06-15 is a Monday.
      ["week", 6, "UTC", "2026-06-15T05:59:59Z", "2026-06-15T06:00:00Z"],
      ["week", 6, "UTC", "2026-06-15T06:00:00Z", "2026-06-22T06:00:00Z"],
      ["week", 0, "Asia/Tokyo", "2026-06-15T06:00:00Z", "2026-06-21T15:00:00Z"],
      ["month", 6, "UTC", "2026-06-15T06:00:00Z", "2026-07-01T06:00:00Z"],
      // Clocks went forward on the 29th, back on the 25th.
      [
        "week",
        6,
        "Europe/Paris",
        "2026-03-25T00:00:00Z",
        "2026-03-30T04:00:00Z",
      ],
      [
        "week",
        6,
        "Europe/Paris",
        "2026-10-20T00:00:00Z",
        "2026-10-26T05:00:00Z",
      ],
      [
        "month",
        2,
        "America/Havana",
        "2026-10-31T12:00:00Z",
        "2026-11-01T07:00:00Z",
      ],
    ] as [string, number, string, string, string][]
  ) {
    const [row] = await sql<[{ due: Date }]>`
      select weir.due_after(${every}, ${hour}, ${zone}, ${now}::timestamptz) as due`;
    strictEqual(row.due.toISOString(), new Date(due).toISOString(), zone);
  }
  const [week, month] = await Promise.all(
    ["week", "month"].map(async (every) =>
      (await sql`
      select first::text, last::text
      from weir.report_period(${every}, 'Asia/Tokyo', '2026-05-31T15:00:00Z')`)[
        0
      ]
    ),
  );
  deepStrictEqual({ ...week }, { first: "2026-05-25", last: "2026-05-31" });
  deepStrictEqual({ ...month }, { first: "2026-05-01", last: "2026-05-31" });
});

dbTest("a report is made and told when it is due, once", async (world) => {
  await put(world);
  await post(world, enrolled({ occurred_at: "2026-06-10T12:00:00Z" }));
  await world.sql`select weir.fold()`;
  await using to = receiver(() => new Response(null, { status: 204 }));
  const { secret, ...report } = await order(world, to.url, {
    granularity: "weekly",
  });
  match(secret, /^whsec_/);
  strictEqual(report.due_at, "2026-06-22T06:00:00.000Z");
  deepStrictEqual(await listed(world), [report]);

  await work(world);
  strictEqual(to.received.length, 0);
  world.clock.now = new Date("2026-06-22T06:00:00Z");
  // Several plan at once; one does.
  const begun = await Promise.all(
    [1, 2, 3].map(() => planReports(world.work, world.clock.now)),
  );
  strictEqual(begun.reduce((sum, one) => sum + one), 1);
  await work(world);
  await work(world);
  strictEqual(to.received.length, 1);

  const [{ headers, body }] = to.received as [Received];
  match(headers["webhook-id"]!, /^msg_[0-9a-f]{32}$/);
  // As its makers' client verifies it, by the clock of this machine.
  const { type, data } = new Webhook(secret).verify(body, headers) as {
    type: string;
    data: Record<string, string> & { file: Record<string, string> };
  };
  strictEqual(type, "report.ready");
  // And as our own page says how.
  const { isOurs } = await snippetOf("exports.md", "isOurs");
  strictEqual(isOurs(secret, new Headers(headers), body), true);
  strictEqual(isOurs(secret, new Headers(headers), `${body} `), false);
  const late = Date.now() + 400_000;
  strictEqual(isOurs(secret, new Headers(headers), body, late), false);
  strictEqual(data.start_date, "2026-06-15");
  strictEqual(data.end_date, "2026-06-21");
  strictEqual(data.workflow_name, "Welcome");
  // The link opens the file without a key, and the file is the one that was signed.
  const link = new URL(data.file.download_url!);
  world.clock.now = new Date();
  const file = await send(world, "GET", link.pathname + link.search, {
    key: null,
  });
  strictEqual(file.status, 200);
  strictEqual(
    createHash("sha256").update(file.text).digest("hex"),
    data.file.sha256,
  );
  match(file.text, /\r\n2026-06-15,/);
  world.clock.now = new Date("2026-06-22T06:00:00Z");
  const [{ deliveries, due_at }] = await listed(world);
  strictEqual(due_at, "2026-06-29T06:00:00.000Z");
  strictEqual(deliveries[0].status, "delivered");
  strictEqual(deliveries[0].http_status, 204);

  // By hand, besides: another notice under another id.
  const path = `${PATH}/${report.report_id}`;
  strictEqual((await send(world, "POST", `${path}/send`)).status, 202);
  await work(world);
  strictEqual(to.received.length, 2);
  ok(to.received[1]!.headers["webhook-id"] !== headers["webhook-id"]);
  for (let i = 0; i < 3; i++) await send(world, "POST", `${path}/send`);
  const busy = await send(world, "POST", `${path}/send`);
  assertProblem(busy, 429, "reports_busy");
  strictEqual((await send(world, "DELETE", path)).status, 204);
  await work(world);
  strictEqual(to.received.length, 2);
  assertProblem(await send(world, "DELETE", path), 404, "report_not_found");
});

dbTest("a delivery is another worker's when its own is lost", async (world) => {
  const { sql } = world;
  await put(world);
  let isHung = true;
  await using to = receiver(() => new Response());
  const { report_id } = await order(world, to.url);
  await send(world, "POST", `${PATH}/${report_id}/send`);
  const dying = new AbortController();
  const resolve = async () => {
    // It has the delivery, and is killed before it could tell that it was sent.
    while (isHung) await new Promise((resolve) => setTimeout(resolve, 5));
    return ["127.0.0.1"];
  };
  await sql`update weir.report set url = 'http://hooks.test/'`;
  await work(world);
  await hurry(world);
  const lost = createReportJob({
    webhook: { allowPrivate: true, resolve },
    publicUrl: () => Promise.resolve("http://weir.test"),
    now: () => world.clock.now,
  }).run({ sql: world.work, signal: dying.signal });
  await until("it has it", async () =>
    (await sql`
    select from weir.report_delivery where lease_until > now()`).length === 1);
  dying.abort(new Error("killed"));
  await lost.catch(() => {});
  isHung = false;
  await sql`update weir.report set url = ${to.url}`;
  await work(world);
  strictEqual(to.received.length, 0);
  await sql`update weir.report_delivery set lease_until = now() - interval '1 second'`;
  await work(world);
  await work(world);
  strictEqual(to.received.length, 1);
  const [{ delivery_id }] = await sql<[{ delivery_id: string }]>`
    select delivery_id from weir.report_delivery`;
  strictEqual(
    to.received[0]!.headers["webhook-id"],
    `msg_${delivery_id.replaceAll("-", "")}`,
  );
});

dbTest(
  "a receiver that hangs keeps nobody else's report waiting",
  async (world) => {
    await put(world);
    await using to = receiver(() => new Response());
    const hang = Promise.withResolvers<string[]>();
    for (const host of ["hangs.test", "well.test"]) {
      const url = `https://${host}:${new URL(to.url).port}/`;
      const { report_id } = await order(world, url);
      await send(world, "POST", `${PATH}/${report_id}/send`);
    }
    await work(world);
    await hurry(world);
    await world.sql`update weir.report set url = replace(url, 'https', 'http')`;
    await world.sql`update weir.report_delivery set lease_until = null`;
    const sending = createReportJob({
      webhook: {
        allowPrivate: true,
        resolve: (host) =>
          host === "hangs.test" ? hang.promise : Promise.resolve(["127.0.0.1"]),
      },
      publicUrl: () => Promise.resolve("http://weir.test"),
      now: () => world.clock.now,
    }).run({ sql: world.work, signal: NEVER });
    await until("the other is told", () => to.received.length === 1, 10);
    match(to.received[0]!.headers.host!, /^well\.test/);
    hang.resolve(["127.0.0.1"]);
    await sending;
    strictEqual(to.received.length, 2);
  },
);

dbTest("a report that fails is tried again, then disabled", async (world) => {
  const { sql } = world;
  await put(world);
  let status = 500;
  await using to = receiver(() => new Response("no", { status }));
  const { report_id } = await order(world, to.url);
  const path = `${PATH}/${report_id}`;
  const newest = async () => (await listed(world))[0].deliveries[0];
  for (let round = 1; round <= DELIVERIES_FAILED_MAX; round++) {
    await send(world, "POST", `${path}/send`);
    for (const rest of REST_SECONDS) {
      await work(world);
      const { status, next_attempt_at, error, attempts } = await newest();
      strictEqual(status, "sending");
      match(error, /the answer is 500/);
      strictEqual(attempts, REST_SECONDS.indexOf(rest) + 1);
      const waits = Date.parse(next_attempt_at) - Date.now();
      ok(waits > (rest - 60) * 1_000 && waits <= rest * 1_000, `${waits}`);
      await hurry(world);
    }
    await work(world);
    strictEqual((await newest()).status, "failed");
    const [{ failures, disabled_reason }] = await listed(world);
    strictEqual(failures, round);
    strictEqual(disabled_reason !== null, round === DELIVERIES_FAILED_MAX);
  }
  const ids = to.received.map(({ headers }) => headers["webhook-id"]);
  strictEqual(new Set(ids).size, DELIVERIES_FAILED_MAX);
  const [{ disabled_reason, due_at }] = await listed(world);
  match(disabled_reason, /the answer is 500/);
  strictEqual(due_at, null);
  world.clock.now = new Date("2026-06-23T00:00:00Z");
  strictEqual(await planReports(world.work, world.clock.now), 0);

  const enabled = await send(world, "POST", `${path}/enable`);
  strictEqual(enabled.json.due_at, "2026-06-29T06:00:00.000Z");
  strictEqual(enabled.json.failures, 0);
  // A receiver that says so is never asked again.
  status = 410;
  await send(world, "POST", `${path}/send`);
  await work(world);
  match((await listed(world))[0].disabled_reason, /the answer is 410/);

  // What cannot be made cannot be sent, and says so.
  status = 200;
  await sql`delete from weir.report`;
  const printed = await order(world, to.url, { format: "pdf" });
  await send(world, "POST", `${PATH}/${printed.report_id}/send`);
  for (let i = 0; i < 3; i++) {
    const refuse = () => Promise.reject(new PrintError("Cannot print: broken"));
    await work(world, refuse);
    await hurry(world);
  }
  await work(world);
  deepStrictEqual(
    [(await newest()).status, (await newest()).error],
    ["failed", "Cannot print: broken"],
  );
});

dbTest("POST …/reports refuses what it cannot send", async (world) => {
  await put(world);
  const ask = (json: object) => send(world, "POST", PATH, { json });
  const good = { every: "week", format: "csv", url: "https://hooks.test/" };
  assertInvalid(await ask({}), "every", "format", "url");
  for (const url of ["ftp://a.test", "https://a:b@a.test/", "nowhere"]) {
    assertInvalid(await ask({ ...good, url }), "url");
  }
  assertInvalid(await ask({ ...good, hour: 24 }), "hour");
  await world.sql`
    insert into weir.report (account_id, workflow_id, every, hour, request, url, secret, due_at)
    select account_id, workflow_id, 'week', 6, '{}', '', '', now()
    from weir.workflow, generate_series(1, 50)`;
  assertProblem(await ask(good), 409, "reports_full");
});

const NOTICE = { id: "msg_1", body: "{}", secret: new Uint8Array(32) };

Deno.test("sendNotice() reaches no private address, however it is written", async () => {
  await using to = receiver(() => new Response());
  const { port } = new URL(to.url);
  const hosts = [
    "127.0.0.1",
    "localhost",
    "localhost.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00::1]",
    "10.0.0.1",
    "169.254.169.254",
    "172.31.0.1",
    "192.168.1.1",
    "100.64.0.1",
  ];
  for (const host of hosts) {
    const url = `https://${host}:${port}/`;
    const options = { allowPrivate: false };
    const { status, problem } = await sendNotice(
      { ...NOTICE, url },
      options,
      NEVER,
    );
    strictEqual(status, null);
    match(problem!, /private address|not known/, host);
  }
  // One bad address of several is enough; and what is looked at is what is connected to.
  const answers = [["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]];
  let asked = 0;
  const resolve = () => Promise.resolve(answers[asked++]!);
  const rebinding = { ...NOTICE, url: `https://rebind.test:${port}/` };
  const refused = await sendNotice(
    rebinding,
    { allowPrivate: false, resolve },
    NEVER,
  );
  match(refused.problem!, /private address/);
  strictEqual(asked, 1);
  const plain = await sendNotice(
    { ...NOTICE, url: to.url },
    { allowPrivate: false },
    NEVER,
  );
  match(plain.problem!, /must begin with https/);
  strictEqual(to.received.length, 0);

  // Asked once, and then never again: the name may mean another by now.
  asked = 1;
  const allowed = await sendNotice(
    { ...NOTICE, url: `http://rebind.test:${port}/` },
    { allowPrivate: true, resolve },
    NEVER,
  );
  deepStrictEqual(allowed, { status: 200, problem: null });
  strictEqual(asked, 2);
  strictEqual(to.received[0]!.headers.host, `rebind.test:${port}`);
});

/** Keys of a name that an authority of its own has signed. */
async function certify(name: string) {
  const folder = await Deno.makeTempDir();
  const openssl = Deno.env.get("OPENSSL_PATH")!;
  const run = async (...args: string[]) => {
    const { success, stderr } = await new Deno.Command(openssl, {
      args,
      cwd: folder,
    }).output();
    ok(success, new TextDecoder().decode(stderr));
  };
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const names = `subjectAltName=DNS:${name}`;
  try {
    // deno-fmt-ignore
    await run("req", "-x509", ...ec, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem");
    // deno-fmt-ignore
    await run("req", "-x509", ...ec, "-subj", `/CN=${name}`, "-addext", names,
      "-addext", "basicConstraints=critical,CA:FALSE",
      "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem");
    const read = (file: string) => Deno.readTextFile(`${folder}/${file}`);
    const [ca, cert, key] = await Promise.all(
      ["ca.pem", "cert.pem", "key.pem"].map(read),
    );
    return { ca: ca!, cert: cert!, key: key! };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("sendNotice() tells nothing to who is not the name", async () => {
  const { ca, cert, key } = await certify("hooks.test");
  const asked: (string | null)[] = [];
  const received: string[] = [];
  const server = createServer({
    SNICallback: (name, done) => {
      asked.push(name);
      done(null, createSecureContext({ cert, key }));
    },
    cert,
    key,
  }, (request, response) => {
    received.push(request.headers.host!);
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const resolved: string[] = [];
  const sendTo = (host: string, caCerts?: string[]) =>
    sendNotice({ ...NOTICE, url: `https://${host}:${port}/` }, {
      allowPrivate: true,
      caCerts,
      // The name means another address to everybody else: only this one is connected to.
      resolve: (name) => {
        resolved.push(name);
        return Promise.resolve(["127.0.0.1"]);
      },
    }, NEVER);
  try {
    const sent = await sendTo("hooks.test", [ca]);
    deepStrictEqual(sent, { status: 200, problem: null });
    deepStrictEqual(asked, ["hooks.test"]);
    deepStrictEqual(received, [`hooks.test:${port}`]);

    const stranger = (await certify("hooks.test")).ca;
    for (
      const [host, caCerts, reason] of [
        // Signed by nobody that is trusted; by another of the same name; for another name.
        ["hooks.test", undefined, /UnknownIssuer|unknown/i],
        ["hooks.test", [stranger], /certificate/i],
        ["other.test", [ca], /not valid for name|NotValidForName/i],
        ["127.0.0.1", [ca], /not valid for name|NotValidForName/i],
      ] as const
    ) {
      const { status, problem } = await sendTo(host, caCerts && [...caCerts]);
      strictEqual(status, null, host);
      match(problem!, reason);
    }
    strictEqual(received.length, 1);
    deepStrictEqual(
      resolved,
      ["hooks.test", "hooks.test", "hooks.test", "other.test"],
    );
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
});

Deno.test("sendNotice() follows nothing and waits for nobody", async () => {
  const options = { allowPrivate: true, deadlineMs: 300 };
  await using other = receiver(() => new Response());
  await using to = receiver(() => Response.redirect(other.url, 307));
  const moved = await sendNotice({ ...NOTICE, url: to.url }, options, NEVER);
  strictEqual(moved.status, 307);
  match(moved.problem!, /redirects are not followed/);
  strictEqual(other.received.length, 0);

  const talks = ["", "SSH-2.0-OpenSSH\r\n", "x".repeat(4_000), "HTTP/1.1 "];
  for (const said of talks) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const taken = (async () => {
      using connection = await listener.accept();
      await connection.write(new TextEncoder().encode(said));
      const piece = new Uint8Array(1_024);
      while (await connection.read(piece).catch(() => null) !== null);
    })();
    const url = `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}/`;
    const { problem } = await sendNotice({ ...NOTICE, url }, options, NEVER);
    match(problem!, /nobody answered|is no HTTP/, said);
    await within("it has hung up", taken);
  }
  const { port } = new URL(other.url);
  const nobody = { ...NOTICE, url: `http://127.0.0.1:${Number(port) ^ 1}/` };
  strictEqual((await sendNotice(nobody, options, NEVER)).status, null);
});

Deno.test("isPublic() knows the public Internet", () => {
  for (
    const address of ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "2a00::1"]
  ) ok(isPublic(address), address);
  for (
    const address of [
      "",
      "host",
      "192.0.2.1",
      "198.19.255.255",
      "203.0.113.9",
      "224.0.0.1",
      "255.255.255.255",
      "::ffff:93.184.216.34",
      "2001:db8::1",
      "2001::1",
      "ff02::1",
      "fe80::1%eth0",
    ]
  ) ok(!isPublic(address), address);
});
