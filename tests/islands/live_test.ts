import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { LiveNumbers } from "../../db/schema.ts";
import {
  type LiveState,
  type Source,
  type Surroundings,
  watchLive,
} from "../../islands/live.ts";
import { changesBetween, folded } from "../../islands/live_fold.ts";

const ADDRESS = "/api/v1/workflows/w/analytics";
const QUERY = "start_date=2026-06-01&end_date=2026-06-02";

/** As much of the bodies as folding looks at. */
function numbersOf(enrolled: number, steps: [string, number][] = []) {
  return {
    analytics: {
      workflow_id: "w",
      as_of: `2026-06-02T00:00:0${enrolled % 10}.000Z`,
      period: { start_date: "2026-06-01" },
      summary: { total_enrolled: enrolled, completion_rate: null },
      trends: [
        { date: "2026-06-01", start: "a", new_enrollments: 1 },
        { date: "2026-06-02", start: "b", new_enrollments: enrolled - 1 },
      ],
      comparison: null,
    },
    funnel: {
      workflow_id: "w",
      as_of: `2026-06-02T00:00:0${enrolled % 10}.000Z`,
      funnel_steps: steps.map(([step_id, entered]) => ({ step_id, entered })),
      bottleneck_step: steps[0]?.[0] ?? null,
    },
    actions: {
      workflow_id: "w",
      as_of: `2026-06-02T00:00:0${enrolled % 10}.000Z`,
      actions: steps.map(([action_id, executions]) => ({
        action_id,
        executions,
      })),
    },
  } as unknown as LiveNumbers;
}

/** A browser that does what the test says. */
function stage({ hasSource = true } = {}) {
  const sources: FakeSource[] = [];
  const states: LiveState[] = [];
  const asked: string[] = [];
  let timers: { ms: number; act(): void }[] = [];
  let hidden = false;
  let onVisibility = () => {};
  let onOnline = () => {};
  let answer: (url: string, init: RequestInit) => Response = () =>
    new Response(null, { status: 500 });

  class FakeSource implements Source {
    readyState = 1;
    heard = new Map<string, Parameters<Source["addEventListener"]>[1]>();
    constructor(readonly url: string) {
      sources.push(this);
    }
    addEventListener(...[type, hear]: Parameters<Source["addEventListener"]>) {
      this.heard.set(type, hear);
    }
    close() {
      this.readyState = 2;
    }
    say(type: string, data: unknown, lastEventId = "") {
      this.heard.get(type)!({ data: JSON.stringify(data), lastEventId });
    }
    fail(readyState: number) {
      this.readyState = readyState;
      this.heard.get("error")!({});
    }
  }
  const surroundings: Surroundings = {
    EventSource: hasSource ? FakeSource : undefined,
    fetch(url, init) {
      asked.push(`${init.method ?? "GET"} ${url}`);
      return Promise.resolve(answer(url, init));
    },
    isHidden: () => hidden,
    onVisibility(hear) {
      onVisibility = hear;
      return () => onVisibility = () => {};
    },
    onOnline(hear) {
      onOnline = hear;
      return () => onOnline = () => {};
    },
    after(ms, act) {
      const timer = { ms, act };
      timers.push(timer);
      return () => timers = timers.filter((other) => other !== timer);
    },
    random: () => 0.5,
  };
  return {
    surroundings,
    sources,
    states,
    asked,
    onState: (state: LiveState) => void states.push(state),
    state: () => states.at(-1)!,
    source: () => sources.at(-1)!,
    /** What is waited for, ms. */
    waits: () => timers.map(({ ms }) => ms),
    /** Lets the time come, and what it began end. */
    async pass() {
      for (const timer of timers.splice(0)) timer.act();
      await settle();
    },
    hide(now: boolean) {
      hidden = now;
      onVisibility();
    },
    online: () => onOnline(),
    answer(make: typeof answer) {
      answer = make;
    },
    watch() {
      return watchLive({
        address: ADDRESS,
        query: QUERY,
        onState: this.onState,
        surroundings,
      });
    },
  };
}

