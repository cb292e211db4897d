/**
 * What elements are made with in the browser: `build.ts` puts it before each island.
 *
 * @module
 */

export { Fragment, h } from "preact";
