/** Lengths, areas and angles on the ellipsoid of WGS 84 (C. Karney's GeographicLib). Places are longitude, latitude. Pure. */

import { Geodesic } from "geographiclib-geodesic";

export type Degrees = readonly [number, number];

const EARTH = Geodesic.WGS84;

/** Metres along the geodesics between places. */
export function pathLength(path: readonly Degrees[]): number {
  return path.slice(1).reduce((sum, to, k) => sum + (inverse(path[k] ?? to, to).s12 ?? 0), 0);
}

/** Square metres that a ring of geodesics encloses; whether its last place repeats the first does not matter. */
export function ringArea(ring: readonly Degrees[]): number {
  const polygon = EARTH.Polygon(false);
  for (const [longitude, latitude] of ring) polygon.AddPoint(latitude, longitude);
  return Math.abs(polygon.Compute(false, true).area ?? 0);
}

/** Angle at `b` between the ways to `a` and to `c`, degrees from 0 to 180. */
export function angleBetween(a: Degrees, b: Degrees, c: Degrees): number {
  const turn = Math.abs((inverse(b, a).azi1 ?? 0) - (inverse(b, c).azi1 ?? 0)) % 360;
  return turn > 180 ? 360 - turn : turn;
}

function inverse([lon1, lat1]: Degrees, [lon2, lat2]: Degrees): { s12?: number; azi1?: number } {
  return EARTH.Inverse(lat1, lon1, lat2, lon2);
}

/** Longitudes from west to east that hold all of some; beyond 180 where they lie on both sides of the antimeridian. Pure. */
export function longitudeSpan(longitudes: readonly number[]): [number, number] {
  const sorted = [...longitudes].sort((a, b) => a - b);
  let [west, east, widest] = [sorted[0] ?? 0, sorted.at(-1) ?? 0, 360 - ((sorted.at(-1) ?? 0) - (sorted[0] ?? 0))];
  sorted.forEach((here, k) => {
    const next = sorted[k + 1];
    if (next === undefined || next - here <= widest) return;
    [west, east, widest] = [next, here + 360, next - here];
  });
  return [west, east];
}
