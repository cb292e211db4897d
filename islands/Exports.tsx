/**
 * The files of a workflow that somebody asked for: written by the server with plain
 * forms, kept up to date in the browser while one is under way.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import type { ExportFormat, ExportJob, ExportList } from "../db/schema.ts";
import { formatInstant, formatRange, LOCALE } from "./format.ts";
import { EXPORTS_TEXT as SAYS } from "./text.ts";

/** JSON only: these props are written into the page. */
export interface ExportsProps {
  /** Newest first. */
  jobs: ExportJob[];
  /** Of this page with its query, which takes the forms. */
  path: string;
  /** Of the API of these files, which is followed while one is under way. */
  apiPath: string;
  /** In which instants are shown. */
  zone: string;
}

/** `EventSource.CLOSED`: it will not try again by itself. */
const CLOSED = 2;

/** The island. */
export default function Exports(props: ExportsProps) {
  const { jobs, isLost } = useJobs(props);
  return (
    <section class="panel" aria-labelledby="files">
      <h2 id="files">{SAYS.filesTitle}</h2>
      {isLost && <p class="notice" role="alert">{SAYS.lost}</p>}
      {jobs.length === 0 && <p class="muted">{SAYS.none}</p>}
      <ul class="files">
        {jobs.map((job) => (
          <li key={job.job_id}>
            <File job={job} {...props} />
          </li>
        ))}
      </ul>
      <p class="hidden" role="status">
        {jobs[0] && `${titleOf(jobs[0])}: ${SAYS.statuses[jobs[0].status]}`}
      </p>
    </section>
  );
}

/** Follows the list while something of it is under way. */
function useJobs({ jobs: written, apiPath }: ExportsProps) {
  const [jobs, setJobs] = useState(written);
  const [isLost, setLost] = useState(false);
  const isUnderWay = jobs.some(isOpen);
  useEffect(() => {
    if (!isUnderWay) return;
    const source = new EventSource(apiPath);
    source.addEventListener("exports", ({ data }) => {
      setJobs((JSON.parse(data) as ExportList).exports);
      setLost(false);
    });
    source.onerror = () => setLost(source.readyState === CLOSED);
    return () => source.close();
  }, [isUnderWay]);
  return { jobs, isLost };
}

function isOpen({ status }: ExportJob): boolean {
  return status === "queued" || status === "running";
}

/** Which of the kinds that the form offers a job is. */
function titleOf({ request }: ExportJob): string {
  const { format, rows } = request as {
    format: ExportFormat;
    rows: "buckets" | "executions";
  };
  if (format === "pdf") return SAYS.kinds.report;
  const what = rows === "executions" ? "executions" : "numbers";
  return SAYS.kinds[`${what}_${format}`];
}

const BADGES = {
  queued: "plain",
  running: "slow",
  done: "good",
  failed: "bad",
  cancelled: "plain",
};

function File({ job, path, apiPath, zone }: ExportsProps & { job: ExportJob }) {
  const { start_date, end_date } = job.request as Record<string, string>;
  const by = job.requested_by;
  const isExpired = job.file !== null &&
    Date.parse(job.expires_at!) <= Date.now();
  return (
    <>
      <p>
        <b>{titleOf(job)}</b>{" "}
        <span class={`badge ${isExpired ? "plain" : BADGES[job.status]}`}>
          {isExpired ? SAYS.expired : SAYS.statuses[job.status]}
        </span>
      </p>
      <p class="page-note">
        {start_date ? formatRange(start_date, end_date!) : SAYS.allTime} ·{" "}
        {formatInstant(job.requested_at, zone)} {by && SAYS.by(by)}
      </p>
      {job.status === "running" && (
        <p class="progress">
          <progress
            max={100}
            value={job.percent}
            aria-label={titleOf(job)}
          />{" "}
          {SAYS.percent(job.percent)}
        </p>
      )}
      {job.error !== null && job.status !== "done" && (
        <p class="page-note bad">
          {isOpen(job) ? SAYS.retrying(job.error) : job.error}
        </p>
      )}
      {job.file && !isExpired && (
        <Made {...job.file} href={`${apiPath}/${job.job_id}/download`}>
          {SAYS.until(formatInstant(job.expires_at!, zone))}
        </Made>
      )}
      {job.status !== "done" && (
        <form method="post" action={path}>
          <input type="hidden" name="job_id" value={job.job_id} />
          <button
            type="submit"
            name="do"
            value={isOpen(job) ? "give_up" : "again"}
            aria-label={`${isOpen(job) ? SAYS.giveUp : SAYS.again}: ${
              titleOf(job)
            }`}
          >
            {isOpen(job) ? SAYS.giveUp : SAYS.again}
          </button>
        </form>
      )}
    </>
  );
}

function Made(
  { name, bytes, rows, sha256, href, children }:
    & NonNullable<ExportJob["file"]>
    & { href: string; children: string },
) {
  return (
    <>
      <p>
        <a class="button" href={href} download={name}>
          {SAYS.download} <span class="hidden">{name}</span>
        </a>
      </p>
      <p class="page-note">
        {rows !== null && `${SAYS.rows(rows)}, `}
        {formatBytes(bytes)}. {children}.
      </p>
      <p class="page-note">
        {SAYS.digest} <code>{sha256}</code>
      </p>
    </>
  );
}

/** A size in its largest unit, e.g. `12.3 kB`. */
function formatBytes(bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const at = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return new Intl.NumberFormat(LOCALE, {
    style: "unit",
    unit: units[at],
    unitDisplay: at === 0 ? "long" : "short",
    maximumFractionDigits: 1,
  }).format(bytes / 1_000 ** at);
}
