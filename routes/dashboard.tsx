/**
 * `GET /workflows/{id}`: one workflow's numbers for a view, which is in the URL.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import { DetailExpired } from "../db/period.ts";
import { readQuality } from "../db/quality.ts";
import {
  type Analytics,
  AnalyticsQuery,
  TimeZone,
  Uuid,
  type Workflow,
} from "../db/schema.ts";
import { readWorkflow } from "../db/workflows.ts";
import { chartTrend } from "../islands/columns.ts";
import { Command } from "../islands/command.tsx";
import Dashboard, { type DashboardProps } from "../islands/Dashboard.tsx";
import { formatRange } from "../islands/format.ts";
import {
  type DateRange,
  DEFAULT_PRESET,
  localDate,
  type Preset,
  presetRange,
  PRESETS,
} from "../islands/range.ts";
import { EXPORTS_TEXT, PAGE_TEXT, TEXT } from "../islands/text.ts";
import {
  ACTION_SORTS,
  apiParams,
  granularityFor,
  type View,
  viewParams,
  withRange,
} from "../islands/view.ts";
import { type AuthEnv, mayRead } from "./_auth.ts";
import { eventCommand, keyCommand } from "./_commands.tsx";
import { answerPage, Island, Page, type PageDeps } from "./_page.tsx";
import { browserZoneOf, preferencesOf, zoneOf } from "./_reader.ts";
import { QualitySection } from "./_quality.tsx";
import type { Asker, Reads } from "./_reads.ts";
import { ErrorPage } from "./error_page.tsx";

/** Far enough back to see what is wrong now. */
const QUALITY_DAYS = 30;

/**
 * The page of one workflow.
 *
 * @param deps Of the program.
 * @param reads Where its numbers come from.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function dashboard(deps: PageDeps, reads: Reads): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get("/workflows/:id", async (c) => {
    const { manifest, sql } = deps;
    const viewer = c.get("viewer");
    const now = deps.now();
    const id = Uuid.safeParse(c.req.param("id")).data;
    const workflow = id ? await readWorkflow(sql, viewer.account_id, id) : null;
    if (!workflow || !mayRead(viewer, workflow)) {
      const status = workflow ? 403 : 404;
      const page = { status, manifest, viewer };
      return answerPage(c, <ErrorPage {...page} />, status);
    }

    const tz = zoneOf(c, viewer.time_zone);
    const defaults = { tz, preset: preferencesOf(c).default_range };
    const { view, problem } = readView(c.req.query(), defaults, now);
    const [read, quality] = await Promise.all([
      readShown(reads, viewer, workflow.workflow_id, view),
      readQuality(sql, viewer.account_id, workflow.workflow_id, QUALITY_DAYS),
    ]);
    const zones = [tz, browserZoneOf(c) ?? tz, viewer.time_zone, "UTC"];
    const props: DashboardProps = {
      ...read.shown,
      view: read.view,
      workflow: {
        id: workflow.workflow_id,
        name: workflow.name,
        status: workflow.status,
      },
      today: localDate(now, read.view.query.tz!),
      zones: [...new Set(zones)],
      versions: workflow.versions.map(({ version }) => version),
      problem: problem ?? read.problem,
      path: c.req.path,
      livePath: `/api/v1${c.req.path}/analytics`,
      executionsPath: `${c.req.path}/executions`,
      exports: exportsOf(c.req.path, read.view),
    };
    const name = workflow.name ?? TEXT.unnamed(workflow.workflow_id);
    const active = props.isEmpty
      ? await lastActiveMonth(reads, viewer, props)
      : null;
    return answerPage(
      c,
      <Page
        title={name}
        manifest={manifest}
        viewer={viewer}
        islands={["Dashboard"]}
        kind={props.isEmpty ? "empty" : undefined}
      >
        <Island name="Dashboard" component={Dashboard} props={props} />
        {active && <QuietRange active={active} {...props} />}
        {props.isEmpty && !active && (
          <FirstEvent deps={deps} viewer={viewer} {...props} />
        )}
        {quality && (
          <QualitySection quality={quality} names={namesOf(workflow)} />
        )}
      </Page>,
      props.problem ? 400 : 200,
    );
  });
}

/** Numbers at once; what takes longer from a page of its own, where nothing else is lost. */
function exportsOf(path: string, view: View): [string, string][] {
  const { kinds } = EXPORTS_TEXT;
  const now = (format: string) =>
    `/api/v1${path}/analytics/export?format=${format}&${apiParams(view)}`;
  const later = (kind: string) =>
    `${path}/exports?${viewParams(view)}&kind=${kind}`;
  return [
    [kinds.numbers_csv, now("csv")],
    [kinds.numbers_json, now("json")],
    [kinds.report, later("report")],
    [kinds.executions_csv, later("executions_csv")],
    [PAGE_TEXT.exports.more, `${path}/exports?${viewParams(view)}`],
  ];
}

