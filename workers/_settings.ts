/**
 * What can be set from outside, all of it; `.env.example` explains each.
 *
 * @module
 */

import { z } from "zod";
import { LOG_LEVELS } from "../db/log.ts";

/** Where we listen unless `PORT` says otherwise. */
export const DEFAULT_PORT = 8_000;

/** Postgres by its two names. */
const DatabaseUrl = z.url({
  protocol: /^postgres(ql)?$/,
  error: "Must be postgres://user:password@host:port/database",
});

/** Settings that mean nothing without another. */
const NOT_WITHOUT = [
  ["DATABASE_URL_DIRECT", "DATABASE_URL"],
  ["DATABASE_URL_READ", "DATABASE_URL"],
  ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"],
  ["UPSTASH_REDIS_REST_TOKEN", "UPSTASH_REDIS_REST_URL"],
] as const;

const Settings = z.object({
  /** 0: any free one. */
  PORT: z.string().regex(/^\d+$/, "Must be a number").transform(Number)
    .pipe(z.int().max(65_535)).optional(),
  HOST: z.string().default("127.0.0.1"),
  DATA_DIR: z.string().default(".data"),
  DATABASE_URL: DatabaseUrl.optional(),
  DATABASE_URL_DIRECT: DatabaseUrl.optional(),
  DATABASE_URL_READ: DatabaseUrl.optional(),
  PUBLIC_URL: z.url({ protocol: /^https?$/, error: "Must be http(s)://…" })
    .transform((url) => url.replace(/\/+$/, "")).optional(),
  /** Where the identity provider publishes its keys. */
  AUTH_JWKS_URL: z.url({ protocol: /^https?$/, error: "Must be https://…" })
    .refine(
      (url) =>
        url.startsWith("https:") ||
        ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname),
      "Must be https://…: whoever answers says who is who",
    ).optional(),
  /** What it signs with instead, HS256: no fewer bits than the hash has. */
  AUTH_JWT_SECRET: z.string().min(32, "Must have at least 32 characters")
    .optional(),
  AUTH_ISSUER: z.string().optional(),
  AUTH_AUDIENCE: z.string().default("authenticated"),
  LOG_LEVEL: z.enum(LOG_LEVELS).optional(),
  CHROMIUM_PATH: z.string().optional(),
  CHROMIUM_URL: z.url({ protocol: /^wss?$/, error: "Must be ws(s)://…" })
    .optional(),
  EXPORT_STORE: z.enum(["disk", "postgres"]).optional(),
  /** Whether reports may be sent to http and to addresses of private networks. */
  REPORTS_TO_PRIVATE: z.enum(["true", "false"]).default("false")
    .transform((value) => value === "true"),
  UPSTASH_REDIS_REST_URL: z.url({
    protocol: /^https?$/,
    error: "Must be https://…",
  }).optional(),
  UPSTASH_REDIS_REST_TOKEN: z.string().optional(),
  RATE_LIMIT_PER_MINUTE: z.string().regex(/^\d{1,8}$/, "Must be a number")
    .transform(Number).pipe(z.int().min(1)).default(60),
  SHARE_CACHE_SECONDS: z.string().regex(/^\d{1,5}$/, "Must be a number")
    .transform(Number).pipe(z.int().min(1)).default(60),
  TRUSTED_PROXIES: z.string().regex(/^\d$/, "Must be a number below 10")
    .transform(Number).default(0),
}).superRefine((settings, ctx) => {
  if (settings.AUTH_JWKS_URL && settings.AUTH_JWT_SECRET) {
    ctx.addIssue({
      code: "custom",
      path: ["AUTH_JWT_SECRET"],
      message: "Must not be set beside AUTH_JWKS_URL: one says who is who",
    });
  }
  for (const [name, other] of NOT_WITHOUT) {
    if (!settings[name] || settings[other]) continue;
    ctx.addIssue({
      code: "custom",
      path: [name],
      message: `Must not be set without ${other}`,
    });
  }
});
export type Settings = z.infer<typeof Settings>;

/**
 * Reads the settings.
 *
 * @param env The environment; what is empty counts as not set, what is not ours is
 * left alone.
 * @returns Valid settings.
 * @throws {Error} Naming every variable that is wrong, and why; never a value, as it
 * may be a secret.
 */
export function readSettings(env: Record<string, string>): Settings {
  const given = Object.entries(env).filter(([, value]) => value !== "");
  const parsed = Settings.safeParse(Object.fromEntries(given));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues
    .map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new Error(`Cannot read the settings: ${reasons.join("; ")}`);
}
