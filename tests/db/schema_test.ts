import { match, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { Duration, Instant, Reason, TimeZone, Uuid } from "../../db/schema.ts";
import { dbTest } from "../harness.ts";

Deno.test("Uuid is any, in lower case", () => {
  const uuid = "ABCDEF01-2345-6789-ABCD-EF0123456789";
  strictEqual(Uuid.parse(uuid), uuid.toLowerCase());
  for (const wrong of ["", `{${uuid}}`, uuid.replaceAll("-", ""), `${uuid} `]) {
    ok(!Uuid.safeParse(wrong).success, wrong);
  }
});

Deno.test("Reason is one lower snake case word of at most 64", () => {
  for (const good of ["a", "moved_away", "error_404", "r".repeat(64)]) {
    ok(Reason.safeParse(good).success, good);
  }
  for (
    const wrong of ["", "_a", "4xx", "Moved", "a b", "é", "r".repeat(65), "a\n"]
  ) {
    ok(!Reason.safeParse(wrong).success, wrong);
  }
});

Deno.test("TimeZone is a zone by name", () => {
  for (const good of ["UTC", "prc", "Europe/Paris", "Etc/GMT+12", "EST5EDT"]) {
    ok(TimeZone.safeParse(good).success, good);
  }
  for (const wrong of ["", "+05:30", "UTC+3", "Europe/", "Nowhere", "UTC\n"]) {
    ok(!TimeZone.safeParse(wrong).success, wrong);
  }
});

Deno.test("TimeZone refuses abbreviations and says what to write", () => {
  for (const wrong of ["CET", "cet", "EST", "Ist", "PST", "BST"]) {
    match(TimeZone.safeParse(wrong).error!.issues[0]!.message, /Area\/City/);
  }
});

/** Around most clock changes of the year, but none that zone data of last year lacks. */
const DAYS_OF_2026 = [
  "2026-01-15",
  "2026-03-09",
  "2026-03-29",
  "2026-03-30",
  "2026-04-06",
  "2026-07-15",
  "2026-10-05",
  "2026-10-26",
];

/** What IANA calls links, and browsers do not list. */
const LINKS = [
  ...["Japan", "Cuba", "GB", "NZ", "Eire", "Israel", "Turkey", "Zulu", "GMT0"],
  ...["EST5EDT", "CST6CDT", "PST8PDT", "W-SU", "NZ-CHAT", "PRC", "ROC", "ROK"],
  ...["UCT", "GMT", "UTC", "US/Eastern", "US/Pacific", "Asia/Calcutta"],
];

dbTest("TimeZone admits only what Postgres means too", async ({ sql }) => {
  const known = Intl.supportedValuesOf("timeZone");
  const zones = [...known, ...LINKS, ...abbreviations()]
    .filter((zone) => TimeZone.safeParse(zone).success);
  ok(zones.length > 400, `${zones.length}`);
  ok(LINKS.every((zone) => zones.includes(zone)));
  const rows = await sql<{ zone: string; at: Date[]; together: Date[] }[]>`
    select zone, array(
        select weir.first_instant(day, zone)
        from unnest(${DAYS_OF_2026}::text[]::date[]) with ordinality as d (day, ix) order by ix) as at,
      weir.first_instants(${DAYS_OF_2026}::text[]::date[], zone) as together
    from unnest(${zones}::text[]) as zone`;
  strictEqual(rows.length, zones.length);
  for (const { zone, at, together } of rows) {
    for (const [i, day] of DAYS_OF_2026.entries()) {
      const start = Temporal.PlainDate.from(day).toZonedDateTime(zone);
      strictEqual(at[i]!.getTime(), start.epochMilliseconds, `${zone} ${day}`);
      strictEqual(together[i]!.getTime(), start.epochMilliseconds);
    }
  }
});

/** Every name of three letters: some are no zone, some another one in Postgres. */
function* abbreviations(): Generator<string> {
  for (let n = 0; n < 26 ** 3; n++) {
    yield String.fromCharCode(
      65 + Math.floor(n / 676),
      65 + Math.floor(n / 26) % 26,
      65 + n % 26,
    );
  }
}

Deno.test("Duration is weeks to seconds, and not empty", () => {
  for (
    const wrong of ["P", "PT", "P1DT", "P1Y", "P1M", "1D", "P-1D", "PT1.S"]
  ) {
    ok(!Duration.safeParse(wrong).success, wrong);
  }
});

dbTest(
  "Instant is what Postgres reads as the same instant",
  async ({ sql }) => {
    const two = (max: number) =>
      fc.nat(max).map((n) => String(n).padStart(2, "0"));
    const text = fc.tuple(
      fc.date({
        min: new Date("1900-01-01T00:00:00Z"),
        max: new Date("9999-12-31T23:59:59Z"),
        noInvalidDate: true,
      }),
      fc.option(fc.stringMatching(/^\d{1,8}$/)),
      fc.oneof(
        fc.constantFrom("Z", "z", "", "-00:00", "+15:59", "+16:00", "-23:59"),
        fc.tuple(fc.constantFrom("+", "-"), two(25), two(61))
          .map(([sign, hours, minutes]) => `${sign}${hours}:${minutes}`),
      ),
    ).map(([date, fraction, offset]) =>
      date.toISOString().slice(0, 19) + (fraction ? `.${fraction}` : "") +
      offset
    );
    let read = 0;
    await fc.assert(
      fc.asyncProperty(text, async (text) => {
        if (!Instant.safeParse(text).success) return;
        read++;
        const [row] = await sql<[{ at: Date }]>`
        select date_trunc('milliseconds', ${text}::text::timestamptz) as at`;
        strictEqual(row.at.getTime(), Date.parse(text), text);
      }),
      { numRuns: 300 },
    );
    ok(read > 50, `${read}`);
  },
);
