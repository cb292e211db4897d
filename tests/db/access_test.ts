import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import {
  beginSession,
  createAccount,
  createKey,
  createSignInLink,
  endSession,
  findAccount,
  findKey,
  findSession,
} from "../../db/access.ts";
import { dbTest } from "../harness.ts";

dbTest(
  "createAccount() makes what findAccount() finds, in any case",
  async ({ sql }) => {
    const made = await createAccount(sql, "Röstmühle", "Asia/Kolkata");
    const { account_id, account_uuid, ...rest } = made;
    ok(Number.isInteger(account_id));
    match(account_uuid, /^[0-9a-f-]{36}$/);
    deepStrictEqual(rest, { name: "Röstmühle", time_zone: "Asia/Kolkata" });
    deepStrictEqual(
      { ...await findAccount(sql, account_uuid.toUpperCase()) },
      { ...made, preferences_version: null },
    );
  },
);

dbTest("findAccount() finds nothing under what is no id", async ({ sql }) => {
  for (const id of ["", "x", "1", crypto.randomUUID()]) {
    strictEqual(await findAccount(sql, id), null);
  }
});

dbTest(
  "findKey() finds what createKey() granted, and nothing else",
  async ({ sql, account }) => {
    const { account_id, account_uuid, name, time_zone } = account;
    const key = await createKey(sql, account_id, {
      scopes: ["events:write", "analytics:read"],
      userId: "ada",
      role: "member",
    });
    match(key, /^weir_[0-9a-f]{16}_[\w-]{43}$/);
    deepStrictEqual({ ...await findKey(sql, key) }, {
      credential: `key:${key.split("_")[1]}`,
      account_id,
      account_uuid,
      account_name: name,
      time_zone,
      user_id: "ada",
      role: "member",
      scopes: ["events:write", "analytics:read"],
      preferences_version: null,
    });
    const machine = await createKey(sql, account_id, { scopes: ["admin"] });
    const { user_id, role } = (await findKey(sql, machine))!;
    deepStrictEqual([user_id, role], [null, "admin"]);

    const swapped = key.slice(0, 22) + machine.slice(22);
    for (
      const wrong of ["", "weir_", swapped, ` ${key}`, `${key}\n`, `${key}x`]
    ) {
      strictEqual(await findKey(sql, wrong), null);
    }
    await sql`update weir.api_key set revoked_at = now()`;
    strictEqual(await findKey(sql, key), null);
  },
);

dbTest(
  "beginSession() uses a link once, as whom it was made for",
  async ({ sql, account }) => {
    const token = await createSignInLink(sql, account.account_id, {
      userId: "ada",
      role: "member",
    });
    const session = await beginSession(sql, token);
    match(session!, /^[\w-]{43}$/);
    strictEqual(await beginSession(sql, token), null);
    const grant = (await findSession(sql, session!))!;
    match(grant.credential, /^session:[0-9a-f]{16}$/);
    deepStrictEqual({ ...grant }, {
      credential: grant.credential,
      account_id: account.account_id,
      account_uuid: account.account_uuid,
      account_name: account.name,
      time_zone: account.time_zone,
      user_id: "ada",
      role: "member",
      scopes: ["analytics:read", "exports:write"],
      preferences_version: null,
    });
    // What opens one thing opens no other.
    strictEqual(await findSession(sql, token), null);
    strictEqual(await beginSession(sql, session!), null);
  },
);

dbTest(
  "beginSession() refuses a link after its time",
  async ({ sql, account }) => {
    const token = await createSignInLink(sql, account.account_id, {});
    const [link] = await sql<[{ minutes: number }]>`
    select extract(epoch from expires_at - now())::float8 / 60 as minutes
    from weir.sign_in_link`;
    ok(link.minutes > 59 && link.minutes <= 60);
    await sql`update weir.sign_in_link set expires_at = now()`;
    strictEqual(await beginSession(sql, token), null);
  },
);

dbTest(
  "findSession() finds a session until its end",
  async ({ sql, account }) => {
    const begin = async () =>
      (await beginSession(
        sql,
        await createSignInLink(sql, account.account_id, {}),
      ))!;
    const [ended, expired, other] = [
      await begin(),
      await begin(),
      await begin(),
    ];
    await endSession(sql, ended);
    await endSession(sql, ended);
    strictEqual(await findSession(sql, ended), null);
    ok(await findSession(sql, other));

    const [row] = await sql<[{ days: number }]>`
    select extract(epoch from max(expires_at) - now())::float8 / 86400 as days
    from weir.session`;
    ok(row.days > 13.99 && row.days <= 14);
    await sql`update weir.session set expires_at = now()`;
    strictEqual(await findSession(sql, expired), null);
  },
);
