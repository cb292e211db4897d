/**
 * What Citus would do with a statement, told from its text and from where its tables lie.
 * Postgres' own parser reads the text. That is of the rules in docs/scaling.md; no Citus is asked.
 *
 * @module
 */

import { loadModule, parsePlPgSQLSync, parseSync } from "@libpg-query/parser";

await loadModule();

/** A function of the schema, as the catalogue has it. */
export interface SqlFunction {
  name: string;
  language: string;
  /** Of `pg_get_functiondef()`. */
  definition: string;
  /** Of `pg_get_function_sqlbody()`; `null` where the body is a string. */
  body: string | null;
  source: string;
}

/** Where tables lie. */
export interface Places {
  /** By workflow, on the nodes. */
  spread: Set<string>;
  /** On the coordinator alone: jobs, materialized views, temporary tables. Whatever is in neither is everywhere. */
  local: Set<string>;
}

/**
 * How a statement is run:
 * - `routed`: every table that is spread is bound to one workflow by a value, so it runs whole on one node.
 * - `with local rows`: the same, beside rows of the coordinator that are sent there.
 * - `by rows`: inserts rows that come of no spread table, each where its workflow lies.
 * - `pushed down`: runs on all nodes at once, each for the workflows that it has: spread tables are joined by workflow
 *   with each other, and else with what is the same everywhere. The answers are put together, or where they are inserted.
 * - `across`: none of these.
 * - `elsewhere`: touches nothing that is spread.
 */
export type Way =
  | "routed"
  | "with local rows"
  | "by rows"
  | "pushed down"
  | "across"
  | "elsewhere";

/** What was found of one statement. */
export interface Judged {
  way: Way;
  /** Functions that it calls. */
  calls: Set<string>;
  /** Functions called where a row of a spread table is changed: of `update … set` and `on conflict do update`. */
  changesBy: Set<string>;
  /** Whether `insert … values` has a subquery. */
  insertsSubquery: boolean;
  /**
   * Of what is `across`: whether Citus refuses it. It answers subqueries that no node can answer alone one after the
   * other, and puts the rest together on the coordinator; but not one that is asked for each row of another, and not
   * `with recursive` or grouping sets.
   */
  isRefused: boolean;
  /** Whether it touches a table of the coordinator alone. */
  touchesLocal: boolean;
}

/** A node of the parser's tree. */
// deno-lint-ignore no-explicit-any
type Node = any;

/** A table or subquery in a FROM. */
interface Relation {
  alias: string;
  table: string | null;
  of: Query;
}

/** One SELECT, UPDATE or DELETE, without the queries in it. */
interface Query {
  relations: Relation[];
  outer: Query | null;
  /** Pairs whose workflow_id is the same. */
  same: [Relation, Relation][];
  /** Whose workflow_id is equal to a value. */
  bound: Set<Relation>;
}

/** What may stand in a FROM that runs on every node: immutable, and a table of the same rows everywhere. */
const SAME_EVERYWHERE = new Set(["unnest"]);

const AGGREGATES =
  /^(count|sum|min|max|(array|json|string)_agg|bool_(or|and)|histogram_sum|percentile_disc)$/;

/** Every object in a tree, under the name that its kind has in it. */
function* nodesOf(tree: Node): Generator<[string, Node]> {
  if (tree === null || typeof tree !== "object") return;
  for (const [key, value] of Object.entries(tree)) {
    if (!Array.isArray(tree)) yield [key, value];
    yield* nodesOf(value);
  }
}

/**
 * Lists the statements of a function.
 *
 * @param tables Of the schema: the parser has no catalogue, so a variable of a row's type is made a record.
 * @returns Trees of the parser. What `execute` puts together is not in them.
 */
export function statementsOf(
  { language, definition, body, source }: SqlFunction,
  tables: Iterable<string>,
): Node[] {
  if (language === "plpgsql") {
    const rows = RegExp(`^(\\s+\\w+\\s+)(${[...tables].join("|")});`, "gm");
    return [...nodesOf(parsePlPgSQLSync(definition.replace(rows, "$1record;")))]
      .filter(([kind]) => kind === "PLpgSQL_expr")
      .flatMap(([, { query, parseMode }]) =>
        parse(
          parseMode === 0
            ? query
            : `select ${
              parseMode === 2 ? query : query.replace(/^[^=]*?:?=/, "")
            }`,
        )
      );
  }
  if (body === null) return parse(source);
  const text = body.trim();
  return parse(
    text.startsWith("RETURN")
      ? text.replace("RETURN", "select")
      : text.slice("BEGIN ATOMIC".length, -"END".length),
  );
}

function parse(text: string): Node[] {
  return parseSync(text).stmts!.map(({ stmt }: Node) => stmt);
}

/**
 * Judges one statement.
 *
 * @param statement One of {@linkcode statementsOf}.
 */
