/** Boxes, rotated boxes and ellipses of rasters: their outlines, and how they follow their handles. World places. Pure. */

import type { Point2 } from "../grid";
import type { Feature, Position, ShapeMember } from "./model";

/** A shape with a centre, two sizes along its own axes, and an angle in degrees from +x towards +y. */
export interface Framed {
  kind: "box" | "rotated-box" | "ellipse";
  center: [number, number];
  size: [number, number];
  angle: number;
}

const CORNERS = [[-1, -1], [1, -1], [1, 1], [-1, 1]] as const;

/** The frame of a shape member; null for those without one. */
export function framedOf(shape: ShapeMember | undefined): Framed | null {
  if (shape?.type === "box" && shape.minimum.length === 2) {
    const [[x0 = 0, y0 = 0], [x1 = 0, y1 = 0]] = [shape.minimum, shape.maximum];
    return { kind: "box", center: [(x0 + x1) / 2, (y0 + y1) / 2], size: [x1 - x0, y1 - y0], angle: 0 };
  }
  if ((shape?.type !== "rotated-box" && shape?.type !== "ellipse") || shape.center.length !== 2) return null;
  const [x = 0, y = 0] = shape.center;
  const angle = typeof shape.rotation === "number" ? shape.rotation : 0;
  if (shape.type === "rotated-box") return { kind: "rotated-box", center: [x, y], size: [...shape.size], angle };
  return { kind: "ellipse", center: [x, y], size: [2 * (shape.radii[0] ?? 0), 2 * (shape.radii[1] ?? 0)], angle };
}

/** The shape member of a frame. */
export function memberOf({ kind, center, size, angle }: Framed): ShapeMember {
  const [x, y] = center;
  const [w, h] = [Math.abs(size[0]), Math.abs(size[1])];
  if (kind === "box") return { type: "box", minimum: [x - w / 2, y - h / 2], maximum: [x + w / 2, y + h / 2] };
  if (kind === "ellipse") return { type: "ellipse", center: [x, y], radii: [w / 2, h / 2], rotation: angle };
  return { type: "rotated-box", center: [x, y], size: [w, h], rotation: angle };
}

function turned([x, y]: Point2, degrees: number): [number, number] {
  const [c, s] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  return [c * x - s * y, s * x + c * y];
}

/** Place of a point in units of half the size. */
export function placeOn({ center, size, angle }: Framed, [u, v]: Point2): [number, number] {
  const [dx, dy] = turned([(u * size[0]) / 2, (v * size[1]) / 2], angle);
  return [center[0] + dx, center[1] + dy];
}

/** The four corners of its rectangle, around. */
export function cornersOf(framed: Framed): [number, number][] {
  return CORNERS.map((corner) => placeOn(framed, corner));
}

/** Closed outline: four corners, or 64 of an ellipse. */
export function outlineOf(framed: Framed): [number, number][] {
  const points = framed.kind === "ellipse"
    ? Array.from({ length: 64 }, (_, k) => placeOn(framed, [Math.cos((k * Math.PI) / 32), Math.sin((k * Math.PI) / 32)]))
    : cornersOf(framed);
  return [...points, points[0] ?? framed.center];
}

/** The shape after a corner was dragged somewhere: the corner across stays. */
export function withCorner(framed: Framed, corner: number, to: Point2): Framed {
  const [u = 1, v = 1] = CORNERS[corner] ?? [];
  const fixed = placeOn(framed, [-u, -v]);
  const [w, h] = turned([to[0] - fixed[0], to[1] - fixed[1]], -framed.angle);
  return { ...framed, center: [(fixed[0] + to[0]) / 2, (fixed[1] + to[1]) / 2], size: [Math.abs(w), Math.abs(h)] };
}

/** The shape turned so that its upper middle points somewhere. A plain box becomes a rotated one. */
export function withAngle(framed: Framed, to: Point2): Framed {
  const angle = (Math.atan2(to[1] - framed.center[1], to[0] - framed.center[0]) * 180) / Math.PI - 90;
  const kind = framed.kind === "box" ? "rotated-box" : framed.kind;
  return { ...framed, kind, angle: ((angle % 360) + 360) % 360 };
}

/** The shape between two opposite corners along the world's axes. */
export function between(kind: "box" | "ellipse", a: Point2, b: Point2): Framed {
  return { kind, center: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], size: [Math.abs(b[0] - a[0]), Math.abs(b[1] - a[1])], angle: 0 };
}

/** The rectangle on an edge from a to b that reaches as far as c. */
export function onEdge(a: Point2, b: Point2, c: Point2): Framed {
  const along = Math.hypot(b[0] - a[0], b[1] - a[1]);
  const angle = (Math.atan2(b[1] - a[1], b[0] - a[0]) * 180) / Math.PI;
  const across = turned([c[0] - a[0], c[1] - a[1]], -angle)[1];
  const middle = turned([along / 2, across / 2], angle);
  return { kind: "rotated-box", center: [a[0] + middle[0], a[1] + middle[1]], size: [along, Math.abs(across)], angle };
}

/** All rings, lines or points of a feature in the image's frame; a shape member counts before the geometry. */
export function outlines(feature: Feature): Position[][] {
  const framed = framedOf(feature.shape);
  if (framed) return [outlineOf(framed)];
  if (feature.shape?.type === "keypoints") return [feature.shape.points.filter((point) => point !== null)];
  const geometry = feature.geometry;
  switch (geometry?.type) {
    case "Point": return [[geometry.coordinates]];
    case "MultiPoint": case "LineString": return [geometry.coordinates];
    case "MultiLineString": case "Polygon": return geometry.coordinates;
    case "MultiPolygon": return geometry.coordinates.flat();
    default: return [];
  }
}

/** Places along a line that lie at least so far from the one before that was kept; the first is. */
export function apart<P extends readonly number[]>(line: readonly P[], least: number): P[] {
  let [x, y] = [Infinity, Infinity];
  return line.filter((place) => {
    const [u = 0, v = 0] = place;
    if (Math.hypot(u - x, v - y) < least) return false;
    [x, y] = [u, v];
    return true;
  });
}
