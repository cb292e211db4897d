/**
 * What the API promises, operation by operation: the one list that the document at
 * `/openapi.json`, the reference at `/docs`, the client and the tests are made from.
 *
 * A route that is not here fails the suite, as does an answer that is not as said here.
 *
 * @module
 */

import { z } from "zod";
import {
  AccessLogPage,
  AccessLogQuery,
  Actions,
  Analytics,
  AnalyticsQuery,
  ContactPath,
  ErasedContact,
  Event,
  EventReceipt,
  EventRefusal,
  EVENTS_PER_REQUEST_MAX,
  ExecutionDetail,
  ExecutionList,
  ExecutionsQuery,
  ExportJob,
  ExportList,
  ExportParameters,
  Funnel,
  NewReport,
  NewShare,
  Preferences,
  Quality,
  QualityQuery,
  Readiness,
  RefreshQueued,
  RefreshRequest,
  ReportList,
  ReportOrder,
  ScheduledReport,
  type Scope,
  ShareDefinition,
  ShareLink,
  ShareList,
  StreamQuery,
  Workflow,
  WorkflowDefinition,
  WorkflowList,
  WorkflowsQuery,
} from "../db/schema.ts";
import { type ErrorCode, FieldError, Problem } from "./_errors.ts";
import {
  CLOUDEVENT,
  CLOUDEVENTS_BATCH,
  Envelope,
} from "./_wire_cloudevents.ts";
import { Traces } from "./_wire_otlp.ts";
import { PostHogBatch, SegmentBatch } from "./_wire_track.ts";
import { WebhookId } from "./github.ts";
import { ExecutionPath } from "./executions.ts";
import { ExportPath } from "./exports.ts";
import { ReportPath } from "./reports.ts";
import { RefreshPath } from "./refresh.ts";
import { SharePath } from "./shares.ts";
import { WorkflowPath } from "./workflows.ts";

/** One operation, as a stranger must know it. */
export interface Operation {
  /** Name of the client's function: verb and noun. */
  id: string;
  /** Heading it stands under. */
  tag:
    | "Events"
    | "Workflows"
    | "Numbers"
    | "Executions"
    | "Account"
    | "Exports"
    | "Sharing"
    | "Other clients"
    | "Health";
  summary: string;
  /** What the summary and the schemas do not say. */
  description?: string;
  /** What the caller's credential must allow; `null`: public. */
  scope: Scope | null;
  /** Where the key stands; default: in `Authorization: Bearer`, or a session. */
  key?: "basic" | "body";
  /** The schemas that validate the request. */
  path?: z.ZodObject;
  query?: z.ZodType;
  /** By media type. */
  body?: Record<string, z.ZodType>;
  /** Answers that are no errors, by status. */
  answers: Record<number, OperationAnswer>;
  /** Codes besides those that {@linkcode errorsOf} knows of. */
  errors?: ErrorCode[];
  /** Shape of its errors; default: {@linkcode Problem}. */
  problem?: z.ZodType;
  /** A request that a reader may send, and that tests do send. */
  example: {
    path?: Record<string, string>;
    query?: Record<string, string>;
    body?: unknown;
  };
}

/** An answer that is no error. */
export interface OperationAnswer {
  description: string;
  /** By media type; `null` where it is no JSON. Without: an empty body. */
  content?: Record<string, z.ZodType | null>;
  /** What each header says. */
  headers?: Record<string, string>;
}

/** Where nobody but the owner and the account's admins may look. */
const OF_WORKFLOW: ErrorCode[] = ["workflow_not_found", "forbidden"];

const EXAMPLE_WORKFLOW = "11111111-1111-4111-8111-111111111111";
const EXAMPLE_EXECUTION = "22222222-2222-4222-8222-222222222222";
const EXAMPLE_STEPS = [
  "33333333-3333-4333-8333-333333333331",
  "33333333-3333-4333-8333-333333333332",
] as const;
const EXAMPLE_GOAL = "44444444-4444-4444-8444-444444444441";
const EXAMPLE_RANGE = { start_date: "2026-06-01", end_date: "2026-06-15" };

