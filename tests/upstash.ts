/**
 * Upstash for tests: a real redis-server, and before it a bridge that speaks Upstash's
 * REST protocol as far as its clients do: commands, pipelines and transactions as JSON,
 * base64 answers, and subscriptions as server-sent events. It can be told to misbehave.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { WATCHDOG } from "./debian.ts";
import { until } from "./harness.ts";
import { serve, type Served } from "./serve.ts";

/** What the bridge does with requests. */
export type Behaviour =
  /** Answers. */
  | "ok"
  /** Takes no connection, like a server that is gone. */
  | "refuses"
  /** Takes requests and never answers. */
  | "hangs"
  /** Answers all with 500. */
  | "fails";

/** A redis of one test, reached as Upstash is. */
export interface Upstash extends AsyncDisposable {
  /** For `UPSTASH_REDIS_REST_URL`. */
  url: string;
  /** For `UPSTASH_REDIS_REST_TOKEN`. */
  token: string;
  /** How many requests have come, whatever became of them. */
  requests: number;
  /** Every answer but subscriptions' waits for so long, ms. */
  delayMs: number;
  /**
   * Set it to have what serverless-redis-http 0.0.10 offers before a Redis of anybody's: no
   * subscriptions, no flags in scripts that only Upstash knows, and bodies that say they are JSON.
   */
  isPlain: boolean;
  /** From the next request on. What hangs already goes on hanging. */
  behave(behaviour: Behaviour): Promise<void>;
  /** Kills redis; what it held is gone. */
  stopRedis(): Promise<void>;
  /** Starts it again, empty. */
  startRedis(): Promise<void>;
}

/** `msMax` of those who are to have their answer, also on a machine that others keep busy. */
export const PATIENT_MS = 30_000;

/** These are about one connection or stop the server: Upstash has none of them. */
const REFUSED =
  /^(P|S)?(UN)?SUBSCRIBE|^(MULTI|EXEC|DISCARD|WATCH|MONITOR|SELECT|AUTH|HELLO|QUIT|RESET|CLIENT|CONFIG|DEBUG|SHUTDOWN|B[LRZ]\w*)$/i;

/**
 * Starts both. Disposing of them kills both.
 *
 * @returns The running pair.
 */
