/** The annotations of one image as this page knows them: changed at once, sent soon, undone at will. */

import { ask, getJson, imagePath, Problem, words } from "../api";
import { KNOWN } from "../session";
import { complain, tell } from "../toast";
import { resolveConflict } from "./conflict";
import { changing, painted, sidesOf, type Stroke } from "./brush";
import { KeptEntries } from "./kept";
import { LiveLog } from "./live";
import { bitsOf, isMask, newId, runsOf, same, writable, type Collection, type Feature, type MaskFeature } from "./model";
import { Outbox, type Entry, type Outcome } from "./outbox";
import { send } from "./sending";

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
  /** How many changes wait to be sent, and why they do; empty while they are on their way. */
  waiting = 0;
  trouble = "";
  private readonly versions = new Map<string, number>();
  /** Versions that others are known to have made while a change of ours was on its way. */
  private readonly heard = new Map<string, number>();
  private readonly listeners = new Set<Listener>();
  private readonly outbox: Outbox;
  private live: LiveLog | null = null;
  private readonly life = new AbortController();
  /** Ends when the user has chosen about every conflict so far: they are asked one after another. */
  private decided: Promise<void> = Promise.resolve();
  private done: Step[][] = [];
  private undone: Step[][] = [];

  constructor(readonly image: string) {
    this.outbox = new Outbox({
      image,
      send,
      kept: new KeptEntries(image, newId(), () => void this.outbox.adopt()),
      events: {
        stored: (outcome) => this.stored(outcome),
        conflict: (entry, current, version) => this.conflict(entry, current, version),
        refused: (entry, problem) => this.refused(entry, problem),
        adopted: (entries) => void this.adopted(entries),
        waiting: (count, trouble) => {
          [this.waiting, this.trouble] = [count, trouble];
          this.changed([]);
        },
      },
    });
    const { signal } = this.life;
    addEventListener("online", () => this.outbox.wake(), { signal });
    addEventListener(KNOWN, () => this.outbox.wake(), { signal });
    addEventListener("beforeunload", (event) => {
      if (!this.isSafe) event.preventDefault();
    }, { signal });
    document.addEventListener("visibilitychange", () => void this.outbox.adopt(), { signal });
  }

  /** Told after every change, with the ids concerned. */
  watch(listener: Listener): void {
    this.listeners.add(listener);
  }

  close(): void {
    this.life.abort();
    this.live?.close();
    this.outbox.close();
    this.listeners.clear();
  }

  /** Whether what waits to be sent outlives this page. */
  get isSafe(): boolean {
    return this.outbox.isSafe;
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
    if (this.life.signal.aborted) return;
    await this.outbox.adopt();
    this.changed([...this.current.keys()]);
    this.outbox.wake();
    this.live = new LiveLog(this.image, this.revision, (told) => {
      this.revision = told.revision;
      void this.hear(told.changes);
    }, () => this.outbox.wake());
  }

  /** Show changes that another page could not send. */
  private async adopted(entries: readonly Entry[]): Promise<void> {
    tell(`${entries.length} unsent ${entries.length === 1 ? "change is" : "changes are"} sent now.`);
    for (const { id } of entries.filter(({ kind }) => kind === "paint")) {
      if (!this.current.has(id)) await this.fetch(id).catch(() => undefined);
    }
    for (const { id, kind, feature, stroke } of entries) {
      const now = this.current.get(id);
      if (kind === "delete") this.current.delete(id);
      else if (feature) this.current.set(id, feature);
      else if (stroke && isMask(now)) {
        const [x, y, z] = sidesOf(stroke.box).size;
        const shape = painted(now.shape, { box: stroke.box, bits: bitsOf(stroke.rle, x * y * z) }, stroke.op);
        if (shape) this.current.set(id, { ...now, geometry: null, shape });
      }
    }
    this.changed(entries.map(({ id }) => id));
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

  /** Read an annotation again; changes of ours that wait stay in sight, and an answer that is older than what is known is dropped. */
  private async refresh(id: string): Promise<Feature> {
    const feature = await this.fetch(id);
    this.changed([id]);
    return this.current.get(id) ?? feature;
  }

  private async fetch(id: string): Promise<Feature> {
    const feature = await getJson<Feature>(`annotations/${id}?crs=native`);
    const version = feature.properties.version ?? 0;
    if (this.outbox.holds(id) && this.current.has(id)) this.hold(id, version);
    else if (version >= (this.versions.get(id) ?? 0)) this.take(feature);
    return feature;
  }

  /** Remember a version that others made, for when our own changes are through. */
  private hold(id: string, version: number): void {
    this.heard.set(id, Math.max(version, this.heard.get(id) ?? 0));
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
      this.outbox.add({ kind, id, feature: after && writable(after), base: version ?? null });
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
    this.outbox.add({ kind: "paint", id, feature: null, stroke: { op, box: stroke.box, rle: runsOf(stroke.bits) }, base: null });
    return true;
  }

  // ---- answers

  private stored({ entry, version, feature }: Outcome): void {
    const { id } = entry;
    const before = this.versions.get(id) ?? 0;
    this.versions.set(id, version);
    // later changes of ours that still wait are newer than this answer
    if (!this.outbox.holds(id)) {
      if (feature && this.current.has(id)) this.current.set(id, feature);
      // of others there is more than was answered: what they did after it, and their strokes between ours
      const isBehind = (this.heard.get(id) ?? 0) > version || (entry.kind === "paint" && version > before + 1);
      this.heard.delete(id);
      if (isBehind) this.follow(id);
    }
    this.changed([id]);
  }

  /** Show what others made of an annotation, or that they took it away. */
  private follow(id: string): void {
    this.refresh(id).catch((error: unknown) => {
      if (!(error instanceof Problem && error.status === 404)) return complain(error);
      if (!this.outbox.holds(id)) this.current.delete(id);
      this.changed([id]);
    });
  }

  private conflict(entry: Entry, current: Feature | null, version: number): void {
    // an answer of the server got lost: what it stored is ours
    if (entry.kind !== "paint" && same(entry.feature, current)) {
      this.versions.set(entry.id, version);
      this.outbox.acknowledge(entry, version);
      if (!this.outbox.holds(entry.id) && current) this.take(current);
      return this.changed([entry.id]);
    }
    this.decided = this.decided.then(() => this.decide(entry.id, current, version)).catch(complain);
  }

  private async decide(id: string, current: Feature | null, version: number): Promise<void> {
    this.lookAt(null); // what is to be chosen is about now
    const mine = this.current.get(id) ?? null;
    const choice = same(mine, current) ? "theirs" : await resolveConflict(mine, current, this.life.signal);
    if (!choice) return; // asked again where the image is opened next
    this.versions.set(id, version);
    this.heard.delete(id);
    if (choice === "mine") return this.outbox.settle(id, { feature: mine && writable(mine), base: version });
    this.outbox.settle(id, null);
    if (current) this.take(current);
    else this.current.delete(id);
    if (choice === "both" && mine) {
      const copy = newId();
      this.apply([{ id: copy, feature: { ...mine, id: copy } }]);
    }
    this.changed([id]);
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

  private async hear(changes: { id: string; kind: string; version: number }[] | undefined): Promise<void> {
    if (!changes) return this.reload();
    for (const { id, kind, version } of changes) {
      if (this.outbox.holds(id)) this.hold(id, version);
      if (this.outbox.holds(id) || version <= (this.versions.get(id) ?? 0)) continue;
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
    const before = [...this.current.keys()];
    const there = new Set(found.features.map((feature) => feature.id));
    for (const id of before) if (!this.isLarge && !there.has(id) && !this.outbox.holds(id)) this.current.delete(id);
    for (const feature of found.features) if (!this.outbox.holds(feature.id)) this.take(feature);
    this.changed([...before, ...there]);
  }

  /** Bring an annotation back to an earlier version. */
  async revert(id: string, version: number): Promise<void> {
    await ask(`annotations/${id}/revert`, {
      method: "POST", body: JSON.stringify({ version }), headers: { "Content-Type": "application/json" },
    });
    await this.refresh(id);
  }
}
