/** Outlines along the edges of pixels, and the pixels within outlines: one is exactly the other's reverse. Pure. */

type Place = readonly [number, number];

/** Right, down, left, up, as a pixel's edges go around it: what is set lies on the right hand. */
const WAYS: readonly Place[] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/** Closed rings (column, row) around set pixels, corners only; pixels that meet at a corner only have rings of their own. */
export function staircases(bits: Uint8Array, wide: number, tall: number): [number, number][][] {
  const edges = edgesOf(bits, wide, tall);
  const rings: [number, number][][] = [];
  for (const [start, ways] of edges) {
    for (let way = 0; way < 4; way++) if (ways & (edges.get(start) ?? 0) & (1 << way)) rings.push(walk(edges, start, way, wide + 1));
  }
  return rings;
}

/** Ways that edges of set pixels go from each corner, as bits. */
function edgesOf(bits: Uint8Array, wide: number, tall: number): Map<number, number> {
  const edges = new Map<number, number>();
  const isSet = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < wide && y < tall && bits[y * wide + x] === 1;
  const put = (x: number, y: number, way: number): void => {
    const corner = y * (wide + 1) + x;
    edges.set(corner, (edges.get(corner) ?? 0) | (1 << way));
  };
  for (let at = bits.indexOf(1); at >= 0; at = bits.indexOf(1, at + 1)) {
    const [x, y] = [at % wide, Math.floor(at / wide)];
    if (!isSet(x, y - 1)) put(x, y, 0);
    if (!isSet(x + 1, y)) put(x + 1, y, 1);
    if (!isSet(x, y + 1)) put(x + 1, y + 1, 2);
    if (!isSet(x - 1, y)) put(x, y + 1, 3);
  }
  return edges;
}

/** Follow edges from a corner until they come back to it, and take them away. */
function walk(edges: Map<number, number>, start: number, first: number, columns: number): [number, number][] {
  const ring: [number, number][] = [];
  let [at, way, last] = [start, first, -1];
  do {
    edges.set(at, (edges.get(at) ?? 0) & ~(1 << way));
    if (way !== last) ring.push([at % columns, Math.floor(at / columns)]);
    last = way;
    const [dx, dy] = WAYS[way] as Place;
    at += dx + dy * columns;
    const there = edges.get(at) ?? 0;
    // to the right first, which keeps to the pixel
    way = [way + 1, way, way + 3].map((turn) => turn % 4).find((turn) => there & (1 << turn)) ?? -1;
  } while (way >= 0 && at !== start);
  // the walk may have begun in the middle of an edge
  const [a, b, z] = [ring[0], ring[1], ring.at(-1)];
  if (a && b && z && ring.length > 2 && ((z[0] === a[0] && a[0] === b[0]) || (z[1] === a[1] && a[1] === b[1]))) ring.shift();
  return ring;
}

/** Set the pixels whose centres lie within rings (even-odd); spans hold their right end, as GDAL's do. */
export function fillRings(rings: readonly (readonly Place[])[], wide: number, tall: number, set: (x: number, y: number) => void): void {
  const heights = rings.flat().map((place) => place[1]);
  const [first, last] = [heights.reduce((a, b) => Math.min(a, b), Infinity), heights.reduce((a, b) => Math.max(a, b), -Infinity)];
  for (let y = Math.max(0, Math.floor(first - 0.5)); y < Math.min(tall, Math.ceil(last + 0.5)); y++) {
    const crossings: number[] = [];
    for (const ring of rings) {
      for (const [k, [ax, ay]] of ring.entries()) {
        const [bx, by] = ring[(k + 1) % ring.length] ?? [ax, ay];
        if (ay > y + 0.5 !== by > y + 0.5) crossings.push(ax + ((y + 0.5 - ay) * (bx - ax)) / (by - ay));
      }
    }
    crossings.sort((a, b) => a - b);
    for (let k = 0; k + 1 < crossings.length; k += 2) {
      const [from, to] = [Math.floor((crossings[k] ?? 0) - 0.5) + 1, Math.floor((crossings[k + 1] ?? 0) - 0.5)];
      for (let x = Math.max(0, from); x <= Math.min(wide - 1, to); x++) set(x, y);
    }
  }
}
