/** Whether an outline crosses itself, told at once, while it is drawn. Pure. */

type Place = readonly number[];

/** Whether a closed ring, without its first place again at the end, crosses or touches itself. */
export function crosses(ring: readonly Place[]): boolean {
  const count = ring.length;
  if (count < 4) return false;
  const edges = ring.map((a, k) => {
    const b = ring[(k + 1) % count] ?? a;
    return { k, a, b, low: Math.min(x(a), x(b)), high: Math.max(x(a), x(b)) };
  }).sort((one, other) => one.low - other.low);
  for (const [n, one] of edges.entries()) {
    for (let m = n + 1; m < count; m++) {
      const other = edges[m];
      if (!other || other.low > one.high) break;
      const apart = Math.abs(one.k - other.k);
      if (apart === 1 || apart === count - 1 ? turnsBack(one, other) : meet(one.a, one.b, other.a, other.b)) return true;
    }
  }
  return false;
}

function x(place: Place): number {
  return place[0] ?? 0;
}

function y(place: Place): number {
  return place[1] ?? 0;
}

/** Twice the area of a triangle: positive where c lies left of the way from a to b. */
function side(a: Place, b: Place, c: Place): number {
  return (x(b) - x(a)) * (y(c) - y(a)) - (y(b) - y(a)) * (x(c) - x(a));
}

/** Whether neighbours lie upon each other. */
function turnsBack(one: { a: Place; b: Place }, other: { a: Place; b: Place }): boolean {
  const [shared, from, to] = one.b === other.a ? [one.b, one.a, other.b] : [one.a, one.b, other.a];
  const [dx, dy, ex, ey] = [x(from) - x(shared), y(from) - y(shared), x(to) - x(shared), y(to) - y(shared)];
  return side(shared, from, to) === 0 && dx * ex + dy * ey > 0;
}

function meet(a: Place, b: Place, c: Place, d: Place): boolean {
  const [p, q, r, s] = [side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)];
  if (p > 0 !== q > 0 && r > 0 !== s > 0 && p && q && r && s) return true;
  return (p === 0 && between(a, b, c)) || (q === 0 && between(a, b, d)) || (r === 0 && between(c, d, a)) || (s === 0 && between(c, d, b));
}

function between(a: Place, b: Place, c: Place): boolean {
  return Math.min(x(a), x(b)) <= x(c) && x(c) <= Math.max(x(a), x(b)) && Math.min(y(a), y(b)) <= y(c) && y(c) <= Math.max(y(a), y(b));
}

/** How often a ring winds around a place; 0 is outside. */
export function winding(ring: readonly Place[], place: Place): number {
  let turns = 0;
  for (const [k, a] of ring.entries()) {
    const b = ring[(k + 1) % ring.length] ?? a;
    if (y(a) <= y(place) && y(b) > y(place) && side(a, b, place) > 0) turns++;
    else if (y(a) > y(place) && y(b) <= y(place) && side(a, b, place) < 0) turns--;
  }
  return turns;
}
