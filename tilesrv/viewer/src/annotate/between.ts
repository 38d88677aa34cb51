/**
 * Outlines and pixels between two drawn slices, by their maps of signed distances. Pure.
 *
 * Source: Raya and Udupa, "Shape-based interpolation of multidimensional objects", IEEE Transactions on Medical
 * Imaging 9 (1990). Each drawn slice becomes distances to its border, positive inside; a slice between two has their
 * mean, weighted by how near it is to each, and holds what is positive.
 */

import { crosses } from "./crossing";

export type Place = readonly [number, number];

/** Values on a lattice of nodes. */
export interface Field {
  x0: number;
  y0: number;
  step: number;
  wide: number;
  tall: number;
  values: Float64Array;
}

/** Nodes along the longer side of a lattice. */
const NODES = 256;
const EDGE = 2;
/** Part of a step that outlines keep from nodes. */
const NODE = 1e-6;

/** A lattice around rings, with room at its edges; `finest` is the least step that makes sense. */
export function latticeOf(rings: readonly (readonly Place[])[], finest: number): Omit<Field, "values"> {
  const [xs, ys] = [rings.flat().map((p) => p[0]), rings.flat().map((p) => p[1])];
  const [left, top, right, bottom] = [least(xs), least(ys), -least(xs.map((x) => -x)), -least(ys.map((y) => -y))];
  const step = Math.max((right - left) / NODES, (bottom - top) / NODES, finest);
  const count = (size: number): number => Math.ceil(size / step) + 1 + 2 * EDGE;
  return { x0: left - EDGE * step, y0: top - EDGE * step, step, wide: count(right - left), tall: count(bottom - top) };
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Infinity);
}

/** Distances to the outline of rings, positive within them (even-odd). */
export function distancesTo(rings: readonly (readonly Place[])[], lattice: Omit<Field, "values">): Field {
  const edges = Float64Array.from(rings.flatMap((ring) => ring.flatMap((a, k) => {
    const b = ring[(k + 1) % ring.length] ?? a;
    return [a[0], a[1], b[0] - a[0], b[1] - a[1]];
  })));
  const values = new Float64Array(lattice.wide * lattice.tall);
  for (let j = 0; j < lattice.tall; j++) {
    for (let i = 0; i < lattice.wide; i++) {
      values[j * lattice.wide + i] = distance(edges, lattice.x0 + i * lattice.step, lattice.y0 + j * lattice.step);
    }
  }
  return { ...lattice, values };
}

function distance(edges: Float64Array, x: number, y: number): number {
  let nearest = Infinity;
  let inside = false;
  for (let k = 0; k < edges.length; k += 4) {
    const [dx, dy] = [edges[k + 2] as number, edges[k + 3] as number];
    const [px, py] = [x - (edges[k] as number), y - (edges[k + 1] as number)];
    const share = Math.min(1, Math.max(0, (px * dx + py * dy) / (dx * dx + dy * dy || 1)));
    const [ex, ey] = [px - share * dx, py - share * dy];
    nearest = Math.min(nearest, ex * ex + ey * ey);
    if (py < 0 !== py < dy && px < (dx * py) / dy) inside = !inside;
  }
  return inside ? Math.sqrt(nearest) : -Math.sqrt(nearest);
}

/** Mean of two fields of one lattice; 0 is the first, 1 the second. */
export function blend(a: Field, b: Field, weight: number): Field {
  return { ...a, values: a.values.map((value, k) => value * (1 - weight) + (b.values[k] as number) * weight) };
}

/** Rings around what is positive, thinned to a tenth of a step; nothing positive may lie at the border. */
export function outlinesOf(field: Field): [number, number][][] {
  const next = crossings(field);
  const rings: [number, number][][] = [];
  for (const start of next.keys()) {
    const ring: [number, number][] = [];
    for (let at: number | undefined = start; at !== undefined && next.has(at); ) {
      const to: number | undefined = next.get(at);
      next.delete(at);
      ring.push(placeOn(field, at));
      at = to;
    }
    const thin = thinned(ring, field.step / 10);
    if (thin.length >= 3) rings.push(crosses(thin) ? ring : thin);
  }
  return rings;
}

/** From each edge of the lattice on which the sign changes to the next one around; even numbers lie along x. */
function crossings({ values, wide, tall }: Field): Map<number, number> {
  const next = new Map<number, number>();
  for (let j = 0; j + 1 < tall; j++) {
    for (let i = 0; i + 1 < wide; i++) {
      const at = j * wide + i;
      const corners = [at, at + 1, at + wide + 1, at + wide].map((k) => values[k] as number);
      const edges = [2 * at, 2 * (at + 1) + 1, 2 * (at + wide), 2 * at + 1];
      const changes = [0, 1, 2, 3].filter((k) => (corners[k] as number) > 0 !== (corners[(k + 1) % 4] as number) > 0);
      // of four changes those belong together that cut off what the middle is not
      const middle = corners.reduce((sum, value) => sum + value, 0) > 0;
      for (const [n, k] of changes.entries()) {
        if ((corners[k] as number) <= 0) continue;
        const step = changes.length === 4 && !middle ? changes.length - 1 : 1;
        next.set(edges[k] as number, edges[changes[(n + step) % changes.length] as number] as number);
      }
    }
  }
  return next;
}

