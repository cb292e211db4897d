/**
 * Reports by schedule as the page of exports shows them: what is sent where, what became
 * of it, and a form for one more.
 *
 * @module
 */

import { REPORT_PERIODS, type ScheduledReport } from "../db/schema.ts";
import { formatInstant, formatRange } from "../islands/format.ts";
import { EXPORTS_TEXT, PAGE_TEXT } from "../islands/text.ts";

const WORDS = PAGE_TEXT.schedule;

/** What the section shows. */
export interface ScheduleProps {
  reports: ScheduledReport[];
  /** Of the page, which takes the forms. */
  action: string;
  /** In which instants are shown. */
  zone: string;
  /** The account's, whose weeks and months are sent. */
  accountZone: string;
  /** Of the report that was just ordered: shown this once. */
  secret?: string;
}

/** The section. */
export function Schedule(props: ScheduleProps) {
  const { reports, secret } = props;
  return (
    <section class="panel" aria-labelledby="schedule">
      <h2 id="schedule">{WORDS.title}</h2>
      <p class="page-note">{WORDS.lead}</p>
      {secret && (
        <p class="notice" role="alert">
          {WORDS.secret} <code>{secret}</code>
        </p>
      )}
      <ul class="files">
        {reports.map((report) => (
          <li key={report.report_id}>
            <Report report={report} {...props} />
          </li>
        ))}
      </ul>
      <OrderForm {...props} />
    </section>
  );
}

function Report(
  { report, action, zone }: ScheduleProps & { report: ScheduledReport },
) {
  const { format, granularity } = report.request as Record<string, string>;
  const title = WORDS.what(
    EXPORTS_TEXT.kinds[format === "pdf" ? "report" : "numbers_csv"],
    WORDS.every[report.every],
  );
  const isDisabled = report.disabled_at !== null;
  const does = [
    ["send", WORDS.send],
    ...(isDisabled ? [["enable", WORDS.enable]] : []),
    ["remove", WORDS.remove],
  ] as const;
  return (
    <>
      <p>
        <b>{title}</b>{" "}
        <span class={`badge ${isDisabled ? "bad" : "good"}`}>
          {isDisabled ? WORDS.disabled : WORDS.enabled}
        </span>
      </p>
      <p class="page-note">
        <code>{report.url}</code>
      </p>
      <p class="page-note">
        {WORDS.granularities[granularity as "daily"]}
        {report.due_at &&
          ` · ${WORDS.next(formatInstant(report.due_at, zone))}`}
      </p>
      {report.disabled_reason && (
        <p class="page-note bad">{report.disabled_reason}</p>
      )}
      {report.deliveries.length > 0 && (
        <ul class="deliveries" aria-label={WORDS.deliveries}>
          {report.deliveries.slice(0, 4).map((delivery) => (
            <li key={delivery.delivery_id}>
              {formatRange(delivery.start_date, delivery.end_date)}:{" "}
              {WORDS.statuses[delivery.status]}
              {delivery.error && `. ${delivery.error}`}
            </li>
          ))}
        </ul>
      )}
      <form method="post" action={action} class="page-links">
        <input type="hidden" name="report_id" value={report.report_id} />
        {does.map(([name, text]) => (
          <button
            key={name}
            type="submit"
            name="do"
            value={name}
            aria-label={`${text}: ${title}`}
          >
            {text}
          </button>
        ))}
      </form>
    </>
  );
}

function OrderForm({ action, accountZone }: ScheduleProps) {
  return (
    <details class="twin">
      <summary>{WORDS.add}</summary>
      <form class="order" method="post" action={action}>
        <div class="fields">
          <label>
            <span>{WORDS.when}</span>
            <select name="every">
              {REPORT_PERIODS.map((every) => (
                <option key={every} value={every}>{WORDS.every[every]}</option>
              ))}
            </select>
          </label>
          <label>
            <span>{WORDS.hour}</span>
            <input
              type="number"
              name="hour"
              min={0}
              max={23}
              required
              value={6}
            />
          </label>
          <label>
            <span>{PAGE_TEXT.exports.what}</span>
            <select name="format">
              <option value="pdf">{EXPORTS_TEXT.kinds.report}</option>
              <option value="csv">{EXPORTS_TEXT.kinds.numbers_csv}</option>
            </select>
          </label>
        </div>
        <label class="fields">
          <span>{WORDS.url}</span>
          <input
            type="url"
            name="url"
            required
            maxLength={2_000}
            placeholder="https://"
          />
        </label>
        <p class="page-note">
          {PAGE_TEXT.exports.zone(accountZone.replaceAll("_", " "))}
        </p>
        <button type="submit" name="do" value="order">{WORDS.submit}</button>
      </form>
    </details>
  );
}
