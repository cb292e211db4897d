import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { until, withDatabase, type World } from "../harness.ts";
import { appWith, enrolled } from "../routes/_requests.ts";
import { serve } from "../serve.ts";
import { createProducer } from "../../workers/producer.ts";
import { within } from "../within.ts";

const SCRIPT = fileURLToPath(
  new URL("../fixtures/produce.ts", import.meta.url),
);
const WORKFLOW = "11111111-1111-4111-8111-111111111111";

/** The app at a port, which fails every so often, before or after it has done its work. */
async function withWeir(
  fn: (world: World, url: string, answers: number[]) => Promise<void>,
): Promise<void> {
  await withDatabase(async (world) => {
    const app = appWith(world);
    const answers: number[] = [];
    await using server = serve(async (request) => {
      world.clock.now = new Date();
      const n = answers.length;
      if (n % 4 === 0) {
        answers.push(503);
        return new Response("{}", { status: 503 });
      }
      const response = await app.request(request);
      answers.push(response.status);
      // It is done, and nobody learns of it.
      if (n % 4 === 2) return new Response("", { status: 502 });
      return response;
    });
    await fn(world, server.url, answers);
  });
}

function clientTest(name: string, fn: Parameters<typeof withWeir>[0]): void {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => withWeir(fn),
  });
}

clientTest(
  "createProducer() loses and doubles nothing that report() returned from, whenever it is killed",
  async (world, url) => {
    const dir = await Deno.makeTempDir({ prefix: "weir-outbox-" });
    await Deno.mkdir(`${dir}/program`);
    const outbox = `${dir}/outbox`;
    const kept: string[] = [];
    const built = `${dir}/program/main.mjs`;
    await esbuild.build({
      entryPoints: [SCRIPT],
      bundle: true,
      platform: "node",
      target: "node20",
      format: "esm",
      outfile: built,
    });
    await esbuild.stop();
    const node = Deno.env.get("NODE_BINARY") ?? "node";
    const deno = [Deno.execPath(), "run", "-A", "--no-check", SCRIPT];
    // What one kept the next one sends, whichever runs it.
    for (const [life, program] of [deno, [node, built], deno].entries()) {
      const [command, ...args] = program;
      const child = new Deno.Command(command!, {
        args: [...args, url, world.key, outbox]
          .concat(WORKFLOW, String(life * 1_000_000)),
        stdin: "null",
        stdout: "piped",
      }).spawn();
      let text = "";
      const reading = child.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
        new WritableStream({
          write(chunk) {
            text += chunk;
          },
        }),
      );
      try {
        await until("it is in the midst of it", () => text.length > 4_000);
      } finally {
        child.kill("SIGKILL");
        await child.status;
        await reading;
      }
      kept.push(...text.split("\n").slice(0, -1));
    }
    // The next life, which sends what the others left.
    const producer = createProducer({ url, key: world.key, outbox });
    await producer.flush();
    await Deno.remove(`${dir}/program`, { recursive: true });
    deepStrictEqual([...Deno.readDirSync(dir)], []);
    const rows = await world.sql<{ event_id: string }[]>`
      select event_id from weir.event`;
    const stored = new Set(rows.map((row) => row.event_id));
    ok(kept.length > 1_500, String(kept.length));
    strictEqual(stored.size, rows.length);
    deepStrictEqual(kept.filter((id) => !stored.has(id)), []);
    // At most the event that each life was about to tell of.
    ok(stored.size <= kept.length + 3, `${stored.size} ${kept.length}`);
    await Deno.remove(dir, { recursive: true });
  },
);

clientTest(
  "createProducer() says what Weir will not take, and keeps the rest until it can",
  async (world, url) => {
    const dir = await Deno.makeTempDir({ prefix: "weir-outbox-" });
    const outbox = `${dir}/deep/outbox`;
    const refused: unknown[] = [];
    const options = {
      url,
      key: "weir_wrong",
      outbox,
      delayMs: 60_000,
      onRefused: (event: unknown, reason: string) =>
        refused.push([(event as { id?: string }).id ?? event, reason]),
    };
    const good = enrolled({ occurred_at: new Date().toISOString() });
    const early = createProducer(options);
    early.report(good as { id: string });
    early.report({ ...good, id: "bad", source: "nowhere" });
    await Deno.writeTextFile(outbox, '{"id":"torn', { append: true });
    await rejects(early.flush(AbortSignal.timeout(1_000)), /time/i);
    deepStrictEqual(refused, [['{"id":"torn', "The outbox was cut off here"]]);

    await createProducer({ ...options, key: world.key }).flush();
    strictEqual(refused.length, 3);
    strictEqual((refused[2] as string[])[0], "bad");
    const rows = await world.sql`select event_id from weir.event`;
    deepStrictEqual(rows.map((row) => row.event_id), [good.id]);
    await Deno.remove(dir, { recursive: true });
  },
);

clientTest(
  "createProducer() loses no event beside one that was torn, or that Weir can never take",
  async (world, url) => {
    const dir = await Deno.makeTempDir({ prefix: "weir-outbox-" });
    const outbox = `${dir}/outbox`;
    const refused: [string, string][] = [];
    // A disk that was full, or power that failed, amid a line.
    await Deno.writeTextFile(outbox, '{"id":"torn');
    const producer = createProducer({
      url,
      key: world.key,
      outbox,
      delayMs: 60_000,
      onRefused: (event, reason) =>
        refused.push([(event as { id?: string }).id ?? String(event), reason]),
    });
    const event = (id: string) => ({
      ...enrolled({
        execution_id: crypto.randomUUID(),
        occurred_at: new Date().toISOString(),
      }),
      id,
    });
    producer.report(event("first"));
    producer.report({ ...event("huge"), error: "x".repeat(9_000_000) });
    producer.report(event("last"));
    await producer.flush();
    deepStrictEqual(refused.map(([id]) => id), ['{"id":"torn', "huge"]);
    match(refused[1]![1], /at most \d+ bytes/);
    const rows = await world.sql`select event_id from weir.event`;
    deepStrictEqual(rows.map((row) => row.event_id).sort(), ["first", "last"]);
    deepStrictEqual([...Deno.readDirSync(dir)], []);
    await Deno.remove(dir, { recursive: true });
  },
);

Deno.test("flush() of createProducer() ends when its signal says so, whoever else waits for Weir", async () => {
  const dir = await Deno.makeTempDir({ prefix: "weir-outbox-" });
  // It takes what it is sent, and never answers.
  const held: Promise<Response>[] = [];
  await using server = serve((request) => {
    const answer = new Promise<Response>((resolve) =>
      request.signal.addEventListener(
        "abort",
        () => resolve(new Response()),
      )
    );
    held.push(answer);
    return answer;
  });
  const producer = createProducer({
    url: server.url,
    key: "any",
    outbox: `${dir}/outbox`,
    delayMs: 60_000,
  });
  producer.report({ id: "1" });
  const last = new AbortController();
  const first = producer.flush(last.signal);
  await until("it is sent", () => held.length > 0);
  await rejects(producer.flush(AbortSignal.timeout(50)), /time/i);
  last.abort(new Error("enough"));
  await rejects(within("it ends", first), /enough/);
  strictEqual(held.length, 1);
  ok((await Deno.readTextFile(`${dir}/outbox.sending`)).includes('"1"'));
  await Deno.remove(dir, { recursive: true });
});
