/** A histogram with two handles: the values shown darkest and brightest. */

import type { BandStatistics } from "./api";
import { button, fill, h, s } from "./dom";
import { short } from "./format";

export const WIDTH = 240;
export const HEIGHT = 56;

export type Range = [number, number];

/** Heights (0 to 1) of `columns` bars between two values; square roots, so that small counts can be seen. Pure. */
export function bars(counts: number[], edges: number[], [low, high]: Range, columns: number): number[] {
  const found = new Array<number>(columns).fill(0);
  const step = (high - low) / columns;
  for (const [k, count] of counts.entries()) {
    const [from = 0, to = 0] = [edges[k], edges[k + 1]];
    const wide = Math.max(to - from, Number.MIN_VALUE);
    const first = Math.max(0, Math.floor((from - low) / step));
    const last = Math.min(columns - 1, Math.ceil((to - low) / step) - 1);
    for (let column = first; column <= Math.max(first, last) && column < columns; column++) {
      const overlap = Math.min(to, low + (column + 1) * step) - Math.max(from, low + column * step);
      found[column] = (found[column] ?? 0) + count * Math.max(0, Math.min(1, overlap / wide));
    }
  }
  const most = Math.sqrt(Math.max(...found, 1e-9));
  return found.map((count) => Math.sqrt(count) / most);
}

/** Range of values that a histogram spans: nearly all of them, and what is shown now. Pure. */
export function spanOf(stats: BandStatistics | null, shown: Range): Range {
  const ends = [...shown];
  if (stats) {
    ends.push(stats.percentiles["0.1"] ?? stats.min ?? shown[0], stats.percentiles["99.9"] ?? stats.max ?? shown[1]);
  }
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const pad = (high - low || 1) * 0.04;
  return [low - pad, high + pad];
}

export interface RangeOptions {
  label: string;
  /** Called while a handle moves. */
  change: (range: Range | null) => void;
  colour?: "red" | "green" | "blue";
}

/** The control of one band. */
export class RangeControl {
  readonly element: HTMLElement;
  private readonly plot = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "histogram", preserveAspectRatio: "none" });
  private readonly low: HTMLInputElement;
  private readonly high: HTMLInputElement;
  private stats: BandStatistics | null = null;
  private shown: Range = [0, 255];
  private usual: Range = [0, 255];
  private span: Range = [0, 255];

  constructor(private readonly options: RangeOptions) {
    const field = (name: string, k: 0 | 1): HTMLInputElement =>
      h("input", { type: "number", step: "any", "aria-label": `${options.label}: ${name}`, on: { change: () => this.typed(k) } });
    [this.low, this.high] = [field("darkest value", 0), field("brightest value", 1)];
    const reset = button({ label: "Auto", class: "plain small", press: () => this.pick(null) });
    const all = button({ label: "All", class: "plain small", press: () => this.pick(this.extremes()) });
    all.title = "Least to greatest value";
    reset.title = "The image's own range";
    if (options.colour) this.plot.classList.add(options.colour);
    this.element = h("div", { class: "range", role: "group", "aria-label": options.label }, this.plot,
      h("div", { class: "range-row" }, this.low, reset, all, this.high));
    this.plot.addEventListener("pointerdown", (event) => this.drag(event));
  }

  /** Show other statistics, range and default. */
  show(stats: BandStatistics | null, shown: Range | null, usual: Range): void {
    this.stats = stats;
    this.usual = usual;
    this.shown = shown ?? usual;
    this.span = spanOf(stats, this.shown);
    this.draw();
  }

  private extremes(): Range | null {
    const { min, max } = this.stats ?? { min: null, max: null };
    return min === null || max === null ? null : [min, max];
  }

  private pick(range: Range | null): void {
    this.shown = range ?? this.usual;
    this.span = spanOf(this.stats, this.shown);
    this.draw();
    this.options.change(range);
  }

  private typed(k: 0 | 1): void {
    const value = (k ? this.high : this.low).valueAsNumber;
    if (!Number.isFinite(value)) return this.tell(true);
    this.pick(k ? [this.shown[0], value] : [value, this.shown[1]]);
  }

  private drag(start: PointerEvent): void {
    const value = (event: PointerEvent): number => {
      const box = this.plot.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      return this.span[0] + share * (this.span[1] - this.span[0]);
    };
    const first = value(start);
    const k = Math.abs(first - this.shown[0]) <= Math.abs(first - this.shown[1]) ? 0 : 1;
    const move = (event: PointerEvent): void => {
      this.shown = k ? [this.shown[0], value(event)] : [value(event), this.shown[1]];
      this.draw();
      this.options.change([...this.shown]);
    };
    this.plot.setPointerCapture(start.pointerId);
    this.plot.addEventListener("pointermove", move);
    this.plot.addEventListener("lostpointercapture", () => this.plot.removeEventListener("pointermove", move), { once: true });
    move(start);
  }

  private place(value: number): number {
    return ((value - this.span[0]) / (this.span[1] - this.span[0])) * WIDTH;
  }

  private draw(): void {
    const { counts, edges } = this.stats?.histogram ?? { counts: [], edges: [] };
    const columns = 120;
    const heights = bars(counts, edges, this.span, columns);
    const wide = WIDTH / columns;
    const outline = heights.map((high, k) => `L${k * wide} ${HEIGHT - high * HEIGHT}H${(k + 1) * wide}`).join("");
    const [from, to] = [this.place(this.shown[0]), this.place(this.shown[1])];
    const [left, right] = [Math.min(from, to), Math.max(from, to)];
    fill(
      this.plot,
      s("path", { d: `M0 ${HEIGHT}${outline}V${HEIGHT}Z`, class: "bars" }),
      s("rect", { x: 0, y: 0, width: Math.max(0, left), height: HEIGHT, class: "outside" }),
      s("rect", { x: right, y: 0, width: Math.max(0, WIDTH - right), height: HEIGHT, class: "outside" }),
      s("path", { d: `M${from} ${HEIGHT}L${to} 0`, class: "ramp" }),
      ...[from, to].map((x) => s("path", { d: `M${x} 0V${HEIGHT}`, class: "handle" })),
    );
    this.tell(false);
  }

  /** Write the values into their fields, but into none that somebody is typing in unless it must be. */
  private tell(must: boolean): void {
    for (const [k, field] of [this.low, this.high].entries()) {
      if (must || document.activeElement !== field) field.value = short(this.shown[k]);
    }
  }
}
