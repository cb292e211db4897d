import { deepStrictEqual, match, ok } from "node:assert/strict";
import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import type { ChartPoint } from "../../islands/columns.ts";
import { formatDay } from "../../islands/format.ts";
import { Trends } from "../../islands/trends.tsx";

const POINTS: ChartPoint[] = Array.from({ length: 3 }, (_, i) => ({
  date: `2026-03-0${i + 1}`,
  label: `2026-03-0${i + 1}`,
  new_enrollments: 1_000 * (i + 1),
  completions: 100 * (i + 1),
  conversions: 10 * (i + 1),
  currently_active: i + 1,
  cohort_completed: 0,
  cohort_converted: 0,
}));
const PROPS = { granularity: "daily", past: null, onZoom: null } as const;

Deno.test("Trends() renders on the server a table with the charts' numbers", () => {
  const trend = { points: POINTS, finished: 2, past: null };
  const html = renderToString(h(Trends, { ...PROPS, trend }));
  const rows = html.match(/<tr>.*?<\/tr>/g)!.slice(1).map((row) =>
    row.match(/<td>[^<]*/g)!.map((cell) =>
      Number(cell.slice(4).replaceAll(",", ""))
    )
  );
  deepStrictEqual(
    rows,
    POINTS.map((p) => [
      p.new_enrollments,
      p.completions,
      p.conversions,
      p.currently_active,
    ]),
  );
  for (const { date } of POINTS) ok(html.includes(formatDay(date)));
  match(
    html,
    /6,000 enrolled, 600 completed and 60 converted in 3 days, each counted when it happened; 3 are active at its end/,
  );
});

Deno.test("Trends() says what to expect where no bucket has begun", () => {
  const trend = { points: [], finished: 0, past: null };
  match(renderToString(h(Trends, { ...PROPS, trend })), /has not begun/);
});
