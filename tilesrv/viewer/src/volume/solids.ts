/** Boxes and ellipses in the patient: where planes cut them, and how they follow their handles. Pure. */

import type { ShapeMember } from "../annotate/model";
import { add, cross, dot, length, subtract, type Point3 } from "../grid";

/** A block or an ellipse with a frame of its own; flat ones have no extent along the third axis. */
export interface Solid {
  kind: "box" | "cuboid" | "rotated-box" | "ellipse";
  center: Point3;
  /** One long each, right handed. */
  axes: readonly [Point3, Point3, Point3];
  half: readonly [number, number, number];
  flat: boolean;
}

/** A handle: which way it lies from the middle along each axis of the solid. */
export type Handle = readonly [-1 | 0 | 1, -1 | 0 | 1, -1 | 0 | 1];

const WORLD: Solid["axes"] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
/** How far axes may stray from those of the world and still be them: a hundredth of a pixel over 2,000. */
const STRAIGHT = 5e-6;
const ARC = 64;

/** The solid of a shape member of a volume; null for those without one. */
export function solidOf(shape: ShapeMember | undefined): Solid | null {
  if (shape?.type === "box" && shape.minimum.length === 3) {
    const [low, high] = [point3(shape.minimum), point3(shape.maximum)];
    const sides = subtract(high, low);
    return { kind: "box", center: add(low, sides, 0.5), axes: WORLD, half: [sides[0] / 2, sides[1] / 2, sides[2] / 2], flat: false };
  }
  if (shape?.type !== "rotated-box" && shape?.type !== "ellipse" && shape?.type !== "cuboid") return null;
  const center = shape["center"] as number[];
  if (center.length !== 3) return null;
  const sizes = (shape.type === "ellipse" ? shape.radii : (shape["size"] as number[]).map((size) => size / 2));
  const rotation = Array.isArray(shape["rotation"]) ? (shape["rotation"] as number[]) : [1, 0, 0, 0];
  return { kind: shape.type, center: point3(center), axes: axesOf(rotation), half: point3(sizes), flat: sizes.length === 2 };
}

/** The shape member of a solid. */
export function solidMember({ kind, center, axes, half, flat }: Solid): ShapeMember {
  if (kind === "box") return { type: "box", minimum: [...add(center, half, -1)], maximum: [...add(center, half)] };
  const [sizes, rotation] = [half.slice(0, flat ? 2 : 3), quaternionOf(axes)];
  if (kind === "ellipse") return { type: "ellipse", center: [...center], radii: sizes, rotation };
  const size = sizes.map((one) => 2 * one);
  return kind === "cuboid" ? { type: "cuboid", center: [...center], size, rotation } : { type: "rotated-box", center: [...center], size: [size[0] ?? 0, size[1] ?? 0], rotation };
}

/** Directions of a picture: to its right, down, and through it. */
export interface Slab {
  right: Point3;
  down: Point3;
  normal: Point3;
  /** Half the thickness of its slice, mm. */
  half: number;
}

/**
 * What is drawn between two opposite corners on a picture: a box as thick as the slice, which the world's axes hold
 * where the picture lies along them, or a flat ellipse.
 */
export function solidBetween(kind: "box" | "ellipse", a: Point3, b: Point3, slab: Slab): Solid {
  const [right, down] = [unit(slab.right), unit(slab.down)];
  const axes: Solid["axes"] = [right, down, cross(right, down)];
  const way = subtract(b, a);
  const center = add(a, way, 0.5);
  const sides = [Math.abs(dot(way, right)) / 2, Math.abs(dot(way, down)) / 2] as const;
  if (kind === "ellipse") return { kind, center, axes, half: [...sides, 0], flat: true };
  const half: Point3 = [...sides, slab.half];
  if (!axes.every((axis) => Math.max(...axis.map(Math.abs)) > 1 - STRAIGHT * STRAIGHT)) return { kind: "cuboid", center, axes, half, flat: false };
  const along = WORLD.map((axis) => half[axes.findIndex((own) => Math.abs(dot(own, axis)) > 0.5)] ?? 0);
  return { kind: "box", center, axes: WORLD, half: point3(along), flat: false };
}

