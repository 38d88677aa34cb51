/** One kind of planes on a canvas: scrolled, zoomed, windowed, with crosshair, letters and scale. */

import { isAbort, Problem, words } from "../api";
import { button, h } from "../dom";
import { millimetres, roundBelow } from "../format";
import type { Point3 } from "../grid";
import { KNOWN } from "../session";
import type { Planes } from "./geometry";
import type { SliceLoader } from "./loader";
import type { SharedState } from "./state";
import { paint, valueAt, type Slice, type Slope } from "./tone";

/** Colours of the three planes: each crosshair line has the colour of the plane that it stands for. */
export const COLOURS = { axial: "#e5c453", coronal: "#67b7f0", sagittal: "#f08a8a" } as const;

export interface ViewOptions {
  planes: Planes;
  others: () => readonly Planes[];
  loader: SliceLoader;
  shared: SharedState;
  slope: Slope;
  maximize: () => void;
  /** Called with what lies under the pointer, or null when it left. */
  hover: (at: { world: Point3; value: number | null } | null) => void;
}

/** Something that draws over the picture and may take pointers from it. */
export interface Overlay {
  draw(context: CanvasRenderingContext2D, view: PlaneView): void;
  /** Whether it takes this pointer; the view then leaves it alone. */
  press?(event: PointerEvent, view: PlaneView): boolean;
  hover?(event: PointerEvent, view: PlaneView): void;
  /** The pointer left the view. */
  leave?(): void;
  /** Whether it takes this double click; the view else becomes large or small. */
  double?(): boolean;
}

/** Milliseconds until a slice is asked for again that the server could not give. */
const AGAIN = 3000;

/** The view. */
export class PlaneView {
  readonly element: HTMLElement;
  readonly planes: Planes;
  readonly canvas = h("canvas", { tabindex: 0 });
  overlays: Overlay[] = [];
  private readonly slider: HTMLInputElement;
  private readonly caption = h("span", { class: "plane-caption" });
  private readonly error = h("div", { class: "plane-error", hidden: true, role: "alert" });
  private readonly buffer = document.createElement("canvas");
  private readonly resize = new ResizeObserver(() => this.size());
  private slice: Slice | null = null;
  private shownIndex = -1;
  private painted = "";
  /** The slice as it lies on the screen, so that a crosshair that moves costs no scaling. */
  private readonly backdrop = document.createElement("canvas");
  private laid = "";
  private index = 0;
  private scale = 0; // screen pixels per mm; 0 fits the window
  private centre: [number, number] | null = null; // column, row at the middle of the window
  private pending = 0;
  private wheel = 0;
  private again = 0;
  private readonly retry = (): void => {
    if (!this.error.hidden) this.show(this.index);
  };
  /** Size of the canvas on the page; fractions of a pixel count, or what is drawn lies beside the pointer. */
  private wide = 1;
  private high = 1;

  constructor(private readonly options: ViewOptions) {
    this.planes = options.planes;
    const { name, count } = this.planes;
    this.canvas.setAttribute("aria-label", `${name} plane`);
    this.slider = h("input", { type: "range", min: 0, max: count - 1, step: 1, "aria-label": `${name} slice` });
    this.slider.addEventListener("input", () => this.goTo(this.slider.valueAsNumber));
    const big = button({ label: `${name}: large or small`, icon: "fit", class: "tool small", press: options.maximize });
    this.element = h("section", { class: "plane", "data-plane": name, "aria-label": name },
      this.canvas, h("div", { class: "plane-head" }, h("strong", { class: `plane-name ${name}` }, name), this.caption, big),
      ...this.letters(), this.error, this.slider);
    this.resize.observe(this.element);
    this.listen();
    options.shared.watch((changed) => this.follow(changed));
    this.follow(new Set(["cross"]));
  }

  close(): void {
    this.resize.disconnect();
    cancelAnimationFrame(this.pending);
    clearTimeout(this.again);
    removeEventListener(KNOWN, this.retry);
    this.options.loader.close();
  }

  /** Slice that is shown. */
  get current(): number {
    return this.index;
  }

