/**
 * Brings an island to life. `build.ts` makes each island a script that calls this.
 *
 * @module
 */

import { type ComponentType, h, hydrate } from "preact";

/**
 * Hydrates every place of the page that holds an island.
 *
 * @param name Of the island.
 * @param Island What the server rendered there.
 */
export function hydrateAll<Props extends object>(
  name: string,
  Island: ComponentType<Props>,
): void {
  for (
    const root of document.querySelectorAll<HTMLElement>(
      `[data-island="${name}"]`,
    )
  ) {
    hydrate(h(Island, JSON.parse(root.dataset.props!)), root);
    root.dataset.ready = "";
  }
}
