/**
 * Unsent changes in the browser's database, where they outlive the page. Each belongs to the page that made it; a page
 * takes over those of pages that are gone, so that two open pages never send the same change.
 */

import type { Entry } from "./outbox";

const DATABASE = "bigimage";
const TABLE = "outbox";

/** Where an outbox keeps its entries. */
export interface Kept {
  /** Whether all that was given to it is written down. */
  readonly isSafe: boolean;
  add(entry: Entry): Promise<void>;
  /** Take entries away and write others down as they are now, both or nothing. */
  replace(gone: readonly Entry[], changed: readonly Entry[]): Promise<void>;
  /** Entries of pages that are gone, in the order in which they were made; they are this page's now. */
  adopt(): Promise<Entry[]>;
  close(): void;
}

/** Web Locks tell which pages live; browsers have them on HTTPS and on this machine only. */
function locks(): LockManager | undefined {
  return navigator.locks as LockManager | undefined;
}

const lockOf = (page: string): string => `bigimage-page-${page}`;

/** The entries of one image that one page has made or taken over. */
export class KeptEntries implements Kept {
  private readonly database: Promise<IDBDatabase | null>;
  /** Ends when all that was asked for is done: operations follow one another. */
  private last: Promise<unknown>;
  private pending = 0;
  private failed = false;
  private readonly life = new AbortController();
  private readonly awaited = new Set<string>();

  /** `orphaned` is told when a page that had entries is gone. */
  constructor(
    private readonly image: string,
    private readonly page: string,
    private readonly orphaned: () => void,
  ) {
    this.database = openDatabase().catch(() => null);
    this.last = this.live();
  }

  /** Hold this page's lock until it is closed; the browser lets it go when the page dies. */
  private async live(): Promise<void> {
    const manager = locks();
    if (!manager) return;
    await new Promise<void>((taken) => {
      void manager.request(lockOf(this.page), () => new Promise<void>((release) => {
        this.life.signal.addEventListener("abort", () => release());
        taken();
      }));
    });
  }

  get isSafe(): boolean {
    return !this.failed && this.pending === 0;
  }

  add(entry: Entry): Promise<void> {
    return this.work(async (table) => {
      entry.number = Number(await request(table.add({ ...entry, page: this.page })));
    });
  }

  replace(gone: readonly Entry[], changed: readonly Entry[]): Promise<void> {
    return this.work(async (table) => {
      await Promise.all([
        ...gone.flatMap(({ number }) => (number === undefined ? [] : [request(table.delete(number))])),
        ...changed.map(async (entry) => {
          entry.number = Number(await request(table.put({ ...entry, page: this.page })));
        }),
      ]);
    });
  }

  async adopt(): Promise<Entry[]> {
    const manager = locks();
    return manager ? manager.request("bigimage-adopt", () => this.takeOver(manager)) : this.takeOver(null);
  }

  private async takeOver(manager: LockManager | null): Promise<Entry[]> {
    const living = new Set((await manager?.query())?.held?.map((lock) => lock.name));
    let found: Entry[] = [];
    await this.work(async (table) => {
      const all = await request<Entry[]>(table.getAll());
      const others = all.filter((entry) => entry.image === this.image && entry.page !== this.page);
      found = others.filter(({ page }) => !page || !living.has(lockOf(page)));
      for (const entry of found) await request(table.put({ ...entry, page: this.page }));
      for (const { page } of others) if (page && manager && living.has(lockOf(page))) this.await(manager, page);
    });
    return found;
  }

  /** Tell when a page is gone. */
  private await(manager: LockManager, page: string): void {
    if (this.awaited.has(page)) return;
    this.awaited.add(page);
    manager.request(lockOf(page), { signal: this.life.signal }, () => undefined).then(() => {
      this.awaited.delete(page);
      this.orphaned();
    }, () => undefined);
  }

  /** Do something with the table once all before is done. Where the browser has no database, entries live in memory only. */
  private work(run: (table: IDBObjectStore) => Promise<void>): Promise<void> {
    this.pending++;
    const done = this.last.then(async () => {
      const database = await this.database;
      if (!database) throw new Error("the browser keeps nothing");
      await run(database.transaction(TABLE, "readwrite").objectStore(TABLE));
    }).then(() => {
      this.failed = false;
    }, () => {
      this.failed = true; // the browser's disk is full, or it forbids databases
    }).finally(() => this.pending--);
    this.last = done;
    return done;
  }

  /** Close when all is written; what is left is for another page. */
  close(): void {
    void this.last.then(async () => {
      (await this.database)?.close();
      this.life.abort();
    });
  }
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
