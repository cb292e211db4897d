/**
 * `/workflows/{id}/shares`: opens links to a workflow's numbers, lists and revokes them.
 * Forms and links, so that it works without scripts.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import type { ComponentChildren } from "preact";
import { z } from "zod";
import {
  type NewShare,
  SHARE_COMPARES,
  ShareDefinition,
  type ShareLink,
  Uuid,
} from "../db/schema.ts";
import { listShares, revokeShare } from "../db/shares.ts";
import { Command } from "../islands/command.tsx";
import { formatInstant, formatRange } from "../islands/format.ts";
import { addDays, localDate } from "../islands/range.ts";
import { PAGE_TEXT, TEXT } from "../islands/text.ts";
import { type AuthEnv, granting, requires } from "./_auth.ts";
import { readForm } from "./_body.ts";
import { AppError } from "./_errors.ts";
import type { OpenShares } from "./_open_shares.ts";
import { answerPage, Page } from "./_page.tsx";
import { zoneOf } from "./_reader.ts";
import type { Reads } from "./_reads.ts";
import type { Deps } from "./app.ts";
import { ErrorPage } from "./error_page.tsx";
import { Crumbs } from "./executions_page.tsx";
import { openShare } from "./shares.ts";

const WORDS = PAGE_TEXT.shares;

/** Rolling ranges that are offered, days. */
const DAYS = [7, 30, 90, 365];

/** After how many days a link may end by itself; 0: it does not. */
const EXPIRIES = [0, 1, 7, 30, 90];

const DAY_MS = 86_400_000;

/** What a form says that is to be done. */
const Doing = z.discriminatedUnion("do", [
  z.object({ do: z.literal("open") }),
  z.object({ do: z.literal("revoke"), share_id: Uuid }),
]);

type Fields = Record<string, string>;

/** What the page shows besides the links that there are. */
interface Shown {
  /** What stands in the form's fields. */
  fields?: Fields;
  /** Why the form was refused. */
  problem?: string;
  /** The link that was opened just now. */
  made?: NewShare;
  status?: 200 | 201 | 400 | 409;
}

/**
 * The page.
 *
 * @param deps Of the program.
 * @param reads Tell who may see a workflow.
 * @returns A sub-app that expects a signed-in viewer.
 */
export function sharesPages(deps: Deps, reads: Reads): Hono<AuthEnv> {
  return new Hono<AuthEnv>().get("/workflows/:id/shares", async (c) => {
    const viewer = granting(c.get("viewer"), "exports:write");
    const id = Uuid.safeParse(c.req.param("id")).data;
    try {
      if (id === undefined) throw new AppError("workflow_not_found");
      await reads.workflow(viewer, id);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const page = { status: error.status, manifest: deps.manifest, viewer };
      return answerPage(c, <ErrorPage {...page} />, error.status);
    }
    return await answer(c, deps, reads, id, {});
  });
}

/**
 * What its forms do: under the same scope as in the API, and like there in the access log
 * before a link goes out.
 *
 * @param deps Of the program.
 * @param reads Tell who may see a workflow.
 * @param open What tokens open.
 */
export function sharesForms(
  deps: Deps,
  reads: Reads,
  open: OpenShares,
): Hono<AuthEnv> {
  return new Hono<AuthEnv>().post(
    "/workflows/:id/shares",
    requires(deps, "exports:write", "write"),
    async (c) => {
      const viewer = c.get("viewer");
      const id = Uuid.safeParse(c.req.param("id")).data;
      if (id === undefined) throw new AppError("workflow_not_found");
      await reads.workflow(viewer, id);
      const fields = Object.fromEntries(await readForm(c.req.raw));
      const doing = Doing.safeParse(fields).data;
      if (doing?.do === "revoke") {
        const { share_id } = doing;
        c.set("filter", { share_id });
        await revokeShare(deps.sql, viewer.account_id, id, share_id);
        open.forget(share_id);
        return c.redirect(c.req.path, 303);
      }
      if (doing?.do !== "open") throw new AppError("invalid_request");
      const asked = definitionOf(fields, deps.now());
      const shown = asked.success
        ? await make(asked.data)
        : { fields, problem: problemOf(asked.error), status: 400 as const };
      return await answer(c, deps, reads, id, shown);

      async function make(definition: ShareDefinition): Promise<Shown> {
        try {
          const made = await openShare(deps, viewer, id!, definition);
          c.set("filter", { share_id: made.share_id });
          return { made, status: 201 };
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
          if (error.code !== "shares_full") throw error;
          return { fields, problem: WORDS.full, status: 409 };
        }
      }
    },
  );
}

