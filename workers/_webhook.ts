/**
 * Tells others by HTTP what they asked to be told, without letting them have us reach
 * what is not theirs.
 *
 * Who gives an address may mean our own network by it. So a name is resolved once, each
 * of its addresses is looked at, and the connection is made to one that was: a name that
 * means something else a moment later gains nothing. Redirects are not followed, and of
 * the answer no more is read than its first line.
 *
 * @module
 */

import { createHmac } from "node:crypto";
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import type { Sent } from "../db/reports.ts";
import { unlessAborted } from "./_abort.ts";

/** Whoever takes longer than this to answer is tried again later, ms. */
const DEADLINE_MS = 15_000;

/** Longest first line of an answer, bytes. */
const LINE_BYTES_MAX = 1_024;

/** What is sent. */
export interface Notice {
  /** The same at every attempt, so that receivers can tell a repetition. */
  id: string;
  url: string;
  /** JSON. */
  body: string;
  secret: Uint8Array;
}

/** What sending needs. */
export interface WebhookOptions {
  /** Whether http and addresses of private networks are meant; for those who run their own. */
  allowPrivate: boolean;
  /** Default: the system's. */
  resolve?(host: string): Promise<string[]>;
  now?(): Date;
  /** Default: {@linkcode DEADLINE_MS}. */
  deadlineMs?: number;
  /** Certificates that are trusted beside the system's, PEM. */
  caCerts?: string[];
}

/**
 * Sends a notice, signed as Standard Webhooks have it.
 *
 * @param notice What, and where to.
 * @param options How.
 * @param signal Ends it.
 * @returns What became of it; it does not throw for what the receiver did.
 */
export async function sendNotice(
  notice: Notice,
  options: WebhookOptions,
  signal: AbortSignal,
): Promise<Sent> {
  const { deadlineMs = DEADLINE_MS } = options;
  const late = AbortSignal.timeout(deadlineMs);
  const ending = AbortSignal.any([signal, late]);
  try {
    const status = await post(notice, options, ending);
    return { status, problem: problemOf(status) };
  } catch (error) {
    signal.throwIfAborted();
    const why = late.aborted
      ? `nobody answered within ${deadlineMs / 1_000} seconds`
      : error instanceof Error
      ? error.message
      : String(error);
    return { status: null, problem: `Cannot send: ${why}`.slice(0, 1_000) };
  }
}

function problemOf(status: number): string | null {
  if (status >= 200 && status < 300) return null;
  if (status >= 300 && status < 400) {
    return `Cannot send: the answer is ${status}, and redirects are not followed`;
  }
  return `Cannot send: the answer is ${status}`;
}

/**
 * What a notice is signed with.
 *
 * @param timestamp Seconds since 1970.
 * @returns The value of `webhook-signature`.
 */
export function signatureOf(
  { id, body, secret }: Notice,
  timestamp: number,
): string {
  const digest = createHmac("sha256", secret)
    .update(`${id}.${timestamp}.${body}`).digest("base64");
  return `v1,${digest}`;
}

async function post(
  notice: Notice,
  options: WebhookOptions,
  signal: AbortSignal,
): Promise<number> {
  const url = new URL(notice.url);
  if (url.protocol !== "https:" && !options.allowPrivate) {
    throw new Error("the address must begin with https://");
  }
  const addresses = await unlessAborted(signal, addressesOf(url, options));
  const connection = await connect(url, addresses, options, signal);
  const close = () => connection.close();
  signal.addEventListener("abort", close);
  try {
    await writeAll(connection, requestOf(url, notice, options));
    return await readStatus(connection);
  } finally {
    signal.removeEventListener("abort", close);
    if (!signal.aborted) connection.close();
  }
}

/** @throws {Error} When one of a name's addresses is none that may be meant. */
async function addressesOf(
  { hostname }: URL,
  { allowPrivate, resolve = resolveAll }: WebhookOptions,
): Promise<string[]> {
  const host = hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) > 0 ? [host] : await resolve(host);
  if (addresses.length === 0) throw new Error("the host has no address");
  if (!allowPrivate && !addresses.every(isPublic)) {
    throw new Error("the host is at a private address");
  }
  return addresses;
}

async function resolveAll(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    throw new Error("the host is not known");
  }
}

