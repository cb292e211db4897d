import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { createAccount, createKey } from "../../db/access.ts";
import { DEFAULTS } from "../../db/preferences.ts";
import { dbTest } from "../harness.ts";
import { assertProblem, send } from "./_requests.ts";

const PATH = "/api/v1/me/preferences";

const CHOSEN = {
  time_zone: "Asia/Kolkata",
  theme: "dark",
  default_range: "last_month",
};

dbTest(
  "PUT /me/preferences is what GET tells, to the same user alone",
  async (world) => {
    const { sql, account } = world;
    const { account_id: other } = await createAccount(sql, "Other", "UTC");
    const key = (accountId: number, userId?: string) =>
      createKey(sql, accountId, { scopes: ["analytics:read"], userId });
    const ada = await key(account.account_id, "ada");
    const others = [
      await key(account.account_id, "bob"),
      await key(account.account_id),
      await key(other, "ada"),
    ];
    const fresh = await send(world, "GET", PATH, { key: ada });
    deepStrictEqual([fresh.status, fresh.json], [200, DEFAULTS]);

    const put = await send(world, "PUT", PATH, { key: ada, json: CHOSEN });
    deepStrictEqual([put.status, put.json], [200, CHOSEN]);
    deepStrictEqual(
      (await send(world, "GET", PATH, { key: ada })).json,
      CHOSEN,
    );
    for (const stranger of others) {
      const answer = await send(world, "GET", PATH, { key: stranger });
      deepStrictEqual(answer.json, DEFAULTS);
    }
    await send(world, "PUT", PATH, { key: ada, json: DEFAULTS });
    deepStrictEqual(
      (await send(world, "GET", PATH, { key: ada })).json,
      DEFAULTS,
    );
  },
);

dbTest("PUT /me/preferences refuses what is no choice", async (world) => {
  for (
    const [path, json] of Object.entries({
      time_zone: { time_zone: "Mars/Olympus" },
      theme: { theme: undefined },
      default_range: { default_range: "5d" },
      "": { user_id: "bob" },
    })
  ) {
    const answer = await send(world, "PUT", PATH, {
      json: { ...CHOSEN, ...json },
    });
    assertProblem(answer, 400, "invalid_request");
    strictEqual(answer.json.errors[0].path, path);
  }
  deepStrictEqual((await send(world, "GET", PATH)).json, DEFAULTS);
});
