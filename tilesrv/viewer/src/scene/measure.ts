/** Lengths and areas of annotations: on the ground where the image has a place, in pixels where it has none. */

import OlLine from "ol/geom/LineString";
import OlPolygon from "ol/geom/Polygon";
import { getArea, getLength } from "ol/sphere";
import { bitsOf, type Feature, type Position } from "../annotate/model";
import { framedOf, outlines } from "../annotate/shapes";
import type { ImageRecord } from "../api";
import { metres, short, squareMetres } from "../format";
import type { Grid2 } from "../grid";
import { toDegrees } from "./scale";

const SPHERE = { projection: "EPSG:4326" };

/** Rings, lines or points in degrees, or in pixels of the image; and whether they are degrees. */
async function placed(image: ImageRecord, grid: Grid2, lines: readonly Position[][]): Promise<{ lines: Position[][]; ground: boolean }> {
  const pixels = lines.map((line) => line.map(([x = 0, y = 0]): Position => grid.toIndex([x, y])));
  if (image.frame.type !== "geo") return { lines: pixels, ground: false };
  const found = await toDegrees(image, lines.flat()).catch((): null[] => [null]);
  if (found.some((place) => place === null)) return { lines: pixels, ground: false };
  let at = 0;
  return { ground: true, lines: lines.map((line) => line.map(() => found[at++] ?? [0, 0])) };
}

/** Length of a line. */
export async function lengthOf(image: ImageRecord, grid: Grid2, line: Position[]): Promise<string> {
  const { lines, ground } = await placed(image, grid, [line]);
  const geometry = new OlLine(lines[0] ?? []);
  return ground ? metres(getLength(geometry, SPHERE)) : `${short(geometry.getLength(), 5)} px`;
}

/** Area of rings, the holes after the first one. */
export async function areaOf(image: ImageRecord, grid: Grid2, rings: readonly Position[][]): Promise<string> {
  const { lines, ground } = await placed(image, grid, rings);
  const geometry = new OlPolygon(lines);
  return ground ? squareMetres(getArea(geometry, SPHERE)) : `${short(geometry.getArea(), 5)} px²`;
}

/** What a feature measures, in words; empty for what has no size. */
export async function sizeOfFeature(image: ImageRecord, grid: Grid2, feature: Feature): Promise<string> {
  const { shape, geometry } = feature;
  if (shape?.type === "mask") {
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = shape.box;
    return `${bitsOf(shape.counts, (x1 - x0) * (y1 - y0)).reduce((sum, bit) => sum + bit, 0).toLocaleString("en")} px`;
  }
  if (framedOf(shape) || geometry?.type === "Polygon") {
    const rings = outlines(feature);
    return `${await areaOf(image, grid, rings)}, ${await lengthOf(image, grid, rings[0] ?? [])} around`;
  }
  if (geometry?.type === "LineString") return lengthOf(image, grid, geometry.coordinates);
  return "";
}
