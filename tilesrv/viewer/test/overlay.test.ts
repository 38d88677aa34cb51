/** Cutting and joining areas and lines. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Geometry, Position } from "../src/annotate/model";
import { crosses } from "../src/annotate/crossing";
import { Crossed, joined, mended, pieces, polygonsIn, without } from "../src/annotate/overlay";

function box(x0: number, y0: number, x1: number, y1: number): Position[] {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]];
}

function areaOfRing(ring: Position[]): number {
  const [left = 0, low = 0] = ring[0] ?? [];
  return Math.abs(ring.reduce((sum, [x = 0, y = 0], k) => {
    const [u = 0, v = 0] = ring[k + 1] ?? ring[0] ?? [];
    return sum + ((x - left) * (v - low) - (u - left) * (y - low)) / 2;
  }, 0));
}

function areaOf(geometry: Geometry | null): number {
  if (!geometry) return 0;
  return polygonsIn(geometry).reduce((sum, [outer = [], ...holes]) => sum + areaOfRing(outer) - holes.reduce((all, hole) => all + areaOfRing(hole), 0), 0);
}

const polygon = (...rings: Position[][]): Geometry => ({ type: "Polygon", coordinates: rings });

test("a line cuts an area in two, and other corners stay what they were", () => {
  const e = 399_960.1234567;
  const found = pieces(polygon(box(e, 5e6, e + 10.3, 5e6 + 7)), [[e + 4, 5e6 - 1], [e + 4, 5e6 + 8]]);
  assert.deepEqual(found.map((piece) => piece.type), ["Polygon", "Polygon"]);
  assert.ok(Math.abs(areaOf(found[0] ?? null) - 6.3 * 7) < 1e-6 && Math.abs(areaOf(found[1] ?? null) - 28) < 1e-6);
  const corners = found.flatMap((piece) => polygonsIn(piece).flat(2)).map((place) => place.join());
  for (const corner of box(e, 5e6, e + 10.3, 5e6 + 7)) assert.ok(corners.includes(corner.join()));
});

test("a line through a hole makes two pieces without one, past it leaves it in its piece", () => {
  const holed = polygon(box(0, 0, 10, 10), box(2, 2, 4, 4));
  const through = pieces(holed, [[3, -1], [3, 11]]);
  assert.deepEqual(through.map((piece) => polygonsIn(piece)[0]?.length), [1, 1]);
  assert.deepEqual(through.map(areaOf), [68, 28]);
  const past = pieces(holed, [[6, -1], [6, 11]]);
  assert.deepEqual(past.map((piece) => polygonsIn(piece)[0]?.length), [2, 1]);
});

test("only what the line itself crosses is cut", () => {
  const u = polygon([[0, 0], [10, 0], [10, 10], [8, 10], [8, 2], [2, 2], [2, 10], [0, 10], [0, 0]]);
  assert.equal(pieces(u, [[-1, 5], [3, 5]]).length, 2);
  assert.equal(pieces(u, [[-1, 5], [11, 5]]).length, 3);
  assert.equal(pieces(u, [[-1, 5], [1, 5]]).length, 1); // it ends within
  assert.deepEqual(pieces(u, [[-5, 5], [-1, 5]]), [u]);
  // through a corner, and along an edge
  assert.deepEqual(pieces(polygon(box(0, 0, 4, 4)), [[-1, -1], [5, 5]]).map(areaOf), [8, 8]);
  assert.equal(pieces(polygon(box(0, 0, 4, 4)), [[0, -1], [0, 5]]).length, 1);
});

test("of several parts those that were not cut stay with the largest piece", () => {
  const two: Geometry = { type: "MultiPolygon", coordinates: [[box(0, 0, 4, 4)], [box(10, 0, 16, 4)]] };
  const found = pieces(two, [[1, -1], [1, 5]]);
  assert.deepEqual(found.map((piece) => [piece.type, areaOf(piece)]), [["MultiPolygon", 36], ["Polygon", 4]]);
});

test("a line is cut where it is crossed", () => {
  const found = pieces({ type: "LineString", coordinates: [[0, 0], [10, 0]] }, [[3, -1], [3, 1]]);
  assert.deepEqual(found, [{ type: "LineString", coordinates: [[3, 0], [10, 0]] }, { type: "LineString", coordinates: [[0, 0], [3, 0]] }]);
});

test("areas that touch become one, others parts of one", () => {
  assert.equal(areaOf(joined([polygon(box(0, 0, 4, 4)), polygon(box(2, 2, 6, 6))])), 28);
  assert.equal(joined([polygon(box(0, 0, 4, 4)), polygon(box(4, 0, 6, 4))])?.type, "Polygon");
  assert.equal(joined([polygon(box(0, 0, 4, 4)), polygon(box(5, 0, 6, 4))])?.type, "MultiPolygon");
  const ring = joined([polygon(box(0, 0, 9, 2)), polygon(box(0, 7, 9, 9)), polygon(box(0, 0, 2, 9)), polygon(box(7, 0, 9, 9))]);
  assert.equal(polygonsIn(ring ?? polygon())[0]?.length, 2);
});

test("what is taken away leaves a hole, a bay, or nothing", () => {
  assert.equal(polygonsIn(without(polygon(box(0, 0, 9, 9)), box(2, 2, 4, 4)) ?? polygon())[0]?.length, 2);
  assert.equal(areaOf(without(polygon(box(0, 0, 9, 9)), box(-1, -1, 4, 4))), 65);
  assert.equal(without(polygon(box(0, 0, 9, 9)), box(-1, -1, 10, 10)), null);
});

test("an outline that crosses itself is told, not mended", () => {
  const bow: Position[] = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]];
  assert.throws(() => pieces(polygon(bow), [[1, -1], [1, 5]]), Crossed);
  assert.throws(() => joined([polygon(bow), polygon(box(0, 0, 1, 1))]), Crossed);
});

test("an outline that crosses itself is mended to all that it goes around", () => {
  const bow: Position[] = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]];
  assert.deepEqual([mended(bow)?.type, areaOf(mended(bow))], ["MultiPolygon", 8]);
  // a line drawn freely that runs past its beginning: what it goes around twice is inside, too
  const loop: Position[] = [[0, 0], [10, 0], [10, 10], [-2, 10], [-2, -2], [4, -2], [4, 4], [0, 4], [0, 0]];
  assert.equal(areaOf(mended(loop)), 12 * 12 - 6 * 2);
  assert.equal(mended(box(0, 0, 3, 3))?.type, "Polygon");
  assert.equal(mended([[0, 0], [1, 1], [2, 2], [0, 0]]), null);
});

test("it is told at once whether an outline crosses or touches itself", () => {
  assert.ok(crosses([[0, 0], [4, 4], [4, 0], [0, 4]]));
  assert.ok(!crosses([[0, 0], [4, 0], [4, 4], [0, 4]]));
  assert.ok(crosses([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4]])); // a corner on an edge
  assert.ok(crosses([[0, 0], [4, 0], [2, 0], [2, 4]])); // back upon itself
  assert.ok(!crosses([[0, 0], [2, 0], [4, 0], [4, 4]])); // straight on
  const star = Array.from({ length: 400 }, (_, k): Position => [(20 + 9 * Math.sin(7 * k)) * Math.cos(k / 63.662), (20 + 9 * Math.sin(7 * k)) * Math.sin(k / 63.662)]);
  assert.ok(!crosses(star));
  assert.ok(crosses([...star.slice(0, 200), [0, 30], ...star.slice(200)]));
});

test("pieces of random cuts cover the area again", () => {
  let seed = 7;
  const next = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 50; round++) {
    const count = 5 + Math.floor(next() * 20);
    const ring = Array.from({ length: count }, (_, k): Position => {
      const reach = 20 + 80 * next();
      return [500_000 + reach * Math.cos((2 * Math.PI * k) / count), 4_200_000 + reach * Math.sin((2 * Math.PI * k) / count)];
    });
    const star = polygon([...ring, ring[0] ?? []]);
    const knife = Array.from({ length: 2 + Math.floor(next() * 4) }, (): Position => [500_000 + 260 * (next() - 0.5), 4_200_000 + 260 * (next() - 0.5)]);
    const found = pieces(star, knife);
    assert.ok(Math.abs(found.reduce((sum, piece) => sum + areaOf(piece), 0) - areaOf(star)) < 1e-9 * areaOf(star));
    if (found.length > 1) assert.ok(Math.abs(areaOf(joined(found)) - areaOf(star)) < 1e-9 * areaOf(star));
  }
});
