/** Measuring: the ellipsoid as PROJ measures it, and what is told of values. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { classesToTell, hideQuery, type MaskLayerDocument } from "../src/annotate/layers";
import { squareMillimetres } from "../src/format";
import { angleBetween, longitudeSpan, pathLength, ringArea } from "../src/geodesy";
import { roundNumbers } from "../src/scene/graticule";
import { denser, valueLines } from "../src/scene/measure";

function near(found: number, due: number, share: number): void {
  assert.ok(Math.abs(found / due - 1) < share, `${found} is not ${due}`);
}

test("lengths, areas and angles are those of the ellipsoid", () => {
  near(pathLength([[13.4, 52.5], [2.35, 48.86]]), 878452.0044977206, 1e-12);
  near(pathLength([[0, 80], [1, 81], [2, 80]]), 226340.53629859854, 1e-12);
  near(ringArea([[9, 45], [9.01, 45], [9.01, 45.01], [9, 45.01]]), 876163.4480323792, 1e-9);
  near(ringArea([[9, 45], [9, 45.01], [9.01, 45.01], [9.01, 45], [9, 45]]), 876163.4480323792, 1e-9);
  near(ringArea([[179, -16], [-179, -16], [-179, -17], [179, -17]]), 23631413768.383423, 1e-9);
  near(angleBetween([10.01, 60], [10, 60], [10.01, 60.005]), 44.9539450305693, 1e-6);
  assert.equal(pathLength([]), 0);
});

test("edges get corners in between, which change neither ends nor plane area", () => {
  const ring = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]];
  const found = denser(ring, 20);
  assert.equal(found.length, 17);
  assert.deepEqual(found[2], [2, 0]);
  assert.deepEqual([found[0], found[4], found.at(-1)], [[0, 0], [4, 0], [0, 0]]);
  assert.deepEqual(denser(ring, 3), ring);
});

test("values are told by band and unit, and where there are none", () => {
  const lines = valueLines({ count: 9, bands: [
    { band: "b1", count: 9, mean: 40.123456, std: 2.5, minimum: -3, maximum: 90 },
    { band: "b2", count: 0, mean: null, std: null, minimum: null, maximum: null },
  ] }, new Map([["b1", "HU"]]));
  assert.deepEqual(lines, ["b1: mean 40.123 ± 2.5, -3 to 90 HU", "b2: no data"]);
  assert.equal(squareMillimetres(1234), "12.34 cm²");
});

test("a legend tells the classes that occur, and addresses those that are hidden", () => {
  const classes = [{ value: 1, name: "a", color: "#111111" }, { value: 2, name: "b", color: "#222222" }];
  const layer: MaskLayerDocument = { name: "m", mode: "semantic", revision: 1, current: true, classes };
  assert.equal(classesToTell(layer).length, 2);
  assert.equal(classesToTell({ ...layer, mode: "instance" }).length, 0);
  assert.equal(hideQuery([]), "");
  assert.equal(hideQuery([3, 7]), "&hide=3,7");
});

test("lines of coordinates are round, and not too many", () => {
  assert.deepEqual(roundNumbers(499_950, 501_200, 180), [500_000, 500_200, 500_400, 500_600, 500_800, 501_000, 501_200]);
  assert.deepEqual(roundNumbers(-0.3, 0.3, 0.09), [-0.2, 0, 0.2]);
  assert.deepEqual(roundNumbers(0, 10, 0), []);
  assert.deepEqual(roundNumbers(0, 1e6, 1), []);
});

test("longitudes span the shorter way round", () => {
  assert.deepEqual(longitudeSpan([10, -20, 35]), [-20, 35]);
  assert.deepEqual(longitudeSpan([179, -178, 178.5]), [178.5, 182]);
  assert.deepEqual(longitudeSpan([7]), [7, 7]);
});
