import { rejects, strictEqual } from "node:assert/strict";
import { until } from "./harness.ts";
import { serve } from "./serve.ts";
import { within } from "./within.ts";

Deno.test("serve() waits for no answer that nobody reads, and for none that never comes", async () => {
  let cancelled = 0;
  let asked = 0;
  const server = serve((request) => {
    asked++;
    if (request.url.endsWith("/never")) return new Promise(() => {});
    return new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: () => void cancelled++,
      }),
    );
  });
  const unread = await fetch(`${server.url}/endless`);
  const never = fetch(`${server.url}/never`);
  never.catch(() => {});
  await until("both are under way", () => asked === 2);
  await within("it has ended", server[Symbol.asyncDispose](), 5);
  strictEqual(cancelled, 1, "whoever makes the answer is told");
  await rejects(never);
  await rejects(unread.bytes());
});
