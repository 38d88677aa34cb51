/** The voxels of a volume: where they lie on the planes' pictures, and which of them a brush went over. Pure. */

import { MOST_PIXELS, sidesOf, type Mask, type Stroke } from "../annotate/brush";
import { add, column, cross, decompose, dot, subtract, type Point3, type Rows } from "../grid";
import type { Planes } from "./geometry";

type Place = readonly [number, number];

/** One line of voxels of a slice, as a plane's picture shows it. */
export interface VoxelLine {
  /** Column and row of the corner where the line begins, half way across it. */
  start: [number, number];
  /** From one voxel to the next. */
  step: [number, number];
  /** From the line's middle to its edge towards the next line, and to the one before. */
  after: [number, number];
  before: [number, number];
}

/** The voxel grid of a volume; indexes are (z, y, x), corner based. */
export class Voxels {
  /** Voxels along z, y and x. */
  readonly shape: readonly [number, number, number];

  constructor(
    private readonly affine: Rows,
    shape: readonly number[],
    private readonly slices: readonly (readonly number[])[] | null,
  ) {
    const [nz = 1, ny = 1, nx = 1] = shape.slice(-3);
    this.shape = [nz, ny, nx];
  }

  /** Size of a voxel in mm³; of uneven stacks the mean one. */
  get volume(): number {
    return Math.abs(dot(column(this.affine, 0), cross(column(this.affine, 1), column(this.affine, 2))));
  }

  /** Whether slices lie at even distances. */
  get isEven(): boolean {
    return !this.slices || this.slices.length < 2;
  }

  /** Place in the patient of an index. Between uneven slices it is taken linearly, and so beyond the ends. */
  toWorld([z, y, x]: Point3): Point3 {
    return add(add(this.origin(z), column(this.affine, 1), y), column(this.affine, 2), x);
  }

  private origin(z: number): Point3 {
    const { affine, slices } = this;
    if (!slices || slices.length < 2) return add(column(affine, 3), column(affine, 0), z);
    const below = Math.min(slices.length - 2, Math.max(0, Math.floor(z - 0.5)));
    const [a, b] = [point3(slices[below]), point3(slices[below + 1])];
    const share = z - 0.5 - below;
    return add([a[0] * (1 - share), a[1] * (1 - share), a[2] * (1 - share)], b, share);
  }

  /** How many voxels a way in the patient leads along x, y and z; of uneven stacks by the mean distance of slices. */
  stepsOf(way: Point3): [number, number, number] {
    const [z, y, x] = decompose(way, column(this.affine, 0), column(this.affine, 1), column(this.affine, 2));
    return [x, y, z];
  }

  /** Axes of the array along which the slice of a plane is counted: lines first, then voxels of a line. */
  axesOn(planes: Planes): [0 | 1, 1 | 2] {
    return [planes.axis === 0 ? 1 : 0, planes.axis === 2 ? 1 : 2];
  }

  /** A line of the slice that a plane shows. Lines are straight and their voxels even, also where slices are not. */
  line(planes: Planes, index: number, p: number): VoxelLine {
    const [lines, along] = this.axesOn(planes);
    const origin = planes.origins[index] ?? [0, 0, 0];
    const place = (down: number, across: number): [number, number] => {
      const at: [number, number, number] = [0, 0, 0];
      at[planes.axis] = planes.storedIndex(index) + 0.5;
      [at[lines], at[along]] = [down, across];
      const { row, column: c } = planes.toPicture(this.toWorld(at), origin);
      return [c, row];
    };
    const start = place(p + 0.5, 0);
    const minus = (a: Place): [number, number] => [a[0] - start[0], a[1] - start[1]];
    return { start, step: minus(place(p + 0.5, 1)), after: minus(place(p + 1, 0)), before: minus(place(p, 0)) };
  }

