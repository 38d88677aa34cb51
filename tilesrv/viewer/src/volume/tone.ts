/** Values as shades. Pure. */

import type { Numbers } from "../npy";

export interface Slice {
  data: Numbers;
  bands: number;
  rows: number;
  columns: number;
}

/** How stored values become the modality's unit where one slope holds for all of them. */
export interface Slope {
  slope: number;
  intercept: number;
}

/** RGBA of a slice in a range of values of the unit; three bands are colours as they are. */
export function paint(slice: Slice, [low, high]: readonly [number, number], { slope, intercept }: Slope, inverted: boolean): Uint8ClampedArray<ArrayBuffer> {
  const count = slice.rows * slice.columns;
  const out = new Uint8ClampedArray(count * 4);
  const pixels = new Uint32Array(out.buffer);
  const data = slice.data;
  if (slice.bands === 3) {
    for (let k = 0; k < count; k++) {
      pixels[k] = 0xff000000 | ((data[2 * count + k] ?? 0) << 16) | ((data[count + k] ?? 0) << 8) | (data[k] ?? 0);
    }
    return out;
  }
  const factor = ((inverted ? -255 : 255) * slope) / (high - low || Number.EPSILON);
  const offset = (inverted ? 255 : 0) + ((inverted ? -255 : 255) * (intercept - low)) / (high - low || Number.EPSILON) + 0.5;
  for (let k = 0; k < count; k++) {
    const value = (data[k] as number) * factor + offset;
    // NaN, which marks missing values, fails both comparisons and becomes 0
    const shade = value >= 255 ? 255 : value > 0 ? value | 0 : 0;
    pixels[k] = 0xff000000 | (shade << 16) | (shade << 8) | shade;
  }
  return out;
}

/** Value in the unit at a row and column of the first band; null outside, and where it is missing. */
export function valueAt(slice: Slice, row: number, column: number, { slope, intercept }: Slope): number | null {
  const [r, c] = [Math.floor(row), Math.floor(column)];
  if (r < 0 || c < 0 || r >= slice.rows || c >= slice.columns) return null;
  const stored = slice.data[r * slice.columns + c];
  return stored === undefined || Number.isNaN(stored) ? null : stored * slope + intercept;
}
