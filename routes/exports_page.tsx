/**
 * `/workflows/{id}/exports`: asks for files, shows what becomes of them, and hands them
 * over. Forms and links, so that it works without scripts.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import { cancelExport, listExports, retryExport } from "../db/exports.ts";
import {
  AnalyticsQuery,
  ExecutionsFilter,
  ExportQuery,
  ReportOrder,
  Uuid,
  type Workflow,
} from "../db/schema.ts";
import { enableReport, listReports, removeReport } from "../db/reports.ts";
import { readWorkflow } from "../db/workflows.ts";
import ExportsIsland from "../islands/Exports.tsx";
import { EXPORTS_TEXT, PAGE_TEXT, TEXT } from "../islands/text.ts";
import {
  ATTRIBUTIONS,
  COMPARES,
  GRANULARITIES,
  type View,
} from "../islands/view.ts";
import { type AuthEnv, granting, mayRead, requires } from "./_auth.ts";
import { readBytes } from "./_body.ts";
import { AppError, type ErrorCode } from "./_errors.ts";
import { exportJobOf, isOver, jobOrRefuse, queueExport } from "./_exports.ts";
import { answerPage, Island, Page } from "./_page.tsx";
import { zoneOf } from "./_reader.ts";
import type { Reads } from "./_reads.ts";
import { Schedule } from "./_schedule.tsx";
import type { Deps } from "./app.ts";
import { readView } from "./dashboard.tsx";
import { ErrorPage } from "./error_page.tsx";
import { chipsOf, Crumbs } from "./executions_page.tsx";
import { orderReport, sendNow } from "./reports.ts";

const WORDS = PAGE_TEXT.exports;

/** What can be asked for, by the name it has in the form. */
export const KINDS = {
  report: { rows: "buckets", format: "pdf" },
  numbers_csv: { rows: "buckets", format: "csv" },
  numbers_json: { rows: "buckets", format: "json" },
  executions_csv: { rows: "executions", format: "csv" },
  executions_json: { rows: "executions", format: "json" },
} as const;
export type Kind = keyof typeof KINDS;

/** Of the numbers and of executions: the parameters that an address may carry. */
const PARAMETERS = {
  buckets: Object.keys(AnalyticsQuery.shape),
  executions: Object.keys(ExecutionsFilter.shape),
};

/** Fields that the form has; what else is asked for is kept beside them. */
const FIELDS = [
  "start_date",
  "end_date",
  "granularity",
  "compare",
  "attribution",
];

/** Who has no scripts sees news this often, seconds. */
const REFRESH_SECONDS = 3;

/** What a form says that is to be done. */
const Doing = z.discriminatedUnion("do", [
  z.object({
    do: z.literal("make"),
    kind: z.enum(Object.keys(KINDS) as [Kind, ...Kind[]]),
  }),
  z.object({ do: z.enum(["give_up", "again"]), job_id: Uuid }),
  z.object({ do: z.literal("order") }),
  z.object({ do: z.enum(["send", "enable", "remove"]), report_id: Uuid }),
]);

type Params = Record<string, string>;

/**
 * The page.
 *
 * @param deps Of the program.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function exportPages(deps: Deps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get("/workflows/:id/exports", async (c) => {
    const viewer = granting(c.get("viewer"), "exports:write");
    const id = Uuid.safeParse(c.req.param("id")).data;
    const workflow = id
      ? await readWorkflow(deps.sql, viewer.account_id, id)
      : null;
    if (workflow === null || !mayRead(viewer, workflow)) {
      const status = workflow ? 403 : 404;
      const page = { status, manifest: deps.manifest, viewer };
      return answerPage(c, <ErrorPage {...page} />, status);
    }
    return await answer(c, deps, workflow, { params: c.req.query() });
  });
}

/**
 * What its forms do. They are an export's first step: so they need its scope, and are in
 * the access log before anything is done.
 *
 * @param deps Of the program.
 * @param reads Tell who may see a workflow.
 */
