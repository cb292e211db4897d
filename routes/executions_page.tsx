/**
 * `GET /workflows/{id}/executions`: the executions behind a number, and
 * `GET /workflows/{id}/executions/{execution_id}`: what happened to one.
 *
 * @module
 */

import { Hono } from "hono";
import type { Grant } from "../db/access.ts";
import { listExecutions, readExecution } from "../db/executions.ts";
import {
  type Execution,
  EXECUTION_STATUSES,
  type ExecutionDetail,
  type ExecutionEvent,
  type ExecutionList,
  ExecutionsQuery,
  Uuid,
  type Workflow,
} from "../db/schema.ts";
import { readWorkflow } from "../db/workflows.ts";
import {
  formatCount,
  formatInstant,
  formatMilliseconds,
  formatRange,
  formatSeconds,
  formatWord,
} from "../islands/format.ts";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import { type AuthEnv, mayRead } from "./_auth.ts";
import { answerPage, Page, type PageDeps } from "./_page.tsx";
import { zoneOf } from "./_reader.ts";
import { ErrorPage } from "./error_page.tsx";

const WORDS = PAGE_TEXT.executions;

/** What both pages show besides their numbers. */
interface Frame {
  workflow: Workflow;
  viewer: Grant;
  /** In which times are shown. */
  zone: string;
  manifest: PageDeps["manifest"];
}

/**
 * The pages of executions.
 *
 * @param deps Of the program.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function executionPages(deps: PageDeps): Hono<AuthEnv> {
  const { sql, manifest } = deps;
  return new Hono<AuthEnv>()
    .get("/workflows/:id/executions", async (c) => {
      const frame = await readFrame(c.get("viewer"), c.req.param("id"));
      if (typeof frame === "number") return answerRefusal(frame);
      const { query, problem } = readExecutionsQuery(c.req.query());
      const zone = query.tz ?? zoneOf(c, frame.viewer.time_zone);
      const list = await listExecutions(
        sql,
        frame.viewer.account_id,
        frame.workflow.workflow_id,
        query,
        deps.now(),
      ).catch(forgiveCursor);
      if (list === null) return c.redirect(c.req.path, 303);
      const page = { ...frame, zone, manifest, list, query, problem };
      return answerPage(c, <ListPage {...page} />, problem ? 400 : 200);

      function answerRefusal(status: 403 | 404) {
        const page = { status, manifest, viewer: c.get("viewer") };
        return answerPage(c, <ErrorPage {...page} />, status);
      }
    })
    .get("/workflows/:id/executions/:execution_id", async (c) => {
      const frame = await readFrame(c.get("viewer"), c.req.param("id"));
      const id = Uuid.safeParse(c.req.param("execution_id")).data;
      const execution = typeof frame === "number" || id === undefined
        ? null
        : await readExecution(
          sql,
          frame.viewer.account_id,
          frame.workflow.workflow_id,
          id,
          deps.now(),
        );
      if (typeof frame === "number" || execution === null) {
        const status = frame === 403 ? 403 : 404;
        const page = { status, manifest, viewer: c.get("viewer") };
        return answerPage(c, <ErrorPage {...page} />, status);
      }
      const zone = zoneOf(c, frame.viewer.time_zone);
      const page = { ...frame, zone, manifest, execution };
      return answerPage(c, <TimelinePage {...page} />);
    });

  async function readFrame(viewer: Grant, param: string) {
    const id = Uuid.safeParse(param).data;
    const workflow = id ? await readWorkflow(sql, viewer.account_id, id) : null;
    if (workflow === null) return 404;
    return mayRead(viewer, workflow) ? { workflow, viewer } : 403;
  }
}

/** A cursor that cannot be read leads to the first page. */
function forgiveCursor(thrown: unknown): null {
  if (thrown instanceof SyntaxError) return null;
  throw thrown;
}

/**
 * The filter that a URL asks for; one that makes no sense is none, with the reason.
 *
 * @param params Of the URL; unknown and empty ones are left alone.
 */
export function readExecutionsQuery(
  params: Record<string, string>,
): { query: ExecutionsQuery; problem: string | null } {
  const known = Object.keys(ExecutionsQuery.shape)
    .filter((name) => params[name])
    .map((name) => [name, params[name]]);
  const asked = ExecutionsQuery.safeParse(Object.fromEntries(known));
  if (asked.success) return { query: asked.data, problem: null };
  const [issue] = asked.error.issues;
  return {
    query: ExecutionsQuery.parse({}),
    problem: `${issue!.path.join(".")}: ${issue!.message}`,
  };
}

