/**
 * What was noticed about a workflow's events.
 *
 * @module
 */

import type { Quality } from "../db/schema.ts";
import { formatCount } from "../islands/format.ts";
import { PAGE_TEXT } from "../islands/text.ts";

interface Finding {
  what: string;
  count: number;
  executions: string[];
}

/** The whole section. */
export function QualitySection(
  { quality, names }: {
    quality: Quality;
    /** Of steps, by their ids. */
    names: Map<string, string>;
  },
) {
  const text = PAGE_TEXT.quality;
  const findings = findingsOf(quality, (id) => names.get(id) ?? id);
  return (
    <section class="panel" aria-labelledby="quality">
      <header class="panel-head">
        <h2 id="quality">{text.title}</h2>
        <p>{text.lead}</p>
      </header>
      {findings.length === 0 ? <p class="muted">{text.good}</p> : (
        <div
          class="scroll"
          role="region"
          aria-label={text.tableLabel}
          tabIndex={0}
        >
          <table class="numbers">
            <thead>
              <tr>
                <th scope="col">{text.finding}</th>
                <th scope="col">{text.count}</th>
                <th scope="col" class="word">{text.examples}</th>
              </tr>
            </thead>
            <tbody>
              {findings.map(({ what, count, executions }) => (
                <tr key={what}>
                  <th scope="row">
                    <bdi>{what}</bdi>
                  </th>
                  <td>{formatCount(count)}</td>
                  <td class="word">
                    {executions.slice(0, 2).map((id) => (
                      <small key={id}>{id}</small>
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function findingsOf(
  quality: Quality,
  nameOf: (stepId: string) => string,
): Finding[] {
  const text = PAGE_TEXT.quality;
  return [
    ...quality.forbidden_transitions.map((one) => ({
      ...one,
      what: text.forbidden(
        one.from_step_id && nameOf(one.from_step_id),
        nameOf(one.to_step_id),
      ),
    })),
    ...quality.never_completed.map((one) => ({
      ...one,
      what: text.neverCompleted(one.step_name ?? one.step_id),
      count: one.left_open,
    })),
    ...quality.unknown_steps.map((one) => ({
      ...one,
      what: text.unknownStep(one.step_id),
      count: one.entered + one.actions,
    })),
    ...quality.arrivals.filter(({ events }) => events > 0).map((one) => ({
      ...one,
      what: text.arrivals[one.kind],
      count: one.events,
    })),
  ];
}
