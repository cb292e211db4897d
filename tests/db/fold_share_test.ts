/**
 * How workers share the fold. What counts is the work and not the clock: in each turn all
 * sessions fold one round beside each other, and none commits before all have folded.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { connect, type Sql } from "../../db/client.ts";
import { fold, recordEvents } from "../../db/events.ts";
import { Event } from "../../db/schema.ts";
import { uuidOfWords } from "../../workers/_random.ts";
import { dbTest, NOW, type World } from "../harness.ts";
import { recount } from "../recount.ts";

/** Events of a round: small, so that some hundred are many rounds. */
const ROUND_EVENTS = 100;

/** What waits: so many workflows, and of each so many events. */
interface Backlog {
  what: string;
  waiting: [workflows: number, events: number][];
  /** How many can be at it. */
  sharers: 1 | 2;
}

const BACKLOGS: Backlog[] = [
  { what: "many small workflows", waiting: [[300, 4]], sharers: 2 },
  { what: "some medium ones", waiting: [[24, 48]], sharers: 2 },
  { what: "two large ones", waiting: [[2, 600]], sharers: 2 },
  {
    what: "large ones among small ones",
    waiting: [[4, 300], [60, 3]],
    sharers: 2,
  },
  // Its state moves in one transaction at a time, so the second one has nothing to do.
  { what: "a single huge one", waiting: [[1, 800]], sharers: 1 },
];

let made = 0;

async function record(
  { sql, account }: World,
  { what, waiting }: Backlog,
  run: number,
): Promise<number> {
  const events = waiting.flatMap(([workflows, each], kind) =>
    Array.from({ length: workflows }, (_, n) => n).flatMap((n) =>
      Array.from({ length: each }, () =>
        Event.parse({
          id: `event-${made}`,
          type: "execution.enrolled",
          workflow_id: uuidOfWords(what, run, kind, n),
          execution_id: uuidOfWords("execution", made++),
          contact_id: "c",
          occurred_at: NOW.toISOString(),
          source: "api",
        }))
    )
  );
  await recordEvents(sql, account.account_id, events);
  return events.length;
}

/** Folds all that waits. Returns what each session folded, turn by turn. */
async function foldInTurns(
  { sql }: World,
  sessions: Sql[],
): Promise<number[][]> {
  const turns: number[][] = [];
  for (;;) {
    const folded: number[] = [];
    for (const session of sessions) {
      await session.unsafe("begin");
      folded.push(await fold(session, ROUND_EVENTS));
    }
    // What nobody has taken, and what the first ones hold: as whoever folded nothing sees it.
    const free = folded.includes(0)
      ? (await sql<{ n: number }[]>`
        select count(*)::int as n from weir.event_queue q where not exists (
          select from pg_locks l where l.locktype = 'advisory'
            and l.database = (select oid from pg_database where datname = current_database())
            and l.classid = 1464158546 and l.objid::int = q.workflow_id)`)[0]!.n
      : 0;
    for (const session of sessions) await session.unsafe("commit");
    strictEqual(free, 0, "nobody is idle while work waits");
    if (folded.every((events) => events === 0)) return turns;
    turns.push(folded);
  }
}

dbTest(
  "fold() shares what waits among sessions, by workflow",
  async (world) => {
    const sessions = Array.from(
      { length: 2 },
      () => connect(world.database_url, { max: 1, statementTimeoutMs: 60_000 }),
    );
    const [first] = sessions as [Sql];
    try {
      const say: string[] = [];
      for (const backlog of BACKLOGS) {
        const events = await record(world, backlog, 1);
        const alone = await foldInTurns(world, [first]);
        strictEqual(await record(world, backlog, 2), events);
        const shared = await foldInTurns(world, sessions);

        for (const turns of [alone, shared]) {
          strictEqual(turns.flat().reduce((sum, n) => sum + n), events);
        }
        const [a, b] = sessions.map((_, n) =>
          shared.reduce((sum, turn) => sum + turn[n]!, 0)
        );
        say.push(
          `${backlog.what}: ${events} events in ${alone.length} turns of one, ` +
            `${shared.length} of two, who folded ${a} and ${b}`,
        );
        // The last turn may find less than two rounds.
        ok(shared.length <= alone.length / backlog.sharers + 1, say.at(-1)!);
      }
      console.info(say.join("\n"));
      deepStrictEqual(await recount(world.sql), []);
    } finally {
      await Promise.all(sessions.map((session) => session.end()));
    }
  },
);
