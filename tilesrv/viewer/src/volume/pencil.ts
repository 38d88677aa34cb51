/** What is being drawn on a plane, corner by corner or from corner to corner, until it is finished. */

import { length, subtract, type Point3 } from "../grid";
import { disc, distance, follow, outline, screenOf, trace, type Spot } from "./marks";
import { cutSolid, solidBetween, type Solid } from "./solids";
import type { PlaneView } from "./view";

export type PencilTool = "line" | "polygon" | "box" | "ellipse";
/** Screen pixels within which the first corner is met again. */
const NEAR = 8;
/** Screen pixels between two corners of a line drawn freely. */
const STEP = 5;

/** Corners on a slice of a view. */
export interface Sketch {
  view: PlaneView;
  index: number;
  /** Corners in the patient. */
  points: Point3[];
  pointer: Spot | null;
}

/** A box or ellipse from one corner to the pointer. */
interface Span {
  view: PlaneView;
  index: number;
  from: Point3;
  to: Point3;
}

export interface PencilOptions {
  colour: () => string;
  redraw: () => void;
  /** A line or an outline is finished. */
  sketched: (sketch: Sketch, tool: "line" | "polygon") => void;
  /** A box or an ellipse is finished. */
  spanned: (solid: Solid) => void;
}

/** Column and row of each corner of a sketch. */
export function placesOf({ view, index, points }: Sketch): Spot[] {
  const origin = view.planes.origins[index];
  return points.map((point) => {
    const { row, column } = view.planes.toPicture(point, origin ?? point);
    return [column, row];
  });
}

/** The pencil. */
export class Pencil {
  tool: PencilTool | null = null;
  private sketch: Sketch | null = null;
  private span: Span | null = null;

  constructor(private readonly options: PencilOptions) {}

  /** Take a tool in hand, or none; what was begun is given up. */
  take(tool: PencilTool | null): void {
    this.tool = tool;
    this.cancel();
  }

  /** Give up what was begun; whether there was something. */
  cancel(): boolean {
    const begun = this.sketch !== null || this.span !== null;
    [this.sketch, this.span] = [null, null];
    return begun;
  }

  press(event: PointerEvent, view: PlaneView): void {
    if (this.tool === "box" || this.tool === "ellipse") this.stretch(event, view);
    else this.corner(event, view);
  }

  /** Follow the pointer with what is being drawn. */
  hover(event: PointerEvent, view: PlaneView): void {
    if (this.span?.view === view) this.span.to = view.worldAt(event);
    else if (this.sketch?.view === view) this.sketch.pointer = view.at(event);
    else return;
    this.options.redraw();
  }

  /** A double click ends a line; its second press put a corner on that of the first. */
  double(): void {
    const points = this.sketch?.points;
    const [last, before] = [points?.at(-1), points?.at(-2)];
    if (last && before && length(subtract(last, before)) < 1e-3 + NEAR / (this.sketch?.view.zoom ?? 1)) points?.pop();
    this.finish();
  }

  /** End what is being drawn. */
  finish(): void {
    const { sketch, tool } = this;
    this.sketch = null;
    if (sketch && (tool === "line" || tool === "polygon") && sketch.points.length >= (tool === "polygon" ? 3 : 2)) this.options.sketched(sketch, tool);
    this.options.redraw();
  }

  takeBack(): void {
    this.sketch?.points.pop();
    this.options.redraw();
  }

  private corner(event: PointerEvent, view: PlaneView): void {
    const at: Spot = view.at(event);
    if (!this.sketch || this.sketch.view !== view || this.sketch.index !== view.current) {
      this.sketch = { view, index: view.current, points: [], pointer: at };
    }
    const sketch = this.sketch;
    const first = sketch.points[0];
    if (this.tool === "polygon" && first && sketch.points.length > 2 && distance(screenOf(view, first), at) <= NEAR) return this.finish();
    sketch.points.push(view.worldAt(event));
    this.freely(event, view, sketch);
    this.options.redraw();
  }

  /** While the button is held, corners follow the pointer; a line drawn so ends when the button is let go. */
  private freely(start: PointerEvent, view: PlaneView, sketch: Sketch): void {
    let last: Spot = view.at(start);
    let count = 0;
    follow(start, view.canvas, (event) => {
      const at: Spot = view.at(event);
      if (this.sketch !== sketch || distance(at, last) < STEP) return;
      sketch.points.push(view.worldAt(event));
      [last, count] = [at, count + 1];
      this.options.redraw();
    }, () => {
      if (count > 4 && this.sketch === sketch) this.finish();
    });
  }

  /** From corner to corner: by dragging, or by two clicks. */
  private stretch(event: PointerEvent, view: PlaneView): void {
    const at = view.worldAt(event);
    const begun = this.span;
    if (begun?.view === view && begun.index === view.current) {
      begun.to = at;
      return this.finishSpan(begun);
    }
    const span: Span = { view, index: view.current, from: at, to: at };
    this.span = span;
    const start = view.at(event);
    let far = false;
    follow(event, view.canvas, (moved) => {
      span.to = view.worldAt(moved);
      far ||= distance(view.at(moved), start) > STEP;
      this.options.redraw();
    }, () => {
      if (far && this.span === span) this.finishSpan(span);
    });
  }

  private solid({ view, index, from, to }: Span): Solid {
    const { right, down, normal } = view.planes;
    return solidBetween(this.tool === "ellipse" ? "ellipse" : "box", from, to, { right, down, normal, half: view.planes.halfStep(index) });
  }

  private finishSpan(span: Span): void {
    const [a, b] = [screenOf(span.view, span.from), screenOf(span.view, span.to)];
    this.span = null;
    if (Math.min(Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])) >= 2) this.options.spanned(this.solid(span));
    this.options.redraw();
  }

  // ---- what is shown

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    if (this.sketch?.view === view && this.sketch.index === view.current) this.drawSketch(context, view, this.sketch);
    if (this.span?.view === view && this.span.index === view.current) this.drawSpan(context, view, this.span);
  }

  private drawSketch(context: CanvasRenderingContext2D, view: PlaneView, { points, pointer }: Sketch): void {
    const shown = points.map((point) => screenOf(view, point));
    if (pointer) shown.push(pointer);
    context.beginPath();
    trace(context, shown, false);
    outline(context, this.options.colour(), false);
    for (const point of shown.slice(0, pointer ? -1 : undefined)) disc(context, point, 3, "#fff");
  }

  private drawSpan(context: CanvasRenderingContext2D, view: PlaneView, span: Span): void {
    const { planes } = view;
    const points = cutSolid(this.solid(span), planes.origins[span.index] ?? span.from, planes.normal, planes.halfStep(span.index));
    context.beginPath();
    trace(context, points.map((point) => screenOf(view, point)), true);
    outline(context, this.options.colour(), false);
  }
}
