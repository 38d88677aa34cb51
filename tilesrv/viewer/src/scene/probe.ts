/** What lies under the pointer: pixel, place, longitude and latitude, values. */

import type Map from "ol/Map";
import { toLonLat } from "ol/proj";
import { getJson, imagePath, isAbort, Problem, type ImageRecord, type PointValues } from "../api";
import { h } from "../dom";
import { fixed, frameName, lonLat, placesFor, short } from "../format";
import type { Point2 } from "../grid";
import type { SceneMap } from "./map";
import { withinWorld, type Native } from "./tiles";

const WAIT = 60;
/** As many as a float of 32 bits holds. */
const DIGITS = 7;

/** The line at the lower edge. */
export class Probe {
  readonly element: HTMLElement;
  private readonly pixel = h("span", { class: "cell", title: "Column, row" });
  private readonly place = h("span", { class: "cell" });
  private readonly degrees = h("span", { class: "cell", title: "Latitude, longitude (WGS 84)" });
  private readonly values = h("span", { class: "cell values", title: "Values of the pixel" });
  private request: AbortController | null = null;
  private timer = 0;
  private readonly places: number;

  constructor(
    private readonly scene: SceneMap,
    private readonly image: ImageRecord,
    private readonly native: Native,
    ...more: HTMLElement[]
  ) {
    this.place.title = frameName(image.frame);
    this.places = placesFor(Math.hypot(...image.affine.map((row) => row[1] ?? 0)));
    this.element = h("footer", { class: "status", "aria-label": "Under the pointer" },
      this.pixel, image.frame.type === "geo" && this.place, image.frame.type === "geo" && this.degrees, this.values,
      h("span", { class: "spring" }), ...more);
    const map: Map = scene.map;
    map.on("pointermove", (event) => {
      const [x, y] = event.coordinate ?? [];
      if (!event.dragging && x !== undefined && y !== undefined) this.look([x, y]);
    });
    map.getViewport()?.addEventListener("pointerleave", () => this.clear());
  }

  private look(at: Point2): void {
    clearTimeout(this.timer);
    if (this.scene.mode === "map") {
      const [longitude = 0, latitude = 0] = toLonLat([...at]);
      this.degrees.textContent = lonLat([longitude, latitude]);
      this.timer = window.setTimeout(() => void this.ask(withinWorld(at), "EPSG:3857"), WAIT);
      return;
    }
    const index: Point2 = [at[0], -at[1]];
    const world = this.native.grid.toWorld(index);
    this.pixel.textContent = `${Math.floor(index[0])}, ${Math.floor(index[1])}`;
    this.place.textContent = world.map((value) => fixed(value, this.places)).join(", ");
    if (this.native.grid.holds(index)) this.timer = window.setTimeout(() => void this.ask(world, null), WAIT);
    else this.clearValues();
  }

  private async ask(at: Point2, crs: string | null): Promise<void> {
    this.request?.abort();
    const mine = new AbortController();
    this.request = mine;
    try {
      const query = `coord=${at.join()}${crs ? `&crs=${crs}` : ""}`;
      this.show(await getJson<PointValues>(imagePath(this.image.id, `/point?${query}`), mine.signal));
    } catch (error) {
      if (isAbort(error)) return;
      this.clearValues();
      if (!(error instanceof Problem)) throw error;
    }
  }

  private show(found: PointValues): void {
    const [row = 0, column = 0] = found.index;
    if (this.scene.mode === "map") {
      this.pixel.textContent = `${column}, ${row}`;
      this.place.textContent = this.native.grid.toWorld([column + 0.5, row + 0.5]).map((v) => fixed(v, this.places)).join(", ");
    }
    if (found.lonlat) this.degrees.textContent = lonLat(found.lonlat);
    const units = found.bands.map((band) => (band.unit ? ` ${band.unit}` : ""));
    const numbers = found.physical.map((value, k) => `${short(value ?? found.values[k], DIGITS)}${units[k] ?? ""}`);
    const shown = numbers.length > 8 ? [...numbers.slice(0, 8), "…"] : numbers;
    this.values.textContent = found.valid ? shown.join("  ") : "no data";
  }

  private clearValues(): void {
    this.request?.abort();
    this.values.textContent = "";
    this.degrees.textContent = "";
  }

  private clear(): void {
    clearTimeout(this.timer);
    this.clearValues();
    this.pixel.textContent = "";
    this.place.textContent = "";
  }
}
