/** Cutting, joining and taking apart what is selected on a scene; each is one step that can be undone. */

import { painted, type Mask } from "../annotate/brush";
import { componentsOf, separated } from "../annotate/components";
import { bitsOf, isMask, newId, type Feature, type Geometry, type Position } from "../annotate/model";
import type { Pen } from "../annotate/pen";
import { framedOf, outlines } from "../annotate/shapes";
import type { AnnotationStore } from "../annotate/store";
import { complain, tell } from "../toast";

type Change = { id: string; feature: Feature | null };

const CROSSED = "An outline crosses itself: pull its corners apart first.";

/** Plain geometry of a feature that has an inside, or of a line; null for others. Ellipses are polygons of 64 corners. */
export function plainOf(feature: Feature): Geometry | null {
  if (framedOf(feature.shape)) return { type: "Polygon", coordinates: outlines(feature) };
  if (feature.shape) return null;
  return feature.geometry;
}

/** Whether a feature has several parts. */
export function isMultipart(feature: Feature): boolean {
  const { geometry, shape } = feature;
  if (isMask(feature)) return componentsOf(feature.shape).length > 1;
  return !shape && Boolean(geometry?.type.startsWith("Multi")) && geometry !== null && geometry.coordinates.length > 1;
}

/** The tools. */
export class Surgery {
  constructor(
    private readonly store: AnnotationStore,
    private readonly pen: Pen,
    private readonly select: (ids: readonly string[]) => void,
  ) {}

  /** Features that may be changed; empty, with a reason told, where one is locked. */
  private free(ids: readonly string[]): Feature[] {
    const features = ids.flatMap((id) => this.store.features.get(id) ?? []);
    if (!features.some((feature) => this.pen.isLocked(feature))) return features;
    tell("What is locked was kept.");
    return [];
  }

  /** Cut what is selected along a line; the largest piece goes on as what it was, the others are new. */
  async cut(ids: readonly string[], line: readonly Position[]): Promise<void> {
    const { pieces } = await import("../annotate/overlay");
    const changes = this.guarded(() => this.free(ids).flatMap((feature): Change[] => {
      const geometry = plainOf(feature);
      const found = geometry && /Polygon|LineString/.test(geometry.type) ? pieces(geometry, line) : [];
      return found.length > 1 ? this.replaced(feature, found) : [];
    }));
    if (!changes) return;
    if (!changes.length) return tell("The line crosses nothing that is selected: begin and end it outside of what is to be cut.");
    this.perform(changes);
  }

  /** Join what is selected; the first one goes on as what it was, with its label and its history. */
  async merge(ids: readonly string[]): Promise<void> {
    const features = this.free(ids);
    const [first, ...others] = features;
    if (!first || !others.length) return tell("Select several annotations first: Shift and a click add one.");
    const masks = features.filter(isMask);
    if (masks.length === features.length) return this.keep(first, others, { geometry: null, shape: unitedMasks(masks.map((one) => one.shape)) });
    const { joined, polygonsIn } = await import("../annotate/overlay");
    const areas = features.map(plainOf);
    if (areas.some((area) => !area || !polygonsIn(area).length)) return tell("Areas can be merged with areas, and painted pixels with painted pixels.", "bad");
    const geometry = this.guarded(() => joined(areas as Geometry[]));
    if (geometry) this.keep(first, others, { geometry });
  }

  /** Make each part of what is selected an annotation of its own; the first part goes on as what it was. */
  split(ids: readonly string[]): void {
    const changes = this.free(ids).filter(isMultipart).flatMap((feature) => (isMask(feature) ? separated(feature) : this.replaced(feature, partsOf(feature.geometry))));
    if (changes.length) this.perform(changes);
    else tell("Only what has several parts can be split into them.");
  }

  /** Store what was drawn with an outline that crosses itself as all that it winds around; its id. */
  async mend(ring: Position[]): Promise<string | null> {
    const { mended } = await import("../annotate/overlay");
    const geometry = this.guarded(() => mended(ring));
    if (!geometry) {
      tell("This outline has no inside.", "bad");
      return null;
    }
    tell("The outline crossed itself: all that it goes around was kept.");
    return this.pen.add({ geometry });
  }

  /** Take a closed ring out of what is selected. */
  async carve(id: string, ring: Position[]): Promise<void> {
    const [feature] = this.free([id]);
    const geometry = feature && plainOf(feature);
    const { polygonsIn, without } = await import("../annotate/overlay");
    if (!feature || !geometry || !polygonsIn(geometry).length) return tell("Select a polygon first, then draw the hole in it.", "bad");
    const left = this.guarded(() => ({ geometry: without(geometry, ring) }));
    if (!left) return;
    if (!left.geometry) return tell("Nothing would be left: delete the polygon instead.", "bad");
    this.perform([{ id, feature: plain(feature, left.geometry) }]);
  }

  /** A result, or null where outlines are not sound; then that was told. */
  private guarded<T>(work: () => T): T | null {
    try {
      return work();
    } catch (error) {
      // JTS throws errors of its own where rounding leaves it no way out
      if (!(error instanceof Error)) throw error;
      if (error.name === "Crossed") tell(CROSSED, "bad");
      else complain(error, "This cannot be cut or joined");
      return null;
    }
  }

  private replaced(feature: Feature, found: readonly Geometry[]): Change[] {
    return found.map((geometry, k): Change => {
      const piece = plain(feature, geometry);
      if (!k) return { id: feature.id, feature: piece };
      const id = newId();
      const { label, attributes, origin } = feature.properties;
      return { id, feature: { ...piece, id, properties: { label, attributes, ...(origin ? { origin } : {}) } } };
    });
  }

  private keep(first: Feature, others: readonly Feature[], parts: Pick<Feature, "geometry" | "shape">): void {
    const { shape: _, ...bare } = first;
    this.perform([{ id: first.id, feature: { ...bare, ...parts } }, ...others.map(({ id }): Change => ({ id, feature: null }))]);
  }

  private perform(changes: readonly Change[]): void {
    const kept = changes.flatMap(({ feature }) => feature ?? []);
    if (!kept.every((feature) => this.pen.allows(feature))) return;
    this.store.apply(changes);
    this.select(kept.map(({ id }) => id));
  }
}

/** A feature with a plain geometry in the place of its shape. */
function plain(feature: Feature, geometry: Geometry): Feature {
  const { shape: _, ...bare } = feature;
  return { ...bare, geometry };
}

function partsOf(geometry: Geometry | null): Geometry[] {
  switch (geometry?.type) {
    case "MultiPoint": return geometry.coordinates.map((coordinates) => ({ type: "Point", coordinates }));
    case "MultiLineString": return geometry.coordinates.map((coordinates) => ({ type: "LineString", coordinates }));
    case "MultiPolygon": return geometry.coordinates.map((coordinates) => ({ type: "Polygon", coordinates }));
    default: return [];
  }
}

/** Pixels that are set in any of some masks. */
function unitedMasks(masks: readonly Mask[]): Mask {
  return masks.reduce((sum, { box, counts }) => {
    const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = box;
    return painted(sum, { box, bits: bitsOf(counts, (x1 - x0) * (y1 - y0)) }, "add") ?? sum;
  });
}