function namesOf({ versions }: Workflow): Map<string, string> {
  // The newest is first, and has the last word.
  const steps = versions.toReversed().flatMap(({ steps }) => steps);
  return new Map(steps.map(({ step_id, name }) => [step_id, name]));
}

const PageParams = z.object({
  sort: z.enum(ACTION_SORTS).catch("health"),
  reversed: z.literal("1").optional().catch(undefined),
  page: z.coerce.number().int().min(1).max(1_000).catch(1),
  range: z.enum(PRESETS).optional().catch(undefined),
});

/** What of the URL is an API's query; anything else is left alone. */
const QUERY_NAMES = Object.keys(AnalyticsQuery.shape);

/**
 * The view that a URL asks for, or the default with the reason why not.
 *
 * @param params Of the URL; unknown ones are left alone.
 * @param defaults Zone, and the range that is shown where the URL names none.
 * @param now Decides what today is.
 * @returns The view, and `problem`, `null` where there is none.
 */
export function readView(
  params: Record<string, string>,
  defaults: { tz: string; preset?: Preset },
  now: Date,
): { view: View; problem: string | null } {
  const page = PageParams.parse(params);
  const tz = TimeZone.safeParse(params.tz).data ?? defaults.tz;
  const today = localDate(now, tz);
  const isCustom = Boolean(params.start_date || params.end_date);
  const preset = isCustom
    ? null
    : page.range ?? defaults.preset ?? DEFAULT_PRESET;
  const fallback = presetRange(preset ?? DEFAULT_PRESET, today);
  // An empty field of a form is as if it were not there.
  const given = Object.fromEntries(
    QUERY_NAMES.map((name) => [name, params[name] || undefined]),
  );
  const asked = AnalyticsQuery.safeParse({
    tz,
    compare: "previous",
    ...fallback,
    ...withoutUndefined(given),
    granularity: given.granularity ?? granularityFor(datesOf(given, fallback)),
  });
  const view = {
    sort: page.sort,
    reversed: page.reversed !== undefined,
    page: page.page,
    autoGranularity: given.granularity === undefined,
  };
  if (asked.success) {
    return { view: { ...view, preset, query: asked.data }, problem: null };
  }
  const [issue] = asked.error.issues;
  return {
    view: { ...view, ...defaultView(tz, today) },
    problem: `${z.core.toDotPath(issue!.path)}: ${issue!.message}`,
  };
}

function defaultView(tz: string, today: string) {
  const dates = presetRange(DEFAULT_PRESET, today);
  return {
    preset: DEFAULT_PRESET,
    autoGranularity: true,
    query: AnalyticsQuery.parse({ ...dates, tz, compare: "previous" }),
  };
}

function withoutUndefined(params: Record<string, string | undefined>) {
  return Object.fromEntries(
    Object.entries(params).filter(([, value]) => value !== undefined),
  );
}

function datesOf(
  given: Record<string, string | undefined>,
  fallback: { start_date: string; end_date: string },
) {
  return {
    start_date: given.start_date ?? fallback.start_date,
    end_date: given.end_date ?? fallback.end_date,
  };
}

