/** The brush and the eraser on the map: a round tip of a size on the screen, pixels of the image beneath. */

import type { Coordinate } from "ol/coordinate";
import OlFeature from "ol/Feature";
import LineString from "ol/geom/LineString";
import PointerInteraction from "ol/interaction/Pointer";
import VectorLayer from "ol/layer/Vector";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import VectorSource from "ol/source/Vector";
import CircleStyle from "ol/style/Circle";
import Stroke from "ol/style/Stroke";
import Style from "ol/style/Style";
import Point from "ol/geom/Point";
import { strokeOf, type Stroke as Painted } from "../annotate/brush";
import type { Grid2 } from "../grid";
import { tell } from "../toast";
import { faded } from "./styles";

export interface BrushOptions {
  grid: Grid2;
  colour: () => string;
  done: (stroke: Painted, op: "add" | "subtract") => void;
}

/** The interaction, and the layer that shows its tip and what it is painting. */
export class Brush extends PointerInteraction {
  op: "add" | "subtract" = "add";
  /** Of the tip, in screen pixels. */
  radius = 12;
  readonly layer: VectorLayer;
  private readonly tip = new OlFeature(new Point([0, 0]));
  private line: OlFeature<LineString> | null = null;

  constructor(private readonly options: BrushOptions) {
    super();
    const source = new VectorSource({ features: [this.tip] });
    this.layer = new VectorLayer({ source, zIndex: 40, style: (feature) => (feature === this.tip ? this.ring() : this.trail()), updateWhileInteracting: true });
    this.setActive(false);
  }

  override setActive(active: boolean): void {
    super.setActive(active);
    this.layer?.setVisible(active);
  }

  grow(factor: number): void {
    this.radius = Math.min(200, Math.max(1, this.radius * factor));
    this.layer.changed();
  }

  private ring(): Style {
    return new Style({ image: new CircleStyle({ radius: this.radius, stroke: new Stroke({ color: "#fff", width: 1.5 }) }) });
  }

  private trail(): Style {
    const color = this.op === "add" ? faded(this.options.colour(), 0.5) : "rgba(0,0,0,0.5)";
    return new Style({ stroke: new Stroke({ color, width: 2 * this.radius, lineCap: "round", lineJoin: "round" }) });
  }

  override handleMoveEvent(event: MapBrowserEvent): void {
    if (event.coordinate) this.tip.setGeometry(new Point(event.coordinate));
  }

  override handleDownEvent(event: MapBrowserEvent): boolean {
    const original = event.originalEvent;
    if (!event.coordinate || !(original instanceof PointerEvent) || original.button !== 0) return false;
    this.line = new OlFeature(new LineString([event.coordinate, event.coordinate]));
    this.layer.getSource()?.addFeature(this.line);
    return true;
  }

  override handleDragEvent(event: MapBrowserEvent): void {
    if (!event.coordinate) return;
    this.tip.setGeometry(new Point(event.coordinate));
    this.line?.getGeometry()?.appendCoordinate(event.coordinate);
  }

  override handleUpEvent(event: MapBrowserEvent): boolean {
    const places = this.line?.getGeometry()?.getCoordinates() ?? [];
    if (this.line) this.layer.getSource()?.removeFeature(this.line);
    this.line = null;
    const { width, height } = this.options.grid;
    const radius = Math.max(0.5, this.radius * (event.map.getView().getResolution() ?? 1));
    const stroke = strokeOf(places.map(([x = 0, y = 0]: Coordinate) => [x, -y] as const), radius, width, height);
    if (stroke) this.options.done(stroke, this.op);
    else tell("This stroke paints no pixel, or too many: zoom in.");
    return false;
  }
}
