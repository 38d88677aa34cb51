/** From slice to slice: copies of what is drawn on one, and what lies between two. Pure. */

import { blend, distancesTo, latticeOf, outlinesOf, pixelDistances, pixelsBetween, type Picture, type Place } from "../annotate/between";
import { painted, type Mask } from "../annotate/brush";
import { newId, type Feature, type Position } from "../annotate/model";
import { add, dot, type Point3 } from "../grid";
import type { Planes } from "./geometry";
import { pictureRings, ringsOf, withRing, withRings } from "./sections";
import { solidMember, solidOf } from "./solids";
import { sliceOf, type SliceBits, type Voxels } from "./voxels";

export type Change = { id: string; feature: Feature | null };

/** What is drawn on a slice put on another one too, in the place of the outlines there; null where the slice shows nothing of it. */
export function copied(feature: Feature, planes: Planes, voxels: Voxels, from: number, to: number): Change | null {
  const way = planes.depth(to) - planes.depth(from);
  const solid = solidOf(feature.shape);
  if (solid?.flat) {
    const near = Math.abs(planes.toPlane(solid.center).index - from) < 1;
    const moved = solidMember({ ...solid, center: add(solid.center, planes.normal, way) });
    const id = newId();
    return near ? { id, feature: { ...feature, id, geometry: null, shape: moved } } : null;
  }
  if (solid) return { id: feature.id, feature: { ...feature, geometry: null, shape: reaching(feature, planes, to) } };
  if (feature.shape?.type === "mask") return copiedBits(feature, feature.shape, planes, voxels, { from, to });
  const rings = ringsOf(feature);
  const drawn = pictureRings(feature, planes);
  const here = (drawn.get(from) ?? []).map(({ ring }) => (rings[ring] ?? []).map(([x = 0, y = 0, z = 0]): Position => [...add([x, y, z], planes.normal, way)]));
  if (!here.length) return null;
  // a second outline on the same slice would be a hole in the first
  const there = new Set(drawn.get(to)?.map(({ ring }) => ring));
  return { id: feature.id, feature: withRings(feature, [...rings.filter((_, k) => !there.has(k)), ...here]) };
}

/** A block that goes on as far as a slice. */
function reaching(feature: Feature, planes: Planes, to: number): NonNullable<Feature["shape"]> {
  const solid = solidOf(feature.shape);
  const origin = planes.origins[to];
  if (!solid || !origin || !feature.shape) throw new RangeError("only a block reaches on");
  const k = solid.axes.map((axis) => Math.abs(dot(axis, planes.normal))).reduce((best, value, at, all) => (value > (all[best] ?? 0) ? at : best), 0) as 0 | 1 | 2;
  const middle = dot(origin, solid.axes[k]) - dot(solid.center, solid.axes[k]);
  const edge = planes.halfStep(to);
  const [low, high] = [Math.min(-solid.half[k], middle - edge), Math.max(solid.half[k], middle + edge)];
  const half = [...solid.half] as [number, number, number];
  half[k] = (high - low) / 2;
  return solidMember({ ...solid, half, center: add(solid.center, solid.axes[k], (low + high) / 2) });
}

function copiedBits(feature: Feature, mask: Mask, planes: Planes, voxels: Voxels, { from, to }: { from: number; to: number }): Change | null {
  const slice = sliceOf(mask, planes, from);
  const shape = slice && painted(mask, { box: voxels.boxOf(planes, to, slice.rectangle), bits: slice.bits }, "add");
  return shape && { id: feature.id, feature: { ...feature, geometry: null, shape } };
}

/** What was put between the slices that are drawn. */
export interface Filled {
  feature: Feature;
  /** Slices that were filled. */
  count: number;
}

/** The feature with outlines, or pixels, on every slice between two that have them; null where nothing is between. */
export function filledBetween(feature: Feature, planes: Planes, voxels: Voxels): Filled | null {
  if (feature.shape?.type === "mask") return filledPixels(feature, feature.shape, planes, voxels);
  return feature.shape?.type === "contours" ? filledRings(feature, planes) : null;
}

/** Weight of a slice between two by its distance from both. */
function weightOf(planes: Planes, [from, to]: readonly [number, number], at: number): number {
  return (planes.depth(at) - planes.depth(from)) / (planes.depth(to) - planes.depth(from));
}

