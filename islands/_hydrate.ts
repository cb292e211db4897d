/**
 * Brings to life every island in the page. Entry point in the browser.
 *
 * @module
 */

import { type ComponentType, h, hydrate } from "preact";

for (const root of document.querySelectorAll<HTMLElement>("[data-island]")) {
  const { src, props } = root.dataset;
  import(src!).then(({ default: Island }: { default: ComponentType }) => {
    hydrate(h(Island, JSON.parse(props!)), root);
    root.dataset.ready = "";
  });
}
