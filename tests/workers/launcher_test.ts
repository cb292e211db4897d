import { strictEqual } from "node:assert/strict";
import { launcherGone } from "../../workers/_launcher.ts";
import { until } from "../harness.ts";

const SERVER = 50;
const DENO_TASK = 40;
const SHELL = 30;
const NPM = 20;
const PERSON = 10;

/** What `npx deno task start` looks like, typed into a person's shell. */
function processes(): Map<number, { ppid: number; command: string[] }> {
  return new Map([
    [SERVER, { ppid: DENO_TASK, command: ["/x/deno", "run", "main.ts"] }],
    [DENO_TASK, { ppid: SHELL, command: ["deno", "task", "start"] }],
    [SHELL, { ppid: NPM, command: ["sh", "-c", "'deno' task start"] }],
    [NPM, { ppid: PERSON, command: ["npm exec deno@2.9.6 task start"] }],
    [PERSON, { ppid: 1, command: ["-bash"] }],
    [1, { ppid: 0, command: ["/sbin/init"] }],
  ]);
}

/** Takes a process away, as the system does: its children get another parent. */
function kill(all: ReturnType<typeof processes>, pid: number): void {
  all.delete(pid);
  for (const process of all.values()) {
    if (process.ppid === pid) process.ppid = 1;
  }
}

/** Looks at made-up processes, and counts how often the lowest was looked at. */
async function watch(all: ReturnType<typeof processes>) {
  let looks = 0;
  const signal = await launcherGone((pid) => {
    if (pid === SERVER) looks++;
    return Promise.resolve(all.get(pid) ?? null);
  }, SERVER);
  return { signal, looks: () => looks };
}

for (const [name, pid] of Object.entries({ DENO_TASK, SHELL, NPM })) {
  // The watch goes on until the signal, which is what these tests wait for.
  Deno.test(`launcherGone() notices that ${name} is gone`, async () => {
    const all = processes();
    const { signal } = await watch(all);
    strictEqual(signal.aborted, false);
    kill(all, pid);
    await until("it is noticed", () => signal.aborted);
  });
}

Deno.test("launcherGone() does not mind that a person leaves", async () => {
  const all = processes();
  const { signal, looks } = await watch(all);
  kill(all, PERSON);
  const before = looks();
  await until("it has looked twice since", () => looks() >= before + 2);
  strictEqual(signal.aborted, false);
  kill(all, NPM);
  await until("the watch has ended", () => signal.aborted);
});

Deno.test("launcherGone() takes a script's shell for no launcher", async () => {
  const all = processes();
  all.set(NPM, { ppid: PERSON, command: ["/usr/bin/python3", "deploy.py"] });
  const { signal, looks } = await watch(all);
  kill(all, SHELL);
  const before = looks();
  await until("it has looked twice since", () => looks() >= before + 2);
  strictEqual(signal.aborted, false);
  kill(all, DENO_TASK);
  await until("the watch has ended", () => signal.aborted);
});

Deno.test("launcherGone() watches nothing where a person runs deno", async () => {
  const all = processes();
  all.set(SERVER, { ppid: PERSON, command: ["deno", "run", "main.ts"] });
  const { signal } = await watch(all);
  kill(all, PERSON);
  strictEqual(signal.aborted, false);
});
