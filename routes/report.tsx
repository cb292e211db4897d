/**
 * The report: a workflow's numbers as a page to be printed. It refers to nothing: the
 * printer reaches nothing.
 *
 * @module
 */

import { Fragment } from "preact";
import { renderToString } from "preact-render-to-string";
import type {
  Actions,
  Analytics,
  Change,
  Funnel,
  FunnelStep,
  Rate,
  TrendPoint,
} from "../db/schema.ts";
import {
  formatCount,
  formatInstant,
  formatRange,
  formatSeconds,
  formatWord,
} from "../islands/format.ts";
import { REPORT_TEXT as SAYS } from "../islands/text.ts";

/** What the report shows. */
export interface ReportProps {
  workflowName: string;
  accountName: string;
  analytics: Analytics;
  funnel: Funnel;
  actions: Actions;
  /** How many times the workflow's numbers had changed. */
  revision: number;
  /** Only of this version of the workflow. */
  query: { version?: number };
  generatedAt: Date;
}

/**
 * @param props What is shown.
 * @returns A whole document.
 */
export function renderReport(props: ReportProps): string {
  return `<!doctype html>${renderToString(<Report {...props} />)}`;
}

function Report(props: ReportProps) {
  const { workflowName, analytics, funnel, actions } = props;
  const { start_date, end_date } = analytics.period;
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          http-equiv="content-security-policy"
          content="default-src 'none'; style-src 'unsafe-inline'"
        />
        <title>{`${workflowName}, ${formatRange(start_date, end_date)}`}</title>
        <style dangerouslySetInnerHTML={{ __html: STYLE }} />
      </head>
      <body>
        <Header {...props} />
        <Summary analytics={analytics} />
        <Funnels funnel={funnel} />
        <Trends analytics={analytics} />
        <ActionTable actions={actions} />
        <ExitReasons analytics={analytics} />
      </body>
    </html>
  );
}

function Header(
  { workflowName, accountName, analytics, revision, query, generatedAt }:
    ReportProps,
) {
  const { period, as_of } = analytics;
  const zone = period.tz_effective;
  return (
    <header>
      <h1>{workflowName}</h1>
      <dl class="facts">
        <Fact name={SAYS.account}>{accountName}</Fact>
        <Fact name={SAYS.range}>
          {period.start_date} – {period.end_date}
        </Fact>
        <Fact name={SAYS.zone}>{zone}</Fact>
        <Fact name={SAYS.counted}>
          {SAYS.attributions[period.attribution]}, {SAYS.units[period.unit]}
          {query.version === undefined
            ? ""
            : `, ${SAYS.version(query.version)}`}
        </Fact>
        <Fact name={SAYS.generated}>
          {formatInstant(generatedAt.toISOString(), zone)}
        </Fact>
        <Fact name={SAYS.asOf}>
          {formatInstant(as_of, zone)}, {SAYS.revision(revision)}
        </Fact>
      </dl>
    </header>
  );
}

function Fact({ name, children }: { name: string; children: unknown }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children as never}</dd>
    </div>
  );
}

