/**
 * The page of a workflow, below the site's header: written by the server, alive in the
 * browser.
 *
 * @module
 */

import type { Actions, Distribution, Funnel, Workflow } from "../db/schema.ts";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ActionsSection } from "./actions.tsx";
import { type ChartTrend, chartTrend } from "./columns.ts";
import { Controls, zoneName } from "./controls.tsx";
import { formatInstant, formatRange } from "./format.ts";
import { FunnelSection } from "./funnel.tsx";
import { ComparedWith, Headline, type Numbers } from "./headline.tsx";
import type { LiveState } from "./live.ts";
import { useNavigation } from "./navigation.ts";
import type { Opener } from "./open.tsx";
import { localDate } from "./range.ts";
import { Lists } from "./shares.tsx";
import { TEXT } from "./text.ts";
import { Trends } from "./trends.tsx";
import { useLive } from "./use_live.ts";
import { apiParams, type View, viewParams, withRange } from "./view.ts";

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
  /** What it can be exported as, where it may be: words and addresses. */
  exports: [text: string, href: string][] | null;
  /**
   * Where its numbers can be followed, `null` on a page whose view is fixed: nothing is
   * to be chosen there, and now and then it is fetched anew.
   */
  livePath: string | null;
  /** Nothing happened in the range: the page says what to do, and the numbers stay away. */
  isEmpty: boolean;
}

/**
 * What is not in the stream follows this long after, ms: the distribution, and a fixed page
 * as a whole, which caches hold for as long.
 */
const REFRESH_MS = 60_000;

/** The island. */
export default function Dashboard(initial: DashboardProps) {
  const { props: written, isLoading, go, refresh } = useNavigation(
    "Dashboard",
    initial,
  );
  const { view, path } = written;
  const { livePath, distribution } = written;
  const live = useLive(livePath, String(apiParams(view)));
  const props = withLive(written, live);
  const { numbers } = props;
  const trend = useSame(props.trend);
  const summary = useSame(numbers.summary);
  const funnel = useSame({ ...props.funnel, as_of: "" });
  const actions = useSame({ ...props.actions, as_of: "" });
  useFresh(written, props, refresh);
  const href = (view: View) => `${path}?${viewParams(view)}`;
  const open = openerOf(written);
  const compared = numbers.comparison?.period;
  const past = compared
    ? formatRange(compared.start_date, compared.end_date)
    : null;

  function onZoom(from: number, to: number) {
    const start_date = trend.points[from]!.date;
    const end_date = lastDateOf(trend, to, view.query.end_date);
    go(href(withRange(view, null, { start_date, end_date })));
  }

  // What did not change is not rendered again: most updates are of a part.
  const trends = useMemo(() => (
    <Trends
      trend={trend}
      granularity={numbers.period.granularity}
      past={past}
      onZoom={livePath ? onZoom : null}
    />
  ), [trend, past, written]);
  const steps = useMemo(() => (
    <FunnelSection
      funnel={funnel}
      compared={view.query.compare === "previous"}
      open={open}
    />
  ), [funnel, written]);
  const lists = useMemo(
    () => <Lists summary={summary} distribution={distribution} open={open} />,
    [summary, written],
  );
  const table = useMemo(() => (
    <ActionsSection
      actions={actions}
      view={view}
      href={livePath ? href : null}
    />
  ), [actions, written]);

  return (
    <>
      <DashboardHeader {...props} live={live} />
      {useMemo(
        () => livePath && <Controls {...written} href={href} go={go} />,
        [written],
      )}
      <p class="hidden" role="status">
        {isLoading ? TEXT.dashboard.loading : ""}
      </p>
      {/* Another view is other numbers: none of those before glows. */}
      <div key={href(view)} class="numbers-of-view" aria-busy={isLoading}>
        <p class="page-note" id="attribution-note">
          {TEXT.controls.attributionExplained[view.query.attribution]}
        </p>
        {!props.isEmpty && (
          <>
            <Headline numbers={numbers} trend={trend} open={open} />
            {trends}
            {steps}
            {lists}
            {table}
          </>
        )}
      </div>
    </>
  );
}

/** The page's numbers, with what has come since. */
function withLive(
  props: DashboardProps,
  live: LiveState | null,
): DashboardProps {
  if (!live?.numbers) return props;
  const { analytics, funnel, actions } = live.numbers;
  const { trends, ...numbers } = analytics;
  return {
    ...props,
    numbers: { ...numbers, as_of: live.asOf ?? numbers.as_of },
    trend: {
      ...chartTrend(trends, numbers.as_of),
      past: props.trend.past,
    },
    funnel,
    actions,
  };
}

/** The same object for as long as it says the same. */
function useSame<Value>(value: Value): Value {
  const said = JSON.stringify(value);
  return useMemo(() => value, [said]);
}

/** Asks for what the stream does not carry: other days at midnight, newer times. */
function useFresh(
  written: DashboardProps,
  { view, numbers, distribution }: DashboardProps,
  refresh: () => void,
): void {
  const isOld = view.preset !== null &&
    localDate(new Date(numbers.as_of), view.query.tz!) > written.today;
  const known = distribution.classes.reduce((sum, { count }) => sum + count, 0);
  const waiting = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEffect(() => {
    if (isOld) refresh();
  }, [isOld]);
  const { total_enrolled, currently_active } = numbers.summary;
  useEffect(() => {
    // The first event is here.
    if (written.isEmpty && total_enrolled + currently_active > 0) {
      location.reload();
    }
  }, [total_enrolled, currently_active]);
  useEffect(() => {
    if (numbers.summary.goals_achieved === known || waiting.current) return;
    waiting.current = setTimeout(() => {
      waiting.current = null;
      refresh();
    }, REFRESH_MS);
  }, [numbers.summary.goals_achieved, known]);
  useEffect(() => {
    if (written.livePath) return;
    const timer = setInterval(() => document.hidden || refresh(), REFRESH_MS);
    return () => clearInterval(timer);
  }, []);
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
  { workflow, numbers, problem, path, executionsPath, exports, livePath, live }:
    & DashboardProps
    & { live: LiveState | null },
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
        {livePath && <LiveStatus live={live} />}
      </p>
      {live?.announcement && (
        <p class="notice" role="status">{live.announcement.text}</p>
      )}
      {executionsPath && (
        <nav class="page-links" aria-label={TEXT.dashboard.links}>
          <a class="button" href={executionsPath}>
            {TEXT.dashboard.executions}
          </a>
          {exports && (
            <details class="menu">
              <summary class="button">{TEXT.dashboard.exports}</summary>
              <div class="menu-body">
                <ul>
                  {exports.map(([text, href]) => (
                    <li key={href}>
                      <a href={href}>{text}</a>
                    </li>
                  ))}
                </ul>
              </div>
            </details>
          )}
          <a class="button" href={`${path}/shares`}>{TEXT.dashboard.share}</a>
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

/** How it stands with the connection. */
function LiveStatus({ live }: { live: LiveState | null }) {
  const status = live?.status ?? "connecting";
  return (
    <span class={`connection ${status} scripted`} role="status">
      {status === "ended"
        ? TEXT.live.reasons[live!.reason ?? "not_readable"]
        : TEXT.live[status]}
    </span>
  );
}