  /** The slice at hand, and what makes its values those of the unit; null while it comes. */
  get shown(): { slice: Slice; slope: Slope } | null {
    return this.slice && this.shownIndex === this.index ? { slice: this.slice, slope: this.options.slope } : null;
  }

  private letters(): HTMLElement[] {
    const found = this.planes.letters;
    if (!found) return [];
    return (["left", "right", "top", "bottom"] as const).map((edge) => h("span", { class: `letter ${edge}`, "aria-hidden": true }, found[edge]));
  }

  private follow(changed: ReadonlySet<string>): void {
    if (changed.has("cross")) {
      const index = this.planes.toPlane(this.options.shared.now.cross).index;
      if (index !== this.index || this.shownIndex < 0) this.show(index);
    }
    if (changed.has("t")) this.show(this.index);
    this.element.classList.toggle("active", this.options.shared.now.active === this.planes.name);
    this.redraw();
  }

  /** Scroll to a slice: the crosshair goes along. */
  goTo(index: number): void {
    const { shared } = this.options;
    const here = this.planes.toPlane(shared.now.cross);
    const next = this.planes.clamp(index);
    shared.set({ cross: this.planes.toWorld({ ...here, index: next }), active: this.planes.name });
    if (next !== this.index) this.show(next);
  }

  /** Scroll by some slices. */
  step(by: number): void {
    this.goTo(this.index + by);
  }

  private show(index: number): void {
    const { loader, shared } = this.options;
    const direction = index - this.index;
    this.index = index;
    this.slider.value = String(index);
    this.slider.setAttribute("aria-valuetext", `slice ${index + 1} of ${this.planes.count}`);
    this.caption.textContent = `${index + 1} / ${this.planes.count}`;
    const t = shared.now.t;
    clearTimeout(this.again);
    loader.get(index, t).then(
      (slice) => {
        if (this.index !== index || shared.now.t !== t) return;
        this.slice = slice;
        this.shownIndex = index;
        this.error.hidden = true;
        this.element.dataset["shown"] = String(index);
        this.redraw();
        loader.ahead(index, direction, t);
      },
      (error: unknown) => {
        if (isAbort(error) || this.index !== index) return;
        this.error.hidden = false;
        this.error.textContent = `Slice ${index + 1} cannot be shown: ${words(error)}`;
        if (error instanceof Problem && error.isPassing) this.again = window.setTimeout(this.retry, AGAIN);
      },
    );
  }

  // ---- places on the screen

  /** Screen pixels per mm. */
  get zoom(): number {
    const { rows, columns, spacing } = this.planes;
    const fit = Math.min(this.wide / (columns * spacing[1]), this.high / (rows * spacing[0])) * 0.96;
    return this.scale || fit || 1;
  }

  /** Place on the canvas (CSS pixels) of a column and row. */
  toScreen(column: number, row: number): [number, number] {
    const [c, r] = this.centre ?? [this.planes.columns / 2, this.planes.rows / 2];
    const { spacing } = this.planes;
    return [
      this.wide / 2 + (column - c) * spacing[1] * this.zoom,
      this.high / 2 + (row - r) * spacing[0] * this.zoom,
    ];
  }

  /** Column and row under a place on the canvas. */
  toPicture(x: number, y: number): [number, number] {
    const [c, r] = this.centre ?? [this.planes.columns / 2, this.planes.rows / 2];
    const { spacing } = this.planes;
    return [
      c + (x - this.wide / 2) / (spacing[1] * this.zoom),
      r + (y - this.high / 2) / (spacing[0] * this.zoom),
    ];
  }

