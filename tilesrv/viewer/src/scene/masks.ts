/** Mask annotations as pixels on the map, and the brush that paints them. */

import ImageLayer from "ol/layer/Image";
import ImageCanvas from "ol/source/ImageCanvas";
import type { Labels } from "../annotate/labels";
import { bitsOf, type Feature, type ShapeMember } from "../annotate/model";
import type { Native } from "./tiles";

type Mask = Extract<ShapeMember, { type: "mask" }>;

/** The mask of a feature; null for other shapes. */
export function maskOf(feature: Feature | undefined): Mask | null {
  return feature?.shape?.type === "mask" ? feature.shape : null;
}

interface Drawn {
  shape: Mask;
  colour: string;
  canvas: HTMLCanvasElement;
}

/** A layer that draws the masks among some features. */
export class MaskLayer {
  readonly layer: ImageLayer<ImageCanvas>;
  private readonly drawn = new Map<string, Drawn>();

  constructor(
    private readonly native: Native,
    private readonly features: () => Iterable<Feature>,
    private readonly labels: Labels,
    private readonly isSelected: (id: string) => boolean,
  ) {
    this.layer = new ImageLayer({ zIndex: 12, source: this.source(), opacity: 0.55 });
  }

  /** Draw again. */
  changed(): void {
    this.layer.getSource()?.changed();
  }

  private source(): ImageCanvas {
    return new ImageCanvas({
      projection: this.native.projection,
      ratio: 1,
      interpolate: false,
      canvasFunction: (extent, resolution, pixelRatio, size) => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [Math.round(size[0] ?? 1), Math.round(size[1] ?? 1)];
        const context = canvas.getContext("2d");
        if (context) this.draw(context, [extent[0] ?? 0, extent[3] ?? 0], pixelRatio / resolution);
        return canvas;
      },
    });
  }

  private draw(context: CanvasRenderingContext2D, [left, top]: [number, number], scale: number): void {
    context.imageSmoothingEnabled = false;
    for (const feature of this.features()) {
      const shape = maskOf(feature);
      if (!shape || this.labels.isHidden(feature.properties.label)) continue;
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = shape.box;
      const picture = this.picture(feature, shape);
      const [x, y] = [(x0 - left) * scale, (y0 + top) * scale];
      context.drawImage(picture, x, y, (x1 - x0) * scale, (y1 - y0) * scale);
      if (this.isSelected(feature.id)) {
        context.strokeStyle = "#fff";
        context.setLineDash([6, 4]);
        context.strokeRect(x, y, (x1 - x0) * scale, (y1 - y0) * scale);
      }
    }
  }

  private picture(feature: Feature, shape: Mask): HTMLCanvasElement {
    const colour = this.labels.colour(feature.properties.label);
    const found = this.drawn.get(feature.id);
    if (found?.shape === shape && found.colour === colour) return found.canvas;
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = shape.box;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [x1 - x0, y1 - y0];
    const image = new ImageData(x1 - x0, y1 - y0);
    const pixels = new Uint32Array(image.data.buffer);
    const number = Number.parseInt(colour.slice(1), 16);
    const shade = 0xff000000 | ((number & 255) << 16) | (number & 0xff00) | (number >> 16);
    bitsOf(shape.counts, pixels.length).forEach((bit, k) => {
      if (bit) pixels[k] = shade;
    });
    canvas.getContext("2d")?.putImageData(image, 0, 0);
    this.drawn.set(feature.id, { shape, colour, canvas });
    return canvas;
  }
}
