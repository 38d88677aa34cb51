/** What annotations of a volume look like on one of its planes. Pure. */

import type { Feature, Position } from "../annotate/model";
import { joinsOf, type Keypoints } from "../scene/keypoints";
import { cross, dot, length, subtract, type Point3 } from "../grid";
import { bandsAcross, type Planes } from "./geometry";
import { cutSolid, solidOf } from "./solids";

/** Something to draw on a plane; points are (column, row). */
export interface Section {
  id: string;
  kind: "ring" | "line" | "point" | "band" | "solid" | "join";
  points: [number, number][];
  /** Which of the feature's rings it is; -1 for all else. */
  ring: number;
  /** Which of the feature's points it is, of points. */
  corner?: number;
  /** What a key point is called. */
  name?: string;
}

interface Ring {
  points: Point3[];
  normal: Point3;
  closed: boolean;
}

const kept = new WeakMap<Feature, Ring[]>();

function point3(position: Position): Point3 {
  return [position[0] ?? 0, position[1] ?? 0, position[2] ?? 0];
}

/** Area vector of a ring, made one long: the normal of its plane (Newell's sum). */
function normalOf(points: readonly Point3[]): Point3 {
  const first = points[0] ?? [0, 0, 0];
  let sum: Point3 = [0, 0, 0];
  for (let k = 1; k + 1 < points.length; k++) {
    const part = cross(subtract(points[k] ?? first, first), subtract(points[k + 1] ?? first, first));
    sum = [sum[0] + part[0], sum[1] + part[1], sum[2] + part[2]];
  }
  const size = length(sum) || 1;
  return [sum[0] / size, sum[1] / size, sum[2] / size];
}

/** Rings of a feature without their repeated last corner, in the order of its coordinates. */
export function ringsOf(feature: Feature): Position[][] {
  if (feature.shape?.type === "contours") return (feature.shape["rings"] as Position[][]).map(opened);
  const geometry = feature.geometry;
  const rings = geometry?.type === "Polygon" ? geometry.coordinates : geometry?.type === "MultiPolygon" ? geometry.coordinates.flat() : [];
  return rings.map(opened);
}

/** A ring without a last corner that repeats its first. */
function opened(ring: Position[]): Position[] {
  const [first, last] = [ring[0], ring.at(-1)];
  return first && last && ring.length > 3 && first.every((value, k) => value === last[k]) ? ring.slice(0, -1) : ring;
}

function shapesOf(feature: Feature): Ring[] {
  const found = kept.get(feature);
  if (found) return found;
  const rings = ringsOf(feature).map((ring): Ring => {
    const points = ring.map(point3);
    return { points, normal: normalOf(points), closed: true };
  });
  kept.set(feature, rings);
  return rings;
}

/** Everything of a feature that a plane shows. `thickness` is how thick its contours are, mm. */
export function sectionsOf(feature: Feature, planes: Planes, index: number, thickness: (normal: Point3) => number): Section[] {
  const geometry = feature.geometry;
  const near = planes.halfStep(index) * 1.001;
  const origin = planes.origins[index];
  if (!origin) return [];
  const away = (point: Point3): number => dot(subtract(point, origin), planes.normal);
  const place = (point: Point3): [number, number] => {
    const on = planes.toPicture(point, origin);
    return [on.column, on.row];
  };
  // pixels are drawn as such
  if (feature.shape?.type === "mask") return [];
  const isNear = (position: Position): boolean => Math.abs(away(point3(position))) <= near;
  if (feature.shape?.type === "keypoints") return keypointSections(feature.id, feature.shape, isNear, (position) => place(point3(position)));
  const solid = solidOf(feature.shape);
  if (solid) {
    const points = cutSolid(solid, origin, planes.normal, near).map(place);
    return points.length ? [{ id: feature.id, kind: points.length > 2 ? "solid" : "line", ring: -1, points }] : [];
  }
  const rings = shapesOf(feature).flatMap((ring, k): Section[] => {
    const lies = Math.abs(dot(ring.normal, planes.normal)) > 0.999;
    if (lies) {
      const on = ring.points.every((point) => Math.abs(away(point)) <= near);
      return on ? [{ id: feature.id, kind: "ring", ring: k, points: ring.points.map(place) }] : [];
    }
    return bandsAcross(ring.points, planes, index, thickness(ring.normal), ring.normal).map((band) => ({
      id: feature.id, kind: "band", ring: k, points: band.points,
    }));
  });
  if (rings.length) return rings;
  if (geometry?.type === "Point" || geometry?.type === "MultiPoint") {
    const points = geometry.type === "Point" ? [geometry.coordinates] : geometry.coordinates;
    return points.flatMap((point, corner): Section[] => (isNear(point) ? [{ id: feature.id, kind: "point", ring: -1, corner, points: [place(point3(point))] }] : []));
  }
  if (geometry?.type === "LineString") {
    const points = geometry.coordinates.map(point3);
    return geometry.coordinates.every(isNear) ? [{ id: feature.id, kind: "line", ring: -1, points: points.map(place) }] : [];
  }
  return [];
}

