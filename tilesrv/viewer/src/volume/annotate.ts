/** Annotating a volume: the editor on the planes, the bench around them. */

import { Bench, type ToolEntry } from "../annotate/bench";
import { LayersPanel } from "../annotate/layers";
import { KINDS } from "../annotate/labels";
import type { Feature } from "../annotate/model";
import { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import { short } from "../format";
import { length, subtract, type Point3 } from "../grid";
import type { Keys } from "../keys";
import { section } from "../panel";
import { complain } from "../toast";
import type { Planes } from "./geometry";
import { MaskOverlay } from "./masks";
import type { SharedState } from "./state";
import { VolumeEditor, type VolumeTool } from "./editor";
import { ringsOf, ringSize } from "./sections";
import type { PlaneView } from "./view";

const TOOLS: readonly (ToolEntry<VolumeTool> | null)[] = [
  { tool: "select", label: "Crosshair, select and change", icon: "select", key: "v" },
  null,
  { tool: "point", label: "Point", icon: "point", key: "o" },
  { tool: "line", label: "Line", icon: "line", key: "l" },
  { tool: "polygon", label: "Contour", icon: "polygon", key: "p" },
];

export interface VolumeAnnotationsOptions {
  image: ImageRecord;
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
  readonly bench: Bench<VolumeTool>;
  readonly editor: VolumeEditor;
  readonly masks: MaskOverlay;
  private readonly store: AnnotationStore;
  private readonly layers: LayersPanel;

  constructor(options: VolumeAnnotationsOptions) {
    this.store = new AnnotationStore(options.image.id);
    this.bench = new Bench<VolumeTool>({
      store: this.store,
      keys: options.keys,
      tools: TOOLS,
      kinds: KINDS.volume,
      pick: (tool) => this.editor.setTool(tool),
      remove: () => this.editor.remove(),
      zoomTo: (feature) => {
        const at = middleOf(feature);
        if (at) options.goTo(at);
      },
      measure: (feature) => Promise.resolve(sizeOf(feature)),
    });
    this.editor = new VolumeEditor({
      store: this.store,
      labels: this.bench.labels,
      planes: options.planes,
      redraw: () => options.views().forEach((view) => view.redraw()),
      selected: (ids) => this.bench.selected.show(ids),
      tool: (tool) => this.bench.showTool(tool),
    });
    this.masks = new MaskOverlay(options.image, options.shared, () => options.views().forEach((view) => view.redraw()));
    this.layers = new LayersPanel({ image: options.image.id, labels: this.bench.labels, live: false, show: (shown) => this.masks.show(shown) });
    this.bench.sections.push(section("Masks", this.layers.element, false));
    this.store.watch(() => {
      if (!this.store.waiting) this.layers.refresh();
    });
    this.bench.showTool("select");
    this.bind(options);
  }

  private bind({ keys, active }: VolumeAnnotationsOptions): void {
    keys.add("Draw", ["Escape"], "Stop drawing, select nothing", () => this.editor.cancel());
    keys.add("Draw", ["Enter"], "Finish the line or contour", () => this.editor.finish());
    keys.add("Draw", ["Backspace"], "Take the last corner back", () => this.editor.takeBack());
    const copy = (by: 1 | -1) => () => {
      const view = active();
      if (view) this.editor.copy(view, by);
    };
    keys.add("Edit", ["k"], "Copy the contour to the next slice", copy(1));
    keys.add("Edit", ["j"], "Copy the contour to the slice before", copy(-1));
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
  const flat = ringsOf(feature).flat();
  const all = flat.length ? flat : geometry?.type === "Point" ? [geometry.coordinates]
    : geometry?.type === "LineString" || geometry?.type === "MultiPoint" ? geometry.coordinates : [];
  return all.map((p): Point3 => [p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]);
}

function middleOf(feature: Feature): Point3 | null {
  const rings = ringsOf(feature);
  const points = rings.length ? (rings[Math.floor(rings.length / 2)] ?? []) : pointsOf(feature);
  if (!points.length) return null;
  const mean = (k: number): number => points.reduce((sum, point) => sum + (point[k] ?? 0), 0) / points.length;
  return [mean(0), mean(1), mean(2)];
}

/** What a feature of a volume measures, in millimetres. */
function sizeOf(feature: Feature): string {
  const rings = ringsOf(feature).map((ring) => ring.map((p): Point3 => [p[0] ?? 0, p[1] ?? 0, p[2] ?? 0]));
  if (rings.length === 1) {
    const { area, around } = ringSize(rings[0] ?? []);
    return `${short(area, 4)} mm², ${short(around, 4)} mm around`;
  }
  if (rings.length) return `${rings.length} contours`;
  const points = pointsOf(feature);
  const total = points.slice(1).reduce((sum, point, k) => sum + length(subtract(point, points[k] ?? point)), 0);
  if (feature.geometry?.type === "LineString") return `${short(total, 4)} mm`;
  const [only] = points;
  return only ? only.map((v) => v.toFixed(1)).join(", ") : "";
}
