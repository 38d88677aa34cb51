/** Annotations too many to be loaded: vector tiles, complete at every zoom. */

import type { FeatureLike } from "ol/Feature";
import MVT from "ol/format/MVT";
import VectorTileLayer from "ol/layer/VectorTile";
import VectorTileSource from "ol/source/VectorTile";
import type { TileCoord } from "ol/tilecoord";
import type TileGrid from "ol/tilegrid/TileGrid";
import { renderXYZTemplate } from "ol/uri";
import type { Labels } from "../annotate/labels";
import type { ImageRecord } from "../api";
import { countStyle, styleOf } from "./styles";
import { tell } from "../toast";
import { mend, template, type Mercator, type Native } from "./tiles";

export interface VectorsOptions {
  image: ImageRecord;
  native: Native;
  mercator: Mercator | null;
  labels: Labels;
  /** Whether an annotation is drawn elsewhere, as one that is being edited. */
  isElsewhere: (id: string) => boolean;
}

/** A layer of vector tiles that follows what is stored. */
export class VectorTiles {
  readonly layer: VectorTileLayer;
  private fresh = 0;
  private timer = 0;
  private mode: "native" | "map" = "native";

  constructor(private readonly options: VectorsOptions) {
    this.layer = new VectorTileLayer({
      source: this.source(),
      style: (feature) => this.style(feature),
      renderMode: "hybrid",
      declutter: false,
      zIndex: 10,
      preload: 0,
    });
  }

  /** Show tiles again, soon: something was stored. */
  refresh(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      this.fresh++;
      this.layer.getSource()?.setTileUrlFunction(this.addresses(), this.url());
    }, 400);
  }

  setMode(mode: "native" | "map"): void {
    this.mode = mode;
    this.layer.setSource(this.source());
  }

  private url(): string {
    const tms = this.mode === "map" ? "WebMercatorQuad" : "native";
    const query = this.fresh ? `?fresh=${this.fresh}` : "";
    return template(this.options.image, "annotations/tiles", tms, "mvt", query);
  }

  /** Where tiles are; OpenLayers also asks for neighbours, of which there are none beyond the image's edges. */
  private addresses(): (coordinate: TileCoord) => string | undefined {
    const [grid, url] = [this.tileGrid(), this.url()];
    return ([z = 0, x = 0, y = 0]) => {
      const range = grid.getFullTileRange(z);
      return range && !range.containsXY(x, y) ? undefined : renderXYZTemplate(url, z, x, y);
    };
  }

  private tileGrid(): TileGrid {
    const { native, mercator } = this.options;
    return this.mode === "map" && mercator ? mercator.tileGrid : native.tileGrid;
  }

  private source(): VectorTileSource {
    const { native, mercator } = this.options;
    const made = new VectorTileSource({
      format: new MVT({ idProperty: "id" }),
      tileUrlFunction: this.addresses(),
      wrapX: false,
      projection: this.mode === "map" && mercator ? "EPSG:3857" : native.projection,
      tileGrid: this.tileGrid(),
    });
    mend(made, (message) => tell(`Some annotations are missing: ${message}`, "bad"));
    return made;
  }

  private style(feature: FeatureLike): ReturnType<typeof styleOf> | ReturnType<typeof countStyle> | undefined {
    const { labels, isElsewhere } = this.options;
    const name = String(feature.get("label"));
    if (labels.isHidden(name)) return undefined;
    if (feature.get("layer") === "counts") return countStyle(feature, labels.colour(name));
    return isElsewhere(String(feature.getId())) ? undefined : styleOf(labels.colour(name), false);
  }
}