  /** Place of a pointer on the canvas. */
  at(event: MouseEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    // the pointer may be quicker than the browser tells of another size
    if (box.width !== this.wide || box.height !== this.high) this.size();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Place in the patient under a pointer. */
  worldAt(event: MouseEvent): Point3 {
    const [column, row] = this.toPicture(...this.at(event));
    return this.planes.toWorld({ index: this.index, row, column });
  }

  /** Zoom about a place on the canvas. */
  zoomBy(factor: number, x = this.wide / 2, y = this.high / 2): void {
    const at = this.toPicture(x, y);
    this.scale = Math.min(200, Math.max(0.05, this.zoom * factor));
    const { spacing } = this.planes;
    this.centre = [
      at[0] - (x - this.wide / 2) / (spacing[1] * this.scale),
      at[1] - (y - this.high / 2) / (spacing[0] * this.scale),
    ];
    this.redraw();
  }

  fit(): void {
    this.scale = 0;
    this.centre = null;
    this.redraw();
  }

  // ---- pointers

  private listen(): void {
    this.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    addEventListener(KNOWN, this.retry);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => {
      for (const overlay of this.overlays) overlay.leave?.();
      this.options.hover(null);
    });
    this.canvas.addEventListener("dblclick", () => {
      if (!this.overlays.some((overlay) => overlay.double?.())) this.options.maximize();
    });
    this.canvas.addEventListener("wheel", (event) => this.roll(event), { passive: false });
  }

  private press(event: PointerEvent): void {
    this.options.shared.set({ active: this.planes.name });
    if (this.overlays.some((overlay) => overlay.press?.(event, this))) return;
    const drag = event.button === 2 ? this.windowing(event) : event.button === 1 || event.shiftKey ? this.panning() : this.aiming(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.addEventListener("pointermove", drag);
    this.canvas.addEventListener("lostpointercapture", () => this.canvas.removeEventListener("pointermove", drag), { once: true });
  }

  private aiming(start: PointerEvent): (event: PointerEvent) => void {
    const aim = (event: PointerEvent): void => {
      const [column, row] = this.toPicture(...this.at(event));
      const { columns, rows } = this.planes;
      const inside = { index: this.index, column: Math.min(columns, Math.max(0, column)), row: Math.min(rows, Math.max(0, row)) };
      this.options.shared.set({ cross: this.planes.toWorld(inside) });
    };
    aim(start);
    return aim;
  }

  private panning(): (event: PointerEvent) => void {
    this.scale = this.zoom;
    return (event) => {
      const [c, r] = this.centre ?? [this.planes.columns / 2, this.planes.rows / 2];
      const { spacing } = this.planes;
      this.centre = [c - event.movementX / (spacing[1] * this.scale), r - event.movementY / (spacing[0] * this.scale)];
      this.redraw();
    };
  }

  /** To the right: wider; up: darker level, as in other viewers of radiology. */
  private windowing(start: PointerEvent): (event: PointerEvent) => void {
    const [low, high] = this.options.shared.now.range;
    const [centre, width] = [(low + high) / 2, high - low];
    return (event) => {
      const wider = Math.max(width * 2 ** ((event.clientX - start.clientX) / 150), 1e-6);
      const level = centre + ((event.clientY - start.clientY) / 300) * Math.max(width, 1e-6);
      this.options.shared.set({ range: [level - wider / 2, level + wider / 2] });
    };
  }

  private hover(event: PointerEvent): void {
    for (const overlay of this.overlays) overlay.hover?.(event, this);
    const [column, row] = this.toPicture(...this.at(event));
    const slice = this.shownIndex === this.index ? this.slice : null;
    const value = slice ? valueAt(slice, (row / this.planes.rows) * slice.rows, (column / this.planes.columns) * slice.columns, this.options.slope) : null;
    this.options.hover({ world: this.planes.toWorld({ index: this.index, row, column }), value });
  }

  private roll(event: WheelEvent): void {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) return this.zoomBy(2 ** (-event.deltaY / 300), ...this.at(event));
    // trackpads send many small steps, mice few large ones
    this.wheel += event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 33 : event.deltaY;
    const steps = Math.trunc(this.wheel / 50);
    if (steps) {
      this.wheel -= steps * 50;
      this.step(Math.abs(steps) > 2 ? Math.sign(steps) : steps);
    }
  }

  // ---- drawing

  private size(): void {
    const box = this.canvas.getBoundingClientRect();
    [this.wide, this.high] = [box.width || 1, box.height || 1];
    this.canvas.width = Math.round(this.wide * devicePixelRatio);
    this.canvas.height = Math.round(this.high * devicePixelRatio);
    this.redraw();
  }

