/**
 * `deno serve --parallel serve.ts`: as many servers as there are cores, in one process and
 * on one port. See docs/scaling.md for what differs from `deno task serve`.
 *
 * @module
 */

import { serveParallel } from "./main.ts";

export default serveParallel();