/** Pairs of drawn slices that have others between them. */
function gapsOf(drawn: readonly number[]): [number, number][] {
  const sorted = [...drawn].sort((a, b) => a - b);
  return sorted.flatMap((from, k): [number, number][] => {
    const to = sorted[k + 1];
    return to !== undefined && to - from > 1 ? [[from, to]] : [];
  });
}

function filledRings(feature: Feature, planes: Planes): Filled | null {
  const [down, right] = planes.spacing;
  const drawn = pictureRings(feature, planes);
  const flat = (index: number): Place[][] => (drawn.get(index) ?? []).map(({ points }) => points.map(([c, r]): Place => [c * right, r * down]));
  let [found, count] = [feature, 0];
  for (const gap of gapsOf([...drawn.keys()])) {
    const [first, second] = [flat(gap[0]), flat(gap[1])];
    const lattice = latticeOf([...first, ...second], Math.min(down, right) / 4);
    const [a, b] = [distancesTo(first, lattice), distancesTo(second, lattice)];
    for (let index = gap[0] + 1; index < gap[1]; index++) {
      const rings = outlinesOf(blend(a, b, weightOf(planes, gap, index)));
      for (const ring of rings) {
        const points = ring.map(([u, v]): Position => [...planes.toWorld({ index, row: v / down, column: u / right })]);
        found = withRing(found, Infinity, points) ?? found;
      }
      if (rings.length) count++;
    }
  }
  return count ? { feature: found, count } : null;
}

function filledPixels(feature: Feature, mask: Mask, planes: Planes, voxels: Voxels): Filled | null {
  const slices = new Map<number, SliceBits>();
  for (let index = 0; index < planes.count; index++) {
    const slice = sliceOf(mask, planes, index);
    if (slice) slices.set(index, slice);
  }
  const spacing: Place = [stepOf(voxels, planes, 0), stepOf(voxels, planes, 1)];
  let [shape, count]: [Mask, number] = [mask, 0];
  for (const gap of gapsOf([...slices.keys()])) {
    const [first, second] = gap.map((index) => slices.get(index)) as [SliceBits, SliceBits];
    const [q0, p0, q1, p1] = first.rectangle; // every slice of a mask has the same one
    const wide = q1 - q0 + 2;
    const [a, b] = [pixelDistances(bordered(first), spacing), pixelDistances(bordered(second), spacing)];
    for (let index = gap[0] + 1; index < gap[1]; index++) {
      const bits = unbordered(pixelsBetween(a, b, weightOf(planes, gap, index)), wide);
      if (!bits.includes(1)) continue;
      shape = painted(shape, { box: voxels.boxOf(planes, index, [q0, p0, q1, p1]), bits }, "add") ?? shape;
      count++;
    }
  }
  return count ? { feature: { ...feature, geometry: null, shape }, count } : null;
}

/** Size of a voxel down or across a plane's slice, mm. */
function stepOf(voxels: Voxels, planes: Planes, which: 0 | 1): number {
  const axis = voxels.axesOn(planes)[which];
  const at = (k: number): Point3 => {
    const index: [number, number, number] = [0.5, 0.5, 0.5];
    index[axis] = k;
    return voxels.toWorld(index);
  };
  const [a, b] = [at(0.5), at(1.5)];
  return Math.hypot(b[0] - a[0], b[1] - a[1], b[2] - a[2]);
}

/** With an empty pixel all around. */
function bordered({ rectangle: [q0, p0, q1, p1], bits }: SliceBits): Picture {
  const [wide, tall] = [q1 - q0 + 2, p1 - p0 + 2];
  const out = new Uint8Array(wide * tall);
  for (let p = 0; p < tall - 2; p++) out.set(bits.subarray(p * (wide - 2), (p + 1) * (wide - 2)), (p + 1) * wide + 1);
  return { wide, tall, bits: out };
}

function unbordered(bits: Uint8Array, wide: number): Uint8Array {
  const rows = bits.length / wide - 2;
  const out = new Uint8Array(rows * (wide - 2));
  for (let p = 0; p < rows; p++) out.set(bits.subarray((p + 1) * wide + 1, (p + 2) * wide - 1), p * (wide - 2));
  return out;
}
