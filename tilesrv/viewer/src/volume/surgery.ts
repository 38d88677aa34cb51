/** What is painted split into its pieces, made contours, and contours made painted voxels; each one step to undo. */

import { sidesOf } from "../annotate/brush";
import { separated } from "../annotate/components";
import { isMask, runsOf, type Feature, type Position } from "../annotate/model";
import type { Pen } from "../annotate/pen";
import { fillRings, staircases } from "../annotate/staircase";
import type { AnnotationStore } from "../annotate/store";
import { tell } from "../toast";
import type { Planes } from "./geometry";
import { pictureRings, ringsOf, withRings } from "./sections";
import { sliceOf, type Voxels } from "./voxels";

/** Most annotations that one is split into; more are specks of noise. */
const MOST_PIECES = 500;
/** Most voxels of the box of what is painted at once. */
const MOST_VOXELS = 1 << 28;

/** Contours on every slice of some planes around what a mask has set; null where it has nothing. Pure. */
export function outlined(feature: Feature, planes: Planes, voxels: Voxels): Feature | null {
  if (!isMask(feature)) return null;
  const [lines, along] = voxels.axesOn(planes);
  const rings: Position[][] = [];
  for (let index = 0; index < planes.count; index++) {
    const slice = sliceOf(feature.shape, planes, index);
    if (!slice) continue;
    const [q0, p0, q1, p1] = slice.rectangle;
    for (const ring of staircases(slice.bits, q1 - q0, p1 - p0)) {
      rings.push(ring.map(([q, p]) => {
        const at: [number, number, number] = [0, 0, 0];
        at[planes.axis] = planes.storedIndex(index) + 0.5;
        [at[lines], at[along]] = [p0 + p, q0 + q];
        return [...voxels.toWorld(at)];
      }));
    }
  }
  return rings.length ? withRings(feature, rings) : null;
}

/** The voxels whose centres lie within contours, slice by slice; null where they hold none, or too many. Pure. */
export function filled(feature: Feature, planes: Planes, voxels: Voxels): Feature | null {
  const [lines, along] = voxels.axesOn(planes);
  const rings = ringsOf(feature);
  const found: [number, number, number][] = [];
  for (const [index, drawn] of pictureRings(feature, planes)) {
    const places = drawn.map(({ ring }) => voxels.placesOn(planes, index, rings[ring] ?? []));
    fillRings(places, voxels.shape[along], voxels.shape[lines], (q, p) => {
      const at: [number, number, number] = [0, 0, 0];
      at[planes.axis] = planes.storedIndex(index);
      [at[lines], at[along]] = [p, q];
      found.push([at[2], at[1], at[0]]);
    });
  }
  const low = [0, 1, 2].map((k) => found.reduce((least, at) => Math.min(least, at[k] ?? 0), Infinity));
  const high = [0, 1, 2].map((k) => found.reduce((most, at) => Math.max(most, (at[k] ?? 0) + 1), -Infinity));
  const [x0 = 0, y0 = 0, z0 = 0] = low;
  const box = [x0, y0, high[0] ?? 0, high[1] ?? 0, z0, high[2] ?? 0];
  const { size } = sidesOf(box);
  if (!found.length || size[0] * size[1] * size[2] > MOST_VOXELS) return null;
  const bits = new Uint8Array(size[0] * size[1] * size[2]);
  for (const [x, y, z] of found) bits[((z - z0) * size[1] + y - y0) * size[0] + x - x0] = 1;
  return { ...feature, geometry: null, shape: { type: "mask", box, order: "C", counts: runsOf(bits) } };
}

/** The tools. */
export class VolumeSurgery {
  constructor(
    private readonly store: AnnotationStore,
    private readonly pen: Pen,
    private readonly voxels: Voxels,
    private readonly select: (id: string) => void,
  ) {}

  /** Make each piece of what is painted an annotation of its own; the largest goes on as what it was. */
  split(id: string): void {
    const feature = this.free(id);
    if (!feature) return;
    if (!isMask(feature)) return tell("Only what is painted falls into pieces.");
    const pieces = separated(feature);
    if (pieces.length < 2) return tell("It is all of one piece.");
    if (pieces.length > MOST_PIECES) return tell(`It falls into ${pieces.length.toLocaleString("en")} pieces, of at most ${MOST_PIECES}: erase the specks first.`, "bad");
    this.store.apply(pieces);
    this.select(id);
    tell(`${pieces.length} pieces; the largest one is still selected. Ctrl+Z joins them again.`, "good");
  }

  /** Make what is painted contours on a kind of planes, along the edges of the voxels. */
  trace(id: string, planes: Planes): void {
    const feature = this.free(id);
    if (!feature) return;
    if (!isMask(feature)) return tell("Only what is painted can be outlined.");
    this.put(outlined(feature, planes, this.voxels), "Nothing is painted.");
  }

  /** Make contours the voxels whose centres they hold. */
  paint(id: string, planes: Planes): void {
    const feature = this.free(id);
    if (!feature) return;
    if (feature.shape?.type !== "contours") return tell("Only contours can be painted.");
    if (pictureRings(feature, planes).size === 0) return tell(`It has no contour on ${planes.name} slices: press A, C or S for the planes on which it is drawn.`, "bad");
    if (planes.axis !== 0 && !this.voxels.isEven) return tell("Slices lie at uneven distances: only contours on the slices themselves can be painted.", "bad");
    this.put(filled(feature, planes, this.voxels), "The contours hold no centre of a voxel, or too many.");
  }

  private put(changed: Feature | null, nothing: string): void {
    if (!changed) return tell(nothing, "bad");
    if (!this.pen.allows(changed)) return;
    this.store.apply([{ id: changed.id, feature: changed }]);
    this.select(changed.id);
  }

  /** The annotation, where it may be changed; null, with a reason told, where not. */
  private free(id: string): Feature | null {
    const feature = this.store.features.get(id);
    if (feature && this.pen.isLocked(feature)) tell("What is locked was kept.");
    return feature && !this.pen.isLocked(feature) ? feature : null;
  }
}