function placeOn({ values, wide, x0, y0, step }: Field, edge: number): [number, number] {
  const at = edge >> 1;
  const to = edge & 1 ? at + wide : at + 1;
  const [a, b] = [values[at] as number, values[to] as number];
  // never on a node itself, where outlines would meet
  const share = Math.min(1 - NODE, Math.max(NODE, a / (a - b)));
  const [i, j] = [at % wide, Math.floor(at / wide)];
  return [x0 + step * (edge & 1 ? i : i + share), y0 + step * (edge & 1 ? j + share : j)];
}

/** A ring without corners that lie within a tolerance of the line between their neighbours (Douglas and Peucker). */
export function thinned(ring: readonly [number, number][], tolerance: number): [number, number][] {
  const [first] = ring;
  if (!first) return [];
  const far = ring.reduce((best, p, k) => (Math.hypot(p[0] - first[0], p[1] - first[1]) > Math.hypot((ring[best]?.[0] ?? 0) - first[0], (ring[best]?.[1] ?? 0) - first[1]) ? k : best), 0);
  const closed = [...ring, first];
  const keep = new Set([0, far]);
  const parts: [number, number][] = [[0, far], [far, ring.length]];
  for (let part = parts.pop(); part; part = parts.pop()) {
    const [from, to] = part;
    const [a, b] = [closed[from] ?? first, closed[to] ?? first];
    let [worst, most] = [-1, tolerance];
    for (let k = from + 1; k < to; k++) {
      const p = closed[k] ?? first;
      const edge = Float64Array.of(a[0], a[1], b[0] - a[0], b[1] - a[1]);
      const away = Math.abs(distance(edge, p[0], p[1]));
      if (away > most) [worst, most] = [k, away];
    }
    if (worst < 0) continue;
    keep.add(worst);
    parts.push([from, worst], [worst, to]);
  }
  return ring.filter((_, k) => keep.has(k));
}

/** Pixels of a picture. */
export interface Picture {
  wide: number;
  tall: number;
  bits: Uint8Array;
}

/** Distances of a picture's pixels, whose border is not set, to where set ones meet others; `spacing` is that of rows and columns. */
export function pixelDistances({ wide, tall, bits }: Picture, spacing: Place): Float64Array {
  const toOthers = toNearest(bits, wide, tall, false, spacing);
  const toSet = toNearest(bits, wide, tall, true, spacing);
  return toOthers.map((value, k) => value - (toSet[k] as number));
}

/** Pixels where the mean of two pictures' distances is positive; 0 is the first, 1 the second. */
export function pixelsBetween(a: Float64Array, b: Float64Array, weight: number): Uint8Array {
  return Uint8Array.from(a, (value, k) => (value * (1 - weight) + (b[k] as number) * weight > 0 ? 1 : 0));
}

/** Distance of each pixel to the nearest one that is set, or not (Felzenszwalb and Huttenlocher). */
function toNearest(bits: Uint8Array, wide: number, tall: number, wanted: boolean, [down, right]: Place): Float64Array {
  const field = Float64Array.from(bits, (bit) => (Boolean(bit) === wanted ? 0 : Infinity));
  for (let j = 0; j < tall; j++) envelope(field, j * wide, 1, wide, right);
  for (let i = 0; i < wide; i++) envelope(field, i, wide, tall, down);
  return field.map(Math.sqrt);
}

/** Lower envelope of the parabolas on one line of squared distances, in place. */
function envelope(field: Float64Array, start: number, stride: number, count: number, step: number): void {
  const [roots, heights, cuts]: [number[], number[], number[]] = [[], [], []];
  for (let q = 0; q < count; q++) {
    const height = field[start + q * stride] as number;
    if (height === Infinity) continue;
    let meet = -Infinity;
    while (roots.length) {
      const [p, below] = [roots.at(-1) as number, heights.at(-1) as number];
      meet = ((height - below) / (step * step) + q * q - p * p) / (2 * (q - p));
      if (meet > (cuts.at(-1) as number)) break;
      for (const list of [roots, heights, cuts]) list.pop();
      meet = -Infinity;
    }
    roots.push(q);
    heights.push(height);
    cuts.push(meet);
  }
  for (let q = 0, k = 0; q < count && roots.length; q++) {
    while (k + 1 < roots.length && (cuts[k + 1] as number) < q) k++;
    field[start + q * stride] = (heights[k] as number) + ((q - (roots[k] as number)) * step) ** 2;
  }
}
