/** Lengths, areas and angles of what is drawn: on the ground where the image has a place, else in mm or in pixels. */

import { bitsOf, type Feature, type Position } from "../annotate/model";
import { framedOf, outlines } from "../annotate/shapes";
import { ask, imagePath, type ImageRecord } from "../api";
import { metres, millimetres, short, squareMetres, squareMillimetres } from "../format";
import { angleBetween, pathLength, ringArea, type Degrees } from "../geodesy";
import type { Grid2 } from "../grid";
import { toDegrees } from "./scale";

/** Stretches that edges are cut into for areas: they are straight on the image, not on the ground. */
const CUT = 256;
/** Most corners whose places on the ground are asked for. */
const MOST_CORNERS = 2048;

type Unit = "ground" | "mm" | "px";

interface Placed {
  unit: Unit;
  lines: Position[][];
}

export interface BandValues {
  band: string;
  count: number;
  mean: number | null;
  std: number | null;
  minimum: number | null;
  maximum: number | null;
}

/** What lies under a shape, as the server tells it. */
export interface Zone {
  count: number;
  area_m2?: number;
  area_mm2?: number;
  bands: BandValues[];
}

/** Lines in degrees, in millimetres, or in pixels of the image. */
async function placed(image: ImageRecord, grid: Grid2, lines: readonly Position[][]): Promise<Placed> {
  const [high, wide] = image.frame.spacing ?? [1, 1];
  const flat = lines.map((line) => line.map(([x = 0, y = 0]): Position => {
    const [column, row] = grid.toIndex([x, y]);
    return [column * wide, row * high];
  }));
  const own: Placed = { unit: image.frame.spacing ? "mm" : "px", lines: flat };
  const corners = lines.flat();
  if (image.frame.type !== "geo" || corners.length > MOST_CORNERS) return own;
  const found = await toDegrees(image, corners).catch((): null[] => [null]);
  if (found.some((place) => place === null)) return own;
  let at = 0;
  return { unit: "ground", lines: lines.map((line) => line.map(() => found[at++] ?? [0, 0])) };
}

/** A ring with further corners on its edges, about `count` in all. Pure. */
export function denser(ring: readonly Position[], count: number): Position[] {
  const parts = Math.max(1, Math.floor(count / Math.max(1, ring.length)));
  return ring.flatMap((from, k) => {
    const to = ring[k + 1];
    if (!to) return [from];
    return Array.from({ length: parts }, (_, n) => from.map((value, axis) => value + ((to[axis] ?? value) - value) * (n / parts)));
  });
}

function planeLength(line: readonly Position[]): number {
  return line.slice(1).reduce((sum, [x = 0, y = 0], k) => sum + Math.hypot(x - (line[k]?.[0] ?? 0), y - (line[k]?.[1] ?? 0)), 0);
}

function planeArea(ring: readonly Position[]): number {
  const [x0 = 0, y0 = 0] = ring[0] ?? [];
  const twice = ring.reduce((sum, [x = 0, y = 0], k) => {
    const [nx = 0, ny = 0] = ring[(k + 1) % ring.length] ?? [];
    return sum + (x - x0) * (ny - y0) - (nx - x0) * (y - y0);
  }, 0);
  return Math.abs(twice) / 2;
}

function lengthWords({ unit }: Placed, value: number): string {
  return unit === "ground" ? metres(value) : unit === "mm" ? millimetres(value) : `${short(value, 5)} px`;
}

function areaWords(unit: Unit, value: number): string {
  return unit === "ground" ? squareMetres(value) : unit === "mm" ? squareMillimetres(value) : `${short(value, 5)} px²`;
}

function lengthIn({ unit, lines }: Placed): number {
  return lines.reduce((sum, line) => sum + (unit === "ground" ? pathLength(line as unknown as Degrees[]) : planeLength(line)), 0);
}

/** Outer ring less its holes. */
function areaIn({ unit, lines }: Placed): number {
  const areas = lines.map((ring) => (unit === "ground" ? ringArea(ring as unknown as Degrees[]) : planeArea(ring)));
  return areas.slice(1).reduce((sum, hole) => sum - hole, areas[0] ?? 0);
}

/** Length of a line: along the shortest way from corner to corner. */
export async function lengthOf(image: ImageRecord, grid: Grid2, line: readonly Position[]): Promise<string> {
  const found = await placed(image, grid, [[...line]]);
  return lengthWords(found, lengthIn(found));
}