export function judge(statement: Node, { spread, local }: Places): Judged {
  const named = new Set(
    [...nodesOf(statement)].filter(([kind]) => kind === "CommonTableExpr")
      .map(([, cte]) => cte.ctename),
  );
  const queries: Query[] = [];
  const changesBy = new Set<string>();
  let writes = false;
  let touchesLocal = false;
  let insertsSubquery = false;
  /** Whether a node cannot answer for the workflows that it has without the others. */
  let needsOthers = false;
  /** Whether there is what only one node can do. */
  let needsOne = false;

  function isSpread(table: string | null): boolean {
    return table !== null && spread.has(table);
  }

  /** The table that a column is of; `"value"` for a parameter or variable. */
  function ownerOf({ fields }: Node, query: Query): Relation | "value" {
    const names = fields.map(({ String }: Node) => String?.sval);
    if (names.length === 1) {
      return names[0] === "workflow_id"
        ? query.relations.find(({ table }) => isSpread(table)) ??
          query.relations[0] ?? "value"
        : "value";
    }
    for (let at: Query | null = query; at; at = at.outer) {
      const owner = at.relations.find(({ alias }) => alias === names.at(-2));
      if (owner) return owner;
    }
    return "value";
  }

  /** What one side of an equation says of a workflow; `null` for what cannot be told. */
  function sideOf(node: Node, query: Query): Relation | "value" | null {
    if (node?.A_Const || node?.ParamRef || node?.A_Indirection) return "value";
    if (!node?.ColumnRef) return null;
    const owner = ownerOf(node.ColumnRef, query);
    return owner === "value" ||
        node.ColumnRef.fields.at(-1).String?.sval === "workflow_id"
      ? owner
      : null;
  }

  function readCondition(node: Node, query: Query): void {
    if (node?.BoolExpr?.boolop === "AND_EXPR") {
      for (const part of node.BoolExpr.args) readCondition(part, query);
    }
    const equation = node?.A_Expr;
    if (
      equation?.kind !== "AEXPR_OP" || equation.name[0].String.sval !== "="
    ) return;
    const left = sideOf(equation.lexpr, query);
    const right = sideOf(equation.rexpr, query);
    if (left === null || right === null) return;
    if (left !== "value" && right !== "value") query.same.push([left, right]);
    else if (left !== "value") query.bound.add(left);
    else if (right !== "value") query.bound.add(right);
  }

  function readFrom(item: Node, query: Query): Relation[] {
    if (item.JoinExpr) {
      const { larg, rarg, usingClause, quals, jointype } = item.JoinExpr;
      // What is the same everywhere would be kept by every node.
      needsOthers ||= jointype !== "JOIN_INNER";
      const left = readFrom(larg, query);
      const right = readFrom(rarg, query);
      if (
        usingClause?.some(({ String }: Node) => String.sval === "workflow_id")
      ) {
        query.same.push(
          ...left.flatMap((a) =>
            right.map((b): [Relation, Relation] => [a, b])
          ),
        );
      }
      readCondition(quals, query);
      readWithin(quals, query);
      return [...left, ...right];
    }
    const { relname, alias } = item.RangeVar ?? {};
    const table = relname === undefined || named.has(relname) ? null : relname;
    const relation = {
      alias: (alias ?? item.RangeSubselect?.alias ?? item.RangeFunction?.alias)
        ?.aliasname ?? relname,
      table,
      of: query,
    };
    if (local.has(table)) touchesLocal = true;
    query.relations.push(relation);
    if (item.RangeSubselect) {
      noteMerging(item.RangeSubselect.subquery.SelectStmt);
      read(item.RangeSubselect.subquery, query);
    }
    if (item.RangeFunction) {
      needsOthers ||= [...callsOf(item.RangeFunction.functions)]
        .some((name) => !SAME_EVERYWHERE.has(name));
      readWithin(item.RangeFunction.functions, query);
    }
    return [relation];
  }

  /** Reads the queries in an expression. */
  function readWithin(node: Node, query: Query): void {
    if (node === null || typeof node !== "object") return;
    if (node.SubLink) {
      noteMerging(node.SubLink.subselect.SelectStmt);
      // Beside what is the same everywhere it would be found by one node, and missed by the others.
      needsOthers ||= !query.relations.some(({ table }) => isSpread(table));
      read(node.SubLink.subselect, query);
    }
    for (const [key, part] of Object.entries(node)) {
      if (key !== "subselect") readWithin(part, query);
    }
  }

  /** A subquery is pushed down if no row of it is made of rows of several workflows. */
  function noteMerging(select: Node): void {
    const {
      op,
      targetList,
      distinctClause,
      groupClause,
      limitCount,
      limitOffset,
      withClause,
    } = select;
    const hasWorkflow = (list: Node) =>
      [...nodesOf(list)].some(([, { fields }]) =>
        fields?.at(-1).String?.sval === "workflow_id"
      );
    const aggregates = [...nodesOf(targetList)].some(([kind, call]) =>
      kind === "FuncCall" &&
      (call.over || AGGREGATES.test(call.funcname.at(-1).String.sval))
    );
    needsOthers ||= (op !== undefined && op !== "SETOP_NONE") ||
      Boolean(limitCount ?? limitOffset ?? withClause) ||
      (distinctClause !== undefined && !hasWorkflow(targetList)) ||
      (groupClause === undefined ? aggregates : !hasWorkflow(groupClause));
  }

  function read(node: Node, outer: Query | null): void {
    const [kind, it] = Object.entries<Node>(node)[0]!;
    if (kind === "CreateTableAsStmt") return read(it.query, outer);
    needsOne ||= Boolean(it.withClause?.recursive) ||
      Boolean(it.groupClause?.some(({ GroupingSet }: Node) => GroupingSet));
    for (const { CommonTableExpr } of it.withClause?.ctes ?? []) {
      read(CommonTableExpr.ctequery, outer);
    }
    if (it.op !== undefined && it.op !== "SETOP_NONE") {
      read({ SelectStmt: it.larg }, outer);
      read({ SelectStmt: it.rarg }, outer);
      return;
    }
    const query: Query = { relations: [], outer, same: [], bound: new Set() };
    if (kind === "InsertStmt") {
      const target = isSpread(it.relation.relname);
      writes ||= target;
      const lists = it.selectStmt?.SelectStmt?.valuesLists;
      if (target && [...nodesOf(lists)].some(([key]) => key === "SubLink")) {
        insertsSubquery = true;
      }
      if (it.selectStmt) read(it.selectStmt, outer);
      if (target) noteChange(it.onConflictClause);
      return;
    }
    queries.push(query);
    const { withClause: _, fromClause, usingClause, ...rest } = it;
    if (kind !== "SelectStmt") {
      readFrom({ RangeVar: it.relation }, query);
      if (isSpread(it.relation?.relname)) noteChange(it);
      delete rest.relation;
    }
    for (const item of fromClause ?? usingClause ?? []) readFrom(item, query);
    readCondition(it.whereClause, query);
    readWithin(rest, query);
  }

  function noteChange(node: Node): void {
    for (const name of callsOf(node)) changesBy.add(name);
  }

  read(statement, null);

  /** Postgres carries a value along equal columns of one query, but not into another one. */
  function isBound(relation: Relation): boolean {
    const { same, bound } = relation.of;
    const known = reach(
      bound,
      same.filter(([a, b]) => a.of === b.of),
    );
    return known.has(relation);
  }

  /** Those of the same workflow, by some pairs. */
  function reach(
    from: Iterable<Relation>,
    pairs: [Relation, Relation][],
  ): Set<Relation> {
    const known = new Set(from);
    for (let size = -1; size < known.size;) {
      size = known.size;
      for (const [a, b] of pairs) {
        if (known.has(a) !== known.has(b)) known.add(a).add(b);
      }
    }
    return known;
  }

  const touched = queries.flatMap(({ relations }) => relations)
    .filter(({ table }) => isSpread(table));
  const free = touched.filter((relation) => !isBound(relation));
  const together = reach(
    touched.slice(0, 1),
    queries.flatMap(({ same }) => same),
  );
  const isPushed = !needsOthers && !touchesLocal &&
    touched.every((relation) => together.has(relation));
  const way = touched.length === 0
    ? writes ? "by rows" : "elsewhere"
    : free.length > 0
    ? isPushed ? "pushed down" : "across"
    : touchesLocal || writes
    ? "with local rows"
    : "routed";
  const isRefused = way === "across" && (needsOne ||
    queries.some(({ same }) =>
      same.some(([a, b]) =>
        a.of !== b.of && (isSpread(a.table) || isSpread(b.table))
      )
    ));
  return {
    way,
    calls: callsOf(statement),
    changesBy,
    insertsSubquery,
    isRefused,
    touchesLocal,
  };
}

function callsOf(tree: Node): Set<string> {
  return new Set(
    [...nodesOf(tree)].filter(([kind]) => kind === "FuncCall")
      .map(([, { funcname }]) => funcname.at(-1).String.sval),
  );
}

/**
 * Functions that a node cannot answer: they read what is spread, or what the coordinator alone has, by themselves or by
 * functions that they call.
 *
 * @param functions With their statements judged.
 * @returns Their names.
 */
export function readersOf(
  functions: { name: string; statements: Judged[] }[],
): Set<string> {
  const readers = new Set(
    functions.filter(({ statements }) =>
      statements.some(({ way, touchesLocal }) =>
        way !== "elsewhere" || touchesLocal
      )
    ).map(({ name }) => name),
  );
  for (let size = -1; size < readers.size;) {
    size = readers.size;
    for (const { name, statements } of functions) {
      if (
        statements.some(({ calls }) =>
          [...calls].some((call) => readers.has(call))
        )
      ) readers.add(name);
    }
  }
  return readers;
}
