/**
 * The code in docs/events.md and docs/producers.md, taken from there and run as a reader
 * would; what repeats is refused once.
 *
 * @module
 */

import {
  deepStrictEqual,
  match,
  ok,
  rejects,
  strictEqual,
} from "node:assert/strict";
import { connect } from "../../db/client.ts";
import { admin, dbTest, type World } from "../harness.ts";
import { serve } from "../serve.ts";
import { appWith } from "./_requests.ts";

const ROOT = new URL("../../", import.meta.url);

/** The instant at which what is dated in the docs has just happened. */
const DOCS_NOW = new Date("2026-11-20T09:31:00Z");

/** The one piece of code of a language in a document that holds some text. */
async function snippet(
  document: string,
  language: string,
  holding: string,
): Promise<string> {
  const text = await Deno.readTextFile(new URL(`docs/${document}`, ROOT));
  const found = [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter(([, of, code]) => of === language && code!.includes(holding));
  strictEqual(found.length, 1, `${holding} in ${document}`);
  return found[0]![2]!;
}

/** A text with another in the place of a part that must be there. */
function replace(text: string, part: string, other: string): string {
  ok(text.includes(part), part);
  return text.replaceAll(part, other);
}

function event(id: string): Record<string, string> {
  return {
    id,
    type: "execution.enrolled",
    source: "api",
    workflow_id: "11111111-1111-4111-8111-111111111111",
    execution_id: crypto.randomUUID(),
    contact_id: "ada",
    occurred_at: new Date().toISOString(),
  };
}

/** What a snippet is given: a Weir on a port, and a folder to run in. */
interface Reader {
  /** Refuses the next request; default: with 503. */
  refuse(status?: number): void;
  /** Runs a command there, to its end, and gives what it printed. */
  run(command: string, args: string[]): Promise<string>;
  /** Runs TypeScript there. */
  runDeno(text: string): Promise<string>;
  write(file: string, text: string): Promise<void>;
}

/** Registers a test of what a reader runs. */
function snippetTest(
  name: string,
  test: (reader: Reader, world: World) => Promise<void>,
  now: () => Date = () => new Date(),
): void {
  dbTest(name, (world) => withReader(world, test, now));
}

async function withReader(
  world: World,
  test: (reader: Reader, world: World) => Promise<void>,
  now: () => Date = () => new Date(),
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "weir-snippet-" });
  const app = appWith(world, { now });
  let refusal: number | null = null;
  await using server = serve(async (request) => {
    if (refusal === null) return await app.request(request);
    const status = refusal;
    refusal = null;
    await request.body?.cancel();
    return new Response(null, { status });
  });
  const reader: Reader = {
    refuse: (status = 503) => void (refusal = status),
    write: (file, text) => Deno.writeTextFile(`${folder}/${file}`, text),
    async run(command, args) {
      const { success, stdout, stderr } = await new Deno.Command(command, {
        args,
        cwd: folder,
        env: {
          WEIR_URL: server.url,
          WEIR_KEY: world.key,
        },
        signal: AbortSignal.timeout(60_000),
      }).output();
      ok(success, new TextDecoder().decode(stderr));
      strictEqual(refusal, null, "it has met the refusal");
      return new TextDecoder().decode(stdout);
    },
    async runDeno(text) {
      await reader.write("main.ts", text);
      const config = new URL("deno.json", ROOT).pathname;
      return await reader.run(
        Deno.execPath(),
        ["run", "-A", "--no-check", "--config", config, "main.ts"],
      );
    },
  };
  try {
    await test(reader, world);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Ids of the events that are there. */
async function ids({ sql }: World): Promise<string[]> {
  const rows = await sql<{ event_id: string }[]>`
    select event_id from weir.event order by event_id`;
  return rows.map(({ event_id }) => event_id);
}

snippetTest("TypeScript of docs/events.md reports", async (reader, world) => {
  const code = await snippet("events.md", "ts", "function report");
  reader.refuse(429);
  const events = [event("1"), { ...event("2"), source: "nobody" }];
  const printed = await reader.runDeno(
    `${code}\nconsole.log(JSON.stringify(await report(${
      JSON.stringify(events)
    })));`,
  );
  deepStrictEqual(JSON.parse(printed).map(({ id }: { id: string }) => id), [
    "2",
  ]);
  deepStrictEqual(await ids(world), ["1"]);
});

snippetTest(
  "the client of docs/producers.md reports",
  async (reader, world) => {
    const code = await snippet("producers.md", "ts", "createProducer");
    await Deno.copyFile(
      new URL("workers/producer.ts", ROOT),
      `${(await reader.run("pwd", [])).trim()}/producer.ts`,
    );
    reader.refuse();
    await reader.runDeno(
      replace(code, "/var/lib/my-program/weir-outbox", "./outbox"),
    );
    deepStrictEqual(await ids(world), ["9f1c:0"]);
  },
);

snippetTest(
  "CloudEvents of docs/producers.md are taken in",
  async (reader, world) => {
    const code = await snippet("producers.md", "ts", "emitterFor");
    const given = "const { WEIR_URL, WEIR_KEY } = process.env;\n";
    await reader.runDeno(given + code);
    deepStrictEqual(await ids(world), ["9f1c:0"]);
  },
  () => DOCS_NOW,
);

snippetTest(
  "clients of docs/producers.md that track are taken in",
  async (reader, world) => {
    const code = await snippet("producers.md", "ts", "analytics.track");
    const given = "const { WEIR_URL, WEIR_KEY } = process.env;\n";
    await reader.runDeno(
      `${given}${code}\nawait analytics.closeAndFlush();\nawait posthog.shutdown();\nprocess.exit();`,
    );
    deepStrictEqual(await ids(world), ["9f1c:1"]);
  },
);

snippetTest(
  "curl of docs/producers.md reports",
  async (reader, world) => {
    const code = await snippet("producers.md", "sh", "--json @events.json");
    await reader.write("events.json", JSON.stringify([event("1"), event("2")]));
    reader.refuse();
    const printed = await reader.run("sh", ["-c", code]);
    strictEqual(JSON.parse(printed).accepted, 2);
    deepStrictEqual(await ids(world), ["1", "2"]);
  },
);

snippetTest(
  "Python of docs/events.md reports",
  async (reader, world) => {
    const code = await snippet("events.md", "python", "def report");
    const events = [event("1"), { ...event("2"), source: "nobody" }];
    await reader.write("events.json", JSON.stringify(events));
    await reader.write(
      "main.py",
      `${code}\nprint(json.dumps(report(json.load(open("events.json")))))\n`,
    );
    reader.refuse(429);
    const printed = await reader.run("python3", ["main.py"]);
    deepStrictEqual(JSON.parse(printed).map(({ id }: { id: string }) => id), [
      "2",
    ]);
    deepStrictEqual(await ids(world), ["1"]);
  },
);

/** What the snippet of docs/producers.md needs around it, to report what a file holds. */
const GO_PROGRAM = `package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	var events []any
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &events)
	}
	if err == nil {
		err = Report(context.Background(), events)
	}
	fmt.Print(err)
}

`;

snippetTest("Go of docs/producers.md reports", async (reader, world) => {
  const go = Deno.env.get("GO_PATH")!;
  const code = await snippet("producers.md", "go", "func Report");
  await reader.write("main.go", GO_PROGRAM + code);
  await reader.write("good.json", JSON.stringify([event("1")]));
  const bad = { ...event("2"), source: "nobody" };
  await reader.write("bad.json", JSON.stringify([bad]));
  const format = go.replace(/go$/, "gofmt");
  strictEqual(await reader.run(format, ["-l", "main.go"]), "");
  await reader.run(go, ["vet", "main.go"]);
  await reader.run(go, ["build", "-o", "report", "main.go"]);
  reader.refuse();
  strictEqual(await reader.run("./report", ["good.json"]), "<nil>");
  match(
    await reader.run("./report", ["bad.json"]),
    /^cannot report events: .*all_events_rejected/,
  );
  deepStrictEqual(await ids(world), ["1"]);
});

dbTest(
  "SQL of docs/producers.md reports, as the role that it grants to",
  async (world) => {
    const { sql, account, database_url } = world;
    const grants = await snippet("producers.md", "sql", "grant execute");
    const report = await snippet(
      "producers.md",
      "sql",
      "insert into enrolment",
    );
    // Roles are the cluster's, so that the name must be of this run.
    const role = `program_${crypto.randomUUID().replaceAll("-", "")}`;
    await admin(`create role ${role}`);
    try {
      await sql.unsafe(`
      create table public.enrolment (id text, contact text);
      grant insert on enrolment to ${role};
      ${replace(grants, "my_program", role)}`);
      const program = connect(database_url, {
        max: 1,
        statementTimeoutMs: 5_000,
      });
      try {
        await program.unsafe(`set role ${role}`);
        await program.unsafe(
          replace(report, "<account id>", account.account_uuid),
        );
        await rejects(program`select * from weir.event`, /permission denied/);
      } finally {
        await program.end();
      }
      deepStrictEqual(await ids(world), ["9f1c:0"]);
    } finally {
      await sql.unsafe(`drop owned by ${role}`);
      await admin(`drop role ${role}`);
    }
  },
);