/**
 * Reads everything that a view shows. One that asks for hours or contacts of a time they
 * are not kept of is answered by day and execution, with the reason.
 *
 * @param reads Where from.
 * @param asker Who may see it.
 * @param id Of the workflow.
 * @param view What is to be shown.
 */
export async function readShown(
  reads: Reads,
  asker: Asker,
  id: string,
  view: View,
) {
  try {
    return { view, problem: null, ...await readAll(reads, asker, id, view) };
  } catch (error) {
    if (!(error instanceof DetailExpired)) throw error;
    const query = {
      ...view.query,
      granularity: "daily",
      unit: "execution",
    } as const;
    const coarse = { ...view, query, autoGranularity: true };
    return {
      view: coarse,
      problem: error.message,
      ...await readAll(reads, asker, id, coarse),
    };
  }
}

async function readAll(reads: Reads, asker: Asker, id: string, view: View) {
  const { numbers: read, freshUntil } = await reads.page(
    asker,
    id,
    view.query,
  );
  const { analytics, past, ...rest } = read;
  const { trends, ...numbers } = analytics;
  return {
    freshUntil,
    shown: {
      ...rest,
      numbers,
      trend: chartTrend(trends, analytics.as_of, past),
      isEmpty: isEmpty(analytics),
    },
  };
}

function isEmpty({ summary, trends }: Analytics): boolean {
  return summary.total_enrolled === 0 && summary.currently_active === 0 &&
    trends.every((point) => point.completions === 0 && point.exits === 0);
}

/** How far back it is looked whether anything ever happened: as long as days are kept. */
const MONTHS_KEPT = 24;

/** @returns The last month in which anything happened, `null` where nothing ever did. */
async function lastActiveMonth(
  reads: Reads,
  asker: Asker,
  { workflow, view, today }: DashboardProps,
): Promise<DateRange | null> {
  const thisMonth = Temporal.PlainDate.from(today).with({ day: 1 });
  const { numbers } = await reads.page(asker, workflow.id, {
    ...view.query,
    start_date: String(thisMonth.subtract({ months: MONTHS_KEPT - 1 })),
    end_date: today,
    granularity: "monthly",
    unit: "execution",
    compare: "none",
    compare_start: undefined,
    compare_end: undefined,
  });
  const month = numbers.analytics.trends.findLast((point) =>
    point.new_enrollments + point.completions + point.exits > 0
  );
  if (!month) return null;
  const last = Temporal.PlainDate.from(month.date).add({ months: 1 })
    .subtract({ days: 1 });
  const end_date = String(last) < today ? String(last) : today;
  return { start_date: month.date, end_date };
}

/** Where to look instead. */
function QuietRange(
  { active, view, path }: { active: DateRange } & DashboardProps,
) {
  const { quiet } = PAGE_TEXT;
  return (
    <section class="panel first" aria-labelledby="first">
      <h2 id="first">{quiet.title}</h2>
      <p>
        {quiet.lead}{" "}
        <a href={`${path}?${viewParams(withRange(view, null, active))}`}>
          {formatRange(active.start_date, active.end_date)}
        </a>
      </p>
    </section>
  );
}

/** What to do where nothing ever was. */
function FirstEvent({ deps, viewer, workflow }:
  & Pick<DashboardProps, "workflow">
  & { deps: PageDeps; viewer: Grant }) {
  const { first } = PAGE_TEXT;
  const target = {
    publicUrl: deps.publicUrl,
    workflowId: workflow.id,
    now: deps.now(),
  };
  return (
    <section class="panel first" aria-labelledby="first">
      <h2 id="first">{first.title}</h2>
      <p>{first.lead}</p>
      <h3>{first.key}</h3>
      <Command text={keyCommand(viewer.account_uuid, ["events:write"])} />
      <h3>{first.event}</h3>
      <Command text={eventCommand(target)} />
    </section>
  );
}
