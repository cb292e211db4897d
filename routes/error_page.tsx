/**
 * Pages that say what went wrong and how to get out.
 *
 * @module
 */

import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Manifest } from "../islands/build.ts";
import { PAGE_TEXT } from "../islands/text.ts";
import type { Grant } from "../db/access.ts";
import { answerPage, Page } from "./_page.tsx";

/** What an error page shows. */
export interface ErrorPageProps {
  /** 403 and 404 have words of their own, 4xx and 5xx have common ones. */
  status: number;
  manifest: Manifest;
  /** `null` where nobody is signed in, or it is not known. */
  viewer: Grant | null;
}

/** What went wrong, in the design of the other pages. */
export function ErrorPage(
  { status, manifest, viewer }: ErrorPageProps,
) {
  const { title, lead } = wordsFor(status);
  return (
    <Page title={title} manifest={manifest} viewer={viewer}>
      <section class="message">
        <p class="message-code">{status}</p>
        <h1>{title}</h1>
        <p>{lead}</p>
        <p>
          <a class="button" href="/">{PAGE_TEXT.errors.home}</a>
        </p>
      </section>
    </Page>
  );
}

function wordsFor(status: number): { title: string; lead: string } {
  if (status === 401) return PAGE_TEXT.errors.signedOut;
  if (status === 403) return PAGE_TEXT.errors.forbidden;
  if (status === 404) return PAGE_TEXT.errors.notFound;
  return status < 500 ? PAGE_TEXT.errors.refused : PAGE_TEXT.errors.failed;
}

/**
 * Answers with an error page.
 *
 * @param c The request.
 * @param status What went wrong.
 * @param manifest Of the islands.
 */
export function answerErrorPage(
  c: Context,
  status: ContentfulStatusCode,
  manifest: Manifest,
): Response | Promise<Response> {
  const page = { status, manifest, viewer: null };
  return answerPage(c, <ErrorPage {...page} />, status);
}
