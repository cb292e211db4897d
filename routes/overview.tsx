/**
 * `GET /`: the account's workflows with the numbers of the last 30 days.
 *
 * @module
 */

import { Hono } from "hono";
import type { Grant } from "../db/access.ts";
import {
  WORKFLOW_STATUSES,
  type WorkflowList,
  type WorkflowListing,
  WorkflowsQuery,
} from "../db/schema.ts";
import { HEADLINE_DAYS, listWorkflows } from "../db/workflows.ts";
import { Command } from "../islands/command.tsx";
import { formatCount, formatInstant, formatRate } from "../islands/format.ts";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import { type AuthEnv, ownerOf } from "./_auth.ts";
import { eventCommand, keyCommand, workflowCommand } from "./_commands.tsx";
import { answerPage, Page, type PageDeps } from "./_page.tsx";

/** What the page shows. */
export interface OverviewProps {
  viewer: Grant;
  list: WorkflowList;
  query: WorkflowsQuery;
  now: Date;
  deps: Pick<PageDeps, "manifest" | "publicUrl">;
}

/** Any UUID does; this one is easy to recognise, and to replace. */
const FIRST_WORKFLOW = "00000000-0000-4000-8000-000000000000";

/**
 * The page of all workflows.
 *
 * @param deps Of the program.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function overview(deps: PageDeps): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get("/", async (c) => {
    const viewer = c.get("viewer");
    const now = deps.now();
    const query = readQuery(c.req.query());
    const list = await listWorkflows(
      deps.sql,
      viewer.account_id,
      query,
      now,
      ownerOf(viewer),
    ).catch(forgiveCursor);
    if (list === null) return c.redirect("/", 303);
    const props = { viewer, list, query, now, deps };
    return answerPage(c, <OverviewPage {...props} />);
  });
}

/** A cursor that cannot be read leads to the first page. */
function forgiveCursor(thrown: unknown): null {
  if (thrown instanceof SyntaxError) return null;
  throw thrown;
}

/** A part of the URL that cannot be read is as if it were not there. */
function readQuery(params: Record<string, string>): WorkflowsQuery {
  const { search, status, limit, cursor } = WorkflowsQuery.shape;
  return {
    search: search.safeParse(params.search || undefined).data,
    status: status.safeParse(params.status || undefined).data,
    limit: limit.parse(undefined),
    cursor: cursor.safeParse(params.cursor || undefined).data,
  };
}

/** The whole page. */
export function OverviewPage(props: OverviewProps) {
  const { viewer, list, query, deps } = props;
  const searched = Boolean(query.search || query.status || query.cursor);
  const empty = list.workflows.length === 0;
  return (
    <Page
      title={PAGE_TEXT.overview.title}
      manifest={deps.manifest}
      viewer={viewer}
    >
      <header class="page-head">
        <h1>{PAGE_TEXT.overview.title}</h1>
        {!(empty && !searched) && <SearchForm query={query} />}
      </header>
      {empty ? searched ? <NothingFound /> : <NoWorkflow {...props} /> : (
        <>
          <WorkflowTable workflows={list.workflows} />
          <p class="note">
            {PAGE_TEXT.overview.lead(HEADLINE_DAYS)} {PAGE_TEXT.overview.asOf}
            {" "}
            <time dateTime={list.as_of}>
              {formatInstant(list.as_of, viewer.time_zone)}
            </time>
            .
          </p>
        </>
      )}
      <Pages list={list} query={query} />
    </Page>
  );
}

function SearchForm({ query }: { query: WorkflowsQuery }) {
  return (
    <form class="search" role="search" action="/">
      <input
        type="search"
        name="search"
        maxLength={200}
        value={query.search}
        placeholder={PAGE_TEXT.overview.search}
        aria-label={PAGE_TEXT.overview.search}
      />
      <select name="status" aria-label={PAGE_TEXT.overview.status}>
        <option value="">{PAGE_TEXT.overview.anyStatus}</option>
        {WORKFLOW_STATUSES.map((status) => (
          <option
            key={status}
            value={status}
            selected={status === query.status}
          >
            {TEXT.status[status]}
          </option>
        ))}
      </select>
      <button type="submit">{PAGE_TEXT.overview.submit}</button>
    </form>
  );
}

