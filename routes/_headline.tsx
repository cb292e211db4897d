/**
 * The headline numbers of a range, and the small lists below the charts.
 *
 * @module
 */

import type { ComponentChildren } from "preact";
import type { Analytics, Summary } from "../db/schema.ts";
import {
  formatCount,
  formatDay,
  formatHeadline,
  formatRate,
  formatSeconds,
  formatWord,
} from "../islands/format.ts";
import { TEXT } from "../islands/text.ts";

/** Four cards: enrolled, active, completed, conversions. */
export function Headline({ analytics }: { analytics: Analytics }) {
  const { summary, period, as_of } = analytics;
  const over = Date.parse(period.end) <= Date.parse(as_of);
  const duration = summary.median_duration_seconds;
  const conversion = summary.time_to_conversion.median;
  return (
    <section class="headline" aria-label={TEXT.dashboard.headline}>
      <Card label={TEXT.cards.enrolled} value={summary.total_enrolled}>
        {summary.enrollment_rate !== null &&
          TEXT.cards.perDay(formatHeadline(summary.enrollment_rate))}
      </Card>
      <Card
        label={over
          ? TEXT.cards.activeThen(formatDay(period.end_date))
          : TEXT.cards.activeNow}
        value={summary.currently_active}
      >
        {TEXT.cards.inProgress(summary.in_progress)}
      </Card>
      <Card
        label={TEXT.cards.completed}
        value={summary.completed}
        rate={summary.completion_rate}
        settled={summary.settled_completion_rate}
      >
        {duration === null
          ? TEXT.cards.noDuration
          : TEXT.cards.medianDuration(formatSeconds(duration))}
      </Card>
      <Card
        label={TEXT.cards.conversions}
        value={summary.goals_achieved}
        rate={summary.conversion_rate}
        settled={summary.settled_conversion_rate}
      >
        {conversion === null
          ? TEXT.cards.noConversion
          : TEXT.cards.medianConversion(formatSeconds(conversion))}
      </Card>
    </section>
  );
}

function Card({ label, value, rate, settled, children }: {
  label: string;
  value: number;
  rate?: number | null;
  settled?: number | null;
  children: ComponentChildren;
}) {
  return (
    <div class="card">
      <h2>{label}</h2>
      <p class="card-value">
        <data value={value} title={formatCount(value)}>
          {formatHeadline(value)}
        </data>
        {rate !== undefined && rate !== null && (
          <span class="card-rate">
            {formatRate(rate)}{" "}
            <span class="hidden">{TEXT.cards.ofEnrolled}</span>
          </span>
        )}
      </p>
      <p class="card-note">{children}</p>
      {settled !== undefined && settled !== null && settled !== rate && (
        <p class="card-note">{TEXT.cards.ofSettled(formatRate(settled))}</p>
      )}
    </div>
  );
}

/** Sources, ends and goals, each a short list with its shares. */
export function Lists({ summary }: { summary: Summary }) {
  return (
    <div class="lists">
      <ShareList
        id="reasons"
        title={TEXT.lists.reasons}
        column={TEXT.lists.reason}
        empty={TEXT.lists.reasonsEmpty}
        rows={summary.exit_reasons.map(({ reason, count, share }) => ({
          key: reason,
          name: formatWord(reason),
          count,
          share,
        }))}
      />
      <ShareList
        id="goals"
        title={TEXT.lists.goals}
        column={TEXT.lists.goal}
        empty={TEXT.lists.goalsEmpty}
        rows={summary.goal_breakdown.map((goal) => ({
          key: goal.goal_id,
          name: goal.goal_name ?? goal.goal_id,
          count: goal.achieved,
          share: goal.rate,
          note: goal.first === goal.achieved
            ? undefined
            : TEXT.lists.goalFirst(goal.first),
        }))}
      />
      <ShareList
        id="sources"
        title={TEXT.lists.sources}
        column={TEXT.lists.source}
        empty={TEXT.lists.sourcesEmpty}
        rows={summary.enrollment_sources.map(({ source, count, share }) => ({
          key: source,
          name: TEXT.lists.sourceNames[source] ?? formatWord(source),
          count,
          share,
        }))}
      />
    </div>
  );
}

interface ShareRow {
  key: string;
  name: string;
  count: number;
  share: number | null;
  note?: string;
}

function ShareList({ id, title, column, empty, rows }: {
  id: string;
  title: string;
  column: string;
  empty: string;
  rows: ShareRow[];
}) {
  return (
    <section class="panel" aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{title}</h2>
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
            {rows.map((row) => <ShareListRow key={row.key} row={row} />)}
          </tbody>
        </table>
      )}
    </section>
  );
}

function ShareListRow({ row }: { row: ShareRow }) {
  return (
    <tr>
      <th scope="row">
        <bdi>{row.name}</bdi>
        {row.note && <small>{row.note}</small>}
        <svg class="share" aria-hidden="true">
          <rect width="100%" height="100%" class="share-rest" />
          <rect
            width={`${Math.min(100, row.share ?? 0)}%`}
            height="100%"
            class="share-part"
          />
        </svg>
      </th>
      <td>{formatCount(row.count)}</td>
      <td class="muted">{formatRate(row.share)}</td>
    </tr>
  );
}
