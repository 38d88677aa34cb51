/** Key points of a scan, placed one after another on whatever slice and plane each is seen best. */

import type { ShapeMember } from "../annotate/model";
import { KeypointRow, type Skeleton } from "../scene/keypoints";
import type { Point3 } from "../grid";
import { disc, distance, outline, screenOf, trace, type Spot } from "./marks";
import type { PlaneView } from "./view";

export interface LandmarksOptions {
  colour: () => string;
  redraw: () => void;
  /** Names and joins of the label in hand; null where it has none. */
  skeleton: () => Skeleton | null;
  /** Say what to do next; nothing where no points are placed. */
  hint: (text: string) => void;
  placed: (shape: ShapeMember) => void;
}

/** Milliseconds and screen pixels between two presses that are one double click, which places one point. */
const TWICE = 400;
const NEAR = 5;

/** A row of key points that is being placed. */
export class Landmarks {
  private row: KeypointRow | null = null;
  private points: Point3[] = [];
  private last: { at: Spot; time: number } | null = null;

  constructor(private readonly options: LandmarksOptions) {}

  /** Begin a new row, or stop. */
  take(on: boolean): void {
    this.row = on ? new KeypointRow(this.options.skeleton()) : null;
    this.points = [];
    this.tell();
  }

  /** Whether key points are placed now. */
  get isActive(): boolean {
    return this.row !== null;
  }

  /** Give up what was begun; whether there was something. */
  cancel(): boolean {
    const begun = this.points.length > 0;
    if (this.row) this.take(true);
    return begun;
  }

  press(event: PointerEvent, view: PlaneView): void {
    const { row, last } = this;
    if (!row) return;
    this.last = { at: view.at(event), time: event.timeStamp };
    if (last && event.timeStamp - last.time < TWICE && distance(last.at, this.last.at) < NEAR) return;
    this.points.push(view.worldAt(event));
    row.follow(this.points.length);
    this.tell();
    if (row.isFull) this.finish();
    else this.options.redraw();
  }

  /** Go on to the key point after the next. */
  leaveOut(): void {
    this.row?.leaveOut();
    this.tell();
    if (this.row?.isFull && this.points.length) this.finish();
  }

  takeBack(): void {
    const { row } = this;
    if (!row) return;
    if (!row.takeBack()) {
      this.points.pop();
      row.follow(this.points.length);
    }
    this.tell();
    this.options.redraw();
  }

  /** Store what was placed; the rest is left out. */
  finish(): void {
    const { row, points } = this;
    if (!row || !points.length) return;
    const shape = row.shape(points.map((point) => [...point]));
    this.take(true);
    this.options.placed(shape);
    this.options.redraw();
  }

  private tell(): void {
    this.options.hint(this.row?.prompt ?? "");
  }

  /** Those already placed; what lies on other slices is pale. */
  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    if (!this.points.length) return;
    const spots = this.points.map((point) => screenOf(view, point));
    for (const [k, spot] of spots.entries()) {
      const point = this.points[k];
      context.globalAlpha = point && view.planes.toPlane(point).index === view.current ? 1 : 0.4;
      disc(context, spot, 5, this.options.colour());
    }
    context.globalAlpha = 1;
  }
}

/** The names of key points beside them. */
export function nameKeypoints(context: CanvasRenderingContext2D, spots: readonly { at: Spot; name: string }[]): void {
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  for (const { at: [x, y], name } of spots) {
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0,0,0,0.75)";
    context.strokeText(name, x + 9, y);
    context.fillStyle = "#fff";
    context.fillText(name, x + 9, y);
  }
}

/** A stretch between two key points that are joined. */
export function join(context: CanvasRenderingContext2D, from: Spot, to: Spot, colour: string): void {
  if (distance(from, to) < 1) return;
  context.beginPath();
  trace(context, [from, to], false);
  outline(context, colour, false);
}
