import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createSignInLink, SESSION_DAYS } from "../../db/access.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, type World } from "../harness.ts";
import { appWith, assertProblem, send, signIn } from "./_requests.ts";

function newLink({ sql, account }: World): Promise<string> {
  return createSignInLink(sql, account.account_id, {});
}

/** Follows a link, as a browser without a session. */
function follow(world: World, token: string, app = world.app) {
  return send(world, "GET", `/sign-in?token=${token}`, { key: null, app });
}

async function isSignedIn(world: World, headers: { cookie: string }) {
  const answer = await send(world, "GET", "/", { key: null, headers });
  return answer.status === 200;
}

dbTest(
  "GET /sign-in sets a cookie that scripts and other sites do not get",
  async (world) => {
    const answer = await follow(world, await newLink(world));
    strictEqual(answer.status, 303);
    strictEqual(answer.headers.get("location"), "/");
    strictEqual(answer.headers.get("cache-control"), "no-store");
    const [cookie, ...flags] = answer.headers.get("set-cookie")!.split("; ");
    match(cookie!, /^weir_session=[\w-]{43}$/);
    deepStrictEqual(flags.sort(), [
      "HttpOnly",
      `Max-Age=${SESSION_DAYS * 86_400}`,
      "Path=/",
      "SameSite=Lax",
    ]);
    ok(await isSignedIn(world, { cookie: cookie! }));
  },
);

dbTest(
  "GET /sign-in sets a secure cookie where we are reached by https",
  async (world) => {
    const app = appWith(world, { publicUrl: "https://weir.test" });
    const answer = await send(
      world,
      "GET",
      `/sign-in?token=${await newLink(world)}`,
      { key: null, app },
    );
    match(answer.headers.get("set-cookie")!, /; Secure\b/);
  },
);

dbTest(
  "GET /sign-in lets a link work once, also for 8 at once",
  async (world) => {
    const token = await newLink(world);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => follow(world, token)),
    );
    const statuses = answers.map(({ status }) => status).sort();
    deepStrictEqual(statuses, [303, ...new Array(7).fill(410)]);
    const again = await follow(world, token);
    strictEqual(again.status, 410);
    strictEqual(again.headers.get("set-cookie"), null);
    match(again.headers.get("content-type")!, /^text\/html/);
  },
);

dbTest("GET /sign-in refuses links that are too old or none", async (world) => {
  const token = await newLink(world);
  await world.sql`update weir.sign_in_link set expires_at = now()`;
  for (const wrong of [token, "", "x", "%00", "%ff", `${token}A`]) {
    const answer = await follow(world, wrong);
    strictEqual(answer.status, 410);
    strictEqual(answer.headers.get("set-cookie"), null);
  }
  const bare = await send(world, "GET", "/sign-in", { key: null });
  strictEqual(bare.status, 200);
  match(bare.text, /task sign-in/);
});

dbTest("POST /sign-out ends the session everywhere", async (world) => {
  const headers = await signIn(world);
  const other = await signIn(world);
  const origin = SAME_ORIGIN;
  const answer = await send(world, "POST", "/sign-out", {
    key: null,
    headers: { ...headers, ...origin },
  });
  strictEqual(answer.status, 303);
  strictEqual(answer.headers.get("location"), "/sign-in");
  match(answer.headers.get("set-cookie")!, /^weir_session=; Max-Age=0/);
  strictEqual(await isSignedIn(world, headers), false);
  ok(await isSignedIn(world, other));

  const bare = await send(world, "POST", "/sign-out", {
    key: null,
    headers: origin,
  });
  strictEqual(bare.status, 303);
});

dbTest("POST /sign-out does nothing for another site", async (world) => {
  const headers = await signIn(world);
  const others: Record<string, string>[] = [
    { origin: "https://evil.test" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ];
  for (const foreign of others) {
    const answer = await send(world, "POST", "/sign-out", {
      key: null,
      headers: { ...headers, ...foreign },
    });
    assertProblem(answer, 403, "cross_site_request");
  }
  ok(await isSignedIn(world, headers));
});

dbTest("sessions and links are kept as hashes alone", async (world) => {
  const token = await newLink(world);
  const { cookie } = await signIn(world);
  const [, , keySecret] = /^weir_([0-9a-f]+)_(.+)$/.exec(world.key)!;
  const secrets = [token, cookie.split("=")[1]!, keySecret!];
  for (const table of ["sign_in_link", "session", "api_key"]) {
    const rows = await world.sql`
      select to_jsonb(t) as row from ${world.sql(`weir.${table}`)} t`;
    ok(rows.length > 0);
    const text = JSON.stringify(rows);
    for (const secret of secrets) {
      const bytes = new TextEncoder().encode(secret);
      ok(!text.includes(secret) && !text.includes(bytes.toHex()), table);
    }
  }
});

dbTest("HEAD /sign-in does not use the link up", async (world) => {
  const token = await newLink(world);
  const path = `/sign-in?token=${token}`;
  await send(world, "HEAD", path, { key: null });
  strictEqual((await send(world, "GET", path, { key: null })).status, 303);
});
