/** Measuring on the planes of a volume without annotating: in millimetres, with the values in the modality's unit. */

import { millimetres, squareMillimetres } from "../format";
import { dot, length, subtract, type Point3 } from "../grid";
import { MeasureBar } from "../measuring";
import { ellipseBetween, roiOf, roiWords } from "./roi";
import { isInside, ringSize } from "./sections";
import type { Overlay, PlaneView } from "./view";

const COLOUR = "#ffd84a";

type Place = [number, number];

interface Measured {
  view: PlaneView;
  index: number;
  /** Corners as column and row of the plane. */
  places: Place[];
  pointer: Place | null;
  isDone: boolean;
}

export interface VolumeRulerOptions {
  unit: string;
  redraw: () => void;
}

/** The ruler of all three planes. */
export class VolumeRuler implements Overlay {
  readonly bar = new MeasureBar(() => this.clear());
  isActive = false;
  private now: Measured | null = null;

  constructor(private readonly options: VolumeRulerOptions) {}

  setActive(active: boolean): void {
    this.isActive = active;
    this.bar.element.hidden = !active;
    this.clear();
  }

  private clear(): void {
    this.now = null;
    this.bar.say("");
    this.options.redraw();
  }

  /** Forget what is measured; whether there was anything. */
  cancel(): boolean {
    const was = this.now !== null;
    this.clear();
    return was;
  }

  takeBack(): void {
    if (!this.now || this.now.isDone) return;
    this.now.places.pop();
    this.tell();
  }

  finish(): void {
    const least = this.bar.kind === "line" ? 2 : 3;
    if (!this.now || this.now.isDone || (this.bar.kind !== "ellipse" && this.now.places.length < least)) return;
    this.now.isDone = true;
    this.now.pointer = null;
    this.tell();
  }

  // ---- pointers

  press(event: PointerEvent, view: PlaneView): boolean {
    if (!this.isActive || event.button !== 0 || event.shiftKey) return false;
    const at = view.toPicture(...view.at(event));
    if (!this.now || this.now.isDone || this.now.view !== view || this.now.index !== view.current) {
      this.now = { view, index: view.current, places: [], pointer: null, isDone: false };
    }
    if (this.bar.kind === "ellipse") this.drag(event, view, this.now, at);
    else this.now.places.push(at);
    this.tell();
    return true;
  }

  private drag(start: PointerEvent, view: PlaneView, now: Measured, from: Place): void {
    now.places = [from, from];
    const { canvas } = view;
    const move = (event: PointerEvent): void => {
      now.places = [from, view.toPicture(...view.at(event))];
      this.tell();
    };
    canvas.setPointerCapture(start.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("lostpointercapture", () => {
      canvas.removeEventListener("pointermove", move);
      now.isDone = true;
      this.tell();
    }, { once: true });
  }

  hover(event: PointerEvent, view: PlaneView): void {
    if (!this.isActive || !this.now || this.now.isDone || this.now.view !== view || this.bar.kind === "ellipse") return;
    this.now.pointer = view.toPicture(...view.at(event));
    this.tell();
  }

  /** The second press of a double click put a corner on that of the first. */
  double(): boolean {
    if (!this.isActive) return false;
    if (this.bar.kind !== "ellipse" && !this.now?.isDone) this.now?.places.pop();
    this.finish();
    return true;
  }

  // ---- what is told

  private outline({ places, pointer }: Measured): Place[] {
    if (this.bar.kind === "ellipse") {
      const [a, b] = places;
      return a && b ? ellipseBetween(a, b) : [];
    }
    return pointer ? [...places, pointer] : places;
  }

  private tell(): void {
    this.options.redraw();
    const { now } = this;
    if (!now) return this.bar.say("");
    const outline = this.outline(now);
    const { planes } = now.view;
    const world = outline.map(([column, row]) => planes.toWorld({ index: now.index, row, column }));
    if (this.bar.kind === "line") return this.bar.say(lineWords(world));
    if (world.length < 3) return this.bar.say("");
    const { area, around } = ringSize(world);
    const size = `${this.diameters(now)}${squareMillimetres(area)}, ${millimetres(around)} around`;
    this.bar.say(now.isDone ? `${size}\n${this.values(now, outline)}` : size);
  }

  private diameters({ places, view }: Measured): string {
    const [a, b] = places;
    if (this.bar.kind !== "ellipse" || !a || !b) return "";
    const { spacing } = view.planes;
    return `${millimetres(Math.abs(b[0] - a[0]) * spacing[1])} × ${millimetres(Math.abs(b[1] - a[1]) * spacing[0])}, `;
  }

  private values({ view, index }: Measured, outline: readonly Place[]): string {
    const shown = view.current === index ? view.shown : null;
    if (!shown || shown.slice.bands !== 1) return "";
    const [x, y] = [outline.map((place) => place[0]), outline.map((place) => place[1])];
    const found = roiOf(shown, view.planes, [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)], (place) => isInside(place, outline));
    return found ? roiWords(found, this.options.unit) : "no values";
  }

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    const { now } = this;
    if (!this.isActive || !now || now.view !== view || now.index !== view.current) return;
    const points = this.outline(now).map(([column, row]) => view.toScreen(column, row));
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    if (this.bar.kind !== "line" && points.length > 2) context.closePath();
    context.strokeStyle = "rgba(0,0,0,0.6)";
    context.lineWidth = 4;
    context.stroke();
    context.strokeStyle = COLOUR;
    context.lineWidth = 1.5;
    context.stroke();
    context.fillStyle = COLOUR;
    if (this.bar.kind !== "ellipse") for (const [x, y] of points) context.fillRect(x - 2.5, y - 2.5, 5, 5);
  }
}

/** Length of a line, and the angle at its last corner. */
function lineWords(world: readonly Point3[]): string {
  if (world.length < 2) return "";
  const total = world.slice(1).reduce((sum, point, k) => sum + length(subtract(point, world[k] ?? point)), 0);
  const [a, b, c] = world.slice(-3);
  if (!a || !b || !c) return millimetres(total);
  const [u, v] = [subtract(a, b), subtract(c, b)];
  const angle = Math.acos(Math.max(-1, Math.min(1, dot(u, v) / (length(u) * length(v) || 1))));
  return `${millimetres(total)}   ${((angle * 180) / Math.PI).toFixed(1)}°`;
}
