/**
 * Changes on their way to the server. They are kept in the browser's database until they were answered, so that neither
 * a closed page nor a server that is away loses one, and sent one after another in the order in which they were made.
 */

import { ask, Problem } from "../api";
import type { Feature } from "./model";

export interface Entry {
  /** Order, and the key under which the entry is kept. */
  number?: number;
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

export interface Outcome {
  entry: Entry;
  version: number;
  feature: Feature | null;
}

export interface OutboxEvents {
  stored: (outcome: Outcome) => void;
  /** What others stored meanwhile stands in the way; `current` is null where it was removed. */
  conflict: (entry: Entry, current: Feature | null, version: number) => void;
  /** The server will never take this change. */
  refused: (entry: Entry, problem: Problem) => void;
  /** How many wait, and whether the server is away. */
  waiting: (count: number, away: boolean) => void;
}

const DATABASE = "bigimage";
const TABLE = "outbox";
const SOONEST = 1000;
const LATEST = 30_000;

/** The queue of one image. */
export class Outbox {
  private entries: Entry[] = [];
  private database: IDBDatabase | null = null;
  private sending = false;
  private pause = SOONEST;
  private timer = 0;
  private closed = false;
  private readonly versions = new Map<string, number>();
  private readonly retry = (): void => this.wake();

  constructor(
    private readonly image: string,
    private readonly events: OutboxEvents,
  ) {
    addEventListener("online", this.retry);
  }

  /** Read what an earlier page left behind; those changes come first. */
  async open(): Promise<Entry[]> {
    this.database = await openDatabase().catch(() => null);
    if (!this.database) return [];
    const all = await request<Entry[]>(this.database.transaction(TABLE).objectStore(TABLE).getAll());
    const kept = all.filter((entry) => entry.image === this.image);
    this.entries = [...kept, ...this.entries];
    if (kept.length) this.tell(false);
    return kept;
  }

  /** Whether a change of an annotation waits. */
  holds(id: string): boolean {
    return this.entries.some((entry) => entry.id === id);
  }

  get length(): number {
    return this.entries.length;
  }

  /** Take a change in; it is sent at once. */
  async add(entry: Omit<Entry, "number" | "image" | "key">): Promise<void> {
    const taken: Entry = { ...entry, image: this.image, key: crypto.randomUUID() };
    if (this.holds(entry.id)) taken.base = null;
    this.entries.push(taken);
    this.tell(false);
    if (this.database) {
      const store = this.database.transaction(TABLE, "readwrite").objectStore(TABLE);
      taken.number = Number(await request(store.add(taken)).catch(() => 0)) || undefined as never;
    }
    this.wake();
  }

  /** Whether later changes of the same annotation wait. */
  holdsMore(entry: Entry): boolean {
    return this.entries.some((other) => other !== entry && other.id === entry.id);
  }

  /** A change that turned out to be stored already. */
  async acknowledge(entry: Entry, version: number): Promise<void> {
    this.versions.set(entry.id, version);
    await this.drop(entry);
    this.tell(false);
    this.wake();
  }

  /** Put what the user chose in the place of a change that met with a conflict, or drop it. */
  async settle(entry: Entry, instead: { feature: Feature | null; base: number } | null): Promise<void> {
    await this.drop(entry);
    if (!instead) this.entries.filter((later) => later.id === entry.id).forEach((later) => void this.drop(later));
    else {
      const kind = instead.feature ? "put" : "delete";
      const redone: Entry = { ...entry, key: crypto.randomUUID(), kind, feature: instead.feature, base: instead.base };
      this.entries.unshift(redone);
    }
    this.wake();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.retry);
    this.database?.close();
  }

  /** Send now what waits. */
  wake(): void {
    clearTimeout(this.timer);
    if (!this.sending && !this.closed) void this.run();
  }

  private async run(): Promise<void> {
    this.sending = true;
    try {
      for (let entry = this.entries[0]; entry && !this.closed; entry = this.entries[0]) {
        if (!(await this.deliver(entry))) return;
      }
    } finally {
      this.sending = false;
    }
  }

  /** Send one; false when the rest must wait. */
  private async deliver(entry: Entry): Promise<boolean> {
    try {
      const outcome = await send(entry, entry.base ?? this.versions.get(entry.id) ?? 0);
      this.versions.set(entry.id, outcome.version);
      await this.drop(entry);
      this.pause = SOONEST;
      this.tell(false);
      this.events.stored(outcome);
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return this.stumble(entry, error);
    }
  }

  private async stumble(entry: Entry, problem: Problem): Promise<boolean> {
    if (problem.isAway || problem.status === 429 || problem.status === 401) {
      this.tell(true);
      this.timer = window.setTimeout(() => this.wake(), this.pause);
      this.pause = Math.min(LATEST, this.pause * 1.7);
      return false;
    }
    if ((problem.status === 412 || problem.status === 409) && "current" in problem.body) {
      const current = problem.body["current"] as Feature | null;
      const version = current?.properties.version ?? Number(/version (\d+)/.exec(problem.message)?.[1] ?? 0);
      this.events.conflict(entry, current, version);
      return false;
    }
    await this.drop(entry);
    this.tell(false);
    if (problem.status === 404 && entry.kind === "delete") return true; // it is gone, as was wanted
    this.events.refused(entry, problem);
    return true;
  }

  private async drop(entry: Entry): Promise<void> {
    this.entries = this.entries.filter((other) => other !== entry);
    if (this.database && entry.number !== undefined) {
      const store = this.database.transaction(TABLE, "readwrite").objectStore(TABLE);
      await request(store.delete(entry.number)).catch(() => undefined);
    }
  }

  private tell(away: boolean): void {
    this.events.waiting(this.entries.length, away);
  }
}

/** Send a change made from a version. Raises Problem. */
async function send(entry: Entry, base: number): Promise<Outcome> {
  const path = `annotations/${entry.id}`;
  const match = { "If-Match": `"${base}"` };
  const json = { "Content-Type": "application/geo+json" };
  if (entry.kind === "delete") {
    await ask(path, { method: "DELETE", headers: match });
    return { entry, version: base + 1, feature: null };
  }
  if (entry.kind === "paint") {
    const body = JSON.stringify(entry.stroke);
    const answer = await ask(`${path}/patches`, { method: "POST", body, headers: { "If-Match": "*", "Content-Type": "application/json" } });
    const { version } = (await answer.json()) as { version: number };
    return { entry, version, feature: null };
  }
  const body = JSON.stringify(entry.feature);
  const answer = entry.kind === "add"
    ? await ask(`images/${encodeURIComponent(entry.image)}/annotations?crs=native`, { method: "POST", body, headers: { ...json, "Idempotency-Key": entry.key } })
    : await ask(`${path}?crs=native`, { method: "PUT", body, headers: { ...json, ...match } });
  const feature = (await answer.json()) as Feature;
  return { entry, version: feature.properties.version ?? base + 1, feature };
}

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE, { keyPath: "number", autoIncrement: true });
  return request(opening);
}

function request<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("the browser's database failed"));
  });
}