/** Outline where a plane cuts a solid: a polygon, two ends of a line for flat ones, empty where it passes by. */
export function cutSolid(solid: Solid, origin: Point3, normal: Point3, near: number): Point3[] {
  const away = dot(subtract(solid.center, origin), normal);
  const lean = solid.axes.map((axis, k) => dot(axis, normal) * solid.half[k as 0 | 1 | 2]) as [number, number, number];
  if (solid.flat && Math.abs(dot(solid.axes[2], normal)) > 0.999) {
    if (Math.abs(away) > near) return [];
    return solid.kind === "ellipse" ? arc(solid, [1, 0, 0], [0, 1, 0], [0, 0, 0], 1) : RECTANGLE.map((corner) => placeOn(solid, corner));
  }
  return solid.kind === "ellipse" ? cutEllipse(solid, away, lean) : cutBlock(solid, away, lean);
}

const RECTANGLE: readonly Point3[] = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]];
const CORNERS: readonly Point3[] = Array.from({ length: 8 }, (_, k) => [k & 1 ? 1 : -1, k & 2 ? 1 : -1, k & 4 ? 1 : -1]);

/** Place in the patient of one in units of the solid's half sizes. */
export function placeOn({ center, axes, half }: Solid, [u, v, w]: Point3): Point3 {
  return add(add(add(center, axes[0], u * half[0]), axes[1], v * half[1]), axes[2], w * half[2]);
}

function cutBlock(solid: Solid, away: number, lean: Point3): Point3[] {
  const heights = CORNERS.map((corner) => away + dot(corner, lean));
  const found: Point3[] = [];
  for (const [k, corner] of CORNERS.entries()) {
    for (const bit of solid.flat ? [1, 2] : [1, 2, 4]) {
      const [a = 0, b = 0] = [heights[k], heights[k | bit]];
      if (k & bit || a <= 0 === b <= 0 || (solid.flat && k & 4)) continue;
      const to = CORNERS[k | bit] ?? corner;
      found.push(add(corner, subtract(to, corner), a / (a - b)));
    }
  }
  const middle = found.reduce((sum, place): Point3 => add(sum, place, 1 / found.length), [0, 0, 0] as Point3);
  const places = found.map((place) => placeOn(solid, place));
  return solid.flat ? places : around(places, placeOn(solid, middle));
}

/** Corners in their order around a middle. */
function around(places: Point3[], middle: Point3): Point3[] {
  const [first, second] = [places[0], places.find((place) => length(cross(subtract(place, middle), subtract(places[0] ?? middle, middle))) > 1e-9)];
  if (!first || !second) return places;
  const u = unit(subtract(first, middle));
  const normal = cross(u, subtract(second, middle));
  const v = unit(cross(normal, u));
  const turn = (place: Point3): number => Math.atan2(dot(subtract(place, middle), v), dot(subtract(place, middle), u));
  return places.sort((a, b) => turn(a) - turn(b));
}

/** In units of its radii an ellipsoid is a ball, and a plane stays a plane. */
function cutEllipse(solid: Solid, away: number, lean: Point3): Point3[] {
  const flat: Point3 = solid.flat ? [lean[0], lean[1], 0] : lean;
  const steep = length(flat);
  if (!steep || Math.abs(away) >= steep) return [];
  const toward = unit(flat);
  const middle: Point3 = [toward[0] * (-away / steep), toward[1] * (-away / steep), toward[2] * (-away / steep)];
  const radius = Math.sqrt(1 - (away / steep) ** 2);
  if (solid.flat) {
    const along: Point3 = [-toward[1], toward[0], 0];
    return [placeOn(solid, add(middle, along, -radius)), placeOn(solid, add(middle, along, radius))];
  }
  const least = toward.map(Math.abs).indexOf(Math.min(...toward.map(Math.abs)));
  const u = unit(cross(toward, WORLD[least as 0 | 1 | 2]));
  return arc(solid, u, cross(toward, u), middle, radius);
}

function arc(solid: Solid, u: Point3, v: Point3, middle: Point3, radius: number): Point3[] {
  return Array.from({ length: ARC }, (_, k) => {
    const turn = (2 * Math.PI * k) / ARC;
    return placeOn(solid, add(add(middle, u, radius * Math.cos(turn)), v, radius * Math.sin(turn)));
  });
}

/** Axis of a solid that lies along a normal; -1 where none does. */
function acrossOf(solid: Solid, normal: Point3): number {
  return solid.axes.findIndex((axis) => Math.abs(dot(axis, normal)) > 0.999);
}

