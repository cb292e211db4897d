/**
 * `/share/{token}` and `/embed/{token}`: a workflow's numbers for whoever has a link, as a
 * page and as a frame in the pages of others. Public: the token is the credential.
 *
 * Many may look, so edge caches keep what has no password, and nothing in a request but
 * its token and theme makes another answer. docs/sharing.md tells what that means.
 *
 * @module
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import type { VNode } from "preact";
import type { Grant } from "../db/access.ts";
import { AnalyticsQuery, type Theme, THEMES } from "../db/schema.ts";
import { isPassword, type OpenShare } from "../db/shares.ts";
import Dashboard, { type DashboardProps } from "../islands/Dashboard.tsx";
import { addDays, localDate } from "../islands/range.ts";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import { granularityFor, type View } from "../islands/view.ts";
import { accessOf } from "./_access.ts";
import { type AuthEnv, refuseOtherSites } from "./_auth.ts";
import { readForm } from "./_body.ts";
import { type Entry, isKnown } from "./_cache.ts";
import type { AppError } from "./_errors.ts";
import { addressOf, refusalOf, takeOrRefuse } from "./_limit.ts";
import type { OpenShares } from "./_open_shares.ts";
import { Island, Page, renderPage } from "./_page.tsx";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { readShown } from "./dashboard.tsx";

/**
 * How long an edge cache serves what it has while it asks for a newer one, seconds: with
 * `SHARE_CACHE_SECONDS` the longest that a revoked link is seen there.
 */
const STALE_SECONDS = 60;

/** How long it serves what it has while we cannot be reached, seconds. */
const STALE_IF_ERROR_SECONDS = 86_400;

/** How long it remembers that a link opens nothing, seconds. */
const GONE_SECONDS = 10;

/** How long a password is not asked for again, seconds. */
const UNLOCKED_SECONDS = 3_600;

/** Addresses that have tried too many tokens, and until when; the first make room. */
const REFUSED_MAX = 10_000;

/** What a link is opened as. */
type Kind = "share" | "embed";

/** What requests here leave in the context. */
interface ShareEnv {
  /** Whose pages may frame the answer. */
  Variables: AuthEnv["Variables"] & { frameAncestors?: string[] };
}

/** Answers whoever has a link. */
type Answer = (
  c: Context<ShareEnv>,
  found: OpenShare,
  kind: Kind,
) => Response | Promise<Response>;

/**
 * Lets the sites of a link frame its answer; all else of ours forbids it. Stands before
 * what sets the policy of all answers.
 */
export const framing: MiddlewareHandler<ShareEnv> = async (c, next) => {
  await next();
  const origins = c.get("frameAncestors");
  if (!origins?.length) return;
  const { headers } = c.res;
  const policy = headers.get("content-security-policy")!;
  headers.set(
    "content-security-policy",
    policy.replace(
      "frame-ancestors 'none'",
      `frame-ancestors ${origins.join(" ")}`,
    ),
  );
  // It knows one site or none, and browsers that know frame-ancestors ignore it.
  headers.delete("x-frame-options");
};

/**
 * @param deps Of the program.
 * @param reads Where the numbers come from.
 * @param open What tokens open.
 * @returns The routes.
 */