/** Lets what is answered at once be taken. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function answerReads(numbers: LiveNumbers) {
  return (url: string) =>
    Response.json(
      url.includes("/funnel")
        ? numbers.funnel
        : url.includes("/actions")
        ? numbers.actions
        : numbers.analytics,
    );
}

Deno.test("watchLive() shows the snapshot, and folds updates", () => {
  const page = stage();
  const watch = page.watch();
  strictEqual(page.source().url, `${ADDRESS}/stream?${QUERY}`);
  const before = numbersOf(2, [["s", 1], ["t", 1]]);
  page.source().say("snapshot", before, "1.a");
  strictEqual(page.state().status, "live");
  deepStrictEqual(page.state().numbers, before);

  const after = numbersOf(3, [["t", 2], ["s", 1]]);
  const changes = changesBetween(before, after)!;
  const as_of = after.analytics.as_of;
  page.source().say("metrics_update", { since: "1.a", as_of, changes }, "2.b");
  deepStrictEqual(page.state().numbers, after);
  strictEqual(page.state().asOf, as_of);
  page.source().say("heartbeat", { as_of: "2026-06-02T01:00:00.000Z" });
  strictEqual(page.state().asOf, "2026-06-02T01:00:00.000Z");
  const announcement = { timestamp: as_of, text: "Hello" };
  page.source().say("announcement", announcement);
  deepStrictEqual(page.state().announcement, announcement);
  watch.close();
  strictEqual(page.source().readyState, 2);
  deepStrictEqual(page.waits(), []);
});

Deno.test("watchLive() asks for all of it where an update goes on from something else", () => {
  const page = stage();
  const watch = page.watch();
  page.source().say("snapshot", numbersOf(2), "1.a");
  const lost = { since: "2.b", as_of: "", changes: { total_enrolled: 9 } };
  page.source().say("metrics_update", lost, "3.c");
  strictEqual(page.sources.length, 2);
  strictEqual(page.sources[0]!.readyState, 2);
  strictEqual(page.source().url, `${ADDRESS}/stream?${QUERY}`);
  strictEqual(page.state().numbers!.analytics.summary.total_enrolled, 2);
  // What a closed source still says counts no more.
  page.sources[0]!.say("snapshot", numbersOf(7), "4.d");
  strictEqual(page.state().numbers!.analytics.summary.total_enrolled, 2);
  watch.close();
});

Deno.test("watchLive() pauses while hidden and catches up from its last id", () => {
  const page = stage();
  const watch = page.watch();
  page.source().say("snapshot", numbersOf(2), "1.a/+");
  page.hide(true);
  strictEqual(page.state().status, "paused");
  strictEqual(page.source().readyState, 2);
  deepStrictEqual(page.waits(), []);
  page.hide(false);
  strictEqual(page.state().status, "reconnecting");
  strictEqual(
    page.source().url,
    `${ADDRESS}/stream?${QUERY}&last_event_id=1.a%2F%2B`,
  );
  page.source().say("heartbeat", { as_of: "" });
  strictEqual(page.state().status, "live");
  page.source().say("snapshot", numbersOf(3), "2.b");
  deepStrictEqual(page.state().numbers, numbersOf(3));
  watch.close();

  const unseen = stage();
  unseen.hide(true);
  const background = unseen.watch();
  strictEqual(unseen.sources.length, 0);
  unseen.hide(false);
  strictEqual(unseen.sources.length, 1);
  background.close();
});

Deno.test("watchLive() shows a lost connection, and that it is back", async () => {
  const page = stage();
  const watch = page.watch();
  page.source().say("snapshot", numbersOf(2), "1.a");
  // The browser tries again by itself.
  page.source().fail(0);
  strictEqual(page.state().status, "reconnecting");
  strictEqual(page.sources.length, 1);
  page.source().say("heartbeat", { as_of: "" });
  strictEqual(page.state().status, "live");

  // Turned down: it asks why, and waits as long as it is told.
  page.answer(() =>
    new Response(null, { status: 503, headers: { "retry-after": "7" } })
  );
  page.source().fail(2);
  await settle();
  strictEqual(page.state().status, "reconnecting");
  deepStrictEqual(page.asked, [`HEAD ${ADDRESS}/stream?${QUERY}`]);
  deepStrictEqual(page.waits(), [7_000]);
  await page.pass();
  strictEqual(page.sources.length, 2);
  page.source().say("heartbeat", { as_of: "" });
  strictEqual(page.state().status, "live");

  // A server that says nothing is not there.
  deepStrictEqual(page.waits(), [40_000]);
  await page.pass();
  strictEqual(page.state().status, "reconnecting");
  page.online();
  strictEqual(page.sources.length, 3);
  watch.close();
});

Deno.test("watchLive() goes on at once where its time is over, soon where the server stops", async () => {
  const page = stage();
  const watch = page.watch();
  page.source().say("snapshot", numbersOf(2), "1.a");
  page.source().say("end", { reason: "renew" }, "1.a");
  deepStrictEqual(page.waits(), [0]);
  await page.pass();
  strictEqual(page.sources.length, 2);
  ok(page.source().url.endsWith("&last_event_id=1.a"));
  page.source().say("end", { reason: "stopping" }, "1.a");
  deepStrictEqual(page.waits(), [1_000]);
  await page.pass();
  strictEqual(page.sources.length, 3);
  ok(page.states.every(({ status }) => status === "live"));
  watch.close();
});

Deno.test("watchLive() ends with its credential, or where the range cannot be read", async () => {
  for (const reason of ["unauthenticated", "not_readable"] as const) {
    const page = stage();
    const watch = page.watch();
    page.source().say("end", { reason });
    deepStrictEqual(
      [page.state().status, page.state().reason],
      ["ended", reason],
    );
    page.hide(true);
    page.hide(false);
    strictEqual(page.sources.length, 1);
    watch.close();
  }
  const page = stage();
  const watch = page.watch();
  page.answer(() => new Response(null, { status: 401 }));
  page.source().fail(2);
  await settle();
  strictEqual(page.state().reason, "unauthenticated");
  watch.close();
});

Deno.test("watchLive() polls every 30 s without EventSource, and says so", async () => {
  const page = stage({ hasSource: false });
  page.answer(answerReads(numbersOf(2)));
  const watch = page.watch();
  await settle();
  strictEqual(page.state().status, "polling");
  deepStrictEqual(page.state().numbers, numbersOf(2));
  deepStrictEqual(page.asked, [
    `GET ${ADDRESS}?${QUERY}`,
    `GET ${ADDRESS}/funnel?${QUERY}`,
    `GET ${ADDRESS}/actions?${QUERY}`,
  ]);
  deepStrictEqual(page.waits(), [30_000]);
  page.answer(answerReads(numbersOf(3)));
  await page.pass();
  deepStrictEqual(page.state().numbers, numbersOf(3));
  page.answer(() => new Response(null, { status: 500 }));
  await page.pass();
  strictEqual(page.state().status, "reconnecting");
  page.answer(answerReads(numbersOf(3)));
  await page.pass();
  strictEqual(page.state().status, "polling");
  page.hide(true);
  deepStrictEqual(page.waits(), []);
  watch.close();
});

Deno.test("watchLive() polls where no stream gets through, and tries one again", async () => {
  const page = stage();
  const watch = page.watch();
  page.answer(answerReads(numbersOf(2)));
  for (let failure = 0; failure < 3; failure++) {
    page.source().fail(2);
    await settle();
    if (failure < 2) await page.pass();
  }
  strictEqual(page.state().status, "polling");
  for (let polls = 0; polls < 10; polls++) await page.pass();
  strictEqual(page.sources.length, 4);
  page.source().say("snapshot", numbersOf(2), "1.a");
  strictEqual(page.state().status, "live");
  watch.close();
});

Deno.test("changesBetween() and folded() are each other's inverse over rows that come, go and move", () => {
  const states = [
    numbersOf(2),
    numbersOf(4, [["s", 1]]),
    numbersOf(4, [["t", 1], ["s", 1]]),
    numbersOf(5, [["s", 3], ["t", 1], ["u", 2]]),
    numbersOf(5, [["u", 2]]),
  ];
  for (const before of states) {
    for (const after of states) {
      const changes = changesBetween(before, after);
      if (before === after) strictEqual(changes, null);
      const as_of = after.analytics.as_of;
      deepStrictEqual(
        folded(before, { as_of, changes: changes ?? {} }),
        after,
      );
    }
  }
  // What did not change is not told, and stays the same object.
  const [before, after] = [states[1]!, states[1]!];
  const now = folded(before, { as_of: "", changes: { total_enrolled: 9 } });
  strictEqual(now.analytics.trends, after.analytics.trends);
  strictEqual(now.funnel.funnel_steps, after.funnel.funnel_steps);
  const { total_enrolled, total_enrolled_delta, trends } = changesBetween(
    before,
    now,
  )!;
  deepStrictEqual([total_enrolled, total_enrolled_delta, trends], [
    9,
    5,
    undefined,
  ]);
});
