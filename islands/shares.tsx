/**
 * Short lists with their shares: ends, goals, sources, and how long conversions took.
 *
 * @module
 */

import type { ComponentChildren } from "preact";
import type { Distribution, Summary } from "../db/schema.ts";
import {
  formatCount,
  formatRate,
  formatSeconds,
  formatWord,
} from "./format.ts";
import { Glow } from "./glow.tsx";
import { Count, type Filter, type Opener } from "./open.tsx";
import { TEXT } from "./text.ts";

/** What the lists show. */
export interface ListsProps {
  summary: Summary;
  distribution: Distribution;
  /** Leads to the executions behind a number, `null` where they are not to be seen. */
  open: Opener | null;
}

/** Four panels. */
export function Lists({ summary, distribution, open }: ListsProps) {
  return (
    <div class="lists">
      <ShareList
        id="reasons"
        title={TEXT.lists.reasons}
        column={TEXT.lists.reason}
        empty={TEXT.lists.reasonsEmpty}
        open={open}
        rows={summary.exit_reasons.map(({ reason, count, share }) => ({
          key: reason,
          name: formatWord(reason),
          count,
          share,
          filter: { reason },
        }))}
      />
      <ShareList
        id="goals"
        title={TEXT.lists.goals}
        column={TEXT.lists.goal}
        empty={TEXT.lists.goalsEmpty}
        open={open}
        rows={summary.goal_breakdown.map((goal) => ({
          key: goal.goal_id,
          name: goal.goal_name ?? goal.goal_id,
          count: goal.achieved,
          share: goal.rate,
          note: goal.first === goal.achieved
            ? undefined
            : TEXT.lists.goalFirst(goal.first),
          filter: { goal_id: goal.goal_id },
        }))}
      />
      <ShareList
        id="sources"
        title={TEXT.lists.sources}
        column={TEXT.lists.source}
        empty={TEXT.lists.sourcesEmpty}
        open={open}
        rows={summary.enrollment_sources.map(({ source, count, share }) => ({
          key: source,
          name: TEXT.lists.sourceNames[source] ?? formatWord(source),
          count,
          share,
          filter: { source },
        }))}
      />
      <Times summary={summary} distribution={distribution} />
    </div>
  );
}

interface ShareRow {
  key: string;
  name: string;
  count: number;
  share: number | null;
  note?: string;
  filter?: Filter;
}

function ShareList({ id, title, lead, column, empty, rows, open }: {
  id: string;
  title: string;
  lead?: ComponentChildren;
  column: string;
  empty: string;
  rows: ShareRow[];
  open: Opener | null;
}) {
  // Bars are as long as they can be, and still in proportion.
  const largest = Math.max(...rows.map((row) => row.share ?? 0));
  return (
    <section class="panel" aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
        {lead}
      </header>
      {rows.length === 0 ? <p class="muted">{empty}</p> : (
        <table class="shares">
          <thead class="hidden">
            <tr>
              <th scope="col">{column}</th>
              <th scope="col">{TEXT.lists.count}</th>
              <th scope="col">{TEXT.lists.share}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <ShareListRow
                key={row.key}
                row={row}
                width={largest > 0 ? (row.share ?? 0) / largest * 100 : 0}
                open={open}
              />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function ShareListRow({ row, width, open }: {
  row: ShareRow;
  /** Percent of the longest. */
  width: number;
  open: Opener | null;
}) {
  return (
    <tr>
      <th scope="row">
        <bdi>{row.name}</bdi>
        {row.note && <small>{row.note}</small>}
        <svg class="share" aria-hidden="true">
          <rect width={`${width.toFixed(2)}%`} height="100%" />
        </svg>
      </th>
      <td>
        {row.filter
          ? <Count value={row.count} open={open} filter={row.filter} />
          : <Glow value={formatCount(row.count)} />}
      </td>
      <td class="muted">{formatRate(row.share)}</td>
    </tr>
  );
}

function Times({ summary, distribution }: Omit<ListsProps, "open">) {
  const { median, p95 } = summary.time_to_conversion;
  return (
    <ShareList
      id="times"
      title={TEXT.times.title}
      lead={median !== null && p95 !== null && (
        <p>{TEXT.times.lead(formatSeconds(median), formatSeconds(p95))}</p>
      )}
      column={TEXT.times.column}
      empty={TEXT.times.empty}
      open={null}
      rows={distribution.classes.map((times) => ({
        key: String(times.from_seconds),
        name: nameOf(times),
        count: times.count,
        share: times.share,
      }))}
    />
  );
}

function nameOf(
  { from_seconds, to_seconds }: Distribution["classes"][number],
): string {
  if (to_seconds === null) return TEXT.times.over(formatSeconds(from_seconds));
  if (from_seconds === 0) return TEXT.times.under(formatSeconds(to_seconds));
  return TEXT.times.between(
    formatSeconds(from_seconds),
    formatSeconds(to_seconds),
  );
}
