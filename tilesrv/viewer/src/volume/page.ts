/** The page of a volume: three linked planes. */

import { getJson, imagePath, type ImageRecord } from "../api";
import { button, fill, h } from "../dom";
import { showDetails } from "../details";
import { showExchange } from "../annotate/exchange";
import { PastPanel } from "../annotate/past";
import { short } from "../format";
import { subtract, column, decompose, type Point3 } from "../grid";
import { Keys } from "../keys";
import { panel, section } from "../panel";
import { numbersOf, remember } from "../router";
import { shell, type Page } from "../shell";
import { complain } from "../toast";
import { VolumeAnnotations } from "./annotate";
import { PLANE_NAMES, Planes, type PlaneName, type SliceDocument } from "./geometry";
import { SliceLoader } from "./loader";
import { SharedState } from "./state";
import type { Slope } from "./tone";
import { PlaneView } from "./view";
import { WindowPanel, type Preset } from "./window";

interface Opened {
  planes: Record<PlaneName, Planes>;
  presets: Preset[];
  unit: string;
}

/** One volume on screen. */
export class VolumePage implements Page {
  private readonly keys = new Keys();
  private readonly stage = h("div", { class: "stage planes" });
  private readonly world = h("span", { class: "cell", title: "Patient coordinates (LPS), mm" });
  private readonly index = h("span", { class: "cell", title: "Voxel: x, y, z" });
  private readonly value = h("span", { class: "cell values" });
  private readonly times: number;
  private views: PlaneView[] = [];
  private annotations: VolumeAnnotations | null = null;
  private past: PastPanel | null = null;
  private unit = "";
  private shared: SharedState | null = null;
  private closed = false;
  private remembering = 0;