/** Refusals of a whole request tell event by event, and what had been committed. */
const EventsProblem = Problem.extend({
  ...EventReceipt.partial().shape,
  errors: z.union([z.array(EventRefusal), z.array(FieldError)]).optional()
    .describe("Event by event, or where the request as a whole is wrong"),
})
  .meta({ id: "EventsProblem" });

/** Body of `POST /events`. */
const Events = z.union([Event, z.array(Event).max(EVENTS_PER_REQUEST_MAX)])
  .describe("One event or a list of them");

/** What a job that was queued is answered with. */
const EXPORT_QUEUED: OperationAnswer = {
  ...json("The job that makes it", ExportJob),
  headers: { location: "Where to read what becomes of it" },
};

const WATCHED: OperationAnswer = {
  description: "A stream that ends after ten minutes",
  content: { "text/event-stream": null },
};

const FILES = {
  "text/csv": null,
  "application/json": null,
  "application/pdf": null,
};

const OF_FILE = {
  etag: "Of the whole file",
  "repr-digest": "SHA-256 of the whole file",
  "content-disposition": "Its name",
};

const OF_EXPORT = {
  tag: "Exports",
  scope: "exports:write",
  path: ExportPath,
  errors: [...OF_WORKFLOW, "export_not_found"],
  example: { path: { id: EXAMPLE_WORKFLOW, job_id: EXAMPLE_EXECUTION } },
} as const satisfies Partial<Operation>;

const OF_REPORT = {
  tag: "Exports",
  scope: "exports:write",
  path: ReportPath,
  errors: [...OF_WORKFLOW, "report_not_found"],
  example: { path: { id: EXAMPLE_WORKFLOW } },
} as const satisfies Partial<Operation>;

