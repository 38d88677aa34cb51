/** What a brush paints: the pixels whose centres its round tip went over. Pure. */

import { bitsOf, runsOf, type ShapeMember } from "./model";

export type Mask = Extract<ShapeMember, { type: "mask" }>;
type Point = readonly [number, number];

/** Most pixels that one stroke may span. */
export const MOST_PIXELS = 1 << 25;

export interface Stroke {
  /** x0, y0, x1, y1, and z0, z1 in a volume: half-open indexes. */
  box: number[];
  bits: Uint8Array;
}

/** Sides of a box along x, y and z; a raster is one pixel deep. */
export interface Sides {
  low: [number, number, number];
  high: [number, number, number];
  size: [number, number, number];
}

export function sidesOf(box: readonly number[]): Sides {
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0, z0 = 0, z1 = 1] = box;
  return { low: [x0, y0, z0], high: [x1, y1, z1], size: [x1 - x0, y1 - y0, z1 - z0] };
}

function volumeOf({ size }: Sides): number {
  return size[0] * size[1] * size[2];
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
export function painted(mask: Mask, stroke: Stroke, op: "add" | "subtract"): Mask | null {
  const box = op === "add" ? around(mask.box, stroke.box) : mask.box;
  const [whole, before, brushed] = [sidesOf(box), sidesOf(mask.box), sidesOf(stroke.box)];
  const out = new Uint8Array(volumeOf(whole));
  const old = bitsOf(mask.counts, volumeOf(before));
  eachRow(before, whole, (from, to, count) => out.set(old.subarray(from, from + count), to));
  const value = op === "add" ? 1 : 0;
  eachRow(brushed, whole, (from, to, count) => {
    for (let k = 0; k < count; k++) if (stroke.bits[from + k]) out[to + k] = value;
  });
  return out.includes(1) ? { type: "mask", box, order: "C", counts: runsOf(out) } : null;
}

/** The part of a stroke that changes a mask: pixels that it sets, or takes away. */
export function changing(mask: Mask, stroke: Stroke, op: "add" | "subtract"): Stroke {
  const [sides, brushed] = [sidesOf(mask.box), sidesOf(stroke.box)];
  const before = bitsOf(mask.counts, volumeOf(sides));
  const held = new Uint8Array(stroke.bits.length);
  eachRow(sides, brushed, (from, to, count) => held.set(before.subarray(from, from + count), to));
  const wanted = op === "add" ? 0 : 1;
  return { box: stroke.box, bits: stroke.bits.map((bit, k) => (bit && held[k] === wanted ? 1 : 0)) };
}

/** Smallest box around two. */
function around(a: readonly number[], b: readonly number[]): number[] {
  const least = (k: number): number => Math.min(a[k] ?? 0, b[k] ?? 0);
  const most = (k: number): number => Math.max(a[k] ?? 0, b[k] ?? 0);
  const flat = [least(0), least(1), most(2), most(3)];
  return a.length > 4 ? [...flat, least(4), most(5)] : flat;
}

/** Rows of a box as far as they lie in another: where each begins in both, and how long it is. */
function eachRow(from: Sides, to: Sides, visit: (from: number, to: number, count: number) => void): void {
  const [x0, y0, z0] = from.low.map((low, k) => Math.max(low, to.low[k] ?? 0)) as [number, number, number];
  const [x1, y1, z1] = from.high.map((high, k) => Math.min(high, to.high[k] ?? 0)) as [number, number, number];
  const place = ({ low, size }: Sides, y: number, z: number): number => ((z - low[2]) * size[1] + y - low[1]) * size[0] + x0 - low[0];
  if (x1 <= x0) return;
  for (let z = z0; z < z1; z++) for (let y = y0; y < y1; y++) visit(place(from, y, z), place(to, y, z), x1 - x0);
}

/** Whether a stroke goes over set pixels of a mask. */
export function touches(mask: Mask, stroke: Stroke): boolean {
  const [sides, brushed] = [sidesOf(mask.box), sidesOf(stroke.box)];
  if (sides.low.some((low, k) => low >= (brushed.high[k] ?? 0) || (sides.high[k] ?? 0) <= (brushed.low[k] ?? 0))) return false;
  const bits = bitsOf(mask.counts, volumeOf(sides));
  let found = false;
  eachRow(brushed, sides, (from, to, count) => {
    for (let k = 0; k < count && !found; k++) found = Boolean(stroke.bits[from + k] && bits[to + k]);
  });
  return found;
}

/** Whether a pixel of a mask is set. */
export function isSet(mask: Mask, x: number, y: number, z = 0): boolean {
  const { low, high, size } = sidesOf(mask.box);
  if (x < low[0] || y < low[1] || z < low[2] || x >= high[0] || y >= high[1] || z >= high[2]) return false;
  const at = ((z - low[2]) * size[1] + y - low[1]) * size[0] + x - low[0];
  let end = 0;
  for (const [k, count] of mask.counts.entries()) if ((end += count) > at) return k % 2 === 1;
  return false;
}
