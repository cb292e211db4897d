/**
 * What others make of our CSV: DuckDB finds types and sums without being told any.
 *
 * @module
 */

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { DuckDBInstance } from "@duckdb/node-api";
import { fold, recordEvents } from "../../db/events.ts";
import { randomOf } from "../../workers/_random.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { journeyOf } from "../journeys.ts";
import { enrolled, post, put, send, WORKFLOW } from "../routes/_requests.ts";

const PATH = `/api/v1/workflows/${WORKFLOW}/analytics`;
const RANGE = "start_date=2026-06-01&end_date=2026-06-15";

/** Asks DuckDB of a file; `FILE` in a question is what it reads of it by itself. */
async function withDuckdb(
  text: string,
  use: (ask: (question: string) => Promise<unknown[]>) => Promise<void>,
): Promise<void> {
  const file = await Deno.makeTempFile({ suffix: ".csv" });
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    await Deno.writeTextFile(file, text);
    await use(async (question) => {
      const answer = await connection.runAndReadAll(
        question.replace("FILE", `read_csv('${file}')`),
      );
      return answer.getRowObjectsJson();
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
    await Deno.remove(file);
  }
}

async function exported({ app, key }: World, query: string): Promise<string> {
  const response = await app.request(`${PATH}/export?${query}`, {
    headers: { authorization: `Bearer ${key}` },
  });
  strictEqual(response.status, 200);
  // Its mark is a part of it.
  return new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(await response.bytes());
}

dbTest("CSV is read by DuckDB with equal sums", async (world) => {
  const { sql, account } = world;
  await put(world);
  const random = randomOf("duckdb");
  const events = Array.from({ length: 80 }, (_, i) =>
    journeyOf(
      random,
      WORKFLOW,
      `x${i}`,
      NOW.getTime() - 8 * 86_400_000 + i * 7_200_000,
    ));
  await recordEvents(sql, account.account_id, events.flat());
  await post(
    world,
    ['=1+1 "quoted", and more', "a\r\nb", "é漢", "007"].map((contact_id) =>
      enrolled({ contact_id })
    ),
  );
  while (await fold(sql) > 0);

  const { json } = await send(world, "GET", `${PATH}?${RANGE}`);
  const sum = (name: string) =>
    json.trends.reduce(
      (sum: number, point: Record<string, number>) => sum + point[name]!,
      0,
    );
  for (const bom of ["", "&bom=true"]) {
    const text = await exported(world, `format=csv&${RANGE}${bom}`);
    await withDuckdb(text, async (ask) => {
      deepStrictEqual(
        await ask(
          `select sum(new_enrollments)::int as enrolled, sum(completions)::int as completed,
            sum(exits)::int as exits, max(total_enrolled)::int as total, typeof(any_value(date)) as date,
            typeof(any_value(start_utc)) as start, epoch(min(start_utc))::int as first from FILE`,
        ),
        [{
          enrolled: sum("new_enrollments"),
          completed: sum("completions"),
          exits: sum("exits"),
          total: json.summary.total_enrolled,
          date: "DATE",
          start: "TIMESTAMP",
          first: Date.parse(json.period.start) / 1_000,
        }],
      );
    });
  }

  const text = await exported(world, "format=csv&rows=executions");
  const [wanted] = await sql`
    select count(*)::int as executions,
      round(sum(extract(epoch from ended_at - enrolled_at))::numeric * 1000)::int as milliseconds,
      extract(epoch from max(enrolled_at))::int as last
    from weir.execution where enrolled_at is not null`;
  await withDuckdb(text, async (ask) => {
    deepStrictEqual(
      await ask(
        `select count(*)::int as executions, round(sum(duration_seconds) * 1000)::int as milliseconds,
          epoch(max(enrolled_at_utc))::int as last from FILE`,
      ),
      [{ ...wanted }],
    );
    const contacts = await ask(
      "select contact_id from FILE where contact_id not like 'c%' order by 1",
    );
    deepStrictEqual(
      contacts.map((row) => (row as { contact_id: string }).contact_id)
        .filter((id) => !/^x|^contact/.test(id)),
      [`'=1+1 "quoted", and more`, "007", "a\r\nb", "é漢"],
    );
  });
});