  /** Places in the patient as counted along the slice of a plane: (voxels of a line, lines), corner based. Lines must be even. */
  placesOn(planes: Planes, index: number, points: readonly (readonly number[])[]): Place[] {
    const [lines, along] = this.axesOn(planes);
    const at: [number, number, number] = [0, 0, 0];
    at[planes.axis] = planes.storedIndex(index) + 0.5;
    const [origin, down, right] = [this.toWorld(at), column(this.affine, lines), column(this.affine, along)];
    return points.map((point) => {
      const [p, q] = decompose(subtract(point3(point), origin), down, right, cross(down, right));
      return [q, p];
    });
  }

  /** Index (z, y, x) of the voxel of a plane's slice that holds a place of its picture; null outside. */
  at(planes: Planes, index: number, place: Place): [number, number, number] | null {
    const [lines, along] = this.axesOn(planes);
    for (let p = 0; p < this.shape[lines]; p++) {
      const { start, step, after, before } = this.line(planes, index, p);
      const side: Place = [after[0] - before[0], after[1] - before[1]];
      const away: Place = [place[0] - start[0], place[1] - start[1]];
      const determinant = step[0] * side[1] - step[1] * side[0];
      const across = Math.floor((away[0] * side[1] - away[1] * side[0]) / determinant);
      const off = (step[0] * away[1] - step[1] * away[0]) / determinant;
      const low = (step[0] * before[1] - step[1] * before[0]) / determinant;
      const high = (step[0] * after[1] - step[1] * after[0]) / determinant;
      if (off < low || off >= high || across < 0 || across >= this.shape[along]) continue;
      const found: [number, number, number] = [0, 0, 0];
      found[planes.axis] = planes.storedIndex(index);
      [found[lines], found[along]] = [p, across];
      return found;
    }
    return null;
  }

  /**
   * Voxels of a plane's slice whose centres a round tip went over. `points` are (column, row) on the picture, `radius`
   * is in mm. Null when there is none, or too many.
   */
  stroke(planes: Planes, index: number, points: readonly Place[], radius: number): Stroke | null {
    const [lines, along] = this.axesOn(planes);
    const [high, wide] = [this.shape[lines], this.shape[along]];
    if (high * wide > MOST_PIXELS) return null;
    const bits = new Uint8Array(high * wide);
    const [down, right] = planes.spacing;
    const flat = points.map(([c, r]): Place => [c * right, r * down]);
    const found: [number, number, number, number] = [wide, high, 0, 0];
    for (let p = 0; p < high; p++) {
      const { start, step } = this.line(planes, index, p);
      const first: Place = [start[0] * right, start[1] * down];
      const way: Place = [step[0] * right, step[1] * down];
      for (const [k, to] of flat.entries()) {
        const from = flat[Math.max(0, k - 1)] ?? to;
        const [low, top] = reach(first, way, from, to, radius, wide);
        for (let q = low; q < top; q++) {
          if (toSegment([first[0] + (q + 0.5) * way[0], first[1] + (q + 0.5) * way[1]], from, to) > radius) continue;
          bits[p * wide + q] = 1;
          found[0] = Math.min(found[0], q);
          found[1] = Math.min(found[1], p);
          found[2] = Math.max(found[2], q + 1);
          found[3] = Math.max(found[3], p + 1);
        }
      }
    }
    return found[2] > found[0] ? { box: this.boxOf(planes, index, found), bits: cut(bits, wide, found) } : null;
  }

  /** Box of a mask that holds a rectangle (q0, p0, q1, p1) of a plane's slice. */
  boxOf(planes: Planes, index: number, [q0, p0, q1, p1]: readonly [number, number, number, number]): number[] {
    const k = planes.storedIndex(index);
    if (planes.axis === 0) return [q0, p0, q1, p1, k, k + 1];
    return planes.axis === 1 ? [q0, k, q1, k + 1, p0, p1] : [k, q0, k + 1, q1, p0, p1];
  }
}