/** By method and path, in the order in which a reader meets them. */
export const OPERATIONS: Record<string, Operation> = {
  "POST /api/v1/events": {
    id: "sendEvents",
    tag: "Events",
    summary: "Report events",
    description:
      "Answers once every accepted event is durable. A batch is judged event by event; the same id again is a duplicate and no error. NDJSON is one event a line, streamed, without limit. A CloudEvent carries the event as its data, with id, type and time of the envelope; binary mode works too.",
    scope: "events:write",
    body: {
      "application/json": Events,
      "application/x-ndjson": z.string().describe("One event a line"),
      [CLOUDEVENT]: Envelope,
      [CLOUDEVENTS_BATCH]: z.array(Envelope).max(EVENTS_PER_REQUEST_MAX),
    },
    answers: { 202: json("What became of the events", EventReceipt) },
    errors: ["all_events_rejected", "overloaded"],
    problem: EventsProblem,
    example: {
      body: [
        {
          id: "enrol-1",
          type: "execution.enrolled",
          workflow_id: EXAMPLE_WORKFLOW,
          execution_id: EXAMPLE_EXECUTION,
          contact_id: "contact-1",
          occurred_at: "2026-06-15T09:00:00Z",
          source: "api",
        },
        {
          id: "hello-1",
          type: "action.executed",
          workflow_id: EXAMPLE_WORKFLOW,
          execution_id: EXAMPLE_EXECUTION,
          contact_id: "contact-1",
          occurred_at: "2026-06-15T09:00:02Z",
          step_id: EXAMPLE_STEPS[0],
          status: "succeeded",
          duration_ms: 132.5,
        },
      ],
    },
  },
  "PUT /api/v1/workflows/{id}": {
    id: "putWorkflow",
    tag: "Workflows",
    summary: "Register or change a workflow",
    description:
      "The body is the whole definition: what is left out becomes its default. Steps or goals that differ from the newest version's make a new version.",
    scope: "workflows:write",
    path: WorkflowPath,
    body: { "application/json": WorkflowDefinition },
    answers: { 200: json("The workflow as it is now", Workflow) },
    errors: OF_WORKFLOW,
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      body: {
        name: "Welcome series",
        steps: [
          {
            step_id: EXAMPLE_STEPS[0],
            name: "Say hello",
            type: "action",
            action_type: "send_email",
            order: 0,
          },
          {
            step_id: EXAMPLE_STEPS[1],
            name: "Wait a day",
            type: "wait",
            order: 1,
          },
        ],
        goals: [{
          goal_id: EXAMPLE_GOAL,
          type: "purchase",
          name: "First order",
        }],
      },
    },
  },
  "GET /api/v1/workflows/{id}": {
    id: "readWorkflow",
    tag: "Workflows",
    summary: "Read a workflow's definition and versions",
    scope: "analytics:read",
    path: WorkflowPath,
    answers: { 200: json("The workflow", Workflow) },
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW } },
  },
  "GET /api/v1/workflows": {
    id: "listWorkflows",
    tag: "Workflows",
    summary: "List workflows with their last 30 days",
    description:
      "Numbers are of the last 30 days of the account's time zone, today included, by cohort.",
    scope: "analytics:read",
    query: WorkflowsQuery,
    answers: { 200: json("One page of the list", WorkflowList) },
    example: { query: { search: "welcome", limit: "10" } },
  },
  "GET /api/v1/workflows/{id}/analytics": {
    id: "readAnalytics",
    tag: "Numbers",
    summary: "Read the summary and the trends of a range",
    scope: "analytics:read",
    path: WorkflowPath,
    query: AnalyticsQuery,
    answers: kept("Summary, trends and comparison", Analytics),
    errors: OF_WORKFLOW,
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      query: { ...EXAMPLE_RANGE, granularity: "weekly", compare: "previous" },
    },
  },
  "GET /api/v1/workflows/{id}/analytics/funnel": {
    id: "readFunnel",
    tag: "Numbers",
    summary: "Read how a range's executions went through the steps",
    scope: "analytics:read",
    path: WorkflowPath,
    query: AnalyticsQuery,
    answers: kept("The steps in their order", Funnel),
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW }, query: EXAMPLE_RANGE },
  },
  "GET /api/v1/workflows/{id}/analytics/actions": {
    id: "readActions",
    tag: "Numbers",
    summary: "Read how the actions of a range fared",
    scope: "analytics:read",
    path: WorkflowPath,
    query: AnalyticsQuery,
    answers: kept("The actions, worst first", Actions),
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW }, query: EXAMPLE_RANGE },
  },
  "GET /api/v1/workflows/{id}/analytics/stream": {
    id: "streamNumbers",
    tag: "Numbers",
    summary: "Be told of each change of the numbers",
    description:
      "Server-sent events: a snapshot of the three reads first, then what changes. See docs/live.md.",
    scope: "analytics:read",
    path: WorkflowPath,
    query: StreamQuery,
    answers: {
      200: {
        description: "A stream that ends after half an hour",
        content: { "text/event-stream": null },
      },
    },
    errors: [...OF_WORKFLOW, "too_many_streams", "streams_full"],
    example: { path: { id: EXAMPLE_WORKFLOW }, query: EXAMPLE_RANGE },
  },
  "POST /api/v1/workflows/{id}/analytics/refresh": {
    id: "requestRefresh",
    tag: "Numbers",
    summary: "Bring a workflow up to date now",
    description:
      "Reads are exact without it. It is for those who want to know when everything that they have sent is counted. While a request waits, another one for the same workflow is the same job.",
    scope: "analytics:read",
    path: WorkflowPath,
    answers: {
      202: {
        ...json("The job that does it", RefreshQueued),
        headers: { location: "Where to read what becomes of it" },
      },
    },
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW } },
  },
  "GET /api/v1/workflows/{id}/analytics/refresh/{job_id}": {
    id: "readRefresh",
    tag: "Numbers",
    summary: "Read what became of a refresh",
    description: "Requests are forgotten after a week.",
    scope: "analytics:read",
    path: RefreshPath,
    answers: { 200: json("The job", RefreshRequest) },
    errors: [...OF_WORKFLOW, "not_found"],
    example: { path: { id: EXAMPLE_WORKFLOW, job_id: "{job_id}" } },
  },
  "GET /api/v1/workflows/{id}/quality": {
    id: "readQuality",
    tag: "Executions",
    summary: "Read what arrived as it should not",
    scope: "analytics:read",
    path: WorkflowPath,
    query: QualityQuery,
    answers: { 200: json("What is known of the events' quality", Quality) },
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW }, query: { days: "7" } },
  },
  "GET /api/v1/workflows/{id}/executions": {
    id: "listExecutions",
    tag: "Executions",
    summary: "List the executions behind any number",
    description:
      "Newest enrolment first. What is given must all hold. Executions are kept for 90 days after they ended.",
    scope: "analytics:read",
    path: WorkflowPath,
    query: ExecutionsQuery,
    answers: { 200: json("One page of the list", ExecutionList) },
    errors: OF_WORKFLOW,
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      query: { ...EXAMPLE_RANGE, status: "active", limit: "10" },
    },
  },
  "GET /api/v1/workflows/{id}/executions/{execution_id}": {
    id: "readExecution",
    tag: "Executions",
    summary: "Read one execution with its steps, goals and events",
    scope: "analytics:read",
    path: ExecutionPath,
    answers: { 200: json("The execution", ExecutionDetail) },
    errors: [...OF_WORKFLOW, "execution_not_found"],
    example: {
      path: { id: EXAMPLE_WORKFLOW, execution_id: EXAMPLE_EXECUTION },
    },
  },
  "GET /api/v1/workflows/{id}/analytics/export": {
    id: "exportNow",
    tag: "Exports",
    summary: "Fetch numbers or executions as a file",
    description:
      "More than 100,000 executions, and every PDF, are a job. See docs/exports.md.",
    scope: "exports:write",
    path: WorkflowPath,
    query: ExportParameters,
    answers: {
      200: {
        description: "The file",
        content: { "text/csv": null, "application/json": null },
        headers: { "content-disposition": "Its name" },
      },
      202: EXPORT_QUEUED,
    },
    errors: [...OF_WORKFLOW, "exports_busy", "exports_full"],
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      query: { format: "csv", ...EXAMPLE_RANGE },
    },
  },
  "POST /api/v1/workflows/{id}/exports": {
    id: "requestExport",
    tag: "Exports",
    summary: "Have a file made",
    scope: "exports:write",
    path: WorkflowPath,
    body: { "application/json": ExportParameters },
    answers: { 202: EXPORT_QUEUED },
    errors: [...OF_WORKFLOW, "exports_busy", "exports_full"],
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      body: { format: "pdf", ...EXAMPLE_RANGE },
    },
  },
  "GET /api/v1/workflows/{id}/exports": {
    id: "listExports",
    tag: "Exports",
    summary: "List the newest files of a workflow",
    description:
      "With `Accept: text/event-stream` as events of type `exports`, each the list as it is then, until no file is under way.",
    scope: "exports:write",
    path: WorkflowPath,
    answers: {
      200: {
        description: "The jobs, newest first",
        content: { "application/json": ExportList, "text/event-stream": null },
      },
    },
    errors: [...OF_WORKFLOW, "streams_full"],
    example: { path: { id: EXAMPLE_WORKFLOW } },
  },
  "GET /api/v1/workflows/{id}/exports/{job_id}": {
    ...OF_EXPORT,
    id: "readExport",
    summary: "Read how far a file is",
    answers: { 200: json("The job", ExportJob) },
  },
  "DELETE /api/v1/workflows/{id}/exports/{job_id}": {
    ...OF_EXPORT,
    id: "cancelExport",
    summary: "Give a file up that is not done",
    answers: { 200: json("The job as it is now", ExportJob) },
  },
  "POST /api/v1/workflows/{id}/exports/{job_id}/retry": {
    ...OF_EXPORT,
    id: "retryExport",
    summary: "Try again what failed or was given up",
    answers: { 202: json("The job as it is now", ExportJob) },
    errors: [...OF_EXPORT.errors, "exports_busy"],
  },
  "GET /api/v1/workflows/{id}/exports/{job_id}/events": {
    ...OF_EXPORT,
    id: "watchExport",
    summary: "Be told how far a file is",
    description:
      "Server-sent events of type `job`, each the job as it is then; it ends when the job does.",
    answers: { 200: WATCHED },
    errors: [...OF_EXPORT.errors, "streams_full"],
  },
  "GET /api/v1/workflows/{id}/exports/{job_id}/download": {
    ...OF_EXPORT,
    id: "downloadExport",
    summary: "Fetch a file, or a part of it",
    description:
      "With a key, or without one by the link of the job. Takes Range, If-Range and If-None-Match.",
    query: z.strictObject({ signature: z.string().optional() }),
    answers: {
      200: { description: "The file", content: FILES, headers: OF_FILE },
      206: { description: "A part of it", content: FILES, headers: OF_FILE },
      304: { description: "It is the one that the client has" },
    },
    errors: [
      ...OF_EXPORT.errors,
      "link_expired",
      "export_not_done",
      "export_gone",
      "range_not_satisfiable",
    ],
  },
  "POST /api/v1/workflows/{id}/shares": {
    id: "createShare",
    tag: "Sharing",
    summary: "Open a link by which anybody sees the numbers",
    description:
      "Without an account, and with nothing that leads to executions or contacts. See docs/sharing.md.",
    scope: "exports:write",
    path: WorkflowPath,
    body: { "application/json": ShareDefinition },
    answers: { 201: json("The link, with what opens it", NewShare) },
    errors: [...OF_WORKFLOW, "shares_full"],
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      body: {
        name: "Status page",
        range: { days: 30 },
        tz: "Europe/Paris",
        frame_ancestors: ["https://status.example.com"],
      },
    },
  },
  "GET /api/v1/workflows/{id}/shares": {
    id: "listShares",
    tag: "Sharing",
    summary: "List the links of a workflow",
    description: "Those that are not revoked, without what opens them.",
    scope: "analytics:read",
    path: WorkflowPath,
    answers: { 200: json("The links, newest first", ShareList) },
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW } },
  },
  "DELETE /api/v1/workflows/{id}/shares/{share_id}": {
    id: "revokeShare",
    tag: "Sharing",
    summary: "Revoke a link",
    description:
      "It opens nothing here within 5 s; caches at the edge keep what they have for two minutes at most. Twice is harmless.",
    scope: "exports:write",
    path: SharePath,
    answers: { 200: json("The link that was", ShareLink) },
    errors: [...OF_WORKFLOW, "share_not_found"],
    example: { path: { id: EXAMPLE_WORKFLOW, share_id: "{share_id}" } },
  },
  "POST /api/v1/workflows/{id}/reports": {
    id: "addReport",
    tag: "Exports",
    summary: "Have a report sent to a webhook every week or month",
    description:
      "The secret that signs what is sent is shown this once. See docs/exports.md for what is sent and how to verify it.",
    scope: "exports:write",
    path: WorkflowPath,
    body: { "application/json": ReportOrder },
    answers: { 201: json("The report, with its secret", NewReport) },
    errors: [...OF_WORKFLOW, "reports_full"],
    example: {
      path: { id: EXAMPLE_WORKFLOW },
      body: {
        every: "week",
        format: "pdf",
        url: "https://hooks.example.com/weir",
      },
    },
  },
  "GET /api/v1/workflows/{id}/reports": {
    id: "listReports",
    tag: "Exports",
    summary:
      "List the scheduled reports of a workflow, and what became of each",
    scope: "exports:write",
    path: WorkflowPath,
    answers: { 200: json("The reports, oldest first", ReportList) },
    errors: OF_WORKFLOW,
    example: { path: { id: EXAMPLE_WORKFLOW } },
  },
  "POST /api/v1/workflows/{id}/reports/{report_id}/send": {
    ...OF_REPORT,
    id: "sendReport",
    summary: "Send the last period of a report now",
    description: "Besides what is due, and under an id of its own.",
    answers: {
      202: json("The report, with the new delivery", ScheduledReport),
    },
    errors: [...OF_REPORT.errors, "reports_busy"],
  },
  "POST /api/v1/workflows/{id}/reports/{report_id}/enable": {
    ...OF_REPORT,
    id: "enableReport",
    summary: "Send a report again that was disabled after failures",
    answers: { 200: json("The report as it is now", ScheduledReport) },
  },
  "DELETE /api/v1/workflows/{id}/reports/{report_id}": {
    ...OF_REPORT,
    id: "removeReport",
    summary: "Send a report no more",
    answers: { 204: { description: "It is gone" } },
  },
  "DELETE /api/v1/contacts/{contact_id}": {
    id: "eraseContact",
    tag: "Executions",
    summary: "Erase a contact everywhere, changing no number",
    description:
      "Its id is replaced by one random word in all workflows of the account, and errors of its events are deleted. Asking again finds none.",
    scope: "admin",
    path: ContactPath,
    answers: { 200: json("How many had it", ErasedContact) },
    errors: ["forbidden"],
    example: { path: { contact_id: "contact-1" } },
  },
  "GET /api/v1/me/preferences": {
    id: "readPreferences",
    tag: "Account",
    summary: "Read what whoever asks prefers",
    description:
      "Of the user that the credential acts for; of all who act for the account without a user, together.",
    scope: "analytics:read",
    answers: { 200: json("What was chosen, or the defaults", Preferences) },
    example: {},
  },
  "PUT /api/v1/me/preferences": {
    id: "writePreferences",
    tag: "Account",
    summary: "Choose what is preferred",
    description: "The body is the whole: what is left out becomes its default.",
    scope: "analytics:read",
    body: { "application/json": Preferences },
    answers: { 200: json("What is kept now", Preferences) },
    example: {
      body: { time_zone: "Europe/Paris", theme: "dark", default_range: "7d" },
    },
  },
  "GET /api/v1/access-log": {
    id: "readAccessLog",
    tag: "Account",
    summary: "Read who read and exported what",
    description:
      "For the admins of the account. The newest first; what was read appears within a second. Kept for a year.",
    scope: "admin",
    query: AccessLogQuery,
    answers: { 200: json("One page of the log", AccessLogPage) },
    errors: ["forbidden"],
    example: {
      query: { action: "GET /api/v1/workflows/:id/analytics", limit: "10" },
    },
  },
  "POST /v1/batch": {
    id: "sendSegmentBatch",
    tag: "Other clients",
    summary: "Report events as Segment's and RudderStack's clients do",
    description:
      "The key is the user name of Basic, or a bearer token. A track's event is our type, its properties are our fields, messageId is the id and timestamp (else originalTimestamp) is occurred_at; other messages are ignored.",
    scope: "events:write",
    key: "basic",
    body: { "*/*": SegmentBatch },
    answers: {
      200: json(
        "What became of the events",
        EventReceipt.extend({ success: z.literal(true), ignored: z.int() }),
      ),
    },
    errors: ["all_events_rejected", "overloaded"],
    problem: EventsProblem,
    example: {
      body: {
        batch: [{
          type: "track",
          event: "execution.enrolled",
          messageId: "enrol-1",
          userId: "contact-1",
          timestamp: "2026-06-15T09:00:00Z",
          properties: {
            workflow_id: EXAMPLE_WORKFLOW,
            execution_id: EXAMPLE_EXECUTION,
            source: "api",
          },
        }],
      },
    },
  },
  "POST /batch/": {
    id: "sendPostHogBatch",
    tag: "Other clients",
    summary: "Report events as PostHog's clients do",
    description:
      "The key is api_key of the body. A capture's event is our type, its properties are our fields, uuid is the id and timestamp is occurred_at; events whose names begin with a dollar sign are ignored.",
    scope: "events:write",
    key: "body",
    body: { "*/*": PostHogBatch },
    answers: {
      200: json(
        "What became of the events",
        EventReceipt.extend({ status: z.literal(1), ignored: z.int() }),
      ),
    },
    errors: ["all_events_rejected", "overloaded"],
    problem: EventsProblem,
    example: {
      body: {
        api_key: "$KEY",
        batch: [{
          event: "execution.enrolled",
          uuid: "enrol-1",
          distinct_id: "contact-1",
          timestamp: "2026-06-15T09:00:00Z",
          properties: {
            workflow_id: EXAMPLE_WORKFLOW,
            execution_id: EXAMPLE_EXECUTION,
            source: "api",
          },
        }],
      },
    },
  },
  "POST /v1/traces": {
    id: "sendTraces",
    tag: "Other clients",
    summary: "Report OpenTelemetry's traces",
    description:
      "OTLP over HTTP, as JSON or protobuf. The key is a bearer token or the user name of Basic.",
    scope: "events:write",
    key: "basic",
    body: {
      "application/json": Traces,
      "application/x-protobuf": z.string().describe(
        "ExportTraceServiceRequest",
      ),
    },
    answers: {
      200: {
        description: "How many spans were refused",
        content: {
          "application/json": z.strictObject({
            partialSuccess: z.strictObject({
              rejectedSpans: z.int().optional(),
              errorMessage: z.string().optional(),
            }),
          }),
          "application/x-protobuf": null,
        },
      },
    },
    errors: ["all_events_rejected", "overloaded"],
    problem: EventsProblem,
    example: { body: { resourceSpans: [] } },
  },
  "POST /webhooks/github/{id}": {
    id: "sendGithubDelivery",
    tag: "Other clients",
    summary: "Report what GitHub tells of runs and jobs",
    description:
      "No key: X-Hub-Signature-256 is the signature by the webhook's secret. What is not about runs or jobs is ignored.",
    scope: null,
    path: z.strictObject({ id: WebhookId }),
    body: {
      "application/json": z.record(z.string(), z.unknown()),
      "application/x-www-form-urlencoded": z.strictObject({
        payload: z.string(),
      }),
    },
    answers: {
      202: json(
        "What became of the events",
        EventReceipt.extend({ ignored: z.int() }),
      ),
    },
    errors: [
      "unauthenticated",
      "unavailable",
      "query_timeout",
      "all_events_rejected",
      "rate_limited",
    ],
    problem: EventsProblem,
    example: { path: { id: "0123456789abcdef0123456789abcdef" }, body: {} },
  },
  "GET /healthz": {
    id: "readHealth",
    tag: "Health",
    summary: "Ask whether the process lives",
    scope: null,
    answers: {
      200: json("It does", z.strictObject({ status: z.literal("ok") })),
    },
    example: {},
  },
  "GET /readyz": {
    id: "readReadiness",
    tag: "Health",
    summary: "Ask whether the process can work, and how its jobs are doing",
    scope: null,
    answers: {
      200: json("It can", Readiness),
      503: json(
        "It cannot reach the database",
        z.strictObject({
          status: z.literal("down"),
          database: z.literal("unreachable"),
        }),
      ),
    },
    example: {},
  },
  "GET /metrics": {
    id: "readMetrics",
    tag: "Health",
    summary: "Read counters and gauges for Prometheus",
    scope: null,
    answers: {
      200: {
        description: "Text of Prometheus, version 0.0.4",
        content: { "text/plain": null },
      },
    },
    errors: ["unavailable", "query_timeout"],
    example: {},
  },
};