export function exportForms(deps: Deps, reads: Reads): Hono<AuthEnv> {
  const { sql } = deps;
  return new Hono<AuthEnv>().post(
    "/workflows/:id/exports",
    requires(deps, "exports:write"),
    async (c) => {
      const viewer = c.get("viewer");
      const id = Uuid.safeParse(c.req.param("id")).data;
      if (id === undefined) throw new AppError("workflow_not_found");
      await reads.workflow(viewer, id);
      const form = await readForm(c);
      const doing = Doing.safeParse(form);
      if (!doing.success) throw new AppError("invalid_request");
      const told = await act(viewer, id, doing.data, form);
      if (told === null) {
        const { pathname, search } = new URL(c.req.url);
        return c.redirect(pathname + search, 303);
      }
      const workflow = await readWorkflow(sql, viewer.account_id, id);
      // What went wrong is to be mended; what was done needs no second time.
      const params = told.problem ? form : c.req.query();
      return await answer(c, deps, workflow!, { params, ...told });
    },
  );

  /** Does what a form says. Returns what the page must tell at once; `null`: nothing. */
  async function act(
    viewer: Grant,
    id: string,
    doing: z.infer<typeof Doing>,
    form: Params,
  ): Promise<Told | null> {
    const { account_id } = viewer;
    try {
      switch (doing.do) {
        case "make":
          return await make(viewer, id, doing.kind, form);
        case "order":
          return await order(viewer, id, form);
        case "send":
          await sendNow(deps, viewer, id, doing.report_id);
          return null;
        case "enable":
        case "remove": {
          const of = [sql, account_id, id, doing.report_id] as const;
          const found = doing.do === "remove"
            ? await removeReport(...of)
            : await enableReport(...of, deps.now());
          if (!found) throw new AppError("report_not_found");
          return null;
        }
        default: {
          const change = doing.do === "again" ? retryExport : cancelExport;
          const job = jobOrRefuse(
            await change(sql, account_id, id, doing.job_id),
          );
          if (job === null) throw new AppError("export_not_found");
          return null;
        }
      }
    } catch (error) {
      const words = error instanceof AppError
        ? PROBLEMS[error.code]
        : undefined;
      if (words === undefined) throw error;
      return {
        problem: words,
        status: (error as AppError).status as 409 | 429,
      };
    }
  }

  async function order(
    viewer: Grant,
    id: string,
    { every, hour, format, url }: Params,
  ): Promise<Told> {
    const asked = ReportOrder.safeParse({ every, hour, format, url });
    if (!asked.success) return refusal(asked.error);
    const { secret } = await orderReport(deps, viewer, id, asked.data);
    return { secret };
  }

  async function make(
    viewer: Grant,
    id: string,
    kind: Kind,
    form: Params,
  ): Promise<Told | null> {
    const asked = ExportQuery.safeParse(requestOf(kind, form));
    if (!asked.success) return refusal(asked.error);
    await queueExport(deps, viewer, id, asked.data);
    return null;
  }
}

/** What the page tells at once of what a form did. */
interface Told {
  problem?: string;
  status?: 200 | 400 | 409 | 429;
  secret?: string;
}

/** What the page says itself; other errors have a page of their own. */
const PROBLEMS: Partial<Record<ErrorCode, string>> = {
  ...WORDS.problems,
  ...PAGE_TEXT.schedule.problems,
};

function refusal(error: z.core.$ZodError): Told {
  const [issue] = error.issues;
  const where = issue!.path.join(".");
  const message = where ? `${where}: ${issue!.message}` : issue!.message;
  return { problem: WORDS.invalid(message), status: 400 };
}

async function readForm(c: Context): Promise<Params> {
  const text = new TextDecoder().decode(await readBytes(c.req.raw));
  return Object.fromEntries(new URLSearchParams(text));
}

/** What a kind of file takes of all that was said. */
function requestOf(kind: Kind, params: Params): Params {
  const { rows, format } = KINDS[kind];
  const request: Params = { ...picked(params, rows), rows, format };
  if (format === "csv" && params.bom) request.bom = params.bom;
  return request;
}

/** What of an address is about rows of a sort; an empty field is as if it were not there. */
function picked(params: Params, rows: keyof typeof PARAMETERS): Params {
  const names = PARAMETERS[rows].filter((name) => params[name]);
  return Object.fromEntries(names.map((name) => [name, params[name]!]));
}

async function answer(
  c: Context<AuthEnv>,
  deps: Deps,
  workflow: Workflow,
  { params, problem, secret, status = 200 }: Told & { params: Params },
): Promise<Response> {
  const viewer = c.get("viewer");
  const zone = zoneOf(c, viewer.time_zone);
  const of = [deps.sql, viewer.account_id, workflow.workflow_id] as const;
  const [rows, reports] = await Promise.all([
    listExports(...of),
    listReports(...of),
  ]);
  const jobs = rows.map((row) => exportJobOf(row, deps.publicUrl));
  const { pathname, search } = new URL(c.req.url);
  const name = workflow.name ?? TEXT.unnamed(workflow.workflow_id);
  const path = `/workflows/${workflow.workflow_id}`;
  const isUnderWay = !jobs.every(isOver);
  return await answerPage(
    c,
    <Page
      title={`${WORDS.title} · ${name}`}
      manifest={deps.manifest}
      viewer={viewer}
      islands={["Exports"]}
      refreshSeconds={isUnderWay ? REFRESH_SECONDS : undefined}
    >
      <header class="page-head">
        <Crumbs path={path} name={name} />
        <h1>{WORDS.title}</h1>
        <p class="page-note">{WORDS.lead}</p>
        {problem && <p class="notice" role="alert">{problem}</p>}
      </header>
      <div class="split">
        <OrderForm
          action={pathname + search}
          params={params}
          workflow={workflow}
          view={readView(params, { tz: zone }, deps.now()).view}
        />
        <Island
          name="Exports"
          component={ExportsIsland}
          props={{
            jobs,
            path: pathname + search,
            apiPath: `/api/v1${path}/exports`,
            zone,
          }}
        />
      </div>
      <Schedule
        reports={reports}
        action={pathname + search}
        zone={zone}
        accountZone={viewer.time_zone}
        secret={secret}
      />
    </Page>,
    status,
  );
}

