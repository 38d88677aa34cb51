/** The panel of what is selected: label, attributes, who and when, history. */

import { getJson, words } from "../api";
import { button, fill, h, type Child } from "../dom";
import { sheet } from "../shell";
import { complain, tell } from "../toast";
import { swatch, type Labels } from "./labels";
import { kindOf, problemsOf, type Attribute, type Feature, type ShapeMember } from "./model";
import type { AnnotationStore } from "./store";

interface HistoryEntry {
  version: number;
  author: string;
  time: string;
  kind: string;
  feature?: Feature;
}

/** Something that can be done with what is selected. */
export interface Action {
  label: string;
  key: string;
  press: () => void;
}

export interface SelectedOptions {
  store: AnnotationStore;
  labels: Labels;
  remove: () => void;
  zoomTo: (feature: Feature) => void;
  /** What the selected one measures, in words. */
  measure: (feature: Feature) => Promise<string>;
  actions?: (features: readonly Feature[]) => readonly Action[];
}

/** Most labels that one is offered to change to; more would make every selection slow. */
const MOST_OFFERED = 100;

/** Labels to choose from: the present one, that in hand, and then the first ones. Pure. */
export function offered(names: readonly string[], now: string | undefined, inHand: string): string[] {
  const all = new Set(names.length > MOST_OFFERED ? [now, inHand, ...names.slice(0, MOST_OFFERED)] : names.includes(now ?? "") ? names : [now, ...names]);
  return [...all].filter((name): name is string => Boolean(name));
}

/** What is said of a key point: COCO's flags 0, 1 and 2. */
const SEEN = ["Not placed", "Hidden", "Visible"];

/** The panel. */
export class SelectedPanel {
  readonly element = h("div", { class: "panel-body" });
  private ids: readonly string[] = [];
  private shown = "";

  constructor(private readonly options: SelectedOptions) {
    options.store.watch((changed) => {
      if (this.ids.some((id) => changed.has(id))) this.show(this.ids);
    });
    options.labels.watch(() => this.show(this.ids));
    this.show([]);
  }

  /** Show what is selected now. */
  show(ids: readonly string[]): void {
    const { store } = this.options;
    this.ids = ids;
    const [feature] = ids.flatMap((id) => store.features.get(id) ?? []);
    const state = JSON.stringify([ids.length, feature, this.options.labels.current]);
    if (state === this.shown) return;
    this.shown = state;
    if (!feature) fill(this.element, h("p", { class: "muted" }, "Nothing is selected."));
    else if (ids.length > 1) this.showMany(ids);
    else this.showOne(feature);
  }

  private showMany(ids: readonly string[]): void {
    fill(this.element, h("p", {}, `${ids.length} annotations`), this.labelChoice(ids),
      h("div", { class: "row" }, ...this.actions(ids), this.removeButton()));
  }

  private showOne(feature: Feature): void {
    const label = this.options.labels.find(feature.properties.label);
    const problems = problemsOf(feature.properties.attributes, label);
    const size = h("span", {}, "…");
    this.options.measure(feature).then((text) => fill(size, text || "–"), () => fill(size, "–"));
    fill(
      this.element,
      this.labelChoice([feature.id]),
      ...(label?.attributes ?? []).map((attribute) => this.attribute(feature, attribute)),
      problems.length > 0 && h("p", { class: "problem" }, problems.join("; ")),
      feature.shape?.type === "keypoints" && this.keypoints(feature, feature.shape),
      h("dl", { class: "facts small" }, ...facts(feature, size)),
      h("div", { class: "row" },
        button({ label: "Zoom", class: "plain", press: () => this.options.zoomTo(feature) }),
        button({ label: "History", class: "plain", press: () => void this.history(feature) }),
        ...this.actions([feature.id]),
        this.removeButton()),
    );
  }

  private actions(ids: readonly string[]): HTMLElement[] {
    const { store, actions } = this.options;
    const features = ids.flatMap((id) => store.features.get(id) ?? []);
    return (actions?.(features) ?? []).map(({ label, key, press }) => button({ label, key: key.toUpperCase(), class: "plain", press }));
  }

  /** Each key point with what can be seen of it. */
  private keypoints(feature: Feature, shape: Extract<ShapeMember, { type: "keypoints" }>): HTMLElement {
    const names = shape.names ?? this.options.labels.find(feature.properties.label)?.skeleton?.points ?? [];
    const rows = shape.points.map((point, k) => {
      const name = names[k] ?? String(k + 1);
      const choice = h("select", { "aria-label": `Visibility of ${name}`, disabled: !point },
        ...SEEN.map((text, value) => (value > 0 || !point) && h("option", { value, selected: shape.visibility[k] === value }, text)));
      choice.addEventListener("change", () => {
        const visibility = shape.visibility.map((old, n) => (n === k ? Number(choice.value) : old));
        this.options.store.apply([{ id: feature.id, feature: { ...feature, shape: { ...shape, visibility } } }]);
      });
      return h("label", { class: "field" }, h("span", {}, name), choice);
    });
    return h("div", { class: "keypoints", role: "group", "aria-label": "Key points" }, ...rows);
  }

