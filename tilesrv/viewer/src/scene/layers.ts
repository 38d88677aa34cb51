/** Mask layers on the map, as tiles. */

import TileLayer from "ol/layer/Tile";
import type XYZ from "ol/source/XYZ";
import { hideQuery, type ShownMask } from "../annotate/layers";
import type { ImageRecord } from "../api";
import { tell } from "../toast";
import type { SceneMap } from "./map";
import { mend, mercatorSource, nativeSource, template, type Mercator, type Native } from "./tiles";

/** The layers that are shown. */
export class MaskTiles {
  private readonly layers = new Map<string, TileLayer<XYZ>>();
  private shown: readonly ShownMask[] = [];
  private fresh = 0;

  constructor(
    private readonly image: ImageRecord,
    private readonly scene: SceneMap,
    private readonly native: Native,
    private readonly mercator: Mercator | null,
  ) {}

  /** Show exactly these. */
  show(shown: readonly ShownMask[]): void {
    this.shown = shown;
    const wanted = new Map(shown.map((mask) => [this.key(mask), mask]));
    for (const [key, layer] of this.layers) {
      if (wanted.has(key)) continue;
      this.scene.map.removeLayer(layer);
      this.layers.delete(key);
    }
    for (const [key, mask] of wanted) {
      const layer = this.layers.get(key) ?? this.add(key, mask);
      layer.setOpacity(mask.opacity);
      // what is on screen stays until tiles of the new address have come
      if (layer.getSource()?.getUrls()?.[0] !== this.url(mask)) layer.getSource()?.setUrl(this.url(mask));
    }
  }

  /** Annotations changed: what is painted on the fly is asked for again. */
  refresh(): void {
    this.fresh++;
    for (const mask of this.shown) if (mask.name === null) this.layers.get(this.key(mask))?.getSource()?.setUrl(this.url(mask));
  }

  /** The map shows another projection. */
  setMode(): void {
    const shown = this.shown;
    this.show([]);
    this.show(shown);
  }

  private key(mask: ShownMask): string {
    return mask.name === null ? "live" : `layer ${mask.name}`;
  }

  private url(mask: ShownMask): string {
    const kind = mask.name === null ? "live-mask/tiles" : `masks/${encodeURIComponent(mask.name)}/tiles`;
    const query = mask.name === null ? `?fresh=${this.fresh}` : `?revision=${mask.layer?.revision ?? 0}`;
    return template(this.image, kind, this.scene.mode === "map" ? "WebMercatorQuad" : "native", "png", query + hideQuery(mask.hidden));
  }

  private add(key: string, mask: ShownMask): TileLayer<XYZ> {
    const url = this.url(mask);
    const source = this.scene.mode === "map" && this.mercator ? mercatorSource(this.mercator, url) : nativeSource(this.native, url);
    mend(source, (message) => tell(`Some of the mask is missing: ${message}`, "bad"));
    const layer = new TileLayer({ source, zIndex: 5 });
    layer.on("prerender", (event) => {
      // a class between two classes would be a third one
      if (event.context instanceof CanvasRenderingContext2D) event.context.imageSmoothingEnabled = false;
    });
    this.layers.set(key, layer);
    this.scene.map.addLayer(layer);
    return layer;
  }
}
