import { ok, strictEqual } from "node:assert/strict";
import {
  capacityTable,
  COSTS,
  costsTable,
  curve,
  LOADS,
  simulate,
} from "./capacity.ts";

const BILLION = { events: 1e9, accounts: 10_000, viewers: 100_000 };

Deno.test("simulate() lives through as many events as it is given", () => {
  let sum = 0;
  for (let minute = 0; minute < 1_440; minute++) sum += curve(minute);
  ok(Math.abs(sum / 1_440 - 1) < 0.01, `${sum / 1_440}`);
});

Deno.test("simulate() needs no less where anything costs more", () => {
  const need = simulate(BILLION);
  for (const name of Object.keys(COSTS) as (keyof typeof COSTS)[]) {
    const isRate = name.endsWith("_per_second");
    const dearer = COSTS[name] * (isRate ? 0.001 : 1_000);
    const more = simulate(BILLION, { ...COSTS, [name]: dearer });
    const isSome = Object.entries(need).some(([key, value]) =>
      typeof value === "number" && more[key as "workers"] > value
    );
    ok(isSome, `${name} is in no number`);
    for (const [key, value] of Object.entries(need)) {
      if (typeof value !== "number") continue;
      ok(more[key as "workers"] >= value - 1e-9, `${name} lowers ${key}`);
    }
  }
});

Deno.test("simulate() has events wait where workers are too few", () => {
  const huge = { events: 100e9, accounts: 100, viewers: 0 };
  strictEqual(simulate(huge).wait_seconds_max, 0);
  ok(simulate(huge, COSTS, 1).wait_seconds_max > 3_600);
});

Deno.test("docs/scaling.md has the costs that simulate() goes by, and the table that it makes", async () => {
  const doc = await Deno.readTextFile(
    new URL("../../docs/scaling.md", import.meta.url),
  );
  // Formatting pads cells.
  const text = doc.replaceAll(/ +/g, " ");
  const lines = capacityTable();
  strictEqual(lines.length, LOADS.length);
  strictEqual(costsTable().length, Object.keys(COSTS).length);
  for (const line of [...costsTable(), ...lines]) ok(text.includes(line), line);
});
