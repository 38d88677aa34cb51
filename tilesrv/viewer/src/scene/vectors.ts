/** Annotations too many to be loaded: vector tiles, complete at every zoom. */

import type { Extent } from "ol/extent";
import type { FeatureLike } from "ol/Feature";
import MVT from "ol/format/MVT";
import VectorTileLayer from "ol/layer/VectorTile";
import type Projection from "ol/proj/Projection";
import type RenderFeature from "ol/render/Feature";
import VectorTileSource from "ol/source/VectorTile";
import Fill from "ol/style/Fill";
import Style from "ol/style/Style";
import type { TileCoord } from "ol/tilecoord";
import TileState from "ol/TileState";
import type TileGrid from "ol/tilegrid/TileGrid";
import { renderXYZTemplate } from "ol/uri";
import type VectorTile from "ol/VectorTile";
import type { Labels } from "../annotate/labels";
import { ask, type ImageRecord } from "../api";
import { countStyle, faded, styleOf } from "./styles";
import { complain, tell } from "../toast";
import { mend, template, type Mercator, type Native } from "./tiles";

/** Pixels of the screen below which an area has no outline. */
const SMALL = 7;
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
  private readonly spots = new Map<string, Style>();
  private redrawing = 0;
  private fresh = 0;
  private timer = 0;
  private mode: "native" | "map" = "native";

  constructor(private readonly options: VectorsOptions) {
    this.layer = new VectorTileLayer({
      source: this.source(),
      style: (feature, resolution) => this.style(feature, resolution),
      renderMode: "hybrid",
      declutter: false, // with it, areas are no longer found under the pointer
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
      wrapX: this.mode === "map" && mercator !== null && mercator.wraps,
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

  private style(feature: FeatureLike, resolution: number): ReturnType<typeof styleOf> | Style | undefined {
    const { labels, isElsewhere } = this.options;
    const name = String(feature.get("label"));
    if (labels.isHidden(name)) return undefined;
    if (feature.get("layer") === "counts") return countStyle(feature, labels.colour(name));
    if (isElsewhere(String(feature.getId()))) return undefined;
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = feature.getGeometry()?.getExtent() ?? [];
    const size = Math.max(x1 - x0, y1 - y0) / resolution;
    const isSmall = size < SMALL && feature.getGeometry()?.getType() === "Polygon";
    return isSmall ? this.spot(labels.colour(name)) : styleOf(labels.colour(name), false);
  }

  /** Small areas are filled, no more: outlines would hide them, and cost most of the time that drawing takes. */
  private spot(colour: string): Style {
    let found = this.spots.get(colour);
    if (!found) {
      // each colour's are drawn together, in one go
      found = new Style({ fill: new Fill({ color: faded(colour, 0.8) }), zIndex: -1 - this.spots.size });
      this.spots.set(colour, found);
    }
    return found;
  }
}