/** Asks for a file: of the view that the address carries, or of the executions of a filter. */
function OrderForm({ action, params, workflow, view }: {
  action: string;
  params: Params;
  workflow: Workflow;
  view: View;
}) {
  const filter = params.rows === "executions"
    ? ExecutionsFilter.safeParse(picked(params, "executions")).data
    : undefined;
  const kinds = (Object.keys(KINDS) as Kind[])
    .filter((kind) => !filter || KINDS[kind].rows === "executions");
  const chosen = kinds.find((kind) => kind === params.kind) ?? kinds[0];
  const { query } = view;
  return (
    <form class="panel order" method="post" action={action}>
      <h2>{WORDS.make}</h2>
      <fieldset>
        <legend>{WORDS.what}</legend>
        {kinds.map((kind) => (
          <label key={kind}>
            <input
              type="radio"
              name="kind"
              value={kind}
              checked={kind === chosen}
            />
            <span>
              {EXPORTS_TEXT.kinds[kind]}
              <small>{WORDS.kindLeads[kind]}</small>
            </span>
          </label>
        ))}
      </fieldset>
      {filter
        ? <FilterFields params={params} filter={filter} workflow={workflow} />
        : <ViewFields query={query} />}
      <label>
        <input
          type="checkbox"
          name="bom"
          value="true"
          checked={params.bom === "true"}
        />
        <span>{WORDS.bom}</span>
      </label>
      <button class="primary" type="submit" name="do" value="make">
        {WORDS.submit}
      </button>
    </form>
  );
}

/** Which executions; nothing of it can be changed here. */
function FilterFields({ params, filter, workflow }: {
  params: Params;
  filter: ExecutionsFilter;
  workflow: Workflow;
}) {
  const chips = chipsOf({ ...filter, limit: 50 }, workflow);
  return (
    <>
      {chips.length > 0 && (
        <ul class="chips" aria-label={WORDS.filter}>
          {chips.map(({ text }) => <li key={text}>{<bdi>{text}</bdi>}</li>)}
        </ul>
      )}
      <input type="hidden" name="rows" value="executions" />
      <Hidden params={picked(params, "executions")} />
    </>
  );
}

function ViewFields({ query }: { query: AnalyticsQuery }) {
  const { custom: _, ...compares } = TEXT.controls.compares;
  const isCustom = query.compare === "custom";
  return (
    <>
      <div class="fields">
        <label>
          <span>{TEXT.controls.from}</span>
          <input
            type="date"
            name="start_date"
            required
            value={query.start_date}
          />
        </label>
        <label>
          <span>{TEXT.controls.to}</span>
          <input type="date" name="end_date" required value={query.end_date} />
        </label>
        <Choice
          name="granularity"
          label={TEXT.controls.granularity}
          value={query.granularity}
          words={Object.fromEntries(
            GRANULARITIES.map((each) => [each, TEXT.controls.bucket(each)]),
          )}
        />
        <Choice
          name="compare"
          label={TEXT.controls.compare}
          value={query.compare}
          words={isCustom ? TEXT.controls.compares : compares}
          values={isCustom ? [...COMPARES, "custom"] : COMPARES}
        />
        <Choice
          name="attribution"
          label={TEXT.controls.attribution}
          value={query.attribution}
          words={TEXT.controls.attributions}
          values={ATTRIBUTIONS}
        />
      </div>
      <p class="page-note">{WORDS.zone(query.tz!.replaceAll("_", " "))}</p>
      <Hidden params={query} but={FIELDS} />
    </>
  );
}

function Choice<Words extends Record<string, string>>(
  { name, label, value, words, values }: {
    name: string;
    label: string;
    value: string;
    words: Words;
    values?: readonly string[];
  },
) {
  return (
    <label>
      <span>{label}</span>
      <select name={name}>
        {(values ?? Object.keys(words)).map((each) => (
          <option key={each} value={each} selected={each === value}>
            {words[each]}
          </option>
        ))}
      </select>
    </label>
  );
}

/** What the form has no field for. */
function Hidden(
  { params, but = [] }: { params: object; but?: string[] },
) {
  return (
    <>
      {Object.entries(params)
        .filter(([name, value]) => value !== undefined && !but.includes(name))
        .map(([name, value]) => (
          <input key={name} type="hidden" name={name} value={String(value)} />
        ))}
    </>
  );
}
