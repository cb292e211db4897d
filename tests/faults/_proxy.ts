/**
 * A network that can be broken: a TCP proxy between two parts of the program.
 *
 * @module
 */

/**
 * What becomes of bytes. Cut: connections end, and new ones are refused. Blackhole: they
 * are lost, and a connection that lost some ends with it, as TCP would see to.
 */
export type Weather = "good" | "cut" | "blackhole" | "truncate";

/** Between a client and a server. */
export interface Proxy extends Disposable {
  /** The server's URL, by way of the proxy. */
  url: string;
  weather: Weather;
  /** Each piece of data waits so long, ms. */
  delayMs: number;
  /** Ends all connections at once. */
  cut(): void;
  /** Loses what is sent on the connections that there are, for ever; new ones get through. */
  forget(): void;
}

/** Bytes that get through of what is truncated, before the connection ends. */
const TRUNCATED_BYTES = 11;

/**
 * Opens a proxy on any free port.
 *
 * @param target URL of the server, with host and port.
 */
export function openProxy(target: string): Proxy {
  const { hostname, port } = new URL(target);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const url = new URL(target);
  url.host = `127.0.0.1:${listener.addr.port}`;
  /** Connections that bytes were lost of, or will be. */
  const lossy = new Set<Deno.TcpConn>();
  let weather: Weather = "good";
  const proxy: Proxy = {
    url: url.href,
    get weather() {
      return weather;
    },
    set weather(next) {
      if (weather === "blackhole") {
        lossy.forEach(close);
        lossy.clear();
      }
      weather = next;
    },
    delayMs: 0,
    forget() {
      for (const connection of open) lossy.add(connection);
    },
    cut() {
      open.forEach(close);
    },
    [Symbol.dispose]() {
      listener.close();
      this.cut();
    },
  };

  function close(connection: Deno.TcpConn): void {
    open.delete(connection);
    try {
      connection.close();
    } catch { /* It is closed. */ }
  }

  async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      for (;;) {
        const length = await from.read(buffer);
        if (length === null) break;
        if (proxy.delayMs > 0) {
          await new Promise((resolve) => setTimeout(resolve, proxy.delayMs));
        }
        if (proxy.weather === "blackhole") lossy.add(from);
        if (lossy.has(from)) continue;
        const end = proxy.weather === "truncate"
          ? Math.min(length, TRUNCATED_BYTES)
          : length;
        for (let at = 0; at < end;) {
          at += await to.write(buffer.subarray(at, end));
        }
        if (proxy.weather === "truncate") break;
      }
    } catch {
      /* One of them is gone. */
    } finally {
      close(from);
      close(to);
    }
  }

  async function accept(): Promise<void> {
    for await (const client of listener) {
      if (proxy.weather === "cut") {
        client.close();
        continue;
      }
      open.add(client);
      Deno.connect({ hostname, port: Number(port) }).then((server) => {
        open.add(server);
        pump(client, server);
        pump(server, client);
      }, () => close(client));
    }
  }
  accept().catch(() => {});
  return proxy;
}
