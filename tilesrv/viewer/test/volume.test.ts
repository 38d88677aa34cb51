/** Where planes lie, and how their values become shades. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Point3 } from "../src/grid";
import { bandsAcross, Planes, type SliceDocument } from "../src/volume/geometry";
import type { Feature } from "../src/annotate/model";
import { isInside, ringsOf, ringSize, sectionsOf, withRing } from "../src/volume/sections";
import { paint, valueAt } from "../src/volume/tone";

/** Document of a plane with the given columns of its affine (normal, down, right, origin). */
function plane(index: number, count: number, columns: Point3[], shape: [number, number], axis = "z"): SliceDocument {
  const affine = [0, 1, 2].map((k) => columns.map((c) => c[k] ?? 0));
  const grid = { shape: [1, ...shape], affine };
  const sizes = columns.map((c) => Math.hypot(...c));
  const spacing: [number, number] = [sizes[1] ?? 1, sizes[2] ?? 1];
  const stored = { axis, index, grid, spacing, uneven: false };
  return { index, count, grid, spacing, letters: null, position: 0, stored, instance: null };
}

function axial(count = 11): Planes {
  const at = (k: number): SliceDocument => plane(k, count, [[0, 0, 3], [0, 0.5, 0], [0.7, 0, 0], [-10, -20, 100 + 3 * k]], [40, 30]);
  return new Planes("axial", at(0), at(count - 1), null);
}

function coronal(): Planes {
  const at = (k: number): SliceDocument => plane(k, 40, [[0, 0.5, 0], [0, 0, -3], [0.7, 0, 0], [-10, -20 + 0.5 * k, 133]], [11, 30], "y");
  return new Planes("coronal", at(0), at(39), null);
}

test("places on planes become places in the patient and back", () => {
  const planes = axial();
  assert.equal(planes.pixels, "stored");
  const world = planes.toWorld({ index: 4, row: 10.5, column: 7.25 });
  assert.deepEqual(world.map((v) => v.toFixed(6)), ["-4.925000", "-14.750000", "113.500000"]);
  const back = planes.toPlane(world);
  assert.ok(back.index === 4 && Math.abs(back.row - 10.5) < 1e-9 && Math.abs(back.column - 7.25) < 1e-9 && Math.abs(back.away) < 1e-9);
  assert.equal(planes.halfStep(0), 1.5);
  assert.equal(planes.toPlane([0, 0, 1e6]).index, 10);
});

test("slices at uneven distances are found where they are", () => {
  const heights = [0, 1, 5, 6];
  const slices = heights.map((z) => [0, 0, z]);
  const at = (k: number): SliceDocument => plane(k, 4, [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, heights[k] ?? 0]], [4, 4]);
  const planes = new Planes("axial", at(0), at(3), slices);
  assert.equal(planes.toPlane([1, 1, 5.6]).index, 2);
  assert.equal(planes.toWorld({ index: 2, row: 1, column: 2 })[2], 5.5);
  assert.equal(planes.toPlane([1, 1, 2]).index, 1);
});

test("a contour on a plane is a band on the planes across it", () => {
  const [flat, cut] = [axial(), coronal()];
  const ring = [[5, 5], [5, 25], [15, 25], [15, 5]].map(([row = 0, column = 0]) => flat.toWorld({ index: 4, row, column }));
  const inside = cut.toPlane(flat.toWorld({ index: 4, row: 10, column: 10 })).index;
  const [band, ...more] = bandsAcross(ring, cut, inside, 3, flat.normal);
  assert.equal(more.length, 0);
  const along = band?.points.map((p) => Math.round(p[0] * 1e6) / 1e6).sort((a, b) => a - b);
  assert.deepEqual(along, [5, 5, 25, 25]);
  const rows = band?.points.map((p) => Math.round(p[1] * 1e6) / 1e6).sort((a, b) => a - b);
  assert.deepEqual(rows, [6, 6, 7, 7]);
  assert.equal(bandsAcross(ring, cut, 0, 3, flat.normal).length, 0);
});

