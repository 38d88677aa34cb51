/** The pieces that painted pixels fall into: pixels that share an edge, voxels that share a face, are of one piece. Pure. */

import { sidesOf, type Mask } from "./brush";
import { newId, type Feature, type MaskFeature } from "./model";

/** A run of set pixels on one row: from and to along x, half open. */
interface Run {
  from: number;
  to: number;
  row: number;
  piece: number;
}

/** Each piece of a mask as a mask of its own, the largest first. */
export function componentsOf(mask: Mask): Mask[] {
  const { size } = sidesOf(mask.box);
  const rows = runsByRow(mask);
  const parents: number[] = [];
  const root = (k: number): number => {
    let at = k;
    while (parents[at] !== at) at = parents[at] = parents[parents[at] as number] as number;
    return at;
  };
  const join = (runs: readonly Run[], others: readonly Run[]): void => {
    for (let a = 0, b = 0; a < runs.length && b < others.length; ) {
      const [one, other] = [runs[a] as Run, others[b] as Run];
      if (one.from < other.to && other.from < one.to) parents[root(one.piece)] = root(other.piece);
      if (one.to < other.to) a++;
      else b++;
    }
  };
  for (const [row, runs] of rows) {
    for (const run of runs) parents.push((run.piece = parents.length));
    if (row % size[1]) join(runs, rows.get(row - 1) ?? []);
    join(runs, rows.get(row - size[1]) ?? []);
  }
  const pieces = new Map<number, Run[]>();
  for (const run of [...rows.values()].flat()) {
    const piece = pieces.get(root(run.piece)) ?? [];
    piece.push(run);
    pieces.set(root(run.piece), piece);
  }
  const count = (runs: readonly Run[]): number => runs.reduce((sum, run) => sum + run.to - run.from, 0);
  return [...pieces.values()].sort((a, b) => count(b) - count(a)).map((runs) => maskOfRuns(runs, mask.box));
}

/** Runs of set pixels by row, rows counted through all slices. */
function runsByRow({ box, counts }: Mask): Map<number, Run[]> {
  const wide = sidesOf(box).size[0];
  const rows = new Map<number, Run[]>();
  let at = 0;
  for (const [k, count] of counts.entries()) {
    const end = at + count;
    for (let start = at; k % 2 && start < end; ) {
      const row = Math.floor(start / wide);
      const stop = Math.min(end, (row + 1) * wide);
      const runs = rows.get(row) ?? [];
      runs.push({ from: start - row * wide, to: stop - row * wide, row, piece: 0 });
      rows.set(row, runs);
      start = stop;
    }
    at = end;
  }
  return rows;
}

/** The mask of some runs, its box no larger than they need. */
function maskOfRuns(runs: readonly Run[], box: readonly number[]): Mask {
  const { low, size } = sidesOf(box);
  const places = runs.map((run) => [run.row % size[1], Math.floor(run.row / size[1])] as const);
  const span = (values: Iterable<number>): [number, number] => {
    let [least, most] = [Infinity, -Infinity];
    for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
    return [least, most];
  };
  const [x0, x1] = [span(runs.map((run) => run.from))[0], span(runs.map((run) => run.to))[1]];
  const [y0, y1] = span(places.map(([y]) => y));
  const [z0, z1] = span(places.map(([, z]) => z));
  const [wide, tall] = [x1 - x0, y1 - y0 + 1];
  const counts: number[] = [];
  let done = 0;
  for (const [k, run] of runs.entries()) {
    const [y, z] = places[k] ?? [0, 0];
    const start = ((z - z0) * tall + y - y0) * wide + run.from - x0;
    // what ends one row and begins the next is one run
    if (start === done && counts.length) counts[counts.length - 1] = (counts.at(-1) ?? 0) + run.to - run.from;
    else counts.push(start - done, run.to - run.from);
    done = start + run.to - run.from;
  }
  const left = wide * tall * (z1 - z0 + 1) - done;
  if (left) counts.push(left);
  const flat = [low[0] + x0, low[1] + y0, low[0] + x1, low[1] + y1 + 1];
  return { type: "mask", box: box.length > 4 ? [...flat, low[2] + z0, low[2] + z1 + 1] : flat, order: "C", counts };
}

/** Each piece of a painted annotation as one of its own; the largest goes on as what it was, with its history. */
export function separated(feature: MaskFeature): { id: string; feature: Feature }[] {
  return componentsOf(feature.shape).map((shape, k) => {
    if (!k) return { id: feature.id, feature: { ...feature, geometry: null, shape } };
    const id = newId();
    const { label, attributes, origin } = feature.properties;
    const { t } = feature;
    return { id, feature: { type: "Feature", id, geometry: null, shape, ...(t === undefined ? {} : { t }), properties: { label, attributes, ...(origin ? { origin } : {}) } } };
  });
}
