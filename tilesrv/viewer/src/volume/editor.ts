/** Annotations on the planes of a volume: shown, selected, drawn, changed. */

import { crosses } from "../annotate/crossing";
import type { Labels } from "../annotate/labels";
import type { Stroke } from "../annotate/brush";
import { Pen } from "../annotate/pen";
import { apart } from "../annotate/shapes";
import type { Feature, Position } from "../annotate/model";
import type { AnnotationStore } from "../annotate/store";
import type { Skeleton } from "../scene/keypoints";
import { add, dot, length, subtract, type Point3 } from "../grid";
import { complain, tell } from "../toast";
import { MaskSlices, VolumeBrush } from "./brush";
import type { Planes } from "./geometry";
import { join, Landmarks, nameKeypoints } from "./landmarks";
import { disc, distance, follow, outline, screenOf, toSegment, trace, type Spot } from "./marks";
import { moved, movedRings } from "./moving";
import { isInside, ringsOf, sectionsOf, withRing, type Section } from "./sections";
import { Pencil, placesOf, type Sketch } from "./pencil";
import { copied, filledBetween } from "./slices";
import { cutSolid, handlesOf, solidMember, solidOf, withHandle, type Handle, type Solid } from "./solids";
import { VolumeSurgery } from "./surgery";
import type { Overlay, PlaneView } from "./view";
import type { Voxels } from "./voxels";

export type VolumeTool = "select" | "point" | "line" | "polygon" | "box" | "ellipse" | "keypoints" | "brush" | "eraser";
const NEAR = 8;
/** Screen pixels between corners that are shown. */
const APART = 10;
/** Screen pixels that a pointer may slip without moving anything. */
const STILL = 4;
/** Screen pixels between handles of a thin solid. */
const ROOM = 28;
/** A section on screen. */
interface Drawn {
  kind: Section["kind"];
  points: Spot[];
}

interface Grip {
  id: string;
  ring: number;
  corner: number;
}

/** A handle of a box or ellipse: where it is in the patient, and where it is drawn. */
interface Held {
  handle: Handle;
  place: Point3;
  at: Spot;
  solid: Solid;
}

export interface VolumeEditorOptions {
  store: AnnotationStore;
  labels: Labels;
  voxels: Voxels;
  planes: () => readonly Planes[];
  redraw: () => void;
  selected: (ids: readonly string[]) => void;
  tool: (tool: VolumeTool) => void;
  /** Say what to do next. */
  hint: (text: string) => void;
}

/** The editor of all three planes. */
export class VolumeEditor implements Overlay {
  tool: VolumeTool = "select";
  private id: string | null = null;
  private moving: Feature | null = null;
  /** Which pull counts: another number means that it was given up. */
  private pulled = 0;
  readonly brush: VolumeBrush;
  readonly pencil: Pencil;
  readonly landmarks: Landmarks;
  readonly surgery: VolumeSurgery;
  private readonly pen: Pen;
  private readonly masks: MaskSlices;

  constructor(private readonly options: VolumeEditorOptions) {
    const { store, labels, voxels, redraw } = options;
    this.pen = new Pen(store, labels);
    this.masks = new MaskSlices(store, labels, voxels);
    const colour = (): string => labels.colour(labels.current);
    this.pencil = new Pencil({ colour, redraw, sketched: (sketch, tool) => this.sketched(sketch, tool), spanned: (solid) => this.store(null, solidMember(solid)) });
    const skeleton = (): Skeleton | null => labels.find(labels.current)?.skeleton ?? null;
    this.landmarks = new Landmarks({ colour, redraw, skeleton, hint: options.hint, placed: (shape) => this.store(null, shape) });
    this.surgery = new VolumeSurgery(store, this.pen, voxels, (id) => this.select(id));
    this.brush = new VolumeBrush({ voxels, redraw, colour, done: (stroke, op) => this.paint(stroke, op) });
    options.store.watch((changed) => {
      if (this.id && !options.store.features.has(this.id)) this.select(null);
      if (changed.size) options.redraw();
    });
    options.labels.watch(() => {
      if (this.landmarks.isActive) this.landmarks.take(true); // another label has other points
      options.redraw();
    });
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
    this.masks.draw(context, view, this.id, this.moving);
    for (const [id, sections] of Map.groupBy(this.sections(view), (section) => section.id)) {
      const colour = labels.colour(store.features.get(id)?.properties.label ?? "");
      const drawn = sections.map((section): Drawn => ({
        kind: section.kind,
        points: section.points.map(([column, row]) => view.toScreen(column, row)),
      }));
      this.fill(context, drawn, colour, id === this.id);
      for (const one of drawn) this.drawOne(context, one, colour, id === this.id);
      if (id === this.id) nameKeypoints(context, sections.flatMap(({ name, points: [at] }) => (name && at ? [{ name, at: view.toScreen(...at) }] : [])));
    }
    this.drawHandles(context, view);
    this.pencil.draw(context, view);
    this.landmarks.draw(context, view);
    this.brush.draw(context, view);
  }

