/**
 * What a page of a workflow shows: range, comparison, buckets, attribution, zone,
 * version. Links and a form, so that they work before and without scripts; with them,
 * the page follows every change at once.
 *
 * @module
 */

import { useEffect, useRef, useState } from "preact/hooks";
import type { AnalyticsQuery } from "../db/schema.ts";
import { formatRange } from "./format.ts";
import {
  daysOf,
  neighbour,
  type Preset,
  presetRange,
  PRESETS,
} from "./range.ts";
import { TEXT } from "./text.ts";
import {
  ATTRIBUTIONS,
  COMPARES,
  GRANULARITIES,
  HOURLY_DAYS_MAX,
  type View,
  viewParams,
  withQuery,
  withRange,
} from "./view.ts";

/** What the controls offer. */
export interface ControlsProps {
  view: View;
  /** In the view's zone, `YYYY-MM-DD`. */
  today: string;
  /** Offered before all others, which come when asked for. */
  zones: string[];
  /** Numbers of the registered versions, newest first. */
  versions: number[];
  /** Of the page. */
  path: string;
  href(view: View): string;
  go(href: string): void;
}

/** All of them. */
export function Controls(props: ControlsProps) {
  const { view, path, href, go } = props;
  const { query } = view;

  function onSubmit(event: SubmitEvent) {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const dates = {
      start_date: String(form.get("start_date")),
      end_date: String(form.get("end_date")),
    };
    go(href(withRange(view, null, dates)));
  }
  const change = (change: Partial<AnalyticsQuery>) =>
    go(href(withQuery(view, change)));

  return (
    <form
      class="controls"
      action={path}
      onSubmit={onSubmit}
      aria-label={TEXT.controls.title}
    >
      <KeptParams view={view} />
      <RangePicker {...props} />
      <Choice
        name="compare"
        label={TEXT.controls.compare}
        value={query.compare}
        options={query.compare === "custom"
          ? [...COMPARES, "custom" as const]
          : COMPARES}
        words={TEXT.controls.compares}
        onChange={(compare) =>
          change({
            compare,
            ...(compare !== "custom" &&
              { compare_start: undefined, compare_end: undefined }),
          })}
      />
      <Choice
        name="granularity"
        label={TEXT.controls.granularity}
        value={view.autoGranularity ? "" : query.granularity}
        options={["" as const, ...GRANULARITIES].filter((granularity) =>
          granularity !== "hourly" || query.granularity === "hourly" ||
          daysOf(query) <= HOURLY_DAYS_MAX
        )}
        words={(granularity) =>
          granularity === ""
            ? TEXT.controls.automatic(query.granularity)
            : TEXT.controls.bucket(granularity)}
        onChange={(granularity) =>
          go(href({
            ...view,
            autoGranularity: granularity === "",
            query: {
              ...query,
              granularity: granularity || query.granularity,
            },
          }))}
      />
      <Zone
        {...props}
        onChange={(tz) => {
          keepZone(tz);
          change({ tz });
        }}
      />
      {(props.versions.length > 1 || query.version) && (
        <Choice
          name="version"
          label={TEXT.controls.version}
          value={String(query.version ?? "")}
          options={["", ...props.versions.map(String)]}
          words={(version) =>
            version === ""
              ? TEXT.controls.allVersions
              : TEXT.controls.versionNumber(version)}
          onChange={(version) =>
            change({ version: version === "" ? undefined : Number(version) })}
        />
      )}
      <Attribution {...props} />
      <button type="submit" class="unscripted">{TEXT.controls.apply}</button>
    </form>
  );
}

/** For pages whose address does not say; where it cannot be kept, this one still does. */
function keepZone(time_zone: string): void {
  const body = new URLSearchParams({ time_zone });
  fetch("/preferences", { method: "POST", body, redirect: "manual" })
    .catch(() => {});
}

/** What the form has no field for. */
function KeptParams({ view }: { view: View }) {
  const kept = viewParams(view);
  for (const name of FIELDS) kept.delete(name);
  return (
    <>
      {[...kept].map(([name, value]) => (
        <input key={name} type="hidden" name={name} value={value} />
      ))}
    </>
  );
}

const FIELDS = [
  "range",
  "start_date",
  "end_date",
  "compare",
  "granularity",
  "tz",
  "version",
  "page",
];

function Choice<Value extends string>(
  { name, label, value, options, words, onChange }: {
    name: string;
    label: string;
    value: Value;
    options: readonly Value[];
    words: Record<Value, string> | ((value: Value) => string);
    onChange(value: Value): void;
  },
) {
  return (
    <label class="field">
      <span>{label}</span>
      <select
        name={name}
        onChange={(event) => onChange(event.currentTarget.value as Value)}
      >
        {options.map((option) => (
          <option key={option} value={option} selected={option === value}>
            {typeof words === "function" ? words(option) : words[option]}
          </option>
        ))}
      </select>
    </label>
  );
}

