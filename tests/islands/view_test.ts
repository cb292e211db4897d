import { strictEqual } from "node:assert/strict";
import type { AnalyticsQuery } from "../../db/schema.ts";
import { presetRange } from "../../islands/range.ts";
import {
  granularityFor,
  type View,
  viewParams,
  withQuery,
  withRange,
} from "../../islands/view.ts";

const QUERY: AnalyticsQuery = {
  start_date: "2026-02-01",
  end_date: "2026-03-02",
  tz: "Asia/Kathmandu",
  granularity: "daily",
  attribution: "cohort",
  unit: "execution",
  compare: "previous",
};
const VIEW: View = {
  query: QUERY,
  preset: "30d",
  autoGranularity: true,
  sort: "health",
  reversed: false,
  page: 1,
};

Deno.test("viewParams() says the range and the zone, and nothing that is the same for all", () => {
  strictEqual(`${viewParams(VIEW)}`, "range=30d&tz=Asia%2FKathmandu");
});

Deno.test("viewParams() says whatever was chosen", () => {
  const view = withQuery({ ...VIEW, sort: "p95", reversed: true }, {
    attribution: "event",
    compare: "custom",
    compare_start: "2025-02-01",
    compare_end: "2025-03-02",
    version: 2,
  });
  strictEqual(
    `${viewParams({ ...view, autoGranularity: false, page: 3 })}`,
    "range=30d&tz=Asia%2FKathmandu&granularity=daily&attribution=event" +
      "&compare=custom&compare_start=2025-02-01&compare_end=2025-03-02" +
      "&version=2&sort=p95&reversed=1&page=3",
  );
});

Deno.test("withRange() moves the dates and begins the table anew", () => {
  const dates = presetRange("7d", "2026-03-02");
  const view = withRange({ ...VIEW, page: 4 }, null, dates);
  strictEqual(
    `${viewParams(view)}`,
    "start_date=2026-02-24&end_date=2026-03-02&tz=Asia%2FKathmandu",
  );
});

Deno.test("granularityFor() keeps a chart below some hundred buckets", () => {
  const from = (start_date: string) =>
    granularityFor({ start_date, end_date: "2026-03-02" });
  strictEqual(from("2026-03-01"), "hourly");
  strictEqual(from("2026-02-28"), "daily");
  strictEqual(from("2025-12-01"), "daily");
  strictEqual(from("2025-11-01"), "weekly");
  strictEqual(from("2023-03-02"), "monthly");
});