function ListPage(
  { workflow, viewer, zone, manifest, list, query, problem }: Frame & {
    list: ExecutionList;
    query: ExecutionsQuery;
    problem: string | null;
  },
) {
  const path = `/workflows/${workflow.workflow_id}`;
  const name = workflow.name ?? TEXT.unnamed(workflow.workflow_id);
  const here = `${path}/executions`;
  return (
    <Page
      title={`${WORDS.title} · ${name}`}
      manifest={manifest}
      viewer={viewer}
    >
      <header class="page-head">
        <Crumbs path={path} name={name} />
        <h1>{WORDS.title}</h1>
        {problem && <p class="notice" role="alert">{WORDS.invalid(problem)}</p>}
        <Filters query={query} workflow={workflow} path={here} />
        <SearchForm query={query} path={here} />
        <nav class="page-links" aria-label={TEXT.dashboard.links}>
          <a class="button" href={`${path}/exports?${exportParamsOf(query)}`}>
            {PAGE_TEXT.exports.menu}
          </a>
        </nav>
      </header>
      {list.executions.length === 0
        ? (
          <section class="message">
            <p>{WORDS.nothingFound}</p>
            <p>
              <a class="button" href={here}>{WORDS.clear}</a>
            </p>
          </section>
        )
        : <ExecutionTable list={list} zone={zone} path={here} />}
      <p class="note">
        {WORDS.kept} {TEXT.dashboard.asOf}{" "}
        <time dateTime={list.as_of}>{formatInstant(list.as_of, zone)}</time>.
      </p>
      {(query.cursor || list.next_cursor) && (
        <nav class="pages" aria-label={PAGE_TEXT.overview.pages}>
          {query.cursor && (
            <a class="button" href={`${here}?${paramsOf(query)}`}>
              {PAGE_TEXT.overview.first}
            </a>
          )}
          {list.next_cursor && (
            <a
              class="button"
              rel="next"
              href={`${here}?${paramsOf(query, { cursor: list.next_cursor })}`}
            >
              {PAGE_TEXT.overview.next}
            </a>
          )}
        </nav>
      )}
    </Page>
  );
}

/** A query as it is written in an address, without its page. */
function paramsOf(
  query: ExecutionsQuery,
  change: Record<string, string> = {},
): URLSearchParams {
  const params = new URLSearchParams();
  const { cursor: _, limit, ...filter } = query;
  for (const [name, value] of Object.entries(filter)) {
    if (value !== undefined && value !== "cohort") {
      params.set(name, String(value));
    }
  }
  if (limit !== 50) params.set("limit", String(limit));
  for (const [name, value] of Object.entries(change)) params.set(name, value);
  return params;
}

/** The same executions as a file. */
function exportParamsOf(query: ExecutionsQuery): URLSearchParams {
  const params = paramsOf(query, { rows: "executions" });
  params.delete("limit");
  return params;
}

/** The way back to the workflow. */
export function Crumbs({ path, name }: { path: string; name: string }) {
  return (
    <nav class="crumbs" aria-label={WORDS.crumbs}>
      <a href={path}>
        <span aria-hidden="true">←</span> <bdi>{name}</bdi>
      </a>
    </nav>
  );
}