/** Area of rings, the holes after the first one, and the length around the first; edges are those seen on the image. */
export async function areaOf(image: ImageRecord, grid: Grid2, rings: readonly Position[][]): Promise<{ area: string; around: string }> {
  const found = await placed(image, grid, rings.map((ring) => denser(ring, CUT / rings.length)));
  const around: Placed = { unit: found.unit, lines: found.lines.slice(0, 1) };
  return { area: areaWords(found.unit, areaIn(found)), around: lengthWords(around, lengthIn(around)) };
}

/** Angle at the middle one of three places, degrees. */
export async function angleAt(image: ImageRecord, grid: Grid2, corner: readonly Position[]): Promise<number> {
  const { unit, lines } = await placed(image, grid, [[...corner]]);
  const [a = [], b = [], c = []] = lines[0] ?? [];
  if (unit === "ground") return angleBetween(a as unknown as Degrees, b as unknown as Degrees, c as unknown as Degrees);
  const way = (to: Position): number => Math.atan2((to[1] ?? 0) - (b[1] ?? 0), (to[0] ?? 0) - (b[0] ?? 0));
  const turn = Math.abs(((way(a) - way(c)) * 180) / Math.PI) % 360;
  return turn > 180 ? 360 - turn : turn;
}

/** Both diameters of an ellipse or sides of a box, in words; null for other shapes. */
async function sidesOf(image: ImageRecord, grid: Grid2, feature: Feature): Promise<string | null> {
  const framed = framedOf(feature.shape);
  if (!framed) return null;
  const turn = (framed.angle * Math.PI) / 180;
  const side = (size: number, angle: number): Position[] => [-0.5, 0.5].map((share) => [
    framed.center[0] + share * size * Math.cos(angle), framed.center[1] + share * size * Math.sin(angle),
  ]);
  const lengths = await Promise.all([lengthOf(image, grid, side(framed.size[0], turn)), lengthOf(image, grid, side(framed.size[1], turn + Math.PI / 2))]);
  return lengths.join(" × ");
}

/** What a feature measures, in words; empty for what has no size. */
export async function sizeOfFeature(image: ImageRecord, grid: Grid2, feature: Feature): Promise<string> {
  const { shape, geometry } = feature;
  if (shape?.type === "mask") {
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = shape.box;
    return `${bitsOf(shape.counts, (x1 - x0) * (y1 - y0)).reduce((sum, bit) => sum + bit, 0).toLocaleString("en")} px`;
  }
  if (geometry?.type === "MultiPolygon") {
    const found = await Promise.all(geometry.coordinates.map((rings) => placed(image, grid, rings.map((ring) => denser(ring, CUT / rings.length)))));
    const [first] = found;
    return first ? `${areaWords(first.unit, found.reduce((sum, part) => sum + areaIn(part), 0))} in ${found.length} parts` : "";
  }
  if (framedOf(shape) || geometry?.type === "Polygon") {
    const { area, around } = await areaOf(image, grid, outlines(feature));
    return [await sidesOf(image, grid, feature), area, `${around} around`].filter(Boolean).join(", ");
  }
  if (geometry?.type === "LineString") return lengthOf(image, grid, geometry.coordinates);
  return "";
}

/** Statistics of the pixels under a shape, which need not be stored. Raises Problem. */
export async function valuesUnder(image: ImageRecord, feature: Pick<Feature, "geometry" | "shape">, bands: readonly number[]): Promise<Zone | null> {
  const body = JSON.stringify({ type: "Feature", geometry: feature.shape ? null : feature.geometry, shape: feature.shape, properties: {} });
  const path = imagePath(image.id, `/zonal?crs=native&bands=${bands.join()}`);
  const answer = await ask(path, { method: "POST", body, headers: { "Content-Type": "application/geo+json" } });
  return ((await answer.json()) as { zones: Zone[] }).zones[0] ?? null;
}

/** A line for each band: mean, deviation, least and greatest value. Pure. */
export function valueLines(zone: Zone, units: ReadonlyMap<string, string>): string[] {
  return zone.bands.map(({ band, mean, std, minimum, maximum }) => {
    if (mean === null) return `${band}: no data`;
    const unit = units.get(band);
    return `${band}: mean ${short(mean)} ± ${short(std, 4)}, ${short(minimum)} to ${short(maximum)}${unit ? ` ${unit}` : ""}`;
  });
}
