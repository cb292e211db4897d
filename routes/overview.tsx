/**
 * `GET /`: the account's workflows with the numbers of the last 30 days.
 *
 * @module
 */

import { Hono } from "hono";
import type { Grant } from "../db/access.ts";
import {
  WORKFLOW_SORTS,
  WORKFLOW_STATUSES,
  type WorkflowList,
  type WorkflowListing,
  WORKFLOWS_RANKED_MAX,
  type WorkflowSort,
  WorkflowsQuery,
} from "../db/schema.ts";
import {
  HEADLINE_DAYS,
  listWorkflows,
  orderOf,
  TooManyToSort,
} from "../db/workflows.ts";
import { Command } from "../islands/command.tsx";
import { formatCount, formatInstant, formatRate } from "../islands/format.ts";
import { Sparkline } from "../islands/spark.tsx";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import { type AuthEnv, ownerOf } from "./_auth.ts";
import { eventCommand, keyCommand, workflowCommand } from "./_commands.tsx";
import { answerPage, Page, type PageDeps } from "./_page.tsx";
import { zoneOf } from "./_reader.ts";

/** What the page shows. */
export interface OverviewProps {
  viewer: Grant;
  list: WorkflowList;
  query: WorkflowsQuery;
  /** It was to be sorted by a number, and is not. */
  tooMany: boolean;
  /** Of the reader. */
  zone: string;
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
    const shown = await readShown(deps.sql, viewer, query, now);
    if (shown === null) return c.redirect("/", 303);
    const zone = zoneOf(c, viewer.time_zone);
    const props = { viewer, ...shown, zone, now, deps };
    return answerPage(c, <OverviewPage {...props} />);
  });
}

/** Where there are too many to sort, they come by name. `null`: the cursor is none. */
async function readShown(
  sql: PageDeps["sql"],
  viewer: Grant,
  query: WorkflowsQuery,
  now: Date,
): Promise<Pick<OverviewProps, "list" | "query" | "tooMany"> | null> {
  const { account_id } = viewer;
  try {
    const owner = ownerOf(viewer);
    const list = await listWorkflows(sql, account_id, query, now, owner);
    return { list, query, tooMany: false };
  } catch (error) {
    // A cursor that cannot be read leads to the first page.
    if (error instanceof SyntaxError) return null;
    if (!(error instanceof TooManyToSort)) throw error;
    const byName = { ...query, sort: "name", order: "asc" } as const;
    const shown = await readShown(sql, viewer, byName, now);
    return shown && { ...shown, tooMany: true };
  }
}

/** A part of the URL that cannot be read is as if it were not there. */
function readQuery(params: Record<string, string>): WorkflowsQuery {
  const { search, status, sort, order, limit, cursor } = WorkflowsQuery.shape;
  const [by, way] = (params.sort ?? "").split(".");
  return {
    search: search.safeParse(params.search || undefined).data,
    status: status.safeParse(params.status || undefined).data,
    sort: sort.safeParse(by).data ?? "name",
    order: order.safeParse(way).data,
    limit: limit.parse(undefined),
    cursor: cursor.safeParse(params.cursor || undefined).data,
  };
}

/** How an order stands in the address, e.g. `total_enrolled` or `total_enrolled.asc`. */
function sortParam(sort: WorkflowSort, order: "asc" | "desc"): string {
  return order === orderOf({ sort }) ? sort : `${sort}.${order}`;
}

/** The address of a list's first page, or of the one that a cursor leads to. */
function addressOf(
  { search, status, sort, order }: WorkflowsQuery,
  cursor?: string,
): string {
  const params = new URLSearchParams();
  if (search) params.set("search", search);
  if (status) params.set("status", status);
  const by = sortParam(sort, orderOf({ sort, order }));
  if (by !== "name") params.set("sort", by);
  if (cursor) params.set("cursor", cursor);
  return `/?${params}`;
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
          {props.tooMany && (
            <p class="notice" role="alert">
              {PAGE_TEXT.overview.tooMany(WORKFLOWS_RANKED_MAX)}
            </p>
          )}
          <WorkflowTable workflows={list.workflows} query={query} />
          <p class="note">
            {PAGE_TEXT.overview.lead(HEADLINE_DAYS)} {PAGE_TEXT.overview.asOf}
            {" "}
            <time dateTime={list.as_of}>
              {formatInstant(list.as_of, props.zone)}
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
      <SortSelect query={query} />
      <button type="submit">{PAGE_TEXT.overview.submit}</button>
    </form>
  );
}

