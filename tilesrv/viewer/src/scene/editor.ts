/** Annotations on a scene: shown, selected, drawn, changed. */

import Collection from "ol/Collection";
import type OlFeature from "ol/Feature";
import type { FeatureLike } from "ol/Feature";
import LineString from "ol/geom/LineString";
import Polygon from "ol/geom/Polygon";
import type Draw from "ol/interaction/Draw";
import Modify from "ol/interaction/Modify";
import Snap from "ol/interaction/Snap";
import Translate from "ol/interaction/Translate";
import VectorLayer from "ol/layer/Vector";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import VectorSource from "ol/source/Vector";
import { crosses } from "../annotate/crossing";
import type { Labels } from "../annotate/labels";
import { isSet, type Stroke } from "../annotate/brush";
import { isMask, type Feature } from "../annotate/model";
import { Pen } from "../annotate/pen";
import { framedOf, memberOf } from "../annotate/shapes";
import type { AnnotationStore } from "../annotate/store";
import type { ImageRecord } from "../api";
import { complain, tell } from "../toast";
import { Brush } from "./brush";
import { mapFeature, mapGeometry, sameGeometry, worldGeometry } from "./convert";
import { drawing, type Drawn, type DrawTool } from "./draw";
import { Handles } from "./handles";
import { joinsOf, KeypointRow, withPlaces } from "./keypoints";
import type { Mode, SceneMap } from "./map";
import { MaskLayer, maskOf } from "./masks";
import { corners, handleStyle, joins, sketch, styleOf } from "./styles";
import { Ruler } from "./ruler";
import { Surgery } from "./surgery";
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
  /** Say what to do next. */
  hint: (text: string) => void;
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
  readonly surgery: Surgery;
  private readonly pen: Pen;
  private draw: Draw | null = null;
  /** Whether something was begun and not finished. */
  private drawing = false;
  private row: KeypointRow | null = null;
  private busy = false;

  constructor(private readonly options: EditorOptions) {
    const { scene, native, labels, store } = options;
    this.pen = new Pen(store, labels);
    this.surgery = new Surgery(store, this.pen, (ids) => this.select(ids));
    this.layer = new VectorLayer({ source: this.source, style: (feature, resolution) => this.style(feature, resolution), zIndex: 20, updateWhileInteracting: true, updateWhileAnimating: true });
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
        // what is pulled at this moment slips from the hand when it is replaced, even by its like
        if (geometry && !this.busy && !sameGeometry(shown.getGeometry(), geometry)) shown.setGeometry(geometry);
      } else {
        const made = mapFeature(feature, native.grid);
        if (made) this.source.addFeature(made);
      }
    }
    const gone = this.ids.filter((id) => !store.features.has(id));
    if (gone.length) this.select(this.ids.filter((id) => store.features.has(id)));
    else if (this.ids.some((id) => changed.has(id))) this.showHandles();
    const wasVisible = this.tiles.layer.getVisible();
    this.tiles.layer.setVisible(store.isPartial || this.options.scene.mode === "map");
    if (wasVisible && this.tiles.layer.getVisible()) this.tiles.refresh(); // else all tiles are new
    this.masks.changed();
  }

  private relabel(): void {
    this.layer.changed();
    this.tiles.layer.changed();
    this.masks.changed();
    if (this.tool !== "select" && this.tool !== "measure") this.setTool(this.tool);
    this.select(this.ids.filter((id) => !this.labels.isHidden(this.options.store.features.get(id)?.properties.label ?? "")));
  }

  private get labels(): Labels {
    return this.options.labels;
  }

  private style(feature: FeatureLike, resolution: number): ReturnType<typeof styleOf> | undefined {
    const name = String(feature.get("label"));
    if (this.labels.isHidden(name)) return undefined;
    const selected = this.ids.includes(String(feature.getId()));
    const { shape } = this.options.store.features.get(String(feature.getId())) ?? {};
    const styles = styleOf(this.labels.colour(name), selected);
    if (shape?.type === "keypoints") {
      const grid = this.options.native.grid;
      const lines = joinsOf(shape).map((line) => line.map(([x = 0, y = 0]) => grid.toMap([x, y])));
      return [...joins(this.labels.colour(name), lines), ...styles];
    }
    return selected && !framedOf(shape) ? [...styles, corners(resolution)] : styles;
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
    const painted = [...this.options.store.features.values()].filter(isMask);
    return painted.findLast((one) => !this.labels.isHidden(one.properties.label) && isSet(one.shape, x, y))?.id ?? null;
  }

  // ---- changes

  private keepGeometry(): void {
    this.busy = false;
    const { store, native } = this.options;
    store.apply(this.chosen.getArray().flatMap((shown): { id: string; feature: Feature }[] => {
      const feature = store.features.get(String(shown.getId()));
      const drawn = shown.getGeometry();
      const geometry = drawn ? worldGeometry(drawn, native.grid) : null;
      if (feature?.shape?.type === "keypoints" && geometry?.type === "MultiPoint") {
        return [{ id: feature.id, feature: { ...feature, geometry: null, shape: withPlaces(feature.shape, geometry.coordinates) } }];
      }
      if (!feature || !geometry || feature.shape) return [];
      const rings = geometry.type === "Polygon" ? geometry.coordinates : geometry.type === "MultiPolygon" ? geometry.coordinates.flat() : [];
      if (rings.some((ring) => crosses(ring.slice(0, -1)))) {
        tell("So the outline would cross itself: it was left as it was.");
        shown.setGeometry(mapGeometry(feature, native.grid) ?? undefined);
        return [];
      }
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
    [this.draw, this.drawing, this.row] = [null, false, null];
    this.tool = this.canDraw ? tool : "select";
    if (tool !== "select" && !this.canDraw) tell("Drawing needs the image's own grid.");
    const paints = this.tool === "brush" || this.tool === "eraser";
    this.brush.op = this.tool === "eraser" ? "subtract" : "add";
    this.brush.setActive(paints);
    this.ruler.setActive(this.tool === "measure");
    if (this.tool !== "select" && this.tool !== "brush" && this.tool !== "eraser" && this.tool !== "measure") {
      if (this.tool !== "hole" && this.tool !== "cut") this.select([]);
      const isKnife = this.tool === "hole" || this.tool === "cut"; // seen on what it cuts
      const colour = isKnife ? "#ffffff" : this.labels.colour(this.labels.current);
      this.draw = drawing(this.tool, native.grid, sketch(colour), (drawn) => this.finish(drawn));
      this.follow(this.draw);
      // beneath the snapping, which must see each pointer first
      scene.map.removeInteraction(this.snap);
      scene.map.addInteraction(this.draw);
      scene.map.addInteraction(this.snap);
    }
    this.showHandles();
    this.options.tool(this.tool);
    if (this.tool === "keypoints") this.startRow();
    this.tellWhatIsMissing();
  }

  /** Say what the tool in hand needs first. */
  private tellWhatIsMissing(): void {
    if (this.tool === "select" || this.tool === "eraser" || this.tool === "measure") return;
    if (this.tool === "hole" || this.tool === "cut") {
      if (!this.ids.length) this.options.hint("Select an area first: press V, and click it.");
    } else if (this.labels.isEmpty) {
      this.options.hint("Name what you want to draw: a label, in the field on the right.");
      this.labels.ask();
    }
  }

  /** Know whether something is being drawn, and of key points how many were placed. */
  private follow(draw: Draw): void {
    draw.on("drawstart", ({ feature }) => {
      this.drawing = true;
      const geometry = feature.getGeometry();
      if (this.row && geometry instanceof LineString) {
        this.placed(geometry);
        geometry.on("change", () => this.placed(geometry));
      }
    });
    draw.on(["drawend", "drawabort"], () => {
      this.drawing = false;
    });
  }

  /** Whether corners that are drawn are drawn to those that there are. */
  setSnap(on: boolean): void {
    this.snap.setActive(on);
  }

  private startRow(): void {
    this.row = new KeypointRow(this.labels.find(this.labels.current)?.skeleton ?? null);
    this.options.hint(this.row.prompt);
  }

  /** The last place of a line that is being drawn is the pointer's. */
  private placed(line: LineString): void {
    const { row } = this;
    if (!row || !this.drawing) return;
    row.follow(line.getCoordinates().length - 1);
    this.options.hint(row.prompt);
    if (row.isFull) queueMicrotask(() => this.drawing && this.draw?.finishDrawing());
  }

  /** Go on to the key point after the next. */
  leaveOut(): void {
    if (!this.row) return;
    this.row.leaveOut();
    this.options.hint(this.row.prompt);
    if (this.row.isFull && this.drawing) this.draw?.finishDrawing();
  }

  /** Stop what is being drawn; with nothing begun, go back to selecting, then select nothing. */
  cancel(): void {
    if (!this.draw && this.tool === "select") return this.select([]);
    if (!this.drawing) return this.setTool("select");
    this.draw?.abortDrawing();
    if (this.row) this.startRow();
  }

  finishDrawing(): void {
    (this.tool === "measure" ? this.ruler.draw : this.draw)?.finishDrawing();
  }

  takeBack(): void {
    if (this.row?.takeBack()) return this.options.hint(this.row.prompt);
    (this.tool === "measure" ? this.ruler.draw : this.draw)?.removeLastPoint();
  }

  private finish(drawn: Drawn): void {
    if (this.tool === "hole") return this.cutHole(drawn);
    const line = drawn.geometry?.type === "LineString" ? drawn.geometry.coordinates : [];
    if (this.tool === "cut") return void this.surgery.cut(this.ids, line).catch(complain);
    this.row?.follow(line.length); // while it ended, the line was a point short
    const keypoints = this.row?.shape(line);
    const shape = keypoints ?? drawn.shape;
    const outer = drawn.geometry?.type === "Polygon" ? drawn.geometry.coordinates[0] ?? [] : [];
    if (crosses(outer.slice(0, -1))) {
      void this.surgery.mend(outer).then((id) => id && this.select([id]), complain);
      return;
    }
    const id = this.pen.add({ geometry: shape ? null : drawn.geometry, ...(shape ? { shape } : {}) });
    if (this.row) this.startRow();
    if (id) this.select([id]);
  }

  private paint(stroke: Stroke, op: "add" | "subtract"): void {
    const selected = this.options.store.features.get(this.ids[0] ?? "");
    const id = op === "add" ? this.pen.paint(selected, stroke) : this.pen.erase(selected, stroke);
    if (id) this.select([id]);
  }

  private cutHole({ ring }: Drawn): void {
    const { store, native } = this.options;
    const feature = store.features.get(this.ids[0] ?? "");
    const shown = this.source.getFeatureById(this.ids[0] ?? "") as OlFeature | null;
    const outer = shown?.getGeometry();
    if (!feature || feature.shape || !(outer instanceof Polygon) || !ring.every((place) => outer.intersectsCoordinate(place))) {
      const taken = ring.map(([x = 0, y = 0]) => native.grid.fromMap([x, y]));
      if (feature) void this.surgery.carve(feature.id, taken).catch(complain);
      else tell("Select a polygon first, then draw the hole in it.", "bad");
      return this.setTool("select");
    }
    if (this.pen.isLocked(feature)) return tell("What is locked was kept.");
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
