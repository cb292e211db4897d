/**
 * `GET /workflows/{id}`: one workflow's numbers for a range, which is in the URL.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import { readActions } from "../db/actions.ts";
import { readAnalytics } from "../db/analytics.ts";
import { readFunnel } from "../db/funnel.ts";
import {
  type Actions,
  type Analytics,
  AnalyticsQuery,
  ATTRIBUTIONS,
  type Funnel,
  Uuid,
} from "../db/schema.ts";
import { readWorkflowHead, type WorkflowHead } from "../db/workflows.ts";
import { chartTrend } from "../islands/columns.ts";
import { formatInstant, formatRange } from "../islands/format.ts";
import {
  DEFAULT_DAYS,
  lastDays,
  localDate,
  PRESET_DAYS,
  presetOf,
} from "../islands/range.ts";
import { TEXT } from "../islands/text.ts";
import TrendChart from "../islands/TrendChart.tsx";
import { ActionsSection } from "./_actions.tsx";
import { type AuthEnv, mayRead } from "./_auth.ts";
import { Command, eventCommand, keyCommand } from "./_commands.tsx";
import { FunnelSection } from "./_funnel.tsx";
import { Headline, Lists } from "./_headline.tsx";
import { answerPage, Island, Page, type PageDeps } from "./_page.tsx";
import { ErrorPage } from "./error_page.tsx";

/** What the page shows. */
export interface DashboardProps {
  viewer: Grant;
  workflow: WorkflowHead;
  analytics: Analytics;
  funnel: Funnel;
  actions: Actions;
  query: AnalyticsQuery;
  /** Why the URL's range was not used, `null` where it was. */
  problem: string | null;
  now: Date;
  deps: Pick<PageDeps, "manifest" | "publicUrl">;
}

/**
 * The page of one workflow.
 *
 * @param deps Of the program.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function dashboard(deps: PageDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get("/workflows/:id", async (c) => {
    const { manifest, sql } = deps;
    const viewer = c.get("viewer");
    const now = deps.now();
    const id = Uuid.safeParse(c.req.param("id")).data;
    const workflow = id && await readWorkflowHead(sql, viewer.account_id, id);
    if (!id || !workflow || !mayRead(viewer, workflow)) {
      const status = workflow ? 403 : 404;
      const page = { status, manifest, viewer };
      return answerPage(c, <ErrorPage {...page} />, status);
    }

    const { query, problem } = readQuery(c.req.query(), viewer, now);
    const asked = [sql, viewer.account_id, id, query, now] as const;
    const [analytics, funnel, actions] = await Promise.all([
      readAnalytics(...asked),
      readFunnel(...asked),
      readActions(...asked),
    ]);
    if (!analytics || !funnel || !actions) {
      const page = { status: 404, manifest, viewer };
      return answerPage(c, <ErrorPage {...page} />, 404);
    }
    const numbers = { workflow, analytics, funnel, actions };
    const props = { viewer, query, problem, now, deps, ...numbers };
    return answerPage(c, <DashboardPage {...props} />, problem ? 400 : 200);
  });
}

/**
 * The range that a URL asks for, or the default with the reason why not.
 *
 * @param params Of the URL; unknown ones are left alone.
 * @param viewer Their account's zone is the default.
 * @param now Decides what today is.
 * @returns The query to ask with, and `problem`, `null` where there is none.
 */
export function readQuery(
  params: Record<string, string>,
  viewer: Pick<Grant, "time_zone">,
  now: Date,
): { query: AnalyticsQuery; problem: string | null } {
  const { start_date, end_date, tz, attribution, version } = params;
  const zone = AnalyticsQuery.shape.tz.safeParse(tz).data ?? viewer.time_zone;
  const fallback = lastDays(localDate(now, zone), DEFAULT_DAYS);
  const asked = AnalyticsQuery.safeParse({
    start_date: start_date || fallback.start_date,
    end_date: end_date || fallback.end_date,
    tz: tz || zone,
    attribution: attribution || undefined,
    version: version || undefined,
  });
  if (asked.success) return { query: asked.data, problem: null };

  const [issue] = asked.error.issues;
  return {
    query: AnalyticsQuery.parse({ ...fallback, tz: zone }),
    problem: `${z.core.toDotPath(issue!.path)}: ${issue!.message}`,
  };
}

/** The whole page. */
export function DashboardPage(props: DashboardProps) {
  const { viewer, workflow, analytics, funnel, actions, deps } = props;
  const { manifest } = deps;
  const name = workflow.name ?? TEXT.unnamed(analytics.workflow_id);
  const trend = chartTrend(analytics.trends, analytics.as_of);
  return (
    <Page
      title={name}
      manifest={manifest}
      viewer={viewer}
      islands={["TrendChart"]}
    >
      <DashboardHeader {...props} name={name} />
      {isEmpty(analytics) && <FirstEvent {...props} />}
      <Headline analytics={analytics} />
      <section class="panel" aria-labelledby="trend">
        <header class="panel-head">
          <h2 id="trend">{TEXT.trend.title}</h2>
          <p>{TEXT.trend.lead}</p>
        </header>
        <Island
          name="TrendChart"
          component={TrendChart}
          props={{ trend }}
          manifest={manifest}
        />
      </section>
      <FunnelSection funnel={funnel} />
      <Lists summary={analytics.summary} />
      <ActionsSection actions={actions} />
    </Page>
  );
}

