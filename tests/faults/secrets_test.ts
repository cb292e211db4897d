import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createKey, createSignInLink } from "../../db/access.ts";
import { SCOPES } from "../../db/schema.ts";
import { createWebhook } from "../../db/webhooks.ts";
import { dbTest, startServer, until } from "../harness.ts";
import { signToken, TRUST } from "../tokens.ts";
import { endOf } from "../within.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";

const CONTACT = "grace.hopper@navy.example";

dbTest(
  "no log has a secret or a contact in it, whatever is asked and goes wrong",
  async (world) => {
    const { sql, account } = world;
    const secrets: Record<string, string> = {
      "the secret of tokens": TRUST.secret,
      "a contact": CONTACT,
    };
    const url = new URL(world.database_url);
    secrets["the password of the database"] = decodeURIComponent(url.password);
    await using server = await startServer({
      DATABASE_URL: world.database_url,
      AUTH_JWT_SECRET: TRUST.secret,
      AUTH_ISSUER: TRUST.issuer,
      LOG_LEVEL: "debug",
    });
    const grant = { scopes: [...SCOPES] };
    const key = await createKey(sql, account.account_id, grant);
    const unused = await createKey(sql, account.account_id, grant);
    const link = await createSignInLink(sql, account.account_id, {});
    const dead = await createSignInLink(sql, account.account_id, {});
    const webhook = await createWebhook(sql, account.account_id);
    const seconds = Math.floor(Date.now() / 1_000);
    const token = await signToken({
      account: account.account_uuid,
      role: "admin",
      claims: { iat: seconds, exp: seconds + 300 },
    });
    Object.assign(secrets, {
      "a key": key.split("_")[2],
      "a key in an address": unused.split("_")[2],
      "a link that was used": link,
      "a link that was opened": dead,
      "the secret of a webhook": webhook.secret,
      "a token": token,
      "the signature of a token": token.split(".")[2],
    });

    const statuses: number[] = [];
    const ask = async (path: string, init: RequestInit = {}) => {
      const answer = await fetch(server.url + path, {
        redirect: "manual",
        ...init,
      });
      statuses.push(answer.status);
      const text = await answer.text();
      return { answer, text };
    };
    const by = (secret: string) => ({ authorization: `Bearer ${secret}` });
    const send = (method: string, path: string, json: unknown) =>
      ask(`/api/v1${path}`, {
        method,
        headers: { ...by(key), "content-type": "application/json" },
        body: JSON.stringify(json),
      });

    // Signing in, by a link that works and by others.
    await ask(`/sign-in?token=${dead}`);
    const pressed = await ask("/sign-in", {
      method: "POST",
      headers: { "sec-fetch-site": "same-origin" },
      body: new URLSearchParams({ token: link }),
    });
    const cookie = pressed.answer.headers.get("set-cookie")!.split(";")[0]!;
    secrets["a session"] = cookie.split("=")[1]!;
    await ask(`/sign-in?token=${link}`);
    await ask("/", { headers: { cookie } });

    // What is reported, well and badly, and read by every credential.
    const event = {
      id: "e1",
      type: "execution.enrolled",
      workflow_id: WORKFLOW,
      execution_id: WORKFLOW,
      contact_id: CONTACT,
      occurred_at: new Date().toISOString(),
      source: "api",
    };
    await send("PUT", `/workflows/${WORKFLOW}`, { name: "Mine" });
    await send("POST", "/events", event);
    await send("POST", "/events", { ...event, source: "nowhere" });
    await send("POST", "/events", { ...event, source: "bulk" });
    const day = new Date().toISOString().slice(0, 10);
    const range = `start_date=${day}&end_date=${day}`;
    const numbers = `/api/v1/workflows/${WORKFLOW}/analytics`;
    for (const headers of [by(key), by(token), { cookie }, by(`${key}x`)]) {
      await ask(`${numbers}?${range}`, { headers });
    }
    await ask(`${numbers}?${range}&key=${unused}`, { headers: by(key) });
    await ask(`${numbers}?${range}`, { headers: by(`${token}x`) });
    await ask(`/${unused}`, { headers: by(key) });
    await ask(`/api/v1/workflows/${WORKFLOW}/executions?text=${CONTACT}`, {
      headers: by(key),
    });
    await ask(`/api/v1/contacts/${CONTACT}`, {
      method: "DELETE",
      headers: by(key),
    });
    await ask(`/webhooks/github/${webhook.webhook_id}`, {
      method: "POST",
      headers: { "x-hub-signature-256": `sha256=${"0".repeat(64)}` },
      body: "{}",
    });

    // A file of a job, by its signed link.
    const made = await send("POST", `/workflows/${WORKFLOW}/exports`, {
      format: "csv",
      start_date: day,
      end_date: day,
    });
    const job = `/api/v1/workflows/${WORKFLOW}/exports/${
      JSON.parse(made.text).job_id
    }`;
    let file: { download_url: string } | null = null;
    await until("the file is made", async () => {
      const { text } = await ask(job, { headers: by(key) });
      file = JSON.parse(text).file;
      return file !== null;
    });
    const signed = new URL(file!.download_url);
    secrets["a signature"] = signed.searchParams.get("signature")!;
    await ask(signed.pathname + signed.search);

    // A shared link, and its password.
    const password = "correct horse battery staple";
    const shared = await send("POST", `/workflows/${WORKFLOW}/shares`, {
      range: { days: 7 },
      password,
    });
    const share = JSON.parse(shared.text).url.split("/share/")[1];
    Object.assign(secrets, { "a share": share, "its password": password });
    await ask(`/share/${share}`);
    await ask(`/share/${share}`, {
      method: "POST",
      headers: { "sec-fetch-site": "same-origin" },
      body: new URLSearchParams({ password }),
    });
    await ask(`/share/${share}x`);

    // An error of ours, whose stack is logged: a table is gone.
    await sql`alter table weir.workflow rename to elsewhere`;
    const broken = await ask("/api/v1/workflows", { headers: by(key) });
    await send("POST", "/events", { ...event, id: "e2" });
    await sql`alter table weir.elsewhere rename to workflow`;
    strictEqual(broken.answer.status, 500);
    await until("it is in the log", () => /request failed/.test(server.log()));
    ok(statuses.filter((status) => status >= 400).length > 8, `${statuses}`);

    server.process.kill("SIGTERM");
    await endOf(server.process);
    await server[Symbol.asyncDispose]();
    const text = server.log();
    match(text, /"message":"stopped"/);
    // What only names a key is there, so what opens it would be found.
    ok(text.includes(`key:${key.split("_")[1]}`));
    const told = Object.entries(secrets).filter(([, secret]) =>
      secret.length > 3 &&
      [secret, encodeURIComponent(secret), btoa(secret)].some((form) =>
        text.includes(form)
      )
    );
    deepStrictEqual(told.map(([name]) => name), []);
  },
);
