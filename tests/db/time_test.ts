/**
 * Days, hours, weeks and comparisons worked by hand from the clocks of the zones.
 *
 * @module
 */

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { createAccount } from "../../db/access.ts";
import { readAnalytics } from "../../db/analytics.ts";
import type { Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { readFunnel } from "../../db/funnel.ts";
import { DetailExpired } from "../../db/period.ts";
import { type Analytics, AnalyticsQuery, Event } from "../../db/schema.ts";
import { dbTest, type World } from "../harness.ts";

/** Far after all of it: days are answered from days, not from the detail. */
const YEARS_LATER = "2026-11-20T12:00:00Z";

/** One workflow in an account of some zone. */
interface Place {
  sql: Sql;
  account_id: number;
  workflow_id: string;
}

async function placeIn({ sql }: World, zone: string): Promise<Place> {
  const { account_id } = await createAccount(sql, "Any", zone);
  return { sql, account_id, workflow_id: crypto.randomUUID() };
}

/** What else happens in an execution that enrols at an instant. */
type Then = { type: Event["type"]; at: string; step_id?: string };

async function enrol(
  { sql, account_id, workflow_id }: Place,
  instants: string[],
  then: Then[] = [],
): Promise<void> {
  const events = instants.flatMap((at) => {
    const execution_id = crypto.randomUUID();
    return [{ type: "execution.enrolled", at, source: "api" }, ...then]
      .map(({ at, ...rest }) =>
        Event.parse({
          id: crypto.randomUUID(),
          workflow_id,
          execution_id,
          contact_id: "contact",
          occurred_at: at,
          ...rest,
        })
      );
  });
  await recordEvents(sql, account_id, events);
  while (await fold(sql) > 0);
}

async function ask(
  { sql, account_id, workflow_id }: Place,
  query: Record<string, unknown>,
  now: string,
): Promise<Analytics> {
  const whole = AnalyticsQuery.parse(query);
  const answer = await readAnalytics(
    sql,
    account_id,
    workflow_id,
    whole,
    new Date(now),
  );
  return answer!;
}

function plusDays(date: string, days: number): string {
  return Temporal.PlainDate.from(date).add({ days }).toString();
}

function instant(text: string): string {
  return Temporal.Instant.from(text).toString();
}

/** Label and bounds. */
function bucketsOf({ trends }: Analytics): [string, string, string][] {
  return trends.map(({ label, start, end }) => [
    label,
    instant(start),
    instant(end),
  ]);
}

function enrolments({ trends }: Analytics): number[] {
  return trends.map((point) => point.new_enrollments);
}

/** Each bucket ends where the next one begins, and no two have one name. */
function areWhole({ period, trends }: Analytics): void {
  strictEqual(trends[0]!.start, period.start);
  strictEqual(trends.at(-1)!.end, period.end);
  trends.slice(1).forEach((point, i) =>
    strictEqual(point.start, trends[i]!.end)
  );
  strictEqual(new Set(trends.map(({ label }) => label)).size, trends.length);
}

/** Zone, date, its first instant, that of the next date, and hours the wall clock counts. */
const DAYS: [string, string, string, string, number][] = [
  [
    "America/New_York",
    "2026-03-08",
    "2026-03-08T05:00:00Z",
    "2026-03-09T04:00:00Z",
    23,
  ],
  [
    "America/New_York",
    "2026-11-01",
    "2026-11-01T04:00:00Z",
    "2026-11-02T05:00:00Z",
    25,
  ],
  [
    "Europe/Paris",
    "2026-03-29",
    "2026-03-28T23:00:00Z",
    "2026-03-29T22:00:00Z",
    23,
  ],
  [
    "Europe/Paris",
    "2026-10-25",
    "2026-10-24T22:00:00Z",
    "2026-10-25T23:00:00Z",
    25,
  ],
  // 02:00+11:00 is 01:30+10:30: half an hour more, in a bucket of its own.
  [
    "Australia/Lord_Howe",
    "2026-04-05",
    "2026-04-04T13:00:00Z",
    "2026-04-05T13:30:00Z",
    25,
  ],
  // 02:00+10:30 is 02:30+11:00: half an hour less.
  [
    "Australia/Lord_Howe",
    "2026-10-04",
    "2026-10-03T13:30:00Z",
    "2026-10-04T13:00:00Z",
    24,
  ],
  [
    "Asia/Kathmandu",
    "2026-06-15",
    "2026-06-14T18:15:00Z",
    "2026-06-15T18:15:00Z",
    24,
  ],
  // 03:45+13:45 is 02:45+12:45: three quarters of one hour, a quarter of another, then it again.
  [
    "Pacific/Chatham",
    "2026-04-05",
    "2026-04-04T10:15:00Z",
    "2026-04-05T11:15:00Z",
    26,
  ],
  // 02:45+12:45 is 03:45+13:45.
  [
    "Pacific/Chatham",
    "2026-09-27",
    "2026-09-26T11:15:00Z",
    "2026-09-27T10:15:00Z",
    24,
  ],
  // Two midnights, and none.
  [
    "America/Havana",
    "2026-11-01",
    "2026-11-01T04:00:00Z",
    "2026-11-02T05:00:00Z",
    25,
  ],
  [
    "America/Havana",
    "2026-03-08",
    "2026-03-08T05:00:00Z",
    "2026-03-09T04:00:00Z",
    23,
  ],
  [
    "America/Santiago",
    "2026-09-06",
    "2026-09-06T04:00:00Z",
    "2026-09-07T03:00:00Z",
    23,
  ],
  // At midnight it is 23:00 again.
  [
    "America/Santiago",
    "2026-04-04",
    "2026-04-04T03:00:00Z",
    "2026-04-05T04:00:00Z",
    25,
  ],
  [
    "Asia/Beirut",
    "2026-03-29",
    "2026-03-28T22:00:00Z",
    "2026-03-29T21:00:00Z",
    23,
  ],
  [
    "Asia/Beirut",
    "2026-10-24",
    "2026-10-23T21:00:00Z",
    "2026-10-24T22:00:00Z",
    25,
  ],
];

/** The last microsecond before an instant. */
function before(text: string): string {
  return Temporal.Instant.from(text).subtract({ microseconds: 1 }).toString();
}

for (const [zone, date, start, end, hours] of DAYS) {
  dbTest(
    `readAnalytics() knows the day ${date} of ${zone} and its hours`,
    async (world) => {
      const own = await placeIn(world, zone);
      const foreign = await placeIn(world, "UTC");
      const within = Temporal.Instant.from(start).add({ minutes: 31 });
      const instants = [before(start), start, String(within), before(end), end];
      await enrol(own, instants);
      await enrol(foreign, instants);
      const query = {
        start_date: plusDays(date, -1),
        end_date: plusDays(date, 1),
        tz: zone,
      };
      const now = `${plusDays(date, 2)}T12:00:00Z`;
      for (
        const [place, at] of [
          [own, now],
          [own, YEARS_LATER],
          [foreign, now],
        ] as const
      ) {
        const answer = await ask(place, query, at);
        deepStrictEqual(bucketsOf(answer)[1], [date, start, end]);
        deepStrictEqual(enrolments(answer), [1, 3, 1], `at ${at}`);
        areWhole(answer);
        strictEqual(answer.period.tz_effective, zone);
      }
      const day = { start_date: date, end_date: date, tz: zone };
      const hourly = { ...day, granularity: "hourly" };
      for (const place of [own, foreign]) {
        const answer = await ask(place, hourly, now);
        strictEqual(answer.trends.length, hours);
        areWhole(answer);
        strictEqual(answer.summary.total_enrolled, 3);
        strictEqual(enrolments(answer).reduce((sum, n) => sum + n), 3);
      }
    },
  );
}

/** Where it gets strange: position, label, start, minutes. */
const HOURS: [string, string, number, [string, string, number][]][] = [
  ["America/New_York", "2026-03-08", 1, [
    ["2026-03-08T01:00-05:00", "2026-03-08T06:00:00Z", 60],
    ["2026-03-08T03:00-04:00", "2026-03-08T07:00:00Z", 60],
  ]],
  ["Europe/Paris", "2026-10-25", 2, [
    ["2026-10-25T02:00+02:00", "2026-10-25T00:00:00Z", 60],
    ["2026-10-25T02:00+01:00", "2026-10-25T01:00:00Z", 60],
    ["2026-10-25T03:00+01:00", "2026-10-25T02:00:00Z", 60],
  ]],
  ["Australia/Lord_Howe", "2026-04-05", 1, [
    ["2026-04-05T01:00+11:00", "2026-04-04T14:00:00Z", 60],
    ["2026-04-05T01:30+10:30", "2026-04-04T15:00:00Z", 30],
    ["2026-04-05T02:00+10:30", "2026-04-04T15:30:00Z", 60],
  ]],
  ["Australia/Lord_Howe", "2026-10-04", 1, [
    ["2026-10-04T01:00+10:30", "2026-10-03T14:30:00Z", 60],
    ["2026-10-04T02:30+11:00", "2026-10-03T15:30:00Z", 30],
    ["2026-10-04T03:00+11:00", "2026-10-03T16:00:00Z", 60],
  ]],
  ["Pacific/Chatham", "2026-04-05", 2, [
    ["2026-04-05T02:00+13:45", "2026-04-04T12:15:00Z", 60],
    ["2026-04-05T03:00+13:45", "2026-04-04T13:15:00Z", 45],
    ["2026-04-05T02:45+12:45", "2026-04-04T14:00:00Z", 15],
    ["2026-04-05T03:00+12:45", "2026-04-04T14:15:00Z", 60],
  ]],
  ["Asia/Kathmandu", "2026-06-15", 0, [
    ["2026-06-15T00:00+05:45", "2026-06-14T18:15:00Z", 60],
  ]],
  ["America/Havana", "2026-11-01", 0, [
    ["2026-11-01T00:00-04:00", "2026-11-01T04:00:00Z", 60],
    ["2026-11-01T00:00-05:00", "2026-11-01T05:00:00Z", 60],
    ["2026-11-01T01:00-05:00", "2026-11-01T06:00:00Z", 60],
  ]],
  ["America/Santiago", "2026-09-06", 0, [
    ["2026-09-06T01:00-03:00", "2026-09-06T04:00:00Z", 60],
  ]],
  ["Asia/Beirut", "2026-10-24", 23, [
    ["2026-10-24T23:00+03:00", "2026-10-24T20:00:00Z", 60],
    ["2026-10-24T23:00+02:00", "2026-10-24T21:00:00Z", 60],
  ]],
  ["UTC", "2026-06-15", 23, [
    ["2026-06-15T23:00+00:00", "2026-06-15T23:00:00Z", 60],
  ]],
];

dbTest(
  "readAnalytics() names every hour, also twins and parts",
  async (world) => {
    const place = await placeIn(world, "UTC");
    await enrol(place, ["2026-01-01T00:00:00Z"]);
    for (const [zone, date, from, expected] of HOURS) {
      const answer = await ask(place, {
        start_date: date,
        end_date: date,
        tz: zone,
        granularity: "hourly",
      }, `${date}T12:00:00Z`);
      const found = answer.trends.slice(from, from + expected.length).map(
        ({ label, start, end }): [string, string, number] => [
          label,
          instant(start),
          (Date.parse(end) - Date.parse(start)) / 60_000,
        ],
      );
      deepStrictEqual(found, expected, `${zone} ${date}`);
    }
  },
);

dbTest(
  "readAnalytics() has an empty day where a zone skipped one",
  async (world) => {
    const place = await placeIn(world, "Pacific/Apia");
    await enrol(place, ["2011-12-30T09:59:59.999999Z", "2011-12-30T10:00:00Z"]);
    const range = { start_date: "2011-12-29", end_date: "2011-12-31" };
    for (const now of ["2011-12-31T12:00:00Z", YEARS_LATER]) {
      const daily = await ask(place, range, now);
      deepStrictEqual(bucketsOf(daily), [
        ["2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"],
        ["2011-12-30", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z"],
        ["2011-12-31", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
      ]);
      deepStrictEqual(enrolments(daily), [1, 0, 1]);
      const weekly = await ask(place, { ...range, granularity: "weekly" }, now);
      deepStrictEqual(bucketsOf(weekly), [
        ["2011-W52", "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"],
      ]);
      strictEqual(weekly.summary.total_enrolled, 2);

      const skipped = { start_date: "2011-12-30", end_date: "2011-12-30" };
      const nothing = await ask(place, skipped, now);
      strictEqual(nothing.summary.total_enrolled, 0);
      strictEqual(nothing.period.start, nothing.period.end);
      const after = await ask(place, {
        start_date: "2011-12-31",
        end_date: "2011-12-31",
        compare: "previous",
      }, now);
      deepStrictEqual(after.comparison!.total_enrolled, {
        current: 1,
        previous: 0,
        change: 1,
        change_percent: null,
      });
    }
    const hourly = { ...range, granularity: "hourly" };
    const hours = await ask(place, hourly, "2011-12-31T12:00:00Z");
    strictEqual(hours.trends.length, 48);
    areWhole(hours);
    strictEqual(hours.trends[23]!.label, "2011-12-29T23:00-10:00");
    strictEqual(hours.trends[24]!.label, "2011-12-31T00:00+14:00");
  },
);

dbTest(
  "readAnalytics() cuts ISO weeks and months to the range",
  async (world) => {
    const place = await placeIn(world, "UTC");
    await enrol(place, ["2025-12-28T12:00:00Z", "2026-01-04T23:59:59.999999Z"]);
    const cases: [string, string, string, [string, string][]][] = [
      ["weekly", "2025-12-28", "2026-01-06", [
        ["2025-W52", "2025-12-28"],
        ["2026-W01", "2025-12-29"],
        ["2026-W02", "2026-01-05"],
      ]],
      ["weekly", "2026-12-30", "2027-01-04", [
        ["2026-W53", "2026-12-30"],
        ["2027-W01", "2027-01-04"],
      ]],
      ["weekly", "2021-01-01", "2021-01-04", [
        ["2020-W53", "2021-01-01"],
        ["2021-W01", "2021-01-04"],
      ]],
      ["weekly", "2024-12-29", "2024-12-31", [
        ["2024-W52", "2024-12-29"],
        ["2025-W01", "2024-12-30"],
      ]],
      ["monthly", "2026-01-15", "2026-03-02", [
        ["2026-01", "2026-01-15"],
        ["2026-02", "2026-02-01"],
        ["2026-03", "2026-03-01"],
      ]],
      ["monthly", "2026-02-28", "2026-02-28", [["2026-02", "2026-02-28"]]],
    ];
    for (const [granularity, start_date, end_date, expected] of cases) {
      const query = { start_date, end_date, granularity };
      const answer = await ask(place, query, YEARS_LATER);
      areWhole(answer);
      deepStrictEqual(
        answer.trends.map(({ label, date }) => [label, date]),
        expected,
      );
      deepStrictEqual(
        answer.trends.map(({ start }) => instant(start).slice(0, 10)),
        expected.map(([, date]) => date),
      );
      strictEqual(
        instant(answer.period.end),
        `${plusDays(end_date, 1)}T00:00:00Z`,
      );
    }
    const weeks = await ask(place, {
      start_date: "2025-12-28",
      end_date: "2026-01-06",
      granularity: "weekly",
    }, YEARS_LATER);
    deepStrictEqual(enrolments(weeks), [1, 1, 0]);
  },
);

dbTest("readAnalytics() answers the longest ranges, whole", async (world) => {
  const place = await placeIn(world, "Europe/Paris");
  // The first and the last microsecond of each range below.
  await enrol(place, [
    "2006-06-30T22:00:00Z",
    "2023-12-31T23:00:00Z",
    "2026-01-01T22:59:59.999999Z",
    "2026-03-31T22:00:00Z",
    "2026-06-29T22:00:00Z",
    "2026-06-30T21:59:59.999999Z",
    "2026-07-01T21:59:59.999999Z",
  ]);
  const now = "2026-06-30T12:00:00Z";
  const cases: [string, string, string, number, number][] = [
    ["daily", "2026-06-30", "2026-06-30", 1, 2],
    ["hourly", "2026-06-30", "2026-06-30", 24, 2],
    ["hourly", "2026-04-01", "2026-07-01", 92 * 24, 4],
    ["daily", "2024-01-01", "2026-01-01", 732, 2],
    ["monthly", "2006-07-01", "2026-06-30", 240, 6],
  ];
  for (const [granularity, start_date, end_date, buckets, enrolled] of cases) {
    const query = { start_date, end_date, granularity };
    const answer = await ask(place, query, now);
    strictEqual(answer.trends.length, buckets, granularity);
    areWhole(answer);
    const counts = enrolments(answer);
    strictEqual(counts.reduce((sum, n) => sum + n), enrolled, granularity);
    strictEqual(answer.summary.total_enrolled, enrolled);
    areReached(counts);
  }
});

/** Something lies in the first bucket and in the last one. */
function areReached(counts: number[]): void {
  deepStrictEqual([counts[0]! > 0, counts.at(-1)! > 0], [true, true]);
}

dbTest(
  "readAnalytics() answers other zones while their days are kept",
  async (world) => {
    const place = await placeIn(world, "Europe/Paris");
    await enrol(place, ["2026-06-15T02:00:00Z"]);
    // In New York it is the 13th of September still, the 90th day after.
    const now = "2026-09-14T03:59:59.999Z";
    const query = {
      start_date: "2026-06-15",
      end_date: "2026-06-15",
      tz: "America/New_York",
    };
    const kept = await ask(place, query, now);
    strictEqual(kept.period.tz_effective, "America/New_York");
    strictEqual(instant(kept.period.start), "2026-06-15T04:00:00Z");
    strictEqual(kept.summary.total_enrolled, 0);
    await ask(place, { ...query, granularity: "hourly" }, now);

    for (const late of ["2026-09-14T04:00:00Z", YEARS_LATER]) {
      const gone = await ask(place, query, late);
      strictEqual(gone.period.tz, "America/New_York");
      strictEqual(gone.period.tz_effective, "Europe/Paris");
      strictEqual(instant(gone.period.start), "2026-06-14T22:00:00Z");
      strictEqual(gone.summary.total_enrolled, 1);
      for (const tz of ["Europe/Paris", "America/New_York"]) {
        await rejects(
          ask(place, { ...query, tz, granularity: "hourly" }, late),
          DetailExpired,
        );
      }
    }
  },
);

/** Dates compared with, by what was asked. */
const COMPARED: [string, string, string, string, string][] = [
  ["previous", "2026-06-01", "2026-06-30", "2026-05-02", "2026-05-31"],
  ["previous", "2026-03-01", "2026-03-01", "2026-02-28", "2026-02-28"],
  ["previous", "2024-03-01", "2024-03-01", "2024-02-29", "2024-02-29"],
  ["year", "2026-06-01", "2026-06-30", "2025-06-01", "2025-06-30"],
  ["year", "2024-02-29", "2024-02-29", "2023-02-28", "2023-02-28"],
  ["year", "2024-02-28", "2024-03-01", "2023-02-28", "2023-03-01"],
  ["year", "2025-02-28", "2025-02-28", "2024-02-28", "2024-02-28"],
];

dbTest(
  "readAnalytics() finds the range before and the one of last year",
  async (world) => {
    const place = await placeIn(world, "UTC");
    for (const [compare, start_date, end_date, first, last] of COMPARED) {
      const other = { ...place, workflow_id: crypto.randomUUID() };
      const end = `${plusDays(last, 1)}T00:00:00Z`;
      // In it are the second and the third; the fifth may be in the present range.
      await enrol(other, [
        before(`${first}T00:00:00Z`),
        `${first}T00:00:00Z`,
        before(end),
        `${plusDays(end_date, 1)}T00:00:00Z`,
      ]);
      const query = { start_date, end_date, compare };
      const { comparison } = await ask(other, query, YEARS_LATER);
      deepStrictEqual(comparison!.period, {
        start_date: first,
        end_date: last,
        tz_effective: "UTC",
        start: comparison!.period.start,
        end: comparison!.period.end,
      });
      strictEqual(instant(comparison!.period.start), `${first}T00:00:00Z`);
      strictEqual(instant(comparison!.period.end), end);
      deepStrictEqual(comparison!.total_enrolled, {
        current: 0,
        previous: 2,
        change: -2,
        change_percent: -100,
      }, `${compare} ${start_date}`);
    }
  },
);

dbTest(
  "readAnalytics() compares an unfinished range with as long a one",
  async (world) => {
    const place = await placeIn(world, "Europe/Paris");
    await enrol(place, [
      "2026-03-28T09:59:59.999999Z",
      "2026-03-28T10:00:00Z",
      "2025-03-27T23:00:00Z",
      "2025-03-28T22:59:59.999999Z",
      "2025-03-28T23:00:00Z",
    ]);
    const spring = { start_date: "2026-03-29", end_date: "2026-03-29" };
    const past = async (query: Record<string, unknown>, now: string) => {
      const { comparison } = await ask(place, query, now);
      const { start, end, tz_effective } = comparison!.period;
      return [
        instant(start),
        instant(end),
        tz_effective,
        comparison!.total_enrolled.previous,
      ];
    };
    // The day has run for eleven hours, though its clocks say noon.
    deepStrictEqual(
      await past({ ...spring, compare: "previous" }, "2026-03-29T10:00:00Z"),
      ["2026-03-27T23:00:00Z", "2026-03-28T10:00:00Z", "Europe/Paris", 1],
    );
    // As long as it was, and once it is over, the whole day, which had an hour more.
    deepStrictEqual(
      await past(
        { ...spring, compare: "previous" },
        "2026-03-29T21:59:59.999Z",
      ),
      ["2026-03-27T23:00:00Z", "2026-03-28T21:59:59.999Z", "Europe/Paris", 2],
    );
    deepStrictEqual(
      await past({ ...spring, compare: "previous" }, "2026-03-29T22:00:00Z"),
      ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "Europe/Paris", 2],
    );
    // It has not begun.
    deepStrictEqual(
      await past({ ...spring, compare: "previous" }, "2026-03-28T12:00:00Z"),
      ["2026-03-27T23:00:00Z", "2026-03-27T23:00:00Z", "Europe/Paris", 0],
    );
    // A year ago there are whole days only, and only the account's.
    const two = { start_date: "2026-03-28", end_date: "2026-03-29" };
    deepStrictEqual(
      await past(
        { ...two, compare: "year", tz: "Asia/Tokyo" },
        "2026-03-29T14:00:00Z",
      ),
      ["2025-03-27T23:00:00Z", "2025-03-28T23:00:00Z", "Europe/Paris", 2],
    );
    // Longer than what it is compared with.
    deepStrictEqual(
      await past({
        ...two,
        compare: "custom",
        compare_start: "2026-03-28",
        compare_end: "2026-03-28",
      }, "2026-03-29T21:00:00Z"),
      ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "Europe/Paris", 2],
    );
  },
);

dbTest(
  "readAnalytics() compares the numbers as they are shown",
  async (world) => {
    const place = await placeIn(world, "UTC");
    const completed = (at: string): Then => ({
      type: "execution.completed",
      at,
    });
    // Three of which one completes in 1.5 s, against four of which two do, in 1 s and in 1.001 s.
    await enrol(place, ["2026-06-12T10:00:00Z", "2026-06-12T11:00:00Z"]);
    await enrol(place, ["2026-06-12T12:00:00Z"], [
      completed("2026-06-12T12:00:01.5Z"),
    ]);
    await enrol(place, ["2026-06-11T10:00:00Z", "2026-06-11T11:00:00Z"]);
    await enrol(place, ["2026-06-11T12:00:00Z"], [
      completed("2026-06-11T12:00:01Z"),
    ]);
    await enrol(place, ["2026-06-11T12:00:00Z"], [
      completed("2026-06-11T12:00:01.001Z"),
    ]);
    const { comparison } = await ask(place, {
      start_date: "2026-06-12",
      end_date: "2026-06-12",
      compare: "previous",
    }, "2026-06-15T12:00:00Z");
    const { period: _, ...numbers } = comparison!;
    deepStrictEqual(numbers, {
      total_enrolled: {
        current: 3,
        previous: 4,
        change: -1,
        change_percent: -25,
      },
      completed: { current: 1, previous: 2, change: -1, change_percent: -50 },
      completion_rate: { current: 33.33, previous: 50, change: -16.67 },
      goals_achieved: {
        current: 0,
        previous: 0,
        change: 0,
        change_percent: null,
      },
      conversion_rate: { current: 0, previous: 0, change: 0 },
      average_duration_seconds: {
        current: 1.5,
        // 1.0005 is shown as 1.001, and 0.499 / 1.001 is 49.850… %.
        previous: 1.001,
        change: 0.499,
        change_percent: 49.85,
      },
    });
  },
);

dbTest(
  "readFunnel() compares with the range before and with all before its end",
  async (world) => {
    const place = await placeIn(world, "UTC");
    const step_id = crypto.randomUUID();
    const through = async (date: string, completes: boolean) => {
      const then: Then[] = [
        { type: "step.entered", at: `${date}T12:00:01Z`, step_id },
        completes
          ? { type: "step.completed", at: `${date}T12:00:02Z`, step_id }
          : { type: "execution.failed", at: `${date}T12:00:02Z` },
      ];
      await enrol(place, [`${date}T12:00:00Z`], then);
    };
    for (const completes of [true, false, false]) {
      await through("2026-06-12", completes);
    }
    for (const completes of [true, true, false]) {
      await through("2026-06-11", completes);
    }
    // Not of the previous range, and after the range.
    await through("2026-05-01", true);
    await through("2026-06-13", true);
    const of = async (date: string) => {
      const funnel = await readFunnel(
        place.sql,
        place.account_id,
        place.workflow_id,
        AnalyticsQuery.parse({ start_date: date, end_date: date }),
        new Date("2026-06-15T12:00:00Z"),
      );
      const [step] = funnel!.funnel_steps;
      return [step!.vs_previous_period, step!.vs_workflow_average];
    };
    deepStrictEqual(await of("2026-06-12"), [
      // 33.33 - 66.67 and 66.67 - 33.33.
      { conversion_rate: -33.34, drop_off_rate: 33.34 },
      // 4 and 3 of 7 are 57.14 and 42.86.
      { conversion_rate: -23.81, drop_off_rate: 23.81 },
    ]);
    deepStrictEqual(await of("2026-05-01"), [
      { conversion_rate: null, drop_off_rate: null },
      { conversion_rate: 0, drop_off_rate: 0 },
    ]);
  },
);
