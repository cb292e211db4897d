/**
 * How the workflow's actions fare.
 *
 * @module
 */

import type { ActionMetrics, Actions } from "../db/schema.ts";
import {
  formatCount,
  formatMilliseconds,
  formatRate,
} from "../islands/format.ts";
import { TEXT } from "../islands/text.ts";

/** How a level looks; its word says the same. */
const BADGES = { error: "bad", warning: "warn", slow: "slow", ok: "good" };

/** The whole section. */
export function ActionsSection({ actions }: { actions: Actions }) {
  const text = TEXT.actions;
  return (
    <section class="panel" aria-labelledby="actions">
      <header class="panel-head">
        <h2 id="actions">{text.title}</h2>
        <p>{text.lead}</p>
      </header>
      {actions.actions.length === 0 ? <p class="muted">{text.empty}</p> : (
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
                <th scope="col" class="word">{text.health}</th>
                <th scope="col">{text.executions}</th>
                <th scope="col">{text.success}</th>
                <th scope="col">{text.failures}</th>
                <th scope="col">{text.mean}</th>
                <th scope="col">{text.p50}</th>
                <th scope="col">{text.p95}</th>
                <th scope="col">{text.p99}</th>
              </tr>
            </thead>
            <tbody>
              {actions.actions.map((action) => (
                <ActionRow key={action.action_id} action={action} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
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
      <td>{formatCount(action.executions)}</td>
      <td>{formatRate(action.success_rate)}</td>
      <td>{formatCount(action.failures)}</td>
      <td>{formatMilliseconds(action.average_duration_ms)}</td>
      <td>{formatMilliseconds(action.p50_duration_ms)}</td>
      <td>{formatMilliseconds(action.p95_duration_ms)}</td>
      <td>{formatMilliseconds(action.p99_duration_ms)}</td>
    </tr>
  );
}
