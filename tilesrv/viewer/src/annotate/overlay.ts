/**
 * Cutting and joining areas and lines, by the JTS topology suite; loaded when it is first wanted. Coordinates are the
 * image's own frame in float64, and corners that an operation leaves alone stay bit for bit what they were. Pure.
 */

import InteriorPointArea from "jsts/org/locationtech/jts/algorithm/InteriorPointArea.js";
import SimplePointInAreaLocator from "jsts/org/locationtech/jts/algorithm/locate/SimplePointInAreaLocator.js";
import Coordinate from "jsts/org/locationtech/jts/geom/Coordinate.js";
import GeometryFactory from "jsts/org/locationtech/jts/geom/GeometryFactory.js";
import Location from "jsts/org/locationtech/jts/geom/Location.js";
import OverlayOp from "jsts/org/locationtech/jts/operation/overlay/OverlayOp.js";
import SnapIfNeededOverlayOp from "jsts/org/locationtech/jts/operation/overlay/snap/SnapIfNeededOverlayOp.js";
import Polygonizer from "jsts/org/locationtech/jts/operation/polygonize/Polygonizer.js";
import IsValidOp from "jsts/org/locationtech/jts/operation/valid/IsValidOp.js";
import { winding } from "./crossing";
import type { Geometry, Position } from "./model";

/** The parts of JTS that are used here; its own declarations leave most open. */
interface Jts {
  getNumGeometries(): number;
  getGeometryN(n: number): Jts;
  getGeometryType(): string;
  getArea(): number;
  getLength(): number;
  isEmpty(): boolean;
}
interface JtsPoint {
  x: number;
  y: number;
}
interface JtsLine extends Jts {
  getCoordinates(): JtsPoint[];
}
interface JtsPolygon extends Jts {
  getExteriorRing(): JtsLine;
  getNumInteriorRing(): number;
  getInteriorRingN(n: number): JtsLine;
}
type Polygon = Position[][];
type Areas = { type: "Polygon"; coordinates: Polygon } | { type: "MultiPolygon"; coordinates: Polygon[] };

const factory = new GeometryFactory();

/** An outline that crosses itself has no inside that could be cut or joined. */
export class Crossed extends Error {
  override readonly name = "Crossed"; // told apart by name where this module is not loaded
}

function lineOf(points: readonly Position[]): JtsLine {
  return factory.createLineString(points.map(([x = 0, y = 0]) => new Coordinate(x, y)));
}

function areaOf(rings: Polygon): JtsPolygon {
  const made = rings.map((ring) => factory.createLinearRing(ring.map(([x = 0, y = 0]) => new Coordinate(x, y))));
  const polygon = factory.createPolygon(made[0], made.slice(1)) as JtsPolygon;
  if (!new IsValidOp(polygon).isValid()) throw new Crossed("an outline crosses itself, or its holes do not lie within it");
  return polygon;
}

function positions(line: JtsLine): Position[] {
  return line.getCoordinates().map(({ x, y }) => [x, y]);
}

function ringsOf(polygon: JtsPolygon): Polygon {
  const holes = Array.from({ length: polygon.getNumInteriorRing() }, (_, k) => polygon.getInteriorRingN(k));
  return [polygon.getExteriorRing(), ...holes].map(positions);
}

function partsOf(geometry: Jts): Jts[] {
  return Array.from({ length: geometry.getNumGeometries() }, (_, k) => geometry.getGeometryN(k)).filter((part) => !part.isEmpty());
}

function polygonsOf(geometry: Jts): JtsPolygon[] {
  return partsOf(geometry).filter((part): part is JtsPolygon => part.getGeometryType() === "Polygon");
}

function overlay(a: Jts, b: Jts, operation: number): Jts {
  return SnapIfNeededOverlayOp.overlayOp(a, b, operation) as Jts;
}

function asGeometry(polygons: readonly Polygon[]): Areas | null {
  const [first] = polygons;
  if (!first) return null;
  return polygons.length > 1 ? { type: "MultiPolygon", coordinates: [...polygons] } : { type: "Polygon", coordinates: first };
}

