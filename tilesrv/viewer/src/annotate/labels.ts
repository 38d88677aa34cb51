/** The schema's labels: which one is drawn with, which are seen, which are locked. */

import { ask, getJson, words } from "../api";
import { button, fill, h, icon } from "../dom";
import { tell } from "../toast";
import { colourOf, type Label, type Schema } from "./model";

const FLAT = ["point", "multipoint", "line", "box", "rotated-box", "ellipse", "keypoints", "mask", "tag"];
/** Shapes that rasters can hold, and those of volumes, as label schemas name them; see docs/shapes.md. */
export const KINDS = { raster: [...FLAT, "polygon"], volume: [...FLAT, "contours", "cuboid"] } as const;

type Listener = () => void;

/** More labels than these are found by their names. */
const MOST_ROWS = 40;

/** Labels of the schema, and of annotations that it does not know. */
export class Labels {
  readonly element = h("div", { class: "panel-body" });
  current = "";
  private schema: Schema = { labels: [], version: 0 };
  private byName: ReadonlyMap<string, Label> = new Map();
  private readonly others = new Map<string, number>();
  private readonly counts = new Map<string, number>();
  private readonly hidden = new Set<string>();
  private readonly locked = new Set<string>();
  private isComplete = false;
  private isOpen = false;
  private isAsked = false;
  private readonly listeners: Listener[] = [];
  private readonly list = h("ul", { class: "labels rows" });
  private readonly filter = h("input", { type: "search", placeholder: "Find a label", "aria-label": "Find a label", hidden: true });
  private readonly entry = h("input", { type: "text", placeholder: "New label", "aria-label": "New label", maxlength: 200 });

  /** `kinds` are the shapes that the image can hold; labels that are drawn as none of them are not offered. */
  constructor(private readonly kinds: readonly string[]) {
    const add = button({ label: "Add label", icon: "plus", class: "tool small", press: () => void this.add() });
    this.entry.addEventListener("keydown", (event) => {
      if (event.key === "Enter") void this.add();
    });
    this.filter.addEventListener("input", () => this.show());
    this.filter.addEventListener("keydown", (event) => this.searched(event));
    this.element.append(this.filter, this.list, h("div", { class: "row grow" }, this.entry, add));
  }

  watch(listener: Listener): void {
    this.listeners.push(listener);
  }

  async open(): Promise<void> {
    this.take(await getJson<Schema>("schema"));
    this.current ||= this.names[0] ?? "";
    this.isOpen = true;
    this.changed();
  }

  /** Whether nothing can be drawn before a label is named. */
  get isEmpty(): boolean {
    return this.isOpen && !this.current;
  }

  /** Let a label be named; then the keys are the view's again. */
  ask(): void {
    this.isAsked = true;
    this.element.closest("details")?.setAttribute("open", "");
    this.entry.focus();
  }

  private take(schema: Schema): void {
    this.schema = schema;
    this.byName = new Map(schema.labels.map((label) => [label.name, label]));
  }

  get isStrict(): boolean {
    return this.schema.version > 0;
  }

  find(name: string): Label | undefined {
    return this.byName.get(name);
  }

  colour(name: string): string {
    return this.find(name)?.color ?? colourOf(name);
  }

  /** Labels of the schema, whether they fit or not. */
  get known(): readonly Label[] {
    return this.schema.labels;
  }

  private fits(label: Label): boolean {
    return !label.shapes?.length || this.others.has(label.name) || label.shapes.some((kind) => this.kinds.includes(kind));
  }

  /** Labels of the schema that annotations have, also by a former name; all that fit while not all annotations are known. */
  get occurring(): Label[] {
    const has = (name: string): boolean => this.counts.has(name);
    return this.schema.labels.filter((label) => (this.isComplete ? has(label.name) || (label["formerly"] as string[] | undefined)?.some(has) : this.fits(label)));
  }

  /** Names of labels that fit, those of the schema first. */
  get names(): string[] {
    const own = this.schema.labels.filter((label) => this.fits(label)).map((label) => label.name);
    return [...new Set([...own, ...this.others.keys()])];
  }

  isHidden(name: string): boolean {
    return this.hidden.has(name);
  }

  isLocked(name: string): boolean {
    return this.locked.has(name);
  }

  /** Labels that are hidden, as the tiles of vectors name them. */
  get hiddenNames(): ReadonlySet<string> {
    return this.hidden;
  }

  /** Learn which labels annotations have, and how often; and whether these are all annotations. */
  count(names: Iterable<string>, isComplete: boolean): void {
    this.isComplete = isComplete;
    const found = new Map<string, number>();
    for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
    if (sameCounts(found, this.counts)) return;
    this.counts.clear();
    for (const [name, count] of found) {
      this.counts.set(name, count);
      this.others.set(name, count);
    }
    this.current ||= this.names[0] ?? "";
    this.show();
  }

  /** Draw with a label. */
  pick(name: string): void {
    this.current = name;
    this.changed();
    this.list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
  }

  /** Draw with the k-th label, counted from 1. */
  pickNumber(k: number): void {
    const name = this.names[k - 1];
    if (name !== undefined) this.pick(name);
  }

  private changed(): void {
    this.show();
    for (const listener of this.listeners) listener();
  }

