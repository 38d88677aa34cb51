/** The page of a raster. */

import type { ImageRecord } from "../api";
import { button, fill, h } from "../dom";
import { displayOf, displayQuery, displayState, type Display } from "../display";
import { showDetails } from "../details";
import { showExchange } from "../annotate/exchange";
import { PastPanel } from "../annotate/past";
import { Keys } from "../keys";
import { panel, section } from "../panel";
import { numbersOf, remember } from "../router";
import { shell, type Page } from "../shell";
import { complain, tell } from "../toast";
import { SceneAnnotations } from "./annotate";
import { Graticule } from "./graticule";
import { SceneMap, type Mode } from "./map";
import { PixelsPanel } from "./pixels";
import { Probe } from "./probe";
import { ScaleBar } from "./scale";
import { loadMercator, loadNative, type Mercator, type Native } from "./tiles";

/** One raster on screen. */
export class ScenePage implements Page {
  private readonly keys = new Keys();
  private readonly stage = h("div", { class: "stage", tabindex: -1 });
  private readonly zoomText = h("span", { class: "cell muted", title: "Screen pixels for each image pixel" });
  private scene: SceneMap | null = null;
  private annotations: SceneAnnotations | null = null;
  private past: PastPanel | null = null;
  private graticule: Graticule | null = null;
  private display: Display;
  private closed = false;

  constructor(
    private readonly image: ImageRecord,
    private readonly state: Readonly<Record<string, string>>,
  ) {
    this.display = displayOf(image, state);
    const files = button({ label: "Export and import", icon: "export", press: () => void showExchange(image.id) });
    const about = button({ label: "About this image", icon: "info", key: "I", press: () => showDetails(image) });
    shell(image.id, { home: true, keys: this.keys, tools: [files, about] }, h("main", { class: "work" }, this.stage));
    void this.open();
  }

  close(): void {
    this.closed = true;
    this.keys.close();
    this.past?.close();
    this.annotations?.close();
    this.scene?.close();
  }

  private async open(): Promise<void> {
    try {
      const [native, mercator] = await Promise.all([loadNative(this.image), loadMercator(this.image)]);
      if (!this.closed) this.build(native, mercator);
    } catch (error) {
      complain(error, "The image cannot be shown");
    }
  }

  private build(native: Native, mercator: Mercator | null): void {
    const target = h("div", { class: "map", role: "application", "aria-label": `Map of ${this.image.id}`, tabindex: 0 });
    fill(this.stage, target);
    const scene = new SceneMap({ target, image: this.image, native, mercator, failed: (message) => tell(`Some tiles are missing: ${message}`, "bad") });
    this.scene = scene;
    const pixels = new PixelsPanel({
      image: this.image,
      display: this.display,
      change: (display) => this.show(display),
      visible: () => this.visible(native),
    });
    const annotations = new SceneAnnotations(this.image, scene, native, mercator, this.keys, () => this.display.bands);
    this.annotations = annotations;
    const { bench } = annotations;
    const probe = new Probe(scene, this.image, native, bench.status, this.zoomText);
    const scale = new ScaleBar(scene, this.image, native);
    this.stage.append(scale.element, this.zoomButtons(scene), ...(mercator ? [this.modes(scene)] : []));
    this.past = new PastPanel({ image: this.image.id, store: annotations.store, window: () => this.window(native) });
    const controls = panel(...bench.sections, section("Image", h("div", {}, pixels.element, this.gridSwitch(scene, native))), this.past.element);
    this.stage.parentElement?.append(bench.toolbar, controls, probe.element);
    this.show(this.display);
    this.restore(scene);
    scene.map.on("moveend", () => this.moved(scene));
    this.bind(scene, pixels);
    void annotations.open();
  }

  private show(display: Display): void {
    this.display = display;
    this.scene?.setQuery(displayQuery(this.image, display));
    this.scene?.setOpacity(display.opacity);
    if (this.scene) this.moved(this.scene);
  }

  /** Box of finest pixels on screen. */
  private visible(native: Native): [number, number, number, number] | null {
    if (!this.scene || this.scene.mode === "map") return [0, 0, native.grid.width, native.grid.height];
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = this.scene.map.getView().calculateExtent();
    const box: [number, number, number, number] = [
      Math.max(0, Math.floor(x0)), Math.max(0, Math.floor(-y1)),
      Math.min(native.grid.width, Math.ceil(x1)), Math.min(native.grid.height, Math.ceil(-y0)),
    ];
    return box[0] < box[2] && box[1] < box[3] ? box : null;
  }

