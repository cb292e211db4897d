/**
 * The page of a workflow, below the site's header: written by the server, alive in the
 * browser.
 *
 * @module
 */

import type { Actions, Distribution, Funnel, Workflow } from "../db/schema.ts";
import { ActionsSection } from "./actions.tsx";
import type { ChartTrend } from "./columns.ts";
import { Command } from "./command.tsx";
import { Controls, zoneName } from "./controls.tsx";
import { formatInstant, formatRange } from "./format.ts";
import { FunnelSection } from "./funnel.tsx";
import { ComparedWith, Headline, type Numbers } from "./headline.tsx";
import { useNavigation } from "./navigation.ts";
import type { Opener } from "./open.tsx";
import { presetRange } from "./range.ts";
import { Lists } from "./shares.tsx";
import { TEXT } from "./text.ts";
import { Trends } from "./trends.tsx";
import { type View, viewParams, withRange } from "./view.ts";

/** JSON only: these props are written into the page. */
export interface DashboardProps {
  workflow: { id: string; name: string | null; status: Workflow["status"] };
  view: View;
  numbers: Numbers;
  trend: ChartTrend;
  funnel: Funnel;
  actions: Actions;
  distribution: Distribution;
  /** In the view's zone, `YYYY-MM-DD`. */
  today: string;
  /** Zones that are offered first. */
  zones: string[];
  /** Of the registered versions, newest first. */
  versions: number[];
  /** Why the URL's range was not used, `null` where it was. */
  problem: string | null;
  /** Of this page. */
  path: string;
  /** Of the list of executions, `null` where it is not to be seen. */
  executionsPath: string | null;
  /** Commands that bring the first event in; `null` where there has been one. */
  first: { key: string; event: string } | null;
}

/** The island. */
export default function Dashboard(initial: DashboardProps) {
  const { props, isLoading, go } = useNavigation("Dashboard", initial);
  const { view, numbers, trend, path } = props;
  const href = (view: View) => `${path}?${viewParams(view)}`;
  const open = openerOf(props);
  const compared = numbers.comparison?.period;
  const past = compared
    ? formatRange(compared.start_date, compared.end_date)
    : null;

  function onZoom(from: number, to: number) {
    const start_date = trend.points[from]!.date;
    const end_date = lastDateOf(trend, to, view.query.end_date);
    go(href(withRange(view, null, { start_date, end_date })));
  }

  return (
    <>
      <DashboardHeader {...props} />
      <Controls {...props} href={href} go={go} />
      <p class="hidden" role="status">
        {isLoading ? TEXT.dashboard.loading : ""}
      </p>
      {/* Another view is other numbers: none of those before glows. */}
      <div key={href(view)} class="numbers-of-view" aria-busy={isLoading}>
        <p class="page-note" id="attribution-note">
          {TEXT.controls.attributionExplained[view.query.attribution]}
        </p>
        {props.first && <FirstEvent {...props} href={href} />}
        <Headline numbers={numbers} trend={trend} open={open} />
        <Trends
          trend={trend}
          granularity={numbers.period.granularity}
          past={past}
          onZoom={onZoom}
        />
        <FunnelSection
          funnel={props.funnel}
          compared={view.query.compare === "previous"}
          open={open}
        />
        <Lists
          summary={numbers.summary}
          distribution={props.distribution}
          open={open}
        />
        <ActionsSection actions={props.actions} view={view} href={href} />
      </div>
    </>
  );
}

/** The list of executions of the view's range, version, attribution and zone. */
function openerOf({ executionsPath, view }: DashboardProps): Opener | null {
  if (executionsPath === null) return null;
  const { query } = view;
  return (filter) => {
    const params = new URLSearchParams();
    if (query.tz) params.set("tz", query.tz);
    // What runs at an instant may have been enrolled long before.
    if (!filter.running_at) {
      params.set("start_date", query.start_date);
      params.set("end_date", query.end_date);
      // A step's numbers are by cohort whatever the view is.
      if (!filter.step_id) params.set("attribution", query.attribution);
    } else params.delete("tz");
    if (query.version) params.set("version", String(query.version));
    for (const [name, value] of Object.entries(filter)) {
      if (value !== undefined) params.set(name, value);
    }
    return `${executionsPath}?${params}`;
  };
}

/** The last local date of a bucket: the day before the next one begins. */
function lastDateOf(trend: ChartTrend, at: number, last: string): string {
  const { date } = trend.points[at]!;
  const next = trend.points.slice(at + 1).find((point) => point.date !== date);
  if (!next) return last;
  const before = new Date(`${next.date}T00:00:00Z`);
  before.setUTCDate(before.getUTCDate() - 1);
  return before.toISOString().slice(0, 10);
}

function DashboardHeader(
  { workflow, numbers, problem, executionsPath }: DashboardProps,
) {
  const { period, as_of } = numbers;
  const zone = period.tz_effective;
  return (
    <header class="page-head">
      <h1>
        <bdi>{workflow.name ?? TEXT.unnamed(workflow.id)}</bdi>{" "}
        <span class={`badge ${workflow.status}`}>
          {TEXT.status[workflow.status]}
        </span>
      </h1>
      <p class="page-facts">
        <b>{formatRange(period.start_date, period.end_date)}</b>
        <span>{zoneName(zone)}</span>
        <ComparedWith comparison={numbers.comparison} />
        <span>
          {TEXT.dashboard.asOf}{" "}
          <time dateTime={as_of}>{formatInstant(as_of, zone)}</time>
        </span>
      </p>
      {executionsPath && (
        <nav class="page-links" aria-label={TEXT.dashboard.links}>
          <a class="button" href={executionsPath}>
            {TEXT.dashboard.executions}
          </a>
        </nav>
      )}
      {problem && (
        <p class="notice" role="alert">
          {TEXT.dashboard.invalidRange(problem)}
        </p>
      )}
      {zone !== period.tz && (
        <p class="notice">
          {TEXT.dashboard.zoneReplaced(period.tz, zone)}
        </p>
      )}
    </header>
  );
}

function FirstEvent(
  { first, view, today, href }: DashboardProps & {
    href(view: View): string;
  },
) {
  const longest = presetRange("90d", today);
  const isShown = view.query.start_date <= longest.start_date;
  return (
    <section class="panel first" aria-labelledby="first">
      <h2 id="first">
        {isShown ? TEXT.first.title : TEXT.first.otherRange}
      </h2>
      {!isShown && (
        <p>
          <a href={href(withRange(view, "90d", longest))}>
            {TEXT.first.widen}
          </a>
        </p>
      )}
      <p>{TEXT.first.lead}</p>
      <h3>{TEXT.first.key}</h3>
      <Command text={first!.key} />
      <h3>{TEXT.first.event}</h3>
      <Command text={first!.event} />
    </section>
  );
}
