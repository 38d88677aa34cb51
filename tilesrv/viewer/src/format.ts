/** Numbers and names as people read them. Pure. */

import type { Frame, ImageRecord } from "./api";

/** A number with about `digits` significant digits, no exponent where it can be avoided, no trailing zeros. */
export function short(value: number | null | undefined, digits = 5): string {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e9)) return value.toExponential(Math.max(0, digits - 2));
  return String(Number(value.toPrecision(digits)));
}

/** A size in bytes. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(units.length, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(count / 1000 ** power < 10 ? 1 : 0)} ${units[power - 1]}`;
}

/** A length in metres. */
export function metres(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 1000) return `${short(value / 1000, 4)} km`;
  if (magnitude >= 1) return `${short(value, 4)} m`;
  return `${short(value * 100, 3)} cm`;
}

/** An area in square metres. */
export function squareMetres(value: number): string {
  if (value >= 1e6) return `${short(value / 1e6, 4)} km²`;
  if (value >= 1e4) return `${short(value / 1e4, 4)} ha`;
  return `${short(value, 4)} m²`;
}

/** A length in millimetres. */
export function millimetres(value: number): string {
  return value >= 100 ? `${short(value / 10, 4)} cm` : `${short(value, 3)} mm`;
}

/** An area in square millimetres. */
export function squareMillimetres(value: number): string {
  return value >= 1000 ? `${short(value / 100, 4)} cm²` : `${short(value, 4)} mm²`;
}

/** Name of a frame: a CRS by its code, or by the name at the head of its WKT. */
export function frameName(frame: Frame): string {
  if (frame.type === "patient") return "patient (LPS)";
  if (frame.type === "pixel") return "no georeference";
  const crs = frame.crs ?? "";
  const name = /^\w+\["([^"]*)"/.exec(crs)?.[1] ?? crs;
  return /^(unnamed|unknown|)$/i.test(name) ? "CRS without a name" : name;
}

/** Whether an image is a volume. */
export function isVolume(image: ImageRecord): boolean {
  return image.axes.includes("z");
}

/** Sizes as people say them: width × height, and slices. */
export function sizeOf(image: ImageRecord): string {
  const along = (axis: string): number | undefined => image.shape[image.axes.indexOf(axis)];
  const parts = [along("x"), along("y"), along("z")].filter((n) => n !== undefined);
  return parts.map((n) => n.toLocaleString("en")).join(" × ");
}

/** Decimal places that tell a thousandth of a step apart, or a hundredth of coarse steps. */
export function placesFor(step: number): number {
  return Math.min(9, Math.max(0, Math.ceil(2 - Math.log10(Math.abs(step) || 1))));
}

/** A number with so many decimal places; zero has no sign. */
export function fixed(value: number, places: number): string {
  const text = value.toFixed(places);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** Longitude and latitude with letters. */
export function lonLat([longitude, latitude]: readonly [number, number], places = 6): string {
  const side = (value: number, letters: string): string =>
    `${Math.abs(value).toFixed(places)}°${Number(value.toFixed(places)) < 0 ? letters[1] : letters[0]}`;
  return `${side(latitude, "NS")} ${side(longitude, "EW")}`;
}

/** The round length (1, 2 or 5 times a power of ten) not above a length. */
export function roundBelow(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}