  private drawHandles(context: CanvasRenderingContext2D, view: PlaneView): void {
    for (const { handle, at } of this.handles(view)) {
      disc(context, at, handle.some((side) => side !== 0) ? 5 : 6, handle.some((side) => side !== 0) ? "#fff" : "#3cc0ab");
    }
  }

  /** Fill what rings enclose; a ring within another one is a hole, as in masks. */
  private fill(context: CanvasRenderingContext2D, drawn: readonly Drawn[], colour: string, selected: boolean): void {
    context.fillStyle = colour;
    for (const kind of ["ring", "solid", "band"] as const) {
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
    if (kind === "join") return join(context, points[0] ?? [0, 0], points[1] ?? [0, 0], colour);
    context.beginPath();
    trace(context, points, kind === "ring" || kind === "solid");
    outline(context, colour, selected);
    if (selected && kind !== "solid") for (const point of apart(points, APART)) disc(context, point, 3.5, "#fff");
  }

  // ---- pointers

  press(event: PointerEvent, view: PlaneView): boolean {
    if (event.button !== 0 || event.shiftKey) return false;
    if (this.tool === "select") return this.take(event, view);
    if (this.tool === "brush" || this.tool === "eraser") this.brush.press(event, view);
    else if (this.tool === "keypoints") this.landmarks.press(event, view);
    else if (this.tool === "point") this.store({ type: "Point", coordinates: [...view.worldAt(event)] });
    else this.pencil.press(event, view);
    return true;
  }

  /** Follow the pointer with the line that is being drawn. */
  hover(event: PointerEvent, view: PlaneView): void {
    if (this.brush.op) this.brush.hover(event, view);
    this.pencil.hover(event, view);
  }

  /** The pointer went away. */
  leave(): void {
    this.brush.leave();
    this.options.redraw();
  }

  /** A double click ends what is drawn. */
  double(): boolean {
    this.pencil.double();
    return this.tool !== "select";
  }

  private take(event: PointerEvent, view: PlaneView): boolean {
    const at: Spot = view.at(event);
    const handle = this.handles(view).find((one) => distance(one.at, at) <= NEAR + 2);
    if (handle) return this.pullSolid(event, view, handle);
    const grip = this.gripAt(at, view, event.altKey);
    if (grip && event.altKey) return this.dropCorner(grip);
    if (grip) return this.pull(event, view, grip);
    const hit = this.hit(at, view);
    if (hit && hit === this.id) return this.move(event, view, hit);
    if (hit) this.select(hit);
    return hit !== null;
  }

  /** What is selected goes along with the pointer, on all its slices; with Alt only its outlines on this one. */
  private move(start: PointerEvent, view: PlaneView, id: string): boolean {
    const feature = this.options.store.features.get(id);
    if (!feature || this.isLocked(id)) return true;
    const from = view.worldAt(start);
    const here = new Set(start.altKey ? this.sections(view).flatMap((one) => (one.id === id && one.kind === "ring" ? [one.ring] : [])) : []);
    return this.drag(start, view, (to) => {
      const by = subtract(to, from);
      if (!this.moving && length(by) * view.zoom < STILL) return null;
      return here.size ? movedRings(feature, here, by) : this.moved(feature, by);
    });
  }

  private moved(feature: Feature, by: Point3): Feature | null {
    const { voxels } = this.options;
    const [z, y, x] = voxels.shape;
    return moved(feature, by, voxels.stepsOf(by), [x, y, z]);
  }

  /** Move what is selected by pixels of a plane's picture: to the right, down. */
  nudge(view: PlaneView, right: number, down: number): void {
    const feature = this.changeable();
    if (!feature) return;
    const after = this.moved(feature, add(scaled(view.planes.right, right), view.planes.down, down));
    if (after) this.options.store.apply([{ id: feature.id, feature: after }]);
  }

  /** Handles of the selected box or ellipse where a view shows it. */
  private handles(view: PlaneView): Held[] {
    const feature = this.tool === "select" && this.id && !this.isLocked(this.id) ? this.moving ?? this.options.store.features.get(this.id) : undefined;
    const solid = solidOf(feature?.shape);
    const origin = view.planes.origins[view.current];
    if (!solid || !origin || !cutSolid(solid, origin, view.planes.normal, view.planes.halfStep(view.current)).length) return [];
    return handlesOf(solid, view.planes.normal).map(({ handle, place }) => ({ handle, at: spread(view, solid, handle, place), place, solid }));
  }

  /** The handle goes as far as the pointer does, from wherever in it that began. */
  private pullSolid(start: PointerEvent, view: PlaneView, { handle, place, solid }: Held): boolean {
    const feature = this.options.store.features.get(this.id ?? "");
    if (!feature) return false;
    const slip = subtract(place, view.worldAt(start));
    return this.drag(start, view, (to) => ({ ...feature, geometry: null, shape: solidMember(withHandle(solid, handle, add(to, slip), view.planes.normal)) }));
  }

  /** Show what becomes of a feature while the pointer moves, and store it when it is let go. */
  private drag(start: PointerEvent, view: PlaneView, change: (to: Point3) => Feature | null): boolean {
    const turn = ++this.pulled;
    follow(start, view.canvas, (event) => {
      if (turn !== this.pulled) return;
      this.moving = change(view.worldAt(event));
      this.options.redraw();
    }, () => {
      if (turn !== this.pulled) return;
      const moved = this.moving;
      this.moving = null;
      if (moved) this.options.store.apply([{ id: moved.id, feature: moved }]);
    });
    return true;
  }

  /** Corner of the selected annotation near the pointer; a place on its edge becomes a new corner when it is pulled. */
  private gripAt(at: Spot, view: PlaneView, onlyCorners: boolean): Grip | null {
    if (!this.id || this.isLocked(this.id)) return null;
    for (const section of this.sections(view)) {
      if (section.id !== this.id || section.kind === "band" || section.kind === "solid" || section.kind === "join") continue;
      const points = section.points.map(([column, row]) => view.toScreen(column, row));
      const corner = points.findIndex((point) => distance(point, at) <= NEAR);
      if (corner >= 0) return { id: section.id, ring: section.ring, corner: section.corner ?? corner };
      if (section.kind !== "ring" || onlyCorners) continue;
      const edge = points.findIndex((point, k) => toSegment(at, point, points[(k + 1) % points.length] ?? point) <= NEAR - 2);
      if (edge >= 0) return { id: section.id, ring: section.ring, corner: edge + 0.5 };
    }
    return null;
  }

  private pull(start: PointerEvent, view: PlaneView, grip: Grip): boolean {
    const feature = this.options.store.features.get(grip.id);
    if (!feature) return false;
    return this.drag(start, view, (to) => withCorner(feature, grip, [...to]));
  }

  private dropCorner(grip: Grip): boolean {
    const feature = this.options.store.features.get(grip.id);
    const ring = feature && ringsOf(feature)[grip.ring];
    if (!feature || !ring || ring.length <= 3) return true;
    this.options.store.apply([{ id: feature.id, feature: withRing(feature, grip.ring, ring.filter((_, k) => k !== grip.corner)) }]);
    return true;
  }

  private hit(at: Spot, view: PlaneView): string | null {
    const sections = this.sections(view).reverse();
    const near = sections.find((section) => {
      const points = section.points.map(([column, row]) => view.toScreen(column, row));
      if (section.kind === "point") return distance(points[0] ?? [-99, -99], at) <= NEAR;
      return points.some((point, k) => (section.kind !== "line" || k + 1 < points.length)
        && toSegment(at, point, points[(k + 1) % points.length] ?? point) <= NEAR - 2);
    });
    const inside = (section: Section): boolean => (section.kind === "ring" || section.kind === "solid") && isInside(view.toPicture(...at), section.points);
    return (near ?? smallest(sections.filter(inside)))?.id ?? this.masks.hit(view, view.toPicture(...at));
  }

  private isLocked(id: string): boolean {
    return this.options.labels.isLocked(this.options.store.features.get(id)?.properties.label ?? "");
  }

  // ---- drawing

  private sketched(sketch: Sketch, tool: "line" | "polygon"): void {
    const points = sketch.points.map((point): Position => [...point]);
    if (tool === "line") return this.store({ type: "LineString", coordinates: points });
    const places = placesOf(sketch);
    if (crosses(places)) void this.mend(sketch, places).catch(complain);
    else this.keep(sketch, [points]);
  }

  /** Put rings that were drawn on what they belong to, or make them an object of their own. */
  private keep(sketch: Sketch, rings: readonly Position[][]): void {
    const grown = this.goesOn(sketch);
    const feature = rings.reduce<Feature | null>((sum, ring) => sum && withRing(sum, Infinity, ring), grown);
    if (grown) this.options.store.apply([{ id: grown.id, feature }]);
    else this.store(null, { type: "contours", rings });
  }

  /** Of an outline that crosses itself all that it goes around is kept. */
  private async mend(sketch: Sketch, places: readonly Spot[]): Promise<void> {
    const { mended, polygonsIn } = await import("../annotate/overlay");
    const found = mended([...places, places[0] ?? [0, 0]].map((place) => [...place]));
    if (!found) return tell("This outline has no inside.", "bad");
    const { planes } = sketch.view;
    this.keep(sketch, polygonsIn(found).flat().map((ring) => ring.slice(0, -1).map(([column = 0, row = 0]): Position => [...planes.toWorld({ index: sketch.index, row, column })])));
    tell("The outline crossed itself: all that it goes around was kept.");
  }

  /** The selected object, where a contour belongs to it: on a slice where it has none yet, or as a hole in it. */
  private goesOn(sketch: Sketch): Feature | null {
    const { view } = sketch;
    const selected = this.id ? this.options.store.features.get(this.id) : undefined;
    const isLike = selected?.shape?.type === "contours" && selected.properties.label === this.options.labels.current;
    const origin = view.planes.origins[view.current];
    if (!isLike || !origin || this.isLocked(selected.id)) return null;
    const here = this.sections(view).filter((section) => section.id === selected.id);
    if (here.some((section) => section.kind === "band")) return null; // it is drawn on other planes
    const places = placesOf(sketch);
    const isHole = here.some((section) => places.every((place) => isInside(place, section.points)));
    return !here.length || isHole ? selected : null;
  }

  private store(geometry: Feature["geometry"], shape?: Feature["shape"]): void {
    const id = this.pen.add({ geometry, ...(shape ? { shape } : {}) });
    if (id) this.select(id);
  }

  private paint(stroke: Stroke, op: "add" | "subtract"): void {
    const selected = this.options.store.features.get(this.id ?? "");
    const id = op === "add" ? this.pen.paint(selected, stroke) : this.pen.erase(selected, stroke);
    if (id) this.select(id);
  }

  /** The selected annotation, where it may be changed; null, with a reason told, where not. */
  private changeable(): Feature | null {
    const feature = this.options.store.features.get(this.id ?? "");
    if (!feature) tell("Select what is drawn on this slice first.");
    else if (this.pen.isLocked(feature)) tell("What is locked was kept.");
    else return feature;
    return null;
  }

  /** Put what the selected annotation has on a slice on the next one, or the one before. */
  copy(view: PlaneView, by: 1 | -1): void {
    const feature = this.changeable();
    const to = view.current + by;
    if (!feature || to < 0 || to >= view.planes.count) return;
    const change = copied(feature, view.planes, this.options.voxels, view.current, to);
    if (!change) return tell("What is selected has nothing on this slice that could be copied.");
    this.options.store.apply([change]);
    this.select(change.id);
    view.step(by);
  }

  /** Put outlines, or pixels, between the slices on which the selected annotation is drawn. */
  fillBetween(view: PlaneView): void {
    const feature = this.changeable();
    if (!feature) return;
    const filled = filledBetween(feature, view.planes, this.options.voxels);
    if (!filled) return tell(`Nothing is between: draw the object on two ${view.planes.name} slices that are not neighbours.`);
    this.options.store.apply([{ id: feature.id, feature: filled.feature }]);
    tell(`${filled.count} ${filled.count === 1 ? "slice was" : "slices were"} filled between those drawn. Ctrl+Z takes ${filled.count === 1 ? "it" : "them"} back.`, "good");
  }

  // ---- tools and selection

  setTool(tool: VolumeTool): void {
    this.tool = tool;
    this.pencil.take(tool === "line" || tool === "polygon" || tool === "box" || tool === "ellipse" ? tool : null);
    this.brush.op = tool === "brush" ? "add" : tool === "eraser" ? "subtract" : null;
    this.options.tool(tool);
    this.landmarks.take(tool === "keypoints"); // its own words about what is next come last
    this.options.redraw();
  }

  /** End what is being drawn. */
  finish(): void {
    if (this.landmarks.isActive) this.landmarks.finish();
    else this.pencil.finish();
  }

  takeBack(): void {
    if (this.landmarks.isActive) this.landmarks.takeBack();
    else this.pencil.takeBack();
  }

  cancel(): void {
    if (this.moving) {
      this.pulled++;
      this.moving = null;
    } else if (this.brush.cancel() || this.pencil.cancel() || this.landmarks.cancel()) this.options.redraw();
    else if (this.tool !== "select") this.setTool("select");
    else this.select(null);
    this.options.redraw();
  }

  get selection(): string | null {
    return this.id;
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
  if (feature.shape?.type === "keypoints") {
    return { ...feature, geometry: null, shape: { ...feature.shape, points: feature.shape.points.map((old, n) => (n === corner ? to : old)) } };
  }
  if (k < 0 && geometry?.type === "Point") return { ...feature, geometry: { type: "Point", coordinates: to } };
  if (k < 0 && geometry?.type === "LineString") {
    return { ...feature, geometry: { type: "LineString", coordinates: geometry.coordinates.map((old, n) => (n === corner ? to : old)) } };
  }
  if (geometry?.type === "MultiPoint" && k < 0) {
    return { ...feature, geometry: { type: "MultiPoint", coordinates: geometry.coordinates.map((old, n) => (n === corner ? to : old)) } };
  }
  const ring = [...(ringsOf(feature)[k] ?? [])];
  if (Number.isInteger(corner)) ring[corner] = to;
  else ring.splice(Math.ceil(corner), 0, to);
  return withRing(feature, k, ring);
}

function scaled([x, y, z]: Point3, by: number): Point3 {
  return [x * by, y * by, z * by];
}

/** Where a handle is drawn: those of thin solids further out, so that each can be taken. */
function spread(view: PlaneView, solid: Solid, handle: Handle, place: Point3): Spot {
  const at = screenOf(view, place);
  for (const k of [0, 1, 2] as const) {
    const wide = 2 * solid.half[k] * view.zoom;
    if (!handle[k] || wide >= ROOM) continue;
    const [from, to] = [screenOf(view, solid.center), screenOf(view, add(solid.center, solid.axes[k]))];
    const size = distance(from, to) || 1;
    for (const n of [0, 1] as const) at[n] += (handle[k] * (ROOM - wide) * (to[n] - from[n])) / size / 2;
  }
  return at;
}

/** The section that takes the least room, so that what lies within another can be taken. */
function smallest(sections: readonly Section[]): Section | undefined {
  const room = ({ points }: Section): number => {
    const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
    return (Math.max(...xs) - Math.min(...xs)) * (Math.max(...ys) - Math.min(...ys));
  };
  return [...sections].sort((a, b) => room(a) - room(b))[0];
}
