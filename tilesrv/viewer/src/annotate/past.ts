/** The history of an image: every revision with its author, stepped through on screen, and gone back to. */

import { ask, getJson, imagePath, words } from "../api";
import { button, fill, h } from "../dom";
import { section } from "../panel";
import { complain, tell } from "../toast";
import { MOST_LOADED, type AnnotationStore } from "./store";
import type { Collection } from "./model";

/** Revisions that the list tells, the latest first. */
const LISTED = 200;
const WAIT = 120;

interface Change {
  revision: number;
  author: string;
  time: string;
  kind: string;
}

interface Log {
  changes: Change[];
  revision: number;
  next?: string;
}

export interface Revision {
  number: number;
  author: string;
  time: string;
  /** How often each kind of change was made. */
  counts: ReadonlyMap<string, number>;
}

/** Revisions of a log, the latest first. Pure. */
export function revisionsOf(changes: readonly Change[]): Revision[] {
  const found = new Map<number, Revision & { counts: Map<string, number> }>();
  for (const { revision, author, time, kind } of changes) {
    const one = found.get(revision) ?? { number: revision, author, time, counts: new Map<string, number>() };
    one.counts.set(kind, (one.counts.get(kind) ?? 0) + 1);
    found.set(revision, one);
  }
  return [...found.values()].sort((a, b) => b.number - a.number);
}

/** What a revision did, in words. Pure. */
export function deeds({ counts }: Revision): string {
  return [...counts].map(([kind, count]) => `${count.toLocaleString("en")} ${kind}`).join(", ");
}

export interface PastOptions {
  image: string;
  store: AnnotationStore;
  /** What is on screen as the query asks for it, where not all annotations can be loaded; empty for all. */
  window: () => string;
}

/** The panel. */
export class PastPanel {
  readonly element: HTMLDetailsElement;
  private readonly slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Revision" });
  private readonly told = h("p", { class: "muted", role: "status" });
  private readonly actions = h("div", { class: "row" });
  private readonly list = h("ol", { class: "revisions" });
  private revisions: Revision[] = [];
  private shown: number | null = null;
  private latest = 0;
  private timer = 0;
  private asking = 0;
  private turn = 0;

  constructor(private readonly options: PastOptions) {
    this.slider.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.show(this.slider.valueAsNumber), WAIT);
    });
    const body = h("div", { class: "panel-body" },
      h("label", { class: "field" }, h("span", {}, "Revision"), this.slider), this.told, this.actions, this.list);
    this.element = section("History", body, false);
    this.element.addEventListener("toggle", () => (this.element.open ? this.refresh() : this.now()));
    options.store.watch(() => {
      if (this.shown !== null && !options.store.isPast) this.now();
      if (options.store.revision !== this.latest) this.refresh();
    });
  }

  /** Ask again, soon, what happened; nobody looks while the panel is folded. */
  private refresh(): void {
    clearTimeout(this.asking);
    if (this.element.open) this.asking = window.setTimeout(() => void this.load().catch((error: unknown) => complain(error, "No history")), WAIT);
  }

  private async load(): Promise<void> {
    const { image, store } = this.options;
    const since = Math.max(0, store.revision - LISTED);
    const log = await getJson<Log>(imagePath(image, `/changes?since=${since}&limit=20000`));
    this.latest = log.revision;
    this.revisions = revisionsOf(log.changes);
    this.draw();
  }

  close(): void {
    clearTimeout(this.timer);
    clearTimeout(this.asking);
  }

  /** Show the state after a revision; that of the latest one is now. */
  private async show(revision: number): Promise<void> {
    const { image, store, window } = this.options;
    const mine = ++this.turn;
    if (revision >= this.latest) return this.now();
    try {
      const part = store.hasMore ? window() : "";
      const found = await getJson<Collection>(imagePath(image, `/annotations?crs=native&at=${revision}&limit=${MOST_LOADED}${part}`));
      if (mine !== this.turn) return;
      this.shown = revision;
      store.lookAt(found.features);
      if (found.links.some((link) => link.rel === "next")) tell(`Only ${MOST_LOADED.toLocaleString("en")} of the annotations of then are shown; look closer.`);
      this.draw();
    } catch (error) {
      if (mine === this.turn) complain(error, "The past cannot be shown");
    }
  }

  private now(): void {
    this.turn++;
    this.shown = null;
    this.options.store.lookAt(null);
    this.draw();
  }

  private async revert(): Promise<void> {
    const to = this.shown;
    if (to === null) return;
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await ask(imagePath(this.options.image, "/revert"), { method: "POST", body: JSON.stringify({ to }), headers });
      const { changes } = (await answer.json()) as { changes: number };
      tell(`Everything is as it was at revision ${to}: ${changes} ${changes === 1 ? "change" : "changes"}, as a new revision.`, "good");
      this.now();
      await this.load();
    } catch (error) {
      tell(`Not gone back: ${words(error)}`, "bad");
    }
  }

  private draw(): void {
    const at = this.shown ?? this.latest;
    this.slider.max = String(this.latest);
    this.slider.value = String(at);
    this.slider.disabled = this.latest === 0;
    const revision = this.revisions.find((one) => one.number === at);
    this.told.textContent = this.shown === null
      ? this.latest ? `Now: revision ${this.latest}` : "Nothing was drawn yet."
      : at === 0 ? "Before everything" : `As after revision ${at}${revision ? `, ${new Date(revision.time).toLocaleString()}` : ""}`;
    fill(this.actions, this.shown !== null && button({ label: "Back to now", class: "plain", press: () => this.now() }),
      this.shown !== null && button({ label: "Make it so again", class: "plain danger", press: () => void this.revert() }));
    fill(this.list, ...this.revisions.map((one) => this.row(one, at)));
  }

  private row(one: Revision, at: number): HTMLElement {
    return h("li", {}, h("button", {
      type: "button", class: "label-name", "aria-pressed": one.number === at, title: new Date(one.time).toLocaleString(),
      on: { click: () => void this.show(one.number) },
    }, h("strong", {}, one.number), h("span", {}, `${one.author}: ${deeds(one)}`)));
  }
}