function DashboardHeader(props: DashboardProps & { name: string }) {
  const { name, workflow, analytics, problem, query } = props;
  const { period, as_of } = analytics;
  const zone = period.tz_effective;
  return (
    <header class="page-head">
      <h1>
        <bdi>{name}</bdi>{" "}
        <span class={`badge ${workflow.status}`}>
          {TEXT.status[workflow.status]}
        </span>
      </h1>
      <p class="page-facts">
        <b>{formatRange(period.start_date, period.end_date)}</b>
        <span>{zone.replaceAll("_", " ")}</span>
        <span>
          {TEXT.dashboard.asOf}{" "}
          <time dateTime={as_of}>{formatInstant(as_of, zone)}</time>
        </span>
      </p>
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
      <Controls {...props} />
      <p class="page-note" id="attribution-note">
        {TEXT.dashboard.attributionExplained[query.attribution]}
      </p>
    </header>
  );
}

function Controls({ analytics, viewer, query, now }: DashboardProps) {
  const path = `/workflows/${analytics.workflow_id}`;
  const today = localDate(now, query.tz!);
  const preset = presetOf(query, today);
  const href = (change: Partial<AnalyticsQuery>) =>
    `${path}?${toParams({ ...query, ...change }, viewer)}`;
  return (
    <div class="controls">
      <nav class="choice" aria-label={TEXT.dashboard.range}>
        {PRESET_DAYS.map((days) => (
          <a
            key={days}
            href={href(lastDays(today, days))}
            aria-current={days === preset ? "true" : undefined}
          >
            {TEXT.dashboard.presets[days]}
          </a>
        ))}
      </nav>
      <RangeForm path={path} query={query} viewer={viewer} />
      <nav
        class="choice"
        aria-label={TEXT.dashboard.attribution}
        aria-describedby="attribution-note"
      >
        <span class="choice-label">{TEXT.dashboard.attribution}</span>
        {ATTRIBUTIONS.map((attribution) => (
          <a
            key={attribution}
            href={href({ attribution })}
            aria-current={attribution === query.attribution
              ? "true"
              : undefined}
          >
            {TEXT.dashboard.attributions[attribution]}
          </a>
        ))}
      </nav>
    </div>
  );
}

function RangeForm({ path, query, viewer }: {
  path: string;
  query: AnalyticsQuery;
  viewer: Grant;
}) {
  const kept = toParams(query, viewer);
  kept.delete("start_date");
  kept.delete("end_date");
  return (
    <form class="range" action={path}>
      {[...kept].map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
      <label>
        {TEXT.dashboard.from}
        <input
          type="date"
          name="start_date"
          required
          value={query.start_date}
        />
      </label>
      <label>
        {TEXT.dashboard.to}
        <input type="date" name="end_date" required value={query.end_date} />
      </label>
      <button type="submit">{TEXT.dashboard.apply}</button>
    </form>
  );
}

/** The URL says only what is not the default, so that it stays readable. */
function toParams(query: AnalyticsQuery, viewer: Grant): URLSearchParams {
  const params = new URLSearchParams({
    start_date: query.start_date,
    end_date: query.end_date,
  });
  if (query.tz && query.tz !== viewer.time_zone) params.set("tz", query.tz);
  if (query.attribution !== "cohort") {
    params.set("attribution", query.attribution);
  }
  if (query.version) params.set("version", String(query.version));
  return params;
}

function isEmpty({ summary, trends }: Analytics): boolean {
  return summary.total_enrolled === 0 && summary.currently_active === 0 &&
    trends.every((point) => point.completions === 0 && point.exits === 0);
}

function FirstEvent({ analytics, viewer, query, now, deps }: DashboardProps) {
  const path = `/workflows/${analytics.workflow_id}`;
  const longest = lastDays(localDate(now, query.tz!), PRESET_DAYS.at(-1)!);
  const shown = query.start_date <= longest.start_date;
  const target = {
    publicUrl: deps.publicUrl,
    workflowId: analytics.workflow_id,
    now,
  };
  return (
    <section class="panel first" aria-labelledby="first">
      <h2 id="first">
        {shown ? TEXT.first.title : TEXT.first.otherRange}
      </h2>
      {!shown && (
        <p>
          <a
            href={`${path}?${toParams({ ...query, ...longest }, viewer)}`}
          >
            {TEXT.first.widen}
          </a>
        </p>
      )}
      <p>{TEXT.first.lead}</p>
      <h3>{TEXT.first.key}</h3>
      <Command text={keyCommand(viewer.account_uuid, ["events:write"])} />
      <h3>{TEXT.first.event}</h3>
      <Command text={eventCommand(target)} />
    </section>
  );
}
