/** The map of a scene: its pixels on its own grid or in web mercator, with an overview. */

import Map from "ol/Map";
import View from "ol/View";
import OverviewMap from "ol/control/OverviewMap";
import { defaults as controls } from "ol/control/defaults";
import { defaults as interactions } from "ol/interaction/defaults";
import DragPan from "ol/interaction/DragPan";
import MouseWheelZoom from "ol/interaction/MouseWheelZoom";
import TileLayer from "ol/layer/Tile";
import type XYZ from "ol/source/XYZ";
import type { ImageRecord } from "../api";
import { mend, mercatorSource, nativeSource, template, type Mercator, type Native } from "./tiles";

export type Mode = "native" | "map";

export interface SceneMapOptions {
  target: HTMLElement;
  image: ImageRecord;
  native: Native;
  mercator: Mercator | null;
  /** Told once for each kind of failure of tiles. */
  failed: (message: string) => void;
}

/** Tiles on their way while the map is moved, and those that may be begun in each frame. */
const [MOVING, NEW] = [8, 4];

/**
 * A map that goes on loading while it is moved. OpenLayers stops where a frame takes longer than 8 ms, as frames drawn
 * without a graphics card do, and what comes into view would then stay blank until the hand rests.
 */
class EagerMap extends Map {
  override handlePostRender(): void {
    super.handlePostRender();
    const queue = this["tileQueue_"];
    if (queue.isEmpty() || queue.getTilesLoading() >= MOVING) return;
    queue.reprioritize();
    queue.loadMoreTiles(MOVING, NEW);
  }
}

/** The map, and the one layer that every scene has. */
export class SceneMap {
  readonly map: Map;
  private pixels: TileLayer<XYZ>;
  mode: Mode = "native";
  private query = "";
  private readonly overview: TileLayer<XYZ>;
  private readonly overviewControl: OverviewMap;

  constructor(private readonly options: SceneMapOptions) {
    this.pixels = this.makePixels();
    this.overview = new TileLayer({ source: this.source() });
    this.overviewControl = this.makeOverview();
    this.map = new EagerMap({
      target: options.target,
      layers: [this.pixels],
      view: this.view(),
      controls: controls({ attribution: false, rotate: true, zoom: false }).extend([this.overviewControl]),
      interactions: interactions({ mouseWheelZoom: false, keyboard: false, doubleClickZoom: false }).extend([
        new MouseWheelZoom({ duration: 120, timeout: 40 }),
        new DragPan({ condition: ({ originalEvent }) => originalEvent instanceof PointerEvent && originalEvent.button === 1 }),
      ]),
      maxTilesLoading: 24,
    });
    this.tellWhenBusy(options.target);
    this.fit();
  }

  private makePixels(opacity = 1): TileLayer<XYZ> {
    // coarser levels are loaded too, and fill what the finest tiles have not reached yet
    const made = new TileLayer({ source: this.source(), preload: Infinity, cacheSize: 1024, opacity });
    made.on("prerender", (event) => {
      // beyond the stored detail, pixels are shown as the squares they are
      const context = event.context;
      if (context instanceof CanvasRenderingContext2D) {
        context.imageSmoothingEnabled = (event.frameState?.viewState.resolution ?? 1) > this.finest() * 0.6;
      }
    });
    return made;
  }

  setOpacity(opacity: number): void {
    this.pixels.setOpacity(opacity);
  }

  /** Size of a pixel of the finest level in units of the map. */
  finest(): number {
    if (this.mode === "native") return 1;
    return this.options.mercator?.tileGrid.getResolutions().at(-1) ?? 1;
  }

  get extent(): [number, number, number, number] {
    return this.mode === "map" && this.options.mercator ? this.options.mercator.extent : this.options.native.extent;
  }

  /** Show the whole image. */
  fit(duration = 0): void {
    this.map.getView().fit(this.extent, { padding: [24, 24, 24, 24], duration });
  }

  zoom(delta: number): void {
    this.map.getView().animate({ zoom: (this.map.getView().getZoom() ?? 0) + delta, duration: 150 });
  }

  pan(right: number, up: number): void {
    const view = this.map.getView();
    const step = (view.getResolution() ?? 1) * 120;
    const [x = 0, y = 0] = view.getCenter() ?? [];
    view.animate({ center: [x + right * step, y + up * step], duration: 120 });
  }

  /** One pixel of the finest level on one pixel of the screen. */
  oneToOne(): void {
    this.map.getView().animate({ resolution: this.finest() / devicePixelRatio, duration: 150 });
  }

  /** Show pixels with another look; what is on screen stays until the new tiles are there. */
  setQuery(query: string): void {
    if (query === this.query) return;
    this.query = query;
    for (const layer of [this.pixels, this.overview]) layer.getSource()?.setUrl(this.url());
  }

  setMode(mode: Mode): void {
    if (mode === this.mode || (mode === "map" && !this.options.mercator)) return;
    this.mode = mode;
    // a new layer: what the one before still prepares is of the other projection
    this.pixels = this.makePixels(this.pixels.getOpacity());
    this.map.getLayers().setAt(0, this.pixels);
    this.overview.setSource(this.source());
    this.map.setView(this.view());
    this.overviewControl.getOverviewMap().setView(this.overviewView());
    this.fit();
  }

  close(): void {
    this.map.setTarget();
    this.map.dispose();
  }

  /** Let readers of the screen know, too, whether all that belongs into view is there. */
  private tellWhenBusy(target: HTMLElement): void {
    const tell = (busy: boolean): void => target.setAttribute("aria-busy", String(busy));
    tell(true);
    this.map.on("loadstart", () => tell(true));
    this.map.on("rendercomplete", () => tell(false));
  }

  private url(): string {
    const tms = this.mode === "map" ? "WebMercatorQuad" : "native";
    return template(this.options.image, "tiles", tms, "png", this.query);
  }

  private source(): XYZ {
    const { native, mercator } = this.options;
    const made = this.mode === "map" && mercator ? mercatorSource(mercator, this.url()) : nativeSource(native, this.url());
    mend(made, this.options.failed);
    return made;
  }

  private view(): View {
    const extent = this.extent;
    const size = Math.max(extent[2] - extent[0], extent[3] - extent[1]);
    return new View({
      projection: this.mode === "map" ? "EPSG:3857" : this.options.native.projection,
      center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
      resolution: size / 500,
      minResolution: this.finest() / 64,
      maxResolution: Math.max(size / 128, this.finest() / 16),
      extent,
      constrainOnlyCenter: true,
      showFullExtent: true,
      multiWorld: true,
      constrainRotation: false,
    });
  }

  private overviewView(): View {
    const projection = this.mode === "map" ? "EPSG:3857" : this.options.native.projection;
    const [x0, y0, x1, y1] = this.extent;
    const resolution = Math.max((x1 - x0) / 150, (y1 - y0) / 110);
    return new View({ projection, center: [(x0 + x1) / 2, (y0 + y1) / 2], resolution, minResolution: resolution, maxResolution: resolution });
  }

  private makeOverview(): OverviewMap {
    return new OverviewMap({
      layers: [this.overview],
      view: this.overviewView(),
      collapsed: false,
      tipLabel: "Overview",
    });
  }
}
