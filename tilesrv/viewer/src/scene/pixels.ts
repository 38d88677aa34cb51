/** The panel that says how a scene's pixels are shown. */

import { getJson, imagePath, type BandStatistics, type ImageRecord, type Statistics } from "../api";
import { button, fill, h } from "../dom";
import { COLORMAPS, defaultBands, defaultDisplay, defaultRange, type Display } from "../display";
import { RangeControl } from "../histogram";
import { complain } from "../toast";

const CHANNELS = ["red", "green", "blue"] as const;

export interface PixelsOptions {
  image: ImageRecord;
  display: Display;
  /** Called whenever the look changes. */
  change: (display: Display) => void;
  /** Box x0,y0,x1,y1 of finest pixels that is on screen; null when none of the image is. */
  visible: () => [number, number, number, number] | null;
}

/** Bands, ranges with histograms, colours, opacity. */
export class PixelsPanel {
  readonly element = h("div", { class: "panel-body" });
  private display: Display;
  private readonly statistics = new Map<number, Promise<BandStatistics | null>>();
  private ranges: RangeControl[] = [];

  constructor(private readonly options: PixelsOptions) {
    this.display = options.display;
    this.build();
  }

  private changed(): void {
    this.options.change({ ...this.display });
  }

  /** Show the image's own look again. */
  reset(): void {
    this.display = { ...defaultDisplay(this.options.image), opacity: this.display.opacity };
    this.build();
    this.changed();
  }

  /** Turn the colours round, or black and white. */
  invert(): void {
    if (this.display.bands.length === 1) this.display.reversed = !this.display.reversed;
    else {
      this.display.ranges = this.display.bands.map((band, k) => {
        const [low, high] = this.display.ranges[k] ?? defaultRange(this.options.image, band);
        return [high, low];
      });
    }
    this.build();
    this.changed();
  }

  private build(): void {
    const { image } = this.options;
    const hasColours = image.bands.length >= 3;
    fill(
      this.element,
      hasColours && this.modes(),
      ...this.display.bands.map((_, k) => this.channel(k)),
      this.display.bands.length === 1 && this.colours(),
      this.opacity(),
      h("div", { class: "row" },
        button({ label: "Stretch to view", class: "plain", press: () => void this.stretch() }),
        button({ label: "Reset", class: "plain", press: () => this.reset() })),
    );
    this.ranges.forEach((_, k) => void this.fillHistogram(k));
  }

  private modes(): HTMLElement {
    const single = this.display.bands.length === 1;
    const pick = (label: string, pressed: boolean, bands: () => number[]): HTMLElement =>
      h("button", { type: "button", "aria-pressed": pressed, on: { click: () => this.setBands(bands()) } }, label);
    const usual = defaultBands(this.options.image);
    const colours = usual.length === 3 ? usual : [1, 2, 3];
    return h("div", { class: "segments", role: "group", "aria-label": "Bands" },
      pick("Colour", !single, () => colours), pick("Single band", single, () => [this.display.bands[0] ?? 1]));
  }

  private setBands(bands: number[]): void {
    this.display.bands = bands;
    this.display.ranges = bands.map(() => null);
    this.ranges = [];
    this.build();
    this.changed();
  }

  private channel(k: number): HTMLElement {
    const { image } = this.options;
    const three = this.display.bands.length === 3;
    const name = three ? CHANNELS[k] ?? "band" : "band";
    if (k === 0) this.ranges = [];
    const control = new RangeControl({
      label: three ? `Range of ${name}` : "Range",
      ...(three && CHANNELS[k] ? { colour: CHANNELS[k] } : {}),
      change: (range) => {
        this.display.ranges[k] = range;
        this.changed();
      },
    });
    this.ranges.push(control);
    const choices = image.bands.map((band, n) =>
      h("option", { value: n + 1, selected: n + 1 === this.display.bands[k] }, `${n + 1}: ${band.name}${band.unit ? ` (${band.unit})` : ""}`));
    const choice = h("select", { "aria-label": three ? `Band shown as ${name}` : "Band" }, ...choices);
    choice.addEventListener("change", () => {
      this.display.bands[k] = Number(choice.value);
      this.display.ranges[k] = null;
      this.build();
      this.changed();
    });
    return h("div", { class: "channel" }, image.bands.length > 1 && choice, control.element);
  }

  private colours(): HTMLElement {
    const own = this.options.image.palette ? "The image's own colours" : "Gray";
    const maps = COLORMAPS.filter((name) => name !== "gray");
    const choice = h("select", { "aria-label": "Colour map" },
      h("option", { value: "" }, own),
      ...maps.map((name) => h("option", { value: name, selected: name === this.display.colormap }, name)));
    choice.addEventListener("change", () => {
      this.display.colormap = choice.value;
      this.changed();
    });
    const inverted = h("input", { type: "checkbox", checked: this.display.reversed });
    inverted.addEventListener("change", () => {
      this.display.reversed = inverted.checked;
      this.changed();
    });
    return h("div", { class: "row" }, choice, h("label", { class: "check" }, inverted, "Inverted"));
  }

  private opacity(): HTMLElement {
    const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.display.opacity, "aria-label": "Opacity of the image" });
    slider.addEventListener("input", () => {
      this.display.opacity = slider.valueAsNumber;
      this.changed();
    });
    return h("label", { class: "field" }, h("span", {}, "Opacity"), slider);
  }

  private async fillHistogram(k: number): Promise<void> {
    const band = this.display.bands[k] ?? 1;
    const control = this.ranges[k];
    const usual = defaultRange(this.options.image, band);
    control?.show(null, this.display.ranges[k] ?? null, usual);
    const stats = await this.statisticsOf(band);
    if (this.ranges[k] === control) control?.show(stats, this.display.ranges[k] ?? null, usual);
  }

  private statisticsOf(band: number): Promise<BandStatistics | null> {
    let found = this.statistics.get(band);
    if (!found) {
      found = this.ask(`bands=${band}&bins=1024&percentiles=0.1,2,98,99.9`).then((stats) => stats?.bands[0] ?? null);
      this.statistics.set(band, found);
    }
    return found;
  }

  private async ask(query: string): Promise<Statistics | null> {
    try {
      return await getJson<Statistics>(imagePath(this.options.image.id, `/statistics?${query}`));
    } catch (error) {
      complain(error, "No histogram");
      return null;
    }
  }

  /** Spread the 2nd to 98th percentile of what is on screen. */
  async stretch(): Promise<void> {
    const box = this.options.visible();
    if (!box) return;
    const stats = await this.ask(`bands=${this.display.bands.join()}&bins=1&percentiles=2,98&box=${box.join()}`);
    if (!stats) return;
    this.display.ranges = stats.bands.map((band) => {
      const [low, high] = [band.percentiles["2"], band.percentiles["98"]];
      return low === undefined || high === undefined ? null : [low, high === low ? low + 1 : high];
    });
    this.ranges.forEach((_, k) => void this.fillHistogram(k));
    this.changed();
  }
}