/** Handles on a plane that lies along two axes of the solid; none on others. The middle one moves it. */
export function handlesOf(solid: Solid, normal: Point3): { handle: Handle; place: Point3 }[] {
  const across = acrossOf(solid, normal);
  if (across < 0 || (solid.flat && across !== 2)) return [];
  const ends = solid.kind === "ellipse" ? [[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]] : [[-1, -1], [1, -1], [1, 1], [-1, 1], [0, -1], [1, 0], [0, 1], [-1, 0], [0, 0]];
  return ends.map((pair) => {
    const handle = [...pair];
    handle.splice(across, 0, 0);
    return { handle: handle as unknown as Handle, place: placeOn(solid, point3(handle)) };
  });
}

/** The solid after a handle was pulled somewhere on a plane with that normal. */
export function withHandle(solid: Solid, handle: Handle, to: Point3, normal: Point3): Solid {
  const way = subtract(to, solid.center);
  // across is the axis of its own that lies like the normal, so that its axes stay square to each other
  const across = solid.axes[acrossOf(solid, normal) as 0 | 1 | 2] ?? normal;
  const flat = add(way, across, -dot(way, across));
  if (handle.every((side) => !side)) return { ...solid, center: add(solid.center, flat) };
  if (solid.kind === "ellipse") return turned(solid, handle, flat);
  let center = solid.center;
  const half = [...solid.half] as [number, number, number];
  for (const k of [0, 1, 2] as const) {
    const side = handle[k];
    if (!side) continue;
    const reach = dot(flat, solid.axes[k]) * side + solid.half[k]; // from the face across
    half[k] = Math.abs(reach) / 2;
    center = add(center, solid.axes[k], (side * (reach - 2 * solid.half[k])) / 2);
  }
  return { ...solid, center, half };
}

/** An ellipse whose axis ends somewhere else: as long, and turned, as was pulled. The other radii stay. */
function turned(solid: Solid, handle: Handle, to: Point3): Solid {
  const k = handle.findIndex((side) => side !== 0) as 0 | 1 | 2;
  const size = length(to);
  if (!size) return solid;
  const axes = [...solid.axes] as [Point3, Point3, Point3];
  const side = handle[k] as number;
  axes[k] = [(side * to[0]) / size, (side * to[1]) / size, (side * to[2]) / size];
  // of the other two the one that lies in the plane is turned along; that across it stays
  const [one, other] = [((k + 1) % 3) as 0 | 1 | 2, ((k + 2) % 3) as 0 | 1 | 2];
  const free = Math.abs(dot(solid.axes[one], to)) > Math.abs(dot(solid.axes[other], to)) || (solid.flat && other === 2) ? one : other;
  const next = axes[((free + 1) % 3) as 0 | 1 | 2];
  const after = axes[((free + 2) % 3) as 0 | 1 | 2];
  axes[free] = unit(cross(next, after));
  const half = [...solid.half] as [number, number, number];
  half[k] = size;
  return { ...solid, axes, half };
}

function point3(values: readonly number[]): Point3 {
  return [values[0] ?? 0, values[1] ?? 0, values[2] ?? 0];
}

function unit(way: Point3): Point3 {
  const size = length(way) || 1;
  return [way[0] / size, way[1] / size, way[2] / size];
}

/** Axes of a rotation by a quaternion w, x, y, z. */
function axesOf(rotation: readonly number[]): Solid["axes"] {
  const size = Math.hypot(...rotation) || 1;
  const [w = 1, x = 0, y = 0, z = 0] = rotation.map((part) => part / size);
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
    [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
    [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
  ];
}

/** Quaternion w, x, y, z of right-handed axes; the largest of its parts is found first, so that none is divided by nearly 0. */
function quaternionOf([a, b, c]: Solid["axes"]): [number, number, number, number] {
  const squares = [1 + a[0] + b[1] + c[2], 1 + a[0] - b[1] - c[2], 1 - a[0] + b[1] - c[2], 1 - a[0] - b[1] + c[2]];
  const sums = [
    [squares[0], b[2] - c[1], c[0] - a[2], a[1] - b[0]],
    [b[2] - c[1], squares[1], a[1] + b[0], c[0] + a[2]],
    [c[0] - a[2], a[1] + b[0], squares[2], b[2] + c[1]],
    [a[1] - b[0], c[0] + a[2], b[2] + c[1], squares[3]],
  ];
  const row = (sums[squares.indexOf(Math.max(...squares))] ?? []).map((part) => part ?? 0);
  const size = Math.hypot(...row) || 1;
  const sign = (row.find((part) => Math.abs(part) > 1e-12) ?? 1) < 0 ? -size : size;
  return [(row[0] ?? 0) / sign, (row[1] ?? 0) / sign, (row[2] ?? 0) / sign, (row[3] ?? 0) / sign];
}
