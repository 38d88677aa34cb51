/** Values of a slice within an outline. Pure. */

import { short } from "../format";
import type { Slice, Slope } from "./tone";

export interface Roi {
  /** Pixels whose centres lie within, without those that are missing. */
  count: number;
  /** Their area, mm². */
  area: number;
  mean: number;
  /** Divided by the count. */
  std: number;
  minimum: number;
  maximum: number;
}

/** A plane's size in its own pixels, and their size in mm: rows, then columns. */
export interface Sheet {
  rows: number;
  columns: number;
  spacing: readonly [number, number];
}

/** Whether a column and row lie within, by the even-odd rule. */
type Inside = (place: readonly [number, number]) => boolean;

/**
 * Statistics of the first band of a slice where `inside` holds, in the unit. `box` is columns and rows that may: x0, y0,
 * x1, y1. The slice may be coarser than the plane. Null where no pixel lies within, or none has a value.
 */
export function roiOf({ slice, slope }: { slice: Slice; slope: Slope }, sheet: Sheet, box: readonly number[], inside: Inside): Roi | null {
  const [wide, high] = [sheet.columns / slice.columns, sheet.rows / slice.rows];
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = box;
  let [count, mean, squares, minimum, maximum] = [0, 0, 0, Infinity, -Infinity];
  for (let row = Math.max(0, Math.floor(y0 / high)); row < Math.min(slice.rows, Math.ceil(y1 / high)); row++) {
    for (let column = Math.max(0, Math.floor(x0 / wide)); column < Math.min(slice.columns, Math.ceil(x1 / wide)); column++) {
      if (!inside([(column + 0.5) * wide, (row + 0.5) * high])) continue;
      const value = (slice.data[row * slice.columns + column] ?? NaN) * slope.slope + slope.intercept;
      if (Number.isNaN(value)) continue;
      count++;
      const apart = value - mean; // Welford's running mean, which large values do not spoil
      mean += apart / count;
      squares += apart * (value - mean);
      minimum = Math.min(minimum, value);
      maximum = Math.max(maximum, value);
    }
  }
  const area = count * wide * high * sheet.spacing[0] * sheet.spacing[1];
  return count ? { count, area, mean, std: Math.sqrt(squares / count), minimum, maximum } : null;
}

/** Statistics in words. */
export function roiWords({ count, mean, std, minimum, maximum }: Roi, unit: string): string {
  const end = unit ? ` ${unit}` : "";
  return `${count.toLocaleString("en")} pixels\nmean ${short(mean)} ± ${short(std, 4)}, ${short(minimum)} to ${short(maximum)}${end}`;
}

/** Corners of the ellipse that fits between two opposite corners. */
export function ellipseBetween([ax, ay]: readonly [number, number], [bx, by]: readonly [number, number]): [number, number][] {
  const [x, y, a, b] = [(ax + bx) / 2, (ay + by) / 2, Math.abs(bx - ax) / 2, Math.abs(by - ay) / 2];
  return Array.from({ length: 72 }, (_, k) => [x + a * Math.cos((k * Math.PI) / 36), y + b * Math.sin((k * Math.PI) / 36)]);
}