test("values become shades in a range of the unit", () => {
  const slice = { data: new Int16Array([0, 60, 100, 1000]), bands: 1, rows: 1, columns: 4 };
  const hu = { slope: 2, intercept: -100 };
  assert.deepEqual(shades(paint(slice, [-100, 100], hu, false)), [0, 153, 255, 255]);
  assert.deepEqual(shades(paint(slice, [-100, 100], hu, true)), [255, 102, 0, 0]);
  const missing = { data: new Float32Array([NaN, 1]), bands: 1, rows: 1, columns: 2 };
  assert.deepEqual(shades(paint(missing, [0, 1], { slope: 1, intercept: 0 }, false)), [0, 255]);
  assert.equal(valueAt(slice, 0.5, 2.9, hu), 100);
  assert.equal(valueAt(slice, 1, 0, hu), null);
  assert.equal(valueAt(missing, 0, 0, hu), null);
});

test("colours of three bands stay as they are", () => {
  const slice = { data: new Uint8Array([1, 2, 3, 4, 5, 6]), bands: 3, rows: 1, columns: 2 };
  assert.deepEqual([...paint(slice, [0, 1], { slope: 1, intercept: 0 }, false)], [1, 3, 5, 255, 2, 4, 6, 255]);
});

function shades(pixels: Uint8ClampedArray): number[] {
  return [...pixels].filter((_, k) => k % 4 === 0);
}

/** A square contour on a plane, corners at these columns and rows. */
function contour(planes: Planes, index: number, low: number, high: number): Feature {
  const ring = [[low, low], [low, high], [high, high], [high, low]].map(([row = 0, column = 0]) => [...planes.toWorld({ index, row, column })]);
  return { type: "Feature", id: "a", geometry: null, shape: { type: "contours", rings: [ring] }, properties: { label: "x", attributes: {} } };
}

test("a contour is a ring on its own slice, a band across, and nothing elsewhere", () => {
  const [flat, cut] = [axial(), coronal()];
  const feature = contour(flat, 4, 5, 15);
  const thick = (): number => 3;
  const [ring] = sectionsOf(feature, flat, 4, thick);
  assert.equal(ring?.kind, "ring");
  assert.deepEqual(ring?.points.map((p) => p.map((v) => Math.round(v * 1e6) / 1e6)), [[5, 5], [15, 5], [15, 15], [5, 15]]);
  assert.deepEqual(sectionsOf(feature, flat, 5, thick), []);
  const inside = cut.toPlane(flat.toWorld({ index: 4, row: 10, column: 10 })).index;
  assert.deepEqual(sectionsOf(feature, cut, inside, thick).map((section) => section.kind), ["band"]);
});

test("points and lines are seen on their slices", () => {
  const flat = axial();
  const place = [...flat.toWorld({ index: 2, row: 3, column: 4 })];
  const point: Feature = { type: "Feature", id: "p", geometry: { type: "Point", coordinates: place }, properties: { label: "x", attributes: {} } };
  assert.equal(sectionsOf(point, flat, 2, () => 3)[0]?.kind, "point");
  assert.deepEqual(sectionsOf(point, flat, 3, () => 3), []);
});

test("rings come, change and go", () => {
  const flat = axial();
  const one = contour(flat, 4, 5, 15);
  const [ring = []] = ringsOf(one);
  const two = withRing(one, Infinity, ring.map(([x = 0, y = 0, z = 0]) => [x, y, z + 3]));
  assert.ok(two);
  assert.equal(ringsOf(two).length, 2);
  assert.equal(two.geometry?.type, "MultiPolygon");
  assert.equal(ringsOf(withRing(two, 0, null) ?? one).length, 1);
  assert.equal(withRing(one, 0, null), null);
  // the server tells rings with their first corner again at the end
  const [first = []] = ring;
  assert.equal(ringsOf({ ...one, shape: { type: "contours", rings: [[...ring, first]] } })[0]?.length, 4);
});

test("rings are measured in millimetres", () => {
  const { area, around } = ringSize([[0, 0, 5], [4, 0, 5], [4, 3, 5], [0, 3, 5]]);
  assert.deepEqual([area, around], [12, 14]);
  assert.ok(isInside([1, 1], [[0, 0], [4, 0], [4, 3], [0, 3]]));
  assert.ok(!isInside([5, 1], [[0, 0], [4, 0], [4, 3], [0, 3]]));
});