/** Key points near a plane, and the stretches between those that are joined. */
function keypointSections(id: string, shape: Keypoints, isNear: (position: Position) => boolean, place: (position: Position) => [number, number]): Section[] {
  const joins = joinsOf(shape).filter((ends) => ends.every(isNear));
  const points = shape.points.flatMap((point, corner): Section[] => (point && isNear(point)
    ? [{ id, kind: "point", ring: -1, corner, name: shape.names?.[corner] ?? String(corner + 1), points: [place(point)] }] : []));
  return [...joins.map((ends): Section => ({ id, kind: "join", ring: -1, points: ends.map(place) })), ...points];
}

/** Rings of a feature that lie like a kind of planes, by the plane that each is on; points are (column, row). */
export function pictureRings(feature: Feature, planes: Planes): Map<number, { ring: number; points: [number, number][] }[]> {
  const found = new Map<number, { ring: number; points: [number, number][] }[]>();
  for (const [ring, { points, normal }] of shapesOf(feature).entries()) {
    const first = points[0];
    if (!first || Math.abs(dot(normal, planes.normal)) <= 0.999) continue;
    const { index } = planes.toPlane(first);
    const origin = planes.origins[index] ?? first;
    const placed = points.map((point): [number, number] => {
      const { row, column } = planes.toPicture(point, origin);
      return [column, row];
    });
    found.set(index, [...(found.get(index) ?? []), { ring, points: placed }]);
  }
  return found;
}

/** Whether a place lies within a ring (even-odd). */
export function isInside([x, y]: readonly [number, number], ring: readonly (readonly [number, number])[]): boolean {
  let inside = false;
  for (const [k, [ax, ay]] of ring.entries()) {
    const [bx, by] = ring[(k + 1) % ring.length] ?? [ax, ay];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** The feature with one of its rings replaced, or taken away, or with a further one; null when none is left. */
export function withRing(feature: Feature, k: number, ring: Position[] | null): Feature | null {
  const rings = [...ringsOf(feature)];
  if (ring && k >= rings.length) rings.push(ring);
  else if (ring) rings[k] = ring;
  else rings.splice(k, 1);
  return rings.length ? withRings(feature, rings) : null;
}

/** The feature with these rings. */
export function withRings(feature: Feature, rings: Position[][]): Feature {
  const closed = (one: Position[]): Position[] => [...one, one[0] ?? []];
  return {
    ...feature,
    geometry: { type: "MultiPolygon", coordinates: rings.map((one) => [closed(one)]) },
    shape: { type: "contours", rings },
  };
}

/** Area within rings of one plane in mm², and the length around the first. */
export function ringSize(points: readonly Point3[]): { area: number; around: number } {
  let sum: Point3 = [0, 0, 0];
  let around = 0;
  const first = points[0] ?? [0, 0, 0];
  for (const [k, point] of points.entries()) {
    const next = points[(k + 1) % points.length] ?? first;
    around += length(subtract(next, point));
    const part = cross(subtract(point, first), subtract(next, first));
    sum = [sum[0] + part[0], sum[1] + part[1], sum[2] + part[2]];
  }
  return { area: length(sum) / 2, around };
}
