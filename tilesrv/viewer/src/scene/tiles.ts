/** The tile sets of a raster, as OpenLayers wants them. */

import ImageTile from "ol/ImageTile";
import Projection from "ol/proj/Projection";
import type VectorTileSource from "ol/source/VectorTile";
import XYZ from "ol/source/XYZ";
import TileGrid from "ol/tilegrid/TileGrid";
import type Tile from "ol/Tile";
import TileState from "ol/TileState";
import VectorTile from "ol/VectorTile";
import { address, ask, getJson, imagePath, Problem, words, type ImageRecord } from "../api";
import { longitudeSpan } from "../geodesy";
import { Grid2 } from "../grid";

interface Matrix {
  id: string;
  cellSize: number;
  matrixWidth: number;
  matrixHeight: number;
  tileWidth: number;
}

interface TileSetDocument {
  tileMatrixSet: { tileMatrices: Matrix[] };
  boundingBox?: { lowerLeft: [number, number]; upperRight: [number, number] };
}

type Extent4 = [number, number, number, number];

/** A raster's own grid: the map's unit is its pixel, x to the right and y up, the first corner at (0, 0). */
export interface Native {
  grid: Grid2;
  projection: Projection;
  tileGrid: TileGrid;
  extent: [number, number, number, number];
}

/** Ask for the native tile set of a raster. */
export async function loadNative(image: ImageRecord): Promise<Native> {
  const found = await getJson<TileSetDocument>(imagePath(image.id, "/tiles/native"));
  const matrices = found.tileMatrixSet.tileMatrices;
  const [height = 1, width = 1] = image.shape.slice(-2);
  const extent: [number, number, number, number] = [0, -height, width, 0];
  const finest = matrices.at(-1)?.cellSize ?? 1;
  return {
    grid: new Grid2(image.affine, height, width),
    projection: new Projection({ code: `pixels:${image.id}`, units: "pixels", extent, getPointResolution: (r) => r }),
    tileGrid: new TileGrid({
      origin: [0, 0],
      resolutions: matrices.map((matrix) => Math.round((matrix.cellSize / finest) * 1e6) / 1e6),
      sizes: matrices.map((matrix) => [matrix.matrixWidth, matrix.matrixHeight]),
      tileSize: matrices[0]?.tileWidth ?? 256,
    }),
    extent,
  };
}

/** Half the width of web mercator's square, in its metres. */
const EDGE = Math.PI * 6378137;

/** A raster's place in web mercator; beyond the square's edge where it crosses the antimeridian. */
export interface Mercator {
  wraps: boolean;
  extent: [number, number, number, number];
  tileGrid: TileGrid;
}

/** Ask for the tile set in web mercator; null where the image has no place there. */
export async function loadMercator(image: ImageRecord): Promise<Mercator | null> {
  if (image.frame.type !== "geo") return null;
  const found = await getJson<TileSetDocument>(imagePath(image.id, "/tiles/WebMercatorQuad")).catch(() => null);
  const zooms = found?.tileMatrixSet.tileMatrices.map((matrix) => Number(matrix.id));
  const [last, first] = [zooms?.at(-1), zooms?.[0]];
  if (!found?.boundingBox || last === undefined || first === undefined) return null;
  const { lowerLeft, upperRight } = found.boundingBox;
  const box: Extent4 = [...lowerLeft, ...upperRight];
  const across = upperRight[0] - lowerLeft[0] > 1.9 * EDGE ? await acrossAntimeridian(image).catch(() => null) : null;
  const extent: Extent4 = across ? [(across[0] / 180) * EDGE, lowerLeft[1], (across[1] / 180) * EDGE, upperRight[1]] : box;
  const resolutions = Array.from({ length: last + 1 }, (_, zoom) => (2 * EDGE) / 256 / 2 ** zoom);
  const grid = { origin: [-EDGE, EDGE], resolutions, extent: box, minZoom: first, tileSize: 256 };
  return { extent, wraps: across !== null, tileGrid: new TileGrid(grid) };
}

/** Longitudes of a raster that lies on both sides of the antimeridian, and on less than half of the globe; else null. */
async function acrossAntimeridian(image: ImageRecord): Promise<[number, number] | null> {
  const [height = 1, width = 1] = image.shape.slice(-2);
  const grid = new Grid2(image.affine, height, width);
  const shares = [0, 0.25, 0.5, 0.75, 1];
  const edge = shares.flatMap((share): [number, number][] =>
    [[share * width, 0], [share * width, height], [0, share * height], [width, share * height]]);
  const coords = edge.flatMap((index) => grid.toWorld(index)).join();
  const { coords: places } = await getJson<{ coords: (number[] | null)[] }>(imagePath(image.id, `/transform?coords=${coords}&to=EPSG:4326`));
  const [west, east] = longitudeSpan(places.flatMap((place) => place?.[0] ?? []).filter(Number.isFinite));
  return east > 180 && east - west < 180 ? [west, east] : null;
}

/** Place in web mercator's square of one that may lie beyond its edge. */
export function withinWorld([x, y]: readonly [number, number]): [number, number] {
  return [x - 2 * EDGE * Math.floor((x + EDGE) / (2 * EDGE)), y];
}

/** Addresses of tiles of a kind (`tiles`, `masks/x/tiles`, …), with OpenLayers' placeholders. */
export function template(image: ImageRecord, kind: string, tms: string, ending: string, query: string): string {
  return `${address(imagePath(image.id, `/${kind}/${tms}`))}/{z}/{x}/{y}.${ending}${query}`;
}

/** Source of pictures on the native grid. */
export function nativeSource(native: Native, url: string): XYZ {
  return new XYZ({ url, projection: native.projection, tileGrid: native.tileGrid, wrapX: false, transition: 120 });
}

/** Source of pictures in web mercator. */
export function mercatorSource(mercator: Mercator, url: string): XYZ {
  return new XYZ({ url, projection: "EPSG:3857", tileGrid: mercator.tileGrid, wrapX: mercator.wraps, transition: 120 });
}

/** Seconds after which tiles that failed are asked for again, each time; the last for ever. */
const AGAIN = [2, 5, 15, 45] as const;
/** Milliseconds in which one tile's reason stands for those of others. */
const SAME = 1000;

/** Tell why tiles fail, and ask for them again: a server comes back, and what is on screen then fills up. */
export function mend(source: XYZ | VectorTileSource, failed: (message: string) => void): void {
  const waiting = new Set<Tile>();
  let [told, rounds, timer] = [-SAME, 0, 0];
  const again = (): void => {
    timer = 0;
    // tiles of annotations cannot be asked for one by one
    if ([...waiting].some((tile) => tile instanceof VectorTile)) source.refresh();
    else for (const tile of waiting) if (tile instanceof ImageTile && tile.getState() === TileState.ERROR) tile.load();
    waiting.clear();
  };
  source.on("tileloadend", () => (rounds = 0));
  source.on("tileloaderror", ({ tile }) => {
    if (!(tile instanceof ImageTile || tile instanceof VectorTile)) return;
    const wait = (): void => {
      waiting.add(tile);
      timer ||= window.setTimeout(again, 1000 * (AGAIN[rounds++] ?? AGAIN[3]));
    };
    if (performance.now() - told < SAME) return wait();
    told = performance.now();
    ask(tile.key).then(wait, (error: unknown) => {
      if (error instanceof Problem && error.status === 404) return; // there is no such tile
      failed(words(error));
      wait();
    });
  });
}
