/**
 * The funnel: a table whose rows are joined by a stream that narrows.
 *
 * @module
 */

import type { Funnel, FunnelStep } from "../db/schema.ts";
import {
  BAR_BOTTOM,
  BAR_TOP,
  FATES,
  FLOW_HEIGHT,
  FLOW_WIDTH,
  layOutFlow,
  type StepFlow,
} from "../islands/flow.ts";
import { formatCount, formatRate, formatSeconds } from "../islands/format.ts";
import { TEXT } from "../islands/text.ts";

/** The whole section. */
export function FunnelSection({ funnel }: { funnel: Funnel }) {
  return (
    <section class="panel" aria-labelledby="funnel">
      <header class="panel-head">
        <h2 id="funnel">{TEXT.funnel.title}</h2>
        <FunnelSentence funnel={funnel} />
      </header>
      {funnel.funnel_steps.length === 0
        ? (
          <p class="muted">
            <b>{TEXT.funnel.emptyTitle}.</b> {TEXT.funnel.empty}
          </p>
        )
        : <FunnelTable funnel={funnel} />}
    </section>
  );
}

function FunnelSentence({ funnel }: { funnel: Funnel }) {
  if (funnel.overall_conversion === null) {
    return <p>{TEXT.funnel.nobody}</p>;
  }
  const worst = funnel.drop_off_points.find((point) =>
    point.step_id === funnel.bottleneck_step
  );
  return (
    <p>
      {TEXT.funnel.overall(formatRate(funnel.overall_conversion))} {worst && (
        <>
          {TEXT.funnel.mostLostAt}{" "}
          <b>
            <bdi>{worst.step_name}</bdi>
          </b>: {TEXT.funnel.lost(
            `${formatCount(worst.dropped_off)}`,
            formatCount(worst.entered),
            formatRate(worst.drop_off_rate),
          )}
        </>
      )}
    </p>
  );
}

// Roles are spelled out: the narrow layout turns rows into grids, and some
// browsers stop telling that to screen readers as a table.
function FunnelTable({ funnel }: { funnel: Funnel }) {
  const flows = layOutFlow(funnel.funnel_steps);
  return (
    <table class="funnel" role="table">
      <caption class="hidden">{TEXT.funnel.caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          <th scope="col" role="columnheader">{TEXT.funnel.step}</th>
          <td class="flow" role="cell" />
          <th scope="col" role="columnheader">{TEXT.funnel.entered}</th>
          {FATES.map((fate) => (
            <th key={fate} scope="col" role="columnheader">
              <span class={`swatch ${fate}`} /> {TEXT.funnel.fates[fate]}
            </th>
          ))}
          <th scope="col" role="columnheader">{TEXT.funnel.time}</th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {funnel.funnel_steps.map((step, i) => (
          <FunnelRow
            key={step.step_id}
            step={step}
            place={i + 1}
            flow={flows[i]!}
            bottleneck={step.step_id === funnel.bottleneck_step}
            slowest={step.step_id === funnel.slowest_step}
          />
        ))}
      </tbody>
    </table>
  );
}

function FunnelRow({ step, place, flow, bottleneck, slowest }: {
  step: FunnelStep;
  place: number;
  flow: StepFlow;
  bottleneck: boolean;
  slowest: boolean;
}) {
  return (
    <tr role="row">
      <th scope="row" role="rowheader">
        <span class="step-name">
          <span class="step-place">{place}</span>
          <bdi title={step.step_name}>{step.step_name}</bdi>
        </span>
        <span class="step-facts">
          {step.step_type
            ? TEXT.funnel.types[step.step_type]
            : TEXT.funnel.unknownType}
          {bottleneck && <span class="badge bad">{TEXT.funnel.bottleneck}
          </span>}
          {slowest && <span class="badge slow">{TEXT.funnel.slowest}</span>}
        </span>
      </th>
      <td class="flow" role="cell">
        <Flow flow={flow} />
      </td>
      <Figure
        label={TEXT.funnel.entered}
        value={formatCount(step.entered)}
        note={step.visits > step.entered
          ? TEXT.funnel.visits(step.visits)
          : undefined}
      />
      <Figure
        label={TEXT.funnel.fates.completed}
        value={formatCount(step.completed)}
        note={formatRate(step.conversion_rate)}
      />
      <Figure
        label={TEXT.funnel.fates.goal_exits}
        value={formatCount(step.goal_exits)}
      />
      <Figure
        label={TEXT.funnel.fates.in_progress}
        value={formatCount(step.in_progress)}
      />
      <Figure
        label={TEXT.funnel.fates.dropped_off}
        value={formatCount(step.dropped_off)}
        note={formatRate(step.drop_off_rate)}
        more={step.left_after > 0
          ? TEXT.funnel.leftAfter(step.left_after)
          : undefined}
      />
      <Figure
        label={TEXT.funnel.time}
        value={formatSeconds(step.average_time_seconds)}
        note={step.median_time_seconds === null
          ? undefined
          : TEXT.funnel.median(formatSeconds(step.median_time_seconds))}
      />
    </tr>
  );
}

function Figure({ label, value, note, more }: {
  label: string;
  value: string;
  note?: string;
  more?: string;
}) {
  return (
    <td role="cell" data-label={label}>
      {value}
      {note && <small>{note}</small>}
      {more && <small>{more}</small>}
    </td>
  );
}

function Flow({ flow }: { flow: StepFlow }) {
  return (
    <svg
      viewBox={`0 0 ${FLOW_WIDTH} ${FLOW_HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      {flow.inflow && <polygon class="stream" points={flow.inflow} />}
      {flow.outflow && <polygon class="stream" points={flow.outflow} />}
      {flow.bars.map(({ fate, x, width }) => (
        <rect
          key={fate}
          class={fate}
          x={x}
          y={BAR_TOP}
          width={width}
          height={BAR_BOTTOM - BAR_TOP}
        />
      ))}
    </svg>
  );
}
