/** The panel of mask layers: what was painted, what would be painted now, and which of their classes are seen. */

import { address, ask, getJson, imagePath, words, type Job } from "../api";
import { button, fill, h, icon, type Child } from "../dom";
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
  /** Those that occur. */
  classes: MaskClass[];
}

/** What is shown: a stored layer by its name, or null for the annotations as they are now. */
export interface ShownMask {
  name: string | null;
  opacity: number;
  /** Values of classes that are left out, ascending. */
  hidden: readonly number[];
  layer: MaskLayerDocument | null;
}

export interface LayersOptions {
  image: string;
  labels: Labels;
  /** Show exactly these. */
  show: (shown: readonly ShownMask[]) => void;
}

const LIVE = "";

/** More classes than these are not listed. */
const MOST_TOLD = 100;

/** Classes that a legend tells. Pure. */
export function classesToTell({ classes, mode }: MaskLayerDocument): MaskClass[] {
  return mode === "instance" ? [] : classes; // there, every object has a colour of its own
}

/** The query that leaves classes out; empty when all are seen. Pure. */
export function hideQuery(hidden: readonly number[]): string {
  return hidden.length ? `&hide=${hidden.join()}` : "";
}

/** The panel. */
export class LayersPanel {
  readonly element = h("div", { class: "panel-body" });
  private layers: MaskLayerDocument[] = [];
  private readonly visible = new Set<string>();
  private readonly opacities = new Map<string, number>();
  /** Names of classes that are not seen, in whichever layer. */
  private readonly hidden = new Set<string>();
  private painting = "";
  private timer = 0;

  constructor(private readonly options: LayersOptions) {
    options.labels.watch(() => {
      this.draw();
      if (this.visible.has(LIVE)) this.changed();
    });
    this.draw();
  }

  /** Ask which layers there are. */
  async open(): Promise<void> {
    this.layers = (await getJson<{ masks: MaskLayerDocument[] }>(imagePath(this.options.image, "/masks"))).masks;
    for (const name of this.visible) if (name !== LIVE && !this.layers.some((layer) => layer.name === name)) this.visible.delete(name);
    this.draw();
    this.changed();
  }

  /** Ask again, soon: the server paints stored layers after edits. */
  refresh(): void {
    clearTimeout(this.timer);
    if (this.visible.has(LIVE)) this.draw(); // other labels may occur now
    if (![...this.visible].some((name) => name !== LIVE)) return;
    this.timer = window.setTimeout(() => void this.open().catch(() => undefined), 1500);
  }

  close(): void {
    clearTimeout(this.timer);
  }

  private changed(): void {
    const shown = [...this.visible].map((name): ShownMask => {
      const layer = this.layers.find((one) => one.name === name) ?? null;
      return { name: name === LIVE ? null : name, opacity: this.opacityOf(name), hidden: this.hiddenValues(name, layer), layer };
    });
    this.options.show(shown);
  }

  private opacityOf(name: string): number {
    return this.opacities.get(name) ?? 0.5;
  }

  private hiddenValues(name: string, layer: MaskLayerDocument | null): number[] {
    const { labels } = this.options;
    const classes = name === LIVE ? labels.known : layer?.classes ?? [];
    const gone = classes.filter((one) => this.hidden.has(one.name) || (name === LIVE && labels.isHidden(one.name)));
    return gone.map((one) => one.value).sort((a, b) => a - b);
  }

  private draw(): void {
    fill(
      this.element,
      h("ul", { class: "labels" }, this.row(LIVE, "As annotated now"), ...this.layers.map((layer) => this.row(layer.name, layer.name, layer))),
      ...this.legend(),
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
    return h("li", { class: "label layer" }, pick, layer && !layer.current && button({
      label: "Repaint", class: "plain small", press: () => void this.paint(layer.name),
    }), on && this.slider(name, text));
  }

  private slider(name: string, text: string): HTMLElement {
    const made = h("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.opacityOf(name), title: "Opacity", "aria-label": `Opacity of ${text}` });
    made.addEventListener("input", () => {
      this.opacities.set(name, made.valueAsNumber);
      this.changed();
    });
    return made;
  }

  /** Classes of what is shown with their colours, each a switch. */
  private legend(): Child[] {
    const classes = new Map<string, string>();
    let objects = false;
    for (const name of this.visible) {
      const layer = this.layers.find((one) => one.name === name);
      objects ||= layer?.mode === "instance";
      for (const one of layer ? classesToTell(layer) : name === LIVE ? this.options.labels.occurring : []) classes.set(one.name, one.color);
    }
    const note = objects && h("p", { class: "muted" }, "Objects have colours of their own.");
    if (!classes.size) return [note];
    const turnAll = (on: boolean) => (): void => {
      for (const name of classes.keys()) {
        if (on) this.hidden.delete(name);
        else this.hidden.add(name);
      }
      this.draw();
      this.changed();
    };
    const all = classes.size > 2 && h("div", { class: "row" }, h("span", { class: "muted" }, "Classes"),
      button({ label: "All", class: "plain small", press: turnAll(true) }), button({ label: "None", class: "plain small", press: turnAll(false) }));
    return [note, all, h("ul", { class: "legend", "aria-label": "Classes" }, ...[...classes].slice(0, MOST_TOLD).map(([name, colour]) => this.classSwitch(name, colour))),
      classes.size > MOST_TOLD && h("p", { class: "muted" }, `and ${classes.size - MOST_TOLD} more`)];
  }

  private classSwitch(name: string, colour: string): HTMLElement {
    const on = !this.hidden.has(name);
    const turn = (): void => {
      if (!this.hidden.delete(name)) this.hidden.add(name);
      this.draw();
      this.changed();
      this.element.querySelector<HTMLElement>(`[data-class="${CSS.escape(name)}"]`)?.focus();
    };
    return h("li", {}, h("button", {
      type: "button", class: "class", "aria-pressed": on, "data-class": name, title: `${on ? "Hide" : "Show"} ${name}`, on: { click: turn },
    }, swatch(colour), h("span", {}, name)));
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