  /** Draw again before the screen is next shown. */
  redraw(): void {
    if (!this.pending) {
      this.pending = requestAnimationFrame(() => {
        this.pending = 0;
        this.draw();
      });
    }
  }

  private draw(): void {
    const context = this.canvas.getContext("2d");
    if (!context || !this.canvas.width) return;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.wide, this.high);
    this.drawSlice(context);
    for (const overlay of this.overlays) overlay.draw(context, this);
    if (this.options.shared.now.crosshair) this.drawCross(context);
    this.drawScale(context);
  }

  private drawSlice(context: CanvasRenderingContext2D): void {
    const { slice } = this;
    if (!slice) return;
    const { range, inverted, t } = this.options.shared.now;
    const look = `${this.shownIndex}/${t}/${range.join()}/${inverted}`;
    if (look !== this.painted) {
      this.painted = look;
      [this.buffer.width, this.buffer.height] = [slice.columns, slice.rows];
      const image = new ImageData(paint(slice, range, this.options.slope, inverted), slice.columns, slice.rows);
      this.buffer.getContext("2d")?.putImageData(image, 0, 0);
    }
    const [x, y] = this.toScreen(0, 0);
    const [right, bottom] = this.toScreen(this.planes.columns, this.planes.rows);
    const place = `${look}/${x},${y},${right},${bottom}/${this.canvas.width},${this.canvas.height}`;
    if (place !== this.laid) {
      this.laid = place;
      this.lay([x, y, right - x, bottom - y]);
    }
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.backdrop, 0, 0); // pixel by pixel
    context.restore();
  }

  private lay(box: [number, number, number, number]): void {
    [this.backdrop.width, this.backdrop.height] = [this.canvas.width, this.canvas.height];
    const context = this.backdrop.getContext("2d");
    if (!context) return;
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.fillRect(0, 0, this.wide, this.high);
    context.imageSmoothingEnabled = this.zoom * Math.min(...this.planes.spacing) < 6;
    context.imageSmoothingQuality = box[2] < 0.6 * this.buffer.width ? "high" : "medium";
    context.drawImage(this.buffer, ...box);
  }

  private drawCross(context: CanvasRenderingContext2D): void {
    const here = this.planes.toPlane(this.options.shared.now.cross);
    const [x, y] = this.toScreen(here.column, here.row);
    const [wide, high] = [this.wide, this.high];
    const across = this.options.others().map((other) => ({
      name: other.name,
      // another plane is seen as a vertical line where it stands across the columns
      vertical: Math.abs(dotUnit(other.normal, this.planes.right)) > Math.abs(dotUnit(other.normal, this.planes.down)),
    }));
    const gap = 14;
    for (const { name, vertical } of across) {
      context.strokeStyle = COLOURS[name];
      context.lineWidth = 1;
      context.globalAlpha = 0.75;
      context.beginPath();
      const pieces: [number, number, number, number][] = vertical
        ? [[x, 0, x, y - gap], [x, y + gap, x, high]]
        : [[0, y, x - gap, y], [x + gap, y, wide, y]];
      for (const [x0, y0, x1, y1] of pieces) {
        context.moveTo(x0, y0);
        context.lineTo(x1, y1);
      }
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  private drawScale(context: CanvasRenderingContext2D): void {
    const value = roundBelow(Math.max(60, this.wide * 0.18) / this.zoom);
    const [x, y, wide] = [12, this.high - 12, value * this.zoom];
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, y - 5);
    context.lineTo(x, y);
    context.lineTo(x + wide, y);
    context.lineTo(x + wide, y - 5);
    context.stroke();
    context.fillStyle = "#fff";
    context.font = "12px system-ui, sans-serif";
    context.shadowColor = "#000";
    context.shadowBlur = 3;
    context.fillText(millimetres(value), x, y - 8);
    context.shadowBlur = 0;
  }
}

function dotUnit(unit: Point3, way: Point3): number {
  return (unit[0] * way[0] + unit[1] * way[1] + unit[2] * way[2]) / Math.hypot(...way);
}
