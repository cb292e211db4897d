import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { createAccount } from "../../db/access.ts";
import { fold, recordEvents } from "../../db/events.ts";
import {
  Duration,
  Event,
  WORKFLOW_SORTS,
  WorkflowDefinition,
  type WorkflowListing,
  WORKFLOWS_RANKED_MAX,
  type WorkflowSort,
  WorkflowsQuery,
} from "../../db/schema.ts";
import {
  durationMicroseconds,
  listWorkflows,
  putWorkflow,
  readWorkflow,
  readWorkflowHead,
  TooManyToSort,
} from "../../db/workflows.ts";
import { dbTest, NOW, type World } from "../harness.ts";

const WORKFLOW = "11111111-1111-4111-8111-111111111111";

Deno.test("durationMicroseconds() adds up every unit", () => {
  const cases: Record<string, bigint> = {
    P0D: 0n,
    P1W: 604_800_000_000n,
    P90D: 7_776_000_000_000n,
    PT1H: 3_600_000_000n,
    PT1M: 60_000_000n,
    PT1S: 1_000_000n,
    "PT0.000001S": 1n,
    "PT1.5S": 1_500_000n,
    P1W2DT3H4M5S: 788_645_000_000n,
    // Minutes after the T: months are not lengths.
    P1DT1M: 86_460_000_000n,
  };
  for (const [duration, us] of Object.entries(cases)) {
    strictEqual(Duration.parse(duration), duration);
    strictEqual(durationMicroseconds(duration), us, duration);
  }
});

Deno.test("durationMicroseconds() reads what Duration admits", () => {
  fc.assert(fc.property(
    fc.record({
      W: fc.nat(99_999),
      D: fc.nat(999_999),
      H: fc.nat(9_999_999),
      M: fc.nat(999_999_999),
      S: fc.nat(2 ** 31 - 1),
    }),
    ({ W, D, H, M, S }) => {
      const duration = Duration.parse(`P${W}W${D}DT${H}H${M}M${S}S`);
      const hours = (BigInt(W) * 7n + BigInt(D)) * 24n + BigInt(H);
      const seconds = (hours * 60n + BigInt(M)) * 60n + BigInt(S);
      strictEqual(durationMicroseconds(duration), seconds * 1_000_000n);
    },
  ));
});

dbTest(
  "putWorkflow() leaves another account's workflow alone",
  async ({ sql, account }) => {
    const other = await createAccount(sql, "Other", "UTC");
    const mine = WorkflowDefinition.parse({ name: "Mine", owner_id: "ada" });
    const theirs = WorkflowDefinition.parse({ name: "Theirs" });
    await putWorkflow(sql, account.account_id, WORKFLOW, mine);
    const put = await putWorkflow(sql, other.account_id, WORKFLOW, theirs);
    strictEqual(put, null);
    strictEqual(await readWorkflow(sql, other.account_id, WORKFLOW), null);
    strictEqual(await readWorkflowHead(sql, other.account_id, WORKFLOW), null);
    const kept = await readWorkflow(sql, account.account_id, WORKFLOW);
    strictEqual(kept!.name, "Mine");
    deepStrictEqual(
      { ...await readWorkflowHead(sql, account.account_id, WORKFLOW) },
      { name: "Mine", status: "active", owner_id: "ada" },
    );
  },
);

dbTest("listWorkflows() narrows to an owner", async ({ sql, account }) => {
  const query = WorkflowsQuery.parse({});
  for (const owner_id of ["ada", "bob", null]) {
    const definition = WorkflowDefinition.parse({ name: "W", owner_id });
    const { account_id } = account;
    await putWorkflow(sql, account_id, crypto.randomUUID(), definition);
  }
  const count = async (owner?: string | null) =>
    (await listWorkflows(sql, account.account_id, query, NOW, owner))
      .workflows.length;
  deepStrictEqual(
    [await count(), await count(null), await count("ada"), await count("")],
    [3, 3, 1, 0],
  );
});

dbTest(
  "listWorkflows() keeps its place when names change",
  async ({ sql, account }) => {
    const { account_id } = account;
    const put = (name: string, id: string = crypto.randomUUID()) =>
      putWorkflow(sql, account_id, id, WorkflowDefinition.parse({ name }));
    for (const name of ["b", "c", "d"]) await put(name);
    const limit = 2;
    const page = (cursor?: string) =>
      listWorkflows(sql, account_id, { sort: "name", limit, cursor }, NOW);
    const first = await page();
    await put("a");
    await put("zz", first.workflows[1]!.workflow_id);
    const second = await page(first.next_cursor!);
    deepStrictEqual(second.workflows.map(({ name }) => name), ["d", "zz"]);
    strictEqual(second.next_cursor, null);
    await rejects(page("nonsense"), SyntaxError);
  },
);

