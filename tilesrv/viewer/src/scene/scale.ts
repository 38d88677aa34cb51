/** The scale bar: true on the ground at the middle of the view, whatever the projection. */

import { toLonLat } from "ol/proj";
import { getJson, imagePath, type ImageRecord } from "../api";
import { h } from "../dom";
import { metres, roundBelow } from "../format";
import { pathLength } from "../geodesy";
import type { SceneMap } from "./map";
import type { Native } from "./tiles";

const LONGEST = 140;
/** Places of one request, whose address the server bounds. */
const AT_ONCE = 128;

/** Longitudes and latitudes of places in the image's frame, as the server transforms them; null where there is none. */
export async function toDegrees(image: ImageRecord, places: readonly (readonly number[])[]): Promise<([number, number] | null)[]> {
  const parts: (readonly (readonly number[])[])[] = [];
  for (let start = 0; start < places.length; start += AT_ONCE) parts.push(places.slice(start, start + AT_ONCE));
  const answers = await Promise.all(parts.map((part) => getJson<{ coords: ([number, number] | null)[] }>(
    imagePath(image.id, `/transform?coords=${part.flat().join()}&to=EPSG:4326`))));
  return answers.flatMap((answer) => answer.coords);
}

function degreesOf(place: [number, number]): [number, number] {
  const [longitude = 0, latitude = 0] = toLonLat(place);
  return [longitude, latitude];
}

/** The bar in the corner of the map. */
export class ScaleBar {
  private readonly bar = h("div", { class: "scale-bar" });
  private readonly text = h("div", { class: "scale-text" });
  readonly element = h("div", { class: "scale", role: "img" }, this.text, this.bar);
  private turn = 0;

  constructor(
    private readonly scene: SceneMap,
    private readonly image: ImageRecord,
    private readonly native: Native,
  ) {
    scene.map.on("moveend", () => void this.update());
  }

  async update(): Promise<void> {
    const mine = ++this.turn;
    const view = this.scene.map.getView();
    const [x = 0, y = 0] = view.getCenter() ?? [];
    const resolution = view.getResolution() ?? 1;
    if (this.image.frame.type !== "geo") return this.show(resolution, (value) => `${value} px`);
    const perPixel = await this.groundSize([x, y], resolution).catch(() => null);
    if (mine !== this.turn) return;
    if (perPixel) this.show(perPixel, metres);
    else this.show(resolution, (value) => `${value} px`);
  }

  /** Metres on the ground of a pixel of the screen at a place of the map. */
  private async groundSize([x, y]: [number, number], resolution: number): Promise<number | null> {
    const reach = 10 * resolution;
    if (this.scene.mode === "map") return pathLength([degreesOf([x - reach, y]), degreesOf([x + reach, y])]) / 20;
    const grid = this.native.grid;
    const ends = [grid.fromMap([x - reach, y]), grid.fromMap([x + reach, y])];
    const [left, right] = await toDegrees(this.image, ends);
    return left && right ? pathLength([left, right]) / 20 : null;
  }

  private show(perPixel: number, words: (value: number) => string): void {
    const value = roundBelow(perPixel * LONGEST);
    this.bar.style.width = `${value / perPixel}px`;
    this.text.textContent = words(value);
    this.element.setAttribute("aria-label", `Scale: ${words(value)}`);
  }
}