// Roles are spelled out: the narrow layout turns rows into grids, and some
// browsers stop telling that to screen readers as a table.
function WorkflowTable({ workflows }: { workflows: WorkflowListing[] }) {
  const text = PAGE_TEXT.overview;
  const columns = [
    text.enrolled,
    text.active,
    text.completed,
    text.conversions,
  ];
  return (
    <section class="panel" aria-label={text.title}>
      <table class="workflows" role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th scope="col" role="columnheader">{text.workflow}</th>
            {columns.map((column) => (
              <th key={column} scope="col" role="columnheader">{column}</th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {workflows.map((workflow) => (
            <WorkflowRow key={workflow.workflow_id} workflow={workflow} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function WorkflowRow({ workflow }: { workflow: WorkflowListing }) {
  const text = PAGE_TEXT.overview;
  return (
    <tr role="row">
      <th scope="row" role="rowheader">
        <a href={`/workflows/${workflow.workflow_id}`}>
          <bdi>{workflow.name ?? TEXT.unnamed(workflow.workflow_id)}</bdi>
        </a>{" "}
        <span class={`badge ${workflow.status}`}>
          {TEXT.status[workflow.status]}
        </span>
      </th>
      <Figure label={text.enrolled} value={workflow.total_enrolled} />
      <Figure label={text.active} value={workflow.currently_active} />
      <Figure
        label={text.completed}
        value={workflow.completed}
        rate={workflow.completion_rate}
      />
      <Figure
        label={text.conversions}
        value={workflow.goals_achieved}
        rate={workflow.conversion_rate}
      />
    </tr>
  );
}

function Figure(
  { label, value, rate }: {
    label: string;
    value: number;
    rate?: number | null;
  },
) {
  return (
    <td role="cell" data-label={label}>
      {formatCount(value)}
      {rate !== undefined && rate !== null && <small>{formatRate(rate)}</small>}
    </td>
  );
}

function Pages({ list, query }: Pick<OverviewProps, "list" | "query">) {
  if (!list.next_cursor && !query.cursor) return null;
  const params = new URLSearchParams();
  if (query.search) params.set("search", query.search);
  if (query.status) params.set("status", query.status);
  const first = `/?${params}`;
  if (list.next_cursor) params.set("cursor", list.next_cursor);
  return (
    <nav class="pages" aria-label={PAGE_TEXT.overview.pages}>
      {query.cursor && (
        <a class="button" href={first}>{PAGE_TEXT.overview.first}</a>
      )}
      {list.next_cursor && (
        <a class="button" href={`/?${params}`} rel="next">
          {PAGE_TEXT.overview.next}
        </a>
      )}
    </nav>
  );
}

function NothingFound() {
  return (
    <section class="message">
      <p>{PAGE_TEXT.overview.nothingFound}</p>
      <p>
        <a class="button" href="/">{PAGE_TEXT.overview.clear}</a>
      </p>
    </section>
  );
}

function NoWorkflow({ viewer, now, deps }: OverviewProps) {
  const text = PAGE_TEXT.overview;
  if (viewer.role === "member") {
    return (
      <section class="message">
        <h2>{text.emptyTitle}</h2>
        <p>{text.memberEmptyLead}</p>
      </section>
    );
  }
  const target = {
    publicUrl: deps.publicUrl,
    workflowId: FIRST_WORKFLOW,
    now,
  };
  const scopes = ["workflows:write", "events:write"];
  return (
    <section class="panel first" aria-labelledby="first">
      <h2 id="first">{text.emptyTitle}</h2>
      <p>{text.emptyLead}</p>
      <h3>{text.emptyKey}</h3>
      <Command text={keyCommand(viewer.account_uuid, scopes)} />
      <h3>{text.emptyWorkflow}</h3>
      <Command text={workflowCommand(target)} />
      <h3>{text.emptyEvent}</h3>
      <Command text={eventCommand(target)} />
    </section>
  );
}