/** Polygons of an area. */
export function polygonsIn(geometry: Geometry): Polygon[] {
  return geometry.type === "Polygon" ? [geometry.coordinates] : geometry.type === "MultiPolygon" ? geometry.coordinates : [];
}

/** What all of some areas cover together. Raises Crossed. */
export function joined(areas: readonly Geometry[]): Areas | null {
  const all = areas.flatMap(polygonsIn).map(areaOf);
  return asGeometry(all.length ? polygonsOf(united(all)).map(ringsOf) : []);
}

function united(parts: readonly Jts[]): Jts {
  return parts.reduce((sum, one) => overlay(sum, one, OverlayOp.UNION));
}

/** All that a closed ring winds around, however often it crosses itself; null where it has no inside. */
export function mended(ring: readonly Position[]): Areas | null {
  const line = lineOf(ring);
  const [{ x = 0, y = 0 } = {}] = line.getCoordinates();
  // adding a place of its own puts a node wherever the line meets itself
  const faces = facesOf(overlay(line, factory.createPoint(new Coordinate(x, y)) as Jts, OverlayOp.UNION));
  const inside = faces.filter((face) => {
    const place = InteriorPointArea.getInteriorPoint(face) as JtsPoint;
    return winding(ring.slice(0, -1), [place.x, place.y]) !== 0;
  });
  return asGeometry(inside.length ? polygonsOf(united(inside)).map(ringsOf) : []);
}

/** What is left of an area beyond a closed ring; null for nothing. Raises Crossed. */
export function without(area: Geometry, ring: readonly Position[]): Areas | null {
  const taken = mended(ring);
  let left = polygonsIn(area).map(areaOf);
  for (const away of taken ? polygonsIn(taken).map(areaOf) : []) {
    left = left.flatMap((part) => polygonsOf(overlay(part, away, OverlayOp.DIFFERENCE)));
  }
  return asGeometry(left.map(ringsOf));
}

/**
 * The pieces that a line cuts an area or a line into, the largest first, which keeps what was not cut. One piece means
 * that nothing was cut. Raises Crossed.
 */
export function pieces(geometry: Geometry, line: readonly Position[]): Geometry[] {
  const knife = lineOf(line);
  if (geometry.type === "LineString") {
    const parts = partsOf(overlay(lineOf(geometry.coordinates), knife, OverlayOp.DIFFERENCE)) as JtsLine[];
    return parts.sort((a, b) => b.getLength() - a.getLength()).map((part) => ({ type: "LineString", coordinates: positions(part) }));
  }
  const cut = polygonsIn(geometry).map((rings) => split(areaOf(rings), knife));
  const whole = cut.filter((parts) => parts.length === 1).flat();
  const parts = cut.filter((parts) => parts.length > 1).flat().sort((a, b) => b.getArea() - a.getArea());
  const [largest, ...others] = parts;
  const first = asGeometry([...whole, ...(largest ? [largest] : [])].map(ringsOf));
  return [...(first ? [first] : []), ...others.map((part): Geometry => ({ type: "Polygon", coordinates: ringsOf(part) }))];
}

/** Faces of the net that outline and line make, as far as they lie within the area. */
function split(area: JtsPolygon, knife: JtsLine): JtsPolygon[] {
  const faces = facesOf(united([...ringsOf(area).map(lineOf), knife]));
  const inside = faces.filter((face) => SimplePointInAreaLocator.locate(InteriorPointArea.getInteriorPoint(face), area) === Location.INTERIOR);
  // a line that only touches leaves the outline alone, and the nodes on it are not wanted
  return inside.length > 1 ? inside : [area];
}

/** Areas that a net of lines encloses. */
function facesOf(net: Jts): JtsPolygon[] {
  const polygonizer = new Polygonizer();
  polygonizer.add(net);
  return (polygonizer.getPolygons() as { toArray(): JtsPolygon[] }).toArray();
}
