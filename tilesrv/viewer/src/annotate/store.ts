/** The annotations of one image as this page knows them: changed at once, sent soon, undone at will. */

import { ask, getJson, imagePath, address, Problem, words } from "../api";
import { complain, tell } from "../toast";
import { resolveConflict } from "./conflict";
import { changing, painted, type Stroke } from "./brush";
import { isMask, runsOf, same, writable, type Collection, type Feature, type MaskFeature } from "./model";
import { Outbox, type Entry, type Outcome } from "./outbox";

/** More than these are shown as vector tiles, and loaded one by one when they are touched. */
export const MOST_LOADED = 2000;

interface Step {
  id: string;
  before: Feature | null;
  after: Feature | null;
  /** Pixels of a mask that the step sets or takes away, where it is no more than that. */
  brushed?: { op: "add" | "subtract"; stroke: Stroke };
}

function undoing({ id, before, after, brushed }: Step): Step {
  const step = { id, before: after, after: before };
  return brushed ? { ...step, brushed: { op: brushed.op === "add" ? "subtract" : "add", stroke: brushed.stroke } } : step;
}

type Listener = (changed: ReadonlySet<string>) => void;

/** The annotations, and everything that may happen to them. */
export class AnnotationStore {
  private readonly current = new Map<string, Feature>();
  private past: ReadonlyMap<string, Feature> | null = null;
  private isLarge = false;
  revision = 0;
  waiting = 0;
  isAway = false;
  private readonly versions = new Map<string, number>();
  private readonly listeners = new Set<Listener>();
  private readonly outbox: Outbox;
  private events: EventSource | null = null;
  private done: Step[][] = [];
  private undone: Step[][] = [];

  constructor(readonly image: string) {
    this.outbox = new Outbox(image, {
      stored: (outcome) => this.stored(outcome),
      conflict: (entry, current, version) => void this.conflict(entry, current, version),
      refused: (entry, problem) => this.refused(entry, problem),
      waiting: (count, away) => {
        [this.waiting, this.isAway] = [count, away];
        this.changed([]);
      },
    });
  }

  /** Told after every change, with the ids concerned. */
  watch(listener: Listener): void {
    this.listeners.add(listener);
  }

  close(): void {
    this.events?.close();
    this.outbox.close();
    this.listeners.clear();
  }

  /** What is shown: the annotations as they are, or as they were while the past is looked at. */
  get features(): ReadonlyMap<string, Feature> {
    return this.past ?? this.current;
  }

  /** Whether only some of the annotations are here, and tiles show the others. */
  get isPartial(): boolean {
    return this.isLarge && !this.past;
  }

  /** Whether there are too many annotations to load them all. */
  get hasMore(): boolean {
    return this.isLarge;
  }

  /** Whether the past is looked at, which nobody changes. */
  get isPast(): boolean {
    return this.past !== null;
  }

  /** Show annotations as they were; null shows them as they are. */
  lookAt(past: readonly Feature[] | null): void {
    if (!past && !this.past) return;
    const before = [...this.features.keys()];
    this.past = past && new Map(past.map((feature) => [feature.id, feature]));
    this.changed([...before, ...this.features.keys()]);
  }

  /** Whether changes are made now; says why when they are not. */
  private mayChange(): boolean {
    if (this.past) {
      tell("You look at the past: go back to now, then change it.");
      this.changed(this.past.keys()); // what was dragged goes back
    }
    return !this.past;
  }

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Load what there is, or learn that it is too much; then follow what others do. */
  async open(): Promise<void> {
    const found = await getJson<Collection>(imagePath(this.image, `/annotations?crs=native&limit=${MOST_LOADED}`));
    this.isLarge = found.links.some((link) => link.rel === "next");
    this.revision = found.revision;
    if (!this.isLarge) for (const feature of found.features) this.take(feature);
    const left = await this.outbox.open();
    for (const entry of left) this.repeat(entry);
    if (left.length) tell(`${left.length} unsent ${left.length === 1 ? "change is" : "changes are"} sent now.`);
    this.changed([...this.current.keys()]);
    this.outbox.wake();
    this.follow();
  }

  /** Show a change that an earlier page could not send. */
  private repeat(entry: Entry): void {
    if (entry.kind === "delete") this.current.delete(entry.id);
    else if (entry.feature) this.current.set(entry.id, entry.feature);
    else this.refresh(entry.id).catch(complain);
  }

  private take(feature: Feature): void {
    this.current.set(feature.id, feature);
    this.versions.set(feature.id, feature.properties.version ?? 0);
  }

  private changed(ids: Iterable<string>): void {
    const set = new Set(ids);
    for (const listener of this.listeners) listener(set);
  }

  /** Load one annotation, unless it is here. */
  async load(id: string): Promise<Feature> {
    const known = this.features.get(id);
    return known ?? this.refresh(id);
  }

  private async refresh(id: string): Promise<Feature> {
    const feature = await getJson<Feature>(`annotations/${id}?crs=native`);
    this.take(feature);
    this.changed([id]);
    return feature;
  }

  // ---- changes

  /** Make changes as one step that can be undone; null takes an annotation away. */
  apply(changes: readonly { id: string; feature: Feature | null }[]): void {
    if (!this.mayChange()) return;
    const steps = changes
      .map(({ id, feature }): Step => ({ id, before: this.current.get(id) ?? null, after: feature }))
      .filter((step) => !same(step.before, step.after));
    if (!steps.length) return;
    this.done.push(steps);
    this.undone = [];
    this.perform(steps);
  }

  undo(): void {
    if (!this.mayChange()) return;
    const steps = this.done.pop();
    if (!steps) return;
    this.undone.push(steps);
    this.perform(steps.map(undoing).reverse());
  }

