/**
 * A server in the process of a test, at a port that others reach.
 *
 * @module
 */

/** What is being served. */
export interface Served extends AsyncDisposable {
  /** Without a slash at its end. */
  url: string;
  port: number;
}

/**
 * Serves on this machine alone. Disposing of it cuts off what is under way instead of
 * waiting for its end: a test that has failed may hold an answer that nobody reads.
 *
 * @param answer What is answered, e.g. `app.fetch`.
 * @param port Default: any free one.
 */
export function serve(answer: Deno.ServeHandler, port = 0): Served {
  const closing = new AbortController();
  const { signal } = closing;
  const server = Deno.serve(
    { hostname: "127.0.0.1", port, signal, onListen() {} },
    answer,
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    port: server.addr.port,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await server.finished;
    },
  };
}
