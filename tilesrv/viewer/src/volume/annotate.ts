/** Annotating a volume: the editor on the planes, the bench around them. */

import { Bench, type ToolEntry } from "../annotate/bench";
import { LayersPanel } from "../annotate/layers";
import { KINDS } from "../annotate/labels";
import { isMask, type Feature } from "../annotate/model";
import { countOf, middleIndex } from "../annotate/pen";
import type { Action } from "../annotate/selected";
import { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import { short } from "../format";
import { length, subtract, type Point3 } from "../grid";
import type { Keys } from "../keys";
import { section } from "../panel";
import { complain, tell } from "../toast";
import type { Planes } from "./geometry";
import { MaskOverlay } from "./masks";
import type { SharedState } from "./state";
import { VolumeRuler } from "./ruler";
import { VolumeEditor, type VolumeTool } from "./editor";
import { ringsOf, ringSize } from "./sections";
import { solidOf } from "./solids";
import type { PlaneView } from "./view";
import { Voxels } from "./voxels";

type Tool = VolumeTool | "measure";

const TOOLS: readonly (ToolEntry<Tool> | null)[] = [
  { tool: "select", label: "Crosshair, select and change", icon: "select", key: "v" },
  null,
  { tool: "point", label: "Point", icon: "point", key: "o" },
  { tool: "line", label: "Line", icon: "line", key: "l" },
  { tool: "polygon", label: "Contour", icon: "polygon", key: "p" },
  { tool: "box", label: "Box, as thick as the slice", icon: "box", key: "b" },
  { tool: "ellipse", label: "Ellipse", icon: "ellipse", key: "e" },
  { tool: "keypoints", label: "Key points, each on its slice", icon: "keypoints", key: "y" },
  null,
  { tool: "brush", label: "Brush", icon: "brush", key: "d" },
  { tool: "eraser", label: "Eraser", icon: "eraser", key: "x" },
  null,
  { tool: "measure", label: "Measure lengths, angles, areas and the values in them", icon: "ruler", key: "m" },
];

export interface VolumeAnnotationsOptions {
  image: ImageRecord;
  /** Unit of the values. */
  unit: string;
  keys: Keys;
  shared: SharedState;
  planes: () => readonly Planes[];
  views: () => readonly PlaneView[];
  active: () => PlaneView | undefined;
  /** Bring the crosshair somewhere. */
  goTo: (world: Point3) => void;
}

/** All of it. */
export class VolumeAnnotations {
  readonly bench: Bench<Tool>;
  readonly editor: VolumeEditor;
  readonly masks: MaskOverlay;
  readonly ruler: VolumeRuler;
  readonly store: AnnotationStore;
  private readonly layers: LayersPanel;
  private readonly voxels: Voxels;

  constructor(options: VolumeAnnotationsOptions) {
    this.store = new AnnotationStore(options.image.id);
    this.voxels = new Voxels(options.image.affine, options.image.shape, options.image.slices);
    this.bench = new Bench<Tool>({
      store: this.store,
      keys: options.keys,
      tools: TOOLS,
      kinds: KINDS.volume,
      pick: (tool) => this.pick(tool),
      remove: () => this.editor.remove(),
      zoomTo: (feature) => {
        const at = middleOf(feature, this.voxels);
        if (at) options.goTo(at);
      },
      measure: (feature) => Promise.resolve(sizeOf(feature, this.voxels)),
      actions: ([feature]) => this.actions(feature, options),
    });
    this.ruler = new VolumeRuler({ unit: options.unit, redraw: () => options.views().forEach((view) => view.redraw()) });
    this.editor = new VolumeEditor({
      store: this.store,
      labels: this.bench.labels,
      voxels: this.voxels,
      planes: options.planes,
      redraw: () => options.views().forEach((view) => view.redraw()),
      selected: (ids) => this.bench.selected.show(ids),
      tool: (tool) => {
        this.bench.showTool(tool);
        options.views().forEach((view) => (view.element.dataset["tool"] = tool));
      },
      hint: (text) => this.bench.showHint(text),
    });
    this.masks = new MaskOverlay(options.image, options.shared, () => options.views().forEach((view) => view.redraw()));
    this.layers = new LayersPanel({ image: options.image.id, labels: this.bench.labels, show: (shown) => this.masks.show(shown) });
    this.bench.sections.push(section("Masks", this.layers.element, false));
    this.store.watch(() => {
      if (this.store.waiting) return;
      this.masks.refresh();
      this.layers.refresh();
    });
    this.bench.showTool("select");
    this.bind(options);
  }

  private fill({ active }: VolumeAnnotationsOptions): void {
    const view = active();
    if (view) this.editor.fillBetween(view);
  }

  private actions(feature: Feature | undefined, options: VolumeAnnotationsOptions): Action[] {
    const { surgery } = this.editor;
    const on = (press: (view: PlaneView) => void) => () => {
      const view = options.active();
      if (view) press(view);
    };
    const fill = { label: "Fill between", key: "t", press: () => this.fill(options) };
    if (feature?.shape?.type === "contours") return [fill, { label: "Paint", key: "Shift+B", press: on((view) => surgery.paint(feature.id, view.planes)) }];
    if (!isMask(feature)) return [];
    return [fill, { label: "Split", key: "Shift+U", press: () => surgery.split(feature.id) }, { label: "Outline", key: "Shift+O", press: on((view) => surgery.trace(feature.id, view.planes)) }];
  }

  private pick(tool: Tool): void {
    const measures = tool === "measure";
    this.editor.setTool(measures ? "select" : tool);
    this.ruler.setActive(measures);
    if (measures) this.bench.showTool(tool);
  }

  private bind(options: VolumeAnnotationsOptions): void {
    const { keys, active } = options;
    keys.add("Draw", ["Escape"], "Stop drawing, select nothing", () => (this.ruler.isActive ? this.ruler.cancel() || this.pick("select") : this.editor.cancel()));
    keys.add("Draw", ["Enter"], "Finish the line, contour or key points", () => (this.ruler.isActive ? this.ruler.finish() : this.editor.finish()));
    keys.add("Draw", ["Backspace"], "Take the last corner back", () => (this.ruler.isActive ? this.ruler.takeBack() : this.editor.takeBack()));
    const copy = (by: 1 | -1) => () => {
      const view = active();
      if (view) this.editor.copy(view, by);
    };
    keys.add("Edit", ["k"], "Copy what is selected to the next slice", copy(1));
    keys.add("Edit", ["j"], "Copy what is selected to the slice before", copy(-1));
    keys.add("Edit", ["t"], "Fill between the slices on which it is drawn", () => this.fill(options));
    const selected = (press: (id: string, view: PlaneView) => void) => () => {
      const [id, view] = [this.editor.selection, active()];
      if (id === null) tell("Select an annotation first.");
      else if (view) press(id, view);
    };
    keys.add("Edit", ["Shift+U"], "Split what is painted into its pieces", selected((id) => this.editor.surgery.split(id)));
    keys.add("Edit", ["Shift+O"], "Outline what is painted: voxels become contours", selected((id, view) => this.editor.surgery.trace(id, view.planes)));
    keys.add("Edit", ["Shift+B"], "Paint what is outlined: contours become voxels", selected((id, view) => this.editor.surgery.paint(id, view.planes)));
    const nudges = [["ArrowLeft", "left", -1, 0], ["ArrowRight", "right", 1, 0], ["ArrowUp", "up", 0, -1], ["ArrowDown", "down", 0, 1]] as const;
    for (const [key, way, right, down] of nudges) keys.add("Edit", [`Ctrl+${key}`], `Move what is selected ${way} by a pixel`, selected((_, view) => this.editor.nudge(view, right, down)));
    keys.add("Draw", ["["], "Smaller brush", () => this.editor.brush.grow(0.8));
    keys.add("Draw", ["]"], "Larger brush", () => this.editor.brush.grow(1.25));
  }

  async open(): Promise<void> {
    try {
      await Promise.all([this.bench.labels.open(), this.store.open(), this.layers.open()]);
    } catch (error) {
      complain(error, "The annotations cannot be shown");
    }
  }

  close(): void {
    this.layers.close();
    this.store.close();
  }
}

function pointsOf(feature: Feature): Point3[] {
  const geometry = feature.geometry;
  if (feature.shape?.type === "keypoints") return feature.shape.points.flatMap((p): Point3[] => (p ? [[p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]] : []));
  const flat = ringsOf(feature).flat();
  const all = flat.length ? flat : geometry?.type === "Point" ? [geometry.coordinates]
    : geometry?.type === "LineString" || geometry?.type === "MultiPoint" ? geometry.coordinates : [];
  return all.map((p): Point3 => [p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]);
}

function middleOf(feature: Feature, voxels: Voxels): Point3 | null {
  if (isMask(feature)) {
    const [x, y, z] = middleIndex(feature.shape);
    return voxels.toWorld([z, y, x]);
  }
  const solid = solidOf(feature.shape);
  if (solid) return solid.center;
  const rings = ringsOf(feature);
  const points = rings.length ? (rings[Math.floor(rings.length / 2)] ?? []) : pointsOf(feature);
  if (!points.length) return null;
  const mean = (k: number): number => points.reduce((sum, point) => sum + (point[k] ?? 0), 0) / points.length;
  return [mean(0), mean(1), mean(2)];
}

/** What a feature of a volume measures, in millimetres. */
function sizeOf(feature: Feature, voxels: Voxels): string {
  if (isMask(feature)) return `${countOf(feature.shape).toLocaleString("en")} voxels, ${short((countOf(feature.shape) * voxels.volume) / 1000, 4)} ml`;
  const solid = solidOf(feature.shape);
  if (solid) return `${solid.half.slice(0, solid.flat ? 2 : 3).map((half) => short(2 * half, 4)).join(" × ")} mm`;
  const rings = ringsOf(feature).map((ring) => ring.map((p): Point3 => [p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]));
  if (rings.length === 1) {
    const { area, around } = ringSize(rings[0] ?? []);
    return `${short(area, 4)} mm², ${short(around, 4)} mm around`;
  }
  if (rings.length) return `${rings.length} contours`;
  const points = pointsOf(feature);
  if (feature.shape?.type === "keypoints") return `${points.length} of ${feature.shape.points.length} placed`;
  const total = points.slice(1).reduce((sum, point, k) => sum + length(subtract(point, points[k] ?? point)), 0);
  if (feature.geometry?.type === "LineString") return `${short(total, 4)} mm`;
  const [only] = points;
  return only ? only.map((v) => v.toFixed(1)).join(", ") : "";
}
