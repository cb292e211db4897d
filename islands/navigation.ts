/**
 * From one view of a page to another without leaving it: the next page is fetched as any
 * browser would, and the island in it hands over its props. The server stays the only
 * one who knows what a view shows; whatever is in the way, the browser goes there itself.
 *
 * @module
 */

import { useEffect, useRef, useState } from "preact/hooks";

/**
 * Keeps an island at the page's address: links to the same page, `go()`, and the
 * browser's Back lead to other props.
 *
 * @param island Its name.
 * @param initial Its props, as the server wrote them.
 * @returns The props of the address, whether others are on their way, and the way there.
 */
export function useNavigation<Props extends { path: string }>(
  island: string,
  initial: Props,
): {
  props: Props;
  isLoading: boolean;
  go(href: string): void;
  /** Asks for the same page again, and says nothing while it is on its way. */
  refresh(): void;
} {
  const [props, setProps] = useState(initial);
  const [isLoading, setLoading] = useState(false);
  const asked = useRef<AbortController | null>(null);

  async function load(
    href: string,
    { isNew = false, isQuiet = false } = {},
  ): Promise<void> {
    asked.current?.abort();
    const { signal } = asked.current = new AbortController();
    if (!isQuiet) setLoading(true);
    try {
      const answer = await fetch(href, { signal });
      const page = new DOMParser().parseFromString(
        await answer.text(),
        "text/html",
      );
      const root = page.querySelector<HTMLElement>(
        `[data-island="${island}"]`,
      )!;
      const next = JSON.parse(root.dataset.props!) as Props;
      // What stands around the island would stay as it is.
      if (page.body.className !== document.body.className) throw page;
      if (isNew) history.pushState(null, "", href);
      document.title = page.title;
      setProps(next);
      setLoading(false);
    } catch {
      // Signed out, gone, or no island in it: that page speaks for itself.
      if (!signal.aborted && !isQuiet) location.assign(href);
    }
  }

  useEffect(() => {
    function onClick(event: MouseEvent) {
      const link = (event.target as Element).closest("a");
      const isOrdinary = event.button === 0 && !event.defaultPrevented &&
        !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
      if (
        !link || !isOrdinary || link.target || link.hash || link.download ||
        link.origin !== location.origin || link.pathname !== initial.path
      ) return;
      event.preventDefault();
      load(link.href, { isNew: true });
    }
    function onBack() {
      load(location.href);
    }
    document.addEventListener("click", onClick);
    addEventListener("popstate", onBack);
    return () => {
      document.removeEventListener("click", onClick);
      removeEventListener("popstate", onBack);
    };
  }, []);

  return {
    props,
    isLoading,
    go: (href) => void load(href, { isNew: true }),
    refresh: () => void load(location.href, { isQuiet: true }),
  };
}
