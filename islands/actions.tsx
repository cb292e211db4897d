/**
 * How the workflow's actions fare: a table that can be sorted.
 *
 * @module
 */

import type { ActionMetrics, Actions } from "../db/schema.ts";
import { formatCount, formatMilliseconds, formatRate } from "./format.ts";
import { Glow } from "./glow.tsx";
import { TEXT } from "./text.ts";
import { ACTION_SORTS, type ActionSort, type View } from "./view.ts";

/** Rows of a page: more than most workflows have actions, and few enough to read. */
export const ACTIONS_PER_PAGE = 15;

/** All of them: where nothing leads to a second page. */
const ACTIONS_MAX = 1_000;

/** How a level looks; its word says the same. */
const BADGES = { error: "bad", warning: "warn", slow: "slow", ok: "good" };

/** What is compared, the worst first. Health is the order that the answer has. */
const WORSE: Record<
  Exclude<ActionSort, "health">,
  (action: ActionMetrics) => number
> = {
  executions: (action) => action.executions,
  success: (action) => -(action.success_rate ?? 0),
  failures: (action) => action.failures,
  mean: (action) => action.average_duration_ms ?? -1,
  p50: (action) => action.p50_duration_ms ?? -1,
  p95: (action) => action.p95_duration_ms ?? -1,
  p99: (action) => action.p99_duration_ms ?? -1,
};

/** What the section shows. */
export interface ActionsProps {
  actions: Actions;
  view: View;
  /** The address of the same page with another order; `null` where it has but one. */
  href: ((view: View) => string) | null;
}

/** The whole section. */
export function ActionsSection({ actions, view, href }: ActionsProps) {
  const text = TEXT.actions;
  const sorted = sortActions(actions.actions, view.sort, view.reversed);
  const perPage = href ? ACTIONS_PER_PAGE : ACTIONS_MAX;
  const pages = Math.max(1, Math.ceil(sorted.length / perPage));
  const page = Math.min(view.page, pages);
  const first = (page - 1) * perPage;
  return (
    <section class="panel" aria-labelledby="actions">
      <header class="panel-head">
        <h2 id="actions">{text.title}</h2>
        <p>{text.lead}</p>
      </header>
      {sorted.length === 0 ? <p class="muted">{text.empty}</p> : (
        <div
          class="scroll"
          role="region"
          aria-label={text.tableLabel}
          tabIndex={0}
        >
          <table class="numbers">
            <thead>
              <tr>
                <th scope="col">{text.action}</th>
                {ACTION_SORTS.map((sort) => (
                  <SortHeader key={sort} sort={sort} view={view} href={href} />
                ))}
              </tr>
            </thead>
            <tbody>
              {sorted.slice(first, first + perPage).map((action) => (
                <ActionRow key={action.action_id} action={action} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {href && pages > 1 && (
        <nav class="pages" aria-label={text.pages}>
          {page > 1 && (
            <a class="button" href={href({ ...view, page: page - 1 })}>
              {text.before}
            </a>
          )}
          <span class="muted">
            {text.shown(first + 1, first + ACTIONS_PER_PAGE, sorted.length)}
          </span>
          {page < pages && (
            <a class="button" href={href({ ...view, page: page + 1 })}>
              {text.after}
            </a>
          )}
        </nav>
      )}
    </section>
  );
}

/**
 * Orders actions by a column.
 *
 * @param actions Worst first, as they are answered.
 * @param sort The column; what is worst in it comes first.
 * @param reversed Best first instead.
 * @returns A new list; equal ones stay in order.
 */
export function sortActions(
  actions: ActionMetrics[],
  sort: ActionSort,
  reversed: boolean,
): ActionMetrics[] {
  const sorted = sort === "health"
    ? [...actions]
    : actions.toSorted((a, b) => WORSE[sort](b) - WORSE[sort](a));
  return reversed ? sorted.reverse() : sorted;
}

function SortHeader(
  { sort, view, href }: { sort: ActionSort } & Omit<ActionsProps, "actions">,
) {
  const isOn = view.sort === sort;
  const rises = (sort === "success" || sort === "health") !== view.reversed;
  return (
    <th
      scope="col"
      class={sort === "health" ? "word" : undefined}
      aria-sort={isOn ? rises ? "ascending" : "descending" : undefined}
    >
      {href
        ? (
          <a
            href={href({
              ...view,
              sort,
              reversed: isOn && !view.reversed,
              page: 1,
            })}
          >
            {TEXT.actions.columns[sort]}
            <span class="arrow" aria-hidden="true">
              {isOn ? rises ? "↑" : "↓" : ""}
            </span>
          </a>
        )
        : TEXT.actions.columns[sort]}
    </th>
  );
}

function ActionRow({ action }: { action: ActionMetrics }) {
  return (
    <tr>
      <th scope="row">
        <bdi>{action.action_name}</bdi>
        {action.action_type && (
          <small>
            <bdi>{action.action_type}</bdi>
          </small>
        )}
      </th>
      <td class="word">
        <span class={`badge ${BADGES[action.health]}`}>
          {TEXT.actions.levels[action.health]}
        </span>
      </td>
      <td>
        <Glow value={formatCount(action.executions)} />
      </td>
      <td>
        <Glow value={formatRate(action.success_rate)} />
      </td>
      <td>
        <Glow value={formatCount(action.failures)} />
      </td>
      <td>{formatMilliseconds(action.average_duration_ms)}</td>
      <td>{formatMilliseconds(action.p50_duration_ms)}</td>
      <td>{formatMilliseconds(action.p95_duration_ms)}</td>
      <td>{formatMilliseconds(action.p99_duration_ms)}</td>
    </tr>
  );
}