/** What is asked for, in words, each with a way to ask for more. */
function Filters({ query, workflow, path }: {
  query: ExecutionsQuery;
  workflow: Workflow;
  path: string;
}) {
  const chips = chipsOf(query, workflow);
  if (chips.length === 0) return null;
  return (
    <ul class="chips" aria-label={WORDS.filters}>
      {chips.map(({ text, names }) => {
        const params = paramsOf(query);
        for (const name of names) params.delete(name);
        return (
          <li key={text}>
            <bdi>{text}</bdi>
            <a href={`${path}?${params}`} aria-label={WORDS.drop(text)}>
              <span aria-hidden="true">×</span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

/** What of a filter narrows the list, in words, and the parameters that say it. */
export function chipsOf(
  query: ExecutionsQuery,
  { versions }: Workflow,
): { text: string; names: string[] }[] {
  const chips: { text: string; names: string[] }[] = [];
  const add = (text: string, ...names: (keyof ExecutionsQuery)[]) =>
    chips.push({ text, names });
  const { start_date, end_date, attribution } = query;
  if (start_date) {
    const range = formatRange(start_date, end_date!);
    add(
      attribution === "event" ? WORDS.happened(range) : WORDS.enrolled(range),
      ...["start_date", "end_date", "tz", "attribution"] as const,
    );
  }
  if (query.step_id) {
    const steps = versions.flatMap((version) => version.steps);
    const step = steps.find(({ step_id }) => step_id === query.step_id);
    add(
      WORDS.outcomes[query.step ?? "entered"](step?.name ?? query.step_id),
      ...["step_id", "step"] as const,
    );
  }
  if (query.goal_id) {
    const goals = versions.flatMap((version) => version.goals);
    const goal = goals.find(({ goal_id }) => goal_id === query.goal_id);
    add(WORDS.achieved(goal?.name ?? query.goal_id), "goal_id", "goal");
  }
  if (query.status) {
    const names = query.status.map((status) => WORDS.statuses[status]);
    add(WORDS.either(names), "status");
  }
  if (query.reason) add(WORDS.either(query.reason.map(formatWord)), "reason");
  if (query.source) {
    const names = query.source.map((source) => TEXT.lists.sourceNames[source]!);
    add(WORDS.cameBy(WORDS.either(names)), "source");
  }
  if (query.converted) add(WORDS.converted[query.converted], "converted");
  if (query.version) {
    add(TEXT.controls.versionNumber(String(query.version)), "version");
  }
  if (query.running_at) {
    add(WORDS.running(query.running_at), "running_at");
  }
  if (query.text) add(`“${query.text}”`, "text");
  return chips;
}

function SearchForm(
  { query, path }: { query: ExecutionsQuery; path: string },
) {
  const kept = paramsOf(query);
  kept.delete("text");
  kept.delete("status");
  const [only] = query.status?.length === 1 ? query.status : [];
  return (
    <form class="search" role="search" action={path}>
      {[...kept].map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
      <input
        type="search"
        name="text"
        maxLength={200}
        value={query.text}
        placeholder={WORDS.search}
        aria-label={WORDS.search}
      />
      <select name="status" aria-label={PAGE_TEXT.overview.status}>
        <option value="">{PAGE_TEXT.overview.anyStatus}</option>
        {EXECUTION_STATUSES.map((status) => (
          <option key={status} value={status} selected={status === only}>
            {WORDS.statuses[status]}
          </option>
        ))}
      </select>
      <button type="submit">{PAGE_TEXT.overview.submit}</button>
    </form>
  );
}

function ExecutionTable({ list, zone, path }: {
  list: ExecutionList;
  zone: string;
  path: string;
}) {
  return (
    <section class="panel" aria-label={WORDS.title}>
      <div
        class="scroll"
        role="region"
        aria-label={WORDS.tableLabel}
        tabIndex={0}
      >
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">{WORDS.contact}</th>
              <th scope="col" class="word">{WORDS.status}</th>
              <th scope="col" class="word">{WORDS.where}</th>
              <th scope="col" class="word">{WORDS.source}</th>
              <th scope="col">{WORDS.enrolledAt}</th>
              <th scope="col">{WORDS.endedAt}</th>
              <th scope="col">{WORDS.took}</th>
            </tr>
          </thead>
          <tbody>
            {list.executions.map((execution) => (
              <tr key={execution.execution_id}>
                <th scope="row">
                  <a href={`${path}/${execution.execution_id}`}>
                    <bdi>{execution.contact_id ?? WORDS.nobody}</bdi>
                  </a>
                  <small>{execution.execution_id.slice(0, 8)}</small>
                </th>
                <td class="word">
                  <Status execution={execution} />
                </td>
                <td class="word">
                  {execution.open_steps.map(({ step_id, step_name }) => (
                    <bdi key={step_id}>{step_name}</bdi>
                  ))}
                </td>
                <td class="word">
                  {execution.source &&
                    TEXT.lists.sourceNames[execution.source]}
                </td>
                <td>{instant(execution.enrolled_at, zone)}</td>
                <td>{instant(execution.ended_at, zone)}</td>
                <td>{formatSeconds(execution.duration_seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function instant(at: string | null, zone: string) {
  return at === null
    ? formatSeconds(null)
    : <time dateTime={at}>{formatInstant(at, zone)}</time>;
}

const STATUS_BADGES = {
  active: "slow",
  completed: "good",
  goal_achieved: "good",
  error: "bad",
  exited: "plain",
};

function Status({ execution }: { execution: Execution }) {
  const { status, end_reason } = execution;
  if (status === null) return <>{WORDS.notEnrolled}</>;
  return (
    <>
      <span class={`badge ${STATUS_BADGES[status]}`}>
        {WORDS.statuses[status]}
      </span>
      {status === "exited" && end_reason && (
        <small>{formatWord(end_reason)}</small>
      )}
    </>
  );
}

function TimelinePage(
  { workflow, viewer, zone, manifest, execution }: Frame & {
    execution: ExecutionDetail;
  },
) {
  const path = `/workflows/${workflow.workflow_id}`;
  const name = workflow.name ?? TEXT.unnamed(workflow.workflow_id);
  const contact = execution.contact_id ?? WORDS.nobody;
  return (
    <Page title={`${contact} · ${name}`} manifest={manifest} viewer={viewer}>
      <header class="page-head">
        <Crumbs path={path} name={name} />
        <h1>
          <bdi>{contact}</bdi> <Status execution={execution} />
        </h1>
        <p class="page-facts">
          {execution.enrolled_at && (
            <span>
              {WORDS.enrolledAt} <b>{instant(execution.enrolled_at, zone)}</b>
            </span>
          )}
          {execution.source && (
            <span>
              {WORDS.cameBy(TEXT.lists.sourceNames[execution.source]!)}
            </span>
          )}
          {execution.version && (
            <span>
              {TEXT.controls.versionNumber(String(execution.version))}
            </span>
          )}
          {execution.duration_seconds !== null && (
            <span>
              {WORDS.took} <b>{formatSeconds(execution.duration_seconds)}</b>
            </span>
          )}
          <span>{zone.replaceAll("_", " ")}</span>
        </p>
        <p class="page-note">
          <code>{execution.execution_id}</code>
        </p>
      </header>
      <div class="split">
        <Timeline execution={execution} zone={zone} />
        <StepTimes execution={execution} />
      </div>
    </Page>
  );
}

function Timeline({ execution, zone }: {
  execution: ExecutionDetail;
  zone: string;
}) {
  const { events, events_total } = execution;
  return (
    <section class="panel" aria-labelledby="timeline">
      <header class="panel-head">
        <h2 id="timeline">{WORDS.timeline}</h2>
        <p>
          {events_total > events.length
            ? WORDS.firstEvents(events.length, events_total)
            : WORDS.events(events_total)}
        </p>
      </header>
      <ol class="timeline">
        {events.map((event) => (
          <li key={event.id} class={toneOf(event)}>
            <time dateTime={event.occurred_at}>
              {formatInstant(event.occurred_at, zone)}
            </time>
            <p>
              <b>{WORDS.types[event.type]}</b>{" "}
              <bdi>{event.step_name ?? event.goal_name ?? ""}</bdi>
            </p>
            <EventFacts event={event} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function EventFacts({ event }: { event: ExecutionEvent }) {
  const facts = [
    event.source && TEXT.lists.sourceNames[event.source],
    event.reason && formatWord(event.reason),
    event.status && WORDS.results[event.status],
    event.duration_ms !== undefined && formatMilliseconds(event.duration_ms),
    event.error,
  ].filter((fact) => typeof fact === "string");
  return facts.length > 0
    ? (
      <small>
        <bdi>{facts.join(" · ")}</bdi>
      </small>
    )
    : null;
}

function toneOf({ type, status }: ExecutionEvent): string {
  if (type === "execution.failed" || status === "failed") return "bad";
  if (type === "goal.achieved" || type === "execution.completed") {
    return "good";
  }
  return type.startsWith("execution.") ? "strong" : "";
}

function StepTimes({ execution }: { execution: ExecutionDetail }) {
  const { steps } = execution;
  const longest = Math.max(1, ...steps.map((step) => step.time_seconds ?? 0));
  return (
    <section class="panel" aria-labelledby="steps">
      <header class="panel-head">
        <h2 id="steps">{WORDS.steps}</h2>
      </header>
      {steps.length === 0
        ? <p class="muted">{WORDS.noSteps}</p>
        : (
          <table class="shares">
            <thead class="hidden">
              <tr>
                <th scope="col">{TEXT.funnel.step}</th>
                <th scope="col">{WORDS.took}</th>
              </tr>
            </thead>
            <tbody>
              {steps.map((step) => (
                <tr key={step.step_id}>
                  <th scope="row">
                    <bdi>{step.step_name}</bdi>
                    {step.visits > 1 && (
                      <small>
                        {WORDS.visits(formatCount(step.visits))}
                      </small>
                    )}
                    <svg class="share" aria-hidden="true">
                      <rect
                        width={`${
                          ((step.time_seconds ?? 0) / longest * 100).toFixed(2)
                        }%`}
                        height="100%"
                      />
                    </svg>
                  </th>
                  <td>
                    {step.completed_at
                      ? formatSeconds(step.time_seconds)
                      : execution.ended_at
                      ? WORDS.leftOpen
                      : WORDS.open}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
    </section>
  );
}