/** What the form asks for, as the API is asked for it. */
function definitionOf(fields: Fields, now: Date) {
  const days = Number(fields.expires);
  const origins = (fields.frame_ancestors ?? "").split(/\s+/).filter(Boolean);
  return ShareDefinition.safeParse({
    name: fields.name?.trim() || null,
    range: fields.range === "fixed"
      ? { start_date: fields.start_date, end_date: fields.end_date }
      : { days: Number(fields.days) },
    tz: fields.tz || undefined,
    compare: fields.compare || undefined,
    password: fields.password || null,
    frame_ancestors: origins,
    expires_at: days > 0
      ? new Date(now.getTime() + days * DAY_MS).toISOString()
      : null,
  });
}

function problemOf({ issues: [issue] }: z.ZodError): string {
  const field = String(issue!.path[0] ?? "");
  const name = (WORDS.fields as Record<string, string>)[field];
  return WORDS.invalid(name ?? field, issue!.message);
}

async function answer(
  c: Context<AuthEnv>,
  deps: Deps,
  reads: Reads,
  id: string,
  { fields = {}, problem, made, status = 200 }: Shown,
): Promise<Response> {
  const viewer = c.get("viewer");
  const now = deps.now();
  const { name } = await reads.head(viewer, id);
  const links = await listShares(deps.sql, viewer.account_id, id);
  const zone = zoneOf(c, viewer.time_zone);
  const title = name ?? TEXT.unnamed(id);
  const zones = [...new Set([viewer.time_zone, zone, "UTC"])];
  const response = await answerPage(
    c,
    <Page
      title={`${WORDS.title} · ${title}`}
      manifest={deps.manifest}
      viewer={viewer}
    >
      <header class="page-head">
        <Crumbs path={`/workflows/${id}`} name={title} />
        <h1>{WORDS.title}</h1>
        <p class="page-note">{WORDS.lead}</p>
        {problem && <p class="notice" role="alert">{problem}</p>}
      </header>
      {made && <Made made={made} title={title} />}
      <div class="split">
        <OpenForm
          path={c.req.path}
          fields={fields}
          zones={zones}
          today={localDate(now, zone)}
        />
        <section class="panel" aria-labelledby="links">
          <header class="panel-head">
            <h2 id="links">{WORDS.open}</h2>
          </header>
          {links.length === 0
            ? <p class="muted">{WORDS.none}</p>
            : (
              <ul class="files">
                {links.map((link) => (
                  <li key={link.share_id}>
                    <Link link={link} path={c.req.path} zone={zone} now={now} />
                  </li>
                ))}
              </ul>
            )}
        </section>
      </div>
    </Page>,
    status,
  );
  // It may have a link in it.
  response.headers.set("cache-control", "private, no-store");
  return response;
}

/** What opens the new link; nobody is told again. */
function Made({ made, title }: { made: NewShare; title: string }) {
  const quoted = title.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
  const frame =
    `<iframe src="${made.embed_url}" title="${quoted}" width="100%" height="1200" loading="lazy"></iframe>`;
  return (
    <section class="panel first once" aria-labelledby="made" role="status">
      <h2 id="made">{WORDS.made}</h2>
      <p>{WORDS.once}</p>
      <Command text={made.url} />
      {made.frame_ancestors.length > 0 && (
        <>
          <h3>{WORDS.embed}</h3>
          <Command text={frame} />
        </>
      )}
      <p>
        <a class="button" href={made.url}>{WORDS.look}</a>
      </p>
    </section>
  );
}

