/** What editors draw on a plane's canvas, and distances on the screen. */

import type { Point3 } from "../grid";
import type { PlaneView } from "./view";

export type Spot = [number, number];

/** Place on a view's canvas of one in the patient, as seen along the normal. */
export function screenOf(view: PlaneView, world: Point3): Spot {
  const origin = view.planes.origins[view.current];
  if (!origin) return [0, 0];
  const { row, column } = view.planes.toPicture(world, origin);
  return view.toScreen(column, row);
}

export function distance(a: readonly [number, number], b: readonly [number, number]): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

/** Distance of a spot from a stretch. */
export function toSegment(at: Spot, a: Spot, b: Spot): number {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const share = ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / (dx * dx + dy * dy || 1);
  const along = Math.min(1, Math.max(0, share));
  return distance(at, [a[0] + along * dx, a[1] + along * dy]);
}

/** Add a line to the path that was begun. */
export function trace(context: CanvasRenderingContext2D, points: readonly Spot[], close: boolean): void {
  for (const [k, [x, y]] of points.entries()) {
    if (k) context.lineTo(x, y);
    else context.moveTo(x, y);
  }
  if (close) context.closePath();
}

export function outline(context: CanvasRenderingContext2D, colour: string, selected: boolean): void {
  context.lineJoin = "round";
  context.strokeStyle = selected ? "rgba(255,255,255,0.9)" : "rgba(0,0,0,0.55)";
  context.lineWidth = selected ? 4.5 : 3.5;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.stroke();
}

export function disc(context: CanvasRenderingContext2D, [x, y]: readonly [number, number], radius: number, colour: string): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "rgba(0,0,0,0.8)";
  context.lineWidth = 1;
  context.stroke();
}

/** Follow a pointer until it is let go, wherever it goes meanwhile. */
export function follow(start: PointerEvent, canvas: HTMLCanvasElement, move: (event: PointerEvent) => void, end: () => void): void {
  canvas.setPointerCapture(start.pointerId);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("lostpointercapture", () => {
    canvas.removeEventListener("pointermove", move);
    end();
  }, { once: true });
}