export async function startUpstash(): Promise<Upstash> {
  const home = await Deno.makeTempDir({ prefix: "weir-redis-" });
  const socket = join(home, "redis.sock");
  const token = crypto.randomUUID();
  let redis: Deno.ChildProcess | undefined;
  const idle: Connection[] = [];
  let behaviour: Behaviour = "ok";
  let server: Served | undefined;

  const upstash: Upstash = {
    url: "",
    token,
    requests: 0,
    delayMs: 0,
    isPlain: false,
    async behave(next) {
      behaviour = next;
      if (next === "refuses") await close();
      else open();
    },
    stopRedis,
    startRedis,
    [Symbol.asyncDispose]: dispose,
  };
  try {
    await startRedis();
    open();
    return upstash;
  } catch (error) {
    await dispose();
    throw error;
  }

  async function dispose(): Promise<void> {
    await close();
    await stopRedis();
    await Deno.remove(home, { recursive: true });
  }

  function open(): void {
    const port = upstash.url ? Number(new URL(upstash.url).port) : 0;
    server ??= serve(answer, port);
    upstash.url = server.url;
  }

  async function close(): Promise<void> {
    await server?.[Symbol.asyncDispose]();
    server = undefined;
  }

  async function startRedis(): Promise<void> {
    redis = new Deno.Command("/bin/sh", {
      args: ["-c", WATCHDOG, "sh", Deno.env.get("REDIS_PATH") ?? "redis-server"]
        .concat("--port", "0", "--unixsocket", socket, "--dir", home)
        .concat("--save", "", "--appendonly", "no"),
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until("redis answers", async () => {
      const connection = await Connection.open(socket).catch(() => null);
      if (connection) idle.push(connection);
      return connection !== null;
    });
  }

  async function stopRedis(): Promise<void> {
    for (const connection of idle.splice(0)) connection.close();
    await redis?.stdin.close();
    await redis?.status;
    redis = undefined;
  }

  async function answer(request: Request): Promise<Response> {
    upstash.requests++;
    const { signal } = request;
    const { pathname } = new URL(request.url);
    if (request.headers.get("authorization") !== `Bearer ${token}`) {
      return failure("Unauthorized", 401);
    }
    if (behaviour !== "ok") {
      if (behaviour === "hangs") await aborted(signal);
      return failure("ERR internal error", 500);
    }
    const [, kind = "", ...names] = pathname.split("/").map(decodeURIComponent);
    if (upstash.isPlain) {
      if (request.headers.get("content-type") !== "application/json") {
        return failure("Invalid content type. Expected application/json.", 400);
      }
      if (!["", "pipeline", "multi-exec"].includes(kind)) {
        return new Response("Endpoint not found", { status: 404 });
      }
    }
    try {
      if (/^p?subscribe$/.test(kind)) {
        return await subscribe([kind, ...names], signal);
      }
      const encode = request.headers.get("upstash-encoding") === "base64"
        ? toBase64
        : toText;
      const body = await request.json();
      const answered = await run(kind, body, encode);
      if (upstash.delayMs > 0) {
        await setTimeout(upstash.delayMs, null, { signal }).catch(() => {});
      }
      return answered;
    } catch (error) {
      if (error instanceof SyntaxError) {
        return failure("ERR failed to parse the body", 400);
      }
      return failure("ERR cannot reach redis", 502);
    }
  }

  /** One command, or a list of them together or in a transaction. */
  async function run(
    kind: string,
    body: unknown,
    encode: Encode,
  ): Promise<Response> {
    const commands = (kind === "" ? [body] : body) as unknown[][];
    const isListed = Array.isArray(commands) && commands.length > 0 &&
      commands.every((one) => Array.isArray(one) && one.length > 0);
    if (!isListed || !["", "pipeline", "multi-exec"].includes(kind)) {
      return failure("ERR failed to parse the request", 400);
    }
    const refused = commands.find(([name]) => REFUSED.test(String(name)));
    if (refused) {
      return failure(`ERR Command is not available: '${refused[0]}'`, 400);
    }
    const sent = upstash.isPlain ? commands : commands.map(withoutKeyLocking);
    if (kind === "multi-exec") {
      const replies = await ask([["MULTI"], ...sent, ["EXEC"]]);
      const last = replies.at(-1)!;
      if (last instanceof RedisError) return failure(last.message, 400);
      return Response.json((last as Reply[]).map(wrap));
    }
    const replies = await ask(sent);
    if (kind === "pipeline") return Response.json(replies.map(wrap));
    const [reply] = replies as [Reply];
    return Response.json(wrap(reply), {
      status: reply instanceof RedisError ? 400 : 200,
    });

    function wrap(reply: Reply) {
      return reply instanceof RedisError
        ? { error: reply.message }
        : { result: encoded(reply, encode) };
    }
  }

  /** On a connection of its own for as long as it takes. */
  async function ask(commands: unknown[][]): Promise<Reply[]> {
    const connection = idle.pop() ?? await Connection.open(socket);
    try {
      await connection.send(commands);
      const replies: Reply[] = [];
      for (const _ of commands) replies.push(await connection.receive());
      idle.push(connection);
      return replies;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  async function subscribe(
    command: string[],
    signal: AbortSignal,
  ): Promise<Response> {
    const connection = await Connection.open(socket);
    aborted(signal).then(() => connection.close());
    await connection.send([command]);
    const messages = new ReadableStream<string>({
      async pull(controller) {
        const message = await connection.receive().catch(() => null);
        if (message === null) {
          connection.close();
          return controller.close();
        }
        const parts = encoded(message, toText) as unknown[];
        controller.enqueue(`data: ${parts.join(",")}\n\n`);
      },
      cancel: () => connection.close(),
    });
    return new Response(messages.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream" },
    });
  }
}

function failure(error: string, status: number): Response {
  return Response.json({ error }, { status });
}

/** A status is a string, a bulk of bytes is bytes: base64 needs to tell them apart. */
type Reply = string | number | null | Uint8Array | RedisError | Reply[];

type Encode = (bytes: Uint8Array) => string;

class RedisError extends Error {}

function encoded(reply: Reply, encode: Encode): unknown {
  if (Array.isArray(reply)) return reply.map((one) => encoded(one, encode));
  if (reply instanceof RedisError) return reply.message;
  if (reply instanceof Uint8Array) return encode(reply);
  if (typeof reply !== "string" || reply === "OK") return reply;
  return encode(new TextEncoder().encode(reply));
}

function toBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

function toText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Scripts that were sent with a flag that only Upstash knows: SHA-1 as sent, as stored. */
const renamed = new Map<string, string>();

/** @upstash/ratelimit >= 2.1 begins its scripts with that flag, which redis refuses. */
function withoutKeyLocking(command: unknown[]): unknown[] {
  const [name, first] = command.map(String);
  if (/^evalsha$/i.test(name!)) {
    return command.with(1, renamed.get(first!) ?? first);
  }
  if (!/^eval$/i.test(name!)) return command;
  const script = first!.replace(/^#!lua flags=allow-key-locking/, "#!lua");
  renamed.set(sha1(first!), sha1(script));
  return command.with(1, script);
}

function sha1(text: string): string {
  return createHash("sha1").update(text).digest("hex");
}

/** One connection that speaks RESP2. */
class Connection {
  #read = new Uint8Array();
  #socket: Deno.UnixConn;

  private constructor(socket: Deno.UnixConn) {
    this.#socket = socket;
  }

  static async open(path: string): Promise<Connection> {
    return new Connection(await Deno.connect({ transport: "unix", path }));
  }

  close(): void {
    try {
      this.#socket.close();
    } catch { /* It is closed already. */ }
  }

  async send(commands: unknown[][]): Promise<void> {
    const text = commands.map((command) => {
      const parts = command.map((part) =>
        typeof part === "string" ? part : JSON.stringify(part)
      );
      return `*${parts.length}\r\n` +
        parts.map((part) =>
          `$${new TextEncoder().encode(part).length}\r\n${part}\r\n`
        ).join("");
    }).join("");
    let bytes = new TextEncoder().encode(text);
    while (bytes.length > 0) {
      bytes = bytes.subarray(await this.#socket.write(bytes));
    }
  }

  async receive(): Promise<Reply> {
    const line = await this.#line();
    const rest = line.slice(1);
    const size = Number(rest);
    switch (line[0]) {
      case "+":
        return rest;
      case "-":
        return new RedisError(rest);
      case ":":
        return size;
      case "$": {
        if (size < 0) return null;
        const bytes = await this.#take(size + 2);
        return bytes.slice(0, size);
      }
      default: {
        if (size < 0) return null;
        const replies: Reply[] = [];
        while (replies.length < size) replies.push(await this.receive());
        return replies;
      }
    }
  }

  async #line(): Promise<string> {
    let end: number;
    while ((end = this.#read.indexOf(10)) < 0) await this.#more();
    return toText(await this.#take(end + 1)).trimEnd();
  }

  async #take(size: number): Promise<Uint8Array> {
    while (this.#read.length < size) await this.#more();
    const taken = this.#read.subarray(0, size);
    this.#read = this.#read.subarray(size);
    return taken;
  }

  async #more(): Promise<void> {
    const chunk = new Uint8Array(65_536);
    const size = await this.#socket.read(chunk);
    if (size === null) throw new Error("Cannot read from redis: it is gone");
    const both = new Uint8Array(this.#read.length + size);
    both.set(this.#read);
    both.set(chunk.subarray(0, size), this.#read.length);
    this.#read = both;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
