/** What the three views of a volume share. */

import type { Point3 } from "../grid";
import type { PlaneName } from "./geometry";

export interface Shared {
  /** Where the crosshair is, LPS. */
  cross: Point3;
  /** Values shown darkest and brightest, in the unit. */
  range: [number, number];
  inverted: boolean;
  t: number;
  /** View that keys act on. */
  active: PlaneName;
  crosshair: boolean;
}

type Listener = (changed: ReadonlySet<keyof Shared>) => void;

/** The shared values, and those who want to know when they change. */
export class SharedState {
  private readonly listeners = new Set<Listener>();

  constructor(private values: Shared) {}

  get now(): Readonly<Shared> {
    return this.values;
  }

  set(change: Partial<Shared>): void {
    const names = (Object.keys(change) as (keyof Shared)[]).filter((name) => change[name] !== this.values[name]);
    if (!names.length) return;
    this.values = { ...this.values, ...change };
    for (const listener of this.listeners) listener(new Set(names));
  }

  watch(listener: Listener): void {
    this.listeners.add(listener);
  }
}
