/** Whole annotations moved to another place of a volume. Pure. */

import { sidesOf } from "../annotate/brush";
import type { Feature, Position } from "../annotate/model";
import { add, type Point3 } from "../grid";
import { ringsOf, withRings } from "./sections";
import { solidMember, solidOf } from "./solids";

/** How whole voxels move: along x, y and z. */
export type Step3 = readonly [number, number, number];

/** The feature moved by millimetres, or by whole voxels where it is painted; null where nothing can be moved. */
export function moved(feature: Feature, by: Point3, voxels: Step3, size: Step3): Feature | null {
  const { geometry, shape } = feature;
  const to = (position: Position): Position => [...add([position[0] ?? 0, position[1] ?? 0, position[2] ?? 0], by)];
  const solid = solidOf(shape);
  if (solid) return { ...feature, geometry: null, shape: solidMember({ ...solid, center: add(solid.center, by) }) };
  if (shape?.type === "mask") return movedMask(feature, voxels, size);
  if (shape?.type === "keypoints") return { ...feature, geometry: null, shape: { ...shape, points: shape.points.map((point) => point && to(point)) } };
  const rings = ringsOf(feature);
  if (rings.length) return withRings(feature, rings.map((ring) => ring.map(to)));
  if (geometry?.type === "Point") return { ...feature, geometry: { type: "Point", coordinates: to(geometry.coordinates) } };
  if (geometry?.type === "MultiPoint" || geometry?.type === "LineString") return { ...feature, geometry: { ...geometry, coordinates: geometry.coordinates.map(to) } };
  return null;
}

/** Painted voxels go no further than the volume reaches. */
function movedMask(feature: Feature, by: Step3, size: Step3): Feature | null {
  if (feature.shape?.type !== "mask") return null;
  const { low, high } = sidesOf(feature.shape.box);
  const step = by.map((way, k) => Math.min((size[k] ?? 0) - (high[k] ?? 0), Math.max(-(low[k] ?? 0), Math.round(way))));
  const [x = 0, y = 0, z = 0] = step;
  const [x0 = 0, y0 = 0, x1 = 0, y1 = 0, z0 = 0, z1 = 1] = feature.shape.box;
  const box = [x0 + x, y0 + y, x1 + x, y1 + y, z0 + z, z1 + z];
  return { ...feature, geometry: null, shape: { ...feature.shape, box } };
}

/** The feature with its outlines on one slice moved only. */
export function movedRings(feature: Feature, which: ReadonlySet<number>, by: Point3): Feature {
  return withRings(feature, ringsOf(feature).map((ring, k) => (which.has(k) ? ring.map(([x = 0, y = 0, z = 0]): Position => [...add([x, y, z], by)]) : ring)));
}
