/**
 * Changes on their way to the server. They are kept until they were answered, so that neither a closed page nor a
 * server that is away loses one. Changes of one annotation are sent in the order in which they were made; one that
 * cannot be stored now holds up no other annotation.
 */

import { Problem } from "../api";
import type { Kept } from "./kept";
import { newId, type Feature } from "./model";

export interface Entry {
  /** Order, and the key under which the entry is kept. */
  number?: number;
  /** The open page that sends it. */
  page?: string;
  /** Told to the server with new annotations, so that one is not stored twice. */
  key: string;
  image: string;
  kind: "add" | "put" | "delete" | "paint";
  id: string;
  feature: Feature | null;
  stroke?: { op: "add" | "subtract"; box: number[]; rle: number[] };
  /** Version that the change was made from; null when it follows another change of ours that waits before it. */
  base: number | null;
}

/** What is said of a change when it is made. */
export type Draft = Omit<Entry, "number" | "page" | "image" | "key">;

export interface Outcome {
  entry: Entry;
  version: number;
  feature: Feature | null;
}

export interface OutboxEvents {
  stored: (outcome: Outcome) => void;
  /** What others stored meanwhile stands in the way; `current` is null where it was removed. Nothing of that annotation is sent until it is settled. */
  conflict: (entry: Entry, current: Feature | null, version: number) => void;
  /** The server will never take this change. */
  refused: (entry: Entry, problem: Problem) => void;
  /** Entries that another page left behind are sent by this one. */
  adopted: (entries: readonly Entry[]) => void;
  /** How many wait, and why they are not sent now; empty when they are. */
  waiting: (count: number, trouble: string) => void;
}

export interface OutboxOptions {
  image: string;
  kept: Kept;
  /** Send a change made from a version. Raises Problem. */
  send: (entry: Entry, base: number) => Promise<Outcome>;
  events: OutboxEvents;
  /** Milliseconds after which a failed change is sent again, the first time. */
  soonest?: number;
}

const SOONEST = 1000;
const LATEST = 30_000;

/** The queue of one image. */
export class Outbox {
  private entries: Entry[] = [];
  /** Annotations of which nothing is sent until the user chose between two versions. */
  private readonly contested = new Set<string>();
  /** Annotations of which nothing is sent until the next attempt. */
  private readonly ailing = new Set<string>();
  private sending = false;
  private pause: number;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(private readonly options: OutboxOptions) {
    this.pause = this.soonest;
  }

  private get soonest(): number {
    return this.options.soonest ?? SOONEST;
  }

  /** Send what pages that are gone left behind. */
  async adopt(): Promise<void> {
    const left = await this.options.kept.adopt();
    if (!left.length || this.closed) return;
    this.entries = [...left, ...this.entries];
    this.tell("");
    this.options.events.adopted(left);
    this.wake();
  }

  /** Whether a change of an annotation waits. */
  holds(id: string): boolean {
    return this.entries.some((entry) => entry.id === id);
  }

  get length(): number {
    return this.entries.length;
  }

  /** Whether all that waits would outlive this page. */
  get isSafe(): boolean {
    return !this.entries.length || this.options.kept.isSafe;
  }

  /** Take a change in; it is sent at once. */
  add(draft: Draft): void {
    const entry: Entry = { ...draft, image: this.options.image, key: newId() };
    if (this.holds(entry.id)) entry.base = null;
    this.entries.push(entry);
    void this.options.kept.add(entry);
    this.tell("");
    this.wake();
  }

  /** A contested change that turned out to be stored already. */
  acknowledge(entry: Entry, version: number): void {
    this.contested.delete(entry.id);
    void this.taken(entry, version);
    this.tell("");
    this.wake();
  }

  /** Put what the user chose in the place of all changes of a contested annotation, or drop them. */
  settle(id: string, instead: { feature: Feature | null; base: number } | null): void {
    this.contested.delete(id);
    const gone = this.entries.filter((entry) => entry.id === id);
    const redone: Entry[] = instead ? [{ ...instead, id, kind: instead.feature ? "put" : "delete", image: this.options.image, key: newId() }] : [];
    this.entries = [...redone, ...this.entries.filter((entry) => entry.id !== id)];
    void this.options.kept.replace(gone, redone);
    this.tell("");
    this.wake();
  }

  /** Stop; what is on its way is still heard of, and what waits is kept for another page. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    if (!this.sending) this.options.kept.close();
  }

  /** Send now what waits. */
  wake(): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.ailing.clear();
    if (!this.sending) void this.run();
  }

  private next(): Entry | undefined {
    return this.closed ? undefined : this.entries.find(({ id }) => !this.contested.has(id) && !this.ailing.has(id));
  }

  private async run(): Promise<void> {
    this.sending = true;
    try {
      for (let entry = this.next(); entry; entry = this.next()) if (!(await this.deliver(entry))) break;
    } finally {
      this.sending = false;
      if (this.closed) this.options.kept.close();
    }
  }

  /** Send one; false when the rest must wait. */
  private async deliver(entry: Entry): Promise<boolean> {
    try {
      const outcome = await this.options.send(entry, entry.base ?? 0);
      this.pause = this.soonest;
      // the page must know the new version before it makes another change: no waiting in between
      const written = this.taken(entry, outcome.version);
      this.tell("");
      if (!this.closed) this.options.events.stored(outcome);
      await written;
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return this.stumble(entry, error);
    }
  }

  /** A change is stored: the next one of its annotation follows that version. */
  private taken(entry: Entry, version: number): Promise<void> {
    this.entries = this.entries.filter((other) => other !== entry);
    const next = this.entries.find((other) => other.id === entry.id);
    if (next) next.base = version;
    return this.options.kept.replace([entry], next ? [next] : []);
  }

  private stumble(entry: Entry, problem: Problem): boolean {
    if (problem.status === 401) {
      this.tell("Sign in to save"); // who signs in wakes this; asking again before would only be refused again
      return false;
    }
    if (problem.isPassing) return this.postpone(entry, problem);
    if ((problem.status === 412 || problem.status === 409) && "current" in problem.body) {
      const current = problem.body["current"] as Feature | null;
      const version = current?.properties.version ?? Number(/version (\d+)/.exec(problem.message)?.[1] ?? 0);
      this.contested.add(entry.id);
      this.options.events.conflict(entry, current, version);
      return true;
    }
    const isGone = problem.status === 404 && entry.kind === "delete"; // as was wanted
    // what was to follow a new annotation has nothing to follow
    const lost = this.entries.filter((other) => other === entry || (entry.kind === "add" && other.id === entry.id));
    this.entries = this.entries.filter((other) => !lost.includes(other));
    void this.options.kept.replace(lost, []);
    this.tell("");
    if (!isGone) this.options.events.refused(entry, problem);
    return true;
  }

  /** Send it again later; while the server answers, others go on. */
  private postpone(entry: Entry, problem: Problem): boolean {
    this.ailing.add(entry.id);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.wake(), this.pause);
    this.pause = Math.min(LATEST, this.pause * 1.7);
    this.tell(problem.isAway ? "The server is away" : `The server has trouble (${problem.status})`);
    return !problem.isAway;
  }

  private tell(trouble: string): void {
    if (!this.closed) this.options.events.waiting(this.entries.length, trouble);
  }
}
