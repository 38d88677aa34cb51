/** The brush and the eraser on planes, and painted voxels as planes show them. */

import type { Mask, Stroke } from "../annotate/brush";
import type { Labels } from "../annotate/labels";
import { isMask, type Feature } from "../annotate/model";
import type { AnnotationStore } from "../annotate/store";
import { tell } from "../toast";
import { follow, type Spot } from "./marks";
import type { PlaneView } from "./view";
import { sliceOf, type Voxels } from "./voxels";

export interface VolumeBrushOptions {
  voxels: Voxels;
  colour: () => string;
  redraw: () => void;
  done: (stroke: Stroke, op: "add" | "subtract") => void;
}

/** The tip, a round one of a size on the screen, and what it is painting. */
export class VolumeBrush {
  op: "add" | "subtract" | null = null;
  /** Of the tip, in screen pixels. */
  radius = 12;
  private tip: { view: PlaneView; at: Spot } | null = null;
  private trail: { view: PlaneView; places: Spot[] } | null = null;

  constructor(private readonly options: VolumeBrushOptions) {}

  grow(factor: number): void {
    this.radius = Math.min(200, Math.max(1, this.radius * factor));
    this.options.redraw();
  }

  /** Drop what is being painted; whether there was something. */
  cancel(): boolean {
    const painting = this.trail !== null;
    this.trail = null;
    return painting;
  }

  press(event: PointerEvent, view: PlaneView): void {
    const { op } = this;
    const [index, at] = [view.current, view.at(event)];
    const trail = { view, places: [view.toPicture(...at)] };
    this.trail = trail;
    follow(event, view.canvas, (moved) => {
      trail.places.push(view.toPicture(...view.at(moved)));
      this.options.redraw();
    }, () => {
      if (this.trail !== trail || !op) return;
      this.trail = null;
      const radius = Math.max(this.radius / view.zoom, Math.min(...view.planes.spacing) / 2);
      const stroke = this.options.voxels.stroke(view.planes, index, trail.places, radius);
      if (stroke) this.options.done(stroke, op);
      else tell("This stroke paints no voxel.");
      this.options.redraw();
    });
    this.options.redraw();
  }

  hover(event: PointerEvent, view: PlaneView): void {
    this.tip = { view, at: view.at(event) };
    this.options.redraw();
  }

  leave(): void {
    this.tip = null;
  }

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    if (!this.op) return;
    if (this.trail?.view === view) {
      context.beginPath();
      for (const [c, r] of this.trail.places) context.lineTo(...view.toScreen(c, r));
      const [c, r] = this.trail.places[0] ?? [0, 0];
      if (this.trail.places.length === 1) context.lineTo(...view.toScreen(c, r));
      [context.lineCap, context.lineJoin, context.lineWidth] = ["round", "round", 2 * this.radius];
      context.strokeStyle = this.op === "add" ? this.options.colour() : "#000";
      context.globalAlpha = 0.5;
      context.stroke();
      context.globalAlpha = 1;
    }
    if (this.tip?.view !== view) return;
    context.beginPath();
    context.arc(...this.tip.at, this.radius, 0, 2 * Math.PI);
    for (const [colour, width] of [["rgba(0,0,0,0.6)", 3], ["#fff", 1.5]] as const) {
      [context.strokeStyle, context.lineWidth] = [colour, width];
      context.stroke();
    }
  }
}

interface Shown {
  shape: Mask;
  colour: string;
  index: number;
  picture: HTMLCanvasElement | null;
  rectangle: readonly [number, number, number, number];
}

/** Mask annotations, slice by slice. */
export class MaskSlices {
  private readonly kept = new Map<string, Shown>();

  constructor(
    private readonly store: AnnotationStore,
    private readonly labels: Labels,
    private readonly voxels: Voxels,
  ) {}

  /** `moving` is drawn in the place of the stored one. */
  draw(context: CanvasRenderingContext2D, view: PlaneView, selected: string | null, moving: Feature | null): void {
    for (const stored of this.store.features.values()) {
      const feature = moving?.id === stored.id ? moving : stored;
      const { label } = feature.properties;
      if (!isMask(feature) || this.labels.isHidden(label)) continue;
      const shown = this.shown(feature.id, feature.shape, this.labels.colour(label), view);
      if (shown.picture) this.place(context, view, shown, shown.picture, feature.id === selected ? 0.65 : 0.45);
    }
  }

  /** The mask whose voxel lies at a place of a picture; that painted last. */
  hit(view: PlaneView, place: Spot): string | null {
    const at = this.voxels.at(view.planes, view.current, place);
    if (!at) return null;
    const [lines, along] = this.voxels.axesOn(view.planes);
    let found: string | null = null;
    for (const feature of this.store.features.values()) {
      if (!isMask(feature) || this.labels.isHidden(feature.properties.label)) continue;
      const slice = sliceOf(feature.shape, view.planes, view.current);
      if (!slice) continue;
      const [q0, p0, q1, p1] = slice.rectangle;
      const [q, p] = [at[along] - q0, at[lines] - p0];
      if (q >= 0 && p >= 0 && q < q1 - q0 && p < p1 - p0 && slice.bits[p * (q1 - q0) + q]) found = feature.id;
    }
    return found;
  }

  private shown(id: string, shape: Mask, colour: string, view: PlaneView): Shown {
    const key = `${view.planes.name}/${id}`;
    const known = this.kept.get(key);
    if (known?.shape === shape && known.colour === colour && known.index === view.current) return known;
    const slice = sliceOf(shape, view.planes, view.current);
    const made: Shown = { shape, colour, index: view.current, picture: null, rectangle: slice?.rectangle ?? [0, 0, 0, 0] };
    if (slice) made.picture = pictureOf(slice.bits, slice.rectangle, colour);
    this.kept.set(key, made);
    return made;
  }

  /** Put a picture where its voxels lie: at once where all lines are alike, else line by line. */
  private place(context: CanvasRenderingContext2D, view: PlaneView, { rectangle: [q0, p0, q1, p1], index }: Shown, picture: HTMLCanvasElement, opacity: number): void {
    const even = this.voxels.isEven || view.planes.axis === 0;
    context.save();
    context.imageSmoothingEnabled = false;
    context.globalAlpha = opacity;
    for (let p = p0; p < p1; p += even ? p1 - p0 : 1) {
      const { start, step, after, before } = this.voxels.line(view.planes, index, p);
      const high = even ? p1 - p0 : 1;
      const to = (c: number, r: number): Spot => view.toScreen(start[0] + c, start[1] + r);
      const corner = to(before[0] + q0 * step[0], before[1] + q0 * step[1]);
      const right = to(before[0] + (q0 + 1) * step[0], before[1] + (q0 + 1) * step[1]);
      const below = to(after[0] + q0 * step[0], after[1] + q0 * step[1]);
      context.save();
      context.transform(right[0] - corner[0], right[1] - corner[1], below[0] - corner[0], below[1] - corner[1], corner[0], corner[1]);
      context.drawImage(picture, 0, p - p0, q1 - q0, high, 0, 0, q1 - q0, high);
      context.restore();
    }
    context.restore();
  }
}

function pictureOf(bits: Uint8Array, [q0, p0, q1, p1]: readonly [number, number, number, number], colour: string): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [q1 - q0, p1 - p0];
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const number = Number.parseInt(colour.slice(1), 16);
  const shade = 0xff000000 | ((number & 255) << 16) | (number & 0xff00) | (number >> 16);
  bits.forEach((bit, k) => {
    if (bit) pixels[k] = shade;
  });
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}