  constructor(
    private readonly image: ImageRecord,
    private readonly state: Readonly<Record<string, string>>,
  ) {
    this.times = image.axes.includes("t") ? image.shape[image.axes.indexOf("t")] ?? 1 : 1;
    const files = button({ label: "Export and import", icon: "export", press: () => void showExchange(image.id) });
    const about = button({ label: "About this image", icon: "info", key: "I", press: () => showDetails(image) });
    shell(image.id, { home: true, keys: this.keys, tools: [files, about] }, h("main", { class: "work" }, this.stage));
    void this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.remembering);
    this.keys.close();
    this.past?.close();
    this.annotations?.close();
    for (const view of this.views) view.close();
  }

  private async open(): Promise<void> {
    try {
      const [axial, coronal, sagittal, windows] = await Promise.all([
        ...PLANE_NAMES.map((name) => this.loadPlanes(name)),
        getJson<{ unit: string | null; windows: Preset[] }>(imagePath(this.image.id, "/windows")),
      ] as const) as [Planes, Planes, Planes, { unit: string | null; windows: Preset[] }];
      if (this.closed) return;
      this.build({ planes: { axial, coronal, sagittal }, presets: windows.windows, unit: windows.unit ?? "" });
    } catch (error) {
      complain(error, "The volume cannot be shown");
    }
  }

  private async loadPlanes(name: PlaneName): Promise<Planes> {
    const root = imagePath(this.image.id, `/planes/${name}`);
    const first = await getJson<SliceDocument>(`${root}/0`);
    const last = first.count > 1 ? await getJson<SliceDocument>(`${root}/${first.count - 1}`) : first;
    return new Planes(name, first, last, this.image.slices);
  }

  private build({ planes, presets, unit }: Opened): void {
    this.unit = unit;
    const first = presets[0];
    const shared = new SharedState({
      cross: this.start(planes),
      range: this.startRange(first ? [first.low, first.high] : this.image.window[0] ?? [0, 255]),
      inverted: Boolean(this.image.extra?.["inverted"]),
      t: Math.min(this.times - 1, Math.max(0, Math.round(Number(this.state["t"]) || 0))),
      active: "axial",
      crosshair: true,
    });
    this.shared = shared;
    const { slope, physical } = slopeOf(this.image);
    this.views = PLANE_NAMES.map((name) => new PlaneView({
      planes: planes[name],
      others: () => PLANE_NAMES.filter((other) => other !== name).map((other) => planes[other]),
      loader: new SliceLoader(this.image, planes[name], physical),
      shared,
      slope,
      maximize: () => this.enlarge(name),
      hover: (at) => this.tell(at),
    }));
    fill(this.stage, ...this.views.map((view) => view.element));
    const controls = new WindowPanel(this.image, shared, presets);
    const annotations = this.annotate(shared, planes);
    const { bench } = annotations;
    const status = h("footer", { class: "status", "aria-label": "Under the pointer" },
      this.index, this.world, this.value, h("span", { class: "spring" }), bench.status);
    this.past = new PastPanel({ image: this.image.id, store: annotations.store, window: () => "" });
    const time = this.times > 1 && section("Time", this.timeBody(shared));
    this.stage.parentElement?.append(bench.toolbar, panel(section("Window", controls.element), time, ...bench.sections, this.past.element), status);
    shared.watch(() => this.later());
    this.bind(shared, controls);
    void annotations.open();
  }

  private annotate(shared: SharedState, planes: Record<PlaneName, Planes>): VolumeAnnotations {
    const made = new VolumeAnnotations({
      image: this.image,
      unit: this.unit,
      keys: this.keys,
      shared,
      planes: () => PLANE_NAMES.map((name) => planes[name]),
      views: () => this.views,
      active: () => this.active,
      goTo: (world) => shared.set({ cross: world }),
    });
    this.annotations = made;
    for (const view of this.views) view.overlays = [made.masks, made.ruler, made.editor];
    this.stage.append(made.ruler.bar.element, made.bench.hint);
    return made;
  }

  /** Where the crosshair begins: where the address says, else in the middle. */
  private start(planes: Record<PlaneName, Planes>): Point3 {
    const at = numbersOf(this.state["at"], 3);
    if (at) return [at[0] ?? 0, at[1] ?? 0, at[2] ?? 0];
    const axial = planes.axial;
    return axial.toWorld({ index: Math.floor(axial.count / 2), row: axial.rows / 2, column: axial.columns / 2 });
  }

  private startRange(usual: [number, number]): [number, number] {
    const said = numbersOf(this.state["range"], 2);
    return said ? [said[0] ?? 0, said[1] ?? 1] : usual;
  }

  private timeBody(shared: SharedState): HTMLElement {
    const text = h("span", { class: "muted" });
    const slider = h("input", { type: "range", min: 0, max: this.times - 1, step: 1, value: shared.now.t, "aria-label": "Time" });
    const show = (): void => void (text.textContent = `${shared.now.t + 1} / ${this.times}`);
    slider.addEventListener("input", () => shared.set({ t: slider.valueAsNumber }));
    shared.watch(() => {
      slider.value = String(shared.now.t);
      show();
    });
    show();
    return h("div", { class: "panel-body" }, h("div", { class: "row" }, slider, text));
  }

  private enlarge(name: PlaneName): void {
    this.stage.dataset["large"] = this.stage.dataset["large"] === name ? "" : name;
    this.shared?.set({ active: name });
  }

  private tell(at: { world: Point3; value: number | null } | null): void {
    this.world.textContent = at ? at.world.map((v) => v.toFixed(2)).join(", ") : "";
    this.index.textContent = at ? this.voxel(at.world).join(", ") : "";
    this.value.textContent = !at || at.value === null ? "" : `${short(at.value)} ${this.unit}`;
  }

  /** Voxel that holds a place, x first. Of uneven stacks the slice is that of the regular grid between its ends. */
  private voxel(world: Point3): number[] {
    const rows = this.image.affine;
    const weights = decompose(subtract(world, column(rows, 3)), column(rows, 0), column(rows, 1), column(rows, 2));
    return weights.map(Math.floor).reverse();
  }

  private later(): void {
    clearTimeout(this.remembering);
    this.remembering = window.setTimeout(() => {
      const now = this.shared?.now;
      if (!now) return;
      const state: Record<string, string> = { at: now.cross.map((v) => v.toFixed(2)).join(), range: now.range.map((v) => short(v, 6)).join() };
      if (this.times > 1) state["t"] = String(now.t);
      remember({ image: this.image.id, state });
    }, 200);
  }

  private get active(): PlaneView | undefined {
    return this.views.find((view) => view.planes.name === this.shared?.now.active);
  }

  private bind(shared: SharedState, controls: WindowPanel): void {
    const { keys } = this;
    const scroll = (by: number) => () => this.active?.step(by);
    keys.add("Slices", ["ArrowUp", "PageUp"], "Next slice", scroll(1));
    keys.add("Slices", ["ArrowDown", "PageDown"], "Slice before", scroll(-1));
    keys.add("Slices", ["Shift+ArrowUp"], "Ten slices on", scroll(10));
    keys.add("Slices", ["Shift+ArrowDown"], "Ten slices back", scroll(-10));
    keys.add("Slices", ["."], this.times > 1 ? "Next time; of key points: leave the next one out" : "Leave the next key point out", () => {
      const { landmarks } = this.annotations?.editor ?? {};
      if (landmarks?.isActive) landmarks.leaveOut();
      else if (this.times > 1) shared.set({ t: Math.min(this.times - 1, shared.now.t + 1) });
    });
    if (this.times > 1) {
      const time = (by: number) => () => shared.set({ t: Math.min(this.times - 1, Math.max(0, shared.now.t + by)) });
      keys.add("Slices", [","], "Time before", time(-1));
    }
    keys.add("View", ["+", "="], "Zoom in", () => this.active?.zoomBy(1.25));
    keys.add("View", ["-"], "Zoom out", () => this.active?.zoomBy(0.8));
    keys.add("View", ["f"], "Whole plane", () => this.active?.fit());
    keys.add("View", ["a"], "Axial large", () => this.enlarge("axial"));
    keys.add("View", ["c"], "Coronal large", () => this.enlarge("coronal"));
    keys.add("View", ["s"], "Sagittal large", () => this.enlarge("sagittal"));
    keys.add("View", ["g"], "Crosshair on or off", () => shared.set({ crosshair: !shared.now.crosshair }));
    keys.add("View", ["i"], "About this image", () => showDetails(this.image));
    keys.add("Window", ["w"], "Next preset", () => controls.step(1));
    keys.add("Window", ["Shift+W"], "Preset before", () => controls.step(-1));
    keys.add("Window", ["n"], "Invert", () => shared.set({ inverted: !shared.now.inverted }));
  }
}

/** How stored values become the unit here; where slices have slopes of their own, the server does it. */
function slopeOf(image: ImageRecord): { slope: Slope; physical: boolean } {
  const { slope, intercept } = image.value;
  if (Array.isArray(slope) || Array.isArray(intercept)) return { slope: { slope: 1, intercept: 0 }, physical: true };
  const band = image.bands[0];
  return { slope: { slope: band?.scale ?? slope ?? 1, intercept: band?.offset ?? intercept ?? 0 }, physical: false };
}