  private async add(): Promise<void> {
    const name = this.entry.value.trim();
    if (!name) return this.entry.focus();
    const found = this.find(name);
    if (found && !this.fits(found)) return tell(`“${name}” is drawn as ${found.shapes?.join(", ")}, which this image cannot hold.`, "bad");
    if (!this.names.includes(name) && !(await this.store(name))) return;
    this.entry.value = "";
    if (this.isAsked) this.entry.blur();
    this.isAsked = false;
    this.pick(name);
  }

  /** Put a label into the schema, made from the version that is known here. */
  private async store(name: string): Promise<boolean> {
    const value = Math.max(0, ...this.schema.labels.map((label) => label.value)) + 1;
    const kept = [...this.others.keys()].filter((other) => other !== name && !this.find(other));
    const added = [...kept, name].map((each, k) => ({ name: each, value: value + k, color: colourOf(each) }));
    const body = JSON.stringify({ ...this.schema, labels: [...this.schema.labels, ...added] });
    const headers = { "Content-Type": "application/json", "If-Match": `"${this.schema.version}"` };
    try {
      this.take((await (await ask("schema", { method: "PUT", body, headers })).json()) as Schema);
      return true;
    } catch (error) {
      tell(`The label was not added: ${words(error)}`, "bad");
      await this.open().catch(() => undefined);
      return false;
    }
  }

  /** Begin to type a part of a label's name. */
  search(): void {
    this.filter.hidden = false;
    this.filter.select();
    this.filter.focus();
  }

  /** Enter draws with the first that was found. */
  private searched(event: KeyboardEvent): void {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    const [first] = this.found(this.names);
    this.filter.value = "";
    this.filter.blur();
    if (event.key === "Enter" && first !== undefined) this.pick(first);
    else this.show();
  }

  /** Names that hold what was typed, those that begin with it first. */
  private found(names: readonly string[]): string[] {
    const typed = this.filter.value.trim().toLowerCase();
    if (!typed) return [...names];
    const holds = names.filter((name) => name.toLowerCase().includes(typed));
    return [...holds.filter((name) => name.toLowerCase().startsWith(typed)), ...holds.filter((name) => !name.toLowerCase().startsWith(typed))];
  }

  private show(): void {
    const { names } = this;
    const numbers = new Map(names.slice(0, 9).map((name, k) => [name, k + 1]));
    const found = this.found(names);
    const rows = found.slice(0, MOST_ROWS);
    if (!this.filter.value && this.current && names.includes(this.current) && !rows.includes(this.current)) rows.unshift(this.current);
    const focused = this.list.contains(document.activeElement) ? document.activeElement?.getAttribute("data-row") : null;
    this.filter.hidden = names.length <= 12 && !this.filter.value && document.activeElement !== this.filter;
    const more = found.length - Math.min(found.length, MOST_ROWS);
    const place = this.list.scrollTop;
    fill(this.list, ...rows.map((name) => this.row(name, numbers.get(name))), more > 0 && h("li", { class: "muted" }, `${more.toLocaleString("en")} more: type a part of the name above.`),
      !names.length && h("li", { class: "muted" }, "No label yet: name one, then draw."), names.length > 0 && !rows.length && h("li", { class: "muted" }, "No label has this in its name."));
    this.list.scrollTop = place;
    // who chose with the keyboard goes on from there
    if (focused) [...this.list.querySelectorAll<HTMLElement>("[data-row]")].find((one) => one.dataset["row"] === focused)?.focus();
  }

  private row(name: string, number: number | undefined): HTMLElement {
    const label = this.find(name);
    const pick = h("button", {
      type: "button", class: "label-name", "aria-pressed": name === this.current, "data-row": `pick ${name}`,
      title: label?.definition ?? name, on: { click: () => this.pick(name) },
    }, swatch(this.colour(name)), h("span", {}, name), number && h("kbd", {}, number));
    const count = this.counts.get(name) ?? 0;
    return h("li", { class: "label" }, pick, count > 0 && h("span", { class: "muted label-count" }, count.toLocaleString("en")),
      this.toggle(this.hidden, name, ["Show", "Hide"], ["hidden", "eye"]),
      this.toggle(this.locked, name, ["Unlock", "Lock"], ["lock", "unlock"]));
  }

  private toggle(set: Set<string>, name: string, words: [string, string], icons: ["hidden" | "lock", "eye" | "unlock"]): HTMLElement {
    const on = set.has(name);
    return h("button", {
      type: "button", class: `tool small${on ? " on" : ""}`, "aria-label": `${words[on ? 0 : 1]} ${name}`, "data-row": `${words[1]} ${name}`, title: words[on ? 0 : 1],
      on: {
        click: () => {
          if (!set.delete(name)) set.add(name);
          this.changed();
        },
      },
    }, icon(on ? icons[0] : icons[1]));
  }
}

/** A square of colour. */
export function swatch(colour: string): HTMLElement {
  const made = h("span", { class: "swatch", "aria-hidden": true });
  made.style.background = colour;
  return made;
}

function sameCounts(a: Map<string, number>, b: Map<string, number>): boolean {
  return a.size === b.size && [...a].every(([name, count]) => b.get(name) === count);
}