function Summary(
  { analytics: { summary, comparison } }: { analytics: Analytics },
) {
  const rows: [string, string, Partial<Change> | null, Show][] = [
    [
      "total_enrolled",
      count(summary.total_enrolled),
      comparison && comparison.total_enrolled,
      count,
    ],
    ["currently_active", count(summary.currently_active), null, count],
    ["in_progress", count(summary.in_progress), null, count],
    [
      "completed",
      count(summary.completed),
      comparison && comparison.completed,
      count,
    ],
    [
      "completion_rate",
      percent(summary.completion_rate),
      comparison && comparison.completion_rate,
      percent,
    ],
    [
      "settled_completion_rate",
      percent(summary.settled_completion_rate),
      null,
      percent,
    ],
    [
      "goals_achieved",
      count(summary.goals_achieved),
      comparison && comparison.goals_achieved,
      count,
    ],
    [
      "conversion_rate",
      percent(summary.conversion_rate),
      comparison && comparison.conversion_rate,
      percent,
    ],
    [
      "settled_conversion_rate",
      percent(summary.settled_conversion_rate),
      null,
      percent,
    ],
    [
      "average_duration_seconds",
      duration(summary.average_duration_seconds),
      comparison && comparison.average_duration_seconds,
      duration,
    ],
    [
      "average_duration_hours",
      hours(summary.average_duration_hours),
      null,
      hours,
    ],
    [
      "median_duration_seconds",
      duration(summary.median_duration_seconds),
      null,
      duration,
    ],
    [
      "p95_duration_seconds",
      duration(summary.p95_duration_seconds),
      null,
      duration,
    ],
    [
      "average_conversion",
      duration(summary.time_to_conversion.average),
      null,
      duration,
    ],
    [
      "median_conversion",
      duration(summary.time_to_conversion.median),
      null,
      duration,
    ],
    ...(["p95", "fastest", "slowest"] as const).map((name) =>
      [
        `${name}_conversion`,
        duration(summary.time_to_conversion[name]),
        null,
        duration,
      ] as const
    ),
    ["enrollment_rate", count(summary.enrollment_rate), null, count],
  ].map((row) => row as [string, string, Partial<Change> | null, Show]);
  return (
    <section>
      <h2>{SAYS.summary}</h2>
      {comparison && (
        <p>
          {SAYS.compared(formatRange(
            comparison.period.start_date,
            comparison.period.end_date,
          ))}
        </p>
      )}
      <table>
        <thead>
          <tr>
            <th scope="col">{SAYS.number}</th>
            <th scope="col" class="n">{SAYS.current}</th>
            {comparison && (
              <>
                <th scope="col" class="n">{SAYS.previous}</th>
                <th scope="col" class="n">{SAYS.change}</th>
              </>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, value, change, show]) => (
            <tr key={name}>
              <th scope="row">
                {SAYS.numbers[name as keyof typeof SAYS.numbers]}
              </th>
              <td class="n">{value}</td>
              {comparison && (
                <>
                  <td class="n">
                    {change ? show(change.previous ?? null) : ""}
                  </td>
                  <td class="n">{change ? changeText(change, show) : ""}</td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      <div class="pair">
        <ShareTable
          title={SAYS.source}
          caption={SAYS.sources}
          rows={summary.enrollment_sources.map((row) => [row.source, row])}
        />
        <table>
          <caption>{SAYS.goals}</caption>
          <thead>
            <tr>
              <th scope="col">{SAYS.goal}</th>
              <th scope="col" class="n">{SAYS.achieved}</th>
              <th scope="col" class="n">{SAYS.first}</th>
              <th scope="col" class="n">{SAYS.rate}</th>
            </tr>
          </thead>
          <tbody>
            {summary.goal_breakdown.map((goal) => (
              <tr key={goal.goal_id}>
                <th scope="row">{goal.goal_name ?? goal.goal_id}</th>
                <td class="n">{count(goal.achieved)}</td>
                <td class="n">{count(goal.first)}</td>
                <td class="n">{percent(goal.rate)}</td>
              </tr>
            ))}
            {summary.goal_breakdown.length === 0 && <None columns={4} />}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function ShareTable(
  { title, caption, rows }: {
    title: string;
    /** Where the heading above does not say it. */
    caption?: string;
    rows: [string, { count: number; share: number }][];
  },
) {
  return (
    <table>
      {caption && <caption>{caption}</caption>}
      <thead>
        <tr>
          <th scope="col">{title}</th>
          <th scope="col" class="n">{SAYS.count}</th>
          <th scope="col" class="n">{SAYS.share}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, row]) => (
          <tr key={name}>
            <th scope="row">{formatWord(name)}</th>
            <td class="n">{count(row.count)}</td>
            <td class="n">{percent(row.share)}</td>
          </tr>
        ))}
        {rows.length === 0 && <None columns={3} />}
      </tbody>
    </table>
  );
}

/** What became of those who entered a step, in the order of the bar. */
const FATES = [
  "completed",
  "goal_exits",
  "in_progress",
  "dropped_off",
] as const;

function Funnels({ funnel }: { funnel: Funnel }) {
  const most = Math.max(1, ...funnel.funnel_steps.map((step) => step.entered));
  return (
    <section>
      <h2>{SAYS.funnel}</h2>
      <p>
        {funnel.overall_conversion === null
          ? SAYS.nobody
          : SAYS.overall(percent(funnel.overall_conversion))}
        {funnel.drop_off_points.length > 0 &&
          ` ${SAYS.lostAt} ${
            funnel.drop_off_points.map((point) =>
              `${point.step_name} (${count(point.dropped_off)}, ${
                percent(point.drop_off_rate)
              })`
            ).join("; ")
          }.`}
      </p>
      <table class="funnel">
        <thead>
          <tr>
            <th scope="col" class="wide">{SAYS.step}</th>
            <th scope="col" class="n">{SAYS.entered}</th>
            <th scope="col" class="n">{SAYS.fates.completed}</th>
            <th scope="col" class="n">{SAYS.fates.goal_exits}</th>
            <th scope="col" class="n">{SAYS.fates.in_progress}</th>
            <th scope="col" class="n">{SAYS.fates.dropped_off}</th>
            <th scope="col" class="n">{SAYS.leftAfter}</th>
            <th scope="col" class="n">{SAYS.visits}</th>
            <th scope="col" class="n time">{SAYS.times}</th>
          </tr>
        </thead>
        <tbody>
          {funnel.funnel_steps.map((step) => (
            <tr key={step.step_id}>
              <th scope="row">
                {step.step_name}
                <StepBar step={step} most={most} />
              </th>
              <td class="n">{count(step.entered)}</td>
              <td class="n">
                {count(step.completed)}{" "}
                <small>{percent(step.conversion_rate)}</small>
              </td>
              <td class="n">{count(step.goal_exits)}</td>
              <td class="n">{count(step.in_progress)}</td>
              <td class="n">
                {count(step.dropped_off)}{" "}
                <small>{percent(step.drop_off_rate)}</small>
              </td>
              <td class="n">{count(step.left_after)}</td>
              <td class="n">{count(step.visits)}</td>
              <td class="n">
                {duration(step.average_time_seconds)}{" "}
                <small>
                  {SAYS.median} {duration(step.median_time_seconds)}
                </small>
              </td>
            </tr>
          ))}
          {funnel.funnel_steps.length === 0 && <None columns={9} />}
        </tbody>
      </table>
      <StepDifferences funnel={funnel} />
      <p class="key">
        {FATES.map((fate) => (
          <span key={fate}>
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <rect class={fate} width="10" height="10" />
            </svg>{" "}
            {SAYS.fates[fate]}
          </span>
        ))}
      </p>
    </section>
  );
}

/** How each step does beside the range before and beside all cohorts that are kept. */
function StepDifferences({ funnel }: { funnel: Funnel }) {
  if (funnel.funnel_steps.length === 0) return null;
  return (
    <>
      <h3>{SAYS.differences}</h3>
      <table class="differences">
        <thead>
          <tr>
            <th scope="col" class="wide">{SAYS.step}</th>
            <th scope="col" class="n">{SAYS.completedBefore}</th>
            <th scope="col" class="n">{SAYS.droppedBefore}</th>
            <th scope="col" class="n">{SAYS.completedEver}</th>
            <th scope="col" class="n">{SAYS.droppedEver}</th>
            <th scope="col" class="n time">{SAYS.p95Time}</th>
          </tr>
        </thead>
        <tbody>
          {funnel.funnel_steps.map((step) => (
            <tr key={step.step_id}>
              <th scope="row">{step.step_name}</th>
              {[step.vs_previous_period, step.vs_workflow_average].map((
                by,
                i,
              ) => (
                <Fragment key={i}>
                  <td class="n">{points(by.conversion_rate)}</td>
                  <td class="n">{points(by.drop_off_rate)}</td>
                </Fragment>
              ))}
              <td class="n">{duration(step.p95_time_seconds)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function StepBar({ step, most }: { step: FunnelStep; most: number }) {
  let x = 0;
  return (
    <svg
      class="bar"
      viewBox="0 0 1000 30"
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {FATES.map((fate) => {
        const width = step[fate] / most * 1_000;
        const at = x;
        x += width;
        return (
          <rect key={fate} class={fate} x={at} width={width} height="30" />
        );
      })}
    </svg>
  );
}

const LINES = ["new_enrollments", "completions", "conversions"] as const;

function Trends({ analytics: { trends, period } }: { analytics: Analytics }) {
  const most = Math.max(
    0,
    ...trends.flatMap((point) => LINES.map((name) => point[name])),
  );
  return (
    <section>
      <h2>{SAYS.trends}</h2>
      {trends.length > 1 && most > 0 && (
        <TrendLines trends={trends} most={most} />
      )}
      <table class={`trends ${period.granularity}`}>
        <thead>
          <tr>
            <th scope="col" class="label">
              {SAYS.buckets[period.granularity]}
            </th>
            {TREND_COLUMNS.map((name) => (
              <th key={name} scope="col" class="n">{SAYS.trend[name]}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {trends.map((point) => (
            <tr key={point.start}>
              <th scope="row">{labelOf(point)}</th>
              {TREND_COLUMNS.map((name) => (
                <td key={name} class="n">{count(point[name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** A day as it is; an hour without what goes without saying. */
function labelOf({ label }: TrendPoint): string {
  const [day, hour] = label.split("T");
  if (hour === undefined) return label;
  return `${day} ${hour.replace(/(?=[+-])/, " ").replace(" +00:00", "")}`;
}

const TREND_COLUMNS = [
  "new_enrollments",
  "completions",
  "conversions",
  "exits",
  "cohort_completed",
  "cohort_converted",
  "in_progress",
  "total_enrolled",
  "currently_active",
] as const;

function TrendLines({ trends, most }: { trends: TrendPoint[]; most: number }) {
  const place = (point: TrendPoint, name: typeof LINES[number], i: number) =>
    `${(i / (trends.length - 1) * 1_000).toFixed(1)},${
      (200 - point[name] / most * 190).toFixed(1)
    }`;
  return (
    <figure>
      <svg
        class="lines"
        viewBox="0 0 1000 204"
        role="img"
        aria-label={SAYS.chart}
      >
        <line class="axis" x1="0" x2="1000" y1="200" y2="200" />
        <line class="axis" x1="0" x2="1000" y1="10" y2="10" />
        {LINES.map((name) => (
          <polyline
            key={name}
            class={name}
            points={trends.map((point, i) => place(point, name, i)).join(" ")}
          />
        ))}
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{labelOf(trends[0]!)}</span>
        <span>{labelOf(trends.at(-1)!)}</span>
      </div>
      <figcaption class="key">
        <span>{SAYS.upTo(count(most))}</span>
        {LINES.map((name) => (
          <span key={name}>
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <line class={name} x1="0" x2="10" y1="5" y2="5" />
            </svg>{" "}
            {SAYS.trend[name]}
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

function ActionTable({ actions }: { actions: Actions }) {
  return (
    <section>
      <h2>{SAYS.actions}</h2>
      <table class="actions">
        <thead>
          <tr>
            <th scope="col" class="wide">{SAYS.action}</th>
            <th scope="col" class="n">{SAYS.executions}</th>
            <th scope="col" class="n">{SAYS.success}</th>
            <th scope="col" class="n">{SAYS.failures}</th>
            <th scope="col" class="n">{SAYS.average}</th>
            <th scope="col" class="n">p50</th>
            <th scope="col" class="n">p95</th>
            <th scope="col" class="n">p99</th>
            <th scope="col">{SAYS.health}</th>
          </tr>
        </thead>
        <tbody>
          {actions.actions.map((action) => (
            <tr key={action.action_id}>
              <th scope="row">{action.action_name}</th>
              <td class="n">{count(action.executions)}</td>
              <td class="n">
                {count(action.successes)}{" "}
                <small>{percent(action.success_rate)}</small>
              </td>
              <td class="n">
                {count(action.failures)}{" "}
                <small>{percent(action.error_rate)}</small>
              </td>
              <td class="n">{milliseconds(action.average_duration_ms)}</td>
              <td class="n">{milliseconds(action.p50_duration_ms)}</td>
              <td class="n">{milliseconds(action.p95_duration_ms)}</td>
              <td class="n">{milliseconds(action.p99_duration_ms)}</td>
              <td class="word">{formatWord(action.health)}</td>
            </tr>
          ))}
          {actions.actions.length === 0 && <None columns={9} />}
        </tbody>
      </table>
    </section>
  );
}

function ExitReasons({ analytics: { summary } }: { analytics: Analytics }) {
  return (
    <section>
      <h2>{SAYS.exits}</h2>
      <ShareTable
        title={SAYS.reason}
        rows={summary.exit_reasons.map((row) => [row.reason, row])}
      />
    </section>
  );
}

function None({ columns }: { columns: number }) {
  return (
    <tr>
      <td colSpan={columns}>{SAYS.none}</td>
    </tr>
  );
}

type Show = (value: number | null) => string;

/** A space at which no line ends. */
const NBSP = "\u00a0";

/** Nothing to tell. */
const NOTHING = "–";

function count(value: number | null): string {
  return value === null ? NOTHING : formatCount(value);
}

/** As the API says it, so that a reader who looks it up there finds the same. */
function percent(rate: Rate): string {
  return rate === null ? NOTHING : `${rate.toFixed(2)}${NBSP}%`;
}

/** In words, and exactly. */
function duration(seconds: number | null): string {
  if (seconds === null) return NOTHING;
  return `${formatSeconds(seconds).replaceAll(" ", NBSP)} (${seconds}${NBSP}s)`;
}

function hours(value: number | null): string {
  return value === null ? NOTHING : `${value}${NBSP}h`;
}

/** Percentage points, with their sign. */
function points(value: number | null): string {
  if (value === null) return NOTHING;
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return sign + Math.abs(value).toFixed(2);
}

function milliseconds(ms: number | null): string {
  return ms === null ? NOTHING : `${ms}${NBSP}ms`;
}

function changeText(
  { change, change_percent }: Partial<Change>,
  show: Show,
): string {
  if (change === null || change === undefined) return NOTHING;
  const sign = change > 0 ? "+" : change < 0 ? "−" : "";
  const text = sign + show(Math.abs(change));
  if (show === percent) return `${text.replace(/\s%/, "")} ${SAYS.points}`;
  if (change_percent === null || change_percent === undefined) return text;
  return `${text} (${change_percent > 0 ? "+" : ""}${change_percent}${NBSP}%)`;
}

const STYLE = `
@page { size: A4; margin: 14mm 14mm 18mm; }
* { box-sizing: border-box; }
body { font: 9pt/1.4 "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; color: #1b2430; margin: 0; -webkit-print-color-adjust: exact; }
h1 { font-size: 20pt; line-height: 1.2; margin: 0 0 3mm; overflow-wrap: anywhere; }
h2 { font-size: 13pt; margin: 7mm 0 2mm; break-after: avoid; }
h2 + p { break-after: avoid; }
h3 { font-size: 9pt; margin: 0; padding: 2mm 0 1mm; break-after: avoid; }
p { margin: 0 0 2mm; overflow-wrap: anywhere; break-inside: avoid; }
.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 1mm 6mm; margin: 0; padding: 3mm 0; border-top: 1pt solid #1b2430; border-bottom: .5pt solid #b8c0cc; }
.facts div { display: flex; gap: 2mm; }
.facts dt { color: #566070; min-width: 24mm; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; margin: 0 0 3mm; }
caption { text-align: left; font-weight: 600; padding: 2mm 0 1mm; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
tbody tr:first-child:not(:last-child) { break-after: avoid; }
tbody tr:last-child:not(:first-child) { break-before: avoid; }
th, td { text-align: left; vertical-align: top; padding: 1mm 1.5mm; border-bottom: .5pt solid #d8dde5; font-weight: 400; overflow-wrap: anywhere; }
thead th { color: #566070; border-bottom: 1pt solid #8a94a3; vertical-align: bottom; font-size: 8pt; overflow-wrap: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.word { overflow-wrap: normal; white-space: nowrap; }
.actions { font-size: 8pt; }
.actions .n { white-space: nowrap; }
.wide { width: 26%; }
.funnel .time { width: 20%; }
small { display: block; color: #566070; font-size: 7.5pt; }
.differences, .trends { font-size: 8pt; }
.differences .time { width: 20%; }
.trends .label { width: 16%; }
.trends tbody th { white-space: nowrap; }
.hourly .label { width: 24%; }
.pair { display: grid; grid-template-columns: 2fr 3fr; gap: 6mm; align-items: start; break-inside: avoid; }
.ends { display: flex; justify-content: space-between; color: #566070; font-size: 7.5pt; }
.bar { display: block; width: 100%; height: 2mm; margin-top: 1mm; }
.key { display: flex; flex-wrap: wrap; gap: 1mm 5mm; color: #566070; font-size: 8pt; }
.key svg { width: 2.6mm; height: 2.6mm; }
figure { margin: 0 0 3mm; break-inside: avoid; }
.lines { display: block; width: 100%; height: 38mm; }
polyline, .key line { fill: none; stroke-width: 2.5; }
.axis { stroke: #d8dde5; stroke-width: 1; }
.completed { fill: #1f7a5c; } .goal_exits { fill: #6fb59a; } .in_progress { fill: #b8c0cc; } .dropped_off { fill: #c2513c; }
.new_enrollments { stroke: #2f5fa8; } .completions { stroke: #1f7a5c; } .conversions { stroke: #c07a1c; stroke-dasharray: 6 3; }
`;
