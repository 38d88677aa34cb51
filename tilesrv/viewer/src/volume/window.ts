/** The panel of a volume's values: centre and width, presets, histogram. */

import { getJson, imagePath, type ImageRecord, type Statistics } from "../api";
import { fill, h } from "../dom";
import { short } from "../format";
import { RangeControl } from "../histogram";
import { complain } from "../toast";
import type { SharedState } from "./state";

export interface Preset {
  name: string;
  label: string;
  center: number;
  width: number;
  low: number;
  high: number;
  origin: "file" | "standard";
}

/** Centre and width, a preset, or the histogram's handles: all set the same range. */
export class WindowPanel {
  readonly element = h("div", { class: "panel-body" });
  private readonly choice = h("select", { "aria-label": "Preset" });
  private readonly center: HTMLInputElement;
  private readonly width: HTMLInputElement;
  private readonly inverted = h("input", { type: "checkbox" });
  private readonly control: RangeControl;
  private stats: Statistics["bands"][number] | null = null;
  private readonly usual: [number, number];

  constructor(
    image: ImageRecord,
    private readonly shared: SharedState,
    private readonly presets: readonly Preset[],
  ) {
    this.usual = this.shared.now.range;
    const field = (name: string): HTMLInputElement =>
      h("input", { type: "number", step: "any", "aria-label": name, on: { change: () => this.typed() } });
    [this.center, this.width] = [field("Window center"), field("Window width")];
    this.control = new RangeControl({ label: "Range", change: (range) => this.shared.set({ range: range ?? this.usual }) });
    this.choice.addEventListener("change", () => this.pick(Number(this.choice.value)));
    this.inverted.addEventListener("change", () => this.shared.set({ inverted: this.inverted.checked }));
    fill(
      this.element,
      h("label", { class: "field" }, h("span", {}, "Preset"), this.choice),
      h("div", { class: "pair" }, h("label", {}, h("span", {}, "Center"), this.center), h("label", {}, h("span", {}, "Width"), this.width)),
      this.control.element,
      h("label", { class: "check" }, this.inverted, "Inverted"),
    );
    shared.watch((changed) => {
      if (changed.has("range") || changed.has("inverted")) this.show();
    });
    this.show();
    void this.load(image);
  }

  /** The next preset, or the one before. */
  step(by: number): void {
    const here = this.presets.findIndex((preset) => this.isShown(preset));
    if (this.presets.length) this.pick((here + by + this.presets.length) % this.presets.length);
  }

  private pick(k: number): void {
    const preset = this.presets[k];
    if (preset) this.shared.set({ range: [preset.low, preset.high] });
  }

  private isShown(preset: Preset): boolean {
    const [low, high] = this.shared.now.range;
    const slack = 1e-6 * (preset.high - preset.low);
    return Math.abs(preset.low - low) <= slack && Math.abs(preset.high - high) <= slack;
  }

  private typed(): void {
    const [center, width] = [this.center.valueAsNumber, this.width.valueAsNumber];
    if (Number.isFinite(center) && width > 0) this.shared.set({ range: [center - width / 2, center + width / 2] });
    this.show(true);
  }

  private show(must = false): void {
    const { range, inverted } = this.shared.now;
    const shown = this.presets.findIndex((preset) => this.isShown(preset));
    fill(
      this.choice,
      shown < 0 && h("option", { value: -1, selected: true }, "Custom"),
      ...this.presets.map((preset, k) => h("option", { value: k, selected: k === shown },
        `${preset.label} (${short(preset.center)} / ${short(preset.width)})`)),
    );
    // a window of the file is told as the file says it, though its ends lie half a stored value further in
    const preset = this.presets[shown];
    const told = [preset?.center ?? (range[0] + range[1]) / 2, preset?.width ?? range[1] - range[0]];
    for (const [k, field] of [this.center, this.width].entries()) {
      if (must || document.activeElement !== field) field.value = short(told[k]); // somebody may be typing
    }
    this.inverted.checked = inverted;
    this.control.show(this.stats, range, this.usual);
  }

  private async load(image: ImageRecord): Promise<void> {
    try {
      const query = "bins=1024&percentiles=0.1,2,98,99.9&physical=true&bands=1";
      this.stats = (await getJson<Statistics>(imagePath(image.id, `/statistics?${query}`))).bands[0] ?? null;
      this.show();
    } catch (error) {
      complain(error, "No histogram");
    }
  }
}
