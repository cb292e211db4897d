/**
 * Live numbers in a component.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import { type LiveState, watchLive } from "./live.ts";

/**
 * Follows the numbers of a query for as long as the component shows it.
 *
 * @param address The path of the summary, `null` where nothing is to be followed.
 * @param query Of all three reads, without a question mark.
 * @returns `null` until there is something to say, and on the server.
 */
export function useLive(
  address: string | null,
  query: string,
): LiveState | null {
  const [seen, setSeen] = useState<{ query: string; state: LiveState }>();
  useEffect(() => {
    if (address === null) return;
    const onState = (state: LiveState) => setSeen({ query, state });
    const watch = watchLive({ address, query, onState });
    return () => watch.close();
  }, [address, query]);
  // What came for the query before is of another view.
  return seen?.query === query ? seen.state : null;
}