  private removeButton(): HTMLElement {
    return button({ label: "Delete", key: "Del", class: "plain danger", press: () => this.options.remove() });
  }

  private change(ids: readonly string[], edit: (feature: Feature) => Feature["properties"]): void {
    const { store } = this.options;
    store.apply(ids.flatMap((id) => {
      const feature = store.features.get(id);
      return feature ? [{ id, feature: { ...feature, properties: edit(feature) } }] : [];
    }));
  }

  private labelChoice(ids: readonly string[]): HTMLElement {
    const { store, labels } = this.options;
    const now = store.features.get(ids[0] ?? "")?.properties.label;
    const names = offered(labels.names, now, labels.current);
    const more = labels.names.length - names.length;
    const choice = h("select", { "aria-label": "Label" }, ...names.map((name) => h("option", { value: name, selected: name === now }, name)),
      more > 0 && h("option", { disabled: true }, `${more.toLocaleString("en")} more: pick one among the labels, and it is offered here`));
    choice.addEventListener("change", () => this.change(ids, ({ properties }) => ({ ...properties, label: choice.value })));
    return h("label", { class: "field" }, h("span", { class: "row" }, swatch(labels.colour(now ?? "")), "Label"), choice);
  }

  private attribute(feature: Feature, attribute: Attribute): HTMLElement {
    const value = feature.properties.attributes[attribute.name];
    const set = (next: unknown): void => this.change([feature.id], ({ properties }) => {
      const attributes = { ...properties.attributes, [attribute.name]: next };
      if (next === undefined || next === "") delete attributes[attribute.name];
      return { ...properties, attributes };
    });
    return h("label", { class: "field" }, h("span", {}, attribute.name, attribute.required && " *"), field(attribute, value, set));
  }

  private async history(feature: Feature): Promise<void> {
    try {
      const { history } = await getJson<{ history: HistoryEntry[] }>(`annotations/${feature.id}/history?crs=native`);
      const dialog = sheet("History", h("ol", { class: "history" }, ...[...history].reverse().map((entry, k) => h("li", {},
        h("div", {}, h("strong", {}, `${entry.kind} by ${entry.author}`), h("br"), h("time", { class: "muted" }, new Date(entry.time).toLocaleString())),
        h("span", { class: "muted" }, `version ${entry.version}${entry.feature ? `, ${entry.feature.properties.label}` : ""}`),
        k > 0 && entry.kind !== "removed" && button({
          label: "Restore", class: "plain small", press: () => void this.restore(feature.id, entry.version, () => dialog.close()),
        })))));
    } catch (error) {
      complain(error, "No history");
    }
  }

  private async restore(id: string, version: number, then: () => void): Promise<void> {
    try {
      await this.options.store.revert(id, version);
      tell(`Version ${version} is back, as a new version.`, "good");
      then();
    } catch (error) {
      tell(`Not restored: ${words(error)}`, "bad");
    }
  }
}

function facts(feature: Feature, size: Child): Child[] {
  const { author, editor, modified, origin, score } = feature.properties;
  const row = (name: string, value: Child): Child[] => [h("dt", {}, name), h("dd", {}, value)];
  return [
    ...row("Shape", kindOf(feature)),
    ...row("Size", size),
    ...(origin && origin !== "manual" ? row("Origin", origin) : []),
    ...(typeof score === "number" ? row("Score", score.toFixed(2)) : []),
    ...(author ? row("By", editor && editor !== author ? `${author}, then ${editor}` : author) : []),
    ...(modified ? row("Changed", new Date(modified).toLocaleString()) : []),
  ];
}

/** An input that fits an attribute's type. */
function field(attribute: Attribute, value: unknown, set: (next: unknown) => void): HTMLElement {
  const name = { "aria-label": attribute.name };
  if (attribute.type === "boolean") {
    const made = h("input", { type: "checkbox", checked: value === true, ...name });
    made.addEventListener("change", () => set(made.checked));
    return made;
  }
  if (attribute.type === "choice" || attribute.type === "choices") {
    const many = attribute.type === "choices";
    const chosen = Array.isArray(value) ? value : [value];
    const made = h("select", { multiple: many, ...name }, !many && h("option", { value: "" }, "–"),
      ...(attribute.values ?? []).map((one) => h("option", { value: one, selected: chosen.includes(one) }, one)));
    made.addEventListener("change", () => set(many ? [...made.selectedOptions].map((option) => option.value) : made.value));
    return made;
  }
  const isNumber = attribute.type !== "text";
  const made = h("input", { type: isNumber ? "number" : "text", step: attribute.type === "integer" ? 1 : "any", value: value ?? "", ...name });
  made.addEventListener("change", () => {
    if (!isNumber) set(made.value);
    else set(Number.isFinite(made.valueAsNumber) ? made.valueAsNumber : undefined);
  });
  return made;
}
