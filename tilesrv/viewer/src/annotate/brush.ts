/** What a brush paints: the pixels whose centres its round tip went over. Pure. */

import { bitsOf, runsOf, type ShapeMember } from "./model";

type Mask = Extract<ShapeMember, { type: "mask" }>;
type Point = readonly [number, number];

/** Most pixels that one stroke may span. */
export const MOST_PIXELS = 1 << 25;

export interface Stroke {
  /** x0, y0, x1, y1: half-open indexes. */
  box: [number, number, number, number];
  bits: Uint8Array;
}

/** Pixels of a stroke along places (column, row) with a radius in pixels; null when it touches none, or too many. */
export function strokeOf(points: readonly Point[], radius: number, width: number, height: number): Stroke | null {
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const x0 = Math.max(0, Math.floor(Math.min(...xs) - radius));
  const y0 = Math.max(0, Math.floor(Math.min(...ys) - radius));
  const x1 = Math.min(width, Math.ceil(Math.max(...xs) + radius));
  const y1 = Math.min(height, Math.ceil(Math.max(...ys) + radius));
  if (x1 <= x0 || y1 <= y0 || (x1 - x0) * (y1 - y0) > MOST_PIXELS) return null;
  const bits = new Uint8Array((x1 - x0) * (y1 - y0));
  for (const [k, point] of points.entries()) sweep(bits, [x0, y0, x1, y1], points[Math.max(0, k - 1)] ?? point, point, radius);
  return bits.includes(1) ? { box: [x0, y0, x1, y1], bits } : null;
}

function sweep(bits: Uint8Array, [x0, y0, x1, y1]: readonly number[] & { 0: number; 1: number; 2: number; 3: number }, a: Point, b: Point, radius: number): void {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const size = dx * dx + dy * dy || 1;
  const reach = radius * radius;
  const rows = [Math.max(y0, Math.floor(Math.min(a[1], b[1]) - radius)), Math.min(y1, Math.ceil(Math.max(a[1], b[1]) + radius))] as const;
  const columns = [Math.max(x0, Math.floor(Math.min(a[0], b[0]) - radius)), Math.min(x1, Math.ceil(Math.max(a[0], b[0]) + radius))] as const;
  for (let y = rows[0]; y < rows[1]; y++) {
    for (let x = columns[0]; x < columns[1]; x++) {
      const [px, py] = [x + 0.5 - a[0], y + 0.5 - a[1]];
      const share = Math.min(1, Math.max(0, (px * dx + py * dy) / size));
      const [ex, ey] = [px - share * dx, py - share * dy];
      if (ex * ex + ey * ey <= reach) bits[(y - y0) * (x1 - x0) + (x - x0)] = 1;
    }
  }
}

/** The mask of a stroke alone. */
export function maskOfStroke({ box, bits }: Stroke): Mask {
  return { type: "mask", box: [...box], order: "C", counts: runsOf(bits) };
}

/** A mask after a stroke; null when nothing of it is left. */
export function painted(mask: Mask, { box, bits }: Stroke, op: "add" | "subtract"): Mask | null {
  const [a0 = 0, b0 = 0, a1 = 0, b1 = 0] = mask.box;
  const adds = op === "add";
  const whole = adds ? [Math.min(a0, box[0]), Math.min(b0, box[1]), Math.max(a1, box[2]), Math.max(b1, box[3])] : [a0, b0, a1, b1];
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = whole;
  const out = new Uint8Array((x1 - x0) * (y1 - y0));
  const before = bitsOf(mask.counts, (a1 - a0) * (b1 - b0));
  for (let y = b0; y < b1; y++) out.set(before.subarray((y - b0) * (a1 - a0), (y - b0 + 1) * (a1 - a0)), (y - y0) * (x1 - x0) + a0 - x0);
  for (let y = Math.max(y0, box[1]); y < Math.min(y1, box[3]); y++) {
    for (let x = Math.max(x0, box[0]); x < Math.min(x1, box[2]); x++) {
      if (bits[(y - box[1]) * (box[2] - box[0]) + x - box[0]]) out[(y - y0) * (x1 - x0) + x - x0] = adds ? 1 : 0;
    }
  }
  return out.includes(1) ? { type: "mask", box: whole, order: "C", counts: runsOf(out) } : null;
}
