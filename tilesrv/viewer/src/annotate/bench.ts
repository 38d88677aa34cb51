/** What annotating looks like in every view: a bar of tools, the panels of labels and of what is selected, a status. */

import { button, fill, h, type IconName } from "../dom";
import type { Keys } from "../keys";
import { section } from "../panel";
import { Labels } from "./labels";
import type { Feature } from "./model";
import { SelectedPanel, type Action } from "./selected";
import type { AnnotationStore } from "./store";

/** Milliseconds after which what may be wanted later is loaded. */
const SOON = 3000;

export interface ToolEntry<T extends string> {
  tool: T;
  label: string;
  icon: IconName;
  key: string;
  /** What to do with it, told while it is in hand. */
  hint?: string;
}

/** Something that is on or off. */
export interface Toggle {
  label: string;
  icon: IconName;
  key: string;
  on: boolean;
  turn: (on: boolean) => void;
}

export interface BenchOptions<T extends string> {
  store: AnnotationStore;
  keys: Keys;
  /** Tools from top to bottom; null is a line between groups. */
  tools: readonly (ToolEntry<T> | null)[];
  toggles?: readonly Toggle[];
  /** Shapes that the image can hold, as label schemas name them. */
  kinds: readonly string[];
  pick: (tool: T) => void;
  remove: () => void;
  zoomTo: (feature: Feature) => void;
  measure: (feature: Feature) => Promise<string>;
  /** What else can be done with what is selected. */
  actions?: (features: readonly Feature[]) => readonly Action[];
}

/** The bench. */
export class Bench<T extends string> {
  readonly labels: Labels;
  readonly selected: SelectedPanel;
  readonly toolbar: HTMLElement;
  readonly sections: HTMLElement[];
  /** What to do with the tool in hand; for the stage. */
  readonly hint = h("div", { class: "hint", role: "status", hidden: true });
  readonly status = h("span", { class: "cell saved", role: "status" });
  private readonly buttons = new Map<T, HTMLButtonElement>();
  private readonly undo: HTMLButtonElement;
  private readonly redo: HTMLButtonElement;

  constructor(private readonly options: BenchOptions<T>) {
    const { store } = options;
    this.labels = new Labels(options.kinds);
    this.selected = new SelectedPanel({ ...options, labels: this.labels });
    this.undo = button({ label: "Undo", icon: "undo", key: "Ctrl+Z", press: () => store.undo() });
    this.redo = button({ label: "Redo", icon: "redo", key: "Ctrl+Y", press: () => store.redo() });
    this.toolbar = h("nav", { class: "toolbar", role: "toolbar", "aria-label": "Tools", "aria-orientation": "vertical" },
      ...options.tools.map((entry) => (entry ? this.toolButton(entry) : h("hr"))), h("hr"),
      ...(options.toggles ?? []).map((toggle) => this.toggleButton(toggle)), this.undo, this.redo);
    this.sections = [section("Labels", this.labels.element), section("Selection", this.selected.element)];
    store.watch(() => this.follow());
    this.bind();
    this.follow();
    // cutting and mending must also work while the server is away
    setTimeout(() => void import("./overlay").catch(() => undefined), SOON);
  }

  private toolButton(entry: ToolEntry<T>): HTMLButtonElement {
    const made = button({ label: entry.label, icon: entry.icon, key: entry.key.toUpperCase(), press: () => this.options.pick(entry.tool) });
    made.setAttribute("aria-pressed", "false");
    this.buttons.set(entry.tool, made);
    return made;
  }

  private toggleButton(toggle: Toggle): HTMLButtonElement {
    let { on } = toggle;
    const made = button({ label: toggle.label, icon: toggle.icon, key: toggle.key.toUpperCase(), press: () => turn() });
    const turn = (): void => {
      on = !on;
      made.setAttribute("aria-pressed", String(on));
      toggle.turn(on);
    };
    made.setAttribute("aria-pressed", String(on));
    this.options.keys.add("Draw", [toggle.key], `${toggle.label}: on or off`, turn);
    return made;
  }

  /** Show which tool is in hand. */
  showTool(tool: T): void {
    for (const [name, made] of this.buttons) made.setAttribute("aria-pressed", String(name === tool));
    this.showHint(this.options.tools.find((entry) => entry?.tool === tool)?.hint ?? "");
  }

  /** Say what to do next. */
  showHint(text: string): void {
    this.hint.textContent = text;
    this.hint.hidden = !text;
  }

  private follow(): void {
    const { store } = this.options;
    this.undo.disabled = !store.canUndo;
    this.redo.disabled = !store.canRedo;
    this.labels.count([...store.features.values()].map((feature) => feature.properties.label), !store.isPartial);
    const changes = `${store.waiting} ${store.waiting === 1 ? "change" : "changes"}`;
    const place = store.isSafe ? "kept here" : "kept while this page is open";
    fill(this.status, store.trouble ? `${store.trouble}: ${changes} ${place}` : store.waiting ? `Saving ${changes}…` : "Saved");
    this.status.classList.toggle("away", store.trouble !== "");
    this.status.dataset["waiting"] = String(store.waiting);
  }

  private bind(): void {
    const { keys, store, tools, pick, remove } = this.options;
    for (const entry of tools) if (entry) keys.add("Draw", [entry.key], entry.label, () => pick(entry.tool));
    keys.add("Edit", ["Ctrl+z"], "Undo", () => store.undo());
    keys.add("Edit", ["Ctrl+y", "Ctrl+Shift+z"], "Redo", () => store.redo());
    keys.add("Edit", ["Delete"], "Delete what is selected", remove);
    keys.add("Labels", ["/"], "Find a label by its name", () => this.labels.search());
    const digits = Array.from({ length: 9 }, (_, k) => String(k + 1));
    keys.add("Labels", digits, "Draw with the label of that number", (event) => this.labels.pickNumber(Number(event.key)));
  }
}
