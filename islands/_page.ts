/**
 * What every page does in the browser, islands or not.
 *
 * @module
 */

// The server shows times on this browser's clock from the next page on.
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
document.cookie =
  `weir_zone=${timeZone}; path=/; max-age=31536000; samesite=lax`;
