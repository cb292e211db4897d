/**
 * `/sign-in` and `/sign-out`. A link shows whose it is and is used up by its button alone:
 * mail scanners and chats open every link that passes, and press nothing.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { ComponentChildren } from "preact";
import {
  beginSession,
  endSession,
  findSignInLink,
  SESSION_DAYS,
  type SignInLink,
} from "../db/access.ts";
import type { Manifest } from "../islands/build.ts";
import { Command } from "../islands/command.tsx";
import { PAGE_TEXT } from "../islands/text.ts";
import { refuseOtherSites, sessionCookie } from "./_auth.ts";
import { readForm } from "./_body.ts";
import { answerPage, Page } from "./_page.tsx";
import type { Deps } from "./app.ts";

const TEXT = PAGE_TEXT.signIn;

/** What all pages here show. */
interface CardProps {
  manifest: Manifest;
  title: string;
  children: ComponentChildren;
}

/** The frame of all pages here: they are the first that anybody sees of Weir. */
function CardPage({ manifest, title, children }: CardProps) {
  return (
    <Page title={title} manifest={manifest} viewer={null}>
      <section class="sign-in panel">
        <img src={manifest.icon} alt="" width="48" height="48" />
        <h1>{title}</h1>
        {children}
      </section>
    </Page>
  );
}

/** Whose account a link opens, and the button that uses it up. */
export function OfferPage(
  { manifest, token, link }: {
    manifest: Manifest;
    token: string;
    link: SignInLink;
  },
) {
  return (
    <CardPage manifest={manifest} title={TEXT.offerTitle}>
      <dl>
        <dt>{TEXT.account}</dt>
        <dd>
          <bdi>{link.account_name}</bdi>
        </dd>
        <dt>{TEXT.as}</dt>
        <dd>
          {link.user_id !== null && <bdi>{link.user_id}</bdi>}
          <span class="badge">{TEXT.roles[link.role]}</span>
        </dd>
      </dl>
      <form method="post" action="/sign-in">
        <input type="hidden" name="token" value={token} />
        <button class="primary" type="submit">{TEXT.button}</button>
      </form>
      <p class="fine">{TEXT.fine(SESSION_DAYS)}</p>
    </CardPage>
  );
}

/** How to get a link, or why one did not work. */
export function AskPage(
  { manifest, linkRefused }: { manifest: Manifest; linkRefused: boolean },
) {
  const title = linkRefused ? TEXT.linkUsedTitle : TEXT.title;
  return (
    <CardPage manifest={manifest} title={title}>
      <p>{linkRefused ? TEXT.linkUsed : TEXT.lead}</p>
      <p class="fine">{TEXT.command}</p>
      <Command text="npx -y deno@2.9.6 task sign-in --account ACCOUNT_ID" />
    </CardPage>
  );
}

/**
 * @param deps Of the program.
 * @returns The routes; public, the link's token is the credential.
 */
export function signIn(
  { sql, auth, manifest, publicUrl }: Pick<
    Deps,
    "sql" | "auth" | "manifest" | "publicUrl"
  >,
): Hono {
  const name = sessionCookie(publicUrl);
  const cookie = {
    httpOnly: true,
    sameSite: "Lax",
    secure: publicUrl.startsWith("https:"),
    path: "/",
  } as const;

  /** The same for a link that was used, is too old, or never was. */
  function refuse(c: Context) {
    return answerPage(c, <AskPage manifest={manifest} linkRefused />, 410);
  }

  return new Hono()
    .get("/sign-in", async (c) => {
      const token = c.req.query("token");
      if (token === undefined) {
        return answerPage(
          c,
          <AskPage manifest={manifest} linkRefused={false} />,
        );
      }
      const link = await findSignInLink(sql, token);
      if (link === null) return refuse(c);
      const answer = await answerPage(
        c,
        <OfferPage manifest={manifest} token={token} link={link} />,
      );
      answer.headers.set("cache-control", "no-store");
      return answer;
    })
    .post("/sign-in", async (c) => {
      refuseOtherSites(c, publicUrl);
      const token = (await readForm(c.req.raw)).get("token") ?? "";
      const begun = await beginSession(sql, token);
      if (begun === null) return refuse(c);
      setCookie(c, name, begun, { ...cookie, maxAge: SESSION_DAYS * 86_400 });
      c.header("cache-control", "no-store");
      return c.redirect("/", 303);
    })
    .post("/sign-out", async (c) => {
      refuseOtherSites(c, publicUrl);
      const token = getCookie(c, name);
      if (token !== undefined) {
        await endSession(sql, token);
        auth.forgetSession(token);
      }
      deleteCookie(c, name, cookie);
      return c.redirect("/sign-in", 303);
    });
}
