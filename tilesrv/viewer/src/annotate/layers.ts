/** The panel of mask layers: what was painted, what would be painted now, and the colours of both. */

import { address, ask, getJson, imagePath, words, type Job } from "../api";
import { button, fill, h, icon } from "../dom";
import { tell } from "../toast";
import { swatch, type Labels } from "./labels";

export interface MaskClass {
  value: number;
  name: string;
  color: string;
}

export interface MaskLayerDocument {
  name: string;
  mode: string;
  revision: number | null;
  current: boolean;
  classes: MaskClass[];
}

/** What is shown: a stored layer by its name, or null for the annotations as they are now. */
export interface ShownMask {
  name: string | null;
  opacity: number;
  layer: MaskLayerDocument | null;
}

export interface LayersOptions {
  image: string;
  labels: Labels;
  /** Whether annotations can be painted on the fly here. */
  live: boolean;
  /** Show exactly these. */
  show: (shown: readonly ShownMask[]) => void;
}

const LIVE = "";

/** The panel. */
export class LayersPanel {
  readonly element = h("div", { class: "panel-body" });
  private layers: MaskLayerDocument[] = [];
  private readonly visible = new Set<string>();
  private opacity = 0.5;
  private painting = "";
  private timer = 0;

  constructor(private readonly options: LayersOptions) {
    options.labels.watch(() => this.draw());
    this.draw();
  }

  /** Ask which layers there are. */
  async open(): Promise<void> {
    this.layers = (await getJson<{ masks: MaskLayerDocument[] }>(imagePath(this.options.image, "/masks"))).masks;
    this.draw();
    this.changed();
  }

  /** Ask again, soon: the server paints stored layers after edits. */
  refresh(): void {
    clearTimeout(this.timer);
    if (![...this.visible].some((name) => name !== LIVE)) return;
    this.timer = window.setTimeout(() => void this.open().catch(() => undefined), 1500);
  }

  private changed(): void {
    const shown = [...this.visible].map((name): ShownMask => ({
      name: name === LIVE ? null : name,
      opacity: this.opacity,
      layer: this.layers.find((layer) => layer.name === name) ?? null,
    }));
    this.options.show(shown);
  }

  private draw(): void {
    const slider = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.opacity, "aria-label": "Opacity of masks" });
    slider.addEventListener("input", () => {
      this.opacity = slider.valueAsNumber;
      this.changed();
    });
    fill(
      this.element,
      h("ul", { class: "labels" }, this.options.live && this.row(LIVE, "As annotated now"), ...this.layers.map((layer) => this.row(layer.name, layer.name, layer))),
      h("label", { class: "field" }, h("span", {}, "Opacity"), slider),
      this.legend(),
      h("div", { class: "row" }, button({ label: this.painting || "Paint mask", class: "plain", press: () => void this.paint("semantic") })),
    );
  }

  private row(name: string, text: string, layer?: MaskLayerDocument): HTMLElement {
    const on = this.visible.has(name);
    const turn = (): void => {
      if (!this.visible.delete(name)) this.visible.add(name);
      this.draw();
      this.changed();
    };
    const pick = h("button", { type: "button", class: "label-name", "aria-pressed": on, on: { click: turn } },
      icon(on ? "eye" : "hidden"), h("span", {}, text), layer && h("small", { class: "muted" }, layer.mode));
    return h("li", { class: "label" }, pick, layer && !layer.current && button({
      label: "Repaint", class: "plain small", press: () => void this.paint(layer.name),
    }));
  }

  /** Colours of what is shown. */
  private legend(): HTMLElement | null {
    const classes = new Map<string, string>();
    for (const name of this.visible) {
      const layer = this.layers.find((one) => one.name === name);
      if (layer) layer.classes.forEach((one) => classes.set(one.name, one.color));
      else if (name === LIVE) this.options.labels.names.forEach((label) => classes.set(label, this.options.labels.colour(label)));
    }
    if (!classes.size) return null;
    return h("ul", { class: "legend", "aria-label": "Colours" },
      ...[...classes].map(([name, colour]) => h("li", {}, swatch(colour), h("span", {}, name))));
  }

  private async paint(name: string): Promise<void> {
    if (this.painting) return;
    this.painting = "Painting…";
    this.draw();
    try {
      const known = this.layers.some((layer) => layer.name === name);
      const body = JSON.stringify(known ? {} : { mode: "semantic" });
      const headers = { "Content-Type": "application/json" };
      const answer = await ask(imagePath(this.options.image, `/masks/${encodeURIComponent(name)}`), { method: "POST", body, headers });
      await this.follow((await answer.json()) as Job);
      this.visible.add(name);
    } catch (error) {
      tell(`The mask was not painted: ${words(error)}`, "bad");
    }
    this.painting = "";
    await this.open().catch(() => this.draw());
  }

  private follow(job: Job): Promise<void> {
    return new Promise((resolve, reject) => {
      const events = new EventSource(address(`jobs/${job.id}/events`));
      const end = (then: () => void): void => {
        events.close();
        then();
      };
      const told = (event: Event): Job => JSON.parse((event as MessageEvent<string>).data) as Job;
      events.addEventListener("running", (event) => {
        this.painting = `Painting ${Math.round((told(event).progress ?? 0) * 100)} %`;
        this.draw();
      });
      events.addEventListener("done", () => end(resolve));
      for (const state of ["failed", "cancelled"]) events.addEventListener(state, (event) => end(() => reject(new Error(told(event).message || state))));
    });
  }
}