export function sharedPages(
  deps: Deps,
  reads: Reads,
  open: OpenShares,
): Hono<ShareEnv> {
  const { hub, cache, manifest, now, publicUrl } = deps;
  const refused = new Map<string, { until: number; error: AppError }>();
  const gone = renderPage(
    <Page
      title={PAGE_TEXT.shared.gone}
      manifest={manifest}
      viewer={null}
      frame="embed"
    >
      <section class="message">
        <h1>{PAGE_TEXT.shared.gone}</h1>
        <p>{PAGE_TEXT.shared.goneLead}</p>
      </section>
    </Page>,
  );

  /** Finds what the token opens, counts who asks, and writes down that they did. */
  async function answer(c: Context<ShareEnv>, kind: Kind, tell: Answer) {
    // Of each link there is one page, whose address search engines need not know.
    c.header("x-robots-tag", "noindex");
    const address = addressOf(c, deps.trustedProxies);
    const found = await open.find(c.req.param("token")!, () => {
      const one = refused.get(address);
      if (one && now().getTime() < one.until) throw one.error;
    });
    if (found === null) {
      await countMiss(address);
      c.header("cache-control", `public, max-age=0, s-maxage=${GONE_SECONDS}`);
      c.header("cdn-cache-control", `max-age=${GONE_SECONDS}`);
      return c.html(gone, 404);
    }
    c.set("viewer", guestOf(found));
    const { share_id, workflow_id } = found.share;
    await takeOrRefuse(deps, "share", `${share_id}:${address}`);
    const { start_date, end_date, tz, compare } = queryOf(found, now());
    c.set("filter", { share_id, start_date, end_date, tz, compare });
    if (kind === "embed") c.set("frameAncestors", found.share.frame_ancestors);
    const response = await tell(c, found, kind);
    const { status } = response;
    deps.access.record({ ...accessOf(c), workflow_id, status });
    return response;
  }

  /** Tokens are not guessed, but who tries many costs a query each. */
  async function countMiss(address: string): Promise<void> {
    const verdict = await deps.limiter.take("stranger", address);
    if (verdict.allowed) return;
    const error = refusalOf(verdict, now());
    refused.delete(address);
    refused.set(address, { until: verdict.resetAt, error });
    if (refused.size > REFUSED_MAX) {
      refused.delete(refused.keys().next().value!);
    }
    throw error;
  }

  async function show(c: Context, found: OpenShare, kind: Kind) {
    const { password } = found;
    if (password !== null && !isUnlocked(c, found)) {
      return ask(c, kind, false);
    }
    const entry = await read(found, kind, themeOf(c));
    if (password !== null) c.header("cache-control", "private, no-store");
    else tellCaches(c, found);
    return await answerEntry(c, entry);
  }

  /** As it lies ready: whatever else stands in the address, this is all that it depends on. */
  async function read(
    found: OpenShare,
    kind: Kind,
    theme: Theme,
  ): Promise<Entry> {
    const { share } = found;
    const id = share.workflow_id;
    const revision = await hub.revision(id);
    const query = queryOf(found, now());
    const { Dashboard: script, style } = manifest;
    const name = ["shared", share.share_id, kind, theme, query.start_date]
      .concat(query.end_date, String(revision), script ?? "", style ?? "")
      .join(":");
    const entry = await cache.read(name, revision, async () => {
      const view: View = {
        query,
        preset: null,
        autoGranularity: true,
        sort: "health",
        reversed: false,
        page: 1,
      };
      const workflow = await reads.head(found, id);
      const read = await readShown(reads, found, id, view);
      const props: DashboardProps = {
        ...read.shown,
        view: read.view,
        workflow: { id, name: workflow.name, status: workflow.status },
        today: localDate(now(), share.tz),
        zones: [],
        versions: [],
        problem: null,
        path: "",
        executionsPath: null,
        exports: null,
        livePath: null,
      };
      return {
        text: render(
          <NumbersPage kind={kind} manifest={manifest} {...props} />,
          theme,
        ),
        freshUntil: read.freshUntil,
      };
    });
    return entry!;
  }

  /** Asks for the password; never kept by anybody. */
  function ask(c: Context, kind: Kind, isWrong: boolean) {
    c.header("cache-control", "private, no-store");
    const page = (
      <PasswordPage kind={kind} manifest={manifest} isWrong={isWrong} />
    );
    return c.html(render(page, themeOf(c)), isWrong ? 403 : 200);
  }

  async function unlock(c: Context, found: OpenShare, kind: Kind) {
    refuseOtherSites(c, publicUrl);
    const { share, password } = found;
    c.header("cache-control", "private, no-store");
    if (password !== null) {
      const address = addressOf(c, deps.trustedProxies);
      await takeOrRefuse(deps, "sign_in", address);
      await takeOrRefuse(deps, "share_password", share.share_id);
      const given = (await readForm(c.req.raw)).get("password") ?? "";
      if (!await isPassword(given, password)) return ask(c, kind, true);
      const ends = Math.floor(now().getTime() / 1_000) + UNLOCKED_SECONDS;
      const isSafe = publicUrl.startsWith("https:");
      setCookie(c, cookieOf(found), `${ends}.${sealOf(c, found, ends)}`, {
        httpOnly: true,
        secure: isSafe,
        path: `/${kind}`,
        maxAge: UNLOCKED_SECONDS,
        // In a frame of another site, and there for that site alone.
        ...(isSafe && kind === "embed"
          ? { sameSite: "None", partitioned: true }
          : { sameSite: "Lax" }),
      });
    }
    const theme = themeOf(c);
    return c.redirect(
      theme === "system" ? c.req.path : `${c.req.path}?theme=${theme}`,
      303,
    );
  }

  function isUnlocked(c: Context, found: OpenShare): boolean {
    const [ends, seal] = getCookie(c, cookieOf(found))?.split(".") ?? [];
    if (!(Number(ends) > now().getTime() / 1_000) || !seal) return false;
    const given = new TextEncoder().encode(seal);
    const good = new TextEncoder().encode(sealOf(c, found, Number(ends)));
    return given.length === good.length && timingSafeEqual(given, good);
  }

  /** How long whoever stands between may keep the answer, and what to purge it by. */
  function tellCaches(c: Context, { share }: OpenShare): void {
    const { workflow_id, share_id, expires_at } = share;
    const left = expires_at === null
      ? Infinity
      : Math.floor((Date.parse(expires_at) - now().getTime()) / 1_000);
    const fresh = Math.min(deps.shareCacheSeconds, left);
    const stale = Math.min(STALE_SECONDS, left - fresh);
    const down = Math.min(STALE_IF_ERROR_SECONDS, left - fresh);
    const rest = `stale-while-revalidate=${stale}, stale-if-error=${down}`;
    c.header(
      "cache-control",
      `public, max-age=0, s-maxage=${fresh}, ${rest}`,
    );
    c.header("cdn-cache-control", `max-age=${fresh}, ${rest}`);
    c.header("cache-tag", `workflow-${workflow_id},share-${share_id}`);
  }

  const app = new Hono<ShareEnv>();
  for (const kind of ["share", "embed"] as const) {
    app.get(`/${kind}/:token`, (c) => answer(c, kind, show));
    app.post(`/${kind}/:token`, (c) => answer(c, kind, unlock));
  }
  return app;
}

