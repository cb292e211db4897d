import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { periodOf } from "../../db/period.ts";
import { AnalyticsQuery } from "../../db/schema.ts";
import { dbTest } from "../harness.ts";

Deno.test("periodOf() says what was asked and what was answered", () => {
  const query = AnalyticsQuery.parse({
    start_date: "2026-06-01",
    end_date: "2026-06-02",
  });
  const head = {
    tz: "Europe/Paris",
    hours: true,
    dates: ["2026-06-01", "2026-06-02"],
    labels: ["2026-06-01", "2026-06-02"],
    bounds: ["2026-05-31T22:00Z", "2026-06-01T22:00Z", "2026-06-02T22:00Z"]
      .map(Date.parse),
    as_of: "now",
    steps: [],
  };
  deepStrictEqual(periodOf(head, query), {
    start_date: "2026-06-01",
    end_date: "2026-06-02",
    tz: "Europe/Paris",
    tz_effective: "Europe/Paris",
    start: "2026-05-31T22:00:00.000Z",
    end: "2026-06-02T22:00:00.000Z",
    granularity: "daily",
    attribution: "cohort",
    unit: "execution",
  });
  strictEqual(periodOf(head, { ...query, tz: "Asia/Tokyo" }).tz, "Asia/Tokyo");
});

/** First instants of days that a naive reading gets wrong. */
const FIRST_INSTANTS: [string, string, string][] = [
  ["UTC", "2026-06-15", "2026-06-15T00:00:00Z"],
  ["Asia/Kathmandu", "2026-06-15", "2026-06-14T18:15:00Z"],
  ["Pacific/Chatham", "2026-06-15", "2026-06-14T11:15:00Z"],
  // Midnight comes twice, and not at all.
  ["America/Havana", "2026-11-01", "2026-11-01T04:00:00Z"],
  ["America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"],
  // Half an hour is repeated, long after midnight.
  ["Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z"],
  ["Australia/Lord_Howe", "2026-04-06", "2026-04-05T13:30:00Z"],
  // 30 December 2011 was skipped.
  ["Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z"],
  ["Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"],
];

dbTest(
  "first_instant() is the first that carries the date, and so are first_instants()",
  async ({ sql }) => {
    for (const [zone, day, expected] of FIRST_INSTANTS) {
      const [row] = await sql<[{ at: Date; together: Date[]; zone: string }]>`
        select weir.first_instant(${day}::text::date, ${zone}) as at,
          weir.first_instants(array[${day}::text::date], ${zone}) as together,
          current_setting('timezone') as zone`;
      deepStrictEqual(row.at, new Date(expected), `${zone} ${day}`);
      deepStrictEqual(row.together, [new Date(expected)], `${zone} ${day}`);
      strictEqual(row.zone, "UTC", "the session's zone is as it was");
    }
  },
);

Deno.test("AnalyticsQuery takes two whole years and not a day more", () => {
  const ask = (start_date: string, end_date: string) =>
    AnalyticsQuery.safeParse({ start_date, end_date }).success;
  ok(ask("2024-01-01", "2026-01-01"));
  ok(!ask("2024-01-01", "2026-01-02"));
  ok(!ask("2026-01-02", "2026-01-01"));
});
