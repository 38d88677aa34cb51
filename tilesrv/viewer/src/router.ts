/** Where in the viewer we are, as the part of the address after `#`. */

export interface Place {
  /** Image that is shown; null is the list. */
  image: string | null;
  /** What the view wants to remember: position, zoom, window. */
  state: Readonly<Record<string, string>>;
}

/** Read a hash such as `#/images/scene?x=10&y=20`; whatever it cannot mean is the list. */
export function parseHash(hash: string): Place {
  const found = /^#?\/images\/([^?]+)(?:\?(.*))?$/.exec(hash);
  if (!found?.[1]) return { image: null, state: {} };
  let image: string;
  try {
    image = decodeURIComponent(found[1]);
  } catch {
    return { image: null, state: {} };
  }
  return { image, state: Object.fromEntries(new URLSearchParams(found[2] ?? "")) };
}

/** The hash of a place. */
export function formatHash(place: Place): string {
  if (place.image === null) return "#/";
  const query = new URLSearchParams(place.state).toString().replaceAll("%2C", ",");
  return `#/images/${encodeURIComponent(place.image)}${query ? `?${query}` : ""}`;
}

/** Numbers of a comma-separated list; null unless there are exactly `count` finite ones. */
export function numbersOf(text: string | undefined, count: number): number[] | null {
  if (!text) return null;
  const found = text.split(",").map(Number);
  return found.length === count && found.every(Number.isFinite) ? found : null;
}

/** Remember the view's state in the address, without a new entry in the browser's history. */
export function remember(place: Place): void {
  history.replaceState(null, "", formatHash(place));
}
