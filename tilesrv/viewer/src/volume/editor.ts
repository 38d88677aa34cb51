/** Annotations on the planes of a volume: shown, selected, drawn, changed. */

import type { Labels } from "../annotate/labels";
import { kindOf, requiredAttributes, type Feature, type Position } from "../annotate/model";
import type { AnnotationStore } from "../annotate/store";
import { add, dot, length, subtract, type Point3 } from "../grid";
import { tell } from "../toast";
import type { Planes } from "./geometry";
import { isInside, ringsOf, sectionsOf, withRing, type Section } from "./sections";
import type { Overlay, PlaneView } from "./view";

export type VolumeTool = "select" | "point" | "line" | "polygon";
const NEAR = 8;
/** Screen pixels between two corners of a line drawn freely. */
const STEP = 5;

interface Sketch {
  view: PlaneView;
  index: number;
  /** Corners in the patient. */
  points: Point3[];
  pointer: [number, number] | null;
}

/** A section on screen. */
interface Drawn {
  kind: Section["kind"];
  points: [number, number][];
}

interface Grip {
  id: string;
  ring: number;
  corner: number;
}

export interface VolumeEditorOptions {
  store: AnnotationStore;
  labels: Labels;
  planes: () => readonly Planes[];
  redraw: () => void;
  selected: (ids: readonly string[]) => void;
  tool: (tool: VolumeTool) => void;
}

/** The editor of all three planes. */
export class VolumeEditor implements Overlay {
  tool: VolumeTool = "select";
  private id: string | null = null;
  private sketch: Sketch | null = null;
  private moving: Feature | null = null;

  constructor(private readonly options: VolumeEditorOptions) {
    options.store.watch((changed) => {
      if (this.id && !options.store.features.has(this.id)) this.select(null);
      if (changed.size) options.redraw();
    });
    options.labels.watch(() => options.redraw());
  }

  // ---- what is shown

  /** Sections of all annotations that can be seen on a view. */
  private sections(view: PlaneView): Section[] {
    const { store, labels } = this.options;
    const found: Section[] = [];
    for (const feature of store.features.values()) {
      if (labels.isHidden(feature.properties.label)) continue;
      const shown = this.moving?.id === feature.id ? this.moving : feature;
      found.push(...sectionsOf(shown, view.planes, view.current, (normal) => this.thickness(normal)));
    }
    return found;
  }