/** A slice through a mask: bits of lines p0…p1 and voxels q0…q1. */
export interface SliceBits {
  rectangle: [number, number, number, number];
  bits: Uint8Array;
}

/** The slice of a mask that a plane shows; null where it has no voxel. */
export function sliceOf(mask: Mask, planes: Planes, index: number): SliceBits | null {
  const { low, high, size } = sidesOf(mask.box);
  const axis = 2 - planes.axis; // boxes name x first, arrays z
  const k = planes.storedIndex(index) - (low[axis] ?? 0);
  if (k < 0 || k >= (size[axis] ?? 0)) return null;
  const [q, p] = planes.axis === 0 ? [0, 1] : planes.axis === 1 ? [0, 2] : [1, 2];
  const [wide, tall] = [size[q] ?? 0, size[p] ?? 0];
  const strides = [1, size[0], size[0] * size[1]];
  const [acrossStep, downStep, start] = [strides[q] ?? 1, strides[p] ?? 1, k * (strides[axis] ?? 1)];
  const ends = endsOf(mask);
  const bits = new Uint8Array(wide * tall);
  let any = false;
  let run = 0;
  // places are met in the order of the runs: lines grow slower than the voxels within them
  for (let line = 0; line < tall; line++) {
    for (let at = 0; at < wide; ) {
      const place = start + line * downStep + at * acrossStep;
      while ((ends[run] ?? Infinity) <= place) run++;
      const left = Math.ceil(((ends[run] ?? Infinity) - place) / acrossStep);
      const next = Math.min(wide, at + left);
      if (run % 2) {
        bits.fill(1, line * wide + at, line * wide + next);
        any = true;
      }
      at = next;
    }
  }
  const rectangle: SliceBits["rectangle"] = [low[q] ?? 0, low[p] ?? 0, high[q] ?? 0, high[p] ?? 0];
  return any ? { rectangle, bits } : null;
}

const kept = new WeakMap<Mask, Float64Array>();

/** Where each run of a mask ends, in voxels of its box. */
function endsOf(mask: Mask): Float64Array {
  let found = kept.get(mask);
  if (!found) {
    found = new Float64Array(mask.counts.length);
    let end = 0;
    for (const [k, count] of mask.counts.entries()) found[k] = end += count;
    kept.set(mask, found);
  }
  return found;
}

function point3(values: readonly number[] | undefined): Point3 {
  return [values?.[0] ?? 0, values?.[1] ?? 0, values?.[2] ?? 0];
}

/** Voxels of a line that may lie within the reach of a stretch: those in its box, grown by the radius. */
function reach(first: Place, way: Place, a: Place, b: Place, radius: number, count: number): [number, number] {
  let [low, high] = [0, count];
  for (const k of [0, 1] as const) {
    const [least, most] = [Math.min(a[k], b[k]) - radius, Math.max(a[k], b[k]) + radius];
    if (Math.abs(way[k]) < 1e-12) {
      if (first[k] < least || first[k] > most) return [0, 0];
      continue;
    }
    const ends = [(least - first[k]) / way[k] - 0.5, (most - first[k]) / way[k] - 0.5];
    low = Math.max(low, Math.floor(Math.min(...ends)));
    high = Math.min(high, Math.ceil(Math.max(...ends)) + 1);
  }
  return [low, high];
}

function toSegment(at: Place, a: Place, b: Place): number {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const share = Math.min(1, Math.max(0, ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(at[0] - a[0] - share * dx, at[1] - a[1] - share * dy);
}

function cut(bits: Uint8Array, wide: number, [q0, p0, q1, p1]: readonly [number, number, number, number]): Uint8Array {
  const out = new Uint8Array((q1 - q0) * (p1 - p0));
  for (let p = p0; p < p1; p++) out.set(bits.subarray(p * wide + q0, p * wide + q1), (p - p0) * (q1 - q0));
  return out;
}