/** Whoever has the link, as logs call them; it opens nothing else. */
function guestOf(
  { share, account_id, account_uuid, account_name, time_zone }: OpenShare,
): Grant {
  return {
    credential: `share:${share.share_id}`,
    account_id,
    account_uuid,
    account_name,
    time_zone,
    user_id: null,
    role: "member",
    scopes: [],
    preferences_version: null,
  };
}

/** What a link shows today. */
function queryOf({ share }: OpenShare, now: Date): AnalyticsQuery {
  const { range, tz, compare } = share;
  const today = localDate(now, tz);
  const dates = "days" in range
    ? { start_date: addDays(today, 1 - range.days), end_date: today }
    : range;
  const granularity = granularityFor(dates);
  return AnalyticsQuery.parse({ ...dates, tz, compare, granularity });
}

/** The one thing that a reader may choose: it goes into names and so must be one of three. */
function themeOf(c: Context): Theme {
  const asked = c.req.query("theme");
  return THEMES.find((theme) => theme === asked) ?? "system";
}

function cookieOf({ share }: OpenShare): string {
  return `weir_share_${share.share_id}`;
}

/**
 * What proves that the password was given: by whom has the link, and not by whom has our
 * tables, which have the hash of its token alone.
 */
function sealOf(c: Context, { share, password }: OpenShare, ends: number) {
  const key = createHash("sha256")
    .update(`${c.req.param("token")}\n${password!.hash}`).digest();
  return createHmac("sha256", key).update(`${share.share_id}\n${ends}`)
    .digest("base64url");
}

/** What was zipped once, for as long as it is kept. */
const zipped = new WeakMap<Entry, Promise<Uint8Array<ArrayBuffer>>>();

/** Each encoding has a tag of its own, so that both are strong. */
async function answerEntry(c: Context, entry: Entry): Promise<Response> {
  const isZipped = /\bgzip\b/.test(c.req.header("accept-encoding") ?? "");
  const etag = isZipped ? entry.etag.replace(/"$/, '-gzip"') : entry.etag;
  c.header("etag", etag);
  c.header("vary", "accept-encoding");
  if (isKnown(c.req.header("if-none-match"), etag)) return c.body(null, 304);
  c.header("content-type", "text/html; charset=utf-8");
  if (!isZipped) return c.body(entry.body);
  let bytes = zipped.get(entry);
  if (bytes === undefined) zipped.set(entry, bytes = zip(entry.body));
  c.header("content-encoding", "gzip");
  return c.body(await bytes);
}

async function zip(
  body: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([body]).stream()
    .pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Nothing in it tells the token: it lies in caches. */
function render(page: VNode, theme: Theme): string {
  return renderPage(page, { theme, path: "" });
}

const FRAMES = { share: "shared", embed: "embed" } as const;

function NumbersPage({ kind, manifest, ...props }: DashboardProps & {
  kind: Kind;
  manifest: Deps["manifest"];
}) {
  const { workflow } = props;
  return (
    <Page
      title={workflow.name ?? TEXT.unnamed(workflow.id)}
      manifest={manifest}
      viewer={null}
      islands={["Dashboard"]}
      frame={FRAMES[kind]}
    >
      <Island name="Dashboard" component={Dashboard} props={props} />
      {props.isEmpty && (
        <section class="message">
          <p>{PAGE_TEXT.shared.empty}</p>
        </section>
      )}
    </Page>
  );
}

function PasswordPage({ kind, manifest, isWrong }: {
  kind: Kind;
  manifest: Deps["manifest"];
  isWrong: boolean;
}) {
  const text = PAGE_TEXT.shared;
  return (
    <Page
      title={text.title}
      manifest={manifest}
      viewer={null}
      frame={FRAMES[kind]}
    >
      <section class="sign-in panel">
        <h1>{text.title}</h1>
        <p>{text.lead}</p>
        {/* Without an address it goes where it came from, which is the link. */}
        <form method="post" class="stack">
          <label class="stack">
            {text.password}
            <input
              type="password"
              name="password"
              required
              autocomplete="current-password"
              aria-invalid={isWrong || undefined}
              aria-describedby={isWrong ? "wrong" : undefined}
            />
          </label>
          {isWrong && <p class="notice" id="wrong" role="alert">{text.wrong}
          </p>}
          <button class="primary" type="submit">{text.open}</button>
        </form>
      </section>
    </Page>
  );
}
