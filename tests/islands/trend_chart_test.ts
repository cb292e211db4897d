import { deepStrictEqual, match, ok } from "node:assert/strict";
import { h } from "preact";
import { renderToString } from "preact-render-to-string";
import { formatDay } from "../../islands/format.ts";
import TrendChart from "../../islands/TrendChart.tsx";

const POINTS = Array.from({ length: 3 }, (_, i) => ({
  date: `2026-03-0${i + 1}`,
  new_enrollments: 1_000 * (i + 1),
  completions: 100 * (i + 1),
  conversions: 10 * (i + 1),
}));

Deno.test("TrendChart() renders on the server a table with the chart's numbers", () => {
  const html = renderToString(
    h(TrendChart, { trend: { points: POINTS, finished: 2 } }),
  );
  const rows = html.match(/<tr>.*?<\/tr>/g)!.slice(1).map((row) =>
    row.match(/<td>[^<]*/g)!.map((cell) =>
      Number(cell.slice(4).replaceAll(",", ""))
    )
  );
  deepStrictEqual(
    rows,
    POINTS.map((p) => [p.new_enrollments, p.completions, p.conversions]),
  );
  for (const { date } of POINTS) ok(html.includes(formatDay(date)));
  match(html, /6,000 enrolled, 600 completed and 60 converted in 3 days/);
});

Deno.test("TrendChart() says what to expect where no bucket has begun", () => {
  const html = renderToString(
    h(TrendChart, { trend: { points: [], finished: 0 } }),
  );
  match(html, /has not begun/);
});
