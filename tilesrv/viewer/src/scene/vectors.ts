/** Annotations too many to be loaded: vector tiles, complete at every zoom. */

import type { Extent } from "ol/extent";
import type { FeatureLike } from "ol/Feature";
import MVT from "ol/format/MVT";
import VectorTileLayer from "ol/layer/VectorTile";
import type Projection from "ol/proj/Projection";
import type RenderFeature from "ol/render/Feature";
import VectorTileSource from "ol/source/VectorTile";
import type { TileCoord } from "ol/tilecoord";
import TileState from "ol/TileState";
import type TileGrid from "ol/tilegrid/TileGrid";
import { renderXYZTemplate } from "ol/uri";
import type VectorTile from "ol/VectorTile";
import type { Labels } from "../annotate/labels";
import { ask, type ImageRecord } from "../api";
import { countStyle, styleOf } from "./styles";
import { complain, tell } from "../toast";
import { mend, template, type Mercator, type Native } from "./tiles";

/** Tiles whose annotations are kept. */
const KEPT = 300;

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
  /** Annotations of tiles by their place: what a tile shows until it is loaded anew. */
  private readonly known = new Map<string, RenderFeature[]>();
  private readonly format = new MVT({ idProperty: "id" });
  private redrawing = 0;
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
    this.known.clear();
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
      format: this.format,
      tileUrlFunction: this.addresses(),
      wrapX: false,
      projection: this.mode === "map" && mercator ? "EPSG:3857" : native.projection,
      tileGrid: this.tileGrid(),
      tileLoadFunction: (tile) => this.load(tile as VectorTile<RenderFeature>),
    });
    mend(made, (message) => tell(`Some annotations are missing: ${message}`, "bad"));
    return made;
  }

  /** Load a tile; until what it shows now has come, it shows what was there before. */
  private load(tile: VectorTile<RenderFeature>): void {
    tile.setLoader((extent: Extent, _resolution: number, projection: Projection) => {
      const place = tile.getTileCoord().join();
      const before = this.known.get(place);
      if (before) tile.setFeatures(before);
      ask(tile.key).then((answer) => answer.arrayBuffer()).then((data) => {
        const features = this.format.readFeatures(data, { extent, featureProjection: projection });
        this.known.delete(place); // the newest last
        this.known.set(place, features);
        for (const oldest of this.known.keys()) {
          if (this.known.size <= KEPT) break;
          this.known.delete(oldest);
        }
        tile.setFeatures(features);
        if (before) this.redraw();
      }).catch((error: unknown) => {
        if (!before) tile.setState(TileState.ERROR);
        else complain(error, "Annotations are not shown as they are now");
      });
    });
  }

  /** Draw tiles anew whose annotations changed after they were drawn, many at once. */
  private redraw(): void {
    this.redrawing ||= requestAnimationFrame(() => {
      this.redrawing = 0;
      this.layer.changed();
    });
  }

  private style(feature: FeatureLike): ReturnType<typeof styleOf> | ReturnType<typeof countStyle> | undefined {
    const { labels, isElsewhere } = this.options;
    const name = String(feature.get("label"));
    if (labels.isHidden(name)) return undefined;
    if (feature.get("layer") === "counts") return countStyle(feature, labels.colour(name));
    return isElsewhere(String(feature.getId())) ? undefined : styleOf(labels.colour(name), false);
  }
}
