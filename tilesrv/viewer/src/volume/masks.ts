/** Mask layers on the planes of a volume. */

import type { ShownMask } from "../annotate/layers";
import { ask, imagePath, isAbort, type ImageRecord } from "../api";
import { decodeNpy } from "../npy";
import { complain } from "../toast";
import type { SharedState } from "./state";
import type { Overlay, PlaneView } from "./view";

const KEPT = 300;

/** The layers that are shown, slice by slice. */
export class MaskOverlay implements Overlay {
  private shown: readonly ShownMask[] = [];
  private readonly kept = new Map<string, CanvasImageSource | null>();

  constructor(
    private readonly image: ImageRecord,
    private readonly shared: SharedState,
    private readonly redraw: () => void,
  ) {}

  show(shown: readonly ShownMask[]): void {
    this.shown = shown.filter((mask) => mask.name !== null);
    this.redraw();
  }

  draw(context: CanvasRenderingContext2D, view: PlaneView): void {
    for (const mask of this.shown) {
      const picture = this.picture(mask, view);
      if (!picture) continue;
      const [x, y] = view.toScreen(0, 0);
      const [right, bottom] = view.toScreen(view.planes.columns, view.planes.rows);
      context.globalAlpha = mask.opacity;
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, x, y, right - x, bottom - y);
      context.globalAlpha = 1;
    }
  }

  /** The slice's picture; it is fetched when it is wanted for the first time. */
  private picture(mask: ShownMask, view: PlaneView): CanvasImageSource | null {
    const { t } = this.shared.now;
    const key = `${mask.name}/${mask.layer?.revision}/${view.planes.name}/${view.current}/${t}`;
    const found = this.kept.get(key);
    if (found !== undefined) return found;
    this.kept.set(key, null);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(oldest);
    }
    const root = imagePath(this.image.id, `/masks/${encodeURIComponent(mask.name ?? "")}/planes/${view.planes.name}/${view.current}`);
    const query = `?t=${t}&revision=${mask.layer?.revision ?? 0}`;
    const fetched = view.planes.pixels === "stored" ? coloured(`${root}.npy${query}`, mask) : pictured(`${root}.png${query}`);
    fetched.then((canvas) => {
      this.kept.set(key, canvas);
      this.redraw();
    }, (error: unknown) => {
      if (!isAbort(error)) complain(error, "A mask is missing");
    });
    return null;
  }
}

async function pictured(path: string): Promise<CanvasImageSource> {
  return createImageBitmap(await (await ask(path)).blob());
}

/** Values in the colours of their classes; what is no class gets a colour of its own. */
async function coloured(path: string, mask: ShownMask): Promise<CanvasImageSource> {
  const { data, shape } = decodeNpy(await (await ask(path)).arrayBuffer());
  const [, rows = 1, columns = 1] = shape;
  const colours = new Map(mask.layer?.classes.map(({ value, color }) => [value, packed(Number.parseInt(color.slice(1), 16))]));
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let k = 0; k < pixels.length; k++) {
    const value = data[k] ?? 0;
    if (value) pixels[k] = colours.get(value) ?? packed((value * 2654435761) & 0xffffff);
  }
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

/** `0xrrggbb` as a pixel of ImageData. */
function packed(colour: number): number {
  return 0xff000000 | ((colour & 255) << 16) | (colour & 0xff00) | (colour >> 16);
}
