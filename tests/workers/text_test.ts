import assert from "node:assert/strict";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openLog } from "../../workers/_text.ts";

/** Writes a file, opens it, and reads it to its end. */
async function read(
  bytes: Uint8Array | string,
  encoding?: string,
): Promise<{ format: string; text: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "log.csv");
    await Deno.writeFile(
      path,
      typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes,
    );
    const log = await openLog(path, encoding);
    try {
      const text = (await Array.fromAsync(log.text)).join("");
      return { format: log.format, text };
    } finally {
      await log.close();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("openLog() tells the format from the beginning, not the name", async () => {
  assert.equal((await read("case,activity\n")).format, "csv");
  assert.equal((await read("[a],b\n")).format, "csv");
  assert.equal((await read("\n \ufeff<log/>")).format, "xes");
  assert.equal((await read('\ufeff{"id":1}')).format, "ndjson");
});

Deno.test("openLog() unpacks gzip, also of several members", async () => {
  const twice = [gzipSync("case,activity\n"), gzipSync("1,a\n")];
  assert.deepEqual(await read(Uint8Array.from(twice.flatMap((b) => [...b]))), {
    format: "csv",
    text: "case,activity\n1,a\n",
  });
});

Deno.test("openLog() reads the encodings that logs have", async () => {
  const utf16 = [
    0xff,
    0xfe,
    ...[..."é;b"].flatMap((c) => [c.charCodeAt(0), 0]),
  ];
  assert.equal((await read(Uint8Array.from(utf16))).text, "é;b");
  const latin1 = Uint8Array.from([..."é;b"], (c) => c.charCodeAt(0));
  assert.equal((await read(latin1, "latin1")).text, "é;b");
  const xml = '<?xml version="1.0" encoding="ISO-8859-1"?><é/>';
  const bytes = Uint8Array.from([...xml], (c) => c.charCodeAt(0));
  assert.equal((await read(bytes)).text, xml);
});

Deno.test("openLog() says why a file cannot be read", async () => {
  await assert.rejects(openLog("no/such/file"), {
    message: "Cannot read no/such/file: there is no such file",
  });
  await assert.rejects(read(""), /it is empty/);
  await assert.rejects(read(" \n"), /it is empty/);
  await assert.rejects(read("PK\x03\x04"), /it is a zip archive/);
  await assert.rejects(read('[{"id":1}]'), /it is a JSON array/);
  const cut = gzipSync("case,activity\n".repeat(1000)).subarray(0, 40);
  await assert.rejects(read(cut), /Cannot read .*: unexpected end of file/);
});

Deno.test("close() lets go of a file that was not read", async () => {
  // The resource sanitizer sees a file that stays open.
  const log = await openLog(
    new URL("../fixtures/onboarding.csv", import.meta.url).pathname,
  );
  await log.close();
});