function Link({ link, path, zone, now }: {
  link: ShareLink;
  path: string;
  zone: string;
  now: Date;
}) {
  const { range, expires_at, frame_ancestors, created_by } = link;
  const isOver = expires_at !== null && Date.parse(expires_at) <= now.getTime();
  const name = link.name ?? WORDS.unnamed;
  return (
    <>
      <p>
        <b>
          <bdi>{name}</bdi>
        </b>{" "}
        {isOver && <span class="badge">{WORDS.expired}</span>}{" "}
        {link.has_password && <span class="badge slow">{WORDS.locked}</span>}
      </p>
      <p class="page-note">
        {"days" in range
          ? WORDS.lastDays(range.days)
          : formatRange(range.start_date, range.end_date)}
        , {link.tz.replaceAll("_", " ")}
      </p>
      <p class="page-note">
        {WORDS.created(formatInstant(link.created_at, zone), created_by)}
        {expires_at !== null && !isOver &&
          ` ${WORDS.until(formatInstant(expires_at, zone))}`}
      </p>
      {frame_ancestors.length > 0 && (
        <p class="page-note">{WORDS.framedBy(frame_ancestors)}</p>
      )}
      <form method="post" action={path}>
        <input type="hidden" name="share_id" value={link.share_id} />
        <button
          type="submit"
          name="do"
          value="revoke"
          aria-label={`${WORDS.revoke}: ${name}`}
        >
          {WORDS.revoke}
        </button>
      </form>
    </>
  );
}

function OpenForm({ path, fields, zones, today }: {
  path: string;
  fields: Fields;
  zones: string[];
  today: string;
}) {
  const isFixed = fields.range === "fixed";
  const names = WORDS.fields;
  return (
    <form class="panel order" method="post" action={path}>
      <h2>{WORDS.new}</h2>
      <Field label={names.name} note={WORDS.nameNote}>
        <input name="name" maxLength={200} value={fields.name} />
      </Field>
      <fieldset>
        <legend>{names.range}</legend>
        <label>
          <input type="radio" name="range" value="rolling" checked={!isFixed} />
          <span>{WORDS.rolling}</span>
        </label>
        <div class="fields">
          <Field label={WORDS.days}>
            <Select
              name="days"
              value={fields.days ?? "30"}
              options={DAYS.map((days) => [String(days), WORDS.lastDays(days)])}
            />
          </Field>
        </div>
        <label>
          <input type="radio" name="range" value="fixed" checked={isFixed} />
          <span>{WORDS.fixed}</span>
        </label>
        <div class="fields">
          <Field label={TEXT.controls.from}>
            <input
              type="date"
              name="start_date"
              value={fields.start_date ?? addDays(today, -29)}
            />
          </Field>
          <Field label={TEXT.controls.to}>
            <input
              type="date"
              name="end_date"
              value={fields.end_date ?? today}
            />
          </Field>
        </div>
      </fieldset>
      <div class="fields">
        <Field label={names.tz}>
          <Select
            name="tz"
            value={fields.tz}
            options={zones.map((zone) => [zone, zone.replaceAll("_", " ")])}
          />
        </Field>
        <Field label={names.compare}>
          <Select
            name="compare"
            value={fields.compare ?? "previous"}
            options={SHARE_COMPARES.map((
              each,
            ) => [each, TEXT.controls.compares[each]])}
          />
        </Field>
        <Field label={names.expires_at}>
          <Select
            name="expires"
            value={fields.expires ?? "0"}
            options={EXPIRIES.map((days) => [String(days), WORDS.ends(days)])}
          />
        </Field>
      </div>
      <Field label={names.password} note={WORDS.passwordNote}>
        <input
          type="password"
          name="password"
          minLength={8}
          maxLength={200}
          autocomplete="new-password"
        />
      </Field>
      <Field label={names.frame_ancestors} note={WORDS.framesNote}>
        <textarea
          name="frame_ancestors"
          rows={2}
          placeholder="https://status.example.com"
          value={fields.frame_ancestors}
        />
      </Field>
      <button class="primary" type="submit" name="do" value="open">
        {WORDS.submit}
      </button>
    </form>
  );
}

function Field({ label, note, children }: {
  label: string;
  note?: string;
  children: ComponentChildren;
}) {
  return (
    <label class="stack">
      <span>{label}</span>
      {children}
      {note && <small>{note}</small>}
    </label>
  );
}

function Select({ name, value, options }: {
  name: string;
  value?: string;
  options: [value: string, text: string][];
}) {
  return (
    <select name={name}>
      {options.map(([each, text]) => (
        <option key={each} value={each} selected={each === value}>
          {text}
        </option>
      ))}
    </select>
  );
}