  redo(): void {
    if (!this.mayChange()) return;
    const steps = this.undone.pop();
    if (!steps) return;
    this.done.push(steps);
    this.perform(steps);
  }

  private perform(steps: readonly Step[]): void {
    for (const step of steps) {
      const { id, after } = step;
      if (this.brush(step)) continue;
      const version = this.versions.get(id);
      if (after) this.current.set(id, after);
      else this.current.delete(id);
      const kind = after ? (version === undefined && !this.outbox.holds(id) ? "add" : "put") : "delete";
      void this.outbox.add({ kind, id, feature: after && writable(after), base: version ?? null });
    }
    this.changed(steps.map((step) => step.id));
  }

  /** Paint pixels of a mask annotation, or take some away, as one step that can be undone. */
  paint(feature: MaskFeature, stroke: Stroke, op: "add" | "subtract"): void {
    const shape = painted(feature.shape, stroke, op);
    if (!shape) return this.apply([{ id: feature.id, feature: null }]);
    const brushed = { op, stroke: changing(feature.shape, stroke, op) };
    if (!brushed.stroke.bits.includes(1) || !this.mayChange()) return;
    const step: Step = { id: feature.id, before: feature, after: { ...feature, geometry: null, shape }, brushed };
    this.done.push([step]);
    this.undone = [];
    this.perform([step]);
  }

  /** Send no more of a mask than the pixels that change, so that strokes of others stay; false where that cannot be. */
  private brush({ id, brushed }: Step): boolean {
    const now = this.current.get(id);
    const shape = brushed && isMask(now) ? painted(now.shape, brushed.stroke, brushed.op) : null;
    if (!brushed || !now || !shape) return false;
    const { op, stroke } = brushed;
    this.current.set(id, { ...now, geometry: null, shape });
    void this.outbox.add({ kind: "paint", id, feature: null, stroke: { op, box: stroke.box, rle: runsOf(stroke.bits) }, base: null });
    return true;
  }

  // ---- answers

  private stored({ entry, version, feature }: Outcome): void {
    const before = this.versions.get(entry.id) ?? 0;
    this.versions.set(entry.id, version);
    // strokes of others lie between ours
    if (entry.kind === "paint" && version > before + 1 && !this.outbox.holds(entry.id)) this.refresh(entry.id).catch(complain);
    const shown = this.current.get(entry.id);
    // later changes of ours that still wait are newer than this answer
    if (feature && shown && !this.outbox.holds(entry.id)) this.current.set(entry.id, feature);
    this.changed([entry.id]);
  }

  private async conflict(entry: Entry, current: Feature | null, version: number): Promise<void> {
    if (same(entry.feature, current)) {
      // an answer of the server got lost: what it stored is ours
      if (current && !this.outbox.holdsMore(entry)) this.take(current);
      return this.outbox.acknowledge(entry, version);
    }
    this.lookAt(null); // what is to be chosen is about now
    const choice = await resolveConflict(entry.feature, current);
    this.versions.set(entry.id, version);
    if (choice === "theirs") {
      if (current) this.take(current);
      else this.current.delete(entry.id);
      await this.outbox.settle(entry, null);
    } else if (choice === "mine") {
      await this.outbox.settle(entry, { feature: entry.feature, base: version });
    } else {
      if (current) this.take(current);
      await this.outbox.settle(entry, null);
      const id = crypto.randomUUID();
      if (entry.feature) this.apply([{ id, feature: { ...entry.feature, id } }]);
    }
    this.changed([entry.id]);
  }

  private refused(entry: Entry, problem: Problem): void {
    tell(`Not stored: ${words(problem)}`, "bad");
    this.done = this.done.filter((steps) => steps.every((step) => step.id !== entry.id));
    if (entry.kind === "add") {
      this.current.delete(entry.id);
      this.changed([entry.id]);
    } else this.refresh(entry.id).catch(() => this.current.delete(entry.id));
  }

  // ---- what others do

  private follow(): void {
    this.events = new EventSource(address(imagePath(this.image, `/changes/events?since=${this.revision}`)));
    this.events.addEventListener("revision", (event) => {
      const told = JSON.parse((event as MessageEvent<string>).data) as {
        revision: number;
        author: string;
        changes?: { id: string; kind: string; version: number }[];
      };
      this.revision = told.revision;
      void this.hear(told.changes);
    });
    this.events.addEventListener("open", () => this.outbox.wake());
  }

  private async hear(changes: { id: string; kind: string; version: number }[] | undefined): Promise<void> {
    if (!changes) return this.reload();
    const news = changes.filter((change) => change.version > (this.versions.get(change.id) ?? 0) && !this.outbox.holds(change.id));
    for (const { id, kind, version } of news) {
      if (kind === "removed") {
        this.current.delete(id);
        this.versions.set(id, version);
      } else if (!this.isLarge || this.current.has(id)) {
        await this.refresh(id).catch((error: unknown) => {
          if (!(error instanceof Problem && error.status === 404)) complain(error);
        });
      }
    }
    this.changed(changes.map((change) => change.id));
  }

  private async reload(): Promise<void> {
    if (this.isLarge) return this.changed([]);
    const found = await getJson<Collection>(imagePath(this.image, `/annotations?crs=native&limit=${MOST_LOADED}`));
    this.isLarge = found.links.some((link) => link.rel === "next");
    for (const feature of found.features) if (!this.outbox.holds(feature.id)) this.take(feature);
    this.changed([...this.current.keys()]);
  }

  /** Bring an annotation back to an earlier version. */
  async revert(id: string, version: number): Promise<void> {
    await ask(`annotations/${id}/revert`, {
      method: "POST", body: JSON.stringify({ version }), headers: { "Content-Type": "application/json" },
    });
    await this.refresh(id);
  }
}