  /** What is on screen as a query of annotations. */
  private window(native: Native): string {
    const [x0, y0, x1, y1] = this.visible(native) ?? [0, 0, 0, 0];
    const corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(([x = 0, y = 0]) => native.grid.toWorld([x, y]));
    const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
    return `&bbox=${[Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)].join()}&bbox-crs=native`;
  }

  private gridSwitch(scene: SceneMap, native: Native): HTMLElement {
    const graticule = new Graticule(scene, native);
    this.graticule = graticule;
    const box = h("input", { type: "checkbox" });
    box.addEventListener("change", () => graticule.setVisible(box.checked));
    this.keys.add("View", ["q"], "Grid of coordinates on or off", () => box.click());
    return h("div", { class: "panel-body" }, h("label", { class: "check" }, box, "Grid of coordinates"));
  }

  private zoomButtons(scene: SceneMap): HTMLElement {
    return h("div", { class: "zoom", role: "group", "aria-label": "Zoom" },
      button({ label: "Zoom in", icon: "plus", key: "+", press: () => scene.zoom(1) }),
      button({ label: "Zoom out", icon: "minus", key: "-", press: () => scene.zoom(-1) }),
      button({ label: "Whole image", icon: "fit", key: "F", press: () => scene.fit(200) }));
  }

  private modes(scene: SceneMap): HTMLElement {
    const modes: [Mode, string, string][] = [
      ["native", "Own grid", "Pixels as they are stored"],
      ["map", "Web mercator", "Warped to the projection of web maps"],
    ];
    const buttons = modes.map(([mode, label, title]) => h("button", {
      type: "button", title, "aria-pressed": mode === scene.mode,
      on: {
        click: () => {
          scene.setMode(mode);
          this.annotations?.setMode(mode);
          this.graticule?.update();
          buttons.forEach((made, k) => made.setAttribute("aria-pressed", String(modes[k]?.[0] === mode)));
        },
      },
    }, label));
    return h("div", { class: "segments modes", role: "group", "aria-label": "Projection" }, ...buttons);
  }

  private restore(scene: SceneMap): void {
    const place = numbersOf(this.state["at"], 3);
    if (!place) return;
    const [x = 0, y = 0, resolution = 1] = place;
    scene.map.getView().setCenter([x, -y]);
    scene.map.getView().setResolution(resolution);
  }

  private moved(scene: SceneMap): void {
    const view = scene.map.getView();
    const resolution = view.getResolution() ?? 1;
    const share = (scene.finest() / resolution) * 100;
    this.zoomText.textContent = `${share >= 10 ? Math.round(share) : share.toPrecision(2)} %`;
    const state = displayState(this.image, this.display);
    if (scene.mode === "native") {
      const [x = 0, y = 0] = view.getCenter() ?? [];
      state["at"] = [x.toFixed(1), (-y).toFixed(1), resolution.toPrecision(5)].join();
    }
    remember({ image: this.image.id, state });
  }

  private bind(scene: SceneMap, pixels: PixelsPanel): void {
    const keys = this.keys;
    keys.add("View", ["+", "="], "Zoom in", () => scene.zoom(1));
    keys.add("View", ["-"], "Zoom out", () => scene.zoom(-1));
    keys.add("View", ["f"], "Whole image", () => scene.fit(200));
    keys.add("View", ["0"], "One image pixel on one screen pixel", () => scene.oneToOne());
    keys.add("View", ["ArrowLeft"], "Move left", () => scene.pan(-1, 0));
    keys.add("View", ["ArrowRight"], "Move right", () => scene.pan(1, 0));
    keys.add("View", ["ArrowUp"], "Move up", () => scene.pan(0, 1));
    keys.add("View", ["ArrowDown"], "Move down", () => scene.pan(0, -1));
    keys.add("View", ["i"], "About this image", () => showDetails(this.image));
    keys.add("Image", ["s"], "Stretch to what is on screen", () => void pixels.stretch());
    keys.add("Image", ["n"], "Invert", () => pixels.invert());
    keys.add("Image", ["Shift+R"], "The image's own look", () => pixels.reset());
  }
}
