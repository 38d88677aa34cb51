/** A grid of round coordinates over a scene: those of its CRS, of its pixels, or longitudes and latitudes on a map. */

import OlFeature from "ol/Feature";
import LineString from "ol/geom/LineString";
import Point from "ol/geom/Point";
import VectorLayer from "ol/layer/Vector";
import { fromLonLat, toLonLat } from "ol/proj";
import VectorSource from "ol/source/Vector";
import Fill from "ol/style/Fill";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Text from "ol/style/Text";
import { fixed, placesFor, roundBelow } from "../format";
import type { SceneMap } from "./map";
import type { Native } from "./tiles";

type Place = [number, number];

/** Pixels of the screen between two lines, at least. */
const APART = 110;
const MOST_LINES = 60;
const LINE = new Style({ stroke: new Stroke({ color: "rgba(255,255,255,0.45)", width: 1 }) });

/** Round numbers within a range, at least `least` apart; none where there would be too many. Pure. */
export function roundNumbers(low: number, high: number, least: number): number[] {
  if (!(least > 0) || !Number.isFinite(high - low)) return [];
  const step = roundBelow(least * 2.5); // 1, 2 or 5 times a power of ten, and not below `least`
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return count > MOST_LINES ? [] : Array.from({ length: Math.max(0, count) }, (_, k) => (first + k) * step);
}

/** Longitude of a web mercator's x, wherever it lies. */
function fromEquator(x: number): number {
  return (x / (fromLonLat([180, 0])[0] ?? 1)) * 180;
}

/** The layer. */
export class Graticule {
  readonly layer = new VectorLayer({ source: new VectorSource(), zIndex: 7, visible: false });

  constructor(
    private readonly scene: SceneMap,
    private readonly native: Native,
  ) {
    scene.map.addLayer(this.layer);
    scene.map.on("moveend", () => this.update());
  }

  setVisible(visible: boolean): void {
    this.layer.setVisible(visible);
    this.update();
  }

  update(): void {
    const source = this.layer.getSource();
    source?.clear();
    if (!this.layer.getVisible()) return;
    const view = this.scene.map.getView();
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = view.calculateExtent();
    const resolution = view.getResolution() ?? 1;
    const corners = ([[x0, y0], [x1, y0], [x1, y1], [x0, y1]] as Place[]).map((place) => this.toWorld(place));
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const wide = ((right - left) / (x1 - x0)) * resolution * APART;
    const tall = ((high - low) / (y1 - y0)) * resolution * APART;
    const edge = { x: x0 + 8 * resolution, y: y0 + 10 * resolution };
    for (const x of roundNumbers(left, right, wide)) {
      source?.addFeatures(this.line([x, low], [x, high], this.words(x, wide), edge));
    }
    for (const y of roundNumbers(low, high, tall)) {
      source?.addFeatures(this.line([left, y], [right, y], this.words(y, tall), edge));
    }
  }

  private toWorld(place: Place): Place {
    if (this.scene.mode === "native") return this.native.grid.fromMap(place);
    const latitude = toLonLat(place)[1] ?? 0;
    return [fromEquator(place[0]), latitude]; // goes on beyond 180 degrees
  }

  private toMap(world: Place): Place {
    if (this.scene.mode === "native") return this.native.grid.toMap(world);
    const [x = 0, y = 0] = fromLonLat(world);
    return [x, y];
  }

  private words(value: number, step: number): string {
    const isMap = this.scene.mode === "map";
    const shown = isMap && Math.abs(value) > 180 ? value - 360 * Math.sign(value) : value;
    return fixed(shown, Math.max(0, placesFor(step) - 2)) + (isMap ? "°" : "");
  }

  /** A line, and its number where it meets the lower or the left edge of the view. */
  private line(from: Place, to: Place, words: string, edge: { x: number; y: number }): OlFeature[] {
    const [a, b] = [this.toMap(from), this.toMap(to)];
    const made = new OlFeature(new LineString([a, b]));
    made.setStyle(LINE);
    const isUpright = Math.abs(b[0] - a[0]) < Math.abs(b[1] - a[1]);
    const share = isUpright ? (edge.y - a[1]) / (b[1] - a[1] || 1) : (edge.x - a[0]) / (b[0] - a[0] || 1);
    const label = new OlFeature(new Point([a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])]));
    label.setStyle(new Style({ text: new Text({
      text: words, font: "11px ui-monospace, monospace", fill: new Fill({ color: "#fff" }), stroke: new Stroke({ color: "rgba(0,0,0,0.75)", width: 3 }),
      ...(isUpright ? { offsetX: 4, textAlign: "left" as const } : { offsetY: -8, textAlign: "left" as const }),
    }) }));
    return [made, label];
  }
}
