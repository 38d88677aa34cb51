/** Key points one after another: which comes next, which are left out, and the shape that they make. Pure. */

import type { Position, ShapeMember } from "../annotate/model";

export type Keypoints = Extract<ShapeMember, { type: "keypoints" }>;

/** Names and joins of a label's key points. */
export interface Skeleton {
  points: string[];
  edges: [number, number][];
}

/** What was said about each key point so far, in the order of the skeleton. */
export class KeypointRow {
  private readonly slots: ("placed" | "left out")[] = [];

  constructor(readonly skeleton: Skeleton | null) {}

  /** Whether every point of the skeleton was placed or left out. */
  get isFull(): boolean {
    return this.skeleton !== null && this.slots.length >= this.skeleton.points.length;
  }

  /** Follow how many points were placed. */
  follow(placed: number): void {
    const count = (): number => this.slots.filter((slot) => slot === "placed").length;
    while (count() < placed) this.slots.push("placed");
    while (count() > placed) this.slots.pop();
  }

  /** Go on without a place for the next point. */
  leaveOut(): void {
    if (this.skeleton && !this.isFull) this.slots.push("left out");
  }

  /** Take the last one back where it was left out; whether it was. */
  takeBack(): boolean {
    if (this.slots.at(-1) !== "left out") return false;
    this.slots.pop();
    return true;
  }

  /** What to do next, in words. */
  get prompt(): string {
    if (!this.skeleton) return `Key point ${this.slots.length + 1}. Enter finishes.`;
    const name = this.skeleton.points[this.slots.length];
    return name === undefined ? "" : `${name} (${this.slots.length + 1} of ${this.skeleton.points.length}). “.” leaves it out, Enter leaves out the rest.`;
  }

  /** The shape with these places, in world. */
  shape(places: readonly Position[]): Keypoints {
    let next = 0;
    const count = Math.max(this.slots.length, this.skeleton?.points.length ?? 0);
    const points = Array.from({ length: count }, (_, k) => (this.slots[k] === "placed" ? places[next++] ?? null : null));
    const made: Keypoints = { type: "keypoints", points, visibility: points.map((point) => (point ? 2 : 0)) };
    return this.skeleton ? { ...made, names: [...this.skeleton.points], edges: this.skeleton.edges } : made;
  }
}

/** The shape with its placed points elsewhere. */
export function withPlaces(shape: Keypoints, places: readonly Position[]): Keypoints {
  let next = 0;
  return { ...shape, points: shape.points.map((point) => (point ? places[next++] ?? point : null)) };
}

/** Stretches between points that are joined and placed. */
export function joinsOf({ points, edges }: Keypoints): [Position, Position][] {
  return (edges ?? []).flatMap(([a, b]): [Position, Position][] => {
    const [from, to] = [points[a], points[b]];
    return from && to ? [[from, to]] : [];
  });
}
