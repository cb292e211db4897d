/**
 * The funnel: a table whose rows are joined by a stream that narrows.
 *
 * @module
 */

import type { ComponentChildren } from "preact";
import type { Funnel, FunnelStep } from "../db/schema.ts";
import {
  BAR_BOTTOM,
  BAR_TOP,
  type Fate,
  FATES,
  FLOW_HEIGHT,
  FLOW_WIDTH,
  layOutFlow,
  type StepFlow,
} from "./flow.ts";
import { formatCount, formatRate, formatSeconds } from "./format.ts";
import { Glow } from "./glow.tsx";
import { PointShift } from "./headline.tsx";
import { Count, type Opener } from "./open.tsx";
import { TEXT } from "./text.ts";

/** What the section shows. */
export interface FunnelProps {
  funnel: Funnel;
  /** Rates are shown beside those of as many days before. */
  compared: boolean;
  /** Leads to the executions behind a number, `null` where they are not to be seen. */
  open: Opener | null;
}

/** The whole section. */
export function FunnelSection({ funnel, compared, open }: FunnelProps) {
  return (
    <section class="panel" aria-labelledby="funnel">
      <header class="panel-head">
        <h2 id="funnel">{TEXT.funnel.title}</h2>
        <FunnelSentence funnel={funnel} open={open} />
      </header>
      {funnel.funnel_steps.length === 0
        ? (
          <p class="muted">
            <b>{TEXT.funnel.emptyTitle}.</b> {TEXT.funnel.empty}
          </p>
        )
        : <FunnelTable funnel={funnel} compared={compared} open={open} />}
    </section>
  );
}

function FunnelSentence({ funnel, open }: Omit<FunnelProps, "compared">) {
  if (funnel.overall_conversion === null) {
    return <p>{TEXT.funnel.nobody}</p>;
  }
  const worst = funnel.funnel_steps.find((step) =>
    step.step_id === funnel.bottleneck_step
  );
  return (
    <p>
      {TEXT.funnel.overall(formatRate(funnel.overall_conversion))} {worst && (
        <>
          {TEXT.funnel.mostLostAt}{" "}
          <b>
            <bdi>{worst.step_name}</bdi>
          </b>: {TEXT.funnel.lost(
            formatCount(worst.dropped_off),
            formatCount(worst.entered),
            formatRate(worst.drop_off_rate),
          )}{" "}
          <Count
            value={worst.in_progress}
            open={open}
            filter={{ step_id: worst.step_id, step: "in_progress" }}
          />{" "}
          {TEXT.funnel.stuck(worst.in_progress)}
        </>
      )}
    </p>
  );
}

// Roles are spelled out: the narrow layout turns rows into grids, and some
// browsers stop telling that to screen readers as a table.
function FunnelTable({ funnel, compared, open }: FunnelProps) {
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
            compared={compared}
            open={open}
          />
        ))}
      </tbody>
    </table>
  );
}

function FunnelRow({ step, place, flow, bottleneck, slowest, compared, open }: {
  step: FunnelStep;
  place: number;
  flow: StepFlow;
  bottleneck: boolean;
  slowest: boolean;
  compared: boolean;
  open: Opener | null;
}) {
  const before = compared ? step.vs_previous_period : null;
  const fate = (step_fate: Fate) => (
    <Count
      value={step[step_fate]}
      open={open}
      filter={{ step_id: step.step_id, step: step_fate }}
    />
  );
  return (
    <tr role="row" class={bottleneck ? "marked" : undefined}>
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
      <Cell label={TEXT.funnel.entered}>
        <Count
          value={step.entered}
          open={open}
          filter={{ step_id: step.step_id }}
        />
        {step.visits > step.entered && (
          <small>{TEXT.funnel.visits(step.visits)}</small>
        )}
      </Cell>
      <Cell label={TEXT.funnel.fates.completed}>
        {fate("completed")}
        <small>
          <Glow value={formatRate(step.conversion_rate)} />
        </small>
        <PointShift points={before && before.conversion_rate} />
      </Cell>
      <Cell label={TEXT.funnel.fates.goal_exits}>{fate("goal_exits")}</Cell>
      <Cell label={TEXT.funnel.fates.in_progress}>{fate("in_progress")}</Cell>
      <Cell label={TEXT.funnel.fates.dropped_off}>
        {fate("dropped_off")}
        <small>
          <Glow value={formatRate(step.drop_off_rate)} />
        </small>
        <PointShift points={before && before.drop_off_rate} worseWhenUp />
        {step.left_after > 0 && (
          <small>{TEXT.funnel.leftAfter(step.left_after)}</small>
        )}
      </Cell>
      <Cell label={TEXT.funnel.time}>
        {formatSeconds(step.average_time_seconds)}
        {step.median_time_seconds !== null && (
          <small>
            {TEXT.funnel.median(formatSeconds(step.median_time_seconds))}
          </small>
        )}
      </Cell>
    </tr>
  );
}

function Cell({ label, children }: {
  label: string;
  children: ComponentChildren;
}) {
  return <td role="cell" data-label={label}>{children}</td>;
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