function RangePicker(props: ControlsProps) {
  const { view, href } = props;
  const { query, preset } = view;
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => closeWhenLeft(menu.current!), []);
  const move = (direction: -1 | 1) =>
    href(withRange(view, null, neighbour(query, direction)));

  return (
    <div class="range">
      <a class="button icon" href={move(-1)} aria-label={TEXT.controls.earlier}>
        <span aria-hidden="true">‹</span>
      </a>
      <details ref={menu} class="menu" onKeyDown={onMenuKey}>
        <summary class="button">
          <b>
            {preset
              ? TEXT.controls.presets[preset]
              : formatRange(query.start_date, query.end_date)}
          </b>
          <span class="hidden">{TEXT.controls.range}</span>
        </summary>
        <div class="menu-body">
          <ul>
            {PRESETS.map((each) => (
              <li key={each}>
                <PresetLink preset={each} {...props} />
              </li>
            ))}
          </ul>
          <fieldset>
            <legend>{TEXT.controls.custom}</legend>
            <label>
              {TEXT.controls.from}
              <input
                type="date"
                name="start_date"
                required
                value={query.start_date}
              />
            </label>
            <label>
              {TEXT.controls.to}
              <input
                type="date"
                name="end_date"
                required
                value={query.end_date}
              />
            </label>
            <button type="submit">{TEXT.controls.apply}</button>
          </fieldset>
        </div>
      </details>
      {query.end_date < props.today && (
        <a class="button icon" href={move(1)} aria-label={TEXT.controls.later}>
          <span aria-hidden="true">›</span>
        </a>
      )}
    </div>
  );
}

function PresetLink(
  { preset, view, today, href }: ControlsProps & { preset: Preset },
) {
  return (
    <a
      href={href(withRange(view, preset, presetRange(preset, today)))}
      aria-current={preset === view.preset ? "true" : undefined}
    >
      {TEXT.controls.presets[preset]}
    </a>
  );
}

/** Arrows go through the presets, Escape closes. */
function onMenuKey(event: KeyboardEvent) {
  const menu = event.currentTarget as HTMLDetailsElement;
  if (event.key === "Escape" && menu.open) {
    menu.open = false;
    menu.querySelector("summary")!.focus();
    event.preventDefault();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const links = [...menu.querySelectorAll<HTMLElement>("li a")];
  const at = links.indexOf(event.target as HTMLElement);
  const isOnSummary = (event.target as HTMLElement).matches("summary");
  if (step === undefined || at < 0 && !isOnSummary) return;
  event.preventDefault();
  menu.open = true;
  const current = links.findIndex((link) => link.ariaCurrent);
  const next = isOnSummary ? Math.max(0, current) : at + step;
  links[(next + links.length) % links.length]!.focus();
}

/** A menu that stays open over the page while one works below it is in the way. */
function closeWhenLeft(menu: HTMLDetailsElement): () => void {
  function onPress(event: Event) {
    if (!menu.contains(event.target as Node)) menu.open = false;
  }
  // A link or a submitted form has done its work.
  function onDone(event: Event) {
    if ((event.target as HTMLElement).closest("a, button")) menu.open = false;
  }
  document.addEventListener("pointerdown", onPress);
  document.addEventListener("focusin", onPress);
  menu.addEventListener("click", onDone);
  return () => {
    document.removeEventListener("pointerdown", onPress);
    document.removeEventListener("focusin", onPress);
    menu.removeEventListener("click", onDone);
  };
}

function Zone(
  { view, zones, onChange }: ControlsProps & { onChange(zone: string): void },
) {
  const [all, setAll] = useState<string[]>([]);
  const tz = view.query.tz!;
  const first = zones.includes(tz) ? zones : [tz, ...zones];
  // Four hundred names would weigh more than the rest of the page.
  const fill = () => setAll(Intl.supportedValuesOf("timeZone"));
  return (
    <label class="field" onPointerEnter={fill} onFocusIn={fill}>
      <span>{TEXT.controls.zone}</span>
      <select
        name="tz"
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {first.map((zone) => (
          <option key={zone} value={zone} selected={zone === tz}>
            {zoneName(zone)}
          </option>
        ))}
        {all.length > 0 && (
          <optgroup label={TEXT.controls.otherZones}>
            {all.filter((zone) => !first.includes(zone)).map((zone) => (
              <option key={zone} value={zone}>{zoneName(zone)}</option>
            ))}
          </optgroup>
        )}
      </select>
    </label>
  );
}

/**
 * A zone as people read it.
 *
 * @param zone IANA.
 */
export function zoneName(zone: string): string {
  return zone.replaceAll("_", " ");
}

function Attribution({ view, href }: ControlsProps) {
  const now = view.query.attribution;
  return (
    <div
      class="choice"
      role="group"
      aria-label={TEXT.controls.attribution}
      aria-describedby="attribution-note"
    >
      <span class="choice-label">{TEXT.controls.attribution}</span>
      {ATTRIBUTIONS.map((attribution) => (
        <a
          key={attribution}
          href={href(withQuery(view, { attribution }))}
          aria-current={attribution === now ? "true" : undefined}
        >
          {TEXT.controls.attributions[attribution]}
        </a>
      ))}
    </div>
  );
}
