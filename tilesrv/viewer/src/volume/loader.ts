/** Slices from the server: kept, fetched ahead in the direction of scrolling, forgotten when there are too many. */

import { ask, imagePath, isAbort, type ImageRecord } from "../api";
import { decodeNpy } from "../npy";
import type { Planes } from "./geometry";
import type { Slice } from "./tone";

const KEPT_BYTES = 160 << 20;
const AHEAD = 12;
const AT_ONCE = 6;

/** The slices of one kind of planes. */
export class SliceLoader {
  private readonly kept = new Map<string, Slice>();
  private readonly coming = new Map<string, { promise: Promise<Slice>; stop: AbortController; index: number }>();
  private bytes = 0;

  constructor(
    private readonly image: ImageRecord,
    private readonly planes: Planes,
    private readonly physical: boolean,
  ) {}

  /** A slice that is here already. */
  peek(index: number, t: number): Slice | null {
    return this.kept.get(`${t}/${index}`) ?? null;
  }

  /** A slice, fetched if need be. */
  get(index: number, t: number): Promise<Slice> {
    const key = `${t}/${index}`;
    const found = this.kept.get(key);
    if (found) {
      this.kept.delete(key); // the newest last
      this.kept.set(key, found);
      return Promise.resolve(found);
    }
    const coming = this.coming.get(key);
    if (coming && !coming.stop.signal.aborted) return coming.promise;
    const stop = new AbortController();
    const promise = this.fetch(index, t, stop.signal).finally(() => {
      if (this.coming.get(key)?.stop === stop) this.coming.delete(key);
    });
    this.coming.set(key, { promise, stop, index });
    return promise;
  }

  /** Fetch what will be wanted next, and drop requests for slices far from there. */
  ahead(index: number, direction: number, t: number): void {
    for (const { stop, index: wanted } of this.coming.values()) {
      if (Math.abs(wanted - index) > 3 * AHEAD) stop.abort();
    }
    const way = direction < 0 ? -1 : 1;
    const order = Array.from({ length: AHEAD }, (_, k) => index + way * (k + 1));
    for (const next of [...order, index - way, index - 2 * way]) {
      if (this.coming.size >= AT_ONCE) return;
      if (next < 0 || next >= this.planes.count || this.kept.has(`${t}/${next}`)) continue;
      this.get(next, t).catch((error: unknown) => {
        if (!isAbort(error)) console.debug("a slice fetched ahead failed", error);
      });
    }
  }

  close(): void {
    for (const { stop } of this.coming.values()) stop.abort();
    this.kept.clear();
  }

  private async fetch(index: number, t: number, signal: AbortSignal): Promise<Slice> {
    const query = new URLSearchParams({ pixels: this.planes.pixels, max_size: "2048" });
    if (this.physical) query.set("physical", "true");
    if (t) query.set("t", String(t));
    const answer = await ask(imagePath(this.image.id, `/planes/${this.planes.name}/${index}.npy?${query}`), { signal });
    const { data, shape } = decodeNpy(await answer.arrayBuffer());
    const [bands = 1, rows = 1, columns = 1] = shape;
    const slice = { data, bands, rows, columns };
    this.keep(`${t}/${index}`, slice);
    return slice;
  }

  private keep(key: string, slice: Slice): void {
    this.kept.set(key, slice);
    this.bytes += slice.data.byteLength;
    for (const [oldest, old] of this.kept) {
      if (this.bytes <= KEPT_BYTES || oldest === key) break;
      this.kept.delete(oldest);
      this.bytes -= old.data.byteLength;
    }
  }
}