dbTest(
  "listWorkflows() pages through names of any script",
  async ({ sql, account }) => {
    const { account_id } = account;
    const names = ["а", "б", "ж"].map((letter) => letter.repeat(200));
    for (const name of [...names, "𝔷".repeat(100)]) {
      const definition = WorkflowDefinition.parse({ name });
      await putWorkflow(sql, account_id, crypto.randomUUID(), definition);
    }
    const found: (string | null)[] = [];
    let cursor: string | undefined;
    do {
      const query = WorkflowsQuery.parse({ limit: 1, cursor });
      const page = await listWorkflows(sql, account_id, query, NOW);
      found.push(...page.workflows.map(({ name }) => name));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    deepStrictEqual(found, [...names, "𝔷".repeat(100)]);
  },
);

dbTest(
  "listWorkflows() is as of the least that its page is",
  async ({ sql, account }) => {
    const { account_id } = account;
    for (const name of ["a", "b", "c"]) {
      const id = crypto.randomUUID();
      await putWorkflow(
        sql,
        account_id,
        id,
        WorkflowDefinition.parse({ name }),
      );
      await sql`
        update weir.workflow set recompute_since = ${NOW}::timestamptz
          - case name when 'a' then 1 when 'b' then 2 else 3 end * interval '1 minute'
        where workflow_uuid = ${id}`;
    }
    const query = { sort: "name", limit: 2 } as const;
    const list = await listWorkflows(sql, account_id, query, NOW);
    strictEqual(list.as_of, "2026-06-15T11:58:00.000Z");
  },
);

dbTest(
  "listWorkflows() sorts by any number, page by page, as all of it would be",
  async (world) => {
    const { sql, account: { account_id } } = world;
    const all = await enrolInSome(world);
    strictEqual(new Set(all.map((each) => each.conversion_rate)).size, 4);
    for (const sort of WORKFLOW_SORTS) {
      for (const order of ["asc", "desc"] as const) {
        const found: WorkflowListing[] = [];
        let cursor: string | undefined;
        do {
          const query = { sort, order, limit: 3, cursor };
          const page = await listWorkflows(sql, account_id, query, NOW);
          found.push(...page.workflows);
          cursor = page.next_cursor ?? undefined;
        } while (cursor !== undefined);
        const names = ordered(all, sort, order).map(({ name }) => name);
        deepStrictEqual(found.map(({ name }) => name), names, sort + order);
      }
    }
    const query = { sort: "conversion_rate", limit: 3 } as const;
    const { next_cursor } = await listWorkflows(sql, account_id, query, NOW);
    const other = { ...query, order: "asc", cursor: next_cursor! } as const;
    await rejects(listWorkflows(sql, account_id, other, NOW), SyntaxError);

    await sql`
      insert into weir.workflow (workflow_uuid, account_id, name)
      select gen_random_uuid(), ${account_id}, 'many ' || n
      from generate_series(1, ${WORKFLOWS_RANKED_MAX}::int) n`;
    await rejects(listWorkflows(sql, account_id, query, NOW), TooManyToSort);
    const narrow = { ...query, search: "Workflow" };
    strictEqual(
      (await listWorkflows(sql, account_id, narrow, NOW)).workflows.length,
      3,
    );
  },
);

/** Ten workflows, of which some are alike in one thing or another, and two are empty. */
async function enrolInSome(world: World): Promise<WorkflowListing[]> {
  const { sql, account: { account_id } } = world;
  const goal_id = crypto.randomUUID();
  for (let n = 0; n < 10; n++) {
    const id = crypto.randomUUID();
    const goals = [{ goal_id, type: "purchase", name: "Bought" }];
    const definition = { name: `Workflow ${n * 7 % 10}`, goals };
    await putWorkflow(
      sql,
      account_id,
      id,
      WorkflowDefinition.parse(definition),
    );
    const events = Array.from({ length: n % 5 }, (_, i) => {
      const fact = {
        workflow_id: id,
        execution_id: crypto.randomUUID(),
        contact_id: `contact ${i}`,
        occurred_at: NOW.toISOString(),
      };
      const enrolled = {
        ...fact,
        id: `in ${i}`,
        type: "execution.enrolled",
        source: "api",
      };
      const ended = i % 2 === 0
        ? { type: "goal.achieved", goal_id }
        : { type: "execution.completed" };
      return [
        enrolled,
        ...n > 6 ? [{ ...fact, ...ended, id: `out ${i}` }] : [],
      ];
    }).flat();
    await recordEvents(
      sql,
      account_id,
      events.map((event) => Event.parse(event)),
    );
  }
  while (await fold(sql) > 0);
  const query = { sort: "name", limit: 200 } as const;
  return (await listWorkflows(sql, account_id, query, NOW)).workflows;
}

/** As the list is told to be: rates of nobody last, equals by name. */
function ordered(
  all: WorkflowListing[],
  sort: WorkflowSort,
  order: "asc" | "desc",
): WorkflowListing[] {
  const sign = order === "asc" ? 1 : -1;
  const byName = all.toSorted((a, b) => a.name! < b.name! ? -1 : 1);
  if (sort === "name") return sign === 1 ? byName : byName.reverse();
  const rank = (listing: WorkflowListing) =>
    listing[sort] === null ? 1_000 : sign * listing[sort];
  return byName.sort((a, b) => rank(a) - rank(b));
}