function json(description: string, schema: z.ZodType): OperationAnswer {
  return { description, content: { "application/json": schema } };
}

/** An answer that clients may keep and ask for again by its tag. */
function kept(
  description: string,
  schema: z.ZodType,
): Operation["answers"] {
  const headers = { etag: "Of this very answer, for If-None-Match" };
  return {
    200: { ...json(description, schema), headers },
    304: { description: "It is still what the client has", headers },
  };
}

/**
 * Every code that an operation may answer with.
 *
 * @param method In upper case.
 * @param operation Whose.
 */
export function errorsOf(
  method: string,
  operation: Operation,
): ErrorCode[] {
  const { scope, key, path, query, body, errors = [] } = operation;
  const codes: ErrorCode[] = ["internal", "stopping"];
  if (scope !== null) {
    codes.push("unauthenticated", "insufficient_scope");
    codes.push(
      "identity_unavailable",
      "unavailable",
      "query_timeout",
      "rate_limited",
    );
    // A session's, which other clients do not have.
    if (method !== "GET" && !key) codes.push("cross_site_request");
  }
  if (path || query || body) codes.push("invalid_request");
  if (body) {
    codes.push("invalid_json", "incomplete_body");
    codes.push("payload_too_large", "unsupported_media_type");
  }
  return [...codes, ...errors];
}