  /** How far apart the planes are that lie like a ring. */
  private thickness(normal: Point3): number {
    const like = this.options.planes().find((planes) => Math.abs(dot(planes.normal, normal)) > 0.99);
    return like ? 2 * like.halfStep(Math.floor(like.count / 2)) : 1;
  }

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    const { store, labels } = this.options;
    for (const [id, sections] of Map.groupBy(this.sections(view), (section) => section.id)) {
      const colour = labels.colour(store.features.get(id)?.properties.label ?? "");
      const drawn = sections.map((section): Drawn => ({
        kind: section.kind,
        points: section.points.map(([column, row]) => view.toScreen(column, row)),
      }));
      this.fill(context, drawn, colour, id === this.id);
      for (const one of drawn) this.drawOne(context, one, colour, id === this.id);
    }
    if (this.sketch?.view === view) this.drawSketch(context, view, this.sketch);
  }

  /** Fill what rings enclose; a ring within another one is a hole, as in masks. */
  private fill(context: CanvasRenderingContext2D, drawn: readonly Drawn[], colour: string, selected: boolean): void {
    context.fillStyle = colour;
    for (const kind of ["ring", "band"] as const) {
      context.beginPath();
      for (const one of drawn) if (one.kind === kind) trace(context, one.points, true);
      context.globalAlpha = kind === "band" ? (selected ? 0.75 : 0.5) : selected ? 0.3 : 0.16;
      context.fill("evenodd");
    }
    context.globalAlpha = 1;
  }

  private drawOne(context: CanvasRenderingContext2D, { kind, points }: Drawn, colour: string, selected: boolean): void {
    if (kind === "point") {
      disc(context, points[0] ?? [0, 0], selected ? 7 : 5, colour);
      return;
    }
    // bands of neighbouring slices touch: outlines would hide them
    if (kind === "band") return;
    context.beginPath();
    trace(context, points, kind === "ring");
    outline(context, colour, selected);
    if (selected) for (const point of points) disc(context, point, 3.5, "#fff");
  }

  private drawSketch(context: CanvasRenderingContext2D, view: PlaneView, { points, pointer }: Sketch): void {
    const colour = this.options.labels.colour(this.options.labels.current);
    const shown = points.map((point) => screenOf(view, point));
    if (pointer) shown.push(pointer);
    context.beginPath();
    trace(context, shown, false);
    outline(context, colour, false);
    for (const point of shown.slice(0, pointer ? -1 : undefined)) disc(context, point, 3, "#fff");
  }

  // ---- pointers

  press(event: PointerEvent, view: PlaneView): boolean {
    if (event.button !== 0 || event.shiftKey) return false;
    if (this.tool === "select") return this.take(event, view);
    if (this.tool === "point") this.store({ type: "Point", coordinates: [...view.worldAt(event)] });
    else this.corner(event, view);
    return true;
  }

  /** Follow the pointer with the line that is being drawn. */
  hover(event: PointerEvent, view: PlaneView): void {
    if (this.sketch?.view !== view) return;
    this.sketch.pointer = view.at(event);
    this.options.redraw();
  }

  /** A double click ends a line; its second press put a corner on that of the first. */
  double(): boolean {
    const points = this.sketch?.points;
    const [last, before] = [points?.at(-1), points?.at(-2)];
    if (last && before && length(subtract(last, before)) < 1e-3 + NEAR / (this.sketch?.view.zoom ?? 1)) points?.pop();
    this.finish();
    return this.tool !== "select";
  }

  private take(event: PointerEvent, view: PlaneView): boolean {
    const at: [number, number] = view.at(event);
    const grip = this.gripAt(at, view, event.altKey);
    if (grip && event.altKey) return this.dropCorner(grip);
    if (grip) return this.pull(event, view, grip);
    const hit = this.hit(at, view);
    if (hit) this.select(hit);
    return hit !== null;
  }

  /** Corner of the selected annotation near the pointer; a place on its edge becomes a new corner when it is pulled. */
  private gripAt(at: [number, number], view: PlaneView, onlyCorners: boolean): Grip | null {
    if (!this.id || this.isLocked(this.id)) return null;
    for (const section of this.sections(view)) {
      if (section.id !== this.id || section.kind === "band") continue;
      const points = section.points.map(([column, row]) => view.toScreen(column, row));
      const corner = points.findIndex((point) => distance(point, at) <= NEAR);
      if (corner >= 0) return { id: section.id, ring: section.ring, corner };
      if (section.kind !== "ring" || onlyCorners) continue;
      const edge = points.findIndex((point, k) => toSegment(at, point, points[(k + 1) % points.length] ?? point) <= NEAR - 2);
      if (edge >= 0) return { id: section.id, ring: section.ring, corner: edge + 0.5 };
    }
    return null;
  }

  private pull(start: PointerEvent, view: PlaneView, grip: Grip): boolean {
    const feature = this.options.store.features.get(grip.id);
    if (!feature) return false;
    const move = (event: PointerEvent): void => {
      this.moving = withCorner(feature, grip, [...view.worldAt(event)]);
      this.options.redraw();
    };
    const canvas = view.canvas;
    canvas.setPointerCapture(start.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("lostpointercapture", () => {
      canvas.removeEventListener("pointermove", move);
      const moved = this.moving;
      this.moving = null;
      if (moved) this.options.store.apply([{ id: moved.id, feature: moved }]);
    }, { once: true });
    return true;
  }

  private dropCorner(grip: Grip): boolean {
    const feature = this.options.store.features.get(grip.id);
    const ring = feature && ringsOf(feature)[grip.ring];
    if (!feature || !ring || ring.length <= 3) return true;
    this.options.store.apply([{ id: feature.id, feature: withRing(feature, grip.ring, ring.filter((_, k) => k !== grip.corner)) }]);
    return true;
  }

  private hit(at: [number, number], view: PlaneView): string | null {
    const sections = this.sections(view).reverse();
    const near = sections.find((section) => {
      const points = section.points.map(([column, row]) => view.toScreen(column, row));
      if (section.kind === "point") return distance(points[0] ?? [-99, -99], at) <= NEAR;
      return points.some((point, k) => (section.kind !== "line" || k + 1 < points.length)
        && toSegment(at, point, points[(k + 1) % points.length] ?? point) <= NEAR - 2);
    });
    const inside = (section: Section): boolean => section.kind === "ring" && isInside(view.toPicture(...at), section.points);
    return (near ?? sections.find(inside))?.id ?? null;
  }

  private isLocked(id: string): boolean {
    return this.options.labels.isLocked(this.options.store.features.get(id)?.properties.label ?? "");
  }

  // ---- drawing

  private corner(event: PointerEvent, view: PlaneView): void {
    const at: [number, number] = view.at(event);
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
    const canvas = view.canvas;
    let last: [number, number] = view.at(start);
    let count = 0;
    const move = (event: PointerEvent): void => {
      const at: [number, number] = view.at(event);
      if (distance(at, last) < STEP) return;
      sketch.points.push(view.worldAt(event));
      [last, count] = [at, count + 1];
      this.options.redraw();
    };
    canvas.setPointerCapture(start.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("lostpointercapture", () => {
      canvas.removeEventListener("pointermove", move);
      if (count > 4 && this.sketch === sketch) this.finish();
    }, { once: true });
  }

  /** Store what is being drawn. */
  finish(): void {
    const sketch = this.sketch;
    this.sketch = null;
    if (!sketch) return;
    const points: Position[] = sketch.points.map((point) => [...point]);
    const least = this.tool === "polygon" ? 3 : 2;
    if (points.length < least) return this.options.redraw();
    if (this.tool === "line") return this.store({ type: "LineString", coordinates: points });
    const grown = this.goesOn(sketch);
    if (grown) this.options.store.apply([{ id: grown.id, feature: withRing(grown, Infinity, points) }]);
    else this.store({ type: "Polygon", coordinates: [[...points, points[0] ?? []]] });
  }

  /** The selected object, where a contour belongs to it: on a slice where it has none yet, or as a hole in it. */
  private goesOn({ view, points }: Sketch): Feature | null {
    const selected = this.id ? this.options.store.features.get(this.id) : undefined;
    const isLike = selected?.shape?.type === "contours" && selected.properties.label === this.options.labels.current;
    const origin = view.planes.origins[view.current];
    if (!isLike || !origin || this.isLocked(selected.id)) return null;
    const here = this.sections(view).filter((section) => section.id === selected.id);
    if (here.some((section) => section.kind === "band")) return null; // it is drawn on other planes
    const places = points.map((point): [number, number] => {
      const { row, column } = view.planes.toPicture(point, origin);
      return [column, row];
    });
    const isHole = here.some((section) => places.every((place) => isInside(place, section.points)));
    return !here.length || isHole ? selected : null;
  }

  private store(geometry: NonNullable<Feature["geometry"]>): void {
    const { labels, store } = this.options;
    const label = labels.find(labels.current);
    if (!labels.current) return tell("Name a label first, in the panel on the right.", "bad");
    const feature: Feature = {
      type: "Feature", id: crypto.randomUUID(), geometry,
      properties: { label: labels.current, attributes: requiredAttributes(label), origin: "manual" },
    };
    if (geometry.type === "Polygon") feature.shape = { type: "contours", rings: geometry.coordinates.map((ring) => ring.slice(0, -1)) };
    const kind = kindOf(feature);
    if (label?.shapes?.length && !label.shapes.includes(kind)) {
      return tell(`“${labels.current}” is drawn as ${label.shapes.join(", ")}, not as ${kind}.`, "bad");
    }
    store.apply([{ id: feature.id, feature }]);
    this.select(feature.id);
  }

  /** Put the selected object's contours of a slice on the next one, or the one before. */
  copy(view: PlaneView, by: 1 | -1): void {
    const feature = this.id ? this.options.store.features.get(this.id) : undefined;
    const { planes } = view;
    const [from, to] = [planes.origins[view.current], planes.origins[view.current + by]];
    if (!feature || !from || !to) return tell("Select a contour on this slice first.");
    const way = planes.normal.map((n) => n * dot(subtract(to, from), planes.normal)) as [number, number, number];
    const here = this.sections(view).filter((section) => section.id === feature.id && section.kind === "ring");
    let copied: Feature | null = feature;
    for (const { ring } of here) {
      const points = ringsOf(feature)[ring] ?? [];
      copied = copied && withRing(copied, Infinity, points.map(([x = 0, y = 0, z = 0]) => [...add([x, y, z], way)]));
    }
    if (copied && here.length) this.options.store.apply([{ id: feature.id, feature: copied }]);
    view.step(by);
  }

  // ---- tools and selection

  setTool(tool: VolumeTool): void {
    this.tool = tool;
    this.sketch = null;
    this.options.tool(tool);
    this.options.redraw();
  }

  cancel(): void {
    if (this.sketch) this.sketch = null;
    else if (this.tool !== "select") this.setTool("select");
    else this.select(null);
    this.options.redraw();
  }

  takeBack(): void {
    this.sketch?.points.pop();
    this.options.redraw();
  }

  select(id: string | null): void {
    this.id = id;
    this.options.selected(id ? [id] : []);
    this.options.redraw();
  }

  remove(): void {
    if (!this.id) return;
    if (this.isLocked(this.id)) return tell("What is locked was kept.");
    this.options.store.apply([{ id: this.id, feature: null }]);
  }
}

/** The feature with a corner moved; a half number is a new corner between two. */
function withCorner(feature: Feature, { ring: k, corner }: Grip, to: Position): Feature | null {
  const geometry = feature.geometry;
  if (k < 0 && geometry?.type === "Point") return { ...feature, geometry: { type: "Point", coordinates: to } };
  if (k < 0 && geometry?.type === "LineString") {
    return { ...feature, geometry: { type: "LineString", coordinates: geometry.coordinates.map((old, n) => (n === corner ? to : old)) } };
  }
  const ring = [...(ringsOf(feature)[k] ?? [])];
  if (Number.isInteger(corner)) ring[corner] = to;
  else ring.splice(Math.ceil(corner), 0, to);
  return withRing(feature, k, ring);
}

function screenOf(view: PlaneView, world: Point3): [number, number] {
  const origin = view.planes.origins[view.current];
  if (!origin) return [0, 0];
  const { row, column } = view.planes.toPicture(world, origin);
  return view.toScreen(column, row);
}

function distance(a: readonly [number, number], b: readonly [number, number]): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function toSegment(at: [number, number], a: [number, number], b: [number, number]): number {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const share = ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / (dx * dx + dy * dy || 1);
  const along = Math.min(1, Math.max(0, share));
  return distance(at, [a[0] + along * dx, a[1] + along * dy]);
}

/** Add a line to the path that was begun. */
function trace(context: CanvasRenderingContext2D, points: readonly [number, number][], close: boolean): void {
  for (const [k, [x, y]] of points.entries()) {
    if (k) context.lineTo(x, y);
    else context.moveTo(x, y);
  }
  if (close) context.closePath();
}

function outline(context: CanvasRenderingContext2D, colour: string, selected: boolean): void {
  context.lineJoin = "round";
  context.strokeStyle = selected ? "rgba(255,255,255,0.9)" : "rgba(0,0,0,0.55)";
  context.lineWidth = selected ? 4.5 : 3.5;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.stroke();
}

function disc(context: CanvasRenderingContext2D, [x, y]: readonly [number, number], radius: number, colour: string): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "rgba(0,0,0,0.8)";
  context.lineWidth = 1;
  context.stroke();
}
