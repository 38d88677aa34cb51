/** Annotating a scene: the editor on the map, the bench around it. */

import { Bench, type ToolEntry } from "../annotate/bench";
import { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import type { Keys } from "../keys";
import { complain } from "../toast";
import { Editor, type Tool } from "./editor";
import type { Mode, SceneMap } from "./map";
import { sizeOfFeature } from "./measure";
import type { Mercator, Native } from "./tiles";

const TOOLS: readonly (ToolEntry<Tool> | null)[] = [
  { tool: "select", label: "Select and change", icon: "select", key: "v" },
  null,
  { tool: "point", label: "Point", icon: "point", key: "o" },
  { tool: "line", label: "Line", icon: "line", key: "l" },
  { tool: "polygon", label: "Polygon", icon: "polygon", key: "p" },
  { tool: "hole", label: "Hole in the selected polygon", icon: "hole", key: "h" },
  { tool: "box", label: "Box", icon: "box", key: "b" },
  { tool: "rotated-box", label: "Rotated box", icon: "rotated", key: "r" },
  { tool: "ellipse", label: "Ellipse", icon: "ellipse", key: "e" },
];

/** All of it. */
export class SceneAnnotations {
  readonly bench: Bench<Tool>;
  private readonly store: AnnotationStore;
  private readonly editor: Editor;

  constructor(image: ImageRecord, scene: SceneMap, native: Native, mercator: Mercator | null, keys: Keys) {
    this.store = new AnnotationStore(image.id);
    this.bench = new Bench<Tool>({
      store: this.store,
      keys,
      tools: TOOLS,
      pick: (tool) => this.editor.setTool(tool),
      remove: () => this.editor.remove(),
      zoomTo: (feature) => this.editor.zoomTo(feature),
      measure: (feature) => sizeOfFeature(image, native.grid, feature),
    });
    this.editor = new Editor({
      image, scene, native, mercator,
      store: this.store,
      labels: this.bench.labels,
      selected: (ids) => this.bench.selected.show(ids),
      tool: (tool) => {
        this.bench.showTool(tool);
        scene.map.getTargetElement()?.classList.toggle("drawing", tool !== "select");
      },
    });
    this.bench.showTool("select");
    keys.add("Draw", ["Escape"], "Stop drawing, select nothing", () => this.editor.cancel());
    keys.add("Draw", ["Enter"], "Finish the line or polygon", () => this.editor.finishDrawing());
    keys.add("Draw", ["Backspace"], "Take the last corner back", () => this.editor.takeBack());
  }

  async open(): Promise<void> {
    try {
      await Promise.all([this.bench.labels.open(), this.store.open()]);
    } catch (error) {
      complain(error, "The annotations cannot be shown");
    }
  }

  setMode(mode: Mode): void {
    this.editor.setMode(mode);
  }

  close(): void {
    this.store.close();
  }
}
