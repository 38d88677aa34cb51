/** Regions: the parts of a scene that people work on one by one, and how far they are. */

import OlFeature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import Polygon from "ol/geom/Polygon";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import type { Geometry } from "../annotate/model";
import { ask, getJson, imagePath, words, type ImageRecord } from "../api";
import { button, fill, h } from "../dom";
import { tell } from "../toast";
import type { SceneMap } from "./map";
import type { Native } from "./tiles";

interface Region {
  id: string;
  geometry: Geometry | null;
  properties: { name?: string; state: "open" | "claimed" | "done"; assignee?: string | null };
}

const COLOURS = { open: "#cfd8dc", claimed: "#f2b84b", done: "#6fce7f" } as const;
const STYLES = Object.fromEntries(Object.entries(COLOURS).map(([state, color]) => [
  state, new Style({ stroke: new Stroke({ color, width: 1.5, lineDash: state === "open" ? [6, 5] : [] }) }),
]));
const STEPS = { open: ["claim"], claimed: ["done", "release"], done: ["release"] } as const;
const WORDS = { claim: "Claim", done: "Done", release: "Release" } as const;

/** The panel, and the borders on the map. */
export class Regions {
  readonly element = h("div", { class: "panel-body" });
  private readonly layer: VectorLayer;
  private regions: Region[] = [];

  constructor(
    private readonly image: ImageRecord,
    private readonly scene: SceneMap,
    private readonly native: Native,
  ) {
    this.layer = new VectorLayer({ source: new VectorSource(), zIndex: 8, style: (feature: FeatureLike) => STYLES[String(feature.get("state"))] });
    scene.map.addLayer(this.layer);
    this.show();
  }

  async open(): Promise<void> {
    this.regions = (await getJson<{ features: Region[] }>(imagePath(this.image.id, "/regions?crs=native"))).features;
    this.show();
  }

  setMode(mode: "native" | "map"): void {
    this.layer.setVisible(mode === "native");
  }

  private polygon(region: Region): Polygon | null {
    const { geometry } = region;
    const rings = geometry?.type === "Polygon" ? geometry.coordinates : geometry?.type === "MultiPolygon" ? geometry.coordinates.flat() : null;
    return rings && new Polygon(rings.map((ring) => ring.map(([x = 0, y = 0]) => this.native.grid.toMap([x, y]))));
  }

  private show(): void {
    const source = this.layer.getSource();
    source?.clear();
    source?.addFeatures(this.regions.flatMap((region) => {
      const geometry = this.polygon(region);
      return geometry ? [new OlFeature({ geometry, state: region.properties.state })] : [];
    }));
    if (!this.regions.length) return fill(this.element, this.split());
    const done = this.regions.filter((region) => region.properties.state === "done").length;
    fill(this.element,
      h("div", { class: "row" }, h("progress", { max: this.regions.length, value: done, "aria-label": "Regions done" }),
        h("span", { class: "muted" }, `${done} of ${this.regions.length} done`)),
      h("ul", { class: "labels regions" }, ...this.regions.slice(0, 200).map((region) => this.row(region))));
  }

  private split(): HTMLElement {
    const size = h("input", { type: "number", value: 1024, min: 64, step: 64, "aria-label": "Pixels along each side" });
    return h("div", { class: "panel-body flush" },
      h("p", { class: "muted" }, "Split a large scene into squares that people claim, finish and mark as done, one by one."),
      h("label", { class: "field" }, h("span", {}, "Pixels a side"), size),
      h("div", { class: "row" }, button({ label: "Split into regions", class: "plain", press: () => void this.make(size.valueAsNumber) })));
  }

  private async make(size: number): Promise<void> {
    await this.send(imagePath(this.image.id, "/regions"), JSON.stringify({ size }), "Not split");
  }

  private row(region: Region): HTMLElement {
    const { name, state, assignee } = region.properties;
    const title = name ?? region.id.slice(0, 8);
    return h("li", { class: "label" },
      h("button", { type: "button", class: "label-name", title: `Show ${title}`, on: { click: () => this.zoomTo(region) } },
        h("span", { class: `state ${state}`, "aria-hidden": true }), h("span", {}, title), h("small", { class: "muted" }, assignee ?? state)),
      ...STEPS[state].map((step) => button({
        label: WORDS[step], class: "plain small",
        press: () => void this.send(`regions/${region.id}/${step}`, null, "Not changed"),
      })));
  }

  private async send(path: string, body: string | null, what: string): Promise<void> {
    try {
      await ask(path, { method: "POST", ...(body ? { body, headers: { "Content-Type": "application/json" } } : {}) });
    } catch (error) {
      tell(`${what}: ${words(error)}`, "bad");
    }
    await this.open().catch(() => undefined);
  }

  private zoomTo(region: Region): void {
    const polygon = this.polygon(region);
    if (polygon && this.scene.mode === "native") this.scene.map.getView().fit(polygon.getExtent(), { padding: [40, 40, 40, 40], duration: 200 });
  }
}
