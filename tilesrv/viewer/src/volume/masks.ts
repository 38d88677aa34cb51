/** Mask layers on the planes of a volume. */

import { hideQuery, type ShownMask } from "../annotate/layers";
import { ask, imagePath, isAbort, type ImageRecord } from "../api";
import { complain } from "../toast";
import type { SharedState } from "./state";
import type { Overlay, PlaneView } from "./view";

const KEPT = 300;
/** Slices on either side that are asked for before they are wanted. */
const AHEAD = 3;

/** The layers that are shown, slice by slice. */
export class MaskOverlay implements Overlay {
  private shown: readonly ShownMask[] = [];
  private fresh = 0;
  /** Pictures by what they show; null while one comes, or when it failed. */
  private readonly kept = new Map<string, ImageBitmap | null>();
  /** The last picture of each slice, which stays until another look of it has come. */
  private readonly latest = new Map<string, ImageBitmap>();

  constructor(
    private readonly image: ImageRecord,
    private readonly shared: SharedState,
    private readonly redraw: () => void,
  ) {}

  show(shown: readonly ShownMask[]): void {
    this.shown = shown;
    this.redraw();
  }

  /** Annotations changed: what is painted on the fly is asked for again. */
  refresh(): void {
    this.fresh++;
    if (this.shown.some((mask) => mask.name === null)) this.redraw();
  }

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    for (const mask of this.shown) {
      const picture = this.picture(mask, view, view.current) ?? this.latest.get(this.slice(mask, view, view.current));
      if (!picture) continue;
      for (let k = 1; k <= AHEAD; k++) {
        for (const next of [view.current + k, view.current - k]) if (next >= 0 && next < view.planes.count) this.picture(mask, view, next);
      }
      const [x, y] = view.toScreen(0, 0);
      const [right, bottom] = view.toScreen(view.planes.columns, view.planes.rows);
      context.globalAlpha = mask.opacity;
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, x, y, right - x, bottom - y);
      context.globalAlpha = 1;
    }
  }

  private slice(mask: ShownMask, view: PlaneView, index: number): string {
    return `${mask.name}/${view.planes.name}/${index}/${this.shared.now.t}`;
  }

  /** A slice's picture; it is fetched when it is wanted for the first time. */
  private picture(mask: ShownMask, view: PlaneView, index: number): ImageBitmap | null {
    const slice = this.slice(mask, view, index);
    const version = mask.name === null ? `fresh=${this.fresh}` : `revision=${mask.layer?.revision ?? 0}`;
    const query = `?t=${this.shared.now.t}&pixels=${view.planes.pixels}&${version}${hideQuery(mask.hidden)}`;
    const key = slice + query;
    const found = this.kept.get(key);
    if (found !== undefined) return found;
    this.kept.set(key, null);
    forgetOldest(this.kept);
    const kind = mask.name === null ? "live-mask" : `masks/${encodeURIComponent(mask.name)}`;
    const path = `/${kind}/planes/${view.planes.name}/${index}.png${query}`;
    pictured(imagePath(this.image.id, path)).then((picture) => {
      this.kept.set(key, picture);
      this.latest.set(slice, picture);
      forgetOldest(this.latest);
      if (index === view.current) this.redraw();
    }, (error: unknown) => {
      if (!isAbort(error)) complain(error, "A mask is missing");
      setTimeout(() => this.kept.delete(key), 5000); // then it may be asked for again
    });
    return null;
  }
}

function forgetOldest(kept: Map<string, unknown>): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
  }
}

async function pictured(path: string): Promise<ImageBitmap> {
  return createImageBitmap(await (await ask(path)).blob());
}
