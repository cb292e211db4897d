import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createSignInLink, SESSION_DAYS } from "../../db/access.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, type World } from "../harness.ts";
import { appWith, assertProblem, press, send, signIn } from "./_requests.ts";

const OTHER_SITES: Record<string, string>[] = [
  { origin: "https://evil.test" },
  { origin: "null" },
  { "sec-fetch-site": "cross-site" },
  { "sec-fetch-site": "same-site" },
];

function newLink({ sql, account }: World): Promise<string> {
  return createSignInLink(sql, account.account_id, {});
}

/** Opens a link, as whoever finds it does. */
function open(world: World, token: string, method = "GET") {
  return send(world, method, `/sign-in?token=${token}`, { key: null });
}

async function isSignedIn(world: World, headers: { cookie: string }) {
  const answer = await send(world, "GET", "/", { key: null, headers });
  return answer.status === 200;
}

dbTest(
  "GET /sign-in uses no link up, however often it is opened",
  async (world) => {
    const token = await createSignInLink(world.sql, world.account.account_id, {
      userId: "<ada>",
      role: "member",
    });
    for (const method of ["HEAD", "GET", "GET", "OPTIONS"]) {
      const answer = await open(world, token, method);
      strictEqual(answer.headers.get("set-cookie"), null);
      if (method !== "GET") continue;
      strictEqual(answer.status, 200);
      strictEqual(answer.headers.get("cache-control"), "no-store");
      match(answer.text, /<bdi>Test<\/bdi>/);
      match(answer.text, /&lt;ada/);
      match(answer.text, /<form method="post" action="\/sign-in">/);
    }
    strictEqual((await press(world, token)).status, 303);
  },
);

dbTest(
  "POST /sign-in sets a cookie that scripts and other sites do not get",
  async (world) => {
    const answer = await press(world, await newLink(world));
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
  "POST /sign-in sets a secure cookie where we are reached by https",
  async (world) => {
    const publicUrl = "https://weir.test";
    const answer = await press(world, await newLink(world), {
      app: appWith(world, { publicUrl }),
      headers: { origin: publicUrl },
    });
    match(answer.headers.get("set-cookie")!, /^__Host-weir_session=.*; Secure/);
  },
);

dbTest(
  "POST /sign-in lets a link work once, also for 8 at once",
  async (world) => {
    const token = await newLink(world);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => press(world, token)),
    );
    const statuses = answers.map(({ status }) => status).sort();
    deepStrictEqual(statuses, [303, ...new Array(7).fill(410)]);
    for (const again of [await press(world, token), await open(world, token)]) {
      strictEqual(again.status, 410);
      strictEqual(again.headers.get("set-cookie"), null);
      match(again.text, /does not work any more/);
    }
  },
);

dbTest("links that are too old or none are told nothing", async (world) => {
  const token = await newLink(world);
  await world.sql`update weir.sign_in_link set expires_at = now()`;
  const { text } = await open(world, "x");
  for (const wrong of [token, "", "x", "%00", "%ff", `${token}A`]) {
    // Who guesses learns no more from one than from another.
    for (
      const answer of [await open(world, wrong), await press(world, wrong)]
    ) {
      strictEqual(answer.status, 410);
      strictEqual(answer.headers.get("set-cookie"), null);
      strictEqual(withoutBack(answer.text), withoutBack(text));
    }
  }
  const large = await press(world, "x".repeat(20_000));
  assertProblem(large, 413, "payload_too_large");
  const bare = await send(world, "GET", "/sign-in", { key: null });
  strictEqual(bare.status, 200);
  match(bare.text, /task sign-in/);
});

/** But for where the choice of a theme leads back to. */
function withoutBack(html: string): string {
  return html.replace(/name="back" value="[^"]*"/, "");
}

dbTest("POST /sign-in does nothing for another site", async (world) => {
  const token = await newLink(world);
  for (const headers of OTHER_SITES) {
    const answer = await press(world, token, { headers });
    assertProblem(answer, 403, "cross_site_request");
  }
  strictEqual((await press(world, token)).status, 303);
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
  for (const foreign of OTHER_SITES) {
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

dbTest(
  "forms of our pages are read to 16 KiB and no further, whoever sends them",
  async (world) => {
    const headers = {
      ...await signIn(world),
      ...SAME_ORIGIN,
      "content-type": "application/x-www-form-urlencoded",
    };
    for (const path of ["/theme", "/preferences", "/sign-in"]) {
      const answer = await send(world, "POST", path, {
        key: null,
        headers,
        body: `theme=dark&token=${"x".repeat(16 * 1024)}`,
      });
      assertProblem(answer, 413, "payload_too_large", path);
    }
  },
);
