import assert from "node:assert/strict";
import fc from "fast-check";
import { formatInstant, parseInstant } from "../../workers/_instant.ts";

function utc(text: string, timeZone = "UTC"): string | null {
  const micros = parseInstant(text, timeZone);
  return micros === null ? null : formatInstant(micros);
}

Deno.test("parseInstant() reads the ways logs write timestamps", () => {
  const same = "2014-10-22T11:15:41.000Z";
  assert.equal(utc("2014/10/22 11:15:41.000"), same);
  assert.equal(utc("2014-10-22T11:15:41"), same);
  assert.equal(utc("2014-10-22  11:15:41,000"), same);
  assert.equal(utc("22.10.2014 11:15:41"), same);
  assert.equal(utc("2014-10-22T13:15:41+02:00"), same);
  assert.equal(utc("2014-10-22 05:45:41-0530"), same);
  assert.equal(utc("2014-10-22 12:15:41 +01"), same);
  assert.equal(utc("2014-10-22 11:15:41 UTC"), same);
  assert.equal(utc("1413976541"), same);
  assert.equal(utc("1413976541000"), same);
  assert.equal(utc("2014/10/22 11:15"), "2014-10-22T11:15:00.000Z");
  assert.equal(utc("2014-10-22"), "2014-10-22T00:00:00.000Z");
});

Deno.test("parseInstant() keeps microseconds and cuts what is finer", () => {
  assert.equal(
    utc("2014-10-22T11:15:41.1234569Z"),
    "2014-10-22T11:15:41.123456Z",
  );
  assert.equal(utc("1969-12-31T23:59:59.9999Z"), "1969-12-31T23:59:59.999900Z");
  assert.equal(utc("1413976541000001"), "2014-10-22T11:15:41.000001Z");
});

Deno.test("parseInstant() refuses what is no instant", () => {
  for (
    const text of [
      "",
      "yesterday",
      "2014-02-30",
      "2014-13-01",
      "2014-10-22 24:00",
      "2014-10-22 11:60",
      "2014-10-22T11:15:60Z",
      "2014-10/22",
      "10/11/2014 08:00",
      "2014-10-22T11:15:41+99:00",
      "1899-12-31T23:59:59Z",
      "2014-10-22T11:15:41Z and more",
    ]
  ) assert.equal(parseInstant(text, "UTC"), null, text);
});

Deno.test("parseInstant() takes a zone for local times, its gaps and folds", () => {
  const zone = "Europe/Amsterdam";
  assert.equal(utc("2014-07-01 12:00", zone), "2014-07-01T10:00:00.000Z");
  assert.equal(utc("2014-07-01 12:00Z", zone), "2014-07-01T12:00:00.000Z");
  // 02:30 did not exist: moved forward by the gap, to 03:30 +02:00.
  assert.equal(utc("2014-03-30 02:30", zone), "2014-03-30T01:30:00.000Z");
  // 02:30 came twice: the first, still +02:00.
  assert.equal(utc("2014-10-26 02:30", zone), "2014-10-26T00:30:00.000Z");
  assert.equal(
    utc("2014-10-26 02:30:00.000007", zone),
    "2014-10-26T00:30:00.000007Z",
  );
  // Lord Howe's clocks go back by half an hour.
  assert.equal(
    utc("2026-04-05 01:45", "Australia/Lord_Howe"),
    "2026-04-04T14:45:00.000Z",
  );
});

Deno.test("formatInstant() is read back as the same instant", () => {
  fc.assert(
    fc.property(
      fc.integer({
        min: Date.UTC(1900, 0) * 1000,
        max: Date.UTC(2255, 0) * 1000,
      }),
      (micros) => {
        assert.equal(
          parseInstant(formatInstant(micros), "Asia/Kathmandu"),
          micros,
        );
      },
    ),
  );
});
