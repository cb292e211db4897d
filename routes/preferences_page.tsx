/**
 * `/preferences`: what whoever is signed in prefers, wherever they sign in. The header's
 * buttons for the theme and the zone of a workflow's page post here too, a field alone.
 *
 * @module
 */

import { Hono } from "hono";
import { z } from "zod";
import type { Grant } from "../db/access.ts";
import { Preferences, PRESETS, THEMES } from "../db/schema.ts";
import type { Manifest } from "../islands/build.ts";
import { zoneName } from "../islands/controls.tsx";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import type { AuthEnv } from "./_auth.ts";
import { readForm } from "./_body.ts";
import { answerPage, Page, type PageDeps } from "./_page.tsx";
import type { PreferenceStore } from "./_preferences.ts";
import {
  BackPath,
  browserZoneOf,
  keepTheme,
  preferencesOf,
} from "./_reader.ts";
import { parsed } from "./_valid.ts";

/** What a form leaves out stays as it is; no zone is the browser's. */
const PreferencesForm = z.object({
  ...Preferences.partial().shape,
  time_zone: z.preprocess(
    (zone) => zone === "" ? null : zone,
    Preferences.shape.time_zone.optional(),
  ),
  back: BackPath.optional().catch(undefined),
});

/**
 * @param deps Of the program.
 * @param store Where preferences are.
 * @returns The routes; expect a reader who is signed in and known.
 */
export function preferencesPage(
  { manifest, publicUrl }: PageDeps,
  store: PreferenceStore,
): Hono<AuthEnv> {
  return new Hono<AuthEnv>()
    .get("/preferences", (c) => {
      const props = {
        viewer: c.get("viewer"),
        manifest,
        chosen: preferencesOf(c),
        browserZone: browserZoneOf(c),
        isSaved: c.req.query("saved") !== undefined,
      };
      return answerPage(c, <PreferencesPage {...props} />);
    })
    .post("/preferences", async (c) => {
      const form = Object.fromEntries(await readForm(c.req.raw));
      const { back = "/preferences?saved", ...changed } = parsed(
        PreferencesForm,
        form,
      );
      const chosen = await store.change(
        c.get("viewer"),
        (present) => ({ ...present, ...changed }),
      );
      keepTheme(c, chosen.theme, publicUrl);
      return c.redirect(back, 303);
    });
}

interface PreferencesPageProps {
  viewer: Grant;
  manifest: Manifest;
  chosen: Preferences;
  /** `null` where the browser has not said. */
  browserZone: string | null;
  /** The form has just been sent. */
  isSaved: boolean;
}

function PreferencesPage(
  { viewer, manifest, chosen, browserZone, isSaved }: PreferencesPageProps,
) {
  const text = PAGE_TEXT.preferences;
  return (
    <Page title={text.title} manifest={manifest} viewer={viewer}>
      <header class="page-head">
        <h1>{text.title}</h1>
        <p class="page-note">{text.lead}</p>
      </header>
      {isSaved && <p class="notice good" role="status">{text.saved}</p>}
      <form class="panel preferences" method="post" action="/preferences">
        <Choice
          name="time_zone"
          label={TEXT.controls.zone}
          note={text.zoneNote(zoneName(viewer.time_zone))}
          options={["", ...Intl.supportedValuesOf("timeZone"), "UTC"]}
          value={chosen.time_zone ?? ""}
          wordOf={(zone) =>
            zone === ""
              ? text.browserZone(browserZone && zoneName(browserZone))
              : zoneName(zone)}
        />
        <Choice
          name="theme"
          label={text.theme}
          options={THEMES}
          value={chosen.theme}
          wordOf={(theme) => PAGE_TEXT.site.themes[theme]}
        />
        <Choice
          name="default_range"
          label={text.range}
          note={text.rangeNote}
          options={PRESETS}
          value={chosen.default_range}
          wordOf={(preset) => TEXT.controls.presets[preset]}
        />
        <p>
          <button class="primary" type="submit">{text.save}</button>
        </p>
      </form>
    </Page>
  );
}

function Choice<Value extends string>(
  { name, label, note, options, value, wordOf }: {
    name: keyof Preferences;
    label: string;
    note?: string;
    options: readonly Value[];
    value: Value;
    wordOf(value: Value): string;
  },
) {
  const noteId = `${name}-note`;
  // A zone that this server does not list may have been chosen by the API.
  const offered = new Set([...options, value]);
  return (
    <p>
      <label for={name}>{label}</label>
      <select
        id={name}
        name={name}
        aria-describedby={note && noteId}
      >
        {[...offered].map((option) => (
          <option key={option} value={option} selected={option === value}>
            {wordOf(option)}
          </option>
        ))}
      </select>
      {note && <small id={noteId}>{note}</small>}
    </p>
  );
}
