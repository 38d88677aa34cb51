/** How an image is shown, and the query that asks the server for it. Pure. */

import type { ImageRecord } from "./api";

export interface Display {
  /** Bands shown, counted from 1: one, or three for red, green and blue. */
  bands: number[];
  /** Values shown darkest and brightest, one pair for each band shown; null leaves it to the image. */
  ranges: ([number, number] | null)[];
  /** Colour map of a single band; empty for gray or the image's palette. */
  colormap: string;
  reversed: boolean;
  opacity: number;
}

export const COLORMAPS = [
  "gray", "viridis", "magma", "inferno", "plasma", "cividis", "turbo", "coolwarm", "rdylgn", "rdbu", "spectral",
  "blues", "ylgnbu", "hot", "terrain",
] as const;

/** Bands that the server shows by itself: red, green and blue; a palette's; else the first three, or the first. */
export function defaultBands(image: ImageRecord): number[] {
  const kinds = image.bands.map((band) => band.interpretation);
  const colours = ["red", "green", "blue"].map((name) => kinds.indexOf(name));
  if (colours.every((k) => k >= 0)) return colours.map((k) => k + 1);
  if (image.palette) return [Math.max(0, kinds.indexOf("palette")) + 1];
  const seen = kinds.flatMap((kind, k) => (kind === "alpha" ? [] : [k + 1]));
  return seen.length >= 3 ? seen.slice(0, 3) : [seen[0] ?? 1];
}

/** The look that an image has by itself. */
export function defaultDisplay(image: ImageRecord): Display {
  const bands = defaultBands(image);
  return { bands, ranges: bands.map(() => null), colormap: "", reversed: false, opacity: 1 };
}

/** Range of values that a band is shown in unless it was changed. */
export function defaultRange(image: ImageRecord, band: number): [number, number] {
  return image.window[band - 1] ?? [0, 255];
}

/** Query string of the pixels' addresses, empty for the image's own look. */
export function displayQuery(image: ImageRecord, display: Display): string {
  const query = new URLSearchParams();
  const usual = defaultBands(image);
  if (display.bands.join() !== usual.join()) query.set("bands", display.bands.join());
  if (display.ranges.some((range) => range !== null)) {
    const pairs = display.bands.map((band, k) => display.ranges[k] ?? defaultRange(image, band));
    query.set("rescale", pairs.flat().map(tidy).join());
  }
  if (display.bands.length === 1 && (display.colormap || display.reversed)) {
    query.set("colormap", (display.colormap || "gray") + (display.reversed ? "_r" : ""));
  }
  const text = query.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "";
}

function tidy(value: number): string {
  return String(Number(value.toPrecision(7)));
}

/** The look as a few words of the address, so that a link shows the same picture. */
export function displayState(image: ImageRecord, display: Display): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(displayQuery(image, display)));
}

/** The look that an address asks for; what it does not say, or says wrongly, stays the image's own. */
export function displayOf(image: ImageRecord, state: Readonly<Record<string, string>>): Display {
  const display = defaultDisplay(image);
  const bands = (state["bands"] ?? "").split(",").map(Number);
  if ([1, 3].includes(bands.length) && bands.every((b) => Number.isInteger(b) && b >= 1 && b <= image.bands.length)) {
    display.bands = bands;
  }
  const values = (state["rescale"] ?? "").split(",").map(Number);
  const complete = values.length === 2 * display.bands.length && values.every(Number.isFinite);
  display.ranges = display.bands.map((_, k) =>
    complete && state["rescale"] ? [values[2 * k] ?? 0, values[2 * k + 1] ?? 0] : null,
  );
  const name = state["colormap"] ?? "";
  const plain = name.replace(/_r$/, "");
  if ((COLORMAPS as readonly string[]).includes(plain)) {
    display.colormap = plain === "gray" ? "" : plain;
    display.reversed = name.endsWith("_r");
  }
  return display;
}
