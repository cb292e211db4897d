/**
 * Clocks that step: the server's runs ahead of Postgres', then behind it, and back. Numbers
 * are of the events' own times, so none may be lost, counted twice or refused by mistake.
 *
 * @module
 */

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { fold } from "../../db/events.ts";
import { dbTest } from "../harness.ts";
import { post, send } from "../routes/_requests.ts";
import { check, enrolment, newLedger, WORKFLOW } from "./_ledger.ts";

const HOUR_MS = 3_600_000;

/** How far the server's clock is from Postgres', hours, one after the other. */
const STEPS = [0, 1, -1, 26, -26, 0];

dbTest(
  "events are counted once, and as_of claims no time to come, whatever clocks step",
  async (world) => {
    const ledger = newLedger();
    const began = Date.now();
    const sent: Record<string, unknown>[] = [];
    for (const [n, hours] of STEPS.entries()) {
      world.clock.now = new Date(began + hours * HOUR_MS);
      const occurred_at = world.clock.now.toISOString();
      const events: Record<string, unknown>[] = Array.from(
        { length: 10 },
        (_, i) => ({ ...enrolment(`${n} ${i}`), occurred_at }),
      );
      // What was sent under another time comes again: its client had no answer. What is
      // dated too far ahead of this clock is refused by name, not counted for new.
      const again = sent.slice(-10);
      const answer = await post(world, [...events, ...again]);
      strictEqual(answer.status, 202, answer.text);
      strictEqual(answer.json.accepted, events.length);
      strictEqual(answer.json.duplicates + answer.json.rejected, again.length);
      for (const { code } of answer.json.errors) {
        strictEqual(code, "event_in_future");
      }
      for (const { id } of events) ledger.acknowledged.add(id as string);
      sent.push(...events);

      // Not yet counted: complete up to before they came, by either clock.
      const path = `/api/v1/workflows/${WORKFLOW}/analytics`;
      const day = occurred_at.slice(0, 10);
      const read = async () =>
        (await send(world, "GET", `${path}?start_date=${day}&end_date=${day}`))
          .json;
      ok(Date.parse((await read()).as_of) <= world.clock.now.getTime());
      while (await fold(world.sql) > 0);
      const { as_of, summary } = await read();
      strictEqual(as_of, occurred_at, "all is counted");
      ok(summary.total_enrolled >= events.length);
    }
    strictEqual(ledger.acknowledged.size, sent.length);
    await check(world, ledger);

    // What was refused ahead of its time is a duplicate in its time.
    world.clock.now = new Date(began + 27 * HOUR_MS);
    const all = await post(world, sent);
    deepStrictEqual(
      [all.json.accepted, all.json.duplicates],
      [0, sent.length],
    );
  },
);
