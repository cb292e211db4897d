/**
 * Shared pages behind a real edge cache: nginx, as docs/sharing.md sets it up.
 *
 * @module
 */

import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import { fold } from "../../db/events.ts";
import { SAME_ORIGIN } from "../app.ts";
import { dbTest, until } from "../harness.ts";
import { startNginx } from "../nginx.ts";
import { serve } from "../serve.ts";
import { appWith, enrolled, post, put, send, WORKFLOW } from "./_requests.ts";

const SHARES = `/api/v1/workflows/${WORKFLOW}/shares`;

dbTest(
  "an edge cache answers for shared pages by itself, also while the server is down",
  async (world) => {
    const app = appWith(world, { shareCacheSeconds: 1, trustedProxies: 1 });
    /** What reached the server: the status of its answers. */
    const seen: number[] = [];
    const answer = async (request: Request) => {
      const answer = await app.fetch(request);
      if (/share|embed/.test(request.url)) seen.push(answer.status);
      return answer;
    };
    await using server = serve(answer);
    await using nginx = await startNginx(server.url);
    await put(world, { name: "Welcome" });
    await post(world, enrolled());
    while (await fold(world.sql) > 0);

    async function share(definition: Record<string, unknown> = {}) {
      const json = { range: { days: 30 }, ...definition };
      const { json: made } = await send(world, "POST", SHARES, { json, app });
      return { ...made, path: new URL(made.url).pathname };
    }
    async function get(path: string, headers: Record<string, string> = {}) {
      const answer = await fetch(`${nginx.url}${path}`, { headers });
      const text = await answer.text();
      const { status } = answer;
      return { status, text, cache: answer.headers.get("x-cache"), answer };
    }
    const { path, share_id } = await share();

    const first = await get(path);
    strictEqual(`${first.status} ${first.cache}`, "200 MISS");
    match(first.text, /Welcome/);
    for (let i = 0; i < 20; i++) {
      const again = await get(`${path}?x=${i}&theme=x`, { cookie: `x=${i}` });
      ok(/HIT|UPDATING|STALE/.test(again.cache!), again.cache!);
      strictEqual(again.text, first.text);
    }
    // Of the twenty at most one came after its second, and had nginx ask.
    ok(seen.length <= 2, String(seen));

    await until(
      "what is too old is served once more, and asked about",
      async () => (await get(path)).cache === "STALE",
    );
    await until(
      "the server has said that nothing changed",
      () => seen.at(-1) === 304,
    );
    await until(
      "what was asked about is fresh again",
      async () => (await get(path)).cache === "HIT",
    );
    strictEqual(seen.filter((status) => status === 200).length, 1);

    await post(world, enrolled());
    while (await fold(world.sql) > 0);
    await until(
      "news arrive",
      async () => (await get(path)).text !== first.text,
    );

    // A password is between its reader and us.
    const locked = await share({ password: "correct horse" });
    const unlocking = await fetch(nginx.url + locked.path, {
      method: "POST",
      redirect: "manual",
      body: new URLSearchParams({ password: "correct horse" }),
      headers: SAME_ORIGIN,
    });
    await unlocking.body?.cancel();
    const cookie = unlocking.headers.get("set-cookie")!.split(";")[0]!;
    for (let i = 0; i < 2; i++) {
      const unlocked = await get(locked.path, { cookie });
      strictEqual(unlocked.cache, "MISS");
      match(unlocked.text, /Welcome/);
      const asked = await get(locked.path);
      strictEqual(asked.cache, "MISS");
      doesNotMatch(asked.text, /Welcome/);
    }
    const kept = await nginx.kept();
    ok(kept.includes(path) && !kept.includes(locked.path));
    doesNotMatch(kept, /This page has a password/);

    await server[Symbol.asyncDispose]();
    await until("it serves what it has", async () => {
      const { status, cache, text } = await get(path);
      strictEqual(status, 200);
      match(text, /Welcome/);
      return cache === "STALE";
    });
    strictEqual((await get(locked.path, { cookie })).status, 502);
    await using _again = serve(answer, server.port);

    const revoke = `${SHARES}/${share_id}`;
    strictEqual((await send(world, "DELETE", revoke, { app })).status, 200);
    await until(
      "what was revoked is gone",
      async () => (await get(path)).status === 404,
    );
    const before = seen.length;
    strictEqual((await get(path)).cache, "HIT");
    strictEqual(seen.length, before);

    const token = path.split("/").at(-1)!;
    ok(!(await nginx.log()).includes(token));
    match(await nginx.log(), /GET \/share\/- 200 HIT/);
  },
);
