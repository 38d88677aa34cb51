/** Annotations on a scene: shown, selected, drawn, changed. */

import Collection from "ol/Collection";
import type OlFeature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import Polygon from "ol/geom/Polygon";
import type Draw from "ol/interaction/Draw";
import Modify from "ol/interaction/Modify";
import Snap from "ol/interaction/Snap";
import Translate from "ol/interaction/Translate";
import VectorLayer from "ol/layer/Vector";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import VectorSource from "ol/source/Vector";
import type { Labels } from "../annotate/labels";
import { maskOfStroke, painted, type Stroke } from "../annotate/brush";
import { kindOf, requiredAttributes, runsOf, type Feature } from "../annotate/model";
import { framedOf, memberOf } from "../annotate/shapes";
import type { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import { complain, tell } from "../toast";
import { Brush } from "./brush";
import { mapFeature, mapGeometry, worldGeometry } from "./convert";
import { drawing, type Drawn, type DrawTool } from "./draw";
import { Handles } from "./handles";
import type { Mode, SceneMap } from "./map";
import { MaskLayer, maskOf } from "./masks";
import { corners, handleStyle, sketch, styleOf } from "./styles";
import { Ruler } from "./ruler";
import type { Mercator, Native } from "./tiles";
import { VectorTiles } from "./vectors";

export type Tool = "select" | "brush" | "eraser" | "measure" | DrawTool;

export interface EditorOptions {
  image: ImageRecord;
  scene: SceneMap;
  native: Native;
  mercator: Mercator | null;
  store: AnnotationStore;
  labels: Labels;
  /** Bands that are shown, counted from 1. */
  bands: () => readonly number[];
  /** Told when another selection or tool counts. */
  selected: (ids: readonly string[]) => void;
  tool: (tool: Tool) => void;
}

/** The editor. */
export class Editor {
  tool: Tool = "select";
  readonly masks: MaskLayer;
  private readonly source = new VectorSource();
  private readonly layer: VectorLayer;
  private readonly tiles: VectorTiles;
  private readonly chosen = new Collection<OlFeature>();
  private ids: string[] = [];
  private readonly modify: Modify;
  private readonly translate: Translate;
  private readonly handles: Handles;
  private readonly snap: Snap;
  readonly brush: Brush;
  readonly ruler: Ruler;
  private draw: Draw | null = null;
  private busy = false;

  constructor(private readonly options: EditorOptions) {
    const { scene, native, labels, store } = options;
    this.layer = new VectorLayer({ source: this.source, style: (feature) => this.style(feature), zIndex: 20, updateWhileInteracting: true, updateWhileAnimating: true });
    this.tiles = new VectorTiles({ ...options, isElsewhere: (id) => this.source.getFeatureById(id) !== null });
    this.masks = new MaskLayer(native, () => store.features.values(), labels, (id) => this.ids.includes(id));
    this.handles = new Handles({ grid: native.grid, resolution: () => scene.map.getView().getResolution() ?? 1, changed: (framed) => this.reshape(memberOf(framed)) });
    this.translate = new Translate({ features: this.chosen, hitTolerance: 0 });
    this.modify = new Modify({ features: this.chosen, pixelTolerance: 9, style: handleStyle(true) });
    this.snap = new Snap({ source: this.source, pixelTolerance: 8 });
    this.brush = new Brush({ grid: native.grid, colour: () => labels.colour(labels.current), done: (stroke, op) => this.paint(stroke, op) });
    this.ruler = new Ruler({ image: options.image, grid: native.grid, bands: options.bands });
    const layers = [this.tiles.layer, this.masks.layer, this.layer, this.handles.layer, this.ruler.layer, this.brush.layer];
    for (const layer of layers) scene.map.addLayer(layer);
    for (const one of [this.translate, this.modify, this.handles, ...this.ruler.draws, this.snap, this.brush]) scene.map.addInteraction(one);
    this.listen();
  }

  private listen(): void {
    const { scene, store, labels } = this.options;
    this.modify.on("modifystart", () => (this.busy = true));
    this.modify.on("modifyend", () => this.keepGeometry());
    this.translate.on("translatestart", () => (this.busy = true));
    this.translate.on("translateend", (event) => this.keepTranslation(event.startCoordinate, event.coordinate));
    scene.map.on("click", (event) => this.click(event));
    store.watch((changed) => this.sync(changed));
    labels.watch(() => this.relabel());
    this.tiles.layer.setVisible(false);
  }

  // ---- what is shown

  /** Follow the store. */
  private sync(changed: ReadonlySet<string>): void {
    const { store, native } = this.options;
    for (const id of changed) {
      const feature = store.features.get(id);
      const shown = this.source.getFeatureById(id) as OlFeature | null;
      if (!feature) {
        if (shown) this.source.removeFeature(shown);
        continue;
      }
      if (shown) {
        shown.set("label", feature.properties.label);
        const geometry = mapGeometry(feature, native.grid);
        if (geometry && !this.busy) shown.setGeometry(geometry);
      } else {
        const made = mapFeature(feature, native.grid);
        if (made) this.source.addFeature(made);
      }
    }
    const gone = this.ids.filter((id) => !store.features.has(id));
    if (gone.length) this.select(this.ids.filter((id) => store.features.has(id)));
    else if (this.ids.some((id) => changed.has(id))) this.showHandles();
    this.tiles.layer.setVisible(store.isPartial || this.options.scene.mode === "map");
    if (this.tiles.layer.getVisible()) this.tiles.refresh();
    this.masks.changed();
  }

  private relabel(): void {
    this.layer.changed();
    this.tiles.layer.changed();
    this.masks.changed();
    if (this.draw) this.setTool(this.tool);
    this.select(this.ids.filter((id) => !this.labels.isHidden(this.options.store.features.get(id)?.properties.label ?? "")));
  }

  private get labels(): Labels {
    return this.options.labels;
  }

  private style(feature: FeatureLike): ReturnType<typeof styleOf> | undefined {
    const name = String(feature.get("label"));
    if (this.labels.isHidden(name)) return undefined;
    const selected = this.ids.includes(String(feature.getId()));
    const styles = styleOf(this.labels.colour(name), selected);
    return selected && !framedOf(this.options.store.features.get(String(feature.getId()))?.shape) ? [...styles, corners] : styles;
  }

  /** In web mercator annotations are looked at, on the image's own grid they are drawn. */
  setMode(mode: Mode): void {
    const isOwn = mode === "native";
    this.setTool("select");
    if (!isOwn) this.select([]);
    this.tiles.setMode(mode);
    this.layer.setVisible(isOwn);
    this.masks.layer.setVisible(isOwn);
    this.tiles.layer.setVisible(this.options.store.isPartial || !isOwn);
  }

  get canDraw(): boolean {
    return this.options.scene.mode === "native";
  }

  // ---- selection

  get selection(): readonly string[] {
    return this.ids;
  }

  select(ids: readonly string[]): void {
    const before = new Set(this.ids);
    this.ids = [...ids];
    const features = ids.flatMap((id) => (this.source.getFeatureById(id) as OlFeature | null) ?? []);
    const changeable = features.filter((feature) => this.isFree(feature));
    this.chosen.clear();
    this.chosen.extend(changeable);
    if (before.size || ids.length) {
      this.layer.changed();
      this.masks.changed();
    }
    this.showHandles();
    this.options.selected(this.ids);
  }

  private isFree(feature: OlFeature): boolean {
    return !this.labels.isLocked(String(feature.get("label")));
  }

  /** Framed shapes have handles; all others let their corners be pulled. */
  private showHandles(): void {
    const [id] = this.ids;
    const feature = id === undefined ? undefined : this.options.store.features.get(id);
    const framed = this.ids.length === 1 ? framedOf(feature?.shape) : null;
    const target = id === undefined ? null : (this.source.getFeatureById(id) as OlFeature | null);
    const isFree = target !== null && this.isFree(target);
    this.modify.setActive(this.tool === "select" && !framed);
    this.translate.setActive(this.tool === "select");
    this.handles.setActive(this.tool === "select" && isFree);
    this.handles.show(this.tool === "select" && isFree ? framed : null, target);
  }

  private click(event: MapBrowserEvent): void {
    if (this.tool !== "select" || !this.canDraw) return;
    const extend = event.originalEvent instanceof MouseEvent && event.originalEvent.shiftKey;
    const id = this.hit(event);
    if (id === null) {
      if (!extend) this.select([]);
      return;
    }
    const chosen = !extend ? [id] : this.ids.includes(id) ? this.ids.filter((one) => one !== id) : [...this.ids, id];
    this.options.store.load(id).then(() => this.select(chosen), complain);
  }

  /** The smallest annotation under the pointer, so that what lies within another can be taken. */
  private hit(event: MapBrowserEvent): string | null {
    let best: { id: string; area: number } | null = null;
    const layers = [this.layer, this.tiles.layer] as unknown[];
    event.map.forEachFeatureAtPixel(event.pixel, (feature) => {
      const id = feature.getId();
      if (id === undefined || feature.get("layer") === "counts") return;
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = feature.getGeometry()?.getExtent() ?? [];
      const area = (x1 - x0) * (y1 - y0);
      if (!best || area < best.area) best = { id: String(id), area };
    }, { layerFilter: (layer) => layers.includes(layer), hitTolerance: 4 });
    return (best as { id: string } | null)?.id ?? this.maskUnder(event.coordinate);
  }

  private maskUnder(place: readonly number[] | undefined): string | null {
    const [x, y] = [Math.floor(place?.[0] ?? -1), Math.floor(-(place?.[1] ?? 1))];
    for (const feature of this.options.store.features.values()) {
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = maskOf(feature)?.box ?? [];
      if (x >= x0 && x < x1 && y >= y0 && y < y1) return feature.id;
    }
    return null;
  }

  // ---- changes

  private keepGeometry(): void {
    this.busy = false;
    const { store, native } = this.options;
    store.apply(this.chosen.getArray().flatMap((shown) => {
      const feature = store.features.get(String(shown.getId()));
      const drawn = shown.getGeometry();
      const geometry = drawn ? worldGeometry(drawn, native.grid) : null;
      if (!feature || !geometry || feature.shape) return [];
      return [{ id: feature.id, feature: { ...feature, geometry } }];
    }));
  }

  private keepTranslation(from: readonly number[], to: readonly number[]): void {
    const [id] = this.ids;
    const framed = this.ids.length === 1 && id !== undefined ? framedOf(this.options.store.features.get(id)?.shape) : null;
    if (!framed) return this.keepGeometry();
    this.busy = false;
    const grid = this.options.native.grid;
    const [x, y] = grid.toMap(framed.center);
    const center = grid.fromMap([x + (to[0] ?? 0) - (from[0] ?? 0), y + (to[1] ?? 0) - (from[1] ?? 0)]);
    this.reshape(memberOf({ ...framed, center }));
  }

  private reshape(shape: NonNullable<Feature["shape"]>): void {
    const feature = this.options.store.features.get(this.ids[0] ?? "");
    if (feature) this.options.store.apply([{ id: feature.id, feature: { ...feature, geometry: null, shape } }]);
  }

  /** Take what is selected away. */
  remove(): void {
    const { store } = this.options;
    const free = this.ids.filter((id) => !this.labels.isLocked(store.features.get(id)?.properties.label ?? ""));
    if (free.length < this.ids.length) tell("What is locked was kept.");
    store.apply(free.map((id) => ({ id, feature: null })));
  }

  // ---- drawing

  setTool(tool: Tool): void {
    const { scene, native } = this.options;
    if (this.draw) scene.map.removeInteraction(this.draw);
    this.draw = null;
    this.tool = this.canDraw ? tool : "select";
    if (tool !== "select" && !this.canDraw) tell("Drawing needs the image's own grid.");
    const paints = this.tool === "brush" || this.tool === "eraser";
    this.brush.op = this.tool === "eraser" ? "subtract" : "add";
    this.brush.setActive(paints);
    this.ruler.setActive(this.tool === "measure");
    if (this.tool !== "select" && this.tool !== "brush" && this.tool !== "eraser" && this.tool !== "measure") {
      if (this.tool !== "hole") this.select([]);
      this.draw = drawing(this.tool, native.grid, sketch(this.labels.colour(this.labels.current)), (drawn) => this.finish(drawn));
      // beneath the snapping, which must see each pointer first
      scene.map.removeInteraction(this.snap);
      scene.map.addInteraction(this.draw);
      scene.map.addInteraction(this.snap);
    }
    this.showHandles();
    this.options.tool(this.tool);
  }

  /** Stop what is being drawn; with nothing begun, go back to selecting. */
  cancel(): void {
    if (!this.draw && this.tool === "select") return this.select([]);
    if (this.draw?.getOverlay().getSource()?.getFeatures().length) this.draw.abortDrawing();
    this.setTool("select");
  }

  finishDrawing(): void {
    (this.tool === "measure" ? this.ruler.draw : this.draw)?.finishDrawing();
  }

  takeBack(): void {
    (this.tool === "measure" ? this.ruler.draw : this.draw)?.removeLastPoint();
  }

  private finish(drawn: Drawn): void {
    if (this.tool === "hole") return this.cutHole(drawn);
    const made = this.make({ geometry: drawn.geometry, ...(drawn.shape ? { shape: drawn.shape } : {}) });
    if (!made) return;
    this.options.store.apply([{ id: made.id, feature: made }]);
    this.select([made.id]);
  }

  /** A new annotation of the current label; null, with a reason told, where that label cannot be drawn so. */
  make(parts: Pick<Feature, "geometry" | "shape">): Feature | null {
    const name = this.labels.current;
    const label = this.labels.find(name);
    if (!name) {
      tell("Name a label first, in the panel on the right.", "bad");
      return null;
    }
    const feature: Feature = {
      type: "Feature", id: crypto.randomUUID(), ...parts,
      properties: { label: name, attributes: requiredAttributes(label), origin: "manual" },
    };
    const kind = kindOf(feature);
    if (label?.shapes?.length && !label.shapes.includes(kind)) {
      tell(`“${name}” is drawn as ${label.shapes.join(", ")}, not as ${kind}.`, "bad");
      return null;
    }
    return feature;
  }

  /** Paint on the selected mask of the current label, or begin one; erase from the selected mask. */
  private paint(stroke: Stroke, op: "add" | "subtract"): void {
    const { store } = this.options;
    const feature = store.features.get(this.ids[0] ?? "");
    const mask = maskOf(feature);
    if (feature && mask && this.labels.isLocked(feature.properties.label)) return tell("What is locked was kept.");
    if (feature && mask && (op === "subtract" || feature.properties.label === this.labels.current)) {
      const shape = painted(mask, stroke, op);
      if (!shape) return store.apply([{ id: feature.id, feature: null }]);
      return store.paint({ ...feature, shape }, { op, box: stroke.box, rle: runsOf(stroke.bits) });
    }
    if (op === "subtract") return tell("Select a painted mask first, then erase from it.", "bad");
    const made = this.make({ geometry: null, shape: maskOfStroke(stroke) });
    if (!made) return;
    store.apply([{ id: made.id, feature: made }]);
    this.select([made.id]);
  }

  private cutHole({ ring }: Drawn): void {
    const { store, native } = this.options;
    const feature = store.features.get(this.ids[0] ?? "");
    const shown = this.source.getFeatureById(this.ids[0] ?? "") as OlFeature | null;
    const outer = shown?.getGeometry();
    if (!feature || feature.shape || !(outer instanceof Polygon)) {
      tell("Select a polygon first, then draw the hole in it.", "bad");
      return this.setTool("select");
    }
    if (!ring.every((place) => outer.intersectsCoordinate(place))) return tell("A hole lies within its polygon.", "bad");
    const cut = outer.clone();
    cut.setCoordinates([...outer.getCoordinates(), ring]);
    const geometry = worldGeometry(cut, native.grid);
    if (geometry) store.apply([{ id: feature.id, feature: { ...feature, geometry } }]);
    this.setTool("select");
    this.select([feature.id]);
  }

  /** Bring an annotation onto the screen. */
  zoomTo(feature: Feature): void {
    const { scene, native } = this.options;
    const mask = maskOf(feature);
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = mask?.box ?? [];
    const extent = mask ? [x0, -y1, x1, -y0] : mapGeometry(feature, native.grid)?.getExtent();
    if (extent) scene.map.getView().fit(extent, { padding: [80, 80, 80, 80], duration: 200, minResolution: 0.1 });
  }
}
