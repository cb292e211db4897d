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

// The server shows times on this browser's clock from the next page on.
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
document.cookie =
  `weir_zone=${timeZone}; path=/; max-age=31536000; samesite=lax`;
