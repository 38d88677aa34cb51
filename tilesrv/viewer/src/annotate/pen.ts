/** What drawing makes in every view: annotations of the label in hand, and strokes on masks. */

import { tell } from "../toast";
import { maskOfStroke, sidesOf, touches, type Mask, type Stroke } from "./brush";
import type { Labels } from "./labels";
import { isMask, kindOf, newId, requiredAttributes, type Feature, type MaskFeature } from "./model";
import type { AnnotationStore } from "./store";

/** The pen. */
export class Pen {
  constructor(
    private readonly store: AnnotationStore,
    private readonly labels: Labels,
  ) {}

  /** A new annotation of the current label; null, with a reason told, where that label cannot be drawn so. */
  make(parts: Pick<Feature, "geometry" | "shape">): Feature | null {
    const name = this.labels.current;
    const label = this.labels.find(name);
    if (!name) {
      tell("Name a label first, in the panel on the right.", "bad");
      return null;
    }
    const feature: Feature = {
      type: "Feature", id: newId(), ...parts,
      properties: { label: name, attributes: requiredAttributes(label), origin: "manual" },
    };
    return this.allows(feature) ? feature : null;
  }

  /** Whether a feature's label may be drawn as its shape; the reason is told where not. */
  allows(feature: Feature): boolean {
    const { label: name } = feature.properties;
    const shapes = this.labels.find(name)?.shapes;
    const kind = kindOf(feature);
    if (!shapes?.length || shapes.includes(kind)) return true;
    tell(`“${name}” is drawn as ${shapes.join(", ")}, not as ${kind}.`, "bad");
    return false;
  }

  /** Store a new annotation; its id, or null where it cannot be made. */
  add(parts: Pick<Feature, "geometry" | "shape">): string | null {
    const made = this.make(parts);
    if (made) this.store.apply([{ id: made.id, feature: made }]);
    return made?.id ?? null;
  }

  /** Paint on the selected mask of the current label, or begin one; the mask that was painted, null where nothing was. */
  paint(selected: Feature | undefined, stroke: Stroke): string | null {
    const goesOn = isMask(selected) && selected.properties.label === this.labels.current && !this.isLocked(selected);
    return goesOn ? this.brush(selected, stroke, "add") : this.add({ geometry: null, shape: maskOfStroke(stroke) });
  }

  /** Erase from the selected mask, else from the one beneath the stroke. */
  erase(selected: Feature | undefined, stroke: Stroke): string | null {
    const beneath = [...this.store.features.values()].filter(isMask)
      .filter((one) => !this.labels.isHidden(one.properties.label) && !this.isLocked(one) && touches(one.shape, stroke));
    const own = beneath.filter((one) => one.properties.label === this.labels.current);
    const target = isMask(selected) ? selected : own.at(-1) ?? beneath.at(-1);
    if (!target) tell("Nothing painted lies there.");
    else if (this.isLocked(target)) tell("What is locked was kept.");
    else return this.brush(target, stroke, "subtract");
    return null;
  }

  /** The mask that was painted; null where nothing of it is left. */
  private brush(feature: MaskFeature, stroke: Stroke, op: "add" | "subtract"): string | null {
    this.store.paint(feature, stroke, op);
    return this.store.features.has(feature.id) ? feature.id : null;
  }

  isLocked(feature: Feature): boolean {
    return this.labels.isLocked(feature.properties.label);
  }
}

/** Number of a mask's set pixels. */
export function countOf(mask: Mask): number {
  return mask.counts.reduce((sum, count, k) => (k % 2 ? sum + count : sum), 0);
}

/** Middle of a mask's box: index along x, y and z. */
export function middleIndex(mask: Mask): [number, number, number] {
  const { low, size } = sidesOf(mask.box);
  return [low[0] + size[0] / 2, low[1] + size[1] / 2, low[2] + size[2] / 2];
}
