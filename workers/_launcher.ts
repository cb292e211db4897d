/**
 * Notices that whoever launched us is gone. `npx` and the launcher of the npm
 * package `deno` neither pass signals on nor take us along when they are killed:
 * without this, a killed `npx deno task start` would serve on for ever.
 *
 * @module
 */

/** How long a program may outlive its launcher, ms. */
const POLL_MS = 500;

/** One process, as the system shows it. */
interface Process {
  ppid: number;
  /** Its arguments, the program first. */
  command: string[];
}

/**
 * Watches the launchers above this process: `deno task`, and above it `npm`, `npx`
 * and what they need to get there. A shell of a person's is none: who puts us into
 * the background and leaves wants us to stay.
 *
 * @param read How to look at a process; default: the system's way.
 * @param pid Whose launchers.
 * @returns A signal that is aborted when one of them is gone. The watch keeps no
 * program alive.
 */
export async function launcherGone(
  read: (pid: number) => Promise<Process | null> = readProcess,
  pid: number = Deno.pid,
): Promise<AbortSignal> {
  const gone = new AbortController();
  if (pid === Deno.pid && await read(pid) === null) return watchParent(gone);
  const chain = await findLaunchers(read, pid);
  if (chain.length < 2) return gone.signal;

  async function look(): Promise<void> {
    // Who loses its parent is given another one, so a link that holds is enough;
    // pids that are used again do not deceive it.
    for (const [i, parent] of chain.slice(1).entries()) {
      if ((await read(chain[i]!))?.ppid !== parent) {
        clearInterval(timer);
        gone.abort();
        return;
      }
    }
  }
  const timer = setInterval(look, POLL_MS);
  Deno.unrefTimer(timer);
  return gone.signal;
}

/**
 * What is left where processes cannot be looked at, as under the tasks that are given
 * few permissions: whether `deno task`, which sets `INIT_CWD`, is still our parent. It
 * passes signals on, so this is for when it is killed; what is above it goes unseen.
 */
function watchParent(gone: AbortController): AbortSignal {
  const parent = Deno.ppid;
  if (Deno.env.get("INIT_CWD") === undefined) return gone.signal;
  const timer = setInterval(() => {
    if (Deno.ppid === parent) return;
    clearInterval(timer);
    gone.abort();
  }, POLL_MS);
  Deno.unrefTimer(timer);
  return gone.signal;
}

/** From the process upwards, as far as they are launchers. */
async function findLaunchers(
  read: (pid: number) => Promise<Process | null>,
  pid: number,
): Promise<number[]> {
  const chain = [pid];
  for (;;) {
    const parent = (await read(chain.at(-1)!))?.ppid;
    const process = parent ? await read(parent) : null;
    if (!parent || !process) return chain;
    if (isShell(process)) {
      // npm starts everything by a shell; any other shell is a person's or a script's.
      const above = await read(process.ppid);
      if (!above || !isLauncher(above)) return chain;
    } else if (!isLauncher(process)) return chain;
    chain.push(parent);
  }
}

function isShell({ command }: Process): boolean {
  return /(^|\/)sh$/.test(command[0] ?? "") && command[1] === "-c";
}

function isLauncher({ command }: Process): boolean {
  const [program = "", ...args] = command;
  // npm writes what it does into its own name.
  if (/^(npm|npx) /.test(program)) return true;
  if (/(^|\/)deno$/.test(program)) return args.includes("task");
  return /(^|\/)node$/.test(program) &&
    /\/deno\/bin\.cjs$|\/\.bin\/deno$|\/np[mx]-cli\.js$/.test(args[0] ?? "");
}

async function readProcess(pid: number): Promise<Process | null> {
  try {
    return Deno.build.os === "linux" ? await readProc(pid) : await askPs(pid);
  } catch {
    // It ended while we looked.
    return null;
  }
}

async function readProc(pid: number): Promise<Process> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const command = await Deno.readTextFile(`/proc/${pid}/cmdline`);
  // The name, in parentheses, may contain anything; behind it come state and parent.
  const [, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { ppid: Number(ppid), command: command.split("\0") };
}

async function askPs(pid: number): Promise<Process | null> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["-ww", "-o", "ppid=,command=", "-p", String(pid)],
    stderr: "null",
  }).output();
  const [, ppid, command] =
    /^\s*(\d+)\s+(.*)/.exec(new TextDecoder().decode(stdout)) ?? [];
  if (ppid === undefined || command === undefined) return null;
  // What npm writes into its name has spaces, arguments of others are apart.
  return {
    ppid: Number(ppid),
    command: /^np[mx] /.test(command) ? [command] : command.split(" "),
  };
}
