import { deepStrictEqual, throws } from "node:assert/strict";
import { readSettings } from "../../workers/_settings.ts";

Deno.test("readSettings() needs nothing, and takes what is empty for not set", () => {
  const defaults = {
    HOST: "127.0.0.1",
    DATA_DIR: ".data",
    RATE_LIMIT_PER_MINUTE: 60,
    REPORTS_TO_PRIVATE: false,
    SHARE_CACHE_SECONDS: 60,
    TRUSTED_PROXIES: 0,
    AUTH_AUDIENCE: "authenticated",
  };
  deepStrictEqual(readSettings({}), defaults);
  deepStrictEqual(readSettings({ PORT: "", HOST: "", OTHER: "1" }), defaults);
});

Deno.test("readSettings() takes what is right", () => {
  const url = "postgres://u:p@db:6543/weir";
  deepStrictEqual(
    readSettings({
      PORT: "0",
      DATABASE_URL: url,
      DATABASE_URL_DIRECT: "postgresql://u:p@db/weir",
      PUBLIC_URL: "https://weir.example/",
      LOG_LEVEL: "debug",
      UPSTASH_REDIS_REST_URL: "https://eu1.upstash.example",
      UPSTASH_REDIS_REST_TOKEN: "token",
      RATE_LIMIT_PER_MINUTE: "600",
      TRUSTED_PROXIES: "1",
      SHARE_CACHE_SECONDS: "10",
      REPORTS_TO_PRIVATE: "true",
      AUTH_JWKS_URL: "http://localhost:1/auth/v1/.well-known/jwks.json",
    }),
    {
      PORT: 0,
      HOST: "127.0.0.1",
      DATA_DIR: ".data",
      DATABASE_URL: url,
      DATABASE_URL_DIRECT: "postgresql://u:p@db/weir",
      PUBLIC_URL: "https://weir.example",
      LOG_LEVEL: "debug",
      UPSTASH_REDIS_REST_URL: "https://eu1.upstash.example",
      UPSTASH_REDIS_REST_TOKEN: "token",
      RATE_LIMIT_PER_MINUTE: 600,
      TRUSTED_PROXIES: 1,
      SHARE_CACHE_SECONDS: 10,
      REPORTS_TO_PRIVATE: true,
      AUTH_AUDIENCE: "authenticated",
      AUTH_JWKS_URL: "http://localhost:1/auth/v1/.well-known/jwks.json",
    },
  );
});

for (
  const [name, value] of [
    ["PORT", "65536"],
    ["AUTH_JWKS_URL", "http://id.example/jwks.json"],
    ["AUTH_JWT_SECRET", "too short"],
    ["PORT", "80a"],
    ["PORT", "-1"],
    ["DATABASE_URL", "mysql://u:hunter2@db/weir"],
    ["DATABASE_URL", "db"],
    ["PUBLIC_URL", "weir.example"],
    ["LOG_LEVEL", "loud"],
    ["UPSTASH_REDIS_REST_URL", "redis://eu1.upstash.example"],
    ["UPSTASH_REDIS_REST_URL", "https://eu1.upstash.example"],
    ["UPSTASH_REDIS_REST_TOKEN", "hunter2"],
    ["RATE_LIMIT_PER_MINUTE", "0"],
    ["RATE_LIMIT_PER_MINUTE", "-60"],
    ["RATE_LIMIT_PER_MINUTE", "lots"],
    ["TRUSTED_PROXIES", "all"],
    ["SHARE_CACHE_SECONDS", "0"],
  ] as const
) {
  Deno.test(`readSettings() refuses ${name}=${value}, and tells no value`, () => {
    throws(() => readSettings({ [name]: value }), (error: Error) => {
      return error.message.startsWith(`Cannot read the settings: ${name}: `) &&
        !error.message.includes("hunter2");
    });
  });
}

Deno.test("readSettings() names every mistake at once", () => {
  throws(
    () =>
      readSettings({ PORT: "x", DATABASE_URL_DIRECT: "postgres://db/weir" }),
    /PORT: .*; DATABASE_URL_DIRECT: Must not be set without DATABASE_URL/,
  );
});

Deno.test(".env.example explains every setting, and no other", async () => {
  const text = await Deno.readTextFile(
    new URL("../../.env.example", import.meta.url),
  );
  const source = await Deno.readTextFile(
    new URL("../../workers/_settings.ts", import.meta.url),
  );
  const explained = [...text.matchAll(/^([A-Z_]+)=/gm)].map(([, name]) => name);
  const settings = [...source.matchAll(/^ {2}([A-Z_]+): /gm)].map(([, name]) =>
    name
  );
  deepStrictEqual(explained.sort(), settings.sort());
});