/** Keeps the order of a search; seen where the table has no head to sort it by. */
function SortSelect({ query }: { query: WorkflowsQuery }) {
  const text = PAGE_TEXT.overview;
  const now = sortParam(query.sort, orderOf(query));
  return (
    <select class="sort" name="sort" aria-label={text.sort}>
      {WORKFLOW_SORTS.flatMap((sort) =>
        (["desc", "asc"] as const).map((order) => {
          const value = sortParam(sort, order);
          return (
            <option key={value} value={value} selected={value === now}>
              {text.sorts[sort]},{" "}
              {sort === "name" ? text.letters[order] : text.numbers[order]}
            </option>
          );
        })
      )}
    </select>
  );
}

// Roles are spelled out: the narrow layout turns rows into grids, and some
// browsers stop telling that to screen readers as a table.
function WorkflowTable(
  { workflows, query }: { workflows: WorkflowListing[]; query: WorkflowsQuery },
) {
  const text = PAGE_TEXT.overview;
  return (
    <section class="panel" aria-label={text.title}>
      <table class="workflows" role="table">
        <thead role="rowgroup">
          <tr role="row">
            <SortHeader sort="name" query={query} />
            <th scope="col" role="columnheader">{text.daily}</th>
            <SortHeader sort="total_enrolled" query={query} />
            <SortHeader sort="currently_active" query={query} />
            <SortHeader sort="completion_rate" query={query} />
            <SortHeader sort="conversion_rate" query={query} />
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

/** The first use sorts, the second turns the order round. */
function SortHeader(
  { sort, query }: { sort: WorkflowSort; query: WorkflowsQuery },
) {
  const isOn = sort === query.sort;
  const now = orderOf(query);
  const order = isOn
    ? now === "asc" ? "desc" as const : "asc" as const
    : undefined;
  return (
    <th
      scope="col"
      role="columnheader"
      aria-sort={isOn ? now === "asc" ? "ascending" : "descending" : undefined}
    >
      <a href={addressOf({ ...query, sort, order })}>
        {PAGE_TEXT.overview.sorts[sort]}
        <span class="arrow" aria-hidden="true">
          {isOn ? now === "asc" ? "↑" : "↓" : ""}
        </span>
      </a>
    </th>
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
      <td role="cell" class="daily">
        <Daily counts={workflow.daily_enrollments} />
      </td>
      <Figure
        label={text.sorts.total_enrolled}
        value={workflow.total_enrolled}
      />
      <Figure
        label={text.sorts.currently_active}
        value={workflow.currently_active}
      />
      <Figure
        label={text.sorts.completion_rate}
        value={workflow.completed}
        rate={workflow.completion_rate}
      />
      <Figure
        label={text.sorts.conversion_rate}
        value={workflow.goals_achieved}
        rate={workflow.conversion_rate}
      />
    </tr>
  );
}

/** Enrolments of each day, as a line and in a sentence; today is not over yet. */
function Daily({ counts }: { counts: number[] }) {
  const least = Math.min(...counts);
  const most = Math.max(...counts);
  return (
    <Sparkline
      values={counts}
      finished={counts.length - 1}
      label={PAGE_TEXT.overview.dailySentence(least, most, counts.at(-1)!)}
    />
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
  return (
    <nav class="pages" aria-label={PAGE_TEXT.overview.pages}>
      {query.cursor && (
        <a class="button" href={addressOf(query)}>{PAGE_TEXT.overview.first}</a>
      )}
      {list.next_cursor && (
        <a
          class="button"
          href={addressOf(query, list.next_cursor)}
          rel="next"
        >
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
