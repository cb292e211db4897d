/**
 * What is shown to those who are not signed in.
 *
 * @module
 */

import { Hono } from "hono";
import type { Manifest } from "../islands/build.ts";
import { Command } from "../islands/command.tsx";
import { PAGE_TEXT } from "../islands/text.ts";
import { answerPage, Page, type PageDeps } from "./_page.tsx";

/** What the sign-in page shows. */
export interface SignInPageProps {
  manifest: Manifest;
  /** A link was tried that signs nobody in: used, expired or mistyped. */
  linkRefused: boolean;
}

/** How to sign in, or why a link did not. */
export function SignInPage({ manifest, linkRefused }: SignInPageProps) {
  const title = linkRefused
    ? PAGE_TEXT.signIn.linkUsedTitle
    : PAGE_TEXT.signIn.title;
  return (
    <Page title={title} manifest={manifest} viewer={null}>
      <section class="message">
        <h1>{title}</h1>
        <p>{linkRefused ? PAGE_TEXT.signIn.linkUsed : PAGE_TEXT.signIn.lead}</p>
        <p>{PAGE_TEXT.signIn.command}</p>
        <Command text="npx -y deno@2.9.6 task sign-in --account ACCOUNT_ID" />
      </section>
    </Page>
  );
}

/**
 * `GET /sign-in`, as it is reached without a link that works.
 *
 * @param deps Of the program.
 * @returns A sub-app.
 */
export function signIn(deps: Pick<PageDeps, "manifest">): Hono {
  return new Hono().get("/sign-in", (c) => {
    const linkRefused = c.req.query("token") !== undefined;
    return answerPage(
      c,
      <SignInPage manifest={deps.manifest} linkRefused={linkRefused} />,
      linkRefused ? 410 : 200,
    );
  });
}
