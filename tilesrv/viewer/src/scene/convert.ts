/** Features between the image's frame and the map, whose unit is the pixel. Pure but for OpenLayers' geometries. */

import OlFeature from "ol/Feature";
import type OlGeometry from "ol/geom/Geometry";
import LineString from "ol/geom/LineString";
import MultiLineString from "ol/geom/MultiLineString";
import MultiPoint from "ol/geom/MultiPoint";
import MultiPolygon from "ol/geom/MultiPolygon";
import Point from "ol/geom/Point";
import Polygon from "ol/geom/Polygon";
import SimpleGeometry from "ol/geom/SimpleGeometry";
import type { Feature, Geometry, Position } from "../annotate/model";
import { framedOf, outlineOf, outlines } from "../annotate/shapes";
import type { Grid2 } from "../grid";

type Place = (position: Position) => [number, number];

function toMap(grid: Grid2): Place {
  return ([x = 0, y = 0]) => grid.toMap([x, y]);
}

function toWorld(grid: Grid2): Place {
  return ([x = 0, y = 0]) => grid.fromMap([x, y]);
}

/** Geometry on the map of an annotation; null for tags and masks, which have none of their own. */
export function mapGeometry(feature: Feature, grid: Grid2): OlGeometry | null {
  const place = toMap(grid);
  const framed = framedOf(feature.shape);
  if (framed) return new Polygon([outlineOf(framed).map(place)]);
  if (feature.shape?.type === "keypoints") return new MultiPoint(outlines(feature).flat().map(place));
  const geometry = feature.geometry;
  if (!geometry || feature.shape?.type === "mask") return null;
  switch (geometry.type) {
    case "Point": return new Point(place(geometry.coordinates));
    case "MultiPoint": return new MultiPoint(geometry.coordinates.map(place));
    case "LineString": return new LineString(geometry.coordinates.map(place));
    case "MultiLineString": return new MultiLineString(geometry.coordinates.map((line) => line.map(place)));
    case "Polygon": return new Polygon(geometry.coordinates.map((ring) => ring.map(place)));
    case "MultiPolygon": return new MultiPolygon(geometry.coordinates.map((part) => part.map((ring) => ring.map(place))));
  }
}

/** Whether two geometries of the map are alike to the bit. */
export function sameGeometry(one: OlGeometry | undefined, other: OlGeometry): boolean {
  if (!(one instanceof SimpleGeometry) || !(other instanceof SimpleGeometry)) return false;
  return one.getType() === other.getType() && JSON.stringify(one.getCoordinates()) === JSON.stringify(other.getCoordinates());
}

/** GeoJSON geometry in the image's frame of one on the map; null for kinds that are not drawn here. */
export function worldGeometry(geometry: OlGeometry, grid: Grid2): Geometry | null {
  const place = toWorld(grid);
  if (geometry instanceof Point) return { type: "Point", coordinates: place(geometry.getCoordinates()) };
  if (geometry instanceof MultiPoint) return { type: "MultiPoint", coordinates: geometry.getCoordinates().map(place) };
  if (geometry instanceof LineString) return { type: "LineString", coordinates: geometry.getCoordinates().map(place) };
  if (geometry instanceof MultiLineString) return { type: "MultiLineString", coordinates: geometry.getCoordinates().map((line) => line.map(place)) };
  if (geometry instanceof Polygon) return { type: "Polygon", coordinates: geometry.getCoordinates().map((ring) => closed(ring.map(place))) };
  if (geometry instanceof MultiPolygon) {
    return { type: "MultiPolygon", coordinates: geometry.getCoordinates().map((part) => part.map((ring) => closed(ring.map(place)))) };
  }
  return null;
}

/** A ring whose last position is exactly its first. */
function closed(ring: [number, number][]): Position[] {
  const [first] = ring;
  return first ? [...ring.slice(0, -1), first] : ring;
}

/** A feature for the map. */
export function mapFeature(feature: Feature, grid: Grid2): OlFeature | null {
  const geometry = mapGeometry(feature, grid);
  if (!geometry) return null;
  const made = new OlFeature({ geometry, label: feature.properties.label });
  made.setId(feature.id);
  return made;
}