/** Tries one address after the other. What is connected to was looked at. */
async function connect(
  url: URL,
  addresses: string[],
  { caCerts }: WebhookOptions,
  signal: AbortSignal,
): Promise<Deno.Conn> {
  const isSafe = url.protocol === "https:";
  const port = Number(url.port || (isSafe ? 443 : 80));
  let failure: unknown;
  for (const hostname of addresses) {
    const connecting = Deno.connect({ hostname, port });
    try {
      const connection = await unlessAborted(signal, connecting);
      if (!isSafe) return connection;
      // The certificate must be the name's, whatever address that led to.
      return await Deno.startTls(connection as Deno.TcpConn, {
        hostname: url.hostname.replace(/^\[|\]$/g, ""),
        alpnProtocols: ["http/1.1"],
        caCerts,
      });
    } catch (error) {
      connecting.then((late) => late.close()).catch(() => {});
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

function requestOf(
  url: URL,
  notice: Notice,
  { now = () => new Date() }: WebhookOptions,
): Uint8Array<ArrayBuffer> {
  const timestamp = Math.floor(now().getTime() / 1_000);
  const body = new TextEncoder().encode(notice.body);
  const head = [
    `POST ${url.pathname}${url.search} HTTP/1.1`,
    `host: ${url.host}`,
    "connection: close",
    "user-agent: weir",
    "content-type: application/json",
    `content-length: ${body.length}`,
    `webhook-id: ${notice.id}`,
    `webhook-timestamp: ${timestamp}`,
    `webhook-signature: ${signatureOf(notice, timestamp)}`,
  ].map((line) => `${line}\r\n`).join("");
  const start = new TextEncoder().encode(`${head}\r\n`);
  const request = new Uint8Array(start.length + body.length);
  request.set(start);
  request.set(body, start.length);
  return request;
}

async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await connection.write(bytes.subarray(at));
  }
}

/** The status of the first line that is final: `100 Continue` and the like come before. */
async function readStatus(connection: Deno.Conn): Promise<number> {
  const piece = new Uint8Array(LINE_BYTES_MAX);
  let text = "";
  while (text.length < LINE_BYTES_MAX) {
    const size = await connection.read(piece);
    if (size === null) break;
    text += new TextDecoder("latin1").decode(piece.subarray(0, size));
    const status =
      /^(?:HTTP\/1\.[01] 1\d\d[^]*?\r?\n\r?\n)*HTTP\/1\.[01] ([2-5]\d\d)[ \r\n]/
        .exec(text)?.[1];
    if (status !== undefined) return Number(status);
  }
  throw new Error("the answer is no HTTP");
}

/** Everything that IANA says is not of the public Internet, of IPv4. */
const NOT_PUBLIC = new BlockList();
for (
  const [network, bits] of [
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    // Link-local: there the clouds tell their machines' secrets.
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.0.2.0", 24],
    ["192.88.99.0", 24],
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["198.51.100.0", 24],
    ["203.0.113.0", 24],
    // Multicast, reserved, broadcast.
    ["224.0.0.0", 3],
  ] as const
) NOT_PUBLIC.addSubnet(network, bits, "ipv4");

/** Of IPv6 the public part, and what in it is not: there IPv4 is hidden, or nobody is. */
const PUBLIC_V6 = new BlockList();
PUBLIC_V6.addSubnet("2000::", 3, "ipv6");
for (
  const [network, bits] of [
    ["2001::", 23],
    ["2001:db8::", 32],
    ["2002::", 16],
    ["3fff::", 20],
  ] as const
) NOT_PUBLIC.addSubnet(network, bits, "ipv6");

/**
 * Whether an address is of the public Internet. IPv4 that is written as IPv6 is not: no
 * name of a good receiver has such an address.
 *
 * @param address As resolvers write it.
 */
export function isPublic(address: string): boolean {
  const [ip, zone] = address.split("%");
  if (zone !== undefined) return false;
  switch (isIP(ip!)) {
    case 4:
      return !NOT_PUBLIC.check(ip!, "ipv4");
    case 6:
      return PUBLIC_V6.check(ip!, "ipv6") && !NOT_PUBLIC.check(ip!, "ipv6");
    default:
      return false;
  }
}
