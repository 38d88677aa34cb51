/** Handles of a selected box, rotated box or ellipse: corners to pull, and one to turn it by. */

import OlFeature from "ol/Feature";
import Point from "ol/geom/Point";
import Polygon from "ol/geom/Polygon";
import PointerInteraction from "ol/interaction/Pointer";
import VectorLayer from "ol/layer/Vector";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import VectorSource from "ol/source/Vector";
import { cornersOf, outlineOf, placeOn, withAngle, withCorner, type Framed } from "../annotate/shapes";
import type { Grid2, Point2 } from "../grid";
import { handleStyle } from "./styles";

const STYLES = { corner: handleStyle(false), turn: handleStyle(true) };
/** Screen pixels from the upper edge to the handle that turns. */
const REACH = 26;

export interface HandlesOptions {
  grid: Grid2;
  changed: (framed: Framed) => void;
  resolution: () => number;
}

/** The handles, and the interaction that follows them. */
export class Handles extends PointerInteraction {
  readonly layer = new VectorLayer({
    source: new VectorSource(),
    style: (feature) => (feature.get("turn") ? STYLES.turn : STYLES.corner),
    zIndex: 30,
  });
  private framed: Framed | null = null;
  private target: OlFeature | null = null;
  private grabbed: OlFeature | null = null;

  constructor(private readonly options: HandlesOptions) {
    super();
  }

  /** Put handles on a shape; null takes them away. */
  show(framed: Framed | null, target: OlFeature | null): void {
    [this.framed, this.target] = [framed, target];
    const source = this.layer.getSource();
    source?.clear();
    if (!framed) return;
    const corners = cornersOf(framed).map((place, corner) => new OlFeature({ geometry: this.point(place), corner }));
    source?.addFeatures([...corners, new OlFeature({ geometry: this.point(this.turningPlace(framed)), turn: true })]);
  }

  private point(place: Point2): Point {
    return new Point(this.options.grid.toMap(place));
  }

  private turningPlace(framed: Framed): [number, number] {
    const height = Math.hypot(...subtract(this.options.grid.toMap(placeOn(framed, [0, 1])), this.options.grid.toMap(framed.center)));
    return placeOn(framed, [0, 1 + (REACH * this.options.resolution()) / Math.max(height, 1e-9)]);
  }

  override handleDownEvent(event: MapBrowserEvent): boolean {
    const found = event.map.forEachFeatureAtPixel(event.pixel, (feature) => feature as OlFeature, {
      layerFilter: (layer) => layer === this.layer, hitTolerance: 8,
    });
    this.grabbed = found ?? null;
    return Boolean(found);
  }

  override handleDragEvent(event: MapBrowserEvent): void {
    if (!this.framed || !this.grabbed || !event.coordinate) return;
    const to = this.options.grid.fromMap([event.coordinate[0] ?? 0, event.coordinate[1] ?? 0]);
    const corner = this.grabbed.get("corner") as number | undefined;
    this.framed = corner === undefined ? withAngle(this.framed, to) : withCorner(this.framed, corner, to);
    const ring = outlineOf(this.framed).map((place) => this.options.grid.toMap(place));
    this.target?.setGeometry(new Polygon([ring]));
    this.follow(this.framed);
  }

  /** Move the handles along without making them anew. */
  private follow(framed: Framed): void {
    const places = [...cornersOf(framed), this.turningPlace(framed)];
    this.layer.getSource()?.getFeatures().forEach((feature) => {
      const place = places[(feature.get("corner") as number | undefined) ?? 4];
      if (place) feature.setGeometry(this.point(place));
    });
  }

  override handleUpEvent(): boolean {
    if (this.framed && this.grabbed) this.options.changed(this.framed);
    this.grabbed = null;
    return false;
  }
}

function subtract(a: Point2, b: Point2): [number, number] {
  return [a[0] - b[0], a[1] - b[1]];
}
