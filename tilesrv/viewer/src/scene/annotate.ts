/** Annotating a scene: the editor on the map, the bench around it. */

import { Bench, type ToolEntry } from "../annotate/bench";
import { LayersPanel } from "../annotate/layers";
import { KINDS } from "../annotate/labels";
import type { Feature } from "../annotate/model";
import type { Action } from "../annotate/selected";
import { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import type { Keys } from "../keys";
import { section } from "../panel";
import { complain } from "../toast";
import { Editor, type Tool } from "./editor";
import { MaskTiles } from "./layers";
import type { Mode, SceneMap } from "./map";
import { sizeOfFeature } from "./measure";
import { Regions } from "./regions";
import { isMultipart } from "./surgery";
import type { Mercator, Native } from "./tiles";

const TOOLS: readonly (ToolEntry<Tool> | null)[] = [
  { tool: "select", label: "Select and change", icon: "select", key: "v" },
  null,
  { tool: "point", label: "Point", icon: "point", key: "o", hint: "Click where it is." },
  { tool: "line", label: "Line", icon: "line", key: "l", hint: "Click its corners; hold Shift to draw freely. Enter or a double click finishes." },
  { tool: "polygon", label: "Polygon", icon: "polygon", key: "p", hint: "Click its corners; hold Shift to draw freely. Enter or a double click finishes." },
  { tool: "hole", label: "Hole in the selected polygon", icon: "hole", key: "h", hint: "Draw what is taken out of the selected polygon. Enter finishes." },
  { tool: "box", label: "Box", icon: "box", key: "b", hint: "Drag from corner to corner, or click both." },
  { tool: "rotated-box", label: "Rotated box", icon: "rotated", key: "r", hint: "Click both ends of one side, then how far the box reaches." },
  { tool: "ellipse", label: "Ellipse", icon: "ellipse", key: "e", hint: "Drag across it from corner to corner, or click both." },
  { tool: "keypoints", label: "Key points", icon: "keypoints", key: "k" },
  { tool: "cut", label: "Cut what is selected along a line", icon: "cut", key: "c", hint: "Draw a line across what is selected, from outside to outside. Enter cuts." },
  null,
  { tool: "brush", label: "Brush", icon: "brush", key: "d", hint: "Drag to paint; [ and ] change the size." },
  { tool: "eraser", label: "Eraser", icon: "eraser", key: "x", hint: "Drag to erase what is painted; [ and ] change the size." },
  null,
  { tool: "measure", label: "Measure lengths, angles, areas and the values in them", icon: "ruler", key: "m" },
];

/** All of it. */
export class SceneAnnotations {
  readonly bench: Bench<Tool>;
  readonly store: AnnotationStore;
  private readonly editor: Editor;
  private readonly layers: LayersPanel;
  private readonly masks: MaskTiles;
  private readonly regions: Regions;

  constructor(image: ImageRecord, scene: SceneMap, native: Native, mercator: Mercator | null, keys: Keys, bands: () => readonly number[]) {
    this.store = new AnnotationStore(image.id);
    this.bench = new Bench<Tool>({
      store: this.store,
      keys,
      tools: TOOLS,
      toggles: [{ label: "Snap to corners and edges", icon: "magnet", key: "g", on: true, turn: (on) => this.editor.setSnap(on) }],
      kinds: KINDS.raster,
      actions: (features) => this.actions(features),
      pick: (tool) => this.editor.setTool(tool),
      remove: () => this.editor.remove(),
      zoomTo: (feature) => this.editor.zoomTo(feature),
      measure: (feature) => sizeOfFeature(image, native.grid, feature),
    });
    this.editor = new Editor({
      image, scene, native, mercator, bands,
      store: this.store,
      labels: this.bench.labels,
      selected: (ids) => this.bench.selected.show(ids),
      hint: (text) => this.bench.showHint(text),
      tool: (tool) => {
        this.bench.showTool(tool);
        scene.map.getTargetElement()?.classList.toggle("drawing", tool !== "select");
      },
    });
    this.masks = new MaskTiles(image, scene, native, mercator);
    this.layers = new LayersPanel({ image: image.id, labels: this.bench.labels, show: (shown) => this.masks.show(shown) });
    this.regions = new Regions(image, scene, native);
    this.bench.sections.push(section("Masks", this.layers.element, false), section("Regions", this.regions.element, false));
    this.store.watch(() => {
      if (this.store.waiting) return;
      this.masks.refresh();
      this.layers.refresh();
    });
    scene.map.getTargetElement()?.parentElement?.append(this.editor.ruler.element, this.bench.hint);
    this.bench.showTool("select");
    this.bind(keys);
  }

  private bind(keys: Keys): void {
    const { editor } = this;
    keys.add("Draw", ["Escape"], "Stop drawing; then select; then select nothing", () => editor.cancel());
    keys.add("Draw", ["Enter"], "Finish the line, polygon or key points", () => editor.finishDrawing());
    keys.add("Draw", ["["], "Smaller brush", () => editor.brush.grow(0.8));
    keys.add("Draw", ["]"], "Larger brush", () => editor.brush.grow(1.25));
    keys.add("Draw", ["Backspace"], "Take the last corner back", () => editor.takeBack());
    keys.add("Draw", ["."], "Leave the next key point out", () => editor.leaveOut());
    keys.add("Edit", ["u"], "Merge what is selected", () => void editor.surgery.merge(editor.selection).catch(complain));
    keys.add("Edit", ["Shift+U"], "Split what is selected into its parts", () => editor.surgery.split(editor.selection));
  }

  private actions(features: readonly Feature[]): Action[] {
    const { surgery, selection } = this.editor;
    if (features.length > 1) return [{ label: "Merge", key: "u", press: () => void surgery.merge(selection).catch(complain) }];
    const isMany = features.some(isMultipart);
    return isMany ? [{ label: "Split", key: "Shift+U", press: () => surgery.split(selection) }] : [];
  }

  async open(): Promise<void> {
    try {
      await Promise.all([this.bench.labels.open(), this.store.open(), this.layers.open(), this.regions.open()]);
    } catch (error) {
      complain(error, "The annotations cannot be shown");
    }
  }

  setMode(mode: Mode): void {
    this.editor.setMode(mode);
    this.masks.setMode();
    this.regions.setMode(mode);
  }

  close(): void {
    this.layers.close();
    this.store.close();
  }
}
