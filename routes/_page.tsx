/**
 * The HTML document around every page, and the islands in it.
 *
 * @module
 */

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import {
  type ComponentChildren,
  type ComponentType,
  createContext,
  h,
  type VNode,
} from "preact";
import { useContext } from "preact/hooks";
import { renderToString } from "preact-render-to-string";
import type { Grant } from "../db/access.ts";
import { type Theme, THEMES } from "../db/schema.ts";
import type { Sql } from "../db/client.ts";
import type { Manifest } from "../islands/build.ts";
import { themeOf } from "./_reader.ts";
import { PAGE_TEXT } from "../islands/text.ts";

/** What a page knows of the request for it. */
const Reader = createContext<{ theme: Theme; path: string }>({
  theme: "system",
  path: "/",
});

/** What pages need of the program's dependencies. */
export interface PageDeps {
  sql: Sql;
  now(): Date;
  manifest: Manifest;
  /** Where browsers and producers reach us, without a slash at its end. */
  publicUrl: string;
}

/** What the document is made of. */
export interface PageProps {
  title: string;
  manifest: Manifest;
  /** `null` where nobody is signed in. */
  viewer: Grant | null;
  /** Islands in the page, loaded together with it. */
  islands?: string[];
  /** What stands around the islands; pages of one kind can take each other's place. */
  kind?: string;
  /** Without scripts the page is asked for again after so long. */
  refreshSeconds?: number;
  /**
   * `site`: our own. `shared`: for whoever has a link, and no part of the site. `embed`:
   * the same inside another site's page. Default: `site`.
   */
  frame?: "site" | "shared" | "embed";
  children: ComponentChildren;
}

/** The whole document. */
export function Page(
  {
    title,
    manifest,
    viewer,
    islands = [],
    kind,
    refreshSeconds,
    frame = "site",
    children,
  }: PageProps,
) {
  const { theme } = useContext(Reader);
  const isOurs = frame === "site";
  return (
    <html lang="en" data-theme={theme === "system" ? undefined : theme}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        {isOurs
          ? <meta name="description" content={PAGE_TEXT.description} />
          : <meta name="robots" content="noindex" />}
        <title>{`${title} · ${PAGE_TEXT.product}`}</title>
        {/* Nothing is painted of half a document: what is read later would move it. */}
        <link rel="expect" href="#end" {...{ blocking: "render" }} />
        <link rel="stylesheet" href={manifest.style} />
        <link rel="icon" type="image/svg+xml" href={manifest.icon} />
        {[...(isOurs ? ["_page"] : []), ...islands].map((name) => (
          <script key={name} type="module" src={manifest[name]} />
        ))}
        {refreshSeconds && (
          <noscript>
            <meta http-equiv="refresh" content={String(refreshSeconds)} />
          </noscript>
        )}
      </head>
      <body class={kind ?? (isOurs ? undefined : frame)}>
        {frame !== "embed" && (
          <a class="skip" href="#content">{PAGE_TEXT.skipToContent}</a>
        )}
        {isOurs && <SiteHeader manifest={manifest} viewer={viewer} />}
        {frame === "shared" && <SharedHeader manifest={manifest} />}
        <main id="content" tabIndex={-1}>{children}</main>
        <div id="end" hidden />
      </body>
    </html>
  );
}

/** Works without scripts: one button a theme, and back to the same page. */
function ThemeChoice({ isKnown }: { isKnown: boolean }) {
  const { theme, path } = useContext(Reader);
  return (
    <form
      class="choice themes"
      method="post"
      action={isKnown ? "/preferences" : "/theme"}
    >
      <input type="hidden" name="back" value={path} />
      {THEMES.map((each) => (
        <button
          key={each}
          type="submit"
          name="theme"
          value={each}
          aria-pressed={each === theme}
        >
          {PAGE_TEXT.site.themes[each]}
        </button>
      ))}
    </form>
  );
}

/** Leads nowhere but to the same page in another theme: whoever reads it has no account. */
function SharedHeader({ manifest }: { manifest: Manifest }) {
  const { theme } = useContext(Reader);
  return (
    <header class="site">
      <span class="brand">
        <img src={manifest.icon} alt="" width="24" height="24" />
        {PAGE_TEXT.product}
      </span>
      <nav class="choice themes" aria-label={PAGE_TEXT.site.theme}>
        {THEMES.map((each) => (
          <a
            key={each}
            href={each === "system" ? "?" : `?theme=${each}`}
            aria-current={each === theme ? "true" : undefined}
          >
            {PAGE_TEXT.site.themes[each]}
          </a>
        ))}
      </nav>
    </header>
  );
}

function SiteHeader(
  { manifest, viewer }: { manifest: Manifest; viewer: Grant | null },
) {
  return (
    <header class="site">
      <nav aria-label={PAGE_TEXT.site.navigation}>
        <a class="brand" href="/">
          <img src={manifest.icon} alt="" width="24" height="24" />
          {PAGE_TEXT.product}
        </a>
        {viewer && <a href="/">{PAGE_TEXT.site.workflows}</a>}
      </nav>
      <div class="site-end">
        <ThemeChoice isKnown={viewer !== null} />
        {viewer && (
          <form class="account" method="post" action="/sign-out">
            <span>
              <span class="hidden">{`${PAGE_TEXT.site.account}: `}</span>
              <bdi>{viewer.account_name}</bdi>
            </span>
            <a href="/preferences">{PAGE_TEXT.preferences.title}</a>
            <button type="submit">{PAGE_TEXT.site.signOut}</button>
          </form>
        )}
      </div>
    </header>
  );
}

/**
 * A component that is rendered here and hydrated in the browser.
 *
 * @param props.name Its file in `islands/`, without the ending.
 * @param props.component The same component.
 * @param props.props JSON only: written into the page.
 */
export function Island<Props extends object>(
  { name, component, props }: {
    name: string;
    component: ComponentType<Props>;
    props: Props;
  },
) {
  return (
    <div
      data-island={name}
      data-props={JSON.stringify(props)}
    >
      {h(component, props)}
    </div>
  );
}

/**
 * Text of a whole document.
 *
 * @param page A `<Page>`.
 * @param reader What it knows of the request for it; default: nothing.
 * @returns HTML with its doctype.
 */
export function renderPage(
  page: VNode,
  reader?: { theme: Theme; path: string },
): string {
  const whole = reader
    ? <Reader.Provider value={reader}>{page}</Reader.Provider>
    : page;
  return `<!doctype html>${renderToString(whole)}`;
}

/**
 * Answers with a page that only this viewer's browser may keep.
 *
 * @param c The request.
 * @param page A `<Page>`.
 * @param status Of the answer.
 * @returns The response.
 */
export function answerPage(
  c: Context,
  page: VNode,
  status: ContentfulStatusCode = 200,
): Response | Promise<Response> {
  c.header("cache-control", "private, max-age=0, must-revalidate");
  const reader = { theme: themeOf(c), path: pathOf(c) };
  return c.html(renderPage(page, reader), status);
}

function pathOf(c: Context): string {
  const { pathname, search } = new URL(c.req.url);
  return pathname + search;
}
